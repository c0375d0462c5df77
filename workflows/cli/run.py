"""`perfcalc run`: a request from a file, calculated."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from common.errors import Fault, InvalidRequestError
from common.models.fleet import OF_A_FLEET
from common.models.limits import MAX_CONCURRENCY
from common.models.rows import no_text
from common.models.sources import SourceFormat, format_of
from workflows.cli.app import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    ExitCode,
    app,
    err,
    open_to_run,
    print_json,
    settings,
)
from workflows.cli.fleet import fleet_report, print_fleet
from workflows.cli.report import end_if_refused, follow, print_report, refusal_json, report_of
from workflows.cli.usage import examples
from workflows.execution_names import identifier_in
from workflows.staging import check, check_fleet, stage, stage_fleet

if TYPE_CHECKING:
    from workflows.world import World

LARGEST_REQUEST_BYTES = 64 * 1024 * 1024


@app.command(
    epilog=examples(
        "perfcalc run examples/single.json",
        "perfcalc run manifest.jsonl",
        "perfcalc run request.json --json | jq '.results[].periods.\"1Y\".twr'",
        then="Exit code: 0 all calculated, 3 some, 1 none or the run failed, 2 the request is wrong.",
    )
)
def run(
    request: Annotated[
        Path, typer.Argument(metavar="REQUEST", help="A request as JSON, - for standard input; or a manifest.")
    ],
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    max_concurrency: Annotated[
        int | None,
        typer.Option("--max-concurrency", min=1, max=MAX_CONCURRENCY, metavar="N", help="Portfolios at a time."),
    ] = None,
) -> None:
    """Calculate the portfolios of a REQUEST and show the results.

    A manifest, or a request that names one, is a fleet run: any number of portfolios, in batches.
    """
    try:
        _run(request, data_dir, max_concurrency, as_json=as_json)
    except InvalidRequestError as error:
        if as_json:
            print_json(refusal_json(error.faults))
        raise


def _run(path: Path, data_dir: Path, max_concurrency: int | None, *, as_json: bool) -> NoReturn:
    document, base = _manifest(path) or read_request(path)
    chosen = settings()
    if isinstance(document, dict):
        document.setdefault("max_price_age_days", chosen.max_price_age_days)
        if max_concurrency is not None:
            document["max_concurrency"] = max_concurrency
        if document.keys() & OF_A_FLEET:
            _run_fleet(check_fleet(document, base), base, data_dir, as_json=as_json)
        document.setdefault("max_concurrency", chosen.max_concurrency)
    # A wrong request is told before anything is started or written.
    checked = check(document, base)
    with open_to_run(data_dir) as world:
        staged = stage(checked, base, world.payload_store, world.payload_bucket)
        if not as_json:
            _describe(world)
        started = world.executions.start_or_attach(staged.request)
        execution = follow(world.executions, started, "Calculating portfolios", data_dir)
        end_if_refused(execution, staged.origins, as_json=as_json)
        report = report_of(world, execution, staged.origins)
    if as_json:
        print_json(report)
    else:
        print_report(report, execution, data_dir)
    raise typer.Exit(ExitCode[report["status"]])


def _run_fleet(checked: dict[str, Any], base: Path, data_dir: Path, *, as_json: bool) -> NoReturn:
    with open_to_run(data_dir) as world:
        staged = stage_fleet(checked, base, world.payload_store, world.payload_bucket, elsewhere=bool(settings().stack))
        if not as_json:
            _describe(world)
        started = world.fleet.start_or_attach(staged)
        execution = follow(world.fleet, started, "Calculating batches", data_dir)
        end_if_refused(execution, {}, as_json=as_json)
        report = fleet_report(world, execution, data_dir)
    if as_json:
        print_json(report)
    else:
        print_fleet(report, execution, data_dir)
    raise typer.Exit(ExitCode[report["status"]])


def _describe(world: "World") -> None:
    for line in world.describe():
        err.print(line, style="dim")


def _manifest(path: Path) -> tuple[Any, Path] | None:
    """Return the request that a manifest stands for which is given in the place of one, None for any other file."""
    kind = format_of(path.name)
    if kind is None or kind is SourceFormat.JSON:
        return None
    request_id = identifier_in(path.name).strip("-._") or "manifest"
    return {"request_id": request_id, "manifest": {"source": path.name}}, path.resolve().parent


def read_request(path: Path) -> tuple[Any, Path]:
    """Return the document and the directory that its relative paths start from."""
    dash = str(path) == "-"
    name, base = ("standard input", Path.cwd()) if dash else (str(path), path.resolve().parent)
    try:
        if not dash:
            with path.open("rb") as file:
                body = file.read(LARGEST_REQUEST_BYTES + 1)
        else:
            body = sys.stdin.buffer.read(LARGEST_REQUEST_BYTES + 1) if sys.stdin else b""  # None: it is closed
        if len(body) > LARGEST_REQUEST_BYTES:
            reason = "is larger than 64 MiB; refer to files for the histories"
        elif not body.strip():
            reason = "is empty"
        else:
            return json.loads(body), base
    except OSError as error:
        reason = error.strerror or str(error)
    except RecursionError:
        reason = "is nested too deeply"
    except ValueError as error:  # not JSON, not text, or a number of thousands of digits
        reason = no_text(body) or f"is not JSON: {str(error).partition(';')[0]}"
    raise InvalidRequestError([Fault(name, reason)])
