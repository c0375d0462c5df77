"""Columns that are read whole are what they would be item by item, and what is wrong with them is told the same."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from common.calculations.words import day_number
from common.models.columns import read_days, read_numbers
from common.models.faults import faults
from common.models.fields import FIRST_DATE, LAST_DATE, parse_amount, parse_date
from common.models.limits import MAX_AMOUNT, MAX_VALUATIONS
from common.models.series import CashFlowColumns, CashFlowSeries, ValuationColumns, ValuationSeries, _Written

VALUATIONS: TypeAdapter[Any] = TypeAdapter(ValuationSeries)
CASH_FLOWS: TypeAdapter[Any] = TypeAdapter(CashFlowSeries)

days = st.dates(FIRST_DATE, LAST_DATE).map(date.isoformat)
doubtful_days: st.SearchStrategy[Any] = st.one_of(
    days,
    st.dates().map(date.isoformat),
    st.dates(FIRST_DATE, LAST_DATE),
    st.text(alphabet="0123456789-,", max_size=12),
    st.text(max_size=11),
    st.integers() | st.none(),
    st.sampled_from(
        ["2023-02-29", "2024-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "2024-01-0\u0661", "2024/01/01"]
    ),
)
amounts = st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15)
doubtful_amounts: st.SearchStrategy[Any] = st.one_of(
    amounts, st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=4), st.decimals(), st.just(10**400)
)


@given(st.lists(days))
def test_days_are_those_of_the_calendar(texts: list[str]) -> None:
    found = read_days(texts)
    assert found is not None
    assert found.tolist() == [day_number(date.fromisoformat(text)) for text in texts]


def test_every_day_of_three_centuries_is_read() -> None:
    texts = [(FIRST_DATE + timedelta(days=n)).isoformat() for n in range((LAST_DATE - FIRST_DATE).days + 1)]
    for first in range(0, len(texts), MAX_VALUATIONS):
        part = texts[first : first + MAX_VALUATIONS]
        found = read_days(part)
        assert found is not None
        assert found.tolist() == np.array(part, dtype="datetime64[D]").astype(np.int64).tolist()


@given(st.lists(doubtful_days, min_size=1))
def test_days_of_which_one_is_doubtful_are_not_read_whole(texts: list[Any]) -> None:
    found = read_days(texts)
    if found is not None:
        assert all(isinstance(text, str) for text in texts)
        assert found.tolist() == [day_number(parse_date(text)) for text in texts]


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-01-0", "22024-01-03"],
        ["2024-01-02,2024-01-03"],
        ["2024-01-02,", "024-01-03"],
        ["", "2024-01-02,2024-01-03"],
        ["1899-12-31"],
        ["2200-01-01"],
        ["2024-04-31"],
        ["2024-01-02"] * (MAX_VALUATIONS + 1),
    ],
)
def test_what_only_looks_like_dates_together_is_not_read_whole(texts: list[str]) -> None:
    assert read_days(texts) is None


@given(st.lists(doubtful_amounts))
def test_numbers_are_those_of_each_item_or_not_read_whole(values: list[Any]) -> None:
    found = read_numbers(values)
    if found is not None:
        assert all(type(value) in (int, float) for value in values)
        assert found.tolist() == [parse_amount(value) for value in values]


@pytest.mark.parametrize("odd", [True, "1", None, float("nan"), float("-inf"), 10**400, MAX_AMOUNT * 1.001, Decimal(1)])
def test_a_number_that_is_doubtful_keeps_a_column_from_being_read_whole(odd: Any) -> None:
    assert read_numbers([1.0, 2, odd]) is None


def outcome(validate: Callable[[Any], Any], document: Any) -> Any:
    """What comes of a document: its days and numbers, or its faults."""
    try:
        found = validate(document)
    except ValidationError as error:
        return [str(fault) for fault in faults(error)]
    numbers = found.values if isinstance(found, ValuationColumns | _Written.ValuationColumns) else found.amounts
    return [day.isoformat() for day in found.dates], numbers


columns = st.lists(st.tuples(doubtful_days | days, doubtful_amounts | amounts), max_size=6)


@given(columns, st.booleans())
def test_columns_read_whole_and_item_by_item_come_to_the_same(rows: list[tuple[Any, Any]], lost: bool) -> None:
    dates, numbers = [day for day, _ in rows], [number for _, number in rows]
    if lost:
        numbers = numbers[1:]
    document = {"dates": dates, "values": numbers}
    assert outcome(VALUATIONS.validate_python, document) == outcome(_Written.ValuationColumns.model_validate, document)
    document = {"dates": dates, "amounts": numbers}
    assert outcome(CASH_FLOWS.validate_python, document) == outcome(_Written.CashFlowColumns.model_validate, document)


@given(st.lists(st.tuples(days, amounts), min_size=1, max_size=6, unique_by=lambda row: row[0]))
def test_points_come_to_the_same_as_columns(rows: list[tuple[str, float]]) -> None:
    dates, numbers = [day for day, _ in rows], [number for _, number in rows]
    valuations = VALUATIONS.validate_python([{"date": day, "value": number} for day, number in rows])
    assert valuations == VALUATIONS.validate_python({"dates": dates, "values": numbers})
    flows = CASH_FLOWS.validate_python([{"date": day, "amount": number} for day, number in rows])
    assert flows == CASH_FLOWS.validate_python({"dates": dates, "amounts": numbers})
    assert (type(valuations), type(flows)) == (ValuationColumns, CashFlowColumns)
    assert flows.flows().days.tolist() == sorted(map(day_number, map(date.fromisoformat, dates)))
    assert valuations.valuations().days.tolist() == flows.flows().days.tolist()


@given(st.lists(st.tuples(days, amounts), min_size=1, max_size=6, unique_by=lambda row: row[0]))
def test_what_is_dumped_is_read_as_the_same(rows: list[tuple[str, float]]) -> None:
    document = {"dates": [day for day, _ in rows], "values": [float(number) for _, number in rows]}
    found = VALUATIONS.validate_python(document)
    assert found.dump() == document == VALUATIONS.dump_python(found, mode="json")
