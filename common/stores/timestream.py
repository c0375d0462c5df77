"""`TimeSeriesStore` and `TimeSeriesReader` on Timestream: the specification's table of the time series."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from common.config import TimeSeriesSettings
from common.errors import StoreError
from common.models.kinds import CalculationMethod
from common.models.results import ResultRow, Run
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.stores.ports import RejectedRecord, TimeSeriesReport
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_timestream_query import TimestreamQueryClient
    from mypy_boto3_timestream_write import TimestreamWriteClient
    from mypy_boto3_timestream_write.type_defs import RecordTypeDef

MEASURES = ("twr", "mwr", "volatility", "sharpe_ratio", "max_drawdown")
"""The specification's measures."""

FIRST_DATE = date(1970, 1, 1)  # of Timestream's time and date types
BATCH_RECORDS = 100  # WriteRecords' limit on the records of a call
WRITERS = 4
# Standard mode backs off up to 20 s: four attempts of at most 10 s end within the function's 120 s.
PATIENCE = Patience(attempts=4, connect_seconds=3, read_seconds=10)
# The API reads while a caller waits, who gets the rows of DynamoDB instead: two attempts of at most 5 s.
READER_PATIENCE = Patience(attempts=2, connect_seconds=1, read_seconds=4)


class Measurement(NamedTuple):
    """One number of a result row, as a record will carry it."""

    row: ResultRow
    time_period: str
    measure: str
    value: float

    @property
    def fault(self) -> str | None:
        """Why Timestream can never take it, if so."""
        if self.row.calculation_date < FIRST_DATE:
            return f"{self.row.calculation_date} is before {FIRST_DATE}, the first day Timestream knows"
        return None if math.isfinite(self.value) else f"{self.value} is not a finite number"

    def rejected(self, reason: str) -> RejectedRecord:
        """Return what is told of it when the store does not take it."""
        return RejectedRecord(self.row.entity_id, self.time_period, self.measure, reason)


