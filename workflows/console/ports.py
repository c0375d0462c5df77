"""What may be plugged into the console besides Step Functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO, NamedTuple, Protocol

from common.models.kinds import EntityType
from workflows.console.events import Page
from workflows.console.fleet import FleetFile


@dataclass(frozen=True, slots=True)
class PortfolioLink:
    """An entity that has results, or could have: one of the books."""

    entity_type: str
    entity_id: str
    name: str = ""
    calculated_for: str = ""

    @property
    def key(self) -> str:
        """How an address names it: `portfolio/acme-growth`."""
        return f"{self.entity_type}/{self.entity_id}"


class EntityName(NamedTuple):
    """What has a performance, by its kind and its id."""

    entity_type: EntityType
    entity_id: str


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

    @property
    def most_compared(self) -> int:
        """How many a page sets side by side at the most."""
        ...

    def entities(self, text: str, number: int) -> EntityPage:
        """Return a page, counted from 1, of what has results and `text` in its id or name, whatever the case."""
        ...

    def page(self, entity_type: str, entity_id: str, *, as_of: date | None) -> PortfolioPage | None:
        """Return the results of an entity on or before a date; None where there are none."""
        ...

    def comparison(self, entities: Sequence[EntityName], *, as_of: date | None) -> PortfolioPage:
        """Return the results of several entities side by side, of each the last on or before a date.

        Parameters
        ----------
        entities
            Two or more, at most `most_compared`, none of them twice.

        Raises
        ------
        InputNotFoundError
            Some have no results and are not in the books; it tells each of them.
        InvalidPortfolioError
            Some have no results, and the books cannot be made into any; it tells each of them.
        """
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
