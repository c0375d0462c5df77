"""Laws of histories made from transactions, and of histories made from histories."""

from collections import defaultdict
from dataclasses import replace
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction
from math import prod
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import (
    Flows,
    FlowTiming,
    LedgerEntry,
    LedgerHistory,
    PriceHistory,
    TimeWeightedReturn,
    TransactionType,
    Valuations,
    calculate_daily_twr,
    exclude_flows,
    holdings_on,
    include_flows,
    security_history,
    sum_histories,
    value_ledger,
)
from common.calculations.words import day_date, day_number
from tests.property.strategies import Portfolio, funded_portfolios

T = TransactionType
FIRST = day_number(date(2024, 1, 1))
SECURITIES = ("A", "B")
MONEY = st.integers(1, 10**7).map(lambda cents: Decimal(cents) / 100)
PRICES = st.integers(1, 10**5).map(lambda cents: cents / 100)
RATIOS = st.sampled_from(["2", "3", "0.5", "1.25"]).map(Decimal)
# Old prices are another test's subject.
AGE = 10_000

Ledger = tuple[list[LedgerEntry], dict[str, PriceHistory]]


def line(
    kind: TransactionType,
    day: int,
    amount: Decimal | None = None,
    quantity: Decimal | None = None,
    security_id: str | None = None,
) -> LedgerEntry:
    return LedgerEntry(kind, FIRST + day, amount, quantity, security_id)


@st.composite
def price_histories(draw: st.DrawFn, length: int) -> dict[str, PriceHistory]:
    """Prices on the first day and on some of the later ones."""
    found = {}
    for each in SECURITIES:
        priced = [0, *sorted(draw(st.sets(st.integers(1, length))))]
        values = draw(st.lists(PRICES, min_size=len(priced), max_size=len(priced)))
        found[each] = PriceHistory(
            FIRST + np.array(priced), np.array(values), np.zeros(len(priced)), np.ones(len(priced))
        )
    return found


@st.composite
def entries_within(draw: st.DrawFn, length: int) -> list[LedgerEntry]:
    """Every type there is, selling and transferring no more than there is; borrowing without bounds."""
    entries = [line(T.DEPOSIT, 0, draw(MONEY))]
    held = dict.fromkeys(SECURITIES, Decimal(0))
    with localcontext() as context:
        context.prec = 500
        for day in range(length):
            for security_id in SECURITIES:
                if draw(st.integers(0, 9)) == 0:
                    ratio = draw(RATIOS)
                    held[security_id] *= ratio
                    entries.append(line(T.SPLIT, day, None, ratio, security_id))
            for kind in draw(st.lists(st.sampled_from([each for each in T if each is not T.SPLIT]), max_size=3)):
                security_id = draw(st.sampled_from(SECURITIES))
                amount = draw(MONEY)
                if kind in {T.BUY, T.TRANSFER_IN}:
                    quantity = draw(MONEY)
                    held[security_id] += quantity
                elif kind in {T.SELL, T.TRANSFER_OUT}:
                    quantity = held[security_id] * draw(st.sampled_from(["1", "0.5", "0.1"]).map(Decimal))
                    held[security_id] -= quantity
                    if not quantity:
                        continue
                else:
                    entries.append(line(kind, day, amount))
                    continue
                given_amount = kind in {T.BUY, T.SELL} or draw(st.booleans())
                entries.append(line(kind, day, amount if given_amount else None, quantity, security_id))
    return entries


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    length = draw(st.integers(1, 12))
    return draw(entries_within(length)), draw(price_histories(length))


def valued(ledger: Ledger, until: int | None = None) -> LedgerHistory:
    return value_ledger(*ledger, until=until, max_price_age_days=AGE)


def by_day(valuations: Valuations) -> dict[int, float]:
    return dict(zip(valuations.days.tolist(), valuations.values.tolist(), strict=True))


def flow_list(flows: Flows) -> list[tuple[int, float]]:
    return list(zip(flows.days.tolist(), flows.amounts.tolist(), strict=True))


def net_and_gross(flows: Flows) -> tuple[defaultdict[int, float], defaultdict[int, float]]:
    net: defaultdict[int, float] = defaultdict(float)
    gross: defaultdict[int, float] = defaultdict(float)
    for day, amount in flow_list(flows):
        net[day] += amount
        gross[day] += abs(amount)
    return net, gross


def twr(valuations: Valuations, flows: Flows, timing: FlowTiming = FlowTiming.END_OF_DAY) -> TimeWeightedReturn:
    return calculate_daily_twr(
        [(day_date(day), value) for day, value in by_day(valuations).items()],
        [(day_date(day), amount) for day, amount in flow_list(flows)],
        flow_timing=timing,
    )


