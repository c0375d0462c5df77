"""Every way in, through the real functions and the real definition: queue, schedule, upload, API."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.errors import TransientError
from common.models.books import BookEntityType, DayValue, Entity, SeriesKind
from common.models.kinds import EntityType
from common.stores.ports import ResultKey
from workflows.local.development_key import DEVELOPMENT_AUDIENCE, DEVELOPMENT_ISSUER, development_key, mint
from workflows.local.event_sources import object_created, scheduled
from workflows.local.gateway import LocalGateway
from workflows.local.runtime import MAX_RECEIVE_COUNT, LocalRuntime
from workflows.triggers.routes import ROUTES, Role

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=index) for index in range(0, 120) if (FIRST + timedelta(days=index)).weekday() < 5]
AS_OF = date(2024, 3, 28)
SECONDS = 30.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[LocalRuntime]:
    with LocalRuntime(tmp_path, retry_delay_scale=0.001) as runtime:
        books = runtime.books
        for name, client in (("growth", "acme"), ("income", "acme"), ("theirs", "globex")):
            books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id=client))
            books.write_series(
                SeriesKind.VALUATION, name, [DayValue(day, Decimal(1000 + index)) for index, day in enumerate(DAYS)]
            )
        wait_for(lambda: sum(1 for _ in books.all_entities(BookEntityType.PORTFOLIO)) == 3)
        yield runtime


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def finish(world: LocalRuntime, *names: str) -> list[dict[str, Any]]:
    return [world.executions.wait(name, timeout=SECONDS).output for name in names]


def row(world: LocalRuntime, name: str, day: date = AS_OF) -> dict[str, Any] | None:
    key = ResultKey(EntityType.PORTFOLIO, name, day)
    return world.result_store.read_many([key]).get(key)


def night(world: LocalRuntime) -> dict[str, Any]:
    report: dict[str, Any] = world.invoke("NightlySchedule", scheduled(datetime(2024, 3, 29, 6, tzinfo=UTC)))
    return report


def message(name: str, portfolio: str = "growth", day: str = "2024-02-15", **fields: Any) -> str:
    transaction = {
        "transaction_id": name,
        "portfolio_id": portfolio,
        "type": "deposit",
        "trade_date": day,
        "amount": "100",
    }
    return json.dumps({"transaction": {**transaction, **fields}})


def send(world: LocalRuntime, *bodies: str) -> None:
    for body in bodies:
        world.sqs.send_message(QueueUrl=world.transaction_queue_url, MessageBody=body)


def dead(world: LocalRuntime) -> list[str]:
    answer = world.sqs.receive_message(QueueUrl=world.dead_letter_queue_url, MaxNumberOfMessages=10)
    return [each["Body"] for each in answer.get("Messages", ())]


def test_the_night_calculates_everything_once(world: LocalRuntime) -> None:
    first = night(world)
    again = night(world)
    assert first["as_of_date"] == AS_OF.isoformat()
    assert (first["started"], again["started"], again["execution"]) == (True, False, first["execution"])
    summary = world.fleet.wait(first["execution"], timeout=SECONDS).output
    assert (summary["status"], summary["calculated"]) == ("SUCCEEDED", 3)
    assert night(world)["started"] is False  # nor after it has ended
    for name, client in (("growth", "acme"), ("income", "acme"), ("theirs", "globex")):
        found = row(world, name)
        assert found is not None
        assert (found["client_id"], found["request_id"]) == (client, "nightly")


def test_a_burst_of_late_transactions_is_one_recalculation(world: LocalRuntime) -> None:
    world.fleet.wait(night(world)["execution"], timeout=SECONDS)
    before = row(world, "growth")
    send(world, *(message(f"t-{index}") for index in range(25)), message("t-0"), message("u-1", "income"))
    assert world.transactions.drain() == 27
    assert len(world.books.portfolio_book("growth").transactions) == 25
    report = world.invoke("Recalculation", {})
    assert (report["started"], report["rows"], len(report["executions"])) == (2, 2, 1)
    (output,) = finish(world, *report["executions"])
    assert output["calculated"] == 2
    after = row(world, "growth")
    assert before is not None
    assert after is not None
    assert after["periods"]["ITD"]["twr"] != before["periods"]["ITD"]["twr"]
    assert after["created_at"] == before["created_at"]
    assert world.invoke("Recalculation", {})["cleared"] == 2
    assert list(world.books.marks()) == []
    _, records = world.time_series_reader.query(
        "SELECT measure_value::double AS twr FROM investment_performance.performance_metrics "
        "WHERE entity_id = 'growth' AND measure_name = 'twr' AND time_period = 'ITD'"
    )
    assert [each["twr"] for each in records] == [after["periods"]["ITD"]["twr"]]


def test_poison_ends_alone_in_the_dead_letter_queue(world: LocalRuntime) -> None:
    poison = message("bad", amount=-1)
    send(world, message("t-1"), poison, message("t-2"))
    with world.transactions:
        found: list[str] = []

        def arrived() -> bool:
            found.extend(dead(world))
            return bool(found)

        wait_for(arrived)
    assert found == [poison]
    assert [each.transaction_id for each in world.books.portfolio_book("growth").transactions] == ["t-1", "t-2"]
    tried = [line for line in _log(world) if line["message"] == "TransactionQueue" and line["level"] == "ERROR"]
    assert [int(line["receive_count"]) for line in tried] == list(range(1, MAX_RECEIVE_COUNT + 1))


def test_an_upload_starts_a_run_once(world: LocalRuntime) -> None:
    manifest = {"entity_ids": ["growth", "income"], "as_of_date": AS_OF.isoformat()}
    body = json.dumps(manifest).encode()
    report = world.upload("manifests/acme/month-end.json", body)
    assert report["status"] == "STARTED"
    (output,) = finish(world, report["execution"])
    assert (output["status"], output["request_id"], output["calculated"]) == ("SUCCEEDED", "month-end", 2)
    event = object_created("performance-uploads", "manifests/acme/month-end.json", body)
    first = world.invoke("ManifestUpload", event)
    assert world.invoke("ManifestUpload", event) == {**first, "status": "ALREADY_STARTED"}


def test_a_manifest_cannot_reach_into_another_client_s_things(world: LocalRuntime) -> None:
    world.upload("data/globex/values.csv", b"date,value\n2024-01-01,1\n2024-01-02,2\n")
    for request, path in (
        ({"entity_ids": ["theirs"]}, "$.entity_ids[0]"),
        (
            {"portfolios": [{"portfolio_id": "theirs", "valuations": [{"date": "2024-01-01", "value": 1}]}]},
            "$.portfolios[0].portfolio_id",
        ),
        (
            {
                "portfolios": [
                    {
                        "portfolio_id": "growth",
                        "valuations": {"source": "s3://performance-uploads/data/globex/values.csv"},
                    }
                ]
            },
            "$.portfolios[0].valuations.source",
        ),
    ):
        report = world.upload("manifests/acme/m.json", json.dumps(request).encode())
        execution = world.executions.wait(report["execution"], timeout=SECONDS)
        assert execution.error == "InvalidRequestError"
        assert path in (execution.cause or "")
    assert row(world, "theirs", date(2024, 1, 1)) is None


def test_rows_of_a_file_are_calculated_for_the_client(world: LocalRuntime) -> None:
    lines = "portfolio_id,date,value\n" + "".join(
        f"growth,{day},{100 + index}\n" for index, day in enumerate(DAYS[:30])
    )
    report = world.upload("manifests/acme/p.csv", lines.encode())
    output = world.fleet.wait(report["execution"], timeout=SECONDS).output
    assert (output["status"], output["calculated"], output["failed"]) == ("SUCCEEDED", 1, 0)
    assert (row(world, "growth", DAYS[29]) or {})["client_id"] == "acme"


def test_a_wrong_line_of_a_short_file_is_a_failure_of_that_line_alone(world: LocalRuntime) -> None:
    days = [str(each) for each in DAYS[:30]]
    lines = [
        {"portfolio_id": "growth", "valuations": {"dates": days, "values": [100.0] * 30}},
        {"portfolio_id": "income", "valuations": []},
        {"portfolio_id": "theirs", "valuations": {"dates": days, "values": [100.0] * 30}},
    ]
    report = world.upload("manifests/acme/p.jsonl", "\n".join(map(json.dumps, lines)).encode())
    output = world.fleet.wait(report["execution"], timeout=SECONDS).output
    assert (output["status"], output["calculated"], output["failed"]) == ("PARTIAL", 1, 2)
    assert row(world, "growth", DAYS[29]) is not None
    assert row(world, "theirs", DAYS[29]) is None


# The API, over HTTP


class Api:
    """Calls of one caller."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._token = token

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}{path}", data=data, method=method, headers=headers)
        request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, json.loads(answer.read() or "null"), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "null"), dict(error.headers)


