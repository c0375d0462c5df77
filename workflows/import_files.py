"""The files of an import: what each of them holds, and its rows."""

import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from common.errors import Fault, InvalidRequestError, clip
from common.models.records import RecordKind, column_faults, tell_kind
from common.models.rows import (
    Numbered,
    UnreadableFileError,
    csv_table,
    json_rows,
    parquet_length,
    parquet_table,
    separator,
    text_lines,
)
from common.models.sources import SourceFormat

# A file is read line by line, so this bounds no memory: what a file holds lies on disk a second time until it is
# written. Some 45 million prices as CSV.
MAX_FILE_BYTES = 2 * 1024**3
# Far longer than any row; a file without line ends is not read whole.
MAX_LINE_BYTES = 1024**2
_COLUMNS_SHOWN_CHARACTERS = 300

_FORMATS = {
    ".csv": SourceFormat.CSV,
    ".jsonl": SourceFormat.JSON_LINES,
    ".ndjson": SourceFormat.JSON_LINES,
    ".parquet": SourceFormat.PARQUET,
}


class ImportFile(NamedTuple):
    """A file that can be read, and what it holds.

    Attributes
    ----------
    size : int
        In bytes; in rows for Parquet.
    """

    path: Path
    format: SourceFormat
    kind: RecordKind
    size: int

    @property
    def unit(self) -> str:
        """What its rows are counted by."""
        return "row" if self.format is SourceFormat.PARQUET else "line"


def inspect(paths: Sequence[Path], kind: RecordKind | None = None) -> list[ImportFile]:
    """Return the files in the order in which they are to be imported, none of them read further than it must be.

    Parameters
    ----------
    kind
        What all of them hold; told by the columns of each when None.

    Raises
    ------
    InvalidRequestError
        With every file that is not there, is none of the formats, or has the wrong columns.
    """
    found: list[ImportFile] = []
    faults: list[Fault] = []
    for path in paths:
        try:
            with _told(path):
                found.append(_inspect(path, kind))
        except InvalidRequestError as error:
            faults += error.faults
    if faults:
        raise InvalidRequestError(faults)
    return sorted(found, key=lambda file: file.kind.order)


def _inspect(path: Path, kind: RecordKind | None) -> ImportFile:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("is not a file")  # to open a pipe would wait for its other end
    if found.st_size > MAX_FILE_BYTES:
        raise OSError(f"is larger than {MAX_FILE_BYTES // 1024**3} GiB; divide it")
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise UnreadableFileError(
            f"is neither CSV, JSON Lines nor Parquet: its name ends in none of {', '.join(_FORMATS)}"
        )
    columns = _columns(path, form)
    if not any(columns) and not (kind and form is SourceFormat.JSON_LINES):
        raise UnreadableFileError("is empty" if not columns else "has no names for its columns")
    kind = kind or tell_kind(columns)
    if kind is None:
        shown = clip(", ".join(map(repr, columns)), _COLUMNS_SHOWN_CHARACTERS)
        if len(columns) == 1 and form is SourceFormat.CSV and (other := separator(columns[0])):
            raise UnreadableFileError(f"its columns must be separated by commas, not by {other!r}")
        raise UnreadableFileError(
            f"the columns {shown} do not tell what it holds; say so with --kind\n{kinds_and_columns()}"
        )
    if told := column_faults(kind, columns, of_every_row=form is not SourceFormat.JSON_LINES):
        raise UnreadableFileError("; ".join(told))
    return ImportFile(path, form, kind, parquet_length(str(path)) if form is SourceFormat.PARQUET else found.st_size)


def kinds_and_columns() -> str:
    """Return a line for each kind with its columns, those that may be left out in brackets."""
    return "\n".join(f"  {kind:<12}  {', '.join(bracketed(kind))}" for kind in RecordKind)


def bracketed(kind: RecordKind) -> list[str]:
    """Return the columns of a kind, those that may be left out in brackets."""
    return [name if name in kind.required else f"[{name}]" for name in kind.columns]


def _columns(path: Path, form: SourceFormat) -> tuple[str, ...]:
    """Return the columns of a file; for JSON Lines the keys of its first object."""
    if form is SourceFormat.PARQUET:
        return parquet_table(str(path)).columns
    with path.open("rb") as handle:
        lines = text_lines(handle, MAX_LINE_BYTES)
        if form is SourceFormat.CSV:
            columns = csv_table(lines).columns
        else:
            columns = next((tuple(row) for _, row in json_rows(lines) if isinstance(row, dict) and row), ())
            if not columns and path.stat().st_size:
                raise UnreadableFileError("there is no JSON object in it")
    try:
        "".join(columns).encode()
    except UnicodeEncodeError:
        raise UnreadableFileError("the names of its columns are not UTF-8 text") from None
    return columns


@contextmanager
def reading(file: ImportFile) -> Iterator[tuple[Numbered, Callable[[], int] | None]]:
    """Open a file; give its rows, and what tells how many bytes were read, None for Parquet.

    Raises
    ------
    InvalidRequestError
        Here or while the rows are taken: it cannot be read, or not to its end.
    """
    with ExitStack() as stack:
        with _told(file.path):
            if file.format is SourceFormat.PARQUET:
                rows, position = parquet_table(str(file.path)).rows, None
            else:
                handle = stack.enter_context(file.path.open("rb"))
                lines, position = text_lines(handle, MAX_LINE_BYTES), handle.tell
                if file.format is SourceFormat.CSV:
                    rows = csv_table(lines, whole_rows=True).rows
                else:
                    rows = json_rows(lines, parse_float=Decimal)
        yield _each(rows, file.path), position


def _each(rows: Numbered, path: Path) -> Numbered:
    with _told(path):
        yield from rows


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Make of what a file does wrong a fault of the request that named it."""
    try:
        yield
    except OSError as error:
        raise InvalidRequestError([Fault(str(path), error.strerror or str(error))]) from None
    except UnreadableFileError as error:
        raise InvalidRequestError([Fault(str(path), str(error))]) from None
