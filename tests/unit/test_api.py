"""The API: who may ask what, what is answered, and that nothing of one client shows to another."""

import base64
import json
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ThrottledError, TransientError
from common.models.kinds import EntityType
from common.models.limits import STATE_PAYLOAD_BYTES
from tests.api import ACME, ADMIN, EVENT, GLOBEX, READER, Answer, FakeExecutions, World, proxy_event, world
from tests.contract.rows import EARLY, LATE
from tests.executions import never_ending, stop_all
from workflows.executions import ExecutionClient, ExecutionStatus
from workflows.triggers.api.admission import MAX_TRANSACTIONS_BYTES
from workflows.triggers.api.handler import handler, parse_object
from workflows.triggers.api.problems import MAX_FAULTS, ProblemType
from workflows.triggers.api.services import services
from workflows.triggers.routes import ROUTES

VALUATIONS = [{"date": "2023-05-31", "value": 10000.0}, {"date": "2023-06-30", "value": 11166.4}]
REQUEST = {"entity_ids": ["acme-portfolio"], "time_periods": ["ITD"]}
TRANSACTION = {
    "transaction_id": "t-1",
    "portfolio_id": "acme-portfolio",
    "type": "buy",
    "trade_date": "2023-06-30",
    "security_id": "AAPL",
    "quantity": "10",
    "amount": "1234.50",
}
PROTECTED = [route for route in ROUTES if route.role is not None]


@pytest.fixture
def api() -> World:
    return world()


@pytest.fixture
def executions(api: World) -> FakeExecutions:
    assert isinstance(api.executions, FakeExecutions)
    return api.executions


@pytest.fixture
def real_executions(api: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    with never_ending(monkeypatch) as client:
        api.executions = client
        yield client
        stop_all(client)


def is_problem(answer: Answer, kind: ProblemType) -> bool:
    """Tell a problem of a kind from all else, whatever it says in detail."""
    problem = answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert (problem["title"], problem["status"]) == (kind.title, answer.status)
    assert problem["request_id"] == EVENT["requestContext"]["requestId"]
    return bool(problem["type"] == kind.uri)


def filled(path: str, entity_id: str = "acme-portfolio") -> str:
    """Return a route's path with an id in it, and the parameters it cannot do without."""
    path = path.replace("{entity_id}", entity_id).replace("{execution_id}", "run-1")
    return f"{path}?metric=twr" if path.endswith("history") else path


# Who may ask


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    "caller",
    [
        None,
        {},
        {"client_id": "acme", "subject": "ada"},
        {"client_id": "acme", "role": "owner", "subject": "ada"},
        {"client_id": "", "role": "operator", "subject": "ada"},
        {"client_id": "a/b", "role": "admin", "subject": "ada"},
        {"client_id": "acme", "role": "admin", "subject": ""},
    ],
)
def test_without_a_caller_nothing_protected_answers(api: World, route: Any, caller: Any) -> None:
    answer = api.ask(route.method, filled(route.path), caller=caller, body=REQUEST)
    assert is_problem(answer, ProblemType.UNAUTHENTICATED)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_no_header_says_who_is_asking(api: World) -> None:
    headers = {"Authorization": "Bearer x", "client_id": "acme", "role": "admin", "X-Client-Id": "acme"}
    answer = api.ask("GET", "/portfolios/acme-portfolio/performance", caller=None, headers=headers)
    assert is_problem(answer, ProblemType.UNAUTHENTICATED)


@pytest.mark.parametrize("path", ["/calculate", "/transactions"])
def test_a_reader_starts_and_sends_nothing(api: World, executions: FakeExecutions, path: str) -> None:
    answer = api.ask("POST", path, caller=READER, body="not even JSON")
    assert is_problem(answer, ProblemType.FORBIDDEN)
    assert not executions.started
    assert not api.queue.messages


def test_what_needs_no_token_needs_no_store_either(monkeypatch: pytest.MonkeyPatch) -> None:
    services.cache_clear()
    for name in ("STATE_MACHINE_ARN", "ENTITY_TABLE", "DYNAMODB_TABLE", "PAYLOAD_BUCKET", "TRANSACTION_QUEUE_URL"):
        monkeypatch.delenv(name, raising=False)
    health = Answer(handler(proxy_event("GET", "/health", caller=None), None))
    assert (health.status, health.body["status"]) == (200, "ok")
    document = Answer(handler(proxy_event("GET", "/openapi.json", caller=None), None))
    assert (document.status, document.body["openapi"]) == (200, "3.1.0")


# What there is


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/portfolios", "/portfolios//performance", "/v1x/health", "/v1/v1/health"]
)
def test_an_unknown_path_is_not_there(api: World, path: str) -> None:
    answer = api.ask("GET", path)
    assert is_problem(answer, ProblemType.NOT_FOUND)
    assert answer.body["instance"] == f"/v1{path}"


