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

ATTRIBUTE_COLUMNS = ("client_id", "account_id", "currency")
VALUATION_COLUMNS = ("date", "value", "cash_flow", *ATTRIBUTE_COLUMNS)
"""Of a table of portfolios with a row for each valuation, besides the portfolio's id."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What arrives from DuckDB as it stands in the file. Of the rest, FLOAT would come widened to a double, digits made up,
# and the others mean no number, date or text: all of them come as text.
_TAKEN_AS_THEY_ARE = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DOUBLE"}
_NESTED = ("STRUCT(", "MAP(", "UNION(", "VARIANT")
PARQUET_TEXT_CHARACTERS = 1_000
"""What is longer is no name, and is cut: Parquet keeps a text of many rows once, and in memory each row has its own."""
_FETCHED_AT_ONCE = 10_000
_PARQUET = b"PAR1"
_OTHER_SEPARATORS = ";\t|"
_COLUMNS_SHOWN_CHARACTERS = 300
_NO_TEXT = {
    b"\x1f\x8b": "is compressed by gzip: unpack it first",
    b"PK\x03\x04": "is a ZIP archive: unpack it first",
    _PARQUET: "is a Parquet file: let its name, or its format, say so",
    b"\xff\xfe": "is UTF-16: write it as UTF-8",
    b"\xfe\xff": "is UTF-16: write it as UTF-8",
}


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
        A line is longer than `max_bytes`, or the file is plainly something else than text.
    """
    for number, line in enumerate(bounded_lines(file, max_bytes), start=1):
        if isinstance(line, Malformed):
            raise UnreadableFileError(f"line {number}: {line.reason}")
        yield line


def bounded_lines(file: BinaryIO, max_bytes: int) -> Iterator[str | Malformed]:
    """Yield lines as `text_lines` does, but pass over one that is longer than `max_bytes`.

    Raises
    ------
    UnreadableFileError
        The file is plainly something else than text.
    """
    at_the_beginning = True
    while line := file.readline(max_bytes + 1):
        if at_the_beginning:
            if other := no_text(line):
                raise UnreadableFileError(other)
            line, at_the_beginning = line.removeprefix(BYTE_ORDER_MARK), False
        if len(line) <= max_bytes:
            yield line.decode("utf-8", "surrogateescape")
            continue
        # Handed on before its rest is read: whoever ends here reads no more of a file that has no line ends.
        yield Malformed(f"is longer than {max_bytes:,} bytes")
        while line and not line.endswith(b"\n"):
            line = file.readline(max_bytes + 1)


def no_text(beginning: bytes) -> str | None:
    """Return what is said of a file that begins like no text in UTF-8, None where it may be one."""
    return next((told for magic, told in _NO_TEXT.items() if beginning.startswith(magic)), None)


def csv_table(lines: Iterable[str], *, whole_rows: bool = False, rows_are_lines: bool = False) -> Table:
    """Return the rows below the header of a CSV file; blank lines are skipped.

    Parameters
    ----------
    lines
        With their ends.
    whole_rows
        Whether a row that ends early is malformed, as the last one of a file that was cut off may be.
    rows_are_lines
        Whether a row ends with its line, for tables whose values have no line ends in them: a quote that is left open
        then spoils its own row, and does not take those after it along.

    Raises
    ------
    UnreadableFileError
        The header cannot be read.
    """
    found = _cells_of_each_line(lines) if rows_are_lines else _cells(lines)
    columns: tuple[str, ...] = ()
    for number, cells in found:
        if isinstance(cells, Malformed):
            raise UnreadableFileError(f"line {number}: {cells.reason}")
        if any(columns := tuple(name.strip() for name in cells)):
            break
    else:
        return Table((), iter(()))

    def rows() -> Numbered:
        for number, cells in found:
            if isinstance(cells, Malformed):
                yield number, cells
            elif not any(cells):
                continue
            # More values than columns: such as 1,234.50 without quotes. Commas alone do no harm.
            elif any(cells[len(columns) :]) or (whole_rows and len(cells) < len(columns)):
                yield number, Malformed(f"has {len(cells)} values for {len(columns)} columns", ",".join(cells))
            else:
                yield number, dict(zip(columns, cells, strict=False))

    return Table(columns, rows())


