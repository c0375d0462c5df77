"""Sums over series of returns, of which every risk metric is made: those of several series in one go.

The series are laid end to end, so that one numpy call serves all of them; for the periods of a portfolio, most of which
are short, that is most of the time there is to save. Those of many portfolios over the same days are rows of a matrix,
with one benchmark beside all of them. Nothing is taken from a running total: each sum is over its own returns, about
their own mean, and numpy's `reduceat`, which adds pairwise, adds a series in the same order wherever it lies.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.calculations.extremes import deepest_fall, lower_tail
from common.calculations.types import FloatArray, ascends

IndexArray = NDArray[np.intp]

NUMBERS_AT_ONCE = 16_384
"""128 KiB: arrays that are any larger the allocator takes from the system each time, which costs more than it saves."""

_Item = TypeVar("_Item")
_AS_ONE: IndexArray = np.zeros(1, dtype=np.intp)
"""Where a single series begins, and so each row of a matrix."""
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
    """Series of returns, none of them empty: rows of a matrix, or of any lengths and laid end to end.

    Attributes
    ----------
    returns : (n,) or (s, n) float64
    means : (s,), or (s, 1) beside a matrix, float64
    centred, growth : as `returns`
        The returns less their own series' mean, and 1 + them.
    """

    def __init__(self, series: Sequence[FloatArray] | FloatArray) -> None:
        """Take the rows of a matrix, or a list of series."""
        self._parts: list[tuple[int, int]] | None = None
        self._starts = _AS_ONE
        count: int | IndexArray
        if isinstance(series, np.ndarray):
            self.returns = series
            count = series.shape[-1]
            self._sizes = [count] * len(series)
        elif len(series) == 1:
            self.returns = series[0]
            count = self.returns.size
            self._sizes = [count]
        else:
            self.returns = np.concatenate(series)
            self._sizes = [each.size for each in series]
            count = np.array(self._sizes, dtype=np.intp)
            self._starts = np.add.accumulate(count) - count
            self._parts = list(pairwise((*self._starts.tolist(), self.returns.size)))
        self._count = count
        self.means = self._sum(self.returns) / count
        self.centred = self.returns - self._spread(self.means)
        self.growth = 1.0 + self.returns
        self._worth: tuple[FloatArray, list[FloatArray]] | None = None
        self._beside: _Benchmark | None = None

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
        z = self.centred / self._spread(np.sqrt(squares / self._count))
        tails = self._tails(z < -_SURELY_ABOVE, tail_share)
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
                self._sizes,
                _listed(np.minimum.reduceat(self.returns, self._starts, -1)),
                _listed(np.maximum.reduceat(self.returns, self._starts, -1)),
                _listed(self.means),
                _listed(squares),
                _listed(cubes),
                _listed(fourths),
                _listed(self._sum(work)),
                [quantile for quantile, _ in tails],
                [mean for _, mean in tails],
                self.drawdowns(),
            )
        )

    def drawdowns(self) -> list[Drawdown]:
        """Return the drawdown of the wealth that each series makes of 1."""
        wealth, of_each = self._wealth()
        falls = np.empty_like(wealth)
        falls_of_each = self._each(falls, 1)
        if self._parts is None:
            np.maximum.accumulate(wealth, -1, out=falls)
        else:
            for worth, peaks in zip(of_each, falls_of_each, strict=True):
                np.maximum.accumulate(worth, out=peaks)
        np.divide(wealth, falls, out=falls)
        np.subtract(1.0, falls, out=falls)
        return [Drawdown(*deepest_fall(*each)) for each in zip(of_each, falls_of_each, strict=True)]

    def joint_moments(self, benchmark: "Series") -> list[JointMoments]:
        """Return the moments of each series and a benchmark's.

        Parameters
        ----------
        benchmark
            Series of the lengths of these; or a single one, which is beside each row of a matrix.
        """
        beside, each = benchmark._as_benchmark(), len(self._sizes) // len(benchmark._sizes)
        active = self.returns - benchmark.returns
        active_means = self._sum(active) / self._count
        active -= self._spread(active_means)
        active *= active
        active_squares = self._sum(active)
        products = self._sum(np.multiply(self.centred, benchmark.centred, out=active))
        return list(
            map(
                JointMoments,
                _listed(benchmark.means) * each,
                beside.squares * each,
                _listed(products),
                _listed(active_means),
                _listed(active_squares),
                [worth.item(-1) for worth in self._wealth()[1]],
                beside.growth * each,
                beside.up.products(self.growth),
                beside.benchmark_up * each,
                beside.down.products(self.growth),
                beside.benchmark_down * each,
            )
        )

    def _sum(self, values: FloatArray) -> FloatArray:
        sums: FloatArray = np.add.reduceat(values, self._starts, -1)
        return sums

    def _spread(self, values: FloatArray) -> FloatArray:
        """Return the value of each series in a shape that goes with all of its returns."""
        return values if self._parts is None else values.repeat(self._count)

    def _each(self, values: FloatArray, more: int = 0) -> list[FloatArray]:
        """Return the values of each series, of which there are by `more` more than returns."""
        if self._parts is None:
            return [values] if values.ndim == 1 else list(values)
        return [values[first + at * more : last + (at + 1) * more] for at, (first, last) in enumerate(self._parts)]

    def _wealth(self) -> tuple[FloatArray, list[FloatArray]]:
        """Return what each series makes of 1, the 1 included: of all series as in `returns`, and of each."""
        if self._worth is None:
            *rows, columns = self.growth.shape
            wealth = np.empty((*rows, columns + (1 if self._parts is None else len(self._parts))))
            of_each = self._each(wealth, 1)
            if self._parts is None:
                wealth[..., 0] = 1.0
                np.multiply.accumulate(self.growth, -1, out=wealth[..., 1:])
            else:
                for growth, worth in zip(self._each(self.growth), of_each, strict=True):
                    worth[0] = 1.0
                    np.multiply.accumulate(growth, out=worth[1:])
            self._worth = wealth, of_each
        return self._worth

    def _as_benchmark(self) -> "_Benchmark":
        """Return what is made of a benchmark, whatever stands beside it."""
        if self._beside is None:
            positive = self.returns > 0.0
            up, down = _Chosen.of(positive, self._starts), _Chosen.of(~positive, self._starts)
            self._beside = _Benchmark(
                _listed(self._sum(self.centred * self.centred)),
                _listed(np.multiply.reduceat(self.growth, self._starts, -1)),
                up,
                down,
                up.products(self.growth),
                down.products(self.growth),
            )
        return self._beside

    def _tails(self, low: NDArray[np.bool_], share: float) -> list[tuple[float, float]]:
        """Return quantile and tail of each series, looked for among the returns that are `low`."""
        if low.ndim == 1 and self._parts is None:
            return [lower_tail(self.returns, self.returns[low], share)]
        starts = self._starts if low.ndim == 1 else np.arange(0, low.size, low.shape[1])
        chosen = _Chosen.of(low.ravel(), starts)
        lowest = self.returns.take(chosen.places)
        bounds = pairwise((*chosen.starts.tolist(), lowest.size))
        return [
            lower_tail(each, lowest[first:last], share)
            for each, (first, last) in zip(self._each(self.returns), bounds, strict=True)
        ]


class _Chosen(NamedTuple):
    """Some of the places of series that are laid end to end.

    Attributes
    ----------
    places : (c,) intp
    starts : (s,) intp
        Where in `places` those of each series begin.
    in_each : bool
        Each series has some.
    """

    places: IndexArray
    starts: IndexArray
    in_each: bool

    @classmethod
    def of(cls, chosen: NDArray[np.bool_], starts: IndexArray) -> Self:
        """Take the places that are chosen, of series that begin at `starts`."""
        (places,) = chosen.nonzero()
        if starts.size == 1:
            return cls(places, starts, places.size > 0)
        begins = places.searchsorted(starts)
        return cls(places, begins, ascends(begins) and int(begins[-1]) < places.size)

    def products(self, values: FloatArray) -> list[float]:
        """Return the product of the chosen values of each series, 1 where it has none."""
        chosen = values.take(self.places, -1)
        if self.in_each:
            return _listed(np.multiply.reduceat(chosen, self.starts, -1))
        # For an empty stretch `reduceat` would answer with the value that follows it.
        bounds = pairwise((*self.starts.tolist(), self.places.size))
        parts = [np.multiply.reduce(chosen[..., first:last], -1) for first, last in bounds]
        return [product for part in parts for product in part.ravel().tolist()]


class _Benchmark(NamedTuple):
    """Of the series of a benchmark, what `JointMoments` has of it alone, and where it rose and where not."""

    squares: list[float]
    growth: list[float]
    up: _Chosen
    down: _Chosen
    benchmark_up: list[float]
    benchmark_down: list[float]


def _listed(of_each: FloatArray) -> list[float]:
    """Return one number of each series."""
    numbers: list[float] = (of_each if of_each.ndim == 1 else of_each.ravel()).tolist()
    return numbers
