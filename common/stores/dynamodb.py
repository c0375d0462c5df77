"""`ResultStore` on DynamoDB: the specification's Performance Metrics table."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.calculations import Reason
from common.config import ResultStoreSettings
from common.errors import StoreError
from common.models.results import EntityType, PeriodResult, ResultRow, Run
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.stores.dynamodb_items import MAX_ITEM_BYTES, PATIENCE, Item, Update, get_items
from common.stores.ports import JsonObject, ResultKey, WriteReport
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

FIRST_PERIOD_METRICS = ("twr", "mwr", "volatility", "sharpe_ratio", "max_drawdown")
"""Metrics of the first period that stand at the top level of an item too."""

OPTIONAL_ATTRIBUTES = (*FIRST_PERIOD_METRICS, "benchmark_id", "currency", "client_id", "account_id")

WRITERS = 8
# A number has 38 digits, which a float64 never needs, and lies between 1E-130 and 9.99E+125.
SMALLEST_NUMBER, LARGEST_NUMBER = 1e-130, 9.9e125


class DynamoDBResultStore:
    """Rows by entity and calculation date.

    A row is written by up to three conditional updates: one that makes it; where it is there, one that merges the
    periods into it, unless a later execution has written it; then one for each period that is missing there, or
    older. So whatever order executions end in, each period is that of the latest one that calculated it.

    Parameters
    ----------
    client
        A boto3 client of DynamoDB.
    table
        Name of the table.
    sleep
        Waits between attempts at what BatchGetItem left unprocessed.
    """

    def __init__(self, client: "DynamoDBClient", table: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    def write(self, rows: Sequence[ResultRow], run: Run) -> WriteReport:
        """Write `rows`, merging with what is there."""
        with ThreadPoolExecutor(max_workers=WRITERS) as writers:
            written = list(writers.map(lambda row: self._write(row, run), rows))
        return WriteReport(written.count(True), written.count(False))

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

    def _write(self, row: ResultRow, run: Run) -> bool:
        """Write one row; tell whether anything of it was written."""
        item = _item(row, run)
        if (size := len(json.dumps(item))) > MAX_ITEM_BYTES:
            raise StoreError(f"the row of {row.entity_id} has {size} bytes; DynamoDB takes {MAX_ITEM_BYTES}")
        key = {name: item.pop(name) for name in ("id", "calculation_date")}
        periods: dict[str, Item] = item.pop("periods")["M"]
        now = item["updated_at"]
        missing = [name for name in OPTIONAL_ATTRIBUTES if name not in item]

        create = Update()
        create.set_all({**item, "created_at": now, "periods": {"M": periods}})
        if self._update(key, create, "attribute_not_exists(id)"):
            return True

        merge = Update()
        merge.set_all(item)
        merge.remove_all(missing)
        for label, period in periods.items():
            _set_period(merge, label, period)
        if self._update(key, merge, f"{merge.name('version')} <= {merge.value(item['version'])}"):
            return True

        written = [self._write_period(key, label, period, item["version"]) for label, period in periods.items()]
        return any(written)

    def _write_period(self, key: Item, label: str, period: Item, version: Item) -> bool:
        """Write a period into a row of a later execution, unless that one calculated it too."""
        update = Update()
        path = _set_period(update, label, period)
        return self._update(
            key,
            update,
            f"attribute_not_exists({path}) OR {path}.{update.name('version')} <= {update.value(version)}",
        )

    def _update(self, key: Item, update: Update, condition: str) -> bool:
        """Update an item; tell whether `condition` held."""
        with typed_errors("DynamoDB"):
            try:
                self._client.update_item(
                    TableName=self._table, Key=key, ConditionExpression=condition, **update.arguments()
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    return False
                raise
        return True


def _set_period(update: Update, label: str, period: Item) -> str:
    """Set a period of a row; return its path."""
    path = f"{update.name('periods')}.{update.name(label)}"
    update.set_path(path, period)
    return path


def partition(entity_type: EntityType, entity_id: str) -> str:
    """Return the partition key of an entity."""
    return f"{entity_type}#{entity_id}"


def stored_row(row: ResultRow, run: Run) -> JsonObject:
    """Return the row as it is stored and read back, but for `created_at`: plain JSON values.

    A number outside DynamoDB's range is stored as what it is worth there: one too small as 0, one too large as
    undefined, with the reason `out_of_range`.
    """
    periods = {label: _stored_period(period, row, run) for label, period in row.periods.items()}
    label, first = next(iter(periods.items()))
    top = {name: first[name] for name in FIRST_PERIOD_METRICS if first[name] is not None}
    return {
        "id": partition(row.entity_type, row.entity_id),
        **row.model_dump(mode="json", exclude={"periods", "asked"}, exclude_none=True),
        "time_period": label,
        **top,
        "periods": periods,
        "version": run.version,
        "updated_at": timestamp(run.started_at),
    }


def _stored_period(period: PeriodResult, row: ResultRow, run: Run) -> JsonObject:
    """Return a period with its provenance: those beside it may come from other requests."""
    found = period.model_dump(mode="json", by_alias=True)
    for name, value in found.items():
        if isinstance(value, float):
            if abs(value) > LARGEST_NUMBER:
                found[name] = None
                found["undefined"] = {**found["undefined"], name: Reason.OUT_OF_RANGE.value}
            elif abs(value) < SMALLEST_NUMBER:
                found[name] = 0.0
    return {
        **found,
        "calculation_method": row.calculation_method.value,
        "flow_timing": row.flow_timing.value,
        "periods_per_year": row.periods_per_year,
        "request_id": row.request_id,
        "asked": row.asked.model_dump(mode="json") if row.asked else None,
        "version": run.version,
    }


def timestamp(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
