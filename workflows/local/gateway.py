"""API Gateway on a laptop: a REST API with a TOKEN authorizer and Lambda proxy integrations, on the loopback."""

import ipaddress
import json
import logging
import re
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from common.errors import PermanentError, clip
from common.models.limits import INVOCATION_BYTES
from workflows.local.gateway_authorizer import TokenAuthorizer
from workflows.local.gateway_events import (
    BAD_ANSWER,
    BAD_REQUEST,
    FORBIDDEN,
    MAX_BODY_BYTES,
    MISSING_TOKEN,
    STAGE,
    TIMED_OUT,
    TOO_LARGE,
    TOO_LARGE_FOR_FUNCTION,
    ApiRequest,
    GatewayResponseError,
    own_response,
    proxy_event,
    response_of,
)
from workflows.local.lambda_host import FunctionError
from workflows.triggers.api.gateway_responses import GATEWAY_RESPONSES, CustomResponse
from workflows.triggers.routes import ROUTES, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# API Gateway: the default of an integration, and the most of one without a raised quota.
INTEGRATION_SECONDS: Final = 29.0
# How long an end waits for answers under way.
DRAIN_SECONDS: Final = 5.0

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:@/]+)(?::\d{1,5})?", re.IGNORECASE)
_HEADERS: Final = "perfcalc.headers"
_REASON_CHARACTERS: Final = 500
_LOG: Final = logging.getLogger(__name__)

Invoke = Callable[[str, bytes], bytes]


class GatewayError(PermanentError):
    """The gateway cannot listen where it was told to."""


