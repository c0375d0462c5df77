"""The tables of the local Timestream in its DuckDB file, and how a file of its first versions becomes one of today."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import duckdb

from common.json_types import JsonObject
from workflows.local.timestream_records import Point

_INTERNAL: Final = "_timestream"
_OVER: Final = (
    " ON CONFLICT (ts_series) DO UPDATE SET ts_version = excluded.ts_version, measure_value = excluded.measure_value"
)
_COLUMNS: Final = ("ts_series", "ts_version", "time", "measure_name", "measure_value")


class Tables:
    """The tables of all databases, over one DuckDB connection. One thread at a time may ask.

    Each Timestream table is a table of the internal schema, with a column for each dimension met so far and the
    records' versions, and a view of it, without them, under the name that queries use.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_INTERNAL}")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_INTERNAL}.tables (database VARCHAR, name VARCHAR, properties VARCHAR, "
            "PRIMARY KEY (database, name))"
        )
        with self._transaction():
            _digest_texts(connection)

    def create_database(self, name: str) -> None:
        """Make a database.

        Raises
        ------
        duckdb.CatalogException
            It is there already.
        """
        self._connection.execute(f"CREATE SCHEMA {_quoted(name)}")

    def has_database(self, name: str) -> bool:
        """Say whether a database is there; the internal schema is none."""
        found = self._one("SELECT 1 FROM duckdb_schemas() WHERE schema_name = ? AND NOT internal", name)
        return found is not None and name != _INTERNAL

    def create(self, database: str, name: str, properties: JsonObject) -> None:
        """Make a table.

        Raises
        ------
        duckdb.CatalogException
            It is there already.
        """
        with self._transaction():
            self._connection.execute(
                f"CREATE TABLE {_internal(database, name)} (ts_series UUID PRIMARY KEY, ts_version BIGINT, "
                "time TIMESTAMP, measure_name VARCHAR, measure_value DOUBLE)"
            )
            self._connection.execute(
                f"INSERT INTO {_INTERNAL}.tables VALUES (?, ?, ?)", [database, name, json.dumps(properties)]
            )
            self._show(database, name)

    def count(self, database: str) -> int:
        """Return how many tables a database has."""
        (count,) = self._one(f"SELECT count(*) FROM {_INTERNAL}.tables WHERE database = ?", database) or (0,)
        return int(count)

    def all_of(self, database: str | None) -> list[tuple[str, str, JsonObject]]:
        """Return database, name and properties of the tables of one database, or of all."""
        where, parameters = ("", []) if database is None else ("WHERE database = ?", [database])
        found = self._connection.execute(f"SELECT * FROM {_INTERNAL}.tables {where} ORDER BY ALL", parameters)
        return [(row[0], row[1], json.loads(row[2])) for row in found.fetchall()]

    def properties(self, database: str, name: str) -> JsonObject | None:
        """Return what a table was made with, None where there is no such table."""
        row = self._one(f"SELECT properties FROM {_INTERNAL}.tables WHERE database = ? AND name = ?", database, name)
        return None if row is None else json.loads(row[0])

    def dimensions(self, database: str, name: str) -> list[str]:
        """Return the dimensions that a table has columns for."""
        columns = self._connection.execute(f"DESCRIBE {_internal(database, name)}").fetchall()
        return [column[0] for column in columns if column[0] not in _COLUMNS]

    def add_columns(self, database: str, name: str, missing: Sequence[str]) -> None:
        """Give a table columns for further dimensions."""
        with self._transaction():
            # A column cannot be added under a view that names the others.
            self._connection.execute(f"DROP VIEW {_quoted(database)}.{_quoted(name)}")
            for dimension in missing:
                self._connection.execute(
                    f"ALTER TABLE {_internal(database, name)} ADD COLUMN {_quoted(dimension)} VARCHAR"
                )
            self._show(database, name)

    def known(self, database: str, name: str, points: Sequence[Point]) -> dict[UUID, tuple[int, float]]:
        """Return version and value of those that are there."""
        # Each by a parameter of its own: for those of one list the whole column would be read.
        series = [point.series for point in points]
        found = self._connection.execute(
            f"SELECT ts_series, ts_version, measure_value FROM {_internal(database, name)} "
            f"WHERE ts_series IN ({', '.join('?' * len(series))})",
            series,
        )
        return {row[0]: (row[1], row[2]) for row in found.fetchall()}

    def store(self, database: str, name: str, points: Sequence[Point], *, over: bool = False) -> None:
        """Insert points, all or none; `over` those that are there.

        Raises
        ------
        duckdb.ConstraintException
            One is there, and it is not to be written over.
        """
        if not points:
            return
        table = _internal(database, name)
        dimensions = sorted({dimension for point in points for dimension in point.dimensions})
        columns = [*_COLUMNS, *map(_quoted, dimensions)]
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

    def _show(self, database: str, name: str) -> None:
        self._connection.execute(
            f"CREATE VIEW {_quoted(database)}.{_quoted(name)} AS "
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

    def _one(self, sql: str, *parameters: str) -> tuple[Any, ...] | None:
        return self._connection.execute(sql, list(parameters)).fetchone()


def _digest_texts(connection: duckdb.DuckDBPyConnection) -> None:
    """Give the tables of a file the keys of today; the first versions kept the text that `series_key` digests."""
    found = connection.execute(
        "SELECT table_name FROM duckdb_columns() "
        "WHERE schema_name = ? AND column_name = 'ts_series' AND data_type = 'VARCHAR'",
        [_INTERNAL],
    ).fetchall()
    for table in (_quoted(name) for (name,) in found):
        # The type of a primary key cannot be changed. The name is no table's: theirs have a slash.
        connection.execute(
            f"CREATE TABLE {_INTERNAL}.digested AS "
            f"SELECT * REPLACE (left(sha256(ts_series), 32)::UUID AS ts_series) FROM {_INTERNAL}.{table}"
        )
        connection.execute(f"DROP TABLE {_INTERNAL}.{table}")
        connection.execute(f"ALTER TABLE {_INTERNAL}.digested RENAME TO {table}")
        connection.execute(f"ALTER TABLE {_INTERNAL}.{table} ADD PRIMARY KEY (ts_series)")


def _internal(database: str, name: str) -> str:
    return f"{_INTERNAL}.{_quoted(f'{database}/{name}')}"


def _quoted(name: str) -> str:
    """Return a name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
