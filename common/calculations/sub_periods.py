"""The growth of the capital between valuations: exact between all of them, by Modified Dietz between some.

`returns` links it, and has the formulas in the docstrings of the public functions.
"""

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from common.calculations.types import DayArray, FloatArray, Flows, Valuations, highest, lowest
from common.calculations.words import FlowTiming

LARGE_FLOW_SHARE = 0.10
# Below this share of the amounts that made it, a difference of amounts is rounding, not money.
_ROUNDING = 1e-12


class SubPeriods(NamedTuple):
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
        Modified Dietz: the flows exceed `LARGE_FLOW_SHARE` of the opening value. Never set for returns between all
        valuations, which are exact whatever the flow.
    regular : bool
        Every growth is positive and none of the flags but `large_flow` is set, as far as is known: `link` need not
        look.
    """

    start: DayArray
    end: DayArray
    growth: FloatArray
    empty: NDArray[np.bool_]
    unexplained: NDArray[np.bool_]
    undefined: NDArray[np.bool_]
    large_flow: NDArray[np.bool_]
    regular: bool = False

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
            self.regular,
        )


class Growth(NamedTuple):
    """What became of the capital of sub-periods.

    Attributes
    ----------
    growth, empty, unexplained, undefined
        Arrays of one shape; what they mean is told by `SubPeriods`.
    flagged : bool
        Some sub-period is empty or undefined.
    """

    growth: FloatArray
    empty: NDArray[np.bool_]
    unexplained: NDArray[np.bool_]
    undefined: NDArray[np.bool_]
    flagged: bool


def daily_sub_periods(valuations: Valuations, flows: Flows, timing: FlowTiming) -> SubPeriods:
    """Return the growth between each two consecutive valuations; `calculate_daily_twr` tells the formulas."""
    days, values = valuations.days, valuations.values
    inside = _counted_flows(valuations, flows, timing)
    where, v0 = _sub_period_of(days, inside.days, timing), values[:-1]
    net, moved = _by_sub_period(where, inside.amounts, v0.size)
    return _sub_periods(days, daily_growth(v0, values[1:], net, moved, timing))


@np.errstate(over="ignore")
def daily_growth(v0: FloatArray, v1: FloatArray, net: FloatArray, moved: FloatArray, timing: FlowTiming) -> Growth:
    """Return the growth of sub-periods from `v0` to `v1`; `calculate_daily_twr` tells the formulas.

    Parameters
    ----------
    v0, v1, net, moved
        The valuations around each sub-period, the sum of its flows and the sum of their sizes: arrays of one shape.
    """
    least = lowest(v0)
    match timing:
        case FlowTiming.AFTER_CLOSE | FlowTiming.START_OF_DAY:
            ending, capital = v1, v0 + net
        case FlowTiming.END_OF_DAY:
            ending, capital = v1 - net, v0
            if least <= 0.0:
                # An inflow into an empty account opens it: there is no earlier capital that could have earned.
                opened = (v0 == 0.0) & (net > 0.0)
                ending, capital = np.where(opened, v1, ending), np.where(opened, net, capital)
        case FlowTiming.INFLOW_START_OUTFLOW_END:
            ending, capital = v1 + (moved - net) / 2.0, v0 + (moved + net) / 2.0

    if v0.size and least > 0.0 and lowest(capital) > _ROUNDING * (highest(v0) + highest(moved)):
        # Always invested, as nearly all portfolios are: no sub-period needs a second look.
        never = np.zeros(capital.shape, dtype=np.bool_)
        return Growth(ending / capital, never, never, never, flagged=False)
    rounding = _ROUNDING * (np.abs(v0) + moved)
    no_capital = np.abs(capital) <= rounding
    untouched = (v0 == 0.0) & (moved == 0.0)
    empty = untouched | (no_capital & (v0 == 0.0) & (np.abs(v1) <= rounding))
    if timing is FlowTiming.AFTER_CLOSE:
        # Everything left after the close of the last day: that day's return is known, and nothing follows it.
        empty |= no_capital & (np.abs(v1) <= rounding)
    undefined = ~empty & (no_capital | (capital < 0.0))
    return _divided(ending, capital, empty, empty & untouched & (v1 != 0.0), undefined)


def dietz_sub_periods(valuations: Valuations, flows: Flows, timing: FlowTiming) -> SubPeriods:
    """Return the Modified Dietz growth between each two consecutive valuations."""
    days = valuations.days
    v0, v1 = valuations.values[:-1], valuations.values[1:]
    inside = _counted_flows(valuations, flows, timing)
    where, amounts = _sub_period_of(days, inside.days, timing), inside.amounts
    length = (days[1:] - days[:-1]).astype(np.float64)
    remaining = (days[1:][where] - inside.days).astype(np.float64)
    if timing is FlowTiming.START_OF_DAY:
        remaining += 1.0
    elif timing is FlowTiming.INFLOW_START_OUTFLOW_END:
        remaining += amounts > 0.0
    net, moved = _by_sub_period(where, amounts, v0.size)
    weighted = np.bincount(where, weights=amounts * (remaining / length[where]), minlength=v0.size)
    rounding = _ROUNDING * (np.abs(v0) + moved)
    capital = v0 + weighted
    gain = v1 - v0 - net
    no_capital = np.abs(capital) <= rounding
    untouched = (v0 == 0.0) & (moved == 0.0)
    empty = untouched | (no_capital & (np.abs(gain) <= rounding))
    undefined = ~empty & (no_capital | (capital < 0.0))
    grown = _divided(capital + gain, capital, empty, empty & untouched & (v1 != 0.0), undefined)
    return _sub_periods(days, grown, (v0 > 0.0) & (moved > LARGE_FLOW_SHARE * v0))


def outside_valuations(valuations: Valuations, flows: Flows, timing: FlowTiming) -> bool:
    """Tell whether a flow belongs to no sub-period, and so was left out."""
    days, flow_days = valuations.days, flows.days
    if not days.size or not flow_days.size:
        return False
    late = 1 if timing is FlowTiming.AFTER_CLOSE else 0  # as `Flows.within` has it
    return flow_days.item(0) <= days.item(0) - late or flow_days.item(-1) > days.item(-1) - late


def _counted_flows(valuations: Valuations, flows: Flows, timing: FlowTiming) -> Flows:
    """Return the flows that belong to a sub-period."""
    days = valuations.days
    if not days.size:
        return Flows.none()
    whole = not outside_valuations(valuations, flows, timing)
    return flows if whole else flows.within(days.item(0), days.item(-1), timing)


def _sub_period_of(days: DayArray, flow_days: DayArray, timing: FlowTiming) -> NDArray[np.intp]:
    """Return the sub-period of each flow of those that have one.

    Between valuations at d0 < d1 a flow belongs to d0 <= d < d1 when d0's valuation excludes it (`after_close`), to
    d0 < d <= d1 otherwise.
    """
    return days[1:].searchsorted(flow_days, side="right" if timing is FlowTiming.AFTER_CLOSE else "left")


def _by_sub_period(where: NDArray[np.intp], amounts: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Return the sum of the flows of each of `count` sub-periods, and the sum of their sizes."""
    if amounts.size == 0:
        nothing = np.zeros(count)
        return nothing, nothing
    net = cast(FloatArray, np.bincount(where, amounts, count))  # of integers only without weights
    return net, net if lowest(amounts) >= 0.0 else cast(FloatArray, np.bincount(where, np.abs(amounts), count))


def _divided(
    ending: FloatArray,
    capital: FloatArray,
    empty: NDArray[np.bool_],
    unexplained: NDArray[np.bool_],
    undefined: NDArray[np.bool_],
) -> Growth:
    growth = np.ones_like(capital)
    flagged = empty | undefined
    with np.errstate(over="ignore"):
        np.divide(ending, capital, out=growth, where=~flagged)
    return Growth(growth, empty, unexplained, undefined, bool(flagged.any()))


def _sub_periods(days: DayArray, grown: Growth, large_flow: NDArray[np.bool_] | None = None) -> SubPeriods:
    """Return the sub-periods between valuations on `days`."""
    growth, empty, unexplained, undefined, flagged = grown
    large = np.zeros(empty.size, dtype=np.bool_) if large_flow is None else large_flow
    regular = not flagged and lowest(growth) > 0.0
    return SubPeriods(days[:-1], days[1:], growth, empty, unexplained, undefined, large, regular)
