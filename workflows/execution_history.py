"""What an execution's history tells: its events as the console shows them, and how far its Maps have come."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# GetExecutionHistory and ListExecutions return at most this much at a time.
PAGE: Final = 1000
# Reading a history is dear, here and there: it may take this share of the time that is waited.
_PROGRESS_SHARE: Final = 0.1

# Of what DescribeMapRun counts.
_CHILDREN: Final = ("total", "pending", "succeeded", "failed", "timedOut", "aborted")

Progress = Callable[["MapProgress"], None]


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the console's event view."""

    id: int
    type: str
    step: str | None
    resource: str | None
    elapsed_ms: int
    error: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class MapProgress:
    """How far the Map states of an execution have come, in iterations."""

    total: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0


class HistoryReader:
    """The events of a history that grows, each once.

    Parameters
    ----------
    client
        A boto3 client of Step Functions.
    arn
        The execution.
    """

    def __init__(self, client: "SFNClient", arn: str) -> None:
        self._client = client
        self._arn = arn
        self._token: str | None = None
        self._read_of_page = 0

    def read(self) -> list[Mapping[str, Any]]:
        """Return the events that were not returned before, in their order."""
        fresh: list[Mapping[str, Any]] = []
        while True:
            # A full page never changes, so only the last is read again.
            token: dict[str, Any] = {"nextToken": self._token} if self._token else {}
            page = self._client.get_execution_history(executionArn=self._arn, maxResults=PAGE, **token)
            fresh += page["events"][self._read_of_page :]
            self._read_of_page = len(page["events"])
            if not (following := page.get("nextToken")):
                return fresh
            self._token, self._read_of_page = following, 0


class Unhurried:
    """Lets what is dear be done again only after ten times as long as it took."""

    def __init__(self) -> None:
        self._next = 0.0

    @contextmanager
    def turn(self, *, at_once: bool) -> Iterator[bool]:
        """Tell whether it may be done now, and measure how long it takes inside the block."""
        began = time.monotonic()
        due = at_once or began >= self._next
        yield due
        if due:
            now = time.monotonic()
            self._next = now + (now - began) / _PROGRESS_SHARE


class ProgressWatcher:
    """Count Map iterations as they appear in a growing history; those of a distributed Map its Map Run counts."""

    def __init__(self, client: "SFNClient", arn: str, tell: Progress) -> None:
        self._client = client
        self._history = HistoryReader(client, arn)
        self._map_runs: list[str] = []
        self._tell = tell
        self._counts: Counter[str] = Counter()
        self._told: MapProgress | None = None
        self._unhurried = Unhurried()

    def look(self, *, at_once: bool) -> None:
        """Read what is new, unless the last reading was too short a while ago."""
        with self._unhurried.turn(at_once=at_once) as due:
            if not due:
                return
            progress = self._read()
            if progress != self._told:
                self._tell(progress)
                self._told = progress

    def _read(self) -> MapProgress:
        events = self._history.read()
        self._counts += _count(events)
        started = (event.get("mapRunStartedEventDetails", {}).get("mapRunArn") for event in events)
        self._map_runs += [arn for arn in started if arn]
        runs = [self._client.describe_map_run(mapRunArn=arn)["executionCounts"] for arn in self._map_runs]
        children = {name: sum(run[name] for run in runs) for name in _CHILDREN}
        return MapProgress(
            total=self._counts["total"] + children["total"],
            started=self._counts["MapIterationStarted"] + children["total"] - children["pending"],
            succeeded=self._counts["MapIterationSucceeded"] + children["succeeded"],
            failed=self._counts["MapIterationFailed"]
            + self._counts["MapIterationAborted"]
            + children["failed"]
            + children["timedOut"]
            + children["aborted"],
        )


def _count(events: Sequence[Mapping[str, Any]]) -> Counter[str]:
    counts = Counter(event["type"] for event in events)
    counts["total"] = sum(event.get("mapStateStartedEventDetails", {}).get("length", 0) for event in events)
    return counts


def events_of(raw: Sequence[Mapping[str, Any]]) -> Sequence[Event]:
    """Give every event its step and resource, which only the first event of a step or task carries."""
    steps: dict[int, str | None] = {}
    resources: dict[int, str | None] = {}
    events = []
    for event in raw:
        number, kind, before = event["id"], event["type"], event.get("previousEventId", 0)
        details = _details(event)
        step = None if kind.startswith("Execution") else details.get("name") or steps.get(before)
        calls = kind.startswith(("Task", "LambdaFunction")) and not kind.startswith("TaskState")
        # Only the event that schedules a call has its parameters, so the later ones of a call look back.
        resource = (resources.get(before) or _resource(details)) if calls else None
        steps[number], resources[number] = step, resource
        events.append(
            Event(
                id=number,
                type=kind,
                step=step,
                resource=resource,
                elapsed_ms=round((event["timestamp"] - raw[0]["timestamp"]).total_seconds() * 1000),
                error=details.get("error") or None,
                cause=details.get("cause") or None,
            )
        )
    return events


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def _resource(details: Mapping[str, Any]) -> str | None:
    """Return what a task calls: `lambda:invoke ValidateInput`, `sqs:sendMessage`."""
    if "resourceType" in details:
        action = f"{details['resourceType']}:{details['resource']}"
        function = json.loads(details.get("parameters", "{}")).get("FunctionName")
        return f"{action} {function.rsplit(':', 1)[-1]}" if function else action
    if "resource" in details:
        return f"lambda {details['resource'].rsplit(':', 1)[-1]}"
    return None
