"""What a point of the local Timestream is known by, how files of before come to know it, and names as SQL has them."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from uuid import UUID

import duckdb

NO_SERIES: Final = UUID(int=0)
"""Of a record that is refused."""


def series_key(nanoseconds: int, measure: str, dimensions: Mapping[str, str]) -> UUID:
    """Return the key of the one point that has this time, measure and dimensions.

    It is the half of a digest: 16 bytes in the row and in the index, where the text would be hundreds in both.
    """
    text = json.dumps([nanoseconds, measure, sorted(dimensions.items())])
    return UUID(bytes=sha256(text.encode()).digest()[:16])


def digest_texts(connection: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Give the tables of a file the keys of today, all or none; the first versions kept the text itself.

    Parameters
    ----------
    connection
        Of the file, in a transaction that is the caller's.
    schema
        Has the tables of points.
    """
    found = connection.execute(
        "SELECT table_name FROM duckdb_columns() "
        "WHERE schema_name = ? AND column_name = 'ts_series' AND data_type = 'VARCHAR'",
        [schema],
    ).fetchall()
    for table in (quoted(name) for (name,) in found):
        # The type of a primary key cannot be changed. The name is no table's: theirs have a slash.
        connection.execute(
            f"CREATE TABLE {schema}.digested AS "  # noqa: S608 - of quoted names
            f"SELECT * REPLACE (left(sha256(ts_series), 32)::UUID AS ts_series) FROM {schema}.{table}"
        )
        connection.execute(f"DROP TABLE {schema}.{table}")
        connection.execute(f"ALTER TABLE {schema}.digested RENAME TO {table}")
        connection.execute(f"ALTER TABLE {schema}.{table} ADD PRIMARY KEY (ts_series)")


def quoted(name: str) -> str:
    """Return a name as SQL has it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
