"""What a run has come to so far, folded from the events of its history: steps, Map iterations, failures.

Only the states of the execution itself are steps. What happens inside a Map is counted, and told where it failed.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from common.errors import message_of
from common.stores.ports import COMPLETE_SERIES
from workflows.executions import Execution, ExecutionStatus

Event = Mapping[str, Any]

_FAILED: Final = ("Failed", "TimedOut")
_ENDED: Final = ("ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")
_ITERATION_FAILED: Final = ("MapIterationFailed", "MapIterationAborted")


class StepStatus(StrEnum):
    """How far a step is."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    CAUGHT = "CAUGHT"
    """It failed, and the definition says what then."""
    FAILED = "FAILED"


@dataclass(slots=True)
class Iterations:
    """How far a Map is.

    Attributes
    ----------
    total, succeeded, failed
        Iterations; of a Distributed Map, items.
    caught
        Of those that succeeded, how many had a failure inside that the definition caught.
    started_at, changed_at
        Begin of the Map, and when the last iteration ended.
    run_arn
        Of a Distributed Map, whose iterations are executions of their own.
    over
        Whether the service has said that the run of a Distributed Map has ended: its counts are the last.
    """

    started_at: datetime
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    caught: int = 0
    changed_at: datetime | None = None
    run_arn: str | None = None
    over: bool = False

    @property
    def done(self) -> int:
        """Iterations that have ended."""
        return self.succeeded + self.failed

    @property
    def rate(self) -> float | None:
        """Iterations a second so far; None before the first has ended."""
        seconds = (self.changed_at - self.started_at).total_seconds() if self.changed_at else 0
        return self.done / seconds if self.done and seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at this rate, counted from the end of the last iteration."""
        return (self.total - self.done) / self.rate if self.rate and self.total else None


@dataclass(slots=True)
class Step:
    """A state that the execution entered.

    Attributes
    ----------
    retries
        How often something in it was tried again.
    iterations
        Of a Map.
    """

    name: str
    started_at: datetime
    ended_at: datetime | None = None
    status: StepStatus = StepStatus.RUNNING
    retries: int = 0
    iterations: Iterations | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that failed and was not tried again.

    Attributes
    ----------
    step
        The state.
    subject
        Which entity, or which iteration, where it was inside a Map.
    """

    step: str
    subject: str | None
    error: str
    message: str

    def __str__(self) -> str:
        of = f" of {self.subject}" if self.subject else ""
        return f"{self.step}{of}: " + ": ".join(filter(None, [self.error, self.message]))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an event stands: handed on to the events that follow from it."""

    within: str | None = None
    """The Map around it; None in the execution itself."""
    step: str | None = None
    subject: str | None = None
    failure: Failure | None = None


@dataclass(slots=True)
class WatchedRun:
    """A run, as far as its events have been taken.

    Attributes
    ----------
    steps
        In the order in which they were entered.
    failures
        Those that were caught, and the one that ended the run.
    """

    steps: list[Step] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    _places: dict[int, _Place] = field(default_factory=dict)
    _maps: dict[str, _Place] = field(default_factory=dict)
    _last: int = 0
    _unresolved: Failure | None = None

    @property
    def step(self) -> Step | None:
        """The step that was entered last."""
        return self.steps[-1] if self.steps else None

    @property
    def caught(self) -> Failure | None:
        """The last failure of a step that the definition caught; those inside a Map are not of the step."""
        steps = {step.name for step in self.steps if step.status is StepStatus.CAUGHT}
        return next((each for each in reversed(self.failures) if each.subject is None and each.step in steps), None)

    @property
    def failed_step(self) -> str | None:
        """The state that ended a run which has failed; None before that."""
        return self.failures[-1].step if self.failures and self.step and self.step.status is StepStatus.FAILED else None

    def take(self, events: Iterable[Event]) -> None:
        """Take the next events; those that were taken before are passed over."""
        for event in events:
            if event["id"] > self._last:
                self._last = event["id"]
                self._take(event, event["type"], _details(event))

    def take_map_run(self, described: Mapping[str, Any], now: datetime) -> None:
        """Take what the service says of the run of a Distributed Map."""
        counts = described["itemCounts"]
        for step in self.steps:
            if step.iterations and step.iterations.run_arn == described["mapRunArn"]:
                step.iterations = replace(
                    step.iterations,
                    total=counts["total"],
                    succeeded=counts["succeeded"],
                    failed=counts["failed"] + counts["timedOut"] + counts["aborted"],
                    changed_at=described.get("stopDate") or now,
                    over="stopDate" in described,
                )

    def _take(self, event: Event, kind: str, details: Mapping[str, Any]) -> None:
        place = self._places.get(event.get("previousEventId", 0), _Place())
        # Which event an iteration follows, and a Map's end, differs between engines; which Map it is of does not.
        around = self._maps.get(details.get("name") or place.within or "", place)
        if kind == "MapIterationStarted":
            index = details.get("index", "?")
            place = _Place(within=details["name"], subject=around.subject or f"iteration {index}")
        elif kind == "MapIterationSucceeded":
            self._iterated(event, kind, around)
            place = around
        elif kind in _ITERATION_FAILED:
            self._iterated(event, kind, around)
            place = replace(around, failure=place.failure)
        elif kind == "MapStateExited":
            place = self._exited(event, replace(around, failure=place.failure), details)
        elif kind in {"MapStateSucceeded", "MapStateAborted"}:
            place = replace(around, failure=place.failure)
        elif kind == "MapStateFailed":
            place = self._failed(replace(around, failure=place.failure), details)
        elif kind.endswith("StateEntered"):
            place = self._entered(event, kind, place, details)
        elif kind.endswith("StateExited"):
            place = self._exited(event, place, details)
        elif kind in _ENDED:
            self._ended(event, kind, details)
        elif kind.endswith("Scheduled") and place.failure:
            if step := self._outer(place):
                step.retries += 1
            place = replace(place, failure=None)
        elif kind.endswith(_FAILED):
            place = self._failed(place, details)
        elif kind in {"MapStateStarted", "MapRunStarted"} and not place.within and (step := self.step):
            iterations = step.iterations or Iterations(event["timestamp"])
            iterations.total = details.get("length", iterations.total)
            iterations.run_arn = details.get("mapRunArn", iterations.run_arn)
            step.iterations = iterations
        self._places[event["id"]] = place

    def _entered(self, event: Event, kind: str, place: _Place, details: Mapping[str, Any]) -> _Place:
        if place.failure:  # an engine that does not write the exit of a state whose failure was caught
            place = self._caught(place)
        if place.within:
            place = replace(place, step=details["name"], subject=_subject(details.get("input")) or place.subject)
        else:
            place = _Place(step=details["name"])
            iterations = Iterations(event["timestamp"]) if kind == "MapStateEntered" else None
            self.steps.append(Step(details["name"], event["timestamp"], iterations=iterations))
        if kind == "MapStateEntered":
            self._maps[details["name"]] = place
        return place

    def _exited(self, event: Event, place: _Place, details: Mapping[str, Any]) -> _Place:
        status = StepStatus.SUCCEEDED
        if place.failure:
            place, status = self._caught(place), StepStatus.CAUGHT
        if not place.within:
            for step in reversed(self.steps):
                if step.name == details["name"] and step.ended_at is None:
                    step.ended_at, step.status = event["timestamp"], status
                    break
        return place

    def _failed(self, place: _Place, details: Mapping[str, Any]) -> _Place:
        failure = Failure(
            step=place.step or "Execution",
            subject=place.subject,
            error=details.get("error") or "",
            message=message_of(details.get("cause")),
        )
        if place.failure and failure.error in {"", place.failure.error}:
            failure = place.failure  # a Map that failed with what failed in it
        self._unresolved = failure
        return replace(place, failure=failure)

    def _caught(self, place: _Place) -> _Place:
        assert place.failure is not None
        self.failures.append(place.failure)
        if place.within and (step := self._outer(place)) and step.iterations:
            step.iterations.caught += 1
        if self._unresolved == place.failure:
            self._unresolved = None
        return replace(place, failure=None)

    def _iterated(self, event: Event, kind: str, around: _Place) -> None:
        step = self._step(around.step)
        if around.within or step is None or step.iterations is None:
            return  # of a Map inside a Map
        if kind == "MapIterationSucceeded":
            step.iterations.succeeded += 1
        else:
            step.iterations.failed += 1
        step.iterations.changed_at = event["timestamp"]

    def _ended(self, event: Event, kind: str, details: Mapping[str, Any]) -> None:
        error, message = details.get("error") or "", message_of(details.get("cause"))
        step = self.step
        found = self._unresolved
        if kind != "ExecutionFailed" or found is None or found.error != error:
            found = Failure(step.name if step else "Execution", None, error, message)
        self.failures.append(found)
        if step and step.ended_at is None:
            step.ended_at, step.status = event["timestamp"], StepStatus.FAILED

    def _outer(self, place: _Place) -> Step | None:
        """Return the step of the execution itself that a place is in."""
        while place.within and place.within in self._maps:
            place = self._maps[place.within]
        return self._step(place.step)

    def _step(self, name: str | None) -> Step | None:
        return next((step for step in reversed(self.steps) if step.name == name), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a run worked, and which step failed.

    Attributes
    ----------
    status
        SUCCEEDED, PARTIAL or FAILED where its output says so, else what Step Functions says.
    calculated, failed
        Portfolios, accounts and securities; None where the run does not tell.
    failed_by_error
        How many of them failed with which error, the most frequent first; empty where the run does not tell.
    batches, batches_succeeded
        Of a fleet run that ended among its batches; None otherwise.
    step, error, message
        What ended it, or what failed and was caught; None where nothing did.
    """

    name: str
    status: str
    calculated: int | None
    failed: int | None
    step: str | None
    error: str | None
    message: str | None
    failed_by_error: Mapping[str, int] = field(default_factory=dict)
    batches: int | None = None
    batches_succeeded: int | None = None

    @classmethod
    def of(cls, execution: Execution, run: WatchedRun) -> "Verdict":
        """Return the verdict on an execution that has ended."""
        output = execution.output if isinstance(execution.output, dict) else {}
        if execution.status is ExecutionStatus.SUCCEEDED:
            failure = run.caught or _without_series(output)
            return cls(
                name=execution.name,
                status=execution.outcome,
                calculated=output.get("calculated"),
                failed=output.get("failed"),
                step=failure.step if failure else None,
                error=(failure.error or None) if failure else None,
                message=(failure.message or None) if failure else None,
                failed_by_error=_failed_by_error(output),
            )
        maps = [step.iterations for step in run.steps if step.iterations and not step.iterations.run_arn]
        # An item of a Distributed Map is a batch: how much of it could be calculated only the batch itself can tell.
        last = run.step.iterations if run.step else None
        batches = last if last and last.run_arn else None
        failed = sum(each.failed + each.caught for each in maps)
        return cls(
            name=execution.name,
            status=execution.status.value,
            calculated=sum(each.done for each in maps) - failed if maps else None,
            failed=failed if maps else None,
            step=run.failed_step or (run.step.name if run.step else None),
            error=execution.error,
            message=message_of(execution.cause) or None,
            batches=batches.total if batches else None,
            batches_succeeded=batches.succeeded if batches else None,
        )


