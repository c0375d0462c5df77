"""One suite for all `Books`: the fake, DynamoDB on moto, DynamoDB on ExtendDB."""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from itertools import count
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from common.calculations import FlowTiming, TransactionType
from common.calculations.words import day_number
from common.config import BooksSettings
from common.errors import StoreError, ThrottledError, TransientError
from common.models.books import (
    SERIES_OF,
    BookEntityType,
    DayValue,
    Entity,
    EntityKey,
    Mark,
    SeriesKind,
    StoredEntity,
    Transaction,
)
from common.models.entity_table import CLIENT_INDEX, INDEXED, MARK_PARTITIONS, NOBODY, mark_partition
from common.stores.dynamodb_books import ENTITY_TABLE, DynamoDBBooks, book_store
from common.stores.memory_books import InMemoryBooks
from common.stores.ports import Books, SeriesReport, TransactionReport
from workflows.local.dynamodb import ACCESS_KEY, SECRET_KEY

TABLE = "entities"
NO_DELAY: Any = {"Delay": 0.02, "MaxAttempts": 500}
TABLES_AHEAD = 6  # ExtendDB takes a second for each, and makes several at a time
POLLS = 2_000  # of an index that lags: each is a request, so nobody sleeps
DAY, OLD = date(2023, 6, 30), date(2019, 1, 2)
LONG = Decimal("123456789.0123456789012345678901234")  # 34 digits
NEXT = Decimal("123456789.0123456789012345678901235")
THREADS = 6

PORTFOLIO = EntityKey(BookEntityType.PORTFOLIO, "growth")
SECURITY = EntityKey(BookEntityType.SECURITY, "AAPL")
BENCHMARK = EntityKey(BookEntityType.BENCHMARK, "SPX")


def entity(key: EntityKey = PORTFOLIO, client_id: str | None = "acme", **attributes: Any) -> Entity:
    return Entity(entity_type=key.entity_type, entity_id=key.entity_id, client_id=client_id, **attributes)


def security(security_id: str = "AAPL") -> Entity:
    return entity(EntityKey(BookEntityType.SECURITY, security_id), None)


def deposit(
    name: str = "t-1", day: date = DAY, amount: Decimal | str = "100", portfolio_id: str = "growth"
) -> Transaction:
    return Transaction(
        transaction_id=name,
        portfolio_id=portfolio_id,
        type=TransactionType.DEPOSIT,
        trade_date=day,
        amount=Decimal(amount),
    )


def buy(name: str, security_id: str, day: date = DAY) -> Transaction:
    return Transaction(
        transaction_id=name,
        portfolio_id="growth",
        type=TransactionType.BUY,
        trade_date=day,
        amount=Decimal("100.5"),
        quantity=LONG,
        security_id=security_id,
    )


def day_values(count: int, first: date = DAY, value: Decimal | str = "10") -> list[DayValue]:
    return [DayValue(first + timedelta(days=each), Decimal(value) + each) for each in range(count)]


def head(books: Books, key: EntityKey = PORTFOLIO) -> StoredEntity:
    return books.entities([key])[key]


def marks(books: Books) -> dict[str, Mark]:
    return {mark.portfolio_id: mark for mark in books.marks()}


def eventually(read: Callable[[], list[Any]], expected: list[Any]) -> None:
    """Poll an index, which lags behind its table, until it has what is expected."""
    found = read()
    for _ in range(POLLS):
        if found == expected:
            return
        found = read()
    assert found == expected


def ids(found: Iterator[Entity]) -> list[str]:
    return [each.entity_id for each in found]


@lru_cache
def session() -> boto3.Session:
    """One for all clients: the model of the service is read from its file once."""
    return boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name="us-east-1")


def dynamodb(endpoint: str | None = None) -> Any:
    return session().client("dynamodb", endpoint_url=endpoint)


@pytest.fixture
def moto_client() -> Iterator[Any]:
    with mock_aws():
        made = dynamodb()
        made.create_table(TableName=TABLE, **ENTITY_TABLE)
        yield made


@pytest.fixture(scope="module")
def extenddb_tables(extenddb: str) -> Iterator[str]:
    """Tables without end, each for one test."""

    def made() -> Iterator[str]:
        client = dynamodb(extenddb)
        names: deque[str] = deque()
        for number in count():
            names.append(f"{TABLE}-{number}")
            client.create_table(TableName=names[-1], **ENTITY_TABLE)
            if len(names) > TABLES_AHEAD:
                client.get_waiter("table_exists").wait(TableName=names[0], WaiterConfig=NO_DELAY)
                yield names.popleft()

    return made()


@pytest.fixture
def extenddb_books(extenddb: str, extenddb_tables: Iterator[str]) -> DynamoDBBooks:
    return DynamoDBBooks(dynamodb(extenddb), next(extenddb_tables))


@pytest.fixture(params=["moto", "extenddb"])
def dynamodb_books(request: pytest.FixtureRequest) -> DynamoDBBooks:
    found: DynamoDBBooks = request.getfixturevalue(f"{request.param}_books")
    return found


@pytest.fixture(params=["memory", "moto", "extenddb"])
def books(request: pytest.FixtureRequest) -> Books:
    return InMemoryBooks() if request.param == "memory" else request.getfixturevalue(f"{request.param}_books")


# Writers that meet wait as they do in earnest, a few hundredths of a second: without that one can lose all its turns.
# moto undoes a transaction by putting back all tables as they were, what other threads wrote meanwhile included.
@pytest.fixture(params=["memory", "extenddb"])
def shared_books(request: pytest.FixtureRequest) -> Books:
    return InMemoryBooks() if request.param == "memory" else request.getfixturevalue(f"{request.param}_books")


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def moto_books(moto_client: Any, waits: list[float]) -> DynamoDBBooks:
    return DynamoDBBooks(moto_client, TABLE, sleep=waits.append)


