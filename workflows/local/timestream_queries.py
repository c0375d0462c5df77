"""Queries of the local Timestream: one SELECT each, its rows in pages, its values as the service writes them."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

import duckdb

from common.json_types import JsonObject
from workflows.local.timestream_errors import ServiceError

# Limits of the API models: Query's MaxRows and QueryString.
MAX_PAGE_ROWS: Final = 1000
MAX_QUERY_CHARACTERS: Final = 262_144

_MAX_OPEN_QUERIES: Final = 64


class Queries:
    """Queries, and those of them that have pages left, over one DuckDB connection. One thread at a time may ask."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._open: dict[str, _OpenQuery] = {}

    def page(self, request: JsonObject) -> JsonObject:
        """Return the first page of a query, or the next one of that which the request's token names."""
        token = request.get("NextToken")
        page_rows = request.get("MaxRows", MAX_PAGE_ROWS)
        if not 1 <= page_rows <= MAX_PAGE_ROWS:
            raise ServiceError("ValidationException", f"MaxRows must be between 1 and {MAX_PAGE_ROWS}")
        if token:
            query = self._open.pop(token, None)
            if query is None:
                raise ServiceError("ValidationException", "The NextToken is not valid")
        else:
            query = self._started(request.get("QueryString") or "")
        try:
            rows = query.cursor.fetchmany(page_rows + 1 - len(query.ahead))
        except duckdb.Error as error:
            raise ServiceError("ValidationException", str(error)) from None
        rows = [*query.ahead, *rows]
        answer: JsonObject = {
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

    def cancel(self, query_id: str) -> None:
        """Forget the pages that a query has left."""
        self._open = {token: query for token, query in self._open.items() if query.id != query_id}

    def clear(self) -> None:
        """Forget all pages that are left."""
        self._open.clear()

    def _started(self, sql: str) -> "_OpenQuery":
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
        columns = [(column[0], _scalar_type(str(column[1]))) for column in cursor.description or ()]
        return _OpenQuery(str(uuid.uuid4()), cursor, columns, [])

    def _keep(self, query: "_OpenQuery", ahead: Sequence[tuple[Any, ...]]) -> str:
        """Keep an unfinished query for its next page; the oldest goes when there are too many."""
        while len(self._open) >= _MAX_OPEN_QUERIES:
            self._open.pop(next(iter(self._open)))
        token = str(uuid.uuid4())
        query.ahead = list(ahead)
        self._open[token] = query
        return token


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


def _datum(value: Any, kind: str) -> JsonObject:
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
