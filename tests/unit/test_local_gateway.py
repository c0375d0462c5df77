import http.client
import json
import re
import socket
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models.limits import INVOCATION_BYTES
from workflows.local.gateway import GatewayError, LocalGateway
from workflows.local.gateway_authorizer import INVOKE, MAX_TOKENS, Decision, Policy, matches
from workflows.local.gateway_events import MAX_BODY_BYTES
from workflows.local.lambda_host import FunctionError
from workflows.triggers.api.gateway_responses import (
    DEFAULT_4XX,
    DEFAULT_5XX,
    GATEWAY_RESPONSES,
    PATH,
    REQUEST_ID,
    CustomResponse,
)
from workflows.triggers.api.problems import MEDIA_TYPE, Problem, ProblemType
from workflows.triggers.routes import Role, Route

EVENTS = Path(__file__).parents[1] / "events"
TOKEN = "Bearer abc"
METHODS = "arn:aws:execute-api:us-east-1:123456789012:local/v1"
WAIT = 10.0
NONE: dict[str, CustomResponse] = {}

Handler = Callable[[Any], Any]


@dataclass
class Answered:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str | None, Any]:
        return self.status, self.headers["x-amzn-ErrorType"], self.json


@dataclass
class Functions:
    """Stands for the Lambda host: two handlers, and the events they were given."""

    api: Handler = lambda event: {"statusCode": 200, "body": json.dumps(event)}
    authorizer: Handler = lambda event: allow()
    events: list[tuple[str, Any]] = field(default_factory=list)

    def invoke(self, name: str, body: bytes) -> bytes:
        event = json.loads(body)
        self.events.append((name, event))
        return json.dumps({"Api": self.api, "Authorizer": self.authorizer}[name](event)).encode()

    def given(self, name: str) -> list[Any]:
        return [event for called, event in self.events if called == name]


def policy(*statements: tuple[str, str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Action": INVOKE, "Effect": effect, "Resource": resource} for effect, resource in statements],
    }


def allow(*resources: str, **context: object) -> dict[str, Any]:
    granted = policy(*(("Allow", resource) for resource in resources or (f"{METHODS}/*",)))
    return {"principalId": "ada", "policyDocument": granted, "context": context}


@pytest.fixture
def functions() -> Functions:
    return Functions()


@pytest.fixture
def opened(functions: Functions) -> Iterator[Callable[..., LocalGateway]]:
    """Open gateways that answer in API Gateway's own words where nothing else is said."""
    names: dict[str, Any] = {"api_function": "Api", "authorizer_function": "Authorizer"}
    with ExitStack() as stack:
        yield lambda responses=NONE, **options: stack.enter_context(
            LocalGateway(functions.invoke, responses=responses, **names, **options)
        )


@pytest.fixture
def gateway(opened: Callable[..., LocalGateway]) -> LocalGateway:
    return opened()


def call(
    gateway: LocalGateway,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = TOKEN,
) -> Answered:
    """Send a request with the path below the stage exactly as given."""
    base = urlsplit(gateway.url)
    connection = http.client.HTTPConnection(base.netloc, timeout=WAIT)
    given_headers = {**({"Authorization": token} if token else {}), **(headers or {})}
    try:
        connection.request(method, target if "://" in target else base.path + target, body, given_headers)
        response = connection.getresponse()
        return Answered(response.status, response.headers, response.read())
    finally:
        connection.close()


def send(gateway: LocalGateway, *lines: str) -> str:
    """Send the lines of a request as they stand and return all of the answer."""
    base = urlsplit(gateway.url)
    with socket.create_connection((base.hostname, base.port), WAIT) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


# Routes


def test_a_method_of_the_api_reaches_the_function(gateway: LocalGateway, functions: Functions) -> None:
    functions.api = lambda event: {"statusCode": 201, "body": '{"a": "é"}', "headers": {"X-Own": "1"}}
    answered = call(gateway, "GET", "/portfolios/growth-dca/performance")
    assert (answered.status, answered.json) == (201, {"a": "é"})
    assert answered.headers["Content-Type"] == "application/json"
    assert answered.headers["X-Own"] == "1"
    assert re.fullmatch(r"[0-9a-f-]{36}", answered.headers["x-amzn-RequestId"])
    assert answered.headers["x-amzn-ErrorType"] is None


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", ""),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/calculate"),
        ("HEAD", "/health"),
        ("OPTIONS", "/calculate"),
        ("DELETE", "/portfolios/a/performance"),
        ("GET", "/portfolios//performance"),
        ("GET", "/portfolios/a/b/performance"),
        ("GET", "//health"),
        ("GET", "/portfolios/a%2Fb"),
        ("GET", "/Health"),
    ],
)
def test_what_is_no_method_of_the_api_lacks_a_token_as_api_gateway_has_it(
    gateway: LocalGateway, functions: Functions, method: str, target: str
) -> None:
    answered = call(gateway, method, target)
    assert (answered.status, answered.headers["x-amzn-ErrorType"]) == (403, "MissingAuthenticationTokenException")
    assert answered.body == (b"" if method == "HEAD" else b'{"message":"Missing Authentication Token"}')
    assert functions.events == []


