"""The local Timestream as a client and another process meet it: its protocol, and whose the file is."""

import http.client
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from common.stores.timestream import TimestreamReader
from tests.time_series import timestream_client
from tests.unit.local_timestream.world import DATABASE, Table, dimensions, record, refusal, server
from workflows.local.timestream import LocalTimestream, LocalTimestreamError


def test_a_body_too_large_is_refused_and_the_endpoint_goes_on(table: Table) -> None:
    for _ in range(5):
        records = [record(Dimensions=dimensions(entity_id="x" * 20_000))] * 100
        code, message = refusal(table.write, *records)
        assert code == "ValidationException"
        assert "over 1048576" in message
    assert table.write(record())["Total"] == 1


def test_unknown_operations_are_refused(table: Table) -> None:
    assert refusal(table.writes.list_databases)[0] == "UnknownOperationException"
    assert refusal(table.queries.prepare_query, QueryString="SELECT 1")[0] == "UnknownOperationException"


def test_a_body_that_is_no_json_is_refused(endpoint: str) -> None:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=10)
    connection.request("POST", "/", b"{", {"X-Amz-Target": "Timestream_20181101.Query"})
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["__type"]) == (400, "SerializationException")
    connection.close()


def test_faults_are_answered_as_the_service_s_errors(tmp_path: Path) -> None:
    codes = ["ThrottlingException", "InternalServerException"]
    with LocalTimestream(tmp_path / "t.duckdb", faults=lambda operation, _: codes.pop(0)) as local:
        queries = timestream_client("query", local.endpoint)
        for code, status in (("ThrottlingException", 400), ("InternalServerException", 500)):
            with pytest.raises(ClientError) as caught:
                queries.query(QueryString="SELECT 1")
            assert caught.value.response["Error"]["Code"] == code
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


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
