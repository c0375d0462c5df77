"""The one place where what botocore raises becomes an error of ours, permanent or transient."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from common.errors import InputNotFoundError, PerformanceCalculatorError, StoreError, ThrottledError, TransientError

# By code, as each service spells it: DynamoDB, S3, SQS, SNS, Step Functions, Timestream, Lambda, Secrets Manager, and
# KMS behind any of them.
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "ExecutionLimitExceeded",
        "KMS.ThrottlingException",
        "KMSThrottling",
        "KmsThrottled",
        "KmsThrottlingException",
        "LimitExceededException",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttled",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
PASSING = frozenset(
    {
        "BadDigest",
        "ExpiredToken",
        "ExpiredTokenException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "InternalServiceError",
        "InvalidEndpointException",
        "OperationAborted",
        "ReplicatedWriteConflictException",
        "RequestExpired",
        "RequestTimeout",
        "RequestTimeoutException",
        "RequestTimeTooSkewed",
        "ServiceException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
"""Of a token that has expired and of a request that is out of its time, too: the next one is signed anew."""

NOT_THERE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "403", "AccessDenied"})
"""S3 answers 403 for an object that is not there to a caller who may not list the bucket."""

REPLACED = "PreconditionFailed"
"""S3 answers so to whoever goes on reading an object that is another one meanwhile."""

# What botocore raises of its own: no connection, no answer, an answer that breaks off or arrives damaged, no keys.
_PASSING_EXCEPTIONS = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    exceptions.IncompleteReadError,
    exceptions.FlexibleChecksumError,
    exceptions.ChecksumError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
)
# Services that speak JSON have no code of its own for a clock that is off, or for a request that was long on its way.
_OUT_OF_TIME = ("Signature expired", "Signature not yet current")

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@contextmanager
def typed_errors(service: str) -> Iterator[None]:
    """Turn what botocore raises inside the block into an error of ours.

    Parameters
    ----------
    service
        Name for the message: `S3`, `DynamoDB`, `Timestream`.

    Raises
    ------
    ThrottledError
        The service asked for less.
    TransientError
        It failed, could not be reached, or did not answer in time or to the end.
    InputNotFoundError
        S3 has no such object, or none that may be read, or another one since it was opened.
    StoreError
        Anything else: it would refuse again.
    """
    try:
        yield
    except ClientError as error:
        raise _typed(service, error) from error
    except _PASSING_EXCEPTIONS as error:
        raise TransientError(f"{service}: {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"{service}: {error}") from error


def error_code(error: BaseException | None) -> str:
    """Return the code of what a service refused; empty where it is no refusal, or has none."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _typed(service: str, error: ClientError) -> PerformanceCalculatorError:
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{service}: {error}"
    if code in THROTTLED or status == _TOO_MANY_REQUESTS:
        return ThrottledError(message)
    if code in PASSING or status >= _SERVER_ERROR or _is_out_of_time(code, error):
        return TransientError(message)
    if service == "S3" and (code in NOT_THERE or code == REPLACED):
        return InputNotFoundError(message)
    return StoreError(message)


def _is_out_of_time(code: str, error: ClientError) -> bool:
    text = error.response.get("Error", {}).get("Message", "")
    return code == "InvalidSignatureException" and text.startswith(_OUT_OF_TIME)
