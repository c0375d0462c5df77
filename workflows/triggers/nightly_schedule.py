"""NightlySchedule: one fleet run over everything in the books, for the last business day before the schedule's date."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from common.config import CalendarSettings, FleetSettings
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.models.limits import MAX_CONCURRENCY, MAX_CONCURRENT_BATCHES, MAX_PORTFOLIOS
from common.observability import logger
from common.stores.botocore_errors import typed_errors
from workflows.business_days import previous_business_day
from workflows.executions import ExecutionClient, execution_client

REQUEST_ID = "nightly"
"""Of every nightly result: a later calculation of the same date takes the place of the earlier one everywhere."""


class RunOptions(BaseModel):
    """How a night's run is cut; a request's own defaults where nothing is said."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    batch_size: int | None = Field(None, ge=1, le=MAX_PORTFOLIOS)
    max_concurrent_batches: int | None = Field(None, ge=1, le=MAX_CONCURRENT_BATCHES)
    max_concurrency: int | None = Field(None, ge=1, le=MAX_CONCURRENCY)


class ScheduledEvent(RunOptions):
    """What EventBridge says: the time it was meant for, which is the same when it says it again."""

    time: AwareDatetime
    entity_types: tuple[EntityType, ...] = Field((EntityType.PORTFOLIO,), min_length=1)


def start_night(event: ScheduledEvent, executions: ExecutionClient, calendar: CalendarSettings) -> JsonObject:
    """Start the fleet run of the night that `event` stands for, unless it runs or has succeeded.

    Returns
    -------
    dict
        `as_of_date`, `execution`, and whether it was `started`; the name of one that is started after another had
        failed ends in a number more.

    Raises
    ------
    ThrottledError, TransientError
        The same event again starts it.
    """
    scheduled = event.time.astimezone(ZoneInfo(calendar.time_zone)).date()
    as_of = previous_business_day(scheduled, calendar.calendar).isoformat()
    types = sorted({each.value for each in event.entity_types})
    options = event.model_dump(include=set(RunOptions.model_fields), exclude_none=True)
    request = {"request_id": REQUEST_ID, "as_of_date": as_of, "entity_types": types, **options}
    with typed_errors("Step Functions"):
        # Whatever the books had when it was started: a night is calculated once.
        execution, started = executions.start_unless_done("-".join(["nightly", as_of, *types]), request)
    return {"as_of_date": as_of, "execution": execution.name, "started": started}


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    executions: ExecutionClient | None = None,
    calendar: CalendarSettings | None = None,
) -> JsonObject:
    """Run `start_night` as a Lambda function on an event of EventBridge."""
    report = start_night(
        ScheduledEvent.model_validate(event),
        executions or execution_client(FleetSettings.from_env()),
        calendar or CalendarSettings.from_env(),
    )
    logger().info("NightlySchedule", extra=report)
    return report
