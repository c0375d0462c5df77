"""What the tests of the console share: a real world with runs of every kind, and a client that tells anything."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError
from flask.testing import FlaskClient

from tests.workflow.test_performance_calculation import BROKEN, ThrottledError, portfolio, request
from workflows.cli import app as command_line
from workflows.cli.console import machine_arns, request_starter
from workflows.cli.fleet_files import KeptFleetFiles
from workflows.console.app import create_app
from workflows.console.console import Console
from workflows.console.references import state_machines
from workflows.console.results import StoredResults
from workflows.console.security import Gate
from workflows.console.service import StepFunctions
from workflows.executions import Execution
from workflows.local.lambda_host import Injected
from workflows.local.runtime import LocalRuntime
from workflows.settings import load_settings
from workflows.staging import check, stage

TOKEN = "let-me-in"
HOST = "127.0.0.1:8080"
ORIGIN = f"http://{HOST}"
MACHINE_ARN = "arn:aws:states:us-east-1:123456789012:stateMachine:calculation"
BEGIN = datetime(2024, 3, 29, 22, tzinfo=UTC)

Json = dict[str, Any]


@dataclass
class ConsoleWorld:
    """A local world in which three executions have ended.

    Attributes
    ----------
    mixed : Execution
        Of three portfolios one could not be calculated, and PersistDynamoDB was throttled twice.
    failed : Execution
        Nothing could be calculated.
    good : Execution
        Of two portfolios.
    """

    runtime: LocalRuntime
    mixed: Execution
    failed: Execution
    good: Execution

    @property
    def console(self) -> Console:
        """A console of this world, in which requests can be started."""
        return Console(
            client=boto3.client("stepfunctions"),
            machines=state_machines([self.runtime.executions.state_machine_arn]),
            title="a test",
            starter=self.start,
        )

    def start(self, document: Any) -> str:
        """Start a request as the command does."""
        staged = stage(check(document, Path.cwd()), Path.cwd(), self.runtime.payload_store, self.runtime.payload_bucket)
        return self.runtime.executions.start_or_attach(staged.request).arn


@contextmanager
def console_world(directory: Path) -> Iterator[ConsoleWorld]:
    """Open a world and run what the tests look at."""
    throttled: list[str] = []

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if name == "PersistDynamoDB" and event["run"]["request_id"] == "mixed" and len(throttled) < 2:
            throttled.append(name)
            return ThrottledError("DynamoDB: <b>slow</b> down")
        return None

    with LocalRuntime(directory, faults=fault, retry_delay_scale=0.001) as runtime:

        def run(document: Json) -> Execution:
            return runtime.executions.wait(runtime.executions.start_or_attach(document).name, timeout=120)

        good = run(request(2, request_id="good"))
        failed = run(request(request_id="failed", portfolios=[BROKEN]))
        mixed = run(request(request_id="mixed", portfolios=[*request(2)["portfolios"], BROKEN]))
        yield ConsoleWorld(runtime, mixed, failed, good)


ENTITIES, REFUSED = 5, 2
FAILED = REFUSED + 1
# Those that come with their data by twos, and the one of the books.
BATCHES = 4


@dataclass
class FleetWorld:
    """A local world in which a fleet run has ended of which three of eight could not be calculated.

    Attributes
    ----------
    manifest : Path
        What was run.
    """

    runtime: LocalRuntime
    data_dir: Path
    manifest: Path
    console: Console
    files: KeptFleetFiles
    mixed: Execution

    @property
    def kept(self) -> Path:
        """Where the files of the run are."""
        return self.data_dir / "fleet" / self.mixed.name


@contextmanager
def fleet_world(directory: Path, faults: Any = None) -> Iterator[FleetWorld]:
    """Open a world as the command does, and run a manifest in it."""
    manifest, data_dir = directory / "fleet.jsonl", directory / "data"
    lines = [json.dumps(portfolio(f"p-{index}")) for index in range(ENTITIES)]
    manifest.write_text(
        "\n".join([*lines, '{"portfolio_id": "bad", "valuations": []}', "<b>", '{"entity_id": "none"}'])
    )
    document: Json = {
        "request_id": "f",
        "manifest": {"source": str(manifest)},
        "as_of_date": "2024-03-29",
        "time_periods": ["MTD", "ITD"],
        "batch_size": 2,
    }
    settings = command_line._loaded.set(load_settings())
    try:
        with LocalRuntime(data_dir, faults=faults, retry_delay_scale=0.001) as runtime:
            files = KeptFleetFiles(data_dir, runtime)
            with closing(
                StoredResults(runtime.result_store, runtime.books, runtime.executions, runtime.fleet, files)
            ) as results:
                console = Console(
                    client=boto3.client("stepfunctions"),
                    machines=state_machines(machine_arns(runtime)),
                    title="a test",
                    starter=request_starter(runtime, trusted=True),
                    keeps_children=False,
                    fleet_files=files,
                    portfolios=results,
                )
                mixed = runtime.fleet.wait(runtime.fleet.start_or_attach(document).name, timeout=120)
                yield FleetWorld(runtime, data_dir, manifest, console, files, mixed)
    finally:
        command_line._loaded.reset(settings)


class Browser(FlaskClient):
    """A client that asks for the host of the tests unless told otherwise."""

    def open(self, *args: Any, **options: Any) -> Any:
        """Ask."""
        options.setdefault("base_url", ORIGIN)
        return super().open(*args, **options)


def stranger(console: Console) -> FlaskClient:
    """Return a browser that knows nothing."""
    app = create_app(console, Gate(TOKEN, [HOST]))
    app.test_client_class = Browser
    return app.test_client()


def let_in(console: Console) -> FlaskClient:
    """Return a browser that has opened the console's address."""
    client = stranger(console)
    assert client.get(f"/?token={TOKEN}").status_code == 303
    return client


