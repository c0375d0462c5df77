"""What API Gateway answers by itself, without the function or in place of it: problems, like the function's.

A gateway response has a status, headers and a template, into which variables of `$context` are put and nothing more:
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gatewayResponse-definition.html
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from workflows.triggers.api.problems import MEDIA_TYPE, THROTTLED_SECONDS, UNAVAILABLE_SECONDS, Problem, ProblemType

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=63072000",
    "Cache-Control": "no-store",
}
"""Of every answer, the function's too where it does not say otherwise."""

PATH: Final = "$context.path"
REQUEST_ID: Final = "$context.requestId"
DEFAULT_4XX, DEFAULT_5XX = "DEFAULT_4XX", "DEFAULT_5XX"
"""The response types of every refusal and every failure that has no response of its own."""


class CustomResponse(NamedTuple):
    """The answer of one response type.

    Attributes
    ----------
    status : int
    headers : mapping of str to str
        Fixed values; the content type is among them, as API Gateway knows no template but of `application/json`.
    template : str
        The body, with `PATH` and `REQUEST_ID` in it.
    """

    status: int
    headers: Mapping[str, str]
    template: str


def _problem(kind: ProblemType, detail: str, **headers: str) -> CustomResponse:
    problem = Problem(
        type=kind.uri,
        title=kind.title,
        status=kind.status,
        detail=detail,
        instance=PATH,
        request_id=REQUEST_ID,
        errors=None,
    )
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    template = problem.model_dump_json(exclude_none=True)
    return CustomResponse(kind.status, {"Content-Type": MEDIA_TYPE, **SECURITY_HEADERS, **named}, template)


_THROTTLED: Final = _problem(
    ProblemType.THROTTLED, "The API takes no more requests at the moment.", Retry_After=str(THROTTLED_SECONDS)
)
_UNAVAILABLE: Final = _problem(
    ProblemType.UNAVAILABLE, "The API did not answer in time.", Retry_After=str(UNAVAILABLE_SECONDS)
)

GATEWAY_RESPONSES: Final[Mapping[str, CustomResponse]] = {
    "UNAUTHORIZED": _problem(
        ProblemType.UNAUTHENTICATED, "The request has no token, or one that is not accepted.", WWW_Authenticate="Bearer"
    ),
    "ACCESS_DENIED": _problem(ProblemType.FORBIDDEN, "It takes a role that the token does not have."),
    # What API Gateway says where a path or its method is not there.
    "MISSING_AUTHENTICATION_TOKEN": _problem(ProblemType.NOT_FOUND, "There is no such path, or no such method of it."),
    "RESOURCE_NOT_FOUND": _problem(ProblemType.NOT_FOUND, "There is no such path, or no such method of it."),
    "REQUEST_TOO_LARGE": _problem(ProblemType.TOO_LARGE, "The request is larger than the API takes."),
    "THROTTLED": _THROTTLED,
    "QUOTA_EXCEEDED": _THROTTLED,
    "INTEGRATION_FAILURE": _UNAVAILABLE,
    "INTEGRATION_TIMEOUT": _UNAVAILABLE,
    DEFAULT_4XX: _problem(ProblemType.MALFORMED, "The API could not take the request."),
    DEFAULT_5XX: _problem(ProblemType.INTERNAL, "The log knows more, by the request_id."),
}
"""By their response types, of which API Gateway has some more."""
