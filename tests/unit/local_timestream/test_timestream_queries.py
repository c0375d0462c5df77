"""Queries of the local Timestream: what may be asked, in which types and pages it is answered."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from common.stores.timestream import TimestreamReader
from tests.time_series import SPECIFIED_QUERY
from tests.unit.local_timestream.world import DATABASE, MIDNIGHT, Table, dimensions, milliseconds, record, refusal


def test_a_query_too_long_is_refused(table: Table) -> None:
    code, message = refusal(table.queries.query, QueryString=f"SELECT '{'x' * 262_144}'")
    assert code == "ValidationException"
    assert "262144 characters" in message


def specified_records() -> list[dict[str, Any]]:
    """Return one record of what the specification's query asks for, and others that differ in one thing."""
    asked = {"entity_type": "portfolio", "entity_id": "p-0", "time_period": "1Y"}
    inside, first, last = MIDNIGHT, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 30, tzinfo=UTC)
    outside = (first - timedelta(days=1), last + timedelta(days=1))
    return [
        *(record(Dimensions=dimensions(**asked), Time=milliseconds(each)) for each in (last, inside, first, *outside)),
        record(Dimensions=dimensions(**asked), MeasureName="mwr"),
        record(Dimensions=dimensions(**asked | {"entity_id": "p-1"})),
        record(Dimensions=dimensions(**asked | {"entity_type": "account"})),
    ]


def test_the_specified_query_runs_verbatim(endpoint: str) -> None:
    table = Table.of(endpoint, "performance_metrics")
    table.write(*specified_records())
    answer = table.queries.query(QueryString=SPECIFIED_QUERY)
    assert answer["ColumnInfo"] == [
        {"Name": "time", "Type": {"ScalarType": "TIMESTAMP"}},
        {"Name": "twr", "Type": {"ScalarType": "DOUBLE"}},
    ]
    assert answer["Rows"] == [
        {"Data": [{"ScalarValue": f"{day} 00:00:00.000000000"}, {"ScalarValue": "0.5"}]}
        for day in ("2024-01-01", "2024-03-29", "2024-06-30")
    ]
    assert "NextToken" not in answer


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DELETE FROM {table}", "one SELECT statement"),
        ("INSERT INTO {table} SELECT * FROM {table}", "one SELECT statement"),
        ("UPDATE {table} SET measure_value = 0", "one SELECT statement"),
        ("DROP VIEW {table}", "one SELECT statement"),
        ("CREATE TABLE other (a INTEGER)", "one SELECT statement"),
        ("SELECT 1; SELECT 2", "one SELECT statement"),
        ("SELECT 1; DELETE FROM {table}", "one SELECT statement"),
        (" ", "one SELECT statement"),
        ("SET enable_external_access = true", "one SELECT statement"),
        ("ATTACH '/tmp/other.duckdb'", "one SELECT statement"),
        ("COPY {table} TO '/tmp/stolen.csv'", "one SELECT statement"),
        ("INSTALL httpfs", "one SELECT statement"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM glob('/etc/*')", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", "does not exist"),
        ("SELECT * FROM {table} WHERE", "syntax error"),
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM {table}", "nothing"),
        ("SELECT * FROM none.none", "none"),
        ("SELECT CAST(measure_name AS DOUBLE) FROM {table}", "Could not convert"),
        ("SELECT $1", "parameters"),
    ],
)
def test_what_is_no_plain_select_is_refused(table: Table, sql: str, reason: str) -> None:
    table.write(record())
    statement = sql.format(table=f"{DATABASE}.{table.name}")
    code, message = refusal(table.queries.query, QueryString=statement)
    assert code == "ValidationException"
    assert reason in message
    assert len(table.rows()) == 1


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        ("1", "INTEGER", "1"),
        ("count(*)", "BIGINT", "1"),
        ("sum(1)", "BIGINT", "1"),
        ("0.1::double", "DOUBLE", "0.1"),
        ("1e300", "DOUBLE", "1e+300"),
        ("1.5", "DOUBLE", "1.5"),
        ("true", "BOOLEAN", "true"),
        ("1 > 2", "BOOLEAN", "false"),
        ("'a'", "VARCHAR", "a"),
        ("DATE '2024-03-29'", "DATE", "2024-03-29"),
        ("TIMESTAMP '2024-03-29 01:02:03.000004'", "TIMESTAMP", "2024-03-29 01:02:03.000004000"),
        ("TIMESTAMP '0900-01-01 00:00:00'", "TIMESTAMP", "0900-01-01 00:00:00.000000000"),
        ("max(time)", "TIMESTAMP", "2024-03-29 00:00:00.000000000"),
        ("max(measure_value)", "DOUBLE", "0.5"),
        ("max(measure_name)", "VARCHAR", "twr"),
    ],
)
def test_columns_have_the_service_s_types(table: Table, expression: str, kind: str, text: str) -> None:
    table.write(record())
    answer = table.queries.query(QueryString=f"SELECT {expression} AS value FROM {DATABASE}.{table.name}")
    assert answer["ColumnInfo"] == [{"Name": "value", "Type": {"ScalarType": kind}}]
    assert answer["Rows"] == [{"Data": [{"ScalarValue": text}]}]


