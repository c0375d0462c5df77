"""A world that is elsewhere: a deployed stage by its stacks' outputs; `workflows.attached` has another process's.

Nothing here knows the CDK app. It names its stacks `<prefix>-storage`, `<prefix>-workflow` and `<prefix>-time-series`,
where the prefix is `investment-performance-<stage>`; what is in them is told by their outputs, whose names are the
aliases of `StageOutputs`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from common.errors import PerformanceCalculatorError, PermanentError, TransientError
from common.stores.clients import Patience
from common.stores.ports import Books, PayloadStore, ResultStore, TimeSeriesReader
from workflows.executions import ExecutionClient

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

STORAGE: Final = "storage"
WORKFLOW: Final = "workflow"
TIME_SERIES: Final = "time-series"
"""Last parts of the stacks' names."""

# A person waits, and one request at a time is made: long enough for a slow network, short enough to say so.
PATIENCE: Final = Patience(attempts=4, connect_seconds=5, read_seconds=20)
# A query of Timestream may read years of every portfolio.
QUERY_PATIENCE: Final = Patience(attempts=2, connect_seconds=5, read_seconds=120)
# Calls of Step Functions are limited for the whole account.
POLL_SECONDS: Final = 1.0
_CONNECTIONS: Final = 32

_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_UNKNOWN_KEY: Final = frozenset(
    {
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_FORBIDDEN: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


class StageError(PermanentError):
    """A deployed stage cannot be used: it is not there, or not for whoever asks."""


class OwnerGoneError(TransientError):
    """The process whose world was attached to has ended, or is about to."""


class StageOutputs(BaseModel):
    """What the stacks of a stage tell of themselves; an alias is the name of an output."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    result_table: str = Field(alias="ResultTable")
    entity_table: str = Field(alias="EntityTable")
    payload_bucket: str = Field(alias="PayloadBucket")
    state_machine_arn: str = Field(alias="StateMachineArn", description="of the alias that starts go through")
    fleet_arn: str = Field(alias="FleetStateMachineArn", description="the same of fleet runs")
    time_series_database: str | None = Field(None, alias="TimeSeriesDatabase")
    time_series_table: str | None = Field(None, alias="TimeSeriesTable")


class Announcement(BaseModel):
    """What a process tells of the world it has open, for others on this machine; a secret, since it has the token.

    Attributes
    ----------
    pid
        The process.
    endpoint, token
        Where it answers, and the access key that it answers to.
    state_machine_arn, fleet_arn, result_table, entity_table, payload_bucket
        What the things in it are called.
    dynamodb_endpoint, dynamodb_access_key, dynamodb_secret_key
        Where the tables are: `endpoint` itself, or a server that the process has started.
    timestream_endpoint
        Where the time series is queried.
    lines
        What it says of its engines.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    endpoint: str
    token: SecretStr
    region: str
    state_machine_arn: str
    fleet_arn: str
    result_table: str
    entity_table: str
    payload_bucket: str
    dynamodb_endpoint: str
    dynamodb_access_key: SecretStr
    dynamodb_secret_key: SecretStr
    timestream_endpoint: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWorld:
    """What can be read of a world that is elsewhere; see `workflows.world.Readable`."""

    executions: ExecutionClient
    fleet: ExecutionClient
    result_store: ResultStore
    books: Books
    time_series_reader: TimeSeriesReader | None
    lines: Sequence[str]

    def describe(self) -> Sequence[str]:
        """Return whose it is and where: stage, account and region, or the process that has it open."""
        return self.lines


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedWorld(RemoteWorld):
    """A deployed stage, in which executions can be started; see `workflows.world.World`."""

    payload_store: PayloadStore
    payload_bucket: str


def aws_session(profile: str | None, region: str | None) -> "boto3.Session":
    """Return a session of a profile of the AWS configuration, or of the environment's credentials."""
    import boto3  # noqa: PLC0415 - a fifth of a second that most commands do without

    return boto3.Session(profile_name=profile or None, region_name=region or None)


def stage_outputs(session: "boto3.Session", stack: str) -> StageOutputs:
    """Read the outputs of a stage's stacks.

    Parameters
    ----------
    session
        Whose account and region.
    stack
        What the names of the stacks begin with: `investment-performance-dev`.

    Raises
    ------
    StageError
        There is no such stage, or it was deployed by a version that told less.
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        As `understood` turns into a message.
    """
    client = session.client("cloudformation", config=client_config(PATIENCE))
    found: dict[str, str] = {}
    for part in (STORAGE, WORKFLOW, TIME_SERIES):
        outputs = _outputs(client, f"{stack}-{part}")
        if outputs is None and part != TIME_SERIES:
            raise StageError(
                f"There is no stack {stack}-{part} in {client.meta.region_name}: --stack is what the names of a "
                "stage's stacks begin with, such as investment-performance-dev, and --region where they are."
            )
        found |= outputs or {}
    try:
        return StageOutputs.model_validate(found)
    except ValidationError as error:
        missing = ", ".join(sorted(str(each["loc"][0]) for each in error.errors()))
        raise StageError(
            f"The stacks of {stack} do not tell {missing}: they are of another version; deploy it again."
        ) from None


def open_stage(session: "boto3.Session", stack: str) -> DeployedWorld:
    """Return the stage of the stacks whose names begin with `stack`; errors are those of `stage_outputs`."""
    from common.stores.dynamodb import DynamoDBResultStore  # noqa: PLC0415 - with boto3
    from common.stores.dynamodb_books import DynamoDBBooks  # noqa: PLC0415 - as above
    from common.stores.s3 import S3PayloadStore  # noqa: PLC0415 - as above
    from common.stores.timestream import TimestreamReader  # noqa: PLC0415 - as above

    outputs = stage_outputs(session, stack)
    config = client_config(PATIENCE)
    dynamodb = session.client("dynamodb", config=config)
    stepfunctions = session.client("stepfunctions", config=config)
    query = (
        session.client("timestream-query", config=client_config(QUERY_PATIENCE)) if outputs.time_series_table else None
    )
    region, account = outputs.state_machine_arn.split(":")[3:5]
    series = f"Timestream {outputs.time_series_database}.{outputs.time_series_table}" if query else "none"
    return DeployedWorld(
        executions=ExecutionClient(stepfunctions, outputs.state_machine_arn, poll_seconds=POLL_SECONDS),
        fleet=ExecutionClient(stepfunctions, outputs.fleet_arn, poll_seconds=POLL_SECONDS),
        result_store=DynamoDBResultStore(dynamodb, outputs.result_table),
        books=DynamoDBBooks(dynamodb, outputs.entity_table),
        time_series_reader=TimestreamReader(query) if query else None,
        payload_store=S3PayloadStore(session.client("s3", config=config), outputs.payload_bucket),
        payload_bucket=outputs.payload_bucket,
        lines=[f"AWS: {stack}, account {account}, region {region}", f"Time series: {series}"],
    )


@contextmanager
def understood(place: str, *, attached: bool = False) -> Iterator[None]:
    """Turn what AWS, or the way to it, refuses inside the block into one message on what to do.

    Parameters
    ----------
    place
        What was asked, for the message: the stage.
    attached
        Whether it is another process, which may end at any time.

    Raises
    ------
    StageError
        No credentials, expired ones, none for this, an unknown profile, no region, or another refusal.
    OwnerGoneError
        The process that was attached to does not answer.
    TransientError
        AWS cannot be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - with boto3

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _explained(error, place, attached=attached) or StageError(f"{place}: {error}") from error
    except PerformanceCalculatorError as error:
        # A store has given it a type already, and the service's own words.
        cause = error.__cause__
        if isinstance(cause, BotoCoreError | ClientError) and (told := _explained(cause, place, attached=attached)):
            raise told from error
        raise


def _explained(error: Exception, place: str, *, attached: bool) -> PerformanceCalculatorError | None:
    """Return what to do about it, None where the error's own words are best."""
    from botocore import exceptions as botocore  # noqa: PLC0415 - with boto3

    if isinstance(error, botocore.ClientError):
        return _refused(error.response["Error"], error.operation_name, place)
    match error:
        case botocore.ProfileNotFound() | botocore.NoRegionError() | botocore.InvalidRegionError():
            said = str(error).removesuffix(".")
            return StageError(f"{place}: {said}; --profile, --region or the AWS configuration tell which.")
        case botocore.SSOError() | botocore.TokenRetrievalError() | botocore.NoAuthTokenError() | botocore.LoginError():
            return StageError(f"{place}: the session has expired; sign in again, with `aws sso login` or `aws login`.")
        case botocore.NoCredentialsError() | botocore.PartialCredentialsError() | botocore.CredentialRetrievalError():
            said = str(error).removesuffix(".")
            return StageError(f"{place}: {said}; --profile or the AWS environment variables tell whose account.")
        case botocore.ConnectionError() | botocore.HTTPClientError() if attached:
            return OwnerGoneError(f"{place}: the process that had it open does not answer any longer.")
        case botocore.ConnectionError() | botocore.HTTPClientError():
            return TransientError(f"{place}: AWS cannot be reached: {error}")
    return None


def _refused(error: Mapping[str, Any], operation: str, place: str) -> StageError | None:
    code, message = error.get("Code", ""), error.get("Message", "")
    if code in _EXPIRED:
        return StageError(f"{place}: the credentials have expired; sign in again, or choose another --profile.")
    if code in _UNKNOWN_KEY:
        return StageError(f"{place}: AWS does not know these credentials; choose another --profile.")
    if code in _FORBIDDEN:
        return StageError(f"{place}: these credentials do not permit {operation}: {message}")
    return None


def _outputs(client: Any, stack: str) -> dict[str, str] | None:
    """Return the outputs of a stack, None where there is no such stack."""
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except client.exceptions.ClientError as error:
        # The service has no error of its own for it.
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}


def client_config(patience: Patience, proxies: Mapping[str, str] | None = None) -> "Config":
    """Return what a client is made with that waits as long as `patience` says; `proxies` in the environment's place."""
    from botocore.config import Config  # noqa: PLC0415 - with boto3

    return Config(
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        connect_timeout=patience.connect_seconds,
        read_timeout=patience.read_seconds,
        max_pool_connections=_CONNECTIONS,
        proxies=proxies,
    )
