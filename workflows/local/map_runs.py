"""Map Runs on a laptop: each child of a distributed Map is an execution of its own, and the results are files.

moto runs the children as frames of their parent, never fails for the failed ones, and writes an empty list of results.
Here each has a name, a start and a history of its own, which are gone when it has ended, so that memory does not grow
with their number; too many failures end the run; and what the result writer puts down is what the service does.

Not the service's: no history of a child can be looked at afterwards, whatever the type of the children; an EXPRESS one
may take longer than five minutes; and a distributed Map without a `ResultWriter` returns nothing.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, BinaryIO, Final
from unittest.mock import patch
from uuid import uuid4

import boto3
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType, MapRunFailedEventDetails, StateMachineType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval.resource_eval_s3 import (
    ResourceEvalS3,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker

from common.json_types import JsonObject
from common.scratch import scratch_file
from workflows.local.lambda_host import ACCOUNT, REGION

# More children at a time than the machine has processors would only wait for each other.
_AT_A_TIME: Final = os.cpu_count() or 1
_POLL_SECONDS: Final = 0.1
# The local S3 makes some ten copies of an object on its way in, and five on its way out.
_RESULT_FILE_BYTES: Final = 512 * 1024
_KINDS: Final = ("FAILED", "PENDING", "SUCCEEDED")


@contextmanager
def map_runs() -> Iterator[None]:
    """Let the interpreter run distributed Maps this way, for the length of a `with` block."""
    unwritten: dict[str, _Results] = {}

    def run(component: Any, env: Any, eval_input: Any) -> None:
        items = env.stack.pop()
        record = eval_input.map_run_record
        results = unwritten[record.map_run_arn] = _Results(record.map_run_arn)
        _MapRun(component._get_iteration_program(), env, record, items, results).run()
        # Not what the children returned, of which the results are: the writer's paths begin at the state's input.
        env.stack.append(env.states.get_input())

    def put_object(env: Any, *_: Any) -> None:
        parameters = env.stack.pop()
        env.stack.pop()
        results = unwritten.pop(_newest(env) or "")
        env.stack.append({"MapRunArn": results.map_run_arn, "ResultWriterDetails": results.put(**parameters)})

    def evaluate(state: Any, env: Any) -> None:
        try:
            as_before(state, env)
        except Exception:
            # A Map that fails never gets to its result writer, and the service writes the results all the same.
            if state.result_writer and _newest(env) in unwritten:
                env.stack.append(env.states.get_input())
                state.result_writer.eval(env)
                env.stack.pop()
            raise

    as_before: Callable[[Any, Any], None] = StateMap._eval_execution
    with ExitStack() as stack:
        stack.enter_context(patch.object(DistributedIterationComponent, "_map_run", run))
        stack.enter_context(patch.object(ResourceEvalS3, "_handle_put_object", staticmethod(put_object)))
        stack.enter_context(patch.object(StateMap, "_eval_execution", evaluate))
        yield


def _newest(env: Any) -> str | None:
    records = env.map_run_record_pool_manager.get_all()
    return str(records[-1].map_run_arn) if records else None


class _MapRun:
    """One run of a distributed Map: its children, some at a time, until all have ended or too many have failed."""

    def __init__(self, program: Any, env: Any, record: Any, items: Sequence[Any], results: "_Results") -> None:
        self._program, self._env, self._record, self._results = program, env, record, results
        self._items = iter(items)
        self._total = len(items)
        self._failed = 0
        self._running: set[_Child] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Run the children.

        Raises
        ------
        FailureEventException
            More of them failed than the Map tolerates.
        """
        for counter in (self._record.execution_counter, self._record.item_counter):
            counter.total.count(self._total)
            counter.pending.count(self._total)
        at_a_time = min(_AT_A_TIME, self._record.max_concurrency or _AT_A_TIME)
        workers = [threading.Thread(target=self._work, name=f"batch-{n}", daemon=True) for n in range(at_a_time)]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(_POLL_SECONDS)
                if not self._env.is_running():
                    self._stop()
        for item in self._items:
            self._results.add("PENDING", {"Input": _dump(item), "Status": "PENDING"})
        if self._too_many_failed():
            self._fail()

    def _work(self) -> None:
        while (child := self._next()) is not None:
            self._count("pending", -1)
            self._count("running", 1)
            child.start()
            with self._lock:
                self._running.discard(child)
                self._failed += child.exec_status is not ExecutionStatus.SUCCEEDED
                kind = "SUCCEEDED" if child.exec_status is ExecutionStatus.SUCCEEDED else "FAILED"
                self._results.add(kind, child.exported())
            child.release()
            self._count("running", -1)
            self._count(kind.lower(), 1)
            self._count("results_written", 1)

    def _next(self) -> "_Child | None":
        with self._lock:
            if not self._env.is_running() or self._too_many_failed():
                return None
            for item in self._items:
                child = _Child(self._program, self._record, item)
                self._running.add(child)
                return child
        return None

    def _stop(self) -> None:
        with self._lock:
            running = list(self._running)
        for child in running:
            child.halt()

    def _count(self, name: str, change: int) -> None:
        for counter in (self._record.execution_counter, self._record.item_counter):
            getattr(counter, name).offset(change)

    def _too_many_failed(self) -> bool:
        tolerated = max(
            self._record.tolerated_failure_count, self._record.tolerated_failure_percentage / 100 * self._total
        )
        return self._failed > float(tolerated)

    def _fail(self) -> None:
        error = StatesErrorName(typ=StatesErrorNameType.StatesExceedToleratedFailureThreshold)
        cause = "The specified tolerated failure threshold was exceeded"
        details = MapRunFailedEventDetails(error=error.error_name, cause=cause)
        raise FailureEventException(
            FailureEvent(
                env=self._env,
                error_name=error,
                event_type=HistoryEventType.MapRunFailed,
                event_details=EventDetails(mapRunFailedEventDetails=details),
            )
        )


