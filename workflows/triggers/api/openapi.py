"""The API's OpenAPI document: `python -m workflows.triggers.api.openapi > docs/openapi.json`."""

import json
import sys
from typing import Any, Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse

from workflows.triggers.api.admission import STAGE
from workflows.triggers.api.problems import MEDIA_TYPE, Problem, ProblemType

VERSION: Final = "0.1.0"
_SECURITY_SCHEME: Final = "token"
SECURITY: Final[list[dict[str, list[str]]]] = [{_SECURITY_SCHEME: []}]
"""Of every operation that needs a token."""

_P = ProblemType
ALWAYS: Final = (_P.UNAUTHENTICATED, _P.FORBIDDEN, _P.NOT_FOUND, _P.THROTTLED, _P.INTERNAL, _P.UNAVAILABLE)
"""What can go wrong with any operation that needs a token."""

CALCULATIONS, PERFORMANCE, TRANSACTIONS, SERVICE = "Calculations", "Performance", "Transactions", "Service"
_TAGS: Final = {
    CALCULATIONS: "Start calculations, and see what became of them.",
    PERFORMANCE: "Results that are stored.",
    TRANSACTIONS: "What was done with a portfolio.",
    SERVICE: "About the API itself.",
}
_DESCRIPTION: Final = """\
Time-weighted and money-weighted returns and risk of portfolios, accounts and securities.

A token is of one client, and what is another client's is answered like what is not there. Rates and returns are shares:
0.02 is 2 %. A metric that is undefined is null, and the reason stands beside it.

Every answer that is no success is a problem, RFC 9457, as `application/problem+json`.\
"""
_HEADERS: Final = {
    _P.UNAUTHENTICATED: ("WWW-Authenticate", "Bearer"),
    _P.THROTTLED: ("Retry-After", "seconds to wait"),
    _P.UNAVAILABLE: ("Retry-After", "seconds to wait"),
}
# Made by Powertools for answers that are never given.
_NOT_OURS: Final = ("HTTPValidationError", "ResponseValidationError", "ValidationError")


def _configure(app: APIGatewayRestResolver) -> None:
    """Tell the routes what their document says besides them."""
    # A third of all that the function would import, and no other request needs it.
    from aws_lambda_powertools.event_handler.openapi.models import (  # noqa: PLC0415 - as above
        HTTPBearer,
        License,
        Server,
        Tag,
    )

    app.configure_openapi(
        title="Performance Calculator",
        version=VERSION,
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        tags=[Tag(name=name, description=text) for name, text in _TAGS.items()],
        servers=[Server(url=STAGE, description="the stage")],
        license_info=License(name="Apache-2.0", identifier="Apache-2.0"),
        security_schemes={
            _SECURITY_SCHEME: HTTPBearer(
                bearerFormat="JWT",
                description="HS256; with `sub`, `role` (reader, operator or admin) and, but for an admin, `client_id`",
            )
        },
    )


def described(*kinds: ProblemType) -> dict[int, OpenAPIResponse]:
    """Return the answers of an operation that are problems."""
    found: dict[int, OpenAPIResponse] = {}
    for kind in kinds:
        answer: OpenAPIResponse = {"description": kind.title, "content": {MEDIA_TYPE: {"model": Problem}}}
        if kind in _HEADERS:
            name, description = _HEADERS[kind]
            answer["headers"] = {name: {"description": description, "schema": {"type": "string"}}}
        found[kind.status.value] = answer
    return found


def document(app: APIGatewayRestResolver) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the routes."""
    _configure(app)
    found: dict[str, Any] = json.loads(app.get_openapi_json_schema())
    for name in _NOT_OURS:
        found["components"]["schemas"].pop(name, None)
    for path in found["paths"].values():
        for operation in path.values():
            answers = operation["responses"]
            # In place of Powertools' own, of an answer that is not as it should be.
            answers[str(ProblemType.INTERNAL.status.value)] = {
                "description": ProblemType.INTERNAL.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
            }
            operation["responses"] = {
                status: answers[status]
                for status in sorted(answers)
                if status < "400" or MEDIA_TYPE in answers[status]["content"]
            }
    found["paths"] = {path: found["paths"][path] for path in sorted(found["paths"])}
    return found


def main() -> None:
    """Print the document."""
    from workflows.triggers.api.handler import resolver  # noqa: PLC0415 - whose routes serve this document themselves

    json.dump(document(resolver()), sys.stdout, indent=2, sort_keys=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
