"""Serve the console on the loopback: a thread for each request, so that one that waits for AWS holds up no other."""

import socket
import threading
from types import TracebackType
from typing import Final, Self

from werkzeug.serving import WSGIRequestHandler, make_server

from common.errors import PermanentError
from workflows.console.app import create_app
from workflows.console.console import Console
from workflows.console.security import TOKEN_PARAMETER, Gate, new_token

LOOPBACK: Final = "127.0.0.1"
_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost")
# A request that waits for AWS is let finish; then the process ends.
_STOP_SECONDS: Final = 5.0


class PortInUseError(PermanentError):
    """Something else listens there."""


class ConsoleServer:
    """The console on a port, while it is entered.

    Parameters
    ----------
    console
        What to show.
    port
        0 takes a free one.
    host
        An address of this machine; the loopback unless others are to reach it.
    token
        Opens it; a random one when None.

    Attributes
    ----------
    url
        To be opened in a browser; it has the token in it.

    Raises
    ------
    PortInUseError
        The port is taken, or the address is none of this machine.
    """

    def __init__(self, console: Console, *, port: int = 0, host: str = LOOPBACK, token: str | None = None) -> None:
        token = token or new_token()
        try:
            # Bound here: the application has to know its port, and werkzeug ends the process where one is taken.
            bound = socket.create_server((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise PortInUseError(f"The console cannot listen on {host}, port {port}: {reason}.") from error
        port = bound.getsockname()[1]
        names = {host, *(_LOOPBACK_NAMES if host in {*_LOOPBACK_NAMES, "0.0.0.0"} else ())}  # noqa: S104 - compared, not bound
        if host == "0.0.0.0":  # noqa: S104 - compared, not bound
            names |= {socket.gethostname(), *_own_addresses()}
        self._gate = Gate(token, [f"{name}:{port}" for name in sorted(names)])
        app = create_app(console, self._gate)
        with bound:
            self._server = make_server(host, port, app, threaded=True, request_handler=_QuietHandler, fd=bound.fileno())
        self.origin = f"http://{LOOPBACK if LOOPBACK in names else host}:{port}"
        self.url = f"{self.origin}/?{TOKEN_PARAMETER}={token}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="console", daemon=True)

    def url_for_once(self) -> str:
        """Return an address that opens the console once, within a minute."""
        return f"{self.origin}/?{TOKEN_PARAMETER}={self._gate.new_pass()}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join(_STOP_SECONDS)
        self._server.server_close()


class _QuietHandler(WSGIRequestHandler):
    """Logs nothing: an address of the log would have the token in it."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the base's signature
        """Say nothing."""


def _own_addresses() -> set[str]:
    try:
        return {str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    except OSError:
        return set()
