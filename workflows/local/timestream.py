"""Timestream on a laptop: its JSON protocol on the loopback, over one DuckDB file.

boto3's real clients talk to it. It is strict where the service is: a record is refused here that AWS would refuse, so
that a test or a night on a laptop means something.
"""

import json
import math
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import duckdb

from common.errors import PermanentError
from workflows.local.loopback import LoopbackServer
from workflows.local.timestream_series import NO_SERIES, digest_texts, quoted, series_key

# Limits of the service: Amazon Timestream for LiveAnalytics developer guide, "Quotas".
MAX_RECORDS: Final = 100
MAX_DIMENSIONS: Final = 128
MAX_DIMENSION_NAME_BYTES: Final = 60
MAX_MEASURE_NAME_BYTES: Final = 256
MAX_RECORD_BYTES: Final = 2048
FUTURE_WINDOW: Final = timedelta(minutes=15)
# Limits of the API models: Query's MaxRows and QueryString, and the 64 bits of a version and of a time in nanoseconds.
MAX_PAGE_ROWS: Final = 1000
MAX_QUERY_CHARACTERS: Final = 262_144
MAX_LONG: Final = 2**63 - 1
# Well above what 100 records of 2 KB, or the longest query, need; beyond it the body is not looked at.
MAX_BODY_BYTES: Final = 1024 * 1024

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - DuckDB's naive UTC
_PREFIX: Final = "Timestream_20181101."
_INTERNAL: Final = "_timestream"
_MAX_OPEN_QUERIES: Final = 64
_UNITS: Final = {"SECONDS": 1, "MILLISECONDS": 10**3, "MICROSECONDS": 10**6, "NANOSECONDS": 10**9}
# Names a dimension cannot have: AWS IoT's API reference, TimestreamDimension. So columns of our own may begin with ts_.
_RESERVED: Final = re.compile(r"time|measure_name|(ts_|measure_value).*|.*:.*", re.IGNORECASE | re.DOTALL)
_DOUBLE: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_TIME: Final = re.compile(r"\d+", re.ASCII)
_OVER: Final = (
    " ON CONFLICT (ts_series) DO UPDATE SET ts_version = excluded.ts_version, measure_value = excluded.measure_value"
)
_COLUMNS: Final = ("ts_series", "ts_version", "time", "measure_name", "measure_value")

Json = dict[str, Any]
Faults = Callable[[str, Json], str | None]
"""(operation, request) -> code of the error to answer with; for tests."""


class LocalTimestreamError(PermanentError):
    """The file cannot be opened: another process has it, or it is no DuckDB file."""


