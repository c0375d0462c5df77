"""The event view: every event of a history, filtered and in pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from workflows.console.histories import ExecutionHistory
from workflows.console.visits import details_of, resource_of

PAGE_LINES: Final = 100

Line = TypeVar("Line")

# What is asked for most, by the beginning of the type.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Failures": (),
    "Tasks": ("Task", "LambdaFunction", "Activity"),
    "Map iterations": ("MapIteration", "MapState", "MapRun"),
    "Execution": ("Execution",),
}
_FAILURE_ENDINGS: Final = ("Failed", "TimedOut", "Aborted")


@dataclass(frozen=True, slots=True)
class EventLine:
    """A line of the event view."""

    id: int
    type: str
    step: str | None
    visit: int | None
    iteration: int | None
    resource: str | None
    elapsed_ms: int
    error: str | None
    cause: str | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[Line]):
    """Some lines of many.

    Attributes
    ----------
    lines : sequence
    first : int
        Position of the first line among those that were found, from 0.
    found : int
        How many lines there are in all pages.
    """

    lines: Sequence[Line]
    first: int
    found: int

    @property
    def last(self) -> int:
        """Position after the last line."""
        return self.first + len(self.lines)


def page_of(lines: Sequence[Line], number: int) -> Page[Line]:
    """Return a page of `PAGE_LINES` lines, counted from 1; beyond the last it is the last."""
    pages = max((len(lines) - 1) // PAGE_LINES, 0)
    first = min(max(number - 1, 0), pages) * PAGE_LINES
    return Page(lines[first : first + PAGE_LINES], first, len(lines))


def event_page(
    history: ExecutionHistory, started: datetime, *, kind: str = "", text: str = "", number: int = 1
) -> Page[EventLine]:
    """Return a page of the events.

    Parameters
    ----------
    history
        As far as it has been read.
    started
        When the execution started; its first event may be later.
    kind
        A type of events, or one of `GROUPS`; empty for all.
    text
        To be found in the type, the step's name or what the event says, whatever the case.
    number
        Of the page, from 1.
    """
    wanted = text.casefold()
    found = [
        event
        for event in history.events
        if _is_of(event, kind) and (not wanted or _says(event, _step(history, event), wanted))
    ]
    page = page_of(found, number)
    return Page([event_line(history, event, started) for event in page.lines], page.first, page.found)


def event_line(history: ExecutionHistory, event: Mapping[str, Any], started: datetime) -> EventLine:
    """Return the line of an event of an execution that started at `started`."""
    number = event["id"]
    details = details_of(event)
    visit = history.visits.visit_of(number)
    iteration = history.visits.iteration_of(number)
    elapsed = event["timestamp"] - started
    return EventLine(
        id=number,
        type=event["type"],
        step=_step(history, event),
        visit=visit.id if visit else None,
        iteration=iteration.index if iteration else details.get("index"),
        resource=resource_of(details),
        elapsed_ms=round(elapsed.total_seconds() * 1000),
        error=details.get("error") or None,
        cause=details.get("cause") or None,
        failed=event["type"].endswith(_FAILURE_ENDINGS),
    )


def find_event(history: ExecutionHistory, number: int) -> Mapping[str, Any] | None:
    """Return the event of a number."""
    # Numbers are without gaps, from 1; an archive that is cut short is not.
    at = number - 1
    if 0 <= at < len(history.events) and history.events[at]["id"] == number:
        return history.events[at]
    return next((event for event in history.events if event["id"] == number), None)


def event_types(history: ExecutionHistory) -> list[str]:
    """Return the types that occur, sorted."""
    return sorted({event["type"] for event in history.events})


def _step(history: ExecutionHistory, event: Mapping[str, Any]) -> str | None:
    if event["type"].startswith("Execution"):
        return None
    visit = history.visits.visit_of(event["id"])
    return visit.name if visit else details_of(event).get("name")


def _is_of(event: Mapping[str, Any], kind: str) -> bool:
    if not kind:
        return True
    if kind == "Failures":
        return str(event["type"]).endswith(_FAILURE_ENDINGS)
    if kind in GROUPS:
        return str(event["type"]).startswith(GROUPS[kind]) and not str(event["type"]).endswith(("Entered", "Exited"))
    return bool(event["type"] == kind)


def _says(event: Mapping[str, Any], step: str | None, wanted: str) -> bool:
    if wanted in event["type"].casefold() or (step and wanted in step.casefold()):
        return True
    return any(isinstance(value, str) and wanted in value.casefold() for value in details_of(event).values())
