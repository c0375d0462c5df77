"""`perfcalc import`: files into the books."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from common.models.records import ENTITIES, RecordKind
from workflows.cli.app import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    ExitCode,
    app,
    err,
    open_world,
    out,
    print_json,
    settings,
    typed,
)
from workflows.cli.usage import examples
from workflows.import_files import bracketed, inspect
from workflows.import_report import BAD_ROWS_TOLD, FileReport, ImportReport
from workflows.importing import Progress as OnProgress
from workflows.importing import import_files

MARKS_SHOWN = 20
# Each takes a query and a write: ten seconds for all of them.
_MARKS_SETTLED = 1_000

_EXIT_CODES = {
    "SUCCEEDED": ExitCode.SUCCEEDED,
    "PARTIAL": ExitCode.PARTIAL,
    "REFUSED": ExitCode.INVALID_REQUEST,
}
_STYLES = {"SUCCEEDED": "green", "PARTIAL": "yellow", "REFUSED": "red"}
_HELP_WIDTH = 78  # of a terminal of 80 columns
# What each type must have besides its portfolio, its id and its date.
_TRANSACTIONS = (
    ("deposit, withdrawal", "amount"),
    ("buy, sell", "amount, quantity, security_id"),
    ("dividend, interest, fee, tax", "amount, [security_id]"),
    ("split", "quantity (new units for an old one), security_id"),
    ("transfer_in, transfer_out", "amount, or quantity, security_id and [amount]; [counterparty_id]"),
)


def _columns_explained() -> str:
    """Return a paragraph on the kinds and their columns, and one on the types of transactions."""
    kinds = [(kind.value, ", ".join(bracketed(kind))) for kind in RecordKind]
    lines = [
        "\nKinds and their columns; those in brackets may be left out:",
        *(_hanging(name, told, 16) for name, told in kinds),
        "\nTypes of transactions, and their columns besides portfolio_id, transaction_id and trade_date:",
        *(_hanging(name, told, 32) for name, told in _TRANSACTIONS),
    ]
    return "\n".join(lines).replace("[", "\\[")  # which would be markup


def _hanging(name: str, told: str, indent: int) -> str:
    return textwrap.fill(
        told,
        _HELP_WIDTH,
        initial_indent=f"  {name}".ljust(indent),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )


@app.command(
    name="import",
    epilog=_columns_explained()
    + "\n"
    + examples(
        "perfcalc import examples/books/* examples/build/books/*",
        "perfcalc import --strict --kind prices closes.parquet",
        then="Exit code: 0 all imported, 3 rows were bad and left out, 2 nothing was written: a file is wrong, or with "
        "--strict a row.",
    ),
)
def import_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="CSV, JSON Lines or Parquet, in any order.")],
    *,
    kind: Annotated[
        RecordKind | None,
        typer.Option("--kind", metavar="KIND", help="What the files hold, where their columns do not tell; see below."),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Write nothing at all where a row is bad, or something could not be calculated."),
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Bring clients, portfolios, transactions, prices and more from FILES into the books.

    A file is the source of truth: what the books have with another content is replaced. Importing again changes
    nothing.
    """
    # A file that cannot be used is told before anything is started or written.
    inspected = inspect(files, kind)
    with open_world(data_dir) as world:
        with _progress() as on_progress:
            report = import_files(inspected, world.books, strict=strict, on_progress=on_progress)
        if report.marks and not settings().stack:  # which has a schedule for it
            from workflows.triggers.recalculation import settle  # noqa: PLC0415 - see open_runtime

            with err.status("Looking for results to calculate again"):
                marks = settle(world.books, world.result_store, world.executions, world.fleet, most=_MARKS_SETTLED)
            report = replace(report, marks=sorted(marks, key=lambda mark: mark.portfolio_id))
    if as_json:
        print_json(report_json(report))
    else:
        _print_report(report, data_dir)
    raise typer.Exit(_EXIT_CODES[report.status])


