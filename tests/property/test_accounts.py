"""Accounts out of the books against a plain count that looks at every portfolio on every day of the calendar."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import FlowTiming, TransactionType, calculate_daily_twr
from common.calculations.words import day_date, day_number
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, SeriesKind, Transaction
from common.stores.histories import BookReader, EntityHistory
from common.stores.memory_books import InMemoryBooks

T = TransactionType
FIRST = day_number(date(2024, 1, 1))  # a Monday
LENGTH = 75
WEEKDAYS = [day for day in range(LENGTH) if day % 7 < 5]
SCHEDULES = {
    "daily": WEEKDAYS,
    "weekly": [day for day in WEEKDAYS if day % 7 == 4],
    "sparse": [0, 35, 70],
    "traded": [],
}
INCLUDED = {FlowTiming.AFTER_CLOSE: False, FlowTiming.END_OF_DAY: True}
UNITS = 10


@dataclass
class Member:
    """A portfolio of the account, what it earns day by day, and what moves in and out of it."""

    name: str
    kind: str
    timing: FlowTiming
    start: int
    opening: int
    returns: list[float]
    flows: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))

    def truth(self, prices: list[int]) -> dict[int, float]:
        """Its worth at the close of every day from its start on, the day's flows in it."""
        found = {}
        worth = 0.0
        cash = float(self.opening - UNITS * prices[self.start])
        for day in range(self.start, LENGTH):
            if self.kind == "traded":
                cash += self.flows[day]
                worth = cash + UNITS * prices[day]
            elif day == self.start:
                worth = self.opening + self.flows[day]
            else:
                worth = worth * (1 + self.returns[day]) + self.flows[day]
            found[day] = float(worth)
        return found

    def published(self, prices: list[int]) -> dict[int, float]:
        """Its valuations: those of its schedule, which hold the day's flow or do not."""
        worth = self.truth(prices)
        late = {} if INCLUDED[self.timing] else self.flows
        return {day: worth[day] - late.get(day, 0) for day in SCHEDULES[self.kind] if day in worth}


