"""The mathematics: in numpy, against loops in Python and what else computes the same."""

import tracemalloc
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import pairwise

import numpy as np
from rich.table import Table

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
    calculate_performances,
    value_ledger,
    xirr,
)
from common.calculations.returns import link
from common.calculations.sub_periods import daily_sub_periods
from common.calculations.words import day_number
from common.models.books import Transaction
from tests.benchmarks import market
from tests.benchmarks.measure import Case, NotInstalledError

HELD, ENTRIES = 20, 2_000
PORTFOLIOS, BATCH_ROUNDS = 500, 7
FEW_PORTFOLIOS, MANY_PORTFOLIOS = 200, 2_000

_T = TransactionType
_INTO_CASH = {_T.DEPOSIT: 1, _T.WITHDRAWAL: -1, _T.BUY: -1, _T.SELL: 1, _T.DIVIDEND: 1, _T.FEE: -1}
_INTO_UNITS = {_T.BUY: 1, _T.SELL: -1}


def cases() -> Iterator[Case | Table]:
    """Yield returns, rates and ledgers, and the memory that many portfolios take."""
    yield from _returns()
    yield from _batch()
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


def _batch() -> Iterator[Case | Table]:
    """Yield many portfolios in one call against a loop, and the memory of few and of ten times as many."""
    last = market.market().days[-1]
    levels = Valuations.of(zip(market.market().days, market.market().levels, strict=True))
    conventions = Conventions()
    whole, standard = (
        [Period.standard(StandardPeriod.ITD, last)],
        [Period.standard(each, last) for each in StandardPeriod],
    )
    portfolios = list(_portfolios(PORTFOLIOS))

    def together(periods: Sequence[Period]) -> list[Performance]:
        return list(calculate_performances(portfolios, periods, conventions, levels))

    def one_by_one(periods: Sequence[Period]) -> list[Performance]:
        return [calculate_performance(*each, periods, conventions, levels) for each in portfolios]

    for what, periods in ((whole[0].label, whole), (f"{len(standard)} periods", standard)):
        for found, alone in zip(together(periods), one_by_one(periods), strict=True):
            assert found.warnings == alone.warnings
            assert [each.risk for each in found.periods] == [each.risk for each in alone.periods]
        yield Case(
            f"{PORTFOLIOS:,} portfolios, {market.DAYS:,} days, {what}, in one call",
            partial(together, periods),
            "a loop of the single call",
            partial(one_by_one, periods),
            BATCH_ROUNDS,
        )

    memory = Table("Portfolios", "Most memory at a time", title="What calculate_performances takes, results not kept")
    for count in (FEW_PORTFOLIOS, MANY_PORTFOLIOS):
        tracemalloc.start()
        for _ in calculate_performances(_portfolios(count), whole, conventions, levels):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        memory.add_row(f"{count:,}", f"{peak / 2**20:.1f} MiB")
    yield memory


def _portfolios(count: int) -> Iterator[tuple[Valuations, Flows]]:
    """Yield portfolios on the days of the market, each with days, values and flows of its own."""
    days = np.array([day_number(each) for each in market.market().days])
    for number in range(count):
        chance = np.random.default_rng(number)
        paid_in = np.zeros(days.size)
        paid_in[chance.permutation(np.arange(1, days.size - 1))[:50]] = chance.uniform(-2_500.0, 5_000.0, 50)
        growth = np.cumprod(1.0 + chance.normal(0.0003, 0.01, days.size))
        # Each flow has grown with the portfolio since the day after it came.
        values = growth * (100_000.0 + np.concatenate(([0.0], np.cumsum(paid_in / growth)[:-1])))
        moved = np.flatnonzero(paid_in)
        yield Valuations.from_arrays(days.copy(), values), Flows.from_arrays(days[moved], paid_in[moved])


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
