"""A cache in memory in front of a shared one: read once, calculated once, and never the reason of a failure."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from common.cache import CalculationCache
from common.errors import InvalidPortfolioError, StoreError, ThrottledError, TransientError
from common.json_types import JsonObject
from common.observability import logger
from common.stores.layered_cache import PAUSE_SECONDS, SharedCalculationCache
from common.stores.memory_cache import InMemoryResultCache
from common.stores.ports import CacheStatistics

TTL = 3600
PATIENCE = 20.0
RESULT: JsonObject = {"periods": {"1Y": {"twr": 0.0842}}, "warnings": []}
KEY = "portfolio-123"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Recording:
    """A shared cache that keeps what it is asked, and fails where it is told to."""

    def __init__(self) -> None:
        self.inner = InMemoryResultCache(TTL)
        self.asked: list[str] = []
        self.failures: dict[str, Exception] = {}

    def get(self, key: str) -> JsonObject | None:
        self._ask("get")
        return self.inner.get(key)

    def put(self, key: str, value: JsonObject) -> None:
        self._ask("put")
        self.inner.put(key, value)

    def clear(self) -> int:
        return self.inner.clear()

    def statistics(self) -> CacheStatistics:
        return self.inner.statistics()

    def _ask(self, operation: str) -> None:
        self.asked.append(operation)
        if operation in self.failures:
            raise self.failures[operation]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared() -> Recording:
    return Recording()


@pytest.fixture
def local(clock: Clock) -> CalculationCache[str, JsonObject]:
    return CalculationCache(TTL, clock=clock)


@pytest.fixture
def cache(local: CalculationCache[str, JsonObject], shared: Recording, clock: Clock) -> SharedCalculationCache:
    return SharedCalculationCache(local, shared, clock=clock)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(logger(), "warning", lambda message, *, extra: found.append({"message": message, **extra}))
    return found


def result() -> JsonObject:
    return {"periods": {"1Y": {"twr": 0.0842}}, "warnings": []}


def refuse() -> JsonObject:
    raise AssertionError("computed what is in a cache")


def another_function(shared: Recording | None) -> SharedCalculationCache:
    return SharedCalculationCache(CalculationCache(TTL), shared)


def test_a_result_is_computed_once_for_all_functions(cache: SharedCalculationCache, shared: Recording) -> None:
    assert cache.get_or_compute(KEY, result) == (RESULT, False)
    assert cache.get_or_compute(KEY, refuse) == (RESULT, True)
    assert shared.asked == ["get", "put"]
    other = another_function(shared)
    assert other.get_or_compute(KEY, refuse) == (RESULT, True)
    assert other.get_or_compute(KEY, refuse) == (RESULT, True)
    assert shared.asked == ["get", "put", "get"]


def test_without_a_shared_cache_the_local_one_is_enough() -> None:
    cache = another_function(None)
    assert cache.get_or_compute(KEY, result) == (RESULT, False)
    assert cache.get_or_compute(KEY, refuse) == (RESULT, True)


def test_with_both_switched_off_everything_is_computed() -> None:
    cache = SharedCalculationCache(CalculationCache(0, max_entries=0), None)
    assert cache.get_or_compute(KEY, result) == (RESULT, False)
    assert cache.get_or_compute(KEY, result) == (RESULT, False)


def test_what_a_caller_does_to_a_result_stays_with_him(cache: SharedCalculationCache) -> None:
    computed, _ = cache.get_or_compute(KEY, result)
    computed["periods"]["1Y"]["twr"] = 99.0
    read, _ = cache.get_or_compute(KEY, refuse)
    assert read == RESULT
    read["warnings"].append("no")
    assert cache.get_or_compute(KEY, refuse) == (RESULT, True)


def test_a_computation_that_fails_fails_for_its_callers_and_is_not_kept(
    cache: SharedCalculationCache, shared: Recording, warnings: list[dict[str, Any]]
) -> None:
    for error in (InvalidPortfolioError("no valuations"), ThrottledError("prices"), StoreError("prices")):

        def fail(error: Exception = error) -> JsonObject:
            raise error

        with pytest.raises(type(error)) as caught:
            cache.get_or_compute(KEY, fail)
        assert caught.value is error
    assert shared.asked == ["get"] * 3
    assert warnings == []
    assert cache.get_or_compute(KEY, result) == (RESULT, False)


FAILURES = [ThrottledError("slower"), TransientError("no answer"), StoreError("may not")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("operation", ["get", "put"])
def test_a_shared_cache_that_fails_is_done_without(
    cache: SharedCalculationCache,
    shared: Recording,
    warnings: list[dict[str, Any]],
    operation: str,
    error: Exception,
) -> None:
    shared.failures[operation] = error
    assert cache.get_or_compute(KEY, result) == (RESULT, False)
    assert cache.get_or_compute(KEY, refuse) == (RESULT, True)
    assert warnings == [
        {
            "message": "SharedCalculationCache",
            "operation": operation,
            "error": type(error).__name__,
            "reason": str(error),
            "paused_seconds": PAUSE_SECONDS,
        }
    ]


def test_a_shared_cache_that_failed_is_left_alone_for_a_while(
    cache: SharedCalculationCache, shared: Recording, clock: Clock, warnings: list[dict[str, Any]]
) -> None:
    shared.failures["get"] = TransientError("no answer")
    for index in range(10):
        assert cache.get_or_compute(f"{KEY}-{index}", result) == (RESULT, False)
    assert shared.asked == ["get"]
    assert len(warnings) == 1

    clock.now += PAUSE_SECONDS
    assert cache.get_or_compute("still down", result) == (RESULT, False)
    assert shared.asked == ["get", "get"]

    clock.now += PAUSE_SECONDS
    shared.failures.clear()
    assert cache.get_or_compute("up again", result) == (RESULT, False)
    assert shared.asked == ["get", "get", "get", "put"]
    assert shared.inner.get("up again") == RESULT
    assert len(warnings) == 2


def test_what_cannot_be_kept_is_returned_all_the_same(
    cache: SharedCalculationCache, warnings: list[dict[str, Any]]
) -> None:
    value, read = cache.get_or_compute(KEY, lambda: {"days": {1, 2}})
    assert (value, read) == ({"days": {1, 2}}, False)
    assert [each["error"] for each in warnings] == ["StoreError"]


def test_those_who_wait_for_a_result_do_not_wait_until_it_is_shared(
    local: CalculationCache[str, JsonObject], clock: Clock
) -> None:
    putting, go_on = Event(), Event()

    class Slow(Recording):
        def put(self, key: str, value: JsonObject) -> None:
            putting.set()
            assert go_on.wait(PATIENCE)
            super().put(key, value)

    shared = Slow()
    cache = SharedCalculationCache(local, shared, clock=clock)
    with ThreadPoolExecutor(max_workers=1) as thread:
        first = thread.submit(cache.get_or_compute, KEY, result)
        try:
            assert putting.wait(PATIENCE)
            assert cache.get_or_compute(KEY, refuse) == (RESULT, True)
        finally:
            go_on.set()
        assert first.result(PATIENCE) == (RESULT, False)
    assert shared.inner.get(KEY) == RESULT


def test_of_many_who_ask_at_once_one_has_computed(
    local: CalculationCache[str, JsonObject], shared: Recording, cache: SharedCalculationCache
) -> None:
    begun, outcome = Event(), Future[JsonObject]()

    def compute() -> JsonObject:
        begun.set()
        return outcome.result(PATIENCE)

    ask: Callable[[], tuple[JsonObject, bool]] = lambda: cache.get_or_compute(KEY, compute)  # noqa: E731 - for its type
    with ThreadPoolExecutor(max_workers=4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        assert begun.wait(PATIENCE)
        outcome.set_result(result())
        found = [each.result(PATIENCE) for each in asking]
    assert sorted(read for _, read in found) == [False, True, True, True]
    assert all(value == RESULT for value, _ in found)
    assert shared.asked == ["get", "put"]
    counts = local.statistics()
    assert (counts.misses, counts.hits + counts.waits) == (1, 3)
