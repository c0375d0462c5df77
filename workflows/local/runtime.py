"""The whole world on a laptop: engine, functions, stores, queue; made when entered, kept in one directory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from logging import StreamHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from workflows.executions import ExecutionClient
from workflows.local.lock import DataDirectoryLock
from workflows.registry import TASKS, TaskFunction

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from common.stores.ports import PayloadStore, ResultStore, TimeSeriesReader
    from workflows.local.lambda_host import Faults

STATE_MACHINE: Final = "performance-calculation"
TABLE: Final = "performance-metrics"
BUCKET: Final = "performance-payloads"
QUEUE: Final = "performance-backfill"
TIMESTREAM_DATABASE: Final = "investment_performance"
TIMESTREAM_TABLE: Final = "performance_metrics"
# The specification's retention. Month-end and back-dated results are always older than the memory store takes.
MEMORY_STORE_HOURS: Final = 24
MAGNETIC_STORE_DAYS: Final = 73_000

_POLL_SECONDS: Final = 0.05
# A stopped execution lets its tasks finish; a handler that hangs is not waited for.
_STOP_SECONDS: Final = 10.0


class LocalRuntime:
    """The project's AWS on this machine, for the length of a `with` block.

    Parameters
    ----------
    data_dir
        Keeps results, executions and logs; one process at a time works in it.
    faults
        What goes wrong with invocations, for tests.
    retry_delay_scale
        Multiplies the waits between two attempts, for tests.
    tasks
        The functions; the registry's when not given.

    Attributes
    ----------
    executions
        Starts and follows executions.
    result_store, payload_store, time_series_reader
        The stores the functions write to.
    payload_bucket
        Name of the bucket behind `payload_store`.
    backfill_queue_url, sqs
        The queue of what the time series lacks, and a client to read it.
    environment
        What the functions are told.

    Raises
    ------
    DataDirectoryInUseError
        Another process works in `data_dir`.
    """

    executions: ExecutionClient
    result_store: "ResultStore"
    payload_store: "PayloadStore"
    time_series_reader: "TimeSeriesReader"
    sqs: "SQSClient"
    backfill_queue_url: str
    environment: Mapping[str, str]
    payload_bucket: str = BUCKET

    def __init__(
        self,
        data_dir: Path,
        *,
        faults: "Faults | None" = None,
        retry_delay_scale: float = 1.0,
        tasks: Mapping[str, TaskFunction] = TASKS,
    ) -> None:
        self._data_dir = data_dir
        self._faults = faults
        self._retry_delay_scale = retry_delay_scale
        self._tasks = tasks
        self._lines: list[str] = []
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(DataDirectoryLock(self._data_dir))
            self._open(stack)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    def describe(self) -> Sequence[str]:
        """Return a line on each engine in use."""
        return self._lines

    def _open(self, stack: ExitStack) -> None:
        host = LambdaHost(self._tasks, faults=self._faults)
        engine = stack.enter_context(LocalEngine(host, retry_delay_scale=self._retry_delay_scale))
        dynamodb = stack.enter_context(LocalDynamoDB(self._data_dir / "dynamodb"))
        timestream = stack.enter_context(LocalTimestream(self._data_dir / "timestream.duckdb"))
        self._lines = [dynamodb.description, timestream.description]
        self.environment = self._make_environment(dynamodb.endpoint, timestream.endpoint)
        stack.enter_context(environment_variables(self.environment))
        stack.enter_context(_handler_log(self._data_dir / "logs" / "handlers.jsonl"))
        self._make_resources()
        self._make_state_machine(engine, host, stack)

    def _make_state_machine(self, engine: LocalEngine, host: LambdaHost, stack: ExitStack) -> None:
        client = boto3.client("stepfunctions")
        functions = {name: function_arn(name) for name in self._tasks}
        definition = render(STATE_MACHINE, functions | {BACKFILL_QUEUE: self.backfill_queue_url})
        arn = engine.create_state_machine(client, STATE_MACHINE, definition)
        archive = ExecutionArchive(self._data_dir / "executions")
        archive.recover()
        archived = ArchivedExecutions(client, archive, engine.events)
        self.executions = ExecutionClient(client, arn, poll_seconds=_POLL_SECONDS)
        # Before a store closes: an invocation that was let run may still write.
        stack.callback(host.wait_idle, _STOP_SECONDS)
        stack.callback(archived.close, arn, timeout=_STOP_SECONDS, wake=engine.end_waits)


@contextmanager
def _handler_log(path: Path) -> Iterator[None]:
    """Let the functions log to a file: the standard output is the user's."""
    from common.observability import logger  # noqa: PLC0415 - reads the environment when it is imported

    path.parent.mkdir(parents=True, exist_ok=True)
    # Powertools opens its stream once, in the process's first runtime.
    handlers = [handler for handler in logger().handlers if isinstance(handler, StreamHandler)]
    with path.open("a", encoding="utf-8") as file:
        before = [handler.setStream(file) for handler in handlers]
        try:
            yield
        finally:
            for handler, stream in zip(handlers, before, strict=True):
                handler.setStream(stream)