class TestEntities:
    @pytest.mark.parametrize(
        "given",
        [
            entity(
                account_id="a-1",
                name="Growth, not value",
                currency="EUR",
                benchmark_id="SPX",
                flow_timing=FlowTiming.START_OF_DAY,
            ),
            entity(EntityKey(BookEntityType.ACCOUNT, "a-1"), account_id="a-1"),
            entity(EntityKey(BookEntityType.CLIENT, "acme")),
            entity(SECURITY, None, currency="USD"),
            entity(SECURITY),
            entity(BENCHMARK, None, name="S&P 500"),
        ],
        ids=lambda given: f"{given.entity_type}-{given.client_id}",
    )
    def test_an_entity_reads_back_as_it_was_put(self, books: Books, given: Entity) -> None:
        assert books.put_entity(given) is True
        found = head(books, given.key)
        assert found.entity == given
        assert found.security_ids == frozenset()
        assert found.revision

    def test_putting_what_is_there_changes_nothing(self, books: Books) -> None:
        books.put_entity(entity(name="Growth"))
        before = head(books)
        assert books.put_entity(entity(name="Growth")) is False
        assert head(books) == before

    def test_other_attributes_stand_in_the_place_of_those_before(self, books: Books) -> None:
        books.put_entity(security())
        books.put_entity(entity(name="Growth", currency="EUR", account_id="a-1"))
        books.record("growth", [buy("t-1", "AAPL")])
        before = head(books)
        assert books.put_entity(entity(name="Value", benchmark_id="SPX")) is True
        found = head(books)
        assert found.entity == entity(name="Value", benchmark_id="SPX")
        assert found.revision != before.revision
        assert found.security_ids == {"AAPL"}

    @pytest.mark.parametrize(("owner", "other"), [("acme", "rival"), ("acme", None), (None, "rival")])
    def test_nobody_takes_over_an_entity(self, books: Books, owner: str | None, other: str | None) -> None:
        books.put_entity(entity(SECURITY, owner))
        before = head(books, SECURITY)
        with pytest.raises(StoreError, match="security AAPL belongs to another client") as raised:
            books.put_entity(entity(SECURITY, other, name="Mine"))
        assert "acme" not in str(raised.value)
        assert head(books, SECURITY) == before

    def test_many_are_read_at_once_and_missing_ones_are_absent(self, books: Books) -> None:
        keys = [EntityKey(BookEntityType.PORTFOLIO, f"p-{number:03}") for number in range(130)]
        for key in keys[:-5]:
            books.put_entity(entity(key))
        assert sorted(books.entities([*keys, *keys[:3]])) == keys[:-5]
        assert books.entities([]) == {}

    def test_entities_of_one_id_and_several_types_are_several(self, books: Books) -> None:
        keys = [EntityKey(kind, "one") for kind in (BookEntityType.PORTFOLIO, BookEntityType.SECURITY)]
        for key in keys:
            books.put_entity(entity(key, name=key.entity_type.value))
        assert {key: found.entity.name for key, found in books.entities(keys).items()} == {
            key: key.entity_type.value for key in keys
        }

    def test_a_client_has_its_own_by_type_and_id(self, books: Books) -> None:
        for name in ("b", "c", "a"):
            books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, name)))
        books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, "theirs"), "rival"))
        books.put_entity(entity(EntityKey(BookEntityType.CLIENT, "acme")))
        books.put_entity(security())
        books.record("a", [deposit(portfolio_id="a")])
        books.write_series(SeriesKind.VALUATION, "a", day_values(3))
        eventually(lambda: ids(books.entities_of_client("acme", BookEntityType.PORTFOLIO)), ["a", "b", "c"])
        eventually(lambda: ids(books.entities_of_client("acme", BookEntityType.CLIENT)), ["acme"])
        eventually(lambda: ids(books.entities_of_client("rival", BookEntityType.PORTFOLIO)), ["theirs"])
        assert ids(books.entities_of_client("acme", BookEntityType.SECURITY)) == []
        assert ids(books.entities_of_client("nobody", BookEntityType.PORTFOLIO)) == []

    def test_a_list_tells_the_whole_entity(self, books: Books) -> None:
        given = entity(
            account_id="a-1",
            name="Growth, not value",
            currency="EUR",
            benchmark_id="SPX",
            flow_timing=FlowTiming.START_OF_DAY,
        )
        assert given.model_fields_set == Entity.model_fields.keys()
        books.put_entity(given)
        books.record("growth", [buy("t-1", "AAPL")])
        books.write_series(SeriesKind.VALUATION, "growth", day_values(2))
        eventually(lambda: list(books.entities_of_client("acme", BookEntityType.PORTFOLIO)), [given])
        eventually(lambda: list(books.portfolios_of_account("a-1")), [given])
        eventually(lambda: list(books.all_entities(BookEntityType.PORTFOLIO)), [given])

    def test_an_account_has_its_portfolios(self, books: Books) -> None:
        books.put_entity(entity(EntityKey(BookEntityType.ACCOUNT, "a-1"), account_id="a-1"))
        for name in ("p-2", "p-1", "p-3"):
            books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, name), account_id="a-1"))
        books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, "p-2"), account_id="a-2"))
        eventually(lambda: ids(books.portfolios_of_account("a-1")), ["p-1", "p-3"])
        eventually(lambda: ids(books.portfolios_of_account("a-2")), ["p-2"])
        books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, "p-2")))
        eventually(lambda: ids(books.portfolios_of_account("a-2")), [])

    def test_all_entities_of_a_type_are_those_of_every_client_and_of_nobody(self, books: Books) -> None:
        nobodys, own = entity(SECURITY, None, currency="USD"), entity(EntityKey(BookEntityType.SECURITY, "own"))
        for each in (entity(), entity(EntityKey(BookEntityType.PORTFOLIO, "theirs"), "rival"), nobodys, own):
            books.put_entity(each)
        books.record("growth", [deposit()])
        books.write_series(SeriesKind.PRICE, "AAPL", day_values(3))
        eventually(lambda: sorted(ids(books.all_entities(BookEntityType.PORTFOLIO))), ["growth", "theirs"])
        eventually(
            lambda: sorted(books.all_entities(BookEntityType.SECURITY), key=lambda each: each.entity_id),
            [nobodys, own],
        )
        assert ids(books.all_entities(BookEntityType.BENCHMARK)) == []
        books.put_entity(entity(BENCHMARK, None))
        eventually(lambda: ids(books.all_entities(BookEntityType.BENCHMARK)), ["SPX"])

    @pytest.mark.parametrize("client_id", ["acme", NOBODY, "nobody", "None"])
    def test_what_is_nobody_s_is_in_no_client_s_list(self, books: Books, client_id: str) -> None:
        books.put_entity(entity(SECURITY, None, account_id="a-1"))
        # Once the index has it, what the others say of it is final.
        eventually(lambda: ids(books.all_entities(BookEntityType.SECURITY)), ["AAPL"])
        assert ids(books.entities_of_client(client_id, BookEntityType.SECURITY)) == []
        assert ids(books.portfolios_of_account("a-1")) == []


def _indexed_items(books: DynamoDBBooks, index: str) -> list[Any]:
    found: list[Any] = books._client.scan(TableName=books._table, IndexName=index)["Items"]  # what no reader shows
    return found


