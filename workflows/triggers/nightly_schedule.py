"""NightlySchedule: everything of all clients, for the last business day before the schedule's date."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from common.config import BooksSettings, CalendarSettings, ExecutionSettings
from common.models.books import BookEntityType
from common.models.limits import MAX_CONCURRENCY, MAX_PORTFOLIOS
from common.models.results import EntityType
from common.observability import logger
from common.stores.botocore_errors import typed_errors
from common.stores.dynamodb_books import book_store
from common.stores.ports import Books, JsonObject
from workflows.business_days import previous_business_day
from workflows.executions import ExecutionClient, execution_client

REQUEST_ID = "nightly"
"""Of every nightly result: a later calculation of the same date takes the place of the earlier one everywhere."""

_NOT_IN_A_NAME = re.compile(r"[^0-9A-Za-z_-]+")
_SLUG_CHARACTERS = 24
_HASH_DIGITS = 8


class ScheduledEvent(BaseModel):
    """What EventBridge says: the time it was meant for, which is the same when it says it again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    time: AwareDatetime
    entity_types: tuple[EntityType, ...] = Field((EntityType.PORTFOLIO,), min_length=1)


class Part(NamedTuple):
    """One execution of a night."""

    name: str
    request: JsonObject


def parts_of(books: Books, entity_types: Sequence[EntityType], as_of: date) -> Iterator[Part]:
    """Yield the executions of a night: a client's entities of one type, as many as an execution takes.

    Their names say which part of which night they are, so that a night that is begun again goes on where it ended.
    """
    for entity_type in entity_types:
        ids: dict[str, list[str]] = defaultdict(list)
        for stored in books.all_entities(BookEntityType(entity_type)):
            if stored.entity.client_id is not None:
                ids[stored.entity.client_id].append(stored.entity.entity_id)
        for client_id in sorted(ids):
            entity_ids = sorted(ids[client_id])
            for first in range(0, len(entity_ids), MAX_PORTFOLIOS):
                yield Part(
                    _name(as_of, entity_type, client_id, first // MAX_PORTFOLIOS),
                    {
                        "request_id": REQUEST_ID,
                        "as_of_date": as_of.isoformat(),
                        "client_id": client_id,
                        "entity_type": entity_type.value,
                        "entity_ids": entity_ids[first : first + MAX_PORTFOLIOS],
                        "max_concurrency": MAX_CONCURRENCY,
                    },
                )


def start_night(
    event: ScheduledEvent, books: Books, executions: ExecutionClient, calendar: CalendarSettings
) -> JsonObject:
    """Start the executions of the night that `event` stands for, those that neither run nor have succeeded.

    Returns
    -------
    dict
        `as_of_date`, and the names of the executions under `started` and `already_started`; the name of one that is
        started after another had failed ends in a number more.

    Raises
    ------
    ThrottledError, TransientError
        Some are not started; the same event again starts the rest.
    """
    scheduled = event.time.astimezone(ZoneInfo(calendar.time_zone)).date()
    as_of = previous_business_day(scheduled, calendar.calendar)
    started: list[str] = []
    already: list[str] = []
    for part in parts_of(books, event.entity_types, as_of):
        with typed_errors("Step Functions"):
            # Whatever portfolios the client had when it was started: a night is calculated once.
            execution, new = executions.start_unless_done(part.name, part.request)
        (started if new else already).append(execution.name)
    return {"as_of_date": as_of.isoformat(), "started": started, "already_started": already}


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    books: Books | None = None,
    executions: ExecutionClient | None = None,
    calendar: CalendarSettings | None = None,
) -> JsonObject:
    """Run `start_night` as a Lambda function on an event of EventBridge."""
    report = start_night(
        ScheduledEvent.model_validate(event),
        books or book_store(BooksSettings.from_env()),
        executions or execution_client(ExecutionSettings.from_env()),
        calendar or CalendarSettings.from_env(),
    )
    counts = {name: len(report[name]) for name in ("started", "already_started")}
    logger().info("NightlySchedule", extra={"as_of_date": report["as_of_date"], **counts})
    return report


def _name(as_of: date, entity_type: EntityType, client_id: str, number: int) -> str:
    slug = _NOT_IN_A_NAME.sub("-", client_id)[:_SLUG_CHARACTERS]
    digest = hashlib.sha256(f"{entity_type}#{client_id}".encode()).hexdigest()[:_HASH_DIGITS]
    return f"nightly-{as_of.isoformat()}-{slug}-{digest}-{number + 1}"
