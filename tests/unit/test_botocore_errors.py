"""What each service raises, and whether trying again can help."""

import io
from collections.abc import Callable

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from common.errors import InputNotFoundError, PerformanceCalculatorError, StoreError, ThrottledError, TransientError
from common.stores.botocore_errors import error_code, typed_errors

DYNAMODB, S3, SQS, STEPS = "DynamoDB", "S3", "SQS", "Step Functions"
TIMESTREAM, LAMBDA, SECRETS = "Timestream", "Lambda", "Secrets Manager"


def refusal(code: str, status: int = 400, message: str = "no") -> ClientError:
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")  # type: ignore[arg-type]  # as much of it as is read


def typed(service: str, error: Exception) -> PerformanceCalculatorError:
    with pytest.raises(PerformanceCalculatorError) as caught, typed_errors(service):
        raise error
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith(f"{service}: ")
    return caught.value


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        (DYNAMODB, "ProvisionedThroughputExceededException", 400),
        (DYNAMODB, "RequestLimitExceeded", 400),
        (DYNAMODB, "ThrottlingException", 400),
        (DYNAMODB, "LimitExceededException", 400),
        (S3, "SlowDown", 503),
        (S3, "KMS.ThrottlingException", 400),
        (S3, "BandwidthLimitExceeded", 509),
        (SQS, "RequestThrottled", 403),
        (SQS, "KMS.ThrottlingException", 400),
        (SQS, "KmsThrottled", 400),
        (SQS, "OverLimit", 403),
        (STEPS, "ExecutionLimitExceeded", 400),
        (STEPS, "KmsThrottlingException", 400),
        (STEPS, "ThrottlingException", 400),
        (TIMESTREAM, "ThrottlingException", 400),
        (LAMBDA, "TooManyRequestsException", 429),
        (LAMBDA, "EC2ThrottledException", 502),
        (SECRETS, "LimitExceededException", 400),
        (LAMBDA, "", 429),
    ],
)
def test_who_is_asked_for_less_waits_longer(service: str, code: str, status: int) -> None:
    assert type(typed(service, refusal(code, status))) is ThrottledError


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        (DYNAMODB, "ExpiredTokenException", 400),
        (DYNAMODB, "InternalServerError", 500),
        (DYNAMODB, "ReplicatedWriteConflictException", 409),
        (DYNAMODB, "TransactionConflictException", 400),
        (DYNAMODB, "TransactionInProgressException", 400),
        (DYNAMODB, "ServiceUnavailable", 503),
        (S3, "BadDigest", 400),
        (S3, "ExpiredToken", 400),
        (S3, "InternalError", 200),
        (S3, "OperationAborted", 409),
        (S3, "RequestTimeTooSkewed", 403),
        (S3, "RequestTimeout", 400),
        (S3, "503", 503),
        (SQS, "InternalFailure", 500),
        (SQS, "RequestExpired", 400),
        (STEPS, "ExpiredTokenException", 400),
        (STEPS, "ServiceUnavailableException", 503),
        (TIMESTREAM, "InternalServerException", 500),
        (TIMESTREAM, "InvalidEndpointException", 421),
        (LAMBDA, "ServiceException", 500),
        (LAMBDA, "ENILimitReachedException", 502),
        (SECRETS, "InternalServiceError", 500),
    ],
)
def test_what_passes_is_tried_again(service: str, code: str, status: int) -> None:
    assert type(typed(service, refusal(code, status))) is TransientError


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        (DYNAMODB, "ValidationException", 400),
        (DYNAMODB, "ResourceNotFoundException", 400),
        (DYNAMODB, "UnrecognizedClientException", 400),
        (DYNAMODB, "AccessDeniedException", 400),
        (DYNAMODB, "PreconditionFailed", 412),
        (S3, "InvalidRequest", 400),
        (S3, "InvalidAccessKeyId", 401),
        (SQS, "AWS.SimpleQueueService.NonExistentQueue", 400),
        (STEPS, "StateMachineDoesNotExist", 400),
        (TIMESTREAM, "ServiceQuotaExceededException", 402),
        (LAMBDA, "RequestTooLargeException", 413),
    ],
)
def test_what_would_be_refused_again_is_permanent(service: str, code: str, status: int) -> None:
    assert type(typed(service, refusal(code, status))) is StoreError


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Signature expired: 20240105T000000Z is now earlier than 20240105T000100Z", TransientError),
        ("Signature not yet current: 20240105T001000Z is still later than 20240105T000500Z", TransientError),
        ("The request signature we calculated does not match the signature you provided.", StoreError),
    ],
)
def test_a_request_that_was_long_on_its_way_is_signed_anew(message: str, expected: type[Exception]) -> None:
    assert type(typed(DYNAMODB, refusal("InvalidSignatureException", 400, message))) is expected


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "403", "AccessDenied"])
def test_an_object_that_is_not_there_is_no_fault_of_the_store(code: str) -> None:
    assert type(typed(S3, refusal(code, 404))) is InputNotFoundError


def test_an_object_that_was_replaced_is_not_there_any_more() -> None:
    assert type(typed(S3, refusal("PreconditionFailed", 412))) is InputNotFoundError


class _Broken(io.BytesIO):
    """A raw stream of urllib3 that fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def read(self, amount: int | None = None) -> bytes:
        raise self._error


@pytest.mark.parametrize(
    "read",
    [
        StreamingBody(io.BytesIO(b"abc"), 10).read,
        StreamingBody(_Broken(ProtocolError("connection broken")), 10).read,
        StreamingBody(_Broken(ReadTimeoutError(None, "url", "timed out")), 10).read,  # type: ignore[arg-type]  # no pool
    ],
    ids=["breaks off", "is reset", "is silent"],
)
def test_a_body_that_does_not_come_to_its_end_is_read_again(read: Callable[[], bytes]) -> None:
    with pytest.raises(TransientError), typed_errors(S3):
        read()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.EndpointConnectionError(endpoint_url="u"), TransientError),
        (exceptions.ConnectTimeoutError(endpoint_url="u"), TransientError),
        (exceptions.ConnectionClosedError(endpoint_url="u"), TransientError),
        (exceptions.ReadTimeoutError(endpoint_url="u"), TransientError),
        (exceptions.SSLError(endpoint_url="u", error=OSError("e")), TransientError),
        (exceptions.FlexibleChecksumError(error_msg="crc32"), TransientError),
        (exceptions.CredentialRetrievalError(provider="p", error_msg="e"), TransientError),
        (exceptions.MetadataRetrievalError(error_msg="e"), TransientError),
        (exceptions.NoCredentialsError(), StoreError),
        (exceptions.ParamValidationError(report="r"), StoreError),
        (exceptions.NoRegionError(), StoreError),
    ],
    ids=lambda each: each.__class__.__name__ if isinstance(each, Exception) else each.__name__,
)
def test_what_botocore_raises_of_its_own_is_typed(error: Exception, expected: type[Exception]) -> None:
    assert type(typed(SQS, error)) is expected


def test_an_error_without_a_code_has_none() -> None:
    assert error_code(refusal("SlowDown")) == "SlowDown"
    assert error_code(None) == error_code(ValueError("no")) == error_code(ClientError({}, "Operation")) == ""


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), typed_errors(S3):
        raise KeyError("ours")
