"""The whole world on a laptop: engine, functions, stores, queue; made when entered, kept in one directory."""

import json
import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from logging import StreamHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import boto3

from common.config import BooksSettings, CacheSettings, PayloadSettings, ResultStoreSettings
from common.stores.dynamodb import RESULT_TABLE, result_store
from common.stores.dynamodb_books import ENTITY_TABLE, book_store
from common.stores.dynamodb_cache import CACHE_TABLE, CACHE_TIME_TO_LIVE, result_cache
from common.stores.ports import Books, PayloadStore, ResultCache, ResultStore, TimeSeriesReader
from common.stores.s3 import payload_store
from common.stores.timestream import TimestreamReader
from common.warm import forget
from workflows.definitions import render
from workflows.deployed import Announcement
from workflows.executions import ExecutionClient
from workflows.local.archive import ExecutionArchive
from workflows.local.archived_executions import ArchivedExecutions
from workflows.local.development_key import DEVELOPMENT_AUDIENCE, DEVELOPMENT_ISSUER, development_key
from workflows.local.dynamodb import ACCESS_KEY, SECRET_KEY, LocalDynamoDB
from workflows.local.engine import LocalEngine, environment_variables
from workflows.local.event_sources import QueueSource, object_created
from workflows.local.lambda_host import ACCOUNT, REGION, Faults, LambdaHost, function_arn
from workflows.local.lock import DataDirectoryLock
from workflows.local.queues import KeptQueues
from workflows.local.sharing import SharedWorld
from workflows.local.timestream import Faults as TimestreamFaults
from workflows.local.timestream import LocalTimestream
from workflows.registry import (
    BACKFILL_QUEUE,
    BATCH_EXECUTION_TYPE,
    CALCULATION,
    FLEET,
    FUNCTIONS,
    NOTIFICATION_TOPIC,
    PLACEHOLDERS,
    STATE_MACHINES,
    TASKS,
    LambdaFunction,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

_MACHINES: Final = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine"
_QUEUES: Final = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}"
STATE_MACHINE_ARN: Final = f"{_MACHINES}:{CALCULATION}"
FLEET_ARN: Final = f"{_MACHINES}:{FLEET}"
TABLE: Final = "performance-metrics"
ENTITIES: Final = "performance-entities"
CACHE: Final = "performance-cache"
BUCKET: Final = "performance-payloads"
UPLOADS: Final = "performance-uploads"
QUEUE: Final = "performance-backfill"
TOPIC: Final = "performance-notifications"
TRANSACTIONS: Final = "performance-transactions"
DEAD_TRANSACTIONS: Final = "performance-transactions-dead"
SIGNING_KEYS: Final = "investment-performance"
# The specification's; a message that failed comes again sooner than on AWS, where six time-outs pass.
MAX_RECEIVE_COUNT: Final = 5
VISIBILITY_SECONDS: Final = 2
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
    functions
        The functions; the registry's when not given.
    settings
        What the functions are told besides the names of things.
    jwt_key
        Signs development tokens; one kept in `data_dir` when None.
    command
        The command of perfcalc that it is made for, which others are told who find `data_dir` in use.
    reads
        Whether it is only read, as a `workflows.world.Readable`: buckets, queues and keys are not made then, which
        takes as long as half a second, and neither are the attributes that are about them.

    Attributes
    ----------
    announcement
        What other processes of this machine read it by.
    executions, fleet
        Start and follow executions: those of requests, and fleet runs.
    result_store, payload_store, books, time_series_reader
        The stores the functions write to.
    result_cache
        What was calculated before; None where the cache is off.
    payload_bucket
        Name of the bucket behind `payload_store`.
    backfill_queue_url, transaction_queue_url, dead_letter_queue_url, sqs
        The queues of what the time series lacks, of transactions and of those that cannot be entered, and a client.
    transactions
        Hands the queue of transactions to its function while it is entered.
    host
        Calls the functions.
    environment
        What the functions are told.

    Raises
    ------
    DataDirectoryInUseError
        Another process works in `data_dir`.
    """

    announcement: Announcement
    executions: ExecutionClient
    fleet: ExecutionClient
    result_store: ResultStore
    payload_store: PayloadStore
    books: Books
    result_cache: ResultCache | None
    time_series_reader: TimeSeriesReader
    sqs: "SQSClient"
    backfill_queue_url: str
    transaction_queue_url: str
    dead_letter_queue_url: str
    transactions: QueueSource
    host: LambdaHost
    environment: Mapping[str, str]
    payload_bucket: str = BUCKET

    def __init__(
        self,
        data_dir: Path,
        *,
        faults: Faults | None = None,
        timestream_faults: TimestreamFaults | None = None,
        retry_delay_scale: float = 1.0,
        functions: Mapping[str, LambdaFunction] = FUNCTIONS,
        settings: Mapping[str, str] | None = None,
        jwt_key: str | None = None,
        command: str | None = None,
        reads: bool = False,
    ) -> None:
        self._data_dir = data_dir
        self._command = command
        self._reads = reads
        self._faults = faults
        self._timestream_faults = timestream_faults
        self._retry_delay_scale = retry_delay_scale
        self._functions = functions
        self._settings = dict(settings or {})
        self._jwt_key = jwt_key
        self._lines: list[str] = []
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(DataDirectoryLock(self._data_dir, self._command))
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

    def invoke(self, function: str, event: object) -> Any:
        """Call a function as Lambda would and return its answer.

        Raises
        ------
        FunctionError
            It failed.
        """
        return json.loads(self.host.invoke(function, json.dumps(event).encode()))

    def upload(self, key: str, body: bytes) -> Any:
        """Put an object into the upload bucket; return what the function said that EventBridge tells of it."""
        boto3.client("s3").put_object(Bucket=UPLOADS, Key=key, Body=body)
        return self.invoke("ManifestUpload", object_created(UPLOADS, key, body))

    def _open(self, stack: ExitStack) -> None:
        self.host = LambdaHost(self._functions, faults=self._faults)
        engine = stack.enter_context(LocalEngine(self.host, retry_delay_scale=self._retry_delay_scale))
        dynamodb = stack.enter_context(LocalDynamoDB(self._data_dir / "dynamodb"))
        timestream = stack.enter_context(
            LocalTimestream(self._data_dir / "timestream.duckdb", faults=self._timestream_faults)
        )
        queues = KeptQueues(self._data_dir / "queues", engine.session)
        self._lines = [dynamodb.description, timestream.description]
        self.environment = {
            "DYNAMODB_TABLE": TABLE,
            "ENTITY_TABLE": ENTITIES,
            "CACHE_TABLE": CACHE,
            "PAYLOAD_BUCKET": BUCKET,
            "UPLOAD_BUCKET": UPLOADS,
            "STATE_MACHINE_ARN": STATE_MACHINE_ARN,
            "FLEET_STATE_MACHINE_ARN": FLEET_ARN,
            "LOCAL_FILES": "true",
            "TRANSACTION_QUEUE_URL": f"{_QUEUES}/{TRANSACTIONS}",
            "JWT_SECRET_ID": SIGNING_KEYS,
            "JWT_ISSUER": DEVELOPMENT_ISSUER,
            "JWT_AUDIENCE": DEVELOPMENT_AUDIENCE,
            "TIMESTREAM_DATABASE": TIMESTREAM_DATABASE,
            "TIMESTREAM_TABLE": TIMESTREAM_TABLE,
            "AWS_ENDPOINT_URL_TIMESTREAM_WRITE": timestream.endpoint,
            "AWS_ENDPOINT_URL_TIMESTREAM_QUERY": timestream.endpoint,
            **({"AWS_ENDPOINT_URL_DYNAMODB": dynamodb.endpoint} if dynamodb.endpoint else {}),
            **self._settings,
        }
        stack.enter_context(environment_variables(self.environment))
        stack.enter_context(_handler_log(self._data_dir / "logs" / "handlers.jsonl"))
        forget()
        # First and last: ExtendDB takes most of a second to make tables, in which the rest is made.
        tables = boto3.client("dynamodb")
        new = _create_tables(tables)
        self._make_stores()
        if not self._reads:
            self._make_resources(queues)
        _await_tables(tables, new)
        self._make_state_machine(engine, stack)
        # Entered last: nobody is answered from a world that is being closed.
        self.announcement = stack.enter_context(self._shared(dynamodb.endpoint, timestream.endpoint)).announcement

    def _make_stores(self) -> None:
        """Make the time series, which is kept where it was there, and what reads and writes each store."""
        _make_time_series()
        self.result_store = result_store(ResultStoreSettings.from_env())
        self.books = book_store(BooksSettings.from_env())
        self.result_cache = result_cache(CacheSettings.from_env())
        self.time_series_reader = TimestreamReader(_timestream_client("query"))

    def _make_resources(self, queues: KeptQueues) -> None:
        """Make what else the functions expect to be there."""
        s3 = boto3.client("s3")
        for bucket in (BUCKET, UPLOADS):
            s3.create_bucket(Bucket=bucket)
        self.payload_store = payload_store(PayloadSettings.from_env())
        self.sqs = boto3.client("sqs")
        self.backfill_queue_url = self.sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        self.transaction_queue_url, self.dead_letter_queue_url = _make_transaction_queue(self.sqs)
        for url in (self.backfill_queue_url, self.transaction_queue_url):
            queues.restore(self.sqs, url)
        self.transactions = QueueSource(self.sqs, self.transaction_queue_url, self.host.invoke, "TransactionQueue")
        boto3.client("sns").create_topic(Name=TOPIC)
        key = {"JwtSecret": development_key(self._data_dir, self._jwt_key)}
        boto3.client("secretsmanager").create_secret(Name=SIGNING_KEYS, SecretString=json.dumps(key))

    def _make_state_machine(self, engine: LocalEngine, stack: ExitStack) -> None:
        archive = ExecutionArchive(self._data_dir / "executions")
        archive.recover(self._data_dir / "logs" / "handlers.jsonl")
        archived = ArchivedExecutions(engine.session, archive, engine.events)
        values = {
            **{name: function_arn(name) for name in TASKS},
            BACKFILL_QUEUE: f"{_QUEUES}/{QUEUE}",
            NOTIFICATION_TOPIC: f"arn:aws:sns:{REGION}:{ACCOUNT}:{TOPIC}",
            BATCH_EXECUTION_TYPE: "STANDARD",  # the interpreter knows no other
        }
        # Before a store closes: an invocation that was let run may still write.
        stack.callback(self.host.wait_idle, _STOP_SECONDS)
        definitions = {
            f"{_MACHINES}:{name}": (name, render(name, {each: values[each] for each in PLACEHOLDERS[name]}))
            for name in STATE_MACHINES
        }
        made: set[str] = set()
        making = threading.RLock()

        def make(params: Mapping[str, Any], **_: object) -> None:
            """Make a state machine when it is first asked for: its definition takes half a second to be parsed."""
            arn = json.loads(params["body"])["stateMachineArn"]
            with making:
                if arn in definitions and arn not in made:
                    made.add(arn)
                    assert engine.create_state_machine(client, *definitions[arn]) == arn

        for operation in ("StartExecution", "DescribeStateMachine"):
            engine.session.events.register_first(f"before-call.sfn.{operation}", make)
        for arn in definitions:
            stack.callback(archived.close, arn, timeout=_STOP_SECONDS, wake=engine.end_waits)
        client = boto3.client("stepfunctions")
        self.executions = ExecutionClient(client, STATE_MACHINE_ARN, poll_seconds=_POLL_SECONDS)
        self.fleet = ExecutionClient(client, FLEET_ARN, poll_seconds=_POLL_SECONDS)

    def _shared(self, dynamodb: str | None, timestream: str) -> SharedWorld:
        """Return what other processes of this machine read this world by."""
        told = {
            "region": REGION,
            "state_machine_arn": STATE_MACHINE_ARN,
            "fleet_arn": FLEET_ARN,
            "result_table": TABLE,
            "entity_table": ENTITIES,
            "payload_bucket": BUCKET,
            "timestream_endpoint": timestream,
            "lines": self._lines,
        }
        if dynamodb:
            keys = {"dynamodb_access_key": ACCESS_KEY, "dynamodb_secret_key": SECRET_KEY}
            told |= {"dynamodb_endpoint": dynamodb, **keys}
        # Made after the archive has begun to answer: a client of before would not know what is kept.
        return SharedWorld(
            self._data_dir,
            stepfunctions=boto3.client("stepfunctions"),
            dynamodb=None if dynamodb else boto3.client("dynamodb"),
            told=told,
        )


def _create_tables(dynamodb: "DynamoDBClient") -> Collection[str]:
    """Begin to make the tables that are not there yet; return their names."""
    schemas = {TABLE: RESULT_TABLE, ENTITIES: ENTITY_TABLE, CACHE: CACHE_TABLE}
    new = schemas.keys() - set(dynamodb.list_tables()["TableNames"])
    for name in new:
        dynamodb.create_table(TableName=name, **schemas[name])
    return new


def _await_tables(dynamodb: "DynamoDBClient", new: Collection[str]) -> None:
    """Wait until new tables are there, and those that a process began to make which was killed then."""
    for name in (TABLE, ENTITIES, CACHE):
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_NO_DELAY)
    if CACHE in new:
        dynamodb.update_time_to_live(TableName=CACHE, TimeToLiveSpecification=CACHE_TIME_TO_LIVE)


def _make_transaction_queue(sqs: "SQSClient") -> tuple[str, str]:
    """Make the queue of transactions and its dead-letter queue; return their URLs."""
    dead = sqs.create_queue(QueueName=DEAD_TRANSACTIONS)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVE_COUNT})
    made = sqs.create_queue(
        QueueName=TRANSACTIONS,
        Attributes={"RedrivePolicy": redrive, "VisibilityTimeout": str(VISIBILITY_SECONDS)},
    )
    return made["QueueUrl"], dead


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
