"""Every path of the real definition through the real handlers: what ends up in the stores and in the history."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from common.models.kinds import EntityType
from common.stores.dynamodb import result_store
from common.stores.ports import ResultKey
from tests.time_series import SPECIFIED_QUERY
from tests.workflow.other_engine import ENDPOINT, executions_elsewhere
from workflows.executions import Execution, ExecutionClient, ExecutionStatus
from workflows.local.lambda_host import Faults, Injected, LambdaHost, Refusal
from workflows.local.runtime import LocalRuntime
from workflows.registry import BACKFILL_QUEUE, TASKS

AS_OF = "2024-03-29"


class ThrottledError(Exception):
    """Has the name that the definition retries."""


def portfolio(name: str, **changes: Any) -> dict[str, Any]:
    dates = [f"2024-{month:02}-{day:02}" for month in (1, 2, 3) for day in range(1, 30)]
    values = [1000.0 * 1.001**index for index in range(len(dates))]
    return {"portfolio_id": name, "valuations": {"dates": dates, "values": values}, **changes}


def request(count: int = 3, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": "nightly",
        "as_of_date": AS_OF,
        "time_periods": ["MTD", "ITD"],
        "portfolios": [portfolio(f"p-{index}") for index in range(count)],
        **changes,
    }


BROKEN = portfolio("p-broken", valuations={"source": "s3://performance-payloads/none.csv"})


@dataclass
class World:
    """The local runtime, with what the tests ask of it."""

    runtime: LocalRuntime
    executions: ExecutionClient

    def run(self, document: dict[str, Any]) -> Execution:
        timeout = 60 if ENDPOINT is None else 900  # another engine waits its retries out
        return self.executions.wait(self.executions.start_or_attach(document).name, timeout=timeout)

    def rows(self, *names: str) -> list[dict[str, Any]]:
        keys = [ResultKey(EntityType.PORTFOLIO, name, date.fromisoformat(AS_OF)) for name in names]
        found = self.runtime.result_store.read_many(keys)
        return [found[key] for key in keys if key in found]

    def records(self) -> list[dict[str, Any]]:
        _, rows = self.runtime.time_series_reader.query(
            "SELECT * FROM investment_performance.performance_metrics ORDER BY ALL"
        )
        return [dict(row) for row in rows]

    def backfill(self) -> list[dict[str, Any]]:
        answer = self.runtime.sqs.receive_message(QueueUrl=self.runtime.backfill_queue_url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", ())]

    def steps(self, execution: Execution) -> list[str]:
        """Return the steps entered outside the Map, in order."""
        inside = {"CalculatePortfolio", "ReadReason", "RecordFailure", "RecordCrash"}
        inside |= {"WasRefused", "RecordRefusal", "KeepOutcome"}
        events = self.executions.history(execution.name)
        entered = [event.step or "" for event in events if event.type.endswith("StateEntered")]
        return [step for step in entered if step not in inside]


@contextmanager
def world(directory: Path, faults: Faults | None = None, **options: Any) -> Iterator[World]:
    with LocalRuntime(directory, faults=faults, retry_delay_scale=0.001, **options) as runtime:
        if ENDPOINT is None:
            yield World(runtime, runtime.executions)
            return
        host = LambdaHost(TASKS, faults=faults)
        queue = {BACKFILL_QUEUE: runtime.backfill_queue_url}
        with executions_elsewhere(ENDPOINT, host, queue) as executions:
            yield World(runtime, executions)


in_this_process = pytest.mark.skipif(
    ENDPOINT is not None, reason="the queue, or the archive of executions, is this process's own"
)


def failing(function: str, faults: list[Injected | None], *, only: str | None = None) -> Faults:
    """Let the first invocations of a function fail, one after the other; `only` for one portfolio."""

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if name != function or (only and event.get("entity", {}).get("entity_id") != only):
            return None
        return faults[attempt - 1] if attempt <= len(faults) else None

    return fault


def always(function: str, make: Callable[[], Injected], *, only: str | None = None) -> Faults:
    def fault(name: str, event: Any, _: int) -> Injected | None:
        if name != function or (only and event.get("entity", {}).get("entity_id") != only):
            return None
        return make()

    return fault


def test_success(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution = it.run(request())
        assert execution.status is ExecutionStatus.SUCCEEDED
        assert execution.output == {
            "status": "SUCCEEDED",
            "request_id": "nightly",
            "calculated": 3,
            "cached": 0,
            "failed": 0,
            "dynamodb": {"written": 3, "superseded": 0},
            "timestream": {"status": "SUCCEEDED", "written": 24, "superseded": 0, "rejected": 0, "rejections": []},
            "rows": [
                {"entity_type": "portfolio", "entity_id": f"p-{index}", "calculation_date": AS_OF} for index in range(3)
            ],
            "failures": [],
        }
        (row,) = it.rows("p-0")
        assert row["time_period"] == "MTD"
        assert row["periods"]["ITD"]["twr"] == pytest.approx(1.001**86 - 1)
        assert it.steps(execution) == [
            "ValidateInput",
            "CalculatePortfolios",
            "PersistDynamoDB",
            "CountCalculated",
            "AnyCalculated",
            "PersistTimestream",
            "SummariseCalculation",
            "DecideStatus",
            "Succeeded",
        ]


def test_the_specified_query_returns_the_stored_values(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        it.run(request(1))
        columns, rows = it.runtime.time_series_reader.query(SPECIFIED_QUERY)
        found = [dict(row) for row in rows]
        (stored,) = it.rows("p-0")
    assert list(columns) == ["time", "twr"]
    assert sorted(each["twr"] for each in found) == sorted(each["twr"] for each in stored["periods"].values())
    assert {str(each["time"])[:19] for each in found} == {"2024-03-29 00:00:00"}


def test_a_broken_portfolio_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution = it.run(request(portfolios=[portfolio("p-0"), BROKEN, portfolio("p-2")]))
        assert execution.status is ExecutionStatus.SUCCEEDED
        assert execution.output["status"] == "PARTIAL"
        assert execution.output["failures"] == [
            {
                "entity_type": "portfolio",
                "entity_id": "p-broken",
                "error": "InputNotFoundError",
                "message": "s3://performance-payloads/none.csv: there is no such object, or it may not be read",
            }
        ]
        assert len(it.rows("p-0", "p-2")) == 2
        attempts = [event for event in it.executions.history(execution.name) if event.type == "TaskFailed"]
        assert len(attempts) == 1


def test_nothing_calculated_is_a_failed_execution(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution = it.run(request(portfolios=[BROKEN]))
        assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "AllPortfoliosFailed")
        assert execution.cause == "None of 1 entities could be calculated; the first failed with InputNotFoundError."
        last = it.executions.last_input(execution.name)
        assert last["failures"][0]["entity_id"] == "p-broken"
        assert (last["status"], last["calculated"], last["rows"]) == ("FAILED", 0, [])
        assert it.records() == []


def test_a_wrong_request_fails_at_once_with_every_fault(tmp_path: Path) -> None:
    document = request(max_concurrency=99, portfolios=[portfolio("p", currency="dollar")])
    with world(tmp_path) as it:
        execution = it.run(document)
        assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "InvalidRequestError")
        message = json.loads(execution.cause or "")["errorMessage"]
        assert "$.max_concurrency: must be at most 40" in message
        assert "$.portfolios[0].currency: must be three capital letters" in message
        assert it.steps(execution) == ["ValidateInput"]
        assert it.records() == []


@pytest.mark.parametrize("function", ["ValidateInput", "CalculatePortfolio", "PersistDynamoDB", "PersistTimestream"])
@pytest.mark.parametrize("fault", [Refusal(), ThrottledError("slow down"), SystemExit(1)])
def test_throttled_or_dead_and_then_fine(tmp_path: Path, function: str, fault: Injected) -> None:
    with world(tmp_path, failing(function, [fault, fault])) as it:
        execution = it.run(request(1))
        assert execution.output["status"] == "SUCCEEDED"
        types = [event.type for event in it.executions.history(execution.name)]
        assert types.count("TaskFailed") == 2
        assert len(it.rows("p-0")) == 1


def test_throttled_to_the_end_is_a_failure_after_eight_retries(tmp_path: Path) -> None:
    with world(tmp_path, always("CalculatePortfolio", Refusal, only="p-1")) as it:
        execution = it.run(request(3))
        assert execution.output["status"] == "PARTIAL"
        (failure,) = execution.output["failures"]
        assert (failure["entity_id"], failure["error"]) == ("p-1", "Lambda.TooManyRequestsException")
        errors = [event.error for event in it.executions.history(execution.name) if event.type == "TaskFailed"]
        assert errors == ["Lambda.TooManyRequestsException"] * 9


def test_a_function_that_keeps_dying_is_a_failure_after_four_retries(tmp_path: Path) -> None:
    with world(tmp_path, always("CalculatePortfolio", lambda: SystemExit(137), only="p-1")) as it:
        execution = it.run(request(2))
        (failure,) = execution.output["failures"]
        assert failure["error"] == "Runtime.ExitError"
        assert "history" in failure["message"]
        errors = [event.error for event in it.executions.history(execution.name) if event.type == "TaskFailed"]
        assert len(errors) == 5


def test_an_error_of_ours_that_nobody_foresaw_is_not_retried(tmp_path: Path) -> None:
    with world(tmp_path, always("CalculatePortfolio", lambda: KeyError("oops"), only="p-0")) as it:
        execution = it.run(request(2))
        (failure,) = execution.output["failures"]
        assert failure["error"] == "KeyError"
        errors = [event.error for event in it.executions.history(execution.name) if event.type == "TaskFailed"]
        assert len(errors) == 1


def test_rows_half_written_are_completed_by_the_retry(tmp_path: Path) -> None:
    """DynamoDB takes some rows and refuses the rest; the state is tried again and all rows are the same."""
    with world(tmp_path) as it:
        fail_updates(it, after=4, times=1)
        execution = it.run(request(12))
        assert execution.output["status"] == "SUCCEEDED"
        errors = [event.error for event in it.executions.history(execution.name) if event.type == "TaskFailed"]
        assert errors == ["ThrottledError"]
        rows = it.rows(*(f"p-{index}" for index in range(12)))
        assert len(rows) == 12
        assert {row["created_at"] for row in rows} == {row["updated_at"] for row in rows}


def test_dynamodb_down_fails_the_execution(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        fail_updates(it, after=0, times=10_000)
        execution = it.run(request(1))
        assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "ThrottledError")
        assert it.records() == []


def test_a_refused_row_is_a_failure_and_the_others_are_kept(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        refuse_rows(it, "p-1", "p-3")
        execution = it.run(request(portfolios=[BROKEN, *(portfolio(f"p-{index}") for index in range(4))]))
        assert execution.status is ExecutionStatus.SUCCEEDED
        output = execution.output
        assert (output["status"], output["calculated"], output["failed"]) == ("PARTIAL", 2, 3)
        assert output["dynamodb"] == {"written": 2, "superseded": 0}
        assert [row["entity_id"] for row in output["rows"]] == ["p-0", "p-2"]
        assert [(each["entity_id"], each["error"]) for each in output["failures"]] == [
            ("p-broken", "InputNotFoundError"),
            ("p-1", "StoreError"),
            ("p-3", "StoreError"),
        ]
        assert output["failures"][1] == {
            "entity_type": "portfolio",
            "entity_id": "p-1",
            "error": "StoreError",
            "message": f"DynamoDB: {TOO_LARGE}",
        }
        assert [row["entity_id"] for row in it.rows("p-0", "p-1", "p-2", "p-3")] == ["p-0", "p-2"]
        # Nothing of a refused row is in the time series, and nobody counts it there.
        assert {record["entity_id"] for record in it.records()} == {"p-0", "p-2"}
        assert output["timestream"]["written"] == 16
        # The rows that were taken were written once.
        steps = it.steps(execution)
        assert (steps.count("PersistDynamoDB"), steps.count("RecordRefusals")) == (1, 1)
        assert steps[-6:] == [
            "CountStored",
            "AnyCalculated",
            "PersistTimestream",
            "SummariseCalculation",
            "DecideStatus",
            "Partial",
        ]


def test_if_all_rows_are_refused_nothing_is_calculated(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        refuse_rows(it, "p-0", "p-1")
        execution = it.run(request(2))
        assert (execution.status, execution.error) == (ExecutionStatus.FAILED, "AllPortfoliosFailed")
        assert execution.cause == "None of 2 entities could be calculated; the first failed with StoreError."
        last = it.executions.last_input(execution.name)
        assert [each["entity_id"] for each in last["failures"]] == ["p-0", "p-1"]
        assert (last["calculated"], last["failed"], last["rows"]) == (0, 2, [])
        assert it.records() == []


@in_this_process
def test_a_refused_row_is_not_in_the_backfill(tmp_path: Path) -> None:
    def down(operation: str, _: Any) -> Any:
        return "InternalServerException" if operation == "WriteRecords" else None

    with world(tmp_path, timestream_faults=down) as it:
        refuse_rows(it, "p-0")
        execution = it.run(request(2))
        assert (execution.output["status"], execution.output["failed"]) == ("PARTIAL", 1)
        (message,) = it.backfill()
        assert [row["entity_id"] for row in message["rows"]] == ["p-1"]


@pytest.mark.slow
def test_explicit_periods_without_end_fail_no_run(tmp_path: Path) -> None:
    """Sixteen requests of 32 periods each are more than an item holds."""
    with world(tmp_path) as it:
        for number in range(16):
            first = [date(2024, 1, 1) + timedelta(days=each) for each in range(32)]
            labels = [f"{day}/{date(2024, 3, 1) + timedelta(days=number)}" for day in first]
            execution = it.run(request(2, request_id=f"r-{number}", time_periods=["YTD", *labels[:31]]))
            assert execution.output["status"] == "SUCCEEDED"
        for row in it.rows("p-0", "p-1"):
            assert {label for label in row["periods"] if "/" not in label} == {"YTD"}
            assert set(labels[:31]) < set(row["periods"])
            assert len(row["periods"]) < 16 * 31


@in_this_process
def test_timestream_down_leaves_the_rows_and_a_message(tmp_path: Path) -> None:
    def down(operation: str, _: Any) -> Any:
        return "InternalServerException" if operation == "WriteRecords" else None

    with world(tmp_path, timestream_faults=down) as it:
        execution = it.run(request(2))
        assert execution.status is ExecutionStatus.SUCCEEDED
        assert execution.output["status"] == "PARTIAL"
        assert execution.output["timestream"] == {"status": "BACKFILL_QUEUED", "error": "TransientError"}
        assert len(it.rows("p-0", "p-1")) == 2
        (message,) = it.backfill()
        assert message["error"] == "TransientError"
        assert [row["entity_id"] for row in message["rows"]] == ["p-0", "p-1"]
        assert message["run"]["execution_name"] == execution.name
    with world(tmp_path) as it:
        assert it.backfill() == [message]


@in_this_process
def test_a_deployment_without_a_time_series_succeeds(tmp_path: Path) -> None:
    with world(tmp_path, settings={"TIMESTREAM_DATABASE": "", "TIMESTREAM_TABLE": ""}) as it:
        execution = it.run(request(2))
        assert execution.status is ExecutionStatus.SUCCEEDED
        assert execution.output["status"] == "SUCCEEDED"
        assert execution.output["timestream"]["status"] == "DISABLED"
        assert len(it.rows("p-0", "p-1")) == 2
        assert it.backfill() == []
        failed = it.run(request(1, portfolios=[portfolio("p-0"), BROKEN]))
        assert failed.output["status"] == "PARTIAL"


def test_payloads_above_their_share_travel_by_key(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        periods = ["MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "ITD"]
        execution = it.run(request(60, time_periods=periods))
        assert execution.output["calculated"] == 60
        assert len(it.rows(*(f"p-{index}" for index in range(60)))) == 60
        assert it.runtime.payload_store.get(f"results/{execution.name}/portfolio/p-59/{AS_OF}.json").startswith(
            b'{"entity_type"'
        )


def test_a_second_run_of_the_same_request_leaves_the_same_rows(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        first = it.run(request(2))
        before, records = it.rows("p-0", "p-1"), it.records()
        second = it.run(request(2))
        after = it.rows("p-0", "p-1")
        assert second.name == f"{first.name}-2"
        assert [row["created_at"] for row in after] == [row["created_at"] for row in before]
        assert [unversioned(row) for row in after] == [unversioned(row) for row in before]
        assert it.records() == records


def test_another_request_adds_its_periods(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        it.run(request(1))
        it.run(request(1, request_id="other", time_periods=["YTD"]))
        (row,) = it.rows("p-0")
        assert set(row["periods"]) == {"MTD", "ITD", "YTD"}
        assert row["time_period"] == "YTD"


@in_this_process
def test_results_and_executions_outlive_the_process(tmp_path: Path) -> None:
    with world(tmp_path) as it:
        execution = it.run(request(1))
        rows, records = it.rows("p-0"), it.records()
    with world(tmp_path) as it:
        assert it.rows("p-0") == rows
        assert it.records() == records
        assert it.executions.describe(execution.name) == execution
        assert it.executions.history(execution.name)


def test_concurrency_is_what_the_request_asks_for(tmp_path: Path) -> None:
    running, most = 0, 0
    with world(tmp_path) as it:
        execution = it.run(request(8, max_concurrency=1))
        events = it.executions.history(execution.name)
    for event in events:
        running += {"MapIterationStarted": 1, "MapIterationSucceeded": -1}.get(event.type, 0)
        most = max(most, running)
    assert most == 1


def unversioned(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without what tells one execution from another."""
    kept = {name: value for name, value in row.items() if name not in {"version", "updated_at", "periods"}}
    periods = {
        label: {name: value for name, value in period.items() if name != "version"}
        for label, period in row["periods"].items()
    }
    return {**kept, "periods": periods}


