"""`ResultCache` on DynamoDB: a table whose items the service removes when their time has come."""

import json
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from common.config import CacheSettings
from common.errors import StoreError, ThrottledError
from common.json_text import timestamp
from common.json_types import JsonObject
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.stores.dynamodb_items import ATTEMPTS, FIRST_WAIT, LONGEST_WAIT, MAX_ITEM_BYTES, Item
from common.stores.ports import CacheStatistics
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TimeToLiveSpecificationTypeDef

CACHE_TABLE: dict[str, Any] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
"""The table, but for its name."""

CACHE_TIME_TO_LIVE: "TimeToLiveSpecificationTypeDef" = {"AttributeName": "expires_at", "Enabled": True}
"""Its `TimeToLiveSpecification`."""

BATCH_WRITE_ITEMS = 25  # BatchWriteItem's limit on the requests of a call
FRAME_BYTES = 128  # names of an item's attributes, and its attributes but for key and result

# A result takes some 15 ms to calculate: a cache that does not answer at once is done without.
PATIENCE = Patience(attempts=2, connect_seconds=1, read_seconds=1)


class DynamoDBResultCache:
    """Results as compressed JSON, one item each.

    A result of eight periods has 10.0 kB as JSON and 2.8 kB compressed: one read unit in place of three and three write
    units in place of ten, for 0.06 ms to compress and 0.015 ms to expand.

    Parameters
    ----------
    client
        A boto3 client of DynamoDB.
    table
        Name of the table.
    ttl_seconds
        How long a result is kept. The service removes it within days of that; here it is gone at once.
    clock
        Seconds since 1970.
    sleep
        Waits between attempts at what BatchWriteItem left unprocessed.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        ttl_seconds: int,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table = table
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._sleep = sleep

    def get(self, key: str) -> JsonObject | None:
        """Return what is kept under `key` and has not expired; None for what cannot be read, too."""
        with typed_errors("DynamoDB"):
            # Eventually consistent, at half the price: a result missed is calculated, and there are no wrong ones.
            answer = self._client.get_item(TableName=self._table, Key={"id": {"S": key}}, ConsistentRead=False)
        item: Mapping[str, Any] = answer.get("Item", {})
        if _whole(item, "expires_at") <= self._clock():
            return None
        return unpack(item.get("result", {}).get("B", b""))

    def put(self, key: str, value: JsonObject) -> None:
        """Keep `value` under `key`, unless it is larger than an item can be."""
        body = pack(value)
        if not fits(key, body):
            return
        now = self._clock()
        item: Item = {
            "id": {"S": key},
            "result": {"B": body},
            # A scan tells what the cache holds by this, and leaves the results where they are.
            "result_bytes": {"N": str(len(body))},
            "created_at": {"S": timestamp(datetime.fromtimestamp(now, UTC))},
            "expires_at": {"N": str(int(now) + self._ttl_seconds)},
        }
        with typed_errors("DynamoDB"):
            self._client.put_item(TableName=self._table, Item=item)

    def clear(self) -> int:
        """Remove everything; return how many entries that were."""
        removed = 0
        for page in self._scan("id"):
            keys = [{"id": item["id"]} for item in page]
            for first in range(0, len(keys), BATCH_WRITE_ITEMS):
                removed += self._delete(keys[first : first + BATCH_WRITE_ITEMS])
        return removed

    def statistics(self) -> CacheStatistics:
        """Return what is in it: a scan, which reads the whole table."""
        entries = expired = size = 0
        oldest: datetime | None = None
        newest: datetime | None = None
        now = self._clock()
        for page in self._scan("created_at, expires_at, result_bytes"):
            for item in page:
                entries += 1
                expired += _whole(item, "expires_at") <= now
                size += _whole(item, "result_bytes")
                if (made := _moment(item, "created_at")) is not None:
                    oldest = min(oldest or made, made)
                    newest = max(newest or made, made)
        return CacheStatistics(entries, expired, size, oldest, newest)

    def _scan(self, projection: str) -> Iterator[Sequence[Mapping[str, Any]]]:
        pages = self._client.get_paginator("scan").paginate(TableName=self._table, ProjectionExpression=projection)
        with typed_errors("DynamoDB"):
            for page in pages:
                yield page["Items"]

    def _delete(self, keys: Sequence[Item]) -> int:
        """Delete at most 25 items, asking again for what DynamoDB left unprocessed; return how many."""
        requests: Any = [{"DeleteRequest": {"Key": key}} for key in keys]
        limit = FIRST_WAIT
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(random.uniform(0.0, limit))  # noqa: S311 - jitter is no secret
                limit = min(2 * limit, LONGEST_WAIT)
            with typed_errors("DynamoDB"):
                answer = self._client.batch_write_item(RequestItems={self._table: requests})
            requests = answer.get("UnprocessedItems", {}).get(self._table)
            if not requests:
                return len(keys)
        raise ThrottledError(f"DynamoDB: {len(requests)} deletions still unprocessed after {ATTEMPTS} attempts")


def pack(value: JsonObject) -> bytes:
    """Return `value` as it is kept.

    Raises
    ------
    StoreError
        It is not JSON, or has a number that is not finite.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise StoreError(f"what is to be cached is not JSON: {error}") from error
    return zlib.compress(text.encode())


def unpack(body: bytes) -> JsonObject | None:
    """Return what `pack` made `body` of; None where it did not."""
    try:
        value = json.loads(zlib.decompress(body), parse_constant=_refuse)
    except (zlib.error, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def fits(key: str, body: bytes) -> bool:
    """Tell whether an item can hold `body`."""
    return len(key.encode()) + len(body) + FRAME_BYTES <= MAX_ITEM_BYTES


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _whole(item: Mapping[str, Any], name: str) -> int:
    """Return a whole number; 0 where there is none."""
    text = item.get(name, {}).get("N", "")
    return int(text) if text.isdecimal() else 0


def _moment(item: Mapping[str, Any], name: str) -> datetime | None:
    """Return a moment; None where there is none."""
    try:
        return datetime.fromisoformat(item.get(name, {}).get("S", "")).astimezone(UTC)
    except ValueError:
        return None


@kept
def result_cache(settings: CacheSettings) -> DynamoDBResultCache | None:
    """Return the cache of these settings, None where it is switched off; a warm function keeps it."""
    if settings.ttl_seconds == 0:
        return None
    client = aws_client("dynamodb", settings.dynamodb_endpoint, PATIENCE)
    return DynamoDBResultCache(client, settings.table, settings.ttl_seconds)