@contextmanager
def _progress() -> Iterator[OnProgress]:
    """Show a bar for each file and one for the writing, on a terminal."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what)
        progress.update(tasks[what], completed=done, total=total)

    with progress:
        yield show


def report_json(report: ImportReport) -> dict[str, Any]:
    """Return an import as `--json` prints it."""
    return {
        "status": report.status,
        "files": [
            {
                "file": str(each.file.path),
                "kind": each.file.kind.value,
                "rows": each.rows,
                "new": each.new,
                "changed": each.changed,
                "unchanged": each.unchanged,
                "repeated": each.repeated,
                "bad": each.bad,
                "bad_rows": [
                    {
                        each.file.unit: bad.number,
                        "faults": [{"column": fault.path or None, "message": fault.message} for fault in bad.faults],
                    }
                    for bad in each.bad_rows
                ],
            }
            for each in report.files
        ],
        "made": {
            entity_type.value: {"count": made.count, "ids": list(made.items)}
            for entity_type, made in report.made.items()
        },
        "not_calculable": {
            "count": report.obstacles.count,
            "first": [
                {
                    "entity_type": each.entity.entity_type.value,
                    "entity_id": each.entity.entity_id,
                    "reason": each.message,
                }
                for each in report.obstacles.items
            ],
        },
        "to_recalculate": [
            {"portfolio_id": mark.portfolio_id, "from": mark.from_date.isoformat()} for mark in report.marks
        ],
    }


def _print_report(report: ImportReport, data_dir: Path) -> None:
    for line in _told(report):
        err.print(line)
    out.print(_files_table(report.files))
    out.print()
    status = Text(report.status, style=_STYLES[report.status])
    bad = sum(each.bad for each in report.files)
    if report.refused:
        why = [f"{bad:,} bad row{'s' if bad > 1 else ''}"] if bad else []
        if count := report.obstacles.count:
            why.append(f"{count:,} warning{'s' if count > 1 else ''}")
        out.print(status, f"nothing was written: {', '.join(why)}")
        _print_obstacles(report)
        return
    counts = [(name, sum(getattr(each, name) for each in report.files)) for name in ("new", "changed", "unchanged")]
    out.print(status, ", ".join(f"{count:,} {name}" for name, count in [*counts, *([("bad", bad)] if bad else [])]))
    if report.made:
        out.print()
        out.print("Made, since rows name them and none describes them (a typing error makes one, too):", soft_wrap=True)
        for kind, entity_type in ENTITIES.items():
            if made := report.made.get(entity_type):
                more = f" and {made.count - len(made.items):,} more" if made.count > len(made.items) else ""
                out.print(f"  {kind:<12}{made.count:>7,}  {', '.join(made.items)}{more}", soft_wrap=True)
    _print_obstacles(report)
    if report.marks:
        out.print()
        table = _lines("To recalculate", "From")
        for mark in report.marks[:MARKS_SHOWN]:
            table.add_row(mark.portfolio_id, mark.from_date.isoformat())
        out.print(table)
        if len(report.marks) > MARKS_SHOWN:
            out.print(f"and {len(report.marks) - MARKS_SHOWN:,} more")
        if not settings().stack:  # which has a schedule for it
            out.print()
            out.print(f"Recalculate  {typed('recalculate', data_dir=data_dir)}", soft_wrap=True)


def _print_obstacles(report: ImportReport) -> None:
    """Print what cannot be calculated, the first of it."""
    if not report.obstacles.count:
        return
    out.print()
    for each in report.obstacles.items:
        out.print(str(each), style="yellow", soft_wrap=True)
    if (more := report.obstacles.count - len(report.obstacles.items)) > 0:
        out.print(f"and {more:,} more", style="yellow")


def _told(report: ImportReport) -> Iterator[str]:
    """Yield a line for each bad row that is told, and one for the rest of a file."""
    for each in report.files:
        for bad in each.bad_rows:
            faults = "; ".join(str(fault) if fault.path else fault.message for fault in bad.faults)
            yield f"{each.file.path}: {each.file.unit} {bad.number}: {faults}"
        if each.bad > BAD_ROWS_TOLD:
            yield f"{each.file.path}: ... and {each.bad - BAD_ROWS_TOLD:,} more bad rows"


def _files_table(files: Sequence[FileReport]) -> Table:
    repeated = any(each.repeated for each in files)
    table = _lines("File", "Kind")
    for name in ("Rows", "New", "Changed", "Unchanged", *(["Repeated"] if repeated else []), "Bad"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in files:
        counts = [each.rows, each.new, each.changed, each.unchanged, *([each.repeated] if repeated else []), each.bad]
        table.add_row(str(each.file.path), each.file.kind.value, *(f"{count:,}" for count in counts))
    return table


def _lines(*names: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table