class TimestreamStore:
    """One record for each entity, date, period and measure, at midnight UTC of the calculation date.

    A period is a dimension: the periods of one date share all the others, and would overwrite each other.

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
        found = list(measurements(rows))
        # One of these would cost the whole call it is in, other entities' records included.
        unwritable = [each.rejected(each.fault) for each in found if each.fault]
        found = [each for each in found if not each.fault]
        with ThreadPoolExecutor(max_workers=WRITERS) as writers:
            # Once one batch has failed, those not yet begun are not sent: the whole call will be tried again.
            reports = list(writers.map(lambda batch: self._write(batch, run), _batches(found)))
        return TimeSeriesReport(
            written=sum(report.written for report in reports),
            superseded=sum(report.superseded for report in reports),
            rejected=(*unwritable, *chain.from_iterable(report.rejected for report in reports)),
        )

    def _write(self, batch: Sequence[Measurement], run: Run) -> TimeSeriesReport:
        with typed_errors("Timestream"):
            try:
                self._client.write_records(
                    DatabaseName=self._database,
                    TableName=self._table,
                    CommonAttributes=_common_attributes(batch[0].row.calculation_method, run),
                    Records=[_record(measurement) for measurement in batch],
                )
            except ClientError as error:
                # A modelled exception's members stand beside `Error`, where the stubs do not know them.
                refusals: Any = error.response.get("RejectedRecords")
                if not refusals:
                    raise
                return _report(batch, refusals, run)
        return TimeSeriesReport(len(batch))


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
        """Run `sql`; return the column names and the rows, of which one page is in memory at a time.

        Times are UTC. What has no scalar type (arrays, rows, series) stays as the service gives it.

        Raises
        ------
        StoreError
            The statement is wrong; the message is the service's. Also while the rows are read.
        """
        pages = iter(self._client.get_paginator("query").paginate(QueryString=sql))
        with typed_errors("Timestream"):
            first = next(pages)
        columns = first["ColumnInfo"]
        names = [column.get("Name", f"_col{index}") for index, column in enumerate(columns)]
        types = [column["Type"].get("ScalarType") for column in columns]

        def rows() -> Iterator[Mapping[str, Any]]:
            page: Mapping[str, Any] | None = first
            while page is not None:
                for row in page["Rows"]:
                    yield dict(zip(names, map(_value, types, row["Data"]), strict=True))
                with typed_errors("Timestream"):
                    page = next(pages, None)

        return names, rows()


def measurements(rows: Sequence[ResultRow]) -> Iterator[Measurement]:
    """Yield what becomes a record; a metric that is undefined becomes none."""
    for row in rows:
        for label, period in row.periods.items():
            for measure in MEASURES:
                value: float | None = getattr(period, measure)
                if value is not None:
                    yield Measurement(row, label, measure, value)


def _batches(found: Sequence[Measurement]) -> Iterator[Sequence[Measurement]]:
    """Yield full calls, across entities; the method is common to a call, so it divides them."""
    by_method: dict[CalculationMethod, list[Measurement]] = {}
    for measurement in found:
        by_method.setdefault(measurement.row.calculation_method, []).append(measurement)
    for group in by_method.values():
        for first in range(0, len(group), BATCH_RECORDS):
            yield group[first : first + BATCH_RECORDS]


def _common_attributes(method: CalculationMethod, run: Run) -> "RecordTypeDef":
    """Return what all records of a call share: sent once, billed once, and not to be repeated in a record."""
    return {
        "MeasureValueType": "DOUBLE",
        "TimeUnit": "MILLISECONDS",
        "Version": run.version,
        "Dimensions": [
            {"Name": "calculation_method", "Value": method},
            {"Name": "request_id", "Value": run.request_id},
        ],
    }


def _record(measurement: Measurement) -> "RecordTypeDef":
    row = measurement.row
    midnight = datetime.combine(row.calculation_date, time(), UTC)
    return {
        "Dimensions": [
            {"Name": "entity_type", "Value": row.entity_type},
            {"Name": "entity_id", "Value": row.entity_id},
            {"Name": "time_period", "Value": measurement.time_period},
        ],
        "MeasureName": measurement.measure,
        "MeasureValue": repr(float(measurement.value)),
        "Time": str(int(midnight.timestamp()) * 1000),
    }


def _report(batch: Sequence[Measurement], refusals: Sequence[Mapping[str, Any]], run: Run) -> TimeSeriesReport:
    """Tell records that a later execution has written already from those that are really refused."""
    rejected = [each for each in refusals if each.get("ExistingVersion", 0) <= run.version]
    return TimeSeriesReport(
        written=len(batch) - len(refusals),
        superseded=len(refusals) - len(rejected),
        rejected=tuple(batch[each["RecordIndex"]].rejected(each["Reason"]) for each in rejected),
    )


def _value(scalar_type: str | None, datum: Mapping[str, Any]) -> Any:
    """Return a cell as the Python value its column's type stands for."""
    if datum.get("NullValue"):
        return None
    if "ScalarValue" not in datum:
        return datum
    text: str = datum["ScalarValue"]
    try:
        match scalar_type:
            case "DOUBLE":
                return float(text)
            case "BIGINT" | "INTEGER":
                return int(text)
            case "BOOLEAN":
                return text == "true"
            case "TIMESTAMP":
                # Nanoseconds, of which datetime keeps the microseconds.
                return datetime.fromisoformat(text[:26]).replace(tzinfo=UTC)
            case "DATE":
                return date.fromisoformat(text)
            case _:
                return text
    except ValueError as error:
        raise StoreError(f"Timestream: {text!r} is no {scalar_type}") from error


@kept
def time_series_store(settings: TimeSeriesSettings) -> TimestreamStore:
    """Return the store of these settings; a warm function keeps it."""
    client = aws_client("timestream-write", settings.write_endpoint, PATIENCE, connections=WRITERS)
    return TimestreamStore(client, settings.database, settings.table)


@kept
def time_series_reader(settings: TimeSeriesSettings) -> TimestreamReader:
    """Return the reader of these settings; a warm function keeps it."""
    return TimestreamReader(aws_client("timestream-query", settings.query_endpoint, READER_PATIENCE))
