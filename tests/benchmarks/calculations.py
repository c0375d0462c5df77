"""The mathematics: in numpy, against loops in Python and what else computes the same."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise

import numpy as np

from common.calculations import (
    Conventions,
    Flows,
    LedgerEntry,
    Performance,
    Period,
    PriceHistory,
    StandardPeriod,
    TransactionType,
    Valuations,
    calculate_performance,
    value_ledger,
    xirr,
)
from common.calculations.returns import daily_sub_periods, link
from common.calculations.types import day_number
from common.models.books import Transaction
from tests.benchmarks import market
from tests.benchmarks.measure import Case, NotInstalledError

HELD, ENTRIES = 20, 2_000

_T = TransactionType
_INTO_CASH = {_T.DEPOSIT: 1, _T.WITHDRAWAL: -1, _T.BUY: -1, _T.SELL: 1, _T.DIVIDEND: 1, _T.FEE: -1}
_INTO_UNITS = {_T.BUY: 1, _T.SELL: -1}


def cases() -> Iterator[Case]:
    """Yield returns, rates and ledgers."""
    yield from _returns()
    yield _ledger()
    yield _rate()


def _series() -> tuple[list[date], list[float], dict[date, float]]:
    """Return the days, values and flows of one valued portfolio."""
    values, flows = market.valued("portfolio", 0)
    amounts = {each.trade_date: float(each.amount or 0) * _INTO_CASH[each.type] for each in flows}
    return [each.date for each in values], [float(each.value) for each in values], amounts


def _returns() -> Iterator[Case]:
    days, values, flows = _series()
    valuations = Valuations.of(zip(days, values, strict=True))
    inside = Flows.from_arrays([day_number(day) for day in flows], list(flows.values()))
    conventions = Conventions()

    def loop() -> float:
        total = 1.0
        for (day, before), (_, after) in pairwise(zip(days, values, strict=True)):
            total *= after / (before + flows.get(day, 0.0))
        return total - 1.0

    linked = link(daily_sub_periods(valuations, inside, conventions.flow_timing)).value
    assert linked is not None
    assert abs(linked / loop() - 1.0) < 1e-9
    yield Case(
        f"daily TWR, {market.DAYS:,} days, {len(flows)} flows",
        lambda: link(daily_sub_periods(valuations, inside, conventions.flow_timing)),
        "the specification's loop over days",
        loop,
    )

    periods = [Period.standard(label, days[-1]) for label in StandardPeriod]

    def measured(asked: Sequence[Period]) -> Performance:
        return calculate_performance(valuations, inside, asked, conventions, valuations)

    assert measured(periods).periods[-1] == measured(periods[-1:]).periods[0]
    yield Case(
        f"all metrics of {len(periods)} periods, {market.DAYS:,} days",
        lambda: measured(periods),
        f"all metrics of one, {periods[-1].label}",
        lambda: measured(periods[-1:]),
    )


def _ledger() -> Case:
    transactions = market.trades("portfolio", 0, held=HELD, count=ENTRIES)
    entries = [
        LedgerEntry(each.type, day_number(each.trade_date), each.amount, each.quantity, each.security_id)
        for each in transactions
    ]
    found = market.market()
    held = sorted({each.security_id for each in transactions if each.security_id})
    days = np.array([day_number(day) for day in found.days])
    nothing, whole = np.zeros(days.size), np.ones(days.size)
    histories = {
        each: PriceHistory(days, np.array(found.prices[each], dtype=np.float64), nothing, whole) for each in held
    }
    quotes = {each: dict(zip(found.days, map(float, found.prices[each]), strict=True)) for each in held}

    ledger = value_ledger(entries, histories, max_price_age_days=7)
    values, flows = _day_by_day(transactions, quotes)
    assert ledger.valuations.days[1:].tolist() == [
        day_number(day) for day in values
    ]  # it begins with 0, the day before
    np.testing.assert_allclose(ledger.valuations.values[1:], list(values.values()), rtol=1e-9)
    assert set(ledger.flows.days.tolist()) == {day_number(day) for day in flows}
    assert abs(float(ledger.flows.amounts.sum()) - sum(flows.values())) < 1e-4
    return Case(
        f"ledger of {len(held)} securities, {len(days):,} days, {len(entries):,} transactions, exact",
        lambda: value_ledger(entries, histories, max_price_age_days=7),
        "a loop over days and holdings, in floats",
        lambda: _day_by_day(transactions, quotes),
    )


def _day_by_day(
    transactions: list[Transaction], quotes: Mapping[str, Mapping[date, float]]
) -> tuple[dict[date, float], dict[date, float]]:
    """Return daily values and flows by the plainest way there is."""
    by_day: defaultdict[date, list[Transaction]] = defaultdict(list)
    for each in transactions:
        by_day[each.trade_date].append(each)
    values: dict[date, float] = {}
    flows: defaultdict[date, float] = defaultdict(float)
    cash, units = 0.0, dict.fromkeys(quotes, 0.0)
    for day in next(iter(quotes.values())):
        for each in by_day.get(day, ()):
            amount = float(each.amount or 0) * _INTO_CASH[each.type]
            cash += amount
            if each.type in _INTO_UNITS:
                units[each.security_id or ""] += float(each.quantity or 0) * _INTO_UNITS[each.type]
            elif each.type in {_T.DEPOSIT, _T.WITHDRAWAL}:
                flows[day] += amount
        values[day] = cash + sum(held * quotes[security_id][day] for security_id, held in units.items())
    return values, flows


def _rate() -> Case:
    try:
        from scipy.optimize import brentq  # noqa: PLC0415 - `make bench` alone installs it
    except ImportError:
        raise NotInstalledError("scipy is not installed: make bench") from None

    days, values, flows = _series()
    dates = [days[0], *flows, days[-1]]
    paid = [-values[0], *(-amount for amount in flows.values()), values[-1]]
    years = np.asarray([(day - dates[0]).days / 365.0 for day in dates])
    cash = np.asarray(paid)

    def by_brentq() -> float:
        return float(brentq(lambda rate: float(np.sum(cash * (1.0 + rate) ** -years)), -0.9, 10.0, xtol=1e-12))

    found = xirr(dates, paid).value
    assert found is not None
    assert abs(found - by_brentq()) < 1e-9
    return Case(
        f"xirr with every real root, {len(paid)} flows",
        lambda: xirr(dates, paid),
        "scipy's brentq, one root in a bracket",
        by_brentq,
    )
