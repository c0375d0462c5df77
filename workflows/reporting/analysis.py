"""The series behind a page: growth, drawdown, rolling risk, months, distribution; the mathematics of the results.

Nothing is defined a second time here. The sub-periods, their linking and every metric are those of
`common.calculations`, so that what a chart ends in is the number that stands in the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.calculations import (
    Conventions,
    Flows,
    FlowTiming,
    Period,
    PeriodPerformance,
    Reason,
    StandardPeriod,
    Valuations,
    calculate_performance,
    calculate_risk_metrics,
    link_returns,
)
from common.calculations.periods import month_end_positions
from common.calculations.sub_periods import SubPeriods, daily_sub_periods, dietz_sub_periods
from common.calculations.types import DayArray, FloatArray
from common.calculations.words import day_number

# More points than a screen has columns show nothing more, and cost time in the browser.
ROLLING_POINTS = 1_000
_HISTOGRAM_BINS = (12, 60)
# A quarter of fewer observations than these says little about dispersion.
_LEAST_WINDOW = 12


@dataclass(frozen=True, slots=True)
class Record:
    """What became of 1 that was invested at inception.

    Attributes
    ----------
    inception_to_date : PeriodPerformance
        The same stretch as a result row has it.
    days : (n + 1,) int64
        The base, then the end of each sub-period.
    growth : (n + 1,) float64
        1, then the linked growth; flat where nothing was invested.
    benchmark : (n + 1,) float64 or None
        Growth of the benchmark between the same days.
    flows : Flows
        The net flow of each day that has one, of those that take part in a return.
    returns : (m,) float64
        Of the sub-periods in which something was invested; the others are left out of every metric.
    return_days : (m,) int64
        The day on which each of them ends.
    periods_per_year : float
    risk_free_rate : float
        A year.
    """

    inception_to_date: PeriodPerformance
    days: DayArray
    growth: FloatArray
    benchmark: FloatArray | None
    flows: Flows
    returns: FloatArray
    return_days: DayArray
    periods_per_year: float
    risk_free_rate: float

    def growth_on(self, days: DayArray) -> FloatArray:
        """Return the growth at the last point on or before each of `days`; that of the base before it."""
        return self.growth[np.clip(np.searchsorted(self.days, days, side="right") - 1, 0, None)]

    def net_flows(self) -> FloatArray:
        """Return the sum of the flows dated on or before each of `days`, the contributions less the withdrawals."""
        total = np.concatenate(([0.0], np.cumsum(self.flows.amounts)))
        return total[np.searchsorted(self.flows.days, self.days, side="right")]


class Rolling(NamedTuple):
    """Risk of the window of returns that ends on each day; NaN where a metric is undefined.

    Attributes
    ----------
    window : int
        Returns in a window.
    days : (k,) int64
    volatility, sharpe : (k,) float64
        A year; the arithmetic Sharpe ratio, which needs no annualised return of a window.
    """

    window: int
    days: DayArray
    volatility: FloatArray
    sharpe: FloatArray


class Year(NamedTuple):
    """Returns of the months of a calendar year, and of what the record has of the year."""

    year: int
    months: tuple[float | None, ...]
    total: float | None


class Distribution(NamedTuple):
    """How often returns of each size came.

    Attributes
    ----------
    edges : (k + 1,) float64
    counts : (k,) int64
    var, cvar : float or None
        As the row has them.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    var: float | None
    cvar: float | None


class Correlation(NamedTuple):
    """Of the monthly returns of two records, over the months that both have whole."""

    value: float | None
    months: int
    reason: Reason | None


