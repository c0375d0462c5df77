"""Start, follow and read executions: one client, for AWS and for the local engine."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from common.config import ExecutionSettings
from common.errors import Fault, InvalidRequestError, PermanentError
from common.models.limits import STATE_PAYLOAD_BYTES
from common.stores.clients import Patience, aws_client
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# Step Functions: an execution's name. Some other characters are allowed, but CloudWatch Logs takes these alone.
MAX_NAME_CHARACTERS: Final = 80
_NOT_IN_A_NAME: Final = re.compile(r"[^0-9A-Za-z_-]+")
_HASH_DIGITS: Final = 12
# Leaves room for the number of a rerun, "-1234".
_REQUEST_ID_CHARACTERS: Final = MAX_NAME_CHARACTERS - _HASH_DIGITS - 1 - 5

# A trigger answers within 30 s: four attempts of at most 5 s, and the waits between them.
PATIENCE: Final = Patience(attempts=4, connect_seconds=2, read_seconds=5)

# GetExecutionHistory and ListExecutions return at most this much at a time.
PAGE: Final = 1000
# Reading a history is dear, here and there: it may take this share of the time that is waited.
_PROGRESS_SHARE: Final = 0.1

Progress = Callable[["MapProgress"], None]


class ExecutionStatus(StrEnum):
    """What Step Functions says about an execution."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    ABORTED = "ABORTED"
    PENDING_REDRIVE = "PENDING_REDRIVE"


class ExecutionNotFoundError(PermanentError):
    """No execution has this name."""


class ExecutionConflictError(PermanentError):
    """An execution of this name was started on another request."""


class ExecutionFailedError(PermanentError):
    """An execution that has no output, because it did not succeed."""

    def __init__(self, execution: "Execution") -> None:
        self.execution = execution
        reason = ": ".join(filter(None, [execution.error, execution.cause]))
        super().__init__(f"execution {execution.name} is {execution.status}" + (f", {reason}" if reason else ""))


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as it was when it was asked about."""

    arn: str
    name: str
    status: ExecutionStatus
    started_at: datetime
    stopped_at: datetime | None = None
    error: str | None = None
    cause: str | None = None
    input: Any = None
    """None in a listing, which leaves input and output out."""
    output: Any = None

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.status not in {ExecutionStatus.RUNNING, ExecutionStatus.PENDING_REDRIVE}


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the console's event view."""

    id: int
    type: str
    step: str | None
    resource: str | None
    elapsed_ms: int
    error: str | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class MapProgress:
    """How far the Map states of an execution have come, in iterations."""

    total: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0


