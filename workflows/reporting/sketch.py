"""The distribution of numbers that come one by one and are not kept: quantiles and histograms in bounded memory."""

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.calculations.types import FloatArray

# Half a percent of a value: 8.04 % and 8.00 % fall together, which no chart of a fleet shows apart.
RELATIVE_ERROR = 0.005
# What is smaller counts as zero: a hundredth of a basis point.
_SMALLEST = 1e-6
_AT_ONCE = 4_096
_LOG_GAMMA = math.log((1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR))


@dataclass(slots=True)
class Sketch:
    """Counts of values in buckets whose bounds grow by a constant factor, on both sides of zero.

    Masson, Rim and Lee (2019), *DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees*.
    Every value stands within `RELATIVE_ERROR` of the middle of its bucket; from 1e-6 to 1e15 there are some 5,000
    buckets a side, however many values come.
    """

    _smallest: float = math.inf
    _largest: float = -math.inf
    _total: float = 0.0
    _count: int = 0
    _buckets: Counter[int] = field(default_factory=Counter)
    _pending: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Count a finite value."""
        self._pending.append(value)
        if len(self._pending) == _AT_ONCE:
            self._take_up()

    @property
    def count(self) -> int:
        """How many values there were."""
        return self._count + len(self._pending)

    @property
    def smallest(self) -> float:
        """The least value, exact; there must be one."""
        self._take_up()
        return self._smallest

    @property
    def largest(self) -> float:
        """The largest value, exact; there must be one."""
        self._take_up()
        return self._largest

    @property
    def mean(self) -> float:
        """The mean of all values, of which there must be one."""
        self._take_up()
        return self._total / self._count

    def quantile(self, share: float) -> float:
        """Return the value that a share of all values lie at or below, within `RELATIVE_ERROR` of it.

        Parameters
        ----------
        share
            From 0 to 1; there must be a value.
        """
        values, counts = self._sorted()
        reached = int(np.searchsorted(np.cumsum(counts), share * (self._count - 1), side="right"))
        return float(np.clip(values[min(reached, values.size - 1)], self._smallest, self._largest))

    def histogram(self, bins: int) -> tuple[FloatArray, list[int]]:
        """Return bounds and counts of equally wide bins between the 1st and the 99th percentile.

        What lies outside is counted in the first and the last bin, so that a single outlier does not press all the
        others into one.
        """
        low, high = self.quantile(0.01), self.quantile(0.99)
        if not high - low > 4.0 * RELATIVE_ERROR * max(abs(low), abs(high), _SMALLEST):
            half = max(abs(low), _SMALLEST) * 4.0 * RELATIVE_ERROR
            low, high = low - half, high + half
        edges = np.linspace(low, high, bins + 1)
        values, counts = self._sorted()
        at = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
        return edges, np.bincount(at, weights=counts, minlength=bins).astype(np.int64).tolist()

    def _sorted(self) -> tuple[FloatArray, FloatArray]:
        self._take_up()
        keys = sorted(self._buckets)
        return np.array([_middle(key) for key in keys]), np.array([float(self._buckets[key]) for key in keys])

    def _take_up(self) -> None:
        """Put the values that wait into their buckets, all at once: that takes a tenth of the time."""
        if not self._pending:
            return
        values = np.array(self._pending)
        self._pending.clear()
        self._count += values.size
        self._total += float(values.sum())
        self._smallest = min(self._smallest, float(values.min()))
        self._largest = max(self._largest, float(values.max()))
        keys, counts = np.unique(_bucket(values), return_counts=True)
        self._buckets.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))


def _bucket(values: FloatArray) -> NDArray[np.int64]:
    """Return the number of each value's bucket: 0 for nothing, then outwards on both sides."""
    sizes = np.abs(values)
    numbers = 1 + np.ceil(np.log(np.maximum(sizes, _SMALLEST) / _SMALLEST) / _LOG_GAMMA)
    return np.where(sizes < _SMALLEST, 0, np.copysign(numbers, values)).astype(np.int64)


def _middle(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    upper = _SMALLEST * math.exp((abs(bucket) - 1) * _LOG_GAMMA)
    return math.copysign(upper * (1.0 - RELATIVE_ERROR), bucket)
