"""The fleet run: the real definition, the real functions, a Map Run with its failures, and what is left of it."""

import gc
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from weakref import ref

import boto3
import pytest
from botocore.exceptions import ClientError

from common.models.books import BookEntityType, Entity
from common.models.kinds import EntityType
from common.stores.dynamodb import result_store
from common.stores.ports import ResultKey
from workflows.executions import Execution, ExecutionStatus
from workflows.local import map_runs
from workflows.local.lambda_host import Faults, Injected, Refusal
from workflows.local.runtime import FLEET_ARN, TOPIC, LocalRuntime

DAYS = [f"2024-{month:02}-{day:02}" for month in (1, 2, 3) for day in range(1, 29)]
AS_OF = DAYS[-1]
Json = dict[str, Any]


def portfolio(name: str, growth: float = 1.001) -> Json:
    values = [round(1000 * growth**index, 6) for index in range(len(DAYS))]
    return {"portfolio_id": name, "valuations": {"dates": DAYS, "values": values}}


class Fleet:
    """A world, and what a test asks of it."""

    def __init__(self, runtime: LocalRuntime, directory: Path) -> None:
        self.runtime, self._directory = runtime, directory

    def manifest(self, *documents: object) -> Json:
        file = self._directory / "manifest.jsonl"
        lines = (each if isinstance(each, str) else json.dumps(each) for each in documents)
        file.write_text("\n".join(lines) + "\n")
        return {"manifest": {"source": str(file)}, "time_periods": ["ITD"]}

    def run(self, request: Json) -> tuple[Execution, Json]:
        fleet = self.runtime.fleet
        execution = fleet.wait(fleet.start_or_attach(request).name, timeout=120)
        succeeded = execution.status is ExecutionStatus.SUCCEEDED
        return execution, execution.output if succeeded else fleet.last_input(execution.name)

    def rows(self, *names: str) -> dict[str, Json]:
        keys = [ResultKey(EntityType.PORTFOLIO, name, date.fromisoformat(AS_OF)) for name in names]
        return {key.entity_id: row for key, row in self.runtime.result_store.read_many(keys).items()}

    def failures(self, summary: Json) -> list[Json]:
        return self.lines(summary["failures"]["key"])

    def lines(self, key: str) -> list[Json]:
        return [json.loads(line) for line in self.runtime.payload_store.get(key).splitlines()]


@contextmanager
def world(directory: Path, faults: Faults | None = None) -> Iterator[Fleet]:
    with LocalRuntime(directory / "data", faults=faults, retry_delay_scale=0.001) as runtime:
        yield Fleet(runtime, directory)


def failing(function: str, make: Injected, *, names: Sequence[str] = (), attempts: int = 10**9) -> Faults:
    """Let the first invocations of a function fail; of `names` alone where there are any."""

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if name != function or attempt > attempts:
            return None
        return make if not names or event.get("entity", {}).get("entity_id") in names else None

    return fault


def test_a_manifest_is_calculated_in_batches(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        names = [f"p{number}" for number in range(7)]
        execution, summary = it.run({**it.manifest(*map(portfolio, names)), "batch_size": 3})
        assert execution.status is ExecutionStatus.SUCCEEDED
        assert (summary["status"], summary["calculated"], summary["failed"]) == ("SUCCEEDED", 7, 0)
        assert summary["batches"] == {"planned": 3, "succeeded": 3, "failed": 0, "not_begun": 0}
        assert summary["timestream"] == {"SUCCEEDED": 3}
        rows = it.rows(*names)
        assert rows.keys() == set(names)
        assert {row["request_id"] for row in rows.values()} == {execution.name}
        assert rows["p3"]["periods"]["ITD"]["twr"] == pytest.approx(1.001 ** (len(DAYS) - 1) - 1)
        calculated = it.lines(summary["results"]["key"])
        assert Counter(each["entity_id"] for each in calculated) == Counter(names)


def test_a_batch_that_would_be_more_than_a_calculation_reads_is_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"p{number}" for number in range(5)]
    limit = 3 * len(json.dumps(portfolio(names[0])))
    for reader in ("common.batches", "tasks.validate_input", "tasks.summarise_run"):
        monkeypatch.setattr(f"{reader}.MAX_PORTFOLIOS_BYTES", limit)
    with world(tmp_path) as it:
        _, summary = it.run({**it.manifest(*map(portfolio, names)), "batch_size": 5})
        assert (summary["status"], summary["calculated"], summary["batches"]["planned"]) == ("SUCCEEDED", 5, 2)
        assert it.rows(*names).keys() == set(names)


