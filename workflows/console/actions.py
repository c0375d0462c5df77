"""What the pages do: stop, redrive, run again, start. Each is a POST that a person has confirmed."""

import json
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from common.errors import Fault, InvalidRequestError
from common.stores.botocore_errors import typed_errors
from workflows.console.json_places import line_of, lines_of
from workflows.console.references import ExecutionReference
from workflows.console.rerun import NothingToRerunError, manifest_request, rerun_request
from workflows.console.watching import Watched, console, reference_url, watched
from workflows.executions import ExecutionClient

pages = Blueprint("actions", __name__)


@dataclass(frozen=True, slots=True)
class PlacedFault:
    """A fault of a request, and the line of the text that it is about."""

    fault: Fault
    line: int | None


@pages.post("/executions/<machine>/<name>/stop")
@pages.post("/children/<machine>/<label>/<name>/stop")
def stop(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Stop an execution."""
    execution = watched(machine, name, label, read=False)
    console().service.stop(execution.history.arn)
    return redirect(execution.url(), 303)


@pages.post("/executions/<machine>/<name>/redrive")
@pages.post("/children/<machine>/<label>/<name>/redrive")
def redrive(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Let an execution go on from where it failed."""
    execution = watched(machine, name, label, read=False)
    console().service.redrive(execution.history.arn)
    console().histories.forget(execution.history.arn)
    return redirect(execution.url(), 303)


@pages.post("/executions/<machine>/<name>/rerun")
def rerun(machine: str, name: str) -> ResponseReturnValue:
    """Start an execution on the same input."""
    execution = watched(machine, name, None, read=False)
    return _started(execution, json.loads(execution.described.get("input", "{}")))


@pages.post("/executions/<machine>/<name>/rerun-failures")
def rerun_failures(machine: str, name: str) -> ResponseReturnValue:
    """Start an execution on what failed alone."""
    execution = watched(machine, name, None)
    request_ = json.loads(execution.described.get("input", "{}"))
    if execution.fleet_summary is None:
        return _started(execution, rerun_request(request_, execution.output))
    if (manifest := execution.failures_manifest) is None:
        raise NothingToRerunError("Nothing failed in this fleet run, or the manifest of what failed is not there.")
    again = manifest_request(request_, manifest)
    if (starter := console().starter) is None:
        return _started(execution, again)
    # Brings a manifest of this machine to where a run that is bound to a client may read it.
    return redirect(reference_url(ExecutionReference.of(starter(again))), 303)


@pages.get("/start")
def start_form() -> ResponseReturnValue:
    """Show the form that a request is written in."""
    return render_template("start.html", text="", faults=())


@pages.post("/start")
def start() -> ResponseReturnValue:
    """Start an execution of a request, or show what is wrong with it beside its text."""
    starter = console().starter
    if starter is None:
        raise NothingToRerunError("Nothing can be started here.")
    upload = request.files.get("file")
    try:
        text = upload.read().decode("utf-8-sig") if upload else request.form.get("request", "")
    except UnicodeDecodeError:
        return _faulty("", [PlacedFault(Fault("$", "the file is not UTF-8 text"), None)])
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        return _faulty(text, [PlacedFault(Fault(where, f"is not JSON: {error.msg}"), error.lineno)])
    except (ValueError, RecursionError):  # a number of thousands of digits, or nested without end
        return _faulty(text, [PlacedFault(Fault("$", "is not JSON that can be read"), None)])
    try:
        arn = starter(document)
    except InvalidRequestError as error:
        places = lines_of(text)
        return _faulty(text, [PlacedFault(fault, line_of(places, fault.path)) for fault in error.faults])
    return redirect(reference_url(ExecutionReference.of(arn)), 303)


def _started(execution: Watched, document: object) -> ResponseReturnValue:
    if not console().may_start:
        raise NothingToRerunError("Nothing can be started here: another process has this world open.")
    if not isinstance(document, dict):
        raise NothingToRerunError("The input of this execution is no JSON object.")
    client = ExecutionClient(console().client, execution.machine.start_arn)
    with typed_errors("Step Functions"):
        started = client.start_or_attach(document)
    return redirect(reference_url(ExecutionReference.of(started.arn)), 303)


def _faulty(text: str, faults: list[PlacedFault]) -> ResponseReturnValue:
    return render_template("start.html", text=text, faults=faults), 400
