"""All real internal rates of return of dated flows, none missed.

The rate r that makes the present values of inflows P and outflows N equal is sought as a root of

    g(x) = ln P(x) - ln N(x),   P(x) = sum of a_i exp(-t_i x) over inflows,   x = ln(1 + r),

because g is nearly a straight line where the present value itself is anything but. Its slope is the difference of two
present-value-weighted mean times, and each mean time falls as x grows, so two evaluations bound the slope between
them. That makes a search which is exhaustive: an interval is dropped when g cannot reach zero in it, solved when g is
monotone in it, and halved otherwise.
"""

import math
from dataclasses import dataclass

import numpy as np

from common.calculations.types import FloatArray

_ABSURD_LOG_RATE = math.log(1e12)
"""Beyond a trillion-fold a year, up or down, a further root is an artefact of a flow days before the next one; it is
told only where there is no other."""
_NARROWEST = 1e-7  # two roots nearer than this are one double root
_NOISE = 1e-15  # rounding of g, a difference of logarithms: how near zero it must come at a double root
_STEPS = np.array([0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0])
_GRID = np.concatenate((-_STEPS[::-1], [0.0], _STEPS))


@dataclass(frozen=True, slots=True)
class _Side:
    """The flows of one sign, in the order of their times: their present value and its slope."""

    amounts: FloatArray
    years: FloatArray

    def at(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ln PV and the mean time weighted by present value, at each of (m,) points."""
        # The largest exponent is at one end of the time line; taken out, nothing overflows.
        largest = -x * np.where(x >= 0.0, self.years[0], self.years[-1])
        weights = np.exp(np.multiply.outer(-x, self.years) - largest[:, None])
        weights *= self.amounts
        total = weights.sum(axis=1)
        return largest + np.log(total), (weights @ self.years) / total

    def at_point(self, x: float) -> tuple[float, float]:
        """Return the same at one point."""
        largest = -x * float(self.years[0] if x >= 0.0 else self.years[-1])
        weights = self.amounts * np.exp(self.years * -x - largest)
        total = float(weights.sum())
        return largest + math.log(total), float(weights @ self.years) / total


@dataclass(frozen=True, slots=True)
class Equation:
    """g(x) = ln P(x) - ln N(x), and the interval outside which it has no root."""

    inflows: _Side
    outflows: _Side
    low: float
    high: float
    single_root: bool

    @classmethod
    def of(cls, years: FloatArray, paid: FloatArray) -> "Equation | None":
        """Take flows in the order of time, scaled to at most 1; None where a float cannot hold both signs."""
        positive = paid > 0.0
        negative = paid < 0.0
        if not (positive.any() and negative.any()):
            return None
        sizes = np.abs(paid)
        # Far to the right the first flow outweighs all of the other sign together, far to the left the last one.
        against_first = negative if positive[0] else positive
        against_last = negative if positive[-1] else positive
        gap_right = float(years[np.argmax(against_first)] - years[0])
        gap_left = float(years[-1] - years[years.size - 1 - np.argmax(against_last[::-1])])
        with np.errstate(divide="ignore"):
            excess_right = float(np.log(sizes[against_first].sum()) - np.log(sizes[0]))
            excess_left = float(np.log(sizes[against_last].sum()) - np.log(sizes[-1]))
        margin = 1e-6
        low = -max(0.0, excess_left) / gap_left * (1.0 + margin) - margin
        high = max(0.0, excess_right) / gap_right * (1.0 + margin) + margin
        return cls(
            _Side(sizes[positive], years[positive]),
            _Side(sizes[negative], years[negative]),
            low,
            high,
            int(np.count_nonzero(positive[1:] != positive[:-1])) == 1,
        )

    def at(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return g and the mean times of inflows and outflows at (m,) points."""
        log_inflows, inflow_time = self.inflows.at(x)
        log_outflows, outflow_time = self.outflows.at(x)
        return log_inflows - log_outflows, inflow_time, outflow_time

    def at_point(self, x: float) -> tuple[float, float]:
        """Return g and its slope at one point."""
        log_inflows, inflow_time = self.inflows.at_point(x)
        log_outflows, outflow_time = self.outflows.at_point(x)
        return log_inflows - log_outflows, outflow_time - inflow_time

    def brackets(self) -> list[tuple[float, float]]:
        """Return intervals, ascending, that each hold exactly one root (or one double root)."""
        if self.single_root:
            # Descartes' rule of signs: one change of sign in time, one root.
            edges, _, _ = self.at(np.array([self.low, self.high]))
            return [(self.low, self.high)] if edges[0] * edges[1] <= 0.0 else []
        low, high = max(self.low, -_ABSURD_LOG_RATE), min(self.high, _ABSURD_LOG_RATE)
        return self._search(low, high) or self._search(self.low, self.high)

    def _search(self, low: float, high: float) -> list[tuple[float, float]]:
        grid = _GRID
        points = np.concatenate(([low], grid[(grid > low) & (grid < high)], [high]))
        found: list[tuple[float, float]] = []
        g, p, q = self.at(points)
        a, b = points[:-1], points[1:]
        ga, gb, pa, pb, qa, qb = g[:-1], g[1:], p[:-1], p[1:], q[:-1], q[1:]
        while a.size:
            width = b - a
            steepest_down = -pa + qb  # lower bound of g' on [a, b]
            steepest_up = -pb + qa  # upper bound
            monotone = (steepest_down >= 0.0) | (steepest_up <= 0.0)
            # A root on a shared edge belongs to the interval on its left.
            crosses = (ga * gb < 0.0) | (gb == 0.0)
            with np.errstate(divide="ignore", invalid="ignore"):
                down, up = np.abs(steepest_down), np.abs(steepest_up)
                above = (ga > 0.0) & ((ga - _NOISE) / down + (gb - _NOISE) / up > width)
                below = (ga < 0.0) & ((-ga - _NOISE) / up + (-gb - _NOISE) / down > width)
            unreachable = ~crosses & (above | below)
            narrow = width <= _NARROWEST * (1.0 + np.abs(a))
            take = (crosses & (monotone | narrow)) | (narrow & ~crosses & ~monotone & ~unreachable)
            found.extend(zip(a[take].tolist(), b[take].tolist(), strict=True))
            split = ~(take | monotone | unreachable | narrow)
            if not split.any():
                break
            a, b = a[split], b[split]
            ga, gb, pa, pb, qa, qb = ga[split], gb[split], pa[split], pb[split], qa[split], qb[split]
            middle = 0.5 * (a + b)
            gm, pm, qm = self.at(middle)
            a, b = np.concatenate((a, middle)), np.concatenate((middle, b))
            ga, gb = np.concatenate((ga, gm)), np.concatenate((gm, gb))
            pa, pb = np.concatenate((pa, pm)), np.concatenate((pm, pb))
            qa, qb = np.concatenate((qa, qm)), np.concatenate((qm, qb))
        return _merge_touching(sorted(found))

    def polish(self, low: float, high: float, max_iterations: int, tolerance: float) -> float | None:
        """Return the root between `low` and `high` by Newton's method, kept inside by bisection."""
        if high - low <= 2.0 * _NARROWEST * (1.0 + abs(low)):
            return 0.5 * (low + high)
        g_low, _ = self.at_point(low)
        if g_low == 0.0:
            return low
        x = min(max(0.0, low), high) if low < 0.0 < high else 0.5 * (low + high)
        for _ in range(max_iterations):
            g, slope = self.at_point(x)
            if g == 0.0:
                return x
            if (g > 0.0) == (g_low > 0.0):
                low = x
            else:
                high = x
            nearer = x - g / slope if slope != 0.0 else np.nan
            if not low <= nearer <= high:
                nearer = 0.5 * (low + high)
            if abs(nearer - x) <= tolerance * (1.0 + abs(nearer)):
                return nearer
            x = nearer
        return None


def _merge_touching(brackets: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Join narrow brackets side by side: they hold the same double root."""
    merged: list[tuple[float, float]] = []
    for low, high in brackets:
        reach = 2.0 * _NARROWEST * (1.0 + abs(low))
        if (
            merged
            and low - merged[-1][1] <= reach
            and high - low <= reach
            and merged[-1][1] - merged[-1][0] <= 4 * reach
        ):
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return merged
