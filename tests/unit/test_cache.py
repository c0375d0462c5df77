"""The cache in memory, and the names of results."""

import compileall
import gc
import json
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib import invalidate_caches
from pathlib import Path
from threading import Barrier, Event, Lock, Semaphore
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from common.cache import CacheCounts, CalculationCache, code_version, fingerprint

TTL = 3600.0
PATIENCE = 20.0  # seconds until a test that hangs has failed


class Clock:
    """Goes when it is told to; reading it tells that a caller has come."""

    def __init__(self) -> None:
        self.now = 0.0
        self._readings = Semaphore(0)

    def __call__(self) -> float:
        self._readings.release()
        return self.now

    def forget_readings(self) -> None:
        while self._readings.acquire(blocking=False):
            pass

    def await_readings(self, count: int) -> None:
        for _ in range(count):
            assert self._readings.acquire(timeout=PATIENCE)


class Computation:
    """A computation that stays under way until it is told how to end."""

    def __init__(self) -> None:
        self.calls = 0
        self._begun = Event()
        self._outcome: Future[str] = Future()

    def __call__(self) -> str:
        self.calls += 1
        self._begun.set()
        return self._outcome.result(PATIENCE)

    def await_begin(self) -> None:
        assert self._begun.wait(PATIENCE)

    def end(self, value: str) -> None:
        self._outcome.set_result(value)

    def fail(self, error: Exception) -> None:
        self._outcome.set_exception(error)


def refuse() -> str:
    raise AssertionError("computed what is in the cache")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> CalculationCache[str, str]:
    return CalculationCache(TTL, max_entries=3, clock=clock)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=8) as pool:
        yield pool


def test_a_value_is_computed_once(cache: CalculationCache[str, str]) -> None:
    assert cache.get_or_compute("portfolio-123", lambda: "first") == "first"
    assert cache.get_or_compute("portfolio-123", refuse) == "first"
    assert cache.statistics() == CacheCounts(1, 1, 0, 0, 0, 0, 1)


def test_none_is_a_value_like_any_other(clock: Clock) -> None:
    cache: CalculationCache[str, str | None] = CalculationCache(TTL, clock=clock)
    assert cache.get_or_compute("a", lambda: None) is None
    assert cache.get_or_compute("a", refuse) is None
    assert cache.get("a", "absent") is None
    assert cache.get("b", "absent") == "absent"


def test_a_value_expires_when_its_time_has_passed_since_it_was_computed(
    cache: CalculationCache[str, str], clock: Clock
) -> None:
    def compute() -> str:
        clock.now = 100.0  # it took that long
        return "old"

    cache.get_or_compute("a", compute)
    clock.now = 100.0 + TTL - 1
    assert cache.get("a") == "old"
    clock.now = 100.0 + TTL
    assert cache.get("a") is None
    assert cache.get_or_compute("a", lambda: "new") == "new"
    assert cache.statistics().expirations == 1


def test_reading_does_not_prolong_a_value(cache: CalculationCache[str, str], clock: Clock) -> None:
    cache.put("a", "value")
    for hour in (0.25, 0.5, 0.75):
        clock.now = hour * TTL
        assert cache.get_or_compute("a", refuse) == "value"
    clock.now = TTL
    assert cache.get("a") is None


def test_the_least_recently_used_makes_room(cache: CalculationCache[str, str]) -> None:
    for key in "abc":
        cache.put(key, key.upper())
    cache.get("a")
    cache.get_or_compute("b", refuse)
    cache.put("d", "D")
    assert [cache.get(key) for key in "abcd"] == ["A", "B", None, "D"]
    assert cache.statistics().evictions == 1


def test_what_has_expired_makes_room_before_what_is_live(cache: CalculationCache[str, str], clock: Clock) -> None:
    cache.put("old", "1")
    clock.now = TTL / 2
    cache.put("a", "2")
    cache.put("b", "3")
    cache.get("old")  # the most recently used
    clock.now = TTL
    cache.put("c", "4")
    assert [cache.get(key) for key in ("old", "a", "b", "c")] == [None, "2", "3", "4"]
    counts = cache.statistics()
    assert (counts.expirations, counts.evictions, counts.entries) == (1, 0, 3)


