"""What was measured, between the markers of docs/benchmarks.md."""

import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "benchmarks.md"
_NUMERIC: Final = re.compile(r"^[\d<>]")


def write(subject: str, tables: Iterable[Table], document: Path = DOCUMENT) -> None:
    """Put the tables of a subject into its place in the document.

    Raises
    ------
    ValueError
        The document has no such place.
    """
    part = re.compile(rf"(<!-- bench: {subject} -->\n).*?(<!-- end -->)", re.DOTALL)
    text = document.read_text("utf-8")
    if not part.search(text):
        raise ValueError(f"{document} has no place for {subject}")
    body = "\n\n".join([*map(markdown, tables), _where()])
    document.write_text(part.sub(lambda found: f"{found[1]}\n{body}\n\n{found[2]}", text), "utf-8")


def markdown(table: Table) -> str:
    """Return a table as Markdown, its numbers to the right."""
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    numeric = [all(_NUMERIC.match(cell) for cell in cells if cell) and any(cells) for cells in columns]
    lines = [
        _line([str(column.header) for column in table.columns]),
        _line(["--:" if each else "---" for each in numeric]),
    ]
    lines += [_line(row) for row in zip(*columns, strict=True)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _where() -> str:
    version = ".".join(map(str, sys.version_info[:2]))
    machine = f"{os.cpu_count()} processors of {platform.machine()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, Python {version}, numpy {np.__version__}, {machine}."
