"""Everything about one portfolio: returns and risk over each period, from one pass over its history."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from common.calculations import money_weighted
from common.calculations.periods import Period, infer_periods_per_year, month_end_positions
from common.calculations.returns import (
    DAYS_PER_YEAR,
    SubPeriods,
    TimeWeightedReturn,
    annualize_return,
    annualize_whole_year,
    daily_sub_periods,
    dietz_sub_periods,
    flow_timing_suspect_days,
    link,
    outside_valuations,
)
from common.calculations.risk import Drawdown, RiskMetrics, calculate_risk_metrics, max_drawdown
from common.calculations.types import (
    Caution,
    DayArray,
    FloatArray,
    Flows,
    FlowTiming,
    Reason,
    Undefinable,
    Valuations,
    day_date,
    day_number,
)

STALE_BENCHMARK_DAYS = 7
STALE_VALUATION_DAYS = 31


@dataclass(frozen=True, slots=True)
class Conventions:
    """The choices a result depends on, echoed with it.

    Attributes
    ----------
    flow_timing : FlowTiming
    modified_dietz : bool
        Link monthly Modified Dietz returns instead of the returns between all valuations.
    risk_free_rate : float
        A year.
    periods_per_year : float or None
        None infers it from the spacing of the valuations.
    """

    flow_timing: FlowTiming = FlowTiming.AFTER_CLOSE
    modified_dietz: bool = False
    risk_free_rate: float = 0.0
    periods_per_year: float | None = None


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
    history = _History.of(valuations, flows, conventions, benchmark)
    measured = tuple(history.measure(period) for period in periods)
    warnings = {caution for each in measured for caution in each.warnings} | set(history.warnings)
    return Performance(measured, history.periods_per_year, tuple(sorted(warnings)))


@dataclass(frozen=True, slots=True)
class _History:
    """What all periods share, made once: the sub-periods and the benchmark's levels at their ends."""

    valuations: Valuations
    flows: Flows
    parts: SubPeriods
    edges: DayArray
    """Position in `valuations` of each sub-period boundary."""
    levels: FloatArray | None
    stale_levels: NDArray[np.bool_] | None
    suspect_days: tuple[int, ...]
    inception: int
    """Position of the valuation at which the record starts."""
    periods_per_year: float
    conventions: Conventions
    warnings: tuple[Caution, ...]

    @classmethod
    def of(
        cls, valuations: Valuations, flows: Flows, conventions: Conventions, benchmark: Valuations | None
    ) -> "_History":
        timing = conventions.flow_timing
        if conventions.modified_dietz:
            # A first valuation within a month is the base of that month's return.
            edges = np.unique(np.append(month_end_positions(valuations.days), 0))
            marks = Valuations(valuations.days[edges], valuations.values[edges])
            parts = dietz_sub_periods(marks, flows, timing)
            suspect: list[int] = []
        else:
            edges = np.arange(valuations.days.size)
            parts = daily_sub_periods(valuations, flows, timing)
            suspect = flow_timing_suspect_days(valuations, flows, timing)
        levels = stale = None
        if benchmark is not None:
            days = valuations.days
            at = np.searchsorted(benchmark.days, days, side="right") - 1
            levels = np.where(at >= 0, benchmark.values[at], np.nan)
            stale = days - benchmark.days[at] > STALE_BENCHMARK_DAYS
        return cls(
            valuations,
            flows,
            parts,
            edges,
            levels,
            stale,
            tuple(suspect),
            _inception(valuations),
            conventions.periods_per_year or infer_periods_per_year(valuations.days[edges]),
            conventions,
            (Caution.FLOW_OUTSIDE_VALUATIONS,) if outside_valuations(valuations, flows, timing) else (),
        )

    def measure(self, period: Period) -> PeriodPerformance:
        """Return the performance over one period."""
        days = self.valuations.days
        last = int(np.searchsorted(days, day_number(period.end), side="right")) - 1
        if period.start is None:
            first = self.inception
        else:
            first = int(np.searchsorted(days, day_number(period.start), side="right")) - 1
        if last < 0 or (period.start is not None and first < self.inception):
            return _undefined(period, Reason.HISTORY_TOO_SHORT)
        if last <= first:
            lone = days.size == 1 or period.start is None
            return _undefined(period, Reason.TOO_FEW_VALUATIONS if lone else Reason.NO_VALUATION_IN_PERIOD)

        length = int(days[last] - days[first])
        parts = self._between(first, last)
        twr = link(parts)
        annual = self._annualized(twr, length, period)
        mwr = self._money_weighted(first, last)
        undefined: dict[str, Reason] = {}
        _note(undefined, "twr", twr)
        _note(undefined, "annualized_twr", annual)
        _note(undefined, "mwr", mwr)
        if mwr.period_value is None:
            undefined["mwr_period"] = mwr.reason or Reason.OUT_OF_RANGE
            if mwr.value is not None:
                undefined["mwr_period"] = Reason.OUT_OF_RANGE

        benchmark, annual_benchmark = self._benchmark(first, last, length, period)
        _note(undefined, "benchmark_twr", benchmark)
        _note(undefined, "annualized_benchmark_twr", annual_benchmark)
        risk, fall = self._risk(parts, twr, annual, benchmark, annual_benchmark)
        # The points of wealth that a drawdown's indices count.
        points = np.concatenate((days[first : first + 1], np.asarray(twr.end_days, dtype=np.int64)))
        return PeriodPerformance(
            label=period.label,
            from_date=day_date(int(days[first])),
            to_date=day_date(int(days[last])),
            days=length,
            twr=twr.value,
            annualized_twr=annual.value,
            mwr=mwr.value,
            mwr_period=mwr.period_value,
            benchmark_twr=benchmark.value,
            annualized_benchmark_twr=annual_benchmark.value,
            max_drawdown_peak=_date_at(points, fall.peak_index),
            max_drawdown_trough=_date_at(points, fall.trough_index),
            max_drawdown_recovery=_date_at(points, fall.recovery_index),
            risk=risk,
            undefined=undefined,
            warnings=self._warnings(period, first, last, twr, mwr, parts),
        )

    def _between(self, first: int, last: int) -> SubPeriods:
        """Return the sub-periods from one valuation to another."""
        if not self.conventions.modified_dietz:
            return self.parts.slice(first, last)
        inner = self.edges[(self.edges > first) & (self.edges < last)]
        if first in self.edges and last in self.edges:
            return self.parts.slice(*np.searchsorted(self.edges, [first, last]).tolist())
        # The period starts or ends within a month: its own edges cut the months it touches.
        edges = np.concatenate(([first], inner, [last]))
        marks = Valuations(self.valuations.days[edges], self.valuations.values[edges])
        return dietz_sub_periods(marks, self.flows, self.conventions.flow_timing)

    def _annualized(self, total: Undefinable, length: int, period: Period) -> Undefinable:
        if total.value is None:
            return Undefinable(None, total.reason)
        if length < DAYS_PER_YEAR and period.is_full_year:
            return annualize_whole_year(total.value, length)
        return annualize_return(total.value, length)

    def _money_weighted(self, first: int, last: int) -> money_weighted.MoneyWeightedReturn:
        """Solve opening value, flows and closing value of the period."""
        opening, closing = int(self.valuations.days[first]), int(self.valuations.days[last])
        # A flow after the close of a day is in no valuation of that day, otherwise it is in it.
        late = 1 if self.conventions.flow_timing is FlowTiming.AFTER_CLOSE else 0
        inside = self.flows.between(opening - late, closing - late)
        days = np.concatenate(([opening], inside.days, [closing]))
        values = self.valuations.values
        amounts = np.concatenate(([-values[first]], -inside.amounts, [values[last]]))
        return money_weighted.solve(days, amounts)

    def _benchmark(self, first: int, last: int, length: int, period: Period) -> tuple[Undefinable, Undefinable]:
        if self.levels is None:
            return Undefinable(None, Reason.NO_BENCHMARK), Undefinable(None, Reason.NO_BENCHMARK)
        if np.isnan(self.levels[first]):
            missing = Undefinable(None, Reason.BENCHMARK_HISTORY_TOO_SHORT)
            return missing, missing
        total = Undefinable(float(self.levels[last] / self.levels[first]) - 1.0)
        return total, self._annualized(total, length, period)

    def _risk(
        self,
        parts: SubPeriods,
        twr: TimeWeightedReturn,
        annual: Undefinable,
        benchmark: Undefinable,
        annual_benchmark: Undefinable,
    ) -> tuple[RiskMetrics, Drawdown]:
        without = benchmark.reason if benchmark.value is None else None
        if twr.value is None:
            return RiskMetrics.all_undefined(twr.reason or Reason.OUT_OF_RANGE, without), Drawdown(0.0)
        returns = np.asarray(twr.sub_returns)
        benchmark_returns = None
        if self.levels is not None and without is None:
            active = ~parts.empty
            before = np.searchsorted(self.valuations.days, parts.start[active])
            after = np.searchsorted(self.valuations.days, parts.end[active])
            benchmark_returns = self.levels[after] / self.levels[before] - 1.0
        risk = calculate_risk_metrics(
            returns,
            annual.value,
            benchmark_returns,
            annual_benchmark.value,
            self.conventions.risk_free_rate,
            periods_per_year=self.periods_per_year,
        )
        for name, reason in risk.undefined.items():
            if reason is Reason.NO_BENCHMARK and without is not None:
                risk.undefined[name] = without
            elif reason is Reason.ANNUALIZED_RETURN_UNDEFINED:
                risk.undefined[name] = annual.reason or annual_benchmark.reason or reason
        return risk, max_drawdown(returns)

    def _warnings(
        self,
        period: Period,
        first: int,
        last: int,
        twr: TimeWeightedReturn,
        mwr: money_weighted.MoneyWeightedReturn,
        parts: SubPeriods,
    ) -> tuple[Caution, ...]:
        days = self.valuations.days
        found = set(twr.warnings)
        if any(days[first] <= day <= days[last] for day in self.suspect_days):
            found.add(Caution.FLOW_TIMING_SUSPECT)
        if self.conventions.modified_dietz and bool(parts.large_flow.any()):
            found.add(Caution.LARGE_FLOW)
        if mwr.value is not None and mwr.reason is Reason.MULTIPLE_ROOTS:
            found.add(Caution.MULTIPLE_ROOTS)
        if mwr.value is not None and mwr.reason is Reason.TOTAL_LOSS:
            found.add(Caution.TOTAL_LOSS)
        start = int(days[first]) if period.start is None else day_number(period.start)
        if max(start - int(days[first]), day_number(period.end) - int(days[last])) > STALE_VALUATION_DAYS:
            found.add(Caution.STALE_VALUATION)
        if self.stale_levels is not None and (self.stale_levels[first] or self.stale_levels[last]):
            found.add(Caution.STALE_BENCHMARK)
        return tuple(sorted(found))


def _inception(valuations: Valuations) -> int:
    """Return the position of the last zero before the first value, of the first valuation where there is none."""
    held = np.flatnonzero(valuations.values)
    return max(int(held[0]) - 1, 0) if held.size else 0


def _date_at(days: DayArray, index: int | None) -> date | None:
    return None if index is None else day_date(int(days[index]))


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
