"""The pages of executions: the list, and one of them as graph, table, events, timeline, documents and definition."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from flask import Blueprint, Response, abort, jsonify, render_template, request, url_for
from flask.typing import ResponseReturnValue

from common.errors import InputNotFoundError
from workflows.console import formats
from workflows.console.events import GROUPS, event_line, event_page, event_types, find_event
from workflows.console.fleet import first_failures
from workflows.console.graph import graph_of, run_in_children, taken
from workflows.console.listing import Filter, list_executions
from workflows.console.states import StateStatus, Visit
from workflows.console.steps import iteration_label, step_page, worst_first
from workflows.console.timeline import timeline_of
from workflows.console.watching import Watched, console, watched
from workflows.definition_lint import lint
from workflows.executions import ExecutionStatus

pages = Blueprint("executions", __name__)

_FILTERS: Final = ("status", "text", "machine", "state", "type")
_VISITS_OF_A_STATE: Final = 100
_ADDRESS: Final = ("/executions/<machine>/<name>", "/children/<machine>/<label>/<name>")
_View = TypeVar("_View", bound=Callable[..., ResponseReturnValue])
_Choice = TypeVar("_Choice", bound=StrEnum)


def _route(view: str) -> Callable[[_View], _View]:
    """Let a function answer for a view of an execution, whoever started that: a person or a distributed Map."""

    def register(function: _View) -> _View:
        for address in _ADDRESS:
            pages.add_url_rule(f"{address}{view}", function.__name__, function)
        return function

    return register


def _page(template: str, execution: Watched, view: str, **values: Any) -> str:
    return render_template(template, execution=execution, view=view, **values)


@pages.get("/")
@pages.get("/executions")
def listed() -> ResponseReturnValue:
    """Show the list of executions."""
    chosen = Filter(
        status=_chosen(ExecutionStatus, "status"),
        text=request.args.get("text", "").strip(),
        machine=request.args.get("machine") or None,
    )
    after = request.args.get("after") or None
    page = list_executions(console().service, console().machines, chosen, after)
    template = "_executions.html" if "part" in request.args else "list.html"
    return render_template(
        template, page=page, chosen=chosen, after=after, filters=_filters(), execution_statuses=list(ExecutionStatus)
    )


@_route("")
def graph(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show an execution as the graph of its definition."""
    return _page("graph.html", watched(machine, name, label), "graph")


