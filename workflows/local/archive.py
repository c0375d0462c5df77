"""Executions that outlive the process: kept in files, answered through the Step Functions client itself.

The interpreter forgets its executions with the process. Here each one is a file of JSON lines, its description first
and its events after it; a client that the archive is attached to finds them by the calls it uses on AWS.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_stepfunctions import SFNClient

_Json = dict[str, Any]
# What a `before-call` handler of botocore may answer in the place of the service: an HTTP response and its parsed body.
_Answer = tuple[SimpleNamespace, _Json]

_RUNNING: Final = "RUNNING"
_ABORTED: Final = "ABORTED"
_MOMENTS: Final = ("startDate", "stopDate", "timestamp")
_EXECUTION_ARN_COLONS: Final = 7
_DEFAULT_PAGE: Final = 100
_POLL_SECONDS: Final = 0.02
# Within milliseconds of its start an execution has its first event.
_BEGIN_SECONDS: Final = 5.0


class ExecutionArchive:
    """The files of finished executions, and of those that run.

    Parameters
    ----------
    directory
        Where they are; a directory for each state machine in it. One process at a time.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def recover(self) -> int:
        """Close what an earlier process left running when it was killed; return how many that were."""
        left = [path for path in self._directory.glob("*/*.jsonl") if _first_line(path)["status"] == _RUNNING]
        for path in left:
            execution = _first_line(path)
            cause = "The process that ran this execution ended before it."
            # Nobody saw its end; the file was last written when it was alive.
            end = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            closed = {**execution, "status": _ABORTED, "stopDate": end, "error": "Killed", "cause": cause}
            events = [_started(closed), _aborted(closed, after=1)]
            self.save(closed, events)
        return len(left)

    def save(self, execution: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        """Write an execution with its events in the place of what is known of it."""
        path = self._path(execution["executionArn"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            for line in (execution, *events):
                file.write(json.dumps(line, default=_to_text, separators=(",", ":")) + "\n")
        os.replace(file.name, path)

    def find(self, arn: str) -> _Json | None:
        """Return the description of an execution, None when it is not known."""
        if arn.count(":") != _EXECUTION_ARN_COLONS:
            return None
        path = self._path(arn)
        return _first_line(path) if path.exists() else None

    def events(self, arn: str) -> list[_Json]:
        """Return the events of an execution."""
        with self._path(arn).open(encoding="utf-8") as file:
            next(file)
            return [_revive(line) for line in file]

    def executions(self, state_machine_arn: str) -> Iterator[_Json]:
        """Yield the descriptions of a state machine's executions, in no order."""
        for path in (self._directory / _file_name(_name(state_machine_arn))).glob("*.jsonl"):
            yield _first_line(path)

    def _path(self, arn: str) -> Path:
        machine, name = arn.split(":")[6:8]
        return self._directory / _file_name(machine) / f"{_file_name(name)}.jsonl"


class ArchivedExecutions:
    """Keeps executions in an archive, and answers for those that are only there.

    Parameters
    ----------
    session
        A session of the local engine. Every client that it makes from now on is answered; it goes on as before for
        executions that run.
    archive
        Where they are kept.
    live_events
        Returns the events of an execution of this process.
    """

    def __init__(
        self, session: "boto3.Session", archive: ExecutionArchive, live_events: Callable[[str], list[_Json]]
    ) -> None:
        self._archive = archive
        self._live_events = live_events
        self._stopped: dict[str, Mapping[str, str]] = {}
        before: Mapping[str, Callable[[_Json], _Answer | None]] = {
            "StartExecution": self._start,
            "DescribeExecution": self._describe,
            "DescribeStateMachineForExecution": self._describe_state_machine,
            "GetExecutionHistory": self._history,
            "ListExecutions": self._list,
            "StopExecution": self._stop,
        }
        for operation, answer in before.items():
            # botocore's handlers may answer, which the stubs do not know.
            handler: Callable[..., Any] = _with_body(answer)
            session.events.register(f"before-call.sfn.{operation}", handler)
        session.events.register("after-call.sfn.StartExecution", self._after_start)
        session.events.register("after-call.sfn.DescribeExecution", self._after_describe)
        self._client: SFNClient = session.client("stepfunctions")

    def close(self, state_machine_arn: str, *, timeout: float, wake: Callable[[], None]) -> None:
        """Stop what still runs and keep it as ABORTED.

        Parameters
        ----------
        state_machine_arn
            Whose executions.
        timeout
            Seconds to wait for tasks to return, all together.
        wake
            Ends the waits between two attempts, once everything has been told to stop.
        """
        deadline = time.monotonic() + timeout
        running = [execution["executionArn"] for execution in self._running(state_machine_arn)]
        cause = "The process that ran this execution was ended."
        for arn in running:
            self._client.stop_execution(executionArn=arn, error="Interrupted", cause=cause)
        wake()
        for arn in running:
            while (execution := self._client.describe_execution(executionArn=arn))["status"] == _RUNNING:
                if time.monotonic() > deadline:
                    self._keep(self._as_stopped({**_plain(execution), "stopDate": datetime.now(UTC)}))
                    break
                time.sleep(_POLL_SECONDS)

    def _running(self, state_machine_arn: str) -> list[_Json]:
        return [item for item in self._archive.executions(state_machine_arn) if item["status"] == _RUNNING]

    def _finished(self, arn: str) -> _Json | None:
        execution = self._archive.find(arn)
        return execution if execution and execution["status"] != _RUNNING else None

    def _keep(self, execution: _Json) -> None:
        """Write an execution that has ended, with what the interpreter remembers of it."""
        arn = execution["executionArn"]
        events = self._live_events(arn)
        if execution["status"] == _ABORTED:
            # Stopped inside a Map, the interpreter writes a failure of its own or no last event at all.
            while events and events[-1]["type"] in {"ExecutionFailed", "ExecutionAborted"}:
                events.pop()
            events.append(_aborted(execution, after=events[-1]["id"] if events else 0))
        self._archive.save(self._with_definition(execution), events)

    def _with_definition(self, execution: _Json) -> _Json:
        machine = self._client.describe_state_machine_for_execution(executionArn=execution["executionArn"])
        return {**execution, "definition": machine["definition"]}

    def _as_stopped(self, execution: _Json) -> _Json:
        return {**execution, "status": _ABORTED, **self._stopped[execution["executionArn"]]}

    # What the client asks, before the interpreter hears of it

    def _start(self, body: _Json) -> _Answer | None:
        arn = f"{body['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{body['name']}"
        if self._finished(arn):
            return _refuse("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        return None

    def _describe(self, body: _Json) -> _Answer | None:
        execution = self._finished(body["executionArn"])
        return _answer(_without_definition(execution)) if execution else None

    def _describe_state_machine(self, body: _Json) -> _Answer | None:
        execution = self._finished(body["executionArn"])
        if not execution:
            return None
        arn = execution["stateMachineArn"]
        return _answer(
            {
                "stateMachineArn": arn,
                "name": _name(arn),
                "definition": execution["definition"],
                "updateDate": execution["startDate"],
            }
        )

    def _history(self, body: _Json) -> _Answer | None:
        arn = body["executionArn"]
        execution = self._archive.find(arn)
        if execution is None:
            return None
        events = self._live_events(arn) if execution["status"] == _RUNNING else self._archive.events(arn)
        return _page("events", events[::-1] if body.get("reverseOrder") else events, body)

    def _list(self, body: _Json) -> _Answer:
        machine = body["stateMachineArn"]
        for execution in self._running(machine):
            # One that has ended since is kept by this question.
            self._client.describe_execution(executionArn=execution["executionArn"])
        wanted = body.get("statusFilter")
        shown = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate")
        items = [
            {key: item[key] for key in shown if key in item}
            for item in self._archive.executions(machine)
            if wanted in {None, item["status"]}
        ]
        items.sort(key=lambda item: item["startDate"], reverse=True)
        return _page("executions", items, body)

    def _stop(self, body: _Json) -> _Answer | None:
        arn = body["executionArn"]
        # What it says now decides: an execution that has ended stays as it ended.
        execution = self._client.describe_execution(executionArn=arn)
        if execution["status"] != _RUNNING:
            return _answer({"stopDate": execution["stopDate"]})
        # The interpreter cannot stop an execution that is started and has not begun.
        deadline = time.monotonic() + _BEGIN_SECONDS
        while not self._live_events(arn) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._stopped.setdefault(arn, {key: body[key] for key in ("error", "cause") if body.get(key)})
        return None

    # What the interpreter answered, before the client hears of it

    def _after_start(self, parsed: _Json, **_: Any) -> None:
        if "executionArn" in parsed:
            self._client.describe_execution(executionArn=parsed["executionArn"])

    def _after_describe(self, parsed: _Json, **_: Any) -> None:
        if "executionArn" not in parsed:
            return
        arn = parsed["executionArn"]
        if parsed["status"] == _RUNNING:
            if not self._archive.find(arn):
                self._archive.save(self._with_definition(_plain(parsed)), [])
        elif not self._finished(arn):
            # The interpreter calls an execution that was stopped inside a Map FAILED, and forgets why it was stopped.
            if arn in self._stopped and parsed["status"] in {"FAILED", _ABORTED}:
                parsed.update(self._as_stopped(_plain(parsed)))
            # ... and one that timed out has no end.
            parsed.setdefault("stopDate", datetime.now(UTC))
            self._keep(_plain(parsed))


def _with_body(answer: Callable[[_Json], _Answer | None]) -> Callable[..., _Answer | None]:
    def handler(params: Mapping[str, Any], **_: Any) -> _Answer | None:
        return answer(json.loads(params["body"]))

    return handler


def _answer(parsed: _Json) -> _Answer:
    return SimpleNamespace(status_code=200), parsed


def _refuse(code: str, message: str) -> _Answer:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return SimpleNamespace(status_code=400), error


def _page(key: str, items: Sequence[_Json], body: _Json) -> _Answer:
    start = int(body.get("nextToken", 0))
    stop = start + int(body.get("maxResults") or _DEFAULT_PAGE)
    return _answer({key: items[start:stop], **({"nextToken": str(stop)} if stop < len(items) else {})})


def _started(execution: Mapping[str, Any]) -> _Json:
    details = {"input": execution.get("input", "{}")}
    moment = execution["startDate"]
    return {
        "id": 1,
        "previousEventId": 0,
        "type": "ExecutionStarted",
        "timestamp": moment,
        "executionStartedEventDetails": details,
    }


def _aborted(execution: Mapping[str, Any], *, after: int) -> _Json:
    details = {key: execution[key] for key in ("error", "cause") if key in execution}
    moment = execution["stopDate"]
    return {
        "id": after + 1,
        "previousEventId": 0,
        "type": "ExecutionAborted",
        "timestamp": moment,
        "executionAbortedEventDetails": details,
    }


def _plain(parsed: Mapping[str, Any]) -> _Json:
    return {key: value for key, value in parsed.items() if key != "ResponseMetadata"}


def _without_definition(execution: _Json) -> _Json:
    return {key: value for key, value in execution.items() if key != "definition"}


def _first_line(path: Path) -> _Json:
    with path.open(encoding="utf-8") as file:
        return _revive(file.readline())


def _revive(line: str) -> _Json:
    document: _Json = json.loads(line)
    for key in _MOMENTS:
        if key in document:
            document[key] = datetime.fromisoformat(document[key])
    return document


def _to_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} in an execution")


def _name(arn: str) -> str:
    return arn.split(":")[6]


def _file_name(name: str) -> str:
    # A dot is escaped too: an ARN comes from a person, and may not lead out of the directory.
    return quote(name, safe="").replace(".", "%2E")
