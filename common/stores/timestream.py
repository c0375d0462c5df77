"""`TimeSeriesStore` on Timestream: the specification's Performance Metrics table of the time series."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from common.config import TimeSeriesSettings
from common.models.results import ResultRow, Run
from common.stores.botocore_errors import typed_errors
from common.stores.ports import RejectedRecord, TimeSeriesReport

if TYPE_CHECKING:
    from mypy_boto3_timestream_query import TimestreamQueryClient
    from mypy_boto3_timestream_write import TimestreamWriteClient

MEASURES = ("twr", "mwr", "volatility", "sharpe_ratio", "max_drawdown")
"""The specification's measures."""

BATCH_RECORDS = 100  # WriteRecords' limit on the records of a call
WRITERS = 4
# Standard mode backs off up to 20 s: four attempts of at most 10 s end within the function's 120 s.
ATTEMPTS = 4
CONNECT_SECONDS, READ_SECONDS = 3, 10


class _Record(NamedTuple):
    """A record, and what to call it when it is rejected."""

    entity_id: str
    time_period: str
    measure: str
    body: dict[str, Any]


class TimestreamStore:
    """One record for each entity, date, period and measure.

    Parameters
    ----------
    client
        A boto3 client of Timestream's write side.
    database, table
        Where the records go.
    """

    def __init__(self, client: "TimestreamWriteClient", database: str, table: str) -> None:
        self._client = client
        self._database = database
        self._table = table

    def write(self, rows: Sequence[ResultRow], run: Run) -> TimeSeriesReport:
        """Write the records of `rows`; those refused are told one by one."""
        batches = [
            (common_attributes(method, run), records[first : first + BATCH_RECORDS])
            for method, records in _by_method(rows).items()
            for first in range(0, len(records), BATCH_RECORDS)
        ]
        with ThreadPoolExecutor(max_workers=WRITERS) as writers:
            reports = list(writers.map(lambda batch: self._write(*batch), batches))
        return TimeSeriesReport(
            sum(report.written for report in reports),
            sum(report.superseded for report in reports),
            tuple(chain.from_iterable(report.rejected for report in reports)),
        )

    def _write(self, common: dict[str, Any], records: Sequence[_Record]) -> TimeSeriesReport:
        with typed_errors("Timestream"):
            try:
                self._client.write_records(
                    DatabaseName=self._database,
                    TableName=self._table,
                    CommonAttributes=common,  # type: ignore[arg-type]  # the stubs' TypedDict, made at run time
                    Records=[record.body for record in records],  # type: ignore[misc]  # likewise
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "RejectedRecordsException":
                    raise
                rejected: Sequence[Mapping[str, Any]] = error.response.get("RejectedRecords", ())  # type: ignore[assignment]  # a member of this exception alone
                return _report(records, rejected, common["Version"])
        return TimeSeriesReport(len(records))


class TimestreamReader:
    """SQL over the time series.

    Parameters
    ----------
    client
        A boto3 client of Timestream's query side.
    """

    def __init__(self, client: "TimestreamQueryClient") -> None:
        self._client = client

    def query(self, sql: str) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
        """Run `sql`; return the column names and the rows, read page by page."""
        pages = iter(self._client.get_paginator("query").paginate(QueryString=sql))
        with typed_errors("Timestream"):
            first = next(pages)
        columns = first["ColumnInfo"]
        names = [column.get("Name", f"_col{index}") for index, column in enumerate(columns)]

        def rows() -> Iterator[Mapping[str, Any]]:
            with typed_errors("Timestream"):
                for page in chain([first], pages):
                    for row in page["Rows"]:
                        values = (_value(*each) for each in zip(columns, row["Data"], strict=True))
                        yield dict(zip(names, values, strict=True))

        return names, rows()


def common_attributes(calculation_method: str, run: Run) -> dict[str, Any]:
    """Return what all records of a call share, so that it is sent, and billed, once."""
    return {
        "MeasureValueType": "DOUBLE",
        "TimeUnit": "MILLISECONDS",
        "Version": run.version,
        "Dimensions": [
            {"Name": "calculation_method", "Value": calculation_method},
            {"Name": "request_id", "Value": run.request_id},
        ],
    }


def _by_method(rows: Sequence[ResultRow]) -> dict[str, list[_Record]]:
    """Return the records of `rows` by calculation method; an undefined metric has none."""
    records: dict[str, list[_Record]] = {}
    for row in rows:
        midnight = datetime.combine(row.calculation_date, time(), UTC)
        found = records.setdefault(row.calculation_method.value, [])
        for label, period in row.periods.items():
            for measure in MEASURES:
                value = getattr(period, measure)
                if value is not None:
                    found.append(_record(row, label, measure, value, midnight))
    return records


def _record(row: ResultRow, label: str, measure: str, value: float, midnight: datetime) -> _Record:
    body = {
        "Dimensions": [
            {"Name": "entity_type", "Value": row.entity_type.value},
            {"Name": "entity_id", "Value": row.entity_id},
            {"Name": "time_period", "Value": label},
        ],
        "MeasureName": measure,
        "MeasureValue": repr(value),
        "Time": str(int(midnight.timestamp() * 1000)),
    }
    return _Record(row.entity_id, label, measure, body)


def _report(records: Sequence[_Record], rejected: Sequence[Mapping[str, Any]], version: int) -> TimeSeriesReport:
    """Tell records that a later execution has written already from those that are really refused."""
    refused: list[RejectedRecord] = []
    superseded = 0
    for each in rejected:
        if each.get("ExistingVersion", 0) > version:
            superseded += 1
        else:
            record = records[each["RecordIndex"]]
            refused.append(RejectedRecord(record.entity_id, record.time_period, record.measure, each["Reason"]))
    return TimeSeriesReport(len(records) - len(rejected), superseded, tuple(refused))


def _value(column: Mapping[str, Any], datum: Mapping[str, Any]) -> Any:
    """Return a cell as the Python value its column's type stands for."""
    if datum.get("NullValue") or "ScalarValue" not in datum:
        return None
    text = datum["ScalarValue"]
    match column["Type"].get("ScalarType"):
        case "DOUBLE":
            return float(text)
        case "BIGINT" | "INTEGER":
            return int(text)
        case "BOOLEAN":
            return text == "true"
        case "TIMESTAMP":
            # Nanoseconds, of which datetime knows a thousandth.
            return datetime.fromisoformat(text[:26])
        case _:
            return text


@lru_cache(maxsize=4)
def time_series_store(settings: TimeSeriesSettings) -> TimestreamStore:
    """Return the store of these settings; a warm function keeps it."""
    import boto3  # noqa: PLC0415 - a fifth of a second that a test with a fake need not pay
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=WRITERS,
    )
    client = boto3.client("timestream-write", endpoint_url=settings.write_endpoint, config=config)
    return TimestreamStore(client, settings.database, settings.table)