@pytest.mark.parametrize(("method", "path", "allowed"), [("GET", "/calculate", "POST"), ("DELETE", "/health", "GET")])
def test_another_method_is_told_which_there_is(api: World, method: str, path: str, allowed: str) -> None:
    answer = api.ask(method, path)
    assert is_problem(answer, ProblemType.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/health", "/health/", "/v1/health/"])
def test_the_stage_and_a_last_slash_make_no_difference(api: World, path: str) -> None:
    assert api.ask("GET", path, caller=None).status == 200


@pytest.mark.parametrize(("path", "caller"), [("/health", None), ("/nothing", None), ("/executions/x", ACME)])
def test_every_answer_has_the_security_headers(api: World, path: str, caller: Any) -> None:
    headers = api.ask("GET", path, caller=caller).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["cache-control"] == "no-store"


# Calculations


def test_a_calculation_is_started(api: World, executions: FakeExecutions) -> None:
    answer = api.ask("POST", "/calculate", body=REQUEST)
    assert answer.status == 202
    assert answer.body == {"execution_id": "started", "status": "RUNNING", "started_at": "2023-07-01T10:15:30Z"}
    assert answer.headers["location"] == "/v1/executions/started"
    assert "idempotent-replayed" not in answer.headers
    (request,) = executions.started
    assert request["client_id"] == "acme"
    assert request["entity_ids"] == ["acme-portfolio"]


def test_a_request_that_names_nothing_is_for_all_that_is_the_client_s(api: World, executions: FakeExecutions) -> None:
    assert api.ask("POST", "/calculate", body={}).status == 202
    assert executions.started[0]["client_id"] == "acme"
    assert is_problem(api.ask("POST", "/calculate", caller=ADMIN, body={}), ProblemType.INVALID)


@pytest.mark.parametrize("claimed", ["globex", "nobody-at-all"])
def test_no_request_is_another_client_s(api: World, executions: FakeExecutions, claimed: str) -> None:
    answer = api.ask("POST", "/calculate", body={**REQUEST, "client_id": claimed})
    assert is_problem(answer, ProblemType.NOT_FOUND)
    assert answer.errors == {"$.client_id": f"there is no client {claimed}"}
    assert not executions.started


def test_a_client_cannot_be_left_out(api: World, executions: FakeExecutions) -> None:
    assert api.ask("POST", "/calculate", body={**REQUEST, "client_id": None}).status == 202
    assert executions.started[0]["client_id"] == "acme"


@pytest.mark.parametrize("client", [{}, {"client_id": "globex"}])
def test_the_platform_names_any_client_or_none(api: World, executions: FakeExecutions, client: dict[str, str]) -> None:
    body = {"entity_ids": ["globex-portfolio"], **client}
    assert api.ask("POST", "/calculate", caller=ADMIN, body=body).status == 202
    assert executions.started[0].get("client_id") == client.get("client_id")


def test_an_admin_of_a_client_is_bound_to_it(api: World) -> None:
    admin = {**ACME, "role": "admin"}
    assert is_problem(api.ask("POST", "/calculate", caller=admin, body={"client_id": "globex"}), ProblemType.NOT_FOUND)


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"entity_ids": ["acme-portfolio", "globex-portfolio"]}, ["$.entity_ids[1]"]),
        ({"entity_ids": ["globex-account"], "entity_type": "account"}, ["$.entity_ids[0]"]),
        ({"entity_ids": ["AAPL"], "entity_type": "security"}, ["$.entity_ids[0]"]),
        ({"entities": [{"entity_id": "acme-portfolio"}, {"entity_id": "x"}]}, ["$.entities[1]"]),
        (
            {"portfolios": [{"portfolio_id": "globex-portfolio", "valuations": VALUATIONS}]},
            ["$.portfolios[0].portfolio_id"],
        ),
        ({**REQUEST, "benchmark": {"benchmark_id": "globex-benchmark"}}, ["$.benchmark.benchmark_id"]),
        ({"portfolios": {"source": "s3://uploads/data/globex/all.csv"}}, ["$.portfolios.source"]),
        (
            {
                "portfolios": [
                    {
                        "portfolio_id": "acme-portfolio",
                        "valuations": {"source": "s3://payloads/inputs/globex/v.csv"},
                        "cash_flows": {"source": "s3://uploads/data/acme/f.csv"},
                    }
                ],
                "benchmark": {"valuations": {"source": "s3://elsewhere/b.csv"}},
            },
            ["$.portfolios[0].valuations.source", "$.benchmark.valuations.source"],
        ),
    ],
)
def test_what_a_request_names_has_to_be_the_client_s(
    api: World, executions: FakeExecutions, body: dict[str, Any], paths: list[str]
) -> None:
    answer = api.ask("POST", "/calculate", body=body)
    assert is_problem(answer, ProblemType.NOT_FOUND)
    assert list(answer.errors) == paths
    assert not executions.started


