"""Tables and charts as the templates take them: everything is text, and every chart has its numbers and a download."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from common.calculations.periods import month_end_positions
from common.calculations.types import DayArray, FloatArray
from workflows.reporting.specs import Spec

Cell = str | float | int | None

# A table of more lines than these is no longer read: it has the month-ends, and the file has them all.
MOST_LINES = 400


class Grid(NamedTuple):
    """A table: the first column names each line, the others are numbers."""

    columns: tuple[str, ...]
    lines: list[tuple[str, ...]]
    note: str = ""


class Download(NamedTuple):
    """A file that stands in the page itself."""

    name: str
    href: str


class Figure(NamedTuple):
    """A chart, what it says, its numbers and their file."""

    id: str
    title: str
    note: str
    spec: Spec
    summary: str
    """What somebody who cannot see the chart is told."""
    grid: Grid
    download: Download


def csv_download(name: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Download:
    """Return a CSV file as a link that needs no server."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_harmless(each) for each in columns])
    writer.writerows([_harmless(each) for each in row] for row in rows)
    return Download(f"{name}.csv", f"data:text/csv;charset=utf-8,{quote(text.getvalue(), safe=',-.:/ ')}")


def series_figure(
    identifier: str,
    title: str,
    note: str,
    spec: Spec,
    summary: str,
    days: DayArray,
    columns: Sequence[tuple[str, FloatArray, str]],
    file_name: str,
) -> Figure:
    """Return a chart over days, with a table of them, or of month-ends where they are many, and a file of all.

    Parameters
    ----------
    columns
        Name, values and format of each column beside the date.
    """
    dates = [str(day) for day in days.astype("datetime64[D]")]
    shown = np.arange(days.size) if days.size <= MOST_LINES else month_end_positions(days)
    note_of_table = "" if days.size <= MOST_LINES else f"The month-ends; the CSV file has all {days.size:,} days."
    lines = [
        (dates[index], *(_formatted(values[index], form) for _, values, form in columns)) for index in shown.tolist()
    ]
    names = [name for name, _, _ in columns]
    rows = zip(dates, *(_plain(values) for _, values, _ in columns), strict=True)
    return Figure(
        id=identifier,
        title=title,
        note=note,
        spec=spec,
        summary=summary,
        grid=Grid(("Date", *names), lines, note_of_table),
        download=csv_download(file_name, ["date", *names], rows),
    )


def file_stem(*parts: str) -> str:
    """Return a file's name made of ids, without what a file system or a browser would not take."""
    return "-".join("".join(each if each.isalnum() or each in "._-" else "_" for each in part) for part in parts)


def _formatted(value: float, form: str) -> str:
    return f"{value:{form}}" if np.isfinite(value) else "-"


def _plain(values: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _harmless(cell: Cell) -> Cell:
    """Keep a spreadsheet from taking an id for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@"} else cell
