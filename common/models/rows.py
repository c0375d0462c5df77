"""The rows of a CSV, JSON Lines or Parquet file, one after another, each with the number a person finds it by."""

import csv
import glob
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, BinaryIO, NamedTuple

from common.errors import clip

Row = dict[str, Any]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What arrives from DuckDB as it stands in the file. Of the rest, FLOAT would come widened to a double, digits made up,
# and the others mean no number, date or text: all of them come as text.
_TAKEN_AS_THEY_ARE = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DOUBLE", "VARCHAR"}
_FETCHED_AT_ONCE = 10_000
_PARQUET = b"PAR1"
_OTHER_SEPARATORS = ";\t|"
_COLUMNS_SHOWN_CHARACTERS = 300


class UnreadableFileError(ValueError):
    """The file is not what it should be, or from some place on cannot be read."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that cannot be read; those after it can.

    Attributes
    ----------
    reason : str
    text : str
        What stands there, where that is known; no part of what makes two of them equal.
    """

    reason: str
    text: str = field(default="", compare=False)


Numbered = Iterator[tuple[int, Row | Malformed]]
"""Rows with their numbers: of the line a row begins on, or of the row in Parquet."""


class Table(NamedTuple):
    """Columns and the rows below them. A row that ends early lacks its last columns."""

    columns: tuple[str, ...]
    rows: Numbered


def text_lines(file: BinaryIO, max_bytes: int) -> Iterator[str]:
    """Yield the lines of a text file, with their ends, without ever holding more than one.

    Bytes that are not UTF-8 become lone surrogates, so that who takes a value out of a line can tell where they stand.

    Raises
    ------
    UnreadableFileError
        A line is longer than `max_bytes`.
    """
    number = 0
    while line := file.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes:
            raise UnreadableFileError(f"line {number}: is longer than {max_bytes:,} bytes")
        yield (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode("utf-8", "surrogateescape")


def csv_table(lines: Iterable[str], *, whole_rows: bool = False) -> Table:
    """Return the rows below the header of a CSV file; blank lines are skipped.

    Parameters
    ----------
    lines
        With their ends.
    whole_rows
        Whether a row that ends early is malformed, as the last one of a file that was cut off may be.

    Raises
    ------
    UnreadableFileError
        The header cannot be read.
    """
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    columns: tuple[str, ...] = ()
    try:
        while not any(columns):
            columns = tuple(name.strip() for name in next(reader))
    except StopIteration:
        return Table((), iter(()))
    except csv.Error as error:
        raise UnreadableFileError(f"line {reader.line_num}: {error}") from None

    def rows() -> Numbered:
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                until = f", read up to line {reader.line_num}" if reader.line_num > number else ""
                yield number, Malformed(f"is not CSV: {error}{until}")
                continue
            if not any(cells):
                continue
            # More values than columns: such as 1,234.50 without quotes. Commas alone do no harm.
            if any(cells[len(columns) :]) or (whole_rows and len(cells) < len(columns)):
                yield number, Malformed(f"has {len(cells)} values for {len(columns)} columns", ",".join(cells))
            else:
                yield number, dict(zip(columns, cells, strict=False))

    return Table(columns, rows())


def json_rows(lines: Iterable[str], parse_float: Callable[[str], Any] | None = None) -> Numbered:
    """Yield the objects of a JSON Lines file; blank lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line, parse_float=parse_float)
            except (ValueError, ArithmeticError, RecursionError):
                row = None
            yield number, row if isinstance(row, dict) else Malformed("is not a JSON object", line)


def missing_column(wanted: Sequence[str], columns: Sequence[str]) -> str:
    """Return what is said of a table that has none of the columns `wanted`: what it has, and what may be the reason.

    Parameters
    ----------
    wanted
        Of which one is needed.
    columns
        Those that are there.
    """
    if not any(columns):
        return "is empty" if not columns else "has no names for its columns"
    told = f"there is no column {' or '.join(f'`{name}`' for name in wanted)}"
    if len(columns) == 1 and (other := separator(columns[0])):
        return f"{told}; its columns must be separated by commas, not by {other!r}"
    shown = clip(", ".join(f"`{name}`" for name in columns), _COLUMNS_SHOWN_CHARACTERS)
    found = next((each for each in columns if each.lower() in wanted), None)
    hint = f"; write `{found.lower()}` in place of `{found}`" if found else ""
    return f"{told}, but {shown}{hint}"


def separator(header: str) -> str | None:
    """Return what seems to separate the columns of a header in the place of commas; None where nothing does."""
    return next((each for each in _OTHER_SEPARATORS if each in header), None)


def parquet_table(path: str) -> Table:
    """Return the rows of a Parquet file.

    Raises
    ------
    UnreadableFileError
        It is not Parquet; or, while the rows are read, it is damaged.
    """
    import duckdb  # noqa: PLC0415 - 60 MB that only Parquet needs

    with open(path, "rb") as content:
        beginning = content.read(len(_PARQUET))
    if beginning != _PARQUET:
        raise UnreadableFileError("is not a Parquet file" if beginning else "is empty")
    file = glob.escape(path)  # a bracket would make it a pattern
    try:
        with duckdb.connect() as connection:
            relation = connection.read_parquet(file)
            columns, kinds = tuple(relation.columns), [str(kind) for kind in relation.types]
    except duckdb.Error:  # whose message names the file, which may be a temporary one
        raise UnreadableFileError("is not a Parquet file, or one that was cut off or damaged") from None
    selected = ", ".join(_selected(name, kind) for name, kind in zip(columns, kinds, strict=True))

    def rows() -> Numbered:
        number = 0
        try:
            with duckdb.connect() as connection:
                found = connection.execute(
                    f"SELECT {selected} FROM read_parquet(?)",  # noqa: S608 - the file's own names, quoted
                    [file],
                )
                while batch := found.fetchmany(_FETCHED_AT_ONCE):
                    for values in batch:
                        number += 1
                        yield number, dict(zip(columns, values, strict=True))
        except duckdb.Error:
            raise UnreadableFileError(f"after row {number}: the Parquet file is damaged") from None

    return Table(columns, rows())


def parquet_length(path: str) -> int:
    """Return how many rows a Parquet file has."""
    import duckdb  # noqa: PLC0415 - 60 MB that only Parquet needs

    with duckdb.connect() as connection:
        found = connection.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [glob.escape(path)]).fetchone()
    return int(found[0]) if found else 0


def _selected(name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    as_it_is = kind in _TAKEN_AS_THEY_ARE or kind.endswith("INT") or kind.startswith("DECIMAL(")
    return quoted if as_it_is else f"CAST({quoted} AS VARCHAR)"


def text_date(value: object) -> object:
    """Return a date, or a timestamp at midnight, as text: Parquet has types of its own for both."""
    if isinstance(value, date):
        text = value.isoformat()
        return text[:10] if len(text) == 10 or text[10:].rstrip("0:.") == "T" else text
    return value.strip() if isinstance(value, str) else value
