"""The night: which day it is for, what it starts, and that it does so once."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.config import CalendarSettings
from common.models.fleet import FleetRequest
from common.models.kinds import EntityType
from tests.executions import never_ending
from workflows.business_days import UnknownCalendarError, previous_business_day
from workflows.executions import ExecutionClient
from workflows.triggers import nightly_schedule

EVENT = json.loads((Path(__file__).parents[1] / "events" / "scheduler_nightly.json").read_bytes())


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    with never_ending(monkeypatch) as client:
        yield client


def night(executions: ExecutionClient, event: dict[str, Any] = EVENT, **settings: str) -> Any:
    calendar = CalendarSettings.from_env(settings)
    return nightly_schedule.handler(event, None, executions=executions, calendar=calendar)


def test_a_night_is_one_run_over_everything_in_the_books(executions: ExecutionClient) -> None:
    report = night(executions)
    assert report == {"as_of_date": "2024-04-01", "execution": "nightly-2024-04-01-portfolio", "started": True}
    request = executions.describe(report["execution"]).input
    assert FleetRequest.parse(request).types_of_the_books == [EntityType.PORTFOLIO]
    assert (request["request_id"], request["as_of_date"]) == ("nightly", "2024-04-01")


def test_the_same_event_again_starts_nothing(executions: ExecutionClient) -> None:
    first = night(executions)
    assert night(executions) == {**first, "started": False}
    assert len(list(executions.list())) == 1


def test_after_a_holiday_the_night_of_the_business_day_before_is_found_done(executions: ExecutionClient) -> None:
    # Good Friday of 2024: the events of Friday and of Saturday are both for Thursday.
    friday, saturday = ({"time": f"2024-03-{day}T06:00:00Z"} for day in (29, 30))
    first = night(executions, friday)
    assert (first["as_of_date"], first["started"]) == ("2024-03-28", True)
    assert night(executions, saturday) == {**first, "started": False}


def test_a_night_that_has_failed_is_started_again(executions: ExecutionClient) -> None:
    failed = night(executions)["execution"]
    executions.stop(failed)
    again = {"as_of_date": "2024-04-01", "execution": f"{failed}-2", "started": True}
    assert night(executions) == again
    assert night(executions) == {**again, "started": False}


def test_a_schedule_may_ask_for_accounts_too(executions: ExecutionClient) -> None:
    report = night(executions, {"time": EVENT["time"], "entity_types": ["portfolio", "account"]})
    assert report["execution"] == "nightly-2024-04-01-account-portfolio"
    assert executions.describe(report["execution"]).input["entity_types"] == ["account", "portfolio"]
    again = {"time": EVENT["time"], "entity_types": ["account", "portfolio", "account"]}
    assert night(executions, again) == {**report, "started": False}
    assert night(executions)["started"] is True


def test_a_schedule_may_say_how_the_run_is_cut(executions: ExecutionClient) -> None:
    cut = {"batch_size": 20, "max_concurrent_batches": 200, "max_concurrency": 2}
    report = night(executions, {"time": EVENT["time"], **cut})
    assert report["execution"] == "nightly-2024-04-01-portfolio"  # the same night, however it is cut
    request = executions.describe(report["execution"]).input
    assert {name: request[name] for name in cut} == cut
    FleetRequest.parse(request)
    with pytest.raises(ValidationError, match="batch_size"):
        night(executions, {"time": EVENT["time"], "batch_size": 501})


@pytest.mark.parametrize(
    ("time", "as_of"),
    [
        ("2024-04-02T05:30:00Z", "2024-04-01"),  # a Tuesday in New York
        ("2024-04-02T03:30:00Z", "2024-03-28"),  # still Monday there; before it Easter, Good Friday a holiday
        ("2024-04-01T10:00:00Z", "2024-03-28"),
        ("2024-03-10T06:59:59Z", "2024-03-08"),  # a minute before the clocks go forward, and after
        ("2024-03-10T07:00:00Z", "2024-03-08"),
        ("2024-11-04T04:30:00Z", "2024-11-01"),  # Sunday evening after they went back
        ("2024-01-02T08:00:00Z", "2023-12-29"),
    ],
)
def test_the_day_is_the_business_day_before_that_of_the_market(
    executions: ExecutionClient, time: str, as_of: str
) -> None:
    assert night(executions, {"time": time})["as_of_date"] == as_of


def test_without_a_calendar_weekends_alone_are_left_out(executions: ExecutionClient) -> None:
    event = {"time": "2024-04-01T10:00:00Z"}
    assert night(executions, event, BUSINESS_CALENDAR="")["as_of_date"] == "2024-03-29"


@pytest.mark.parametrize(("calendar", "expected"), [("DE", date(2024, 4, 30)), ("XECB", date(2024, 4, 30))])
def test_markets_and_countries_have_calendars(calendar: str, expected: date) -> None:
    assert previous_business_day(date(2024, 5, 2), calendar) == expected


def test_an_unknown_calendar_is_told() -> None:
    with pytest.raises(UnknownCalendarError, match="MARS is no market and no country"):
        previous_business_day(date(2024, 5, 2), "MARS")


@pytest.mark.parametrize(
    "event", [{}, {"time": "yesterday"}, {"time": "2024-04-01T10:00:00"}, {"time": EVENT["time"], "entity_types": []}]
)
def test_an_event_without_its_time_is_refused(executions: ExecutionClient, event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        night(executions, event)
