"""What the tasks ask of a store. One contract suite, `tests/contract/`, runs over every adapter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple, Protocol

from common.models.results import EntityType, ResultRow, Run

JsonObject = dict[str, Any]


class ResultKey(NamedTuple):
    """The key of a stored row."""

    entity_type: EntityType
    entity_id: str
    calculation_date: date


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What became of the rows handed to a `ResultStore`."""

    written: int
    superseded: int = 0
    """Rows of which a later execution had written all periods already; they were left alone."""


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """One record a time-series store would not take."""

    entity_id: str
    time_period: str
    measure: str
    reason: str


@dataclass(frozen=True, slots=True)
class TimeSeriesReport:
    """What became of the records made from the rows handed to a `TimeSeriesStore`."""

    written: int
    superseded: int = 0
    rejected: Sequence[RejectedRecord] = field(default_factory=tuple)


class ResultStore(Protocol):
    """Rows by entity and calculation date: the specification's Performance Metrics table.

    `write` is idempotent. The row of an entity and date keeps `created_at` and the periods of other requests; a
    period written by a later execution (`Run.version`) is never overwritten by an earlier one.

    Raises
    ------
    ThrottledError, TransientError
        Try the whole call again; what was written stays, and is written again unchanged.
    StoreError
        The store refuses this for good.
    """

    def write(self, rows: Sequence[ResultRow], run: Run) -> WriteReport:
        """Write `rows`, merging with what is there."""

    def read_many(self, keys: Sequence[ResultKey]) -> dict[ResultKey, JsonObject]:
        """Read the stored rows of `keys`, as plain JSON values; a missing one is absent."""

    def history(
        self, entity_type: EntityType, entity_id: str, *, start: date | None = None, end: date | None = None
    ) -> Iterator[JsonObject]:
        """Yield the stored rows of one entity, oldest first, from `start` to `end` inclusive."""


class TimeSeriesStore(Protocol):
    """One record for each entity, date, period and measure: the specification's Timestream table.

    Raises
    ------
    ThrottledError, TransientError
        Try the whole call again; an equal record at an equal version is accepted again.
    StoreError
        The store refuses this for good.
    """

    def write(self, rows: Sequence[ResultRow], run: Run) -> TimeSeriesReport:
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

    def get_uri(self, uri: str, *, max_bytes: int) -> bytes:
        """Return the object an `s3://bucket/key` names.

        Raises
        ------
        InvalidPortfolioError
            It is larger than `max_bytes`.
        """


class TimeSeriesReader(Protocol):
    """SQL over the time-series store."""

    def query(self, sql: str) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
        """Run `sql`; return the column names and the rows."""