@pytest.mark.parametrize("target", ["/", "/v2/health", "/v1health", "/health"])
def test_what_is_not_below_the_stage_is_forbidden(gateway: LocalGateway, target: str) -> None:
    base = urlsplit(gateway.url)
    connection = http.client.HTTPConnection(base.netloc, timeout=WAIT)
    connection.request("GET", target)
    response = connection.getresponse()
    assert (response.status, response.headers["x-amzn-ErrorType"]) == (403, "ForbiddenException")
    assert json.load(response) == {"message": "Forbidden"}


def test_no_answer_says_that_other_origins_may_read_it(gateway: LocalGateway) -> None:
    for method, target in (("OPTIONS", "/calculate"), ("GET", "/health")):
        answered = call(gateway, method, target, headers={"Origin": "https://example.com"})
        assert not [name for name in answered.headers if name.lower().startswith("access-control")]


def test_a_slash_at_the_end_makes_no_difference_but_is_handed_on(gateway: LocalGateway) -> None:
    event = call(gateway, "GET", "/portfolios/a/performance/").json
    assert event["path"] == "/portfolios/a/performance/"
    assert event["pathParameters"] == {"entity_id": "a"}


def test_a_literal_stands_before_a_parameter_whatever_their_order(opened: Callable[..., LocalGateway]) -> None:
    gateway = opened(
        routes=[Route("GET", "/a/{id}", None), Route("GET", "/a/all", None), Route("POST", "/a/{id}", None)]
    )
    assert call(gateway, "GET", "/a/all").json["resource"] == "/a/all"
    assert call(gateway, "GET", "/a/1").json["resource"] == "/a/{id}"
    # API Gateway has found its resource then, and does not look for the method elsewhere.
    assert call(gateway, "POST", "/a/all").status == 403


def test_an_absolute_target_is_refused(gateway: LocalGateway) -> None:
    answered = call(gateway, "GET", "http://example.com/v1/health", headers={"Host": "localhost"})
    assert answered.error == (400, "BadRequestException", {"message": "Bad Request"})


# The event


def shape(value: Any, *, below: str = "") -> Any:
    """Return the keys and types of an event; names of headers and parameters are the client's own."""
    if isinstance(value, dict):
        if below in {"headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters"}:
            return {str(shape(each)) for each in value.values()}
        return {name: shape(each, below=name) for name, each in value.items()}
    return {type(each).__name__ for each in value} if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("name", ["api_get", "api_post"])
def test_an_event_has_the_keys_and_types_of_the_service_s_own(
    gateway: LocalGateway, functions: Functions, name: str
) -> None:
    recorded = json.loads((EVENTS / f"{name}.json").read_text())
    recorded_context = recorded["requestContext"]["authorizer"]
    functions.authorizer = lambda event: allow(client_id="acme", role=recorded_context["role"])
    query = "&".join(
        f"{key}={value}"
        for key, values in (recorded["multiValueQueryStringParameters"] or {}).items()
        for value in values
    )
    body = recorded["body"].encode() if recorded["body"] else None
    sent = {key: recorded["headers"][key] for key in recorded["headers"] if not key.startswith(("X-", "Host"))}
    made = call(gateway, recorded["httpMethod"], f"{recorded['path']}?{query}", body, sent).json
    assert shape(made) == shape(recorded)
    for key in ("resource", "path", "httpMethod", "pathParameters", "queryStringParameters", "body"):
        assert made[key] == recorded[key]
    for key in ("resourcePath", "httpMethod", "path", "accountId", "protocol", "stage"):
        assert made["requestContext"][key] == recorded["requestContext"][key]
    assert made["multiValueQueryStringParameters"] == recorded["multiValueQueryStringParameters"]
    assert sent.items() <= made["headers"].items()


def test_path_parameters_stay_encoded_and_query_parameters_do_not(gateway: LocalGateway) -> None:
    event = call(gateway, "GET", "/portfolios/a%2Fb%20c+d%C3%A9/performance?q=%C3%A9%26+x&empty=&q=2").json
    assert event["path"] == "/portfolios/a%2Fb%20c+d%C3%A9/performance"
    assert event["pathParameters"] == {"entity_id": "a%2Fb%20c+d%C3%A9"}
    assert event["queryStringParameters"] == {"q": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"q": ["é& x", "2"], "empty": [""]}


