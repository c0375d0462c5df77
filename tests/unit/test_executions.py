import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from common.errors import Fault, InvalidRequestError, TransientError
from common.json_text import canonical_json
from workflows.execution_history import Event, MapProgress
from workflows.execution_names import MAX_NAME_CHARACTERS, execution_name
from workflows.executions import (
    Execution,
    ExecutionClient,
    ExecutionFailedError,
    ExecutionNotFoundError,
    ExecutionStatus,
)
from workflows.world import with_outcomes

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
        self.calls: list[str] = []
        self.unseen: set[str] = set()
        self.on_describe: Callable[[Json], None] = lambda execution: None
        self.before_start: Callable[[str], None] = lambda name: None

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> Json:  # noqa: A002, N803 - boto3's
        self.calls.append(f"start {name}")
        self.before_start(name)
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
        self.calls.append(f"describe {executionArn.rsplit(':', 1)[-1]}")
        if executionArn not in self.executions or executionArn.rsplit(":", 1)[-1] in self.unseen:
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

    def put(self, name: str, status: str, request: Mapping[str, Any]) -> None:
        self.start_execution(stateMachineArn=MACHINE, name=name, input=canonical_json(request))
        if status != "RUNNING":
            self.end(name, status)

    def end(self, name: str, status: str, **more: Any) -> None:
        arn = f"{MACHINE.replace(':stateMachine:', ':execution:')}:{name}"
        self.executions[arn] |= {"status": status, "stopDate": START + timedelta(seconds=2), **more}


@pytest.fixture
def service() -> FakeStepFunctions:
    return FakeStepFunctions()


@pytest.fixture
def executions(service: FakeStepFunctions) -> ExecutionClient:
    return ExecutionClient(cast("SFNClient", service), MACHINE, poll_seconds=0)


@pytest.mark.parametrize(
    "request_id", ["req-1", "", None, "a b/c:é*?", "x" * 500, "--json", '<>{}[]?*"#%\\^|~`$&,;:/\n']
)
def test_a_name_has_only_allowed_characters_and_room_for_a_number(request_id: str | None) -> None:
    name = execution_name({"request_id": request_id})
    assert re.fullmatch(r"[0-9A-Za-z_][0-9A-Za-z_-]*-[0-9a-f]{12}", name)
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


def numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-{number}"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 31, 32, 33, 1_000])
@pytest.mark.parametrize("runs", [False, True])
def test_the_number_of_a_request_is_found_in_few_calls(
    executions: ExecutionClient, service: FakeStepFunctions, count: int, runs: bool
) -> None:
    base = execution_name({"request_id": "r"})
    for number in range(1, count + 1):
        service.put(numbered(base, number), "RUNNING" if runs and number == count else "FAILED", {"request_id": "r"})
    service.calls.clear()
    assert executions.start_or_attach({"request_id": "r"}).name == numbered(base, count if runs else count + 1)
    assert len(service.executions) == count + (not runs)
    assert sum(call.startswith("start") for call in service.calls) <= 2
    assert len(service.calls) <= 4 + 2 * count.bit_length()


