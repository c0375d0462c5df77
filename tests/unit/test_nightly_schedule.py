"""The night: which day it is for, what it starts, and that it does so once."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.config import CalendarSettings
from common.models.books import BookEntityType, Entity
from common.models.limits import MAX_PORTFOLIOS
from common.models.request import CalculationRequest
from common.stores.memory_books import InMemoryBooks
from tests.executions import never_ending
from workflows.business_days import UnknownCalendarError, previous_business_day
from workflows.executions import ExecutionClient
from workflows.triggers import nightly_schedule

EVENT = json.loads((Path(__file__).parents[1] / "events" / "scheduler_nightly.json").read_bytes())


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    with never_ending(monkeypatch) as client:
        yield client


def portfolio(name: str, client: str) -> Entity:
    return Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id=client)


def books(*entities: Entity) -> InMemoryBooks:
    made = InMemoryBooks()
    for each in entities:
        made.put_entity(each)
    return made


def night(made: InMemoryBooks, executions: ExecutionClient, event: dict[str, Any] = EVENT, **settings: str) -> Any:
    calendar = CalendarSettings.from_env(settings)
    return nightly_schedule.handler(event, None, books=made, executions=executions, calendar=calendar)


def test_every_client_s_portfolios_in_an_execution_of_its_own(executions: ExecutionClient) -> None:
    made = books(portfolio("b", "acme"), portfolio("a", "acme"), portfolio("c", "globex"))
    made.put_entity(Entity(entity_type=BookEntityType.ACCOUNT, entity_id="x", account_id="x", client_id="acme"))
    report = night(made, executions)
    assert report["as_of_date"] == "2024-04-01"
    inputs = [executions.describe(name).input for name in report["started"]]
    assert [each["entity_ids"] for each in inputs] == [["a", "b"], ["c"]]
    assert [each["client_id"] for each in inputs] == ["acme", "globex"]
    for each in inputs:
        CalculationRequest.parse(each)


def test_the_same_event_again_starts_nothing(executions: ExecutionClient) -> None:
    made = books(portfolio("a", "acme"), portfolio("c", "globex"))
    first = night(made, executions)
    again = night(made, executions)
    assert (again["started"], again["already_started"]) == ([], first["started"])
    assert len(list(executions.list())) == 2


def test_a_portfolio_that_came_since_does_not_start_the_night_anew(executions: ExecutionClient) -> None:
    made = books(portfolio("a", "acme"))
    first = night(made, executions)
    made.put_entity(portfolio("b", "acme"))
    assert night(made, executions)["already_started"] == first["started"]


def test_a_part_of_the_night_that_has_failed_is_started_again(executions: ExecutionClient) -> None:
    made = books(portfolio("a", "acme"), portfolio("c", "globex"))
    failed, runs = night(made, executions)["started"]
    executions.stop(failed)
    made.put_entity(portfolio("b", "acme"))
    report = night(made, executions)
    assert (report["started"], report["already_started"]) == ([f"{failed}-2"], [runs])
    assert executions.describe(f"{failed}-2").input["entity_ids"] == ["a", "b"]
    again = night(made, executions)
    assert (again["started"], again["already_started"]) == ([], [f"{failed}-2", runs])


def test_a_night_that_was_begun_goes_on(executions: ExecutionClient) -> None:
    made = books(portfolio("a", "acme"))
    night(made, executions)
    made.put_entity(portfolio("c", "globex"))
    report = night(made, executions)
    assert (len(report["started"]), len(report["already_started"])) == (1, 1)


def test_a_client_with_more_than_an_execution_takes_gets_several(executions: ExecutionClient) -> None:
    made = books(*(portfolio(f"p-{index:04}", "acme") for index in range(MAX_PORTFOLIOS + 1)))
    sizes = [len(executions.describe(name).input["entity_ids"]) for name in night(made, executions)["started"]]
    assert sizes == [MAX_PORTFOLIOS, 1]


def test_clients_whose_names_look_alike_are_told_apart(executions: ExecutionClient) -> None:
    report = night(books(portfolio("a", "ac.me"), portfolio("b", "ac:me")), executions)
    assert len(set(report["started"])) == 2


def test_a_schedule_may_ask_for_accounts_too(executions: ExecutionClient) -> None:
    made = books(
        portfolio("a", "acme"),
        Entity(entity_type=BookEntityType.ACCOUNT, entity_id="x", account_id="x", client_id="acme"),
    )
    event = {"time": EVENT["time"], "entity_types": ["portfolio", "account"]}
    report = night(made, executions, event)
    assert [executions.describe(name).input["entity_type"] for name in report["started"]] == ["portfolio", "account"]


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
    assert night(books(), executions, {"time": time})["as_of_date"] == as_of


def test_without_a_calendar_weekends_alone_are_left_out(executions: ExecutionClient) -> None:
    event = {"time": "2024-04-01T10:00:00Z"}
    assert night(books(), executions, event, BUSINESS_CALENDAR="")["as_of_date"] == "2024-03-29"


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
        night(books(), executions, event)
