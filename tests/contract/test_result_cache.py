"""One suite for every `ResultCache`: the fake, DynamoDB on moto, DynamoDB on ExtendDB."""

import json
import random
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from common.config import CacheSettings
from common.errors import StoreError, ThrottledError, TransientError
from common.stores.dynamodb_cache import (
    CACHE_TABLE,
    CACHE_TIME_TO_LIVE,
    DynamoDBResultCache,
    fits,
    pack,
    result_cache,
    unpack,
)
from common.stores.dynamodb_items import MAX_ITEM_BYTES
from common.stores.memory_cache import InMemoryResultCache
from common.stores.ports import CacheStatistics, ResultCache
from tests.contract.rows import period, row
from tests.contract.tables import extenddb_table, moto_table

TABLE = "calculation-cache"
TTL = 7 * 24 * 3600
KEY = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PERIODS = ("MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "ITD")
RESULT: dict[str, Any] = row(periods={label: period(mwr=0.1 + 0.2) for label in PERIODS}).model_dump(
    mode="json", by_alias=True
)


class Clock:
    """Begins in the present, as the service may remove what has expired by its own clock."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "moto", "extenddb"])
def cache(request: pytest.FixtureRequest, clock: Clock) -> ResultCache:
    if request.param == "memory":
        return InMemoryResultCache(TTL, clock=clock)
    return DynamoDBResultCache(request.getfixturevalue(f"{request.param}_client"), TABLE, TTL, clock=clock)


@pytest.fixture
def moto_client(credentials: None) -> Iterator[Any]:
    with moto_table(TABLE, CACHE_TABLE) as made:
        made.update_time_to_live(TableName=TABLE, TimeToLiveSpecification=CACHE_TIME_TO_LIVE)
        yield made


@pytest.fixture
def extenddb_client(extenddb: str, credentials: None) -> Iterator[Any]:
    with extenddb_table(extenddb, TABLE, CACHE_TABLE) as made:
        made.update_time_to_live(TableName=TABLE, TimeToLiveSpecification=CACHE_TIME_TO_LIVE)
        yield made


@pytest.fixture
def dynamodb_cache(moto_client: Any, clock: Clock) -> DynamoDBResultCache:
    return DynamoDBResultCache(moto_client, TABLE, TTL, clock=clock)


def test_a_result_reads_back_as_it_was(cache: ResultCache) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, RESULT)
    assert cache.get(KEY) == RESULT
    assert cache.get("another") is None


def test_what_is_read_is_the_readers_own(cache: ResultCache) -> None:
    given = json.loads(json.dumps(RESULT))
    cache.put(KEY, given)
    given["periods"].clear()
    found = cache.get(KEY)
    assert found == RESULT
    found["periods"].clear()
    assert cache.get(KEY) == RESULT


def test_a_result_is_gone_when_its_time_has_passed(cache: ResultCache, clock: Clock) -> None:
    cache.put(KEY, RESULT)
    clock.now += TTL - 1
    assert cache.get(KEY) == RESULT
    clock.now += 1
    assert cache.get(KEY) is None


def test_the_last_result_put_is_kept_and_its_time_begins_anew(cache: ResultCache, clock: Clock) -> None:
    cache.put(KEY, {"twr": 0.1})
    clock.now += TTL - 1
    cache.put(KEY, {"twr": 0.2})
    clock.now += TTL - 1
    assert cache.get(KEY) == {"twr": 0.2}
    assert cache.statistics().entries == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_what_is_not_json_is_refused(cache: ResultCache, value: object) -> None:
    with pytest.raises(StoreError, match="not JSON"):
        cache.put(KEY, {"periods": {"1Y": {"twr": value}}})
    assert cache.get(KEY) is None


def test_what_is_too_large_for_an_item_is_not_kept(cache: ResultCache) -> None:
    noise = random.Random(1).randbytes(400_000).hex()
    cache.put(KEY, {"noise": noise})
    assert cache.get(KEY) is None
    cache.put(KEY, {"zeros": "0" * len(noise)})
    assert cache.get(KEY) == {"zeros": "0" * len(noise)}


def test_an_item_as_large_as_can_be_is_kept(extenddb_client: Any) -> None:
    # ExtendDB alone: moto measures binary attributes by their base64.
    cache = DynamoDBResultCache(extenddb_client, TABLE, TTL)
    value = {"noise": random.Random(2).randbytes(360_000).hex()}
    while not fits(KEY, pack(value)):
        value["noise"] = value["noise"][:-2_000]
    assert len(pack(value)) > MAX_ITEM_BYTES - 4_000
    cache.put(KEY, value)
    assert cache.get(KEY) == value


def test_clear_removes_everything_and_tells_how_much_that_was(cache: ResultCache, clock: Clock) -> None:
    assert cache.clear() == 0
    for index in range(60):
        cache.put(f"{KEY}{index}", {"index": index})
    clock.now += TTL  # what has expired is removed, too
    cache.put(KEY, RESULT)
    assert cache.clear() == 61
    assert cache.get(KEY) is None
    assert cache.statistics() == CacheStatistics(0, 0, 0, None, None)
    cache.put(KEY, RESULT)
    assert cache.get(KEY) == RESULT


def test_statistics_tell_what_is_in_it(cache: ResultCache, clock: Clock) -> None:
    begun = clock.moment
    cache.put("old", RESULT)
    clock.now += 60
    cache.put("older than it looks", {"twr": 0.1})
    clock.now += TTL - 60
    cache.put("new", RESULT)
    found = cache.statistics()
    assert found == CacheStatistics(
        entries=3,
        expired=1,
        bytes=2 * len(pack(RESULT)) + len(pack({"twr": 0.1})),
        oldest=begun,
        newest=begun + timedelta(seconds=TTL),
    )


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
            max_leaves=12,
        ),
        max_size=4,
    )
)
def test_any_json_reads_back_as_it_was(value: dict[str, Any]) -> None:
    found = unpack(pack(value))
    assert found == value
    assert repr(found) == repr(value)  # 1 and 1.0, 0.0 and -0.0, the order of names


def test_a_result_of_eight_periods_takes_one_read_unit() -> None:
    generator = random.Random(3)
    metrics = [name for name, value in RESULT["periods"]["1Y"].items() if value is None]
    periods = {
        label: {**RESULT["periods"][label], **{name: generator.gauss(0.0, 1.0) for name in metrics}, "undefined": {}}
        for label in PERIODS
    }
    assert len(json.dumps({**RESULT, "periods": periods})) > 5_000
    assert len(pack({**RESULT, "periods": periods})) + 400 < 4096


def test_a_get_is_eventually_consistent(moto_client: Any, dynamodb_cache: DynamoDBResultCache) -> None:
    asked: list[dict[str, Any]] = []
    moto_client.meta.events.register("provide-client-params.dynamodb.GetItem", lambda params, **_: asked.append(params))
    dynamodb_cache.get(KEY)
    assert [each["ConsistentRead"] for each in asked] == [False]


def test_an_item_tells_the_service_when_to_remove_it(
    moto_client: Any, dynamodb_cache: DynamoDBResultCache, clock: Clock
) -> None:
    clock.now += 0.75
    dynamodb_cache.put(KEY, RESULT)
    item = moto_client.get_item(TableName=TABLE, Key={"id": {"S": KEY}})["Item"]
    assert int(item[CACHE_TIME_TO_LIVE["AttributeName"]]["N"]) == int(clock.now) + TTL
    assert datetime.fromisoformat(item["created_at"]["S"]) == clock.moment
    assert item["result"]["B"] == pack(RESULT)


GOOD = pack({"twr": 0.1})
LATER = {"N": "99999999999"}


BROKEN: list[dict[str, Any]] = [
    {},
    {"expires_at": LATER},
    {"result": {"B": GOOD}},
    {"result": {"B": GOOD}, "expires_at": {"S": "99999999999"}},
    {"result": {"B": GOOD}, "expires_at": {"N": "-5"}},
    {"result": {"S": '{"twr": 0.1}'}, "expires_at": LATER},
    {"result": {"B": b'{"twr": 0.1}'}, "expires_at": LATER},
    {"result": {"B": GOOD[:-3]}, "expires_at": LATER},
    {"result": {"B": zlib.compress(b"\xff")}, "expires_at": LATER},
    {"result": {"B": zlib.compress(b'{"twr": ')}, "expires_at": LATER},
    {"result": {"B": zlib.compress(b'{"twr": NaN}')}, "expires_at": LATER},
    {"result": {"B": zlib.compress(b"[0.1]")}, "expires_at": LATER},
    {"result": {"B": zlib.compress(b"[" * 100_000)}, "expires_at": LATER},
]


def test_what_a_broken_writer_left_counts_as_absent(moto_client: Any, dynamodb_cache: DynamoDBResultCache) -> None:
    for index, attributes in enumerate(BROKEN):
        item = {"id": {"S": str(index)}, "created_at": {"S": "yesterday"}, **attributes}
        moto_client.put_item(TableName=TABLE, Item=item)
    assert [attributes for index, attributes in enumerate(BROKEN) if dynamodb_cache.get(str(index))] == []
    found = dynamodb_cache.statistics()
    assert (found.entries, found.bytes, found.oldest, found.newest) == (len(BROKEN), 0, None, None)
    dynamodb_cache.put("0", RESULT)
    assert dynamodb_cache.get("0") == RESULT
    assert dynamodb_cache.clear() == len(BROKEN)


def test_a_table_of_many_pages(moto_client: Any, dynamodb_cache: DynamoDBResultCache) -> None:
    for index in range(12):
        dynamodb_cache.put(str(index), {"noise": random.Random(index).randbytes(100_000).hex()})
    pages: list[int] = []
    moto_client.meta.events.register("after-call.dynamodb.Scan", lambda parsed, **_: pages.append(len(parsed["Items"])))
    assert dynamodb_cache.statistics().entries == 12
    assert len(pages) > 1
    assert dynamodb_cache.clear() == 12
    assert dynamodb_cache.statistics().entries == 0


def _refusal(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # as much of it as is read
        "injected",
    )


CALLS: dict[str, Callable[[ResultCache], object]] = {
    "GetItem": lambda cache: cache.get(KEY),
    "PutItem": lambda cache: cache.put(KEY, RESULT),
    "Scan": lambda cache: cache.statistics(),
    "BatchWriteItem": lambda cache: cache.clear(),
}


ERRORS: list[tuple[Exception, type[Exception]]] = [
    (_refusal("ThrottlingException"), ThrottledError),
    (_refusal("ProvisionedThroughputExceededException"), ThrottledError),
    (_refusal("InternalServerError", 500), TransientError),
    (ConnectTimeoutError(endpoint_url="https://dynamodb"), TransientError),
    (ReadTimeoutError(endpoint_url="https://dynamodb"), TransientError),
    (_refusal("ResourceNotFoundException"), StoreError),
    (_refusal("AccessDeniedException"), StoreError),
]


@pytest.mark.parametrize("operation", CALLS)
def test_errors_are_typed(moto_client: Any, dynamodb_cache: DynamoDBResultCache, operation: str) -> None:
    dynamodb_cache.put(KEY, RESULT)
    injected: list[Exception] = []

    def fail(**_: Any) -> None:
        raise injected.pop()

    moto_client.meta.events.register(f"before-call.dynamodb.{operation}", fail)
    for error, expected in ERRORS:
        injected.append(error)
        with pytest.raises(expected) as caught:
            CALLS[operation](dynamodb_cache)
        assert type(caught.value) is expected, error


def test_deletions_left_unprocessed_are_asked_for_again(moto_client: Any, clock: Clock) -> None:
    waits: list[float] = []
    cache = DynamoDBResultCache(moto_client, TABLE, TTL, clock=clock, sleep=waits.append)
    for index in range(20):
        cache.put(str(index), RESULT)
    real = moto_client.batch_write_item

    def half(**arguments: Any) -> Any:
        asked = arguments["RequestItems"][TABLE]
        now, later = asked[: (len(asked) + 1) // 2], asked[(len(asked) + 1) // 2 :]
        answer = real(RequestItems={TABLE: now})
        return {**answer, "UnprocessedItems": {TABLE: later} if later else {}}

    moto_client.batch_write_item = half
    assert cache.clear() == 20
    assert cache.statistics().entries == 0
    assert len(waits) == 4  # 20, 10, 5, 2, 1

    moto_client.batch_write_item = lambda **arguments: {"UnprocessedItems": arguments["RequestItems"]}
    cache.put(KEY, RESULT)
    waits.clear()
    with pytest.raises(ThrottledError, match="1 deletions still unprocessed after 8 attempts"):
        cache.clear()
    assert len(waits) == 7
    assert all(0 <= wait <= 2.0 for wait in waits)
    assert cache.get(KEY) == RESULT


def test_the_cache_of_the_settings(moto_client: Any) -> None:
    def settings(**more: str) -> CacheSettings:
        return CacheSettings.from_env({"CACHE_TABLE": TABLE, **more})

    result_cache.cache_clear()
    cache = result_cache(settings())
    assert cache is not None
    assert cache is result_cache(settings())
    cache.put(KEY, RESULT)
    assert cache.get(KEY) == RESULT
    assert result_cache(settings(CACHE_TTL_SECONDS="60")) is not cache
    assert result_cache(settings(CACHE_TTL_SECONDS="0")) is None
    result_cache.cache_clear()


def test_a_cache_that_does_not_answer_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(boto3, "client", lambda *_, **arguments: made.append(arguments))
    result_cache.cache_clear()
    result_cache(CacheSettings.from_env({"CACHE_TABLE": TABLE, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}))
    result_cache.cache_clear()
    (arguments,) = made
    config = arguments["config"]
    assert arguments["endpoint_url"] == "http://127.0.0.1:1"
    assert (config.connect_timeout + config.read_timeout) * config.retries["total_max_attempts"] <= 4
