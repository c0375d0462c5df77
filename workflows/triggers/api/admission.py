"""Before a route is called: which one it is, who calls it, whether they may, and the body as text."""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from common.access import Scope
from common.models.identifiers import ClientIdentifier
from common.models.limits import INVOCATION_BYTES
from workflows.triggers.api.problems import ProblemError, ProblemType
from workflows.triggers.routes import ROUTES, Role, Route, allows

STAGE: Final = "/v1"
"""The stage, which a base path mapping leaves in the path, and which links begin with."""

# API Gateway takes 10 MB, but Lambda an event of 6, the headers around the body included.
MAX_BODY_BYTES: Final = INVOCATION_BYTES
# A hundred transactions with every id and number at its longest take some 60 KB.
MAX_TRANSACTIONS_BYTES: Final = 256 * 1024

_STAGE_PREFIX: Final = re.compile(f"^{STAGE}(?=/|$)")
_MAX_BYTES: Final = {"/transactions": MAX_TRANSACTIONS_BYTES}
_NOUNS: Final = {
    "executions": "execution",
    "portfolios": "portfolio",
    "accounts": "account",
    "securities": "security",
}
_JSON: Final = "application/json"
_PARAMETER: Final = re.compile(r"\\\{\w+\\\}")
_PATTERNS: Final = tuple((re.compile(_PARAMETER.sub("[^/]+", re.escape(route.path))), route) for route in ROUTES)


class Caller(BaseModel):
    """Who is asking, as the authorizer found in a verified token and told API Gateway.

    Attributes
    ----------
    subject : str
    role : Role
    client_id : str or None
        None is the platform itself, and an admin.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    subject: str = Field(validation_alias=AliasChoices("subject", "principalId"), min_length=1)
    role: Role
    client_id: Annotated[ClientIdentifier | None, BeforeValidator(lambda text: text or None)]

    @property
    def scope(self) -> Scope:
        """What they may touch."""
        return Scope(self.client_id)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes
    ----------
    method : str
    path : str
        Below the stage, still percent-encoded, as a REST API hands it on.
    instance : str
        The path as the caller wrote it.
    request_id : str
        API Gateway's.
    headers : mapping of str to str
        By their names in lower case.
    """

    method: str
    path: str
    instance: str
    request_id: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Request":
        """Read a REST API's proxy event."""
        context = event["requestContext"]
        path = _STAGE_PREFIX.sub("", event["path"]).rstrip("/") or "/"
        return cls(
            method=event["httpMethod"],
            # Characters that no path has as they are; what is encoded stays as it is.
            path=quote(path, safe="/%:@!$&'()*+,;=~"),
            instance=context.get("path") or event["path"],
            request_id=context.get("requestId", ""),
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        )


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be answered.

    Attributes
    ----------
    route : Route
    caller : Caller or None
        None on a route that is open to everybody.
    event : dict
        What came, with the path below the stage and the body as text.
    """

    route: Route
    caller: Caller | None
    event: dict[str, Any]

    @property
    def noun(self) -> str:
        """What the path's parameter is the id of."""
        return _NOUNS[self.route.path.split("/")[1]]


def admit(request: Request, event: Mapping[str, Any]) -> Admitted:
    """Return what was asked for, by whom.

    Raises
    ------
    ProblemError
        There is no such route, the caller may not use it, or the body cannot be read.
    """
    route = _route(request)
    caller = None if route.role is None else _caller(event, route)
    admitted = {**event, "path": request.path}
    if route.method == "POST":
        body = _body(request, event, route)
        admitted |= {"body": body, "isBase64Encoded": False, "headers": {**request.headers, "content-type": _JSON}}
    return Admitted(route, caller, admitted)


def _route(request: Request) -> Route:
    found = {route.method: route for pattern, route in _PATTERNS if pattern.fullmatch(request.path)}
    if not found:
        raise ProblemError(ProblemType.NOT_FOUND, "There is no such path.")
    if request.method not in found:
        allowed = ", ".join(found)
        detail = f"The path has {allowed} alone."
        raise ProblemError(ProblemType.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
    return found[request.method]


def _caller(event: Mapping[str, Any], route: Route) -> Caller:
    """Return the caller; a header never tells who that is."""
    try:
        caller = Caller.model_validate(event["requestContext"].get("authorizer"))
    except ValidationError:
        caller = None
    if caller is None or (caller.client_id is None and caller.role is not Role.ADMIN):
        raise ProblemError(
            ProblemType.UNAUTHENTICATED, "The request has no token.", headers={"WWW-Authenticate": "Bearer"}
        )
    if not allows(caller.role, route):
        raise ProblemError(ProblemType.FORBIDDEN, f"It takes the role {route.role}; the token has {caller.role}.")
    return caller


def _body(request: Request, event: Mapping[str, Any], route: Route) -> str:
    media_type = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if media_type != _JSON:
        raise ProblemError(ProblemType.UNSUPPORTED, f"The Content-Type must be {_JSON}.")
    body: str = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            body = b64decode(body, validate=True).decode()
        except ValueError:
            raise ProblemError(ProblemType.MALFORMED, "The body is not UTF-8 text.") from None
    limit = _MAX_BYTES.get(route.path, MAX_BODY_BYTES)
    if len(body.encode(errors="surrogatepass")) > limit:
        raise ProblemError(ProblemType.TOO_LARGE, f"The body may have {limit:,} bytes.")
    if not body.strip():
        raise ProblemError(ProblemType.MALFORMED, "The request has no body.")
    return body
