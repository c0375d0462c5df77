"""A server of HTTP on the loopback that can be closed for good: no kept connection is answered afterwards."""

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_POLL_SECONDS: Final = 0.05
# An answer that has begun is finished; a client that does not take it is not waited for.
_LAST_ANSWERS_SECONDS: Final = 5.0


class LoopbackServer(ThreadingHTTPServer):
    """Answers on a free port of the loopback, each connection in a thread, from `start` until `stop`.

    Parameters
    ----------
    handler
        Makes the answers.
    name
        Of the thread that takes the connections.
    """

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], name: str) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name=name, daemon=True)

    def start(self) -> None:
        """Take connections from now on."""
        self._thread.start()

    def stop(self, timeout: float = _LAST_ANSWERS_SECONDS) -> None:
        """Take no further connection or request; return when the answers that were being made are given.

        Parameters
        ----------
        timeout
            Seconds to wait for them at the most.
        """
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._changed:
            for connection in self._connections:
                with suppress(OSError):  # its client was faster
                    connection.shutdown(socket.SHUT_RD)
            self._changed.wait_for(lambda: not self._connections, timeout)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and know of it while it lasts."""
        with self._changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that is over."""
        super().shutdown_request(request)
        with self._changed:
            self._connections.discard(request)
            self._changed.notify_all()