def csrf_of(page: str) -> str:
    """Return the token that the forms of a page have."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


@dataclass
class TellingClient:
    """A Step Functions that tells what a test says, in pages of the sizes it is asked for.

    Attributes
    ----------
    executions : dict
        What DescribeExecution says, by ARN; listed newest first.
    histories : dict
        The events of each.
    definition : str
    calls : list of str
        The operations that were called.
    error : str or None
        A code that every call is refused with.
    """

    executions: dict[str, Json] = field(default_factory=dict)
    histories: dict[str, list[Json]] = field(default_factory=dict)
    definition: str = '{"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}}'
    map_runs: dict[str, Json] = field(default_factory=dict)
    children: list[Json] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    error: str | None = None

    def add(self, name: str, events: Sequence[Json] = (), machine_arn: str = MACHINE_ARN, **changes: Any) -> str:
        """Add an execution and return its ARN."""
        arn = f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
        told = {
            "executionArn": arn,
            "stateMachineArn": machine_arn,
            "name": name,
            "status": "SUCCEEDED",
            "startDate": BEGIN + timedelta(seconds=len(self.executions)),
            "stopDate": BEGIN + timedelta(seconds=len(self.executions) + 5),
            "input": "{}",
            "output": "{}",
        }
        self.executions[arn] = {key: value for key, value in (told | changes).items() if value is not None}
        self.histories[arn] = list(events)
        return arn

    def list_executions(self, **asked: Any) -> Json:
        self._called("ListExecutions")
        if "mapRunArn" in asked:
            return {"executions": self.children}
        found = [each for each in self.executions.values() if each["stateMachineArn"] == asked["stateMachineArn"]]
        found = [each for each in found if asked.get("statusFilter") in {None, each["status"]}]
        found.sort(key=lambda each: each["startDate"], reverse=True)
        return _page("executions", found, asked)

    def describe_execution(self, **asked: Any) -> Json:
        self._called("DescribeExecution")
        if asked["executionArn"] not in self.executions:
            raise _refused("ExecutionDoesNotExist", "DescribeExecution")
        return self.executions[asked["executionArn"]]

    def describe_state_machine_for_execution(self, **_: Any) -> Json:
        self._called("DescribeStateMachineForExecution")
        return {"definition": self.definition}

    def get_execution_history(self, **asked: Any) -> Json:
        self._called("GetExecutionHistory")
        return _page("events", self.histories[asked["executionArn"]], asked)

    def describe_map_run(self, **asked: Any) -> Json:
        self._called("DescribeMapRun")
        if asked["mapRunArn"] not in self.map_runs:
            raise _refused("ResourceNotFound", "DescribeMapRun")
        return self.map_runs[asked["mapRunArn"]]

    def redrive_execution(self, **_: Any) -> Json:
        self._called("RedriveExecution")
        return {}

    def stop_execution(self, **_: Any) -> Json:
        self._called("StopExecution")
        return {}

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        if self.error:
            raise _refused(self.error, operation)

    @property
    def service(self) -> StepFunctions:
        """It, as the console asks it."""
        client: Any = self
        return StepFunctions(client)

    @property
    def console(self) -> Console:
        """A console over it."""
        client: Any = self
        return Console(client, state_machines([MACHINE_ARN]), "a test")


def _page(key: str, items: Sequence[Json], asked: Json) -> Json:
    start, size = int(asked.get("nextToken", 0)), asked["maxResults"]
    following = {"nextToken": str(start + size)} if start + size < len(items) else {}
    return {key: list(items[start : start + size]), **following}


def _refused(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {}}, operation)  # type: ignore[typeddict-item]  # the rest is not looked at


@dataclass
class Telling:
    """Writes a history, event by event."""

    events: list[Json] = field(default_factory=list)

    def __call__(self, kind: str, after: int, details: Mapping[str, Any] | None = None, *, ms: int = 0) -> int:
        """Add an event and return its number."""
        number = len(self.events) + 1
        event: Json = {
            "id": number,
            "previousEventId": after,
            "type": kind,
            "timestamp": BEGIN + timedelta(milliseconds=ms or number),
        }
        if details is not None:
            event[f"{_family(kind)}EventDetails"] = dict(details)
        self.events.append(event)
        return number


def _family(kind: str) -> str:
    """Return what the field of an event's details is called, as far as the tests need it."""
    for ending, name in (("StateEntered", "stateEntered"), ("StateExited", "stateExited")):
        if kind.endswith(ending):
            return name
    return kind[0].lower() + kind[1:]


