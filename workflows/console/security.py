"""Who is let in: whoever has the token of the opened address, from pages of the console's own origin alone.

Other pages of the browser and other users of the machine can reach a port of the loopback too. Hence a token; the
cookie that takes its place; the Host header, which a rebound name would give away; and for whatever changes something,
the origin and a token in the form.
"""

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import urlencode

from flask import Flask, Response, abort, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

CSRF_FIELD: Final = "csrf"
TOKEN_PARAMETER: Final = "token"  # noqa: S105 - the name of a parameter
_TOKEN_BYTES: Final = 32
PASS_SECONDS: Final = 60.0

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with it, browsers would send `Origin: null` with the console's own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


class Gate:
    """Checks every request before a page hears of it.

    Parameters
    ----------
    token
        Opens the console; stands in the address that it prints.
    hosts
        What the Host header may say: `127.0.0.1:8001`, `localhost:8001`.
    clock
        Seconds that only grow.
    """

    def __init__(self, token: str, hosts: Collection[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._passes: dict[str, float] = {}
        self._clock = clock
        self._hosts = frozenset(hosts)
        # Cookies do not know ports: two consoles must not take each other's away.
        own = hashlib.sha256(" ".join(sorted(hosts)).encode()).hexdigest()[:8]
        self.cookie = f"perfcalc_console_{own}"
        self._session = new_token()
        self.csrf = hmac.new(self._session.encode(), b"csrf", hashlib.sha256).hexdigest()

    def new_pass(self) -> str:
        """Return a token that opens the console once, within a minute.

        For a command line, which every user of the machine can see: whoever reads it there comes too late.
        """
        token = new_token()
        self._passes[token] = self._clock() + PASS_SECONDS
        return token

    def protect(self, app: Flask) -> None:
        """Put the gate in front of an application's pages."""
        app.before_request(self._check)
        app.after_request(_harden)

    def _check(self) -> BaseResponse | None:
        if request.host not in self._hosts:
            abort(421)
        if request.endpoint == "static":
            return None
        if (given := request.args.get(TOKEN_PARAMETER)) is not None:
            return self._let_in(given)
        if not _same(request.cookies.get(self.cookie, ""), self._session):
            # Rendered here: the error pages have the console's frame, which is not for everybody.
            return Response(render_template("closed.html"), 403)
        g.csrf = self.csrf
        if request.method not in {"GET", "HEAD", "OPTIONS"}:
            self._check_origin()
        return None

    def _let_in(self, given: str) -> BaseResponse:
        if not (_same(given, self._token) or self._take_pass(given)):
            return Response(render_template("closed.html"), 403)
        left = [(name, value) for name, value in request.args.items(multi=True) if name != TOKEN_PARAMETER]
        # A path of two slashes would be read as the name of another host.
        path = "/" + request.path.lstrip("/\\")
        address = f"{path}?{urlencode(left)}" if left else path
        answer: BaseResponse = redirect(address, 303)
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            # Followed from another site, say a terminal in the browser: a strict cookie is not sent with a redirect
            # of that, but with a navigation that this page begins.
            answer = Response(
                render_template("closed.html", heading="Opening", message=""), headers={"Refresh": f"0;url={address}"}
            )
        answer.set_cookie(self.cookie, self._session, httponly=True, samesite="Strict", path="/")
        return answer

    def _take_pass(self, given: str) -> bool:
        # Taken by one request alone, also where two come at the same time.
        return self._clock() < self._passes.pop(given, -math.inf)

    def _check_origin(self) -> None:
        if request.headers.get("Origin") != f"{request.scheme}://{request.host}":
            abort(403, "This did not come from a page of the console.")
        if not _same(request.form.get(CSRF_FIELD, ""), self.csrf):
            abort(403, "The page is of an earlier console: load it again.")


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode())


def _harden(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def explain(error: HTTPException) -> str:
    """Return what went wrong in words, for a person."""
    return _WORDS.get(error.code or 0, error.description or error.name)


_WORDS: Final = {
    404: "There is no such page.",
    405: "This page cannot be asked in this way.",
    413: "That is larger than 64 MiB.",
    421: "This console does not answer to that name.",
}
