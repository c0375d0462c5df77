"""What a history comes to: each visit of a state with its attempts, and each iteration of a Map."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class StateStatus(StrEnum):
    """How a state went; of several visits the first in this order that there is."""

    FAILED = "failed"
    RUNNING = "running"
    ABORTED = "aborted"
    CAUGHT = "caught"
    RETRIED = "retried"
    SUCCEEDED = "succeeded"
    IN_CHILDREN = "in-children"
    NOT_REACHED = "not-reached"

    @property
    def text(self) -> str:
        """What a person reads."""
        return _TEXTS[self]


_TEXTS: Final = {
    StateStatus.FAILED: "Failed",
    StateStatus.RUNNING: "Running",
    StateStatus.ABORTED: "Aborted",
    StateStatus.CAUGHT: "Caught error",
    StateStatus.RETRIED: "Succeeded after retry",
    StateStatus.SUCCEEDED: "Succeeded",
    StateStatus.IN_CHILDREN: "Run in child executions",
    StateStatus.NOT_REACHED: "Not reached",
}


@dataclass(slots=True)
class Attempt:
    """One call of a Task, or one run of a Map or Parallel state."""

    started: datetime
    ended: datetime | None = None
    resource: str | None = None
    error: str | None = None
    cause: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended in an error."""
        return self.error is not None


@dataclass(slots=True)
class Iteration:
    """One iteration of a Map: `status` is None while it runs."""

    map_visit: "Visit"
    index: int
    started: datetime
    ended: datetime | None = None
    outcome: StateStatus | None = None
    visits: list["Visit"] = field(default_factory=list)

    @property
    def status(self) -> StateStatus:
        """How it went; one that recorded a failure and went on has caught an error."""
        if self.outcome is None:
            return StateStatus.RUNNING
        if self.outcome is StateStatus.SUCCEEDED:
            return worst(each.status for each in self.visits) if self.visits else StateStatus.SUCCEEDED
        return self.outcome


@dataclass(slots=True)
class Visit:
    """A state that was entered once.

    Attributes
    ----------
    id : int
        Of the event that it was entered by.
    name, type : str
        `type` as the definition has it: Task, Map, Choice ...
    iteration : Iteration or None
        Which it belongs to.
    parent : Visit or None
        The Map or Parallel state around it.
    outcome : StateStatus or None
        None while it runs.
    iterations : list of Iteration
        Of a Map, of all its attempts.
    total : int
        How many items its last attempt has.
    branches : list of Visit
        Of a Parallel state, the visits in it.
    """

    id: int
    name: str
    type: str
    entered: datetime
    input: str | None = None
    iteration: Iteration | None = None
    parent: "Visit | None" = None
    exited: datetime | None = None
    output: str | None = None
    outcome: StateStatus | None = None
    attempts: list[Attempt] = field(default_factory=list)
    iterations: list[Iteration] = field(default_factory=list)
    total: int = 0
    branches: list["Visit"] = field(default_factory=list)
    error: str | None = None
    cause: str | None = None

    @property
    def status(self) -> StateStatus:
        """How it went."""
        return self.outcome or StateStatus.RUNNING

    @property
    def resource(self) -> str | None:
        """What it called."""
        return next((each.resource for each in self.attempts if each.resource), None)


@dataclass(frozen=True, slots=True)
class IterationCounts:
    """How the iterations of Maps went; the caught ones are among the succeeded, and Map Runs alone tell the pending."""

    total: int = 0
    succeeded: int = 0
    caught: int = 0
    failed: int = 0
    aborted: int = 0
    running: int = 0
    pending: int = 0


def worst(statuses: Iterable[StateStatus]) -> StateStatus:
    """Return what to show of several: the first in the order of `StateStatus`."""
    return min(statuses, key=_RANK.__getitem__, default=StateStatus.NOT_REACHED)


_RANK: Final = {status: rank for rank, status in enumerate(StateStatus)}


def counts_of(iterations: Iterable[Iteration], total: int) -> IterationCounts:
    """Count iterations by how they went."""
    found = dict.fromkeys(StateStatus, 0)
    for each in iterations:
        found[each.status] += 1
    caught, retried = found[StateStatus.CAUGHT], found[StateStatus.RETRIED]
    return IterationCounts(
        total=total,
        succeeded=found[StateStatus.SUCCEEDED] + caught + retried,
        caught=caught,
        failed=found[StateStatus.FAILED],
        aborted=found[StateStatus.ABORTED],
        running=found[StateStatus.RUNNING],
    )
