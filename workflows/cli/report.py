"""An execution followed to its end, and what it came to: for the screen and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from common.errors import Fault, InvalidRequestError, StoreError, message_of
from common.models.kinds import EntityType
from common.stores.ports import ResultKey
from workflows import presentation
from workflows.cli.app import ExitCode, Stopped, err, out, plain, print_json, settings, typed
from workflows.execution_history import MapProgress
from workflows.executions import Execution, ExecutionClient, ExecutionStatus
from workflows.periods import only_periods

if TYPE_CHECKING:
    from workflows.world import Readable


def follow(executions: ExecutionClient, execution: Execution, what: str, data_dir: Path) -> Execution:
    """Wait for the end of an execution, showing how far it is; `what` says what it does."""
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
        task = progress.add_task(what, total=None)

        def show(seen: MapProgress) -> None:
            progress.update(task, total=seen.total or None, completed=seen.succeeded + seen.failed)

        try:
            return executions.wait(execution.name, on_progress=show if err.is_terminal else None)
        except Stopped:
            if settings().stack:
                step = typed("watch", execution.name, data_dir=data_dir)
                err.print(f"{execution.name} goes on; to follow it: {step}", style="dim")
            raise


def report_of(world: "Readable", execution: Execution, origins: Mapping[str, str]) -> dict[str, Any]:
    """Return what a run came to: results as the store has them, failures as the execution tells them."""
    if execution.status is ExecutionStatus.SUCCEEDED:
        summary = execution.output
        status = summary["status"]
    else:
        found = world.executions.last_input(execution.name)
        status = "FAILED"
        summary = {"rows": [], "failures": _failures(found) if isinstance(found, dict) else []}
    keys = [
        ResultKey(EntityType(row["entity_type"]), row["entity_id"], date.fromisoformat(row["calculation_date"]))
        for row in summary["rows"]
    ]
    labels = execution.input.get("time_periods") if execution.input else None
    stored = world.result_store.read_many(keys)
    if missing := [key.entity_id for key in keys if key not in stored]:
        raise StoreError(f"the results of {', '.join(missing)} are not in the store")
    return {
        "execution": execution_json(execution),
        "status": status,
        "results": [only_periods(stored[key], labels) for key in keys],
        "failures": [{**each, "message": _by_origin(each["message"], origins)} for each in summary["failures"]],
        **{name: summary[name] for name in ("cached", "dynamodb", "timestream") if name in summary},
    }


def end_if_refused(execution: Execution, origins: Mapping[str, str], *, as_json: bool) -> None:
    """End the command where an execution has found its request to be wrong, as where that shows before one is started.

    Parameters
    ----------
    execution
        One that has ended.
    origins
        As `Staged` has them.
    as_json
        Whether the faults are printed as JSON too.
    """
    if not (faults := execution.request_faults):
        return
    told = [Fault(fault.path, _by_origin(fault.message, origins)) for fault in faults]
    if as_json:
        print_json({"execution": execution_json(execution), **refusal_json(told)})
    err.print(_by_origin(message_of(execution.cause), origins), style="red")
    err.print(f"Execution   {execution.name}", style="dim")
    raise typer.Exit(ExitCode.INVALID_REQUEST)


def refusal_json(faults: Iterable[Fault]) -> dict[str, Any]:
    """Return a request that was refused as `--json` prints it."""
    told = [fault._asdict() for fault in faults]
    return {"status": "FAILED", "error": InvalidRequestError.__name__, "faults": told, "results": [], "failures": []}


def _failures(state: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the failures in a state's input: added up where all entities failed, before that among the outcomes."""
    if "failures" in state:
        failures: Sequence[Mapping[str, Any]] = state["failures"]
        return failures
    return [each["failure"] for each in state.get("entities", ()) if isinstance(each, dict) and "failure" in each]


def print_report(report: Mapping[str, Any], execution: Execution, data_dir: Path) -> None:
    """Print what a run came to, and what can be typed next."""
    if report["results"]:
        out.print(presentation.results_table(report["results"], out.width), "")
    if report["failures"]:
        out.print(presentation.failures_table(report["failures"]), "")
    read = f" ({report['cached']} read from the cache)" if report.get("cached") else ""
    counts = f"{len(report['results'])} calculated{read}, {len(report['failures'])} failed, in"
    out.print(presentation.status_text(report["status"]), counts, presentation.took(execution))
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
        out.print(f"{execution.error}: {message_of(execution.cause)}", style="red")
    out.print()
    for name, command in _next_steps(report, data_dir):
        out.print(f"{name:<12}{command}", soft_wrap=True)


def _next_steps(report: Mapping[str, Any], data_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield the execution's name and what can be typed to see more."""
    name = report["execution"]["name"]
    yield "Execution", name
    yield "Its events", typed("history", name, data_dir=data_dir)
    if report["results"]:
        first = report["results"][0]
        portfolio = first["entity_type"] == EntityType.PORTFOLIO
        kind = [] if portfolio else ["--entity-type", first["entity_type"]]
        yield "One result", typed("results", first["entity_id"], *kind, data_dir=data_dir)


def _by_origin(message: str, origins: Mapping[str, str]) -> str:
    """Return the message with the user's own paths in the place of the objects they were put into."""
    for uri, origin in origins.items():
        message = message.replace(uri, origin)
    return message


def execution_json(execution: Execution) -> dict[str, Any]:
    """Return an execution as the commands print it."""
    found: dict[str, Any] = {
        "name": execution.name,
        "arn": execution.arn,
        "status": execution.status.value,
        "outcome": execution.outcome,
        "started_at": plain(execution.started_at),
        "stopped_at": plain(execution.stopped_at),
    }
    if execution.error:
        found |= {"error": execution.error, "cause": message_of(execution.cause)}
    if execution.request_faults:
        found["faults"] = [fault._asdict() for fault in execution.request_faults]
    return found
