"""The one place where what botocore raises becomes an error of ours, permanent or transient."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from common.errors import InputNotFoundError, PerformanceCalculatorError, StoreError, ThrottledError, TransientError

THROTTLED = frozenset(
    {
        "ExecutionLimitExceeded",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
PASSING = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServerException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "TransactionConflictException",
    }
)
NOT_THERE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "403", "AccessDenied"})
"""S3 answers 403 for an object that is not there to a caller who may not list the bucket."""

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
        It failed, could not be reached, or did not answer in time.
    InputNotFoundError
        S3 has no such object, or none that may be read.
    StoreError
        Anything else: it would refuse again.
    """
    try:
        yield
    except ClientError as error:
        raise _typed(service, error) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise TransientError(f"{service}: {error}") from error
    except BotoCoreError as error:
        raise StoreError(f"{service}: {error}") from error


def _typed(service: str, error: ClientError) -> PerformanceCalculatorError:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{service}: {error}"
    if code in THROTTLED:
        return ThrottledError(message)
    if code in PASSING or status >= _SERVER_ERROR:
        return TransientError(message)
    if service == "S3" and code in NOT_THERE:
        return InputNotFoundError(message)
    return StoreError(message)
