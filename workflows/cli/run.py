"""`perfcalc run`: a request from a file, calculated."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from common.errors import Fault, InvalidRequestError
from common.models.limits import MAX_CONCURRENCY
from workflows.cli.app import DEFAULT_DATA_DIR, AsJson, DataDir, ExitCode, app, err, open_runtime, print_json, settings
from workflows.cli.report import follow, print_report, report_of
from workflows.staging import check, stage

LARGEST_REQUEST_BYTES = 64 * 1024 * 1024


@app.command(
    epilog="Examples:\n\nperfcalc run examples/single.json\n\n"
    "perfcalc run request.json --json | jq '.results[].periods.\"1Y\".twr'\n\n"
    "Exit code: 0 all calculated, 3 some, 1 none or the run failed, 2 the request is wrong."
)
def run(
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="A request as JSON; - reads standard input.")],
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    max_concurrency: Annotated[
        int | None,
        typer.Option("--max-concurrency", min=1, max=MAX_CONCURRENCY, metavar="N", help="Portfolios at a time."),
    ] = None,
) -> None:
    """Calculate the portfolios of a REQUEST and show the results."""
    document, base = read_request(request)
    if isinstance(document, dict):
        chosen = settings()
        document.setdefault("max_concurrency", chosen.max_concurrency)
        document.setdefault("max_price_age_days", chosen.max_price_age_days)
        if max_concurrency is not None:
            document["max_concurrency"] = max_concurrency
    # A wrong request is told before anything is started or written.
    checked = check(document, base)
    with open_runtime(data_dir) as runtime:
        staged = stage(checked, base, runtime.payload_store, runtime.payload_bucket)
        if not as_json:
            for line in runtime.describe():
                err.print(line, style="dim")
        execution = follow(runtime.executions, staged.request)
        report = report_of(runtime, execution, staged.origins)
    if as_json:
        print_json(report)
    else:
        print_report(report, execution, data_dir)
    raise typer.Exit(ExitCode[report["status"]])


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
        reason = f"is not JSON: {str(error).partition(';')[0]}"
    raise InvalidRequestError([Fault(name, reason)])
