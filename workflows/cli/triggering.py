"""`perfcalc nightly`, `upload` and `recalculate`: what on AWS a schedule or an upload does."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn
from zoneinfo import ZoneInfo

import typer

from common.access import MANIFESTS
from common.config import CalendarSettings
from common.errors import Fault, InvalidRequestError
from common.models.kinds import EntityType
from workflows import presentation
from workflows.cli.app import DEFAULT_DATA_DIR, AsJson, DataDir, ExitCode, app, err, open_runtime, out, print_json
from workflows.cli.fleet import fleet_report, print_fleet
from workflows.cli.report import execution_json
from workflows.cli.usage import examples, parse_day
from workflows.executions import Execution, ExecutionClient, ExecutionStatus
from workflows.registry import FLEET
from workflows.staging import open_source

# It goes through this machine's memory; what starts a run reads a long one row by row.
_MAX_UPLOAD_BYTES = 256 * 1024 * 1024
_SUMS = frozenset({"started", "cleared", "rows", "executions"})


@app.command(epilog=examples("perfcalc nightly", "perfcalc nightly --date 2022-12-29 --entity-type account"))
def nightly(
    *,
    on: Annotated[
        date | None,
        typer.Option("--date", parser=parse_day, metavar="DATE", help="The night of this date.", show_default="today"),
    ] = None,
    entity_types: Annotated[
        list[EntityType] | None,
        typer.Option(
            "--entity-type",
            metavar="TYPE",
            help="What to calculate: portfolio, account or security; may be given several times.",
            show_default="portfolio",
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Calculate everything in the books for the last business day before a date, once."""
    with open_runtime(data_dir) as runtime:
        from workflows.local.event_sources import scheduled  # noqa: PLC0415 - see open_runtime

        zone = ZoneInfo(CalendarSettings.from_env().time_zone)
        day = on or datetime.now(zone).date()
        moment = datetime.combine(day, time(), zone) + timedelta(hours=1, minutes=30)
        wanted = [each.value for each in entity_types or (EntityType.PORTFOLIO,)]
        report = runtime.invoke("NightlySchedule", scheduled(moment.astimezone(UTC), entity_types=wanted))
        (ended,) = _wait_for(runtime.fleet, [report["execution"]])
        summary = fleet_report(runtime, ended, data_dir)
    if not as_json:
        begun = "started now" if report["started"] else "was started before"
        out.print(f"The night of {day}, for {report['as_of_date']}, {begun}", "")
        if not summary.get("entities", 1):
            out.print("Nothing to calculate: load the books with `perfcalc import`.", "")
    _tell_fleet(ended, report, summary, data_dir, as_json=as_json)


@app.command(epilog=examples("perfcalc upload month-end.json --client acme"))
def upload(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A request, or its portfolios: see the README.")],
    *,
    client: Annotated[str, typer.Option("--client", metavar="ID", help="Into whose folder.")],
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Put a MANIFEST into a client's folder of the upload bucket, which starts a run of that client."""
    try:
        with open_source(manifest, _MAX_UPLOAD_BYTES) as file:
            body = file.read()
    except OSError as error:
        raise InvalidRequestError([Fault(str(manifest), error.strerror or str(error))]) from None
    with open_runtime(data_dir) as runtime:
        report = runtime.upload(f"{MANIFESTS}/{client}/{manifest.name}", body)
        if report["status"] == "REJECTED":
            told = json.loads(runtime.payload_store.get(report["key"]))
            raise InvalidRequestError([Fault(**fault) for fault in told["faults"]])
        if report["state_machine"] == FLEET:
            (run,) = _wait_for(runtime.fleet, [report["execution"]])
            _tell_fleet(run, report, fleet_report(runtime, run, data_dir), data_dir, as_json=as_json)
        ended = _wait_for(runtime.executions, [report["execution"]])
    _tell(ended, report, as_json=as_json)


@app.command(epilog=examples("perfcalc recalculate"))
def recalculate(*, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Calculate again what back-dated transactions have made wrong."""
    with open_runtime(data_dir, there=True) as runtime:
        report = runtime.invoke("Recalculation", {})
        ended = _wait_for(runtime.executions, report["executions"])
        # Another sweep sees that they are done, and takes on what was too much for the first.
        while ended and (after := runtime.invoke("Recalculation", {}))["executions"]:
            ended += _wait_for(runtime.executions, after["executions"])
            report = {name: value + report[name] if name in _SUMS else value for name, value in after.items()}
    if not as_json:
        out.print(f"{report['rows']} stored result(s) to calculate again")
        if report["failing"]:
            out.print(
                f"{report['failing']} portfolio(s) cannot be calculated again; see their last execution.", style="red"
            )
    _tell(ended, report, as_json=as_json)


def _wait_for(executions: ExecutionClient, names: Sequence[str]) -> list[Execution]:
    ended = []
    with err.status("Calculating") as status:
        for number, name in enumerate(names, start=1):
            status.update(f"Calculating, {number} of {len(names)}: {name}")
            ended.append(executions.wait(name))
    return ended


def _tell(ended: Sequence[Execution], report: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what came of executions and exit with the worst of them."""
    codes = {_exit_code(each) for each in ended}
    if as_json:
        executions = [{**execution_json(each), "output": each.output} for each in ended]
        print_json({**report, "executions": executions})
    elif ended:
        out.print(presentation.outcomes_table(ended))
    worst_first = (ExitCode.FAILED, ExitCode.INVALID_REQUEST, ExitCode.PARTIAL)
    raise typer.Exit(next((code for code in worst_first if code in codes), ExitCode.SUCCEEDED))


def _tell_fleet(
    ended: Execution, report: Mapping[str, Any], summary: Mapping[str, Any], data_dir: Path, *, as_json: bool
) -> NoReturn:
    """Print what came of a fleet run and exit accordingly."""
    if as_json:
        print_json({**report, **summary})
    else:
        print_fleet(summary, ended, data_dir)
    raise typer.Exit(ExitCode.INVALID_REQUEST if ended.request_faults else ExitCode[summary["status"]])


def _exit_code(execution: Execution) -> ExitCode:
    if execution.request_faults:
        return ExitCode.INVALID_REQUEST
    if execution.status is not ExecutionStatus.SUCCEEDED:
        return ExitCode.FAILED
    return ExitCode[execution.output["status"]]
