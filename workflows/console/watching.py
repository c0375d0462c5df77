"""An execution as the pages look at it: what Step Functions says of it, and what its history has come to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from flask import current_app, url_for

from common.errors import InputNotFoundError
from common.json_types import JsonObject
from workflows.console import formats
from workflows.console.console import EXTENSION, Console
from workflows.console.fleet import FleetSummary, fleet_plan, fleet_summary
from workflows.console.graph import NodeState, items_of, node_states
from workflows.console.histories import ExecutionHistory
from workflows.console.references import ExecutionReference, MapRunReference, StateMachine
from workflows.console.rerun import failures_of
from workflows.console.states import Visit
from workflows.executions import ExecutionStatus

_REDRIVABLE: Final = "REDRIVABLE"


@dataclass(frozen=True, slots=True)
class Watched:
    """An execution that a page shows.

    Attributes
    ----------
    reference : ExecutionReference
    machine : StateMachine
    described : dict
        As DescribeExecution has it.
    history : ExecutionHistory
        As far as it has been read.
    map_runs : dict
        What Step Functions says of its Map Runs, by their ARNs; None for one that it knows no longer.
    """

    reference: ExecutionReference
    machine: StateMachine
    described: dict[str, Any]
    history: ExecutionHistory
    map_runs: Mapping[str, JsonObject | None]

    @property
    def status(self) -> ExecutionStatus:
        """What Step Functions says."""
        return ExecutionStatus(self.described["status"])

    @property
    def started(self) -> datetime:
        """When it started."""
        started: datetime = self.described["startDate"]
        return started

    @property
    def stopped(self) -> datetime | None:
        """When it ended; None while it runs."""
        return self.described.get("stopDate")

    @property
    def running(self) -> bool:
        """Whether a page of it is to be asked for again."""
        return self.status in {ExecutionStatus.RUNNING, ExecutionStatus.PENDING_REDRIVE}

    @property
    def changing(self) -> bool:
        """Whether there is more to show, or will be."""
        return self.running or not self.history.complete

    @property
    def version(self) -> str:
        """Differs when there is something new: in the history, or in what its Map Runs count."""
        counts = [f".{count}" for run in self.map_runs.values() if run for count in run["itemCounts"].values()]
        return f"{len(self.history.events)}.{self.status}.{self.history.complete}{''.join(counts)}"

    @property
    def output(self) -> Any:
        """What it returned, parsed; None where it returned nothing."""
        return formats.parsed(self.described.get("output"))

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The entities that could not be calculated."""
        return failures_of(self.output)

    @property
    def fleet_summary(self) -> FleetSummary | None:
        """What a fleet run came to; None of other executions, and of one that has none yet."""
        if self.running:
            return None
        # One that failed says it in what it failed on.
        return fleet_summary(self.output if self.status is ExecutionStatus.SUCCEEDED else self._last_input)

    @property
    def fleet_facts(self) -> list[tuple[str, str]]:
        """What the head of a fleet run tells; empty of other executions."""
        if self.status is ExecutionStatus.SUCCEEDED:
            return summary.facts if (summary := self.fleet_summary) else []
        given = self._last_input
        if (told := fleet_summary(given)) is not None:
            return told.facts
        if (plan := fleet_plan(given)) is None:
            return []
        counted = [items_of(run["itemCounts"]) for run in self.map_runs.values() if run]
        return plan.facts(counted[-1] if counted else None)

    @property
    def _last_input(self) -> Any:
        """What the state was given that it has entered last."""
        last = self.history.visits.visits[-1:]
        return formats.parsed(last[0].input) if last else None

    @property
    def failures_manifest(self) -> str | None:
        """What a request calls the manifest of what a fleet run could not calculate; None where there is none."""
        summary, files = self.fleet_summary, console().fleet_files
        if summary is None or files is None or not summary.failed:
            return None
        try:
            return files.source(self.reference.name, summary.failures)
        except InputNotFoundError:
            return None

    @property
    def redrivable(self) -> bool:
        """Whether Step Functions offers to go on with it; engines on a laptop do not."""
        return self.described.get("redriveStatus") == _REDRIVABLE

    def map_runs_of(self, visit: Visit) -> list[tuple[MapRunReference, JsonObject | None]]:
        """Return the Map Runs that a visit of a distributed Map has started."""
        started = self.history.visits.map_runs
        return [(MapRunReference.of(arn), run) for arn, run in self.map_runs.items() if started[arn] is visit]

    def node_states(self) -> dict[str, NodeState]:
        """Return how each state has gone, a distributed Map with the items of its Map Run."""
        states = dict(node_states(self.history.visits))
        for arn, run in self.map_runs.items():
            name = self.history.visits.map_runs[arn].name
            states[name] = replace(states[name], iterations=items_of(run["itemCounts"]) if run else None)
        return states

    @property
    def tabs(self) -> list[tuple[str, str]]:
        """The views of it, and what they are called."""
        tabs = [
            ("graph", "Graph"),
            ("steps", "Steps"),
            ("events", "Events"),
            ("timeline", "Timeline"),
            ("data", "Input and output"),
            ("definition", "Definition"),
        ]
        return [*tabs, ("map_runs.listed", "Map Runs")] if self.history.visits.map_runs else tabs

    def url(self, view: str = "graph", **options: Any) -> str:
        """Return the address of a view of it; `actions.stop` where the view is another module's."""
        return url_for(view if "." in view else f"executions.{view}", **_named(self.reference), **options)


def _map_run(arn: str) -> JsonObject | None:
    try:
        return console().service.map_run(arn)
    except InputNotFoundError:
        return None


def console() -> Console:
    """Return what the application shows."""
    found: Console = current_app.extensions[EXTENSION]
    return found


def machine_called(name: str) -> StateMachine:
    """Return a state machine that is watched; others are not there."""
    try:
        return console().machines[name]
    except KeyError:
        raise InputNotFoundError("There is no state machine of this name here.") from None


def watched(machine: str, name: str, label: str | None, *, read: bool = True) -> Watched:
    """Return the execution of an address, with what is new in its history unless that is not to be `read`."""
    reference = ExecutionReference(machine, name, label)
    owner = machine_called(machine)
    arn = reference.arn(owner)
    described = console().service.execution(arn)
    histories = console().histories
    history = histories.read(arn) if read else ExecutionHistory(arn)
    if history.ended and described["status"] == ExecutionStatus.RUNNING:
        described = console().service.execution(arn)  # it may have ended between the two questions
        if described["status"] == ExecutionStatus.RUNNING:
            histories.forget(arn)  # somebody has redriven it
            history = histories.read(arn)
    runs = {arn: _map_run(arn) for arn in list(history.visits.map_runs)}
    return Watched(reference, owner, described, history, runs)


def reference_url(reference: ExecutionReference) -> str:
    """Return the address of an execution's graph."""
    return url_for("executions.graph", **_named(reference))


def _named(reference: ExecutionReference) -> dict[str, Any]:
    names: dict[str, Any] = {"machine": reference.machine, "name": reference.name}
    return names | ({"label": reference.label} if reference.label else {})