def test_headers_keep_their_spelling_and_all_their_values(gateway: LocalGateway, functions: Functions) -> None:
    port = urlsplit(gateway.url).port
    send(
        gateway,
        "GET /v1/health HTTP/1.1",
        f"Host: localhost:{port}",
        "x-Tag: one",
        "X-TAG: two",
        "X_Under: 3",
        "Connection: close",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: https",
    )
    (event,) = functions.given("Api")
    assert event["headers"]["x-Tag"] == "two"
    assert event["multiValueHeaders"]["x-Tag"] == ["one", "two"]
    assert event["headers"]["X_Under"] == "3"
    assert "Connection" not in event["headers"]
    assert event["headers"]["X-Forwarded-For"] == "192.0.2.7, 127.0.0.1"
    assert event["multiValueHeaders"]["X-Forwarded-Proto"] == ["http"]
    assert event["headers"]["X-Forwarded-Port"] == str(port)
    assert event["requestContext"]["domainName"] == "localhost"
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["identity"]["userAgent"] is None


@pytest.mark.parametrize(
    ("body", "text", "is_base64"),
    [
        (b'{"a": "\xc3\xa9"}', '{"a": "é"}', False),
        (b"\xff\xfe\x00", b64encode(b"\xff\xfe\x00").decode(), True),
        (b"", None, False),
    ],
    ids=["text", "binary", "empty"],
)
def test_a_body_is_text_where_it_can_be(
    gateway: LocalGateway, functions: Functions, body: bytes, text: str | None, is_base64: bool
) -> None:
    call(gateway, "POST", "/calculate", body)
    (event,) = functions.given("Api")
    assert (event["body"], event["isBase64Encoded"]) == (text, is_base64)
    assert "Content-Length" not in event["headers"]


def test_a_body_in_chunks_is_read_whole(gateway: LocalGateway, functions: Functions) -> None:
    answered = send(
        gateway,
        "POST /v1/calculate HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: {TOKEN}",
        "Transfer-Encoding: chunked",
        "",
        "2\r\n{}\r\n1\r\n \r\n0",
    )
    assert answered.startswith("HTTP/1.1 200 ")
    assert functions.given("Api")[0]["body"] == "{} "


def test_times_and_ids_belong_to_the_request(gateway: LocalGateway) -> None:
    first, second = (call(gateway, "GET", "/health") for _ in range(2))
    context = first.json["requestContext"]
    assert context["requestId"] == first.headers["x-amzn-RequestId"] != second.headers["x-amzn-RequestId"]
    assert context["extendedRequestId"] == first.headers["x-amz-apigw-id"]
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["requestTime"])
    assert context["requestTimeEpoch"] <= second.json["requestContext"]["requestTimeEpoch"]
    assert "authorizer" not in context


# Sizes


def test_a_body_of_over_10_mb_is_refused_before_anybody_is_asked(gateway: LocalGateway, functions: Functions) -> None:
    answered = call(gateway, "POST", "/calculate", b"x" * (MAX_BODY_BYTES + 1))
    assert (answered.status, answered.headers["x-amzn-ErrorType"]) == (413, "RequestEntityTooLargeException")
    assert answered.body == b"HTTP content length exceeded 10485760 bytes."
    assert functions.events == []


def test_an_event_that_lambda_would_not_take_is_refused(gateway: LocalGateway, functions: Functions) -> None:
    assert call(gateway, "POST", "/calculate", b"x" * (INVOCATION_BYTES - 8192)).status == 200
    answered = call(gateway, "POST", "/calculate", b"x" * INVOCATION_BYTES)
    assert answered.error == (413, "RequestEntityTooLargeException", {"message": "Request Too Long"})
    assert len(functions.given("Api")) == 1


@pytest.mark.parametrize("length", ["-1", "many", "1, 2"])
def test_a_length_that_is_none_is_a_body_of_nothing(gateway: LocalGateway, functions: Functions, length: str) -> None:
    answered = send(gateway, "GET /v1/health HTTP/1.1", "Host: localhost", f"Content-Length: {length}")
    assert answered.startswith("HTTP/1.1 200 ")
    assert functions.given("Api")[0]["body"] is None


