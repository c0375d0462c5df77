"""Everything about one portfolio: returns and risk over each period, from one pass over its history."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import isnan
from typing import NamedTuple

import numpy as np

from common.calculations.history import BenchmarkLevels, Conventions, History, Linked, Span
from common.calculations.moments import Drawdown, JointMoments, Moments, Series, blocks
from common.calculations.money_weighted import MoneyWeightedReturn, solve
from common.calculations.money_weighted_many import xirr_many
from common.calculations.periods import Period
from common.calculations.returns import (
    DAYS_PER_YEAR,
    annualize_return,
    annualize_whole_year,
)
from common.calculations.risk import TAIL_SHARE, Basis, RiskMetrics, risk_metrics
from common.calculations.types import (
    Caution,
    DayArray,
    FloatArray,
    Flows,
    Reason,
    Undefinable,
    Valuations,
    day_date,
    day_number,
    finite_series,
)

STALE_VALUATION_DAYS = 31
FEW_RATES = 16
"""Below so many rates, those of the periods of one portfolio among them, each is solved by itself, which is faster."""
_NO_BENCHMARK = Undefinable(None, Reason.NO_BENCHMARK)
_BENCHMARK_TOO_SHORT = Undefinable(None, Reason.BENCHMARK_HISTORY_TOO_SHORT)


@dataclass(frozen=True, slots=True)
class PeriodPerformance:
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
    undefined: dict[str, Reason] = field(default_factory=dict)
    warnings: tuple[Caution, ...] = ()


@dataclass(frozen=True, slots=True)
class Performance:
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


def measure(histories: Sequence[History], periods: Sequence[Period]) -> list[Performance]:
    """Return the performance of each of some portfolios over each of `periods`.

    Parameters
    ----------
    histories
        Under the same conventions, and of the same `periods_per_year`: the moments of all are found together.
    """
    spans = _spans(histories, periods)
    with np.errstate(all="ignore"):  # what is not finite is undefined, with its reason
        stretches = [
            _Stretch.of(history, period, span)
            for history, of_history in zip(histories, spans, strict=True)
            for period, span in zip(periods, of_history, strict=True)
            if not isinstance(span, Reason)
        ]
    measured = map(_period_performance, stretches, _money_weighted(stretches), _risks(stretches))
    performances = []
    for history, of_history in zip(histories, spans, strict=True):
        found = tuple(
            _undefined(period, span) if isinstance(span, Reason) else next(measured)
            for period, span in zip(periods, of_history, strict=True)
        )
        warnings = set(history.warnings).union(*(each.warnings for each in found))
        performances.append(Performance(found, history.periods_per_year, tuple(sorted(warnings))))
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


class _Stretch(NamedTuple):
    """A period of a portfolio that has valuations at both ends, and its returns."""

    history: History
    period: Period
    span: Span
    linked: Linked
    annual: Undefinable
    benchmark: Undefinable
    annual_benchmark: Undefinable

    @classmethod
    def of(cls, history: History, period: Period, span: Span) -> "_Stretch":
        linked = history.link(span.first, span.last)
        benchmark = _NO_BENCHMARK
        if history.benchmark is not None and linked.benchmark_returns is not None:
            levels = history.benchmark.levels
            ratio = float(levels[span.last] / levels[span.first])
            if isnan(ratio):
                benchmark = _BENCHMARK_TOO_SHORT
            elif np.isinf(linked.benchmark_returns).any() and levels[span.first : span.last + 1].all():
                benchmark = Undefinable(None, Reason.OUT_OF_RANGE)
            else:
                benchmark = Undefinable(ratio - 1.0)
        days = span.closing - span.opening
        annual, annual_benchmark = (_annualized(each, days, period) for each in (linked.twr, benchmark))
        return cls(history, period, span, linked, annual, benchmark, annual_benchmark)

    @property
    def benchmark_returns(self) -> FloatArray | None:
        """The benchmark's returns, None without a benchmark over the whole period."""
        return None if self.benchmark.value is None else self.linked.benchmark_returns


def _annualized(total: Undefinable, days: int, period: Period) -> Undefinable:
    if total.value is None:
        return Undefinable(None, total.reason)
    if days < DAYS_PER_YEAR and period.is_full_year:
        return annualize_whole_year(total.value, days)
    return annualize_return(total.value, days)


def _money_weighted(stretches: Sequence[_Stretch]) -> Iterable[MoneyWeightedReturn]:
    """Solve opening value, flows and closing value of each period."""
    flows = [_paid(each) for each in stretches]
    if len(flows) < FEW_RATES:
        return [solve(days, amounts) for days, amounts in flows]
    offsets = np.zeros(len(flows) + 1, dtype=np.int64)
    np.add.accumulate([days.size for days, _ in flows], out=offsets[1:])
    return xirr_many(
        np.concatenate([days for days, _ in flows]), np.concatenate([amounts for _, amounts in flows]), offsets
    )