class ExecutionClient:
    """The executions of one state machine.

    Parameters
    ----------
    client
        A boto3 client of Step Functions.
    state_machine_arn
        The state machine's ARN.
    poll_seconds
        How long `wait` waits between two questions. The service allows some fifteen a second for an account.
    """

    def __init__(self, client: "SFNClient", state_machine_arn: str, *, poll_seconds: float = 1.0) -> None:
        self._client = client
        self.state_machine_arn = state_machine_arn
        self._poll_seconds = poll_seconds

    def arn(self, name: str) -> str:
        """Return the ARN of the execution called `name`; an ARN is returned as it is."""
        if name.startswith("arn:"):
            return name
        return f"{self.state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"

    def start(self, name: str, request: Mapping[str, Any]) -> Execution:
        """Start an execution on `request`; attach to the one of this name if it runs and has the same input.

        Raises
        ------
        InvalidRequestError
            The request is larger than an execution's input may be.
        botocore.exceptions.ClientError
            `ExecutionAlreadyExists` among others.
        """
        document = canonical_json(request)
        if (size := len(document.encode())) > STATE_PAYLOAD_BYTES:
            message = f"{size} bytes; an execution takes {STATE_PAYLOAD_BYTES}: refer to files for the long histories"
            raise InvalidRequestError([Fault("$", message)])
        started = self._client.start_execution(stateMachineArn=self.state_machine_arn, name=name, input=document)
        return Execution(
            arn=started["executionArn"],
            name=name,
            status=ExecutionStatus.RUNNING,
            started_at=started["startDate"],
            input=json.loads(document),
        )

    def start_or_attach(self, request: Mapping[str, Any]) -> Execution:
        """Start the execution of `request`, named after it.

        While one of that name runs it is returned instead. After it has ended the next is `<name>-2`, then `-3`.
        """
        base = name = execution_name(request)
        number = 1
        while True:
            try:
                return self.start(name, request)
            except self._client.exceptions.ExecutionAlreadyExists:
                number += 1
                name = f"{base}-{number}"

    def start_once(self, name: str, request: Mapping[str, Any]) -> tuple[Execution, bool]:
        """Start the execution called `name`, or find the one there is, whether it runs or has ended.

        A name is free again after 90 days, and until then a repeated start is the same run.

        Returns
        -------
        execution : Execution
        started : bool
            False where it was there already.

        Raises
        ------
        ExecutionConflictError
            There is one of this name on another request.
        InvalidRequestError
            As `start`.
        """
        # Asked first: a start on the input of one that runs succeeds, and does not tell that it started nothing.
        found = self._known(name)
        if found is None:
            try:
                return self.start(name, request), True
            except self._client.exceptions.ExecutionAlreadyExists:
                found = self.describe(name)  # somebody was faster
        if found.input != json.loads(canonical_json(request)):
            raise ExecutionConflictError(f"execution {name} was started with another request")
        return found, False

    def _known(self, name: str) -> Execution | None:
        try:
            return self.describe(name)
        except ExecutionNotFoundError:
            return None

    def describe(self, name: str) -> Execution:
        """Return the execution with this name or ARN.

        Raises
        ------
        ExecutionNotFoundError
            There is none.
        """
        try:
            return _execution(self._client.describe_execution(executionArn=self.arn(name)))
        except (self._client.exceptions.ExecutionDoesNotExist, self._client.exceptions.InvalidArn):
            raise ExecutionNotFoundError(f"no execution is called {name}") from None

    def list(self, *, status: ExecutionStatus | None = None, limit: int | None = None) -> Iterator[Execution]:
        """Yield the executions, newest first, without input and output."""
        options: dict[str, Any] = {"statusFilter": status.value} if status else {}
        pages = self._client.get_paginator("list_executions").paginate(
            stateMachineArn=self.state_machine_arn,
            PaginationConfig={"PageSize": min(limit or PAGE, PAGE)},
            **options,
        )
        return islice((_execution(item) for page in pages for item in page["executions"]), limit)

    def wait(self, name: str, *, on_progress: Progress | None = None, timeout: float | None = None) -> Execution:
        """Wait until the execution has ended and return it.

        Parameters
        ----------
        name
            Name or ARN.
        on_progress
            Called with the progress whenever it has changed, and once more at the end.
        timeout
            Seconds to wait at the most.

        Raises
        ------
        TimeoutError
            It has not ended in `timeout` seconds; it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        watcher = _ProgressWatcher(self._client, self.arn(name), on_progress) if on_progress else None
        while True:
            execution = self.describe(name)
            if watcher:
                watcher.look(at_once=execution.finished)
            if execution.finished:
                return execution
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"execution {execution.name} still runs after {timeout} seconds")
            time.sleep(self._poll_seconds)

    def history(self, name: str) -> Sequence[Event]:
        """Return the events of an execution in their order.

        Raises
        ------
        ExecutionNotFoundError
            There is no such execution.
        """
        return _events(self._raw_events(name))

    def last_input(self, name: str) -> Any:
        """Return the input of the state that an execution entered last; for one that failed, what it failed on."""
        # Not by `reverseOrder`, which some engines do not know.
        for event in reversed(self._raw_events(name)):
            if "stateEnteredEventDetails" in event:
                return _parsed(event["stateEnteredEventDetails"].get("input"))
        return None

    def output(self, name: str) -> Any:
        """Return what an execution returned.

        Raises
        ------
        ExecutionFailedError
            It has not succeeded, or not yet.
        """
        execution = self.describe(name)
        if execution.status is not ExecutionStatus.SUCCEEDED:
            raise ExecutionFailedError(execution)
        return execution.output

    def _raw_events(self, name: str) -> Sequence[Mapping[str, Any]]:
        pages = self._client.get_paginator("get_execution_history")
        try:
            return [
                event
                for page in pages.paginate(executionArn=self.arn(name), PaginationConfig={"PageSize": PAGE})
                for event in page["events"]
            ]
        except (self._client.exceptions.ExecutionDoesNotExist, self._client.exceptions.InvalidArn):
            raise ExecutionNotFoundError(f"no execution is called {name}") from None

    def stop(self, name: str, *, error: str = "Stopped", cause: str = "") -> None:
        """Stop an execution; tasks that run are let run."""
        self._client.stop_execution(executionArn=self.arn(name), error=error, cause=cause)


@kept
def execution_client(settings: ExecutionSettings) -> ExecutionClient:
    """Return the executions of the state machine that a trigger starts; a warm function keeps the client."""
    client = aws_client("stepfunctions", settings.stepfunctions_endpoint, PATIENCE)
    return ExecutionClient(client, settings.state_machine_arn)


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def message_of(cause: str | None) -> str:
    """Return the message of a function's error, whose Cause is JSON, or the Cause as it is."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause or ""