@dataclass
class World:
    """An account: its portfolios, the price of what the traded ones hold, and who paid whom."""

    members: list[Member]
    prices: list[int]
    moves: list[tuple[int, int | None, int | None, int]]

    def books(self) -> InMemoryBooks:
        books = InMemoryBooks()
        books.put_entity(_entity("account", "A", account_id="A"))
        books.put_entity(Entity.model_validate({"entity_type": "security", "entity_id": "S"}))
        books.write_series(SeriesKind.PRICE, "S", [_day_value(day, self.prices[day]) for day in WEEKDAYS])
        lines: defaultdict[str, list[Transaction]] = defaultdict(list)
        for each in self.members:
            books.put_entity(_entity("portfolio", each.name, account_id="A", flow_timing=each.timing.value))
            if each.kind == "traded":
                cost, what = UNITS * self.prices[each.start], {"quantity": UNITS, "security_id": "S"}
                lines[each.name] += [
                    _transaction("in", each.name, T.DEPOSIT, each.start, each.opening),
                    _transaction("buy", each.name, T.BUY, each.start, cost, **what),
                ]
            else:
                points = each.published(self.prices).items()
                books.write_series(SeriesKind.VALUATION, each.name, [_day_value(day, worth) for day, worth in points])
        for number, (day, giver, taker, amount) in enumerate(self.moves):
            names = [None if each is None else self.members[each].name for each in (giver, taker)]
            for own, other, kinds in (
                (names[0], names[1], (T.WITHDRAWAL, T.TRANSFER_OUT)),
                (names[1], names[0], (T.DEPOSIT, T.TRANSFER_IN)),
            ):
                if own is not None:
                    rest = {} if other is None else {"counterparty_id": other}
                    kind = kinds[other is not None]
                    lines[own].append(_transaction(f"m-{number}", own, kind, day, amount, **rest))
        for name, transactions in lines.items():
            books.record(name, transactions)
        return books

    def history(self, timing: FlowTiming | None = None, until: int | None = None) -> EntityHistory:
        reader = BookReader(self.books())
        of = reader.dependencies(EntityKey(BookEntityType.ACCOUNT, "A"))
        last = None if until is None else day_date(FIRST + until)
        return reader.history(of, until=last, max_price_age_days=7, flow_timing=timing)

    def parts(self) -> list[tuple[dict[int, float], dict[int, float]]]:
        """What each portfolio, and the ledger of all that are traded, published: with its day's flows, and flows."""
        found = []
        for each in self.members:
            if each.kind != "traded":
                late = {} if INCLUDED[each.timing] else each.flows
                published = each.published(self.prices)
                found.append(({day: worth + late.get(day, 0) for day, worth in published.items()}, dict(each.flows)))
        traded = {index: each for index, each in enumerate(self.members) if each.kind == "traded"}
        if traded:
            begin = min(each.start for each in traded.values())
            busy = {day for day, giver, taker, _ in self.moves if giver in traded or taker in traded}
            busy |= {each.start for each in traded.values()}
            worth: defaultdict[int, float] = defaultdict(float)
            moved: defaultdict[int, float] = defaultdict(float)
            for each in traded.values():
                moved[each.start] += each.opening
                for day, value in each.truth(self.prices).items():
                    worth[day] += value
                for day, amount in each.flows.items():
                    moved[day] += amount
            days = [day for day in range(begin, LENGTH) if day in busy or day in WEEKDAYS]
            found.append(({begin - 1: 0.0, **{day: worth[day] for day in days}}, dict(moved)))
        return found

    def plainly(self) -> tuple[dict[int, float], dict[int, float]]:
        """The account's valuations and flows, portfolio by portfolio and day by day."""
        parts = self.parts()
        opening = min(min(published) for published, _ in parts)
        values: dict[int, float] = {}
        moved: dict[int, float] = {}
        for day in range(opening, LENGTH):
            worth, net, oldest = 0.0, 0.0, 0
            for published, flows in parts:
                begin = min(published)
                if day < begin:
                    continue
                last = max(each for each in published if each <= day)
                since = [amount for when, amount in flows.items() if last < when <= day]
                worth += published[last] + sum(since)
                if published[last] != 0 or any(since):
                    oldest = max(oldest, day - last)
                if day > begin:
                    net += flows.get(day, 0)
                elif begin > opening:
                    net += published[begin]
            if abs(net) > 1e-6:
                moved[day] = net
            if oldest == 0 or (day in moved and oldest <= 31):
                values[day] = worth
        return values, moved


def _entity(kind: str, name: str, **rest: str) -> Entity:
    return Entity.model_validate({"entity_type": kind, "entity_id": name, "client_id": "c", **rest})


def _day_value(day: int, value: float) -> DayValue:
    return DayValue(day_date(FIRST + day), Decimal(repr(value)))


def _transaction(
    name: str, portfolio: str, kind: TransactionType, day: int, amount: int, **rest: object
) -> Transaction:
    when = day_date(FIRST + day).isoformat()
    line = {"transaction_id": name, "portfolio_id": portfolio, "type": kind, "trade_date": when, "amount": amount}
    return Transaction.model_validate({**line, **rest})


@st.composite
def worlds(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(SCHEDULES), *, moving: bool = True) -> World:
    """Up to four portfolios of different habits; money moves on every day of the week once both have begun."""
    members = []
    for index in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(kinds))
        # What is published late begins with its first valuation: until then nobody knows of it.
        start = draw(st.integers(0, 20)) if kind == "traded" else draw(st.sampled_from(SCHEDULES[kind][:4]))
        earned = st.sampled_from([-0.03, -0.01, 0.0, 0.01, 0.02]) if moving else st.just(0.0)
        returns = [draw(earned) if day in WEEKDAYS else 0.0 for day in range(LENGTH)]
        timing = draw(st.sampled_from(list(INCLUDED)))
        members.append(Member(f"p{index}", kind, timing, start, draw(st.integers(2_000, 9_000)), returns))
    prices = [100] * LENGTH
    for day in range(1, LENGTH):
        change = draw(st.integers(-3, 3)) if moving and day in WEEKDAYS else 0
        prices[day] = max(prices[day - 1] + change, 50)
    moves = []
    sides = st.sampled_from([None, *range(len(members))])
    for _ in range(draw(st.integers(0, 8))):
        giver, taker = draw(sides), draw(sides)
        begun = [members[each].start for each in (giver, taker) if each is not None]
        if giver == taker or not begun or max(begun) + 1 >= LENGTH:
            continue
        day = draw(st.integers(max(begun) + 1, LENGTH - 1))
        # An outflow is small, so that something always stays; an inflow may be many times what there is.
        amount = draw(st.integers(1, 150) if giver is not None else st.integers(1, 10**6))
        moves.append((day, giver, taker, amount))
        if giver is not None:
            members[giver].flows[day] -= amount
        if taker is not None:
            members[taker].flows[day] += amount
    return World(members, prices, moves)


