"""A run folded from its events: what `perfcalc watch` shows, and what it says in the end."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from workflows.cli import watching
from workflows.executions import Execution, ExecutionStatus
from workflows.watching import Failure, StepStatus, Verdict, WatchedRun

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Json = dict[str, Any]


class History:
    """Writes events, each a second after the one before."""

    def __init__(self) -> None:
        self.events: list[Json] = []

    def add(self, kind: str, after: int | None = None, **details: Any) -> int:
        number = len(self.events) + 1
        key = f"{kind[0].lower()}{kind[1:]}EventDetails"
        self.events.append(
            {
                "id": number,
                "previousEventId": number - 1 if after is None else after,
                "type": kind,
                "timestamp": START + timedelta(seconds=number),
                key: details,
            }
        )
        return number

    def map(self, name: str, length: int) -> int:
        self.add("MapStateEntered", name=name)
        return self.add("MapStateStarted", length=length)

    def iteration(self, name: str, index: int, after: int, entity: str = "") -> int:
        self.add("MapIterationStarted", after, name=name, index=index)
        entered = json.dumps({"entity": {"entity_id": entity}}) if entity else "{}"
        return self.add("TaskStateEntered", name="Calculate", input=entered)

    def fold(self) -> WatchedRun:
        watched = WatchedRun()
        watched.take(self.events)
        return watched


def execution(status: str, output: object = None, error: str | None = None, cause: str | None = None) -> Execution:
    return Execution(
        "arn", "x", ExecutionStatus(status), START, START + timedelta(seconds=3), error, cause, None, output
    )


def a_map_with_a_failure() -> History:
    """Three iterations: one works, one fails and is caught, one is tried again first and runs."""
    history = History()
    history.add("ExecutionStarted")
    started = history.map("Portfolios", 3)
    history.iteration("Portfolios", 0, started, "growth")
    history.add("TaskSucceeded")
    history.add("TaskStateExited", name="Calculate")
    history.add("MapIterationSucceeded", name="Portfolios", index=0)
    history.iteration("Portfolios", 1, started, "broken")
    cause = json.dumps({"errorMessage": "line 2: 'n/a'\nmust be a number", "errorType": "InvalidPortfolioError"})
    history.add("TaskFailed", error="InvalidPortfolioError", cause=cause)
    history.add("TaskStateExited", name="Calculate")
    history.add("PassStateEntered", name="RecordFailure")
    history.add("PassStateExited", name="RecordFailure")
    # Some engines have an iteration follow the end of the state before it, inside the iteration before.
    history.iteration("Portfolios", 2, history.add("MapIterationSucceeded", name="Portfolios", index=1) - 1, "slow")
    history.add("TaskFailed", error="ThrottledError", cause="")
    history.add("TaskScheduled")
    return history


def test_the_steps_are_the_states_of_the_execution_itself() -> None:
    history = a_map_with_a_failure()
    watched = history.fold()
    (step,) = watched.steps
    assert (step.name, step.status, step.retries) == ("Portfolios", StepStatus.RUNNING, 1)
    history.add("TaskSucceeded")
    history.add("TaskStateExited", name="Calculate")
    history.add("MapIterationSucceeded", name="Portfolios", index=2)
    history.add("MapStateSucceeded")
    history.add("MapStateExited", name="Portfolios")
    history.add("PassStateEntered", name="Summarise")
    history.add("PassStateExited", name="Summarise")
    history.add("ExecutionSucceeded")
    watched.take(history.events)
    assert [(step.name, step.status) for step in watched.steps] == [
        ("Portfolios", StepStatus.SUCCEEDED),
        ("Summarise", StepStatus.SUCCEEDED),
    ]
    assert watched.failed_step is None


def test_events_are_counted_once_however_often_they_are_read() -> None:
    history = a_map_with_a_failure()
    whole = history.fold()
    in_pieces = WatchedRun()
    for stop in range(len(history.events) + 1):
        in_pieces.take(history.events[: stop + 1])
    assert (in_pieces.steps, in_pieces.failures) == (whole.steps, whole.failures)


def test_a_map_is_counted_with_its_rate_and_what_is_left() -> None:
    watched = a_map_with_a_failure().fold()
    assert watched.step is not None
    iterations = watched.step.iterations
    assert iterations is not None
    counts = (iterations.total, iterations.done, iterations.succeeded, iterations.failed, iterations.caught)
    assert counts == (3, 2, 2, 0, 1)
    assert iterations.changed_at is not None
    seconds = (iterations.changed_at - iterations.started_at).total_seconds()
    assert iterations.rate == pytest.approx(2 / seconds)
    assert iterations.seconds_left == pytest.approx(seconds / 2)
    assert watching.progress(iterations) == f"2 of 3, 1 failed, {2 / seconds:.1f} a second, about 6 s left"


def test_a_caught_failure_is_told_with_its_entity_and_one_that_is_tried_again_is_not() -> None:
    watched = a_map_with_a_failure().fold()
    assert watched.failures == [
        Failure("Calculate", "broken", "InvalidPortfolioError", "line 2: 'n/a'\nmust be a number")
    ]
    assert watching.told(watched.failures[0]) == (
        "Calculate of broken: InvalidPortfolioError: line 2: 'n/a' must be a number"
    )


def test_an_iteration_that_tells_no_entity_is_named_by_its_number() -> None:
    history = History()
    history.iteration("Portfolios", 7, history.map("Portfolios", 8))
    history.add("TaskFailed", error="Boom", cause="free text")
    history.add("TaskStateExited", name="Calculate")
    assert [str(each) for each in history.fold().failures] == ["Calculate of iteration 7: Boom: free text"]


def test_an_engine_that_writes_no_exit_after_a_failure_is_understood() -> None:
    history = History()
    history.add("TaskStateEntered", name="Persist")
    history.add("TaskFailed", error="StoreError", cause="full")
    history.add("PassStateEntered", name="Report")
    assert [str(each) for each in history.fold().failures] == ["Persist: StoreError: full"]


def test_a_step_whose_failure_was_caught_is_neither_a_success_nor_the_one_that_failed() -> None:
    history = History()
    history.add("TaskStateEntered", name="Persist")
    history.add("LambdaFunctionTimedOut", error="States.Timeout", cause="")
    history.add("TaskStateExited", name="Persist")
    watched = history.fold()
    assert [step.status for step in watched.steps] == [StepStatus.CAUGHT]
    assert watched.failed_step is None


def test_a_failure_inside_a_map_that_ends_the_run_is_the_failed_step() -> None:
    history = History()
    history.iteration("Portfolios", 0, history.map("Portfolios", 2), "growth")
    history.add("TaskFailed", error="Runtime.ExitError", cause="died")
    history.add("MapIterationFailed", name="Portfolios", index=0)
    history.add("MapIterationAborted", name="Portfolios", index=1)
    history.add("MapStateFailed", after=len(history.events) - 1)
    history.add("ExecutionFailed", error="Runtime.ExitError", cause="died")
    watched = history.fold()
    assert [str(each) for each in watched.failures] == ["Calculate of growth: Runtime.ExitError: died"]
    assert watched.failed_step == "Calculate"
    assert watched.steps[0].status is StepStatus.FAILED
    assert watched.steps[0].iterations is not None
    assert watched.steps[0].iterations.failed == 2


@pytest.mark.parametrize(
    ("events", "step"),
    [
        ([("TaskStateEntered", "Validate"), ("ExecutionAborted", "")], "Validate"),
        ([("TaskStateEntered", "Validate"), ("ExecutionTimedOut", "")], "Validate"),
        ([("FailStateEntered", "AllFailed"), ("ExecutionFailed", "")], "AllFailed"),
        ([("ExecutionAborted", "")], "Execution"),
    ],
)
def test_the_failed_step_is_the_one_that_was_under_way(events: Sequence[tuple[str, str]], step: str) -> None:
    history = History()
    for kind, name in events:
        details: Json = {"name": name} if name else {"error": "Stopped", "cause": "by hand"}
        history.add(kind, **details)
    watched = history.fold()
    assert [str(each) for each in watched.failures] == [f"{step}: Stopped: by hand"]


def test_iterations_of_a_map_inside_a_map_are_not_counted_as_the_outer_one_s() -> None:
    history = History()
    outer = history.map("Batches", 2)
    history.add("MapIterationStarted", outer, name="Batches", index=0)
    inner = history.map("Portfolios", 5)
    history.iteration("Portfolios", 0, inner, "growth")
    history.add("TaskStateExited", name="Calculate")
    history.add("MapIterationSucceeded", name="Portfolios", index=0)
    watched = history.fold()
    (step,) = watched.steps
    assert step.iterations is not None
    assert (step.name, step.iterations.total, step.iterations.done) == ("Batches", 2, 0)


def map_run(**counts: int) -> Json:
    names = ("total", "pending", "running", "succeeded", "failed", "timedOut", "aborted")
    return {"mapRunArn": "arn:run", "itemCounts": dict.fromkeys(names, 0) | counts}


def test_a_distributed_map_is_counted_by_what_the_service_says() -> None:
    history = History()
    history.add("MapStateEntered", name="Batches")
    history.add("MapStateStarted")
    history.add("MapRunStarted", mapRunArn="arn:run")
    watched = history.fold()
    assert watched.step is not None
    assert watched.step.iterations is not None
    assert watched.step.iterations.run_arn == "arn:run"
    began = watched.step.started_at
    watched.take_map_run(
        map_run(total=1000, succeeded=240, failed=5, timedOut=3, aborted=2), began + timedelta(seconds=50)
    )
    iterations = watched.step.iterations
    assert iterations is not None
    assert (iterations.succeeded, iterations.failed) == (240, 10)
    assert (iterations.rate, iterations.seconds_left) == (5.0, 150.0)
    assert watching.progress(iterations) == "250 of 1,000, 10 failed, 5.0 a second, about 2 min 30 s left"


@pytest.mark.parametrize(("ends", "asked"), [({}, 2), ({"stopDate": START}, 1)])
def test_a_distributed_map_is_asked_for_until_its_last_counts_are_there(ends: Json, asked: int) -> None:
    history = History()
    history.add("MapStateEntered", name="Batches")
    history.add("MapRunStarted", mapRunArn="arn:run")
    history.add("MapStateExited", name="Batches")
    watched = history.fold()
    asked_for: list[str] = []

    class Executions:
        def map_run(self, arn: str) -> Json:
            asked_for.append(arn)
            return {**map_run(total=4, succeeded=3 + len(asked_for) - 1), **ends}

    for _ in range(2):
        watching._take_map_runs(Executions(), watched)  # type: ignore[arg-type]  # it needs no more of a client
    assert asked_for == ["arn:run"] * asked
    assert watched.step is not None
    assert watched.step.iterations is not None
    assert watched.step.iterations.done == 2 + asked


def verdict(ended: Execution, history: History | None = None) -> tuple[Verdict, str]:
    found = Verdict.of(ended, (history or History()).fold())
    return found, watching.sentence(found, "3.0 s").plain


def test_the_verdict_on_a_run_that_worked_counts() -> None:
    found, told = verdict(execution("SUCCEEDED", {"status": "PARTIAL", "calculated": 1234, "failed": 1}))
    assert told == "PARTIAL x: 1,234 calculated, 1 failed, in 3.0 s"
    assert found.step is None


@pytest.mark.parametrize(
    "failures",
    [
        {"failures": [{"entity_id": name, "error": error} for name, error in (("a", "B"), ("b", "A"), ("c", "A"))]},
        {"failures": {"bucket": "b", "key": "k"}, "failures_by_error": {"B": 1, "A": 2}},
    ],
    ids=["listed by a calculation", "counted by a fleet run"],
)
def test_the_verdict_says_of_what_portfolios_failed(failures: Json) -> None:
    output = {"status": "PARTIAL", "calculated": 2, "failed": 3, **failures}
    found, told = verdict(execution("SUCCEEDED", output))
    assert told == "PARTIAL x: 2 calculated, 3 failed (2 A, 1 B), in 3.0 s"
    assert found.failed_by_error == {"A": 2, "B": 1}


def test_the_verdict_on_a_run_that_went_on_names_the_step_whose_failure_was_caught() -> None:
    history = a_map_with_a_failure()
    history.add("TaskStateEntered", 1, name="PersistTimestream")
    history.add("TaskFailed", error="StoreError", cause="down")
    history.add("TaskStateExited", name="PersistTimestream")
    history.add("ExecutionSucceeded")
    output = {"status": "PARTIAL", "calculated": 2, "failed": 0, "failures": []}
    found, told = verdict(execution("SUCCEEDED", output), history)
    assert told == "PARTIAL x: PersistTimestream failed, StoreError: down; 2 calculated, 0 failed, in 3.0 s"
    assert (found.step, found.error, found.message) == ("PersistTimestream", "StoreError", "down")


def test_the_verdict_on_a_fleet_run_tells_of_batches_whose_time_series_failed() -> None:
    output = {"status": "PARTIAL", "calculated": 5, "failed": 0, "batches": {"planned": 5}}
    lacking = {"SUCCEEDED": 2, "DISABLED": 1, "BACKFILL_QUEUED": 2}
    found, told = verdict(execution("SUCCEEDED", {**output, "timestream": lacking}))
    reason = "the time series lacks records of some batches: 2 BACKFILL_QUEUED"
    assert told == f"PARTIAL x: PersistTimestream failed, {reason}; 5 calculated, 0 failed, in 3.0 s"
    assert (found.step, found.error, found.message) == ("PersistTimestream", None, reason)
    found, _ = verdict(execution("SUCCEEDED", {**output, "timestream": {"SUCCEEDED": 5}}))
    assert found.step is None


def test_the_verdict_on_a_run_that_tells_nothing_is_its_status() -> None:
    assert verdict(execution("SUCCEEDED", [1]))[1] == "SUCCEEDED x: in 3.0 s"


def test_the_verdict_on_a_run_that_failed_names_the_step_in_one_line() -> None:
    history = History()
    history.add("TaskStateEntered", name="ValidateInput")
    cause = json.dumps({"errorMessage": "2 faults in the request\n$.a: is missing\n" + "x" * 1000})
    history.add("TaskFailed", error="InvalidRequestError", cause=cause)
    history.add("ExecutionFailed", error="InvalidRequestError", cause=cause)
    found, told = verdict(execution("FAILED", error="InvalidRequestError", cause=cause), history)
    assert (found.step, found.error) == ("ValidateInput", "InvalidRequestError")
    assert told == "FAILED x: ValidateInput failed, InvalidRequestError: 2 faults in the request, in 3.0 s"
    wrong = json.dumps({"errorMessage": "a feed is wrong:\n" + "x" * 1000})
    told = verdict(execution("FAILED", error="InvalidPortfolioError", cause=wrong), history)[1]
    assert told.startswith("FAILED x: ValidateInput failed, InvalidPortfolioError: a feed is wrong: xxx")
    assert "\n" not in told
    assert len(told) < 400


def test_the_verdict_on_a_run_that_was_stopped_says_how_far_it_was() -> None:
    history = a_map_with_a_failure()
    history.add("ExecutionAborted", error="Stopped", cause="by hand.")
    found, told = verdict(execution("ABORTED", error="Stopped", cause="by hand."), history)
    assert told == "ABORTED x: stopped in Portfolios, Stopped: by hand; 1 calculated, 1 failed, in 3.0 s"
    assert (found.calculated, found.failed) == (1, 1)


def test_the_verdict_on_a_fleet_run_that_was_stopped_does_not_take_batches_for_portfolios() -> None:
    history = History()
    history.add("MapStateEntered", name="Batches")
    history.add("MapRunStarted", mapRunArn="arn:run")
    history.add("ExecutionAborted", error="Stopped", cause="by hand.")
    watched = history.fold()
    watched.take_map_run(map_run(total=375, succeeded=224, aborted=2), START)
    found = Verdict.of(execution("ABORTED", error="Stopped", cause="by hand."), watched)
    assert (found.calculated, found.failed) == (None, None)
    told = watching.sentence(found, "3.0 s").plain
    assert told == "ABORTED x: stopped in Batches, Stopped: by hand; 224 of 375 batches succeeded, in 3.0 s"


def test_the_verdict_on_a_fleet_run_that_failed_after_its_batches_does_not_count_them() -> None:
    history = History()
    history.add("MapStateEntered", name="Batches")
    history.add("MapRunStarted", mapRunArn="arn:run")
    history.add("MapStateExited", name="Batches")
    history.add("FailStateEntered", name="RunFailed")
    history.add("ExecutionFailed", error="FleetRunFailed", cause="None could be calculated.")
    failed = execution("FAILED", error="FleetRunFailed", cause="None could be calculated.")
    assert verdict(failed, history)[1] == (
        "FAILED x: RunFailed failed, FleetRunFailed: None could be calculated, in 3.0 s"
    )


def lines_as_they_come(events: Sequence[Mapping[str, Any]], ends: Execution) -> Iterator[str]:
    lines, watched = watching.Lines(), WatchedRun()
    running = execution("RUNNING")
    for event in events:
        watched.take([event])
        yield from lines.new(running, watched)
    yield from lines.new(ends, watched)


def test_without_a_terminal_each_thing_is_a_line_once() -> None:
    told = list(lines_as_they_come(a_map_with_a_failure().events, execution("RUNNING")))
    assert told[0] == "x RUNNING, started 2026-01-02 03:04:05 UTC"
    assert told[1] == "Portfolios entered"
    assert told[2].startswith("Portfolios 1 of 3, ")
    assert told[3] == "! Calculate of broken: InvalidPortfolioError: line 2: 'n/a' must be a number"
    assert told[4].startswith("Portfolios 2 of 3, 1 failed, ")
    assert len(told) == 5


def test_a_map_of_thousands_is_some_ten_lines() -> None:
    history = History()
    started = history.map("Portfolios", 3000)
    for index in range(3000):
        history.iteration("Portfolios", index, started)
        history.add("TaskStateExited", name="Calculate")
        history.add("MapIterationSucceeded", name="Portfolios", index=index)
    told = [line for line in lines_as_they_come(history.events, execution("RUNNING")) if " of 3,000" in line]
    assert len(told) == 10
    assert told[-1].startswith("Portfolios 3,000 of 3,000, ")


def test_on_a_terminal_a_run_is_a_table_and_its_last_failures() -> None:
    history = a_map_with_a_failure()
    watched = history.fold()
    watched.failures = [Failure("Calculate", f"p{number}", "Boom", "[red]x[/red]") for number in range(8)]
    console = Console(width=120, record=True)
    with console.capture() as capture:
        console.print(watching.picture(execution("RUNNING"), watched))
    shown = capture.get()
    assert "x  RUNNING" in shown
    assert "… Portfolios" in shown
    assert "2 of 3, 1 failed" in shown
    assert "and 3 failures before these" in shown
    assert "p2" not in shown
    assert "! Calculate of p7: Boom: [red]x[/red]" in shown


def test_the_document_has_the_steps_the_counts_and_the_failures() -> None:
    history = a_map_with_a_failure()
    history.add("ExecutionAborted", error="Stopped", cause="by hand")
    ended = execution("ABORTED", error="Stopped", cause="by hand")
    watched = history.fold()
    found = watching.document(ended, watched, Verdict.of(ended, watched))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["status"], found["step"], found["error"]) == ("ABORTED", "Portfolios", "Stopped")
    (step,) = found["steps"]
    assert step["iterations"] == {"total": 3, "succeeded": 2, "failed": 0, "caught": 1}
    assert [each["subject"] for each in found["failures"]] == ["broken", None]
