"""Everything about one portfolio: returns and risk over each period, from one pass over its history."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from common.calculations.history import STALE_BENCHMARK_DAYS, BenchmarkLevels, Conventions, History, Span
from common.calculations.moments import Drawdown
from common.calculations.money_weighted import MoneyWeightedReturn
from common.calculations.periods import Period, is_irregular
from common.calculations.risk import RiskMetrics
from common.calculations.stretches import Stretch, money_weighted, risks, stretches_of
from common.calculations.types import Flows, Valuations
from common.calculations.words import Caution, Reason, Undefinable, day_date, day_number

STALE_VALUATION_DAYS = 31


class PeriodPerformance(NamedTuple):
    """The metrics of one period. Those of `risk` carry their own reasons; `undefined` holds the others'."""

    label: str
    from_date: date | None
    to_date: date | None
    days: int | None
    twr: float | None
    annualized_twr: float | None
    mwr: float | None
    mwr_period: float | None
    benchmark_twr: float | None
    annualized_benchmark_twr: float | None
    max_drawdown_peak: date | None
    max_drawdown_trough: date | None
    max_drawdown_recovery: date | None
    risk: RiskMetrics
    undefined: dict[str, Reason]
    warnings: tuple[Caution, ...]


class Performance(NamedTuple):
    """The performance of one portfolio over the periods asked for, in their order."""

    periods: tuple[PeriodPerformance, ...]
    periods_per_year: float
    warnings: tuple[Caution, ...]


def calculate_performance(
    valuations: Valuations,
    flows: Flows,
    periods: Sequence[Period],
    conventions: Conventions,
    benchmark: Valuations | None = None,
) -> Performance:
    """Return the performance of a portfolio over each of `periods`.

    Parameters
    ----------
    valuations
        All there are; at least one.
    flows
        All there are, in any order.
    periods
        Each covers (base, end]; base and end are the last valuations on or before its dates. One that starts before
        the first valuation is undefined (`history_too_short`), never shortened in silence.
    conventions
        Timing of flows, method, risk-free rate.
    benchmark
        Levels of the benchmark; its returns are taken between the portfolio's own valuation days.

    Returns
    -------
    Performance
    """
    levels = None if benchmark is None else BenchmarkLevels.of(benchmark, valuations.days)
    (performance,) = measure([History.of(valuations, flows, conventions, levels)], periods)
    return performance


@np.errstate(all="ignore")  # what is not finite is undefined, with its reason
def measure(histories: Sequence[History], periods: Sequence[Period]) -> list[Performance]:
    """Return the performance of each of some portfolios over each of `periods`.

    Parameters
    ----------
    histories
        Under the same conventions, of the same `periods_per_year`, on the same days and with the same benchmark: the
        rates and risks of all are found together.
    """
    spans = _spans(histories, periods)
    stretches = list(stretches_of(histories, spans, periods))
    measured = map(_period_performance, stretches, money_weighted(stretches), risks(stretches))
    rows: list[list[PeriodPerformance]] = [[] for _ in histories]
    for number, period in enumerate(periods):
        for row, of_history in zip(rows, spans, strict=True):
            span = of_history[number]
            row.append(_undefined(period, span) if isinstance(span, Reason) else next(measured))
    performances = []
    for history, row in zip(histories, rows, strict=True):
        warnings = set(history.warnings)
        for each in row:
            warnings.update(each.warnings)
        performances.append(Performance(tuple(row), history.periods_per_year, tuple(sorted(warnings))))
    return performances


def _spans(histories: Sequence[History], periods: Sequence[Period]) -> list[list[Span | Reason]]:
    """Return the spans of each history; those of a row of histories on the same days are looked up once."""
    found: list[list[Span | Reason]] = []
    for before, history in zip((None, *histories), histories, strict=False):
        same = (
            before is not None
            and before.valuations.days is history.valuations.days
            and before.inception == history.inception
        )
        found.append(found[-1] if same else history.spans(periods))
    return found


