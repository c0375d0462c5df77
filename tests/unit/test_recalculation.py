"""Marks: what is calculated again, in how many executions, and what is left for the next sweep."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from common.calculations import FlowTiming, TransactionType
from common.errors import ThrottledError
from common.models.books import BookEntityType, Entity, Transaction
from common.models.kinds import CalculationMethod, EntityType
from common.models.request import CalculationRequest
from common.models.results import Asked, ResultRow, Run
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.contract.rows import EARLY, LATE, period, row
from tests.executions import never_ending, never_ending_machine, stop_all
from workflows.executions import ExecutionClient, ExecutionStatus
from workflows.triggers import recalculation


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    with never_ending(monkeypatch) as client:
        yield client


@pytest.fixture
def books() -> InMemoryBooks:
    made = InMemoryBooks()
    for name in ("growth", "income"):
        made.put_entity(
            Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id="acme", account_id="joint")
        )
    return made


def deposit(books: InMemoryBooks, portfolio: str, day: str, name: str = "t-1") -> None:
    transaction = Transaction(
        transaction_id=name,
        portfolio_id=portfolio,
        type=TransactionType.DEPOSIT,
        trade_date=date.fromisoformat(day),
        amount=Decimal(100),
    )
    books.record(portfolio, [transaction])


ASKED = Asked(
    calculation_method=CalculationMethod.DAILY,
    flow_timing=None,
    risk_free_rate=0.02,
    periods_per_year=None,
    max_price_age_days=7,
    benchmark_id=None,
)


def stored(
    *days: str, entity_id: str = "growth", run: Run = EARLY, how: Asked | None = ASKED, **changes: Any
) -> list[ResultRow]:
    periods = changes.pop("periods", {"MTD": period(), "1Y": period()})
    made = (row(entity_id, run=run, day=date.fromisoformat(day), periods=periods) for day in days)
    return [each.model_copy(update={"asked": how, **changes}) for each in made]


def sweep(
    books: InMemoryBooks, results: InMemoryResultStore, executions: ExecutionClient, *, milliseconds: int = 300_000
) -> dict[str, Any]:
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: milliseconds)
    fleet = never_ending_machine("fleet")
    return recalculation.handler({}, context, books=books, results=results, executions=executions, fleet=fleet)


def succeed(monkeypatch: pytest.MonkeyPatch, executions: ExecutionClient, *failures: tuple[str, str]) -> None:
    """Let every execution have ended well, but for what failed in it."""
    stop_all(executions)
    described = executions.describe
    output = {"failures": [{"entity_type": kind, "entity_id": name} for kind, name in failures]}
    monkeypatch.setattr(
        executions,
        "describe",
        lambda name: replace(described(name), status=ExecutionStatus.SUCCEEDED, output=output),
    )


def asked(executions: ExecutionClient, report: dict[str, Any]) -> list[dict[str, Any]]:
    return [CalculationRequest.parse(executions.describe(name).input).model_dump() for name in report["executions"]]


def test_one_execution_covers_the_marks_of_a_burst(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-01", "2024-03-28") + stored("2024-03-28", entity_id="income"), EARLY)
    deposit(books, "growth", "2024-03-15")
    deposit(books, "growth", "2024-02-15", "t-2")
    deposit(books, "income", "2024-03-20")
    report = sweep(books, results, executions)
    (request,) = asked(executions, report)
    assert [(each["entity_id"], str(each["as_of_date"])) for each in request["entities"]] == [
        ("growth", "2024-03-01"),
        ("growth", "2024-03-28"),
        ("income", "2024-03-28"),
    ]
    assert request["client_id"] == "acme"
    assert (report["started"], report["rows"], report["waiting"]) == (2, 3, 0)


def test_a_mark_is_gone_when_its_results_are_calculated_again(
    books: InMemoryBooks, executions: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    assert sweep(books, results, executions)["started"] == 1
    assert sweep(books, results, executions)["waiting"] == 1
    assert len(list(executions.list())) == 1
    succeed(monkeypatch, executions)
    assert sweep(books, results, executions)["cleared"] == 1
    assert list(books.marks()) == []


def began(seconds: float) -> Run:
    """Return an execution that begins so long after now."""
    return Run(request_id="late", execution_name="late", started_at=datetime.now(UTC) + timedelta(seconds=seconds))


SURELY_AFTER = (recalculation.ENTERING + recalculation.CLOCKS).total_seconds() + 5


@pytest.mark.parametrize(("seconds", "rows"), [(SURELY_AFTER, 1), (SURELY_AFTER - 10, 2)])
def test_a_result_of_an_execution_that_began_when_all_read_the_transaction_is_left_alone(
    books: InMemoryBooks, executions: ExecutionClient, seconds: float, rows: int
) -> None:
    results = InMemoryResultStore()
    deposit(books, "growth", "2024-03-15")
    results.write(stored("2024-03-27"), EARLY)
    results.write(stored("2024-03-28", run=(after := began(seconds))), after)
    report = sweep(books, results, executions)
    assert (report["started"], report["rows"]) == (1, rows)
    found = {str(each["as_of_date"]) for request in asked(executions, report) for each in request["entities"]}
    assert found == {"2024-03-27", "2024-03-28"} if rows == 2 else {"2024-03-27"}


def test_a_mark_of_which_every_result_was_calculated_since_is_cleared_without_an_execution(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    results = InMemoryResultStore()
    deposit(books, "growth", "2024-03-15")
    results.write(stored("2024-03-28", run=(after := began(SURELY_AFTER))), after)
    report = sweep(books, results, executions)
    assert (report["cleared"], report["executions"]) == (1, [])
    assert list(books.marks()) == []


def test_a_row_of_which_one_period_is_older_is_calculated_again_whole(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    results = InMemoryResultStore()
    deposit(books, "growth", "2024-03-15")
    results.write(stored("2024-03-28", periods={"1Y": period()}), EARLY)
    after = began(SURELY_AFTER)
    results.write(stored("2024-03-28", run=after, periods={"MTD": period()}), after)
    requests = asked(executions, sweep(books, results, executions))
    assert sorted(label for request in requests for label in request["time_periods"]) == ["1Y", "MTD"]


def settle(
    books: InMemoryBooks, results: InMemoryResultStore, executions: ExecutionClient, most: int = 100
) -> list[str]:
    left = recalculation.settle(books, results, executions, never_ending_machine("fleet"), most=most)
    assert {mark.portfolio_id for mark in left} == {mark.portfolio_id for mark in books.marks()}
    return [mark.portfolio_id for mark in left]


def test_after_a_first_import_there_is_nothing_to_calculate_again(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    deposit(books, "growth", "2024-03-15")
    deposit(books, "income", "2024-03-15")
    results = InMemoryResultStore()
    results.write(stored("2024-03-14") + stored("2024-03-28", how=None), EARLY)  # before it, and brought by a request
    assert settle(books, results, executions, most=1) == ["income"]
    assert settle(books, results, executions) == []
    assert list(executions.list()) == []


@pytest.mark.parametrize("kind", [EntityType.PORTFOLIO, EntityType.ACCOUNT])
def test_a_mark_that_stands_for_a_result_is_not_settled(
    books: InMemoryBooks, executions: ExecutionClient, kind: EntityType
) -> None:
    deposit(books, "growth", "2024-03-15")
    results = InMemoryResultStore()
    name = {EntityType.PORTFOLIO: "growth", EntityType.ACCOUNT: "joint"}[kind]
    results.write(stored("2024-03-28", entity_id=name, entity_type=kind), EARLY)
    assert settle(books, results, executions) == ["growth"]


def test_a_mark_is_not_settled_while_an_execution_runs_that_may_write_what_is_not_there_yet(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    executions.start_or_attach({"request_id": "night", "client_id": "acme"})
    deposit(books, "growth", "2024-03-15")
    assert settle(books, InMemoryResultStore(), executions) == ["growth"]
    stop_all(executions)
    assert settle(books, InMemoryResultStore(), executions) == []


def test_a_mark_that_is_made_again_meanwhile_is_not_settled(
    books: InMemoryBooks, executions: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deposit(books, "growth", "2024-03-15")
    results = InMemoryResultStore()
    latest = results.latest

    def meanwhile(*who: Any) -> Any:
        deposit(books, "growth", "2024-03-10", "t-2")
        return latest(*who)

    monkeypatch.setattr(results, "latest", meanwhile)
    assert settle(books, results, executions) == ["growth"]


def test_what_fails_is_tried_again_and_at_last_told(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    for number in range(1, recalculation.MAX_ATTEMPTS + 1):
        assert sweep(books, results, executions)["started"] == 1
        assert len(list(executions.list())) == number
        stop_all(executions)
    for _ in range(2):
        report = sweep(books, results, executions)
        assert (report["failing"], report["executions"]) == (1, [])
    deposit(books, "growth", "2024-03-16", "t-2")  # a new transaction begins anew
    assert sweep(books, results, executions)["started"] == 1


@pytest.mark.parametrize(
    ("failed", "cleared"), [(("portfolio", "growth"), 0), (("account", "joint"), 0), (("portfolio", "income"), 1)]
)
def test_a_partial_success_is_one_for_those_that_did_not_fail(
    books: InMemoryBooks,
    executions: ExecutionClient,
    monkeypatch: pytest.MonkeyPatch,
    failed: tuple[str, str],
    cleared: int,
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    sweep(books, results, executions)
    succeed(monkeypatch, executions, failed)
    assert sweep(books, results, executions)["cleared"] == cleared


def test_each_client_has_executions_of_its_own(books: InMemoryBooks, executions: ExecutionClient) -> None:
    books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="theirs", client_id="globex"))
    results = InMemoryResultStore()
    results.write(stored("2024-03-28") + stored("2024-03-28", entity_id="theirs"), EARLY)
    deposit(books, "growth", "2024-03-15")
    deposit(books, "theirs", "2024-03-15")
    requests = asked(executions, sweep(books, results, executions))
    assert [each["client_id"] for each in requests] == ["acme", "globex"]


def test_results_before_the_transaction_stay_as_they_are(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-14", "2024-03-15"), EARLY)
    deposit(books, "growth", "2024-03-15")
    (request,) = asked(executions, sweep(books, results, executions))
    assert [str(each["as_of_date"]) for each in request["entities"]] == ["2024-03-15"]


@pytest.mark.parametrize("rows", [[], stored("2024-03-28", how=None)], ids=["none", "of-a-request-s-own-data"])
def test_a_mark_without_results_of_the_books_is_dropped(
    books: InMemoryBooks, executions: ExecutionClient, rows: list[ResultRow]
) -> None:
    results = InMemoryResultStore()
    results.write(rows, EARLY)
    deposit(books, "growth", "2024-03-15")
    report = sweep(books, results, executions)
    assert (report["cleared"], report["rows"], report["executions"]) == (1, 0, [])
    assert list(books.marks()) == []


def test_the_account_of_the_portfolio_is_calculated_again_too(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28", entity_id="joint", entity_type=EntityType.ACCOUNT), EARLY)
    deposit(books, "growth", "2024-03-15")
    (request,) = asked(executions, sweep(books, results, executions))
    assert [(each["entity_type"], each["entity_id"]) for each in request["entities"]] == [("account", "joint")]


def test_each_period_is_calculated_again_as_it_was_asked_for(books: InMemoryBooks, executions: ExecutionClient) -> None:
    dear = ASKED.model_copy(
        update={
            "risk_free_rate": 0.5,
            "calculation_method": CalculationMethod.MODIFIED_DIETZ,
            "flow_timing": FlowTiming.START_OF_DAY,
            "periods_per_year": 100.0,
            "max_price_age_days": 90,
        }
    )
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    results.write(stored("2024-03-28", run=LATE, how=dear, periods={"3Y": period(), "ITD": period()}), LATE)
    deposit(books, "growth", "2024-03-15")
    found = {each["request_id"]: each for each in asked(executions, sweep(books, results, executions))}
    names = ("risk_free_rate", "calculation_method", "flow_timing", "periods_per_year", "max_price_age_days")
    assert [found["req-1"][name] for name in names] == [0.02, "daily", None, None, 7]
    assert [found["req-2"][name] for name in names] == [0.5, "modified_dietz", "start_of_day", 100.0, 90]
    assert found["req-1"]["time_periods"] == ["1Y", "MTD"]
    assert found["req-2"]["time_periods"] == ["3Y", "ITD"]  # the first stays at the top of the row


def test_a_row_of_more_periods_than_a_request_takes_is_several_requests(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    labels = [f"2023-01-{day:02}/2024-03-{day:02}" for day in range(1, 29)]
    results = InMemoryResultStore()
    results.write(stored("2024-03-28", periods=dict.fromkeys(labels[:20], period())), EARLY)
    results.write(
        stored("2024-03-28", periods=dict.fromkeys([*labels[20:], "MTD", "QTD", "YTD", "1Y", "3Y", "5Y"], period())),
        EARLY,
    )
    deposit(books, "growth", "2024-03-15")
    requests = asked(executions, sweep(books, results, executions))
    assert sorted(len(each["time_periods"]) for each in requests) == [2, 32]


@pytest.mark.parametrize(("owner", "kept"), [(None, True), ("acme", True), ("globex", False)])
def test_a_benchmark_is_asked_for_again_where_the_client_sees_it(
    books: InMemoryBooks, executions: ExecutionClient, owner: str | None, kept: bool
) -> None:
    books.put_entity(Entity(entity_type=BookEntityType.BENCHMARK, entity_id="SP500", client_id=owner))
    results = InMemoryResultStore()
    results.write(stored("2024-03-27", how=ASKED.model_copy(update={"benchmark_id": "SP500"})), EARLY)
    deposit(books, "growth", "2024-03-15")
    (request,) = asked(executions, sweep(books, results, executions))
    assert (request["benchmark"] is not None) is kept


def test_a_sweep_that_died_before_it_noted_starts_nothing_twice(
    books: InMemoryBooks, executions: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")

    def dies(*_: object) -> bool:
        raise ThrottledError("DynamoDB: slow down")

    with monkeypatch.context() as patch:
        patch.setattr(books, "start_mark", dies)
        with pytest.raises(ThrottledError):
            sweep(books, results, executions)
    report = sweep(books, results, executions)
    assert (report["started"], len(report["executions"])) == (1, 1)
    assert len(list(executions.list())) == 1


def test_a_later_transaction_is_a_run_of_its_own(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    first = sweep(books, results, executions)
    deposit(books, "growth", "2024-03-15", "t-2")
    assert sweep(books, results, executions)["executions"] != first["executions"]


@pytest.mark.parametrize(("client", "waits"), [("acme", True), (None, True), ("globex", False)])
def test_a_mark_waits_for_executions_of_its_client_that_began_before_it(
    books: InMemoryBooks, executions: ExecutionClient, client: str | None, waits: bool
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    bound = {"client_id": client} if client else {}
    executions.start("nightly", {"entity_ids": ["growth"], **bound})
    deposit(books, "growth", "2024-03-15")
    report = sweep(books, results, executions)
    assert (report["started"], report["waiting"]) == ((0, 1) if waits else (1, 0))
    stop_all(executions)
    assert sweep(books, results, executions)["started"] == 1


@pytest.mark.parametrize(("client", "waits"), [("acme", True), (None, True), ("globex", False)])
def test_a_mark_waits_for_fleet_runs_too(
    books: InMemoryBooks, executions: ExecutionClient, client: str | None, waits: bool
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    fleet = never_ending_machine("fleet")
    fleet.start("nightly-2024-03-28-portfolio", {"client_id": client} if client else {})
    deposit(books, "growth", "2024-03-15")
    report = sweep(books, results, executions)
    assert (report["started"], report["waiting"]) == ((0, 1) if waits else (1, 0))
    stop_all(fleet)
    stop_all(executions)
    assert sweep(books, results, executions)["started"] == 1


def test_it_does_not_wait_for_executions_that_began_after_it(
    books: InMemoryBooks, executions: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    (mark,) = books.marks()
    before = mark._replace(marked_at=mark.marked_at - recalculation.ENTERING - timedelta(seconds=1))
    monkeypatch.setattr(books, "marks", lambda: iter([before]))
    executions.start("nightly", {"entity_ids": ["growth"]})
    assert sweep(books, results, executions)["started"] == 1


def test_a_sweep_without_time_leaves_the_marks_to_the_next(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    assert sweep(books, results, executions, milliseconds=1_000)["waiting"] == 1
    assert sweep(books, results, executions)["started"] == 1


def test_a_sweep_takes_as_many_rows_of_a_client_as_it_can(
    books: InMemoryBooks, executions: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalculation, "ROWS_OF_A_SWEEP", 1)
    results = InMemoryResultStore()
    results.write(stored("2024-03-28") + stored("2024-03-28", entity_id="income"), EARLY)
    deposit(books, "growth", "2024-03-15")
    deposit(books, "income", "2024-03-15")
    report = sweep(books, results, executions)
    assert (report["started"], report["waiting"]) == (1, 1)
    assert sweep(books, results, executions)["started"] == 1
