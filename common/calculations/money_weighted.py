"""Money-weighted return: the internal rate of return of dated flows, with all its real roots.

Most flows have one rate and can be shown to have no other, which is quick (`sole_root`); the rest are searched
for every root there is (`real_roots`).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from operator import lt

import numpy as np
from numpy.typing import NDArray

from common.calculations.real_roots import Equation
from common.calculations.sole_root import FEW, sole_root, sole_root_of_few
from common.calculations.types import DayArray, FloatArray, ascends
from common.calculations.words import Money, Reason, Undefinable, day_number

DEFAULT_MAX_ITERATIONS = 100
DEFAULT_TOLERANCE = 1e-12

_EPOCH = date(1970, 1, 1).toordinal()
_NOT_A_DATE = np.iinfo(np.int64).min  # what NaT becomes
NETS_TO_NIL = 1e-12  # of what moved that day


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
        Steps allowed for each root.
    tolerance
        Error allowed in ln(1 + r), relative to 1 + |ln(1 + r)|, as judged by the last step.

    Returns
    -------
    MoneyWeightedReturn
        -100 % with reason `total_loss` where nothing came back and nothing is left.

    Raises
    ------
    ValueError
        A number is not finite, or `max_iterations` or `tolerance` is not positive.
    """
    pairs = list(cash_flows)
    days, amounts, _ = _in_order([day for day, _ in pairs], [amount for _, amount in pairs])
    if not bool(np.isfinite(amounts).all()):
        raise ValueError("cash flows must be finite numbers")
    last = day_number(final_date)
    if days.size and int(days[-1]) > last:
        return MoneyWeightedReturn(None, Reason.FLOW_AFTER_FINAL_DATE)
    return solve(
        np.append(days, last),
        np.append(-amounts, float(final_value)),
        max_iterations=max_iterations,
        tolerance=tolerance,
    )


def xirr(
    dates: Sequence[date] | NDArray[np.datetime64],
    amounts: Sequence[Money] | FloatArray,
    *,
    day_count: DayCount | str = DayCount.ACT_365F,
    max_iterations: int = DEFAULT_MAX_ITERATIONS,
    tolerance: float = DEFAULT_TOLERANCE,
) -> MoneyWeightedReturn:
    """Return the internal rate of return of dated amounts, as Excel's XIRR does.

    Parameters
    ----------
    dates
        In any order; amounts of one date are added. An array of datetime64 is quicker than a list for many.
    amounts
        From the investor's view: what is paid in is negative, what comes back positive.

    Returns
    -------
    MoneyWeightedReturn

    Raises
    ------
    ValueError
        The lengths differ, a number is not finite, or a date is missing (NaT).
    """
    if len(dates) != len(amounts):
        raise ValueError(f"{len(dates)} dates for {len(amounts)} amounts")
    _check(max_iterations, tolerance)
    convention = DayCount(day_count)
    if 2 <= len(dates) <= FEW and convention is DayCount.ACT_365F and not isinstance(dates, np.ndarray):
        # Plain floats all the way.
        ordinals = list(map(date.toordinal, dates))
        if all(map(lt, ordinals, ordinals[1:])):
            found = _of_plain_few(ordinals, list(map(float, amounts)), max_iterations, tolerance)
            if found is not None:
                return found
    days, numbers, distinct = _in_order(dates, amounts)
    return _solve(days, numbers, distinct, convention, max_iterations, tolerance)


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
    _check(max_iterations, tolerance)
    return _solve(days, amounts, ascends(days), day_count, max_iterations, tolerance)


def solve_few(days: list[int], amounts: list[float]) -> MoneyWeightedReturn | None:
    """Return what `solve` does of up to `FEW` amounts, or None where that takes more than plain floats."""
    if not all(map(lt, days, days[1:])):
        return None
    return _of_plain_few(days, amounts, DEFAULT_MAX_ITERATIONS, DEFAULT_TOLERANCE)


def solve_distinct(days: DayArray, amounts: FloatArray) -> MoneyWeightedReturn | None:
    """Return what `solve` does of amounts on strictly ascending days, or None where `sole_root` is not enough."""
    return _of_plain(_years(days, DayCount.ACT_365F), amounts, DEFAULT_MAX_ITERATIONS, DEFAULT_TOLERANCE)


