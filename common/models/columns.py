"""Columns of dates and of numbers, read whole: a request has thousands of each, nearly always without a fault.

`read_days` and `read_numbers` answer None where anything in one is not of the plainest form. It may be right all the
same, as a number in a text is; whoever asks looks at the items one by one then, and can tell what is wrong with which.
"""

from collections.abc import Sequence
from datetime import date
from operator import countOf
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.calculations.types import DayArray, FloatArray
from common.models.limits import FIRST_YEAR, LAST_YEAR, MAX_AMOUNT, MAX_CASH_FLOWS, MAX_VALUATIONS

_MONTHS: Final = np.arange(f"{FIRST_YEAR}-01", f"{LAST_YEAR + 1}-02", dtype="datetime64[M]")
_FIRST_DAYS: Final = _MONTHS.astype("datetime64[D]").astype(np.int64)
_MONTH_DAYS: Final = np.diff(_FIRST_DAYS)

# A date and the comma behind it: the smallest character of each place, how far it may lie above, what a digit counts.
# The first two once for each item that a column may have: numpy is slow where it has to repeat so short a row.
_WIDTH: Final = len("0000-00-00,")
_MOST: Final = max(MAX_VALUATIONS, MAX_CASH_FLOWS)
_LOWEST: Final = np.frombuffer(b"0000-00-00," * _MOST, dtype=np.uint8)
_SPAN: Final = np.frombuffer(bytes([9, 9, 9, 9, 0, 9, 9, 0, 9, 9, 0]) * _MOST, dtype=np.uint8)
_YEAR_MONTH_DAY: Final = np.array(
    [
        [1000, 100, 10, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 10, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 10, 1, 0],
    ],
    dtype=np.float32,
).T
_NUMBERS: Final = frozenset({float, int})


def read_days(texts: Sequence[Any]) -> DayArray | None:
    """Return dates as days since 1970-01-01.

    Parameters
    ----------
    texts
        Any items.

    Returns
    -------
    (n,) int64, or None
        None where an item is not text of the form YYYY-MM-DD, not a day of the calendar, or not within 1900 to 2199;
        or there are more than a column may have.
    """
    if not texts:
        return np.empty(0, dtype=np.int64)
    try:
        # With commas between them no two items of other lengths can pass for two dates.
        joined = (",".join(texts) + ",").encode("ascii")
    except (TypeError, UnicodeEncodeError):
        return None
    size = len(texts) * _WIDTH
    if len(joined) != size or size > _LOWEST.size:
        return None
    digits: NDArray[np.uint8] = np.frombuffer(joined, dtype=np.uint8) - _LOWEST[:size]
    if not (digits <= _SPAN[:size]).all():  # what is smaller than the smallest has wrapped around to a large one
        return None
    # float32 has a fast matrix product and holds these numbers exactly.
    year, month, day = (digits.reshape(-1, _WIDTH).astype(np.float32) @ _YEAR_MONTH_DAY).T.astype(np.int64)
    if year.min() < FIRST_YEAR or year.max() > LAST_YEAR or month.min() < 1 or month.max() > 12 or day.min() < 1:
        return None
    at = (year - FIRST_YEAR) * 12 + month - 1
    if (day > _MONTH_DAYS[at]).any():
        return None
    days: DayArray = _FIRST_DAYS[at] + day - 1
    return days


def read_numbers(values: Sequence[Any]) -> FloatArray | None:
    """Return amounts of money.

    Parameters
    ----------
    values
        Any items.

    Returns
    -------
    (n,) float64, or None
        None where an item is not an int or a float (a bool is neither), not finite, or larger than `MAX_AMOUNT`.
    """
    if not values:
        return np.empty(0)
    # Counting the floats is faster than to look for others, and hardly a column has any.
    if countOf(map(type, values), float) != len(values) and not _NUMBERS.issuperset(map(type, values)):
        return None
    try:
        numbers = np.fromiter(values, np.float64, len(values))
    except OverflowError:
        return None
    return numbers if numbers.min() >= -MAX_AMOUNT and numbers.max() <= MAX_AMOUNT else None


def one_stands_twice(days: DayArray) -> bool:
    """Return whether some day is there more than once."""
    return not bool((days[1:] > days[:-1]).all()) and np.unique(days).size < days.size


def arrays(dates: Sequence[date], numbers: Sequence[float]) -> tuple[DayArray, FloatArray]:
    """Return dates as days since 1970-01-01, and numbers, where they were read item by item."""
    return np.array(dates, dtype="datetime64[D]").astype(np.int64), np.array(numbers, dtype=np.float64)
