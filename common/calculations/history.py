"""What all periods of a portfolio share, made once: the growth between its valuations and the benchmark beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, Self

import numpy as np

from common.calculations.flow_timing import suspect_days
from common.calculations.periods import (
    Period,
    infer_months_per_year,
    infer_periods_per_year,
    month_end_positions,
)
from common.calculations.returns import TimeWeightedReturn, link
from common.calculations.sub_periods import SubPeriods, daily_sub_periods, dietz_sub_periods, outside_valuations
from common.calculations.types import DayArray, FloatArray, Flows, Valuations, ascends
from common.calculations.words import Caution, FlowTiming, Reason, day_number

STALE_BENCHMARK_DAYS = 7


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


class BenchmarkLevels(NamedTuple):
    """A benchmark on the days of a portfolio's valuations.

    Attributes
    ----------
    levels : (n,) float64
        Its last level on or before each day, `not a number` before its first.
    returns : (n - 1,) float64
        From each of them to the next.
    ages : (n,) int64 or None
        How many days old each level is; None where all are of their own day.
    finite : bool
        Every return is a finite number, as far as is known.
    """

    levels: FloatArray
    returns: FloatArray
    ages: DayArray | None
    finite: bool

    @classmethod
    @np.errstate(divide="ignore", invalid="ignore", over="ignore")
    def of(cls, benchmark: Valuations, days: DayArray) -> Self:
        """Take the levels that stand on `days`."""
        if same_days(benchmark.days, days):
            levels, ages = benchmark.values, None
        else:
            at = benchmark.days.searchsorted(days, side="right") - 1
            levels = np.where(at >= 0, benchmark.values[at], np.nan)
            ages = days - benchmark.days[at]
        returns = levels[1:] / levels[:-1]
        returns -= 1.0
        # What is not finite is refused with the period it belongs to.
        return cls(levels, returns, ages, isfinite(np.add.reduce(returns)))

    def age(self, position: int) -> int:
        """Return how many days old the level at a valuation is."""
        return 0 if self.ages is None else self.ages.item(position)


class Span(NamedTuple):
    """A period between two valuations of a portfolio, by their positions and days."""

    first: int
    last: int
    opening: int
    closing: int


class Linked(NamedTuple):
    """What lies between two valuations.

    Attributes
    ----------
    twr : TimeWeightedReturn
    days : int
        That its sub-returns cover.
    benchmark_returns : (n,) float64 or None
        Of the benchmark, beside `twr.sub_returns`; not finite where it has no level.
    large_flow : bool
        Modified Dietz: some flow was large.
    whole : bool
        Every valuation bounds a return, and none is left out.
    """

    twr: TimeWeightedReturn
    days: int
    benchmark_returns: FloatArray | None
    large_flow: bool
    whole: bool


class History(NamedTuple):
    """A portfolio's valuations and flows, and what is made of them whatever the period.

    Attributes
    ----------
    dated : Flows
        `flows`, dated with the close from which on they count.
    distinct : bool
        No two of `dated` are of one day.
    parts : SubPeriods
        Of the whole history.
    returns : (n,) float64
        Their growth less 1.
    edges : (e,) int64 or None
        Position of each boundary of `parts` in `valuations`; None where every valuation is one.
    benchmark : BenchmarkLevels or None
    suspect_days : sequence of int
        What `flow_timing_suspect_days` tells.
    inception : int
        Position of the valuation at which the record starts.
    """

    valuations: Valuations
    flows: Flows
    dated: Flows
    distinct: bool
    parts: SubPeriods
    returns: FloatArray
    edges: DayArray | None
    benchmark: BenchmarkLevels | None
    suspect_days: Sequence[int]
    inception: int
    periods_per_year: float
    conventions: Conventions
    warnings: tuple[Caution, ...]

    @classmethod
    def of(
        cls, valuations: Valuations, flows: Flows, conventions: Conventions, benchmark: BenchmarkLevels | None
    ) -> Self:
        """Take the history of a portfolio; `calculate_performance` tells what it is made of."""
        timing = conventions.flow_timing
        days = valuations.days
        net, dated = flows.net(), flows.dated_by_close(timing)
        # Only where each flow is dated by its own sign may the days of two fall together, or apart.
        distinct = net is flows if timing is not FlowTiming.INFLOW_START_OUTFLOW_END else ascends(dated.days)
        edges, suspect = None, []
        inferred = infer_months_per_year if conventions.modified_dietz else infer_periods_per_year
        if conventions.modified_dietz:
            # A first valuation within a month is the base of that month's return.
            edges = np.unique(np.append(month_end_positions(days), 0))
            parts = dietz_sub_periods(Valuations(days[edges], valuations.values[edges]), flows, timing)
        else:
            parts = daily_sub_periods(valuations, flows, timing)
            suspect = suspect_days(valuations, net, timing)
        return cls(
            valuations,
            flows,
            dated,
            distinct,
            parts,
            parts.growth - 1.0,
            edges,
            benchmark,
            suspect,
            _inception(valuations.values),
            conventions.periods_per_year or inferred(days),
            conventions,
            (Caution.FLOW_OUTSIDE_VALUATIONS,) if outside_valuations(valuations, flows, timing) else (),
        )

    def spans(self, periods: Sequence[Period]) -> list[Span | Reason]:
        """Return where each period lies, or why it has no return."""
        days = self.valuations.days
        bounds = [day_number(day) for each in periods for day in (each.start or each.end, each.end)]
        after = iter(days.searchsorted(bounds, side="right").tolist())
        return [
            self._span(period, self.inception if period.start is None else start - 1, end - 1)
            for period, start, end in zip(periods, after, after, strict=True)
        ]

    def _span(self, period: Period, first: int, last: int) -> Span | Reason:
        days = self.valuations.days
        if last < 0 or first < self.inception:
            return Reason.HISTORY_TOO_SHORT
        if last <= first:
            lone = days.size == 1 or period.start is None
            return Reason.TOO_FEW_VALUATIONS if lone else Reason.NO_VALUATION_IN_PERIOD
        return Span(first, last, days.item(first), days.item(last))

    def flows_of(self, spans: Iterable[Span | Reason]) -> list[tuple[int, int]]:
        """Return where in `dated` the flows between the valuations of each span begin and end; a reason has none."""
        # One after the close of a day is in no valuation of that day, any other one is in it. To date them otherwise
        # moves none across such a bound: they stand in `dated` where they stand in `flows`.
        late = 1 if self.conventions.flow_timing is FlowTiming.AFTER_CLOSE else 0
        bounds = [day - late for each in spans if not isinstance(each, Reason) for day in each[2:]]
        found = iter(self.flows.days.searchsorted(bounds, side="right").tolist())
        return list(zip(found, found, strict=True))

    def link(self, span: Span) -> Linked:
        """Return what lies between two valuations, linked."""
        first, last, opening, closing = span
        beside = self.benchmark
        if self.edges is None and self.parts.regular:
            # As `link` has it, without a copy of anything.
            value = float(np.multiply.reduce(self.parts.growth[first:last])) - 1.0
            if isfinite(value):
                twr = TimeWeightedReturn(value, None, (), self.returns[first:last], self.parts.end[first:last])
                returns = None if beside is None else beside.returns[first:last]
                return Linked(twr, closing - opening, returns, large_flow=False, whole=True)
        parts = self._between(first, last)
        starts, ends = (each[~parts.empty] for each in (parts.start, parts.end))
        returns = None
        if beside is not None:
            days, levels = self.valuations.days, beside.levels
            before, after = (days.searchsorted(each) for each in (starts, ends))
            returns = levels[after] / levels[before] - 1.0
        return Linked(link(parts), int((ends - starts).sum()), returns, bool(parts.large_flow.any()), whole=False)

    def _between(self, first: int, last: int) -> SubPeriods:
        edges = self.edges
        if edges is None:
            return self.parts.slice(first, last)
        if first in edges and last in edges:
            return self.parts.slice(*edges.searchsorted((first, last)).tolist())
        # The period starts or ends within a month: its own edges cut the months it touches.
        cut = np.concatenate(([first], edges[(edges > first) & (edges < last)], [last]))
        marks = Valuations(self.valuations.days[cut], self.valuations.values[cut])
        return dietz_sub_periods(marks, self.flows, self.conventions.flow_timing)


def same_days(one: DayArray, other: DayArray) -> bool:
    """Return whether two lists of days are the same."""
    return one is other or (one.size == other.size and not np.count_nonzero(one != other))


def _inception(values: FloatArray) -> int:
    """Return the position of the last zero before the first value, of the first valuation where there is none."""
    if values.item(0) != 0.0:
        return 0
    held = np.flatnonzero(values)
    return max(int(held[0]) - 1, 0) if held.size else 0
