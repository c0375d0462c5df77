import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from common.errors import InvalidRequestError
from workflows.executions import (
    MAX_NAME_CHARACTERS,
    Event,
    ExecutionClient,
    ExecutionFailedError,
    ExecutionNotFoundError,
    ExecutionStatus,
    MapProgress,
    canonical_json,
    execution_name,
)

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:machine"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Json = dict[str, Any]


class AlreadyExistsError(Exception):
    pass


class DoesNotExistError(Exception):
    pass


class InvalidArnError(Exception):
    pass


class FakeStepFunctions:
    """Step Functions as far as the client asks it: names, idempotency, pages."""

    class exceptions:  # noqa: N801 - boto3's name
        ExecutionAlreadyExists = AlreadyExistsError
        ExecutionDoesNotExist = DoesNotExistError
        InvalidArn = InvalidArnError

    def __init__(self, page: int = 1000) -> None:
        self.page = page
        self.executions: dict[str, Json] = {}
        self.events: list[Json] = []
        self.history_calls: list[str | None] = []
        self.on_describe: Callable[[Json], None] = lambda execution: None

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> Json:  # noqa: A002, N803 - boto3's
        arn = f"{stateMachineArn.replace(':stateMachine:', ':execution:')}:{name}"
        there = self.executions.get(arn)
        if there and (there["status"] != "RUNNING" or there["input"] != input):
            raise AlreadyExistsError
        execution = there or {
            "executionArn": arn, "name": name, "status": "RUNNING", "startDate": START, "input": input
        }  # fmt: skip
        self.executions[arn] = execution
        return execution

    def describe_execution(self, *, executionArn: str) -> Json:  # noqa: N803 - boto3's
        if executionArn not in self.executions:
            raise DoesNotExistError
        execution = self.executions[executionArn]
        self.on_describe(execution)
        return execution

    def get_execution_history(
        self, *, executionArn: str, maxResults: int, nextToken: str | None = None  # noqa: N803 - boto3's
    ) -> Json:  # fmt: skip
        self.history_calls.append(nextToken)
        start = int(nextToken or 0)
        stop = start + min(maxResults, self.page)
        more = {"nextToken": str(stop)} if stop < len(self.events) else {}
        return {"events": self.events[start:stop], **more}

    def get_paginator(self, operation: str) -> "FakeStepFunctions":
        self.operation = operation
        return self

    def paginate(self, **options: Any) -> Iterator[Json]:
        if self.operation == "list_executions":
            wanted = options.get("statusFilter")
            yield {"executions": [e for e in self.executions.values() if wanted in {None, e["status"]}]}
            return
        self.describe_execution(executionArn=options["executionArn"])
        for start in range(0, len(self.events), self.page):
            yield {"events": self.events[start : start + self.page]}

    def end(self, name: str, status: str, **more: Any) -> None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        self.executions[arn] |= {"status": status, "stopDate": START + timedelta(seconds=2), **more}


@pytest.fixture
def service() -> FakeStepFunctions:
    return FakeStepFunctions()


@pytest.fixture
def executions(service: FakeStepFunctions) -> ExecutionClient:
    return ExecutionClient(cast("SFNClient", service), MACHINE, poll_seconds=0)


@pytest.mark.parametrize("request_id", ["req-1", "", None, "a b/c:é*?", "x" * 500, '<>{}[]?*"#%\\^|~`$&,;:/\n'])
def test_a_name_has_only_allowed_characters_and_room_for_a_number(request_id: str | None) -> None:
    name = execution_name({"request_id": request_id})
    assert re.fullmatch(r"[0-9A-Za-z_-]+-[0-9a-f]{12}", name)
    assert len(f"{name}-9999") <= MAX_NAME_CHARACTERS