def test_replacing_a_value_evicts_nothing_and_begins_its_time_anew(
    cache: CalculationCache[str, str], clock: Clock
) -> None:
    for key in "abc":
        cache.put(key, key)
    clock.now = TTL / 2
    cache.put("a", "again")
    clock.now = TTL
    assert [cache.get(key) for key in "abc"] == ["again", None, None]
    assert cache.statistics().evictions == 0


@pytest.mark.parametrize(("ttl_seconds", "max_entries"), [(0.0, 3), (TTL, 0), (0.0, 0)])
def test_a_cache_that_is_switched_off_keeps_nothing(ttl_seconds: float, max_entries: int) -> None:
    cache: CalculationCache[str, str] = CalculationCache(ttl_seconds, max_entries=max_entries)
    cache.put("a", "kept?")
    assert cache.get_or_compute("a", lambda: "computed") == "computed"
    assert cache.get_or_compute("a", lambda: "again") == "again"
    assert cache.statistics() == CacheCounts(0, 2, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("ttl_seconds", "max_entries"), [(-1.0, 1), (float("nan"), 1), (1.0, -1)])
def test_a_cache_that_cannot_be_is_refused(ttl_seconds: float, max_entries: int) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        CalculationCache(ttl_seconds, max_entries=max_entries)


def test_an_exception_is_not_kept(cache: CalculationCache[str, str]) -> None:
    def fail() -> str:
        raise LookupError("no prices")

    for _ in range(2):
        with pytest.raises(LookupError, match="no prices"):
            cache.get_or_compute("a", fail)
    assert cache.get_or_compute("a", lambda: "value") == "value"
    assert cache.statistics() == CacheCounts(0, 3, 0, 0, 0, 2, 1)


def test_one_computes_and_the_others_wait(
    cache: CalculationCache[str, str], clock: Clock, threads: ThreadPoolExecutor
) -> None:
    computation = Computation()
    leader = threads.submit(cache.get_or_compute, "a", computation)
    computation.await_begin()
    clock.forget_readings()
    waiters = [threads.submit(cache.get_or_compute, "a", refuse) for _ in range(7)]
    clock.await_readings(7)
    assert cache.statistics().waits == 7
    computation.end("value")
    assert {each.result(PATIENCE) for each in (leader, *waiters)} == {"value"}
    assert computation.calls == 1
    assert cache.statistics() == CacheCounts(0, 1, 7, 0, 0, 0, 1)


def test_an_exception_goes_to_all_who_wait(
    cache: CalculationCache[str, str], clock: Clock, threads: ThreadPoolExecutor
) -> None:
    computation, error = Computation(), LookupError("no prices")
    leader = threads.submit(cache.get_or_compute, "a", computation)
    computation.await_begin()
    clock.forget_readings()
    waiters = [threads.submit(cache.get_or_compute, "a", refuse) for _ in range(3)]
    clock.await_readings(3)
    cache.statistics()  # once it has the lock, all of them wait
    computation.fail(error)
    assert [each.exception(PATIENCE) for each in (leader, *waiters)] == [error] * 4
    assert cache.statistics() == CacheCounts(0, 1, 3, 0, 0, 1, 0)
    assert cache.get_or_compute("a", lambda: "value") == "value"


def test_whoever_waits_is_let_go_however_the_computation_ends(
    cache: CalculationCache[str, str], clock: Clock, threads: ThreadPoolExecutor
) -> None:
    begun, ended = Event(), Event()

    def leave() -> str:
        begun.set()
        ended.wait(PATIENCE)
        raise SystemExit(3)

    leader = threads.submit(cache.get_or_compute, "a", leave)
    assert begun.wait(PATIENCE)
    clock.forget_readings()
    waiter = threads.submit(cache.get_or_compute, "a", refuse)
    clock.await_readings(1)
    cache.statistics()
    ended.set()
    assert isinstance(leader.exception(PATIENCE), SystemExit)
    assert isinstance(waiter.exception(PATIENCE), SystemExit)


