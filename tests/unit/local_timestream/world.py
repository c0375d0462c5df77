"""What the tests of the local Timestream share: records, a table through boto3's clients, a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from common.stores.timestream import TimestreamReader
from tests.time_series import timestream_client

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2024, 3, 29, tzinfo=UTC)
DATABASE = "investment_performance"
KEPT_DAYS = 3650


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


def refusal(call: Any, *arguments: Any, **keywords: Any) -> tuple[str, str]:
    """Return the code and the message of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **keywords)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


SERVER = """
import sys
from pathlib import Path
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
