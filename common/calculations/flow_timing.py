"""Whether the valuations around large flows contradict the timing that the flows were given."""

import numpy as np
from numpy.typing import NDArray

from common.calculations.sub_periods import LARGE_FLOW_SHARE, daily_growth
from common.calculations.types import DayArray, FloatArray, Flows, Valuations, highest, lowest
from common.calculations.words import FlowTiming


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
    return suspect_days(valuations, flows.net(), timing)


def suspect_days(valuations: Valuations, net: Flows, timing: FlowTiming) -> list[int]:
    """Return the same, of flows of which no two are of one day."""
    days, amounts = net.days, net.amounts
    if days.size == 0 or valuations.days.size < 2:
        return []
    if highest(np.abs(amounts)) < 0.99 * LARGE_FLOW_SHARE * lowest(valuations.values):
        return []  # What is small against the lowest value is small against the one it met.
    before = valuations.days.searchsorted(days) - 1
    # The value that a flow meets is on an earlier day, and a valuation follows.
    known = (before >= 0) & (before < valuations.days.size - 1)
    met = valuations.values[before]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        share = np.abs(amounts) / met
        large = np.flatnonzero(known & (met > 0.0) & (share > LARGE_FLOW_SHARE))
    if large.size == 0:
        return []
    days, amounts, before, share = days[large], amounts[large], before[large], share[large]
    movement = {each: _movement(valuations, days, amounts, before, each) for each in FlowTiming}
    # The jump that a flow of this size makes when it is taken for performance.
    jump = 0.5 * np.abs(np.log(np.maximum(1.0 + np.sign(amounts) * np.minimum(share, 0.9), 0.1)))
    best = np.minimum.reduce([each for candidate, each in movement.items() if candidate is not timing])
    suspect = (movement[timing] > jump) & (movement[timing] > 5.0 * best)
    found: list[int] = days[suspect].tolist()
    return found


def _movement(
    valuations: Valuations, days: DayArray, amounts: FloatArray, before: NDArray[np.intp], timing: FlowTiming
) -> FloatArray:
    """Sum |ln growth| over the two sub-periods around each of some flows; infinite where one is undefined."""
    middle, after = before + 1, np.minimum(before + 2, valuations.days.size - 1)
    values = valuations.values
    v0, v1 = np.stack((values[before], values[middle])), np.stack((values[middle], values[after]))
    late = (valuations.days[middle] == days) & (timing is FlowTiming.AFTER_CLOSE)
    net = np.stack((np.where(late, 0.0, amounts), np.where(late, amounts, 0.0)))
    # Where the valuations end with the flow, there is no second sub-period: nothing moves in it.
    ended = after == middle
    v0[1, ended], v1[1, ended], net[1, ended] = 1.0, 1.0, 0.0
    grown = daily_growth(v0, v1, net, np.abs(net), timing)
    broken = grown.undefined | (~grown.empty & (grown.growth <= 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = np.where(grown.empty, 0.0, np.abs(np.log(grown.growth)))
    total: FloatArray = np.where(broken.any(axis=0), np.inf, moved.sum(axis=0))
    return total
