"""The rows of files, as references and imports share them."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from common.errors import InvalidPortfolioError
from common.models.references import read_valuations
from common.models.rows import Malformed, UnreadableFileError, csv_table, json_rows, text_lines
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
