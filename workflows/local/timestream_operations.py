"""What the local Timestream does when it is asked: each operation of the service, from its request to its answer."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

import duckdb

from common.json_types import JsonObject
from workflows.local.timestream_errors import ServiceError
from workflows.local.timestream_queries import Queries
from workflows.local.timestream_records import MAX_RECORDS, Point, misfit, outside, settled
from workflows.local.timestream_tables import Tables


class Operations:
    """The service's operations, over one DuckDB connection, one at a time.

    Parameters
    ----------
    connection
        Of the file; closed with this.
    clock
        Tells the time that retention is counted from.

    Attributes
    ----------
    by_name : mapping
        The operations by the names that calls have for them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._clock = clock
        self._lock = threading.Lock()
        self._tables = Tables(connection)
        self._queries = Queries(connection)
        self.by_name: Mapping[str, Callable[[JsonObject], JsonObject]] = {
            "CreateDatabase": self._create_database,
            "DescribeDatabase": self._describe_database,
            "CreateTable": self._create_table,
            "DescribeTable": self._describe_table,
            "ListTables": self._list_tables,
            "WriteRecords": self._write_records,
            "Query": self._query,
            "CancelQuery": self._cancel_query,
        }

    def close(self) -> None:
        """Forget the open queries and let go of the file."""
        with self._lock:
            self._queries.clear()
            self._connection.close()

    def _create_database(self, request: JsonObject) -> JsonObject:
        name = request["DatabaseName"]
        with self._lock:
            try:
                self._tables.create_database(name)
            except duckdb.CatalogException:
                raise ServiceError("ConflictException", f"The database {name} already exists", status=409) from None
        return self._describe_database(request)

    def _describe_database(self, request: JsonObject) -> JsonObject:
        name = request["DatabaseName"]
        with self._lock:
            self._require_database(name)
            count = self._tables.count(name)
        return {"Database": {"DatabaseName": name, "TableCount": count, "Arn": f"arn:local:timestream:::{name}"}}

    def _create_table(self, request: JsonObject) -> JsonObject:
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
                self._tables.create(database, name, properties)
            except duckdb.CatalogException:
                raise ServiceError("ConflictException", f"The table {name} already exists", status=409) from None
        return self._describe_table(request)

    def _describe_table(self, request: JsonObject) -> JsonObject:
        database, name = request["DatabaseName"], request["TableName"]
        with self._lock:
            return {"Table": _described(database, name, self._require_table(database, name))}

    def _list_tables(self, request: JsonObject) -> JsonObject:
        with self._lock:
            return {"Tables": [_described(*table) for table in self._tables.all_of(request.get("DatabaseName"))]}

    def _write_records(self, request: JsonObject) -> JsonObject:
        database, name = request["DatabaseName"], request["TableName"]
        records, common = request.get("Records") or [], request.get("CommonAttributes") or {}
        if not 1 <= len(records) <= MAX_RECORDS:
            raise ServiceError(
                "ValidationException", f"Records must have between 1 and {MAX_RECORDS} members, has {len(records)}"
            )
        with self._lock:
            properties = self._require_table(database, name)
            now = self._clock()
            points = [Point.of(index, record, common) for index, record in enumerate(records)]
            there = self._tables.dimensions(database, name)
            dimensions = {each.lower(): each for each in there}
            for point in points:
                point.refusal = point.refusal or outside(point.time, now, properties) or misfit(point, dimensions)
                if not point.refusal:
                    dimensions.update((each.lower(), each) for each in point.dimensions)
            if missing := sorted({*dimensions.values()}.difference(there)):
                self._tables.add_columns(database, name, missing)
            accepted, rejected = settled(points, {})
            try:
                self._tables.store(database, name, accepted)
            except duckdb.ConstraintException:
                # Some are there already. Most calls have none of those, so they are not looked for before.
                accepted, rejected = settled(points, self._tables.known(database, name, accepted))
                self._tables.store(database, name, accepted, over=True)
        if rejected:
            raise ServiceError(
                "RejectedRecordsException",
                "One or more records have been rejected. See RejectedRecords for details.",
                status=419,
                RejectedRecords=rejected,
            )
        total = len(records)
        return {"RecordsIngested": {"Total": total, "MemoryStore": total, "MagneticStore": 0}}

    def _query(self, request: JsonObject) -> JsonObject:
        with self._lock:
            return self._queries.page(request)

    def _cancel_query(self, request: JsonObject) -> JsonObject:
        with self._lock:
            self._queries.cancel(request["QueryId"])
        return {"CancellationMessage": "cancelled"}

    def _require_database(self, name: str) -> None:
        if not self._tables.has_database(name):
            raise ServiceError("ResourceNotFoundException", f"The database {name} does not exist.")

    def _require_table(self, database: str, name: str) -> JsonObject:
        self._require_database(database)
        properties = self._tables.properties(database, name)
        if properties is None:
            raise ServiceError("ResourceNotFoundException", f"The table {name} does not exist.")
        return properties


def _described(database: str, name: str, properties: JsonObject) -> JsonObject:
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
