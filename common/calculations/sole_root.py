"""The rate of flows that can have no other: found in two or three evaluations, and shown to be the only one.

It is sought as the root of the present value f(x) = sum of a_i exp(-t_i x), x = ln(1 + r), flows in the order of time.
At a root z let B(t) be the balance at t: the sum of a_i exp(-t_i z) over the flows up to t. Summed by parts,

    f(x) = (x - z) * integral of B(t) exp(-(x - z) t) dt

from the first flow to the last. Where the balance keeps its sign all the way, so does the integral for every x: z is
the only real root, and a simple one. Teichroew, Robichek and Montalbano (1965) call this a pure investment; so are most
portfolios: at its own rate the account is never overdrawn. Flows of which that cannot be shown, and whose signs change
more than once (Descartes), are left to the exhaustive search of `real_roots`.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.calculations.types import FloatArray, highest, lowest

FEW = 24
"""Up to so many flows plain floats are faster than arrays; measured, the two meet between 20 and 30."""
MOST_STEPS = 8
"""Two or three are usual; what needs more is left to the exhaustive search."""
LEAST_MOVED, MOST_MOVED, LARGEST_EXPONENT = 1e-100, 1e100, 300.0
"""Where the sizes of all amounts add up to between these nothing overflows, and nothing that matters loses digits."""
ACCURACY = 1e-17
"""What the last step may leave of the error in x, relative to 1 + |x|: less than the rounding of f does."""
VISIBLE = 1e-12
"""A balance is told from nil from this share of all present values on: their rounding stays far below."""

Number = TypeVar("Number", float, FloatArray)


def sole_root(times: FloatArray, paid: FloatArray, max_iterations: int, tolerance: float) -> float | None:
    """Return ln(1 + r) of the only rate of some flows; None where it is not found, or not shown to be the only one.

    Parameters
    ----------
    times : (n,) float64, n >= 2
        Years from the first flow; strictly ascending.
    paid : (n,) float64
        Amounts; where the first or the last is 0, one is not finite or all have one sign, no rate is found.
    max_iterations
        Steps allowed.
    tolerance
        Bound of the error that the last step may leave in x, relative to 1 + |x|; `ACCURACY` where that is smaller.
    """
    if times.size <= FEW:
        return sole_root_of_few(times.tolist(), paid.tolist(), max_iterations, tolerance)
    sizes = np.abs(paid)
    if not highest(sizes) < MOST_MOVED:
        return None
    return _search(_ManyFlows(times, paid, sizes), float(times[-1]), max_iterations, tolerance)


def sole_root_of_few(times: list[float], paid: list[float], max_iterations: int, tolerance: float) -> float | None:
    """Return the same, for flows in plain lists."""
    return _search(_FewFlows(times, paid), times[-1], max_iterations, tolerance)


def first_step(signed: Sequence[Number], sizes: Sequence[Number], log: Callable[[Number], Number]) -> Number:
    """Return the step from x = 0, where no exponential is needed, by moments of the times.

    It is taken on g = ln P - ln N, the logarithms of the present values of inflows and outflows, which is so nearly a
    straight line that one step comes close. The derivatives of ln P are the cumulants of the times, weighted.

    Parameters
    ----------
    signed, sizes
        The sums of a_i t_i**k and of |a_i| t_i**k for k = 0 to 3.
    """
    signed_0, signed_1, signed_2, signed_3 = signed
    size_0, size_1, size_2, size_3 = sizes
    # Twice the sums over each side; the means do not see it.
    inflow, outflow = size_0 + signed_0, size_0 - signed_0
    mean_in, mean_out = (size_1 + signed_1) / inflow, (size_1 - signed_1) / outflow
    square_in, square_out = (size_2 + signed_2) / inflow, (size_2 - signed_2) / outflow
    variance_in, variance_out = square_in - mean_in * mean_in, square_out - mean_out * mean_out
    skew_in = (size_3 + signed_3) / inflow - mean_in * (square_in + 2.0 * variance_in)
    skew_out = (size_3 - signed_3) / outflow - mean_out * (square_out + 2.0 * variance_out)
    slope = mean_out - mean_in
    newton = -log(inflow / outflow) / slope
    return newton * correction(newton, 0.5 * (variance_in - variance_out) / slope, (skew_out - skew_in) / slope / 6.0)


def correction(newton: Number, second: Number, third: Number) -> Number:
    """Return the factor that makes Newton's step one of Householder's third order, whose error is its fourth power.

    Parameters
    ----------
    second, third
        f'' / 2 f' and f''' / 6 f'.
    """
    bend = second * newton
    return (1.0 + bend) / (1.0 + bend + bend + third * newton * newton)


def settles(reach: Number, steepness: Number, size: Number, length: Number, error: Number) -> bool | NDArray[np.bool_]:
    """Return whether a step of third order ends at a root of f but for `error`.

    No derivative of f exceeds size * length ** order, which bounds the error of the step by its fourth power.

    Parameters
    ----------
    reach
        The size of Newton's step times `length`; where it settles, the corrected one differs by less than a tenth.
    steepness, size
        |f'| and the sum of all present values' sizes, where the step began.
    """
    share = steepness / (size * length)
    near = reach <= 0.1 * share  # the slope stays what it is, so there is a root
    squared = reach * reach
    return near & (squared * squared <= length * error * share * share * share)


def slack(reach: Number, size: Number) -> Number:
    """Return how far a balance, seen where the step began, must be from nil to have the same sign at its end."""
    return size * (2.0 * reach + VISIBLE)


class _PresentValues(Protocol):
    """Dated flows that can be discounted."""

    def first_step(self) -> float: ...

    def at(self, x: float) -> tuple[Sequence[float], float]:
        """Return the sums of a_i t_i**k exp(-t_i x) for k = 0 to 3, and the sum of the sizes of the first."""

    def keeps_its_sign(self, slack: float) -> bool:
        """Return whether the balances of the last `at` stay further than `slack` from nil, all on one side of it."""

    def turns_once(self) -> bool:
        """Return whether the amounts change their sign once; one of 0 can only make it more often."""


def _search(flows: _PresentValues, length: float, max_iterations: int, tolerance: float) -> float | None:
    longest = max(1.0, length)  # a year at least: a rate is shown for one
    try:
        x = flows.first_step()
        for _ in range(min(max_iterations, MOST_STEPS) - 1):
            if not abs(x) * longest <= LARGEST_EXPONENT:
                return None
            (value, first, second, third), size = flows.at(x)
            newton = value / first  # f' is minus the first moment
            x += newton * correction(newton, -0.5 * second / first, third / first / 6.0)
            reach = length * abs(newton)
            if not settles(reach, abs(first), size, length, (1.0 + abs(x)) * min(tolerance, ACCURACY)):
                continue
            if flows.keeps_its_sign(slack(reach, size)) or flows.turns_once():
                return x + 0.0  # never -0.0
            if reach <= VISIBLE:
                return None
    except (ZeroDivisionError, ValueError):
        # All of one sign, or a slope of nil: nothing that Newton's method is for.
        return None
    return None


class _FewFlows:
    """Some flows in plain floats: one loop over them takes less than to set up each sum of its own."""

    __slots__ = ("paid", "times", "values")

    def __init__(self, times: list[float], paid: list[float]) -> None:
        self.times, self.paid = times, paid
        self.values = paid

    def first_step(self) -> float:
        signed_0 = signed_1 = signed_2 = signed_3 = 0.0
        size_0 = size_1 = size_2 = size_3 = 0.0
        for amount, time in zip(self.paid, self.times, strict=True):
            moment, size = amount, abs(amount)
            signed_0 += moment
            size_0 += size
            moment, size = moment * time, size * time
            signed_1 += moment
            size_1 += size
            moment, size = moment * time, size * time
            signed_2 += moment
            size_2 += size
            signed_3 += moment * time
            size_3 += size * time
        if not LEAST_MOVED < size_0 < MOST_MOVED:
            return math.nan
        return first_step((signed_0, signed_1, signed_2, signed_3), (size_0, size_1, size_2, size_3), math.log)

    def at(self, x: float) -> tuple[Sequence[float], float]:
        exp, rate = math.exp, -x
        size = sum_0 = sum_1 = sum_2 = sum_3 = 0.0
        self.values = values = []
        for amount, time in zip(self.paid, self.times, strict=True):
            discount = exp(rate * time)
            value = amount * discount
            values.append(value)
            size += abs(value)
            sum_0 += value
            moment = amount * time
            sum_1 += moment * discount
            moment *= time
            sum_2 += moment * discount
            moment *= time
            sum_3 += moment * discount
        return (sum_0, sum_1, sum_2, sum_3), size

    def keeps_its_sign(self, slack: float) -> bool:
        first, last = self.paid[0], self.paid[-1]
        # The first balance is the first flow, and the last but one offsets the last flow: both signs are known.
        inner = list(accumulate(self.values))[1:-2]
        if first < 0.0 < last:
            return max(inner, default=-math.inf) < -slack
        return last < 0.0 < first and min(inner, default=math.inf) > slack

    def turns_once(self) -> bool:
        changes = sum((one > 0.0) != (other > 0.0) for one, other in pairwise(self.paid))
        return changes == 1 and self.paid[0] != 0.0 != self.paid[-1]


class _ManyFlows:
    """Flows in arrays."""

    __slots__ = ("paid", "powers", "sizes", "times", "values")

    def __init__(self, times: FloatArray, paid: FloatArray, sizes: FloatArray) -> None:
        self.times, self.paid, self.sizes = times, paid, sizes
        self.powers = np.empty((4, times.size))
        self.powers[0] = 1.0
        self.powers[1] = times
        np.multiply(times, times, out=self.powers[2])
        np.multiply(self.powers[2], times, out=self.powers[3])
        self.values = paid

    def first_step(self) -> float:
        sizes: list[float] = (self.powers @ self.sizes).tolist()
        if not LEAST_MOVED < sizes[0] < MOST_MOVED:
            return math.nan
        signed: list[float] = (self.powers @ self.paid).tolist()
        return first_step(signed, sizes, math.log)

    def at(self, x: float) -> tuple[Sequence[float], float]:
        discounts = np.exp(self.times * -x)
        self.values = self.paid * discounts
        return (self.powers @ self.values).tolist(), float(self.sizes @ discounts)

    def keeps_its_sign(self, slack: float) -> bool:
        first, last = float(self.paid[0]), float(self.paid[-1])
        inner = np.add.accumulate(self.values)[1:-2]
        if first < 0.0 < last:
            return highest(inner) < -slack
        return last < 0.0 < first and lowest(inner) > slack

    def turns_once(self) -> bool:
        positive = self.paid > 0.0
        changes = int(np.count_nonzero(positive[1:] != positive[:-1]))
        return changes == 1 and bool(self.paid[0] != 0.0 != self.paid[-1])
