"""The items of the entity table, and the models they stand for. docs/data-model.md has them in one table."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from secrets import randbits
from typing import Any

from common.models.books import BookEntityType, Entity, EntityKey, Mark, SeriesKind, StoredEntity, Transaction
from common.models.entity_table import ENTITY_ATTRIBUTES, INDEXED, NOBODY, mark_partition, projected
from common.stores.dynamodb_items import Item
from common.stores.series_chunks import Chunk


def _index(name: str) -> dict[str, Any]:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": INDEXED[name], "KeyType": "HASH"},
            {"AttributeName": "entity_type", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(projected(name))},
    }


ENTITY_TABLE: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "id", "KeyType": "HASH"},
        {"AttributeName": "entity_type", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"} for name in ("id", "entity_type", *INDEXED.values())
    ],
    "GlobalSecondaryIndexes": [_index(name) for name in INDEXED],
    "BillingMode": "PAY_PER_REQUEST",
}
"""The table, but for its name."""

ATTEMPT = ("executions", "attempts")
# An id has no `#`: no transaction can be named so that its item is another's.
TRANSACTION = "transaction#"
STAMP, STAMPS = "stamp", "stamps"
STAMP_BITS = 48

TRANSACTION_ATTRIBUTES = ("type", "trade_date", "amount", "quantity", "security_id", "counterparty_id")


# An entity's own item and the series and transactions that belong to it, in order of their keys.
RANGES: dict[BookEntityType, tuple[str, str]] = {
    BookEntityType.PORTFOLIO: (BookEntityType.PORTFOLIO, f"{SeriesKind.VALUATION}#9999"),
    BookEntityType.SECURITY: (f"{SeriesKind.PRICE}#", BookEntityType.SECURITY),
    BookEntityType.BENCHMARK: (BookEntityType.BENCHMARK, f"{SeriesKind.LEVEL}#9999"),
}


def key(partition: str, sort: str) -> Item:
    """Return the key of an item."""
    return {"id": {"S": partition}, "entity_type": {"S": sort}}


def sort_key(item: Item) -> str:
    """Return what tells an item from the others of its partition."""
    return str(item["entity_type"]["S"])


def stamped(item: Item) -> Item:
    """Return an item of an entity's data with a stamp of its own: a random number, another with each write."""
    return {**item, STAMP: {"N": str(randbits(STAMP_BITS))}}


def stamps(items: Iterable[Item]) -> int:
    """Return the sum of the stamps of items."""
    return sum(int(item[STAMP]["N"]) for item in items)


def entity_key(asked: EntityKey) -> Item:
    """Return the key of an entity."""
    return key(asked.entity_id, asked.entity_type.value)


def entity_attributes(entity: Entity) -> Item:
    """Return what an entity says, but for its key; nobody's is indexed, too."""
    given = entity.model_dump(mode="json", include=set(ENTITY_ATTRIBUTES), exclude_none=True)
    return {name: {"S": value} for name, value in {"client_id": NOBODY, **given}.items()}


def kept_attributes(item: Item) -> Item:
    """Return what an item has of `entity_attributes`: nobody's that was written before it was indexed has no client."""
    return {name: item[name] for name in ENTITY_ATTRIBUTES if name in item}


def entity(item: Item) -> Entity:
    """Return the entity of an item, of the table or of an index."""
    given = {name: value["S"] for name, value in kept_attributes(item).items()}
    if given.get("client_id") == NOBODY:
        del given["client_id"]
    return Entity.model_validate({**given, "entity_type": sort_key(item), "entity_id": item["id"]["S"]})


def stored_entity(item: Item) -> StoredEntity:
    """Return the entity of an item of the table as it is stored."""
    security_ids = frozenset(item.get("security_ids", {}).get("SS", ()))
    return StoredEntity(entity(item), item["revision"]["S"], security_ids)


def transaction_key(portfolio_id: str, transaction_id: str) -> Item:
    """Return the key of a transaction."""
    return key(portfolio_id, f"{TRANSACTION}{transaction_id}")


def transaction_item(transaction: Transaction) -> Item:
    """Return the item of a transaction."""
    item = transaction_key(transaction.portfolio_id, transaction.transaction_id)
    for name in TRANSACTION_ATTRIBUTES:
        match getattr(transaction, name):
            case None:
                pass
            case Decimal() as number:
                # The exponent of a zero says nothing, and can be one that DynamoDB refuses.
                item[name] = {"N": str(number) if number else "0"}
            case date() as day:
                item[name] = {"S": day.isoformat()}
            case text:
                item[name] = {"S": str(text)}
    return item


def stored_transaction(item: Item) -> Transaction:
    """Return the transaction of an item."""
    given: dict[str, Any] = {name: next(iter(item[name].values())) for name in TRANSACTION_ATTRIBUTES if name in item}
    return Transaction.model_validate(
        {
            **given,
            "transaction_id": sort_key(item).removeprefix(TRANSACTION),
            "portfolio_id": item["id"]["S"],
        }
    )


def chunk_item(kind: SeriesKind, entity_id: str, chunk: Chunk) -> Item:
    """Return the item of a year of a series."""
    return {**chunk_key(kind, entity_id, chunk.year), "days": {"B": chunk.data}}


def chunk_key(kind: SeriesKind, entity_id: str, year: int) -> Item:
    """Return the key of a year of a series."""
    return key(entity_id, f"{kind}#{year:04d}")


def stored_chunk(item: Item) -> Chunk:
    """Return the chunk of an item."""
    return Chunk(int(sort_key(item).rpartition("#")[2]), item["days"]["B"])


def mark_key(portfolio_id: str) -> Item:
    """Return the key of a portfolio's mark."""
    return key(mark_partition(portfolio_id), portfolio_id)


def attempt(executions: Sequence[str], attempts: int) -> Item:
    """Return the attributes by which a mark tells of an attempt at it."""
    return {"executions": {"L": [{"S": name} for name in executions]}, "attempts": {"N": str(attempts)}}


def stored_mark(item: Item) -> Mark:
    """Return the mark of an item."""
    return Mark(
        sort_key(item),
        date.fromisoformat(item["from_date"]["S"]),
        item["token"]["S"],
        datetime.fromisoformat(item["marked_at"]["S"]),
        tuple(each["S"] for each in item.get("executions", {"L": []})["L"]),
        int(item.get("attempts", {"N": "0"})["N"]),
    )