@given(ledgers())
def test_agrees_with_a_day_by_day_count_in_fractions(ledger: Ledger) -> None:
    entries, prices = ledger
    history = valued(ledger)
    last = int(history.valuations.days[-1])
    cash, units, close = Fraction(0), dict.fromkeys(SECURITIES, Fraction(0)), dict.fromkeys(SECURITIES, Fraction(0))
    worth, gross = {FIRST - 1: Fraction(0)}, {FIRST - 1: Fraction(0)}
    flows: defaultdict[int, Fraction] = defaultdict(Fraction)
    for day in range(FIRST, last + 1):
        today = [each for each in entries if each.day == day]
        for each in today:
            if each.type is T.SPLIT and each.security_id and each.quantity:
                units[each.security_id] *= Fraction(each.quantity)
                close[each.security_id] /= Fraction(each.quantity)
        for security_id, series in prices.items():
            if day in series.days:
                close[security_id] = Fraction(float(series.prices[series.days == day][0]))
        for each in today:
            amount, quantity = Fraction(each.amount or 0), Fraction(each.quantity or 0)
            security_id = each.security_id or ""
            match each.type:
                case T.DEPOSIT:
                    cash, flows[day] = cash + amount, flows[day] + amount
                case T.WITHDRAWAL:
                    cash, flows[day] = cash - amount, flows[day] - amount
                case T.DIVIDEND | T.INTEREST:
                    cash += amount
                case T.FEE | T.TAX:
                    cash -= amount
                case T.BUY:
                    cash, units[security_id] = cash - amount, units[security_id] + quantity
                case T.SELL:
                    cash, units[security_id] = cash + amount, units[security_id] - quantity
                case T.TRANSFER_IN if security_id:
                    units[security_id] += quantity
                    flows[day] += amount or quantity * close[security_id]
                case T.TRANSFER_OUT if security_id:
                    units[security_id] -= quantity
                    flows[day] -= amount or quantity * close[security_id]
        worth[day] = cash + sum(units[each] * close[each] for each in SECURITIES)
        gross[day] = abs(cash) + sum(units[each] * close[each] for each in SECURITIES)

    for day, value in by_day(history.valuations).items():
        assert value == pytest.approx(float(worth[day]), rel=1e-12, abs=2e-12 * float(gross[day]))
    assert Fraction(history.holdings.cash) == cash
    assert {each: Fraction(held) for each, held in history.holdings.quantities.items()} == {
        each: held for each, held in units.items() if held
    }
    assert history.closes.keys() == history.holdings.quantities.keys()
    positions = sum(float(history.holdings.quantities[each]) * close.price for each, close in history.closes.items())
    assert float(cash) + positions == pytest.approx(float(worth[last]), rel=1e-12, abs=2e-12 * float(gross[last]))
    net, size = net_and_gross(history.flows)
    for day, expected in flows.items():
        assert net[day] == pytest.approx(float(expected), rel=1e-12, abs=1e-12 * size[day])