def test_what_is_everybody_s_may_be_compared_with(api: World) -> None:
    for name in ("SP500", "acme-benchmark"):
        assert api.ask("POST", "/calculate", body={**REQUEST, "benchmark": {"benchmark_id": name}}).status == 202


def test_a_wrong_request_is_told_every_fault(api: World) -> None:
    body = {"entity_ids": ["a b"], "as_of_date": "yesterday", "rebalance": True, "max_concurrency": 41}
    answer = api.ask("POST", "/calculate", body=body)
    assert is_problem(answer, ProblemType.INVALID)
    assert answer.body["detail"] == "4 faults in the request."
    assert set(answer.errors) == {"$.entity_ids[0]", "$.as_of_date", "$.rebalance", "$.max_concurrency"}
    assert answer.errors["$.max_concurrency"] == "must be at most 40"


def test_braces_of_an_id_are_told_as_they_are(api: World) -> None:
    answer = api.ask("POST", "/calculate", body={"entity_ids": ["a{b}", "a{b}"]})
    assert answer.errors == {"$.entity_ids": "a{b} stands twice"}


def test_of_very_many_faults_the_first_are_told(api: World) -> None:
    answer = api.ask("POST", "/calculate", body={f"{number}" * 900: 1 for number in range(MAX_FAULTS + 7)})
    assert answer.body["detail"].endswith("the first 1,000 are told.")
    assert len(answer.body["errors"]) == MAX_FAULTS
    assert len(answer.raw["body"]) < 2_000_000


@pytest.mark.parametrize("body", ["", " ", "{", "{'a': 1}", '{"risk_free_rate": NaN}', "[" * 100_000, "1" * 5_000])
def test_what_is_no_json_cannot_be_read(api: World, body: str) -> None:
    for path in ("/calculate", "/transactions"):
        assert is_problem(api.ask("POST", path, body=body), ProblemType.MALFORMED)


@pytest.mark.parametrize("body", [[REQUEST], None, 1, "text", []])
def test_a_body_has_to_be_an_object(api: World, body: object) -> None:
    for path in ("/calculate", "/transactions"):
        answer = api.ask("POST", path, body=json.dumps(body))
        assert is_problem(answer, ProblemType.INVALID)
        assert answer.errors == {"$": "must be an object"}


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_media_type_is_refused(api: World, media_type: str) -> None:
    answer = api.ask("POST", "/calculate", body=REQUEST, headers={"Content-Type": media_type})
    assert is_problem(answer, ProblemType.UNSUPPORTED)


@pytest.mark.parametrize("media_type", ["Application/JSON", "application/json; charset=utf-8"])
def test_json_is_known_however_it_is_written(api: World, media_type: str) -> None:
    assert api.ask("POST", "/calculate", body=REQUEST, headers={"content-type": media_type}).status == 202


def test_a_body_may_come_as_base64(api: World) -> None:
    event = proxy_event("POST", "/calculate", body=base64.b64encode(json.dumps(REQUEST).encode()).decode())
    assert api.answer({**event, "isBase64Encoded": True}).status == 202
    for wrong in ("%%%", base64.b64encode(b"\xff").decode(), "é"):
        answer = api.answer({**event, "isBase64Encoded": True, "body": wrong})
        assert is_problem(answer, ProblemType.MALFORMED)


def test_long_histories_travel_below_the_client_s_prefix(api: World, executions: FakeExecutions) -> None:
    dates = [date.fromordinal(700_000 + day).isoformat() for day in range(20_000)]
    portfolio = {"portfolio_id": "acme-portfolio", "valuations": {"dates": dates, "values": [1.0] * len(dates)}}
    assert api.ask("POST", "/calculate", body={"portfolios": [portfolio]}).status == 202
    ((key, _),) = api.payloads.objects.items()
    assert key.startswith("inputs/acme/")
    assert executions.started[0]["portfolios"][0]["valuations"] == {"source": f"s3://payloads/{key}"}


def test_a_request_that_stays_too_large_is_refused(api: World, executions: FakeExecutions) -> None:
    source = {"source": f"s3://payloads/{'k' * 900}.csv"}
    portfolios = [{"portfolio_id": f"p-{n}", "valuations": source, "cash_flows": source} for n in range(500)]
    assert len(json.dumps(portfolios)) > STATE_PAYLOAD_BYTES
    answer = api.ask("POST", "/calculate", caller=ADMIN, body={"portfolios": portfolios})
    assert is_problem(answer, ProblemType.TOO_LARGE)
    assert not executions.started


@pytest.mark.usefixtures("real_executions")
def test_the_same_request_is_the_same_run_for_as_long_as_that_runs(api: World) -> None:
    first = api.ask("POST", "/calculate", body=REQUEST)
    assert api.ask("POST", "/calculate", body=REQUEST).body == first.body
    assert api.ask("POST", "/calculate", body={}).body["execution_id"] != first.body["execution_id"]


