"""The pages of results as the console shows them: out of the stores, by `workflows.reporting`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from functools import partial
from typing import Any, Final

from common.errors import InputNotFoundError, InvalidPortfolioError
from common.models.books import BookEntityType
from common.models.kinds import EntityType
from common.stores.botocore_errors import typed_errors
from common.stores.histories import BookReader
from common.stores.ports import Books, ResultStore
from workflows.console.catalogue import Catalogue
from workflows.console.fleet import fleet_summary
from workflows.console.ports import EntityName, EntityPage, FleetFiles, PageFile, PortfolioLink, PortfolioPage
from workflows.executions import ExecutionClient, ExecutionStatus
from workflows.fleet_lines import objects
from workflows.reporting import compare
from workflows.reporting.page import assets
from workflows.reporting.portfolio import portfolio_page
from workflows.reporting.sources import from_stores

# A store of results is asked by id, so what has some is told by the books and by what ran last.
_EXECUTIONS_ASKED: Final = 10
# What is imported while the console is open is listed after this many seconds.
_BOOKS_SECONDS: Final = 60.0
# The file of a run that another process has just ended may not be there yet.
_FILE_SECONDS: Final = 5.0
# A page is shown after this long with what has been read, and the rest with the next.
READ_SECONDS: Final = 1.0


class StoredResults:
    """Results out of the stores; see `PortfolioPages`. To be closed.

    Parameters
    ----------
    results, books
        Where they are, and what they were calculated from.
    executions, fleet
        Whose outputs tell what was calculated last.
    files
        Have the keys of what fleet runs have calculated.
    catalogue
        Takes what has results.
    read_seconds
        How long one look at the list may take.
    """

    most_compared: Final = compare.MOST_COMPARED

    def __init__(
        self,
        results: ResultStore,
        books: Books,
        executions: ExecutionClient,
        fleet: ExecutionClient,
        files: FleetFiles,
        *,
        catalogue: Catalogue | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._results = results
        self._books = books
        self._executions = executions
        self._fleet = fleet
        self._files = files
        self._catalogue = catalogue or Catalogue()
        self._read_seconds = read_seconds
        self._missing: set[str] = set()

    def close(self) -> None:
        """Let go of what was read."""
        self._catalogue.close()

    def entities(self, text: str, number: int) -> EntityPage:
        """Return a page of what was calculated last and of what else the books have."""
        with typed_errors("Step Functions"):
            calculated = list(self._executions.list(status=ExecutionStatus.SUCCEEDED, limit=_EXECUTIONS_ASKED))
            runs = list(self._fleet.list(limit=_EXECUTIONS_ASKED))
        for execution in calculated:
            self._catalogue.add(execution.arn, partial(self._calculated, execution.name))
        for execution in runs:
            if execution.finished:
                again = _FILE_SECONDS if execution.name in self._missing else None
                self._catalogue.add(execution.arn, partial(self._of_a_fleet, execution.name), again=again)
        self._catalogue.add("books", self._booked, again=_BOOKS_SECONDS)
        complete = self._catalogue.read_on(self._read_seconds)
        return EntityPage(self._catalogue.page(text, number), complete)

    def page(self, entity_type: str, entity_id: str, *, as_of: date | None) -> PortfolioPage | None:
        """Return the results of an entity; None where it has none and cannot have any."""
        try:
            kind = EntityType(entity_type)
            subject = from_stores(self._results, BookReader(self._books), kind, entity_id, as_of=as_of)
        except (ValueError, InputNotFoundError):
            return None
        return PortfolioPage(entity_id, portfolio_page(subject))

    def comparison(self, entities: Sequence[EntityName], *, as_of: date | None) -> PortfolioPage:
        """Return several entities side by side, or tell each that has no results and why."""
        # Of one reader, so that prices and levels which several of them need are read once.
        reader = BookReader(self._books)
        until = f" on or before {as_of.isoformat()}" if as_of else ""
        subjects, missing, unusable = [], [], []
        for kind, entity_id in entities:
            try:
                subjects.append(from_stores(self._results, reader, kind, entity_id, as_of=as_of))
            except InputNotFoundError:
                missing.append(f"{kind} {entity_id}")
            except InvalidPortfolioError as error:
                unusable.append(f"{kind} {entity_id} has no results{until}, and none can be calculated: {error}.")
        if missing:
            raise InputNotFoundError(f"There are no results{until} of {', '.join(missing)}.")
        if unusable:
            raise InvalidPortfolioError("\n".join(unusable))
        page = compare.build(subjects)
        return PortfolioPage(page.title, page.body)

    def files(self) -> Mapping[str, PageFile]:
        """Return the style sheet and the scripts of the pages."""
        return {name: PageFile(each.content_type, each.text) for name, each in assets().items()}

    def _calculated(self, name: str) -> Iterator[PortfolioLink]:
        with typed_errors("Step Functions"):
            output = self._executions.describe(name).output
        for row in output.get("rows", ()) if isinstance(output, dict) else ():
            yield _link(row)

    def _of_a_fleet(self, name: str) -> Iterator[PortfolioLink]:
        with typed_errors("Step Functions"):
            execution = self._fleet.describe(name)
            succeeded = execution.status is ExecutionStatus.SUCCEEDED
            summary = fleet_summary(execution.output if succeeded else self._fleet.last_input(name))
        if summary is None or not summary.calculated:
            return
        try:
            opened = self._files.open(name, summary.results)
        except InputNotFoundError:
            self._missing.add(name)
            return
        self._missing.discard(name)
        with closing(opened) as file:
            for row in objects(file):
                yield _link(row)

    def _booked(self) -> Iterator[PortfolioLink]:
        for kind in (BookEntityType.PORTFOLIO, BookEntityType.ACCOUNT):
            for each in self._books.all_entities(kind):
                yield PortfolioLink(kind.value, each.entity_id, each.name or "")


def _link(row: Mapping[str, Any]) -> PortfolioLink:
    return PortfolioLink(row["entity_type"], row["entity_id"], calculated_for=row["calculation_date"])
