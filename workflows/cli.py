"""`perfcalc`: run calculations, follow them, and read what came of them."""
# ruff: noqa: E402 - the other imports take half a second, and a Ctrl-C may come meanwhile

import sys

# Until `main` answers signals: Python dies of the signal as it would, but without a traceback.
sys.excepthook = lambda kind, *error: None if kind is KeyboardInterrupt else sys.__excepthook__(kind, *error)

import json
import os
import shlex
import shutil
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from common.errors import Fault, InvalidRequestError, PerformanceCalculatorError, PermanentError, StoreError
from common.models.limits import MAX_CONCURRENCY
from common.models.results import EntityType
from common.stores.ports import ResultKey
from workflows import presentation
from workflows.definitions import lint as lint_definition
from workflows.definitions import load
from workflows.executions import Execution, ExecutionClient, ExecutionStatus, MapProgress
from workflows.registry import BACKFILL_QUEUE, STATE_MACHINES, TASKS
from workflows.staging import check, stage

if TYPE_CHECKING:
    from workflows.local.runtime import LocalRuntime

LARGEST_REQUEST_BYTES = 64 * 1024 * 1024
# Where the output is no terminal and COLUMNS does not tell: wide enough that nothing is left out or folded.
PIPE_WIDTH = 200


class ExitCode(IntEnum):
    """What the shell is told."""

    SUCCEEDED = 0
    FAILED = 1
    INVALID_REQUEST = 2
    PARTIAL = 3


class Stopped(BaseException):
    """Ctrl-C, or another signal that asks the process to end; typer ends a KeyboardInterrupt without a word."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number  # as shells have it: 130 is Ctrl-C


class NothingThereError(PermanentError):
    """The data directory was never used."""


app = typer.Typer(
    name="perfcalc",
    help="Investment performance for one portfolio or many: the whole workflow, on this machine.",
    epilog="Start with: perfcalc run examples/single.json",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(
    markup=False, highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
)
err = Console(markup=False, highlight=False, soft_wrap=True, stderr=True)

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where results and executions are kept.",
        envvar="PERFCALC_DATA_DIR",
        file_okay=False,
        writable=True,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DEFAULT_DATA_DIR = Path(".perfcalc")


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print("perfcalc", version("performance-calculator"))
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of all commands."""


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
    document, base = _read_request(request)
    if max_concurrency is not None and isinstance(document, dict):
        document["max_concurrency"] = max_concurrency
    # A wrong request is told before anything is started or written.
    checked = check(document, base)
    with _runtime(data_dir) as runtime:
        staged = stage(checked, base, runtime.payload_store, runtime.payload_bucket)
        if not as_json:
            for line in runtime.describe():
                err.print(line, style="dim")
        execution = _follow(runtime.executions, staged.request)
        report = _report(runtime, execution, staged.origins)
    if as_json:
        _print_json(report)
    else:
        _print_report(report, execution, data_dir)
    raise typer.Exit(ExitCode[report["status"]])


