"""A `ResultCache` that forgets: for tests, with the semantics of the real one."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple

from common.json_types import JsonObject
from common.stores.dynamodb_cache import fits, pack, unpack
from common.stores.ports import CacheStatistics


class _Kept(NamedTuple):
    body: bytes
    created_at: datetime
    expires_at: int


class InMemoryResultCache:
    """A `ResultCache` in a dictionary; like the service, it does not remove what has expired.

    Parameters
    ----------
    ttl_seconds
        How long a result is kept.
    clock
        Seconds since 1970.
    """

    def __init__(self, ttl_seconds: int, *, clock: Callable[[], float] = time.time) -> None:
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._lock = Lock()

    def get(self, key: str) -> JsonObject | None:
        """Return what is kept under `key` and has not expired."""
        kept = self._kept.get(key)
        return None if kept is None or kept.expires_at <= self._clock() else unpack(kept.body)

    def put(self, key: str, value: JsonObject) -> None:
        """Keep `value` under `key`, unless it is larger than an item can be."""
        body = pack(value)
        if fits(key, body):
            now = self._clock()
            with self._lock:
                self._kept[key] = _Kept(body, datetime.fromtimestamp(now, UTC), int(now) + self._ttl_seconds)

    def clear(self) -> int:
        """Remove everything; return how many entries that were."""
        with self._lock:
            removed = len(self._kept)
            self._kept.clear()
        return removed

    def statistics(self) -> CacheStatistics:
        """Return what is in it."""
        with self._lock:
            kept = list(self._kept.values())
        now = self._clock()
        made = [each.created_at for each in kept]
        return CacheStatistics(
            entries=len(kept),
            expired=sum(each.expires_at <= now for each in kept),
            bytes=sum(len(each.body) for each in kept),
            oldest=min(made, default=None),
            newest=max(made, default=None),
        )
