"""What may be plugged into the console besides Step Functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO, NamedTuple, Protocol

from workflows.console.events import Page
from workflows.console.fleet import FleetFile


@dataclass(frozen=True, slots=True)
class PortfolioLink:
    """An entity that has results, or could have: one of the books."""

    entity_type: str
    entity_id: str
    name: str = ""
    calculated_for: str = ""


class EntityPage(NamedTuple):
    """A page of what has results.

    Attributes
    ----------
    page : Page
    complete : bool
        Whether everything was read that is to be listed; there is more the next time where it was not.
    """

    page: Page[PortfolioLink]
    complete: bool


class PortfolioPage(NamedTuple):
    """The results of an entity.

    Attributes
    ----------
    title : str
        As text.
    body : str
        HTML with a `main` element in it, everything that came from outside escaped.
    """

    title: str
    body: str


class PageFile(NamedTuple):
    """A style sheet or a script that the pages of results need."""

    content_type: str
    text: str


class PortfolioPages(Protocol):
    """Pages of results, made elsewhere; the console keeps the door and the frame."""

    def entities(self, text: str, number: int) -> EntityPage:
        """Return a page, counted from 1, of what has results and `text` in its id or name, whatever the case."""
        ...

    def page(self, entity_type: str, entity_id: str, *, as_of: date | None) -> PortfolioPage | None:
        """Return the results of an entity on or before a date; None where there are none."""
        ...

    def files(self) -> Mapping[str, PageFile]:
        """Return the files that every page needs, by name; `.css` and `.js` are linked in this order."""
        ...


class FleetFiles(Protocol):
    """The files that fleet runs leave behind."""

    def open(self, execution: str, file: FleetFile) -> BinaryIO:
        """Open a file of an execution.

        Raises
        ------
        InputNotFoundError
            It is not there any longer.
        """
        ...

    def source(self, execution: str, file: FleetFile) -> str:
        """Return what a request calls a file of an execution.

        Raises
        ------
        InputNotFoundError
            It is not there any longer.
        """
        ...


class RequestStarter(Protocol):
    """Starts an execution of a request that a person has written."""

    def __call__(self, document: Any) -> str:
        """Start it, and return the ARN of the execution.

        Raises
        ------
        InvalidRequestError
            With every fault of the request; nothing was started.
        """
        ...