class TestIndexes:
    """All entities of one client, or one account, are in one partition of an index: 1,000 writes a second."""

    @pytest.mark.parametrize("index", INDEXED)
    def test_what_belongs_to_an_entity_changes_nothing_of_it(self, dynamodb_books: DynamoDBBooks, index: str) -> None:
        books = dynamodb_books
        books.put_entity(entity(account_id="a-1", name="Growth", currency="EUR"))
        known = {
            "id": {"S": "growth"},
            "entity_type": {"S": "portfolio"},
            "client_id": {"S": "acme"},
            "account_id": {"S": "a-1"},
            "name": {"S": "Growth"},
            "currency": {"S": "EUR"},
        }
        eventually(lambda: _indexed_items(books, index), [known])
        before = head(books)
        books.write_series(SeriesKind.VALUATION, "growth", day_values(2))
        books.record("growth", [buy("t-1", "AAPL")])
        assert head(books).revision != before.revision
        assert _indexed_items(books, index) == [known]
        # An index lags; once it has this change, it has had the others before it.
        books.put_entity(entity(account_id="a-1", name="Value", currency="EUR"))
        eventually(lambda: _indexed_items(books, index), [{**known, "name": {"S": "Value"}}])

    def test_nobody_s_stands_under_what_is_no_id_and_its_prices_change_nothing_of_it(
        self, dynamodb_books: DynamoDBBooks
    ) -> None:
        books = dynamodb_books
        books.put_entity(entity(SECURITY, None, currency="USD"))
        known = {
            "id": {"S": "AAPL"},
            "entity_type": {"S": "security"},
            "client_id": {"S": NOBODY},
            "currency": {"S": "USD"},
        }
        eventually(lambda: _indexed_items(books, CLIENT_INDEX), [known])
        before = head(books, SECURITY)
        books.write_series(SeriesKind.PRICE, "AAPL", day_values(2))
        assert head(books, SECURITY).revision != before.revision
        books.put_entity(entity(SECURITY, None, currency="EUR"))
        eventually(lambda: _indexed_items(books, CLIENT_INDEX), [{**known, "currency": {"S": "EUR"}}])

    def test_nobody_s_that_was_written_before_the_index_had_it_is_listed_once_it_is_put_again(
        self, dynamodb_books: DynamoDBBooks
    ) -> None:
        books, given = dynamodb_books, entity(SECURITY, None, currency="USD")
        books._client.put_item(
            TableName=books._table,
            Item={
                "id": {"S": "AAPL"},
                "entity_type": {"S": "security"},
                "currency": {"S": "USD"},
                "revision": {"S": "first"},
            },
        )
        assert head(books, SECURITY).entity == given
        books.write_series(SeriesKind.PRICE, "AAPL", day_values(2))
        before = head(books, SECURITY)
        with pytest.raises(StoreError, match="belongs to another client"):
            books.put_entity(entity(SECURITY, "acme", currency="USD"))
        assert books.put_entity(given) is True
        eventually(lambda: list(books.all_entities(BookEntityType.SECURITY)), [given])
        after = head(books, SECURITY)
        assert after.revision != before.revision
        assert books.prices("AAPL").prices.tolist() == [10.0, 11.0]
        assert books.put_entity(given) is False
        assert head(books, SECURITY) == after

    def test_only_a_change_of_the_entity_itself_is_a_write_of_an_index(self, extenddb_books: DynamoDBBooks) -> None:
        """With what ExtendDB says of a single write: of those of a transaction it leaves the indexes out."""
        books, client = extenddb_books, extenddb_books._client
        books.put_entity(entity(account_id="a-1"))
        books.put_entity(security())
        changed = _requests(client, "TransactWriteItems")
        books.write_series(SeriesKind.VALUATION, "growth", day_values(2))
        books.record("growth", [buy("t-1", "AAPL")])
        books.write_series(SeriesKind.PRICE, "AAPL", day_values(2))
        heads = [each["Update"] for request in changed for each in request["TransactItems"] if _of_an_entity(each)]
        assert [each["Key"]["id"]["S"] for each in heads] == ["growth", "growth", "AAPL"]

        def units(update: Any) -> dict[str, float]:
            update.pop("ConditionExpression", None)
            told: Any = client.update_item(**update, ReturnConsumedCapacity="INDEXES")["ConsumedCapacity"]
            indexes = told.get("GlobalSecondaryIndexes", {})
            return {"table": told["Table"]["CapacityUnits"]} | {
                name: each["CapacityUnits"] for name, each in indexes.items()
            }

        for each in heads:
            assert units(each) == {"table": 1.0}
        renamed = {
            "TableName": books._table,
            "Key": heads[0]["Key"],
            "UpdateExpression": "SET #name = :name",
            "ExpressionAttributeNames": {"#name": "name"},
            "ExpressionAttributeValues": {":name": {"S": "Value"}},
        }
        assert units(renamed) == {"table": 1.0, **dict.fromkeys(INDEXED, 1.0)}


def _of_an_entity(write: Any) -> bool:
    return "Update" in write and write["Update"]["Key"]["entity_type"]["S"] in set(BookEntityType)


