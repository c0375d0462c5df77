"""Time-weighted returns: the growth of sub-periods, daily or by Modified Dietz, linked and annualised.

Definitions follow Bacon, *Practical Portfolio Performance Measurement and Attribution* (2nd ed., ch. 2) and the GIPS
standards; `docs/methodology.md` tells each choice made where they leave one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import expm1, inf, isfinite, log1p

import numpy as np

from common.calculations.flow_timing import flow_timing_suspect_days
from common.calculations.periods import DAYS_PER_YEAR
from common.calculations.sub_periods import SubPeriods, daily_sub_periods, dietz_sub_periods, outside_valuations
from common.calculations.types import DayArray, FloatArray, Flows, Valuations
from common.calculations.words import Caution, FlowTiming, Money, Reason, Undefinable, day_date, day_number


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
    """Return the same for a period that `Period.is_full_year`, whose valuations may lie some days less apart."""
    if total_return < -1.0:
        return Undefinable(None, Reason.TRACK_RECORD_BROKEN)
    if total_return == -1.0:
        return Undefinable(-1.0)
    try:
        value = expm1(log1p(total_return) * (DAYS_PER_YEAR / days))
    except OverflowError:
        value = inf
    return Undefinable(value) if isfinite(value) else Undefinable(None, Reason.OUT_OF_RANGE)


def link_returns(returns: Sequence[float] | FloatArray) -> float:
    """Return the compounded return of consecutive `returns`, 0 for none."""
    return float(np.prod(1.0 + np.asarray(returns, dtype=np.float64)) - 1.0)


def link(parts: SubPeriods) -> TimeWeightedReturn:
    """Compound sub-periods into one return; `calculate_daily_twr` tells when there is none."""
    if parts.growth.size == 0:
        return TimeWeightedReturn(None, Reason.TOO_FEW_VALUATIONS)
    if parts.regular:
        return _compound(parts.growth, parts.end, ())
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
    return _compound(growth, ends, tuple(cautions))


def _compound(growth: FloatArray, ends: DayArray, cautions: tuple[Caution, ...]) -> TimeWeightedReturn:
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(np.multiply.reduce(growth)) - 1.0
    if not isfinite(value):
        return TimeWeightedReturn(None, Reason.OUT_OF_RANGE, cautions)
    return TimeWeightedReturn(value, None, cautions, growth - 1.0, ends)
