"""The local Timestream through boto3's clients: as strict as the service, and its data outlives a process."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from common.stores.timestream import TimestreamReader
from tests.time_series import SPECIFIED_QUERY, timestream_client
from workflows.local import timestream_tables
from workflows.local.timestream import LocalTimestream, LocalTimestreamError

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2024, 3, 29, tzinfo=UTC)
DATABASE = "investment_performance"
KEPT_DAYS = 3650

_table_numbers = count()


def milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp() * 1000))


def record(**changes: Any) -> dict[str, Any]:
    return {
        "Dimensions": [{"Name": "entity_id", "Value": "p-0"}],
        "MeasureName": "twr",
        "MeasureValue": "0.5",
        "MeasureValueType": "DOUBLE",
        "Time": milliseconds(MIDNIGHT),
        **changes,
    }


def dimensions(**named: str) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in named.items()]


@dataclass(frozen=True)
class Table:
    """A table of the endpoint, through boto3's clients."""

    endpoint: str
    name: str
    writes: Any
    queries: Any

    @classmethod
    def of(cls, endpoint: str, name: str, *, magnetic: bool = True, make: bool = True) -> "Table":
        table = cls(endpoint, name, timestream_client("write", endpoint), timestream_client("query", endpoint))
        if make:
            table.writes.create_table(
                DatabaseName=DATABASE,
                TableName=name,
                RetentionProperties={
                    "MemoryStoreRetentionPeriodInHours": 24,
                    "MagneticStoreRetentionPeriodInDays": KEPT_DAYS,
                },
                MagneticStoreWriteProperties={"EnableMagneticStoreWrites": magnetic},
            )
        return table

    def write(self, *records: dict[str, Any], common: dict[str, Any] | None = None) -> Any:
        return self.writes.write_records(
            DatabaseName=DATABASE, TableName=self.name, Records=records, CommonAttributes=common or {}
        )["RecordsIngested"]

    def rejections(self, *records: dict[str, Any]) -> list[dict[str, Any]]:
        with pytest.raises(self.writes.exceptions.RejectedRecordsException) as caught:
            self.write(*records)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 419
        rejected: list[dict[str, Any]] = caught.value.response["RejectedRecords"]
        return rejected

    def rows(self, columns: str = "*") -> list[dict[str, Any]]:
        _, rows = TimestreamReader(self.queries).query(f'SELECT {columns} FROM "{DATABASE}"."{self.name}" ORDER BY ALL')
        return [dict(row) for row in rows]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalTimestream(tmp_path_factory.mktemp("timestream") / "timestream.duckdb", clock=lambda: NOW) as local:
        timestream_client("write", local.endpoint).create_database(DatabaseName=DATABASE)
        yield local.endpoint


@pytest.fixture
def table(endpoint: str) -> Table:
    return Table.of(endpoint, f"table_{next(_table_numbers)}")


@pytest.fixture
def memory_table(endpoint: str) -> Table:
    """Return a table that takes nothing older than its memory store keeps."""
    return Table.of(endpoint, f"table_{next(_table_numbers)}", magnetic=False)


