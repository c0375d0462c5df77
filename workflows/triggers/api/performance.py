"""The API's routes of performance: the stored result of a date, and the history of a metric."""

import hashlib
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.content_types import APPLICATION_JSON

from common.errors import Fault
from common.json_text import canonical_json
from common.json_types import JsonObject
from common.models.books import BookEntityType, EntityKey
from common.models.kinds import EntityType
from workflows.periods import only_periods
from workflows.triggers.api import openapi
from workflows.triggers.api.admission import STAGE
from workflows.triggers.api.context import caller_of, services_of
from workflows.triggers.api.history import (
    DEFAULT_POINTS,
    HistoryQuery,
    decode_position,
    encode_position,
    metric_history,
)
from workflows.triggers.api.models import (
    AsOf,
    EntityId,
    FromDay,
    HistoryEntity,
    HistoryPoint,
    Limit,
    MetricHistory,
    MetricName,
    NextToken,
    OnePeriod,
    PeriodLabel,
    StoredPerformance,
    ToDay,
)
from workflows.triggers.api.problems import ProblemError, ProblemType, invalid, no_such

PLURALS: Final = {
    EntityType.PORTFOLIO: "portfolios",
    EntityType.ACCOUNT: "accounts",
    EntityType.SECURITY: "securities",
}
"""What a path calls the entities of a type."""


def add_performance(app: APIGatewayRestResolver, entity_type: EntityType) -> None:
    """Add the routes of what entities of a type have done."""
    path = f"/{PLURALS[entity_type]}/<entity_id>/performance"
    name = entity_type.value.capitalize()

    @app.get(
        path,
        operation_id=f"get{name}Performance",
        summary=f"Read the performance of {_a(entity_type)}",
        description="The stored result on a day, or the last before it: `calculation_date` says which day it is of.",
        tags=[openapi.PERFORMANCE],
        security=openapi.SECURITY,
        responses={
            200: {
                "description": "The row as it is stored",
                "headers": {"ETag": {"description": "for If-None-Match", "schema": {"type": "string"}}},
            },
            304: {"description": "It is what If-None-Match names", "content": {}},
            **openapi.described(*openapi.ALWAYS, ProblemType.INVALID),
        },
    )
    def performance(entity_id: EntityId, as_of: AsOf = None, period: OnePeriod = None) -> Response[StoredPerformance]:
        _refuse_unseen(app, entity_type, entity_id)
        row = services_of(app).results.latest(entity_type, entity_id, as_of=as_of)
        if row is None:
            until = f" on or before {as_of.isoformat()}" if as_of else ""
            raise ProblemError(ProblemType.NOT_FOUND, f"The {entity_type} has no performance{until}.")
        if period is not None:
            row = _of_period(row, period)
        return Response(
            HTTPStatus.OK,
            APPLICATION_JSON,
            StoredPerformance.model_validate(row),
            headers={"ETag": _tag(row), "Cache-Control": "private, no-cache", "Vary": "Authorization"},
        )

    @app.get(
        f"{path}/history",
        operation_id=f"get{name}PerformanceHistory",
        summary=f"Read the history of a metric of {_a(entity_type)}",
        description=(
            "One metric of one period on every date it was calculated for, oldest first. A date on which it is "
            "undefined is left out: the performance of that date says why."
        ),
        tags=[openapi.PERFORMANCE],
        security=openapi.SECURITY,
        responses={
            200: {
                "description": "A page of it",
                "headers": {"Link": {"description": 'the next page, rel="next"', "schema": {"type": "string"}}},
            },
            **openapi.described(*openapi.ALWAYS, ProblemType.MALFORMED, ProblemType.INVALID),
        },
    )
    def history(
        entity_id: EntityId,
        metric: MetricName,
        period: PeriodLabel = "ITD",
        start: FromDay = None,
        end: ToDay = None,
        limit: Limit = DEFAULT_POINTS,
        next_token: NextToken = None,
    ) -> Response[MetricHistory]:
        if start and end and start > end:
            raise invalid([Fault("query.from", "must not be later than to")])
        position = None if next_token is None else decode_position(next_token)
        first = max((day for day in (start, position) if day), default=None)
        _refuse_unseen(app, entity_type, entity_id)
        services = services_of(app)
        query = HistoryQuery(entity_type, entity_id, metric, period, first, end, limit)
        page = metric_history(query, services.results, services.time_series)
        token = None if page.last is None else encode_position(page.last)
        given = {"metric": metric.value, "period": period, "from": start, "to": end, "limit": limit}
        parameters = {key: value for key, value in {**given, "next_token": token}.items() if value is not None}
        address = f"{STAGE}/{PLURALS[entity_type]}/{quote(entity_id, safe='')}/performance/history"
        return Response(
            HTTPStatus.OK,
            APPLICATION_JSON,
            MetricHistory(
                entity=HistoryEntity(entity_type=entity_type, entity_id=entity_id),
                metric=metric,
                period=period,
                points=[HistoryPoint(date=day, value=value) for day, value in page.points],
                next_token=token,
                source=page.source,
            ),
            headers={"Link": f'<{address}?{urlencode(parameters)}>; rel="next"'} if token else {},
        )


def _refuse_unseen(app: APIGatewayRestResolver, entity_type: EntityType, entity_id: str) -> None:
    """Refuse what the caller may not see; the platform sees results of what is not in the books too."""
    scope = caller_of(app).scope
    key = EntityKey(BookEntityType(entity_type), entity_id)
    stored = services_of(app).books.entities([key]).get(key)
    if not scope.sees(stored.entity) if stored else scope.client_id is not None:
        raise no_such(entity_type)


def _of_period(row: JsonObject, period: str) -> JsonObject:
    """Return a row with one of its periods, which is its first then."""
    if period not in row["periods"]:
        known = ", ".join(row["periods"])
        raise ProblemError(ProblemType.NOT_FOUND, f"The row of {row['calculation_date']} has the periods {known}.")
    return only_periods(row, [period])


def _tag(row: JsonObject) -> str:
    """Return what changes whenever the row does.

    Not its version: a straggler of an earlier execution adds periods and leaves that. Weak, since API Gateway may
    compress the answer.
    """
    return f'W/"{hashlib.sha256(canonical_json(row).encode()).hexdigest()[:32]}"'


def _a(entity_type: EntityType) -> str:
    return f"{'an' if entity_type is EntityType.ACCOUNT else 'a'} {entity_type}"