def test_a_client_that_goes_away_calls_nothing(gateway: LocalGateway, functions: Functions) -> None:
    base = urlsplit(gateway.url)
    with socket.create_connection((base.hostname, base.port), WAIT) as connection:
        connection.sendall(b"POST /v1/calculate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(64).startswith(b"HTTP/1.1 400 ")
    assert functions.events == []


# The authorizer


@pytest.mark.parametrize("target", ["/health", "/openapi.json"])
def test_an_open_method_needs_no_token(gateway: LocalGateway, functions: Functions, target: str) -> None:
    assert call(gateway, "GET", target, token=None).status == 200
    assert functions.given("Authorizer") == []


@pytest.mark.parametrize("token", [None, "  "])
def test_without_a_token_the_authorizer_is_not_asked(
    gateway: LocalGateway, functions: Functions, token: str | None
) -> None:
    answered = call(gateway, "POST", "/calculate", token=token)
    assert answered.error == (401, "UnauthorizedException", {"message": "Unauthorized"})
    assert functions.events == []


def test_the_authorizer_is_told_the_token_and_the_method(gateway: LocalGateway, functions: Functions) -> None:
    call(gateway, "GET", "/portfolios/a%2Fb/performance?x=1")
    assert functions.given("Authorizer") == [
        {
            "type": "TOKEN",
            "authorizationToken": TOKEN,
            "methodArn": f"{METHODS}/GET/portfolios/a%2Fb/performance",
        }
    ]


def test_the_context_arrives_as_text_beside_the_principal(gateway: LocalGateway, functions: Functions) -> None:
    functions.authorizer = lambda event: allow(role="reader", admin=False, level=3, share=0.5, principalId="forged")
    context = call(gateway, "GET", "/portfolios/a/performance").json["requestContext"]["authorizer"]
    latency = context.pop("integrationLatency")
    assert isinstance(latency, int)
    assert latency >= 0
    assert context == {"role": "reader", "admin": "false", "level": "3", "share": "0.5", "principalId": "ada"}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("Unauthorized", (401, "UnauthorizedException", {"message": "Unauthorized"})),
        ("unauthorized", (500, "AuthorizerConfigurationException", {"message": None})),
        ("no such secret", (500, "AuthorizerConfigurationException", {"message": None})),
    ],
)
def test_an_authorizer_that_fails_is_not_the_caller_s_fault_unless_it_says_so(
    gateway: LocalGateway, functions: Functions, message: str, error: tuple[int, str, Any]
) -> None:
    def fail(event: object) -> None:
        raise FunctionError("Exception", message)

    functions.authorizer = fail
    # Neither is kept: the second request asks again.
    for _ in range(2):
        assert call(gateway, "POST", "/calculate").error == error
    assert [name for name, _ in functions.events] == ["Authorizer"] * 2


@pytest.mark.parametrize(
    "output",
    [
        None,
        {},
        {"principalId": "ada"},
        {**allow(), "principalId": None},
        {**allow(), "context": {"nested": {}}},
        {**allow(), "context": {"list": []}},
        {**allow(), "policyDocument": {"Version": "2012-10-17"}},
        {**allow(), "policyDocument": {"Statement": [{"Effect": "Permit", "Action": "*", "Resource": "*"}]}},
        {**allow(), "policyDocument": {"Statement": [{"Effect": "Allow", "NotAction": "x", "Resource": "*"}]}},
        {
            **allow(),
            "policyDocument": {
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {}}}]
            },
        },
    ],
    ids=str,
)
def test_what_an_authorizer_must_not_return_lets_nobody_in(
    gateway: LocalGateway, functions: Functions, output: object
) -> None:
    functions.authorizer = lambda event: output
    assert call(gateway, "POST", "/calculate").error == (500, "AuthorizerConfigurationException", {"message": None})
    assert functions.given("Api") == []


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ([("Allow", f"{METHODS}/GET/*")], "User is not authorized to access this resource"),
        ([], "User is not authorized to access this resource"),
        (
            [("Allow", "*"), ("Deny", f"{METHODS}/POST/calculate")],
            "User is not authorized to access this resource with an explicit deny in an identity-based policy",
        ),
    ],
    ids=["another method", "nothing", "denied"],
)
def test_a_policy_that_does_not_allow_the_method_is_a_denial(
    gateway: LocalGateway, functions: Functions, statements: list[tuple[str, str]], message: str
) -> None:
    functions.authorizer = lambda event: {"principalId": "ada", "policyDocument": policy(*statements)}
    assert call(gateway, "POST", "/calculate").error == (403, "AccessDeniedException", {"Message": message})
    assert functions.given("Api") == []