def values_of(history: EntityHistory) -> dict[int, float]:
    valuations = history.valuations
    return dict(zip((valuations.days - FIRST).tolist(), valuations.values.tolist(), strict=True))


def flows_of(history: EntityHistory) -> dict[int, float]:
    return dict(zip((history.flows.days - FIRST).tolist(), history.flows.amounts.tolist(), strict=True))


def twr(history: EntityHistory) -> float | None:
    return calculate_daily_twr(
        [(day_date(FIRST + day), value) for day, value in values_of(history).items()],
        [(day_date(FIRST + day), amount) for day, amount in flows_of(history).items()],
        flow_timing=history.flow_timing,
    ).value


@given(worlds())
def test_an_account_is_what_a_plain_count_makes_of_its_portfolios(world: World) -> None:
    history = world.history(FlowTiming.END_OF_DAY)
    values, flows = world.plainly()
    assert values_of(history) == pytest.approx(values, rel=1e-9)
    assert flows_of(history) == pytest.approx(flows, rel=1e-9)


@given(worlds(("daily",)))
def test_an_account_of_what_is_valued_daily_is_their_sum_on_every_business_day(world: World) -> None:
    values = values_of(world.history())
    truths = [(each.start, each.truth(world.prices)) for each in world.members]
    for day in WEEKDAYS:
        expected = sum(truth[day] for start, truth in truths if day >= start)
        assert values.get(day, 0.0) == pytest.approx(expected, rel=1e-9)
    assert all(day % 7 < 5 or day in world.plainly()[1] for day in values)


@given(worlds(("daily", "traded")))
def test_where_no_market_is_missed_the_return_is_that_of_valuing_everything_every_day(world: World) -> None:
    values, flows = world.plainly()
    begins = [(min(published), published, own) for published, own in world.parts()]
    opening = min(begin for begin, *_ in begins)
    worth: defaultdict[int, float] = defaultdict(float)
    for each in world.members:
        for day, value in each.truth(world.prices).items():
            worth[day] += value
    growth = 1.0
    for before, day in pairwise(range(opening, LENGTH)):
        net = flows.get(day, 0.0)
        growth *= worth[day] / net if worth[before] == 0 else (worth[day] - net) / worth[before]
    found = twr(world.history(FlowTiming.END_OF_DAY))
    assert max(values) in (LENGTH - 1, WEEKDAYS[-1])
    assert found == pytest.approx(growth - 1, rel=1e-9, abs=1e-12)


@given(worlds(moving=False))
def test_flows_and_transfers_are_no_performance_of_an_account(world: World) -> None:
    for timing in (FlowTiming.END_OF_DAY, FlowTiming.AFTER_CLOSE):
        found = twr(world.history(timing))
        # There is none where a lone portfolio was valued once.
        assert found is None or found == pytest.approx(0.0, abs=1e-9)


@given(worlds(), st.integers(0, LENGTH - 1))
def test_what_comes_later_changes_nothing_earlier_of_an_account(world: World, until: int) -> None:
    whole = world.history(FlowTiming.END_OF_DAY, LENGTH)
    if until < min(values_of(whole)):
        return
    begun = [each.start for each in world.members if each.start <= until]
    if not begun:
        return
    part = world.history(FlowTiming.END_OF_DAY, until)
    assert values_of(part) == {day: value for day, value in values_of(whole).items() if day <= until}
    assert flows_of(part) == {day: amount for day, amount in flows_of(whole).items() if day <= until}
