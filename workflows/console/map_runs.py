"""The pages of Map Runs: how far the iterations of a distributed Map are, each an execution of its own."""

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from common.errors import StoreError
from common.json_types import JsonObject
from workflows.console.listing import listed_execution
from workflows.console.references import ExecutionReference, MapRunReference
from workflows.console.watching import console, machine_called, watched
from workflows.executions import ExecutionStatus

pages = Blueprint("map_runs", __name__)

COUNTS = ("total", "succeeded", "failed", "running", "pending", "aborted", "timedOut", "resultsWritten")


@pages.get("/executions/<machine>/<name>/map-runs")
def listed(machine: str, name: str) -> ResponseReturnValue:
    """Show the Map Runs of an execution."""
    execution = watched(machine, name, None)
    started = execution.history.visits.map_runs
    runs = [(MapRunReference.of(arn), run, started[arn].name) for arn, run in execution.map_runs.items()]
    addresses = {reference.run: _url(reference) for reference, _, _ in runs}
    template = "_map_runs.html" if "part" in request.args else "map_runs.html"
    return render_template(
        template, execution=execution, view="map_runs.listed", runs=runs, addresses=addresses, counts=COUNTS
    )


@pages.get("/map-runs/<machine>/<label>/<run>")
def one(machine: str, label: str, run: str) -> ResponseReturnValue:
    """Show a Map Run, and a page of its executions."""
    reference = MapRunReference(machine, label, run)
    arn = reference.arn(machine_called(machine))
    described = console().service.map_run(arn)
    status = request.args.get("status", "")
    children: JsonObject = {"executions": []}
    missing = "" if console().keeps_children else "On this machine the executions of a Map Run are not kept."
    if not missing:
        try:
            children = console().service.children(
                arn,
                status=status if status in set(ExecutionStatus) else None,
                token=request.args.get("after") or None,
            )
        except StoreError as error:  # EXPRESS ones have no list; what they wrote is in the log
            missing = f"They cannot be listed. {error}"
    return render_template(
        "map_run.html",
        reference=reference,
        url=_url(reference),
        run=described,
        counts=COUNTS,
        missing=missing,
        parent=ExecutionReference.of(described["executionArn"]) if "executionArn" in described else None,
        status=status,
        execution_statuses=list(ExecutionStatus),
        executions=[listed_execution(each) for each in children["executions"]],
        following=children.get("nextToken"),
    )


def _url(reference: MapRunReference) -> str:
    return url_for("map_runs.one", machine=reference.machine, label=reference.label, run=reference.run)