def test_a_key_makes_repeated_requests_one_execution(api: World, real_executions: ExecutionClient) -> None:
    key = {"Idempotency-Key": "month end, June"}
    first = api.ask("POST", "/calculate", body=REQUEST, headers=key)
    again = api.ask("POST", "/calculate", body=dict(reversed(REQUEST.items())), headers=key)
    assert (first.status, again.status) == (202, 202)
    assert again.body == first.body
    assert "idempotent-replayed" not in first.headers
    api.now = real_executions.describe(first.body["execution_id"]).started_at + timedelta(seconds=2)
    later = api.ask("POST", "/calculate", body=REQUEST, headers=key)
    assert (later.body, later.headers["idempotent-replayed"]) == (first.body, "true")
    other = api.ask("POST", "/calculate", body=REQUEST, headers={"Idempotency-Key": "July"})
    assert other.body["execution_id"] != first.body["execution_id"]


def test_a_key_finds_an_execution_that_has_ended(api: World, real_executions: ExecutionClient) -> None:
    key = {"idempotency-key": "June"}
    first = api.ask("POST", "/calculate", body=REQUEST, headers=key)
    real_executions.stop(first.body["execution_id"])
    again = api.ask("POST", "/calculate", body=REQUEST, headers=key)
    assert (again.status, again.body["status"]) == (202, "ABORTED")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.body["execution_id"] == first.body["execution_id"]


@pytest.mark.usefixtures("real_executions")
def test_a_key_is_for_one_request(api: World) -> None:
    key = {"Idempotency-Key": "June"}
    assert api.ask("POST", "/calculate", body=REQUEST, headers=key).status == 202
    answer = api.ask("POST", "/calculate", body={**REQUEST, "time_periods": ["1Y"]}, headers=key)
    assert is_problem(answer, ProblemType.CONFLICT)


@pytest.mark.usefixtures("real_executions")
def test_a_key_is_a_client_s_own(api: World) -> None:
    key = {"Idempotency-Key": "June"}
    ids = {
        api.ask("POST", "/calculate", caller=caller, body={"time_periods": ["ITD"], **more}, headers=key).body[
            "execution_id"
        ]
        for caller, more in ((ACME, {}), (GLOBEX, {}), (ADMIN, {"entity_ids": ["p"]}))
    }
    assert len(ids) == 3


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_a_key_has_to_be_printable(api: World, executions: FakeExecutions, key: str) -> None:
    answer = api.ask("POST", "/calculate", body=REQUEST, headers={"Idempotency-Key": key})
    assert is_problem(answer, ProblemType.MALFORMED)
    assert not executions.started


def _client_error(code: str, status: int) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "secret"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "StartExecution")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_client_error("ThrottlingException", 400), ProblemType.THROTTLED),
        (_client_error("ExecutionLimitExceeded", 400), ProblemType.THROTTLED),
        (_client_error("InternalFailure", 500), ProblemType.UNAVAILABLE),
        (_client_error("AccessDeniedException", 400), ProblemType.INTERNAL),
        (ZeroDivisionError("secret"), ProblemType.INTERNAL),
    ],
)
def test_a_service_that_fails_is_told_as_what_the_caller_can_do(
    api: World, executions: FakeExecutions, error: Exception, kind: ProblemType
) -> None:
    executions.error = error
    for answer in (api.ask("POST", "/calculate", body=REQUEST), api.ask("GET", "/executions/run-1")):
        assert is_problem(answer, kind)
        assert ("retry-after" in answer.headers) == (kind is not ProblemType.INTERNAL)
        assert "secret" not in answer.raw["body"]
        assert "Traceback" not in answer.raw["body"]


def test_what_nobody_foresaw_is_logged_with_its_stack(
    api: World, executions: FakeExecutions, caplog: pytest.LogCaptureFixture
) -> None:
    executions.error = ZeroDivisionError("by nought")
    with caplog.at_level(logging.ERROR, logger="performance-calculator"):
        api.ask("GET", "/executions/run-1")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info
    assert isinstance(record.exc_info[1], ZeroDivisionError)


# Executions

OUTPUT = {
    "request_id": "r",
    "status": "PARTIAL",
    "calculated": 2,
    "cached": 1,
    "failed": 2,
    "dynamodb": {"written": 2, "superseded": 0},
    "timestream": {"status": "BACKFILL_QUEUED", "error": "ThrottledError"},
    "rows": [{"entity_id": "a"}, {"entity_id": "b"}],
    "failures": [
        {"entity_type": "portfolio", "entity_id": "c", "error": "InvalidPortfolioError", "message": "has no values"},
        {"entity_type": "portfolio", "entity_id": "d", "error": "StoreError", "message": "arn:aws:iam::1:role/secret"},
    ],
}