TOO_LARGE = "Item size to update has exceeded the maximum allowed size"


def refuse_rows(it: World, *names: str) -> None:
    """Let DynamoDB refuse the rows of some portfolios, as it does those that are too large for an item."""

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if json.loads(params["body"])["Key"]["id"]["S"].partition("#")[2] in names:
            error = {"Code": "ValidationException", "Message": TOO_LARGE}
            answer: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, "UpdateItem")

    _before_updates(refuse)


def fail_updates(it: World, *, after: int, times: int) -> None:
    """Let DynamoDB throttle every update from the `after`-th on, `times` of them, in the functions' own client."""
    seen = {"calls": 0, "failed": 0}

    def throttle(**_: Any) -> None:
        seen["calls"] += 1
        if seen["calls"] > after and seen["failed"] < times:
            seen["failed"] += 1
            code = "ProvisionedThroughputExceededException"
            answer: Any = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
            raise ClientError(answer, "UpdateItem")

    _before_updates(throttle)


def _before_updates(hook: Callable[..., None]) -> None:
    # A client copies the session's hooks when it is made: let the function make a new one.
    result_store.cache_clear()
    assert boto3.DEFAULT_SESSION is not None
    boto3.DEFAULT_SESSION.events.register("before-call.dynamodb.UpdateItem", hook)
