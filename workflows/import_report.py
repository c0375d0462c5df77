"""What became of an import."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from common.errors import Fault
from common.models.books import BookEntityType, Mark
from workflows.import_checks import Obstacle
from workflows.import_files import ImportFile

BAD_ROWS_TOLD = 20
MADE_TOLD = 10
OBSTACLES_TOLD = 20

Item = TypeVar("Item")


class BadRow(NamedTuple):
    """A row that was not imported: its number in the file, and everything that is wrong with it."""

    number: int
    faults: tuple[Fault, ...]


@dataclass
class FileReport:
    """What became of the rows of a file.

    Attributes
    ----------
    rows
        All of them: the sum of those below.
    repeated
        Such as an earlier row, of this file or another one, has said already.
    bad_rows
        The first of those that are bad.
    """

    file: ImportFile
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    repeated: int = 0
    bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)

    def refuse(self, number: int, faults: Sequence[Fault]) -> None:
        """Count a bad row, and keep it if it is among the first."""
        self.bad += 1
        if len(self.bad_rows) < BAD_ROWS_TOLD:
            self.bad_rows.append(BadRow(number, tuple(faults)))


@dataclass(frozen=True, slots=True)
class First(Generic[Item]):
    """How many there are of something, and the first of them."""

    count: int
    items: tuple[Item, ...]

    @classmethod
    def of(cls, items: Iterable[Item], most: int) -> "First[Item]":
        """Count `items`, keeping `most` of them."""
        rest = iter(items)
        kept = tuple(islice(rest, most))
        return cls(len(kept) + sum(1 for _ in rest), kept)


@dataclass(frozen=True)
class ImportReport:
    """What became of an import.

    Attributes
    ----------
    refused
        Whether nothing was written, because it was to be strict and a row was bad, or something has an obstacle.
    obstacles
        What cannot be calculated, among the accounts and portfolios of these files.
    made
        Ids of the entities that no row described but some row named.
    marks
        All portfolios whose results are out of date.
    """

    files: Sequence[FileReport]
    refused: bool
    obstacles: First[Obstacle]
    made: Mapping[BookEntityType, First[str]]
    marks: Sequence[Mark]

    @property
    def status(self) -> str:
        """SUCCEEDED, PARTIAL where rows were left out, or REFUSED."""
        if self.refused:
            return "REFUSED"
        return "PARTIAL" if any(report.bad for report in self.files) else "SUCCEEDED"
