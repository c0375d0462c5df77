"""Start, follow and read executions: one client, for AWS and for the local engine."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from common.config import ExecutionSettings
from common.errors import Fault, InvalidRequestError, PermanentError, TransientError, message_of
from common.json_text import canonical_json
from common.models.limits import STATE_PAYLOAD_BYTES
from common.stores.clients import Patience, aws_client
from common.warm import kept
from workflows.execution_history import PAGE, Event, HistoryReader, Progress, ProgressWatcher, events_of
from workflows.execution_names import execution_name, numbered
from workflows.told_faults import faults_in

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# Of a state machine's ARN; an eighth is the name of an alias.
_ARN_PARTS: Final = 7
# A trigger answers within 30 s: four attempts of at most 5 s, and the waits between them.
PATIENCE: Final = Patience(attempts=4, connect_seconds=2, read_seconds=5)


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

    @property
    def outcome(self) -> str:
        """What it came to: PARTIAL where its output says so, which is at hand or not, else its status."""
        told = self.output.get("status") if isinstance(self.output, dict) else None
        return str(told) if told and self.status is ExecutionStatus.SUCCEEDED else self.status.value

    @property
    def request_faults(self) -> tuple[Fault, ...]:
        """What is wrong with its request, where that is why it failed: what the books alone could tell."""
        wrong = self.failed and self.error == InvalidRequestError.__name__
        return faults_in(message_of(self.cause)) if wrong else ()

    @property
    def failed(self) -> bool:
        """Whether it has ended without success."""
        return self.finished and self.status is not ExecutionStatus.SUCCEEDED


class ExecutionClient:
    """The executions of one state machine.

    Parameters
    ----------
    client
        A boto3 client of Step Functions.
    state_machine_arn
        The ARN of the state machine, or of an alias of it that starts go through.
    poll_seconds
        How long `wait` waits between two questions. The service allows some fifteen a second for an account.
    """

    def __init__(self, client: "SFNClient", state_machine_arn: str, *, poll_seconds: float = 1.0) -> None:
        self._client = client
        self.state_machine_arn = state_machine_arn
        # Executions are the state machine's, whichever alias they were started by.
        self._unqualified_arn = ":".join(state_machine_arn.split(":")[:_ARN_PARTS])
        self._poll_seconds = poll_seconds

    @property
    def client(self) -> "SFNClient":
        """The client, for whoever shows what Step Functions itself says."""
        return self._client

    def arn(self, name: str) -> str:
        """Return the ARN of the execution called `name`; an ARN is returned as it is."""
        if name.startswith("arn:"):
            return name
        return f"{self._unqualified_arn.replace(':stateMachine:', ':execution:')}:{name}"

    def has(self, arn: str) -> bool:
        """Return whether an ARN is that of an execution of this state machine."""
        return arn.startswith(self.arn(""))

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

        While one of that name runs it is returned instead. After it has ended the next is `<name>-2`, then `-3`. What
        that takes grows with the logarithm of how many there are.
        """
        base = execution_name(request)
        document = json.loads(canonical_json(request))
        taken = 0
        while True:
            try:
                return self.start(numbered(base, taken + 1), request)
            except self._client.exceptions.ExecutionAlreadyExists:
                taken, last = self._last(base, taken + 1)
            if last is not None and not last.finished and last.input == document:
                return last

    def under_way(self, request: Mapping[str, Any], *, since: datetime) -> Execution | None:
        """Return the execution of `request` that runs, or has ended since a moment; nothing is started.

        Returns
        -------
        Execution or None
            None where there is none.
        """
        base = execution_name(request)
        if self._known(base) is None:
            return None
        _, last = self._last(base, 1)
        if last is None or last.input != json.loads(canonical_json(request)):
            return None
        return last if last.stopped_at is None or last.stopped_at >= since else None

    def start_unless_done(self, name: str, request: Mapping[str, Any]) -> tuple[Execution, bool]:
        """Start the execution called `name`, unless it runs or has succeeded.

        Where it has ended without success the next is `<name>-2`, then `-3`, of which the same is true: the last one
        tells of all, since each was started after the one before it had failed. Whether there is one is all that
        counts, not what it was started with.

        Returns
        -------
        execution : Execution
            The one that was started, runs or has succeeded.
        started : bool
            False where it was there already.

        Raises
        ------
        TransientError
            It was there a moment ago already, and the service cannot say yet what has become of it.
        InvalidRequestError
            As `start`.
        """
        # Asked first, as in `start_once`.
        last = self._known(name)
        taken = 0 if last is None else 1
        if last is not None and last.failed:
            taken, last = self._last(name, 1)
        while last is None or last.failed:
            if last is None and taken:
                raise TransientError(f"Step Functions: execution {numbered(name, taken)} was started a moment ago")
            try:
                return self.start(numbered(name, taken + 1), request), True
            except self._client.exceptions.ExecutionAlreadyExists:  # somebody was faster
                taken, last = self._last(name, taken + 1)
        return last, False

    def _last(self, base: str, taken: int) -> tuple[int, Execution | None]:
        """Find the last of `<base>`, `<base>-2`, `<base>-3`, by galloping and bisection.

        Parameters
        ----------
        base
            Name of the first; the numbers in use have no gaps.
        taken
            A number that is in use.

        Returns
        -------
        number : int
        execution : Execution or None
            None where it cannot be described yet, which takes a moment after its start.
        """
        low, high, step = taken, 0, 1
        last: Execution | None = None
        while not high or high - low > 1:
            number = (low + high) // 2 if high else low + step
            found = self._known(numbered(base, number))
            if found is None:
                high = number
            else:
                low, last, step = number, found, 2 * step
        return low, last or self._known(numbered(base, low))

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
            stateMachineArn=self._unqualified_arn,
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
        watcher = ProgressWatcher(self._client, self.arn(name), on_progress) if on_progress else None
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
        return events_of(self._raw_events(name))

    def growing_history(self, name: str) -> HistoryReader:
        """Return what reads the events of an execution that runs, as the service gives them, each once."""
        return HistoryReader(self._client, self.arn(name))

    def map_run(self, arn: str) -> Mapping[str, Any]:
        """Return what the service says of a run of a Distributed Map: `status`, `startDate`, `itemCounts`."""
        return self._client.describe_map_run(mapRunArn=arn)

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