@_route("/graph.json")
def graph_document(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Return the graph, and how the execution has gone through it."""
    execution = watched(machine, name, label)
    scope = graph_of(_definition(execution))
    return jsonify(
        scope=asdict(scope),
        statuses={each.value: each.text for each in StateStatus},
        **_progress(execution),
    )


@_route("/live.json")
def live(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Return what is new: the head of the page, and the colours of the graph where they are asked for."""
    execution = watched(machine, name, label)
    told = {
        "version": execution.version,
        "changing": execution.changing,
        "head": render_template("_head.html", execution=execution),
        "actions": render_template("_actions.html", execution=execution),
    }
    return jsonify({**told, **(_progress(execution) if "graph" in request.args else {})})


@_route("/steps")
def steps(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show a line for each visit of a state."""
    execution = watched(machine, name, label)
    status, text = _chosen(StateStatus, "status"), request.args.get("text", "").strip()
    state = request.args.get("state", "")
    page = step_page(
        execution.history.visits, execution.started, status=status, text=text, name=state, number=_number("page")
    )
    names = list(dict.fromkeys(visit.name for visit in execution.history.visits.visits))
    values = {"page": page, "status": status, "text": text, "state": state, "names": names, "filters": _filters()}
    if "part" in request.args:
        return render_template("_steps.html", execution=execution, **values)
    return _page("steps.html", execution, "steps", **values)


@_route("/steps/<int:number>")
def step(machine: str, name: str, number: int, label: str | None = None) -> ResponseReturnValue:
    """Show all about one visit of a state."""
    execution = watched(machine, name, label)
    visit = execution.history.visits.visit(number)
    if visit is None:
        raise InputNotFoundError("This execution has not entered a state with this event.")
    values = _about(execution, visit)
    if "part" in request.args:
        return render_template("_step.html", execution=execution, **values)
    return _page("step.html", execution, "steps", **values)


@_route("/states/<path:state>")
def state(machine: str, name: str, state: str, label: str | None = None) -> ResponseReturnValue:
    """Show how often a state was visited and how that went; the visit itself where there is one alone."""
    execution = watched(machine, name, label)
    found = [visit for visit in execution.history.visits.visits if visit.name == state]
    part = "part" in request.args
    if len(found) == 1:
        values = _about(execution, found[0])
        if part:
            return render_template("_step.html", execution=execution, **values)
        return _page("step.html", execution, "steps", **values)
    inside = not found and not label and state in run_in_children(graph_of(_definition(execution)))
    values = {
        "state": state,
        "in_children": inside,
        "told": execution.node_states().get(state),
        "visits": [(visit, iteration_label(visit.iteration)) for visit in worst_first(found)[:_VISITS_OF_A_STATE]],
        "count": len(found),
    }
    if part:
        return render_template("_state.html", execution=execution, **values)
    return _page("state.html", execution, "steps", **values)


@_route("/steps/<int:number>/<which>.json")
def step_document(machine: str, name: str, number: int, which: str, label: str | None = None) -> ResponseReturnValue:
    """Download a visit's input or output."""
    visit = watched(machine, name, label).history.visits.visit(number)
    found = {"input": visit.input, "output": visit.output}.get(which) if visit else None
    return _download(found, f"{name}-{number}-{which}.json")


@_route("/events")
def events(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show every event."""
    execution = watched(machine, name, label)
    kind, text = request.args.get("type", ""), request.args.get("text", "").strip()
    page = event_page(execution.history, execution.started, kind=kind, text=text, number=_number("page"))
    types = event_types(execution.history)
    values = {"page": page, "kind": kind, "text": text, "groups": GROUPS, "types": types, "filters": _filters()}
    if "part" in request.args:
        return render_template("_events.html", execution=execution, **values)
    return _page("events.html", execution, "events", **values)


@_route("/events/<int:number>")
def event(machine: str, name: str, number: int, label: str | None = None) -> ResponseReturnValue:
    """Show all that an event says."""
    execution = watched(machine, name, label)
    found = find_event(execution.history, number)
    if found is None:
        raise InputNotFoundError("This execution has no event of this number.")
    values = {"line": event_line(execution.history, found, execution.started), "document": formats.document(found)}
    if "part" in request.args:
        return render_template("_event.html", execution=execution, **values)
    return _page("event.html", execution, "events", **values)


@_route("/timeline")
def timeline(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show states and iterations as bars over time."""
    return _page("timeline.html", watched(machine, name, label), "timeline")


@_route("/timeline.json")
def timeline_document(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Return the rows of the timeline, each bar as [start, end, status, label, visit]."""
    execution = watched(machine, name, label)
    found = timeline_of(execution.history.visits, execution.started, execution.stopped or datetime.now(UTC))
    rows = [
        {
            "name": row.name,
            "depth": row.depth,
            "bars": [[bar.start, bar.end, bar.status, bar.label, bar.visit] for bar in row.bars],
        }
        for row in found.rows
    ]
    texts = {each.value: each.text for each in StateStatus}
    return jsonify(rows=rows, end=found.end, version=execution.version, statuses=texts)


@_route("/failures")
def failures(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show what a fleet run could not calculate: how many of each error, and the first of them."""
    execution = watched(machine, name, label)
    summary, files = execution.fleet_summary, console().fleet_files
    if summary is None:
        raise InputNotFoundError("This execution has no manifest of failures.")
    if files is None:
        raise InputNotFoundError("The manifest of the failures cannot be read here.")
    with closing(files.open(name, summary.failures)) as file:
        lines = first_failures(file)
    if "part" in request.args:
        return render_template("_failures.html", execution=execution, summary=summary, lines=lines)
    return _page("failures.html", execution, "failures", summary=summary, lines=lines)


@_route("/data")
def data(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show an execution's input and output."""
    return _page("data.html", watched(machine, name, label), "data")


@_route("/<any(input, output):which>.json")
def document(machine: str, name: str, which: str, label: str | None = None) -> ResponseReturnValue:
    """Download an execution's input or output."""
    described = watched(machine, name, label, read=False).described
    return _download(described.get(which), f"{name}-{which}.json")


@_route("/definition")
def definition(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Show the definition that an execution was started with, and what the linter says of it."""
    execution = watched(machine, name, label)
    text = _definition(execution)
    return _page("definition.html", execution, "definition", text=formats.pretty(text), faults=lint(text, ()))


@_route("/definition.json")
def definition_document(machine: str, name: str, label: str | None = None) -> ResponseReturnValue:
    """Download the definition."""
    execution = watched(machine, name, label, read=False)
    return _download(_definition(execution), f"{machine}.asl.json")


def _definition(execution: Watched) -> str:
    return console().service.definition(execution.history.arn)


def _progress(execution: Watched) -> Mapping[str, Any]:
    return {
        "nodes": {name: asdict(each) for name, each in execution.node_states().items()},
        "taken": sorted(taken(execution.history.visits)),
        "version": execution.version,
    }


def _about(execution: Watched, visit: Visit) -> dict[str, Any]:
    told = execution.node_states().get(visit.name) if visit.type == "Map" else None
    iterations = sorted(visit.iterations, key=lambda each: (list(StateStatus).index(each.status), each.index))
    return {
        "visit": visit,
        "iteration": iteration_label(visit.iteration),
        "told": told,
        "map_runs": [
            (url_for("map_runs.one", machine=each.machine, label=each.label, run=each.run), each, run)
            for each, run in execution.map_runs_of(visit)
        ],
        "iterations": [(each, iteration_label(each)) for each in iterations[:_VISITS_OF_A_STATE]],
        "count": len(iterations),
    }


def _download(text: str | None, name: str) -> Response:
    if text is None:
        abort(404)
    answer = Response(formats.pretty(text), mimetype="application/json")
    answer.headers.set("Content-Disposition", "attachment", filename=name)
    return answer


def _chosen(kind: type[_Choice], parameter: str) -> _Choice | None:
    """Return a value of an enumeration that an address gives; what is none is as if it were not there."""
    try:
        return kind(request.args.get(parameter, ""))
    except ValueError:
        return None


def _number(parameter: str) -> int:
    return request.args.get(parameter, 1, type=int)


def _filters() -> dict[str, str]:
    """Return what the address narrows the page to, for the links to its other pages."""
    return {name: value for name in _FILTERS if (value := request.args.get(name))}
