"""The queue of transactions: each into the books once, and poison alone."""

import json
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.errors import ThrottledError
from common.models.books import BookEntityType, Entity
from common.stores.memory_books import InMemoryBooks
from workflows.triggers import transaction_queue

EVENT = json.loads((Path(__file__).parents[1] / "events" / "sqs_transactions.json").read_bytes())
TRANSACTION = json.loads(EVENT["Records"][0]["body"])["transaction"]


@pytest.fixture
def books() -> InMemoryBooks:
    made = InMemoryBooks()
    made.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="growth", client_id="acme"))
    made.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="secret", client_id="globex"))
    return made


def event(*bodies: object) -> dict[str, Any]:
    made: dict[str, Any] = deepcopy(EVENT)
    record = made["Records"][0]
    made["Records"] = [
        {**record, "messageId": f"m-{index}", "body": body if isinstance(body, str) else json.dumps(body)}
        for index, body in enumerate(bodies)
    ]
    return made


def failed(books: InMemoryBooks, made: dict[str, Any]) -> list[str]:
    answer = transaction_queue.handler(made, None, books=books)
    return [str(each["itemIdentifier"]) for each in answer["batchItemFailures"]]


def entered(books: InMemoryBooks, portfolio: str = "growth") -> list[str]:
    return [each.transaction_id for each in books.portfolio_book(portfolio).transactions]


def test_a_batch_ends_in_the_books_and_marks_from_its_earliest_day(books: InMemoryBooks) -> None:
    assert failed(books, EVENT) == []
    assert entered(books) == ["t-1", "t-2"]
    (mark,) = books.marks()
    assert (mark.portfolio_id, mark.from_date.isoformat()) == ("growth", "2024-03-01")


def test_a_message_that_comes_again_changes_nothing(books: InMemoryBooks) -> None:
    failed(books, EVENT)
    before = (books.portfolio_book("growth"), list(books.marks()))
    assert failed(books, EVENT) == []
    assert (books.portfolio_book("growth"), list(books.marks())) == before


def test_the_digits_of_an_amount_stay(books: InMemoryBooks) -> None:
    failed(books, event({"transaction": {**TRANSACTION, "amount": "12345678901234.567890123"}}))
    (found,) = books.portfolio_book("growth").transactions
    assert str(found.amount) == "12345678901234.567890123"


@pytest.mark.parametrize("digits", ["12345678901234.567890123", "0.1000000000000000055511151231257827"])
def test_the_digits_of_a_number_stay(books: InMemoryBooks, digits: str) -> None:
    body = json.dumps({"transaction": {**TRANSACTION, "amount": "?"}}).replace('"?"', digits)
    assert failed(books, event(body)) == []
    (found,) = books.portfolio_book("growth").transactions
    assert str(found.amount) == digits


def test_a_number_beyond_every_exponent_is_poison(books: InMemoryBooks) -> None:
    body = json.dumps({"transaction": {**TRANSACTION, "amount": "?"}}).replace('"?"', "1e99999999999999999999")
    assert failed(books, event(body)) == ["m-0"]


def test_a_trade_date_may_lie_a_week_ahead(books: InMemoryBooks) -> None:
    today = date.fromisoformat(TRANSACTION["trade_date"])
    bodies = [
        {"transaction": {**TRANSACTION, "transaction_id": f"t-{days}", "trade_date": f"{today + timedelta(days)}"}}
        for days in (7, 8)
    ]
    answer = transaction_queue.handler(event(*bodies), None, books=books, today=today)
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m-1"]
    assert entered(books) == ["t-7"]


@pytest.mark.parametrize(
    "poison",
    [
        "not json",
        "[" * 100_000,
        {},
        {"transaction": {**TRANSACTION, "amount": -1}},
        {"transaction": {**TRANSACTION, "trade_date": "2024-02-30"}},
        {"transaction": {**TRANSACTION, "trade_date": "2199-12-31"}},
        {"transaction": {**TRANSACTION, "type": "gift"}},
        {"transaction": {**TRANSACTION, "portfolio_id": "nobody-s"}},
        {"client_id": "acme", "transaction": {**TRANSACTION, "portfolio_id": "secret"}},
        {"client_id": "acme/../globex", "transaction": TRANSACTION},
    ],
    ids=[
        "words",
        "nested",
        "empty",
        "negative",
        "no-day",
        "far-ahead",
        "no-type",
        "no-portfolio",
        "not-theirs",
        "no-client",
    ],
)
def test_a_message_that_can_never_be_entered_is_kept_alone(books: InMemoryBooks, poison: object) -> None:
    assert failed(
        books, event({"transaction": TRANSACTION}, poison, {"transaction": {**TRANSACTION, "transaction_id": "z"}})
    ) == ["m-1"]
    assert entered(books) == ["t-1", "z"]
    assert entered(books, "secret") == []


def test_a_batch_of_poison_alone_is_no_failed_invocation(books: InMemoryBooks) -> None:
    assert failed(books, event("{", "}")) == ["m-0", "m-1"]


def test_an_id_that_stands_for_another_transaction_is_not_dropped_in_silence(books: InMemoryBooks) -> None:
    failed(books, event({"transaction": TRANSACTION}))
    assert failed(books, event({"transaction": {**TRANSACTION, "amount": "2.00"}})) == ["m-0"]
    (found,) = books.portfolio_book("growth").transactions
    assert str(found.amount) == "1000.00"


def test_what_the_books_could_not_take_comes_again(books: InMemoryBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    def throttled(*_: object, **__: object) -> None:
        raise ThrottledError("DynamoDB: slow down")

    with monkeypatch.context() as patch:
        patch.setattr(books, "record", throttled)
        assert failed(books, EVENT) == [record["messageId"] for record in EVENT["Records"]]
    assert failed(books, EVENT) == []
    assert entered(books) == ["t-1", "t-2"]
