"""What a warm function keeps from one invocation to the next: its stores, with their clients and connections."""

from collections.abc import Callable
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Settings a process has at a time: one of each kind, and another in tests.
_KEPT_OF_EACH: Final = 4
_factories: Final[list["_lru_cache_wrapper[Any]"]] = []


def kept(factory: Callable[..., T]) -> "_lru_cache_wrapper[T]":
    """Let a factory make one thing for equal settings, and return it again."""
    wrapped = lru_cache(maxsize=_KEPT_OF_EACH)(factory)
    _factories.append(wrapped)
    return wrapped


def forget() -> None:
    """Forget everything that is kept: the world it was made for is gone."""
    for factory in _factories:
        factory.cache_clear()
