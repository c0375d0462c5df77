"""What commands and pages work in: this machine, a deployed stage, or a world that another process has open."""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Protocol

from common.stores.ports import Books, PayloadStore, ResultStore, TimeSeriesReader
from workflows.executions import Execution, ExecutionClient, ExecutionNotFoundError


class Readable(Protocol):
    """What can be read of a world, whosever it is.

    Attributes
    ----------
    executions, fleet
        Follow executions, those of requests and fleet runs; in a world that is another process's they start none.
    result_store, books
        Rows of results, and what they were calculated from.
    time_series_reader
        None where the world has no time series.
    """

    @property
    def executions(self) -> ExecutionClient: ...  # noqa: D102 - see the class
    @property
    def fleet(self) -> ExecutionClient: ...  # noqa: D102
    @property
    def result_store(self) -> ResultStore: ...  # noqa: D102 - see the class
    @property
    def books(self) -> Books: ...  # noqa: D102 - see the class
    @property
    def time_series_reader(self) -> TimeSeriesReader | None: ...  # noqa: D102 - see the class

    def describe(self) -> Sequence[str]:
        """Return a line on each part of it that may be one or another."""
        ...


class World(Readable, Protocol):
    """A world that executions can be started in.

    Attributes
    ----------
    payload_store, payload_bucket
        Where the data of a request go that are too large for it, and the name of the bucket behind it.
    """

    @property
    def payload_store(self) -> PayloadStore: ...  # noqa: D102 - see the class
    @property
    def payload_bucket(self) -> str: ...  # noqa: D102 - see the class


def machine_of(world: Readable, name: str) -> ExecutionClient:
    """Return the executions among which one has this name or ARN: those of requests, or fleet runs.

    Raises
    ------
    ExecutionNotFoundError
        Neither.
    """
    if name.startswith("arn:"):
        return world.fleet if world.fleet.has(name) else world.executions
    try:
        world.executions.describe(name)
    except ExecutionNotFoundError:
        world.fleet.describe(name)
        return world.fleet
    return world.executions


def all_executions(world: Readable, limit: int | None = None) -> Iterator[Execution]:
    """Yield the executions of all state machines, newest first, without input and output."""
    machines = (each.list(limit=limit) for each in (world.executions, world.fleet))
    return islice(merge(*machines, key=lambda execution: execution.started_at, reverse=True), limit)