def analyse(
    valuations: Valuations, flows: Flows, as_of: date, conventions: Conventions, benchmark: Valuations | None = None
) -> Record | Reason:
    """Return the record of a portfolio from its inception to a date, or why there is none.

    Parameters
    ----------
    valuations, flows, conventions, benchmark
        As for `calculate_performance`.
    as_of
        The last day looked at.
    """
    performance = calculate_performance(
        valuations, flows, [Period.standard(StandardPeriod.ITD, as_of)], conventions, benchmark
    )
    whole = performance.periods[0]
    if whole.twr is None or whole.from_date is None or whole.to_date is None:
        return whole.undefined["twr"]
    first, last = (int(np.searchsorted(valuations.days, day_number(day))) for day in (whole.from_date, whole.to_date))
    parts = _sub_periods(valuations, flows, first, last, conventions)
    days = np.concatenate((parts.start[:1], parts.end))
    with np.errstate(over="ignore", invalid="ignore"):
        growth = np.concatenate(([1.0], np.cumprod(parts.growth)))
    if not bool(np.isfinite(growth).all()):
        return Reason.OUT_OF_RANGE
    levels = None
    if benchmark is not None and whole.benchmark_twr is not None:
        at = benchmark.values[np.searchsorted(benchmark.days, days, side="right") - 1]
        levels = at / at[0]
    # The flows of which the money-weighted return is made: one after the close of a day is not in that day's value.
    late = 1 if conventions.flow_timing is FlowTiming.AFTER_CLOSE else 0
    inside = flows.between(int(days[0]) - late, int(days[-1]) - late)
    flow_days, place = np.unique(inside.days, return_inverse=True)
    invested = ~parts.empty
    return Record(
        inception_to_date=whole,
        days=days,
        growth=growth,
        benchmark=levels,
        flows=Flows(flow_days, np.bincount(place, weights=inside.amounts, minlength=flow_days.size).astype(np.float64)),
        returns=parts.growth[invested] - 1.0,
        return_days=parts.end[invested],
        periods_per_year=performance.periods_per_year,
        risk_free_rate=conventions.risk_free_rate,
    )


def underwater(growth: FloatArray) -> FloatArray:
    """Return how far each point of `growth`, which starts at 1, lies below the highest before it; 0 or negative."""
    return growth / np.maximum.accumulate(growth) - 1.0


def rolling_window(record: Record) -> int | None:
    """Return the observations of a window: a year's, or a quarter's of a record of under a year and a half.

    None where the record has not two windows of either.
    """
    year = round(record.periods_per_year)
    quarter = round(record.periods_per_year / 4.0)
    for window, least in ((year, max(1.5 * year, year + 2)), (quarter, max(2 * quarter, quarter + 2))):
        if window >= _LEAST_WINDOW and record.returns.size >= least:
            return window
    return None


def rolling_risk(record: Record, window: int, *, points: int = ROLLING_POINTS) -> Rolling:
    """Return the risk of each window of `window` consecutive returns, of at most `points` evenly chosen ones.

    The first and the last window are always among them.
    """
    ends = np.arange(window, record.returns.size + 1)
    if ends.size > points:
        ends = np.unique(np.linspace(window, record.returns.size, points).round().astype(np.int64))
    volatility, sharpe = np.full(ends.size, np.nan), np.full(ends.size, np.nan)
    for index, end in enumerate(ends.tolist()):
        risk = calculate_risk_metrics(
            record.returns[end - window : end],
            None,
            risk_free_rate=record.risk_free_rate,
            periods_per_year=record.periods_per_year,
        )
        if risk.volatility is not None:
            volatility[index] = risk.volatility
        if risk.sharpe_ratio_arithmetic is not None:
            sharpe[index] = risk.sharpe_ratio_arithmetic
    return Rolling(window, record.return_days[ends - 1], volatility, sharpe)


def monthly_returns(record: Record) -> tuple[Year, ...]:
    """Return the linked returns of each month and year; a return belongs to the month in which it ends.

    None for a month in which none does, and where no number holds the return.
    """
    months = _months(record.return_days)
    edges = [0, *(np.flatnonzero(np.diff(months)) + 1).tolist(), months.size]
    by_month = {int(months[start]): _linked(record.returns[start:end]) for start, end in pairwise(edges)}
    years = months // 12
    found = []
    for year in range(int(years[0]), int(years[-1]) + 1):
        of_year = record.returns[years == year]
        found.append(
            Year(
                year + 1970,
                tuple(by_month.get(12 * year + month) for month in range(12)),
                _linked(of_year) if of_year.size else None,
            )
        )
    return tuple(found)


def distribution(record: Record) -> Distribution:
    """Return the histogram of the returns, with the value at risk of the row."""
    returns = record.returns
    risk = record.inception_to_date.risk
    least, most = _HISTOGRAM_BINS
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.subtract(*np.quantile(returns, [0.75, 0.25])))
        # Freedman and Diaconis (1981): a width that neither hides the shape nor shows the noise.
        width = 2.0 * spread / returns.size ** (1.0 / 3.0)
        wanted = float(np.ptp(returns)) / width if width > 0.0 else least
    bins = int(np.clip(wanted, least, most)) if np.isfinite(wanted) else least
    low, high = float(returns.min()), float(returns.max())
    if not high - low > 1e-9 * max(1.0, abs(low), abs(high)):  # too narrow to be cut into bins
        half = max(1e-4, 1e-6 * abs(low))
        low, high = low - half, high + half
    counts, edges = np.histogram(returns, bins=bins, range=(low, high))
    return Distribution(edges, counts.astype(np.int64), risk.var, risk.cvar)