def _cells(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | Malformed]]:
    """Yield the values of each row, which a quoted line end does not end, and the number of the line it begins on."""
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    while True:
        number = reader.line_num + 1
        cells: list[str] | Malformed
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            until = f", read up to line {reader.line_num}" if reader.line_num > number else ""
            cells = Malformed(f"is not CSV: {error}{until}")
        yield number, cells


def _cells_of_each_line(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | Malformed]]:
    """Yield the values of each line, and its number."""
    for number, line in enumerate(lines, start=1):
        cells: list[str] | Malformed
        text = line.rstrip("\r\n")
        if '"' not in text and "\r" not in text:
            # As the reader would part it; to make one for each line takes three times as long.
            cells = [cell.lstrip(" ") for cell in text.split(",")]
        else:
            try:
                cells = next(csv.reader((line,), skipinitialspace=True, strict=True), [])
            except csv.Error as error:
                cells = Malformed(f"is not CSV: {error}", line)
        yield number, cells


def json_rows(lines: Iterable[str | Malformed], parse_float: Callable[[str], Any] | None = None) -> Numbered:
    """Yield the objects of a JSON Lines file; blank lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if isinstance(line, Malformed):
            yield number, line
        elif line.strip():
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


def wrong_columns(columns: Sequence[str], known: Sequence[str], *, others: bool = False) -> str | None:
    """Return what is wrong with the columns of a table, None where nothing is: values must not go unread unnoticed.

    Parameters
    ----------
    columns
        Those that are there; one without a name is passed over.
    known
        Those that are read.
    others
        Whether there may be others too; not such that are written almost like one that is read.
    """
    named = [name for name in columns if name]
    if twice := next((name for name in named if named.count(name) > 1), None):
        return f"the column `{twice}` stands twice"
    meant = {_letters(name): name for name in known}
    unknown = [name for name in named if name not in known and (not others or _letters(name) in meant)]
    if not unknown:
        return None
    shown = clip(", ".join(f"`{name}`" for name in unknown), _COLUMNS_SHOWN_CHARACTERS)
    hints = [f"write `{meant[_letters(name)]}` in place of `{name}`" for name in unknown if _letters(name) in meant]
    told = "; ".join(hints) or f"read are {', '.join(f'`{name}`' for name in known)}"
    return f"no column is called {shown}; {told}"


def _letters(name: str) -> str:
    """Return a column's name without what is written now so, now so: `Cash Flows` and `cash_flow` are the same."""
    return "".join(filter(str.isalnum, name.lower())).removesuffix("s")


def separator(header: str) -> str | None:
    """Return what seems to separate the columns of a header in the place of commas; None where nothing does."""
    return next((each for each in _OTHER_SEPARATORS if each in header), None)


def parquet_table(path: str, *, longest: int = PARQUET_TEXT_CHARACTERS) -> Table:
    """Return the rows of a Parquet file.

    Parameters
    ----------
    path
        Of the file.
    longest
        Characters of a text. A longer one is cut, and ends with an ellipsis: it is then no number, date or id either.

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
    selected = ", ".join(_selected(name, kind, longest) for name, kind in zip(columns, kinds, strict=True))

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


def _selected(name: str, kind: str, longest: int) -> str:
    """Return the expression that reads a column of a Parquet file."""
    if kind.endswith("]") or kind.startswith(_NESTED):
        return "'a nested value'"  # nothing that is read is one, and a list has any number of items in few bytes
    quoted = '"' + name.replace('"', '""') + '"'
    if kind in _TAKEN_AS_THEY_ARE or kind.endswith("INT") or kind.startswith("DECIMAL("):
        return quoted
    # The bytes of a text without the mark that says so are cut before they are written out, at four characters each.
    text = f"CAST({quoted}[:{longest + 1}] AS VARCHAR)" if kind == "BLOB" else f"CAST({quoted} AS VARCHAR)"
    return f"CASE WHEN length({text}) > {longest} THEN left({text}, {longest}) || '…' ELSE {text} END"


def text_date(value: object) -> object:
    """Return a date, or a timestamp at midnight, as text: Parquet has types of its own for both."""
    if isinstance(value, date):
        text = value.isoformat()
        return text[:10] if len(text) == 10 or text[10:].rstrip("0:.") == "T" else text
    return value.strip() if isinstance(value, str) else value
