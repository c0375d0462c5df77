"""What a route finds of the request under way."""

from collections.abc import Callable

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from workflows.triggers.api.admission import Admitted, Caller, Request
from workflows.triggers.api.services import ApiServices


def enter(
    app: APIGatewayRestResolver, request: Request, admitted: Admitted, services: Callable[[], ApiServices]
) -> None:
    """Put a request into the context, which lasts until it is answered."""
    app.context.update(request=request, admitted=admitted, services=services)


def request_of(app: APIGatewayRestResolver) -> Request:
    """Return the request as it came."""
    request: Request = app.context["request"]
    return request


def admitted_of(app: APIGatewayRestResolver) -> Admitted:
    """Return what was asked for, by whom."""
    admitted: Admitted = app.context["admitted"]
    return admitted


def caller_of(app: APIGatewayRestResolver) -> Caller:
    """Return the caller, on a route that needs a token."""
    caller = admitted_of(app).caller
    assert caller is not None
    return caller


def services_of(app: APIGatewayRestResolver) -> ApiServices:
    """Return what the API works with; a route that asks no store does without."""
    services: Callable[[], ApiServices] = app.context["services"]
    return services()
