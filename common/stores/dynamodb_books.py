"""`Books` on DynamoDB: the entity table, and what calculations read of it."""

from collections.abc import Iterator
from functools import partial

from common.calculations.types import PriceHistory, Valuations
from common.config import BooksSettings
from common.errors import TransientError
from common.models.books import SERIES_OF, BookEntityType, EntityKey, SeriesKind, Transaction
from common.stores import book_items
from common.stores.book_items import ENTITY_TABLE
from common.stores.clients import Patience, aws_client
from common.stores.dynamodb_entities import DynamoDBEntities
from common.stores.dynamodb_items import PATIENCE, ContendedError, Item, until_uncontended
from common.stores.ports import PortfolioBook
from common.stores.series_arrays import price_history, valuations
from common.stores.series_chunks import Chunk
from common.warm import kept

__all__ = ["ENTITY_TABLE", "DynamoDBBooks", "book_store"]


class DynamoDBBooks(DynamoDBEntities):
    """The whole of the books in one table.

    A query may meet a transaction of which it sees one item and not yet another: items whose stamps do not add up to
    what their entity says are read again.
    """

    def portfolio_book(self, portfolio_id: str) -> PortfolioBook:
        """Return everything that was done with a portfolio and what it was worth; empty where there is nothing."""
        transactions: list[Transaction] = []
        chunks: list[Chunk] = []
        key = EntityKey(BookEntityType.PORTFOLIO, portfolio_id)
        for item in self._items_of(key, book_items.TRANSACTION, f"{SeriesKind.VALUATION}#"):
            if book_items.sort_key(item).startswith(book_items.TRANSACTION):
                transactions.append(book_items.stored_transaction(item))
            else:
                chunks.append(book_items.stored_chunk(item))
        transactions.sort(key=lambda each: (each.trade_date, each.transaction_id))
        return PortfolioBook(transactions, valuations(chunks) if chunks else None)

    def prices(self, security_id: str) -> PriceHistory:
        """Return all prices of a security."""
        return price_history(self._chunks(SeriesKind.PRICE, security_id))

    def levels(self, benchmark_id: str) -> Valuations:
        """Return all levels of a benchmark."""
        return valuations(self._chunks(SeriesKind.LEVEL, benchmark_id))

    def _chunks(self, kind: SeriesKind, entity_id: str) -> Iterator[Chunk]:
        return map(book_items.stored_chunk, self._items_of(EntityKey(SERIES_OF[kind], entity_id), f"{kind}#"))

    def _items_of(self, key: EntityKey, *kinds: str) -> list[Item]:
        """Return the items of an entity's data, of all its transactions the same ones."""
        return until_uncontended(partial(self._read_items_of, key, kinds), sleep=self._sleep)

    def _read_items_of(self, key: EntityKey, kinds: tuple[str, ...]) -> list[Item]:
        first, last = book_items.RANGES[key.entity_type]
        # One query, a round trip for each MB.
        found = list(
            self._query(
                "id = :id AND entity_type BETWEEN :first AND :last",
                {":id": key.entity_id, ":first": first, ":last": last},
            )
        )
        entity = next((item for item in found if book_items.sort_key(item) == key.entity_type), {})
        items = [item for item in found if book_items.sort_key(item).startswith(kinds)]
        if book_items.stamps(items) != int(entity.get(book_items.STAMPS, {"N": "0"})["N"]):
            told = f"DynamoDB: the items of {key.entity_type} {key.entity_id} do not add up to what it says of them"
            raise ContendedError(TransientError(told))
        return items


@kept
def book_store(settings: BooksSettings, patience: Patience = PATIENCE) -> DynamoDBBooks:
    """Return the books of these settings; a warm function keeps them."""
    return DynamoDBBooks(aws_client("dynamodb", settings.dynamodb_endpoint, patience), settings.table)