def test_an_entity_of_too_early_a_date_fails_alone(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        early = {"entity_id": "early", "as_of_date": "2024-01-31"}
        request = it.manifest(early, portfolio("p"))
        _, summary = it.run({**request, "time_periods": ["2024-01-05/2024-02-05"]})
        assert (summary["status"], summary["calculated"], summary["failed"]) == ("PARTIAL", 1, 1)
        (failed,) = it.failures(summary)
        assert failed["failure"] == {
            "error": "InvalidPortfolioError",
            "message": "line 1: $.as_of_date: time period 2024-01-05/2024-02-05 ends after as_of_date 2024-01-31",
        }


def test_it_ends_in_the_same_rows_as_the_calculation(tmp_path: Path) -> None:
    documents = [portfolio(f"p{number}", 1 + number / 1000) for number in range(4)]
    ours = {"request_id", "updated_at", "created_at", "version", "execution_name"}

    def values(row: Json) -> Json:
        periods = {label: {k: v for k, v in each.items() if k not in ours} for label, each in row["periods"].items()}
        return {**{key: value for key, value in row.items() if key not in ours}, "periods": periods}

    with world(tmp_path) as it:
        request = {"portfolios": documents, "time_periods": ["ITD"]}
        it.runtime.executions.wait(it.runtime.executions.start_or_attach(request).name, timeout=120)
        before = it.rows("p0", "p1", "p2", "p3")
        it.run({**it.manifest(*documents), "batch_size": 3})
        after = it.rows("p0", "p1", "p2", "p3")
    assert {name: values(row) for name, row in before.items()} == {name: values(row) for name, row in after.items()}
    assert all(after[name]["version"] > before[name]["version"] for name in before)


def test_what_failed_is_a_manifest_that_can_be_run_again(tmp_path: Path) -> None:
    well: list[bool] = []
    dying = failing("CalculatePortfolio", SystemExit(1), names=["p1"])
    with world(tmp_path, lambda *call: None if well else dying(*call)) as it:
        request = it.manifest(portfolio("p0"), portfolio("p1"), "{", {"entity_id": "nobody"})
        execution, summary = it.run({**request, "batch_size": 2})
        assert execution.status is ExecutionStatus.SUCCEEDED
        assert (summary["status"], summary["calculated"], summary["failed"]) == ("PARTIAL", 1, 3)
        errors = {"InvalidPortfolioError": 1, "Runtime.ExitError": 1, "InputNotFoundError": 1}
        assert summary["failures_by_error"] == errors
        failed = it.failures(summary)
        # The worker is well again, and the others are as wrong as before.
        well.append(True)
        execution, summary = it.run(it.manifest(*failed))
        assert (summary["status"], summary["calculated"], summary["failed"]) == ("PARTIAL", 1, 2)
        assert it.rows("p0", "p1").keys() == {"p0", "p1"}


def test_a_batch_of_which_all_portfolios_failed_tells_of_each(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        _, summary = it.run({**it.manifest(portfolio("p0"), {"entity_id": "a"}, {"entity_id": "b"}), "batch_size": 2})
        assert (summary["calculated"], summary["failed"]) == (1, 2)
        assert summary["batches"]["succeeded"] == 2
        assert {each["failure"]["message"] for each in it.failures(summary)} == {
            "there is no portfolio a in the books",
            "there is no portfolio b in the books",
        }


def test_too_many_failed_batches_end_the_run(tmp_path: Path) -> None:
    with world(tmp_path, failing("PersistDynamoDB", ValueError("broken"))) as it:
        request = it.manifest(*(portfolio(f"p{number}") for number in range(8)))
        execution, summary = it.run({**request, "batch_size": 1, "tolerated_failure_percentage": 20})
        assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "FleetRunFailed")
        assert summary["status"] == "FAILED"
        assert summary["reason"].startswith("States.ExceedToleratedFailureThreshold: ")
        assert execution.cause == summary["reason"]
        ended = summary["batches"]
        assert ended["failed"] >= 2
        assert ended["not_begun"] >= 1
        assert ended["failed"] + ended["not_begun"] == 8
        assert sorted(each["portfolio_id"] for each in it.failures(summary)) == [f"p{number}" for number in range(8)]


def test_failed_batches_that_are_tolerated_leave_the_others_calculated(tmp_path: Path) -> None:
    def fault(name: str, event: Any, _: int) -> Injected | None:
        first = name == "PersistDynamoDB" and event["entities"][0]["row"]["entity_id"] == "p0"
        return ValueError("broken") if first else None

    with world(tmp_path, fault) as it:
        request = it.manifest(*(portfolio(f"p{number}") for number in range(4)))
        _, summary = it.run({**request, "batch_size": 1, "tolerated_failure_percentage": 25})
        assert (summary["status"], summary["calculated"], summary["failed"]) == ("PARTIAL", 3, 1)
        (only,) = it.failures(summary)
        assert only["failure"] == {"error": "ValueError", "message": "broken"}


def test_a_refused_row_fails_its_portfolio_and_not_its_batch(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        _refuse_rows("p1", "p4")
        request = it.manifest(*(portfolio(f"p{number}") for number in range(5)))
        _, summary = it.run({**request, "batch_size": 4})
        assert (summary["status"], summary["calculated"], summary["failed"]) == ("PARTIAL", 3, 2)
        assert summary["batches"] == {"planned": 2, "succeeded": 2, "failed": 0, "not_begun": 0}
        assert summary["dynamodb"] == {"written": 3, "superseded": 0}
        assert summary["failures_by_error"] == {"StoreError": 2}
        assert summary["timestream"] == {"SUCCEEDED": 1}  # of the other batch nothing is left to write
        failures = {each["portfolio_id"]: each["failure"] for each in it.failures(summary)}
        told = {"error": "StoreError", "message": "DynamoDB: Item size has exceeded the maximum allowed size"}
        assert failures == {"p1": told, "p4": told}
        assert {each["entity_id"] for each in it.lines(summary["results"]["key"])} == {"p0", "p2", "p3"}
        assert it.rows(*(f"p{number}" for number in range(5))).keys() == {"p0", "p2", "p3"}


def _refuse_rows(*names: str) -> None:
    """Let DynamoDB refuse the rows of some portfolios as too large."""

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if json.loads(params["body"])["Key"]["id"]["S"].partition("#")[2] in names:
            error = {"Code": "ValidationException", "Message": "Item size has exceeded the maximum allowed size"}
            answer: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, "UpdateItem")

    # A client copies the session's hooks when it is made: let the function make a new one.
    result_store.cache_clear()
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-call.dynamodb.UpdateItem", refuse)


def test_throttling_is_waited_for(tmp_path: Path) -> None:
    throttled = failing("PlanBatches", Refusal(), attempts=2)

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if name in {"SummariseRun", "CalculatePortfolio"} and attempt == 1:
            return Refusal()
        return throttled(name, event, attempt)

    with world(tmp_path, fault) as it:
        _, summary = it.run(it.manifest(portfolio("p0"), portfolio("p1")))
        assert (summary["status"], summary["calculated"]) == ("SUCCEEDED", 2)


def test_everything_in_the_books(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        books = it.runtime.books
        for name, client in (("a", "acme"), ("b", "birch"), ("c", "acme")):
            books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id=client))
        empty = {"request_id": "all", "time_periods": ["ITD"]}
        _, summary = it.run({**empty, "client_id": "acme"})
        assert (summary["status"], summary["entities"], summary["failed"]) == ("FAILED", 2, 2)
        _, summary = it.run(empty)
        assert summary["entities"] == 3


