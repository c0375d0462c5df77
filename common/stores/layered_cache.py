"""A cache of this function's memory in front of one that all functions share."""

import time
from collections.abc import Callable
from typing import Any

from common.cache import CalculationCache
from common.errors import StoreError, TransientError
from common.json_types import JsonObject
from common.observability import logger
from common.stores.ports import ResultCache

PAUSE_SECONDS = 60.0


class SharedCalculationCache:
    """What was calculated before, here or by another function.

    Never the reason why a calculation fails: what the shared cache cannot read is calculated, and what it cannot keep
    is not kept. One that fails is left alone for a while, so that its timeouts are not paid for every portfolio.

    Parameters
    ----------
    local
        In front. Its time to live begins when a result arrives here, whatever age it has.
    shared
        Behind it; None where there is none.
    pause_seconds
        How long a shared cache that failed is left alone.
    clock
        Seconds, from any origin.
    """

    def __init__(
        self,
        local: CalculationCache[str, JsonObject],
        shared: ResultCache | None,
        *,
        pause_seconds: float = PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._shared = shared
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._paused_until = float("-inf")

    def get_or_compute(self, key: str, compute: Callable[[], JsonObject]) -> tuple[JsonObject, bool]:
        """Return what is kept under `key`, or else what `compute` returns, and keep it.

        Parameters
        ----------
        key
            Stands for everything the result depends on.
        compute
            Returns JSON; what it raises is raised here, and not kept.

        Returns
        -------
        tuple
            The result, the caller's own to change, and whether it was read instead of computed.
        """
        computed = []

        def read_or_compute() -> JsonObject:
            if (kept := self._read(key)) is not None:
                return kept
            computed.append(compute())
            return computed[0]

        value = self._local.get_or_compute(key, read_or_compute)
        if computed:
            # Only now: those who waited for the result have it already.
            self._write(key, value)
        return _copied(value), not computed

    def _read(self, key: str) -> JsonObject | None:
        if (shared := self._available()) is None:
            return None
        try:
            return shared.get(key)
        except (StoreError, TransientError) as error:
            self._pause("get", error)
            return None

    def _write(self, key: str, value: JsonObject) -> None:
        if (shared := self._available()) is None:
            return
        try:
            shared.put(key, value)
        except (StoreError, TransientError) as error:
            self._pause("put", error)

    def _available(self) -> ResultCache | None:
        return self._shared if self._clock() >= self._paused_until else None

    def _pause(self, operation: str, error: Exception) -> None:
        self._paused_until = self._clock() + self._pause_seconds
        extra: dict[str, Any] = {
            "operation": operation,
            "error": type(error).__name__,
            "reason": str(error),
            "paused_seconds": self._pause_seconds,
        }
        logger().warning("SharedCalculationCache", extra=extra)


def _copied(value: Any) -> Any:
    """Return a copy of JSON, which has neither circles nor other types: a third of the time `copy.deepcopy` takes."""
    match value:
        case dict():
            return {name: _copied(each) for name, each in value.items()}
        case list():
            return [_copied(each) for each in value]
        case _:
            return value
