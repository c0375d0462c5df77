"""A query of the local Timestream: its pages, and its values as the service writes them."""

from typing import Any

import duckdb

Json = dict[str, Any]


class OpenQuery:
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


def scalar_type(kind: str) -> str:
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


def datum(value: Any, kind: str) -> Json:
    """Return a value of a column of Timestream's type `kind`, as an answer has it."""
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