def test_an_upload_is_read_where_it_lies_and_bound_to_its_client(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        books = it.runtime.books
        for name, client in (("own", "acme"), ("theirs", "birch")):
            books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id=client))
        body = "\n".join(json.dumps(portfolio(name)) for name in ("own", "theirs")) + '\n{"entity_id": "own"}'
        report = it.runtime.upload("manifests/acme/all.jsonl", body.encode())
        execution = it.runtime.fleet.wait(report["execution"], timeout=60)
        assert execution.output["status"] == "PARTIAL"
        assert execution.output["failures"]["key"].startswith("inputs/acme/fleet/")
        assert it.rows("own", "theirs").keys() == {"own"}
        told = sorted(each["failure"]["message"] for each in it.failures(execution.output))
        assert told == ["line 2: there is no portfolio theirs", "line 3: own stands in line 1 already"]


def test_whoever_subscribed_is_told_how_it_ended(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        sns, sqs = boto3.client("sns"), boto3.client("sqs")
        queue = sqs.create_queue(QueueName="told")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        (topic,) = (each["TopicArn"] for each in sns.list_topics()["Topics"] if each["TopicArn"].endswith(TOPIC))
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        it.run(it.manifest(portfolio("p0"), {"entity_id": "nobody"}))
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        told = json.loads(message["Body"])
        assert told["Subject"] == "Fleet run PARTIAL"
        assert json.loads(told["Message"])["failures_by_error"] == {"InputNotFoundError": 1}
        assert "nobody" not in told["Message"]  # which portfolios somebody has is not for a mailbox


def test_a_wrong_request_fails_at_once_with_every_fault(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution, _ = it.run({"batch_size": 0, "colour": "red"})
        assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "InvalidRequestError")
        assert "$.batch_size: " in str(execution.cause)
        assert "$.colour: is not a known field" in str(execution.cause)


def test_a_run_that_is_stopped_and_repeated_ends_in_the_same_rows(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(12)]
    with world(tmp_path) as it:
        request = {**it.manifest(*map(portfolio, names)), "batch_size": 2, "max_concurrent_batches": 1}
        started = it.runtime.fleet.start_or_attach(request)
        deadline = time.monotonic() + 60
        while not it.rows(*names):
            assert time.monotonic() < deadline, "no batch was calculated in time"
            time.sleep(0.05)
        it.runtime.fleet.stop(started.name)
        assert it.runtime.fleet.wait(started.name, timeout=60).status is ExecutionStatus.ABORTED
        assert len(it.rows(*names)) < len(names)
    with world(tmp_path) as it:
        execution, summary = it.run(request)
        assert execution.name == f"{started.name}-2"
        assert (summary["status"], summary["calculated"]) == ("SUCCEEDED", 12)
        assert it.rows(*names).keys() == set(names)


def test_the_children_are_counted_while_they_run_and_after(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution, _ = it.run({**it.manifest(*(portfolio(f"p{number}") for number in range(4))), "batch_size": 1})
        client = boto3.client("stepfunctions")
        (run,) = client.list_map_runs(executionArn=execution.arn)["mapRuns"]
        counts = client.describe_map_run(mapRunArn=run["mapRunArn"])["executionCounts"]
        assert (counts["total"], counts["succeeded"], counts["running"], counts["pending"]) == (4, 4, 0, 0)
        assert run["mapRunArn"].startswith(FLEET_ARN.replace(":stateMachine:", ":mapRun:") + "/Batches:")


def test_a_child_and_its_history_are_gone_when_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[ref[Any]] = []

    class Child(map_runs._Child):
        def start(self) -> None:
            super().start()
            children.extend([ref(self), ref(self.exec_worker)])

    monkeypatch.setattr(map_runs, "_Child", Child)
    with world(tmp_path) as fleet:
        gc.disable()  # it would find what is left, sooner or later
        try:
            fleet.run({**fleet.manifest(*(portfolio(f"p{number}") for number in range(3))), "batch_size": 1})
            living = [child for child in children if child() is not None]
        finally:
            gc.enable()
    assert (len(children), living) == (6, [])


def test_results_of_many_children_are_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_runs, "_RESULT_FILE_BYTES", 1500)
    names = [f"p{number}" for number in range(6)]
    with world(tmp_path) as fleet:
        store = fleet.runtime.payload_store
        _, summary = fleet.run({**fleet.manifest(*map(portfolio, names)), "batch_size": 1})
        (key,) = (key for key in store.keys("") if key.endswith("/manifest.json"))
        files = json.loads(store.get(key))["ResultFiles"]["SUCCEEDED"]
        bodies = [store.get(each["Key"]) for each in files]
    assert len(files) > 1
    assert [each["Size"] for each in files] == [len(body) for body in bodies]
    children = [child for body in bodies for child in json.loads(body)]
    assert len({child["Name"] for child in children}) == 6
    assert (summary["calculated"], summary["batches"]["succeeded"]) == (6, 6)


def test_progress_is_told_in_batches(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        told: list[tuple[int, int, int]] = []
        request = {**it.manifest(*(portfolio(f"p{number}") for number in range(5))), "batch_size": 1}
        started = it.runtime.fleet.start_or_attach(request)
        it.runtime.fleet.wait(
            started.name, on_progress=lambda seen: told.append((seen.total, seen.succeeded, seen.failed)), timeout=60
        )
    assert told[-1] == (5, 5, 0)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_the_names_of_what_a_run_leaves_are_its_own(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution, _ = it.run(it.manifest(portfolio("p0")))
        keys = list(it.runtime.payload_store.keys("fleet/"))
        assert keys
        assert all(key.startswith(f"fleet/{execution.name}/") for key in keys)
