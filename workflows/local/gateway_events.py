"""What API Gateway hands to a function behind a Lambda proxy integration, and what it makes of the answer.

The formats are those of a REST API (payload version 1.0), as documented and as recorded from the service:
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, ValidationError
from werkzeug.wrappers import Response

from workflows.local.lambda_host import ACCOUNT, REGION
from workflows.triggers.api.gateway_responses import DEFAULT_4XX, DEFAULT_5XX, PATH, REQUEST_ID, CustomResponse
from workflows.triggers.routes import Route

STAGE: Final = "v1"
API_ID: Final = "local"
_JSON: Final = "application/json"

# The proxy keeps these to itself: they are about its own connection with the client.
_NOT_HANDED_ON: Final = frozenset({"connection", "content-length"})
# What a function says about a connection that is not its own arrives under another name, or not at all.
_REMAPPED: Final = frozenset({"connection", "content-length", "date", "server", "www-authenticate"})
_DROPPED: Final = frozenset({"transfer-encoding"})


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """An answer of API Gateway's own; the function is not asked, or not listened to.

    Attributes
    ----------
    status : int
    error_type, body, content_type : str
    response_type : str or None
        What an API may give another answer for; None where no API has been found yet.
    """

    status: int
    error_type: str
    body: str
    response_type: str | None
    content_type: str = _JSON


class GatewayResponseError(Exception):
    """The request ends here, with this answer."""

    def __init__(self, response: GatewayResponse) -> None:
        super().__init__(response.error_type)
        self.response = response


def _told(
    status: int, error_type: str, message: str | None, response_type: str | None, *, name: str = "message"
) -> GatewayResponse:
    return GatewayResponse(status, error_type, json.dumps({name: message}, separators=(",", ":")), response_type)


# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html has the status and
# the response type; the rest is what callers of the service have recorded. Denials alone spell their member with a
# capital.
BAD_REQUEST: Final = _told(400, "BadRequestException", "Bad Request", None)
UNAUTHORIZED: Final = _told(401, "UnauthorizedException", "Unauthorized", "UNAUTHORIZED")
FORBIDDEN: Final = _told(403, "ForbiddenException", "Forbidden", None)
MISSING_TOKEN: Final = _told(
    403, "MissingAuthenticationTokenException", "Missing Authentication Token", "MISSING_AUTHENTICATION_TOKEN"
)
IMPLICIT_DENY: Final = _told(
    403,
    "AccessDeniedException",
    "User is not authorized to access this resource",
    "ACCESS_DENIED",
    name="Message",
)
EXPLICIT_DENY: Final = _told(
    403,
    "AccessDeniedException",
    "User is not authorized to access this resource with an explicit deny in an identity-based policy",
    "ACCESS_DENIED",
    name="Message",
)
TOO_LARGE_FOR_FUNCTION: Final = _told(413, "RequestEntityTooLargeException", "Request Too Long", "REQUEST_TOO_LARGE")
AUTHORIZER_ERROR: Final = _told(500, "AuthorizerConfigurationException", None, "AUTHORIZER_CONFIGURATION_ERROR")
BAD_BASE64: Final = _told(500, "ApiConfigurationException", "Internal server error", "API_CONFIGURATION_ERROR")
BAD_ANSWER: Final = _told(502, "InternalServerErrorException", "Internal server error", "DEFAULT_5XX")
TIMED_OUT: Final = _told(504, "InternalServerErrorException", "Endpoint request timed out", "INTEGRATION_TIMEOUT")

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
TOO_LARGE: Final = GatewayResponse(
    413,
    "RequestEntityTooLargeException",
    f"HTTP content length exceeded {MAX_BODY_BYTES} bytes.",
    "REQUEST_TOO_LARGE",
    "text/plain",
)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request that a method of the API takes.

    Attributes
    ----------
    route : Route
    path : str
        Below the stage, percent-encoded as it came.
    path_parameters : Mapping
        Percent-encoded as they came, which is how a REST API hands them on (HTTP APIs decode them): recorded at
        https://github.com/localstack/localstack/blob/master/tests/aws/services/apigateway/test_apigateway_lambda.snapshot.json
    query : str
    headers : sequence of pairs
        Names as the client spelt them.
    body : bytes
    host, source_ip, protocol : str
    """

    route: Route
    path: str
    path_parameters: Mapping[str, str]
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    host: str
    source_ip: str
    protocol: str
    request_id: str
    extended_request_id: str
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def method_arn(self) -> str:
        """The ARN that a policy has to allow."""
        path = self.path.strip("/")
        return f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{API_ID}/{STAGE}/{self.route.method}/{path}"

    def header(self, name: str) -> str | None:
        """Return a header's last value."""
        return next((value for each, value in reversed(self.headers) if each.lower() == name), None)


