"""`perfcalc`: run calculations, follow them, and read what came of them."""

import json
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from common.errors import Fault, InvalidRequestError, PerformanceCalculatorError, StoreError
from common.models.limits import MAX_CONCURRENCY
from common.models.results import EntityType
from common.stores.ports import ResultKey
from workflows import presentation
from workflows.definitions import lint as lint_definition
from workflows.definitions import load
from workflows.executions import Execution, ExecutionClient, ExecutionStatus, MapProgress
from workflows.registry import BACKFILL_QUEUE, STATE_MACHINES, TASKS
from workflows.staging import stage

if TYPE_CHECKING:
    from workflows.local.runtime import LocalRuntime

LARGEST_REQUEST_BYTES = 64 * 1024 * 1024


class ExitCode(IntEnum):
    """What the shell is told."""

    SUCCEEDED = 0
    FAILED = 1
    INVALID_REQUEST = 2
    PARTIAL = 3
    INTERRUPTED = 130


app = typer.Typer(
    name="perfcalc",
    help="Investment performance for one portfolio or many: the whole workflow, on this machine.",
    epilog="Start with: perfcalc run examples/single.json",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", metavar="D", help="Where results and executions are kept.", envvar="PERFCALC_DATA_DIR"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DEFAULT_DATA_DIR = Path(".perfcalc")
_used_data_dir = DEFAULT_DATA_DIR


@app.command(
    epilog="Examples:\n\n"
    "  perfcalc run examples/single.json\n\n"
    "  perfcalc run request.json --json | jq '.results[].periods.\"1Y\".twr'\n\n"
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
    document, base = _read_request(request)
    if max_concurrency is not None and isinstance(document, dict):
        document["max_concurrency"] = max_concurrency
    # A wrong request is told before anything is started or written.
    _check_locally(document)
    with _runtime(data_dir) as runtime:
        staged = stage(document, base, runtime.payload_store, runtime.payload_bucket)
        if not as_json:
            for line in runtime.describe():
                err.print(line, style="dim", highlight=False)
        execution = _follow(runtime.executions, staged, quiet=as_json)
        report = _report(runtime, execution)
    if as_json:
        _print_json(report)
    else:
        _print_report(report, execution, data_dir)
    raise typer.Exit(ExitCode[report["status"]])


@app.command(epilog="Examples:\n\n  perfcalc history\n\n  perfcalc history market-2022-12-28-0123456789ab")
def history(
    execution: Annotated[str | None, typer.Argument(metavar="[EXECUTION]", help="Name of an execution.")] = None,
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List past executions, or show the events of one EXECUTION."""
    with _runtime(data_dir) as runtime:
        if execution is None:
            executions = list(runtime.executions.list())
            if as_json:
                _print_json([_execution_json(each) for each in executions])
            elif executions:
                out.print(presentation.executions_table(executions))
            else:
                out.print("No executions yet: start one with `perfcalc run examples/single.json`.")
            return
        described = runtime.executions.describe(execution)
        events = runtime.executions.history(execution)
    if as_json:
        _print_json({"execution": _execution_json(described), "events": [_plain(event) for event in events]})
        return
    out.print(presentation.history_table(events))
    out.print(presentation.status_text(described.status), f"in {presentation.took(described)}", highlight=False)


@app.command(
    epilog="Examples:\n\n  perfcalc results growth-dca\n\n"
    "  perfcalc results growth-dca --from 2022-01-01 --period 1Y --json"
)
def results(
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="Id of a portfolio.")],
    *,
    start: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First date.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last date.")] = None,
    period: Annotated[str | None, typer.Option("--period", help="One period alone, such as 1Y.")] = None,
    entity_type: Annotated[EntityType, typer.Option("--entity-type", help="What the id names.")] = EntityType.PORTFOLIO,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the stored results of one entity, each metric with the reason where there is none."""
    first, last = (each.date() if each else None for each in (start, end))
    with _runtime(data_dir) as runtime:
        rows = list(runtime.result_store.history(entity_type, entity_id, start=first, end=last))
    if period is not None:
        rows = [_only_period(row, period) for row in rows if period in row["periods"]]
    if as_json:
        _print_json(rows)
    elif not rows:
        err.print(f"There are no results for {entity_type} {entity_id}.", highlight=False)
    elif len(rows) == 1:
        out.print(presentation.row_sheet(rows[0]))
    else:
        out.print(presentation.rows_table(rows, period))
    raise typer.Exit(ExitCode.SUCCEEDED if rows else ExitCode.FAILED)


@app.command(
    epilog='Example:\n\n  perfcalc query "SELECT time, measure_value::double AS twr FROM '
    "investment_performance.performance_metrics WHERE entity_id = 'growth-dca' AND measure_name = 'twr'\""
)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Run SQL over the time series of all results."""
    with _runtime(data_dir) as runtime:
        columns, rows = runtime.time_series_reader.query(sql)
        if as_json:
            _print_json([{name: _plain(row[name]) for name in columns} for row in rows])
        else:
            out.print(presentation.rows_of_query(columns, rows))


@app.command()
def lint() -> None:
    """Check the state machine definitions: JSON, ASL, placeholders, unreachable states."""
    known = {*TASKS, BACKFILL_QUEUE}
    faults: list[tuple[str, Fault]] = []
    for name, file in STATE_MACHINES.items():
        faults += [(file, fault) for fault in lint_definition(load(name), known)]
    for file, fault in faults:
        err.print(f"{file}: {fault}", style="red", highlight=False, markup=False)
    if faults:
        raise typer.Exit(ExitCode.FAILED)
    out.print(f"{len(STATE_MACHINES)} definition(s), no faults")


def main() -> None:
    """Run the command line; an error becomes one message, never a traceback."""
    # `perfcalc results x | head` closes the pipe early; that is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except KeyboardInterrupt:
        _fail("Stopped. Run it again: a repeated run ends in the same results.", ExitCode.INTERRUPTED)
    except InvalidRequestError as error:
        _fail(str(error), ExitCode.INVALID_REQUEST)
    except PerformanceCalculatorError as error:
        _fail(str(error), ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: the trace goes to a file, the user gets a sentence
        _fail(f"Unexpected error: {error}\nIts trace is in {_keep_trace()}.", ExitCode.FAILED)


def _fail(message: str, code: ExitCode) -> None:
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(code)


def _keep_trace() -> Path:
    log = _used_data_dir / "logs" / "perfcalc.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    return log


def _read_request(path: Path) -> tuple[Any, Path]:
    """Return the document and the directory that its relative paths start from."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            text = sys.stdin.read(LARGEST_REQUEST_BYTES + 1)
        elif path.stat().st_size > LARGEST_REQUEST_BYTES:
            text = " " * (LARGEST_REQUEST_BYTES + 1)
        else:
            text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidRequestError([Fault(name, error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        raise InvalidRequestError([Fault(name, f"is not UTF-8 text (byte {error.start})")]) from None
    if len(text) > LARGEST_REQUEST_BYTES:
        raise InvalidRequestError([Fault(name, "is larger than 64 MiB; refer to files for the histories")])
    try:
        return json.loads(text), Path.cwd() if str(path) == "-" else path.resolve().parent
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise InvalidRequestError([Fault(name, f"is not JSON: {error.msg} at {place}")]) from None
    except RecursionError:
        raise InvalidRequestError([Fault(name, "is nested too deeply")]) from None


def _check_locally(document: object) -> None:
    from common.models.request import CalculationRequest  # noqa: PLC0415 - numpy; `perfcalc --help` goes without

    CalculationRequest.parse(document, local_sources=True)


@contextmanager
def _runtime(data_dir: Path) -> Iterator["LocalRuntime"]:
    from workflows.local.runtime import LocalRuntime  # noqa: PLC0415 - moto takes a second to import

    global _used_data_dir  # noqa: PLW0603 - where the trace of an unexpected error goes, if it comes to that
    _used_data_dir = data_dir
    with LocalRuntime(data_dir) as runtime:
        yield runtime


def _follow(executions: ExecutionClient, request: Mapping[str, Any], *, quiet: bool) -> Execution:
    """Start the execution and wait for its end, showing how far it is; stop it on Ctrl-C."""
    execution = executions.start_or_attach(request)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=quiet,
        transient=True,
    )
    try:
        with progress:
            task = progress.add_task("Calculating portfolios", total=None)

            def show(seen: MapProgress) -> None:
                progress.update(task, total=seen.total or None, completed=seen.succeeded + seen.failed)

            return executions.wait(execution.name, on_progress=None if quiet else show)
    except KeyboardInterrupt:
        executions.stop(execution.name, error="Interrupted", cause="stopped by the user")
        raise


def _report(runtime: "LocalRuntime", execution: Execution) -> dict[str, Any]:
    """Return what a run came to: results as the store has them, failures as the execution tells them."""
    if execution.status is ExecutionStatus.SUCCEEDED:
        summary = execution.output
        status = summary["status"]
    else:
        summary = runtime.executions.last_input(execution.name)
        status = "FAILED"
        if not isinstance(summary, dict) or "portfolios" not in summary:
            summary = {}
        summary = {
            "rows": [],
            "failures": [each["failure"] for each in summary.get("portfolios", ()) if "failure" in each],
        }
    keys = [
        ResultKey(EntityType(row["entity_type"]), row["entity_id"], date.fromisoformat(row["calculation_date"]))
        for row in summary["rows"]
    ]
    labels = execution.input.get("time_periods") if execution.input else None
    stored = runtime.result_store.read_many(keys)
    if missing := [key.entity_id for key in keys if key not in stored]:
        raise StoreError(f"the results of {', '.join(missing)} are not in the store")
    return {
        "execution": _execution_json(execution),
        "status": status,
        "results": [_only_periods(stored[key], labels) for key in keys],
        "failures": summary["failures"],
        **{name: summary[name] for name in ("dynamodb", "timestream") if name in summary},
    }


def _print_report(report: Mapping[str, Any], execution: Execution, data_dir: Path) -> None:
    if report["results"]:
        out.print(presentation.results_table(report["results"], out.width))
    if report["failures"]:
        out.print(presentation.failures_table(report["failures"]))
    counts = f"{len(report['results'])} calculated, {len(report['failures'])} failed, in {presentation.took(execution)}"
    out.print(presentation.status_text(report["status"]), counts, highlight=False)
    time_series = report.get("timestream", {})
    if time_series.get("status") == "BACKFILL_QUEUED":
        out.print(
            f"Timestream did not take the results ({time_series['error']}); DynamoDB has them, and a message in the "
            "backfill queue names them.",
            style="yellow",
            highlight=False,
        )
    elif time_series.get("rejected"):
        out.print(f"Timestream rejected {time_series['rejected']} record(s):", style="yellow", highlight=False)
        for each in time_series["rejections"]:
            out.print(
                f"  {each['entity_id']} {each['time_period']} {each['measure']}: {each['reason']}", highlight=False
            )
    if execution.error and execution.error != "AllPortfoliosFailed":
        out.print(f"{execution.error}: {_message(execution.cause)}", style="red", highlight=False, markup=False)
    option = "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}"
    out.print(f"\nExecution  {execution.name}", highlight=False, soft_wrap=True)
    out.print(f"Its events perfcalc history {execution.name}{option}", highlight=False, soft_wrap=True)
    if report["results"]:
        entity = report["results"][0]["entity_id"]
        out.print(f"One result perfcalc results {entity}{option}", highlight=False, soft_wrap=True)


def _message(cause: str | None) -> str:
    """Return the message of a function's error, whose Cause is JSON, or the Cause as it is."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause or ""


def _only_period(row: Mapping[str, Any], label: str) -> dict[str, Any]:
    return _only_periods(row, [label])


def _only_periods(row: Mapping[str, Any], labels: list[str] | None) -> dict[str, Any]:
    """Return a row with the periods asked for, in that order; it may hold those of other requests too."""
    periods = row["periods"]
    return {**row, "periods": {label: periods[label] for label in labels or periods if label in periods}}


def _execution_json(execution: Execution) -> dict[str, Any]:
    found = {
        "name": execution.name,
        "arn": execution.arn,
        "status": execution.status.value,
        "started_at": _plain(execution.started_at),
        "stopped_at": _plain(execution.stopped_at),
    }
    if execution.error:
        found |= {"error": execution.error, "cause": execution.cause}
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def _print_json(value: object) -> None:
    """Print a document, whatever the width of the terminal."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
