"""Books that forget: for tests, with the semantics of the real ones."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from threading import Lock
from uuid import uuid4

import numpy as np

from common.calculations.types import PriceHistory, Valuations
from common.calculations.words import day_number
from common.errors import StoreError
from common.models.books import (
    SERIES_OF,
    BookEntityType,
    DayValue,
    Entity,
    EntityKey,
    Mark,
    SeriesKind,
    StoredEntity,
    Transaction,
)
from common.stores.book_changes import combine, compare, distinct
from common.stores.ports import PortfolioBook, SeriesReport, TransactionReport
from common.stores.series_chunks import by_year, merge


class InMemoryBooks:
    """`Books` in dictionaries; may be used by several threads."""

    def __init__(self) -> None:
        self._entities: dict[EntityKey, StoredEntity] = {}
        self._transactions: dict[str, dict[str, Transaction]] = {}
        self._series: dict[tuple[SeriesKind, str], dict[date, DayValue]] = {}
        self._marks: dict[str, Mark] = {}
        self._lock = Lock()

    def entities(self, keys: Sequence[EntityKey]) -> dict[EntityKey, StoredEntity]:
        """Return the entities of `keys`."""
        with self._lock:
            return {key: self._entities[key] for key in keys if key in self._entities}

    def entities_of_client(self, client_id: str, entity_type: BookEntityType) -> Iterator[Entity]:
        """Yield a client's entities of one type, by id."""
        return (each for each in self._by_id(entity_type) if each.client_id == client_id)

    def portfolios_of_account(self, account_id: str) -> Iterator[Entity]:
        """Yield an account's portfolios, by id."""
        return (each for each in self._by_id(BookEntityType.PORTFOLIO) if each.account_id == account_id)

    def all_entities(self, entity_type: BookEntityType) -> Iterator[Entity]:
        """Yield all entities of one type, with or without a client."""
        return iter(self._by_id(entity_type))

    def put_entity(self, entity: Entity) -> bool:
        """Write an entity; return whether that changed anything."""
        with self._lock:
            stored = self._entities.get(entity.key)
            if stored is not None:
                if stored.entity == entity:
                    return False
                if stored.entity.client_id != entity.client_id:
                    raise StoreError(f"the {entity.entity_type} {entity.entity_id} belongs to another client")
            self._entities[entity.key] = StoredEntity(
                entity, uuid4().hex, stored.security_ids if stored else frozenset()
            )
            return True

    def record(
        self, portfolio_id: str, transactions: Sequence[Transaction], *, replace: bool = False
    ) -> TransactionReport:
        """Enter transactions of one portfolio, and mark it from the earliest trade date that was entered."""
        first, repeated = distinct(portfolio_id, transactions)
        if not first:
            return TransactionReport()
        with self._lock:
            portfolio = self._known(EntityKey(BookEntityType.PORTFOLIO, portfolio_id))
            book = self._transactions.setdefault(portfolio_id, {})
            changes = compare(first.values(), book, replace=replace)
            if changes.entries:
                book.update({entry.new.transaction_id: entry.new for entry in changes.entries})
                self._change(portfolio, changes.security_ids)
                earlier = self._marks.get(portfolio_id)
                from_date = min(changes.from_date, earlier.from_date) if earlier else changes.from_date
                self._marks[portfolio_id] = Mark(portfolio_id, from_date, uuid4().hex, datetime.now(UTC))
            return combine([changes.report, repeated])

    def portfolio_book(self, portfolio_id: str) -> PortfolioBook:
        """Return everything that was done with a portfolio and what it was worth."""
        with self._lock:
            transactions = list(self._transactions.get(portfolio_id, {}).values())
        transactions.sort(key=lambda each: (each.trade_date, each.transaction_id))
        days = self._days(SeriesKind.VALUATION, portfolio_id)
        return PortfolioBook(transactions, _valuations(days) if days else None)

    def write_series(self, kind: SeriesKind, entity_id: str, days: Sequence[DayValue]) -> SeriesReport:
        """Write days of a series; a day that is there gets the new value."""
        given = {day: value for year in by_year(kind, days).values() for day, value in year.items()}
        if not given:
            return SeriesReport()
        with self._lock:
            entity = self._known(EntityKey(SERIES_OF[kind], entity_id))
            merged, report = merge(self._series.get((kind, entity_id), {}), given)
            if report.added or report.changed:
                self._series[kind, entity_id] = merged
                self._change(entity)
            return report

    def prices(self, security_id: str) -> PriceHistory:
        """Return all prices of a security."""
        days = self._days(SeriesKind.PRICE, security_id)
        return PriceHistory(
            np.array([day_number(each.date) for each in days], dtype=np.int64),
            np.array([float(each.value) for each in days]),
            np.array([float(each.dividend) for each in days]),
            np.array([float(each.split) for each in days]),
        )

    def levels(self, benchmark_id: str) -> Valuations:
        """Return all levels of a benchmark."""
        return _valuations(self._days(SeriesKind.LEVEL, benchmark_id))

    def marks(self) -> Iterator[Mark]:
        """Yield the portfolios whose results are out of date, in no order."""
        with self._lock:
            return iter(list(self._marks.values()))

    def start_mark(self, mark: Mark, executions: Sequence[str]) -> bool:
        """Note the executions of one more attempt at a mark, unless the portfolio was marked again since."""
        with self._lock:
            present = self._marks.get(mark.portfolio_id)
            if present is None or present.token != mark.token:
                return False
            noted = present._replace(executions=tuple(executions), attempts=mark.attempts + 1)
            self._marks[mark.portfolio_id] = noted
            return True

    def clear_mark(self, mark: Mark) -> bool:
        """Remove a mark unless the portfolio was marked again since; return whether it is gone."""
        with self._lock:
            present = self._marks.get(mark.portfolio_id)
            if present is not None and present.token != mark.token:
                return False
            self._marks.pop(mark.portfolio_id, None)
            return True

    def _by_id(self, entity_type: BookEntityType) -> list[Entity]:
        with self._lock:
            return [stored.entity for key, stored in sorted(self._entities.items()) if key.entity_type == entity_type]

    def _days(self, kind: SeriesKind, entity_id: str) -> list[DayValue]:
        with self._lock:
            return list(self._series.get((kind, entity_id), {}).values())

    def _known(self, key: EntityKey) -> StoredEntity:
        if key not in self._entities:
            raise StoreError(f"the {key.entity_type} {key.entity_id} is not in the books")
        return self._entities[key]

    def _change(self, stored: StoredEntity, security_ids: Sequence[str] = ()) -> None:
        self._entities[stored.entity.key] = StoredEntity(
            stored.entity, uuid4().hex, stored.security_ids | frozenset(security_ids)
        )


def _valuations(days: Sequence[DayValue]) -> Valuations:
    return Valuations.of((each.date, each.value) for each in days)