def map_history(count: int, *, failing: Sequence[int] = ()) -> list[Json]:
    """Return the history of a Map of `count` items, seven events each; the failing ones are caught."""
    tell = Telling()
    last = tell("ExecutionStarted", 0, {"input": "{}"})
    entered = tell("MapStateEntered", last, {"name": "Each", "input": "[]"})
    started = tell("MapStateStarted", entered, {"length": count})
    for index in range(count):
        at = tell("MapIterationStarted", started, {"name": "Each", "index": index})
        item = json.dumps({"entity": {"entity_id": f"p-{index}"}})
        at = tell("TaskStateEntered", at, {"name": "Work", "input": item})
        at = tell("TaskScheduled", at, {"resource": "invoke", "resourceType": "lambda", "parameters": "{}"})
        at = tell("TaskStarted", at, {"resource": "invoke", "resourceType": "lambda"})
        if index in failing:
            at = tell("TaskFailed", at, {"error": "Broken", "cause": f"p-{index} is broken"})
        else:
            at = tell("TaskSucceeded", at, {"output": "1"})
        at = tell("TaskStateExited", at, {"name": "Work", "output": "1"})
        last = tell("MapIterationSucceeded", at, {"name": "Each", "index": index})
    last = tell("MapStateSucceeded", last)
    last = tell("MapStateExited", last, {"name": "Each", "output": "[]"})
    tell("ExecutionSucceeded", last, {"output": "{}"})
    return tell.events
