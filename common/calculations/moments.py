"""Sums over series of returns, of which every risk metric is made: those of several series in one go.

The series are laid end to end, so that one numpy call serves all of them; for the periods of a portfolio, most of which
are short, that is most of the time there is to save. Nothing is taken from a running total: each sum is over its own
returns, about their own mean, and numpy's `reduceat` adds pairwise as its `sum` does.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import nan
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.calculations.types import FloatArray

IndexArray = NDArray[np.intp]

NUMBERS_AT_ONCE = 16_384
"""128 KiB: arrays that are any larger the allocator takes from the system each time, which costs more than it saves."""

_Item = TypeVar("_Item")
_SURELY_ABOVE = 1.0
"""Standard deviations below the mean that a quantile of a few percent passes in all but odd distributions."""


class Drawdown(NamedTuple):
    """The largest fall below an earlier peak.

    Indices count wealth points: 0 is the start, i the end of the i-th return.
    """

    value: float
    peak_index: int | None = None
    trough_index: int | None = None
    recovery_index: int | None = None
    """First point at or above the peak again; None when that has not come yet."""


class Moments(NamedTuple):
    """Of n returns r with the mean m; s is sqrt(squares / n).

    Attributes
    ----------
    n, lowest, highest, mean
    squares
        sum (r - m)**2.
    cubes, fourths
        sum ((r - m) / s)**3, and to the fourth power; meaningless where s is 0 or infinite.
    below
        sum min(r - target, 0)**2.
    quantile, tail
        The quantile of `tail_share`, linear between order statistics, and the mean of the returns at or below it;
        0 below two returns.
    drawdown
        Of the wealth that the returns make of 1.
    """

    n: int
    lowest: float
    highest: float
    mean: float
    squares: float
    cubes: float
    fourths: float
    below: float
    quantile: float
    tail: float
    drawdown: Drawdown


class JointMoments(NamedTuple):
    """Of n returns r and those of a benchmark b; a = r - b.

    Attributes
    ----------
    mean, squares
        Of b, as in `Moments`.
    product
        sum (r - mean(r)) (b - mean(b)).
    active_mean, active_squares
        Of a.
    growth, benchmark_growth
        prod (1 + r) and prod (1 + b).
    up, benchmark_up
        The same over the returns where b > 0.
    down, benchmark_down
        Over the others.
    """

    mean: float
    squares: float
    product: float
    active_mean: float
    active_squares: float
    growth: float
    benchmark_growth: float
    up: float
    benchmark_up: float
    down: float
    benchmark_down: float


def blocks(items: Sequence[_Item], sizes: Sequence[int]) -> Iterator[Sequence[_Item]]:
    """Yield runs of `items` of at most `NUMBERS_AT_ONCE` together, or of one that is larger."""
    first = size = 0
    for place, each in enumerate(sizes):
        if size and size + each > NUMBERS_AT_ONCE:
            yield items[first:place]
            first, size = place, 0
        size += each
    if first < len(items):
        yield items[first:]


class Series:
    """Series of returns, none of them empty, laid end to end.

    Attributes
    ----------
    returns : (n,) float64
    starts, counts : (s,) intp
        Where in `returns` each series begins, and of how many returns it is.
    means : (s,) float64
    centred, growth : (n,) float64
        The returns less their own series' mean, and 1 + them.
    """

    def __init__(self, series: Sequence[FloatArray]) -> None:
        sizes = [each.size for each in series]
        self.counts: IndexArray = np.array(sizes, dtype=np.intp)
        self.starts: IndexArray = np.add.accumulate(self.counts) - self.counts
        self.returns = _end_to_end(series)
        self.means = self._sum(self.returns) / self.counts
        self.centred = self._spread(self.means)
        np.subtract(self.returns, self.centred, out=self.centred)
        self.growth = 1.0 + self.returns
        self._bounds = list(pairwise((*self.starts.tolist(), self.returns.size)))

    def moments(self, target: float, tail_share: float) -> list[Moments]:
        """Return the moments of each series; numpy's warnings are the caller's to silence.

        Parameters
        ----------
        target
            The return a period to fall short of which is a risk.
        tail_share
            Of the returns, those that the quantile is to be above.
        """
        work = self.centred * self.centred
        squares = self._sum(work)
        # Divided before they are raised to a power, as large returns would have no cube.
        z = self._spread(np.sqrt(squares / self.counts))
        np.divide(self.centred, z, out=z)
        tails = self._tails(np.flatnonzero(z < -_SURELY_ABOVE), tail_share)
        np.multiply(z, z, out=work)
        z *= work
        work *= work
        cubes, fourths = self._sum(z), self._sum(work)
        np.minimum(self.returns, target, out=work)
        if target:
            work -= target
        work *= work
        return list(
            map(
                Moments,
                self.counts.tolist(),
                np.minimum.reduceat(self.returns, self.starts).tolist(),
                np.maximum.reduceat(self.returns, self.starts).tolist(),
                self.means.tolist(),
                squares.tolist(),
                cubes.tolist(),
                fourths.tolist(),
                self._sum(work).tolist(),
                [quantile for quantile, _ in tails],
                [mean for _, mean in tails],
                self.drawdowns(),
            )
        )

    def drawdowns(self) -> list[Drawdown]:
        """Return the drawdown of the wealth that each series makes of 1."""
        points = [(first + number, last + number + 1) for number, (first, last) in enumerate(self._bounds)]
        wealth = np.empty(self.returns.size + len(points))
        peaks = np.empty_like(wealth)
        for (first, last), (start, end) in zip(self._bounds, points, strict=True):
            wealth[start] = 1.0
            np.multiply.accumulate(self.growth[first:last], out=wealth[start + 1 : end])
            np.maximum.accumulate(wealth[start:end], out=peaks[start:end])
        falls = np.divide(wealth, peaks, out=peaks)
        np.subtract(1.0, falls, out=falls)
        return [_drawdown(wealth[start:end], falls[start:end]) for start, end in points]

    def joint_moments(self, benchmark: "Series") -> list[JointMoments]:
        """Return the moments of each series and a benchmark's of the same length."""
        active = self.returns - benchmark.returns
        active_means = self._sum(active) / self.counts
        active -= self._spread(active_means)
        active *= active
        active_squares = self._sum(active)
        squares = self._sum(np.multiply(benchmark.centred, benchmark.centred, out=active))
        products = self._sum(np.multiply(self.centred, benchmark.centred, out=active))
        rises = benchmark.returns > 0.0
        up, down = np.flatnonzero(rises), np.flatnonzero(~rises)
        return list(
            map(
                JointMoments,
                benchmark.means.tolist(),
                squares.tolist(),
                products.tolist(),
                active_means.tolist(),
                active_squares.tolist(),
                np.multiply.reduceat(self.growth, self.starts).tolist(),
                np.multiply.reduceat(benchmark.growth, self.starts).tolist(),
                self._products(self.growth, up),
                self._products(benchmark.growth, up),
                self._products(self.growth, down),
                self._products(benchmark.growth, down),
            )
        )

    def _sum(self, values: FloatArray) -> FloatArray:
        sums: FloatArray = np.add.reduceat(values, self.starts)
        return sums

    def _spread(self, values: FloatArray) -> FloatArray:
        """Return the value of each series beside each of its returns."""
        return values.repeat(self.counts)

    def _parts(self, where: IndexArray) -> list[tuple[int, int]]:
        """Return where in `where`, positions in ascending order, those of each series begin and end."""
        return list(pairwise((*where.searchsorted(self.starts).tolist(), where.size)))

    def _products(self, values: FloatArray, where: IndexArray) -> list[float]:
        """Return the product of the values at the positions `where` of each series, 1 where it has none."""
        chosen, parts = values.take(where), self._parts(where)
        if all(first < last for first, last in parts):
            products: list[float] = np.multiply.reduceat(chosen, [first for first, _ in parts]).tolist()
            return products
        # For an empty stretch `reduceat` answers with the value that follows it.
        return [float(np.multiply.reduce(chosen[first:last])) for first, last in parts]

    def _tails(self, low: IndexArray, share: float) -> list[tuple[float, float]]:
        """Return quantile and tail of each series, looked for among the returns at the positions `low`."""
        lowest = self.returns.take(low)
        return [
            _tail(self.returns[first:last], lowest[start:end], share)
            for (first, last), (start, end) in zip(self._bounds, self._parts(low), strict=True)
        ]


