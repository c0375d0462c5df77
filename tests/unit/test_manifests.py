"""Manifests, line by line: what is taken, what is refused with its place, and what may be run again."""

import csv
import io
import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models.inputs import PortfolioInput
from common.models.manifests import FAILURE, ManifestEntry, RefusedEntry, read_manifest
from common.models.rows import UnreadableFileError
from common.models.sources import Source, SourceFormat

PORTFOLIO = {
    "portfolio_id": "growth",
    "valuations": {"dates": ["2024-01-02", "2024-01-03"], "values": [100.0, 101.0]},
    "cash_flows": {"dates": [], "amounts": []},
}


def read(body: bytes, kind: SourceFormat) -> list[ManifestEntry | RefusedEntry]:
    return list(read_manifest(io.BytesIO(body), Source(source="s3://uploads/manifest", format=kind)))


def lines(*documents: object) -> list[ManifestEntry | RefusedEntry]:
    body = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents)
    return read(body, SourceFormat.JSON_LINES)


def table(text: str) -> list[ManifestEntry | RefusedEntry]:
    return read(text.encode(), SourceFormat.CSV)


def refused(entries: Iterable[ManifestEntry | RefusedEntry]) -> list[tuple[str, str]]:
    return [(each.place, each.message) for each in entries if isinstance(each, RefusedEntry)]


def test_portfolios_and_entities_stand_side_by_side() -> None:
    found = lines(
        PORTFOLIO,
        {"entity_id": "main", "entity_type": "account", "as_of_date": "2024-01-31"},
        {"portfolio_id": "income"},
    )
    first, second, third = (cast("ManifestEntry", each) for each in found)
    assert isinstance(first.content, PortfolioInput)
    assert first.document() == PORTFOLIO
    assert second.document() == {"entity_type": "account", "entity_id": "main", "as_of_date": "2024-01-31"}
    assert third.document() == {"entity_type": "portfolio", "entity_id": "income"}
    assert [each.place for each in found] == ["line 1", "line 2", "line 3"]


def test_a_line_that_is_no_portfolio_is_refused_and_the_others_are_not() -> None:
    found = lines(b"{", {"entity_id": ""}, {**PORTFOLIO, "valuations": []}, b"", [1], {"colour": 1}, PORTFOLIO)
    assert refused(found) == [
        ("line 1", "is not a JSON object"),
        ("line 2", "$.entity_id: must not be empty"),
        ("line 3", "$.valuations: must have at least 1 item(s)"),
        ("line 5", "is not a JSON object"),
        ("line 6", "$.entity_id: is missing; $.colour: is not a known field"),
    ]
    assert isinstance(found[-1], ManifestEntry)


def test_the_failures_of_a_run_are_a_manifest() -> None:
    failed = {**PORTFOLIO, FAILURE: {"error": "InvalidPortfolioError", "message": "line 3: ..."}}
    (only,) = lines(failed)
    assert isinstance(only, ManifestEntry)
    assert only.document() == PORTFOLIO


def test_what_could_not_be_read_is_kept_with_the_reason_and_told_where_it_is_cut() -> None:
    short, long = b'{"portfolio_id": "a", ', b'{"x": "' + b"y" * 5_000
    found = lines(short, long)
    assert [each.told for each in found if isinstance(each, RefusedEntry)] == [
        {"text": short.decode()},
        {"text": long.decode()[:4_096], "text_is": "the first 4,096 of 5,007 characters"},
    ]


REFUSED = {"error": "InvalidPortfolioError", "message": "line 9: ..."}


@pytest.mark.parametrize(
    ("document", "more"),
    [
        ({}, {"text": "{"}),
        ({}, {}),
        (PORTFOLIO, {"duplicate": {"entity_type": "portfolio", "entity_id": "growth"}}),
        ({"portfolio_id": "growth"}, {"duplicate": {"entity_type": "portfolio", "entity_id": "growth"}}),
        (PORTFOLIO, {"incomplete": True, "text": "growth,2024-01-04"}),
    ],
)
def test_what_an_earlier_run_refused_is_refused_again_until_it_is_put_right(
    document: dict[str, Any], more: dict[str, Any]
) -> None:
    (only,) = lines({**document, FAILURE: {**REFUSED, **more}})
    assert only == RefusedEntry("line 1", document, "line 9: ...", more, earlier=True)


