"""The internal rates of return of many portfolios at once.

All portfolios take the steps of `sole_root` side by side, each row of flows summed on its own. Those whose rate is not
found so, or not shown to be the only one, and those that have none, are solved one by one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from common.calculations.money_weighted import (
    DEFAULT_MAX_ITERATIONS,
    DEFAULT_TOLERANCE,
    NETS_TO_NIL,
    MoneyWeightedReturn,
    solve,
)
from common.calculations.sole_root import (
    ACCURACY,
    LARGEST_EXPONENT,
    LEAST_MOVED,
    MOST_MOVED,
    MOST_STEPS,
    VISIBLE,
    correction,
    first_step,
    settles,
    slack,
)
from common.calculations.types import DayArray, FloatArray

FLOWS_AT_ONCE = 65_536
"""Some ten arrays of so many numbers are in use at a time, whatever the number of portfolios."""
_TOGETHER, _FEW_LEFT = 3, 0.125
"""All rows take so many steps together, or until so small a share is left: to take the others out costs more."""

_BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class MoneyWeightedReturns(Sequence[MoneyWeightedReturn]):
    """Internal rates of return, one a portfolio: a sequence of `MoneyWeightedReturn`, kept as arrays.

    Attributes
    ----------
    values : (m,) float64
        The rates; NaN, which the sequence shows as None with its reason, where there is none.
    period_values : (m,) float64
        The rates over the time of the flows; NaN where there is none.
    singly : mapping of int to MoneyWeightedReturn
        The whole result of the portfolios that were solved one by one, by their place. All others have one root and
        no reason.
    """

    values: FloatArray
    period_values: FloatArray
    singly: Mapping[int, MoneyWeightedReturn]

    def __len__(self) -> int:
        return int(self.values.size)

    @overload
    def __getitem__(self, place: int) -> MoneyWeightedReturn: ...
    @overload
    def __getitem__(self, place: slice) -> list[MoneyWeightedReturn]: ...
    def __getitem__(self, place: int | slice) -> MoneyWeightedReturn | list[MoneyWeightedReturn]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        found = self.singly.get(place)
        if found is not None:
            return found
        value = float(self.values[place])
        return MoneyWeightedReturn(value, None, (value,), float(self.period_values[place]))

    def __iter__(self) -> Iterator[MoneyWeightedReturn]:
        singly = self.singly
        for place, (value, over_span) in enumerate(zip(self.values.tolist(), self.period_values.tolist(), strict=True)):
            yield singly.get(place) or MoneyWeightedReturn(value, None, (value,), over_span)


def xirr_many(
    days: DayArray,
    amounts: FloatArray,
    offsets: NDArray[np.int64],
    *,
    max_iterations: int = DEFAULT_MAX_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
) -> MoneyWeightedReturns:
    """Return the internal rates of return of many portfolios, as `xirr` does of one.

    Reasons and the number of roots are those of the single call. Rates are too, but for the rounding of present values
    that are summed in another order: ln(1 + r) agrees to 1e-12, relative to 1 + |ln(1 + r)|, unless the flows hardly
    tell one rate from another. For less than some eight portfolios the single call is faster. The signature is stable.

    Parameters
    ----------
    days : (n,) int64
        Days since 1970-01-01 of all flows, one portfolio after the other, ascending within each; a year has 365
        (act/365F).
    amounts : (n,) float64
        From the investor's view: what is paid in is negative, what comes back positive. Those of one day are added.
    offsets : (m + 1,) int64
        Where the flows of each portfolio begin, and at last n: portfolio i has those from offsets[i] to
        offsets[i + 1] - 1.
    max_iterations
        Steps allowed for each root.
    tolerance
        Error allowed in ln(1 + r), relative to 1 + |ln(1 + r)|, as judged by the last step.

    Returns
    -------
    MoneyWeightedReturns
        (m,)

    Raises
    ------
    ValueError
        The shapes do not fit, the days of a portfolio descend, an amount is not finite, or `max_iterations` or
        `tolerance` is not positive.
    """
    days = np.asarray(days, dtype=np.int64)
    amounts = np.asarray(amounts, dtype=np.float64)
    offsets = np.asarray(offsets, dtype=np.int64)
    _check(days, amounts, offsets, max_iterations, tolerance)
    log_rates = np.full(offsets.size - 1, np.nan)
    spans = np.zeros(offsets.size - 1)
    for first, last in _chunks(offsets):
        flows = slice(offsets[first], offsets[last])
        rows = _Rows.of(days[flows], amounts[flows], np.diff(offsets[first : last + 1]))
        spans[first:last][rows.places] = rows.spans
        rows.solve(log_rates[first:last], max_iterations, tolerance)

    values = np.expm1(log_rates)
    period_values = np.expm1(log_rates * spans)
    singly: dict[int, MoneyWeightedReturn] = {}
    for place in np.flatnonzero(np.isnan(log_rates)).tolist():
        flows = slice(offsets[place], offsets[place + 1])
        found = solve(days[flows], amounts[flows], max_iterations=max_iterations, tolerance=tolerance)
        singly[place] = found
        values[place] = np.nan if found.value is None else found.value
        period_values[place] = np.nan if found.period_value is None else found.period_value
    return MoneyWeightedReturns(values, period_values, singly)


def _check(
    days: DayArray, amounts: FloatArray, offsets: NDArray[np.int64], max_iterations: int, tolerance: float
) -> None:
    if max_iterations < 1 or not tolerance > 0.0:
        raise ValueError("max_iterations and tolerance must be positive")
    if days.ndim != 1 or days.shape != amounts.shape:
        raise ValueError(f"{days.size} days for {amounts.size} amounts")
    if offsets.ndim != 1 or offsets.size == 0 or offsets[0] != 0 or offsets[-1] != days.size:
        raise ValueError("offsets must lead from 0 to the number of flows")
    if bool((offsets[1:] < offsets[:-1]).any()):
        raise ValueError("offsets must not descend")
    if not bool(np.isfinite(amounts).all()):
        raise ValueError("amounts must be finite numbers")
    falls = days[1:] < days[:-1]
    falls[offsets[(offsets > 0) & (offsets < days.size)] - 1] = False
    if bool(falls.any()):
        raise ValueError("the days of a portfolio must ascend")


def _chunks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of portfolios with some `FLOWS_AT_ONCE` flows together, or one portfolio that has more."""
    first, count = 0, offsets.size - 1
    while first < count:
        last = int(np.searchsorted(offsets, offsets[first] + FLOWS_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield first, last
        first = last


@dataclass(frozen=True, slots=True)
class _Rows:
    """The flows of some portfolios, one row after the other, each of two flows or more on days of their own.

    Attributes
    ----------
    places : (m,) int64
        Which portfolio a row is.
    times, paid : (n,) float64
        Years from the row's first flow, and amounts, none of them 0.
    counts, starts, ends : (m,) int64
        Flows of each row; place of its first and of its last.
    """

    places: NDArray[np.int64]
    times: FloatArray
    paid: FloatArray
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, days: DayArray, amounts: FloatArray, counts: NDArray[np.int64]) -> Self:
        """Net the flows of each day, and leave out the portfolios with less than two days of flows."""
        days, amounts, counts = _net_by_day(days, amounts, counts)
        enough = counts > 1
        if not bool(enough.all()):
            kept = np.repeat(enough, counts)
            days, amounts, counts = days[kept], amounts[kept], counts[enough]
        starts = np.cumsum(counts) - counts
        times = (days - np.repeat(days[starts], counts)).astype(np.float64)
        times /= 365.0
        return cls(np.flatnonzero(enough), times, amounts, counts, starts, starts + counts - 1)

    @property
    def spans(self) -> FloatArray:
        """Years from the first flow to the last."""
        return self.times[self.ends]

    def only(self, chosen: _BoolArray) -> Self:
        """Return some of the rows."""
        kept = np.repeat(chosen, self.counts)
        counts = self.counts[chosen]
        starts = np.cumsum(counts) - counts
        return type(self)(self.places[chosen], self.times[kept], self.paid[kept], counts, starts, starts + counts - 1)

    def solve(self, log_rates: FloatArray, max_iterations: int, tolerance: float) -> None:
        """Put ln(1 + r) of the rows that are shown to have one rate into their places."""
        if not self.places.size:
            return
        rows = self
        with np.errstate(all="ignore"):  # what comes out of it is not finite, or does not settle
            x = rows._first_step()
            for taken in range(1, min(max_iterations, MOST_STEPS)):
                spans = rows.spans
                alive = np.abs(x) * np.maximum(1.0, spans) <= LARGEST_EXPONENT
                x[~alive] = np.nan  # for good
                values = np.repeat(np.where(alive, -x, 0.0), rows.counts)
                values *= rows.times
                np.exp(values, out=values)
                values *= rows.paid
                work = np.abs(values)
                size = np.add.reduceat(work, rows.starts)
                value, first, second, third = rows._moments(values, work)
                newton = value / first
                x += newton * correction(newton, -0.5 * second / first, third / first / 6.0)
                reach = spans * np.abs(newton)
                error = (1.0 + np.abs(x)) * min(tolerance, ACCURACY)
                settled = alive & settles(reach, np.abs(first), size, spans, error)
                if taken < _TOGETHER and np.count_nonzero(alive & ~settled) > _FEW_LEFT * x.size:
                    continue
                # A row that has not settled does not end at nil; weighed by nothing, it spoils no other row's balances.
                shown = settled & rows._have_one_root(values, np.where(settled, size, np.inf), slack(reach, size))
                log_rates[rows.places[shown]] = x[shown] + 0.0  # never -0.0
                left = alive & ~shown & ~(settled & (reach <= VISIBLE))
                if not bool(left.any()):
                    return
                rows, x = rows.only(left), x[left]

    def _first_step(self) -> FloatArray:
        work = np.empty(self.paid.size)
        signed = self._moments(self.paid, work)
        sizes = self._moments(np.abs(self.paid), work)
        step = first_step(signed, sizes, np.log)
        step[~((sizes[0] > LEAST_MOVED) & (sizes[0] < MOST_MOVED))] = np.nan
        return step

    def _moments(self, values: FloatArray, work: FloatArray) -> list[FloatArray]:
        """Return each row's sums of `values` times t**k for k = 0 to 3; `work` is written over."""
        moments = [np.add.reduceat(values, self.starts)]
        for _ in range(3):
            values = np.multiply(values, self.times, out=work)
            moments.append(np.add.reduceat(values, self.starts))
        return moments

    def _have_one_root(self, values: FloatArray, size: FloatArray, slack: FloatArray) -> _BoolArray:
        """Return of each row whether its balances stay further than `slack` from nil, or its flows turn but once."""
        first, last = self.paid[self.starts], self.paid[self.ends]
        balances = values * np.repeat(np.sign(first) / size, self.counts)
        before = balances[self.starts]
        np.add.accumulate(balances, out=balances)
        np.subtract(balances[self.starts], before, out=before)
        # The first balance is the first flow, and the last but one offsets the last flow: both signs are known.
        balances[self.starts] = balances[self.ends] = balances[self.ends - 1] = np.inf
        lowest = np.minimum.reduceat(balances, self.starts) - before
        one: _BoolArray = (lowest > slack / size) & ((first < 0.0) != (last < 0.0))
        if not bool(one.all()):
            positive = self.paid > 0.0
            turns = np.zeros(positive.size)
            turns[1:] = positive[1:] != positive[:-1]
            turns[self.starts] = 0.0
            one |= np.add.reduceat(turns, self.starts) == 1.0
        return one


def _net_by_day(
    days: DayArray, amounts: FloatArray, counts: NDArray[np.int64]
) -> tuple[DayArray, FloatArray, NDArray[np.int64]]:
    """Add the amounts of each portfolio's days, and leave out what nets to nil, as the single call does."""
    starts = np.ones(days.size, dtype=np.bool_)
    np.greater(days[1:], days[:-1], out=starts[1:])
    ends = np.cumsum(counts)
    starts[ends[ends < days.size]] = True
    if bool(starts.all()):
        moving = amounts != 0.0
        if bool(moving.all()):
            return days, amounts, counts
        row = np.repeat(np.arange(counts.size), counts)
    else:
        row = np.repeat(np.arange(counts.size), counts)[starts]
        place = np.cumsum(starts) - 1
        days = days[starts]
        net = np.bincount(place, weights=amounts).astype(np.float64)
        moved = np.bincount(place, weights=np.abs(amounts))
        moving = np.abs(net) > NETS_TO_NIL * moved
        amounts = net
    counts = np.bincount(row[moving], minlength=counts.size)
    return days[moving], amounts[moving], counts