class TestTransactions:
    def test_every_type_reads_back_with_every_digit(self, books: Books) -> None:
        books.put_entity(entity())
        tiny = Decimal("1.234567890123456789012345678901234E-96")
        common: Any = {"portfolio_id": "growth", "trade_date": DAY}
        given = [
            Transaction(transaction_id="a", type=TransactionType.DEPOSIT, amount=LONG, **common),
            Transaction(transaction_id="b", type=TransactionType.WITHDRAWAL, amount=Decimal("1E+15"), **common),
            buy("c", "AAPL"),
            Transaction(
                transaction_id="d",
                type=TransactionType.SELL,
                amount=Decimal("0.10"),
                quantity=tiny,
                security_id="BRK.B",
                **common,
            ),
            Transaction(transaction_id="e", type=TransactionType.DIVIDEND, amount=-LONG, security_id="AAPL", **common),
            Transaction(transaction_id="f", type=TransactionType.INTEREST, amount=Decimal("0E-300"), **common),
            Transaction(
                transaction_id="g", type=TransactionType.SPLIT, quantity=Decimal(4), security_id="AAPL", **common
            ),
            Transaction(
                transaction_id="h",
                type=TransactionType.TRANSFER_IN,
                quantity=Decimal("1E-130"),
                security_id="AAPL",
                counterparty_id="other",
                **common,
            ),
        ]
        assert books.record("growth", given) == TransactionReport(added=tuple("abcdefgh"))
        assert books.portfolio_book("growth").transactions == given
        assert books.record("growth", given) == TransactionReport(unchanged=tuple("abcdefgh"))
        assert head(books).security_ids == {"AAPL", "BRK.B"}

    def test_they_are_in_order_of_their_dates_then_ids(self, books: Books) -> None:
        books.put_entity(entity())
        later = DAY + timedelta(days=1)
        books.record("growth", [deposit("c"), deposit("a", later), deposit("b"), deposit("d", date(1999, 1, 4))])
        assert [each.transaction_id for each in books.portfolio_book("growth").transactions] == ["d", "b", "c", "a"]

    def test_what_is_known_is_unchanged_or_conflicts(self, books: Books) -> None:
        books.put_entity(entity())
        books.record("growth", [deposit("a"), deposit("b")])
        before = head(books)
        report = books.record("growth", [deposit("a", amount="100.00"), deposit("b", amount="200"), deposit("b-2")])
        assert report == TransactionReport(added=("b-2",), unchanged=("a",), conflicting=("b",))
        assert books.portfolio_book("growth").transactions == [deposit("a"), deposit("b"), deposit("b-2")]
        assert head(books).revision != before.revision

    def test_a_replacement_is_told_and_read(self, books: Books) -> None:
        books.put_entity(entity())
        books.record("growth", [buy("a", "AAPL"), deposit("b")])
        given = [buy("a", "MSFT"), deposit("b"), deposit("c")]
        assert books.record("growth", given, replace=True) == TransactionReport(("c",), ("a",), ("b",))
        assert books.portfolio_book("growth").transactions == given
        assert head(books).security_ids >= {"MSFT"}

    def test_a_replacement_may_be_of_another_type(self, books: Books) -> None:
        books.put_entity(entity())
        books.record("growth", [buy("a", "AAPL")])
        books.record("growth", [deposit("a")], replace=True)
        assert books.portfolio_book("growth").transactions == [deposit("a")]

    @pytest.mark.parametrize("replace", [False, True])
    def test_of_one_id_given_twice_the_first_is_entered(self, books: Books, replace: bool) -> None:
        books.put_entity(entity())
        # The last two are not in one transaction of the store with the first ones.
        given = [deposit("a"), deposit("b"), *(deposit(f"c-{n}") for n in range(120))]
        given += [deposit("a"), deposit("a"), deposit("b", amount="7")]
        report = books.record("growth", given, replace=replace)
        assert (len(report.added), report.unchanged, report.conflicting) == (122, ("a",), ("b",))
        assert deposit("b") in books.portfolio_book("growth").transactions
        again = books.record("growth", given, replace=replace)
        assert (again.added, again.replaced, len(again.unchanged), again.conflicting) == ((), (), 122, ("b",))

    def test_more_than_one_transaction_takes_are_all_entered(self, books: Books) -> None:
        books.put_entity(entity())
        given = [buy(f"t-{number:03}", f"S{number}", DAY - timedelta(days=number)) for number in range(205)]
        assert len(books.record("growth", given).added) == 205
        assert books.portfolio_book("growth").transactions == given[::-1]
        assert head(books).security_ids == {f"S{number}" for number in range(205)}
        assert marks(books)["growth"].from_date == DAY - timedelta(days=204)

    def test_a_portfolio_that_is_not_in_the_books_has_none(self, books: Books) -> None:
        books.put_entity(entity(EntityKey(BookEntityType.ACCOUNT, "growth"), account_id="growth"))
        with pytest.raises(StoreError, match="the portfolio growth is not in the books"):
            books.record("growth", [deposit()])
        book = books.portfolio_book("growth")
        assert (list(book.transactions), book.valuations) == ([], None)
        assert marks(books) == {}

    def test_another_portfolios_transaction_is_refused_and_nothing_is_entered(self, books: Books) -> None:
        books.put_entity(entity())
        with pytest.raises(StoreError, match="t-2 is not one of portfolio growth"):
            books.record("growth", [deposit(), deposit("t-2", portfolio_id="other")])
        assert books.portfolio_book("growth").transactions == []

    def test_nothing_given_is_nothing_done(self, books: Books) -> None:
        books.put_entity(entity())
        before = head(books)
        assert books.record("growth", []) == TransactionReport()
        assert books.write_series(SeriesKind.VALUATION, "growth", []) == SeriesReport()
        assert head(books) == before
        assert marks(books) == {}


class TestMarks:
    def test_a_portfolio_is_marked_from_its_earliest_entry(self, books: Books) -> None:
        books.put_entity(entity())
        books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, "other")))
        books.record("growth", [deposit("a", date(2023, 3, 1)), deposit("b", date(2023, 2, 1))])
        books.record("other", [deposit(portfolio_id="other")])
        first = marks(books)
        assert {name: mark.from_date for name, mark in first.items()} == {"growth": date(2023, 2, 1), "other": DAY}
        books.record("growth", [deposit("c", date(2023, 5, 1))])
        second = marks(books)["growth"]
        assert second.from_date == date(2023, 2, 1)
        assert second.token != first["growth"].token
        books.record("growth", [deposit("d", date(2022, 5, 1))])
        assert marks(books)["growth"].from_date == date(2022, 5, 1)

    def test_what_changes_nothing_marks_nothing(self, books: Books) -> None:
        books.put_entity(entity())
        books.record("growth", [deposit()])
        (mark,) = books.marks()
        assert books.clear_mark(mark)
        books.record("growth", [deposit(), deposit(amount="3")])
        books.put_entity(entity(name="Growth"))
        books.write_series(SeriesKind.VALUATION, "growth", day_values(1))
        assert marks(books) == {}

    @pytest.mark.parametrize(("before", "after"), [("2023-02-01", "2023-05-01"), ("2023-05-01", "2023-02-01")])
    def test_a_replacement_marks_from_the_earlier_of_both_dates(self, books: Books, before: str, after: str) -> None:
        books.put_entity(entity())
        books.record("growth", [deposit(day=date.fromisoformat(before))])
        (mark,) = books.marks()
        books.clear_mark(mark)
        books.record("growth", [deposit(day=date.fromisoformat(after))], replace=True)
        assert marks(books)["growth"].from_date == date(2023, 2, 1)

    def test_a_mark_made_since_stays(self, books: Books) -> None:
        books.put_entity(entity())
        books.record("growth", [deposit("a")])
        (seen,) = books.marks()
        books.record("growth", [deposit("b", DAY + timedelta(days=9))])
        assert books.clear_mark(seen) is False
        (present,) = books.marks()
        assert present.from_date == DAY
        assert books.clear_mark(present) is True
        assert list(books.marks()) == []
        # What a caller tries again, because it did not hear the answer, is gone too.
        assert books.clear_mark(present) is True

    def test_many_are_all_told_started_and_cleared(self, books: Books) -> None:
        names = [f"p-{number:02}" for number in range(40)]
        for name in names:
            books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, name)))
            books.record(name, [deposit(portfolio_id=name)])
        found = list(books.marks())
        assert sorted(mark.portfolio_id for mark in found) == names
        assert all(books.start_mark(mark, [f"again-{mark.portfolio_id}"]) for mark in found)
        assert {name: mark.executions for name, mark in marks(books).items()} == {
            name: (f"again-{name}",) for name in names
        }
        assert all(books.clear_mark(mark) for mark in found[1:])
        assert marks(books).keys() == {found[0].portfolio_id}

    def test_they_do_not_share_a_partition(self, moto_client: Any, moto_books: DynamoDBBooks) -> None:
        for number in range(40):
            moto_books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, f"p-{number}")))
            moto_books.record(f"p-{number}", [deposit(portfolio_id=f"p-{number}")])
        items = moto_client.scan(TableName=TABLE, FilterExpression="attribute_exists(marked_at)")["Items"]
        found = {item["entity_type"]["S"]: item["id"]["S"] for item in items}
        assert found == {f"p-{number}": mark_partition(f"p-{number}") for number in range(40)}
        assert len(set(found.values())) > len(MARK_PARTITIONS) / 2

    def test_a_portfolio_is_marked_anew_after_a_recalculation(self, books: Books) -> None:
        books.put_entity(entity())
        books.record("growth", [deposit("a", date(2020, 1, 2))])
        (mark,) = books.marks()
        books.clear_mark(mark)
        books.record("growth", [deposit("b", date(2023, 1, 2))])
        assert marks(books)["growth"].from_date == date(2023, 1, 2)
        assert books.clear_mark(mark) is False


