"""What the tasks ask of a store. One contract suite, `tests/contract/`, runs over every adapter."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, Protocol

from common.json_types import JsonObject
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, Mark, SeriesKind, StoredEntity, Transaction
from common.models.kinds import EntityType

if TYPE_CHECKING:
    from common.calculations.types import PriceHistory, Valuations
    from common.models.results import ResultRow, Run

COMPLETE_SERIES: Final = frozenset({"SUCCEEDED", "DISABLED"})
"""The statuses of PersistTimestream after which the time series lacks nothing, or none is kept."""


class ResultKey(NamedTuple):
    """The key of a stored row."""

    entity_type: EntityType
    entity_id: str
    calculation_date: date


class RefusedRow(NamedTuple):
    """One row that a `ResultStore` would not take, for a reason of its own: the others do not depend on it."""

    key: ResultKey
    reason: str


class WriteReport(NamedTuple):
    """What became of the rows handed to a `ResultStore`."""

    written: int
    superseded: int = 0
    """Rows of which a later execution had written all periods already, or has left no room for them."""
    refused: Sequence[RefusedRow] = ()


class RejectedRecord(NamedTuple):
    """One record a time-series store would not take."""

    entity_id: str
    time_period: str
    measure: str
    reason: str


class TimeSeriesReport(NamedTuple):
    """What became of the records made from the rows handed to a `TimeSeriesStore`."""

    written: int
    superseded: int = 0
    rejected: Sequence[RejectedRecord] = ()


class ResultStore(Protocol):
    """Rows by entity and calculation date: the specification's Performance Metrics table.

    `write` is idempotent. The row of an entity and date keeps `created_at` and the periods of other requests; a
    period written by a later execution (`Run.version`) is never overwritten by an earlier one. A row that would be too
    large with all of them gives up the explicit periods, `FROM/TO`, of all executions but the latest one.

    Raises
    ------
    ThrottledError, TransientError
        Try the whole call again; what was written stays, and is written again unchanged.
    StoreError
        The store refuses all of this for good.
    """

    def write(self, rows: "Sequence[ResultRow]", run: "Run") -> WriteReport:
        """Write `rows`, merging with what is there; those refused for themselves are told one by one."""

    def read_many(self, keys: Sequence[ResultKey]) -> dict[ResultKey, JsonObject]:
        """Read the stored rows of `keys`, as plain JSON values; a missing one is absent."""

    def history(
        self, entity_type: EntityType, entity_id: str, *, start: date | None = None, end: date | None = None
    ) -> Iterator[JsonObject]:
        """Yield the stored rows of one entity, oldest first, from `start` to `end` inclusive."""

    def latest(self, entity_type: EntityType, entity_id: str, *, as_of: date | None = None) -> JsonObject | None:
        """Return the last stored row of one entity on or before `as_of`; None where there is none."""


class TimeSeriesStore(Protocol):
    """One record for each entity, date, period and measure: the specification's Timestream table.

    Raises
    ------
    ThrottledError, TransientError
        Try the whole call again; an equal record at an equal version is accepted again.
    StoreError
        The store refuses this for good.
    """

    def write(self, rows: "Sequence[ResultRow]", run: "Run") -> TimeSeriesReport:
        """Write the records of `rows`; those refused are told one by one."""


class PayloadStore(Protocol):
    """Objects too large to travel in a state.

    Raises
    ------
    InputNotFoundError
        The object is not there, or may not be read.
    ThrottledError, TransientError
        Try again.
    """

    def __hash__(self) -> int:
        """Tell stores apart by identity: a warm function caches what it read from one."""

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`, replacing what is there."""

    def get(self, key: str) -> bytes:
        """Return the object under `key` of the store's own bucket."""

    def get_uri(self, uri: str, *, max_bytes: int, version: str | None = None) -> bytes:
        """Return the object an `s3://bucket/key` names, the version with this id where one is given.

        Raises
        ------
        InvalidPortfolioError
            It is larger than `max_bytes`.
        """

    def open_uri(self, uri: str) -> BinaryIO:
        """Open the object an `s3://bucket/key` names, to be read from its beginning to its end and closed.

        Where it is replaced while it is read, the next read raises InputNotFoundError: it is another one now.
        """

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Store what `file` holds from where it stands, of any length, replacing what is there."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys of the store's own bucket that begin with `prefix`, in their order."""


class TimeSeriesReader(Protocol):
    """SQL over the time-series store."""

    def query(self, sql: str) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
        """Run `sql`; return the column names and the rows."""


