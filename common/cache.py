"""Keep what was calculated: a cache in memory, and the names under which results are kept."""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from functools import cache
from importlib.machinery import BYTECODE_SUFFIXES, SOURCE_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from threading import Lock, get_ident
from typing import Any, Generic, NamedTuple, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_BYTECODE_HEADER_BYTES = 16  # PEP 552: magic number, flags, and the source's time and size or hash


class CacheCounts(NamedTuple):
    """What became of the calls of a `CalculationCache`: each is a hit, a miss or a wait."""

    hits: int
    """Calls that found a live value."""
    misses: int
    """Calls that found none: each `get_or_compute` of them computed it."""
    waits: int
    """Calls of `get_or_compute` that found the value being computed."""
    evictions: int
    """Live values that made room for others."""
    expirations: int
    failures: int
    """Computations that raised."""
    entries: int
    """Live values."""


class CalculationCache(Generic[K, V]):
    """Values by key for a limited time, each computed once however many threads ask for it.

    Everybody gets the same object: it is not to be changed.

    Parameters
    ----------
    ttl_seconds
        How long a value is kept, from the moment it was computed; 0 keeps none.
    max_entries
        Most values kept; the least recently used one makes room. 0 keeps none.
    clock
        Seconds, from any origin.
    """

    def __init__(
        self, ttl_seconds: float, *, max_entries: int = 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not ttl_seconds >= 0 or max_entries < 0:
            raise ValueError(f"ttl_seconds {ttl_seconds} and max_entries {max_entries} must be 0 or more")
        self._clock = clock
        self._keeps = ttl_seconds > 0 and max_entries > 0
        self._lock = Lock()
        # All of an operation happens at one time, so that nothing expires between being found and being returned.
        self._now = clock()
        self._entries: TTLCache[K, V, float] = TTLCache(max_entries, ttl_seconds, lambda: self._now)
        self._running: dict[K, _Computation[V]] = {}
        self._waiting: dict[int, _Computation[V]] = {}
        self._hits = self._misses = self._waits = self._evictions = self._expirations = self._failures = 0

    def get_or_compute(self, key: K, compute: Callable[[], V]) -> V:
        """Return the value of `key`; where there is none, that of `compute`, which is then kept.

        While one thread computes a value, others that ask for it wait. An exception goes to all of them and is not
        kept. Different keys are computed at the same time.

        Raises
        ------
        RuntimeError
            `compute` needs the value it computes: directly, or by way of other keys of this cache that other threads
            are computing. Waiting would never end.
        """
        with self._lock:
            self._tick()
            if key in self._entries:
                self._hits += 1
                return self._entries[key]
            running = self._running.get(key)
            if running is None:
                self._misses += 1
                mine = self._running[key] = _Computation()
            else:
                self._waits += 1
                self._refuse_circle(key, running)
                self._waiting[get_ident()] = running
        if running is None:
            return self._compute(key, mine, compute)
        try:
            return running.outcome.result()
        finally:
            with self._lock:
                del self._waiting[get_ident()]

    def get(self, key: K, default: D | None = None) -> V | D | None:
        """Return the value of `key`, or `default`; waits for nobody."""
        with self._lock:
            self._tick()
            if key in self._entries:
                self._hits += 1
                return self._entries[key]
            self._misses += 1
            return default

    def put(self, key: K, value: V) -> None:
        """Keep `value`; what a computation under way will find goes to those who wait for it alone."""
        with self._lock:
            self._tick()
            self._running.pop(key, None)
            self._keep(key, value)

    def invalidate(self, key: K) -> None:
        """Forget `key`; what a computation under way will find goes to those who wait for it alone."""
        with self._lock:
            self._tick()
            self._running.pop(key, None)
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all keys, as `invalidate` does one; the counts go on."""
        with self._lock:
            self._tick()
            self._running.clear()
            self._entries.clear()

    def statistics(self) -> CacheCounts:
        """Return what became of all calls so far."""
        with self._lock:
            self._tick()
            return CacheCounts(
                self._hits,
                self._misses,
                self._waits,
                self._evictions,
                self._expirations,
                self._failures,
                len(self._entries),
            )

    def _compute(self, key: K, mine: "_Computation[V]", compute: Callable[[], V]) -> V:
        try:
            value = compute()
            with self._lock:
                self._tick()
                if self._running.get(key) is mine:
                    del self._running[key]
                    self._keep(key, value)
        except BaseException as error:  # whatever it is, nobody may wait for ever
            with self._lock:
                self._failures += 1
                if self._running.get(key) is mine:
                    del self._running[key]
            mine.outcome.set_exception(error)
            raise
        mine.outcome.set_result(value)
        return value

    def _tick(self) -> None:
        self._now = self._clock()
        self._expirations += len(self._entries.expire())

    def _keep(self, key: K, value: V) -> None:
        if not self._keeps:
            return
        if key not in self._entries and len(self._entries) >= self._entries.maxsize:
            self._entries.popitem()
            self._evictions += 1
        self._entries[key] = value

    def _refuse_circle(self, key: K, running: "_Computation[V]") -> None:
        """Raise where the thread that computes `key` waits for this one, or for one that does."""
        link: _Computation[V] | None = running
        while link is not None and not link.outcome.done():
            if link.thread == get_ident():
                raise RuntimeError(f"the computation of {key!r} needs its own result")
            link = self._waiting.get(link.thread)


class _Computation(Generic[V]):
    """A computation under way."""

    def __init__(self) -> None:
        self.thread = get_ident()
        self.outcome: Future[V] = Future()


def fingerprint(*parts: Any) -> str:
    """Return a key that stands for `parts`, which are JSON: equal parts have equal ones, whatever the order of names.

    Raises
    ------
    TypeError
        A part is not JSON.
    ValueError
        A number is not finite.
    """
    text = json.dumps(parts, sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_version(packages: tuple[str, ...], distributions: tuple[str, ...] = ("numpy",)) -> str:
    """Return a key that stands for code: another one once anything in it has changed.

    The version of Python is part of it; `sum` of floats, for one, has been more exact since 3.12.

    Parameters
    ----------
    packages
        Names of packages, each with all modules below it, and of single modules. Their files are read; none of them is
        imported, only the packages they are in.
    distributions
        What they calculate with, by the names it is installed under.

    Raises
    ------
    ModuleNotFoundError
        There is no such package, module or distribution, or neither source nor bytecode of it.
    """
    import importlib.metadata  # noqa: PLC0415 - takes longer to import than all else here

    modules = {name: _content_hash(path) for package in packages for name, path in _module_files(package).items()}
    installed = {name: importlib.metadata.version(name) for name in distributions}
    return fingerprint(sys.version_info[:2], installed, modules)


def _module_files(package: str) -> dict[str, Path]:
    """Return the files of a module, or of all modules of a package, by name."""
    spec = find_spec(package)
    found: dict[str, Path] = {}
    if spec is not None and spec.submodule_search_locations is not None:
        for location in spec.submodule_search_locations:
            found |= dict(_below(package, Path(location)))
    elif spec is not None and spec.origin is not None and spec.has_location:
        found[package] = Path(spec.origin)
    if not found:
        raise ModuleNotFoundError(f"there is neither source nor bytecode of {package}", name=package)
    return found


def _below(package: str, directory: Path) -> Iterator[tuple[str, Path]]:
    # A deployment package may carry bytecode alone. Where both are there, an import takes the source: it comes last.
    for suffix in (*BYTECODE_SUFFIXES, *SOURCE_SUFFIXES):
        for path in directory.rglob(f"*{suffix}"):
            relative = path.relative_to(directory).with_suffix("")
            if "__pycache__" not in relative.parts:
                yield ".".join((package, *relative.parts)), path


def _content_hash(path: Path) -> str:
    content = path.read_bytes()
    # The header of bytecode has the time of its source, which changes with every checkout.
    skipped = _BYTECODE_HEADER_BYTES if path.suffix in BYTECODE_SUFFIXES else 0
    return hashlib.sha256(content[skipped:]).hexdigest()