@app.command(epilog="Examples:\n\nperfcalc history\n\nperfcalc history market-2022-12-28-0123456789ab")
def history(
    execution: Annotated[str | None, typer.Argument(metavar="EXECUTION", help="Name of an execution.")] = None,
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List past executions, or show the events of one EXECUTION."""
    with _runtime(data_dir, there=True) as runtime:
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
    out.print(presentation.status_text(described.status), f"in {presentation.took(described)}")


@app.command(
    epilog="Examples:\n\nperfcalc results growth-dca\n\n"
    "perfcalc results growth-dca --from 2022-01-01 --period 1Y --json"
)
def results(
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="Id of a portfolio.")],
    *,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First date, YYYY-MM-DD.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="Last date.")
    ] = None,
    period: Annotated[
        str | None, typer.Option("--period", metavar="PERIOD", help="One period alone, such as 1Y.")
    ] = None,
    entity_type: Annotated[EntityType, typer.Option("--entity-type", help="What the id names.")] = EntityType.PORTFOLIO,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the stored results of one entity, each metric with the reason where there is none."""
    if start and end and start > end:
        raise typer.BadParameter(f"{start:%Y-%m-%d} is after --to {end:%Y-%m-%d}.", param_hint="'--from'")
    first, last = (each.date() if each else None for each in (start, end))
    with _runtime(data_dir, there=True) as runtime:
        found = list(runtime.result_store.history(entity_type, entity_id, start=first, end=last))
    rows = [_only_periods(row, [period]) for row in found if period in row["periods"]] if period else found
    if as_json:
        _print_json(rows)
    elif found and not rows:
        labels = ", ".join(presentation.in_order(found))
        err.print(f"{entity_type} {entity_id} has no results for {period}; it has {labels}.", style="red")
    elif not rows:
        dates = " on these dates" if start or end else ""
        err.print(f"{data_dir} has no results for {entity_type} {entity_id}{dates}.", style="red")
    elif len(rows) == 1:
        out.print(presentation.row_sheet(rows[0], out.width))
    else:
        out.print(presentation.rows_table(rows, period))
    raise typer.Exit(ExitCode.SUCCEEDED if rows else ExitCode.FAILED)


@app.command(
    epilog='Example:\n\nperfcalc query "SELECT time, measure_value::double AS twr FROM '
    "investment_performance.performance_metrics WHERE entity_id = 'growth-dca' AND measure_name = 'twr'\""
)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Run SQL over the time series of all results."""
    with _runtime(data_dir, there=True) as runtime:
        columns, found = runtime.time_series_reader.query(sql)
        rows = [{name: _plain(row[name]) for name in columns} for row in found]
    if as_json:
        _print_json(rows)
    else:
        out.print(presentation.rows_of_query(columns, rows))


@app.command(epilog="Example:\n\nperfcalc lint")
def lint() -> None:
    """Check the state machine definitions: JSON, ASL, placeholders, unreachable states."""
    known = {*TASKS, BACKFILL_QUEUE}
    faults: list[tuple[str, Fault]] = []
    for name, file in STATE_MACHINES.items():
        faults += [(file, fault) for fault in lint_definition(load(name), known)]
    for file, fault in faults:
        err.print(f"{file}: {fault}", style="red")
    if faults:
        raise typer.Exit(ExitCode.FAILED)
    out.print(f"{', '.join(STATE_MACHINES.values())}: no faults")


def main() -> None:
    """Run the command line; an error becomes one message, never a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # which nohup has set
            signal.signal(number, _stop)
    # `perfcalc results x | head` closes the pipe early; that is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except Stopped as stopped:
        _fail("Stopped.", stopped.exit_code)
    except InvalidRequestError as error:
        _fail(str(error), ExitCode.INVALID_REQUEST)
    except PerformanceCalculatorError as error:
        _fail(str(error), ExitCode.FAILED)
    except OSError as error:  # a full disk, a directory that may not be written
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: the trace goes to a file, the user gets a sentence
        _fail(f"Unexpected error: {error}\nIts trace is in {_keep_trace()}.", ExitCode.FAILED)


def _stop(number: int, _: FrameType | None) -> None:
    # The stores are closed first, which may take seconds. A second signal ends the process as it stands, like a
    # kill -9, and the next command tidies up.
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def _fail(message: str, code: int) -> None:
    err.print(message, style="red")
    sys.exit(code)


def _keep_trace() -> str:
    with NamedTemporaryFile("w", prefix="perfcalc-", suffix=".log", delete=False) as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {shlex.join(sys.argv)}\n{traceback.format_exc()}")
    return file.name


def _read_request(path: Path) -> tuple[Any, Path]:
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


@contextmanager
def _runtime(data_dir: Path, *, there: bool = False) -> Iterator["LocalRuntime"]:
    """Open the world in `data_dir`, which for a command that only reads must be `there`."""
    if there and not data_dir.exists():
        raise NothingThereError(
            f"Nothing has been run in {data_dir} yet: start with `perfcalc run examples/single.json`."
        )
    # A store that goes away is an error here, not the end of the process, which would leave things behind.
    ending = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGPIPE, ending)
        with err.status("Starting"):
            from workflows.local.runtime import LocalRuntime  # noqa: PLC0415 - moto takes a second to import

            runtime = stack.enter_context(LocalRuntime(data_dir))
        try:
            yield runtime
        except Stopped:
            _stop_executions(runtime.executions)
            raise


