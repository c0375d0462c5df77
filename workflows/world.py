"""What commands and pages work in: this machine, a deployed stage, or a world that another process has open."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from heapq import merge
from itertools import islice
from typing import Final, Protocol

from common.stores.ports import Books, PayloadStore, ResultStore, TimeSeriesReader
from workflows.executions import Execution, ExecutionClient, ExecutionNotFoundError, ExecutionStatus

# DescribeExecution: 300 at once and 15 a second for all of an account.
_ASKED_AT_A_TIME: Final = 8


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


def find_execution(world: Readable, name: str) -> tuple[ExecutionClient, Execution]:
    """Return the execution of this name or ARN, and among which it is: those of requests, or fleet runs.

    Raises
    ------
    ExecutionNotFoundError
        It is among neither.
    """
    if name.startswith("arn:"):
        machine = world.fleet if world.fleet.has(name) else world.executions
        return machine, machine.describe(name)
    try:
        return world.executions, world.executions.describe(name)
    except ExecutionNotFoundError:
        return world.fleet, world.fleet.describe(name)


def all_executions(world: Readable, limit: int | None = None) -> Iterator[Execution]:
    """Yield the executions of all state machines, newest first, without input and output."""
    machines = (each.list(limit=limit) for each in (world.executions, world.fleet))
    return islice(merge(*machines, key=lambda execution: execution.started_at, reverse=True), limit)


def with_outcomes(world: Readable, listed: Sequence[Execution]) -> list[Execution]:
    """Return the executions of a listing, those that succeeded with their output, which tells what they came to.

    A listing leaves it out, so it takes a call for each of them.
    """

    def described(each: Execution) -> Execution:
        if each.status is not ExecutionStatus.SUCCEEDED:
            return each
        machine = world.fleet if world.fleet.has(each.arn) else world.executions
        return machine.describe(each.arn)

    with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
        return list(pool.map(described, listed))
