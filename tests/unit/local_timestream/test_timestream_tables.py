"""What the local Timestream keeps: it outlives a process, and files of its first versions are read."""

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from botocore.exceptions import BotoCoreError

from tests.time_series import timestream_client
from tests.unit.local_timestream.world import (
    DATABASE,
    KEPT_DAYS,
    MIDNIGHT,
    NOW,
    Table,
    dimensions,
    milliseconds,
    record,
    refusal,
    server,
)
from workflows.local import timestream_tables
from workflows.local.timestream import LocalTimestream


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