def batches_without_series(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many batches of a fleet run ended with which status of the time series, those that lack records."""
    return {status: count for status, count in counts.items() if status not in COMPLETE_SERIES}


def _without_series(output: Mapping[str, Any]) -> Failure | None:
    """Return what a fleet run's output says of batches whose time series failed, which the history does not tell."""
    if "batches" not in output or not (lacking := batches_without_series(output["timestream"])):
        return None
    names = ", ".join(f"{count:,} {status}" for status, count in lacking.items())
    return Failure("PersistTimestream", None, "", f"the time series lacks records of some batches: {names}")


def _failed_by_error(output: Mapping[str, Any]) -> dict[str, int]:
    """Return what an output says of its failures, which a calculation lists and a fleet run counts."""
    listed = output.get("failures")
    counts = output.get("failures_by_error")
    if isinstance(listed, list):
        counts = Counter(str(each["error"]) for each in listed if isinstance(each, dict) and "error" in each)
    return dict(Counter(counts).most_common()) if isinstance(counts, dict) else {}


def _details(event: Event) -> Mapping[str, Any]:
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def _subject(document: str | None) -> str | None:
    """Return the id of the entity that a state inside a Map is about, where its input tells."""
    try:
        found = json.loads(document or "")
    except ValueError:  # cut, or left out
        return None
    entity = found.get("entity") if isinstance(found, dict) else None
    return entity.get("entity_id") if isinstance(entity, dict) else None