def _period_performance(
    stretch: Stretch, mwr: MoneyWeightedReturn, risk_and_fall: tuple[RiskMetrics, Drawdown]
) -> PeriodPerformance:
    risk, fall = risk_and_fall
    span, twr, annual = stretch.span, stretch.linked.twr, stretch.annual
    benchmark, annual_benchmark = stretch.benchmark, stretch.annual_benchmark
    undefined: dict[str, Reason] = {}
    _note(undefined, ("twr", twr), ("annualized_twr", annual), ("mwr", mwr))
    if mwr.period_value is None:
        undefined["mwr_period"] = (mwr.reason if mwr.value is None else None) or Reason.OUT_OF_RANGE
    _note(undefined, ("benchmark_twr", benchmark), ("annualized_benchmark_twr", annual_benchmark))
    return PeriodPerformance(
        label=stretch.period.label,
        from_date=day_date(span.opening),
        to_date=day_date(span.closing),
        days=span.closing - span.opening,
        twr=twr.value,
        annualized_twr=annual.value,
        mwr=mwr.value,
        mwr_period=mwr.period_value,
        benchmark_twr=benchmark.value,
        annualized_benchmark_twr=annual_benchmark.value,
        max_drawdown_peak=_date_of(stretch, fall.peak_index),
        max_drawdown_trough=_date_of(stretch, fall.trough_index),
        max_drawdown_recovery=_date_of(stretch, fall.recovery_index),
        risk=risk,
        undefined=undefined,
        warnings=_warnings(stretch, mwr),
    )


def _warnings(stretch: Stretch, mwr: MoneyWeightedReturn) -> tuple[Caution, ...]:
    history, (first, last, opening, closing), period = stretch.history, stretch.span, stretch.period
    linked = stretch.linked
    found = set(linked.twr.warnings)
    if history.suspect_days and any(opening <= day <= closing for day in history.suspect_days):
        found.add(Caution.FLOW_TIMING_SUSPECT)
    if linked.large_flow:
        found.add(Caution.LARGE_FLOW)
    if is_irregular(len(linked.twr.sub_returns), linked.days, history.periods_per_year):
        found.add(Caution.IRREGULAR_SPACING)
    if mwr.value is not None and mwr.reason is Reason.MULTIPLE_ROOTS:
        found.add(Caution.MULTIPLE_ROOTS)
    if mwr.value is not None and mwr.reason is Reason.TOTAL_LOSS:
        found.add(Caution.TOTAL_LOSS)
    start = opening if period.start is None else day_number(period.start)
    if max(start - opening, day_number(period.end) - closing) > STALE_VALUATION_DAYS:
        found.add(Caution.STALE_VALUATION)
    levels = history.benchmark
    if levels is not None and max(levels.age(first), levels.age(last)) > STALE_BENCHMARK_DAYS:
        found.add(Caution.STALE_BENCHMARK)
    return tuple(sorted(found)) if found else ()


def _date_of(stretch: Stretch, point: int | None) -> date | None:
    """Return the day of a point of wealth: the start is the first, the end of each linked return one more."""
    if point is None:
        return None
    return day_date(stretch.linked.twr.end_days[point - 1] if point else stretch.span.opening)


def _note(undefined: dict[str, Reason], *named: tuple[str, Undefinable]) -> None:
    for name, result in named:
        if result.value is None and result.reason is not None:
            undefined[name] = result.reason


def _undefined(period: Period, reason: Reason) -> PeriodPerformance:
    names = (
        "twr",
        "annualized_twr",
        "mwr",
        "mwr_period",
        "benchmark_twr",
        "annualized_benchmark_twr",
    )
    return PeriodPerformance(
        label=period.label,
        from_date=None,
        to_date=None,
        days=None,
        twr=None,
        annualized_twr=None,
        mwr=None,
        mwr_period=None,
        benchmark_twr=None,
        annualized_benchmark_twr=None,
        max_drawdown_peak=None,
        max_drawdown_trough=None,
        max_drawdown_recovery=None,
        risk=RiskMetrics.all_undefined(reason),
        undefined=dict.fromkeys(names, reason),
        warnings=(),
    )
