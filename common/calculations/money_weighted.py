"""Money-weighted return: the internal rate of return of dated flows, with all its real roots.

The rate r that makes the present values of inflows P and outflows N equal is sought as a root of

    g(x) = ln P(x) - ln N(x),   P(x) = sum of a_i exp(-t_i x) over inflows,   x = ln(1 + r),

because g is nearly a straight line where the present value itself is anything but. Its slope is the difference of two
present-value-weighted mean times, and each mean time falls as x grows, so two evaluations bound the slope between
them. That makes a search which is exhaustive: an interval is dropped when g cannot reach zero in it, solved when g is
monotone in it, and halved otherwise.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import numpy as np

from common.calculations.types import (
    DayArray,
    FloatArray,
    Flows,
    Money,
    Reason,
    Undefinable,
    day_number,
)

DEFAULT_MAX_ITERATIONS = 100
DEFAULT_TOLERANCE = 1e-12

_ABSURD_LOG_RATE = math.log(1e12)
"""Beyond a trillion-fold a year, up or down, a further root is an artefact of a flow days before the next one; it is
told only where there is no other."""
_NETS_TO_NIL = 1e-12  # of what moved that day
_NARROWEST = 1e-7  # two roots nearer than this are one double root
_NOISE = 1e-15  # rounding of g, a difference of logarithms: how near zero it must come at a double root
_STEPS = np.array([0.03, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0])
_GRID = np.concatenate((-_STEPS[::-1], [0.0], _STEPS))


class DayCount(StrEnum):
    """How the days between two dates become years."""

    ACT_365F = "act/365F"
    """Days over 365, as Excel's XIRR."""
    ACT_ACT_ISDA = "act/act ISDA"
    """Days in a leap year over 366, the others over 365 (ISDA 2006, section 4.16 b)."""
    ACT_360 = "act/360"
    """Days over 360."""


@dataclass(frozen=True, slots=True)
class MoneyWeightedReturn(Undefinable):
    """An internal rate of return.

    Attributes
    ----------
    value : float or None
        Rate for a year of 365 days. Where several rates solve the flows, the one nearest zero in ln(1 + r).
    reason : Reason or None
        Why `value` is None: `no_sign_change`, `indeterminate` (the flows net to nil each day),
        `not_converged`, `out_of_range`, `flow_after_final_date`. Beside a value: `multiple_roots`, or `total_loss`
        for the -100 % of flows of which nothing came back.
    roots : tuple of float
        All real rates above -100 %, ascending; those beyond a trillion-fold a year only where there is no other.
    period_value : float or None
        (1 + value) ** (days / 365) - 1: the same rate over the time from the first flow to the last. The one to
        show for less than a year, where a yearly rate misleads.
    """

    roots: tuple[float, ...] = ()
    period_value: float | None = None


def calculate_irr(
    cash_flows: Iterable[tuple[date, Money]],
    final_value: Money,
    final_date: date,
    *,
    max_iterations: int = DEFAULT_MAX_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
) -> MoneyWeightedReturn:
    """Return the internal rate of return of a portfolio.

    Parameters
    ----------
    cash_flows
        `CashFlow`s or (date, amount) pairs from the portfolio's view: a contribution, the opening value among them,
        is positive, a withdrawal negative.
    final_value
        Value on `final_date`, flows of that day included.
    max_iterations
        Newton steps allowed for each root.
    tolerance
        Largest last step in ln(1 + r), relative to 1 + |ln(1 + r)|.

    Returns
    -------
    MoneyWeightedReturn
        -100 % with reason `total_loss` where nothing came back and nothing is left.

    Raises
    ------
    ValueError
        A number is not finite, or `max_iterations` or `tolerance` is not positive.
    """
    flows = Flows.of(cash_flows)
    last = day_number(final_date)
    if flows.days.size and int(flows.days[-1]) > last:
        return MoneyWeightedReturn(None, Reason.FLOW_AFTER_FINAL_DATE)
    days = np.append(flows.days, last)
    amounts = np.append(-flows.amounts, float(final_value))
    return solve(days, amounts, max_iterations=max_iterations, tolerance=tolerance)


def xirr(
    dates: Sequence[date],
    amounts: Sequence[Money],
    *,
    day_count: DayCount | str = DayCount.ACT_365F,
    max_iterations: int = DEFAULT_MAX_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
) -> MoneyWeightedReturn:
    """Return the internal rate of return of dated amounts, as Excel's XIRR does.

    Parameters
    ----------
    dates
        In any order; amounts of one date are added.
    amounts
        From the investor's view: what is paid in is negative, what comes back positive.

    Returns
    -------
    MoneyWeightedReturn

    Raises
    ------
    ValueError
        The lengths differ, or a number is not finite.
    """
    if len(dates) != len(amounts):
        raise ValueError(f"{len(dates)} dates for {len(amounts)} amounts")
    flows = Flows.of(zip(dates, amounts, strict=True))
    return solve(
        flows.days,
        flows.amounts,
        day_count=DayCount(day_count),
        max_iterations=max_iterations,
        tolerance=tolerance,
    )