def execution_name(request: Mapping[str, Any]) -> str:
    """Return the name of the execution of `request`, so that the same request is the same run."""
    digest = hashlib.sha256(canonical_json(request).encode()).hexdigest()[:_HASH_DIGITS]
    request_id = _NOT_IN_A_NAME.sub("-", str(request.get("request_id") or "run"))[:_REQUEST_ID_CHARACTERS]
    return f"{request_id}-{digest}"


class _ProgressWatcher:
    """Count Map iterations as they appear in a growing history.

    A full page never changes, so only the last is read again.
    """

    def __init__(self, client: "SFNClient", arn: str, tell: Progress) -> None:
        self._client = client
        self._arn = arn
        self._tell = tell
        self._token: str | None = None
        self._settled: Counter[str] = Counter()
        self._told: MapProgress | None = None
        self._next_look = 0.0

    def look(self, *, at_once: bool) -> None:
        """Read what is new, unless the last reading was too short a while ago."""
        began = time.monotonic()
        if began < self._next_look and not at_once:
            return
        progress = self._read()
        if progress != self._told:
            self._tell(progress)
            self._told = progress
        now = time.monotonic()
        self._next_look = now + (now - began) / _PROGRESS_SHARE

    def _read(self) -> MapProgress:
        while True:
            token: dict[str, Any] = {"nextToken": self._token} if self._token else {}
            page = self._client.get_execution_history(executionArn=self._arn, maxResults=PAGE, **token)
            counts = self._settled + _count(page["events"])
            if not (following := page.get("nextToken")):
                break
            self._settled, self._token = counts, following
        return MapProgress(
            total=counts["total"],
            started=counts["MapIterationStarted"],
            succeeded=counts["MapIterationSucceeded"],
            failed=counts["MapIterationFailed"] + counts["MapIterationAborted"],
        )


def _count(events: Sequence[Mapping[str, Any]]) -> Counter[str]:
    counts = Counter(event["type"] for event in events)
    counts["total"] = sum(event.get("mapStateStartedEventDetails", {}).get("length", 0) for event in events)
    return counts


def _execution(answer: Mapping[str, Any]) -> Execution:
    return Execution(
        arn=answer["executionArn"],
        name=answer["name"],
        status=ExecutionStatus(answer["status"]),
        started_at=answer["startDate"],
        stopped_at=answer.get("stopDate"),
        error=answer.get("error") or None,
        cause=answer.get("cause") or None,
        input=_parsed(answer.get("input")),
        output=_parsed(answer.get("output")),
    )


def _parsed(document: str | None) -> Any:
    return None if document is None else json.loads(document)


def _events(raw: Sequence[Mapping[str, Any]]) -> Sequence[Event]:
    """Give every event its step and resource, which only the first event of a step or task carries."""
    steps: dict[int, str | None] = {}
    resources: dict[int, str | None] = {}
    events = []
    for event in raw:
        number, kind, before = event["id"], event["type"], event.get("previousEventId", 0)
        details = _details(event)
        step = None if kind.startswith("Execution") else details.get("name") or steps.get(before)
        calls = kind.startswith(("Task", "LambdaFunction")) and not kind.startswith("TaskState")
        # Only the event that schedules a call has its parameters, so the later ones of a call look back.
        resource = (resources.get(before) or _resource(details)) if calls else None
        steps[number], resources[number] = step, resource
        events.append(
            Event(
                id=number,
                type=kind,
                step=step,
                resource=resource,
                elapsed_ms=round((event["timestamp"] - raw[0]["timestamp"]).total_seconds() * 1000),
                error=details.get("error") or None,
                cause=details.get("cause") or None,
            )
        )
    return events


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def _resource(details: Mapping[str, Any]) -> str | None:
    """Return what a task calls: `lambda:invoke ValidateInput`, `sqs:sendMessage`."""
    if "resourceType" in details:
        action = f"{details['resourceType']}:{details['resource']}"
        function = json.loads(details.get("parameters", "{}")).get("FunctionName")
        return f"{action} {function.rsplit(':', 1)[-1]}" if function else action
    if "resource" in details:
        return f"lambda {details['resource'].rsplit(':', 1)[-1]}"
    return None