def test_different_keys_are_computed_at_the_same_time(
    cache: CalculationCache[str, str], threads: ThreadPoolExecutor
) -> None:
    together = Barrier(3, timeout=PATIENCE)

    def compute() -> str:
        together.wait()
        return "value"

    found = [threads.submit(cache.get_or_compute, key, compute) for key in "abc"]
    assert [each.result(PATIENCE) for each in found] == ["value"] * 3


def test_a_computation_that_needs_its_own_result_is_refused(cache: CalculationCache[str, str]) -> None:
    def compute() -> str:
        return cache.get_or_compute("portfolio-123", compute)

    with pytest.raises(RuntimeError, match="the computation of 'portfolio-123' needs its own result"):
        cache.get_or_compute("portfolio-123", compute)
    assert cache.statistics() == CacheCounts(0, 1, 1, 0, 0, 1, 0)
    assert cache.get_or_compute("portfolio-123", lambda: "value") == "value"


def test_a_computation_may_need_other_keys(cache: CalculationCache[str, str]) -> None:
    def compute() -> str:
        return cache.get_or_compute("inner", lambda: "value") + "s"

    assert cache.get_or_compute("outer", compute) == "values"
    assert cache.get("inner") == "value"


def test_computations_that_need_each_other_end(cache: CalculationCache[str, str], threads: ThreadPoolExecutor) -> None:
    all_begun = Barrier(3, timeout=PATIENCE)

    def needing(key: str) -> Callable[[], str]:
        def compute() -> str:
            all_begun.wait()
            return cache.get_or_compute(key, refuse)

        return compute

    found = [threads.submit(cache.get_or_compute, key, needing(after)) for key, after in ("ab", "bc", "ca")]
    errors = {each.exception(PATIENCE) for each in found}
    assert len(errors) == 1  # found by whichever came last, and passed on to those who wait for it
    assert isinstance(errors.pop(), RuntimeError)
    assert cache.statistics().waits == 3
    assert cache.get_or_compute("a", lambda: "value") == "value"


def test_a_wait_that_is_over_closes_no_circle(
    cache: CalculationCache[str, str], clock: Clock, threads: ThreadPoolExecutor
) -> None:
    computation = Computation()
    begun, go_on = Event(), Event()

    def compute_second() -> str:
        begun.set()
        assert go_on.wait(PATIENCE)
        return cache.get_or_compute("first", refuse)

    def first_then_second() -> str:
        cache.get_or_compute("first", computation)
        # The other thread waits no longer for this one, but has hardly come to note it.
        return cache.get_or_compute("second", refuse)

    one = threads.submit(first_then_second)
    computation.await_begin()
    other = threads.submit(cache.get_or_compute, "second", compute_second)
    assert begun.wait(PATIENCE)
    clock.forget_readings()
    go_on.set()
    clock.await_readings(1)
    cache.statistics()
    computation.end("value")
    assert (one.result(PATIENCE), other.result(PATIENCE)) == ("value", "value")


@pytest.mark.parametrize("forget", [lambda cache: cache.invalidate("a"), CalculationCache.clear])
def test_what_was_forgotten_does_not_come_back_from_a_computation_under_way(
    cache: CalculationCache[str, str],
    clock: Clock,
    threads: ThreadPoolExecutor,
    forget: Callable[[CalculationCache[str, str]], None],
) -> None:
    old, new = Computation(), Computation()
    before = threads.submit(cache.get_or_compute, "a", old)
    old.await_begin()
    clock.forget_readings()
    waiter = threads.submit(cache.get_or_compute, "a", refuse)
    clock.await_readings(1)
    forget(cache)
    after = threads.submit(cache.get_or_compute, "a", new)
    new.await_begin()
    old.end("old")
    assert (before.result(PATIENCE), waiter.result(PATIENCE)) == ("old", "old")
    assert cache.get("a") is None
    new.end("new")
    assert after.result(PATIENCE) == "new"
    assert cache.get("a") == "new"


