"""Answers for executions that have ended, through the Step Functions client itself.

The interpreter forgets its executions with the process, and some things about them sooner. The archive keeps them; a
client that it is attached to finds them by the calls it uses on AWS.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from common.json_types import JsonObject
from workflows.local.archive import (
    ABORTED,
    MAP_RUNS,
    RUNNING,
    ExecutionArchive,
    aborted,
    machine_name,
    with_moments,
)

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_stepfunctions import SFNClient

# What a `before-call` handler of botocore may answer in the place of the service: an HTTP response and its parsed body.
_Answer = tuple[SimpleNamespace, JsonObject]

_DEFAULT_PAGE: Final = 100
_POLL_SECONDS: Final = 0.02
# Within milliseconds of its start an execution has its first event.
_BEGIN_SECONDS: Final = 5.0


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
        self, session: "boto3.Session", archive: ExecutionArchive, live_events: Callable[[str], list[JsonObject]]
    ) -> None:
        self._archive = archive
        self._live_events = live_events
        self._stopped: dict[str, Mapping[str, str]] = {}
        before: Mapping[str, Callable[[JsonObject], _Answer | None]] = {
            "StartExecution": self._start,
            "DescribeExecution": self._describe,
            "DescribeStateMachineForExecution": self._describe_state_machine,
            "DescribeMapRun": self._describe_map_run,
            "ListMapRuns": self._list_map_runs,
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
            while (execution := self._client.describe_execution(executionArn=arn))["status"] == RUNNING:
                if time.monotonic() > deadline:
                    self._keep(self._as_stopped({**_plain(execution), "stopDate": datetime.now(UTC)}))
                    break
                time.sleep(_POLL_SECONDS)

    def _running(self, state_machine_arn: str) -> list[JsonObject]:
        return [item for item in self._archive.executions(state_machine_arn) if item["status"] == RUNNING]

    def _finished(self, arn: str) -> JsonObject | None:
        execution = self._archive.find(arn)
        return execution if execution and execution["status"] != RUNNING else None

    def _keep(self, execution: JsonObject) -> None:
        """Write an execution that has ended, with what the interpreter remembers of it."""
        arn = execution["executionArn"]
        events = self._live_events(arn)
        if execution["status"] == ABORTED:
            # Stopped inside a Map, the interpreter writes a failure of its own or no last event at all.
            while events and events[-1]["type"] in {"ExecutionFailed", "ExecutionAborted"}:
                events.pop()
            events.append(aborted(execution, after=events[-1]["id"] if events else 0))
        runs = [self._client.describe_map_run(mapRunArn=run) for run in self._live_map_runs(arn)]
        self._archive.save({**self._with_definition(execution), MAP_RUNS: [_plain(run) for run in runs]}, events)

    def _with_definition(self, execution: JsonObject) -> JsonObject:
        machine = self._client.describe_state_machine_for_execution(executionArn=execution["executionArn"])
        return {**execution, "definition": machine["definition"]}

    def _live_map_runs(self, arn: str) -> list[str]:
        """Return the ARNs of the Map Runs of an execution of this process."""
        started = (event.get("mapRunStartedEventDetails") for event in self._live_events(arn))
        return [details["mapRunArn"] for details in started if details]

    def _as_stopped(self, execution: JsonObject) -> JsonObject:
        return {**execution, "status": ABORTED, **self._stopped[execution["executionArn"]]}

    # What the client asks, before the interpreter hears of it

    def _start(self, body: JsonObject) -> _Answer | None:
        arn = f"{body['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{body['name']}"
        if self._finished(arn):
            return _refuse("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        return None

    def _describe(self, body: JsonObject) -> _Answer | None:
        execution = self._finished(body["executionArn"])
        return _answer(_without_definition(execution)) if execution else None

    def _describe_state_machine(self, body: JsonObject) -> _Answer | None:
        execution = self._finished(body["executionArn"])
        if not execution:
            return None
        arn = execution["stateMachineArn"]
        return _answer(
            {
                "stateMachineArn": arn,
                "name": machine_name(arn),
                "definition": execution["definition"],
                "updateDate": execution["startDate"],
            }
        )

    def _describe_map_run(self, body: JsonObject) -> _Answer | None:
        arn = body["mapRunArn"]
        machine_arn = arn.replace(":mapRun:", ":stateMachine:").partition("/")[0]
        for listed in self._archive.executions(machine_arn):
            if listed["status"] == RUNNING and arn in self._live_map_runs(listed["executionArn"]):
                return None
            if arn in listed[MAP_RUNS]:
                runs = (self._archive.find(listed["executionArn"]) or {})[MAP_RUNS]
                return _answer(with_moments(next(run for run in runs if run["mapRunArn"] == arn)))
        # The interpreter fails on one that it does not know.
        return _refuse("ResourceNotFound", f"Map Run not found: '{arn}'")

    def _list_map_runs(self, body: JsonObject) -> _Answer | None:
        execution = self._finished(body["executionArn"])
        if execution is None:
            return None
        shown = ("executionArn", "mapRunArn", "startDate", "stopDate")
        runs = [with_moments(run) for run in execution.get(MAP_RUNS, ())]
        machine = {"stateMachineArn": execution["stateMachineArn"]}
        return _answer({"mapRuns": [{key: run[key] for key in shown if key in run} | machine for run in runs]})

    def _history(self, body: JsonObject) -> _Answer | None:
        arn = body["executionArn"]
        execution = self._archive.find(arn)
        if execution is None:
            return None
        events = self._live_events(arn) if execution["status"] == RUNNING else self._archive.events(arn)
        return _page("events", events[::-1] if body.get("reverseOrder") else events, body)

    def _list(self, body: JsonObject) -> _Answer:
        if "mapRunArn" in body:  # no child outlives its own end here
            return _page("executions", [], body)
        machine = body["stateMachineArn"]
        for execution in self._running(machine):
            # One that has ended since is kept by this question.
            self._client.describe_execution(executionArn=execution["executionArn"])
        wanted = body.get("statusFilter")
        items = [
            {key: value for key, value in item.items() if key != MAP_RUNS}
            for item in self._archive.executions(machine)
            if wanted in {None, item["status"]}
        ]
        items.sort(key=lambda item: item["startDate"], reverse=True)
        return _page("executions", items, body)

    def _stop(self, body: JsonObject) -> _Answer | None:
        arn = body["executionArn"]
        # What it says now decides: an execution that has ended stays as it ended.
        execution = self._client.describe_execution(executionArn=arn)
        if execution["status"] != RUNNING:
            return _answer({"stopDate": execution["stopDate"]})
        # The interpreter cannot stop an execution that is started and has not begun.
        deadline = time.monotonic() + _BEGIN_SECONDS
        while not self._live_events(arn) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._stopped.setdefault(arn, {key: body[key] for key in ("error", "cause") if body.get(key)})
        return None

    # What the interpreter answered, before the client hears of it

    def _after_start(self, parsed: JsonObject, **_: Any) -> None:
        if "executionArn" in parsed:
            self._client.describe_execution(executionArn=parsed["executionArn"])

    def _after_describe(self, parsed: JsonObject, **_: Any) -> None:
        if "executionArn" not in parsed:
            return
        arn = parsed["executionArn"]
        if parsed["status"] == RUNNING:
            if not self._archive.find(arn):
                self._archive.save(self._with_definition(_plain(parsed)), [])
        elif not self._finished(arn):
            # The interpreter calls an execution that was stopped inside a Map FAILED, and forgets why it was stopped.
            if arn in self._stopped and parsed["status"] in {"FAILED", ABORTED}:
                parsed.update(self._as_stopped(_plain(parsed)))
            # ... and one that timed out has no end.
            parsed.setdefault("stopDate", datetime.now(UTC))
            self._keep(_plain(parsed))


def _with_body(answer: Callable[[JsonObject], _Answer | None]) -> Callable[..., _Answer | None]:
    def handler(params: Mapping[str, Any], **_: Any) -> _Answer | None:
        return answer(json.loads(params["body"]))

    return handler


def _answer(parsed: JsonObject) -> _Answer:
    return SimpleNamespace(status_code=200), parsed


def _refuse(code: str, message: str) -> _Answer:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return SimpleNamespace(status_code=400), error


def _page(key: str, items: Sequence[JsonObject], body: JsonObject) -> _Answer:
    start = int(body.get("nextToken", 0))
    stop = start + int(body.get("maxResults") or _DEFAULT_PAGE)
    return _answer({key: items[start:stop], **({"nextToken": str(stop)} if stop < len(items) else {})})


def _plain(parsed: Mapping[str, Any]) -> JsonObject:
    return {key: value for key, value in parsed.items() if key != "ResponseMetadata"}


def _without_definition(execution: JsonObject) -> JsonObject:
    return {key: value for key, value in execution.items() if key not in {"definition", MAP_RUNS}}
