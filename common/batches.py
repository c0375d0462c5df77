"""The batches of a fleet run as they fill, and the entities seen on the way; neither grows in memory with the run."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import isfinite
from typing import Any, BinaryIO, Self

from common.errors import StoreError
from common.json_text import compact_json
from common.json_types import JsonObject
from common.models.inputs import PortfolioInput
from common.models.kinds import EntityType
from common.models.limits import MAX_PORTFOLIOS_BYTES
from common.models.manifests import FAILURE
from common.models.request import EntityReference
from common.models.sources import SourceFormat
from common.scratch import scratch_database, scratch_file
from common.stores.ports import PayloadStore

REFUSED = "InvalidPortfolioError"
"""The error of an entry that cannot be planned: the same as when a calculation finds out."""


class BatchWriter:
    """The batches as they fill: their list and what was refused on disk, the portfolios of one batch in memory.

    Parameters
    ----------
    payloads, bucket
        Where they go, and the name of the bucket behind it.
    prefix
        Below which they lie.
    options
        What the requests of all batches share.
    size
        Of a batch, in entities. Portfolios with their data also begin a new one where it would grow too large.

    Attributes
    ----------
    entities : int
        How many were added or refused.
    """

    def __init__(self, payloads: PayloadStore, bucket: str, prefix: str, options: JsonObject, size: int) -> None:
        self.size, self.entities, self._refused, self._count = size, 0, 0, 0
        self._payloads, self._bucket, self._prefix, self._options = payloads, bucket, prefix, options
        self._references: list[EntityReference] = []
        self._portfolios: list[bytes] = []
        self._bytes = 0
        self._list, self._refusals = scratch_file(), scratch_file()
        self._list.write(b"[")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._list.close()
        self._refusals.close()

    def add_reference(self, reference: EntityReference) -> None:
        """Add an entity of the books."""
        self.entities += 1
        self._references.append(reference)
        if len(self._references) == self.size:
            self._flush_references()

    def add_portfolio(self, portfolio: PortfolioInput) -> None:
        """Add a portfolio that comes with its data; a batch ends before it would be more than a calculation reads."""
        self.entities += 1
        line = compact_json(portfolio.model_dump(mode="json", exclude_none=True))
        if self._bytes + len(line) > MAX_PORTFOLIOS_BYTES:
            self._flush_portfolios()
        self._portfolios.append(line)
        self._bytes += len(line) + 1
        if len(self._portfolios) == self.size:
            self._flush_portfolios()

    def refuse(self, document: JsonObject, message: str, told: Mapping[str, Any] | None = None) -> None:
        """Note an entry that cannot be calculated: a failure of the run from its beginning.

        Parameters
        ----------
        document
            What could be read of it.
        message
            Why.
        told
            What else stands under `failure`.
        """
        self.entities += 1
        self._refused += 1
        line = _writable({**document, FAILURE: {"error": REFUSED, "message": message, **(told or {})}})
        self._refusals.write(json.dumps(line, default=str, allow_nan=False).encode() + b"\n")

    def flush(self) -> None:
        """Put down the batches that are not full."""
        self._flush_references()
        self._flush_portfolios()

    def close(self) -> JsonObject:
        """Put down the list and the refusals; return what the next states are told of them."""
        self._list.write(b"]")
        return {
            "batches": self._put(self._list, "batches.json"),
            "batch_count": self._count,
            "entity_count": self.entities,
            "refused": {**self._put(self._refusals, "refused.jsonl"), "count": self._refused},
        }

    def _flush_references(self) -> None:
        # One type after another: a batch names its type once where all of its entities share it.
        references, self._references = self._references, []
        for _, alike in groupby(references, key=lambda each: each.entity_type):
            self._add_batch(_named(list(alike)))

    def _flush_portfolios(self) -> None:
        portfolios, self._portfolios, self._bytes = self._portfolios, [], 0
        if portfolios:
            key = f"{self._prefix}batches/{self._count:06}.jsonl"
            self._payloads.put(key, b"\n".join(portfolios))
            source = {"source": f"s3://{self._bucket}/{key}", "format": SourceFormat.JSON_LINES.value}
            self._add_batch({"portfolios": source})

    def _add_batch(self, entities: JsonObject) -> None:
        self._list.write((b",\n" if self._count else b"\n") + compact_json({**self._options, **entities}))
        self._count += 1

    def _put(self, file: BinaryIO, name: str) -> JsonObject:
        file.seek(0)
        self._payloads.put_file(self._prefix + name, file)
        return {"bucket": self._bucket, "key": self._prefix + name}


class EntityNames:
    """The entities of a run and where each stands, in memory up to some size and beyond that on disk."""

    def __init__(self) -> None:
        self._database = scratch_database(
            "CREATE TABLE name (type TEXT, id TEXT, place TEXT, PRIMARY KEY (type, id)) WITHOUT ROWID;"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def add(self, entity_type: str, entity_id: str, place: str) -> str | None:
        """Note an entity; return where it stands already, None where it is new."""
        named = (entity_type, entity_id)
        try:
            added = self._database.execute("INSERT OR IGNORE INTO name VALUES (?, ?, ?)", (*named, place))
        except sqlite3.OperationalError as error:
            raise StoreError(f"no room for the ids of the manifest: {error}") from error
        if added.rowcount:
            return None
        found = self._database.execute("SELECT place FROM name WHERE type = ? AND id = ?", named).fetchone()
        return str(found[0])

    def in_order(self, entity_type: EntityType) -> Iterator[str]:
        """Yield the ids of one type in their order."""
        found = self._database.execute("SELECT id FROM name WHERE type = ? ORDER BY id", (entity_type,))
        return (str(entity_id) for (entity_id,) in found)


def _writable(value: Any) -> Any:
    """Return a value without what JSON and UTF-8 have no form of: NaN and infinities as text, no lone surrogates."""
    match value:
        case dict():
            return {_writable(key): _writable(each) for key, each in value.items()}
        case list():
            return [_writable(each) for each in value]
        case str():
            return value.encode("utf-8", "replace").decode()
        case float() if not isfinite(value):
            return json.dumps(value)
    return value


def _named(references: Sequence[EntityReference]) -> JsonObject:
    """Return references as a request has them, in the shortest form there is."""
    if any(each.as_of_date for each in references):
        return {"entities": [each.model_dump(mode="json", exclude_none=True) for each in references]}
    return {
        "entity_type": references[0].entity_type.value,
        "entity_ids": [each.entity_id for each in references],
    }
