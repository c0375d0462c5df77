"""What the stores and the deployment both know of the entity table. docs/data-model.md has its items."""

from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

CLIENT_INDEX: Final = "ClientIndex"
ACCOUNT_INDEX: Final = "AccountIndex"
INDEXED: Final[Mapping[str, str]] = MappingProxyType({CLIENT_INDEX: "client_id", ACCOUNT_INDEX: "account_id"})
"""The attribute that is the partition key of each index; the sort key of all is `entity_type`."""

NOBODY: Final = "#"
"""The `client_id` of an item whose entity has no client: an index holds only what has its key. An id has no `#`."""

ENTITY_ATTRIBUTES: Final = ("client_id", "account_id", "name", "currency", "benchmark_id", "flow_timing")
"""What an entity says, but for its key: what an index holds of it, too."""

MARK_PARTITIONS: Final = tuple(f"#recalculation-{number:02}" for number in range(16))
"""The partitions of the marks. An id has no `#`: no portfolio can be named so that its items lie in one of them."""


def projected(index: str) -> tuple[str, ...]:
    """Return the attributes that `index` holds besides the keys.

    They change when somebody changes the entity. What changes with its data, `revision` among it, is left out: all
    entities of one key of an index are in one partition, and a write of an index's item is one to that partition.
    """
    return tuple(name for name in ENTITY_ATTRIBUTES if name != INDEXED[index])


def mark_partition(portfolio_id: str) -> str:
    """Return the partition of a portfolio's mark: the same one in every process and for good."""
    (number,) = blake2b(portfolio_id.encode(), digest_size=1).digest()
    return MARK_PARTITIONS[number % len(MARK_PARTITIONS)]