def test_the_reader_gives_python_values(table: Table) -> None:
    names, rows = TimestreamReader(table.queries).query(
        "SELECT 1 AS a, 0.5 AS b, true AS c, DATE '2024-03-29' AS d, TIMESTAMP '2024-03-29 00:00:00' AS e, 'x' AS f, "
        "NULL AS g"
    )
    assert names == ["a", "b", "c", "d", "e", "f", "g"]
    assert list(rows) == [
        {"a": 1, "b": 0.5, "c": True, "d": date(2024, 3, 29), "e": MIDNIGHT, "f": "x", "g": None},
    ]


def test_a_dimension_a_record_does_not_have_is_null(table: Table) -> None:
    table.write(record(), record(Dimensions=dimensions(entity_id="p-1", account_id="a")))
    answer = table.queries.query(
        QueryString=f"SELECT account_id FROM {DATABASE}.{table.name} ORDER BY entity_id",
    )
    assert answer["Rows"] == [{"Data": [{"NullValue": True}]}, {"Data": [{"ScalarValue": "a"}]}]


def test_an_empty_table_has_columns_and_no_rows(table: Table) -> None:
    answer = table.queries.query(QueryString=f"SELECT * FROM {DATABASE}.{table.name}")
    assert [column["Name"] for column in answer["ColumnInfo"]] == ["time", "measure_name", "measure_value"]
    assert answer["Rows"] == []


def pages(table: Table, sql: str, **options: Any) -> Iterator[Any]:
    token: dict[str, str] = {}
    while True:
        answer = table.queries.query(QueryString=sql, **options, **token)
        yield answer
        if "NextToken" not in answer:
            return
        token = {"NextToken": answer["NextToken"]}


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (0, {}, [0]),
        (1000, {}, [1000]),
        (1001, {}, [1000, 1]),
        (2500, {}, [1000, 1000, 500]),
        (5, {"MaxRows": 2}, [2, 2, 1]),
    ],
)
def test_rows_come_in_pages(table: Table, rows: int, options: Any, expected: list[int]) -> None:
    found = list(pages(table, f"SELECT range AS n FROM range({rows}) ORDER BY n", **options))
    assert [len(page["Rows"]) for page in found] == expected
    assert len({page["QueryId"] for page in found}) == 1
    numbers = [int(row["Data"][0]["ScalarValue"]) for page in found for row in page["Rows"]]
    assert numbers == list(range(rows))


def test_the_paginator_reads_all_records(table: Table) -> None:
    for first in range(0, 2100, 100):
        table.write(*(record(Dimensions=dimensions(entity_id=f"p-{first + index}")) for index in range(100)))
    assert len({row["entity_id"] for row in table.rows()}) == 2100


def test_pages_show_what_was_there_when_the_query_began(table: Table) -> None:
    table.write(*(record(Dimensions=dimensions(entity_id=f"p-{index}")) for index in range(100)))
    sql = f"SELECT * FROM {DATABASE}.{table.name}"
    reading = pages(table, sql, MaxRows=10)
    found = list(next(reading)["Rows"])
    table.write(record(Dimensions=dimensions(entity_id="p-new", account_id="new column")))
    table.write(record(Version=2, MeasureValue="0.9"))
    for page in reading:
        found += page["Rows"]
    assert len(found) == 100
    assert {len(row["Data"]) for row in found} == {4}
    assert len(table.rows()) == 101


def test_a_token_that_is_unknown_used_or_cancelled_is_refused(table: Table) -> None:
    sql = "SELECT * FROM range(30)"
    unknown = "The NextToken is not valid"
    assert refusal(table.queries.query, QueryString=sql, NextToken="x") == ("ValidationException", unknown)
    first = table.queries.query(QueryString=sql, MaxRows=10)
    table.queries.query(QueryString=sql, MaxRows=10, NextToken=first["NextToken"])
    assert refusal(table.queries.query, QueryString=sql, NextToken=first["NextToken"])[1] == unknown
    second = table.queries.query(QueryString=sql, MaxRows=10)
    table.queries.cancel_query(QueryId=second["QueryId"])
    assert refusal(table.queries.query, QueryString=sql, NextToken=second["NextToken"])[1] == unknown


def test_a_page_has_a_thousand_rows_at_most(table: Table) -> None:
    assert refusal(table.queries.query, QueryString="SELECT 1", MaxRows=1001)[0] == "ValidationException"