class TestSeries:
    def test_days_are_added_changed_or_there_already(self, books: Books) -> None:
        books.put_entity(entity())
        turn = date(2022, 12, 30)
        assert books.portfolio_book("growth").valuations is None
        assert books.write_series(SeriesKind.VALUATION, "growth", day_values(4, turn)[::-1]) == SeriesReport(added=4)
        given = [*day_values(2, turn), DayValue(date(2023, 1, 1), Decimal("-0.5")), *day_values(1, date(2021, 7, 1))]
        assert books.write_series(SeriesKind.VALUATION, "growth", given) == SeriesReport(1, 1, 2)
        found = books.portfolio_book("growth").valuations
        assert found is not None
        days = [date(2021, 7, 1), *(turn + timedelta(days=each) for each in range(4))]
        assert found.days.tolist() == [day_number(day) for day in days]
        assert found.values.tolist() == [10.0, 10.0, 11.0, -0.5, 13.0]
        assert found.days.dtype == np.int64
        assert found.values.dtype == np.float64

    def test_levels_read_back_and_none_are_empty(self, books: Books) -> None:
        books.put_entity(entity(BENCHMARK, None))
        assert books.levels("SPX").days.size == books.levels("SPX").values.size == 0
        books.write_series(SeriesKind.LEVEL, "SPX", day_values(3, value="4500.25"))
        assert books.levels("SPX").values.tolist() == [4500.25, 4501.25, 4502.25]
        assert books.levels("SPX").days.tolist() == [day_number(DAY) + each for each in range(3)]

    def test_prices_have_their_dividends_and_splits(self, books: Books) -> None:
        books.put_entity(security())
        none = books.prices("AAPL")
        assert none.days.size == none.prices.size == none.dividends.size == none.splits.size == 0
        turn = date(2022, 12, 30)
        given = day_values(5, turn)
        given[1] = given[1]._replace(dividend=Decimal("0.24"))
        given[3] = given[3]._replace(dividend=Decimal("0.3"), split=Decimal("0.1"))
        assert books.write_series(SeriesKind.PRICE, "AAPL", given) == SeriesReport(added=5)
        found = books.prices("AAPL")
        assert found.days.tolist() == [day_number(turn) + each for each in range(5)]
        assert found.prices.tolist() == [10.0, 11.0, 12.0, 13.0, 14.0]
        assert found.dividends.tolist() == [0.0, 0.24, 0.0, 0.3, 0.0]
        assert found.splits.tolist() == [1.0, 1.0, 1.0, 0.1, 1.0]
        assert books.write_series(SeriesKind.PRICE, "AAPL", given) == SeriesReport(unchanged=5)
        assert books.write_series(SeriesKind.PRICE, "AAPL", day_values(5, turn)) == SeriesReport(changed=2, unchanged=3)
        assert books.prices("AAPL").splits.tolist() == [1.0] * 5

    def test_every_digit_is_kept(self, books: Books) -> None:
        books.put_entity(security())
        given = [DayValue(DAY, LONG, LONG, LONG)]
        assert books.write_series(SeriesKind.PRICE, "AAPL", given) == SeriesReport(added=1)
        assert books.write_series(SeriesKind.PRICE, "AAPL", given) == SeriesReport(unchanged=1)
        for other in (
            DayValue(DAY, NEXT, LONG, LONG),
            DayValue(DAY, NEXT, NEXT, LONG),
            DayValue(DAY, NEXT, NEXT, NEXT),
        ):
            assert books.write_series(SeriesKind.PRICE, "AAPL", [other]) == SeriesReport(changed=1)
        assert books.prices("AAPL").prices.tolist() == [float(LONG)]

    @pytest.mark.parametrize(
        ("kind", "key"),
        [(SeriesKind.VALUATION, PORTFOLIO), (SeriesKind.PRICE, SECURITY), (SeriesKind.LEVEL, BENCHMARK)],
    )
    def test_what_is_not_in_the_books_has_no_series(self, books: Books, kind: SeriesKind, key: EntityKey) -> None:
        with pytest.raises(StoreError, match=f"the {key.entity_type} {key.entity_id} is not in the books"):
            books.write_series(kind, key.entity_id, day_values(2))
        books.put_entity(entity(key))
        before = head(books, key)
        books.write_series(kind, key.entity_id, day_values(2))
        after = head(books, key)
        assert after.revision != before.revision
        assert books.write_series(kind, key.entity_id, day_values(2)) == SeriesReport(unchanged=2)
        assert head(books, key) == after

    @pytest.mark.parametrize(
        ("days", "message"),
        [
            ([*day_values(3), DayValue(DAY, Decimal(5))], "2023-06-30 stands twice"),
            ([DayValue(DAY, Decimal("NaN"))], "level of 2023-06-30: a number must be finite"),
            ([DayValue(DAY, Decimal("1e16"))], "level of 2023-06-30: a number must be finite and at most"),
            ([DayValue(DAY, Decimal("1." + "0" * 33 + "1"))], "at most 34 digits"),
            ([DayValue(DAY, Decimal(1), dividend=Decimal(1))], "has a dividend or a split"),
        ],
    )
    def test_a_day_that_cannot_be_kept_is_named_and_none_is_written(
        self, books: Books, days: list[DayValue], message: str
    ) -> None:
        books.put_entity(entity(BENCHMARK, None))
        before = head(books, BENCHMARK)
        with pytest.raises(StoreError, match=message):
            books.write_series(SeriesKind.LEVEL, "SPX", [*day_values(2, date(2000, 1, 1)), *days])
        assert books.levels("SPX").days.size == 0
        assert head(books, BENCHMARK) == before


def test_every_kind_of_change_is_a_new_revision(books: Books) -> None:
    seen = set()
    books.put_entity(entity())
    seen.add(head(books).revision)
    changes: list[Callable[[], object]] = [
        lambda: books.put_entity(entity(name="Growth")),
        lambda: books.record("growth", [deposit()]),
        lambda: books.record("growth", [deposit(amount="7")], replace=True),
        lambda: books.write_series(SeriesKind.VALUATION, "growth", day_values(1)),
        lambda: books.write_series(SeriesKind.VALUATION, "growth", day_values(1, value="3")),
        lambda: books.put_entity(entity()),
    ]
    for number, change in enumerate(changes, start=2):
        change()
        seen.add(head(books).revision)
        assert len(seen) == number
    unchanging: list[Callable[[], object]] = [
        lambda: books.put_entity(entity()),
        lambda: books.record("growth", [deposit(amount="7")]),
        lambda: books.record("growth", [deposit(amount="7.0")], replace=True),
        lambda: books.record("growth", [deposit(amount="8")]),
        lambda: books.write_series(SeriesKind.VALUATION, "growth", day_values(1, value="3.0")),
        lambda: [books.clear_mark(mark) for mark in books.marks()],
        lambda: books.portfolio_book("growth"),
    ]
    before = head(books)
    for leave in unchanging:
        leave()
        assert head(books) == before


