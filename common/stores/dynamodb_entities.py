"""`EntityStore` on DynamoDB: the specification's entity table. docs/data-model.md has its items and what they cost."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from botocore.exceptions import ClientError

from common.config import BooksSettings
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
from common.models.entity_table import ACCOUNT_INDEX, CLIENT_INDEX, ENTITY_ATTRIBUTES, INDEXED, MARK_PARTITIONS, NOBODY
from common.stores import book_items, series_chunks
from common.stores.book_changes import Changes, combine, compare, distinct
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.stores.dynamodb_items import (
    MAX_ITEM_BYTES,
    MAX_TRANSACTION_BYTES,
    PATIENCE,
    TRANSACTION_ITEMS,
    Expression,
    Item,
    Update,
    get_items,
    until_uncontended,
    update_if,
    write_together,
)
from common.stores.ports import SeriesReport, TransactionReport
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The portfolio's entity and its mark are written with them.
TRANSACTIONS_TOGETHER = TRANSACTION_ITEMS - 2
# As many as fit into one transaction however long their numbers are, with an entity that is as large as an item can be.
YEARS_TOGETHER = (MAX_TRANSACTION_BYTES - MAX_ITEM_BYTES) // series_chunks.MAX_CHUNK_BYTES

Each = TypeVar("Each")


class DynamoDBEntities:
    """Entities, transactions and daily series in one table.

    Whatever is written is written together with the entity's new `revision`. Nothing is locked: a write holds only
    where what it was derived from is still so, and begins anew with a fresh read where it is not. Every item has a
    random stamp and its entity the sum of them, so that whoever reads some items of a write and not yet the others can
    tell.

    Parameters
    ----------
    client
        A boto3 client of DynamoDB.
    table
        Name of the table.
    sleep
        Waits between attempts: where others write the same items, or DynamoDB left keys unprocessed.
    """

    def __init__(self, client: "DynamoDBClient", table: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def entities(self, keys: Sequence[EntityKey]) -> dict[EntityKey, StoredEntity]:
        """Return the entities of `keys`, consistently; a missing one is absent."""
        found = map(book_items.stored_entity, self._get(map(book_items.entity_key, dict.fromkeys(keys))))
        return {each.entity.key: each for each in found}

    def entities_of_client(self, client_id: str, entity_type: BookEntityType) -> Iterator[Entity]:
        """Yield a client's entities of one type, by id; one written a moment ago may be missing."""
        if client_id != NOBODY:  # under which the index has what no client may list
            yield from self._indexed(CLIENT_INDEX, client_id, entity_type)

    def portfolios_of_account(self, account_id: str) -> Iterator[Entity]:
        """Yield an account's portfolios, by id; one written a moment ago may be missing."""
        yield from self._indexed(ACCOUNT_INDEX, account_id, BookEntityType.PORTFOLIO)

    def all_entities(self, entity_type: BookEntityType) -> Iterator[Entity]:
        """Yield all entities of one type, with or without a client, in no order; a recent one may be missing."""
        # The index holds all entities and nothing else: a scan of it does not read transactions and series.
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table,
            IndexName=CLIENT_INDEX,
            FilterExpression="entity_type = :type",
            ExpressionAttributeValues={":type": {"S": entity_type.value}},
        )
        yield from map(book_items.entity, _items(pages))

    def put_entity(self, entity: Entity) -> bool:
        """Write an entity, its attributes in the place of those it had; return whether that changed anything."""
        return until_uncontended(partial(self._put_entity, entity), sleep=self._sleep)

    def record(
        self, portfolio_id: str, transactions: Sequence[Transaction], *, replace: bool = False
    ) -> TransactionReport:
        """Enter transactions of one portfolio, and mark it from the earliest trade date that was entered.

        Of several with one id the first is entered; the others are reported as they compare with it.
        """
        first, repeated = distinct(portfolio_id, transactions)
        reports = [
            until_uncontended(partial(self._record, portfolio_id, group, replace=replace), sleep=self._sleep)
            for group in _grouped(list(first.values()), TRANSACTIONS_TOGETHER)
        ]
        return combine([*reports, repeated])

    def write_series(self, kind: SeriesKind, entity_id: str, days: Sequence[DayValue]) -> SeriesReport:
        """Write days of a series; a day that is there gets the new value."""
        years = list(series_chunks.by_year(kind, days).items())
        return series_chunks.total(
            until_uncontended(partial(self._write_years, kind, entity_id, group), sleep=self._sleep)
            for group in _grouped(years, YEARS_TOGETHER)
        )

    def marks(self) -> Iterator[Mark]:
        """Yield the portfolios whose results are out of date, in no order."""
        for partition in MARK_PARTITIONS:
            yield from map(book_items.stored_mark, self._query("id = :id", {":id": partition}))

    def start_mark(self, mark: Mark, executions: Sequence[str]) -> bool:
        """Note the executions of one more attempt at a mark, unless the portfolio was marked again since."""
        update = Update()
        update.set_all(book_items.attempt(executions, mark.attempts + 1))
        condition = update.equal("token", {"S": mark.token})
        return self._if_it_holds(
            partial(
                self._client.update_item,
                TableName=self._table,
                Key=book_items.mark_key(mark.portfolio_id),
                ConditionExpression=condition,
                **update.arguments(),
            )
        )

    def clear_mark(self, mark: Mark) -> bool:
        """Remove a mark unless the portfolio was marked again since; return whether it is gone."""
        condition = Expression()
        unmarked = f"attribute_not_exists(id) OR {condition.equal('token', {'S': mark.token})}"
        return self._if_it_holds(
            partial(
                self._client.delete_item,
                TableName=self._table,
                Key=book_items.mark_key(mark.portfolio_id),
                ConditionExpression=unmarked,
                **condition.arguments(),
            )
        )

    def _if_it_holds(self, write: Callable[[], object]) -> bool:
        """Make a conditional write; return whether its condition held."""
        with typed_errors("DynamoDB"):
            try:
                write()
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    return False
                raise
        return True

    def _put_entity(self, entity: Entity) -> bool:
        at, attributes = book_items.entity_key(entity.key), book_items.entity_attributes(entity)
        update = Update()
        match next(self._get([at]), None):
            case None:
                condition = "attribute_not_exists(id)"
            # Items, not entities: nobody's that is not in the index yet says the same, and has to be written.
            case item if book_items.kept_attributes(item) == attributes:
                return False
            case item if book_items.entity(item).client_id != entity.client_id:
                raise StoreError(f"the {entity.entity_type} {entity.entity_id} belongs to another client")
            case item:
                condition = update.equal("revision", item["revision"])
        update.set_all({**attributes, "revision": _fresh()})
        update.remove_all(name for name in ENTITY_ATTRIBUTES if name not in attributes)
        update_if(self._client, self._table, at, update, condition)
        return True

    def _record(self, portfolio_id: str, given: Sequence[Transaction], *, replace: bool) -> TransactionReport:
        """Enter transactions of distinct ids, as many as one transaction takes."""
        portfolio = book_items.entity_key(EntityKey(BookEntityType.PORTFOLIO, portfolio_id))
        mark = book_items.mark_key(portfolio_id)
        keys = [book_items.transaction_key(portfolio_id, each.transaction_id) for each in given]
        found = self._found([portfolio, mark, *keys], portfolio)
        kept = {each.transaction_id: found[_at(at)] for each, at in zip(given, keys, strict=True) if _at(at) in found}
        known = {name: book_items.stored_transaction(item) for name, item in kept.items()}
        changes = compare(given, known, replace=replace)
        if changes.entries:
            puts = [(book_items.transaction_item(new), kept.get(new.transaction_id)) for new, _ in changes.entries]
            marked = self._marked(mark, changes, found.get(_at(mark)))
            self._write(portfolio, puts, security_ids=changes.security_ids, besides=[marked])
        return changes.report

    def _write_years(
        self, kind: SeriesKind, entity_id: str, given: Sequence[tuple[int, series_chunks.Days]]
    ) -> SeriesReport:
        """Write years of a series, as many as one transaction takes."""
        entity = book_items.entity_key(EntityKey(SERIES_OF[kind], entity_id))
        keys = [book_items.chunk_key(kind, entity_id, year) for year, _ in given]
        found = self._found([entity, *keys], entity)
        reports: list[SeriesReport] = []
        puts: list[tuple[Item, Item | None]] = []
        for at, (year, days) in zip(keys, given, strict=True):
            kept = found.get(_at(at))
            merged, report = series_chunks.merge(
                series_chunks.decode(book_items.stored_chunk(kept)) if kept else {}, days
            )
            reports.append(report)
            if report.added or report.changed:
                chunk = series_chunks.Chunk(year, series_chunks.encode(merged))
                puts.append((book_items.chunk_item(kind, entity_id, chunk), kept))
        if puts:
            self._write(entity, puts)
        return series_chunks.total(reports)

    def _write(
        self,
        entity: Item,
        puts: Sequence[tuple[Item, Item | None]],
        *,
        security_ids: Sequence[str] = (),
        besides: Sequence[Any] = (),
    ) -> None:
        """Write items of an entity, each in the place of the one that was read, and its fresh revision."""
        stamped = [(book_items.stamped(item), kept) for item, kept in puts]
        more = book_items.stamps(item for item, _ in stamped) - book_items.stamps(kept for _, kept in stamped if kept)
        update = Update()
        update.set_all({"revision": _fresh()})
        update.add(book_items.STAMPS, {"N": str(more)})
        if security_ids:
            # Only ever added to: a replaced transaction may leave one that is no longer needed, which harms nobody.
            update.add("security_ids", {"SS": list(security_ids)})
        changed = self._updated(entity, update, "attribute_exists(id)")
        write_together(self._client, [changed, *besides, *(self._put(item, kept) for item, kept in stamped)])

    def _marked(self, mark: Item, changes: Changes, known: Item | None) -> Any:
        """Return the write that marks a portfolio from the earlier of two dates: that of `changes`, and the mark's.

        An update cannot compute a minimum. So it sets the date or leaves it, as what was read of the mark suggests,
        where the mark as it is then makes that right.
        """
        update = Update()
        update.set_all({"token": _fresh(), "marked_at": {"S": datetime.now(UTC).isoformat()}})
        update.remove_all(book_items.ATTEMPT)
        marked_from = update.name("from_date")
        new = {"S": changes.from_date.isoformat()}
        if known and known["from_date"]["S"] <= new["S"]:
            return self._updated(mark, update, f"{marked_from} <= {update.value(new)}")
        update.set_all({"from_date": new})
        return self._updated(mark, update, f"attribute_not_exists(id) OR {marked_from} >= {update.value(new)}")

    def _put(self, item: Item, kept: Item | None) -> Any:
        condition = Expression()
        holds = condition.equal(book_items.STAMP, kept[book_items.STAMP]) if kept else "attribute_not_exists(id)"
        named = {"TableName": self._table, "Item": item, "ConditionExpression": holds}
        return {"Put": {**named, **condition.arguments()}}

    def _updated(self, at: Item, update: Update, condition: str) -> Any:
        return {"Update": {"TableName": self._table, "Key": at, "ConditionExpression": condition, **update.arguments()}}

    def _found(self, keys: Sequence[Item], entity: Item) -> dict[tuple[str, str], Item]:
        """Return what there is of `keys`, by partition and sort key; a StoreError where `entity` is not."""
        found = {_at(item): item for item in self._get(keys)}
        if _at(entity) not in found:
            entity_id, entity_type = _at(entity)
            raise StoreError(f"the {entity_type} {entity_id} is not in the books")
        return found

    def _get(self, keys: Iterable[Item]) -> Iterator[Item]:
        return get_items(self._client, self._table, list(keys), sleep=self._sleep)

    def _query(self, condition: str, values: Mapping[str, str], **options: Any) -> Iterator[Item]:
        """Yield items of one partition: of the table consistently, unless `options` name an index."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={name: {"S": value} for name, value in values.items()},
            **(options or {"ConsistentRead": True}),
        )
        return _items(pages)

    def _indexed(self, index: str, value: str, entity_type: BookEntityType) -> list[Entity]:
        """Return the entities of one type under a key of an index, by id: the index itself keeps no order of them."""
        condition = f"{INDEXED[index]} = :value AND entity_type = :type"
        items = self._query(condition, {":value": value, ":type": entity_type.value}, IndexName=index)
        return sorted(map(book_items.entity, items), key=lambda each: each.entity_id)


def _items(pages: Iterable[Any]) -> Iterator[Item]:
    with typed_errors("DynamoDB"):
        for page in pages:
            yield from page["Items"]


def _at(item: Item) -> tuple[str, str]:
    return item["id"]["S"], item["entity_type"]["S"]


def _fresh() -> Item:
    return {"S": uuid4().hex}


def _grouped(each: Sequence[Each], size: int) -> Iterator[Sequence[Each]]:
    for first in range(0, len(each), size):
        yield each[first : first + size]


@kept
def entity_store(settings: BooksSettings, patience: Patience = PATIENCE) -> DynamoDBEntities:
    """Return the entity table of these settings; a warm function keeps it."""
    return DynamoDBEntities(aws_client("dynamodb", settings.dynamodb_endpoint, patience), settings.table)
