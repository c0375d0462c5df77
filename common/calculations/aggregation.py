"""Histories made from other histories: an account from its portfolios, a security's total return from its prices."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from common.calculations.bookkeeping import LedgerError, without_rounding
from common.calculations.types import DayArray, FloatArray, Flows, PriceHistory, Valuations
from common.calculations.words import Caution

History = tuple[Valuations, Flows]

# What is valued every month is carried to the day of a flow, what is valued every quarter is not.
MAX_CARRIED_DAYS = 31
# Longer than any week-end with a holiday.
CARRIED_DAYS_UNTOLD = 4


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """What portfolios make of an account.

    Attributes
    ----------
    valuations : Valuations
        At the close, the flows of the day included.
    flows : Flows
        The net of each day, without the days on which they cancel.
    warnings : tuple of Caution
    """

    valuations: Valuations
    flows: Flows
    warnings: tuple[Caution, ...] = ()


def sum_histories(histories: Sequence[History]) -> AccountHistory:
    """Return the history of an account from those of its portfolios.

    A portfolio lives from its first valuation on; before, it is worth 0. At the close of a day it is worth its last
    valuation and what flowed in or out since. One of exactly 0 is that of the days that follow too, until a valuation
    or a flow comes after it.

    The account has a valuation on each day on which every portfolio alive has one of its own. It has one on each day
    with a net flow too, so that the flow earns nothing it was not there for; portfolios without a valuation of that
    day are carried forward, at most `MAX_CARRIED_DAYS`. Where one would be older, that day gets none.

    The account begins with its earliest portfolio; what those that begin on that day are worth opens it. One that
    begins later brings its first value in as an external flow of that day, which stands for its own flows up to then:
    the value holds them. What goes from one portfolio to another on one day cancels.

    Parameters
    ----------
    histories
        Valuations that include the flows of their day, in one currency, and flows.

    Returns
    -------
    AccountHistory
        What comes after a day changes nothing up to it. With `carried_valuation` where a valuation was made with one
        that is over `CARRIED_DAYS_UNTOLD` days older.

    Raises
    ------
    LedgerError
        There is no history, or one has no valuation.
    """
    if not histories:
        raise LedgerError("there are no valuations")
    for number, (valuations, _) in enumerate(histories, start=1):
        if valuations.days.size == 0:
            raise LedgerError(f"history {number} of {len(histories)} has no valuations")

    opening = min(int(valuations.days[0]) for valuations, _ in histories)
    moved: list[Flows] = []
    for valuations, flows in histories:
        begin = int(valuations.days[0])
        later = flows.days > begin
        moved.append(Flows(flows.days[later], flows.amounts[later]))
        if begin > opening:
            moved.append(Flows(valuations.days[:1], valuations.values[:1]))
    net = _net(moved)

    days = np.unique(np.concatenate([net.days, *(valuations.days for valuations, _ in histories)]))
    oldest = np.zeros(days.size, dtype=np.int64)
    for valuations, flows in histories:
        alive = days >= valuations.days[0]
        oldest[alive] = np.maximum(oldest[alive], _ages(valuations, flows, days[alive]))
    valued = (oldest == 0) | (np.isin(days, net.days) & (oldest <= MAX_CARRIED_DAYS))
    days, oldest = days[valued], oldest[valued]

    worth, gross = np.zeros(days.size), np.zeros(days.size)
    for valuations, flows in histories:
        alive = days >= valuations.days[0]
        value, size = _closing_values(valuations, flows, days[alive])
        worth[alive] += value
        gross[alive] += size
    told = bool((oldest > CARRIED_DAYS_UNTOLD).any())
    return AccountHistory(
        Valuations(days, without_rounding(worth, gross)), net, (Caution.CARRIED_VALUATION,) if told else ()
    )


def include_flows(valuations: Valuations, flows: Flows) -> Valuations:
    """Turn valuations that exclude the flows of their day into valuations that include them.

    Where each flow has a valuation of its day, the returns V1 / (V0 + F) - 1 of `FlowTiming.AFTER_CLOSE` stay what
    they were, now as (V1' - F') / V0' - 1 of `FlowTiming.END_OF_DAY`.
    """
    return _with_flows(valuations, flows, 1.0)


def exclude_flows(valuations: Valuations, flows: Flows) -> Valuations:
    """Turn valuations that include the flows of their day into valuations that exclude them.

    The inverse of `include_flows`: where each flow has a valuation of its day, the returns of `FlowTiming.END_OF_DAY`
    become those of `FlowTiming.AFTER_CLOSE`, save that what an opening inflow earned on its own day has no capital to
    be measured on.
    """
    return _with_flows(valuations, flows, -1.0)


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


def _ages(valuations: Valuations, flows: Flows, days: DayArray) -> DayArray:
    """Return how many days old the last valuation is on each of `days`; 0 for what was emptied and is empty still."""
    at = np.searchsorted(valuations.days, days, side="right") - 1
    valued_on = valuations.days[at]
    still = np.searchsorted(flows.days, valued_on, side="right") == np.searchsorted(flows.days, days, side="right")
    return np.where((valuations.values[at] == 0.0) & still, 0, days - valued_on)


def _closing_values(valuations: Valuations, flows: Flows, days: DayArray) -> tuple[FloatArray, FloatArray]:
    """Return what a portfolio is worth at the close of each of `days`, and the size of the amounts that made it.

    None of `days` is before its first valuation.
    """
    at = np.searchsorted(valuations.days, days, side="right") - 1
    worth = valuations.values[at]
    gross = np.abs(worth)
    first = np.searchsorted(flows.days, valuations.days[at], side="right")
    last = np.searchsorted(flows.days, days, side="right")
    for index in np.flatnonzero(last > first):
        since = flows.amounts[first[index] : last[index]].tolist()
        worth[index] = math.fsum([worth[index], *since])
        gross[index] += math.fsum(map(abs, since))
    return worth, gross


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


def _with_flows(valuations: Valuations, flows: Flows, sign: float) -> Valuations:
    """Add `sign` times the flows of its day to each valuation."""
    same = np.isin(flows.days, valuations.days)
    where, amounts = np.searchsorted(valuations.days, flows.days[same]), flows.amounts[same]
    size = valuations.days.size
    values: FloatArray = valuations.values + sign * np.bincount(where, weights=amounts, minlength=size)
    gross: FloatArray = np.abs(valuations.values) + np.bincount(where, weights=np.abs(amounts), minlength=size)
    return Valuations(valuations.days, without_rounding(values, gross))