class _ServiceError(Exception):
    """An answer other than success."""

    def __init__(self, code: str, message: str, *, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.members = members


class LocalTimestream:
    """A Timestream for the length of a `with` block.

    Parameters
    ----------
    path
        The DuckDB file.
    clock
        Tells the time that retention is counted from.
    faults
        What goes wrong, for tests.

    Attributes
    ----------
    endpoint : str
        Where both sides, write and query, answer.
    description : str
        What it is, in a line.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        faults: Faults | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._faults = faults
        self.endpoint = ""
        self.description = f"Timestream: DuckDB, data in {path}"

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._database = _Database(_connect(self._path), self._clock)
        self._server = _Server(self._database, self._faults)
        self.endpoint = self._server.endpoint
        self._server.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._database.close()


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), config={"enable_external_access": "false"})
        # Within a process DuckDB shares a file that is open; what has locked its configuration is one of us.
        (taken,) = connection.execute("SELECT current_setting('lock_configuration')").fetchone() or (False,)
        if taken:
            raise LocalTimestreamError(f"{path} cannot be opened: this process has it open already")
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # What was written since the last checkpoint lies in memory, as does what a checkpoint works on.
        connection.execute("SET GLOBAL checkpoint_threshold = '4MB'")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise LocalTimestreamError(f"{path} cannot be opened: {reason}") from None
    return connection


class _Server(LoopbackServer):
    def __init__(self, database: "_Database", faults: Faults | None) -> None:
        super().__init__(_Handler, "timestream")
        self.database = database
        self.faults = faults


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A client keeps its connection; one that has gone must not keep a thread.
    timeout = 60
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        operation = self.headers.get("X-Amz-Target", "").removeprefix(_PREFIX)
        try:
            answer = self._answer(operation)
            status = 200
        except _ServiceError as error:
            status = error.status
            answer = {"__type": error.code, "message": str(error), **error.members}
        except duckdb.Error as error:
            status = 500
            answer = {"__type": "InternalServerException", "message": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, operation: str) -> Json:
        length = int(self.headers.get("Content-Length", "0"))
        if length > MAX_BODY_BYTES:
            # Taken in and dropped: a client that is still sending would see a reset connection and not the answer.
            for start in range(0, length, MAX_BODY_BYTES):
                self.rfile.read(min(MAX_BODY_BYTES, length - start))
            raise _ServiceError("ValidationException", f"the request has {length} bytes, over {MAX_BODY_BYTES}")
        try:
            request = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            raise _ServiceError("SerializationException", "the body is not JSON") from None
        if self.server.faults and (code := self.server.faults(operation, request)):
            raise _ServiceError(code, "injected", status=500 if code.startswith("Internal") else 400)
        if operation == "DescribeEndpoints":
            host = self.headers.get("Host", "")
            return {"Endpoints": [{"Address": host, "CachePeriodInMinutes": 1440}]}
        handler = self.server.database.operations.get(operation)
        if handler is None:
            raise _ServiceError("UnknownOperationException", f"{operation} is not supported here")
        return handler(request)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the standard error is the user's."""


class _Database:
    """The service's operations, over one DuckDB connection.

    Each Timestream table is a table of the internal schema, with a column for each dimension met so far and the
    records' versions, and a view of it, without them, under the name that queries use.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._open_queries: dict[str, _OpenQuery] = {}
        self.operations: Mapping[str, Callable[[Json], Json]] = {
            "CreateDatabase": self._create_database,
            "DescribeDatabase": self._describe_database,
            "CreateTable": self._create_table,
            "DescribeTable": self._describe_table,
            "ListTables": self._list_tables,
            "WriteRecords": self._write_records,
            "Query": self._query,
            "CancelQuery": self._cancel_query,
        }
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_INTERNAL}")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_INTERNAL}.tables (database VARCHAR, name VARCHAR, properties VARCHAR, "
            "PRIMARY KEY (database, name))"
        )
        with self._transaction():
            digest_texts(connection, _INTERNAL)

    def close(self) -> None:
        with self._lock:
            self._open_queries.clear()
            self._connection.close()

    def _create_database(self, request: Json) -> Json:
        name = request["DatabaseName"]
        with self._lock:
            try:
                self._connection.execute(f"CREATE SCHEMA {quoted(name)}")
            except duckdb.CatalogException:
                raise _ServiceError("ConflictException", f"The database {name} already exists", status=409) from None
        return self._describe_database(request)

    def _describe_database(self, request: Json) -> Json:
        name = request["DatabaseName"]
        with self._lock:
            self._require_database(name)
            (count,) = self._one(f"SELECT count(*) FROM {_INTERNAL}.tables WHERE database = ?", name) or (0,)
        return {"Database": {"DatabaseName": name, "TableCount": count, "Arn": f"arn:local:timestream:::{name}"}}

    def _create_table(self, request: Json) -> Json:
        database, name = request["DatabaseName"], request["TableName"]
        retention = request.get("RetentionProperties") or {}
        properties = {
            "MemoryStoreRetentionPeriodInHours": retention.get("MemoryStoreRetentionPeriodInHours", 6),
            "MagneticStoreRetentionPeriodInDays": retention.get("MagneticStoreRetentionPeriodInDays", 73_000),
            "EnableMagneticStoreWrites": bool(
                (request.get("MagneticStoreWriteProperties") or {}).get("EnableMagneticStoreWrites")
            ),
        }
        with self._lock:
            self._require_database(database)
            try:
                with self._transaction():
                    self._connection.execute(
                        f"CREATE TABLE {_internal(database, name)} (ts_series UUID PRIMARY KEY, ts_version BIGINT, "
                        "time TIMESTAMP, measure_name VARCHAR, measure_value DOUBLE)"
                    )
                    self._connection.execute(
                        f"INSERT INTO {_INTERNAL}.tables VALUES (?, ?, ?)", [database, name, json.dumps(properties)]
                    )
                    self._show(database, name)
            except duckdb.CatalogException:
                raise _ServiceError("ConflictException", f"The table {name} already exists", status=409) from None
        return self._describe_table(request)

    def _describe_table(self, request: Json) -> Json:
        database, name = request["DatabaseName"], request["TableName"]
        with self._lock:
            return {"Table": _described(database, name, self._require_table(database, name))}

    def _list_tables(self, request: Json) -> Json:
        where = "WHERE database = ?" if "DatabaseName" in request else ""
        parameters = [request["DatabaseName"]] if where else []
        with self._lock:
            found = self._connection.execute(f"SELECT * FROM {_INTERNAL}.tables {where} ORDER BY ALL", parameters)
            return {"Tables": [_described(row[0], row[1], json.loads(row[2])) for row in found.fetchall()]}

    def _write_records(self, request: Json) -> Json:
        database, name = request["DatabaseName"], request["TableName"]
        records, common = request.get("Records") or [], request.get("CommonAttributes") or {}
        if not 1 <= len(records) <= MAX_RECORDS:
            raise _ServiceError(
                "ValidationException", f"Records must have between 1 and {MAX_RECORDS} members, has {len(records)}"
            )
        with self._lock:
            properties = self._require_table(database, name)
            points = [_Point.of(index, record, common) for index, record in enumerate(records)]
            there = self._dimensions(database, name)
            dimensions = {each.lower(): each for each in there}
            for point in points:
                point.refusal = point.refusal or self._outside(point.time, properties) or _misfit(point, dimensions)
                if not point.refusal:
                    dimensions.update((each.lower(), each) for each in point.dimensions)
            if missing := sorted({*dimensions.values()}.difference(there)):
                self._add_columns(database, name, missing)
            accepted, rejected = _settled(points, {})
            try:
                self._store(database, name, accepted)
            except duckdb.ConstraintException:
                # Some are there already. Most calls have none of those, so they are not looked for before.
                accepted, rejected = _settled(points, self._known(database, name, accepted))
                self._store(database, name, accepted, over=True)
        if rejected:
            raise _ServiceError(
                "RejectedRecordsException",
                "One or more records have been rejected. See RejectedRecords for details.",
                status=419,
                RejectedRecords=rejected,
            )
        total = len(records)
        return {"RecordsIngested": {"Total": total, "MemoryStore": total, "MagneticStore": 0}}

    def _query(self, request: Json) -> Json:
        token = request.get("NextToken")
        page_rows = request.get("MaxRows", MAX_PAGE_ROWS)
        if not 1 <= page_rows <= MAX_PAGE_ROWS:
            raise _ServiceError("ValidationException", f"MaxRows must be between 1 and {MAX_PAGE_ROWS}")
        with self._lock:
            if token:
                query = self._open_queries.pop(token, None)
                if query is None:
                    raise _ServiceError("ValidationException", "The NextToken is not valid")
            else:
                query = self._started(request.get("QueryString") or "")
            try:
                rows = query.cursor.fetchmany(page_rows + 1 - len(query.ahead))
            except duckdb.Error as error:
                raise _ServiceError("ValidationException", str(error)) from None
            rows = [*query.ahead, *rows]
            answer: Json = {
                "QueryId": query.id,
                "ColumnInfo": [{"Name": name, "Type": {"ScalarType": kind}} for name, kind in query.columns],
                "Rows": [
                    {"Data": [_datum(value, kind) for value, (_, kind) in zip(row, query.columns, strict=True)]}
                    for row in rows[:page_rows]
                ],
            }
            if len(rows) > page_rows:
                answer["NextToken"] = self._keep(query, rows[page_rows:])
        return answer

    def _cancel_query(self, request: Json) -> Json:
        with self._lock:
            self._open_queries = {
                token: query for token, query in self._open_queries.items() if query.id != request["QueryId"]
            }
        return {"CancellationMessage": "cancelled"}

    def _started(self, sql: str) -> "_OpenQuery":
        if len(sql) > MAX_QUERY_CHARACTERS:
            raise _ServiceError("ValidationException", f"The query has more than {MAX_QUERY_CHARACTERS} characters")
        cursor = self._connection.cursor()
        try:
            statements = cursor.extract_statements(sql)
            if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
                raise _ServiceError("ValidationException", "The query must be one SELECT statement")
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            cursor.execute(sql)
        except duckdb.Error as error:
            raise _ServiceError("ValidationException", str(error)) from None
        columns = [(column[0], _scalar_type(str(column[1]))) for column in cursor.description or ()]
        return _OpenQuery(str(uuid.uuid4()), cursor, columns, [])

    def _keep(self, query: "_OpenQuery", ahead: Sequence[tuple[Any, ...]]) -> str:
        """Keep an unfinished query for its next page; the oldest goes when there are too many."""
        while len(self._open_queries) >= _MAX_OPEN_QUERIES:
            self._open_queries.pop(next(iter(self._open_queries)))
        token = str(uuid.uuid4())
        query.ahead = list(ahead)
        self._open_queries[token] = query
        return token

    def _known(self, database: str, name: str, points: "Sequence[_Point]") -> dict[uuid.UUID, tuple[int, float]]:
        """Return version and value of those that are there."""
        # Each by a parameter of its own: for those of one list the whole column would be read.
        series = [point.series for point in points]
        found = self._connection.execute(
            f"SELECT ts_series, ts_version, measure_value FROM {_internal(database, name)} "
            f"WHERE ts_series IN ({', '.join('?' * len(series))})",
            series,
        )
        return {row[0]: (row[1], row[2]) for row in found.fetchall()}

    def _store(self, database: str, name: str, points: "Sequence[_Point]", *, over: bool = False) -> None:
        """Insert points, all or none; `over` those that are there."""
        if not points:
            return
        table = _internal(database, name)
        dimensions = sorted({dimension for point in points for dimension in point.dimensions})
        columns = [*_COLUMNS, *map(quoted, dimensions)]
        values: list[list[Any]] = [
            [point.series for point in points],
            [point.version for point in points],
            [point.time for point in points],
            [point.measure for point in points],
            [point.value for point in points],
            *([point.dimensions.get(dimension) for point in points] for dimension in dimensions),
        ]
        kinds = ["UUID", "BIGINT", "TIMESTAMP", "VARCHAR", "DOUBLE", *["VARCHAR"] * len(dimensions)]
        unnested = ", ".join(f"unnest(?::{kind}[])" for kind in kinds)
        self._connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {unnested}{_OVER if over else ''}",
            values,
        )

    def _dimensions(self, database: str, name: str) -> list[str]:
        columns = self._connection.execute(f"DESCRIBE {_internal(database, name)}").fetchall()
        return [column[0] for column in columns if column[0] not in _COLUMNS]

    def _add_columns(self, database: str, name: str, missing: Sequence[str]) -> None:
        with self._transaction():
            # A column cannot be added under a view that names the others.
            self._connection.execute(f"DROP VIEW {quoted(database)}.{quoted(name)}")
            for dimension in missing:
                self._connection.execute(
                    f"ALTER TABLE {_internal(database, name)} ADD COLUMN {quoted(dimension)} VARCHAR"
                )
            self._show(database, name)

    def _show(self, database: str, name: str) -> None:
        self._connection.execute(
            f"CREATE VIEW {quoted(database)}.{quoted(name)} AS "
            f"SELECT * EXCLUDE (ts_series, ts_version) FROM {_internal(database, name)}"
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Let the statements of the block be seen, and outlive the process, all or none."""
        self._connection.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _outside(self, moment: datetime, properties: Json) -> str | None:
        """Return why a time is not taken: older than a store keeps, or too far ahead."""
        now = self._clock().astimezone(UTC).replace(tzinfo=None)
        if properties["EnableMagneticStoreWrites"]:
            oldest = now - timedelta(days=properties["MagneticStoreRetentionPeriodInDays"])
        else:
            oldest = now - timedelta(hours=properties["MemoryStoreRetentionPeriodInHours"])
        newest = now + FUTURE_WINDOW
        if oldest <= moment < newest:
            return None
        return f"The record timestamp is outside the time range [{oldest}, {newest}) of the data ingestion window."

    def _has_database(self, name: str) -> bool:
        return self._one("SELECT 1 FROM duckdb_schemas() WHERE schema_name = ? AND NOT internal", name) is not None

    def _require_database(self, name: str) -> None:
        if not self._has_database(name) or name == _INTERNAL:
            raise _ServiceError("ResourceNotFoundException", f"The database {name} does not exist.")

    def _properties(self, database: str, name: str) -> Json | None:
        row = self._one(f"SELECT properties FROM {_INTERNAL}.tables WHERE database = ? AND name = ?", database, name)
        return None if row is None else json.loads(row[0])

    def _require_table(self, database: str, name: str) -> Json:
        self._require_database(database)
        properties = self._properties(database, name)
        if properties is None:
            raise _ServiceError("ResourceNotFoundException", f"The table {name} does not exist.")
        return properties

    def _one(self, sql: str, *parameters: str) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, list(parameters)).fetchone()


