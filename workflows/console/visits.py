"""Fold a history into what it comes to: visits of states, their attempts, the iterations of Maps.

It is folded event by event, so that of a growing one only what is new is read. Which visit an event belongs
to follows from `previousEventId` alone, as the iterations of a Map write their events between each other's.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from workflows.console.states import Attempt, Iteration, StateStatus, Visit
from workflows.executions import ExecutionStatus

Event = Mapping[str, Any]

_SCHEDULED: Final = frozenset({"TaskScheduled", "LambdaFunctionScheduled", "ActivityScheduled"})
_SUCCEEDED: Final = frozenset({"TaskSucceeded", "LambdaFunctionSucceeded", "ActivitySucceeded"})
_FAILED: Final = frozenset(
    {
        *("TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"),
        *("LambdaFunctionFailed", "LambdaFunctionTimedOut"),
        *("LambdaFunctionStartFailed", "LambdaFunctionScheduleFailed"),
        *("ActivityFailed", "ActivityTimedOut", "ActivityScheduleFailed"),
    }
)
_CONTAINERS: Final = ("Map", "Parallel")
ENDS: Final = {
    "ExecutionSucceeded": ExecutionStatus.SUCCEEDED,
    "ExecutionFailed": ExecutionStatus.FAILED,
    "ExecutionAborted": ExecutionStatus.ABORTED,
    "ExecutionTimedOut": ExecutionStatus.TIMED_OUT,
}
"""The events that an execution ends with."""


class Visits:
    """The visits and iterations of an execution, as far as its events have been folded in.

    Attributes
    ----------
    visits : list of Visit
        In the order they were entered.
    status : ExecutionStatus
        As the events have it.
    map_runs : dict
        The ARN of each run of a distributed Map, whose iterations are executions of their own, and its visit.
    """

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.status = ExecutionStatus.RUNNING
        self._by_id: dict[int, Visit] = {}
        self._ended_with_it: list[Visit] = []
        # For each event the innermost thing that it happened in.
        self._context: dict[int, Visit | Iteration | None] = {}
        self.last_moment: datetime | None = None
        self.map_runs: dict[str, Visit] = {}

    def visit(self, number: int) -> Visit | None:
        """Return the visit that was entered by an event."""
        return self._by_id.get(number)

    def visit_of(self, event_id: int) -> Visit | None:
        """Return the visit that an event belongs to; None for one of the execution itself."""
        context = self._context.get(event_id)
        return context.map_visit if isinstance(context, Iteration) else context

    def iteration_of(self, event_id: int) -> Iteration | None:
        """Return the iteration that an event belongs to."""
        context = self._context.get(event_id)
        return context if context is None or isinstance(context, Iteration) else context.iteration

    def fold(self, event: Event) -> None:
        """Take the next event."""
        kind: str = event["type"]
        before = self._context.get(event.get("previousEventId", 0))
        self.last_moment = event["timestamp"]
        self._context[event["id"]] = self._folded(kind, event, before)

    def _folded(self, kind: str, event: Event, before: Visit | Iteration | None) -> Visit | Iteration | None:
        if kind.endswith("StateEntered"):
            return self._enter(kind.removesuffix("StateEntered"), event, before)
        if kind.endswith("StateExited"):
            return self._exit(event, before)
        if kind.startswith("MapIteration"):
            return self._iterate(kind.removeprefix("MapIteration"), event, before)
        if kind.startswith(("MapState", "ParallelState")):
            type_, _, what = kind.partition("State")
            return self._contain(type_, what, event, before)
        if kind in ENDS:
            self._end(ENDS[kind], details_of(event))
        elif kind == "ExecutionRedriven":
            self._reopen()
        elif kind == "MapRunStarted":
            if visit := _innermost(before):
                self.map_runs[details_of(event)["mapRunArn"]] = visit
        elif visit := _innermost(before):
            _attempt(visit, kind, event)
        return before

    def _enter(self, type_: str, event: Event, before: Visit | Iteration | None) -> Visit:
        details = details_of(event)
        iteration, parent = _surroundings(before)
        visit = Visit(event["id"], details["name"], type_, event["timestamp"], details.get("input"), iteration, parent)
        self.visits.append(visit)
        self._by_id[visit.id] = visit
        if iteration and iteration.map_visit is parent:
            iteration.visits.append(visit)
        elif parent:
            parent.branches.append(visit)
        return visit

    def _exit(self, event: Event, before: Visit | Iteration | None) -> Visit | Iteration | None:
        details = details_of(event)
        visit = next((each for each in _upwards(before) if each.name == details.get("name")), None)
        if visit is None:
            return before
        visit.exited, visit.output = event["timestamp"], details.get("output")
        last = visit.attempts[-1] if visit.attempts else None
        if last and last.ended is None:
            last.ended = visit.exited
        _close_inside(visit, event["timestamp"])
        if last and last.failed:
            visit.outcome, visit.error, visit.cause = StateStatus.CAUGHT, last.error, last.cause
        else:
            visit.outcome = StateStatus.RETRIED if len(visit.attempts) > 1 else StateStatus.SUCCEEDED
        return visit

    def _iterate(self, what: str, event: Event, before: Visit | Iteration | None) -> Visit | Iteration | None:
        details = details_of(event)
        visit = next((each for each in _upwards(before) if each.name == details.get("name")), None)
        if visit is None:
            return before
        if what == "Started":
            iteration = Iteration(visit, details["index"], event["timestamp"])
            visit.iterations.append(iteration)
            return iteration
        found = next((each for each in reversed(visit.iterations) if each.index == details.get("index")), None)
        if found:
            found.ended = event["timestamp"]
            found.outcome = _OUTCOMES.get(what, StateStatus.FAILED)
            for each in found.visits:
                _close(each, found.outcome, event["timestamp"])
        return visit

    def _contain(
        self, type_: str, what: str, event: Event, before: Visit | Iteration | None
    ) -> Visit | Iteration | None:
        visit = next((each for each in _upwards(before) if each.type == type_), None)
        if visit is None:
            return before
        if what == "Started":
            visit.attempts.append(Attempt(event["timestamp"]))
            visit.total = details_of(event).get("length", 0)
        elif visit.attempts:
            last = visit.attempts[-1]
            last.ended = event["timestamp"]
            if what == "Failed":
                details = details_of(event)
                last.error, last.cause = details.get("error") or "States.Runtime", details.get("cause")
        return visit

    def _end(self, status: ExecutionStatus, details: Mapping[str, Any]) -> None:
        self.status = status
        if status is ExecutionStatus.SUCCEEDED:
            return
        moment = self.last_moment
        assert moment is not None
        outcome = StateStatus.FAILED if status is ExecutionStatus.FAILED else StateStatus.ABORTED
        self._ended_with_it = [each for each in self.visits if each.outcome is None]
        for visit in self._ended_with_it:
            if visit.type == "Fail":
                visit.error, visit.cause = details.get("error"), details.get("cause")
            _close(visit, outcome, moment)

    def _reopen(self) -> None:
        """Let what a redrive goes on with run again."""
        self.status = ExecutionStatus.RUNNING
        for visit in self._ended_with_it:
            _open_again(visit)


_OUTCOMES: Final = {"Succeeded": StateStatus.SUCCEEDED, "Aborted": StateStatus.ABORTED}


def details_of(event: Event) -> Mapping[str, Any]:
    """Return what an event says besides its time and type."""
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def resource_of(details: Mapping[str, Any]) -> str | None:
    """Return what a task calls: `lambda:invoke`, or the name of a function."""
    if "resourceType" in details:
        return f"{details['resourceType']}:{details.get('resource', '')}"
    if "resource" in details:
        return str(details["resource"]).rsplit(":", 1)[-1]
    return None


def _attempt(visit: Visit, kind: str, event: Event) -> None:
    details = details_of(event)
    if kind in _SCHEDULED:
        if visit.outcome is not None:  # a redrive goes on with it
            _open_again(visit)
        visit.attempts.append(Attempt(event["timestamp"], resource=resource_of(details)))
    elif visit.attempts and kind in _SUCCEEDED:
        visit.attempts[-1].ended = event["timestamp"]
    elif kind in _FAILED:
        if not visit.attempts or visit.attempts[-1].ended:  # it could not even be scheduled
            visit.attempts.append(Attempt(event["timestamp"]))
        last = visit.attempts[-1]
        last.ended = event["timestamp"]
        last.error = details.get("error") or ("States.Timeout" if kind.endswith("TimedOut") else "States.TaskFailed")
        last.cause = details.get("cause")


def _close(visit: Visit, outcome: StateStatus, moment: datetime) -> None:
    """End a visit that has no end of its own, because what is around it ended."""
    if visit.outcome is not None:
        return
    _close_inside(visit, moment)
    last = visit.attempts[-1] if visit.attempts else None
    if last and last.failed:
        visit.error, visit.cause = last.error, last.cause
    elif last and last.ended is None:
        outcome = StateStatus.ABORTED  # it was running still when something else failed
        last.ended = moment
    visit.exited, visit.outcome = moment, outcome


def _close_inside(visit: Visit, moment: datetime) -> None:
    """End what still runs in a Map or Parallel state that has ended."""
    for iteration in visit.iterations:
        if iteration.outcome is None:
            iteration.ended, iteration.outcome = moment, StateStatus.ABORTED
            for each in iteration.visits:
                _close(each, StateStatus.ABORTED, moment)
    for each in visit.branches:
        _close(each, StateStatus.ABORTED, moment)


def _open_again(visit: Visit) -> None:
    visit.outcome = visit.exited = visit.error = visit.cause = None


def _surroundings(context: Visit | Iteration | None) -> tuple[Iteration | None, Visit | None]:
    """Return the iteration and the container that a state entered after `context` lies in."""
    if isinstance(context, Iteration):
        return context, context.map_visit
    if context is None:
        return None, None
    if context.type in _CONTAINERS and context.outcome is None:  # the first state of a branch
        return context.iteration, context
    return context.iteration, context.parent


def _innermost(context: Visit | Iteration | None) -> Visit | None:
    return next(_upwards(context), None)


def _upwards(context: Visit | Iteration | None) -> Iterator[Visit]:
    """Yield the visit of a context and the containers around it, innermost first."""
    visit = context.map_visit if isinstance(context, Iteration) else context
    while visit is not None:
        yield visit
        visit = visit.parent