def proxy_event(request: ApiRequest, authorizer: Mapping[str, str | int] | None) -> dict[str, Any]:
    """Return the event of `request` for the function.

    Parameters
    ----------
    request
        The request.
    authorizer
        The caller's context from the authorizer; None for a method that needs none.
    """
    body, is_base64 = _text(request.body)
    query = _grouped(parse_qsl(request.query, keep_blank_values=True))
    headers = _grouped(_handed_on(request.headers), ignore_case=True)
    return {
        "resource": request.route.path,
        "path": request.path,
        "httpMethod": request.route.method,
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(request.path_parameters) or None,
        "stageVariables": None,
        "requestContext": _request_context(request, authorizer),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _request_context(request: ApiRequest, authorizer: Mapping[str, str | int] | None) -> dict[str, Any]:
    nobody = (
        "accessKey",
        "accountId",
        "caller",
        "cognitoAuthenticationProvider",
        "cognitoAuthenticationType",
        "cognitoIdentityId",
        "cognitoIdentityPoolId",
        "principalOrgId",
        "user",
        "userArn",
    )
    return {
        "resourceId": f"{zlib.crc32(request.route.path.encode()):08x}",
        "resourcePath": request.route.path,
        "httpMethod": request.route.method,
        "extendedRequestId": request.extended_request_id,
        "requestTime": f"{request.received:%d/%b/%Y:%H:%M:%S %z}",
        "path": f"/{STAGE}{request.path}",
        "accountId": ACCOUNT,
        "protocol": request.protocol,
        "stage": STAGE,
        "domainPrefix": API_ID,
        "requestTimeEpoch": int(request.received.timestamp() * 1000),
        "requestId": request.request_id,
        "identity": {
            **dict.fromkeys(nobody),
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent"),
        },
        "domainName": request.host,
        "deploymentId": API_ID,
        "apiId": API_ID,
        **({} if authorizer is None else {"authorizer": dict(authorizer)}),
    }


def _handed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in _NOT_HANDED_ON]


def _grouped(pairs: Iterable[tuple[str, str]], *, ignore_case: bool = False) -> dict[str, list[str]]:
    """Return all values of each name, under its first spelling."""
    spelling: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        first = spelling.setdefault(name.lower() if ignore_case else name, name)
        values.setdefault(first, []).append(value)
    return values


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: each[-1] for name, each in values.items()}


def _text(body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


_HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
# What can be written as Latin-1 without ending the line, which would begin a header of the caller's choice.
_HeaderValue = Annotated[StrictStr, Field(pattern=r"^[\t\x20-\x7e\u0080-\u00ff]*$")] | StrictBool


class _Answer(BaseModel):
    """What a function has to return: none of the members is required, and others are an error."""

    model_config = ConfigDict(extra="forbid")

    status_code: int = Field(200, alias="statusCode", ge=200, le=599)
    headers: dict[_HeaderName, _HeaderValue] | None = None
    multi_value_headers: dict[_HeaderName, list[_HeaderValue]] | None = Field(None, alias="multiValueHeaders")
    body: StrictStr | None = None
    is_base64: StrictBool = Field(False, alias="isBase64Encoded")


def response_of(payload: bytes) -> Response:
    """Return the HTTP response that a function's answer describes.

    Raises
    ------
    GatewayResponseError
        The answer is malformed.
    """
    try:
        answer = _Answer.model_validate_json(payload)
    except ValidationError as error:
        raise GatewayResponseError(BAD_ANSWER) from error
    body = (answer.body or "").encode()
    if answer.is_base64:
        try:
            body = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            raise GatewayResponseError(BAD_BASE64) from error
    response = Response(body, answer.status_code)
    # Both kinds make one list; of a name that is in both, the list has it.
    headers = {name.lower(): (name, [value]) for name, value in (answer.headers or {}).items()}
    headers |= {name.lower(): (name, values) for name, values in (answer.multi_value_headers or {}).items()}
    response.content_type = _JSON
    for key, (name, values) in headers.items():
        if key in _DROPPED:
            continue
        response.headers.setlist(
            f"x-amzn-Remapped-{name}" if key in _REMAPPED else name,
            [json.dumps(value) if isinstance(value, bool) else value for value in values],
        )
    return response


def own_response(
    answer: GatewayResponse, responses: Mapping[str, CustomResponse], *, path: str, request_id: str
) -> Response:
    """Return an answer of API Gateway's own, as the API has it where it has one for the response type.

    Parameters
    ----------
    answer
        What API Gateway says by itself.
    responses
        The API's own answers by their response types.
    path, request_id
        What `$context` has of the request.
    """
    headers = {"x-amzn-ErrorType": answer.error_type}
    custom = _custom(answer, responses)
    if custom is None:
        return Response(answer.body, answer.status, headers, content_type=answer.content_type)
    body = custom.template
    for variable, value in ((REQUEST_ID, request_id), (PATH, path)):
        # As text of JSON: a quotation mark is in no URL, and what the service would make of one is not known.
        body = body.replace(variable, json.dumps(value)[1:-1])
    return Response(body, custom.status, {**headers, **custom.headers})


def _custom(answer: GatewayResponse, responses: Mapping[str, CustomResponse]) -> CustomResponse | None:
    if answer.response_type is None:
        return None
    failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return responses.get(answer.response_type) or responses.get(DEFAULT_5XX if failed else DEFAULT_4XX)
