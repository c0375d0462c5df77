"""Timestream on a laptop: its JSON protocol on the loopback, over one DuckDB file.

boto3's real clients talk to it. It is strict where the service is: a record is refused here that AWS would refuse, so
that a test or a night on a laptop means something.
"""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import duckdb

from common.errors import PermanentError
from common.json_types import JsonObject
from workflows.local.loopback import LoopbackServer
from workflows.local.timestream_errors import ServiceError
from workflows.local.timestream_operations import Operations

# Well above what 100 records of 2 KB, or the longest query, need; beyond it the body is not looked at.
MAX_BODY_BYTES: Final = 1024 * 1024

_PREFIX: Final = "Timestream_20181101."

Faults = Callable[[str, JsonObject], str | None]
"""(operation, request) -> code of the error to answer with; for tests."""


class LocalTimestreamError(PermanentError):
    """The file cannot be opened: another process has it, or it is no DuckDB file."""


class LocalTimestream:
    """A Timestream for the length of a `with` block.

    Parameters
    ----------
    path
        The DuckDB file.
    clock
        Tells the time that retention is counted from.
    faults
        What goes wrong, for tests.

    Attributes
    ----------
    endpoint : str
        Where both sides, write and query, answer.
    description : str
        What it is, in a line.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        faults: Faults | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._faults = faults
        self.endpoint = ""
        self.description = f"Timestream: DuckDB, data in {path}"

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._operations = Operations(_connect(self._path), self._clock)
        self._server = _Server(self._operations, self._faults)
        self.endpoint = self._server.endpoint
        self._server.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._operations.close()


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), config={"enable_external_access": "false"})
        # Within a process DuckDB shares a file that is open; what has locked its configuration is one of us.
        (taken,) = connection.execute("SELECT current_setting('lock_configuration')").fetchone() or (False,)
        if taken:
            raise LocalTimestreamError(f"{path} cannot be opened: this process has it open already")
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        # What was written since the last checkpoint lies in memory, as does what a checkpoint works on.
        connection.execute("SET GLOBAL checkpoint_threshold = '4MB'")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise LocalTimestreamError(f"{path} cannot be opened: {reason}") from None
    return connection


class _Server(LoopbackServer):
    def __init__(self, operations: Operations, faults: Faults | None) -> None:
        super().__init__(_Handler, "timestream")
        self.operations = operations
        self.faults = faults


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A client keeps its connection; one that has gone must not keep a thread.
    timeout = 60
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        operation = self.headers.get("X-Amz-Target", "").removeprefix(_PREFIX)
        try:
            answer = self._answer(operation)
            status = 200
        except ServiceError as error:
            status = error.status
            answer = {"__type": error.code, "message": str(error), **error.members}
        except duckdb.Error as error:
            status = 500
            answer = {"__type": "InternalServerException", "message": str(error)}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, operation: str) -> JsonObject:
        length = int(self.headers.get("Content-Length", "0"))
        if length > MAX_BODY_BYTES:
            # Taken in and dropped: a client that is still sending would see a reset connection and not the answer.
            for start in range(0, length, MAX_BODY_BYTES):
                self.rfile.read(min(MAX_BODY_BYTES, length - start))
            raise ServiceError("ValidationException", f"the request has {length} bytes, over {MAX_BODY_BYTES}")
        try:
            request = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            raise ServiceError("SerializationException", "the body is not JSON") from None
        if self.server.faults and (code := self.server.faults(operation, request)):
            raise ServiceError(code, "injected", status=500 if code.startswith("Internal") else 400)
        if operation == "DescribeEndpoints":
            host = self.headers.get("Host", "")
            return {"Endpoints": [{"Address": host, "CachePeriodInMinutes": 1440}]}
        handler = self.server.operations.by_name.get(operation)
        if handler is None:
            raise ServiceError("UnknownOperationException", f"{operation} is not supported here")
        return handler(request)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the standard error is the user's."""
