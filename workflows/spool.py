"""Records on their way into the books, kept on disk: told apart, and put together by whose they are."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from common.errors import StoreError
from common.models.books import BookEntityType, EntityKey
from common.models.records import Record, RecordKind, dump
from common.scratch import scratch_database
from common.stores.ports import Books

_SCHEMA = """
CREATE TABLE record (
    kind TEXT, entity TEXT, key TEXT, file INTEGER, number INTEGER, content TEXT, PRIMARY KEY (kind, entity, key)
) WITHOUT ROWID;
CREATE TABLE entity (
    type TEXT, id TEXT, client TEXT, implied INTEGER, PRIMARY KEY (type, id)
) WITHOUT ROWID;
"""
_OWNERS_KEPT = 100_000


class Spooled(NamedTuple):
    """A record in the spool, dumped, and where it stands."""

    entity_id: str
    key: str
    file: int
    number: int
    content: str


class Owner(NamedTuple):
    """Whose an entity is."""

    client_id: str | None
    in_books: bool
    """False for one that an import is about to bring."""


class Spool:
    """Holds what several files hold, in memory up to 64 MiB and beyond that on disk, for the length of a `with` block.

    Files may be of any order and size. In here their records lie in the order of the entities they belong to, so that
    each entity is written at once; and each record is there once.

    Raises
    ------
    StoreError
        There is no room left for it.
    """

    def __init__(self) -> None:
        self._database = scratch_database(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._database.close()
        if isinstance(error, sqlite3.OperationalError):
            raise StoreError(f"no room for the temporary data of the import: {error}") from error

    def add(self, kind: RecordKind, record: Record, file: int, number: int) -> Spooled | None:
        """Add a record; return the earlier one where there is one of the same key, which stays."""
        key = (kind.value, record.entity_id, record.key)
        added = self._database.execute(
            "INSERT OR IGNORE INTO record VALUES (?, ?, ?, ?, ?, ?)", (*key, file, number, dump(record))
        )
        if added.rowcount:
            return None
        found = self._database.execute(
            "SELECT entity, key, file, number, content FROM record WHERE kind = ? AND entity = ? AND key = ?", key
        )
        return Spooled(*found.fetchone())

    def records(self, kind: RecordKind) -> Iterator[Spooled]:
        """Yield the records of a kind by entity and key."""
        found = self._database.execute(
            "SELECT entity, key, file, number, content FROM record WHERE kind = ? ORDER BY entity, key", (kind.value,)
        )
        return map(Spooled._make, found)

    def entities(self, *kinds: RecordKind) -> Iterator[str]:
        """Yield the ids of whatever has a record of one of `kinds`, in their order."""
        places = ", ".join("?" * len(kinds))
        found = self._database.execute(
            f"SELECT DISTINCT entity FROM record WHERE kind IN ({places}) ORDER BY entity",  # noqa: S608 - question marks
            [kind.value for kind in kinds],
        )
        return (entity_id for (entity_id,) in found)

    def contents(self, kind: RecordKind, first: str, last: str) -> dict[str, str]:
        """Return the records of a kind that is entities, dumped, by their ids from `first` to `last`."""
        found = self._database.execute(
            "SELECT entity, content FROM record WHERE kind = ? AND entity BETWEEN ? AND ?", (kind.value, first, last)
        )
        return dict(found)

    def has(self, kind: RecordKind, entity_id: str) -> bool:
        """Return whether an entity has a record of a kind."""
        found = self._database.execute(
            "SELECT 1 FROM record WHERE kind = ? AND entity = ? LIMIT 1", (kind.value, entity_id)
        )
        return found.fetchone() is not None

    def traded(self, first: str, last: str) -> dict[str, set[str]]:
        """Return the securities that portfolios from `first` to `last` have a transaction in, by portfolio."""
        found = self._database.execute(
            "SELECT DISTINCT entity, json_extract(content, '$.security_id') AS security FROM record "
            "WHERE kind = ? AND entity BETWEEN ? AND ? AND security IS NOT NULL",
            (RecordKind.TRANSACTIONS.value, first, last),
        )
        traded: dict[str, set[str]] = {}
        for entity_id, security_id in found:
            traded.setdefault(entity_id, set()).add(security_id)
        return traded

    def announce(self, key: EntityKey, client_id: str | None, *, implied: bool) -> None:
        """Note an entity that will be in the books; one that is `implied` is named by a record and has none itself."""
        self._database.execute(
            "INSERT OR IGNORE INTO entity VALUES (?, ?, ?, ?)",
            (key.entity_type.value, key.entity_id, client_id, implied),
        )

    def owner(self, key: EntityKey) -> Owner | None:
        """Return whose an entity is that was announced; None where it was not."""
        found = self._database.execute(
            "SELECT client FROM entity WHERE type = ? AND id = ?", (key.entity_type.value, key.entity_id)
        ).fetchone()
        return None if found is None else Owner(found[0], in_books=False)

    def implied(self, entity_type: BookEntityType) -> Iterator[tuple[str, str | None]]:
        """Yield the ids and clients of the entities of one type that no record describes."""
        return iter(
            self._database.execute("SELECT id, client FROM entity WHERE type = ? AND implied", (entity_type.value,))
        )


class Owners:
    """Whose the entities are that rows name: those in the books, and those this import will bring."""

    def __init__(self, books: Books, spool: Spool) -> None:
        self._books, self._spool = books, spool
        self._known: dict[EntityKey, Owner | None] = {}

    def look_up(self, keys: Iterable[EntityKey]) -> None:
        """Get to know `keys` in one call, so that `of` can tell."""
        if len(self._known) > _OWNERS_KEPT:
            self._known.clear()
        asked = [key for key in dict.fromkeys(keys) if key not in self._known]
        self._known.update((key, self._spool.owner(key)) for key in asked)
        if unknown := [key for key in asked if self._known[key] is None]:
            stored = self._books.entities(unknown)
            self._known.update((key, Owner(each.entity.client_id, in_books=True)) for key, each in stored.items())

    def of(self, key: EntityKey) -> Owner | None:
        """Return whose an entity is that was looked up; None where there is no such entity."""
        return self._known[key]

    def announce(self, key: EntityKey, client_id: str | None, *, implied: bool) -> None:
        """Note an entity that this import will bring, unless it is there."""
        if implied and self._known[key] is not None:
            return
        self._spool.announce(key, client_id, implied=implied)
        self._known[key] = self._known.get(key) or Owner(client_id, in_books=False)