def refusal(call: Any, *arguments: Any, **keywords: Any) -> tuple[str, str]:
    """Return the code and the message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **keywords)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    "value",
    ["NaN", "nan", "Infinity", "-inf", "1e400", "abc", "0x10", "1_000", " 1", "1 ", "1,5", "\uff11", "1e", ".", "--1"],
)
def test_what_is_no_double_is_rejected_and_the_others_stay(table: Table, value: str) -> None:
    assert table.rejections(record(MeasureValue=value), record(MeasureName="mwr")) == [
        {"RecordIndex": 0, "Reason": f"The measure value {value!r} is not a valid DOUBLE."}
    ]
    assert [row["measure_name"] for row in table.rows()] == ["mwr"]


@pytest.mark.parametrize("value", ["1", "-1.", ".5", "+0.1", "1e3", "-2.5E-308", "5e-324", "1.7976931348623157e+308"])
def test_a_double_is_kept_to_the_last_bit(table: Table, value: str) -> None:
    table.write(record(MeasureValue=value))
    assert [row["measure_value"] for row in table.rows()] == [float(value)]


def test_a_measure_that_is_no_double_is_rejected(table: Table) -> None:
    (rejected,) = table.rejections(record(MeasureValueType="BIGINT", MeasureValue="1"))
    assert "BIGINT is not supported" in rejected["Reason"]


@pytest.mark.parametrize("text", ["-1", "1.5", "abc", "\u00b2", "\u0663", "9" * 20, "9" * 200])
def test_what_is_no_time_is_rejected(table: Table, text: str) -> None:
    assert table.rejections(record(Time=text)) == [{"RecordIndex": 0, "Reason": "The time is not valid."}]


@pytest.mark.parametrize(
    ("unit", "zeros"), [("SECONDS", ""), ("MILLISECONDS", "000"), ("MICROSECONDS", "0" * 6), ("NANOSECONDS", "0" * 9)]
)
def test_a_record_is_the_same_in_any_unit(table: Table, unit: str, zeros: str) -> None:
    table.write(record())
    seconds = str(int(MIDNIGHT.timestamp()))
    table.write(record(Time=seconds + zeros, TimeUnit=unit))
    (rejected,) = table.rejections(record(Time=f"0{seconds}{zeros}", TimeUnit=unit, MeasureValue="0.6"))
    assert rejected["ExistingVersion"] == 1
    (row,) = table.rows()
    assert (row["time"], row["measure_value"]) == (MIDNIGHT, 0.5)


def test_microseconds_are_kept(table: Table) -> None:
    moment = MIDNIGHT.replace(microsecond=123_456)
    table.write(record(Time=str(int(MIDNIGHT.timestamp()) * 10**6 + 123_456), TimeUnit="MICROSECONDS"))
    assert [row["time"] for row in table.rows()] == [moment]


def test_a_call_takes_a_hundred_records_and_no_more(table: Table) -> None:
    records = [record(Dimensions=dimensions(entity_id=f"p-{index}")) for index in range(101)]
    code, message = refusal(table.write, *records)
    assert (code, table.rows()) == ("ValidationException", [])
    assert "between 1 and 100 members, has 101" in message
    assert table.write(*records[:100]) == {"Total": 100, "MemoryStore": 100, "MagneticStore": 0}
    assert len(table.rows()) == 100


@pytest.mark.parametrize(("database", "name"), [("none", "none"), (DATABASE, "none"), ("_timestream", "tables")])
def test_an_unknown_table_is_told(table: Table, database: str, name: str) -> None:
    code, message = refusal(
        table.writes.write_records, DatabaseName=database, TableName=name, Records=[record()], CommonAttributes={}
    )
    assert code == "ResourceNotFoundException"
    assert "does not exist" in message


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (timedelta(hours=24), True),
        (timedelta(hours=24, milliseconds=1), False),
        (timedelta(0), True),
        (timedelta(minutes=-14, seconds=-59), True),
        (timedelta(minutes=-15, milliseconds=-1), False),
        (timedelta(days=-1), False),
    ],
)
def test_the_window_of_a_table_without_magnetic_writes(memory_table: Table, age: timedelta, taken: bool) -> None:
    own = record(Time=milliseconds(NOW - age), Dimensions=dimensions(entity_id="own"))
    other = record(Time=milliseconds(NOW))
    if taken:
        assert memory_table.write(own, other)["Total"] == 2
    else:
        (rejected,) = memory_table.rejections(own, other)
        assert rejected["RecordIndex"] == 0
        assert "outside the time range" in rejected["Reason"]
        assert "ExistingVersion" not in rejected
    assert len(memory_table.rows()) == 1 + taken


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (timedelta(days=400), True),
        (timedelta(days=KEPT_DAYS), True),
        (timedelta(days=KEPT_DAYS, milliseconds=1), False),
        (timedelta(minutes=-16), False),
    ],
)
def test_the_window_of_a_table_with_magnetic_writes(table: Table, age: timedelta, taken: bool) -> None:
    late = record(Time=milliseconds(NOW - age))
    if taken:
        table.write(late)
    else:
        assert len(table.rejections(late)) == 1
    assert len(table.rows()) == taken


def test_an_equal_record_at_an_equal_version_is_taken_again(table: Table) -> None:
    table.write(record(Version=5))
    assert table.write(record(Version=5))["Total"] == 1
    assert len(table.rows()) == 1


@pytest.mark.parametrize(("version", "value"), [(5, "0.6"), (4, "0.6"), (4, "0.5"), (1, "0.6")])
def test_another_value_needs_a_higher_version(table: Table, version: int, value: str) -> None:
    table.write(record(Version=5))
    (rejected,) = table.rejections(record(Version=version, MeasureValue=value))
    assert (rejected["RecordIndex"], rejected["ExistingVersion"]) == (0, 5)
    assert [row["measure_value"] for row in table.rows()] == [0.5]


def test_a_higher_version_updates_and_an_equal_value_updates_the_version(table: Table) -> None:
    table.write(record())
    table.write(record(Version=2, MeasureValue="0.6"))
    table.write(record(Version=9, MeasureValue="0.6"))
    (rejected,) = table.rejections(record(Version=8, MeasureValue="0.7"))
    assert rejected["ExistingVersion"] == 9
    assert [row["measure_value"] for row in table.rows()] == [0.6]


def test_of_points_that_are_there_and_points_that_are_new_each_is_judged_by_itself(table: Table) -> None:
    first, second, third = (dimensions(entity_id=f"p-{number}") for number in range(3))
    table.write(record(Dimensions=first, Version=5), record(Dimensions=second))
    rejected = table.rejections(
        record(Dimensions=third, Version=2),
        record(Dimensions=first, Version=4),
        record(Dimensions=second, Version=2, MeasureValue="0.7"),
        record(Dimensions=third, MeasureValue="0.9"),
        record(Dimensions=second, MeasureValue="many"),
    )
    told = [(each["RecordIndex"], each.get("ExistingVersion")) for each in rejected]
    assert told == [(1, 5), (3, 2), (4, None)]
    assert [row["measure_value"] for row in table.rows("entity_id, measure_value")] == [0.5, 0.7, 0.5]


def test_a_version_that_is_not_given_is_one(table: Table) -> None:
    table.write(record())
    (rejected,) = table.rejections(record(MeasureValue="0.6"))
    assert rejected["ExistingVersion"] == 1


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_below_one_or_over_64_bits_refuses_the_call(table: Table, version: int) -> None:
    code, _ = refusal(table.write, record(MeasureName="mwr"), record(Version=version))
    assert (code, table.rows()) == ("ValidationException", [])


def test_duplicates_of_one_call(table: Table) -> None:
    rejected = table.rejections(
        record(), record(), record(MeasureValue="0.6"), record(MeasureValue="0.7", Version=2), record(MeasureName="mwr")
    )
    assert [(each["RecordIndex"], each["ExistingVersion"]) for each in rejected] == [(2, 1)]
    assert {row["measure_name"]: row["measure_value"] for row in table.rows()} == {"twr": 0.7, "mwr": 0.5}


def test_common_attributes_are_merged_into_each_record(table: Table) -> None:
    common = {
        "Dimensions": dimensions(request_id="r-1"),
        "MeasureValueType": "DOUBLE",
        "MeasureName": "twr",
        "TimeUnit": "SECONDS",
        "Time": str(int(MIDNIGHT.timestamp())),
        "Version": 7,
    }
    table.write(
        {"Dimensions": dimensions(entity_id="a"), "MeasureValue": "0.1"},
        {"Dimensions": dimensions(entity_id="b"), "MeasureValue": "0.2", "MeasureName": "mwr"},
        common=common,
    )
    assert table.rows("entity_id, request_id, measure_name, measure_value, time") == [
        {"entity_id": "a", "request_id": "r-1", "measure_name": "twr", "measure_value": 0.1, "time": MIDNIGHT},
        {"entity_id": "b", "request_id": "r-1", "measure_name": "mwr", "measure_value": 0.2, "time": MIDNIGHT},
    ]


@pytest.mark.parametrize(
    ("own", "common"),
    [
        (dimensions(entity_id="a"), dimensions(entity_id="a")),
        (dimensions(entity_id="a"), dimensions(entity_id="b", request_id="r")),
        (dimensions(entity_id="a") + dimensions(entity_id="b"), []),
    ],
)
def test_a_dimension_named_twice_refuses_the_call(table: Table, own: Sequence[Any], common: Sequence[Any]) -> None:
    good = record(Dimensions=dimensions(account_id="x"))
    code, message = refusal(table.write, good, record(Dimensions=own), common={"Dimensions": common})
    assert (code, table.rows()) == ("ValidationException", [])
    assert "Record 1 has duplicate dimensions: ['entity_id']" in message


@pytest.mark.parametrize(
    "name",
    ["time", "TIME", "measure_name", "measure_value", "measure_value::double", "measure_value_x", "ts_x", "a:b"],
)
def test_reserved_names_are_rejected(table: Table, name: str) -> None:
    (rejected,) = table.rejections(record(Dimensions=[{"Name": name, "Value": "x"}]))
    assert rejected["Reason"] == f"The dimension name {name!r} is not allowed."


@pytest.mark.parametrize("name", ["series", "version", "select", 'a"b', "timer", "measure", "é" * 30, "x" * 60])
def test_any_other_name_is_a_column(table: Table, name: str) -> None:
    table.write(record(Dimensions=[{"Name": name, "Value": "x"}]))
    assert [row[name] for row in table.rows()] == ["x"]


@pytest.mark.parametrize("name", ["x" * 61, "é" * 31])
def test_a_dimension_name_has_sixty_bytes_at_most(table: Table, name: str) -> None:
    (rejected,) = table.rejections(record(Dimensions=[{"Name": name, "Value": "x"}]))
    assert "is not allowed" in rejected["Reason"]


def test_names_that_differ_in_case_alone_are_rejected(table: Table) -> None:
    table.write(record())
    rejected = table.rejections(
        record(Dimensions=dimensions(Entity_ID="a")), record(Dimensions=dimensions(new="a", New="b"))
    )
    assert ["in case alone" in each["Reason"] for each in rejected] == [True, True]


@pytest.mark.parametrize("changes", [{"MeasureName": "m" * 257}, {"Dimensions": []}, {"Dimensions": dimensions(a="")}])
def test_a_record_without_its_parts_is_rejected(table: Table, changes: dict[str, Any]) -> None:
    assert [each["RecordIndex"] for each in table.rejections(record(), record(**changes))] == [1]
    assert len(table.rows()) == 1


def test_too_many_dimensions_of_a_record(table: Table) -> None:
    many = dimensions(**{f"d{index}": "x" for index in range(129)})
    (rejected,) = table.rejections(record(Dimensions=many))
    assert "between 1 and 128 dimensions" in rejected["Reason"]
    table.write(record(Dimensions=many[:128]))
    assert len(table.rows()) == 1


def test_too_many_dimensions_of_a_table(table: Table) -> None:
    many = dimensions(**{f"d{index}": "x" for index in range(129)})
    table.write(record(Dimensions=many[:64]), record(Dimensions=many[64:127]))
    rejected = table.rejections(
        record(Dimensions=many[126:]), record(Dimensions=many[127:128]), record(Dimensions=many[128:])
    )
    assert rejected == [
        {"RecordIndex": index, "Reason": "The table would have more than 128 dimensions."} for index in (0, 2)
    ]
    assert len(table.rows()[0]) == 128 + len(("time", "measure_name", "measure_value"))


@pytest.mark.parametrize(("value", "taken"), [("x" * 2000, True), ("x" * 2048, False), ("é" * 1020, False)])
def test_a_record_has_two_kilobytes_at_most(table: Table, value: str, taken: bool) -> None:
    large = record(Dimensions=dimensions(entity_id=value))
    if taken:
        table.write(large)
    else:
        assert "over 2048" in table.rejections(large)[0]["Reason"]


def test_a_body_too_large_is_refused_and_the_endpoint_goes_on(table: Table) -> None:
    for _ in range(5):
        records = [record(Dimensions=dimensions(entity_id="x" * 20_000))] * 100
        code, message = refusal(table.write, *records)
        assert code == "ValidationException"
        assert "over 1048576" in message
    assert table.write(record())["Total"] == 1


def test_a_query_too_long_is_refused(table: Table) -> None:
    code, message = refusal(table.queries.query, QueryString=f"SELECT '{'x' * 262_144}'")
    assert code == "ValidationException"
    assert "262144 characters" in message


def test_unknown_operations_are_refused(table: Table) -> None:
    assert refusal(table.writes.list_databases)[0] == "UnknownOperationException"
    assert refusal(table.queries.prepare_query, QueryString="SELECT 1")[0] == "UnknownOperationException"


def test_a_body_that_is_no_json_is_refused(endpoint: str) -> None:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=10)
    connection.request("POST", "/", b"{", {"X-Amz-Target": "Timestream_20181101.Query"})
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["__type"]) == (400, "SerializationException")
    connection.close()


def test_names_are_given_once(table: Table) -> None:
    for database in (DATABASE, DATABASE.upper(), "main", "_timestream"):
        assert refusal(table.writes.create_database, DatabaseName=database)[0] == "ConflictException"
    for name in (table.name, table.name.upper()):
        code, _ = refusal(table.writes.create_table, DatabaseName=DATABASE, TableName=name)
        assert code == "ConflictException"
    code, _ = refusal(table.writes.create_table, DatabaseName="none", TableName="any")
    assert code == "ResourceNotFoundException"
    assert table.write(record())["Total"] == 1


def test_tables_are_described_as_they_were_made(table: Table) -> None:
    described = table.writes.describe_table(DatabaseName=DATABASE, TableName=table.name)["Table"]
    assert described["RetentionProperties"] == {
        "MemoryStoreRetentionPeriodInHours": 24,
        "MagneticStoreRetentionPeriodInDays": KEPT_DAYS,
    }
    assert described["MagneticStoreWriteProperties"] == {"EnableMagneticStoreWrites": True}
    assert described in table.writes.list_tables(DatabaseName=DATABASE)["Tables"]
    assert table.writes.list_tables(DatabaseName="none")["Tables"] == []


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


def test_faults_are_answered_as_the_service_s_errors(tmp_path: Path) -> None:
    codes = ["ThrottlingException", "InternalServerException"]
    with LocalTimestream(tmp_path / "t.duckdb", faults=lambda operation, _: codes.pop(0)) as local:
        queries = timestream_client("query", local.endpoint)
        for code, status in (("ThrottlingException", 400), ("InternalServerException", 500)):
            with pytest.raises(ClientError) as caught:
                queries.query(QueryString="SELECT 1")
            assert caught.value.response["Error"]["Code"] == code
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_change_of_the_schema_that_fails_leaves_what_was_there(
    endpoint: str, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise duckdb.IOException("the disk is full")

    table.write(record())
    before = table.rows()
    with monkeypatch.context() as patch:
        patch.setattr(timestream_tables.Tables, "_show", fail)
        wider = record(Dimensions=dimensions(entity_id="p-1", account_id="a"))
        assert refusal(table.write, wider) == ("InternalServerException", "the disk is full")
        assert refusal(Table.of, endpoint, f"{table.name}_more")[0] == "InternalServerException"
    assert table.rows() == before
    assert table.write(wider)["Total"] == 1
    assert [row["account_id"] for row in table.rows("account_id")] == ["a", None]
    assert Table.of(endpoint, f"{table.name}_more").rows() == []


SERVER = """
import sys
from pathlib import Path
from workflows.local import timestream
from workflows.local.timestream import LocalTimestream

