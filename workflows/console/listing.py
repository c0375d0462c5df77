"""The list of executions: of several state machines together, newest first, page by page."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from common.errors import Fault, InputNotFoundError, InvalidRequestError, TransientError
from workflows.console.references import ExecutionReference, StateMachine
from workflows.console.service import StepFunctions
from workflows.executions import ExecutionStatus

SHOWN: Final = 50
# ListExecutions knows no text to search for, so names are searched here, in pages of this size ...
_SEARCHED_PAGE: Final = 1000
# ... and so many of them for one page that is shown: more is a click away.
_SEARCHED_PAGES: Final = 10
# What a page's executions came to is asked one by one, and remembered.
_ASKED_AT_A_TIME: Final = 8

# For each state machine the token of the page it stands in, and how many of that page have been shown; None: no more.
_Position = tuple[str | None, int]


@dataclass(frozen=True, slots=True)
class ListedExecution:
    """A line of the list."""

    reference: ExecutionReference
    status: ExecutionStatus
    started: datetime
    stopped: datetime | None
    partial: bool = False
    """Whether it has succeeded and says itself that something could not be calculated."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list is narrowed to."""

    status: ExecutionStatus | None = None
    text: str = ""
    machine: str | None = None


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of the list.

    Attributes
    ----------
    executions : list of ListedExecution
    following : str or None
        What the next page is asked for by.
    searched : int
        How many executions were looked at for this page.
    """

    executions: Sequence[ListedExecution]
    following: str | None
    searched: int

    @property
    def running(self) -> bool:
        """Whether anything of it will change."""
        return any(each.status is ExecutionStatus.RUNNING for each in self.executions)


def list_executions(
    service: StepFunctions,
    machines: Mapping[str, StateMachine],
    chosen: Filter,
    cursor: str | None = None,
    *,
    shown: int = SHOWN,
) -> ListPage:
    """Return a page of the executions of all state machines, the newest first.

    Parameters
    ----------
    service
        Where they are.
    machines
        By their names.
    chosen
        What to show.
    cursor
        `following` of the page before.
    shown
        How many at the most.

    Raises
    ------
    InvalidRequestError
        `cursor` is none that this function gave.
    """
    wanted = [name for name in machines if chosen.machine in {None, name}]
    positions = _decode(cursor, wanted) if cursor else dict.fromkeys(wanted, (None, 0))
    sources = {name: _Source(service, machines[name], chosen, *position) for name, position in positions.items()}
    lines: list[ListedExecution] = []
    while len(lines) < shown:
        read = sum(source.pages for source in sources.values())
        if read >= _SEARCHED_PAGES and any(source.dry for source in sources.values()):
            break
        heads = [(head, name) for name, source in sources.items() if (head := source.head()) is not None]
        if not heads:
            break
        head, name = max(heads, key=lambda each: each[0]["startDate"])
        sources[name].take()
        if chosen.text.casefold() in head["name"].casefold():
            lines.append(listed_execution(head))
    left = {name: position for name, source in sources.items() if (position := source.position)}
    with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
        lines = list(pool.map(partial(_with_outcome, service, machines), lines))
    return ListPage(lines, _encode(left) if left else None, sum(source.taken for source in sources.values()))


class _Source:
    """The executions of one state machine, one after the other."""

    def __init__(
        self, service: StepFunctions, machine: StateMachine, chosen: Filter, token: str | None, skipped: int
    ) -> None:
        self._service = service
        self._machine = machine
        self._status = chosen.status.value if chosen.status else None
        self._size = _SEARCHED_PAGE if chosen.text else SHOWN
        self.pages = 0
        self.taken = 0
        self._read(token, skipped)

    @property
    def dry(self) -> bool:
        """Whether another page has to be read for the next."""
        return self._at >= len(self._items) and self._following is not None

    def head(self) -> Mapping[str, Any] | None:
        """Return the next; None where there is none."""
        while self.dry:  # a page may be empty and not the last
            self._read(self._following, 0)
        return self._items[self._at] if self._at < len(self._items) else None

    @property
    def position(self) -> _Position | None:
        """Where to go on; None at the end."""
        if self._at < len(self._items):
            return self._token, self._at
        return (self._following, 0) if self._following else None

    def take(self) -> None:
        """Step over the next."""
        self.taken += 1
        self._at += 1

    def _read(self, token: str | None, skipped: int) -> None:
        page = self._service.executions(self._machine.arn, status=self._status, token=token, limit=self._size)
        self.pages += 1
        self._token, self._items, self._at = token, page["executions"], skipped
        self._following: str | None = page.get("nextToken")


def listed_execution(item: Mapping[str, Any]) -> ListedExecution:
    """Return the line of an execution as ListExecutions has it."""
    return ListedExecution(
        ExecutionReference.of(item["executionArn"]),
        ExecutionStatus(item["status"]),
        item["startDate"],
        item.get("stopDate"),
    )


def _with_outcome(
    service: StepFunctions, machines: Mapping[str, StateMachine], line: ListedExecution
) -> ListedExecution:
    """Return a line with what ListExecutions leaves out: whether all of it could be calculated."""
    if line.status is not ExecutionStatus.SUCCEEDED:
        return line
    try:
        arn = line.reference.arn(machines[line.reference.machine])
        return replace(line, partial=service.outcome(arn) == "PARTIAL")
    except (InputNotFoundError, TransientError):  # gone since, or too many at a time: the list is there all the same
        return line


def _encode(positions: Mapping[str, _Position]) -> str:
    return urlsafe_b64encode(json.dumps(positions).encode()).decode()


def _decode(cursor: str, wanted: Sequence[str]) -> dict[str, _Position]:
    try:
        found = json.loads(urlsafe_b64decode(cursor.encode()))
        return {
            name: (None if found[name][0] is None else str(found[name][0]), max(int(found[name][1]), 0))
            for name in wanted
            if name in found
        }
    except (ValueError, TypeError, KeyError, IndexError):
        raise InvalidRequestError([Fault("after", "is no position in this list")]) from None