def monthly_correlation(one: Record, other: Record) -> Correlation:
    """Return the correlation of the monthly returns of two records, without the month in which either begins or ends.

    A month that one of them has in part would compare different stretches of time.
    """
    whole = [_whole_months(each) for each in (one, other)]
    shared = sorted(whole[0].keys() & whole[1].keys())
    if len(shared) < 2:
        return Correlation(None, len(shared), Reason.TOO_FEW_RETURNS)
    series = [[each[month] for month in shared] for each in whole]
    risk = calculate_risk_metrics(series[0], None, series[1], periods_per_year=12)
    reason = risk.undefined.get("correlation")
    if reason is Reason.ZERO_BENCHMARK_VOLATILITY:  # neither of the two is a benchmark
        reason = Reason.ZERO_VOLATILITY
    return Correlation(risk.correlation, len(shared), reason)


def thin(x: DayArray, series: Sequence[FloatArray], most: int) -> NDArray[np.intp]:
    """Return the positions of at most `most` points that keep the shape of every one of `series`.

    Each series chooses by largest triangles (Steinarsson 2013, *Downsampling Time Series for Visual Representation*),
    and keeps its extremes besides. All positions where there are no more than `most`.
    """
    if x.size <= most:
        return np.arange(x.size)
    share = most // len(series) - 2
    chosen = [np.concatenate((_largest_triangles(x, y, share), [np.argmin(y), np.argmax(y)])) for y in series]
    return np.unique(np.concatenate(chosen))


def _largest_triangles(x: DayArray, y: FloatArray, most: int) -> NDArray[np.intp]:
    """Keep the first and the last point, and of each bucket between the one that makes the largest triangle."""
    edges = np.linspace(1, x.size - 1, most - 1).astype(np.intp)
    kept = np.zeros(most, dtype=np.intp)
    kept[-1] = x.size - 1
    for index in range(most - 2):
        start, end = edges[index], edges[index + 1]
        after = edges[index + 2] if index + 2 < edges.size else x.size
        next_x, next_y = float(x[end:after].mean()), float(y[end:after].mean())
        last = kept[index]
        with np.errstate(over="ignore", invalid="ignore"):
            area = np.abs((x[last] - next_x) * (y[start:end] - y[last]) - (x[last] - x[start:end]) * (next_y - y[last]))
        kept[index + 1] = start + np.argmax(area)
    return kept


def _sub_periods(valuations: Valuations, flows: Flows, first: int, last: int, conventions: Conventions) -> SubPeriods:
    """Return the sub-periods from one valuation to another, as `calculate_performance` makes them."""
    if not conventions.modified_dietz:
        marks = Valuations(valuations.days[first : last + 1], valuations.values[first : last + 1])
        return daily_sub_periods(marks, flows, conventions.flow_timing)
    edges = month_end_positions(valuations.days)
    positions = np.concatenate(([first], edges[(edges > first) & (edges < last)], [last]))
    marks = Valuations(valuations.days[positions], valuations.values[positions])
    return dietz_sub_periods(marks, flows, conventions.flow_timing)


def _months(days: DayArray) -> DayArray:
    """Return the months since 1970-01 in which `days` lie."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _linked(returns: FloatArray) -> float | None:
    with np.errstate(over="ignore", invalid="ignore"):
        value = link_returns(returns)
    return value if np.isfinite(value) else None


def _whole_months(record: Record) -> dict[int, float]:
    found = {
        12 * (year.year - 1970) + month: value
        for year in monthly_returns(record)
        for month, value in enumerate(year.months)
        if value is not None
    }
    first, last = (int(month) for month in _months(record.days[[0, -1]]))
    next_day = record.days[[0, -1]] + 1
    after_first, after_last = (int(month) for month in _months(next_day))
    if after_first == first:  # the base is not the last day of its month, which so has a part of itself alone
        found.pop(first, None)
    if after_last == last:
        found.pop(last, None)
    return found
