"""A year of a daily series as one attribute: columns of JSON, compressed.

`{"gaps": [2, 1, 1, 3], "values": [10.25, 10.3, 10.28, 10.31]}` are four days: each gap counts from the day before,
the first one from the last day of the year before. Prices have `"dividends": [[3, 0.24]]` and `"splits"` besides, each
with its place in the columns. docs/data-model.md has what other encodings cost.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from pydantic_core import PydanticCustomError

from common.calculations.words import day_number
from common.errors import StoreError
from common.models.books import DayValue, SeriesKind, parse_decimal
from common.stores.ports import SeriesReport

NO_DIVIDEND, NO_SPLIT = Decimal(0), Decimal(1)

# A day takes at most three numbers of 34 digits, sign, point and zeros (44 characters), and 20 more for its gap and
# the places; 1,000 are for the names around them.
MAX_CHUNK_BYTES = 366 * (3 * 44 + 20) + 1_000

Days = dict[date, DayValue]


class Chunk(NamedTuple):
    """A year as it is stored."""

    year: int
    data: bytes


def by_year(kind: SeriesKind, days: Iterable[DayValue]) -> dict[int, Days]:
    """Return `days` by year and date, both in order.

    Raises
    ------
    StoreError
        A date stands twice, a number cannot be kept, or what is no price has a dividend or a split.
    """
    years: dict[int, Days] = {}
    for day in sorted(days, key=lambda each: each.date):
        year = years.setdefault(day.date.year, {})
        if day.date in year:
            raise StoreError(f"{day.date} stands twice")
        for number in _given(day):
            try:
                parse_decimal(number)
            except PydanticCustomError as error:
                raise StoreError(f"the {kind} of {day.date}: a number {error.message()}") from None
        if kind is not SeriesKind.PRICE and (day.dividend, day.split) != (NO_DIVIDEND, NO_SPLIT):
            raise StoreError(f"the {kind} of {day.date} has a dividend or a split, which only a price has")
        year[day.date] = day
    return years


def _given(day: DayValue) -> Iterator[Decimal]:
    """Yield the numbers of a day, without a dividend and a split that are none: few prices have either."""
    yield day.value
    for number, nothing in ((day.dividend, NO_DIVIDEND), (day.split, NO_SPLIT)):
        # Finite first: a signalling NaN cannot be compared.
        if not number.is_finite() or number != nothing:
            yield number


def merge(kept: Mapping[date, DayValue], given: Mapping[date, DayValue]) -> tuple[Days, SeriesReport]:
    """Return the days of both, those of `given` before those of `kept`, and what that changes."""
    added = sum(day not in kept for day in given)
    changed = sum(day in kept and kept[day] != value for day, value in given.items())
    merged = {**kept, **given}
    return {day: merged[day] for day in sorted(merged)}, SeriesReport(added, changed, len(given) - added - changed)


def total(reports: Iterable[SeriesReport]) -> SeriesReport:
    """Return the sum of reports."""
    counts = [(each.added, each.changed, each.unchanged) for each in reports]
    return SeriesReport(*map(sum, zip(*counts, strict=True))) if counts else SeriesReport()


def encode(days: Mapping[date, DayValue]) -> bytes:
    """Return the days of one year, in order, as they are stored: every digit of every number."""
    before = day_before(next(iter(days)).year)
    numbers = [day_number(day) for day in days]
    columns = {
        "gaps": _listed(after - earlier for earlier, after in zip([before, *numbers], numbers, strict=False)),
        "values": _listed(day.value for day in days.values()),
    }
    if dividends := _sparse([day.dividend for day in days.values()], NO_DIVIDEND):
        columns["dividends"] = dividends
    if splits := _sparse([day.split for day in days.values()], NO_SPLIT):
        columns["splits"] = splits
    # A decimal's text is a JSON number; the json module would make a float of it.
    return zlib.compress(("{" + ",".join(f'"{name}":{text}' for name, text in columns.items()) + "}").encode())


def decode(chunk: Chunk) -> Days:
    """Return the days of a chunk, in order, every digit of every number."""
    columns = json.loads(zlib.decompress(chunk.data), parse_float=Decimal, parse_int=Decimal)
    dividends = {int(place): amount for place, amount in columns.get("dividends", ())}
    splits = {int(place): ratio for place, ratio in columns.get("splits", ())}
    ordinal, days = date(chunk.year, 1, 1).toordinal() - 1, {}
    for place, (gap, value) in enumerate(zip(columns["gaps"], columns["values"], strict=True)):
        ordinal += int(gap)
        day = date.fromordinal(ordinal)
        days[day] = DayValue(day, value, dividends.get(place, NO_DIVIDEND), splits.get(place, NO_SPLIT))
    return days


def day_before(year: int) -> int:
    """Return the number of the day before a year's first."""
    return day_number(date(year, 1, 1)) - 1


def _listed(numbers: Iterable[object]) -> str:
    return f"[{','.join(map(str, numbers))}]"


def _sparse(numbers: Sequence[Decimal], nothing: Decimal) -> str:
    """Return `numbers` but for those that are `nothing`, each with its place; empty where there is none."""
    told = [f"[{place},{number}]" for place, number in enumerate(numbers) if number != nothing]
    return f"[{','.join(told)}]" if told else ""