def test_names_that_look_like_keys_are_names(books: Books) -> None:
    names = ["recalculation", "portfolio", "valuation", "transaction", "price", "AAPL"]
    books.put_entity(security())
    books.write_series(SeriesKind.PRICE, "AAPL", day_values(2))
    for name in names:
        books.put_entity(entity(EntityKey(BookEntityType.PORTFOLIO, name)))
        books.record(name, [deposit(other, portfolio_id=name) for other in names])
        books.write_series(SeriesKind.VALUATION, name, day_values(1))
    assert sorted(marks(books)) == sorted(names)
    for name in names:
        book = books.portfolio_book(name)
        assert [each.transaction_id for each in book.transactions] == sorted(names)
        assert book.valuations is not None
        assert book.valuations.values.tolist() == [10.0]
    assert books.prices("AAPL").prices.tolist() == [10.0, 11.0]


def together(*works: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(max_workers=len(works)) as threads:
        return [each.result() for each in [threads.submit(work) for work in works]]


class TestWritersAtTheSameTime:
    def test_no_transaction_is_lost_and_the_earliest_date_marks(self, shared_books: Books) -> None:
        books = shared_books
        books.put_entity(entity())

        def write(thread: int) -> None:
            for number in range(5):
                day = DAY - timedelta(days=(thread * 7 + number * 11) % 30)
                books.record("growth", [buy(f"t-{thread}-{number}", f"S{thread}", day)])

        together(*(partial(write, thread) for thread in range(THREADS)))
        found = books.portfolio_book("growth").transactions
        assert len(found) == 5 * THREADS
        assert head(books).security_ids == {f"S{thread}" for thread in range(THREADS)}
        assert marks(books)["growth"].from_date == min(each.trade_date for each in found)

    def test_of_several_that_enter_one_id_one_adds_it(self, shared_books: Books) -> None:
        books = shared_books
        books.put_entity(entity())
        reports = together(
            *(partial(books.record, "growth", [deposit("t", amount=str(n + 1))]) for n in range(THREADS))
        )
        assert sorted((len(each.added), len(each.conflicting)) for each in reports) == [(0, 1)] * (THREADS - 1) + [
            (1, 0)
        ]
        (kept,) = books.portfolio_book("growth").transactions
        (winner,) = (n for n, each in enumerate(reports) if each.added)
        assert kept.amount == winner + 1

    def test_a_cleared_mark_never_loses_a_date(self, shared_books: Books) -> None:
        """Every entry is recalculated: by a mark that was cleared after it was read, or by one that is still there."""
        books = shared_books
        books.put_entity(entity())
        days = [DAY - timedelta(days=(number * 7) % 20) for number in range(20)]

        def recalculate() -> list[tuple[date, int]]:
            cleared = []
            for _ in range(40):
                for mark in books.marks():
                    known = len(books.portfolio_book("growth").transactions)
                    if books.clear_mark(mark):
                        cleared.append((mark.from_date, known))
            return cleared

        def write() -> None:
            for number, day in enumerate(days):
                books.record("growth", [deposit(f"t-{number:02}", day)])

        cleared, _ = together(recalculate, write)
        cleared += [(mark.from_date, len(days)) for mark in books.marks()]
        done = 0
        for from_date, known in cleared:
            assert from_date <= min(days[done:known])
            done = known
        assert done == len(days)

    def test_no_day_of_a_year_is_lost(self, shared_books: Books) -> None:
        books = shared_books
        books.put_entity(entity(BENCHMARK, None))
        written = day_values(4 * THREADS, date(2022, 12, 20))

        def write(thread: int) -> None:
            for day in written[thread::THREADS]:
                assert books.write_series(SeriesKind.LEVEL, "SPX", [day]) == SeriesReport(added=1)

        together(*(partial(write, thread) for thread in range(THREADS)))
        assert books.levels("SPX").values.tolist() == [float(day.value) for day in written]

    def test_of_two_first_writers_one_owns_the_entity(self, shared_books: Books) -> None:
        books = shared_books

        def put(client_id: str) -> bool | None:
            try:
                return books.put_entity(entity(client_id=client_id))
            except StoreError:
                return None

        clients = [f"client-{number}" for number in range(THREADS)]
        won = together(*(partial(put, each) for each in clients))
        assert sorted(won, key=str) == [None] * (THREADS - 1) + [True]
        assert head(books).entity.client_id == clients[won.index(True)]

    def test_of_several_that_put_the_same_one_changes_it(self, shared_books: Books) -> None:
        shared_books.put_entity(entity())
        changed = together(*[lambda: shared_books.put_entity(entity(name="Growth"))] * THREADS)
        assert sorted(changed) == [False] * (THREADS - 1) + [True]


@contextmanager
def _fresh_books(engine: str) -> Iterator[Books]:
    if engine == "memory":
        yield InMemoryBooks()
        return
    with mock_aws():
        made = dynamodb()
        made.create_table(TableName=TABLE, **ENTITY_TABLE)
        yield DynamoDBBooks(made, TABLE)


def _entries() -> st.SearchStrategy[list[tuple[bool, list[Transaction]]]]:
    entry = st.builds(
        lambda name, days, amount, held: (
            buy(name, f"S{held}", DAY - timedelta(days=days)) if held else deposit(name, DAY - timedelta(days), amount)
        ),
        st.sampled_from("abcde"),
        st.integers(0, 400),
        st.decimals("0.01", "1e9", places=6),
        st.integers(0, 3),
    )
    call = st.tuples(st.booleans(), st.lists(entry, min_size=1, max_size=5, unique_by=lambda each: each.transaction_id))
    return st.lists(call, min_size=1, max_size=6)


@pytest.mark.parametrize("engine", ["memory", "moto"])
@settings(max_examples=10)
@given(calls=_entries())
def test_any_sequence_of_entries_keeps_the_last_content_and_the_earliest_date(
    engine: str, calls: list[tuple[bool, list[Transaction]]]
) -> None:
    kept: dict[str, Transaction] = {}
    entered: list[date] = []
    held: set[str] = set()
    with _fresh_books(engine) as books:
        books.put_entity(entity())
        for replace, transactions in calls:
            report = books.record("growth", transactions, replace=replace)
            told = [*report.added, *report.replaced, *report.unchanged, *report.conflicting]
            assert sorted(told) == sorted(each.transaction_id for each in transactions)
            for each in transactions:
                known = kept.get(each.transaction_id)
                if each != known and (replace or known is None):
                    entered += [each.trade_date] + ([known.trade_date] if known else [])
                    held |= {each.security_id} if each.security_id else set()
                    kept[each.transaction_id] = each
        book = books.portfolio_book("growth")
        assert {each.transaction_id: each for each in book.transactions} == kept
        assert marks(books)["growth"].from_date == min(entered)
        assert head(books).security_ids == held


def _requests(client: Any, operation: str) -> list[Any]:
    """Return a list that every further request of `operation` is appended to."""
    seen: list[Any] = []

    def note(params: Any, **_: Any) -> None:
        seen.append(params)

    client.meta.events.register(f"provide-client-params.dynamodb.{operation}", note)
    return seen


def test_a_series_of_several_pages_and_transactions_reads_back_whole(dynamodb_books: DynamoDBBooks) -> None:
    books, client = dynamodb_books, dynamodb_books._client  # the requests are what is looked at
    books.put_entity(security())
    chance = random.Random(1)

    def number() -> Decimal:
        return Decimal(chance.randrange(10**33, 10**34)).scaleb(-25)

    first = date(1900, 1, 1)
    given = [DayValue(first + timedelta(days=each), number(), number(), number()) for each in range(90 * 365)]
    written, read = _requests(client, "TransactWriteItems"), _requests(client, "Query")
    assert books.write_series(SeriesKind.PRICE, "AAPL", given) == SeriesReport(added=len(given))
    assert len(written) == 2
    found = books.prices("AAPL")
    assert len(read) > 1
    assert found.days.tolist() == [day_number(first) + each for each in range(len(given))]
    for name, column in (("value", found.prices), ("dividend", found.dividends), ("split", found.splits)):
        assert column.tolist() == [float(getattr(day, name)) for day in given]


def test_a_book_is_one_request(dynamodb_books: DynamoDBBooks) -> None:
    books, client = dynamodb_books, dynamodb_books._client  # the requests are what is looked at
    books.put_entity(entity())
    books.put_entity(security("growth"))
    books.write_series(SeriesKind.PRICE, "growth", day_values(700))
    books.record("growth", [deposit()])
    books.write_series(SeriesKind.VALUATION, "growth", day_values(700))
    asked = _requests(client, "Query")
    book = books.portfolio_book("growth")
    assert book.valuations is not None
    assert (len(book.transactions), book.valuations.days.size) == (1, 700)
    assert len(asked) == 1


def _cancelled(*reasons: str) -> ClientError:
    answer: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "injected"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return ClientError(answer, "TransactWriteItems")


def _refused(code: str) -> ClientError:
    status = 500 if code.startswith("Internal") else 400
    answer: Any = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "injected")