def test_an_execution_that_runs(api: World, executions: FakeExecutions) -> None:
    executions.put("run-1", input={"client_id": "acme"})
    answer = api.ask("GET", "/executions/run-1", caller=READER)
    assert answer.status == 200
    assert answer.body == {
        "execution_id": "run-1",
        "status": "RUNNING",
        "started_at": "2023-07-01T10:15:30Z",
        "stopped_at": None,
        "summary": None,
        "error": None,
    }


def test_an_execution_that_ended_is_summed_up(api: World, executions: FakeExecutions) -> None:
    executions.put("run-1", ExecutionStatus.SUCCEEDED, input={"client_id": "acme"}, output=OUTPUT)
    summary = api.ask("GET", "/executions/run-1").body["summary"]
    assert (summary["status"], summary["calculated"], summary["cached"], summary["failed"]) == ("PARTIAL", 2, 1, 2)
    assert summary["dynamodb"] == {"written": 2, "superseded": 0}
    assert summary["timestream"]["status"] == "BACKFILL_QUEUED"
    assert summary["timestream"]["error"] == "ThrottledError"
    assert [each["message"] for each in summary["failures"]] == [
        "has no values",
        "It ended without a result; the log knows more, by the execution_id.",
    ]
    assert "rows" not in summary


def test_the_faults_of_a_request_are_told_one_by_one(api: World, executions: FakeExecutions) -> None:
    message = (
        "3 faults in the request\n$.client_id: acme has no portfolio\n$.x: y: is not a known field\n... and 1 more"
    )
    cause = json.dumps({"errorMessage": message, "errorType": "InvalidRequestError", "stackTrace": ["secret"]})
    executions.put(
        "run-1", ExecutionStatus.FAILED, input={"client_id": "acme"}, error="InvalidRequestError", cause=cause
    )
    answer = api.ask("GET", "/executions/run-1")
    assert answer.body["error"] == {
        "type": "InvalidRequestError",
        "message": "3 faults in the request\n... and 1 more",
        "errors": [
            {"path": "$.client_id", "detail": "acme has no portfolio"},
            {"path": "$.x", "detail": "y: is not a known field"},
        ],
    }


@pytest.mark.parametrize(
    ("status", "error", "cause", "kind", "message"),
    [
        (ExecutionStatus.FAILED, "AllPortfoliosFailed", "None of 2.", "AllPortfoliosFailed", "None of 2."),
        (ExecutionStatus.FAILED, "StoreError", '{"errorMessage": "secret"}', "StoreError", "It ended without a result"),
        (ExecutionStatus.FAILED, "States.Runtime", "secret", "States.Runtime", "It ended without a result"),
        (ExecutionStatus.TIMED_OUT, "States.Timeout", None, "States.Timeout", "It ended without a result"),
        (ExecutionStatus.ABORTED, None, None, "ABORTED", "It ended without a result"),
    ],
)
def test_of_other_failures_only_what_is_the_caller_s_is_told(
    api: World, executions: FakeExecutions, status: Any, error: str | None, cause: str | None, kind: str, message: str
) -> None:
    executions.put("run-1", status, input={"client_id": "acme"}, error=error, cause=cause)
    answer = api.ask("GET", "/executions/run-1")
    assert answer.body["error"]["type"] == kind
    assert answer.body["error"]["message"].startswith(message)
    assert "secret" not in answer.raw["body"]


def test_an_arn_is_no_name(api: World, executions: FakeExecutions) -> None:
    name = "arn:aws:states:us-east-1:123456789012:execution:another:run"
    executions.put(name, input={"client_id": "acme"})
    for path in (name, name.replace(":", "%3A")):
        assert is_problem(api.ask("GET", f"/executions/{path}"), ProblemType.NOT_FOUND)


# Performance


def test_the_stored_row_is_answered(api: World) -> None:
    api.store("acme-portfolio", p_ITD={}, p_MTD={"twr": 0.01, "mwr": None})
    answer = api.ask("GET", "/portfolios/acme-portfolio/performance", caller=READER)
    assert answer.status == 200
    stored = api.results.latest(EntityType.PORTFOLIO, "acme-portfolio")
    assert stored is not None
    assert {name: value for name, value in answer.body.items() if value is not None} == stored
    assert answer.body["periods"]["MTD"]["undefined"]["mwr"] == "no_benchmark"


def test_the_row_on_a_day_or_the_last_before_it(api: World) -> None:
    for day in (date(2023, 3, 31), date(2023, 6, 30)):
        api.store("acme-portfolio", day)
    path = "/portfolios/acme-portfolio/performance"
    found = {
        day: api.ask("GET", f"{path}?as_of={day}").body.get("calculation_date")
        for day in ("2023-03-30", "2023-03-31", "2023-06-29", "2024-01-01")
    }
    assert found == {
        "2023-03-30": None,
        "2023-03-31": "2023-03-31",
        "2023-06-29": "2023-03-31",
        "2024-01-01": "2023-06-30",
    }
    assert is_problem(api.ask("GET", f"{path}?as_of=2023-03-30"), ProblemType.NOT_FOUND)
    assert api.ask("GET", f"{path}?as_of=30.3.2023").errors == {"query.as_of": "must be a date, YYYY-MM-DD"}