_VERSION_REFUSED: Final = (
    "A record already exists with the same time, dimensions, measure name, and record version. A record's value can be "
    "updated by a higher version."
)


class _Point:
    """A record as it will be stored, or why it will not."""

    __slots__ = ("dimensions", "measure", "refusal", "series", "time", "value", "version")

    def __init__(self) -> None:
        self.series = NO_SERIES
        self.version = 1
        self.time = _EPOCH
        self.measure = ""
        self.value = 0.0
        self.dimensions: dict[str, str] = {}
        self.refusal: str | None = None

    @classmethod
    def of(cls, index: int, record: Json, common: Json) -> "_Point":
        """Read a record with what its call says of all of them.

        Raises
        ------
        _ServiceError
            It contradicts the common attributes, or its version is none; then the whole call is refused.
        """
        shared = {each["Name"] for each in common.get("Dimensions") or ()}
        own = [each["Name"] for each in record.get("Dimensions") or ()]
        if twice := (shared & set(own)) | {name for name in own if own.count(name) > 1}:
            raise _ServiceError("ValidationException", f"Record {index} has duplicate dimensions: {sorted(twice)}")
        merged = {**common, **record}
        point = cls()
        point.version = merged.get("Version", 1)
        if not 1 <= point.version <= MAX_LONG:
            raise _ServiceError("ValidationException", f"Record {index} has the version {point.version}")
        dimensions = [*(common.get("Dimensions") or ()), *(record.get("Dimensions") or ())]
        point.dimensions = {each["Name"]: each.get("Value", "") for each in dimensions}
        point.measure = str(merged.get("MeasureName", ""))
        point.refusal = _refusal(merged, point)
        if point.refusal is None:
            nanoseconds = _nanoseconds(merged)
            point.time = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
            point.value = float(merged["MeasureValue"])
            point.series = series_key(nanoseconds, point.measure, point.dimensions)
        return point