class SeriesReport(NamedTuple):
    """What became of the days handed to `Books.write_series`."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


class TransactionReport(NamedTuple):
    """What became of the transactions handed to `Books.record`, by their ids."""

    added: Sequence[str] = ()
    replaced: Sequence[str] = ()
    unchanged: Sequence[str] = ()
    """Known already, with the same content."""
    conflicting: Sequence[str] = ()
    """Known already with another content, and not to be replaced: left as they are."""


class EntityStore(Protocol):
    """Entities, and what is entered for them: transactions and daily series. The specification's entity table.

    Every write changes the `revision` of the entity it belongs to, in the same transaction as the data; writing what
    is there already changes nothing, the revision included.

    Raises
    ------
    ThrottledError, TransientError
        Try the whole call again; what was written stays, and is found unchanged.
    StoreError
        The store refuses this for good.
    """

    def entities(self, keys: Sequence[EntityKey]) -> dict[EntityKey, StoredEntity]:
        """Return the entities of `keys`, consistently; a missing one is absent."""

    # The lists are a moment late, so they tell no revision: whoever calculates asks `entities` for it.

    def entities_of_client(self, client_id: str, entity_type: BookEntityType) -> Iterator[Entity]:
        """Yield a client's entities of one type, by id; one written a moment ago may be missing."""

    def portfolios_of_account(self, account_id: str) -> Iterator[Entity]:
        """Yield an account's portfolios, by id; one written a moment ago may be missing."""

    def all_entities(self, entity_type: BookEntityType) -> Iterator[Entity]:
        """Yield all entities of one type, with or without a client, in no order; a recent one may be missing."""

    def put_entity(self, entity: Entity) -> bool:
        """Write an entity, its attributes in the place of those it had; return whether that changed anything.

        Raises
        ------
        StoreError
            It belongs to another client.
        """

    def record(
        self, portfolio_id: str, transactions: Sequence[Transaction], *, replace: bool = False
    ) -> TransactionReport:
        """Enter transactions of one portfolio, and mark it from the earliest trade date that was entered.

        A transaction is known by its id. One that is known with another content is replaced where `replace` says so
        (and marks from the earlier of both dates), otherwise left alone and reported.

        Raises
        ------
        StoreError
            The portfolio is not in the books.
        """

    def write_series(self, kind: SeriesKind, entity_id: str, days: Sequence[DayValue]) -> SeriesReport:
        """Write days of a series; a day that is there gets the new value.

        Raises
        ------
        StoreError
            The portfolio, security or benchmark is not in the books.
        """

    def marks(self) -> Iterator[Mark]:
        """Yield the portfolios whose results are out of date, in no order."""

    def start_mark(self, mark: Mark, executions: Sequence[str]) -> bool:
        """Note the executions of one more attempt at a mark, unless the portfolio was marked again since.

        A mark that is made again forgets them. Returns whether they are noted.
        """

    def clear_mark(self, mark: Mark) -> bool:
        """Remove a mark unless the portfolio was marked again since; return whether it is gone."""


class PortfolioBook(NamedTuple):
    """What the books have of a portfolio: one read.

    Attributes
    ----------
    transactions : sequence of Transaction
        By trade date, then by id.
    valuations : Valuations or None
        None where it was never given any: it is valued by its transactions then.
    """

    transactions: Sequence[Transaction]
    valuations: "Valuations | None"


class Books(EntityStore, Protocol):
    """The whole of the books: what calculations read of them, too."""

    def portfolio_book(self, portfolio_id: str) -> PortfolioBook:
        """Return everything that was done with a portfolio and what it was worth; empty where there is nothing."""

    def prices(self, security_id: str) -> "PriceHistory":
        """Return all prices of a security."""

    def levels(self, benchmark_id: str) -> "Valuations":
        """Return all levels of a benchmark."""


class ResultCache(Protocol):
    """What was calculated before, by a key that stands for everything it depends on.

    Raises
    ------
    ThrottledError, TransientError
        Nothing was read or kept; the caller can do without.
    StoreError
        Nor will it be: the cache refuses for good, or the value is not JSON.
    """

    def get(self, key: str) -> JsonObject | None:
        """Return what is kept under `key` and has not expired."""

    def put(self, key: str, value: JsonObject) -> None:
        """Keep `value` under `key` for as long as the cache keeps anything."""

    def clear(self) -> int:
        """Remove everything; return how many entries that were."""

    def statistics(self) -> "CacheStatistics":
        """Return what is in it."""


class CacheStatistics(NamedTuple):
    """What is in a `ResultCache`."""

    entries: int
    expired: int
    """Of the entries, those that will be gone when the service gets round to it."""
    bytes: int
    oldest: datetime | None
    newest: datetime | None