def test_a_first_request_is_one_call(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    name = executions.start_or_attach({"request_id": "r"}).name
    assert service.calls == [f"start {name}"]


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_a_request_that_somebody_starts_meanwhile_is_attached_to_or_follows(
    executions: ExecutionClient, service: FakeStepFunctions, status: str
) -> None:
    request = {"request_id": "r"}
    base = execution_name(request)
    service.put(base, "SUCCEEDED", request)

    def faster(name: str) -> None:
        if name == f"{base}-2":
            service.before_start = lambda _: None
            service.put(name, status, request)
            service.unseen.add(name)  # a description may come a moment late

    service.before_start = faster
    assert executions.start_or_attach(request).name == (f"{base}-2" if status == "RUNNING" else f"{base}-3")


def test_an_execution_of_another_request_is_not_attached_to(
    executions: ExecutionClient, service: FakeStepFunctions
) -> None:
    base = execution_name({"request_id": "r"})
    service.put(base, "RUNNING", {"request_id": "with the same digest"})
    assert executions.start_or_attach({"request_id": "r"}).name == f"{base}-2"


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_what_has_failed_is_started_again(
    executions: ExecutionClient, service: FakeStepFunctions, status: str, count: int
) -> None:
    for number in range(1, count + 1):
        service.put(numbered("night", number), status, {"portfolios": number})
    service.calls.clear()
    execution, started = executions.start_unless_done("night", {"portfolios": 0})
    assert (execution.name, started, execution.input) == (f"night-{count + 1}", True, {"portfolios": 0})
    assert len(service.calls) <= 4 + 2 * count.bit_length()


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("status", ["RUNNING", "PENDING_REDRIVE", "SUCCEEDED"])
def test_what_runs_or_has_succeeded_is_not_started_again(
    executions: ExecutionClient, service: FakeStepFunctions, status: str, count: int
) -> None:
    for number in range(1, count + 1):
        service.put(numbered("night", number), status if number == count else "FAILED", {})
    for request in ({}, {"portfolios": "others"}):
        execution, started = executions.start_unless_done("night", request)
        assert (execution.name, execution.status, started) == (numbered("night", count), status, False)
    assert len(service.executions) == count


def test_what_was_never_started_is_started(executions: ExecutionClient, service: FakeStepFunctions) -> None:
    execution, started = executions.start_unless_done("night", {"a": 1})
    assert (execution.name, started) == ("night", True)
    assert service.calls == ["describe night", "start night"]


@pytest.mark.parametrize("earlier", [0, 1])
@pytest.mark.parametrize(("status", "number"), [("RUNNING", 0), ("SUCCEEDED", 0), ("FAILED", 1)])
def test_what_somebody_starts_meanwhile_counts(
    executions: ExecutionClient, service: FakeStepFunctions, earlier: int, status: str, number: int
) -> None:
    if earlier:
        service.put("night", "FAILED", {})

    def faster(name: str) -> None:
        service.before_start = lambda _: None
        service.put(name, status, {"portfolios": "others"})

    service.before_start = faster
    execution, started = executions.start_unless_done("night", {})
    assert (execution.name, started) == (numbered("night", earlier + 1 + number), status == "FAILED")


@pytest.mark.parametrize("earlier", [0, 1])
def test_what_cannot_be_described_yet_is_asked_for_again_later(
    executions: ExecutionClient, service: FakeStepFunctions, earlier: int
) -> None:
    for number in range(1, earlier + 2):
        service.put(numbered("night", number), "FAILED" if number <= earlier else "SUCCEEDED", {})
    service.unseen.add(numbered("night", earlier + 1))
    with pytest.raises(TransientError, match="was started a moment ago"):
        executions.start_unless_done("night", {})
    assert len(service.executions) == earlier + 1


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


def test_through_an_alias_starts_go_and_all_executions_are_seen() -> None:
    calls: list[tuple[str, str]] = []

    class Recording(FakeStepFunctions):
        def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> Json:  # noqa: A002, N803 - boto3's
            calls.append(("start", stateMachineArn))
            return super().start_execution(stateMachineArn=MACHINE, name=name, input=input)

        def paginate(self, **options: Any) -> Iterator[Json]:
            calls.append(("list", options["stateMachineArn"]))
            return super().paginate(**options)

    executions = ExecutionClient(cast("SFNClient", Recording()), f"{MACHINE}:live")
    started, _ = executions.start_once("r-1", {"request_id": "r"})
    assert executions.describe("r-1").arn == started.arn
    assert [each.name for each in executions.list()] == ["r-1"]
    assert calls == [("start", f"{MACHINE}:live"), ("list", MACHINE)]


def ended(status: str, **told: Any) -> Execution:
    return Execution("arn:x", "x", ExecutionStatus(status), START, START, **told)


@pytest.mark.parametrize(
    ("status", "output", "outcome"),
    [
        ("SUCCEEDED", {"status": "PARTIAL"}, "PARTIAL"),
        ("SUCCEEDED", {"status": "SUCCEEDED"}, "SUCCEEDED"),
        ("SUCCEEDED", {}, "SUCCEEDED"),
        ("SUCCEEDED", [1], "SUCCEEDED"),
        ("SUCCEEDED", None, "SUCCEEDED"),
        ("RUNNING", None, "RUNNING"),
        ("FAILED", {"status": "PARTIAL"}, "FAILED"),
    ],
)
def test_what_an_execution_came_to_is_what_its_output_says(status: str, output: object, outcome: str) -> None:
    assert ended(status, output=output).outcome == outcome


def refused(cause: str | None) -> list[Fault]:
    return list(ended("FAILED", error="InvalidRequestError", cause=cause).request_faults)


def test_the_faults_of_a_request_are_those_that_the_function_told() -> None:
    told = [Fault("$.a", "is: wrong"), Fault("$.b[0].c", "'x\ny' is no id"), Fault("$", "must be an object")]
    error = InvalidRequestError(told)
    cause = json.dumps({"errorMessage": str(error), "errorType": "InvalidRequestError", "stackTrace": ["File ..."]})
    assert refused(cause) == told
    assert ended("FAILED", error="InvalidPortfolioError", cause=cause).request_faults == ()
    assert ended("RUNNING", error="InvalidRequestError", cause=cause).request_faults == ()


def test_more_faults_than_are_told_are_counted() -> None:
    error = InvalidRequestError([Fault(f"$.a[{index}]", "is missing") for index in range(130)])
    assert refused(str(error))[-2:] == [("$.a[99]", "is missing"), ("$", "... and 30 more")]


def test_a_cause_that_tells_no_faults_is_the_fault() -> None:
    assert refused("it is wrong") == [("$", "it is wrong")]
    assert refused(None) == [("$", "")]


def test_what_executions_of_a_listing_came_to_is_asked_of_those_alone_that_succeeded() -> None:
    made = {machine: FakeStepFunctions() for machine in (MACHINE, MACHINE.replace("Machine:machine", "Machine:fleet"))}
    clients = [ExecutionClient(cast("SFNClient", fake), arn) for arn, fake in made.items()]
    listed = []
    for client, fake in zip(clients, made.values(), strict=True):
        for name, status in (("partial", "SUCCEEDED"), ("failed", "FAILED"), ("runs", "RUNNING")):
            arn = client.start(name, {}).arn
            fake.executions[arn] |= {"status": status, "output": '{"status": "PARTIAL"}'}
            listed.append(Execution(arn, name, ExecutionStatus(status), START))
        fake.calls.clear()
    world = cast("Any", SimpleNamespace(executions=clients[0], fleet=clients[1]))
    assert [each.outcome for each in with_outcomes(world, listed)] == 2 * ["PARTIAL", "FAILED", "RUNNING"]
    assert [fake.calls for fake in made.values()] == 2 * [["describe partial"]]