def _end_to_end(series: Sequence[FloatArray]) -> FloatArray:
    return series[0] if len(series) == 1 else np.concatenate(series)


def _tail(returns: FloatArray, lowest: FloatArray, share: float) -> tuple[float, float]:
    """Return the quantile of `share`, as `numpy.quantile` has it, and the mean of what is at or below it.

    Parameters
    ----------
    lowest
        All of the returns below some bound. Where they are enough, only they are put in order: of all the work on a
        series, that is the dearest.
    """
    if returns.size < 2:
        return 0.0, 0.0
    place = (returns.size - 1) * share
    rank = int(place)
    weight = place - rank
    if lowest.size < rank + 2:
        lowest = returns
    ordered = np.partition(lowest, (rank, rank + 1))
    lower, upper = ordered[rank : rank + 2].tolist()
    step = upper - lower
    quantile = lower + step * weight if weight < 0.5 else upper - step * (1.0 - weight)
    # All up to the rank are at or below the lower one; only where the quantile meets the upper one there may be more.
    tail = ordered[: rank + 1] if lower <= quantile < upper else returns[returns <= quantile]
    return quantile, float(np.add.reduce(tail)) / tail.size if tail.size else nan


def _drawdown(wealth: FloatArray, falls: FloatArray) -> Drawdown:
    trough = int(falls.argmax())
    fall = float(falls[trough])
    if not fall > 0.0:
        return Drawdown(0.0)
    peak = int(wealth[: trough + 1].argmax())
    recovered = wealth[trough:] >= wealth[peak]
    after = int(recovered.argmax())
    return Drawdown(fall, peak, trough, trough + after if recovered[after] else None)
