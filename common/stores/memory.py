"""Stores that forget: for tests, with the semantics of the real ones."""

from collections.abc import Iterator, Sequence
from datetime import date
from io import BytesIO
from threading import Lock
from typing import BinaryIO

from common.errors import InputNotFoundError, InvalidPortfolioError
from common.models.results import EntityType, ResultRow, Run
from common.stores.dynamodb import stored_row
from common.stores.ports import JsonObject, ResultKey, WriteReport


class InMemoryResultStore:
    """A `ResultStore` in a dictionary."""

    def __init__(self) -> None:
        self._rows: dict[ResultKey, JsonObject] = {}
        self._lock = Lock()

    def write(self, rows: Sequence[ResultRow], run: Run) -> WriteReport:
        """Write `rows`, merging with what is there."""
        with self._lock:
            written = [self._write(row, run) for row in rows]
        return WriteReport(written.count(True), written.count(False))

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

    def _write(self, row: ResultRow, run: Run) -> bool:
        key = ResultKey(row.entity_type, row.entity_id, row.calculation_date)
        new = stored_row(row, run)
        old = self._rows.get(key)
        if old is None:
            self._rows[key] = {**new, "created_at": new["updated_at"]}
            return True
        if old["version"] <= run.version:
            periods = {**old["periods"], **new["periods"]}
            self._rows[key] = {**new, "created_at": old["created_at"], "periods": periods}
            return True
        newer = {
            label: period
            for label, period in new["periods"].items()
            if label not in old["periods"] or old["periods"][label]["version"] <= run.version
        }
        self._rows[key] = {**old, "periods": {**old["periods"], **newer}}
        return bool(newer)


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
            raise InvalidPortfolioError(f"{uri}: larger than {max_bytes // 1024 // 1024} MiB")
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
