"""`ResultStore` on DynamoDB: the specification's Performance Metrics table."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.config import ResultStoreSettings
from common.errors import TransientError
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.models.results import ResultRow, Run
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.stores.dynamodb_items import (
    PATIENCE,
    ContendedError,
    Item,
    ItemTooLargeError,
    RefusedItemError,
    Update,
    get_items,
    refusal_of,
    until_uncontended,
    update_if,
)
from common.stores.ports import RefusedRow, ResultKey, WriteReport
from common.stores.result_rows import FIRST_PERIOD_METRICS, given_up, partition, stored_row
from common.warm import kept

if TYPE_CHECKING:
    from boto3.dynamodb.types import TypeSerializer
    from mypy_boto3_dynamodb import DynamoDBClient

RESULT_TABLE: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "id", "KeyType": "HASH"},
        {"AttributeName": "calculation_date", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "calculation_date", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
"""The table, but for its name."""

OPTIONAL_ATTRIBUTES = (*FIRST_PERIOD_METRICS, "benchmark_id", "currency", "client_id", "account_id")

WRITERS = 8
# What one update gives up of a crowded row: an expression has 4 KB, of which a label takes a dozen bytes.
PERIODS_REMOVED = 100


class DynamoDBResultStore:
    """Rows by entity and calculation date.

    A row is written by up to three conditional updates: one that makes it; where it is there, one that merges the
    periods into it, unless a later execution has written it; then one for each period that is missing there, or
    older. So whatever order executions end in, each period is that of the latest one that calculated it.

    Nothing is read for it. Only where DynamoDB refuses a row for its size is the row looked at: what `given_up` tells
    of it is removed, on condition that no execution has written it meanwhile, and the periods are written once more.

    Parameters
    ----------
    client
        A boto3 client of DynamoDB.
    table
        Name of the table.
    sleep
        Waits between attempts at what BatchGetItem left unprocessed, and at a row that others write too.
    """

    def __init__(self, client: "DynamoDBClient", table: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def write(self, rows: Sequence[ResultRow], run: Run) -> WriteReport:
        """Write `rows`, merging with what is there."""
        with ThreadPoolExecutor(max_workers=WRITERS) as writers:
            written = list(writers.map(lambda row: self._write(row, run), rows))
        refused = tuple(each for each in written if isinstance(each, RefusedRow))
        return WriteReport(written.count(True), written.count(False), refused)

    def read_many(self, keys: Sequence[ResultKey]) -> dict[ResultKey, JsonObject]:
        """Read the stored rows of `keys`; a missing one is absent."""
        asked = {(partition(key.entity_type, key.entity_id), key.calculation_date.isoformat()): key for key in keys}
        wanted = [{"id": {"S": name}, "calculation_date": {"S": day}} for name, day in asked]
        found: dict[ResultKey, JsonObject] = {}
        for item in get_items(self._client, self._table, wanted, sleep=self._sleep):
            row = _plain_item(item)
            found[asked[(row["id"], row["calculation_date"])]] = row
        return found

    def history(
        self, entity_type: EntityType, entity_id: str, *, start: date | None = None, end: date | None = None
    ) -> Iterator[JsonObject]:
        """Yield the stored rows of one entity, oldest first, from `start` to `end` inclusive."""
        first, last = start or date.min, end or date.max
        if first > last:  # DynamoDB refuses a range whose ends are the wrong way round
            return
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="id = :id AND calculation_date BETWEEN :start AND :end",
            ExpressionAttributeValues={
                ":id": {"S": partition(entity_type, entity_id)},
                ":start": {"S": first.isoformat()},
                ":end": {"S": last.isoformat()},
            },
            ConsistentRead=True,
        )
        with typed_errors("DynamoDB"):
            for page in pages:
                yield from map(_plain_item, page["Items"])

    def latest(self, entity_type: EntityType, entity_id: str, *, as_of: date | None = None) -> JsonObject | None:
        """Return the last stored row of one entity on or before `as_of`; None where there is none."""
        with typed_errors("DynamoDB"):
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="id = :id AND calculation_date <= :as_of",
                ExpressionAttributeValues={
                    ":id": {"S": partition(entity_type, entity_id)},
                    ":as_of": {"S": (as_of or date.max).isoformat()},
                },
                ScanIndexForward=False,
                Limit=1,
                ConsistentRead=True,
            )
        return next(map(_plain_item, answer["Items"]), None)

    def _write(self, row: ResultRow, run: Run) -> bool | RefusedRow:
        """Write one row; tell whether anything of it was written, or why DynamoDB does not take it."""
        item = _item(row, run)
        key = {name: item.pop(name) for name in ("id", "calculation_date")}
        periods: dict[str, Item] = item.pop("periods")["M"]
        try:
            if self._create(key, item, periods) is None:
                return True
            try:
                return self._merge(key, item, periods)
            except ItemTooLargeError:
                return until_uncontended(lambda: self._merge_crowded(key, item, periods), sleep=self._sleep)
        except RefusedItemError as refusal:
            return RefusedRow(ResultKey(row.entity_type, row.entity_id, row.calculation_date), f"DynamoDB: {refusal}")

    def _create(self, key: Item, item: Item, periods: dict[str, Item], *, tell: bool = False) -> Item | None:
        """Make a row; where there is one return it if the caller asks to be told it, otherwise nothing of it.

        So whoever writes rows needs no permission to read them.
        """
        create = Update()
        create.set_all({**item, "created_at": item["updated_at"], "periods": {"M": periods}})
        told: Any = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if tell else {}
        return self._update(key, create, "attribute_not_exists(id)", **told)

    def _merge(self, key: Item, item: Item, periods: dict[str, Item]) -> bool:
        """Write periods into a row that is there; tell whether any was written."""
        merge = Update()
        merge.set_all(item)
        merge.remove_all(name for name in OPTIONAL_ATTRIBUTES if name not in item)
        for label, period in periods.items():
            _set_period(merge, label, period)
        if self._update(key, merge, f"{merge.name('version')} <= {merge.value(item['version'])}") is None:
            return True

        written = [self._write_period(key, label, period, item["version"]) for label, period in periods.items()]
        return any(written)

    def _merge_crowded(self, key: Item, item: Item, periods: dict[str, Item]) -> bool:
        """Write periods into a row that has no room for all of them.

        Raises
        ------
        ContendedError
            Another execution has written the row since it was looked at.
        RefusedItemError
            It is too large without those it gives up, too.
        """
        there = self._create(key, item, periods, tell=True)
        if there is None:
            return True
        try:
            return self._merge(key, item, periods)  # somebody may have made room before the row was looked at
        except ItemTooLargeError:
            pass
        own, latest = int(item["version"]["N"]), int(there["version"]["N"])
        surplus = given_up(
            {label: int(period["M"]["version"]["N"]) for label, period in there["periods"]["M"].items()},
            latest=max(own, latest),
        )
        for first in range(0, len(surplus), PERIODS_REMOVED):
            self._remove(key, surplus[first : first + PERIODS_REMOVED], there["version"])
        left_out = given_up(dict.fromkeys(periods, own), latest=max(own, latest))
        try:
            return self._merge(key, item, {label: each for label, each in periods.items() if label not in left_out})
        except ItemTooLargeError as refusal:
            if not surplus:
                raise
            # Somebody may have filled it again: look once more.
            raise ContendedError(TransientError(f"DynamoDB: {refusal}")) from refusal

    def _remove(self, key: Item, labels: Sequence[str], version: Item) -> None:
        """Remove periods of a row that has this version."""
        update = Update()
        update.remove_paths(f"{update.name('periods')}.{update.name(label)}" for label in labels)
        update_if(self._client, self._table, key, update, update.equal("version", version))

    def _write_period(self, key: Item, label: str, period: Item, version: Item) -> bool:
        """Write a period into a row of a later execution, unless that one calculated it too."""
        update = Update()
        path = _set_period(update, label, period)
        condition = f"attribute_not_exists({path}) OR {path}.{update.name('version')} <= {update.value(version)}"
        return self._update(key, update, condition) is None

    def _update(self, key: Item, update: Update, condition: str, **options: Any) -> Item | None:
        """Update an item; return None, or where `condition` did not hold what the call was asked to tell of it.

        Raises
        ------
        RefusedItemError
            DynamoDB does not take what the item would become.
        StoreError, ThrottledError, TransientError
        """
        with typed_errors("DynamoDB"):
            try:
                self._client.update_item(
                    TableName=self._table, Key=key, ConditionExpression=condition, **update.arguments(), **options
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    found: Mapping[str, Any] = error.response
                    return dict(found.get("Item", {}))
                if refusal := refusal_of(error):
                    raise refusal from error
                raise
        return None


def _set_period(update: Update, label: str, period: Item) -> str:
    """Set a period of a row; return its path."""
    path = f"{update.name('periods')}.{update.name(label)}"
    update.set_path(path, period)
    return path


def _item(row: ResultRow, run: Run) -> Item:
    serialize = _serializer().serialize
    return {name: serialize(_decimals(value)) for name, value in stored_row(row, run).items()}


@cache
def _serializer() -> "TypeSerializer":
    from boto3.dynamodb.types import TypeSerializer  # noqa: PLC0415 - imports all of boto3; a client does so anyway

    return TypeSerializer()


def _decimals(value: Any) -> Any:
    """Return `value` with floats as the decimals that read back as the same floats."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: _decimals(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_decimals(each) for each in value]
    return value


_WHOLE = frozenset({"version", "days", "max_price_age_days"})


def _plain_item(item: Mapping[str, Any]) -> JsonObject:
    return {name: _plain(name, value) for name, value in item.items()}


def _plain(name: str, attribute: Mapping[str, Any]) -> Any:
    """Return an attribute value as JSON has it.

    boto3's own deserializer makes decimals of 38 digits and refuses to round; an engine that writes 1E+78 out in full
    is beyond it.
    """
    ((kind, value),) = attribute.items()
    match kind:
        case "N":
            return int(value) if name in _WHOLE else float(value)
        case "M":
            return _plain_item(value)
        case "L":
            return [_plain(name, each) for each in value]
        case "NULL":
            return None
        case _:
            return value


@kept
def result_store(settings: ResultStoreSettings, patience: Patience = PATIENCE) -> DynamoDBResultStore:
    """Return the store of these settings; a warm function keeps it."""
    client = aws_client("dynamodb", settings.dynamodb_endpoint, patience, connections=WRITERS)
    return DynamoDBResultStore(client, settings.table)
