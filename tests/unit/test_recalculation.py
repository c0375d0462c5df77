"""Marks: what is calculated again, in how many executions, and what is left for the next sweep."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from common.calculations import TransactionType
from common.errors import ThrottledError
from common.models.books import BookEntityType, Entity, Transaction
from common.models.request import CalculationRequest
from common.models.results import CalculationMethod, EntityType, ResultRow, Run
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.contract.rows import EARLY, LATE, period, row
from tests.executions import never_ending, stop_all
from workflows.executions import ExecutionClient
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


def stored(*days: str, entity_id: str = "growth", run: Run = EARLY, **changes: Any) -> list[ResultRow]:
    periods = {"MTD": period(), "1Y": period()}
    made = (row(entity_id, run=run, day=date.fromisoformat(day), periods=periods) for day in days)
    return [each.model_copy(update={"benchmark_id": None, **changes}) for each in made]


def sweep(books: InMemoryBooks, results: InMemoryResultStore, executions: ExecutionClient) -> dict[str, Any]:
    return recalculation.handler({}, None, books=books, results=results, executions=executions)


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
    assert (report["marks"], report["rows"], report["waiting"]) == (2, 3, 0)
    assert list(books.marks()) == []


def test_results_before_the_transaction_stay_as_they_are(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-14", "2024-03-15"), EARLY)
    deposit(books, "growth", "2024-03-15")
    (request,) = asked(executions, sweep(books, results, executions))
    assert [str(each["as_of_date"]) for each in request["entities"]] == ["2024-03-15"]


def test_a_mark_without_results_after_it_is_dropped(books: InMemoryBooks, executions: ExecutionClient) -> None:
    deposit(books, "growth", "2024-03-15")
    assert sweep(books, InMemoryResultStore(), executions) == {"marks": 1, "waiting": 0, "rows": 0, "executions": []}
    assert list(books.marks()) == []


def test_the_account_of_the_portfolio_is_calculated_again_too(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28", entity_id="joint", entity_type=EntityType.ACCOUNT), EARLY)
    deposit(books, "growth", "2024-03-15")
    (request,) = asked(executions, sweep(books, results, executions))
    assert [(each["entity_type"], each["entity_id"]) for each in request["entities"]] == [("account", "joint")]


def test_results_are_calculated_again_as_they_were(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-27", risk_free_rate=0.03, calculation_method=CalculationMethod.MODIFIED_DIETZ), EARLY)
    results.write(stored("2024-03-28", run=LATE), LATE)
    deposit(books, "growth", "2024-03-15")
    requests = asked(executions, sweep(books, results, executions))
    found = {each["request_id"]: each for each in requests}
    assert found.keys() == {"req-1", "req-2"}
    assert (found["req-1"]["risk_free_rate"], found["req-1"]["calculation_method"]) == (0.03, "modified_dietz")
    assert (found["req-2"]["risk_free_rate"], found["req-2"]["calculation_method"]) == (0.02, "daily")
    assert found["req-1"]["time_periods"] == ["MTD", "1Y"]  # the first stays at the top of the row


def test_a_benchmark_of_the_books_is_kept_and_one_of_a_request_is_gone(
    books: InMemoryBooks, executions: ExecutionClient
) -> None:
    books.put_entity(Entity(entity_type=BookEntityType.BENCHMARK, entity_id="SP500"))
    results = InMemoryResultStore()
    results.write(stored("2024-03-27", benchmark_id="SP500") + stored("2024-03-28", benchmark_id="inline"), EARLY)
    deposit(books, "growth", "2024-03-15")
    requests = asked(executions, sweep(books, results, executions))
    assert sorted(str((each["benchmark"] or {}).get("benchmark_id")) for each in requests) == ["None", "SP500"]


def test_a_sweep_that_died_before_it_cleared_starts_nothing_twice(
    books: InMemoryBooks, executions: ExecutionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")

    def dies(mark: object) -> bool:
        raise ThrottledError("DynamoDB: slow down")

    with monkeypatch.context() as patch:
        patch.setattr(books, "clear_mark", dies)
        with pytest.raises(ThrottledError):
            sweep(books, results, executions)
    stop_all(executions)
    report = sweep(books, results, executions)
    assert (report["marks"], len(report["executions"])) == (1, 1)
    assert len(list(executions.list())) == 1


def test_a_later_transaction_is_a_run_of_its_own(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    deposit(books, "growth", "2024-03-15")
    first = sweep(books, results, executions)
    stop_all(executions)
    deposit(books, "growth", "2024-03-15", "t-2")
    assert sweep(books, results, executions)["executions"] != first["executions"]


def test_a_mark_waits_for_executions_that_began_before_it(books: InMemoryBooks, executions: ExecutionClient) -> None:
    results = InMemoryResultStore()
    results.write(stored("2024-03-28"), EARLY)
    executions.start("nightly", {"entity_ids": ["growth"]})
    deposit(books, "growth", "2024-03-15")
    report = sweep(books, results, executions)
    assert (report["marks"], report["waiting"], report["executions"]) == (0, 1, [])
    stop_all(executions)
    assert sweep(books, results, executions)["marks"] == 1


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
    assert sweep(books, results, executions)["marks"] == 1
