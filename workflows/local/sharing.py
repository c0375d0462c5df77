"""A world that one process has open, read by others of this machine.

Only one process at a time can work in a data directory. While it does, it answers here, on the loopback, for the
executions that it runs and those that are kept: in the protocol of Step Functions itself, as far as reading goes, and
stopping. Where it is and what token it wants stands in a file of the data directory that only its owner may read.
`announced` finds it, `workflows.attached.attach` makes the world of it, and `workflows.local.opening` does both where
they are needed.
"""

import base64
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr, ValidationError

from workflows.deployed import Announcement
from workflows.local.loopback import LoopbackServer

FILE: Final = "open.json"
TOKEN_HEADER: Final = "X-Perfcalc-Token"  # noqa: S105 - a header's name
NONCE_HEADER: Final = "X-Perfcalc-Nonce"

STEP_FUNCTIONS: Final = (
    "DescribeExecution",
    "DescribeMapRun",
    "DescribeStateMachine",
    "DescribeStateMachineForExecution",
    "GetExecutionHistory",
    "ListExecutions",
    "ListMapRuns",
    "ListStateMachines",
    "StopExecution",
)
DYNAMODB: Final = ("BatchGetItem", "GetItem", "Query", "Scan")
"""What is answered: reading alone, but for an execution that may be stopped."""

MAX_BODY_BYTES: Final = 1024 * 1024
_SERVICES: Final = {"AWSStepFunctions": STEP_FUNCTIONS, "DynamoDB_20120810": DYNAMODB}
_CREDENTIAL: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/")
_TOKEN_BYTES: Final = 32
_PROOF_BYTES: Final = 64
_PROBE_SECONDS: Final = 5.0


class SharedWorld:
    """Answer other processes of this machine for the length of a `with` block.

    Parameters
    ----------
    data_dir
        Where it is announced.
    stepfunctions, dynamodb
        Clients of the world as this process sees it; DynamoDB None where a server of its own answers for it.
    told
        What stands in the announcement besides the process, the endpoint and the token. Without a
        `dynamodb_endpoint`, DynamoDB is answered here too.

    Attributes
    ----------
    announcement : Announcement
    """

    announcement: Announcement

    def __init__(self, data_dir: Path, *, stepfunctions: Any, dynamodb: Any | None, told: Mapping[str, Any]) -> None:
        self._path = data_dir / FILE
        self._clients = {"AWSStepFunctions": stepfunctions, "DynamoDB_20120810": dynamodb}
        self._told = told

    def __enter__(self) -> Self:
        token = secrets.token_hex(_TOKEN_BYTES)
        self._server = _Server(token, {name: client for name, client in self._clients.items() if client})
        endpoint = self._server.endpoint
        own = {
            "dynamodb_endpoint": endpoint,
            "dynamodb_access_key": token,
            "dynamodb_secret_key": token,
        }
        self.announcement = Announcement.model_validate(
            {**own, **self._told, "pid": os.getpid(), "endpoint": endpoint, "token": token}
        )
        self._server.start()
        _write(self._path, self.announcement)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._server.stop()


def announced(data_dir: Path) -> Announcement | None:
    """Return what the process that has the data directory open has announced.

    Returns
    -------
    Announcement or None
        None where nobody answers: what a process that was killed has left in the file is not taken for a world.
    """
    with suppress(OSError, ValidationError):
        found = Announcement.model_validate_json((data_dir / FILE).read_bytes())
        return found if _answers(found) else None
    return None


def _answers(found: Announcement) -> bool:
    """Ask for a proof that the token is known there, without telling it.

    Another server may have the port by now, of another user too, and answer whatever it likes.
    """
    address = urlsplit(found.endpoint)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=_PROBE_SECONDS)
    nonce = secrets.token_hex(_TOKEN_BYTES)
    try:
        connection.request("GET", "/", headers={NONCE_HEADER: nonce})
        given = connection.getresponse().read(_PROOF_BYTES + 1)
        return hmac.compare_digest(given, _proof(found.token.get_secret_value(), nonce))
    except HTTPException:
        return False
    finally:
        connection.close()


def _proof(token: str, nonce: str) -> bytes:
    """Return what only those who know the token can make of a nonce."""
    return hmac.new(token.encode(), nonce.encode(), sha256).hexdigest().encode()


def _write(path: Path, announcement: Announcement) -> None:
    """Write the file at once, for its owner alone."""
    told = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in announcement}
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(told, file)
    fresh.replace(path)


class _Server(LoopbackServer):
    def __init__(self, token: str, clients: Mapping[str, Any]) -> None:
        super().__init__(_Handler, "shared world")
        self.token = token
        self.clients = clients


class _RefusedError(Exception):
    """What is answered in the place of an operation's answer."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A client keeps its connection; one that has gone must not keep a thread.
    timeout = 60
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Prove that this is the world that was announced."""
        body = _proof(self.server.token, self.headers.get(NONCE_HEADER, ""))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        try:
            status, answer = 200, self._answer()
        except _RefusedError as error:
            status, answer = error.status, {"__type": error.code, "message": str(error)}
            self.close_connection = True  # the body may not have been read
        body = json.dumps(answer, default=_wire).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> Any:
        if not self._known():
            raise _RefusedError("UnrecognizedClientException", "The token is not that of this world.", 403)
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        client = self.server.clients.get(service)
        if client is None or operation not in _SERVICES[service]:
            raise _RefusedError("UnknownOperationException", f"{service}.{operation} is not answered here.")
        request = self._request()
        try:
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**request)
        except ClientError as error:
            told, status = error.response["Error"], error.response["ResponseMetadata"].get("HTTPStatusCode", 400)
            raise _RefusedError(told["Code"], told.get("Message", ""), status) from error
        except BotoCoreError as error:  # parameters that there are not
            raise _RefusedError("ValidationException", str(error)) from error
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def _request(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise _RefusedError("ValidationException", f"A request has a length, of at most {MAX_BODY_BYTES} bytes.")
        try:
            request = json.loads(self.rfile.read(int(length)) or b"{}", object_hook=_unwired)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise _RefusedError("SerializationException", "The body is not a JSON object.")
        return request

    def _known(self) -> bool:
        """Tell whether the request has the token: as its header, or as the access key it is signed for."""
        signed = _CREDENTIAL.match(self.headers.get("Authorization", ""))
        given = self.headers.get(TOKEN_HEADER) or (signed[1] if signed else "")
        return hmac.compare_digest(given.encode(), self.server.token.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the standard error is the user's."""


def _wire(value: object) -> float | str:
    """Return what the protocol has for a moment, and for bytes."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in an answer")


def _unwired(found: dict[str, Any]) -> dict[str, Any]:
    """Return a binary attribute of DynamoDB as the client takes it."""
    match found:
        case {"B": str(text)} if len(found) == 1:
            return {"B": base64.b64decode(text, validate=True)}
        case _:
            return found