class _Child(Execution):  # type: ignore[misc]  # moto is not typed
    """An execution of the item processor, which runs in the thread that starts it."""

    exec_worker: "_Worker | None"

    def __init__(self, program: Any, record: Any, item: Any) -> None:
        self._program = program
        machine_arn = record.map_state_machine_arn
        name = str(uuid4())
        super().__init__(
            name=name,
            sm_type=StateMachineType.STANDARD,
            role_arn="",
            exec_arn=f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}",
            account_id=ACCOUNT,
            region_name=REGION,
            state_machine=SimpleNamespace(
                arn=machine_arn,
                name=machine_arn.rsplit(":", 1)[-1],
                sm_type=StateMachineType.STANDARD,
                definition="",
            ),
            start_date=datetime.now(UTC),
            cloud_watch_logging_session=None,
            activity_store={},
            input_data=_dump(item),
        )

    def halt(self) -> None:
        """Stop it; tasks that run are let run."""
        worker = self.exec_worker
        if worker and worker.env:
            worker.stop(datetime.now(UTC), error=None, cause=None)

    def release(self) -> None:
        """Let go of its history, now that it has ended.

        It and its worker name each other, so both would stay until Python looks for cycles among its old objects,
        dozens of children later.
        """
        self.exec_worker = None

    def exported(self) -> JsonObject:
        """Return it as the result writer has it."""
        details: JsonObject = {
            "ExecutionArn": self.exec_arn,
            "Input": self.execution_input,
            "InputDetails": {"Included": True},
            "Name": self.name,
            "StartDate": self.start_date.isoformat(),
            "StateMachineArn": self.state_machine_arn,
            "Status": self.exec_status.value,
        }
        if self.stop_date is not None:
            details["StopDate"] = self.stop_date.isoformat()
        if self.exec_status is ExecutionStatus.SUCCEEDED:
            return details | {"Output": _dump(self.output), "OutputDetails": {"Included": True}}
        return details | {key: value for key, value in (("Error", self.error), ("Cause", self.cause)) if value}

    def _get_start_execution_worker(self) -> "_Worker":
        worker = _Worker(
            evaluation_details=super()._get_start_execution_worker()._evaluation_details,
            exec_comm=self._get_start_execution_worker_comm(),
            cloud_watch_logging_session=None,
            activity_store={},
        )
        worker.program = self._program
        return worker


class _Worker(ExecutionWorker):  # type: ignore[misc]  # moto is not typed
    """Runs a program that the parent has parsed already."""

    program: Any

    def start(self) -> None:
        self._execution_logic()

    def _get_evaluation_entrypoint(self) -> Any:
        return self.program


class _Results:
    """What the children of a run came to, kept on disk until the result writer puts it down."""

    def __init__(self, map_run_arn: str) -> None:
        self.map_run_arn = map_run_arn
        self._written: dict[str, BinaryIO] = {}
        self._starts: dict[str, list[int]] = {}

    def add(self, kind: str, child: JsonObject) -> None:
        """Add a child execution; `kind` says to which of the files. One that is full is followed by the next."""
        if kind not in self._written:
            self._written[kind], self._starts[kind] = scratch_file(), []
        written, starts = self._written[kind], self._starts[kind]
        if not starts or written.tell() - starts[-1] > _RESULT_FILE_BYTES:
            written.write(b"]" if starts else b"")
            starts.append(written.tell())
            written.write(b"[")
        else:
            written.write(b",\n")
        written.write(_dump(child).encode())

    def put(self, Bucket: str, Prefix: str = "") -> JsonObject:  # noqa: N803 - the result writer's own parameters
        """Put down the files and the manifest that names them; return where that is."""
        s3 = boto3.client("s3")
        directory = "/".join(filter(None, [Prefix.rstrip("/"), self.map_run_arn.rsplit(":", 1)[-1]]))
        files: dict[str, list[JsonObject]] = {kind: [] for kind in _KINDS}
        for kind, written in self._written.items():
            written.write(b"]")
            starts = self._starts[kind]
            sizes = [end - start for start, end in pairwise([*starts, written.tell()])]
            written.seek(0)
            for number, size in enumerate(sizes):
                key = f"{directory}/{kind}_{number}.json"
                s3.put_object(Bucket=Bucket, Key=key, Body=written.read(size))
                files[kind].append({"Key": key, "Size": size})
            written.close()
        manifest = {"DestinationBucket": Bucket, "MapRunArn": self.map_run_arn, "ResultFiles": files}
        key = f"{directory}/manifest.json"
        s3.put_object(Bucket=Bucket, Key=key, Body=json.dumps(manifest).encode())
        return {"Bucket": Bucket, "Key": key}


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