with LocalTimestream(Path(sys.argv[1])) as local:
    print(local.endpoint, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Server:
    """A local Timestream in a process of its own."""

    endpoint: str
    kill: Callable[[], None]


@contextmanager
def server(path: Path, **environment: str) -> Iterator[Server]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(path)],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(process.stdout.readline().strip(), process.kill)
        finally:
            process.stdin.close()


def batch(name: str, number: int) -> list[dict[str, Any]]:
    """Return a full call; every fifth of the first thirty brings a new column."""
    column = {f"column_{name}": "x"} if number % 5 == 0 and number < 30 else {}
    return [record(Dimensions=dimensions(entity_id=f"p-{index}", batch=name, **column)) for index in range(100)]


def write_until_it_dies(table: Table, part: int, acknowledged: list[str]) -> None:
    with suppress(BotoCoreError):
        for number in count():
            name = f"{part}_{number}"
            table.write(*batch(name, number))
            acknowledged.append(name)


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "timestream.duckdb"
    acknowledged: list[str] = []
    for part, enough in enumerate((1, 8, 40)):
        with server(path) as killed, ThreadPoolExecutor(1) as writer:
            if part == 0:
                timestream_client("write", killed.endpoint).create_database(DatabaseName=DATABASE)
            table = Table.of(killed.endpoint, "killed", make=part == 0)
            before = len(acknowledged)
            writing = writer.submit(write_until_it_dies, table, part, acknowledged)
            while len(acknowledged) < before + enough and not writing.done():
                time.sleep(0.001)
            killed.kill()
            writing.result()
        assert len(acknowledged) >= before + enough
        with LocalTimestream(path) as local:
            table = Table.of(local.endpoint, "killed", make=False)
            found = Counter(row["batch"] for row in table.rows("batch"))
            assert set(found.values()) == {100}
            assert set(acknowledged) <= set(found)
            # What was under way when the process died may be there or not, but whole.
            assert len(found) - len(acknowledged) <= part + 1
            changed = [{**each, "MeasureValue": "0.6"} for each in batch(f"{part}_0", 0)]
            assert [each["ExistingVersion"] for each in table.rejections(*changed)] == [1] * 100