@given(ledgers(), st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_matter(ledger: Ledger, random: Random) -> None:
    entries, prices = ledger
    shuffled = list(entries)
    random.shuffle(shuffled)
    one, other = valued(ledger), valued((shuffled, prices))
    assert by_day(one.valuations) == by_day(other.valuations)
    assert flow_list(one.flows) == flow_list(other.flows)
    assert one.holdings == other.holdings


@given(ledgers(), st.integers(0, 14))
def test_what_comes_later_changes_nothing_earlier(ledger: Ledger, offset: int) -> None:
    until, end = FIRST + offset, FIRST + 40
    whole, part = valued(ledger, end), valued(ledger, until)
    assert by_day(part.valuations) == {day: value for day, value in by_day(whole.valuations).items() if day <= until}
    assert flow_list(part.flows) == [(day, amount) for day, amount in flow_list(whole.flows) if day <= until]
    assert part.holdings == holdings_on(ledger[0], until)
    assert whole.holdings == holdings_on(ledger[0], whole.holdings.day)


@given(ledgers(), st.sampled_from(["2", "1024", "0.5", "0.0009765625"]).map(Decimal))
def test_the_unit_of_money_does_not_matter(ledger: Ledger, factor: Decimal) -> None:
    # A power of two, so that float64 scales exactly.
    entries, prices = ledger
    with localcontext() as context:
        context.prec = 500
        scaled = [
            replace(
                each,
                amount=None if each.amount is None else each.amount * factor,
                quantity=each.quantity if each.type is T.SPLIT or each.quantity is None else each.quantity * factor,
            )
            for each in entries
        ]
    one, other = valued(ledger), valued((scaled, prices))
    assert by_day(other.valuations) == {day: value * float(factor) for day, value in by_day(one.valuations).items()}
    before, after = twr(one.valuations, one.flows), twr(other.valuations, other.flows)
    assert (after.value, after.reason, after.warnings) == (before.value, before.reason, before.warnings)


@given(ledgers(), st.data())
def test_a_transfer_within_an_account_leaves_it_as_if_it_were_one_portfolio(
    ledger: Ledger, data: st.DataObject
) -> None:
    entries, prices = ledger
    last = int(valued(ledger).valuations.days[-1])
    security_id = data.draw(st.sampled_from(SECURITIES))
    left, arrived = data.draw(st.tuples(*[st.integers(FIRST, last)] * 2))
    quantity, amount = data.draw(MONEY), data.draw(MONEY)
    # What is under way across a split arrives as so many new units, in either direction of time.
    splits = [each for each in entries if each.type is T.SPLIT and each.security_id == security_id]
    with localcontext() as context:
        context.prec = 500
        ratio = prod(each.quantity or 1 for each in splits if min(left, arrived) < each.day <= max(left, arrived))
        sent, received = (quantity, quantity * ratio) if left <= arrived else (quantity * ratio, quantity)
    account = [
        *[replace(each, portfolio_id="p1") for each in entries],
        *[replace(each, portfolio_id="p2") for each in splits],
        LedgerEntry(T.TRANSFER_OUT, left, None, sent, security_id, internal=True, portfolio_id="p1"),
        LedgerEntry(T.TRANSFER_IN, arrived, None, received, security_id, internal=True, portfolio_id="p2"),
        LedgerEntry(T.TRANSFER_OUT, left, amount, None, None, internal=True, portfolio_id="p1"),
        LedgerEntry(T.TRANSFER_IN, arrived, amount, None, None, internal=True, portfolio_id="p2"),
    ]
    one, other = valued(ledger), valued((account, prices))
    # The transfer's own days are valued too.
    assert by_day(one.valuations).items() <= by_day(other.valuations).items()
    assert set(other.valuations.days.tolist()) <= {*one.valuations.days.tolist(), left, arrived}
    assert flow_list(one.flows) == flow_list(other.flows)
    assert one.holdings == other.holdings
    assert other.warnings == ()


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(1, 10**6)), min_size=1, max_size=20))
def test_deposits_and_withdrawals_are_no_performance(moves: list[tuple[int, bool, int]]) -> None:
    entries, cash = [line(T.DEPOSIT, 0, Decimal(1))], Decimal(1)
    for day, inward, cents in sorted(moves):
        amount = Decimal(cents) / 100
        if not inward:
            amount = min(amount, cash)
        cash += amount if inward else -amount
        if amount:
            entries.append(line(T.DEPOSIT if inward else T.WITHDRAWAL, day, amount))
    history = value_ledger(entries, {}, max_price_age_days=0)
    for timing in (FlowTiming.END_OF_DAY, FlowTiming.START_OF_DAY):
        found = twr(history.valuations, history.flows, timing)
        if found.value is not None:
            assert found.value == pytest.approx(0.0, abs=1e-9)
    assert history.valuations.values[-1] == float(cash)


@given(ledgers(), entries_within(8), st.integers(0, 5))
def test_the_ledger_of_an_account_is_worth_the_sum_of_its_portfolios(
    ledger: Ledger, others: list[LedgerEntry], late: int
) -> None:
    entries, prices = ledger
    # A split is the security's, so both books have the same; nothing is sold, so that they cannot cost what is held.
    kept = [each for each in others if each.type not in {T.SELL, T.TRANSFER_OUT, T.SPLIT}]
    second = [
        *[replace(each, day=each.day + late) for each in kept],
        *[each for each in entries if each.type is T.SPLIT],
    ]
    # Both are valued on the last day, so that there is one in common.
    books = {"p1": [*entries, line(T.FEE, 13, Decimal(1))], "p2": [*second, line(T.FEE, 13, Decimal(2))]}
    parts = [valued((book, prices)) for book in books.values()]
    both = [replace(each, portfolio_id=name) for name, book in books.items() for each in book]
    merged = valued((both, prices))

    gross: defaultdict[int, float] = defaultdict(lambda: 1.0)
    for part in parts:
        for day, value in by_day(part.valuations).items():
            gross[day] += abs(value)
    account = sum_histories([(part.valuations, part.flows) for part in parts])
    worth = by_day(merged.valuations)
    assert account.valuations.days[-1] == merged.valuations.days[-1]
    for day, value in by_day(account.valuations).items():
        assert value == pytest.approx(worth[day], rel=1e-12, abs=1e-12 * gross[day])
    net, _ = net_and_gross(merged.flows)
    for day, amount in flow_list(account.flows):
        assert net.pop(day) == pytest.approx(amount)
    # What is left came and went on one day.
    assert list(net.values()) == pytest.approx([0.0] * len(net), abs=1e-6)