def test_the_name_is_the_request_s_whatever_the_order_of_its_fields() -> None:
    request = {"request_id": "r", "portfolios": [{"a": 1, "b": 2.5}]}
    reordered = {"portfolios": [{"b": 2.5, "a": 1}], "request_id": "r"}
    assert execution_name(request) == execution_name(reordered)
    assert execution_name(request) != execution_name({**request, "portfolios": []})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_a_request_that_runs_is_attached_to(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    first = executions.start_or_attach({"request_id": "r"})
    again = executions.start_or_attach({"request_id": "r"})
    assert again == first
    assert len(service.executions) == 1
    assert first.status is ExecutionStatus.RUNNING
    assert first.input == {"request_id": "r"}


def test_a_request_that_has_ended_is_numbered(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    names = []
    for _ in range(3):
        names.append(executions.start_or_attach({"request_id": "r"}).name)
        service.end(names[-1], "SUCCEEDED", output="{}")
    base = execution_name({"request_id": "r"})
    assert names == [base, f"{base}-2", f"{base}-3"]


def test_a_request_too_large_for_a_state_is_refused_before_it_is_sent(
    executions: ExecutionClient, service: FakeStepFunctions
) -> None:
    with pytest.raises(InvalidRequestError, match="an execution takes 262144"):
        executions.start("name", {"request_id": "é" * 131_072})
    assert service.executions == {}
    assert executions.start("name", {"request_id": "x" * (262_144 - 17)}).name == "name"


def test_an_execution_is_found_by_name_and_by_arn(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    started = executions.start("name", {"a": 1})
    service.end("name", "FAILED", error="Wrong", cause="because")
    described = executions.describe("name")
    assert described == executions.describe(started.arn)
    assert (described.error, described.cause, described.finished) == ("Wrong", "because", True)
    with pytest.raises(ExecutionFailedError, match="execution name is FAILED, Wrong: because"):
        executions.output("name")


def test_the_output_is_parsed(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    executions.start("name", {})
    service.end("name", "SUCCEEDED", output='{"status": "PARTIAL"}')
    assert executions.output("name") == {"status": "PARTIAL"}


def test_an_unknown_execution_is_told(executions: ExecutionClient) -> None:
    for ask in (executions.describe, executions.history):
        with pytest.raises(ExecutionNotFoundError, match="no execution is called nothing"):
            ask("nothing")


def test_the_list_is_filtered_and_limited(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    for name in ("a", "b", "c"):
        executions.start(name, {})
    service.end("b", "ABORTED")
    assert [each.name for each in executions.list(status=ExecutionStatus.ABORTED)] == ["b"]
    assert [each.name for each in executions.list(limit=2)] == ["a", "b"]


def test_waiting_ends_with_the_execution(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    executions.start("name", {})
    asked: list[str] = []

    def end_at_the_third(execution: Mapping[str, Any]) -> None:
        asked.append(execution["name"])
        if len(asked) == 3:
            service.end("name", "TIMED_OUT")

    service.on_describe = end_at_the_third
    assert executions.wait("name").status is ExecutionStatus.TIMED_OUT
    assert len(asked) == 3


def test_waiting_gives_up_and_leaves_the_execution_alone(
    executions: ExecutionClient, service: FakeStepFunctions
) -> None:
    arn = executions.start("name", {}).arn
    with pytest.raises(TimeoutError, match="execution name still runs after 0"):
        executions.wait("name", timeout=0)
    assert service.executions[arn]["status"] == "RUNNING"


def events_of(kinds: Sequence[str]) -> list[Json]:
    return [{"id": i, "type": kind, "timestamp": START} for i, kind in enumerate(kinds, 1)]


def test_progress_counts_iterations_and_reads_full_pages_once() -> None:
    service = FakeStepFunctions(page=2)
    executions = ExecutionClient(cast("SFNClient", service), MACHINE, poll_seconds=0)
    executions.start("name", {})
    growth = [
        ["MapStateStarted", "MapIterationStarted"],
        ["MapIterationSucceeded", "MapIterationStarted", "MapIterationStarted"],
        ["MapIterationFailed", "MapIterationAborted", "MapStateFailed"],
    ]
    kinds: list[str] = []

    def grow(execution: Mapping[str, Any]) -> None:
        kinds.extend(growth.pop(0))
        service.events = events_of(kinds)
        service.events[0]["mapStateStartedEventDetails"] = {"length": 3}
        if not growth:
            service.end("name", "FAILED")

    service.on_describe = grow
    seen: list[MapProgress] = []
    executions.wait("name", on_progress=seen.append)
    assert seen[-1] == MapProgress(total=3, started=3, succeeded=1, failed=2)
    assert seen == sorted(seen, key=lambda progress: progress.started)
    assert service.history_calls.count(None) <= 2, "the first page was full and is read again"


def test_events_carry_their_step_and_resource_along() -> None:
    service = FakeStepFunctions()
    executions = ExecutionClient(cast("SFNClient", service), MACHINE)
    executions.start("name", {})
    parameters = json.dumps({"FunctionName": "arn:aws:lambda:us-east-1:123456789012:function:Work", "Payload": 1})
    called = {"resourceType": "lambda", "resource": "invoke"}
    raw: list[tuple[str, int, Json]] = [
        ("ExecutionStarted", 0, {"executionStartedEventDetails": {"input": "{}"}}),
        ("MapStateEntered", 0, {"stateEnteredEventDetails": {"name": "Each", "input": "[1]"}}),
        ("MapStateStarted", 2, {"mapStateStartedEventDetails": {"length": 1}}),
        ("MapIterationStarted", 3, {"mapIterationStartedEventDetails": {"name": "Each", "index": 0}}),
        ("TaskStateEntered", 4, {"stateEnteredEventDetails": {"name": "Do", "input": "1"}}),
        ("TaskScheduled", 5, {"taskScheduledEventDetails": {**called, "parameters": parameters}}),
        ("TaskStarted", 6, {"taskStartedEventDetails": called}),
        ("TaskFailed", 7, {"taskFailedEventDetails": {**called, "error": "Wrong", "cause": "because"}}),
        ("MapIterationFailed", 8, {"mapIterationFailedEventDetails": {"name": "Each", "index": 0}}),
        ("ExecutionFailed", 9, {"executionFailedEventDetails": {"error": "Wrong", "cause": ""}}),
    ]
    service.events = [
        {
            "id": i,
            "type": kind,
            "previousEventId": before,
            "timestamp": START + timedelta(milliseconds=3 * i),
            **details,
        }
        for i, (kind, before, details) in enumerate(raw, 1)
    ]
    assert executions.history("name") == [
        Event(1, "ExecutionStarted", None, None, 0, None, None),
        Event(2, "MapStateEntered", "Each", None, 3, None, None),
        Event(3, "MapStateStarted", "Each", None, 6, None, None),
        Event(4, "MapIterationStarted", "Each", None, 9, None, None),
        Event(5, "TaskStateEntered", "Do", None, 12, None, None),
        Event(6, "TaskScheduled", "Do", "lambda:invoke Work", 15, None, None),
        Event(7, "TaskStarted", "Do", "lambda:invoke Work", 18, None, None),
        Event(8, "TaskFailed", "Do", "lambda:invoke Work", 21, "Wrong", "because"),
        Event(9, "MapIterationFailed", "Each", None, 24, None, None),
        Event(10, "ExecutionFailed", None, None, 27, "Wrong", None),
    ]
    assert executions.last_input("name") == 1
