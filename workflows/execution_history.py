"""What an execution's history tells: its events as the console shows them, and how far its Maps have come."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# GetExecutionHistory and ListExecutions return at most this much at a time.
PAGE: Final = 1000
# Reading a history is dear, here and there: it may take this share of the time that is waited.
_PROGRESS_SHARE: Final = 0.1

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


class ProgressWatcher:
    """Count Map iterations as they appear in a growing history.

    A full page never changes, so only the last is read again.
    """

    def __init__(self, client: "SFNClient", arn: str, tell: Progress) -> None:
        self._client = client
        self._arn = arn
        self._tell = tell
        self._token: str | None = None
        self._settled: Counter[str] = Counter()
        self._told: MapProgress | None = None
        self._next_look = 0.0

    def look(self, *, at_once: bool) -> None:
        """Read what is new, unless the last reading was too short a while ago."""
        began = time.monotonic()
        if began < self._next_look and not at_once:
            return
        progress = self._read()
        if progress != self._told:
            self._tell(progress)
            self._told = progress
        now = time.monotonic()
        self._next_look = now + (now - began) / _PROGRESS_SHARE

    def _read(self) -> MapProgress:
        while True:
            token: dict[str, Any] = {"nextToken": self._token} if self._token else {}
            page = self._client.get_execution_history(executionArn=self._arn, maxResults=PAGE, **token)
            counts = self._settled + _count(page["events"])
            if not (following := page.get("nextToken")):
                break
            self._settled, self._token = counts, following
        return MapProgress(
            total=counts["total"],
            started=counts["MapIterationStarted"],
            succeeded=counts["MapIterationSucceeded"],
            failed=counts["MapIterationFailed"] + counts["MapIterationAborted"],
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