def _nanoseconds(merged: Json) -> int:
    """Return a record's time since the epoch, which is the same in whatever unit it came."""
    return int(merged["Time"]) * (10**9 // _UNITS[merged.get("TimeUnit", "MILLISECONDS")])


def _refusal(merged: Json, point: _Point) -> str | None:
    """Return why a record is not valid by itself."""
    value = merged.get("MeasureValue")
    if merged.get("MeasureValueType", "DOUBLE") != "DOUBLE":
        return f"The measure value type {merged['MeasureValueType']} is not supported for this table."
    if not isinstance(value, str) or not _is_finite_number(value):
        return f"The measure value {value!r} is not a valid DOUBLE."
    if not 1 <= len(point.measure.encode()) <= MAX_MEASURE_NAME_BYTES:
        return f"The measure name must have between 1 and {MAX_MEASURE_NAME_BYTES} bytes."
    if not _TIME.fullmatch(merged.get("Time", "")) or merged.get("TimeUnit", "MILLISECONDS") not in _UNITS:
        return "The time is not valid."
    if _nanoseconds(merged) > MAX_LONG:
        return "The time is not valid."
    if not 1 <= len(point.dimensions) <= MAX_DIMENSIONS:
        return f"A record must have between 1 and {MAX_DIMENSIONS} dimensions."
    for name, text in point.dimensions.items():
        if not text:
            return f"The dimension {name} has an empty value."
        if _RESERVED.fullmatch(name) or len(name.encode()) > MAX_DIMENSION_NAME_BYTES:
            return f"The dimension name {name!r} is not allowed."
    texts = (point.measure, value, *point.dimensions, *point.dimensions.values())
    size = sum(len(text.encode()) for text in texts)
    return f"The record has {size} bytes, over {MAX_RECORD_BYTES}." if size > MAX_RECORD_BYTES else None


def _is_finite_number(text: str) -> bool:
    return _DOUBLE.fullmatch(text) is not None and math.isfinite(float(text))


def _settled(
    points: Sequence[_Point], known: Mapping[uuid.UUID, tuple[int, float]]
) -> tuple[Sequence[_Point], Sequence[Json]]:
    """Return which of a call's points are to be stored, and the others as they are told, in their order.

    Parameters
    ----------
    points
        Those of the call, each with its refusal where it has one.
    known
        Version and value of those that are stored.
    """
    accepted: dict[uuid.UUID, _Point] = {}
    rejected: list[Json] = []
    for index, point in enumerate(points):
        existing = accepted.get(point.series)
        stored = (existing.version, existing.value) if existing else known.get(point.series)
        if point.refusal:
            rejected.append({"RecordIndex": index, "Reason": point.refusal})
        elif stored and (point.version < stored[0] or (point.version == stored[0] and point.value != stored[1])):
            rejected.append({"RecordIndex": index, "Reason": _VERSION_REFUSED, "ExistingVersion": stored[0]})
        else:
            accepted[point.series] = point
    return list(accepted.values()), rejected


def _misfit(point: _Point, dimensions: Mapping[str, str]) -> str | None:
    """Return why a record cannot join a table that has these dimensions, by their names in lower case."""
    met = dict(dimensions)
    for name in point.dimensions:
        if met.setdefault(name.lower(), name) != name:
            # DuckDB's limit, not the service's.
            return f"The dimension name {name!r} differs from {met[name.lower()]!r} in case alone."
    return f"The table would have more than {MAX_DIMENSIONS} dimensions." if len(met) > MAX_DIMENSIONS else None


class _OpenQuery:
    """A query with pages left, and the row that was read ahead to know it."""

    __slots__ = ("ahead", "columns", "cursor", "id")

    def __init__(
        self,
        query_id: str,
        cursor: duckdb.DuckDBPyConnection,
        columns: list[tuple[str, str]],
        ahead: list[tuple[Any, ...]],
    ) -> None:
        self.id = query_id
        self.cursor = cursor
        self.columns = columns
        self.ahead = ahead


def _scalar_type(kind: str) -> str:
    """Return Timestream's type for one of DuckDB's."""
    if kind in {"DOUBLE", "FLOAT"} or kind.startswith("DECIMAL"):
        return "DOUBLE"
    if kind in {"BOOLEAN", "DATE"}:
        return kind
    if kind in {"BIGINT", "HUGEINT", "UBIGINT"}:
        return "BIGINT"
    if kind in {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}:
        return "INTEGER"
    return "TIMESTAMP" if kind.startswith("TIMESTAMP") else "VARCHAR"


def _datum(value: Any, kind: str) -> Json:
    if value is None:
        return {"NullValue": True}
    match kind:
        case "DOUBLE":
            return {"ScalarValue": repr(float(value))}
        case "BOOLEAN":
            return {"ScalarValue": "true" if value else "false"}
        case "TIMESTAMP":
            return {"ScalarValue": f"{value.replace(tzinfo=None).isoformat(' ', 'microseconds')}000"}
        case _:
            return {"ScalarValue": str(value)}


def _described(database: str, name: str, properties: Json) -> Json:
    writes = {"EnableMagneticStoreWrites": properties["EnableMagneticStoreWrites"]}
    retention = {key: value for key, value in properties.items() if key not in writes}
    return {
        "DatabaseName": database,
        "TableName": name,
        "TableStatus": "ACTIVE",
        "RetentionProperties": retention,
        "MagneticStoreWriteProperties": writes,
        "Arn": f"arn:local:timestream:::{database}/{name}",
    }


def _internal(database: str, name: str) -> str:
    return f"{_INTERNAL}.{quoted(f'{database}/{name}')}"
