"""How many steps an execution takes, and how it tries again, read from the definitions."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from workflows.definitions import load
from workflows.registry import BATCHES, CALCULATION, FLEET

State = Mapping[str, Any]

# What the history has of one state: entered and exited, and of a task that it was scheduled, started and succeeded.
_EVENTS_OF_TASK: Final = 5
_EVENTS_OF_MAP: Final = 4  # entered, started, succeeded, exited
_EVENTS_OF_ITERATION: Final = 2  # started, succeeded
_EVENTS_OF_MAP_RUN: Final = 2  # started, succeeded
_EVENTS_OF_OTHERS: Final = 2
_EVENTS_OF_EXECUTION: Final = 2  # started, succeeded


class Steps(NamedTuple):
    """What one execution that succeeds takes.

    Attributes
    ----------
    transitions
        States entered, which is what a Standard execution is billed by; of a distributed Map each child begun is one.
    events
        Of its history.
    tasks
        Calls of functions and services.
    """

    transitions: int
    events: int
    tasks: int

    def plus(self, other: "Steps") -> "Steps":
        """Return the steps of both."""
        return Steps(*(mine + its for mine, its in zip(self, other, strict=True)))

    def times(self, count: int) -> "Steps":
        """Return the steps of `count` of them."""
        return Steps(*(each * count for each in self))


@dataclass(frozen=True, slots=True)
class Retrier:
    """How a task is tried again after throttling: full jitter below a limit that grows.

    Attributes
    ----------
    attempts
        After the first.
    interval, rate, longest
        The limit is `interval` seconds, times `rate` with each attempt, `longest` at most.
    """

    attempts: int
    interval: float
    rate: float
    longest: float

    def limit(self, attempt: int) -> float:
        """Return the longest wait in seconds before the `attempt`-th attempt after the first, from 1."""
        return min(self.interval * self.rate ** (attempt - 1), self.longest)

    @property
    def longest_wait(self) -> float:
        """How many seconds of waiting all attempts are, when no jitter shortens them."""
        return sum(self.limit(attempt) for attempt in range(1, self.attempts + 1))


def definition(name: str) -> State:
    """Return the definition called `name`."""
    found: State = json.loads(load(name))
    return found


def calculation_steps(portfolios: int) -> Steps:
    """Return the steps of an execution of the calculation, in which everything succeeds."""
    return _execution(definition(CALCULATION), {"INLINE": portfolios})


def batch_steps(portfolios: int) -> Steps:
    """Return the steps of a child of a fleet run, in which everything succeeds."""
    return _execution(definition(FLEET)["States"][BATCHES]["ItemProcessor"], {"INLINE": portfolios})


def fleet_steps(batches: int) -> Steps:
    """Return the steps of a fleet run itself, without those of its children."""
    return _execution(definition(FLEET), {"DISTRIBUTED": batches})


def batch_bytes() -> int:
    """Return the size of the definition of a child of a fleet run."""
    return len(json.dumps(definition(FLEET)["States"][BATCHES]["ItemProcessor"]).encode())


def retrier(task: str) -> Retrier:
    """Return how the task called `task` is tried again when its function, or a store, is throttled."""
    for name, state in _all_states(definition(FLEET)["States"]):
        if name == task:
            found = next(each for each in state["Retry"] if "ThrottledError" in each["ErrorEquals"])
            return Retrier(
                found["MaxAttempts"], found["IntervalSeconds"], found["BackoffRate"], found["MaxDelaySeconds"]
            )
    raise KeyError(task)


def _all_states(states: State) -> Iterator[tuple[str, State]]:
    for name, state in states.items():
        yield name, state
        if "ItemProcessor" in state:
            yield from _all_states(state["ItemProcessor"]["States"])


def _execution(machine: State, items: Mapping[str, int]) -> Steps:
    return _path(machine, items).plus(Steps(0, _EVENTS_OF_EXECUTION, 0))


def _path(machine: State, items: Mapping[str, int]) -> Steps:
    """Add up the way on which everything succeeds; a Choice's default is on it."""
    total, name = Steps(0, 0, 0), machine["StartAt"]
    while name is not None:
        state = machine["States"][name]
        total = total.plus(_steps(state, items))
        name = state.get("Next") or state.get("Default")
    return total


def _steps(state: State, items: Mapping[str, int]) -> Steps:
    match state["Type"]:
        case "Task":
            return Steps(1, _EVENTS_OF_TASK, 1)
        case "Map":
            processor = state["ItemProcessor"]
            mode = processor.get("ProcessorConfig", {}).get("Mode", "INLINE")
            count = items[mode]
            if mode == "DISTRIBUTED":
                return Steps(1 + count, _EVENTS_OF_MAP + _EVENTS_OF_MAP_RUN, 0)
            iteration = _path(processor, items).plus(Steps(0, _EVENTS_OF_ITERATION, 0))
            return Steps(1, _EVENTS_OF_MAP, 0).plus(iteration.times(count))
        case _:
            return Steps(1, _EVENTS_OF_OTHERS, 0)