def test_a_computation_that_fails_after_it_was_forgotten_leaves_its_successor_alone(
    cache: CalculationCache[str, str], clock: Clock, threads: ThreadPoolExecutor
) -> None:
    old, new = Computation(), Computation()
    before = threads.submit(cache.get_or_compute, "a", old)
    old.await_begin()
    cache.invalidate("a")
    after = threads.submit(cache.get_or_compute, "a", new)
    new.await_begin()
    old.fail(LookupError("old"))
    assert isinstance(before.exception(PATIENCE), LookupError)
    clock.forget_readings()
    waiter = threads.submit(cache.get_or_compute, "a", refuse)
    clock.await_readings(1)
    assert cache.statistics().waits == 1
    new.end("new")
    assert (after.result(PATIENCE), waiter.result(PATIENCE)) == ("new", "new")


def test_a_value_put_is_not_overwritten_by_a_computation_under_way(
    cache: CalculationCache[str, str], threads: ThreadPoolExecutor
) -> None:
    old = Computation()
    before = threads.submit(cache.get_or_compute, "a", old)
    old.await_begin()
    cache.put("a", "put")
    assert cache.get_or_compute("a", refuse) == "put"
    old.end("computed")
    assert before.result(PATIENCE) == "computed"
    assert cache.get("a") == "put"


def test_nothing_is_held_of_what_was_forgotten(clock: Clock, threads: ThreadPoolExecutor) -> None:
    class Result:
        pass

    cache: CalculationCache[str, Result] = CalculationCache(TTL, clock=clock)
    begun, go_on = Event(), Event()

    def compute() -> Result:
        begun.set()
        assert go_on.wait(PATIENCE)
        return Result()

    def ask() -> weakref.ref[Result]:
        return weakref.ref(cache.get_or_compute("a", compute))

    asking = [threads.submit(ask)]
    assert begun.wait(PATIENCE)
    clock.forget_readings()
    asking.append(threads.submit(ask))
    clock.await_readings(1)
    assert cache.statistics().waits == 1
    go_on.set()
    found = [each.result(PATIENCE) for each in asking]
    assert found[0]() is found[1]() is cache.get("a") is not None
    cache.clear()
    gc.collect()
    assert found[0]() is None


def test_no_call_is_lost_under_load() -> None:
    cache: CalculationCache[int, int] = CalculationCache(TTL, max_entries=4)
    together, computing, lock = Barrier(8, timeout=PATIENCE), set[int](), Lock()

    def compute(key: int) -> int:
        with lock:
            assert key not in computing
            computing.add(key)
        with lock:
            computing.remove(key)
        return key * key

    def work(thread: int) -> None:
        together.wait()
        for turn in range(500):
            key = (thread + turn * turn) % 7
            assert cache.get_or_compute(key, partial(compute, key)) == key * key

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert [each.result(PATIENCE) for each in [pool.submit(work, thread) for thread in range(8)]] == [None] * 8
    counts = cache.statistics()
    assert counts.hits + counts.misses + counts.waits == 8 * 500
    assert counts.entries == 4
    assert counts.misses - counts.evictions == counts.entries