def test_one_period_is_first_and_alone(api: World) -> None:
    api.store("acme-portfolio", p_ITD={}, p_MTD={"twr": 0.01})
    body = api.ask("GET", "/portfolios/acme-portfolio/performance?period=MTD").body
    assert (body["time_period"], body["twr"], list(body["periods"])) == ("MTD", 0.01, ["MTD"])
    answer = api.ask("GET", "/portfolios/acme-portfolio/performance?period=2020-01-01/2020-12-31")
    assert is_problem(answer, ProblemType.NOT_FOUND)
    assert answer.body["detail"] == "The row of 2023-06-30 has the periods ITD, MTD."


@pytest.mark.parametrize(
    ("entity_type", "path", "entity_id"),
    [
        (EntityType.ACCOUNT, "accounts", "acme-account"),
        (EntityType.SECURITY, "securities", "acme-security"),
        (EntityType.SECURITY, "securities", "AAPL"),
    ],
)
def test_accounts_and_securities_have_a_performance_too(
    api: World, entity_type: EntityType, path: str, entity_id: str
) -> None:
    api.store(entity_id, entity_type=entity_type)
    assert api.ask("GET", f"/{path}/{entity_id}/performance").body["entity_type"] == entity_type
    assert api.ask("GET", f"/{path}/{entity_id}/performance/history?metric=twr&period=1Y").body["points"]


def test_what_is_in_no_book_is_the_platform_s(api: World) -> None:
    api.store("unbooked")
    path = "/portfolios/unbooked/performance"
    assert api.ask("GET", path, caller=ADMIN).status == 200
    assert is_problem(api.ask("GET", path), ProblemType.NOT_FOUND)


@pytest.mark.parametrize("entity_id", ["a'b\"c", "a/b", "100%", "a%2Fb", "a b", "é", "a#b", "x" * 65, "a?b&c=d"])
def test_ids_of_any_kind(api: World, entity_id: str) -> None:
    path = f"/portfolios/{quote(entity_id, safe='')}/performance"
    if entity_id in {"a b", "é", "a#b", "x" * 65}:
        assert is_problem(api.ask("GET", path, caller=ADMIN), ProblemType.NOT_FOUND)
        return
    api.store(entity_id)
    assert api.ask("GET", path, caller=ADMIN).body["entity_id"] == entity_id
    history = api.ask("GET", f"{path}/history?metric=twr&period=1Y", caller=ADMIN)
    assert history.body["entity"] == {"entity_type": "portfolio", "entity_id": entity_id}


def test_what_the_caller_has_is_not_sent_again(api: World) -> None:
    path = "/portfolios/acme-portfolio/performance"
    api.store("acme-portfolio", p_ITD={})
    first = api.ask("GET", path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = api.ask("GET", path, headers={"If-None-Match": known})
        assert (again.status, again.raw["body"]) == (304, "")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
        assert "content-type" not in again.headers
    for other in ('"other"', "", f"{tag[:-2]}x"):
        assert api.ask("GET", path, headers={"If-None-Match": other}).status == 200


def test_a_tag_changes_with_all_that_is_answered(api: World) -> None:
    path = "/portfolios/acme-portfolio/performance"
    tags = []

    def note(query: str = "") -> None:
        tags.append(api.ask("GET", path + query).headers["etag"])

    api.store("acme-portfolio", run=LATE, p_ITD={}, p_MTD={})
    note()
    note("?period=MTD")
    api.store("acme-portfolio", run=EARLY, p_YTD={})  # a straggler, which leaves the row's version
    note()
    api.store("acme-portfolio", date(2023, 7, 31), p_ITD={})
    note()
    assert len(set(tags)) == len(tags)
    note()
    assert tags[-1] == tags[-2]


def test_a_row_that_is_not_as_the_document_says_is_our_fault(api: World) -> None:
    api.store("acme-portfolio")
    row = api.results.latest(EntityType.PORTFOLIO, "acme-portfolio")
    assert row is not None
    row["calculation_method"] = "guess"
    answer = api.ask("GET", "/portfolios/acme-portfolio/performance")
    assert is_problem(answer, ProblemType.INTERNAL)


# Transactions


def test_transactions_go_to_the_queue(api: World) -> None:
    transactions = [TRANSACTION, {**TRANSACTION, "transaction_id": "t-2", "amount": 0.1}]
    answer = api.ask("POST", "/transactions", body={"transactions": transactions})
    assert (answer.status, answer.body) == (202, {"accepted": 2, "transaction_ids": ["t-1", "t-2"]})
    first, second = api.queue.messages
    assert first == {"client_id": "acme", "transaction": TRANSACTION}
    assert second["transaction"]["amount"] == "0.1"


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("1e1000000", "must be finite and at most 1e15 in size"),
        ('"-1e1000000"', "must be finite and at most 1e15 in size"),
        ("-1.5E+999999999999999999", "must be finite and at most 1e15 in size"),
        ("1e9999999999999999999999", "must be finite and at most 1e15 in size"),
        ("1e-1000000", "must be 0 or at least 1e-130 in size"),
        ('"1e-1000000"', "must be 0 or at least 1e-130 in size"),
    ],
)
def test_a_number_beyond_what_decimals_can_be_is_a_fault(api: World, number: str, fault: str) -> None:
    body = json.dumps({"transactions": [TRANSACTION]}).replace('"1234.50"', number)
    answer = api.ask("POST", "/transactions", body=body)
    assert is_problem(answer, ProblemType.INVALID)
    assert answer.errors == {"$.transactions[0].amount": fault}


