"""The tasks on the books: what is calculated by id alone, whose it may be, and what is not calculated twice."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.cache import CalculationCache
from common.calculations import PriceHistory, TransactionType
from common.errors import InputNotFoundError, InvalidPortfolioError, InvalidRequestError, ThrottledError
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, SeriesKind, Transaction
from common.models.limits import MAX_PORTFOLIOS
from common.stores.histories import BookReader, Position
from common.stores.layered_cache import SharedCalculationCache
from common.stores.memory import InMemoryPayloadStore
from common.stores.memory_books import InMemoryBooks
from common.stores.memory_cache import InMemoryResultCache
from tasks import calculate_portfolio
from tests.unit.test_tasks import calculated, iterations, plan

FIRST = date(2024, 1, 1)
T = TransactionType


def entity(kind: str, name: str, **changes: Any) -> Entity:
    own = {"account": {"account_id": name}, "client": {"client_id": name}}.get(kind, {})
    return Entity.model_validate({"entity_type": kind, "entity_id": name, **own, **changes})


def days(count: int = 60) -> list[date]:
    found = (FIRST + timedelta(days=index) for index in range(count * 2))
    return [day for day in found if day.weekday() < 5][:count]


def moves(start: float, step: float, count: int = 60) -> list[DayValue]:
    return [DayValue(day, Decimal(f"{start + step * index:.2f}")) for index, day in enumerate(days(count))]


def transaction(name: str, portfolio: str, kind: TransactionType, day: date, **fields: Any) -> Transaction:
    return Transaction.model_validate(
        {"transaction_id": name, "portfolio_id": portfolio, "type": kind, "trade_date": day.isoformat(), **fields}
    )


@pytest.fixture
def books() -> InMemoryBooks:
    """Return the books of acme (a traded and a valued portfolio in one account) and of globex (one portfolio)."""
    made = InMemoryBooks()
    for each in (
        entity("security", "AAPL", currency="USD"),
        entity("security", "OWN", client_id="globex"),
        entity("benchmark", "SP500"),
        entity("portfolio", "traded", client_id="acme", account_id="joint", currency="USD"),
        entity("portfolio", "valued", client_id="acme", account_id="joint"),
        entity("account", "joint", client_id="acme"),
        entity("portfolio", "theirs", client_id="globex", account_id="theirs"),
    ):
        made.put_entity(each)
    made.write_series(SeriesKind.PRICE, "AAPL", moves(100.0, 1.0))
    made.write_series(SeriesKind.LEVEL, "SP500", [DayValue(date(2023, 12, 29), Decimal(1000)), *moves(1000.0, 2.0)])
    made.write_series(SeriesKind.VALUATION, "valued", moves(5000.0, 10.0))
    made.write_series(SeriesKind.VALUATION, "theirs", moves(777.0, 1.0))
    made.record(
        "traded",
        [
            transaction("t-1", "traded", T.DEPOSIT, days()[0], amount=1000),
            transaction("t-2", "traded", T.BUY, days()[0], amount=1000, quantity=10, security_id="AAPL"),
            transaction("t-3", "traded", T.DEPOSIT, days()[20], amount=500),
        ],
    )
    return made


def request(**changes: Any) -> dict[str, Any]:
    return {"request_id": "r", "time_periods": ["ITD"], **changes}


def run(books: InMemoryBooks, cache: SharedCalculationCache | None = None, **changes: Any) -> list[dict[str, Any]]:
    payloads = InMemoryPayloadStore()
    planned = plan(request(**changes), payloads, books)
    return [calculated(each, payloads, books, cache) for each in iterations(planned)]


def refused(books: InMemoryBooks, **changes: Any) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        plan(request(**changes), books=books)
    return [str(fault) for fault in caught.value.faults]


def test_a_portfolio_is_valued_by_its_transactions(books: InMemoryBooks) -> None:
    (outcome,) = run(books, entity_ids=["traded"])
    found = outcome["result"]
    # Ten shares from 100 to 159; the deposit of 500 lies as cash from the 21st day (120) on.
    growth = (1200 / 1000) * ((1590 + 500) / (1200 + 500))
    assert found["periods"]["ITD"]["twr"] == pytest.approx(growth - 1, abs=1e-14)
    assert found["flow_timing"] == "end_of_day"
    assert found["calculation_date"] == days()[-1].isoformat()
    assert (found["client_id"], found["account_id"], found["currency"]) == ("acme", "joint", "USD")
    assert found["warnings"] == []


def test_asked_for_another_timing_it_gives_the_same_returns(books: InMemoryBooks) -> None:
    results = [
        run(books, entity_ids=["traded"], flow_timing=each)[0]["result"] for each in ("end_of_day", "after_close")
    ]
    assert [each["flow_timing"] for each in results] == ["end_of_day", "after_close"]
    twr = [each["periods"]["ITD"]["twr"] for each in results]
    assert twr[0] == pytest.approx(twr[1], abs=1e-14)


def test_valuations_of_the_books_are_taken_as_they_are(books: InMemoryBooks) -> None:
    books.record("valued", [transaction("f-1", "valued", T.DEPOSIT, days()[10], amount=100)])
    (outcome,) = run(books, entity_ids=["valued"])
    found = outcome["result"]
    growth = (5100 / 5000) * (5590 / 5200)
    assert found["periods"]["ITD"]["twr"] == pytest.approx(growth - 1, abs=1e-14)
    assert found["flow_timing"] == "after_close"


def test_an_account_is_the_sum_of_its_portfolios(books: InMemoryBooks) -> None:
    (outcome,) = run(books, entity_type="account", entity_ids=["joint"])
    found = outcome["result"]
    assert (found["entity_type"], found["entity_id"], found["client_id"]) == ("account", "joint", "acme")
    start, middle, end = 6000.0, 1200.0 + 5200.0, 1590.0 + 500.0 + 5590.0
    growth = (middle / start) * (end / (middle + 500.0))
    assert found["periods"]["ITD"]["twr"] == pytest.approx(growth - 1, abs=1e-13)


def test_a_transfer_within_the_account_is_no_flow_of_it(books: InMemoryBooks) -> None:
    books.put_entity(entity("portfolio", "second", client_id="acme", account_id="joint"))
    before = run(books, entity_type="account", entity_ids=["joint"])[0]["result"]["periods"]["ITD"]
    books.record(
        "traded",
        [transaction("x-1", "traded", T.TRANSFER_OUT, days()[30], amount=200, counterparty_id="second")],
    )
    books.record(
        "second",
        [transaction("x-1", "second", T.TRANSFER_IN, days()[33], amount=200, counterparty_id="traded")],
    )
    after = run(books, entity_type="account", entity_ids=["joint"])[0]["result"]
    assert after["periods"]["ITD"] == before
    assert after["warnings"] == []


def test_a_transfer_to_a_portfolio_with_valuations_cancels_too(books: InMemoryBooks) -> None:
    before = run(books, entity_type="account", entity_ids=["joint"], flow_timing="inflow_start_outflow_end")
    books.record(
        "traded", [transaction("x-1", "traded", T.TRANSFER_OUT, days()[30], amount=200, counterparty_id="valued")]
    )
    books.record(
        "valued", [transaction("x-1", "valued", T.TRANSFER_IN, days()[30], amount=200, counterparty_id="traded")]
    )
    # The custodian's valuations have the money from the day after on, as after_close says.
    books.write_series(
        SeriesKind.VALUATION,
        "valued",
        [each._replace(value=each.value + 200) for each in moves(5000.0, 10.0) if each.date > days()[30]],
    )
    after = run(books, entity_type="account", entity_ids=["joint"], flow_timing="inflow_start_outflow_end")
    twr = [each[0]["result"]["periods"]["ITD"]["twr"] for each in (before, after)]
    assert twr[0] == pytest.approx(twr[1], abs=1e-14)


def world(*entities: Entity, **series: Mapping[date, float]) -> InMemoryBooks:
    """Return books of an account `A` with `entities`, prices of S and valuations of the portfolios named."""
    made = InMemoryBooks()
    for each in (entity("account", "A", client_id="acme"), entity("security", "S"), *entities):
        made.put_entity(each)
    for name, points in series.items():
        kind = SeriesKind.PRICE if name == "S" else SeriesKind.VALUATION
        made.write_series(kind, name, [DayValue(day, Decimal(str(value))) for day, value in points.items()])
    return made


def member(name: str, **changes: Any) -> Entity:
    return entity("portfolio", name, client_id="acme", account_id="A", **changes)


def account(books: InMemoryBooks, **changes: Any) -> dict[str, Any]:
    (outcome,) = run(books, entity_type="account", entity_ids=["A"], **changes)
    found: dict[str, Any] = outcome["result"]
    return {**found, "ITD": found["periods"]["ITD"]}


JANUARY = days(23)  # The weekdays of January 2024; the 13th is a Saturday.
FRIDAYS = [day for day in JANUARY if day.weekday() == 4]
SATURDAY, WEDNESDAY = date(2024, 1, 13), date(2024, 1, 17)


@pytest.mark.parametrize(("moved", "left"), [(900, 100), (1000, 0)])
@pytest.mark.parametrize("timing", ["after_close", "end_of_day"])
@pytest.mark.parametrize(
    ("valued_on", "transferred"),
    [(JANUARY, SATURDAY), (FRIDAYS, SATURDAY), (FRIDAYS, WEDNESDAY)],
    ids=["daily", "weekly", "weekly, on a Wednesday"],
)
def test_a_transfer_between_two_valuations_is_no_performance_of_the_account(
    valued_on: list[date], transferred: date, timing: str, moved: int, left: int
) -> None:
    """1,000 and 1; most of the 1,000 goes over and is invested; then the price rises by 1 %, and that is all."""
    books = world(
        member("v", flow_timing=timing),
        member("t"),
        v={day: 1000 if day < transferred else left for day in valued_on},
        S={day: 100 if day <= date(2024, 1, 17) else 101 for day in JANUARY},
    )
    books.record("t", [transaction("0", "t", T.DEPOSIT, FRIDAYS[0], amount=1)])
    books.record(
        "t",
        [
            transaction("1", "t", T.TRANSFER_IN, transferred, amount=moved, counterparty_id="v"),
            transaction("2", "t", T.BUY, transferred, amount=moved, quantity=moved // 100, security_id="S"),
        ],
    )
    books.record("v", [transaction("3", "v", T.TRANSFER_OUT, transferred, amount=moved, counterparty_id="t")])
    for asked in ("end_of_day", "after_close"):
        found = account(books, as_of_date=FRIDAYS[-1].isoformat(), flow_timing=asked)
        # A weekly account begins on the 5th with 1,001; a daily one on the 1st with 1,000 and gets the 1.
        assert found["ITD"]["twr"] == pytest.approx(moved / 100 / 1001, rel=1e-9)
        assert found["ITD"]["mwr_period"] == pytest.approx(moved / 100 / 1001, rel=1e-2)
        assert found["warnings"] == []


@pytest.mark.parametrize(
    ("valued_on", "carried"), [(JANUARY, []), (FRIDAYS, ["carried_valuation"])], ids=["daily", "weekly"]
)
@pytest.mark.parametrize("deposited", [SATURDAY, WEDNESDAY], ids=["Saturday", "Wednesday"])
def test_a_deposit_between_two_valuations_earns_nothing_it_was_not_there_for(
    valued_on: list[date], carried: list[str], deposited: date
) -> None:
    """A portfolio of 1,000, and one of 10 that gets 100,000; then the price rises by 1 %: 1,000 / 101,010."""
    books = world(
        member("v"),
        member("t"),
        v=dict.fromkeys(valued_on, 1000),
        S={day: 100 if day <= date(2024, 1, 17) else 101 for day in JANUARY},
    )
    books.record(
        "t",
        [
            transaction("0", "t", T.DEPOSIT, FRIDAYS[0], amount=10),
            transaction("1", "t", T.DEPOSIT, deposited, amount=100_000),
            transaction("2", "t", T.BUY, deposited, amount=100_000, quantity=1000, security_id="S"),
        ],
    )
    found = account(books, as_of_date=FRIDAYS[-1].isoformat())
    assert found["ITD"]["twr"] == pytest.approx(1000 / 101_010, rel=1e-9)
    # Friday's value on a Saturday is its value; on a Wednesday it is five days old.
    assert found["warnings"] == (carried if deposited == WEDNESDAY else [])


def test_an_account_can_be_calculated_between_a_join_and_the_next_valuation_of_all() -> None:
    books = world(member("v"), member("t"), v=dict.fromkeys(FRIDAYS, 100), S=dict.fromkeys(JANUARY, 100))
    books.record("t", [transaction("1", "t", T.DEPOSIT, date(2024, 1, 8), amount=10_000)])
    found = account(books, as_of_date="2024-01-10")
    assert (found["ITD"]["from"], found["ITD"]["to"], found["ITD"]["twr"]) == ("2024-01-05", "2024-01-08", 0.0)


def test_what_begins_after_the_date_takes_no_part_in_an_account() -> None:
    later = date(2024, 1, 15)
    alone = world(member("v"), v={day: 100 + index for index, day in enumerate(JANUARY)})
    books = world(
        member("v"),
        member("t"),
        member("w", currency="JPY", flow_timing="start_of_day"),
        v={day: 100 + index for index, day in enumerate(JANUARY)},
        w={day: 5 for day in JANUARY if day >= later},
        S=dict.fromkeys(JANUARY, 1),
    )
    books.record(
        "t",
        [
            transaction("1", "t", T.DEPOSIT, later, amount=10),
            transaction("2", "t", T.BUY, later, amount=10, quantity=10, security_id="S"),
        ],
    )
    assert account(books, as_of_date="2024-01-12") == account(alone, as_of_date="2024-01-12")
    with pytest.raises(InvalidPortfolioError) as caught:
        account(books, as_of_date="2023-12-29")
    assert str(caught.value) == (
        "the account's first valuation or transaction, 2024-01-01, is later than as_of_date 2023-12-29"
    )
    with pytest.raises(InvalidPortfolioError, match="no portfolio of the account has valuations or transactions"):
        account(world(member("v")), as_of_date="2023-12-29")


def test_what_is_on_its_way_to_a_portfolio_that_begins_later_is_the_accounts() -> None:
    books = world(member("t"), member("u"))
    books.record(
        "t",
        [
            transaction("0", "t", T.DEPOSIT, JANUARY[0], amount=100),
            transaction("1", "t", T.TRANSFER_OUT, JANUARY[4], amount=40, counterparty_id="u"),
            transaction("2", "t", T.INTEREST, JANUARY[5], amount=1),
        ],
    )
    books.record("u", [transaction("1", "u", T.TRANSFER_IN, JANUARY[8], amount=40, counterparty_id="t")])
    for as_of, warnings in ((JANUARY[5], ["transfer_in_transit"]), (JANUARY[8], [])):
        found = account(books, as_of_date=as_of.isoformat())
        assert found["ITD"]["twr"] == pytest.approx(0.01)
        assert found["warnings"] == warnings


@pytest.mark.parametrize(
    ("own", "of_portfolios", "asked", "expected"),
    [
        (None, ["start_of_day", "start_of_day"], None, "start_of_day"),
        (None, ["start_of_day", "end_of_day"], None, "end_of_day"),
        (None, ["start_of_day", None], None, "end_of_day"),
        (None, [None, "after_close"], None, "end_of_day"),
        ("inflow_start_outflow_end", ["start_of_day", "start_of_day"], None, "inflow_start_outflow_end"),
        ("after_close", [None, None], None, "after_close"),
        ("inflow_start_outflow_end", ["start_of_day", "start_of_day"], "end_of_day", "end_of_day"),
    ],
)
def test_the_timing_of_an_account_is_the_request_s_or_its_own_or_its_portfolios(
    own: str | None, of_portfolios: list[str | None], asked: str | None, expected: str
) -> None:
    # 1,000 come in on the second day: invested from its start, 2,200 are 10 %.
    values = {JANUARY[0]: 1000, JANUARY[1]: 2200, JANUARY[2]: 2200}
    one, other = (member(name, flow_timing=each) for name, each in zip("vw", of_portfolios, strict=True))
    books = world(entity("account", "A", client_id="acme", flow_timing=own), one, other, v=values)
    books.write_series(SeriesKind.VALUATION, "w", [DayValue(day, Decimal(1)) for day in values])
    books.record("v", [transaction("1", "v", T.DEPOSIT, JANUARY[1], amount=1000)])
    found = account(books, **({"flow_timing": asked} if asked else {}))
    assert found["flow_timing"] == expected
    if expected == "start_of_day":
        assert found["ITD"]["twr"] == pytest.approx(2201 / 2001 - 1)


def test_the_timing_of_an_account_with_a_ledger_is_the_ledger_s() -> None:
    books = world(member("v", flow_timing="start_of_day"), member("t"), v=dict.fromkeys(JANUARY, 1000))
    books.record("t", [transaction("1", "t", T.DEPOSIT, JANUARY[0], amount=1)])
    assert account(books)["flow_timing"] == "end_of_day"


@pytest.mark.parametrize(
    ("currencies", "message"),
    [
        (("USD", "EUR", None, None), "account A is in USD, portfolio v in EUR"),
        (("USD", None, "EUR", None), "account A is in USD, portfolio t in EUR"),
        (("USD", None, None, "EUR"), "account A is in USD, security S in EUR"),
        ((None, "USD", None, "EUR"), "portfolio v is in USD, security S in EUR"),
        ((None, None, "USD", "EUR"), "portfolio t is in USD, security S in EUR"),
        ((None, "EUR", "USD", None), "portfolio t is in USD, portfolio v in EUR"),
        (("EUR", "EUR", None, "EUR"), None),
    ],
)
def test_an_account_has_one_currency(currencies: tuple[str | None, ...], message: str | None) -> None:
    own, valued, traded, security = currencies
    books = world(
        entity("account", "A", client_id="acme", currency=own),
        entity("security", "S", currency=security),
        member("v", currency=valued),
        member("t", currency=traded),
        v=dict.fromkeys(JANUARY, 1),
        S=dict.fromkeys(JANUARY, 1),
    )
    books.record("t", [transaction("1", "t", T.BUY, JANUARY[0], amount=1, quantity=1, security_id="S")])
    if message is None:
        assert account(books)["ITD"]["twr"] is not None
        return
    with pytest.raises(InvalidPortfolioError) as caught:
        account(books)
    assert str(caught.value) == f"{message}; amounts are not converted"


def test_with_a_date_only_what_came_after_the_close_of_the_last_valuation_s_day_is_beyond_the_history() -> None:
    books = world(member("v"), v={JANUARY[0]: 1000, JANUARY[3]: 1000})
    books.record("v", [transaction("1", "v", T.DEPOSIT, JANUARY[3], amount=1)])
    as_of = JANUARY[12].isoformat()
    assert run(books, entity_ids=["v"], as_of_date=as_of)[0]["result"]["warnings"] == []
    books.record("v", [transaction("2", "v", T.DEPOSIT, JANUARY[5], amount=1)])
    assert run(books, entity_ids=["v"], as_of_date=as_of)[0]["result"]["warnings"] == ["flow_outside_valuations"]


def test_a_security_s_return_has_its_dividends_and_splits(books: InMemoryBooks) -> None:
    books.put_entity(entity("security", "PAYS"))
    prices = [("2024-01-02", 100, 0, 1), ("2024-01-03", 110, 0, 1), ("2024-01-04", 54, 1, 2), ("2024-01-05", 55, 0, 1)]
    books.write_series(
        SeriesKind.PRICE,
        "PAYS",
        [DayValue(date.fromisoformat(day), Decimal(p), Decimal(d), Decimal(s)) for day, p, d, s in prices],
    )
    (outcome,) = run(books, entity_type="security", entity_ids=["PAYS"])
    growth = (110 / 100) * ((54 + 1) * 2 / 110) * (55 / 54)
    assert outcome["result"]["periods"]["ITD"]["twr"] == pytest.approx(growth - 1, abs=1e-14)


def test_everything_of_a_client(books: InMemoryBooks) -> None:
    assert [each["row"]["entity_id"] for each in run(books, client_id="acme")] == ["traded", "valued"]
    assert [each["row"]["entity_id"] for each in run(books, client_id="acme", entity_type="account")] == ["joint"]
    assert refused(books, client_id="nobody") == ["$.client_id: nobody has no portfolio"]


def test_a_client_with_too_much_for_one_execution_is_told(books: InMemoryBooks) -> None:
    for index in range(MAX_PORTFOLIOS):
        books.put_entity(entity("portfolio", f"p-{index}", client_id="acme"))
    assert refused(books, client_id="acme") == ["$.client_id: acme has over 500: name as many in entity_ids"]


def test_as_of_dates_of_their_own(books: InMemoryBooks) -> None:
    entities = [{"entity_id": "valued", "as_of_date": days()[index].isoformat()} for index in (10, 20)]
    outcomes = run(books, entities=entities)
    assert [each["row"]["calculation_date"] for each in outcomes] == [each["as_of_date"] for each in entities]
    assert [each["result"]["periods"]["ITD"]["twr"] for each in outcomes] == [
        pytest.approx(5100 / 5000 - 1),
        pytest.approx(5200 / 5000 - 1),
    ]


def test_nothing_after_the_date_is_looked_at(books: InMemoryBooks) -> None:
    as_of = days()[30].isoformat()
    before = run(books, entity_ids=["traded", "valued"], as_of_date=as_of)
    books.record("traded", [transaction("late", "traded", T.DEPOSIT, days()[40], amount=10_000)])
    books.record("valued", [transaction("late", "valued", T.WITHDRAWAL, days()[40], amount=4000)])
    books.write_series(SeriesKind.PRICE, "AAPL", [DayValue(days()[45], Decimal(1))])
    assert run(books, entity_ids=["traded", "valued"], as_of_date=as_of) == before


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"entity_ids": ["none"]}, "there is no portfolio none in the books"),
        ({"entity_type": "account", "entity_ids": ["traded"]}, "there is no account traded in the books"),
        ({"entity_ids": ["empty"]}, "there are no transactions"),
        ({"entity_ids": ["valued"], "as_of_date": "2023-12-01"}, "the first valuation, 2024-01-01, is later than"),
        ({"entity_ids": ["stale"]}, "the last price of OLD before"),
        ({"entity_ids": ["foreign"]}, "portfolio foreign is in EUR, security AAPL in USD"),
        ({"entity_type": "account", "entity_ids": ["hollow"]}, "the account hollow has no portfolios"),
    ],
)
def test_what_cannot_be_calculated_is_a_failure_of_its_own(
    books: InMemoryBooks, what: dict[str, Any], message: str
) -> None:
    for each in (
        entity("portfolio", "empty", client_id="acme"),
        entity("portfolio", "stale", client_id="acme"),
        entity("portfolio", "foreign", client_id="acme", currency="EUR"),
        entity("account", "hollow", client_id="acme"),
        entity("security", "OLD"),
    ):
        books.put_entity(each)
    books.write_series(SeriesKind.PRICE, "OLD", moves(1.0, 0.01, 5))
    books.record(
        "stale",
        [
            transaction("a", "stale", T.DEPOSIT, days()[0], amount=10),
            transaction("b", "stale", T.BUY, days()[0], amount=10, quantity=10, security_id="OLD"),
            transaction("c", "stale", T.DEPOSIT, days()[50], amount=10),
        ],
    )
    books.record("foreign", [transaction("b", "foreign", T.BUY, days()[0], amount=10, quantity=1, security_id="AAPL")])
    with pytest.raises((InputNotFoundError, InvalidPortfolioError)) as caught:
        run(books, **what)
    assert message in str(caught.value)


def test_a_price_may_be_carried_forward_for_as_long_as_the_request_says(books: InMemoryBooks) -> None:
    late = (days()[-1] + timedelta(days=10)).isoformat()
    with pytest.raises(InvalidPortfolioError, match="10 days old; at most 7 are allowed"):
        run(books, entity_ids=["traded"], as_of_date=late)
    (outcome,) = run(books, entity_ids=["traded"], as_of_date=late, max_price_age_days=10)
    assert outcome["row"]["calculation_date"] == late


def test_what_is_another_client_s_is_not_there(books: InMemoryBooks) -> None:
    assert refused(books, client_id="acme", entity_ids=["traded", "theirs"]) == [
        "$.entity_ids[1]: there is no portfolio theirs"
    ]
    assert refused(books, client_id="acme", entity_ids=["traded", "none"]) == [
        "$.entity_ids[1]: there is no portfolio none"
    ]
    given = [{"portfolio_id": "theirs", "valuations": [{"date": "2024-01-01", "value": 1}]}]
    assert refused(books, client_id="acme", portfolios=given) == [
        "$.portfolios[0].portfolio_id: there is no portfolio theirs"
    ]


def test_a_plan_that_was_tampered_with_is_still_refused(books: InMemoryBooks) -> None:
    planned = plan(request(client_id="acme", entity_ids=["traded"]), books=books)
    (event,) = iterations(planned)
    event["entity"]["entity_id"] = "theirs"
    with pytest.raises(InputNotFoundError, match="there is no portfolio theirs in the books"):
        calculated(event, InMemoryPayloadStore(), books)


def test_whose_a_portfolio_is_stands_in_the_books(books: InMemoryBooks) -> None:
    given = [{"portfolio_id": "traded", "client_id": "globex", "account_id": "x", "valuations": _two_days()}]
    planned = plan(request(client_id="acme", portfolios=given), books=books)
    (event,) = iterations(planned)
    found = calculated(event, InMemoryPayloadStore(), books)["result"]
    assert (found["client_id"], found["account_id"]) == ("acme", "joint")


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("s3://uploads/data/acme/values.csv", True),
        ("s3://uploads/manifests/acme/values.csv", True),
        ("s3://payloads/inputs/acme/1.csv", True),
        ("s3://uploads/data/acme-2/values.csv", False),
        ("s3://uploads/data/globex/values.csv", False),
        ("s3://payloads/inputs/1.csv", False),
        ("s3://payloads/results/run/p.json", False),
        ("s3://elsewhere/data/acme/values.csv", False),
    ],
)
def test_a_client_s_request_refers_to_what_is_the_client_s(books: InMemoryBooks, source: str, allowed: bool) -> None:
    given = [{"portfolio_id": "traded", "valuations": {"source": source}}]
    line = json.dumps(given[0]) + "\n"
    payloads = InMemoryPayloadStore(
        {source: b"date,value\n2024-01-01,1\n", "s3://uploads/data/acme/p.jsonl": line.encode()}
    )
    documents = [
        request(client_id="acme", portfolios=given),
        request(client_id="acme", portfolios={"source": "s3://uploads/data/acme/p.jsonl"}),
        request(client_id="acme", entity_ids=["traded"], benchmark={"valuations": {"source": source}}),
    ]
    for document in documents:
        if allowed:
            plan(document, payloads, books)
        else:
            with pytest.raises(InvalidRequestError, match="there is no such object, or it may not be read"):
                plan(document, payloads, books)


def test_prices_of_another_client_s_security_are_not_read(books: InMemoryBooks) -> None:
    books.write_series(SeriesKind.PRICE, "OWN", moves(3.0, 1.0))
    books.record("traded", [transaction("t-9", "traded", T.BUY, days()[5], amount=9, quantity=1, security_id="OWN")])
    with pytest.raises(InvalidPortfolioError, match="no price of OWN"):
        run(books, entity_ids=["traded"])


def test_the_benchmark_of_the_books(books: InMemoryBooks) -> None:
    (outcome,) = run(books, entity_ids=["valued"], benchmark={"benchmark_id": "SP500"})
    assert outcome["result"]["benchmark_id"] == "SP500"
    assert outcome["result"]["periods"]["ITD"]["benchmark_twr"] == pytest.approx(1118 / 1000 - 1)
    books.put_entity(entity("portfolio", "valued", client_id="acme", account_id="joint", benchmark_id="SP500"))
    (by_itself,) = run(books, entity_ids=["valued"])
    # All but how it was asked for.
    assert {**by_itself["result"], "asked": None} == {**outcome["result"], "asked": None}
    assert refused(books, entity_ids=["valued"], benchmark={"benchmark_id": "none"}) == [
        "$.benchmark.benchmark_id: there is no benchmark none"
    ]


def test_what_is_held_is_what_the_transactions_leave(books: InMemoryBooks) -> None:
    reader = BookReader(books)
    of = reader.dependencies(EntityKey(BookEntityType.PORTFOLIO, "traded"))
    found = reader.holdings(of, as_of=None, max_price_age_days=7)
    assert (found.as_of, found.cash, found.value) == (days()[-1], Decimal(500), 2090.0)
    (position,) = found.positions
    assert position == Position("AAPL", Decimal(10), 159.0, days()[-1], 1590.0)
    early = reader.holdings(of, as_of=days()[5], max_price_age_days=7)
    assert (early.cash, early.value) == (Decimal(0), 1050.0)


def test_what_is_held_over_a_split_is_worth_what_it_is() -> None:
    # Two for one on Monday; Friday's 100 is 50 of the new units.
    books = world(member("t"), S={date(2024, 1, 2): 100, date(2024, 1, 5): 100})
    books.record(
        "t",
        [
            transaction("1", "t", T.DEPOSIT, date(2024, 1, 2), amount=1007),
            transaction("2", "t", T.BUY, date(2024, 1, 2), amount=1000, quantity=10, security_id="S"),
            transaction("3", "t", T.SPLIT, date(2024, 1, 8), quantity=2, security_id="S"),
        ],
    )
    reader = BookReader(books)
    for kind, name in ((BookEntityType.PORTFOLIO, "t"), (BookEntityType.ACCOUNT, "A")):
        of = reader.dependencies(EntityKey(kind, name))
        found = reader.holdings(of, as_of=date(2024, 1, 9), max_price_age_days=7)
        assert found.positions == (Position("S", Decimal(20), 50.0, date(2024, 1, 5), 1000.0),)
        assert (found.cash, found.value) == (Decimal(7), 1007.0)


def test_valuations_do_not_say_what_is_held(books: InMemoryBooks) -> None:
    reader = BookReader(books)
    of = reader.dependencies(EntityKey(BookEntityType.ACCOUNT, "joint"))
    with pytest.raises(InvalidPortfolioError, match="valued is valued by valuations"):
        reader.holdings(of, as_of=None, max_price_age_days=7)


# What was calculated before


def caches(shared: InMemoryResultCache) -> SharedCalculationCache:
    """Return the cache of a function that has just started."""
    return SharedCalculationCache(CalculationCache(3600), shared)


def test_unchanged_books_are_not_read_twice(books: InMemoryBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = InMemoryResultCache(3600)
    what: dict[str, Any] = {"entity_ids": ["traded", "valued"], "as_of_date": days()[-1].isoformat()}
    first = run(books, caches(shared), **what)
    with monkeypatch.context() as patch:
        for name in ("portfolio_book", "prices", "levels"):
            patch.delattr(InMemoryBooks, name)
        again = run(books, caches(shared), **{**what, "request_id": "another"})
    assert [each.pop("cached") for each in again] == [True, True]
    for each in again:
        assert each["result"].pop("request_id") == "another"
    for each in first:
        assert "cached" not in each
        del each["result"]["request_id"]
    assert again == first


@pytest.mark.parametrize(
    "change",
    [
        lambda books: books.record("traded", [transaction("n", "traded", T.FEE, days()[9], amount=1)]),
        lambda books: books.write_series(SeriesKind.PRICE, "AAPL", [DayValue(days()[7], Decimal("99.5"))]),
        lambda books: books.write_series(SeriesKind.LEVEL, "SP500", [DayValue(days()[7], Decimal("99.5"))]),
        lambda books: books.put_entity(entity("portfolio", "traded", client_id="acme", currency="USD")),
    ],
    ids=["transaction", "price", "benchmark", "entity"],
)
def test_a_change_of_what_it_depends_on_is_calculated_anew(books: InMemoryBooks, change: Any) -> None:
    shared = InMemoryResultCache(3600)
    what: dict[str, Any] = {"entity_ids": ["traded"], "benchmark": {"benchmark_id": "SP500"}}
    first = run(books, caches(shared), **what)
    change(books)
    again = run(books, caches(shared), **what)
    assert "cached" not in again[0]
    assert again != first


@pytest.mark.parametrize(
    "option",
    [
        {"risk_free_rate": 0.01},
        {"time_periods": ["MTD"]},
        {"calculation_method": "modified_dietz"},
        {"flow_timing": "start_of_day"},
        {"periods_per_year": 250},
        {"max_price_age_days": 3},
        {"as_of_date": "2024-02-01"},
        {"benchmark": {"benchmark_id": "SP500"}},
        {"benchmark": {"benchmark_id": "B", "valuations": [{"date": "2024-01-01", "value": 1}]}},
    ],
    ids=lambda option: next(iter(option)),
)
def test_another_option_is_another_result(books: InMemoryBooks, option: dict[str, Any]) -> None:
    shared = InMemoryResultCache(3600)
    run(books, caches(shared), entity_ids=["traded"])
    (found,) = run(books, caches(shared), **{"entity_ids": ["traded"], **option})
    assert "cached" not in found


def test_a_change_of_one_portfolio_leaves_the_results_of_the_others(books: InMemoryBooks) -> None:
    shared = InMemoryResultCache(3600)
    run(books, caches(shared), entity_ids=["traded", "valued"])
    books.record("traded", [transaction("n", "traded", T.FEE, days()[9], amount=1)])
    outcomes = run(books, caches(shared), entity_ids=["traded", "valued"])
    assert ["cached" in each for each in outcomes] == [False, True]


def test_other_code_is_another_result(books: InMemoryBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = InMemoryResultCache(3600)
    run(books, caches(shared), entity_ids=["valued"])
    monkeypatch.setattr(calculate_portfolio, "code_version", lambda _: "another")
    (found,) = run(books, caches(shared), entity_ids=["valued"])
    assert "cached" not in found


def test_a_failure_is_not_kept(books: InMemoryBooks) -> None:
    shared = InMemoryResultCache(3600)
    late = (days()[-1] + timedelta(days=10)).isoformat()
    for _ in range(2):
        with pytest.raises(InvalidPortfolioError):
            run(books, caches(shared), entity_ids=["traded"], as_of_date=late)
    assert shared.statistics().entries == 0


def test_a_cache_that_fails_costs_no_result(books: InMemoryBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    def throttled(*_: object) -> None:
        raise ThrottledError("DynamoDB: slow down")

    monkeypatch.setattr(InMemoryResultCache, "get", throttled)
    monkeypatch.setattr(InMemoryResultCache, "put", throttled)
    (found,) = run(books, caches(InMemoryResultCache(3600)), entity_ids=["valued"])
    assert found["result"]["periods"]["ITD"]["twr"] == pytest.approx(5590 / 5000 - 1)


def test_the_prices_of_a_security_are_read_once_for_all_portfolios(
    books: InMemoryBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.put_entity(entity("portfolio", "too", client_id="acme", currency="USD"))
    books.record("too", [transaction("a", "too", T.BUY, days()[0], amount=100, quantity=1, security_id="AAPL")])
    read: list[str] = []

    def counted(_: InMemoryBooks, name: str) -> PriceHistory:
        read.append(name)
        return prices(books, name)

    prices = InMemoryBooks.prices
    monkeypatch.setattr(InMemoryBooks, "prices", counted)
    reader = BookReader(books)
    payloads = InMemoryPayloadStore()
    for event in iterations(plan(request(entity_ids=["traded", "too"]), payloads, books)):
        calculate_portfolio.handler(
            event, None, payloads=payloads, reader=reader, cache=SharedCalculationCache(CalculationCache(1), None)
        )
    assert read == ["AAPL"]


def _two_days() -> list[dict[str, Any]]:
    return [{"date": "2024-01-01", "value": 1}, {"date": "2024-01-02", "value": 2}]