def _failing(client: Any, operation: str, errors: Sequence[ClientError | None]) -> list[ClientError | None]:
    """Let the next calls of `operation` fail, one after the other; None lets one pass. Return what is left of them."""
    left = list(errors)

    def fail(**_: Any) -> None:
        error = left.pop(0) if left else None
        if error is not None:
            raise error

    client.meta.events.register(f"before-call.dynamodb.{operation}", fail)
    return left


def _meanwhile(client: Any, work: Callable[[], object]) -> None:
    """Let `work` happen between the next transaction's reads and its writes."""
    works = [work]

    def before(**_: Any) -> None:
        if works:
            works.pop()()

    client.meta.events.register("before-call.dynamodb.TransactWriteItems", before)


@pytest.fixture
def faulty_books(moto_books: DynamoDBBooks) -> DynamoDBBooks:
    """Books on moto with a portfolio."""
    moto_books.put_entity(entity())
    return moto_books


class TestFaults:
    @pytest.mark.parametrize(
        "reasons",
        [("None", "TransactionConflict"), ("ConditionalCheckFailed", "None"), ("None", "None", "ThrottlingError")],
    )
    def test_a_cancelled_transaction_is_tried_again(
        self, moto_client: Any, faulty_books: DynamoDBBooks, waits: list[float], reasons: tuple[str, ...]
    ) -> None:
        left = _failing(moto_client, "TransactWriteItems", [_cancelled(*reasons)] * 2)
        assert faulty_books.record("growth", [deposit()]) == TransactionReport(added=("t-1",))
        assert left == []
        assert len(waits) == 2
        assert faulty_books.write_series(SeriesKind.VALUATION, "growth", day_values(2)) == SeriesReport(added=2)

    def test_the_second_attempt_sees_what_the_other_writer_wrote(
        self, moto_client: Any, faulty_books: DynamoDBBooks
    ) -> None:
        other = DynamoDBBooks(moto_client, TABLE)
        _meanwhile(moto_client, lambda: other.record("growth", [deposit("a", OLD), deposit("b", amount="7")]))
        report = faulty_books.record("growth", [deposit("a", OLD), deposit("b"), deposit("c")])
        assert report == TransactionReport(added=("c",), unchanged=("a",), conflicting=("b",))
        assert marks(faulty_books)["growth"].from_date == OLD

    def test_a_mark_that_another_writer_moved_is_not_moved_back(
        self, moto_client: Any, faulty_books: DynamoDBBooks
    ) -> None:
        faulty_books.record("growth", [deposit("a")])
        other = DynamoDBBooks(moto_client, TABLE)
        _meanwhile(moto_client, lambda: other.record("growth", [deposit("b", OLD)]))
        faulty_books.record("growth", [deposit("c", date(2020, 1, 2))])
        assert marks(faulty_books)["growth"].from_date == OLD

    def test_a_mark_that_was_cleared_meanwhile_is_made_anew(
        self, moto_client: Any, faulty_books: DynamoDBBooks
    ) -> None:
        faulty_books.record("growth", [deposit("a", OLD)])
        (mark,) = faulty_books.marks()
        _meanwhile(moto_client, lambda: faulty_books.clear_mark(mark))
        faulty_books.record("growth", [deposit("b")])
        assert marks(faulty_books)["growth"].from_date == DAY

    def test_a_replacement_marks_from_the_date_that_another_replacement_set(
        self, moto_client: Any, faulty_books: DynamoDBBooks
    ) -> None:
        faulty_books.record("growth", [deposit(day=date(2022, 1, 3))])
        other = DynamoDBBooks(moto_client, TABLE)

        def replace_and_recalculate() -> None:
            other.record("growth", [deposit(day=OLD)], replace=True)
            (mark,) = other.marks()
            assert other.clear_mark(mark)

        _meanwhile(moto_client, replace_and_recalculate)
        faulty_books.record("growth", [deposit()], replace=True)
        # What was calculated from OLD on holds the other writer's version, which this one has taken away.
        assert marks(faulty_books)["growth"].from_date == OLD

    @pytest.mark.parametrize("kind", list(SeriesKind))
    def test_what_is_read_in_the_middle_of_a_transaction_is_read_again(
        self, moto_client: Any, faulty_books: DynamoDBBooks, waits: list[float], kind: SeriesKind
    ) -> None:
        """DynamoDB isolates a query from a transaction item by item: this one sees all but the last of its items."""
        name = "growth"
        faulty_books.put_entity(entity(EntityKey(SERIES_OF[kind], name)))
        faulty_books.write_series(kind, name, day_values(700))
        torn = [True]

        def tear(parsed: Any, **_: Any) -> None:
            if torn:
                torn.pop()
                place = max(n for n, item in enumerate(parsed["Items"]) if item["entity_type"]["S"].startswith(kind))
                del parsed["Items"][place]

        moto_client.meta.events.register("after-call.dynamodb.Query", tear)
        read: dict[SeriesKind, Callable[[], Any]] = {
            SeriesKind.VALUATION: lambda: faulty_books.portfolio_book(name).valuations,
            SeriesKind.PRICE: lambda: faulty_books.prices(name),
            SeriesKind.LEVEL: lambda: faulty_books.levels(name),
        }
        assert read[kind]().days.size == 700
        assert torn == []
        assert len(waits) == 1

    def test_what_never_adds_up_is_told(self, moto_client: Any, faulty_books: DynamoDBBooks) -> None:
        faulty_books.record("growth", [deposit("a"), deposit("b")])
        gone = {"id": {"S": "growth"}, "entity_type": {"S": "transaction#a"}}
        moto_client.delete_item(TableName=TABLE, Key=gone)
        with pytest.raises(TransientError, match="the items of portfolio growth do not add up"):
            faulty_books.portfolio_book("growth")

    def test_a_portfolio_that_goes_meanwhile_is_not_half_made_anew(
        self, moto_client: Any, faulty_books: DynamoDBBooks
    ) -> None:
        gone = {"id": {"S": "growth"}, "entity_type": {"S": "portfolio"}}
        _meanwhile(moto_client, lambda: moto_client.delete_item(TableName=TABLE, Key=gone))
        with pytest.raises(StoreError, match="the portfolio growth is not in the books"):
            faulty_books.record("growth", [deposit()])
        assert faulty_books.entities([PORTFOLIO]) == {}
        assert marks(faulty_books) == {}

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ("TransactionConflict", TransientError),
            ("ConditionalCheckFailed", TransientError),
            ("ProvisionedThroughputExceeded", ThrottledError),
            ("ThrottlingError", ThrottledError),
        ],
    )
    def test_one_that_is_cancelled_again_and_again_is_given_up(
        self,
        moto_client: Any,
        faulty_books: DynamoDBBooks,
        waits: list[float],
        reason: str,
        expected: type[TransientError],
    ) -> None:
        left = _failing(moto_client, "TransactWriteItems", [_cancelled("None", reason)] * 8)
        with pytest.raises(TransientError) as raised:
            faulty_books.record("growth", [deposit()])
        assert type(raised.value) is expected
        assert left == []
        assert len(waits) == 7
        assert all(0 <= wait <= 2 for wait in waits)
        assert faulty_books.portfolio_book("growth").transactions == []

    @pytest.mark.parametrize("reasons", [("None", "ValidationError"), ("TransactionConflict", "ValidationError"), ()])
    def test_one_that_is_cancelled_for_good_is_not_tried_again(
        self, moto_client: Any, faulty_books: DynamoDBBooks, waits: list[float], reasons: tuple[str, ...]
    ) -> None:
        _failing(moto_client, "TransactWriteItems", [_cancelled(*reasons)])
        with pytest.raises(StoreError):
            faulty_books.record("growth", [deposit()])
        assert waits == []

    @pytest.mark.parametrize("code", ["TransactionConflictException", "ConditionalCheckFailedException"])
    def test_an_entity_that_is_in_a_transaction_is_put_after_it(
        self, moto_client: Any, faulty_books: DynamoDBBooks, waits: list[float], code: str
    ) -> None:
        _failing(moto_client, "UpdateItem", [_refused(code)])
        assert faulty_books.put_entity(entity(name="Growth")) is True
        assert len(waits) == 1

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("ThrottlingException", ThrottledError),
            ("InternalServerError", TransientError),
            ("ResourceNotFoundException", StoreError),
        ],
    )
    @pytest.mark.parametrize("operation", ["BatchGetItem", "TransactWriteItems", "UpdateItem", "DeleteItem", "Query"])
    def test_errors_are_typed(
        self, moto_client: Any, faulty_books: DynamoDBBooks, operation: str, code: str, expected: type[Exception]
    ) -> None:
        _failing(moto_client, operation, [_refused(code)])
        calls: dict[str, Callable[[], object]] = {
            "BatchGetItem": lambda: faulty_books.entities([PORTFOLIO]),
            "TransactWriteItems": lambda: faulty_books.record("growth", [deposit()]),
            "UpdateItem": lambda: faulty_books.put_entity(entity(name="Growth")),
            "DeleteItem": lambda: faulty_books.clear_mark(Mark("growth", DAY, "token", datetime.now(UTC))),
            "Query": lambda: faulty_books.portfolio_book("growth"),
        }
        with pytest.raises(expected):
            calls[operation]()

    def test_throttling_between_groups_leaves_what_a_second_call_completes(
        self, moto_client: Any, faulty_books: DynamoDBBooks
    ) -> None:
        given = [deposit(f"t-{number:03}") for number in range(150)]
        _failing(moto_client, "TransactWriteItems", [None, _refused("ThrottlingException")])
        with pytest.raises(ThrottledError):
            faulty_books.record("growth", given)
        assert 0 < len(faulty_books.portfolio_book("growth").transactions) < 150
        report = faulty_books.record("growth", given)
        assert (len(report.added), len(report.unchanged)) == (52, 98)

    def test_unprocessed_keys_are_asked_for_again(
        self, moto_client: Any, faulty_books: DynamoDBBooks, waits: list[float]
    ) -> None:
        keys = [EntityKey(BookEntityType.PORTFOLIO, f"p-{number}") for number in range(10)]
        for key in keys:
            faulty_books.put_entity(entity(key))
        real = moto_client.batch_get_item

        def half(**arguments: Any) -> Any:
            asked = arguments["RequestItems"][TABLE]["Keys"]
            now, later = asked[: (len(asked) + 1) // 2], asked[(len(asked) + 1) // 2 :]
            answer = real(RequestItems={TABLE: {**arguments["RequestItems"][TABLE], "Keys": now}})
            return {**answer, "UnprocessedKeys": {TABLE: {"Keys": later}} if later else {}}

        moto_client.batch_get_item = half
        assert len(faulty_books.entities(keys)) == 10
        assert len(waits) == 3


def test_an_attempt_at_a_mark_is_noted_until_it_is_made_again(books: Books) -> None:
    books.put_entity(entity())
    books.record("growth", [deposit("t-1")])
    mark = marks(books)["growth"]
    assert (mark.executions, mark.attempts) == ((), 0)
    assert books.start_mark(mark, ["run-1", "run-2"])
    noted = marks(books)["growth"]
    assert noted == mark._replace(executions=("run-1", "run-2"), attempts=1)
    assert books.start_mark(noted, ["run-3"])
    assert marks(books)["growth"] == mark._replace(executions=("run-3",), attempts=2)
    books.record("growth", [deposit("t-2")])
    assert not books.start_mark(noted, ["run-4"])
    fresh = marks(books)["growth"]
    assert (fresh.executions, fresh.attempts) == ((), 0)
    assert not books.clear_mark(noted)
    assert books.clear_mark(fresh)
    assert not books.start_mark(fresh, ["run-5"])
    assert marks(books) == {}


def test_the_books_of_the_settings(moto_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    found = book_store(BooksSettings.from_env({"ENTITY_TABLE": TABLE}))
    assert found is book_store(BooksSettings.from_env({"ENTITY_TABLE": TABLE}))
    assert found.put_entity(entity()) is True