def test_every_digit_of_a_number_is_kept(api: World) -> None:
    amount = "12345678901234.5678901234"
    body = json.dumps({"transactions": [TRANSACTION]}).replace('"1234.50"', amount)
    assert api.ask("POST", "/transactions", body=body).status == 202
    assert api.queue.messages[0]["transaction"]["amount"] == amount


def test_what_the_platform_sends_is_bound_to_no_client(api: World) -> None:
    sent = {**TRANSACTION, "portfolio_id": "globex-portfolio"}
    assert api.ask("POST", "/transactions", caller=ADMIN, body={"transactions": [sent]}).status == 202
    assert api.queue.messages == [{"transaction": sent}]
    unknown = {**TRANSACTION, "portfolio_id": "unbooked"}
    answer = api.ask("POST", "/transactions", caller=ADMIN, body={"transactions": [unknown]})
    assert is_problem(answer, ProblemType.NOT_FOUND)


def test_one_wrong_transaction_keeps_all_from_being_sent(api: World) -> None:
    wrong = [
        TRANSACTION,
        {**TRANSACTION, "transaction_id": "t-2", "amount": "-1"},
        {**TRANSACTION, "transaction_id": "t-3", "type": "gift"},
        {**TRANSACTION, "transaction_id": "t-4", "trade_date": "2023-02-30", "note": "x"},
    ]
    answer = api.ask("POST", "/transactions", body={"transactions": wrong})
    assert is_problem(answer, ProblemType.INVALID)
    assert set(answer.errors) == {
        "$.transactions[1]",
        "$.transactions[2].type",
        "$.transactions[3].trade_date",
        "$.transactions[3].note",
    }
    assert not api.queue.messages


@pytest.mark.parametrize("count", [0, 101])
def test_a_call_takes_a_hundred_transactions(api: World, count: int) -> None:
    transactions = [{**TRANSACTION, "transaction_id": f"t-{number}"} for number in range(count)]
    answer = api.ask("POST", "/transactions", body={"transactions": transactions})
    assert is_problem(answer, ProblemType.INVALID)
    assert list(answer.errors) == ["$.transactions"]
    if count:
        assert api.ask("POST", "/transactions", body={"transactions": transactions[:100]}).status == 202


def test_an_id_stands_once_in_a_portfolio(api: World) -> None:
    answer = api.ask("POST", "/transactions", body={"transactions": [TRANSACTION, TRANSACTION]})
    assert answer.errors == {f"$.transactions[{index}].transaction_id": "t-1 stands twice" for index in (0, 1)}


def test_a_trade_date_lies_a_week_ahead_at_the_most(api: World) -> None:
    days = ("2023-07-08", "2023-07-09", "2199-12-31")
    transactions = [{**TRANSACTION, "transaction_id": day, "trade_date": day} for day in days]
    answer = api.ask("POST", "/transactions", body={"transactions": [*transactions, transactions[0]]})
    assert is_problem(answer, ProblemType.INVALID)
    assert answer.errors == {
        **{f"$.transactions[{index}].trade_date": "must be at most 7 days after today" for index in (1, 2)},
        **{f"$.transactions[{index}].transaction_id": "2023-07-08 stands twice" for index in (0, 3)},
    }
    assert not api.queue.messages
    assert api.ask("POST", "/transactions", body={"transactions": transactions[:1]}).status == 202
    api.now = datetime(2023, 7, 1, 22, tzinfo=timezone(timedelta(hours=-5)))  # in UTC the next day
    assert api.ask("POST", "/transactions", body={"transactions": transactions[:2]}).status == 202


def test_transactions_are_of_the_client_s_portfolios_and_of_securities_it_sees(api: World) -> None:
    transactions = [
        TRANSACTION,
        {**TRANSACTION, "transaction_id": "t-2", "portfolio_id": "globex-portfolio"},
        {**TRANSACTION, "transaction_id": "t-3", "security_id": "globex-security"},
        {**TRANSACTION, "transaction_id": "t-4", "security_id": "acme-security"},
        {**TRANSACTION, "transaction_id": "t-5", "security_id": "unknown"},
    ]
    answer = api.ask("POST", "/transactions", body={"transactions": transactions})
    assert is_problem(answer, ProblemType.NOT_FOUND)
    assert answer.errors == {
        "$.transactions[1].portfolio_id": "there is no portfolio globex-portfolio",
        "$.transactions[2].security_id": "there is no security globex-security",
        "$.transactions[4].security_id": "there is no security unknown",
    }
    assert not api.queue.messages