def solve(
    days: DayArray,
    amounts: FloatArray,
    *,
    day_count: DayCount = DayCount.ACT_365F,
    max_iterations: int = DEFAULT_MAX_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
) -> MoneyWeightedReturn:
    """Return the internal rate of return of amounts in the order of their days, investor's view.

    Parameters
    ----------
    days : (n,) int64, ascending
    amounts : (n,) float64

    Returns
    -------
    MoneyWeightedReturn
    """
    if max_iterations < 1 or not tolerance > 0.0:
        raise ValueError("max_iterations and tolerance must be positive")
    if not bool(np.isfinite(amounts).all()):
        raise ValueError("amounts must be finite numbers")
    unique_days, net = _net_by_day(days, amounts)
    moving = np.flatnonzero(net)
    if moving.size == 0:
        return MoneyWeightedReturn(None, Reason.INDETERMINATE)
    paid = net[moving]
    years = _years(unique_days[moving[0] : moving[-1] + 1], day_count)[moving - moving[0]]
    span = float(years[-1])
    if bool((paid < 0.0).all()) and int(moving[-1]) < net.size - 1 and float(amounts[-1]) == 0.0:
        return MoneyWeightedReturn(-1.0, Reason.TOTAL_LOSS, (), -1.0)
    if bool((paid > 0.0).all()) or bool((paid < 0.0).all()):
        return MoneyWeightedReturn(None, Reason.NO_SIGN_CHANGE)

    scaled = paid / np.abs(paid).max()
    # What is left of an amount 1e308 times smaller than the largest has lost its digits, or is nil.
    held = np.abs(scaled) >= np.finfo(np.float64).tiny
    equation = _Equation.of(years[held], scaled[held])
    if equation is None:
        return MoneyWeightedReturn(None, Reason.OUT_OF_RANGE)
    log_rates = [equation.polish(low, high, max_iterations, tolerance) for low, high in equation.brackets()]
    solved = [x for x in log_rates if x is not None]
    if len(solved) < len(log_rates):
        return MoneyWeightedReturn(None, Reason.NOT_CONVERGED)
    if not solved:
        return MoneyWeightedReturn(None, Reason.NO_REAL_ROOT)
    nearest = min(solved, key=abs)
    with np.errstate(over="ignore"):
        rates = [rate for rate in np.expm1(solved).tolist() if rate < np.inf]
        value, over_span = np.expm1([nearest, nearest * span]).tolist()
    period_value = over_span if over_span < np.inf else None
    if value == np.inf:
        return MoneyWeightedReturn(None, Reason.OUT_OF_RANGE, tuple(rates), period_value)
    return MoneyWeightedReturn(value, Reason.MULTIPLE_ROOTS if len(rates) > 1 else None, tuple(rates), period_value)


def _years(days: DayArray, day_count: DayCount) -> FloatArray:
    """Return the years from the first of `days` to each of them."""
    match day_count:
        case DayCount.ACT_365F:
            years: FloatArray = (days - days[0]) / 365.0
        case DayCount.ACT_360:
            years = (days - days[0]) / 360.0
        case DayCount.ACT_ACT_ISDA:
            # The place of a day on a line on which each calendar year is one long, leap or not.
            calendar = days.astype("datetime64[D]").astype("datetime64[Y]")
            first = calendar.astype("datetime64[D]")
            following = (calendar + np.timedelta64(1, "Y")).astype("datetime64[D]")
            line = calendar.astype(np.int64) + (days - first.astype(np.int64)) / (following - first).astype(np.float64)
            years = line - line[0]
    return years


def _net_by_day(days: DayArray, amounts: FloatArray) -> tuple[DayArray, FloatArray]:
    """Add the amounts of each day; what is left of a day that nets to nil but for rounding is exactly nil."""
    if days.size < 2 or bool((days[1:] > days[:-1]).all()):
        return days, amounts
    unique_days, place = np.unique(days, return_inverse=True)
    net: FloatArray = np.bincount(place, weights=amounts).astype(np.float64)
    moved = np.bincount(place, weights=np.abs(amounts))
    net[np.abs(net) <= _NETS_TO_NIL * moved] = 0.0
    return unique_days, net


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
class _Equation:
    """g(x) = ln P(x) - ln N(x), and the interval outside which it has no root."""

    inflows: _Side
    outflows: _Side
    low: float
    high: float
    single_root: bool

    @classmethod
    def of(cls, years: FloatArray, paid: FloatArray) -> "_Equation | None":
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