class CacheMachine(RuleBasedStateMachine):
    """The cache against a dictionary in order of use, where everything is looked up and thrown away by hand."""

    KEYS = st.integers(0, 4)
    VALUES = st.integers()
    MAX_ENTRIES = 3

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache: CalculationCache[int, int] = CalculationCache(10.0, max_entries=self.MAX_ENTRIES, clock=self.clock)
        self.model: OrderedDict[int, tuple[int, float]] = OrderedDict()
        self.counts = CacheCounts(0, 0, 0, 0, 0, 0, 0)
        self.calls = 0

    def count(self, **more: int) -> None:
        self.counts = self.counts._replace(**{name: getattr(self.counts, name) + more[name] for name in more})

    def expire(self) -> None:
        for key in [key for key, (_, expires) in self.model.items() if expires <= self.clock.now]:
            del self.model[key]
            self.count(expirations=1)

    def keep(self, key: int, value: int) -> None:
        if key not in self.model and len(self.model) == self.MAX_ENTRIES:
            self.model.popitem(last=False)
            self.count(evictions=1)
        self.model[key] = value, self.clock.now + 10.0
        self.model.move_to_end(key)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        self.calls += 1
        if key in self.model:
            assert self.cache.get(key) == self.model[key][0]
            self.model.move_to_end(key)
            self.count(hits=1)
        else:
            assert self.cache.get(key) is None
            self.count(misses=1)

    @rule(key=KEYS, value=VALUES, seconds=st.integers(0, 12))
    def compute(self, key: int, value: int, seconds: int) -> None:
        def slowly() -> int:
            self.clock.now += seconds
            return value

        self.calls += 1
        found = self.cache.get_or_compute(key, slowly)
        if key in self.model:
            assert found == self.model[key][0]
            self.model.move_to_end(key)
            self.count(hits=1)
        else:
            assert found == value
            self.count(misses=1)
            self.expire()
            self.keep(key, value)

    @rule(key=KEYS)
    def fail(self, key: int) -> None:
        def compute() -> int:
            raise ArithmeticError

        self.calls += 1
        if key in self.model:
            assert self.cache.get_or_compute(key, compute) == self.model[key][0]
            self.model.move_to_end(key)
            self.count(hits=1)
        else:
            with pytest.raises(ArithmeticError):
                self.cache.get_or_compute(key, compute)
            self.count(misses=1, failures=1)

    @rule(key=KEYS, value=VALUES, forgotten=KEYS)
    def forget_while_computing(self, key: int, value: int, forgotten: int) -> None:
        def compute() -> int:
            self.cache.invalidate(forgotten)
            return value

        self.calls += 1
        if key in self.model:
            assert self.cache.get_or_compute(key, compute) == self.model[key][0]
            self.model.move_to_end(key)
            self.count(hits=1)
        else:
            assert self.cache.get_or_compute(key, compute) == value
            self.count(misses=1)
            self.model.pop(forgotten, None)
            if key != forgotten:
                self.keep(key, value)

    @rule(key=KEYS, value=VALUES)
    def put(self, key: int, value: int) -> None:
        self.cache.put(key, value)
        self.keep(key, value)

    @rule(key=KEYS)
    def invalidate(self, key: int) -> None:
        self.cache.invalidate(key)
        self.model.pop(key, None)

    @precondition(lambda self: len(self.model) == self.MAX_ENTRIES)
    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model.clear()

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds
        self.expire()

    @invariant()
    def counts_agree(self) -> None:
        found = self.cache.statistics()
        assert found == self.counts._replace(entries=len(self.model))
        assert found.hits + found.misses + found.waits == self.calls


TestCacheAgainstItsModel = CacheMachine.TestCase


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(each) for each in value] if isinstance(value, list) else value


@given(JSON, JSON)
def test_a_fingerprint_stands_for_its_parts(one: Any, other: Any) -> None:
    assert fingerprint(one, other) == fingerprint(reordered(one), reordered(other))
    assert fingerprint(one, other) == fingerprint(*json.loads(json.dumps([one, other])))
    # As text: to Python 1, 1.0 and True are equal, and so are 0.0 and -0.0.
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint(one) == fingerprint(other)) is same


