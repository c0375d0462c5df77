"""The local engine, on small machines of its own: what the workflow's tests take for granted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from workflows.executions import Execution, ExecutionClient, ExecutionNotFoundError, ExecutionStatus
from workflows.local.archive import ExecutionArchive
from workflows.local.archived_executions import ArchivedExecutions
from workflows.local.engine import LocalEngine
from workflows.local.lambda_host import Delay, Faults, LambdaContext, LambdaHost, Refusal, function_arn
from workflows.local.lock import DataDirectoryInUseError, DataDirectoryLock
from workflows.registry import LambdaFunction

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

Json = dict[str, Any]


class ThrottledError(Exception):
    pass


def echo(event: object, context: LambdaContext) -> object:
    return event


def grow(event: Mapping[str, Any], context: LambdaContext) -> list[str]:
    return ["x" * int(event["bytes"])]


def linger(event: Mapping[str, Any], context: LambdaContext) -> object:
    time.sleep(0.1)
    return None


TASKS = {each.__name__: LambdaFunction(f"{__name__}.{each.__name__}", 60, 128, ()) for each in (echo, grow, linger)}


@dataclass
class World:
    engine: LocalEngine
    client: "SFNClient"
    archived: ArchivedExecutions

    def machine(self, definition: Json) -> ExecutionClient:
        arn = self.engine.create_state_machine(self.client, "machine", json.dumps(definition))
        return ExecutionClient(self.client, arn, poll_seconds=0.01)


@contextmanager
def opened(directory: Path, faults: Faults | None = None, scale: float = 0.01) -> Iterator[World]:
    host = LambdaHost(TASKS, faults=faults)
    with LocalEngine(host, retry_delay_scale=scale) as engine:
        archive = ExecutionArchive(directory)
        archive.recover()
        archived = ArchivedExecutions(engine.session, archive, engine.events)
        yield World(engine, boto3.client("stepfunctions"), archived)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as world:
        yield world


def task(function: str = "echo", **fields: Any) -> Json:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function_arn(function), "Payload.$": "$"},
        "OutputPath": "$.Payload",
        "TimeoutSeconds": 60,
        "End": True,
    } | fields


def one(state: Json, **others: Json) -> Json:
    return {"StartAt": "State", "States": {"State": state, **others}}


def each(state: Json, concurrency: int = 2) -> Json:
    return one(
        {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": concurrency,
            "ItemProcessor": {"StartAt": "Item", "States": {"Item": state}},
            "End": True,
        }
    )


def finish(machine: ExecutionClient, request: Json, name: str = "run") -> Execution:
    machine.start(name, request)
    return machine.wait(name, timeout=30)


def test_a_machine_calls_its_function_and_tells_its_history(world: World) -> None:
    machine = world.machine(each(task()))
    execution = finish(machine, {"items": [1, 2, 3]})
    assert execution.status is ExecutionStatus.SUCCEEDED
    assert execution.output == [1, 2, 3]
    events = machine.history("run")
    assert [event.id for event in events] == list(range(1, 1 + 5 + 7 * 3 + 1))
    assert {(event.step, event.resource) for event in events if event.type == "TaskSucceeded"} == {
        ("Item", "lambda:invoke echo")
    }


def test_a_function_named_by_its_arn_is_called_too(world: World) -> None:
    direct = {"Type": "Task", "Resource": function_arn("echo"), "TimeoutSeconds": 60, "End": True}
    assert finish(world.machine(one(direct)), {"a": 1}).output == {"a": 1}


def failing_until(attempt: int, fault: BaseException | Refusal) -> Faults:
    return lambda name, event, now: fault if now < attempt else None


RETRY = {"IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": 3, "MaxDelaySeconds": 60, "JitterStrategy": "FULL"}


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (ThrottledError("slower"), "ThrottledError"),
        (Refusal(), "Lambda.TooManyRequestsException"),
        (Refusal("ServiceException", "broken", 500), "Lambda.ServiceException"),
        (SystemExit(1), "Runtime.ExitError"),
    ],
)
def test_faults_have_the_service_s_names_and_are_retried(
    tmp_path: Path, fault: BaseException | Refusal, name: str
) -> None:
    retry = {**RETRY, "ErrorEquals": [name], "IntervalSeconds": 60, "JitterStrategy": "NONE"}
    with opened(tmp_path, failing_until(4, fault), scale=0.001) as world:
        machine = world.machine(one(task(Retry=[retry])))
        began = time.monotonic()
        assert finish(machine, {"a": 1}).output == {"a": 1}
        assert time.monotonic() - began < 60, "three waits of a minute each are scaled"
        assert [event.error for event in machine.history("run") if event.error] == [name] * 3


def test_retries_end(tmp_path: Path) -> None:
    with opened(tmp_path, failing_until(5, ThrottledError("slower"))) as world:
        execution = finish(world.machine(one(task(Retry=[{"ErrorEquals": ["ThrottledError"], **RETRY}]))), {})
    assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "ThrottledError")
    assert json.loads(execution.cause or "")["errorMessage"] == "slower"


def test_a_task_s_time_out_is_caught(tmp_path: Path) -> None:
    impatient = task(TimeoutSeconds=1, Catch=[{"ErrorEquals": ["States.Timeout"], "Next": "Late"}])
    with opened(tmp_path, lambda *_: Delay(1.5)) as world:
        execution = finish(world.machine(one(impatient, Late={"Type": "Pass", "End": True})), {})
    assert execution.output == {"Error": "States.Timeout", "Cause": ""}


@pytest.mark.parametrize(("size", "error"), [(262_000, None), (262_144, "States.DataLimitExceeded")])
def test_a_state_carries_256_kib(world: World, size: int, error: str | None) -> None:
    assert finish(world.machine(one(task("grow"))), {"bytes": size}).error == error


def test_one_worker_can_take_more_items_than_python_has_frames(world: World) -> None:
    items = list(range(1_500))
    machine = world.machine(each({"Type": "Pass", "End": True}, concurrency=1))
    assert finish(machine, {"items": items}).output == items


def test_invocations_share_one_client(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real: Any = boto3.Session.client

    def counted(session: Any, service: str, *args: Any, **options: Any) -> Any:
        made.append(service)
        return real(session, service, *args, **options)

    monkeypatch.setattr(boto3.Session, "client", counted)
    finish(world.machine(each(task(), concurrency=10)), {"items": [0] * 50})
    assert made == ["lambda"]


def test_a_stopped_execution_is_aborted_and_says_why(world: World) -> None:
    machine = world.machine(each(task("linger")))
    machine.start("run", {"items": [0] * 100})
    time.sleep(0.2)
    machine.stop("run", error="User", cause="enough")
    execution = machine.wait("run", timeout=10)
    assert (execution.status, execution.error, execution.cause) == (ExecutionStatus.ABORTED, "User", "enough")
    last = machine.history("run")[-1]
    assert (last.type, last.error, last.cause) == ("ExecutionAborted", "User", "enough")
    machine.stop("run", error="Again")
    assert machine.describe("run").error == "User"


def test_an_execution_without_end_times_out(world: World) -> None:
    machine = world.machine(each(task("linger")) | {"TimeoutSeconds": 1})
    execution = finish(machine, {"items": [0] * 100})
    assert execution.status is ExecutionStatus.TIMED_OUT
    assert execution.stopped_at is not None
    assert execution.stopped_at > execution.started_at


WAITING: tuple[Faults, Json] = (
    lambda *_: ThrottledError("slower"),
    task(Retry=[{"ErrorEquals": ["ThrottledError"], "IntervalSeconds": 60, "MaxAttempts": 9}]),
)


@pytest.mark.parametrize(("faults", "state"), [(None, task("linger")), WAITING, (lambda *_: Delay(60), task())])
def test_closing_aborts_what_runs(tmp_path: Path, faults: Faults | None, state: Json) -> None:
    """Whether a task runs, waits for its next attempt, or hangs longer than anybody waits."""
    with opened(tmp_path, faults, scale=1) as world:
        machine = world.machine(each(state))
        machine.start("run", {"items": [0] * 100})
        time.sleep(0.2)
        began = time.monotonic()
        world.archived.close(machine.state_machine_arn, timeout=1, wake=world.engine.end_waits)
        assert time.monotonic() - began < 30  # of the minute that it hangs or waits
    with opened(tmp_path) as world:
        machine = world.machine(each(task()))
        execution = machine.describe("run")
        last = machine.history("run")[-1]
    assert (execution.status, execution.error) == (ExecutionStatus.ABORTED, "Interrupted")
    assert (last.type, last.error) == ("ExecutionAborted", "Interrupted")


def comparable(machine: ExecutionClient) -> object:
    return list(machine.list()), machine.describe("run"), machine.history("run"), machine.last_input("run")


def test_executions_outlive_the_process(tmp_path: Path) -> None:
    definition = each(task())
    with opened(tmp_path) as world:
        machine = world.machine(definition)
        finish(machine, {"items": [1, 2]})
        before = comparable(machine)
    with opened(tmp_path) as world:
        machine = world.machine(one({"Type": "Succeed"}))
        assert comparable(machine) == before
        kept = world.client.describe_state_machine_for_execution(executionArn=machine.arn("run"))
        assert json.loads(kept["definition"]) == definition
        with pytest.raises(world.client.exceptions.ExecutionAlreadyExists):
            machine.start("run", {"items": [1, 2]})


def test_a_request_repeated_in_a_later_process_is_a_second_run(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        with opened(tmp_path) as world:
            machine = world.machine(one(task()))
            names.append(machine.start_or_attach({"request_id": "r"}).name)
            machine.wait(names[-1])
    assert [name.removeprefix(names[0]) for name in names] == ["", "-2", "-3"]
    with opened(tmp_path) as world:
        assert [execution.name for execution in world.machine(one(task())).list()] == names[::-1]


def test_lists_and_histories_come_in_pages(tmp_path: Path) -> None:
    with opened(tmp_path) as world:
        machine = world.machine(one(task()))
        for number in range(5):
            finish(machine, {}, f"run-{number}")
    with opened(tmp_path) as world:
        machine = world.machine(one(task()))
        paged = world.client.get_paginator("list_executions").paginate(
            stateMachineArn=machine.state_machine_arn, PaginationConfig={"PageSize": 2}
        )
        assert [len(page["executions"]) for page in paged] == [2, 2, 1]
        assert [e.name for e in machine.list(status=ExecutionStatus.SUCCEEDED, limit=1)] == ["run-4"]
        assert list(machine.list(status=ExecutionStatus.FAILED)) == []
        pages = world.client.get_paginator("get_execution_history").paginate(
            executionArn=machine.arn("run-0"), reverseOrder=True, PaginationConfig={"PageSize": 3}
        )
        assert [event["id"] for page in pages for event in page["events"]] == list(range(7, 0, -1))


def test_an_execution_nobody_started_is_not_found(world: World) -> None:
    machine = world.machine(one(task()))
    for name in ("nothing", "../../lock", "arn:nonsense"):
        with pytest.raises(ExecutionNotFoundError):
            machine.describe(name)


KILLED = """
import json, sys, time
from pathlib import Path
import test_engine as t
with t.opened(Path(sys.argv[1])) as world:
    machine = world.machine(t.each(t.task("linger")))
    machine.start("run", {"items": [0] * 1000})
    print("started", flush=True)
    time.sleep(60)