TEXT_KEY = json.dumps([int(milliseconds(MIDNIGHT)) * 10**6, "twr", [["entity_id", "p-0"]]])
PROPERTIES = json.dumps(
    {
        "MemoryStoreRetentionPeriodInHours": 24,
        "MagneticStoreRetentionPeriodInDays": KEPT_DAYS,
        "EnableMagneticStoreWrites": True,
    }
)
OLD_TABLES = ("metrics", "metrics-2")


def write_as_the_first_versions_did(path: Path) -> None:
    """Make a file of one point in each of two tables, its key the text of its time, measure and dimensions."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE SCHEMA {DATABASE}")
        connection.execute("CREATE SCHEMA _timestream")
        connection.execute(
            "CREATE TABLE _timestream.tables (database VARCHAR, name VARCHAR, properties VARCHAR, "
            "PRIMARY KEY (database, name))"
        )
        for name in OLD_TABLES:
            table = f'_timestream."{DATABASE}/{name}"'
            connection.execute(
                f"CREATE TABLE {table} (ts_series VARCHAR PRIMARY KEY, ts_version BIGINT, time TIMESTAMP, "
                "measure_name VARCHAR, measure_value DOUBLE)"
            )
            connection.execute("INSERT INTO _timestream.tables VALUES (?, ?, ?)", [DATABASE, name, PROPERTIES])
            connection.execute(f"ALTER TABLE {table} ADD COLUMN entity_id VARCHAR")
            connection.execute(
                f'CREATE VIEW {DATABASE}."{name}" AS SELECT * EXCLUDE (ts_series, ts_version) FROM {table}'
            )
            connection.execute(
                f"INSERT INTO {table} VALUES (?, 5, ?, 'twr', 0.5, 'p-0')", [TEXT_KEY, MIDNIGHT.replace(tzinfo=None)]
            )


def kinds_of_keys(path: Path) -> list[str]:
    with duckdb.connect(str(path)) as connection:
        found = connection.execute("SELECT data_type FROM duckdb_columns() WHERE column_name = 'ts_series'").fetchall()
    return [kind for (kind,) in found]


@pytest.mark.parametrize("name", OLD_TABLES)
def test_a_file_whose_keys_are_texts_is_read_and_its_points_are_written_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / "timestream.duckdb"
    write_as_the_first_versions_did(path)
    with LocalTimestream(path, clock=lambda: NOW) as local:
        table = Table.of(local.endpoint, name, make=False)
        kept = {"time": MIDNIGHT, "measure_name": "twr", "measure_value": 0.5, "entity_id": "p-0"}
        assert table.rows() == [kept]
        (rejected,) = table.rejections(record(Version=4, MeasureValue="0.6"))
        assert rejected["ExistingVersion"] == 5
        table.write(record(Version=6, MeasureValue="0.7"))
        assert table.rows() == [kept | {"measure_value": 0.7}]
    with LocalTimestream(path, clock=lambda: NOW) as local:
        table = Table.of(local.endpoint, name, make=False)
        table.write(record(Version=7, MeasureValue="0.8"), record(Dimensions=dimensions(entity_id="p-1", account="a")))
        assert [row["measure_value"] for row in table.rows("entity_id, measure_value")] == [0.8, 0.5]
    assert kinds_of_keys(path) == ["UUID", "UUID"]


DIES_BEFORE_IT_COMMITS = """
import os
import sys
from pathlib import Path
from workflows.local import timestream
from workflows.local.timestream import LocalTimestream