@pytest.mark.parametrize(
    "mended",
    [
        PORTFOLIO,
        {**PORTFOLIO, FAILURE: {**REFUSED, "text": "{"}},
        {**PORTFOLIO, FAILURE: {**REFUSED, "duplicate": {"entity_type": "portfolio", "entity_id": "income"}}},
        {**PORTFOLIO, FAILURE: {**REFUSED, "duplicate": {"entity_type": "account", "entity_id": "growth"}}},
        {**PORTFOLIO, FAILURE: {**REFUSED, "text": "growth,2024-01-04"}},
        {**PORTFOLIO, FAILURE: "is no record of ours"},
    ],
)
def test_what_was_put_right_is_read_like_any_other_line(mended: dict[str, Any]) -> None:
    (only,) = lines(mended)
    assert isinstance(only, ManifestEntry)
    assert only.document() == PORTFOLIO


def test_a_line_that_is_still_wrong_is_told_by_what_is_wrong_now() -> None:
    assert refused(lines({**PORTFOLIO, "valuations": [], FAILURE: REFUSED})) == [
        ("line 1", "$.valuations: must have at least 1 item(s)")
    ]


def test_a_table_without_dates_names_entities_of_the_books() -> None:
    found = table("entity_id,entity_type,as_of_date,owner\nmain,account,2024-01-31,me\n 17 ,,,\n,,,x\n")
    assert [each.document() for each in found if isinstance(each, ManifestEntry)] == [
        {"entity_type": "account", "entity_id": "main", "as_of_date": "2024-01-31"},
        {"entity_type": "portfolio", "entity_id": "17"},
    ]
    assert [place for place, _ in refused(found)] == ["line 4"]


def test_a_table_with_dates_has_a_row_for_each_valuation() -> None:
    rows = (
        "portfolio_id,date,value,cash_flow,currency\na,2024-01-02,100,,EUR\na,2024-01-03,101,5,EUR\nb,2024-01-02,7,0,\n"
    )
    first, second = (cast("ManifestEntry", each) for each in table(rows))
    assert first.document() == {
        "portfolio_id": "a",
        "currency": "EUR",
        "valuations": {"dates": ["2024-01-02", "2024-01-03"], "values": [100.0, 101.0]},
        "cash_flows": {"dates": ["2024-01-03"], "amounts": [5.0]},
    }
    assert (first.place, second.place) == ("line 2", "line 4")
    assert isinstance(second.content, PortfolioInput)


def test_a_row_that_cannot_be_read_takes_both_its_neighbours_with_it() -> None:
    header = "portfolio_id,date,value\n"
    found = table(f"{header}a,2024-01-02,1\nb,2024-01-02\nb,2024-01-03,2\nc,2024-01-02,3\n")
    assert [(each.place, isinstance(each, ManifestEntry)) for each in found] == [
        ("line 2", False),
        ("line 4", False),
        ("line 5", True),
    ]
    assert {message for _, message in refused(found)} == {"line 3: has 2 values for 3 columns"}
    for each in found[:2]:  # neither is calculated without that row when it is run again as it is
        assert isinstance(each, RefusedEntry)
        assert each.told == {"incomplete": True, "text": "b,2024-01-02"}


def test_a_row_that_cannot_be_read_at_the_end_of_nothing_is_told_once() -> None:
    assert refused(table("portfolio_id,date,value\na\n")) == [("line 2", "has 1 values for 3 columns")]


def test_a_quote_left_open_does_not_take_the_portfolios_after_it_along() -> None:
    found = table('portfolio_id,date,value\na,2024-01-02,1\nb,2024-01-02,"1\nb,2024-01-03,2\nc,2024-01-02,3\n')
    told = "line 3: is not CSV: unexpected end of data"
    assert refused(found) == [("line 2", told), ("line 4", told)]
    (last,) = (each for each in found if isinstance(each, ManifestEntry))
    assert (last.place, last.names["entity_id"]) == ("line 5", "c")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            "portfolio_id,date,value,cashflow",
            "no column is called `cashflow`; write `cash_flow` in place of `cashflow`",
        ),
        ("portfolio_id,date,value,fee", "no column is called `fee`; read are `portfolio_id`, `entity_id`, `date`"),
        ("entity_id,date,value,entity_type", "no column is called `entity_type`"),
        ("portfolio_id,date,value,value", "the column `value` stands twice"),
        ("portfolio_id,date,amount", "there is no column `value`, but `portfolio_id`, `date`, `amount`"),
        ("portfolio_id,Date,value", "there is no column `date`, but .*; write `date` in place of `Date`"),
        ("entity_id,As of date", "no column is called `As of date`; write `as_of_date` in place of `As of date`"),
    ],
)
def test_a_column_whose_values_would_go_unread_ends_the_reading(header: str, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=reason):
        table(f"{header}\na,2024-01-02,1,5\n")