def test_a_token_s_policy_is_kept_and_serves_every_method(
    opened: Callable[..., LocalGateway], functions: Functions
) -> None:
    now = [0.0]
    gateway = opened(timer=lambda: now[0], authorizer_ttl_seconds=300)
    functions.authorizer = lambda event: allow(f"{METHODS}/GET/*", client_id="acme")
    assert call(gateway, "GET", "/portfolios/a/performance").status == 200
    now[0] = 299.0
    context = call(gateway, "GET", "/accounts/b/performance").json["requestContext"]["authorizer"]
    assert context == {"client_id": "acme", "principalId": "ada", "integrationLatency": 0}
    assert call(gateway, "POST", "/calculate").status == 403
    assert len(functions.given("Authorizer")) == 1
    now[0] = 301.0
    assert call(gateway, "POST", "/calculate").status == 403
    assert call(gateway, "POST", "/calculate", token="another").status == 403
    assert [event["authorizationToken"] for event in functions.given("Authorizer")] == [TOKEN, TOKEN, "another"]


def test_policies_need_not_be_kept(opened: Callable[..., LocalGateway], functions: Functions) -> None:
    gateway = opened(authorizer_ttl_seconds=0)
    for _ in range(2):
        assert call(gateway, "POST", "/calculate").status == 200
    assert len(functions.given("Authorizer")) == 2


@pytest.mark.parametrize("seconds", [-1, 3601])
def test_policies_are_kept_an_hour_at_most(opened: Callable[..., LocalGateway], seconds: int) -> None:
    with pytest.raises(ValueError, match="0 to 3600 seconds"):
        opened(authorizer_ttl_seconds=seconds)


def test_tokens_without_end_are_not_kept_without_end(gateway: LocalGateway) -> None:
    authorizer = gateway._authorizer
    for number in range(MAX_TOKENS + 10):
        authorizer.authorize(str(number), f"{METHODS}/GET/health")
    assert len(authorizer._grants) == MAX_TOKENS


# Policies

ALPHABET = st.text("ab/*?:[]\n", max_size=8)
RESOURCES = st.lists(ALPHABET, min_size=1, max_size=3)
STATEMENTS = st.lists(st.tuples(st.sampled_from(["Allow", "Deny"]), ALPHABET), max_size=6)


