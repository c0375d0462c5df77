"""What the local Timestream does when it is asked: its operations, over one DuckDB connection."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import duckdb

from workflows.local.timestream_errors import ServiceError
from workflows.local.timestream_queries import OpenQuery, datum, scalar_type
from workflows.local.timestream_records import Point, misfit, settled
from workflows.local.timestream_series import digest_texts, quoted

# Limits of the service: Amazon Timestream for LiveAnalytics developer guide, "Quotas".
MAX_RECORDS: Final = 100
FUTURE_WINDOW: Final = timedelta(minutes=15)
# Limits of the API models: Query's MaxRows and QueryString.
MAX_PAGE_ROWS: Final = 1000
MAX_QUERY_CHARACTERS: Final = 262_144

_INTERNAL: Final = "_timestream"
_MAX_OPEN_QUERIES: Final = 64
_OVER: Final = (
    " ON CONFLICT (ts_series) DO UPDATE SET ts_version = excluded.ts_version, measure_value = excluded.measure_value"
)
_COLUMNS: Final = ("ts_series", "ts_version", "time", "measure_name", "measure_value")

Json = dict[str, Any]


class Database:
    """The service's operations, over one DuckDB connection.

    Each Timestream table is a table of the internal schema, with a column for each dimension met so far and the
    records' versions, and a view of it, without them, under the name that queries use.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._open_queries: dict[str, OpenQuery] = {}
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
        """Forget the open queries and let go of the file."""
        with self._lock:
            self._open_queries.clear()
            self._connection.close()

    def _create_database(self, request: Json) -> Json:
        name = request["DatabaseName"]
        with self._lock:
            try:
                self._connection.execute(f"CREATE SCHEMA {quoted(name)}")
            except duckdb.CatalogException:
                raise ServiceError("ConflictException", f"The database {name} already exists", status=409) from None
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
                raise ServiceError("ConflictException", f"The table {name} already exists", status=409) from None
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
            raise ServiceError(
                "ValidationException", f"Records must have between 1 and {MAX_RECORDS} members, has {len(records)}"
            )
        with self._lock:
            properties = self._require_table(database, name)
            points = [Point.of(index, record, common) for index, record in enumerate(records)]
            there = self._dimensions(database, name)
            dimensions = {each.lower(): each for each in there}
            for point in points:
                point.refusal = point.refusal or self._outside(point.time, properties) or misfit(point, dimensions)
                if not point.refusal:
                    dimensions.update((each.lower(), each) for each in point.dimensions)
            if missing := sorted({*dimensions.values()}.difference(there)):
                self._add_columns(database, name, missing)
            accepted, rejected = settled(points, {})
            try:
                self._store(database, name, accepted)
            except duckdb.ConstraintException:
                # Some are there already. Most calls have none of those, so they are not looked for before.
                accepted, rejected = settled(points, self._known(database, name, accepted))
                self._store(database, name, accepted, over=True)
        if rejected:
            raise ServiceError(
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
            raise ServiceError("ValidationException", f"MaxRows must be between 1 and {MAX_PAGE_ROWS}")
        with self._lock:
            if token:
                query = self._open_queries.pop(token, None)
                if query is None:
                    raise ServiceError("ValidationException", "The NextToken is not valid")
            else:
                query = self._started(request.get("QueryString") or "")
            try:
                rows = query.cursor.fetchmany(page_rows + 1 - len(query.ahead))
            except duckdb.Error as error:
                raise ServiceError("ValidationException", str(error)) from None
            rows = [*query.ahead, *rows]
            answer: Json = {
                "QueryId": query.id,
                "ColumnInfo": [{"Name": name, "Type": {"ScalarType": kind}} for name, kind in query.columns],
                "Rows": [
                    {"Data": [datum(value, kind) for value, (_, kind) in zip(row, query.columns, strict=True)]}
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

    def _started(self, sql: str) -> "OpenQuery":
        if len(sql) > MAX_QUERY_CHARACTERS:
            raise ServiceError("ValidationException", f"The query has more than {MAX_QUERY_CHARACTERS} characters")
        cursor = self._connection.cursor()
        try:
            statements = cursor.extract_statements(sql)
            if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
                raise ServiceError("ValidationException", "The query must be one SELECT statement")
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            cursor.execute(sql)
        except duckdb.Error as error:
            raise ServiceError("ValidationException", str(error)) from None
        columns = [(column[0], scalar_type(str(column[1]))) for column in cursor.description or ()]
        return OpenQuery(str(uuid.uuid4()), cursor, columns, [])

    def _keep(self, query: "OpenQuery", ahead: Sequence[tuple[Any, ...]]) -> str:
        """Keep an unfinished query for its next page; the oldest goes when there are too many."""
        while len(self._open_queries) >= _MAX_OPEN_QUERIES:
            self._open_queries.pop(next(iter(self._open_queries)))
        token = str(uuid.uuid4())
        query.ahead = list(ahead)
        self._open_queries[token] = query
        return token

    def _known(self, database: str, name: str, points: "Sequence[Point]") -> dict[uuid.UUID, tuple[int, float]]:
        """Return version and value of those that are there."""
        # Each by a parameter of its own: for those of one list the whole column would be read.
        series = [point.series for point in points]
        found = self._connection.execute(
            f"SELECT ts_series, ts_version, measure_value FROM {_internal(database, name)} "
            f"WHERE ts_series IN ({', '.join('?' * len(series))})",
            series,
        )
        return {row[0]: (row[1], row[2]) for row in found.fetchall()}

    def _store(self, database: str, name: str, points: "Sequence[Point]", *, over: bool = False) -> None:
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
            raise ServiceError("ResourceNotFoundException", f"The database {name} does not exist.")

    def _properties(self, database: str, name: str) -> Json | None:
        row = self._one(f"SELECT properties FROM {_INTERNAL}.tables WHERE database = ? AND name = ?", database, name)
        return None if row is None else json.loads(row[0])

    def _require_table(self, database: str, name: str) -> Json:
        self._require_database(database)
        properties = self._properties(database, name)
        if properties is None:
            raise ServiceError("ResourceNotFoundException", f"The table {name} does not exist.")
        return properties

    def _one(self, sql: str, *parameters: str) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, list(parameters)).fetchone()


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