def _solve(
    days: DayArray,
    amounts: FloatArray,
    distinct: bool,
    day_count: DayCount,
    max_iterations: int,
    tolerance: float,
) -> MoneyWeightedReturn:
    plain = distinct and days.size >= 2
    if plain:
        # Whatever else the amounts may be, not finite among it, is left to what follows.
        if days.size <= FEW and day_count is DayCount.ACT_365F:
            found = _of_plain_few(days.tolist(), amounts.tolist(), max_iterations, tolerance)
        else:
            found = _of_plain(_years(days, day_count), amounts, max_iterations, tolerance)
        if found is not None:
            return found

    if not bool(np.isfinite(amounts).all()):
        raise ValueError("amounts must be finite numbers")
    unique_days, net = (days, amounts) if distinct else _net_by_day(days, amounts)
    moving = np.flatnonzero(net)
    if moving.size == 0:
        return MoneyWeightedReturn(None, Reason.INDETERMINATE)
    paid = net[moving]
    years = _years(unique_days[moving[0] : moving[-1] + 1], day_count)[moving - moving[0]]
    if bool((paid < 0.0).all()) and int(moving[-1]) < net.size - 1 and float(amounts[-1]) == 0.0:
        return MoneyWeightedReturn(-1.0, Reason.TOTAL_LOSS, (), -1.0)
    if bool((paid > 0.0).all()) or bool((paid < 0.0).all()):
        return MoneyWeightedReturn(None, Reason.NO_SIGN_CHANGE)
    if not plain or paid.size < net.size:
        found = _of_plain(years, paid, max_iterations, tolerance)
        if found is not None:
            return found
    return _of_every_root(years, paid, float(years[-1]), max_iterations, tolerance)


def _check(max_iterations: int, tolerance: float) -> None:
    if max_iterations < 1 or not tolerance > 0.0:
        raise ValueError("max_iterations and tolerance must be positive")


def _of_plain(years: FloatArray, paid: FloatArray, max_iterations: int, tolerance: float) -> MoneyWeightedReturn | None:
    """Return the result of flows that are quickly shown to have one rate; strictly ascending years."""
    root = sole_root(years, paid, max_iterations, tolerance)
    return None if root is None else _of_one_root(root, float(years[-1]))


def _of_plain_few(
    days: list[int], paid: list[float], max_iterations: int, tolerance: float
) -> MoneyWeightedReturn | None:
    """Return the same, of strictly ascending days and a year of 365."""
    first = days[0]
    years = [(day - first) / 365.0 for day in days]
    root = sole_root_of_few(years, paid, max_iterations, tolerance)
    return None if root is None else _of_one_root(root, years[-1])


def _of_one_root(log_rate: float, span: float) -> MoneyWeightedReturn:
    """Return the result of flows over `span` years that have one root, of the size that `sole_root` finds."""
    value = math.expm1(log_rate)
    return MoneyWeightedReturn(value, None, (value,), math.expm1(log_rate * span))


def _of_every_root(
    years: FloatArray, paid: FloatArray, span: float, max_iterations: int, tolerance: float
) -> MoneyWeightedReturn:
    scaled = paid / np.abs(paid).max()
    # What is left of an amount 1e308 times smaller than the largest has lost its digits, or is nil.
    held = np.abs(scaled) >= np.finfo(np.float64).tiny
    equation = Equation.of(years[held], scaled[held])
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


def _in_order(
    dates: Sequence[date] | NDArray[np.datetime64], amounts: Sequence[Money] | FloatArray
) -> tuple[DayArray, FloatArray, bool]:
    """Return days and amounts in the order of days, on one day of amounts; and whether no day stands twice."""
    if isinstance(dates, np.ndarray):
        days: DayArray = dates.astype("datetime64[D]").astype(np.int64)
    else:
        days = np.fromiter(map(date.toordinal, dates), np.int64, len(dates)) - _EPOCH
    if isinstance(amounts, np.ndarray):
        numbers: FloatArray = amounts.astype(np.float64, copy=False)
    else:
        numbers = np.fromiter(amounts, np.float64, len(amounts))
    distinct = ascends(days)
    if not distinct:
        order = np.lexsort((numbers, days))
        days, numbers = days[order], numbers[order]
        distinct = ascends(days)
    if days.size and days[0] == _NOT_A_DATE:
        raise ValueError("a date is missing")
    return days, numbers, distinct


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
    if bool((days[1:] < days[:-1]).any()):
        order = np.argsort(days, kind="stable")
        days, amounts = days[order], amounts[order]
    starts = np.concatenate(([True], days[1:] > days[:-1]))
    unique_days, place = days[starts], np.cumsum(starts) - 1
    net: FloatArray = np.bincount(place, weights=amounts).astype(np.float64)
    moved = np.bincount(place, weights=np.abs(amounts))
    net[np.abs(net) <= NETS_TO_NIL * moved] = 0.0
    return unique_days, net
