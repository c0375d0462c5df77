"""The table view: a line for each visit of a state, and all about one of them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from workflows.console.events import Page, page_of
from workflows.console.states import Iteration, StateStatus, Visit
from workflows.console.visits import Visits

# Where the item of a Map iteration has its id, in the inputs that this project's state machines make.
_ITEM_IDS: Final = (("entity", "entity_id"), ("entity_id",), ("portfolio_id",), ("batch_id",))


@dataclass(frozen=True, slots=True)
class StepLine:
    """A line of the table view."""

    visit: Visit
    iteration: str
    elapsed_ms: int


def step_page(
    visits: Visits,
    started: datetime,
    *,
    status: StateStatus | None = None,
    text: str = "",
    name: str = "",
    number: int = 1,
) -> Page[StepLine]:
    """Return a page of the visits.

    Parameters
    ----------
    visits
        As far as they are known.
    started
        When the execution started.
    status
        How it went; None for all.
    text
        To be found in the state's name, its input or its error, whatever the case.
    name
        Of one state alone; empty for all.
    number
        Of the page, from 1.
    """
    wanted = text.casefold()
    found = [
        visit
        for visit in visits.visits
        if status in {None, visit.status} and name in {"", visit.name} and (not wanted or _says(visit, wanted))
    ]
    page = page_of(found, number)
    return Page([_line(visit, started) for visit in page.lines], page.first, page.found)


def worst_first(visits: Iterable[Visit]) -> list[Visit]:
    """Return visits with what went wrong before the rest, otherwise in their order."""
    ranks = list(StateStatus)
    return sorted(visits, key=lambda visit: ranks.index(visit.status))


def iteration_label(iteration: Iteration | None) -> str:
    """Return what an iteration is told by: its number, and the id of its item where that is known.

    The number is the item's position, from 0, as in the history.
    """
    if iteration is None:
        return ""
    around = iteration_label(iteration.map_visit.iteration)
    number = f"{around} #{iteration.index}".strip()
    item = _item_id(iteration.visits[0].input) if iteration.visits else None
    return f"{number} {item}" if item else number


def _item_id(text: str | None) -> str | None:
    try:
        document: Any = json.loads(text or "null")
    except ValueError:  # cut short by the service
        return None
    for path in _ITEM_IDS:
        found = document
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str):
            return found
    return None


def _line(visit: Visit, started: datetime) -> StepLine:
    elapsed = round((visit.entered - started).total_seconds() * 1000)
    return StepLine(visit, iteration_label(visit.iteration), max(elapsed, 0))


def _says(visit: Visit, wanted: str) -> bool:
    return any(wanted in text.casefold() for text in (visit.name, visit.error, visit.cause, visit.input) if text)