def test_a_value_that_is_none_is_the_portfolio_s_fault_alone() -> None:
    found = table("portfolio_id,date,value\na,2024-01-02,n/a\nb,2024-01-02,1\n")
    assert refused(found) == [("line 2", "$.valuations.values[0]: must be a number")]


def test_parquet(tmp_path: Path) -> None:
    file = str(tmp_path / "manifest.parquet")
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 17 AS portfolio_id, DATE '2024-01-02' AS date, 1.5::DECIMAL(9,2) AS value) TO '{file}'"
        )
    (only,) = read(Path(file).read_bytes(), SourceFormat.PARQUET)
    assert isinstance(only, ManifestEntry)
    assert only.document()["portfolio_id"] == "17"
    assert only.document()["valuations"] == {"dates": ["2024-01-02"], "values": [1.5]}


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (
            b"name,owner\na,b\n",
            SourceFormat.CSV,
            "there is no column `portfolio_id` or `entity_id`, but `name`, `owner`",
        ),
        (b"", SourceFormat.CSV, "is empty"),
        (b"not parquet", SourceFormat.PARQUET, "is not a Parquet file"),
        (b"[]", SourceFormat.JSON, "JSON would have to be read whole"),
    ],
)
def test_what_is_no_manifest_is_told(body: bytes, kind: SourceFormat, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=reason):
        read(body, kind)


def test_a_line_too_long_is_refused_alone_and_never_held_whole() -> None:
    class Manifest(io.BytesIO):
        longest = 0

        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            self.longest = max(self.longest, len(line))
            return line

    limit = 16 * 1024 * 1024
    file = Manifest(b'{"portfolio_id": "a"}\n' + b"x" * 2 * limit + b'\n{"portfolio_id": "b"}\n')
    found = list(read_manifest(file, Source(source="s3://uploads/manifest.jsonl")))
    assert refused(found) == [("line 2", "is longer than 16,777,216 bytes")]
    assert [each.names["entity_id"] for each in found if isinstance(each, ManifestEntry)] == ["a", "b"]
    assert file.longest == limit + 1


def test_a_manifest_is_read_as_it_is_asked_for() -> None:
    """An endless one is no burden for who takes the first lines of it."""

    class Portfolios(io.RawIOBase):
        numbers = count()

        def readable(self) -> bool:
            return True

        def readline(self, size: int | None = -1, /) -> bytes:
            return json.dumps({"portfolio_id": f"p{next(self.numbers)}"}).encode() + b"\n"

    source = Source(source="s3://uploads/manifest.jsonl")
    entries = read_manifest(cast("Any", Portfolios()), source)
    assert [next(entries).document for _ in range(3)]
    assert next(Portfolios.numbers) == 3


ids = st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True)
portfolios = st.lists(
    st.tuples(ids, st.lists(st.floats(0, 1e9), min_size=1, max_size=4)),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each[0],
)


@given(portfolios)
def test_a_table_and_lines_of_the_same_portfolios_are_the_same_manifest(given: list[tuple[str, list[float]]]) -> None:
    documents = [
        {
            "portfolio_id": name,
            "valuations": {"dates": [f"2024-01-{day:02}" for day in range(1, len(values) + 1)], "values": values},
        }
        for name, values in given
    ]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("portfolio_id", "date", "value"))
    for name, values in given:
        writer.writerows((name, f"2024-01-{day:02}", repr(value)) for day, value in enumerate(values, start=1))
    as_table = [cast("ManifestEntry", each).document() for each in table(text.getvalue())]
    assert as_table == [cast("ManifestEntry", each).document() for each in lines(*documents)]