def fits(pattern: str, text: str) -> bool:
    """The definition of a pattern, one character at a time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (bool(text) and fits(pattern, text[1:]))
    return bool(text) and pattern[0] in {"?", text[0]} and fits(pattern[1:], text[1:])


def decision(statements: list[tuple[str, str]], resource: str) -> Decision:
    return Policy.model_validate(policy(*statements)).decide(INVOKE, resource)


@given(ALPHABET, ALPHABET)
def test_patterns_mean_what_their_definition_says(pattern: str, text: str) -> None:
    assert matches(pattern, text) == fits(pattern, text)


@given(STATEMENTS, ALPHABET)
def test_a_deny_stands_over_every_allow_and_nothing_is_allowed_unsaid(
    statements: list[tuple[str, str]], resource: str
) -> None:
    effects = {effect for effect, pattern in statements if fits(pattern, resource)}
    expected = Decision.EXPLICIT_DENY if "Deny" in effects else Decision.ALLOW if effects else Decision.IMPLICIT_DENY
    assert decision(statements, resource) is expected
    assert decision(statements[::-1], resource) is expected
    assert decision([*statements, ("Deny", "*")], resource) is Decision.EXPLICIT_DENY


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("execute-api:Invoke", True),
        ("EXECUTE-API:invoke", True),
        ("execute-api:*", True),
        ("*", True),
        (["s3:GetObject", "execute-api:Inv?ke"], True),
        ("execute-api:ManageConnections", False),
        ([], False),
    ],
)
def test_a_statement_is_about_its_actions(action: str | list[str], allowed: bool) -> None:
    statement = {"Sid": "one", "Effect": "Allow", "Action": action, "Resource": [f"{METHODS}/GET/x", f"{METHODS}/y"]}
    alone = Policy.model_validate({"Version": "2012-10-17", "Id": "p", "Statement": statement})
    assert (alone.decide(INVOKE, f"{METHODS}/y") is Decision.ALLOW) is allowed
    assert alone.decide(INVOKE, f"{METHODS}/Y") is Decision.IMPLICIT_DENY


# The function's answer


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {"statusCode": "ok"},
        {"statusCode": 99},
        {"statusCode": 101},
        {"statusCode": True},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "headers": {"X": 1}},
        {"statusCode": 200, "headers": {"X": ["1"]}},
        {"statusCode": 200, "headers": {"X": "1\r\nSet-Cookie: a=b"}},
        {"statusCode": 200, "headers": {"X: 1\r\nY": "1"}},
        {"statusCode": 200, "headers": {"X": "\u20ac"}},
        {"statusCode": 200, "multiValueHeaders": {"X": "1"}},
        {"statusCode": 200, "cookies": []},
        {"errorMessage": "x", "errorType": "y"},
    ],
    ids=str,
)
def test_a_malformed_answer_is_a_bad_gateway(gateway: LocalGateway, functions: Functions, answer: object) -> None:
    functions.api = lambda event: answer
    expected = (502, "InternalServerErrorException", {"message": "Internal server error"})
    assert call(gateway, "GET", "/health").error == expected


@pytest.mark.parametrize("error_type", ["ValueError", "Sandbox.Timedout"])
def test_a_function_that_fails_is_a_bad_gateway_and_says_no_more(
    gateway: LocalGateway, functions: Functions, caplog: pytest.LogCaptureFixture, error_type: str
) -> None:
    def fail(event: object) -> None:
        raise FunctionError(error_type, "the secret is 42")

    functions.api = fail
    expected = (502, "InternalServerErrorException", {"message": "Internal server error"})
    assert call(gateway, "GET", "/health?x=%1B").error == expected
    # Its operator is told.
    assert caplog.messages == [f"GET '/v1/health?x=%1B': {error_type}: the secret is 42"]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ({}, 200, b""),
        ({"statusCode": 204}, 204, b""),
        ({"statusCode": "404", "body": None}, 404, b""),
        ({"statusCode": 200, "body": b64encode(b"\xff\x00").decode(), "isBase64Encoded": True}, 200, b"\xff\x00"),
        ({"statusCode": 200, "body": "/w==", "isBase64Encoded": False}, 200, b"/w=="),
    ],
)
def test_what_an_answer_leaves_out_has_a_default(
    gateway: LocalGateway, functions: Functions, answer: object, status: int, body: bytes
) -> None:
    functions.api = lambda event: answer
    answered = call(gateway, "GET", "/health")
    assert (answered.status, answered.body) == (status, body)


def test_a_body_that_is_no_base64_is_a_configuration_error(gateway: LocalGateway, functions: Functions) -> None:
    functions.api = lambda event: {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True}
    expected = (500, "ApiConfigurationException", {"message": "Internal server error"})
    assert call(gateway, "GET", "/health").error == expected


def test_headers_of_both_kinds_make_one_list(gateway: LocalGateway, functions: Functions) -> None:
    functions.api = lambda event: {
        "statusCode": 200,
        "headers": {"X-One": "1", "X-Both": "single", "content-type": "text/csv", "X-Flag": True},
        "multiValueHeaders": {"x-both": ["2", "3"], "Set-Cookie": ["a=1", "b=2"]},
        "body": "a,b",
    }
    headers = call(gateway, "GET", "/health").headers
    assert headers.get_all("X-Both") == ["2", "3"]
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert headers.get_all("Content-Type") == ["text/csv"]
    assert (headers["X-One"], headers["X-Flag"]) == ("1", "true")


def test_a_function_has_no_say_about_the_connection(gateway: LocalGateway, functions: Functions) -> None:
    functions.api = lambda event: {
        "statusCode": 401,
        "headers": {
            "Content-Length": "1",
            "Transfer-Encoding": "chunked",
            "Connection": "keep-alive",
            "WWW-Authenticate": "Bearer",
            "x-amzn-RequestId": "own",
        },
        "body": "whole",
    }
    answered = call(gateway, "GET", "/health")
    assert answered.body == b"whole"
    assert answered.headers["x-amzn-Remapped-Content-Length"] == "1"
    assert answered.headers["x-amzn-Remapped-WWW-Authenticate"] == "Bearer"
    assert answered.headers["Transfer-Encoding"] is answered.headers["WWW-Authenticate"] is None
    assert answered.headers["x-amzn-RequestId"] != "own"


# The API's own words in place of API Gateway's


def refuse(functions: Functions) -> None:
    def unauthorized(event: object) -> None:
        raise FunctionError("Exception", "Unauthorized")

    functions.authorizer = unauthorized


def deny(functions: Functions) -> None:
    functions.authorizer = lambda event: {"principalId": "ada", "policyDocument": policy()}


def misconfigure(functions: Functions) -> None:
    functions.authorizer = lambda event: None


def malform(functions: Functions) -> None:
    functions.api = lambda event: None


def stall(functions: Functions) -> None:
    functions.api = lambda event: threading.Event().wait(0.5)


def leave(functions: Functions) -> None:
    pass


@pytest.mark.parametrize(
    ("method", "target", "size", "prepare", "kind", "error_type"),
    [
        ("POST", "/calculate", 0, refuse, ProblemType.UNAUTHENTICATED, "UnauthorizedException"),
        ("POST", "/calculate", 0, deny, ProblemType.FORBIDDEN, "AccessDeniedException"),
        ("GET", "/no/such%20path?x=1", 0, leave, ProblemType.NOT_FOUND, "MissingAuthenticationTokenException"),
        ("DELETE", "/health", 0, leave, ProblemType.NOT_FOUND, "MissingAuthenticationTokenException"),
        ("GET", "/$context.requestId", 0, leave, ProblemType.NOT_FOUND, "MissingAuthenticationTokenException"),
        ("GET", '/a"b\\c', 0, leave, ProblemType.NOT_FOUND, "MissingAuthenticationTokenException"),
        ("POST", "/calculate", MAX_BODY_BYTES + 1, leave, ProblemType.TOO_LARGE, "RequestEntityTooLargeException"),
        ("POST", "/calculate", INVOCATION_BYTES, leave, ProblemType.TOO_LARGE, "RequestEntityTooLargeException"),
        ("POST", "/calculate", 0, misconfigure, ProblemType.INTERNAL, "AuthorizerConfigurationException"),
        ("GET", "/health", 0, malform, ProblemType.INTERNAL, "InternalServerErrorException"),
        ("GET", "/health", 0, stall, ProblemType.UNAVAILABLE, "InternalServerErrorException"),
    ],
)
def test_what_the_gateway_says_by_itself_is_a_problem_too(
    opened: Callable[..., LocalGateway],
    functions: Functions,
    method: str,
    target: str,
    size: int,
    prepare: Callable[[Functions], None],
    kind: ProblemType,
    error_type: str,
) -> None:
    gateway = opened(GATEWAY_RESPONSES, integration_seconds=0.05 if prepare is stall else WAIT)
    prepare(functions)
    answered = call(gateway, method, target, b"x" * size)
    problem = Problem.model_validate(answered.json)
    assert (answered.status, answered.headers["x-amzn-ErrorType"]) == (kind.status, error_type)
    assert answered.headers.get_all("Content-Type") == [MEDIA_TYPE]
    assert (problem.type, problem.title, problem.status) == (kind.uri, kind.title, kind.status)
    assert problem.instance == f"/v1{target.partition('?')[0]}"
    assert problem.request_id == answered.headers["x-amzn-RequestId"]
    assert (answered.headers["X-Content-Type-Options"], answered.headers["Cache-Control"]) == ("nosniff", "no-store")
    assert answered.headers["WWW-Authenticate"] == ("Bearer" if kind is ProblemType.UNAUTHENTICATED else None)
    assert (answered.headers["Retry-After"] is None) == (kind is not ProblemType.UNAVAILABLE)


@pytest.mark.parametrize("response_type", GATEWAY_RESPONSES)
def test_an_answer_of_the_gateway_s_is_a_problem_that_leaves_two_things_open(response_type: str) -> None:
    answer = GATEWAY_RESPONSES[response_type]
    problem = Problem.model_validate_json(answer.template)
    assert (problem.status, problem.instance, problem.request_id) == (answer.status, PATH, REQUEST_ID)
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    # API Gateway takes a fixed value between such marks.
    assert not [value for value in answer.headers.values() if "'" in value]


def test_a_response_type_without_an_answer_of_its_own_has_the_default_one(
    opened: Callable[..., LocalGateway], functions: Functions
) -> None:
    gateway = opened({DEFAULT_4XX: CustomResponse(418, {}, "refused"), DEFAULT_5XX: CustomResponse(599, {}, "failed")})
    assert (call(gateway, "GET", "/nothing").status, call(gateway, "GET", "/nothing").body) == (418, b"refused")
    malform(functions)
    assert (call(gateway, "GET", "/health").status, call(gateway, "GET", "/health").body) == (599, b"failed")


def test_who_has_found_no_api_hears_api_gateway(opened: Callable[..., LocalGateway]) -> None:
    gateway = opened(GATEWAY_RESPONSES)
    answered = call(gateway, "GET", "/health", headers={"Host": "example.com"})
    assert answered.error == (403, "ForbiddenException", {"message": "Forbidden"})


# Times


def test_two_requests_are_answered_at_once(gateway: LocalGateway, functions: Functions) -> None:
    both = threading.Barrier(2)

    def meet(event: object) -> dict[str, int]:
        both.wait(WAIT)
        return {"statusCode": 200}

    functions.api = meet
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(call(gateway, "GET", "/health").status)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert statuses == [200, 200]


@pytest.mark.parametrize(
    ("late", "error"),
    [
        ("api", (504, "InternalServerErrorException", {"message": "Endpoint request timed out"})),
        ("authorizer", (500, "AuthorizerConfigurationException", {"message": None})),
    ],
)
def test_a_function_that_takes_too_long_is_given_up(
    opened: Callable[..., LocalGateway], functions: Functions, late: str, error: tuple[int, str, Any]
) -> None:
    gateway = opened(integration_seconds=0.05)
    ended = threading.Event()
    setattr(functions, late, lambda event: ended.wait(WAIT))
    assert call(gateway, "POST", "/calculate").error == error
    ended.set()


def test_an_end_waits_for_answers_under_way(functions: Functions) -> None:
    begun, ended = threading.Event(), threading.Event()

    def answer(event: object) -> dict[str, Any]:
        begun.set()
        ended.wait(WAIT)
        return {"statusCode": 200, "body": "late"}

    functions.api = answer
    answers: list[Answered] = []
    with LocalGateway(functions.invoke, api_function="Api", authorizer_function="Authorizer") as gateway:
        url = urlsplit(gateway.url)
        thread = threading.Thread(target=lambda: answers.append(call(gateway, "GET", "/health")))
        thread.start()
        assert begun.wait(WAIT)
        threading.Timer(0.2, ended.set).start()
    assert ended.is_set()
    thread.join(WAIT)
    assert [each.body for each in answers] == [b"late"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.hostname, url.port), WAIT)
    with pytest.raises(RuntimeError, match="not entered"):
        _ = gateway.url


def test_the_same_gateway_can_be_entered_again(functions: Functions) -> None:
    gateway = LocalGateway(functions.invoke, api_function="Api", authorizer_function="Authorizer")
    for _ in range(2):
        with gateway:
            assert call(gateway, "GET", "/health").status == 200


def test_the_standard_error_is_the_user_s(gateway: LocalGateway, capfd: pytest.CaptureFixture[str]) -> None:
    call(gateway, "GET", "/health")
    call(gateway, "GET", "/nothing")
    send(gateway, "nonsense")
    assert capfd.readouterr() == ("", "")


# Who may ask


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:65535", "[::1]", "[::1]:80"])
def test_the_loopback_is_known_by_its_names(gateway: LocalGateway, host: str) -> None:
    assert call(gateway, "GET", "/health", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "example.com:8000",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "localhost.",
        "192.0.2.1",
        "[2001:db8::1]",
        "::1",
        "",
        "localhost:",
        "localhost:x",
        "user@localhost",
        "localhost, example.com",
    ],
)
def test_who_calls_us_by_another_name_is_turned_away(gateway: LocalGateway, functions: Functions, host: str) -> None:
    answered = call(gateway, "GET", "/health", headers={"Host": host})
    assert answered.error == (403, "ForbiddenException", {"message": "Forbidden"})
    assert functions.events == []


@pytest.mark.parametrize("hosts", [[], ["Host: localhost", "Host: example.com"]], ids=["none", "two"])
def test_a_request_has_one_host(gateway: LocalGateway, hosts: list[str]) -> None:
    assert send(gateway, "GET /v1/health HTTP/1.1", *hosts).startswith("HTTP/1.1 403 ")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "", "::"])
def test_only_the_loopback_is_bound(opened: Callable[..., LocalGateway], host: str) -> None:
    with pytest.raises(GatewayError, match="loopback"):
        opened(host=host)


def test_others_may_be_let_in_on_purpose(opened: Callable[..., LocalGateway]) -> None:
    gateway = opened(host="0.0.0.0", allow_remote=True)
    assert gateway.url.startswith("http://0.0.0.0:")
    assert call(gateway, "GET", "/health", headers={"Host": "example.com"}).status == 200


def test_a_port_that_is_taken_is_told(opened: Callable[..., LocalGateway]) -> None:
    port = urlsplit(opened().url).port
    with pytest.raises(GatewayError, match=f"port {port} of 127.0.0.1 cannot be opened: Address already in use"):
        opened(port=port)


def test_ids_of_the_caller_are_not_trusted(gateway: LocalGateway, functions: Functions) -> None:
    functions.api = lambda event: {"body": b64decode("e30=").decode(), "headers": {"x-amz-apigw-id": "own"}}
    answered = call(gateway, "GET", "/health", headers={"x-amzn-RequestId": "forged"})
    assert answered.headers.get_all("x-amzn-RequestId") != ["forged"]
    assert answered.headers.get_all("x-amz-apigw-id") != ["own"]


def test_a_route_with_a_role_is_never_open(opened: Callable[..., LocalGateway], functions: Functions) -> None:
    gateway = opened(routes=[Route("GET", "/secret", role) for role in Role])
    assert call(gateway, "GET", "/secret", token=None).status == 401
    assert functions.events == []
