"""Time-weighted returns: daily valuation, Modified Dietz, linking and annualising.

Definitions follow Bacon, *Practical Portfolio Performance Measurement and Attribution* (2nd ed., ch. 2) and the GIPS
standards; `docs/methodology.md` tells each choice made where they leave one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from common.calculations.types import (
    Caution,
    DayArray,
    FloatArray,
    Flows,
    FlowTiming,
    Money,
    Reason,
    Undefinable,
    Valuations,
    day_date,
    day_number,
)

DAYS_PER_YEAR = 365.0
LARGE_FLOW_SHARE = 0.10
# Below this share of the amounts that made it, a difference of amounts is rounding, not money.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class SubPeriods:
    """The stretches between consecutive valuations, each with its growth.

    Attributes
    ----------
    start, end : (n,) int64
        Days on which each sub-period starts and ends.
    growth : (n,) float64
        1 + return; 1 where nothing was invested, meaningless where `undefined`.
    empty : (n,) bool
        Nothing was invested: the sub-period is left out.
    unexplained : (n,) bool
        Of the empty ones, those that end with a value no flow explains.
    undefined : (n,) bool
        The capital at work was not positive.
    large_flow : (n,) bool
        The flows exceed `LARGE_FLOW_SHARE` of the opening value.
    """

    start: DayArray
    end: DayArray
    growth: FloatArray
    empty: NDArray[np.bool_]
    unexplained: NDArray[np.bool_]
    undefined: NDArray[np.bool_]
    large_flow: NDArray[np.bool_]

    def slice(self, first: int, last: int) -> "SubPeriods":
        """Return the sub-periods `first` to `last`, the latter excluded."""
        part = slice(first, last)
        return SubPeriods(
            self.start[part],
            self.end[part],
            self.growth[part],
            self.empty[part],
            self.unexplained[part],
            self.undefined[part],
            self.large_flow[part],
        )


@dataclass(frozen=True, slots=True)
class TimeWeightedReturn(Undefinable):
    """A time-weighted return over a whole period, not annualised.

    Attributes
    ----------
    value : float or None
    reason : Reason or None
        Why `value` is None.
    warnings : tuple of Caution
    sub_returns : (n,) float64
        The linked returns in order, the empty sub-periods left out; empty where `value` is None.
    end_days : (n,) int64
        The day each of them ends on, as days since 1970-01-01.
    """

    warnings: tuple[Caution, ...] = ()
    sub_returns: FloatArray | Sequence[float] = ()
    end_days: DayArray | Sequence[int] = ()

    @property
    def sub_period_ends(self) -> tuple[date, ...]:
        """`end_days` as dates."""
        return tuple(day_date(day) for day in self.end_days)


def calculate_daily_twr(
    daily_values: Iterable[tuple[date, Money]],
    cash_flows: Iterable[tuple[date, Money]] = (),
    *,
    flow_timing: FlowTiming | str = FlowTiming.AFTER_CLOSE,
) -> TimeWeightedReturn:
    """Link the returns between consecutive valuations (the "true" time-weighted return).

    Parameters
    ----------
    daily_values
        `DailyValue`s or (date, value) pairs in any order, each date once. Any spacing will do.
    cash_flows
        `CashFlow`s or (date, amount) pairs; a contribution is positive.
    flow_timing
        What a flow dated d did. With V0, V1 the valuations around it and F the flow, the return is
        V1 / (V0 + F) - 1 for `after_close` (F dated with V0) and `start_of_day` (F dated with V1),
        (V1 - F) / V0 - 1 for `end_of_day`, (V1 + outflow) / (V0 + inflow) - 1 for `inflow_start_outflow_end`.
        A flow between two valuations belongs to the sub-period between them.

    Returns
    -------
    TimeWeightedReturn
        None with `too_few_valuations`, `non_positive_denominator`, `empty_account` or `track_record_broken`. A
        sub-period in which nothing was invested is left out; an inflow into an empty account counts from the start
        of its day.

    Raises
    ------
    ValueError
        A date stands twice, or a number is not finite.
    """
    valuations = Valuations.of(daily_values)
    flows = Flows.of(cash_flows)
    timing = FlowTiming(flow_timing)
    linked = link(daily_sub_periods(valuations, flows, timing))
    cautions = list(linked.warnings)
    if outside_valuations(valuations, flows, timing):
        cautions.append(Caution.FLOW_OUTSIDE_VALUATIONS)
    if flow_timing_suspect_days(valuations, flows, timing):
        cautions.append(Caution.FLOW_TIMING_SUSPECT)
    return TimeWeightedReturn(linked.value, linked.reason, tuple(cautions), linked.sub_returns, linked.end_days)


def calculate_modified_dietz(
    beginning_value: Money,
    ending_value: Money,
    cash_flows: Iterable[tuple[date, Money]],
    start_date: date,
    end_date: date,
    *,
    flow_timing: FlowTiming | str = FlowTiming.AFTER_CLOSE,
) -> TimeWeightedReturn:
    """Return (V1 - V0 - sum F) / (V0 + sum w F), the Modified Dietz approximation of one period.

    Parameters
    ----------
    beginning_value, ending_value
        Values at the close of `start_date` and of `end_date`.
    cash_flows
        `CashFlow`s or (date, amount) pairs; a contribution is positive. Those that `beginning_value` already holds,
        or that come after `ending_value`, are left out with a warning.
    flow_timing
        Weights a flow of day d among T days by (T - d) / T (`after_close`, `end_of_day`) or (T - d + 1) / T
        (`start_of_day`); `inflow_start_outflow_end` uses the second for contributions, the first for withdrawals.

    Returns
    -------
    TimeWeightedReturn
        None with `non_positive_denominator` where the average capital is not positive, with `too_few_valuations`
        where the period has no day, with `empty_account` where nothing was ever invested.

    Raises
    ------
    ValueError
        A number is not finite.

    References
    ----------
    Dietz (1966), *Pension Funds: Measuring Investment Performance*; Bacon (2008), ch. 2.
    """
    timing = FlowTiming(flow_timing)
    first, last = day_number(start_date), day_number(end_date)
    if last <= first:
        return TimeWeightedReturn(None, Reason.TOO_FEW_VALUATIONS)
    valuations = Valuations.from_arrays([first, last], [float(beginning_value), float(ending_value)])
    flows = Flows.of(cash_flows)
    linked = link(dietz_sub_periods(valuations, flows, timing))
    cautions = list(linked.warnings)
    if outside_valuations(valuations, flows, timing):
        cautions.append(Caution.FLOW_OUTSIDE_VALUATIONS)
    return TimeWeightedReturn(linked.value, linked.reason, tuple(cautions), linked.sub_returns, linked.end_days)


def annualize_return(total_return: float, days: int) -> Undefinable:
    """Return (1 + R) ** (365 / days) - 1, from a full year on.

    Parameters
    ----------
    total_return
        Cumulative return R over the whole period.
    days
        Calendar days from its base to its end.

    Returns
    -------
    Undefinable
        None with `under_one_year` below 365 days (GIPS forbids annualising those), with `track_record_broken` for a
        return below -100 %, with `out_of_range` where no float holds the result.
    """
    if days < DAYS_PER_YEAR:
        return Undefinable(None, Reason.UNDER_ONE_YEAR)
    return annualize_whole_year(total_return, days)


def annualize_whole_year(total_return: float, days: int) -> Undefinable:
    """Return the same for a period that is a year by the calendar, whose valuations may lie a day or two less apart."""
    if total_return < -1.0:
        return Undefinable(None, Reason.TRACK_RECORD_BROKEN)
    if total_return == -1.0:
        return Undefinable(-1.0)
    with np.errstate(over="ignore"):
        value = float(np.expm1(np.log1p(total_return) * (DAYS_PER_YEAR / days)))
    return Undefinable(value) if np.isfinite(value) else Undefinable(None, Reason.OUT_OF_RANGE)


def link_returns(returns: Sequence[float] | FloatArray) -> float:
    """Return the compounded return of consecutive `returns`, 0 for none."""
    return float(np.prod(1.0 + np.asarray(returns, dtype=np.float64)) - 1.0)


def daily_sub_periods(valuations: Valuations, flows: Flows, timing: FlowTiming) -> SubPeriods:
    """Return the growth between each two consecutive valuations; `calculate_daily_twr` tells the formulas."""
    v0, v1 = valuations.values[:-1], valuations.values[1:]
    n = v0.size
    where, inside = _sub_period_of(valuations.days, flows.days, timing)
    amounts = flows.amounts[inside]
    net = np.bincount(where, weights=amounts, minlength=n)
    moved: FloatArray = np.bincount(where, weights=np.abs(amounts), minlength=n).astype(np.float64)
    rounding = _ROUNDING * (np.abs(v0) + moved)
    opened = (v0 == 0.0) & (net > 0.0)

    match timing:
        case FlowTiming.AFTER_CLOSE | FlowTiming.START_OF_DAY:
            ending, capital = v1, v0 + net
        case FlowTiming.END_OF_DAY:
            # An inflow into an empty account opens it: there is no earlier capital that could have earned.
            ending, capital = np.where(opened, v1, v1 - net), np.where(opened, net, v0)
        case FlowTiming.INFLOW_START_OUTFLOW_END:
            inflow, outflow = (moved + net) / 2.0, (moved - net) / 2.0
            ending, capital = v1 + outflow, v0 + inflow

    no_capital = np.abs(capital) <= rounding
    untouched = (v0 == 0.0) & (moved == 0.0)
    empty = untouched | (no_capital & (v0 == 0.0) & (np.abs(v1) <= rounding))
    if timing is FlowTiming.AFTER_CLOSE:
        # Everything left after the close of the last day: that day's return is known, and nothing follows it.
        empty |= no_capital & (np.abs(v1) <= rounding)
    undefined = ~empty & (no_capital | (capital < 0.0))
    return _sub_periods(valuations.days, ending, capital, empty, undefined, v1, v0, moved)


def dietz_sub_periods(valuations: Valuations, flows: Flows, timing: FlowTiming) -> SubPeriods:
    """Return the Modified Dietz growth between each two consecutive valuations."""
    v0, v1 = valuations.values[:-1], valuations.values[1:]
    n = v0.size
    where, inside = _sub_period_of(valuations.days, flows.days, timing)
    amounts = flows.amounts[inside]
    length = (valuations.days[1:] - valuations.days[:-1]).astype(np.float64)
    remaining = (valuations.days[1:][where] - flows.days[inside]).astype(np.float64)
    if timing is FlowTiming.START_OF_DAY:
        remaining += 1.0
    elif timing is FlowTiming.INFLOW_START_OUTFLOW_END:
        remaining += amounts > 0.0
    net = np.bincount(where, weights=amounts, minlength=n)
    moved: FloatArray = np.bincount(where, weights=np.abs(amounts), minlength=n).astype(np.float64)
    weighted = np.bincount(where, weights=amounts * (remaining / length[where]), minlength=n)
    rounding = _ROUNDING * (np.abs(v0) + moved)
    capital = v0 + weighted
    gain = v1 - v0 - net
    no_capital = np.abs(capital) <= rounding
    empty = ((v0 == 0.0) & (moved == 0.0)) | (no_capital & (np.abs(gain) <= rounding))
    undefined = ~empty & (no_capital | (capital < 0.0))
    return _sub_periods(valuations.days, capital + gain, capital, empty, undefined, v1, v0, moved)


def link(parts: SubPeriods) -> TimeWeightedReturn:
    """Compound sub-periods into one return; `calculate_daily_twr` tells when there is none."""
    if parts.growth.size == 0:
        return TimeWeightedReturn(None, Reason.TOO_FEW_VALUATIONS)
    cautions: list[Caution] = []
    if parts.unexplained.any():
        cautions.append(Caution.VALUE_WITHOUT_FLOW)
    if parts.undefined.any():
        return TimeWeightedReturn(None, Reason.NON_POSITIVE_DENOMINATOR, tuple(cautions))
    if parts.empty.any():
        cautions.append(Caution.EMPTY_ACCOUNT)
        active = ~parts.empty
        growth, ends = parts.growth[active], parts.end[active]
        if growth.size == 0:
            return TimeWeightedReturn(None, Reason.EMPTY_ACCOUNT, tuple(cautions))
    else:
        growth, ends = parts.growth, parts.end
    lowest = growth.min()
    if lowest <= 0.0:
        cautions.append(Caution.TRACK_RECORD_BROKEN)
        broken = int(np.argmax(growth <= 0.0))
        if growth[broken] < 0.0 and broken < growth.size - 1:
            # A loss of more than everything leaves no capital to which a later return could be linked.
            return TimeWeightedReturn(None, Reason.TRACK_RECORD_BROKEN, tuple(cautions))
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(np.prod(growth)) - 1.0
    if not np.isfinite(value):
        return TimeWeightedReturn(None, Reason.OUT_OF_RANGE, tuple(cautions))
    return TimeWeightedReturn(value, None, tuple(cautions), growth - 1.0, ends)


def outside_valuations(valuations: Valuations, flows: Flows, timing: FlowTiming) -> bool:
    """Tell whether a flow belongs to no sub-period, and so was left out."""
    if flows.days.size == 0 or valuations.days.size == 0:
        return False
    _, inside = _sub_period_of(valuations.days, flows.days, timing)
    return not bool(inside.all())


def flow_timing_suspect_days(valuations: Valuations, flows: Flows, timing: FlowTiming) -> list[int]:
    """Return the days of large flows that the valuations contradict under `timing`.

    Around a flow of over 10 % of the value, the returns of the sub-periods before and after it are made under each
    timing. Read with the wrong one, the flow itself shows up as a return: a jump of its own size that another timing
    explains away. A day is suspect where `timing` leaves over five times the movement of the best other timing and
    at least half of the flow's share.

    Returns
    -------
    list of int
        Days since 1970-01-01, ascending.
    """
    if flows.days.size == 0 or valuations.days.size < 2:
        return []
    days, place = np.unique(flows.days, return_inverse=True)
    amounts: FloatArray = np.bincount(place, weights=flows.amounts).astype(np.float64)
    before = np.searchsorted(valuations.days, days, side="left") - 1
    met = valuations.values[np.clip(before, 0, None)]
    known = (before >= 0) & (before < valuations.days.size - 1) & (met > 0.0)
    share = np.zeros(days.size)
    with np.errstate(over="ignore"):
        share[known] = np.abs(amounts[known]) / met[known]
    suspects = []
    for index in np.flatnonzero(share > LARGE_FLOW_SHARE):
        first = int(before[index])
        window = Valuations(valuations.days[first : first + 3], valuations.values[first : first + 3])
        inside = Flows(days[index : index + 1], amounts[index : index + 1])
        movement = {candidate: _movement(window, inside, candidate) for candidate in FlowTiming}
        # The jump that a flow of this size makes when it is taken for performance.
        jump = 0.5 * float(abs(np.log(max(1.0 + np.sign(amounts[index]) * min(share[index], 0.9), 0.1))))
        best = min(value for candidate, value in movement.items() if candidate is not timing)
        if movement[timing] > jump and movement[timing] > 5.0 * best:
            suspects.append(int(days[index]))
    return suspects


def _movement(valuations: Valuations, flows: Flows, timing: FlowTiming) -> float:
    """Sum |ln growth| over a few sub-periods; infinite where one is undefined."""
    parts = daily_sub_periods(valuations, flows, timing)
    growth = parts.growth[~parts.empty]
    if parts.undefined.any() or (growth <= 0.0).any():
        return float("inf")
    return float(np.abs(np.log(growth)).sum())


def _sub_period_of(
    days: DayArray, flow_days: DayArray, timing: FlowTiming
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the sub-period of each flow that has one, and which flows have one.

    Between valuations at d0 < d1 a flow belongs to d0 <= d < d1 when d0's valuation excludes it (`after_close`), to
    d0 < d <= d1 otherwise.
    """
    side: str = "right" if timing is FlowTiming.AFTER_CLOSE else "left"
    where = np.searchsorted(days, flow_days, side=side) - 1  # type: ignore[call-overload]  # numpy wants a literal
    inside = (where >= 0) & (where < days.size - 1)
    return where[inside], inside


def _sub_periods(
    days: DayArray,
    ending: FloatArray,
    capital: FloatArray,
    empty: NDArray[np.bool_],
    undefined: NDArray[np.bool_],
    v1: FloatArray,
    v0: FloatArray,
    moved: FloatArray,
) -> SubPeriods:
    growth = np.ones_like(capital)
    with np.errstate(over="ignore"):
        np.divide(ending, capital, out=growth, where=~(empty | undefined))
    unexplained = empty & (v0 == 0.0) & (moved == 0.0) & (v1 != 0.0)
    large = (v0 > 0.0) & (moved > LARGE_FLOW_SHARE * v0)
    return SubPeriods(days[:-1], days[1:], growth, empty, unexplained, undefined, large)
