"""A year of a daily series as it is stored."""

import zlib
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations.words import day_number
from common.errors import StoreError
from common.models.books import DayValue, SeriesKind
from common.stores.dynamodb_entities import YEARS_TOGETHER
from common.stores.dynamodb_items import MAX_ITEM_BYTES, MAX_TRANSACTION_BYTES
from common.stores.series_arrays import price_history, valuations
from common.stores.series_chunks import MAX_CHUNK_BYTES, Chunk, Days, by_year, decode, encode, merge, total

MOST_DIGITS = 10**34 - 1

numbers = st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**15), 10**15),
    st.integers(-100, 0),
) | st.integers(-MOST_DIGITS, MOST_DIGITS).map(lambda digits: Decimal(f"{digits}E-20"))
dates = st.dates(date(1900, 1, 1), date(2199, 12, 31))
day_values = st.builds(DayValue, dates, numbers, st.just(Decimal(0)) | numbers, st.just(Decimal(1)) | numbers)
series = st.lists(day_values, min_size=1, max_size=40, unique_by=lambda each: each.date)


def year_of(days: list[DayValue]) -> Days:
    ((_, year),) = by_year(SeriesKind.PRICE, days).items()
    return year


def test_it_is_readable_json_inside() -> None:
    days = year_of(
        [
            DayValue(date(2023, 1, 2), Decimal("10.250")),
            DayValue(date(2023, 1, 3), Decimal("1E+3")),
            DayValue(date(2023, 1, 4), Decimal("5"), split=Decimal("2")),
            DayValue(date(2023, 1, 9), Decimal("5.1"), dividend=Decimal("0.24")),
        ]
    )
    assert zlib.decompress(encode(days)) == (
        b'{"gaps":[2,1,1,5],"values":[10.250,1E+3,5,5.1],"dividends":[[3,0.24]],"splits":[[2,2]]}'
    )


@given(days=series)
def test_every_digit_comes_back(days: list[DayValue]) -> None:
    for year, given_days in by_year(SeriesKind.PRICE, days).items():
        assert decode(Chunk(year, encode(given_days))) == given_days
        assert list(given_days) == sorted(day.date for day in days if day.date.year == year)


@given(days=series)
def test_arrays_hold_the_nearest_floats(days: list[DayValue]) -> None:
    chunks = [Chunk(year, encode(each)) for year, each in by_year(SeriesKind.PRICE, days).items()]
    expected = sorted(days)
    found = price_history(chunks)
    assert found.days.tolist() == [day_number(day.date) for day in expected]
    assert found.prices.tolist() == [float(day.value) for day in expected]
    assert found.dividends.tolist() == [float(day.dividend) for day in expected]
    assert found.splits.tolist() == [float(day.split) for day in expected]
    assert valuations(chunks).days.tolist() == found.days.tolist()
    assert valuations(chunks).values.tolist() == found.prices.tolist()


@given(kept=series, new=series)
def test_merging_keeps_the_later_value_and_counts_each_day_once(kept: list[DayValue], new: list[DayValue]) -> None:
    before, after = {day.date: day for day in kept}, {day.date: day for day in new}
    merged, report = merge(before, after)
    assert merged == before | after
    assert list(merged) == sorted(merged)
    assert report.added == len(after.keys() - before.keys())
    assert report.added + report.changed + report.unchanged == len(new)
    again, nothing = merge(merged, after)
    assert again == merged
    assert (nothing.added, nothing.changed) == (0, 0)
    assert total([report, nothing]).unchanged == report.unchanged + len(new)


def test_the_longest_year_stays_within_its_bound() -> None:
    longest = Decimal(f"-{MOST_DIGITS}E-39")  # written out: a sign, 0, a point, five zeros and 34 digits
    days = year_of([DayValue(date(2024, 1, 1) + timedelta(n), longest, longest, longest) for n in range(366)])
    encoded = encode(days)
    assert len(str(longest)) == 42
    assert len(zlib.decompress(encoded)) < MAX_CHUNK_BYTES
    assert len(encoded) < MAX_CHUNK_BYTES < MAX_ITEM_BYTES
    assert YEARS_TOGETHER * MAX_CHUNK_BYTES + MAX_ITEM_BYTES <= MAX_TRANSACTION_BYTES
    assert YEARS_TOGETHER >= 50


@pytest.mark.parametrize(
    ("kind", "day", "message"),
    [
        (SeriesKind.PRICE, DayValue(date(2023, 1, 2), Decimal("Infinity")), "price of 2023-01-02: a number must be"),
        (SeriesKind.PRICE, DayValue(date(2023, 1, 2), Decimal(1), Decimal("NaN")), "price of 2023-01-02"),
        (SeriesKind.PRICE, DayValue(date(2023, 1, 2), Decimal(1), split=Decimal("1e-131")), "0 or at least 1e-130"),
        (SeriesKind.VALUATION, DayValue(date(2023, 1, 2), Decimal(1), split=Decimal(2)), "which only a price has"),
        (SeriesKind.LEVEL, DayValue(date(2023, 1, 2), Decimal(1), Decimal(2)), "which only a price has"),
    ],
)
def test_what_cannot_be_kept_is_refused(kind: SeriesKind, day: DayValue, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        by_year(kind, [day])