class Connection:
    def __init__(self, path):
        self._connection = connect(path)

    def execute(self, sql, *parameters):
        if sql == "COMMIT":
            os._exit(9)
        return self._connection.execute(sql, *parameters)

connect, timestream._connect = timestream._connect, Connection
LocalTimestream(Path(sys.argv[1])).__enter__()
"""


def test_keys_are_made_anew_all_or_none(tmp_path: Path) -> None:
    path = tmp_path / "timestream.duckdb"
    write_as_the_first_versions_did(path)
    killed = subprocess.run([sys.executable, "-c", DIES_BEFORE_IT_COMMITS, str(path)], check=False)
    assert killed.returncode == 9
    assert kinds_of_keys(path) == ["VARCHAR", "VARCHAR"]
    with LocalTimestream(path, clock=lambda: NOW) as local:
        assert [len(Table.of(local.endpoint, name, make=False).rows()) for name in OLD_TABLES] == [1, 1]
    assert kinds_of_keys(path) == ["UUID", "UUID"]


def test_a_second_opener_is_told(tmp_path: Path) -> None:
    path = tmp_path / "timestream.duckdb"
    told = pytest.raises(LocalTimestreamError, match=r"timestream\.duckdb cannot be opened: .*lock")
    with server(path), told, LocalTimestream(path):
        pass
    with LocalTimestream(path):
        pass


def test_a_second_opener_of_the_same_process_is_told_and_the_first_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "timestream.duckdb"
    with LocalTimestream(path) as local:
        with pytest.raises(LocalTimestreamError, match="this process has it open already"), LocalTimestream(path):
            pass
        timestream_client("write", local.endpoint).create_database(DatabaseName=DATABASE)
    with LocalTimestream(path) as local:
        assert (
            refusal(timestream_client("write", local.endpoint).create_database, DatabaseName=DATABASE)[0]
            == "ConflictException"
        )


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "timestream.duckdb"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(LocalTimestreamError, match="not a valid DuckDB database file"), LocalTimestream(path):
        pass
    assert path.read_bytes() == b"something else" * 1000


def test_now_is_utc_wherever_the_laptop_is(tmp_path: Path) -> None:
    with server(tmp_path / "timestream.duckdb", TZ="America/New_York") as abroad:
        _, rows = TimestreamReader(timestream_client("query", abroad.endpoint)).query("SELECT now() AS now")
        assert abs(next(rows)["now"] - datetime.now(UTC)) < timedelta(minutes=5)