def _paid(stretch: _Stretch) -> tuple[DayArray, FloatArray]:
    """Return the days and amounts of which the money-weighted return of a period is made, from the investor's view."""
    (first, last, opening, closing), history = stretch.span, stretch.history
    inside = history.flows.within(opening, closing, history.conventions.flow_timing)
    values = history.valuations.values
    days, amounts = np.empty(inside.days.size + 2, dtype=np.int64), np.empty(inside.days.size + 2)
    days[0], days[1:-1], days[-1] = opening, inside.days, closing
    amounts[0], amounts[-1] = -values[first], values[last]
    np.negative(inside.amounts, out=amounts[1:-1])
    return days, amounts


def _risks(stretches: Sequence[_Stretch]) -> Iterator[tuple[RiskMetrics, Drawdown]]:
    """Yield the risk of each period, and where its largest drawdown lies."""
    linked = [each for each in stretches if each.linked.twr.value is not None]
    moments = _moments(linked)
    for each in stretches:
        without = each.benchmark.reason
        if each.linked.twr.value is None:
            yield RiskMetrics.all_undefined(each.linked.twr.reason or Reason.OUT_OF_RANGE, without), Drawdown(0.0)
            continue
        basis, alone, joint = next(moments)
        risk = risk_metrics(alone, each.annual.value, basis, joint, each.annual_benchmark.value)
        for name, reason in risk.undefined.items():
            if reason is Reason.NO_BENCHMARK and without is not None:
                risk.undefined[name] = without
            elif reason is Reason.ANNUALIZED_RETURN_UNDEFINED:
                risk.undefined[name] = each.annual.reason or each.annual_benchmark.reason or reason
        yield risk, alone.drawdown


def _moments(linked: Sequence[_Stretch]) -> Iterator[tuple[Basis, Moments, JointMoments | None]]:
    """Yield what the risk of each period is made of; all have a return."""
    if not linked:
        return
    history = linked[0].history
    basis = Basis.of(history.conventions.risk_free_rate, history.periods_per_year)
    for together in blocks(linked, [len(each.linked.twr.sub_returns) for each in linked]):
        returns = [np.asarray(each.linked.twr.sub_returns) for each in together]
        beside = [each.benchmark_returns for each in together]
        with np.errstate(all="ignore"):  # what is not finite in the end is reported as out_of_range
            series = Series(returns)
            alone = series.moments(basis.target, TAIL_SHARE)
            joint = iter(_joint_moments(series, returns, beside))
        for each, other in zip(alone, beside, strict=True):
            yield basis, each, None if other is None else next(joint)


def _joint_moments(
    series: Series, returns: Sequence[FloatArray], beside: Sequence[FloatArray | None]
) -> list[JointMoments]:
    """Return the moments of those of some returns, `series`, that have a benchmark beside them."""
    pairs = [(mine, other) for mine, other in zip(returns, beside, strict=True) if other is not None]
    if not pairs:
        return []
    compared = series if len(pairs) == len(returns) else Series([mine for mine, _ in pairs])
    benchmark = Series([other for _, other in pairs])
    finite_series(benchmark.returns, "benchmark_returns")
    return compared.joint_moments(benchmark)


def _period_performance(
    stretch: _Stretch, mwr: MoneyWeightedReturn, risk_and_fall: tuple[RiskMetrics, Drawdown]
) -> PeriodPerformance:
    risk, fall = risk_and_fall
    span, twr, annual = stretch.span, stretch.linked.twr, stretch.annual
    benchmark, annual_benchmark = stretch.benchmark, stretch.annual_benchmark
    undefined: dict[str, Reason] = {}
    _note(undefined, "twr", twr)
    _note(undefined, "annualized_twr", annual)
    _note(undefined, "mwr", mwr)
    if mwr.period_value is None:
        undefined["mwr_period"] = (mwr.reason if mwr.value is None else None) or Reason.OUT_OF_RANGE
    _note(undefined, "benchmark_twr", benchmark)
    _note(undefined, "annualized_benchmark_twr", annual_benchmark)
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


def _warnings(stretch: _Stretch, mwr: MoneyWeightedReturn) -> tuple[Caution, ...]:
    history, (first, last, opening, closing), period = stretch.history, stretch.span, stretch.period
    found = set(stretch.linked.twr.warnings)
    if any(opening <= day <= closing for day in history.suspect_days):
        found.add(Caution.FLOW_TIMING_SUSPECT)
    if stretch.linked.large_flow:
        found.add(Caution.LARGE_FLOW)
    if mwr.value is not None and mwr.reason is Reason.MULTIPLE_ROOTS:
        found.add(Caution.MULTIPLE_ROOTS)
    if mwr.value is not None and mwr.reason is Reason.TOTAL_LOSS:
        found.add(Caution.TOTAL_LOSS)
    start = opening if period.start is None else day_number(period.start)
    if max(start - opening, day_number(period.end) - closing) > STALE_VALUATION_DAYS:
        found.add(Caution.STALE_VALUATION)
    levels = history.benchmark
    if levels is not None and (levels.is_stale(first) or levels.is_stale(last)):
        found.add(Caution.STALE_BENCHMARK)
    return tuple(sorted(found))


def _date_of(stretch: _Stretch, point: int | None) -> date | None:
    """Return the day of a point of wealth: the start is the first, the end of each linked return one more."""
    if point is None:
        return None
    return day_date(stretch.linked.twr.end_days[point - 1] if point else stretch.span.opening)


def _note(undefined: dict[str, Reason], name: str, result: Undefinable) -> None:
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
    )