def test_the_bounds_of_parts_count() -> None:
    parts: list[tuple[Any, ...]] = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (["ab", "c"],),
        ("ab", ["c"]),
        ("ab", "c", None),
    ]
    assert len({fingerprint(*each) for each in parts}) == len(parts)
    assert all(len(fingerprint(*each)) == 64 for each in parts)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_fingerprint_of_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"twr": [number]})


def test_a_fingerprint_of_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError):
        fingerprint({1, 2})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a package of two modules and a package below it, none of which can be imported."""
    found = tmp_path / "ledger_for_a_test"
    (found / "inner").mkdir(parents=True)
    for name in ("__init__.py", "returns.py", "risk.py", "inner/__init__.py", "inner/deep.py"):
        (found / name).write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield found
    code_version.cache_clear()


def version(*names: str, **options: Any) -> str:
    code_version.cache_clear()
    invalidate_caches()
    return code_version(names, **options)


@pytest.mark.parametrize("module", ["__init__.py", "returns.py", "inner/__init__.py", "inner/deep.py"])
def test_a_changed_byte_is_another_version(package: Path, module: str) -> None:
    before = version(package.name)
    assert version(package.name) == before
    path = package / module
    path.write_bytes(path.read_bytes().replace(b"imported", b"imporTed"))
    assert version(package.name) != before


def test_a_module_that_comes_goes_or_is_renamed_is_another_version(package: Path) -> None:
    versions = [version(package.name)]
    (package / "ratios.py").write_text("")
    versions.append(version(package.name))
    (package / "ratios.py").rename(package / "rates.py")
    versions.append(version(package.name))
    assert len(set(versions)) == 3
    (package / "rates.py").unlink()
    assert version(package.name) == versions[0]


def test_what_is_no_module_is_not_code(package: Path) -> None:
    before = version(package.name)
    (package / "notes.txt").write_text("not code")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "risk.cpython-311.pyc").write_bytes(b"left over")
    assert version(package.name) == before


def test_the_order_of_names_does_not_matter(package: Path) -> None:
    assert version(package.name, "common.calculations") == version("common.calculations", package.name)
    assert version(package.name) != version(package.name, "common.calculations")


def test_a_single_module_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lonely_for_a_test.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = version("lonely_for_a_test")
    (tmp_path / "unrelated.py").write_text("")
    assert version("lonely_for_a_test") == before
    (tmp_path / "lonely_for_a_test.py").write_text("raise AssertionError \n")
    assert version("lonely_for_a_test") != before


def test_bytecode_stands_for_source_that_was_left_out(package: Path) -> None:
    with_source = version(package.name)
    compileall.compile_dir(package, quiet=1, legacy=True)
    assert version(package.name) == with_source  # an import takes the source
    for path in package.rglob("*.py"):
        path.unlink()
    bytecode = version(package.name)
    assert version(package.name) == bytecode != with_source

    compiled = package / "returns.pyc"
    content = compiled.read_bytes()
    compiled.write_bytes(content[:8] + b"\0" * 8 + content[16:])  # the time and size of its source
    assert version(package.name) == bytecode
    compiled.write_bytes(content.replace(b"imported", b"imporTed"))
    assert version(package.name) != bytecode


def test_what_the_code_calculates_with_is_part_of_the_version(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version(package.name)
    assert version(package.name, distributions=("numpy", "pydantic")) != before
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} of another day")
    of_another_numpy = version(package.name)
    assert of_another_numpy != before
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert version(package.name) != of_another_numpy


@pytest.mark.parametrize(
    "names",
    [
        ("there_is_no_such_package",),
        ("there_is_no_such.package",),
        ("common.there_is_no_such_module",),
        ("sys",),
    ],
)
def test_code_that_is_not_there_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ModuleNotFoundError):
        version(*names)


def test_a_distribution_that_is_not_there_is_refused(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError):
        version(package.name, distributions=("there-is-no-such-distribution",))


def test_the_version_of_the_mathematics() -> None:
    found = version("common.calculations")
    assert len(found) == 64
    assert code_version(("common.calculations",)) is found