def _stop_executions(executions: ExecutionClient) -> None:
    for execution in list(executions.list(status=ExecutionStatus.RUNNING)):
        err.print(f"Stopping {execution.name}; running it again ends in the same results.", style="dim")
        executions.stop(execution.name, error="Interrupted", cause="Stopped by the user.")


def _follow(executions: ExecutionClient, request: Mapping[str, Any]) -> Execution:
    """Start the execution and wait for its end, showing how far it is."""
    execution = executions.start_or_attach(request)
    progress = Progress(
        SpinnerColumn(),
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
        transient=True,
    )
    with progress:
        task = progress.add_task("Calculating portfolios", total=None)

        def show(seen: MapProgress) -> None:
            progress.update(task, total=seen.total or None, completed=seen.succeeded + seen.failed)

        return executions.wait(execution.name, on_progress=show if err.is_terminal else None)


def _report(runtime: "LocalRuntime", execution: Execution, origins: Mapping[str, str]) -> dict[str, Any]:
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
        "failures": [{**each, "message": _by_origin(each["message"], origins)} for each in summary["failures"]],
        **{name: summary[name] for name in ("dynamodb", "timestream") if name in summary},
    }


def _print_report(report: Mapping[str, Any], execution: Execution, data_dir: Path) -> None:
    if report["results"]:
        out.print(presentation.results_table(report["results"], out.width), "")
    if report["failures"]:
        out.print(presentation.failures_table(report["failures"]), "")
    counts = f"{len(report['results'])} calculated, {len(report['failures'])} failed, in {presentation.took(execution)}"
    out.print(presentation.status_text(report["status"]), counts)
    time_series = report.get("timestream", {})
    if time_series.get("status") == "BACKFILL_QUEUED":
        out.print(
            f"Timestream did not take the results ({time_series['error']}); DynamoDB has them, and a message in the "
            "backfill queue names them.",
            style="yellow",
        )
    elif time_series.get("rejected"):
        out.print(f"Timestream rejected {time_series['rejected']} record(s):", style="yellow")
        for each in time_series["rejections"]:
            out.print(f"  {each['entity_id']} {each['time_period']} {each['measure']}: {each['reason']}")
    if execution.error and execution.error != "AllPortfoliosFailed":
        out.print(f"{execution.error}: {presentation.message_of(execution.cause)}", style="red")
    out.print()
    for name, command in _next_steps(report, data_dir):
        out.print(f"{name:<12}{command}", soft_wrap=True)


def _next_steps(report: Mapping[str, Any], data_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield the execution's name and what can be typed to see more."""
    name = report["execution"]["name"]
    option = [] if data_dir == DEFAULT_DATA_DIR else ["--data-dir", str(data_dir)]
    # As it was called where it is not on the PATH: `make run` leaves the environment it made to itself.
    perfcalc = "perfcalc" if shutil.which("perfcalc") else os.path.relpath(sys.argv[0])
    yield "Execution", name
    yield "Its events", shlex.join([perfcalc, "history", name, *option])
    if report["results"]:
        yield "One result", shlex.join([perfcalc, "results", report["results"][0]["entity_id"], *option])


def _by_origin(message: str, origins: Mapping[str, str]) -> str:
    """Return the message with the user's own paths in the place of the objects they were put into."""
    for uri, origin in origins.items():
        message = message.replace(uri, origin)
    return message


def _only_periods(row: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, Any]:
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
    """Print a document: in UTF-8, as JSON is, and whatever the width of the terminal."""
    sys.stdout.buffer.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