@given(st.lists(ledgers(), min_size=1, max_size=3), st.data())
def test_the_order_of_the_portfolios_does_not_matter(several: list[Ledger], data: st.DataObject) -> None:
    end = FIRST + 12
    # All are valued on the last day, so that there is one in common.
    histories = [valued(([*entries, line(T.FEE, 12, Decimal(1))], prices), end) for entries, prices in several]
    parts = [(each.valuations, each.flows) for each in histories]
    one, other = sum_histories(parts), sum_histories(data.draw(st.permutations(parts)))
    assert by_day(one.valuations) == pytest.approx(by_day(other.valuations), rel=1e-9, abs=1e-3)
    assert flow_list(one.flows) == flow_list(other.flows)


@given(funded_portfolios(FlowTiming.AFTER_CLOSE))
def test_including_flows_leaves_the_daily_returns(portfolio: Portfolio) -> None:
    valuations, flows = Valuations.of(portfolio[0]), Flows.of(portfolio[1])
    before = twr(valuations, flows, FlowTiming.AFTER_CLOSE)
    included = include_flows(valuations, flows)
    after = twr(included, flows)
    assert after.value == pytest.approx(before.value, rel=1e-12, abs=1e-12)
    assert after.sub_returns == pytest.approx(before.sub_returns, rel=1e-12, abs=1e-12)
    assert by_day(exclude_flows(included, flows)) == pytest.approx(by_day(valuations), rel=1e-12)


@given(funded_portfolios(FlowTiming.END_OF_DAY))
def test_excluding_flows_leaves_the_daily_returns(portfolio: Portfolio) -> None:
    valuations, flows = Valuations.of(portfolio[0]), Flows.of(portfolio[1])
    before = twr(valuations, flows)
    after = twr(exclude_flows(valuations, flows), flows, FlowTiming.AFTER_CLOSE)
    assert after.value == pytest.approx(before.value, rel=1e-12, abs=1e-12)
    assert after.sub_returns == pytest.approx(before.sub_returns, rel=1e-12, abs=1e-12)


@st.composite
def paying_securities(draw: st.DrawFn) -> PriceHistory:
    size = draw(st.integers(2, 30))
    prices = draw(st.lists(PRICES, min_size=size, max_size=size))
    shares = draw(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, 0.05]), min_size=size, max_size=size))
    splits = draw(st.lists(st.sampled_from([1.0, 1.0, 1.0, 2.0, 0.5]), min_size=size, max_size=size))
    dividends = [round(price * share, 4) for price, share in zip(prices, shares, strict=True)]
    return PriceHistory(FIRST + np.arange(size), np.array(prices), np.array(dividends), np.array(splits))


@given(paying_securities())
def test_the_total_return_of_a_security_is_the_product_of_its_days(prices: PriceHistory) -> None:
    expected = prod(
        (prices.prices[day] + prices.dividends[day]) * prices.splits[day] / prices.prices[day - 1]
        for day in range(1, prices.days.size)
    )
    assert 1 + (twr(*security_history(prices)).value or 0.0) == pytest.approx(expected, rel=1e-9)


@given(paying_securities())
def test_a_security_has_the_history_of_one_unit_whose_dividends_are_withdrawn(prices: PriceHistory) -> None:
    entries = [
        line(T.DEPOSIT, 0, Decimal(float(prices.prices[0]))),
        line(T.BUY, 0, Decimal(float(prices.prices[0])), Decimal(1), "A"),
    ]
    units = Decimal(1)
    with localcontext() as context:
        context.prec = 500
        for day in range(1, prices.days.size):
            if (ratio := float(prices.splits[day])) != 1.0:
                units *= Decimal(ratio)
                entries.append(line(T.SPLIT, day, None, Decimal(ratio), "A"))
            if paid := units * Decimal(float(prices.dividends[day])):
                entries += [line(T.DIVIDEND, day, paid, None, "A"), line(T.WITHDRAWAL, day, paid)]
    ledger = value_ledger(entries, {"A": prices}, max_price_age_days=0)
    valuations, flows = security_history(prices)
    assert ledger.valuations.values[1:] == pytest.approx(valuations.values, rel=1e-12)
    assert ledger.flows.days[1:].tolist() == flows.days.tolist()
    assert ledger.flows.amounts[1:] == pytest.approx(flows.amounts, rel=1e-12)