"""


def test_what_a_kill_left_running_is_aborted(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGKILL)
    with opened(tmp_path) as world:
        machine = world.machine(one(task()))
        execution = machine.describe("run")
        assert (execution.status, execution.error) == (ExecutionStatus.ABORTED, "Killed")
        assert execution.input == {"items": [0] * 1000}
        assert [event.type for event in machine.history("run")] == ["ExecutionStarted", "ExecutionAborted"]
        assert [e.status for e in machine.list()] == [ExecutionStatus.ABORTED]


def test_how_long_a_killed_run_ran_is_told_by_what_was_written_while_it_did(tmp_path: Path) -> None:
    arn = "arn:aws:states:us-east-1:123456789012:execution:machine:run"
    start = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    archive, log = ExecutionArchive(tmp_path), tmp_path / "handlers.jsonl"
    for seconds, writes_to in ((4, log), (7, tmp_path / "machine" / "run.jsonl")):
        archive.save({"executionArn": arn, "name": "run", "status": "RUNNING", "startDate": start}, [])
        log.touch()
        for file, after in ((tmp_path / "machine" / "run.jsonl", 0), (log, 0), (writes_to, seconds)):
            os.utime(file, times=2 * (start.timestamp() + after,))
        assert archive.recover(log) == 1
        assert ((archive.find(arn) or {})["stopDate"] - start).total_seconds() == seconds


def test_the_environment_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "company")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere")
    monkeypatch.delenv("AWS_REGION", raising=False)
    before = dict(os.environ)
    session = boto3.DEFAULT_SESSION
    with opened(tmp_path):
        assert "AWS_PROFILE" not in os.environ
        assert "AWS_ENDPOINT_URL" not in os.environ
        assert os.environ["AWS_REGION"] == "us-east-1"
    assert dict(os.environ) == before
    assert boto3.DEFAULT_SESSION is session


def test_a_process_has_one_engine(world: World, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="running in this process already"), opened(tmp_path / "second"):
        pass


def test_a_data_directory_has_one_owner(tmp_path: Path) -> None:
    with (
        DataDirectoryLock(tmp_path),
        pytest.raises(
            DataDirectoryInUseError, match=f"{tmp_path} is in use by process {os.getpid()}, since .* UTC; wait"
        ) as caught,
        DataDirectoryLock(tmp_path),
    ):
        pass
    assert caught.value.holder is not None
    assert caught.value.holder.pid == os.getpid()
    with DataDirectoryLock(tmp_path):
        pass


def test_a_name_longer_than_names_are_is_of_no_execution(tmp_path: Path) -> None:
    arn = "arn:aws:states:us-east-1:123456789012:execution:calculation:"
    assert ExecutionArchive(tmp_path).find(arn + "x" * 300) is None