class LocalGateway:
    """Serve the API for the length of a `with` block.

    Parameters
    ----------
    invoke
        Calls a function: its name and its event as JSON; the answer as JSON.
    port
        0 takes any that is free.
    host
        An address of the loopback.
    api_function, authorizer_function
        Names for `invoke`.
    routes
        The API's methods; one without a role needs no token.
    responses
        What the API answers in place of API Gateway's own words, by response type.
    authorizer_ttl_seconds
        How long a token's policy is kept; 0: not at all.
    allow_remote
        Whether `host` may be another than the loopback, and requests may call it by any name.
    integration_seconds
        How long a function may take.
    timer
        The clock of the authorizer's cache, in seconds.

    Raises
    ------
    GatewayError
        `host` is not of the loopback, or the port cannot be opened.
    """

    def __init__(
        self,
        invoke: Invoke,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        api_function: str,
        authorizer_function: str,
        routes: Sequence[Route] = ROUTES,
        responses: Mapping[str, CustomResponse] = GATEWAY_RESPONSES,
        authorizer_ttl_seconds: int = 300,
        allow_remote: bool = False,
        integration_seconds: float = INTEGRATION_SECONDS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (allow_remote or _is_loopback(host)):
            raise GatewayError(f"{host} is not an address of this machine's loopback; the API is not for others")
        self._invoke = invoke
        self._address = (host, port)
        self._api_function = api_function
        self._resources = _resources(routes)
        self._responses = responses
        self._allow_remote = allow_remote
        self._integration_seconds = integration_seconds
        self._authorizer = TokenAuthorizer(
            lambda event: self._call(authorizer_function, event), ttl_seconds=authorizer_ttl_seconds, timer=timer
        )
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._idle = threading.Condition()
        self._under_way = 0

    def __enter__(self) -> Self:
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            # Opened here, because werkzeug ends the process where it cannot.
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise GatewayError(f"port {port} of {host} cannot be opened: {error.strerror or error}") from None
        with listening:
            self._server = make_server(
                host, port, self._application, threaded=True, request_handler=_Handler, fd=listening.fileno()
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="api gateway", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server = self._thread = None
        with self._idle:
            self._idle.wait_for(lambda: self._under_way == 0, DRAIN_SECONDS)

    @property
    def url(self) -> str:
        """Where the API is, the stage included."""
        if self._server is None:
            raise RuntimeError("the gateway is not entered")
        host = f"[{self._address[0]}]" if ":" in self._address[0] else self._address[0]
        return f"http://{host}:{self._server.port}/{STAGE}"

    def _application(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        with self._idle:
            self._under_way += 1
        try:
            response = self._response(environ)
        except BaseException:
            self._leave()
            raise
        response.call_on_close(self._leave)
        return response(environ, start_response)

    def _leave(self) -> None:
        with self._idle:
            self._under_way -= 1
            self._idle.notify_all()

    def _response(self, environ: "WSGIEnvironment") -> Response:
        request_id, extended_request_id = str(uuid.uuid4()), secrets.token_urlsafe(11)
        try:
            request = self._request(environ, request_id, extended_request_id)
            authorizer = None
            if request.route.role is not None:
                authorizer = self._authorizer.authorize(request.header("authorization"), request.method_arn)
            response = self._integrated(proxy_event(request, authorizer))
        except GatewayResponseError as error:
            if error.response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                # The caller is told no more than the status; whoever runs the gateway has to learn the reason.
                _LOG.error("%s %r: %s", environ["REQUEST_METHOD"], environ["RAW_URI"], _reason(error))
            path = str(environ["RAW_URI"]).partition("?")[0]
            response = own_response(error.response, self._responses, path=path, request_id=request_id)
        response.headers["x-amzn-RequestId"] = request_id
        response.headers["x-amz-apigw-id"] = extended_request_id
        return response

    def _request(self, environ: "WSGIEnvironment", request_id: str, extended_request_id: str) -> ApiRequest:
        headers: list[tuple[str, str]] = environ[_HEADERS]
        host = self._host([value for name, value in headers if name.lower() == "host"])
        # As the client sent it: PATH_INFO is decoded, and an encoded slash would be a segment's end.
        path, _, query = str(environ["RAW_URI"]).partition("?")
        if not path.startswith("/"):
            raise GatewayResponseError(BAD_REQUEST)
        stage, slash, rest = path[1:].partition("/")
        if stage != STAGE:
            raise GatewayResponseError(FORBIDDEN)
        route, parameters = self._route(environ["REQUEST_METHOD"], slash + rest)
        return ApiRequest(
            route=route,
            path=slash + rest,
            path_parameters=parameters,
            query=query,
            headers=_forwarded(headers, environ),
            body=_body(environ),
            host=host,
            source_ip=environ["REMOTE_ADDR"],
            protocol=environ["SERVER_PROTOCOL"],
            request_id=request_id,
            extended_request_id=extended_request_id,
        )

    def _host(self, values: Sequence[str]) -> str:
        """Return the name the client calls us by, which must be the loopback's.

        A page of a website can point a name of its own at 127.0.0.1 and have a browser ask us as that site (DNS
        rebinding); API Gateway does not know other people's names either.
        """
        found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if found is None or not (self._allow_remote or _is_loopback(found["name"].strip("[]"))):
            raise GatewayResponseError(FORBIDDEN)
        return found["name"]

    def _route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        # A slash at the end makes no difference, one in between does.
        segments = path.removesuffix("/").split("/")
        for template, methods in self._resources:
            parameters = _matched(template, segments)
            if parameters is None:
                continue
            if (route := methods.get(method)) is None:
                break
            return route, parameters
        raise GatewayResponseError(MISSING_TOKEN)

    def _integrated(self, event: dict[str, Any]) -> Response:
        body = json.dumps(event, ensure_ascii=False).encode()
        if len(body) > INVOCATION_BYTES:
            raise GatewayResponseError(TOO_LARGE_FOR_FUNCTION)
        try:
            return response_of(self._call(self._api_function, body))
        except FunctionError as error:
            # Lambda's own time-out among them: 504 is for an integration that outlasts API Gateway's.
            raise GatewayResponseError(BAD_ANSWER) from error
        except TimeoutError as error:
            raise GatewayResponseError(TIMED_OUT) from error

    def _call(self, function_name: str, body: bytes) -> bytes:
        """Invoke a function and give it up after the integration's time-out, with a TimeoutError."""
        answer: Future[bytes] = Future()

        def call() -> None:
            try:
                answer.set_result(self._invoke(function_name, body))
            except BaseException as error:  # noqa: BLE001 - raised again by who waits for the answer
                answer.set_exception(error)

        threading.Thread(target=call, name=f"invoke {function_name}", daemon=True).start()
        return answer.result(self._integration_seconds)


def _reason(error: GatewayResponseError) -> str:
    cause = error.__cause__ or error
    kind = cause.payload["errorType"] if isinstance(cause, FunctionError) else type(cause).__name__
    return clip(f"{kind}: {cause}", _REASON_CHARACTERS)


class _Handler(WSGIRequestHandler):
    # A client that connects and says nothing must not keep a thread.
    timeout = 30

    def make_environ(self) -> "WSGIEnvironment":
        """Keep the headers as they came: WSGI folds equal names into one and all names into capitals."""
        environ = super().make_environ()
        environ[_HEADERS] = [(name, value.replace("\r\n", "")) for name, value in self.headers.items()]
        return environ

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the standard error is the user's."""


def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _resources(routes: Iterable[Route]) -> list[tuple[list[str], dict[str, Route]]]:
    """Return each path's segments and methods, those with a literal before those with a parameter in its place."""
    resources: dict[str, dict[str, Route]] = {}
    for route in routes:
        resources.setdefault(route.path, {})[route.method] = route
    ordered = sorted(resources, key=lambda path: [segment.startswith("{") for segment in path.split("/")])
    return [(path.split("/"), resources[path]) for path in ordered]


def _matched(template: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    parameters = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{") and segment:
            parameters[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return parameters


def _forwarded(headers: Sequence[tuple[str, str]], environ: "WSGIEnvironment") -> list[tuple[str, str]]:
    """Return the headers with those that API Gateway adds about the way the request came."""
    added = ("x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id")
    via = [value for name, value in headers if name.lower() == "x-forwarded-for"]
    return [
        *((name, value) for name, value in headers if name.lower() not in added),
        ("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"),
        ("X-Forwarded-For", ", ".join([*via, environ["REMOTE_ADDR"]])),
        ("X-Forwarded-Port", environ["SERVER_PORT"]),
        ("X-Forwarded-Proto", environ["wsgi.url_scheme"]),
    ]


def _body(environ: "WSGIEnvironment") -> bytes:
    request = Request(environ)
    request.max_content_length = MAX_BODY_BYTES
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise GatewayResponseError(TOO_LARGE) from None
    except ClientDisconnected:
        raise GatewayResponseError(BAD_REQUEST) from None
