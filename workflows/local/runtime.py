"""The whole world on a laptop: engine, functions, stores, queue; made when entered, kept in one directory."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from logging import StreamHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import boto3

from common.config import PayloadSettings, ResultStoreSettings
from common.stores.dynamodb import RESULT_TABLE, result_store
from common.stores.ports import PayloadStore, ResultStore, TimeSeriesReader
from common.stores.s3 import payload_store
from common.stores.timestream import TimestreamReader, time_series_store
from workflows.definitions import render
from workflows.executions import ExecutionClient
from workflows.local.archive import ArchivedExecutions, ExecutionArchive
from workflows.local.dynamodb import LocalDynamoDB
from workflows.local.engine import LocalEngine, environment_variables
from workflows.local.lambda_host import Faults, LambdaHost, function_arn
from workflows.local.lock import DataDirectoryLock
from workflows.local.queues import KeptQueues
from workflows.local.timestream import Faults as TimestreamFaults
from workflows.local.timestream import LocalTimestream
from workflows.registry import BACKFILL_QUEUE, TASKS, TaskFunction

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

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
_NO_DELAY: Final[Any] = {"Delay": 0.02, "MaxAttempts": 500}
# A stopped execution lets its tasks finish; a handler that hangs is not waited for.
_STOP_SECONDS: Final = 10.0


class LocalRuntime:
    """The project's AWS on this machine, for the length of a `with` block.

    Parameters
    ----------
    data_dir
        Keeps results, executions and logs; one process at a time works in it.
    faults, timestream_faults
        What goes wrong with invocations, and with requests to Timestream, for tests.
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
    result_store: ResultStore
    payload_store: PayloadStore
    time_series_reader: TimeSeriesReader
    sqs: "SQSClient"
    backfill_queue_url: str
    environment: Mapping[str, str]
    payload_bucket: str = BUCKET

    def __init__(
        self,
        data_dir: Path,
        *,
        faults: Faults | None = None,
        timestream_faults: TimestreamFaults | None = None,
        retry_delay_scale: float = 1.0,
        tasks: Mapping[str, TaskFunction] = TASKS,
    ) -> None:
        self._data_dir = data_dir
        self._faults = faults
        self._timestream_faults = timestream_faults
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
        timestream = stack.enter_context(
            LocalTimestream(self._data_dir / "timestream.duckdb", faults=self._timestream_faults)
        )
        queues = KeptQueues(self._data_dir / "queues", engine.session)
        self._lines = [dynamodb.description, timestream.description]
        self.environment = {
            "DYNAMODB_TABLE": TABLE,
            "PAYLOAD_BUCKET": BUCKET,
            "TIMESTREAM_DATABASE": TIMESTREAM_DATABASE,
            "TIMESTREAM_TABLE": TIMESTREAM_TABLE,
            "AWS_ENDPOINT_URL_TIMESTREAM_WRITE": timestream.endpoint,
            "AWS_ENDPOINT_URL_TIMESTREAM_QUERY": timestream.endpoint,
            **({"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.endpoint} if dynamodb.endpoint else {}),
        }
        stack.enter_context(environment_variables(self.environment))
        stack.enter_context(_handler_log(self._data_dir / "logs" / "handlers.jsonl"))
        _cold_start()
        self._make_resources(queues)
        self._make_state_machine(engine, host, stack)

    def _make_resources(self, queues: KeptQueues) -> None:
        """Make what the functions expect to be there; a table that was kept is kept."""
        dynamodb = boto3.client("dynamodb")
        if TABLE not in dynamodb.list_tables()["TableNames"]:
            dynamodb.create_table(TableName=TABLE, **RESULT_TABLE)
        dynamodb.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig=_NO_DELAY)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        self.sqs = boto3.client("sqs")
        self.backfill_queue_url = self.sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        queues.restore(self.sqs, self.backfill_queue_url)
        _make_time_series()
        self.payload_store = payload_store(PayloadSettings.from_env())
        self.result_store = result_store(ResultStoreSettings.from_env())
        self.time_series_reader = TimestreamReader(_timestream_client("query"))

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


def _cold_start() -> None:
    """Forget the clients of an earlier runtime of this process: its world is gone."""
    for factory in (payload_store, result_store, time_series_store):
        factory.cache_clear()


def _make_time_series() -> None:
    client = _timestream_client("write")
    try:
        client.describe_table(DatabaseName=TIMESTREAM_DATABASE, TableName=TIMESTREAM_TABLE)
    except client.exceptions.ResourceNotFoundException:
        client.create_database(DatabaseName=TIMESTREAM_DATABASE)
        client.create_table(
            DatabaseName=TIMESTREAM_DATABASE,
            TableName=TIMESTREAM_TABLE,
            RetentionProperties={
                "MemoryStoreRetentionPeriodInHours": MEMORY_STORE_HOURS,
                "MagneticStoreRetentionPeriodInDays": MAGNETIC_STORE_DAYS,
            },
            # A result is dated by its calculation date, which may lie any time back.
            MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
        )


def _timestream_client(side: str) -> Any:
    """Return a client of Timestream's `write` or `query` side; an explicit endpoint skips endpoint discovery."""
    endpoint = os.environ[f"AWS_ENDPOINT_URL_TIMESTREAM_{side.upper()}"]
    return boto3.client(f"timestream-{side}", endpoint_url=endpoint)  # type: ignore[call-overload]  # two services


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
