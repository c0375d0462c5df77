"""Histories made from other histories: an account from its portfolios, a security's total return from its prices."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from common.calculations.bookkeeping import LedgerError, without_rounding
from common.calculations.types import FloatArray, Flows, PriceHistory, Valuations, day_date

History = tuple[Valuations, Flows]


def sum_histories(histories: Sequence[History]) -> History:
    """Return the history of an account from those of its portfolios.

    A portfolio lives from its first valuation on, and until a last valuation of exactly 0 that no flow follows;
    outside its life it is worth 0. The account has a valuation on each day on which every portfolio alive has one:
    nothing is carried forward, so nothing is stale, and a portfolio valued weekly makes the account weekly.

    The account begins with its earliest portfolio; what those that begin on that day are worth opens it. One that
    begins later brings its first value in as an external flow of that day, which stands for its own flows up to then:
    the value holds them. What goes from one portfolio to another on one day cancels.

    Parameters
    ----------
    histories
        Valuations that include the flows of their day, in one currency, and flows. A lone history keeps all of its
        days and flows.

    Returns
    -------
    tuple of Valuations and Flows
        The flows are the net of each day, without the days on which they cancel.

    Raises
    ------
    LedgerError
        There is no history, one has no valuation, or no day is common to all once the last of them has begun.
    """
    if not histories:
        raise LedgerError("there are no valuations")
    for number, (valuations, _) in enumerate(histories, start=1):
        if valuations.days.size == 0:
            raise LedgerError(f"history {number} of {len(histories)} has no valuations")
    if len(histories) == 1:
        return histories[0][0], _net([histories[0][1]])

    begins = [int(valuations.days[0]) for valuations, _ in histories]
    days = np.unique(np.concatenate([valuations.days for valuations, _ in histories]))
    unvalued = np.zeros(days.size, dtype=np.int64)
    worth, gross = np.zeros(days.size), np.zeros(days.size)
    moved: list[Flows] = []
    for begin, (valuations, flows) in zip(begins, histories, strict=True):
        alive = days >= begin
        if _is_closed(valuations, flows):
            alive &= days <= valuations.days[-1]
        at = np.searchsorted(days, valuations.days)
        unvalued += alive
        unvalued[at] -= 1
        worth[at] += valuations.values
        gross[at] += np.abs(valuations.values)
        later = flows.days > begin
        moved.append(Flows(flows.days[later], flows.amounts[later]))
        if begin > min(begins):
            moved.append(Flows(valuations.days[:1], valuations.values[:1]))
    common = unvalued == 0
    if not bool(common[days >= max(begins)].any()):
        raise LedgerError(
            f"the portfolios have no valuation day in common from {day_date(max(begins))} on, "
            "when the last of them begins"
        )
    return Valuations(days[common], without_rounding(worth, gross)[common]), _net(moved)


def include_flows(valuations: Valuations, flows: Flows) -> History:
    """Turn valuations that exclude the flows of their day into valuations that include them.

    A flow after the close of d0 takes part from then on, and so does one between d0 and the next valuation
    (`FlowTiming.AFTER_CLOSE`): both are added to the value of d0, and the latter is dated d0. Each daily return
    V1 / (V0 + F) - 1 stays what it was, now as (V1' - F') / V0' - 1 of `FlowTiming.END_OF_DAY`. Where valuations are
    rare, a money-weighted return sees such a flow earlier than it came. Flows before the first and after the last
    valuation belong to none, and are left alone.
    """
    after = np.searchsorted(valuations.days, flows.days, side="right") - 1
    return _shifted(valuations, flows, after, 1.0)


def exclude_flows(valuations: Valuations, flows: Flows) -> History:
    """Turn valuations that include the flows of their day into valuations that exclude them.

    The inverse of `include_flows`: a flow of d1, or between the valuation before and d1, is taken from the value of d1
    and dated d1. The daily returns of `FlowTiming.END_OF_DAY` become those of `FlowTiming.AFTER_CLOSE`, save that
    what an opening inflow earned on its own day has no capital to be measured on.
    """
    before = np.searchsorted(valuations.days, flows.days, side="left")
    return _shifted(valuations, flows, before, -1.0)


def security_history(prices: PriceHistory) -> History:
    """Return the history of one unit bought at the first price, whose dividends are paid out.

    Splits multiply the units from their day on. A dividend D is quoted as the price of its ex-date is, for one unit
    after a split of the same day: on u units it is a flow of -u D. Under `FlowTiming.END_OF_DAY` the return of a day is
    thus the total return u1 (P1 + D) / (u0 P0) - 1. Dividend and split of the first day come before the purchase.

    Raises
    ------
    LedgerError
        There are no prices.
    """
    if prices.days.size == 0:
        raise LedgerError("there are no prices")
    units = np.cumprod(np.concatenate(([1.0], prices.splits[1:])))
    paid = prices.dividends * units
    paid[0] = 0.0
    ex_dates = np.flatnonzero(paid)
    return (
        Valuations.from_arrays(prices.days, prices.prices * units),
        Flows.from_arrays(prices.days[ex_dates], -paid[ex_dates]),
    )


def _is_closed(valuations: Valuations, flows: Flows) -> bool:
    """Tell whether a portfolio ended empty: money that came after its last valuation is worth something unknown."""
    return bool(valuations.values[-1] == 0.0) and not bool(flows.amounts[flows.days > valuations.days[-1]].any())


def _net(parts: Iterable[Flows]) -> Flows:
    """Return the net flow of each day that has one; an exact sum, so that their order does not matter."""
    amounts: defaultdict[int, list[float]] = defaultdict(list)
    for part in parts:
        for day, amount in zip(part.days.tolist(), part.amounts.tolist(), strict=True):
            amounts[day].append(amount)
    days = np.array(sorted(amounts), dtype=np.int64)
    net = np.array([math.fsum(amounts[day]) for day in days.tolist()])
    gross = np.array([math.fsum(map(abs, amounts[day])) for day in days.tolist()])
    net = without_rounding(net, gross)
    return Flows(days[net != 0.0], net[net != 0.0])


def _shifted(valuations: Valuations, flows: Flows, at: NDArray[np.intp], sign: float) -> History:
    """Add each flow `sign` times to the valuation `at` its place, and date it so, where it lies between valuations."""
    days, values = valuations.days, valuations.values
    if days.size == 0:
        return valuations, flows
    inside = (flows.days >= days[0]) & (flows.days <= days[-1])
    where, amounts = at[inside], flows.amounts[inside]
    shifted: FloatArray = values + sign * np.bincount(where, weights=amounts, minlength=days.size)
    gross: FloatArray = np.abs(values) + np.bincount(where, weights=np.abs(amounts), minlength=days.size)
    dated = flows.days.copy()
    dated[inside] = days[where]
    return Valuations(days, without_rounding(shifted, gross)), Flows(dated, flows.amounts)
