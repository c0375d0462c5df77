"""The rows of files, as references and imports share them."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidPortfolioError
from common.models.references import read_valuations
from common.models.rows import (
    Malformed,
    UnreadableFileError,
    bounded_lines,
    csv_table,
    json_rows,
    missing_column,
    parquet_table,
    text_lines,
    wrong_columns,
)
from common.models.sources import Source


def lines(body: bytes, max_bytes: int = 100) -> Iterator[str]:
    return text_lines(io.BytesIO(body), max_bytes)


def csv_rows(body: bytes, **options: Any) -> list[tuple[int, Any]]:
    return list(csv_table(lines(body), **options).rows)


def test_a_row_has_the_number_of_the_line_it_begins_on() -> None:
    body = b'\na,b\n\n"1\n\n2",3\r\n,\n 4 , "5"\n'
    assert csv_table(lines(body)).columns == ("a", "b")
    assert csv_rows(body) == [(4, {"a": "1\n\n2", "b": "3"}), (8, {"a": "4 ", "b": "5"})]


def test_a_row_that_ends_early_is_malformed_only_where_rows_must_be_whole() -> None:
    assert csv_rows(b"a,b\n1\n") == [(2, {"a": "1"})]
    assert csv_rows(b"a,b\n1\n", whole_rows=True) == [(2, Malformed("has 1 values for 2 columns"))]


def test_a_value_beyond_the_columns_is_no_value_of_another_one() -> None:
    assert csv_rows(b"a,b\n1,2,\n1,2,3\n") == [(2, {"a": "1", "b": "2"}), (3, Malformed("has 3 values for 2 columns"))]
    with pytest.raises(InvalidPortfolioError, match="line 2: has 3 values for 2 columns"):
        read_valuations(b"date,value\n2024-01-02,1,234.50\n", Source(source="s3://b/v.csv"))


def test_reading_goes_on_after_a_quote_that_is_wrong() -> None:
    found = csv_rows(b'a,b\n"1"x,2\n3,4\n"5,6\n7,8\n')
    assert [number for number, _ in found] == [2, 3, 4]
    assert found[1] == (3, {"a": "3", "b": "4"})
    assert found[2][1].reason == "is not CSV: unexpected end of data, read up to line 5"


def test_a_quote_left_open_spoils_its_own_line_alone_where_rows_are_lines() -> None:
    body = b'\na,b\n"5,6\n7,8\n\n"9"x,\n"1",2\n'
    assert csv_table(lines(body), rows_are_lines=True).columns == ("a", "b")
    found = csv_rows(body, rows_are_lines=True)
    assert [number for number, _ in found] == [3, 4, 6, 7]
    assert found[0][1] == Malformed("is not CSV: unexpected end of data")
    assert found[0][1].text == '"5,6\n'
    assert [row for _, row in found if isinstance(row, dict)] == [{"a": "7", "b": "8"}, {"a": "1", "b": "2"}]


@given(st.text('ab1 ,"\r\t\u00e9', max_size=12), st.sampled_from(["\n", "\r\n"]))
def test_a_line_is_parted_as_csv_parts_it(line: str, end: str) -> None:
    body = f"a,b,c{end}{line}{end}".encode()
    by_the_reader, by_lines = csv_rows(body), csv_rows(body, rows_are_lines=True)
    for rows in (by_the_reader, by_lines):  # what is wrong is told with other words
        rows[:] = [(number, None if isinstance(row, Malformed) else row) for number, row in rows]
    assert by_lines == by_the_reader


def test_a_header_that_cannot_be_read_is_no_header() -> None:
    assert csv_table(lines(b"")).columns == csv_table(lines(b"\n \n,\n")).columns == ()
    with pytest.raises(UnreadableFileError, match="line 1: "):
        csv_table(lines(b'"a"b\n'))


def test_only_a_line_feed_ends_a_line_of_json() -> None:
    body = '{"name": "a\u2028b\x85c"}\r\n\n[]\n{"n": 1e99999999999999999999999}\n{"n": 0.1}'.encode()
    found = list(json_rows(lines(body), parse_float=str))
    assert found[0] == (1, {"name": "a\u2028b\x85c"})
    assert found[1] == (3, Malformed("is not a JSON object"))
    assert found[-1] == (5, {"n": "0.1"})


def test_a_line_too_long_is_told_and_not_read_whole() -> None:
    assert list(lines(b"x" * 4 + b"\n", 5)) == ["xxxx\n"]
    with pytest.raises(UnreadableFileError, match="line 2: is longer than 5 bytes"):
        list(lines(b"a\n" + b"x" * 10, 5))


def test_a_line_too_long_is_passed_over_where_the_others_are_wanted() -> None:
    for end in (b"\n", b"\r\n"):
        body = b"a\n" + b"x" * 5 + end + b"y" * 23 + end + b"b\nzzzzzz"
        found = list(bounded_lines(io.BytesIO(body), 6))
        if end == b"\n":
            assert found.pop(1) == "xxxxx\n"
        else:
            assert found.pop(1) == Malformed("is longer than 6 bytes")
        assert found == ["a\n", Malformed("is longer than 6 bytes"), "b\n", "zzzzzz"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (gzip.compress(b'{"portfolio_id": "a"}\n', mtime=0), "is compressed by gzip"),
        (b"PK\x03\x04\x14", "is a ZIP archive"),
        (b"PAR1\x15\x04", "is a Parquet file"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
    ],
    ids=["gzip", "ZIP", "Parquet", "UTF-16"],
)
def test_what_is_no_text_is_told_for_what_it_is(body: bytes, expected: str) -> None:
    with pytest.raises(UnreadableFileError, match=f"^{expected}"):
        next(lines(body))


@pytest.mark.parametrize(
    ("columns", "others", "expected"),
    [
        (("value", "date", "", ""), False, None),
        (("date", "value", "owner"), True, None),
        (("date", "value", "owner"), False, "no column is called `owner`; read are `date`, `value`, `cash_flow`"),
        (
            ("date", "value", "cashflow"),
            True,
            "no column is called `cashflow`; write `cash_flow` in place of `cashflow`",
        ),
        (
            ("date", "Values", "Cash Flows", "owner"),
            False,
            "no column is called `Values`, `Cash Flows`, `owner`; write `value` in place of `Values`;"
            " write `cash_flow` in place of `Cash Flows`",
        ),
        (("date", "value", "value"), True, "the column `value` stands twice"),
    ],
)
def test_a_column_that_would_go_unread_is_told(columns: tuple[str, ...], others: bool, expected: str | None) -> None:
    assert wrong_columns(columns, ("date", "value", "cash_flow"), others=others) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((), "is empty"),
        (("", ""), "has no names for its columns"),
        (("Date", "value"), "there is no column `date`, but `Date`, `value`; write `date` in place of `Date`"),
        (("day", "value"), "there is no column `date`, but `day`, `value`"),
        (("date;value",), "there is no column `date`; its columns must be separated by commas, not by ';'"),
        (("date\tvalue",), "there is no column `date`; its columns must be separated by commas, not by '\\t'"),
    ],
)
def test_a_missing_column_is_told_with_those_that_are_there(columns: tuple[str, ...], expected: str) -> None:
    assert missing_column(["date"], columns) == expected


def test_many_columns_are_not_all_told() -> None:
    told = missing_column(["portfolio_id", "entity_id"], [f"column_{number}" for number in range(1_000)])
    assert told.startswith("there is no column `portfolio_id` or `entity_id`, but `column_0`, ")
    assert len(told) < 400


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "is empty"),
        (b"date,value\n", "is not a Parquet file"),
        (b"PAR1", "is not a Parquet file, or one that was cut off or damaged"),
        (b"PAR1" + b"x" * 100 + b"PAR1", "is not a Parquet file, or one that was cut off or damaged"),
    ],
)
def test_what_is_no_parquet_is_told_without_the_name_of_the_file(tmp_path: Path, body: bytes, expected: str) -> None:
    path = tmp_path / "temporary.parquet"
    path.write_bytes(body)
    with pytest.raises(UnreadableFileError) as caught:
        parquet_table(str(path))
    assert str(caught.value) == expected


@pytest.mark.parametrize("kind", ["VARCHAR", "BLOB"])
def test_long_texts_of_parquet_are_cut_so_that_they_are_nothing_that_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.parquet"
    texts = [None, "", "0" * 9 + "7", "0" * 10 + "7", "0" * 1_000_000 + "7"]
    write_parquet(path, f"SELECT unnest($1)::{kind} AS value", texts)
    found = [row["value"] for _, row in parquet_table(str(path), longest=10).rows if isinstance(row, dict)]
    assert found == [None, "", "0" * 9 + "7", "0" * 10 + "…", "0" * 10 + "…"]


def test_nested_columns_of_parquet_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_parquet(
        path, "SELECT 'p' AS id, [1] AS a, [1]::INT[1] AS b, {'x': 1} AS c, MAP {'x': 1} AS d, true AS e", None
    )
    nested = dict.fromkeys("abcd", "a nested value")
    assert list(parquet_table(str(path)).rows) == [(1, {"id": "p", **nested, "e": "true"})]


def write_parquet(path: Path, query: str, values: list[Any] | None) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)", None if values is None else [values])


def test_each_column_of_a_series_is_asked_for() -> None:
    with pytest.raises(InvalidPortfolioError) as caught:
        read_valuations(b"date,Value\n2024-01-02,1\n", Source(source="s3://b/v.csv"))
    told = "there is no column `value`, but `date`, `Value`; write `value` in place of `Value`"
    assert str(caught.value) == f"s3://b/v.csv: {told}"