def test_a_body_of_transactions_has_a_limit(api: World) -> None:
    answer = api.ask(
        "POST", "/transactions", body=json.dumps({"transactions": [TRANSACTION]}) + " " * MAX_TRANSACTIONS_BYTES
    )
    assert is_problem(answer, ProblemType.TOO_LARGE)


@pytest.mark.parametrize(
    ("error", "kind"), [(ThrottledError("x"), ProblemType.THROTTLED), (TransientError("x"), ProblemType.UNAVAILABLE)]
)
def test_a_queue_that_does_not_take_them_is_told(api: World, error: Exception, kind: ProblemType) -> None:
    api.queue.error = error
    answer = api.ask("POST", "/transactions", body={"transactions": [TRANSACTION]})
    assert is_problem(answer, kind)
    assert int(answer.headers["retry-after"]) > 0


# Between clients


def _asks(theirs: str, execution: str) -> list[tuple[str, str, Any]]:
    """Return a request to every protected route that names what is another client's, or nobody's."""
    queries = ("", "?as_of=2023-06-30&period=1Y")
    histories = ("?metric=twr&period=1Y", "?metric=twr&period=1Y&next_token=MS4yMDIzLTA2LTI5")
    portfolio, account, security = f"{theirs}-portfolio", f"{theirs}-account", f"{theirs}-security"
    return [
        ("POST", "/calculate", {"entity_ids": [portfolio]}),
        ("POST", "/calculate", {"client_id": theirs}),
        ("POST", "/calculate", {**REQUEST, "benchmark": {"benchmark_id": f"{theirs}-benchmark"}}),
        ("POST", "/transactions", {"transactions": [{**TRANSACTION, "portfolio_id": portfolio}]}),
        ("POST", "/transactions", {"transactions": [{**TRANSACTION, "security_id": security}]}),
        ("GET", f"/executions/{execution}", None),
        *(
            ("GET", f"/{plural}/{name}/performance{part}", None)
            for plural, name in (("portfolios", portfolio), ("accounts", account), ("securities", security))
            for part in (*queries, *(f"/history{query}" for query in histories))
        ),
    ]


def test_what_is_another_client_s_is_answered_like_what_is_not_there(api: World, executions: FakeExecutions) -> None:
    executions.put("theirs", ExecutionStatus.SUCCEEDED, input={"client_id": "globex"}, output=OUTPUT)
    executions.put("platform", input={"entity_ids": ["globex-portfolio"]})
    for entity_type in EntityType:
        api.store(f"globex-{entity_type}", entity_type=entity_type)
    asked = set()
    for caller in (ACME, {**ACME, "role": "admin"}):
        for theirs, nobodys in zip(_asks("globex", "theirs"), _asks("nobody", "no-one"), strict=True):
            method, path, body = theirs
            answer = api.ask(method, path, caller=caller, body=body)
            missing = api.ask(*nobodys[:2], caller=caller, body=nobodys[2])
            assert is_problem(answer, ProblemType.NOT_FOUND)
            said = (
                answer.raw["body"].replace("globex", "nobody").replace("theirs", "no-one").replace("/theirs", "/no-one")
            )
            assert said == missing.raw["body"]
            assert answer.headers == missing.headers
            asked.add((method, path.partition("?")[0].replace("theirs", "x")))
    assert is_problem(api.ask("GET", "/executions/platform"), ProblemType.NOT_FOUND)
    assert not executions.started
    assert not api.queue.messages
    # Their owner, and the platform, are answered.
    for caller in (GLOBEX, ADMIN):
        for method, path, _ in _asks("globex", "theirs"):
            if method == "GET":
                assert api.ask(method, path, caller=caller).status == 200
    assert len(asked) == len({(route.method, route.path) for route in PROTECTED})


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    answer = world().ask("POST", "/calculate", body=text)
    assert answer.status in {202, 400, 422}


@given(
    body=st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5)
        | st.sampled_from(["acme", "ITD"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["client_id", "portfolios", "entity_ids", "benchmark", "valuations", "{x}", "a.b"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_answered_and_never_by_an_error_of_ours(body: object) -> None:
    made = world()
    for path in ("/calculate", "/transactions"):
        answer = made.ask("POST", path, body=json.dumps(body))
        assert answer.status in {202, 404, 422}


def test_an_object_is_read_as_it_stands() -> None:
    assert parse_object('{"a": 1.5, "b": [null]}') == {"a": 1.5, "b": [None]}
