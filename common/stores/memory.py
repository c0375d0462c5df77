"""Stores that forget: for tests, with the semantics of the real ones."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from io import BytesIO
from threading import Lock
from typing import Any, BinaryIO

from common.errors import InputNotFoundError, InvalidPortfolioError, too_large
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.models.results import ResultRow, Run
from common.stores.dynamodb_items import MAX_ITEM_BYTES
from common.stores.ports import RefusedRow, ResultKey, WriteReport
from common.stores.result_rows import given_up, stored_row


class InMemoryResultStore:
    """A `ResultStore` in a dictionary."""

    def __init__(self) -> None:
        self._rows: dict[ResultKey, JsonObject] = {}
        self._lock = Lock()

    def write(self, rows: Sequence[ResultRow], run: Run) -> WriteReport:
        """Write `rows`, merging with what is there."""
        with self._lock:
            written = [self._write(row, run) for row in rows]
        refused = tuple(each for each in written if isinstance(each, RefusedRow))
        return WriteReport(written.count(True), written.count(False), refused)

    def read_many(self, keys: Sequence[ResultKey]) -> dict[ResultKey, JsonObject]:
        """Read the stored rows of `keys`."""
        return {key: self._rows[key] for key in keys if key in self._rows}

    def history(
        self, entity_type: EntityType, entity_id: str, *, start: date | None = None, end: date | None = None
    ) -> Iterator[JsonObject]:
        """Yield the stored rows of one entity, oldest first."""
        for key in sorted(self._rows):
            if key[:2] == (entity_type, entity_id) and (start or date.min) <= key.calculation_date <= (end or date.max):
                yield self._rows[key]

    def latest(self, entity_type: EntityType, entity_id: str, *, as_of: date | None = None) -> JsonObject | None:
        """Return the last stored row of one entity on or before `as_of`."""
        return next(reversed(list(self.history(entity_type, entity_id, end=as_of))), None)

    def _write(self, row: ResultRow, run: Run) -> bool | RefusedRow:
        key = ResultKey(row.entity_type, row.entity_id, row.calculation_date)
        new = stored_row(row, run)
        old = self._rows.get(key, {**new, "created_at": new["updated_at"]})
        newer = {
            label: period
            for label, period in new["periods"].items()
            if label not in old["periods"] or old["periods"][label]["version"] <= run.version
        }
        latest = {**new, "created_at": old["created_at"]} if old["version"] <= run.version else old
        merged = {**latest, "periods": {**old["periods"], **newer}}
        if _item_bytes(merged) > MAX_ITEM_BYTES:
            versions = {label: period["version"] for label, period in merged["periods"].items()}
            for label in given_up(versions, latest=merged["version"]):
                del merged["periods"][label]
                newer.pop(label, None)
            if (size := _item_bytes(merged)) > MAX_ITEM_BYTES:
                return RefusedRow(key, f"the row has {size} bytes, more than {MAX_ITEM_BYTES}")
        self._rows[key] = merged
        return bool(newer)


def _item_bytes(value: Any) -> int:
    """Return the size of a row by DynamoDB's rules."""
    match value:
        case None | bool():
            return 1
        case str():
            return len(value.encode())
        case int() | float():
            return (len(Decimal(repr(value)).as_tuple().digits) + 1) // 2 + 1
        case dict():
            return 3 + sum(1 + len(name.encode()) + _item_bytes(each) for name, each in value.items())
        case _:
            return 3 + sum(1 + _item_bytes(each) for each in value)


class InMemoryPayloadStore:
    """A `PayloadStore` in a dictionary; objects of other buckets stand under their `s3://` names.

    A version of one stands under its name with `?versionId=<version>` after it.
    """

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`."""
        self.objects[key] = body

    def get(self, key: str) -> bytes:
        """Return the object under `key`."""
        if key not in self.objects:
            raise InputNotFoundError(f"{key}: there is no such object, or it may not be read")
        return self.objects[key]

    def get_uri(self, uri: str, *, max_bytes: int, version: str | None = None) -> bytes:
        """Return the object that `s3://bucket/key` names, or a version of it."""
        body = self.get(uri if version is None else f"{uri}?versionId={version}")
        if len(body) > max_bytes:
            raise InvalidPortfolioError(f"{uri}: {too_large(len(body), max_bytes)}")
        return body

    def open_uri(self, uri: str) -> BinaryIO:
        """Open the object that `s3://bucket/key` names."""
        return BytesIO(self.get(uri))

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Store what `file` holds."""
        self.objects[key] = file.read()

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`; not those of other buckets."""
        return (key for key in sorted(self.objects) if key.startswith(prefix) and not key.startswith("s3://"))
