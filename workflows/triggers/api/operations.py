"""The API's routes but for those of performance: each reads its parameters, calls what does the work, and answers."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC
from http import HTTPStatus
from typing import Annotated, Any, Final

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.content_types import APPLICATION_JSON
from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import ValidationError, WrapValidator

from common.errors import Fault, InvalidRequestError
from common.json_text import canonical_json
from common.json_types import JsonObject
from common.models.books import BookEntityType, EntityKey, every_digit
from common.models.faults import faults
from common.models.fields import ahead_fault
from common.models.request import CalculationRequest
from common.ownership import Place, look_up
from workflows.triggers.api import openapi
from workflows.triggers.api.admission import STAGE
from workflows.triggers.api.calculations import report_execution, start_calculation
from workflows.triggers.api.context import caller_of, services_of
from workflows.triggers.api.models import (
    ExecutionName,
    ExecutionReport,
    ExecutionStarted,
    Health,
    IdempotencyKey,
    TransactionsAccepted,
    TransactionsRequest,
)
from workflows.triggers.api.performance import PLURALS, add_performance
from workflows.triggers.api.problems import ProblemType, missing

_WITH_BODY: Final = (
    *openapi.ALWAYS,
    ProblemType.MALFORMED,
    ProblemType.TOO_LARGE,
    ProblemType.UNSUPPORTED,
    ProblemType.INVALID,
)


def add_routes(app: APIGatewayRestResolver) -> None:
    """Add every route of `ROUTES`."""
    _add_calculations(app)
    for entity_type in PLURALS:
        add_performance(app, entity_type)
    _add_transactions(app)
    _add_service(app)


def _add_calculations(app: APIGatewayRestResolver) -> None:
    def read(document: JsonObject, _: object) -> CalculationRequest:
        client_id = caller_of(app).client_id
        if client_id is None:
            return CalculationRequest.parse(document)
        if document.get("client_id") is None:
            document = {**document, "client_id": client_id}
        request = CalculationRequest.parse(document)
        if request.client_id != client_id:
            raise missing([Fault("$.client_id", f"there is no client {request.client_id}")])
        return request

    @app.post(
        "/calculate",
        status_code=HTTPStatus.ACCEPTED,
        operation_id="startCalculation",
        summary="Start a calculation",
        description=(
            "Calculates portfolios given with their data, or entities of the books by their ids; a client's request "
            "that names nothing is for all of its portfolios. What the request names has to be the client's.\n\n"
            "With an `Idempotency-Key` the same request is the same execution, and another one is refused. Without, "
            "the same request is the same execution for as long as that runs."
        ),
        tags=[openapi.CALCULATIONS],
        security=openapi.SECURITY,
        responses={
            202: {
                "description": "It was started, or is running already",
                "headers": {
                    "Location": {"description": "the execution", "schema": {"type": "string"}},
                    "Idempotent-Replayed": {
                        "description": "true where an earlier request with this key had started it",
                        "schema": {"type": "string", "enum": ["true"]},
                    },
                },
            },
            **openapi.described(*_WITH_BODY, ProblemType.CONFLICT),
        },
    )
    def calculate(
        request: Annotated[CalculationRequest, WrapValidator(read), Body(openapi_examples=_CALCULATE_EXAMPLES)],
        key: IdempotencyKey = None,
    ) -> Response[ExecutionStarted]:
        execution, replayed = start_calculation(request, key, services_of(app))
        return Response(
            HTTPStatus.ACCEPTED,
            APPLICATION_JSON,
            ExecutionStarted(execution_id=execution.name, status=execution.status, started_at=execution.started_at),
            headers={
                "Location": f"{STAGE}/executions/{execution.name}",
                **({"Idempotent-Replayed": "true"} if replayed else {}),
            },
        )

    @app.get(
        "/executions/<execution_id>",
        operation_id="getExecution",
        summary="Read an execution",
        description="What an execution has come to: a summary where it succeeded, the reason where it failed.",
        tags=[openapi.CALCULATIONS],
        security=openapi.SECURITY,
        responses={200: {"description": "The execution as it is now"}, **openapi.described(*openapi.ALWAYS)},
    )
    def execution(execution_id: ExecutionName) -> ExecutionReport:
        return report_execution(execution_id, caller_of(app).scope, services_of(app))


def _add_transactions(app: APIGatewayRestResolver) -> None:
    def read(_: JsonObject, validate: Callable[[Any], TransactionsRequest]) -> TransactionsRequest:
        # Once more, now with every digit of its numbers.
        document = json.loads(app.current_event.body or "", parse_float=every_digit)
        try:
            request = validate(document)
        except ValidationError as error:
            raise InvalidRequestError(faults(error)) from None
        names = Counter((each.portfolio_id, each.transaction_id) for each in request.transactions)
        twice = [
            Fault(f"$.transactions[{index}].transaction_id", f"{each.transaction_id} stands twice")
            for index, each in enumerate(request.transactions)
            if names[each.portfolio_id, each.transaction_id] > 1
        ]
        today = services_of(app).clock().astimezone(UTC).date()
        ahead = [
            Fault(f"$.transactions[{index}].trade_date", message)
            for index, each in enumerate(request.transactions)
            if (message := ahead_fault(each.trade_date, today))
        ]
        if twice or ahead:
            raise InvalidRequestError([*twice, *ahead])
        return request

    @app.post(
        "/transactions",
        status_code=HTTPStatus.ACCEPTED,
        operation_id="sendTransactions",
        summary="Enter transactions",
        description=(
            "Hands transactions to the queue that enters them into the books, each once by its id: to send one again "
            "does no harm. After 503 some may have been handed over; send all of them again."
        ),
        tags=[openapi.TRANSACTIONS],
        security=openapi.SECURITY,
        responses={202: {"description": "They are in the queue"}, **openapi.described(*_WITH_BODY)},
    )
    def transactions(
        request: Annotated[TransactionsRequest, WrapValidator(read), Body(openapi_examples=_TRANSACTIONS_EXAMPLES)],
    ) -> TransactionsAccepted:
        caller, services = caller_of(app), services_of(app)
        found = list(enumerate(request.transactions))
        portfolios = [
            Place(f"$.transactions[{index}].portfolio_id", EntityKey(BookEntityType.PORTFOLIO, each.portfolio_id))
            for index, each in found
        ]
        securities = [
            Place(f"$.transactions[{index}].security_id", EntityKey(BookEntityType.SECURITY, each.security_id))
            for index, each in found
            if each.security_id is not None
        ]
        _, not_owned = look_up(portfolios, services.books, caller.scope.owns)
        _, not_seen = look_up(securities, services.books, caller.scope.sees)
        if not_owned or not_seen:
            raise missing([*not_owned, *not_seen])
        sender = {} if caller.client_id is None else {"client_id": caller.client_id}
        services.transactions.send(
            [
                canonical_json({**sender, "transaction": each.model_dump(mode="json", exclude_none=True)})
                for each in request.transactions
            ]
        )
        ids = [each.transaction_id for each in request.transactions]
        return TransactionsAccepted(accepted=len(ids), transaction_ids=ids)


def _add_service(app: APIGatewayRestResolver) -> None:
    @app.get(
        "/health",
        operation_id="getHealth",
        summary="See whether the API answers",
        description="Needs no token, and asks no store.",
        tags=[openapi.SERVICE],
        responses={200: {"description": "It does"}, **openapi.described(ProblemType.INTERNAL)},
    )
    def health() -> Health:
        return Health(status="ok", version=openapi.VERSION)

    @app.get(
        "/openapi.json",
        operation_id="getOpenApiDocument",
        summary="Read this document",
        description="Needs no token.",
        tags=[openapi.SERVICE],
        responses={200: {"description": "The OpenAPI document"}, **openapi.described(ProblemType.INTERNAL)},
    )
    def openapi_document() -> dict[str, Any]:
        return openapi.document(app)


_CALCULATE_EXAMPLES: Final[Any] = {
    "books": {
        "summary": "Portfolios of the books, by their ids",
        "value": {"entity_ids": ["p-17", "p-18"], "as_of_date": "2023-06-30", "time_periods": ["YTD", "1Y", "ITD"]},
    },
    "inline": {
        "summary": "A portfolio with its data",
        "value": {
            "time_periods": ["MTD", "ITD"],
            "portfolios": [
                {
                    "portfolio_id": "p-17",
                    "valuations": [
                        {"date": "2023-05-31", "value": 10000.0},
                        {"date": "2023-06-30", "value": 11166.4},
                    ],
                    "cash_flows": [{"date": "2023-06-09", "amount": 1000.0}],
                }
            ],
        },
    },
}
_TRANSACTIONS_EXAMPLES: Final[Any] = {
    "buy": {
        "summary": "A deposit, and what was bought with it",
        "value": {
            "transactions": [
                {
                    "transaction_id": "t-1",
                    "portfolio_id": "p-17",
                    "type": "deposit",
                    "trade_date": "2023-06-30",
                    "amount": "10000.00",
                },
                {
                    "transaction_id": "t-2",
                    "portfolio_id": "p-17",
                    "type": "buy",
                    "trade_date": "2023-06-30",
                    "security_id": "AAPL",
                    "quantity": "51.5",
                    "amount": "9990.25",
                },
            ]
        },
    }
}
