"""Api: the function behind API Gateway, a REST API with Lambda proxy integrations.

It trusts what the authorizer found in the token, and nothing else that says who is asking. What is not the caller's is
answered like what is not there.
"""

import json
import threading
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final, NoReturn

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from common.errors import Fault, InvalidRequestError, TransientError
from common.models.faults import json_path, told
from common.observability import logger
from workflows.triggers.api.admission import STAGE, Admitted, Request, admit
from workflows.triggers.api.context import admitted_of, enter, request_of
from workflows.triggers.api.gateway_responses import SECURITY_HEADERS
from workflows.triggers.api.operations import add_routes
from workflows.triggers.api.problems import MEDIA_TYPE, ProblemError, ProblemType, invalid, no_such, problem_of
from workflows.triggers.api.services import ApiServices, services

_HEADERS: Final = {**SECURITY_HEADERS, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
"""Of every answer that does not say otherwise."""

# Powertools keeps the event in a class, so a process answers one at a time, as a sandbox of Lambda does.
_one_at_a_time: Final = threading.Lock()


def handler(event: Mapping[str, Any], context: object, *, services: ApiServices | None = None) -> dict[str, Any]:
    """Answer one request of a REST API.

    Parameters
    ----------
    event
        The proxy event of a REST API, format 1.0, with what the authorizer returned as its context.
    context
        Not used.
    services
        What it works with; made from the settings, when a route first needs it, if None.

    Returns
    -------
    dict
        The proxy answer. What went wrong is `application/problem+json`.
    """
    request = Request.of(event)
    admitted: Admitted | None = None
    answer: dict[str, Any]
    try:
        admitted = admit(request, event)
    except ProblemError as problem:
        answer = {
            "statusCode": problem.kind.status.value,
            "body": problem.document(request.instance, request.request_id),
            "isBase64Encoded": False,
            "multiValueHeaders": {
                "Content-Type": [MEDIA_TYPE],
                **{name: [value] for name, value in problem.headers.items()},
            },
        }
    else:
        with _one_at_a_time:
            app = resolver()
            enter(app, request, admitted, _kept if services is None else lambda: services)
            answer = app.resolve(admitted.event, context)  # type: ignore[arg-type]  # any context will do
    _log(request, admitted, answer["statusCode"])
    return {
        **answer,
        "multiValueHeaders": {**{name: [value] for name, value in _HEADERS.items()}, **answer["multiValueHeaders"]},
    }


def _kept() -> ApiServices:
    return services()  # which a parameter of the handler hides


@cache
def resolver() -> APIGatewayRestResolver:
    """Return the routes, made when the first request comes."""
    app = APIGatewayRestResolver(
        enable_validation=True,
        strip_prefixes=[STAGE],
        serializer=partial(json.dumps, separators=(",", ":"), allow_nan=False),
        json_body_deserializer=parse_object,
        # So that an answer that is not as the document says is a fault of ours, not of the request.
        response_validation_error_http_code=500,
        debug=False,
    )
    add_routes(app)
    app.use([_answer_unchanged])
    app.exception_handler(Exception)(partial(_answer_error, app))
    return app


def _answer_error(app: APIGatewayRestResolver, error: Exception) -> Response[str]:
    if isinstance(error, RequestValidationError):
        error = _refused(error, admitted_of(app))
    problem, request = problem_of(error), request_of(app)
    if problem.kind is ProblemType.INTERNAL:
        logger().error("Api failed", exc_info=error, extra={"api_request_id": request.request_id})
    elif isinstance(error, TransientError):
        logger().warning("Api refused", extra={"api_request_id": request.request_id, "reason": str(error)})
    body = problem.document(request.instance, request.request_id)
    return Response(problem.kind.status.value, MEDIA_TYPE, body, headers=problem.headers)


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises
    ------
    ProblemError
        It is no JSON.
    InvalidRequestError
        It is no object.
    """
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "a number or the nesting is beyond it"
        raise ProblemError(ProblemType.MALFORMED, f"The body is not JSON: {reason}.") from None
    if not isinstance(found, dict):
        raise InvalidRequestError([Fault("$", "must be an object")])
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def _refused(error: RequestValidationError, admitted: Admitted) -> ProblemError:
    """Return the answer to parameters that are not as the document says."""
    faults = error.errors()
    places = {fault["loc"][0] for fault in faults}
    if "path" in places:  # nothing can have such an id
        return no_such(admitted.noun)
    found = [Fault(_place(fault["loc"]), told(fault["type"], fault["msg"], fault.get("ctx", {}))) for fault in faults]
    if "header" in places:
        return ProblemError(ProblemType.MALFORMED, "A header cannot be read.", faults=found)
    return invalid(found)


def _place(location: tuple[int | str, ...]) -> str:
    return json_path(location[1:]) if location[0] == "body" else ".".join(map(str, location))


def _answer_unchanged(app: APIGatewayRestResolver, next_middleware: Any) -> Response[Any]:
    """Answer 304 where the caller has this very representation (RFC 9110, 13.1.2)."""
    response: Response[Any] = next_middleware(app)
    tag = response.headers.get("ETag")
    known = request_of(app).headers.get("if-none-match", "")
    # Weak comparison, 8.8.3.2; a tag of ours holds no comma.
    if tag is None or not {"*", str(tag).removeprefix("W/")} & {
        each.strip().removeprefix("W/") for each in known.split(",")
    }:
        return response
    headers = {name: value for name, value in response.headers.items() if name != "Content-Type"}
    return Response(304, body="", headers=headers)


def _log(request: Request, admitted: Admitted | None, status: int) -> None:
    caller = admitted.caller if admitted else None
    logger().info(
        "Api",
        extra={
            "api_request_id": request.request_id,
            "method": request.method,
            "route": admitted.route.path if admitted else None,
            "status": status,
            "subject": caller.subject if caller else None,
            "client_id": caller.client_id if caller else None,
        },
    )
