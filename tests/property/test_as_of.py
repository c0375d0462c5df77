"""What is known as of a day: later data change nothing, and it does not matter how the data came."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.cache import CalculationCache
from common.calculations import FlowTiming
from common.errors import InvalidPortfolioError
from common.models.books import DayValue, Entity, SeriesKind, Transaction
from common.stores.histories import BookReader
from common.stores.layered_cache import SharedCalculationCache
from common.stores.memory import InMemoryPayloadStore
from common.stores.memory_books import InMemoryBooks
from tasks.calculate_portfolio import calculate_portfolio

START = date(2019, 12, 31)
LENGTH = 900
# A whole world is made for each example.
PLAIN = settings(max_examples=200)

Point = tuple[date, float]
Series = list[Point]

DAYS = st.integers(0, LENGTH).map(lambda offset: START + timedelta(days=offset))
CENTS = st.integers(-(10**9), 10**9).filter(bool).map(lambda cents: cents / 100)
LEVELS = st.integers(1, 10**7).map(lambda cents: cents / 100)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Series, Series, Series, date]:
    """Valuations, flows, levels of a benchmark, and a day; often on days of valuations, where a boundary shows."""
    step = draw(st.sampled_from([1, 7, 30]))
    offsets = draw(st.lists(st.integers(0, LENGTH // step), min_size=1, max_size=20, unique=True))
    days = sorted(START + timedelta(days=step * offset) for offset in offsets)
    on = st.one_of(st.sampled_from(days), st.sampled_from([days[0], days[-1]]), DAYS)
    valuations = [(day, draw(st.integers(0, 10**9)) / 100) for day in days]
    flows = [(draw(on), draw(CENTS)) for _ in range(draw(st.integers(0, 4)))]
    levels = [(day, draw(LEVELS)) for day in draw(st.lists(on, min_size=1, max_size=20, unique=True))]
    return valuations, flows, levels, draw(on)


OWNERS = {"client_id": "c", "account_id": "a"}
CHOICES = st.fixed_dictionaries(
    {
        "flow_timing": st.sampled_from([None, *(each.value for each in FlowTiming)]),
        "calculation_method": st.sampled_from(["daily", "modified_dietz"]),
    }
)


def columns(points: Sequence[Point], name: str) -> dict[str, list[Any]]:
    return {"dates": [day.isoformat() for day, _ in points], name: [number for _, number in points]}


def event(entity: dict[str, Any], levels: Series, as_of: date | None, choices: dict[str, Any]) -> dict[str, Any]:
    return {
        "request": {
            "request_id": "r",
            "client_id": None,
            "as_of_date": as_of and as_of.isoformat(),
            "time_periods": ["MTD", "QTD", "1Y", "ITD"],
            "benchmark": {"benchmark_id": "B", "valuations": columns(levels, "values")},
            **choices,
        },
        "entity": {"entity_type": "portfolio", "entity_id": "p", **entity},
        "result_bytes": 10**6,
        "execution": {"name": "run"},
    }


def told(given_event: dict[str, Any], reader: BookReader | None = None) -> dict[str, Any]:
    """Return the result, or why there is none."""
    cache = SharedCalculationCache(CalculationCache(0), None) if reader else None
    try:
        found: dict[str, Any] = calculate_portfolio(given_event, InMemoryPayloadStore(), reader, cache)["result"]
    except InvalidPortfolioError as error:
        return {"error": str(error)}
    found.pop("asked", None)  # noted for what can be calculated again, from the books
    return found


def inline(valuations: Series, flows: Series, levels: Series, as_of: date | None, choices: Any) -> dict[str, Any]:
    data = {
        "portfolio_id": "p",
        **OWNERS,
        "valuations": columns(valuations, "values"),
        "cash_flows": columns(flows, "amounts"),
    }
    return told(event({"portfolio": data}, levels, as_of, choices))


def in_books(valuations: Series, flows: Series, levels: Series, as_of: date | None, choices: Any) -> dict[str, Any]:
    books = InMemoryBooks()
    books.put_entity(Entity.model_validate({"entity_type": "portfolio", "entity_id": "p", **OWNERS}))
    books.write_series(SeriesKind.VALUATION, "p", [DayValue(day, Decimal(str(value))) for day, value in valuations])
    lines = [
        {
            "transaction_id": f"{index:02}",
            "portfolio_id": "p",
            "type": "deposit" if amount > 0 else "withdrawal",
            "trade_date": day.isoformat(),
            "amount": abs(amount),
        }
        for index, (day, amount) in enumerate(flows)
    ]
    books.record("p", [Transaction.model_validate(each) for each in lines])
    return told(event({}, levels, as_of, choices), BookReader(books))


def without_later(points: Series, as_of: date) -> Series:
    return [(day, number) for day, number in points if day <= as_of]


@PLAIN
@given(worlds(), CHOICES)
def test_data_after_the_date_never_change_a_result(world: Any, choices: dict[str, Any]) -> None:
    valuations, flows, levels, as_of = world
    known_valuations, known_flows, known_levels = (without_later(each, as_of) for each in (valuations, flows, levels))
    assume(known_valuations and known_levels)
    before = inline(known_valuations, known_flows, known_levels, as_of, choices)
    assert inline(valuations, flows, levels, as_of, choices) == before


@PLAIN
@given(worlds(), CHOICES, st.booleans())
def test_the_same_data_give_the_same_result_inline_and_in_the_books(
    world: Any, choices: dict[str, Any], dated: bool
) -> None:
    valuations, flows, levels, as_of = world
    until = as_of if dated else None
    assert inline(valuations, flows, levels, until, choices) == in_books(valuations, flows, levels, until, choices)


@PLAIN
@given(worlds(), CHOICES)
def test_where_nothing_was_known_yet_it_is_told_alike(world: Any, choices: dict[str, Any]) -> None:
    valuations, flows, levels, _ = world
    before = valuations[0][0] - timedelta(days=1)
    failure = f"the first valuation, {valuations[0][0]}, is later than as_of_date {before}"
    for way in (inline, in_books):
        assert way(valuations, flows, levels, before, choices) == {"error": failure}