@pytest.fixture
def callers(world: LocalRuntime, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    key = development_key(tmp_path)
    with LocalGateway(world.host.invoke, api_function="Api", authorizer_function="Authorizer") as gateway:

        def caller(client: str | None, role: Role = Role.OPERATOR) -> Api:
            token = mint(
                key,
                subject="me",
                role=role,
                client_id=client,
                issuer=DEVELOPMENT_ISSUER,
                audience=DEVELOPMENT_AUDIENCE,
                lifetime=timedelta(hours=1),
            )
            return Api(gateway.url, token)

        caller.anonymous = Api(gateway.url, None)  # type: ignore[attr-defined]  # a caller too
        yield caller


def calculated(api: Api, **request: Any) -> dict[str, Any]:
    status, started, headers = api("POST", "/calculate", {"as_of_date": AS_OF.isoformat(), **request})
    assert status == 202
    path = headers["Location"].removeprefix("/v1")
    deadline = time.monotonic() + SECONDS
    while True:
        status, found, _ = api("GET", path)
        assert status == 200
        if found["status"] != "RUNNING":
            assert found["execution_id"] == started["execution_id"]
            return dict(found)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_start_follow_and_read(world: LocalRuntime, callers: Callable[..., Api]) -> None:
    acme = callers("acme")
    found = calculated(acme, entity_ids=["growth", "income"], time_periods=["MTD", "ITD"])
    assert (found["status"], found["summary"]["status"], found["summary"]["calculated"]) == (
        "SUCCEEDED",
        "SUCCEEDED",
        2,
    )
    status, performance, headers = acme("GET", "/portfolios/growth/performance?period=ITD")
    stored = row(world, "growth")
    assert (status, stored is not None) == (200, True)
    assert performance["periods"]["ITD"]["twr"] == (stored or {})["periods"]["ITD"]["twr"]
    assert acme("GET", "/portfolios/growth/performance?period=ITD", **{"If-None-Match": headers["ETag"]})[0] == 304
    assert acme("GET", "/portfolios/growth/performance?as_of=2024-03-27")[0] == 404


def test_an_idempotency_key_is_one_execution(callers: Callable[..., Api]) -> None:
    acme, globex = callers("acme"), callers("globex")
    key = {"Idempotency-Key": "month-end-1"}
    request = {"entity_ids": ["growth"]}
    first, again = (acme("POST", "/calculate", request, **key) for _ in range(2))
    assert (first[0], again[0], first[1]["execution_id"]) == (202, 202, again[1]["execution_id"])
    assert acme("POST", "/calculate", {"entity_ids": ["income"]}, **key)[0] == 409
    other = globex("POST", "/calculate", {"entity_ids": ["theirs"]}, **key)
    assert (other[0], other[1]["execution_id"] != first[1]["execution_id"]) == (202, True)


def test_the_history_of_a_metric_comes_in_pages_from_both_stores(
    world: LocalRuntime, callers: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = callers("acme")
    days = [day.isoformat() for day in DAYS[40:50]]
    calculated(acme, entities=[{"entity_id": "growth", "as_of_date": day} for day in days], time_periods=["ITD"])

    def pages() -> tuple[list[dict[str, Any]], set[str]]:
        points: list[dict[str, Any]] = []
        sources = set()
        path = "/portfolios/growth/performance/history?metric=twr&limit=4"
        token = None
        for _ in range(4):
            status, page, _ = acme("GET", path + (f"&next_token={token}" if token else ""))
            assert status == 200
            points += page["points"]
            sources.add(page["source"])
            if (token := page["next_token"]) is None:
                return points, sources
        raise AssertionError("pages without end")

    found, sources = pages()
    assert [each["date"] for each in found] == days
    assert sources == {"timestream"}
    with monkeypatch.context() as patch:
        patch.setattr("common.stores.timestream.TimestreamReader.query", _down)
        again, sources = pages()
    assert (again, sources) == (found, {"dynamodb"})


def _down(*_: object) -> Any:
    raise TransientError("Timestream: is down")


def test_transactions_go_to_the_queue_and_into_the_books(world: LocalRuntime, callers: Callable[..., Api]) -> None:
    acme = callers("acme")
    sent = {
        "transaction_id": "t-1",
        "portfolio_id": "growth",
        "type": "deposit",
        "trade_date": "2024-02-15",
        "amount": "12.34",
    }
    status, answer, _ = acme("POST", "/transactions", {"transactions": [sent]})
    assert (status, answer["accepted"]) == (202, 1)
    assert world.transactions.drain() == 1
    (entered,) = world.books.portfolio_book("growth").transactions
    assert (entered.transaction_id, str(entered.amount)) == ("t-1", "12.34")


PROTECTED = [route for route in ROUTES if route.role is not None]


@pytest.mark.parametrize("caller", ["anonymous", "forged"])
def test_without_a_token_there_is_nothing(callers: Callable[..., Api], caller: str) -> None:
    api: Api = callers.anonymous if caller == "anonymous" else Api(callers.anonymous._url, "a.b.c")  # type: ignore[attr-defined]  # a test of ours knows the client
    for route in PROTECTED:
        assert api(route.method, _filled(route.path), {} if route.method == "POST" else None)[0] == 401
    assert api("GET", "/health")[0] == 200


def test_a_reader_starts_nothing(callers: Callable[..., Api]) -> None:
    reader = callers("acme", Role.READER)
    assert reader("POST", "/calculate", {"entity_ids": ["growth"]})[0] == 403
    assert reader("POST", "/transactions", {"transactions": []})[0] == 403


def test_every_route_is_closed_to_another_client(world: LocalRuntime, callers: Callable[..., Api]) -> None:
    globex, acme = callers("globex"), callers("acme")
    found = calculated(globex, entity_ids=["theirs"], time_periods=["ITD"])
    bodies: dict[str, list[Any]] = {
        "/calculate": [
            {"entity_ids": ["theirs"]},
            {"client_id": "globex"},
            {"client_id": "globex", "entity_ids": ["theirs"]},
            {"entities": [{"entity_id": "theirs"}]},
            {"portfolios": [{"portfolio_id": "theirs", "valuations": [{"date": "2024-01-01", "value": 1}]}]},
        ],
        "/transactions": [{"transactions": [json.loads(message("t", "theirs"))["transaction"]]}],
    }
    before = row(world, "theirs")
    for route in PROTECTED:
        path = _filled(route.path, "theirs", found["execution_id"])
        for body in bodies.get(route.path, [None]):
            status, problem, _ = acme(route.method, path, body)
            assert status == 404, (route, body)
            there_is_none = acme(
                route.method,
                _filled(route.path, "absent", "absent"),
                json.loads(json.dumps(body).replace("theirs", "absent").replace("globex", "absent")) if body else None,
            )
            assert there_is_none[0] == 404
            assert _shape(problem, "theirs", "globex", found["execution_id"]) == _shape(there_is_none[1], "absent")
    assert row(world, "theirs") == before
    assert world.transactions.drain() == 0
    admin = callers(None, Role.ADMIN)
    assert admin("GET", "/portfolios/theirs/performance")[0] == 200
    assert admin("GET", f"/executions/{found['execution_id']}")[0] == 200


def _filled(path: str, entity: str = "growth", execution: str = "run-1") -> str:
    path = path.replace("{entity_id}", entity).replace("{execution_id}", execution)
    return f"{path}?metric=twr" if path.endswith("history") else path


def _shape(problem: dict[str, Any], *names: str) -> str:
    """Return a problem without what names the thing that was asked for."""
    text = json.dumps({key: value for key, value in problem.items() if key != "request_id"}, sort_keys=True)
    for name in names:
        text = text.replace(name, "X")
    return text


def _log(world: LocalRuntime) -> list[dict[str, Any]]:
    path = world._data_dir / "logs" / "handlers.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
