"""What the console makes of histories: visits, graph, steps, events, timeline; on real ones and on told ones."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputNotFoundError, InvalidRequestError, ThrottledError
from tests.console import BEGIN, MACHINE_ARN, ConsoleWorld, Telling, TellingClient, console_world, map_history
from workflows.console.events import event_page, event_types, find_event
from workflows.console.formats import duration, pretty
from workflows.console.graph import EdgeKind, condition, graph_of, node_states, taken
from workflows.console.histories import ExecutionHistory, Histories
from workflows.console.json_places import line_of, lines_of
from workflows.console.listing import Filter, list_executions
from workflows.console.references import ExecutionReference, MapRunReference, state_machines
from workflows.console.rerun import NothingToRerunError, rerun_request
from workflows.console.service import StepFunctions
from workflows.console.states import StateStatus, counts_of
from workflows.console.steps import iteration_label, step_page, worst_first
from workflows.console.timeline import Bar, lanes, timeline_of
from workflows.console.visits import Visits
from workflows.definitions import load
from workflows.executions import ExecutionStatus

pytestmark = pytest.mark.xdist_group("console")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    with console_world(tmp_path_factory.mktemp("console")) as it:
        yield it


@pytest.fixture(scope="module")
def mixed(world: ConsoleWorld) -> ExecutionHistory:
    return world.console.histories.read(world.mixed.arn)


@pytest.fixture(scope="module")
def failed(world: ConsoleWorld) -> ExecutionHistory:
    return world.console.histories.read(world.failed.arn)


def folded(events: list[dict[str, Any]]) -> Visits:
    visits = Visits()
    for event in events:
        visits.fold(event)
    return visits


def statuses(visits: Visits) -> dict[str, StateStatus]:
    return {name: state.status for name, state in node_states(visits).items()}


# On real histories


def test_each_state_of_a_real_run_has_the_colour_it_earned(mixed: ExecutionHistory) -> None:
    found = statuses(mixed.visits)
    assert found["ValidateInput"] is StateStatus.SUCCEEDED
    assert found["CalculatePortfolio"] is StateStatus.CAUGHT
    assert found["RecordFailure"] is StateStatus.SUCCEEDED
    assert found["PersistDynamoDB"] is StateStatus.RETRIED
    assert found["Partial"] is StateStatus.SUCCEEDED
    assert not {"RecordCrash", "QueueBackfill", "AllFailed", "Succeeded"} & found.keys()
    assert mixed.visits.status is ExecutionStatus.SUCCEEDED


def test_the_map_of_a_real_run_counts_its_iterations(mixed: ExecutionHistory) -> None:
    state = node_states(mixed.visits)["CalculatePortfolios"]
    assert state.iterations is not None
    assert (state.iterations.total, state.iterations.succeeded, state.iterations.caught) == (3, 3, 1)
    assert (state.iterations.failed, state.iterations.running, state.iterations.aborted) == (0, 0, 0)


def test_attempts_of_a_real_run_have_their_errors_and_durations(mixed: ExecutionHistory) -> None:
    (visit,) = [each for each in mixed.visits.visits if each.name == "PersistDynamoDB"]
    assert [each.error for each in visit.attempts] == ["ThrottledError", "ThrottledError", None]
    assert all(each.ended and each.ended >= each.started for each in visit.attempts)
    assert node_states(mixed.visits)["PersistDynamoDB"].retries == 2
    assert visit.resource == "lambda:invoke"
    assert json.loads(visit.output or "")["dynamodb"]["written"] == 2


def test_a_caught_error_keeps_its_cause_and_its_iteration(mixed: ExecutionHistory) -> None:
    (visit,) = [each for each in mixed.visits.visits if each.status is StateStatus.CAUGHT]
    assert (visit.name, visit.error) == ("CalculatePortfolio", "InputNotFoundError")
    assert "there is no such object" in (visit.cause or "")
    assert iteration_label(visit.iteration) == "#2 p-broken"


def test_a_real_run_that_failed_fails_in_its_last_state(failed: ExecutionHistory) -> None:
    found = statuses(failed.visits)
    assert failed.visits.status is ExecutionStatus.FAILED
    assert found["AllFailed"] is StateStatus.FAILED
    assert found["CalculatePortfolios"] is StateStatus.SUCCEEDED
    (visit,) = [each for each in failed.visits.visits if each.name == "AllFailed"]
    assert visit.error == "AllPortfoliosFailed"


def test_every_visit_of_a_real_run_ends_after_it_began(mixed: ExecutionHistory, failed: ExecutionHistory) -> None:
    for history in (mixed, failed):
        for visit in history.visits.visits:
            assert visit.exited is not None
            assert visit.exited >= visit.entered
            assert visit.outcome is not None


def test_the_ways_taken_are_edges_of_the_real_definition(mixed: ExecutionHistory, world: ConsoleWorld) -> None:
    scope = graph_of(world.console.service.definition(world.mixed.arn))
    (inner,) = next(node for node in scope.nodes if node.name == "CalculatePortfolios").inner
    edges = {(edge.source, edge.target) for edge in (*scope.edges, *inner.edges)}
    ways = taken(mixed.visits)
    assert ways <= edges
    assert {("ValidateInput", "CalculatePortfolios"), ("CalculatePortfolio", "ReadReason")} <= ways
    assert ("CalculatePortfolio", "RecordCrash") not in ways


def test_the_table_has_a_line_for_each_visit_of_a_real_run(mixed: ExecutionHistory) -> None:
    page = step_page(mixed.visits, mixed.events[0]["timestamp"])
    assert page.found == len([event for event in mixed.events if event["type"].endswith("StateEntered")])
    assert page.lines[0].visit.name == "ValidateInput"
    caught = step_page(mixed.visits, BEGIN, status=StateStatus.CAUGHT)
    assert [line.iteration for line in caught.lines] == ["#2 p-broken"]
    by_id = step_page(mixed.visits, BEGIN, text="P-BROKEN", name="CalculatePortfolio")
    assert [line.iteration for line in by_id.lines] == ["#2 p-broken"]
    assert step_page(mixed.visits, BEGIN, text="no such text").found == 0


def test_events_of_a_real_run_are_filtered_by_type_and_text(mixed: ExecutionHistory) -> None:
    assert event_page(mixed, BEGIN).found == len(mixed.events)
    failures = event_page(mixed, BEGIN, kind="Failures")
    assert [line.type for line in failures.lines] == ["TaskFailed"] * 3
    assert {line.step for line in failures.lines} == {"CalculatePortfolio", "PersistDynamoDB"}
    assert event_page(mixed, BEGIN, kind="Failures", text="slow").found == 2
    assert event_page(mixed, BEGIN, kind="MapIterationStarted").found == 3
    assert {line.type for line in event_page(mixed, BEGIN, kind="Execution").lines} == {
        "ExecutionStarted",
        "ExecutionSucceeded",
    }
    assert event_page(mixed, BEGIN, kind="NoSuchType").found == 0
    assert "TaskFailed" in event_types(mixed)


def test_a_state_is_entered_as_late_by_its_event_as_by_its_step(mixed: ExecutionHistory, world: ConsoleWorld) -> None:
    started = world.mixed.started_at
    entered = event_page(mixed, started, kind="MapStateEntered").lines[0]
    (step,) = [line for line in step_page(mixed.visits, started).lines if line.visit.type == "Map"]
    assert entered.elapsed_ms == step.elapsed_ms
    assert event_page(mixed, started - timedelta(seconds=7)).lines[0].elapsed_ms >= 7000


def test_an_event_knows_its_step_and_its_iteration(mixed: ExecutionHistory) -> None:
    (line,) = [each for each in event_page(mixed, BEGIN, kind="Failures").lines if each.step == "CalculatePortfolio"]
    assert (line.iteration, line.error) == (2, "InputNotFoundError")
    assert line.visit is not None
    found = find_event(mixed, line.id)
    assert found is not None
    assert found["type"] == "TaskFailed"
    assert find_event(mixed, 10_000) is None
    assert find_event(mixed, 0) is None


def test_the_timeline_of_a_real_run_puts_iterations_below_their_map(
    mixed: ExecutionHistory, world: ConsoleWorld
) -> None:
    stopped = world.mixed.stopped_at
    assert stopped is not None
    found = timeline_of(mixed.visits, world.mixed.started_at, stopped)
    names = [row.name for row in found.rows]
    assert names[:3] == ["ValidateInput", "CalculatePortfolios", ""]
    bars = [bar for row in found.rows if not row.name for bar in row.bars]
    assert sorted(bar.label for bar in bars) == ["#0", "#1", "#2"]
    assert [bar.status for bar in bars if bar.label == "#2"] == [StateStatus.CAUGHT]
    assert found.end >= max(bar.end for bar in bars)


def test_the_history_of_a_real_run_is_read_once(world: ConsoleWorld) -> None:
    console = world.console
    first = console.histories.read(world.good.arn)
    count = len(first.events)
    assert console.histories.read(world.good.arn) is first
    assert len(first.events) == count
    assert first.complete
    assert first.ended


# What a history says while it grows, and where it ends badly


def running_map() -> Telling:
    tell = Telling()
    last = tell("ExecutionStarted", 0, {"input": "{}"})
    entered = tell("MapStateEntered", last, {"name": "Each", "input": "[]"})
    started = tell("MapStateStarted", entered, {"length": 5})
    for index in range(3):
        at = tell("MapIterationStarted", started, {"name": "Each", "index": index})
        tell("TaskStateEntered", at, {"name": "Work"})
    return tell


def test_what_is_under_way_is_running() -> None:
    visits = folded(running_map().events)
    assert statuses(visits) == {"Each": StateStatus.RUNNING, "Work": StateStatus.RUNNING}
    counts = node_states(visits)["Each"].iterations
    assert counts is not None
    assert (counts.total, counts.running) == (5, 3)


def test_a_task_that_waits_for_its_next_attempt_runs() -> None:
    tell = Telling()
    at = tell("TaskStateEntered", tell("ExecutionStarted", 0), {"name": "Work"})
    at = tell("LambdaFunctionScheduled", at, {"resource": "arn:aws:lambda:eu-west-1:1:function:f"})
    tell("LambdaFunctionTimedOut", at)
    visits = folded(tell.events)
    assert visits.visits[0].status is StateStatus.RUNNING
    assert visits.visits[0].attempts[0].error == "States.Timeout"
    assert visits.visits[0].resource == "f"


@pytest.mark.parametrize(
    ("end", "status"),
    [("ExecutionAborted", ExecutionStatus.ABORTED), ("ExecutionTimedOut", ExecutionStatus.TIMED_OUT)],
)
def test_the_end_of_an_execution_ends_what_ran_in_it(end: str, status: ExecutionStatus) -> None:
    tell = running_map()
    tell(end, 0, {"error": "Stopped"})
    visits = folded(tell.events)
    assert visits.status is status
    assert set(statuses(visits).values()) == {StateStatus.ABORTED}
    counts = node_states(visits)["Each"].iterations
    assert counts is not None
    assert (counts.aborted, counts.running) == (3, 0)


def failing_map() -> Telling:
    """One iteration of two fails while the other runs."""
    tell = Telling()
    entered = tell("MapStateEntered", tell("ExecutionStarted", 0), {"name": "Each"})
    started = tell("MapStateStarted", entered, {"length": 2})
    first = tell("MapIterationStarted", started, {"name": "Each", "index": 0})
    second = tell("MapIterationStarted", started, {"name": "Each", "index": 1})
    one = tell("TaskStateEntered", first, {"name": "Work"})
    other = tell("TaskStateEntered", second, {"name": "Work"})
    one = tell("TaskScheduled", one, {"resource": "invoke", "resourceType": "lambda"})
    tell("TaskScheduled", other, {"resource": "invoke", "resourceType": "lambda"})
    one = tell("TaskFailed", one, {"error": "Broken", "cause": "why"})
    one = tell("MapIterationFailed", one, {"name": "Each", "index": 0})
    tell("MapStateFailed", one, {"error": "Broken", "cause": "why"})
    return tell


def test_a_failed_iteration_fails_its_map_and_the_execution() -> None:
    tell = failing_map()
    tell("ExecutionFailed", len(tell.events), {"error": "Broken"})
    visits = folded(tell.events)
    assert statuses(visits) == {"Each": StateStatus.FAILED, "Work": StateStatus.FAILED}
    counts = node_states(visits)["Each"].iterations
    assert counts is not None
    assert (counts.failed, counts.aborted) == (1, 1)
    # The one that ran still has not failed itself.
    assert [visit.status for visit in visits.visits if visit.name == "Work"] == [
        StateStatus.FAILED,
        StateStatus.ABORTED,
    ]


def test_a_map_whose_failure_is_caught_leaves_nothing_running() -> None:
    tell = failing_map()
    at = tell("MapStateExited", len(tell.events), {"name": "Each", "output": "{}"})
    at = tell("PassStateEntered", at, {"name": "Mend"})
    at = tell("PassStateExited", at, {"name": "Mend", "output": "{}"})
    tell("ExecutionSucceeded", at, {"output": "{}"})
    visits = folded(tell.events)
    assert statuses(visits) == {
        "Each": StateStatus.CAUGHT,
        "Work": StateStatus.FAILED,
        "Mend": StateStatus.SUCCEEDED,
    }
    (mend,) = [visit for visit in visits.visits if visit.name == "Mend"]
    assert (mend.iteration, mend.parent) == (None, None)


def test_a_map_that_is_tried_again_counts_its_last_attempt_s_items() -> None:
    tell = failing_map()
    started = tell("MapStateStarted", len(tell.events), {"length": 2})
    at = tell("MapIterationStarted", started, {"name": "Each", "index": 0})
    at = tell("MapIterationSucceeded", at, {"name": "Each", "index": 0})
    at = tell("MapStateSucceeded", at)
    tell("MapStateExited", at, {"name": "Each", "output": "[]"})
    (each,) = [visit for visit in folded(tell.events).visits if visit.name == "Each"]
    assert each.status is StateStatus.RETRIED
    assert [attempt.error for attempt in each.attempts] == ["Broken", None]


def test_a_redrive_lets_what_failed_run_again() -> None:
    tell = Telling()
    entered = tell("TaskStateEntered", tell("ExecutionStarted", 0), {"name": "Work"})
    at = tell("TaskScheduled", entered, {"resource": "invoke", "resourceType": "lambda"})
    at = tell("TaskFailed", at, {"error": "Broken"})
    at = tell("ExecutionFailed", at, {"error": "Broken"})
    assert folded(tell.events).visits[0].status is StateStatus.FAILED
    at = tell("ExecutionRedriven", at, {"redriveCount": 1})
    at = tell("TaskScheduled", at, {"resource": "invoke", "resourceType": "lambda"})
    visits = folded(tell.events)
    assert (visits.status, visits.visits[0].status) == (ExecutionStatus.RUNNING, StateStatus.RUNNING)
    at = tell("TaskSucceeded", at, {"output": "1"})
    at = tell("TaskStateExited", at, {"name": "Work", "output": "1"})
    tell("ExecutionSucceeded", at, {"output": "1"})
    visits = folded(tell.events)
    assert visits.status is ExecutionStatus.SUCCEEDED
    assert visits.visits[0].status is StateStatus.RETRIED


def test_branches_of_a_parallel_state_lie_in_it() -> None:
    tell = Telling()
    entered = tell("ParallelStateEntered", tell("ExecutionStarted", 0), {"name": "Both"})
    started = tell("ParallelStateStarted", entered)
    left = tell("PassStateEntered", started, {"name": "Left"})
    right = tell("PassStateEntered", started, {"name": "Right"})
    tell("PassStateExited", right, {"name": "Right"})
    left = tell("PassStateExited", left, {"name": "Left"})
    at = tell("ParallelStateSucceeded", left)
    at = tell("ParallelStateExited", at, {"name": "Both"})
    tell("SucceedStateEntered", at, {"name": "Done"})
    visits = folded(tell.events)
    assert {visit.name: visit.parent and visit.parent.name for visit in visits.visits} == {
        "Both": None,
        "Left": "Both",
        "Right": "Both",
        "Done": None,
    }
    assert visits.visits[0].status is StateStatus.SUCCEEDED


def test_a_history_without_its_beginning_is_no_error() -> None:
    events = map_history(3, failing=[1])
    for cut in range(len(events)):
        folded(events[cut:])


@given(st.integers(0, 12), st.sets(st.integers(0, 11)), st.data())
def test_a_history_folded_in_any_pieces_comes_to_the_same(count: int, failing: set[int], data: st.DataObject) -> None:
    events = map_history(count, failing=sorted(failing))
    client = TellingClient()
    arn = client.add("grows")
    histories = Histories(client.service)
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=5))
    for cut in [*sorted(cuts), len(events)]:
        client.histories[arn] = events[:cut]
        grown = histories.read(arn)
    assert grown.events == events
    assert node_states(grown.visits) == node_states(folded(events))
    state = node_states(grown.visits)["Each"]
    assert state.iterations is not None
    assert state.iterations.succeeded == count
    assert state.iterations.caught == len([each for each in failing if each < count])


# A Map of thousands


def test_a_map_of_3500_iterations_is_read_in_its_pages_and_shown_in_pages() -> None:
    client = TellingClient()
    events = map_history(3500, failing=[7, 3499])
    arn = client.add("big", events)
    histories = Histories(client.service, read_seconds=1000)
    history = histories.read(arn)
    assert client.calls.count("GetExecutionHistory") == -(-len(events) // 1000) == 25
    histories.read(arn)
    assert client.calls.count("GetExecutionHistory") == 25  # it has ended
    page = event_page(history, BEGIN, number=246)
    assert (page.first, len(page.lines), page.found) == (24_500, 6, 24_506)
    assert [line.iteration for line in step_page(history.visits, BEGIN, status=StateStatus.CAUGHT).lines] == [
        "#7 p-7",
        "#3499 p-3499",
    ]
    counts = node_states(history.visits)["Each"].iterations
    assert counts is not None
    assert (counts.total, counts.succeeded, counts.caught) == (3500, 3500, 2)


def test_a_long_history_is_shown_before_all_of_it_is_read() -> None:
    client = TellingClient()
    arn = client.add("big", map_history(600))
    ticks = iter(range(1000))
    histories = Histories(client.service, read_seconds=2, clock=lambda: next(ticks))
    first = histories.read(arn)
    assert (len(first.events), first.complete) == (2000, False)
    assert (len(histories.read(arn).events), first.complete) == (4000, False)
    assert (len(histories.read(arn).events), first.complete) == (4206, True)


def test_histories_that_nobody_looks_at_are_let_go() -> None:
    client = TellingClient()
    arns = [client.add(f"e-{number}", map_history(1)) for number in range(5)]
    histories = Histories(client.service)
    first = histories.read(arns[0])
    for arn in arns[1:]:
        histories.read(arn)
    assert histories.read(arns[0]) is not first


# The graph


def test_the_graph_has_every_state_of_the_real_definition() -> None:
    definition = json.loads(load("performance-calculation"))
    scope = graph_of(json.dumps(definition))
    assert {node.name for node in scope.nodes} == definition["States"].keys()
    (inner,) = next(node for node in scope.nodes if node.type == "Map").inner
    assert inner.start == "CalculatePortfolio"
    kinds = {(edge.source, edge.target): edge.kind for edge in (*scope.edges, *inner.edges)}
    assert kinds["PersistTimestream", "QueueBackfill"] is EdgeKind.CATCH
    assert kinds["DecideStatus", "Succeeded"] is EdgeKind.CHOICE
    assert kinds["DecideStatus", "Partial"] is EdgeKind.DEFAULT
    assert "Partial" in scope.ends


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"Variable": "$.calculated", "NumericEquals": 0}, "calculated = 0"),
        ({"Variable": "$.n", "NumericGreaterThanEquals": 3}, "n ≥ 3"),
        ({"Variable": "$.n", "NumericLessThanPath": "$.m"}, "n < $.m"),
        ({"Variable": "$.s", "StringMatches": "a*"}, "s matches a*"),
        ({"Variable": "$.s", "IsPresent": True}, "s IsPresent True"),
        ({"Not": {"Variable": "$.b", "BooleanEquals": True}}, "not (b = true)"),
        (
            {
                "And": [
                    {"Variable": "$.a", "NumericEquals": 0},
                    {"Or": [{"Variable": "$.b", "NumericEquals": 1}, {"Variable": "$.c", "NumericEquals": 2}]},
                ]
            },
            "a = 0 and (b = 1 or c = 2)",
        ),
        ({"Condition": "{% $n = 0 %}"}, "{% $n = 0 %}"),
        ({"Variable": "$.long", "StringEquals": "x" * 100}, "long = " + "x" * 52 + "…"),
    ],
)
def test_a_rule_is_told_in_short(rule: dict[str, Any], words: str) -> None:
    assert condition(rule) == words


def test_a_distributed_map_and_branches_are_containers() -> None:
    inner = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
    states = {
        "Far": {
            "Type": "Map",
            "ItemProcessor": {**inner, "ProcessorConfig": {"Mode": "DISTRIBUTED"}},
            "Next": "Both",
        },
        "Both": {"Type": "Parallel", "Branches": [inner, inner], "End": True},
    }
    scope = graph_of(json.dumps({"StartAt": "Far", "States": states}))
    assert [(node.distributed, len(node.inner)) for node in scope.nodes] == [(True, 1), (False, 2)]


def test_the_counts_of_no_iterations_are_nothing() -> None:
    assert counts_of([], 0).running == 0


def test_what_went_wrong_comes_first() -> None:
    visits = folded(map_history(5, failing=[3])).visits
    assert [visit.status for visit in worst_first(visits)][:2] == [StateStatus.CAUGHT, StateStatus.SUCCEEDED]


# Lanes


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=60))
def test_lanes_are_as_few_as_ran_at_a_time_and_nothing_lies_over_another(spans: list[tuple[int, int]]) -> None:
    bars = [Bar(start, start + took, str(at), StateStatus.SUCCEEDED, None) for at, (start, took) in enumerate(spans)]
    packed = lanes(bars)
    assert sorted(bar.label for lane in packed for bar in lane) == sorted(bar.label for bar in bars)
    for lane in packed:
        for one, following in pairwise(lane):
            assert max(one.end, one.start + 1) <= following.start
    at_a_time = max(
        (sum(bar.start <= moment < max(bar.end, bar.start + 1) for bar in bars) for moment in range(75)), default=0
    )
    assert len(packed) == at_a_time


# The list


def listing_client(count: int) -> TellingClient:
    client = TellingClient()
    for number in range(count):
        client.add(f"run-{number:05}", status="FAILED" if number % 10 == 0 else "SUCCEEDED")
    return client


def pages_of(client: TellingClient, chosen: Filter, arns: list[str] | None = None, **options: Any) -> Iterator[Any]:
    cursor = None
    while True:
        page = list_executions(
            client.service,
            state_machines(arns or [MACHINE_ARN]),
            chosen,
            cursor,
            **options,
        )
        yield page
        cursor = page.following
        if cursor is None:
            return


def test_the_list_shows_each_execution_once_newest_first() -> None:
    names = [each.reference.name for page in pages_of(listing_client(170), Filter()) for each in page.executions]
    assert names == [f"run-{number:05}" for number in reversed(range(170))]


def test_a_page_of_the_list_asks_for_one_page() -> None:
    client = listing_client(170)
    service = client.service
    for _ in range(2):
        page = list_executions(service, state_machines([MACHINE_ARN]), Filter())
        assert len(page.executions) == 50
    # What those that succeeded came to is asked of each of them once.
    assert Counter(client.calls) == {"ListExecutions": 2, "DescribeExecution": 45}


def test_a_run_of_which_something_failed_is_told_apart_in_the_list() -> None:
    client = TellingClient()
    for number, output in enumerate(({"status": "PARTIAL"}, {"status": "SUCCEEDED"}, ["none of ours"])):
        client.add(f"run-{number}", status="SUCCEEDED", output=json.dumps(output))
    client.add("run-3", status="RUNNING")
    page = next(pages_of(client, Filter()))
    assert {each.reference.name: each.partial for each in page.executions} == {
        "run-0": True,
        "run-1": False,
        "run-2": False,
        "run-3": False,
    }


def test_the_list_of_several_state_machines_is_one_list() -> None:
    client = listing_client(70)
    other = MACHINE_ARN.replace("calculation", "fleet")
    client.add("early", machine_arn=other, startDate=BEGIN - timedelta(days=1))
    client.add("late", machine_arn=other, startDate=BEGIN + timedelta(days=1))
    arns = [MACHINE_ARN, other]
    names = [each.reference.name for page in pages_of(client, Filter(), arns) for each in page.executions]
    assert names == ["late", *(f"run-{number:05}" for number in reversed(range(70))), "early"]
    only = [each.reference.name for page in pages_of(client, Filter(machine="fleet"), arns) for each in page.executions]
    assert only == ["late", "early"]


def test_the_list_is_narrowed_by_status_and_name() -> None:
    client = listing_client(170)
    chosen = Filter(status=ExecutionStatus.FAILED, text="RUN-0001")
    names = [each.reference.name for page in pages_of(client, chosen) for each in page.executions]
    assert names == ["run-00010"]


def test_a_search_through_many_stops_and_goes_on_where_it_stopped() -> None:
    client = listing_client(12_500)
    found = list(pages_of(client, Filter(text="run-00001")))
    assert [len(page.executions) for page in found] == [0, 1]
    assert found[0].searched == 10_000
    assert client.calls.count("ListExecutions") <= 14


@pytest.mark.parametrize("cursor", ["x", "e30", "bnVsbA==", "eyJjYWxjdWxhdGlvbiI6IDF9", "é"])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    service = listing_client(1).service
    with pytest.raises(InvalidRequestError):
        list_executions(service, state_machines([MACHINE_ARN]), Filter(), cursor)


# References


def test_arns_and_references_are_the_same_thing() -> None:
    (machine,) = state_machines([f"{MACHINE_ARN}:live"]).values()
    assert (machine.name, machine.arn, machine.start_arn) == ("calculation", MACHINE_ARN, f"{MACHINE_ARN}:live")
    family = MACHINE_ARN.rpartition(":stateMachine:")[0]
    for arn in (f"{family}:execution:calculation:one", f"{family}:execution:calculation/Batches:2f-a"):
        assert ExecutionReference.of(arn).arn(machine) == arn
    run = f"{family}:mapRun:calculation/Batches:2f-b"
    assert MapRunReference.of(run).arn(machine) == run
    with pytest.raises(ValueError, match="is not the ARN"):
        state_machines(["arn:aws:s3:::bucket"])


# Run again


FAILURES = {"failures": [{"entity_type": "portfolio", "entity_id": "b"}]}


@pytest.mark.parametrize(
    ("request_", "narrowed"),
    [
        (
            {"portfolios": [{"portfolio_id": "a"}, {"portfolio_id": "b", "currency": "EUR"}], "time_periods": ["MTD"]},
            {"portfolios": [{"portfolio_id": "b", "currency": "EUR"}], "time_periods": ["MTD"]},
        ),
        ({"entity_ids": ["a", "b"]}, {"entity_ids": ["b"]}),
        (
            {"entities": [{"entity_id": "b"}, {"entity_type": "account", "entity_id": "b"}]},
            {"entities": [{"entity_id": "b"}]},
        ),
        (
            {"client_id": "acme", "entity_type": "portfolio"},
            {"client_id": "acme", "entities": [{"entity_type": "portfolio", "entity_id": "b"}]},
        ),
    ],
)
def test_a_request_is_narrowed_to_what_failed(request_: dict[str, Any], narrowed: dict[str, Any]) -> None:
    before = json.dumps(request_)
    assert rerun_request(request_, FAILURES) == narrowed
    assert json.dumps(request_) == before


@pytest.mark.parametrize(
    ("request_", "output", "words"),
    [
        ({"entity_ids": ["b"]}, {"failures": []}, "Nothing failed"),
        ({"entity_ids": ["b"]}, None, "Nothing failed"),
        ({"portfolios": {"source": "s3://b/k.json"}}, FAILURES, "stand in a file"),
        ({"entity_ids": ["a"]}, FAILURES, "None of the failed"),
        ({"entity_type": "account", "entity_ids": ["b"]}, FAILURES, "None of the failed"),
        ([], FAILURES, "no request"),
        ({"date": "2024-03-29"}, FAILURES, "does not name"),
    ],
)
def test_where_a_request_cannot_be_narrowed_the_reason_is_told(request_: Any, output: Any, words: str) -> None:
    with pytest.raises(NothingToRerunError, match=words):
        rerun_request(request_, output)


# Small things


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (None, ""),
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_900, "59.9 s"),
        (61_000, "1 min 01 s"),
        (3_600_000 * 2 + 240_000, "2 h 04 min"),
    ],
)
def test_a_duration_is_told_in_its_size(milliseconds: float | None, words: str) -> None:
    assert duration(milliseconds) == words


def test_what_is_no_json_is_shown_as_it_is() -> None:
    assert pretty('{"a":1}') == '{\n  "a": 1\n}'
    assert pretty("{cut") == "{cut"


_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner),
    max_leaves=20,
)


def paths_of(value: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, each in value.items():
            yield from paths_of(each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths_of(each, f"{path}[{index}]")


@given(_documents)
def test_each_part_of_a_document_has_its_line(document: Any) -> None:
    text = json.dumps(document, indent=1)
    lines = text.split("\n")
    places = lines_of(text)
    assert places.keys() == dict(paths_of(document)).keys()
    for path, value in paths_of(document):
        line = lines[places[path] - 1].strip()
        name = path.rpartition(".")[2]
        expected = f'"{name}": ' if path.rpartition("[")[2] == path and path != "$" else ""
        if "." in path and not path.endswith("]"):
            assert line.startswith(expected or f'"{name}"')
        elif not isinstance(value, dict | list):
            assert line.startswith(json.dumps(value))


def test_a_missing_field_is_shown_where_it_is_missing() -> None:
    places = lines_of('{\n "portfolios": [\n  {}\n ]\n}')
    assert line_of(places, "$.portfolios[0].valuations") == 3
    assert line_of(places, "elsewhere") is None


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda service: service.execution(f"{MACHINE_ARN}:none"), InputNotFoundError),
        (lambda service: service.history(f"{MACHINE_ARN}:none", None), ThrottledError),
    ],
)
def test_what_step_functions_refuses_is_an_error_of_ours(
    ask: Callable[[StepFunctions], Any], error: type[Exception]
) -> None:
    client = TellingClient()
    client.error = "ThrottlingException" if error is ThrottledError else None
    with pytest.raises(error):
        ask(client.service)
