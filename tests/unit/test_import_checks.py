"""What an import tells cannot be calculated once it is done."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from common.errors import InputNotFoundError, InvalidPortfolioError
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, SeriesKind
from common.stores.histories import BookReader
from common.stores.memory_books import InMemoryBooks
from workflows import import_checks
from workflows.import_files import inspect
from workflows.import_report import ImportReport
from workflows.importing import import_files

DAY = date(2024, 1, 2)
TRANSACTIONS = "transaction_id,portfolio_id,type,trade_date,amount,quantity,security_id\n"

Put = Callable[[str, str], Path]


@pytest.fixture
def books() -> InMemoryBooks:
    return InMemoryBooks()


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write a file."""

    def written(name: str, body: str) -> Path:
        path = tmp_path / name
        path.write_text(body)
        return path

    return written


def bring(books: InMemoryBooks, *paths: Path, strict: bool = False) -> ImportReport:
    return import_files(inspect(paths), books, strict=strict)


def obstacles(report: ImportReport) -> list[str]:
    assert report.obstacles.count == len(report.obstacles.items)
    return [str(each) for each in report.obstacles.items]


PORTFOLIOS = "portfolio_id,client_id,account_id,currency,benchmark_id\n"
NOPE = "its benchmark 'NOPE' is neither in the books nor in these files"


def test_a_benchmark_that_is_nowhere_is_told_of_portfolios_and_accounts(books: InMemoryBooks, put: Put) -> None:
    portfolios = put("p.csv", PORTFOLIOS + "q,acme,,,NOPE\nr,acme,,,\n")
    accounts = put("a.csv", "account_id,client_id,benchmark_id\na,acme,NOPE\n")
    report = bring(books, portfolios, accounts)
    assert report.status == "SUCCEEDED"
    assert obstacles(report) == [
        f"account a cannot be calculated: {NOPE}",
        f"portfolio q cannot be calculated: {NOPE}",
    ]
    # It is told again until it is there, also where only transactions come.
    transactions = put("t.csv", TRANSACTIONS + "t,q,deposit,2024-01-02,5,,\n")
    assert obstacles(bring(books, transactions)) == [f"portfolio q cannot be calculated: {NOPE}"]
    levels = put("l.csv", "benchmark_id,date,level\nNOPE,2024-01-02,1\n")
    assert obstacles(bring(books, portfolios, levels)) == []
    assert obstacles(bring(books, portfolios)) == []


@pytest.mark.parametrize("levels", [True, False])
def test_the_order_of_the_files_does_not_matter(books: InMemoryBooks, put: Put, *, levels: bool) -> None:
    paths = [
        put("1.csv", PORTFOLIOS + "q,acme,,,NOPE\n"),
        put("2.csv", "benchmark_id,name\nNOPE,There\n"),
        *([put("3.csv", "benchmark_id,date,level\nNOPE,2024-01-02,1\n")] if levels else []),
    ]
    expected = [] if levels else ["portfolio q cannot be calculated: its benchmark 'NOPE' has no levels"]
    assert obstacles(bring(books, *paths)) == obstacles(bring(books, *reversed(paths))) == expected


def test_a_benchmark_of_another_client_is_not_there(books: InMemoryBooks, put: Put) -> None:
    books.put_entity(
        Entity.model_validate({"entity_type": "benchmark", "entity_id": "NOPE", "client_id": "birch", "name": "Own"})
    )
    books.write_series(SeriesKind.LEVEL, "NOPE", [DayValue(DAY, Decimal(1))])
    report = bring(books, put("p.csv", PORTFOLIOS + "q,acme,,,NOPE\ns,birch,,,NOPE\n"))
    assert obstacles(report) == [f"portfolio q cannot be calculated: {NOPE}"]


BUYS = "t,q,buy,2024-01-02,5,1,US\n"


def test_a_security_in_another_currency_is_told_whichever_came_first(books: InMemoryBooks, put: Put) -> None:
    portfolio = put("p.csv", PORTFOLIOS + "q,acme,,EUR,\n")
    security = put("s.csv", "security_id,currency\nUS,USD\n")
    transactions = put("t.csv", TRANSACTIONS + BUYS)
    told = "portfolio q cannot be calculated: it is in EUR, its security 'US' in USD; amounts are not converted"
    assert obstacles(bring(books, portfolio, security, transactions)) == [told]
    assert obstacles(bring(books, portfolio)) == [told]
    assert obstacles(bring(books, transactions)) == [told]
    assert obstacles(bring(books, put("p.csv", PORTFOLIOS + "q,acme,,USD,\n"))) == []


def test_securities_in_two_currencies_are_told_where_the_portfolio_has_none(books: InMemoryBooks, put: Put) -> None:
    report = bring(
        books,
        put("p.csv", PORTFOLIOS + "q,acme,,,\n"),
        put("s.csv", "security_id,currency\nUS,USD\nEU,EUR\n"),
        put("t.csv", TRANSACTIONS + BUYS + "u,q,buy,2024-01-02,5,1,EU\n"),
    )
    assert obstacles(report) == [
        "portfolio q cannot be calculated: its security 'EU' is in EUR, its security 'US' in USD; "
        "amounts are not converted"
    ]


def test_what_is_valued_by_valuations_may_trade_in_any_currency(books: InMemoryBooks, put: Put) -> None:
    paths = [
        put("p.csv", PORTFOLIOS + "q,acme,,EUR,\n"),
        put("s.csv", "security_id,currency\nUS,USD\n"),
        put("t.csv", TRANSACTIONS + BUYS),
        put("v.csv", "portfolio_id,date,value\nq,2024-01-02,5\n"),
    ]
    assert obstacles(bring(books, *paths)) == []
    assert obstacles(bring(books, *paths[:3])) == []


def test_a_transaction_that_was_replaced_is_no_longer_in_the_way(books: InMemoryBooks, put: Put) -> None:
    bring(
        books,
        put("p.csv", PORTFOLIOS + "q,acme,,EUR,\n"),
        put("s.csv", "security_id,currency\nUS,USD\n"),
        put("t.csv", TRANSACTIONS + BUYS),
    )
    bring(books, put("t.csv", TRANSACTIONS + "t,q,deposit,2024-01-02,5,,\n"))
    assert obstacles(bring(books, put("p.csv", PORTFOLIOS + "q,acme,,EUR,\n"))) == []


def test_an_account_in_another_currency_is_told(books: InMemoryBooks, put: Put) -> None:
    report = bring(
        books,
        put("p.csv", PORTFOLIOS + "q,acme,a,EUR,\n"),
        put("a.csv", "account_id,client_id,currency\na,acme,USD\n"),
    )
    assert obstacles(report) == [
        "account a cannot be calculated: it is in USD, its portfolio 'q' in EUR; amounts are not converted"
    ]


def test_what_is_told_is_what_a_run_would_fail_of(books: InMemoryBooks, put: Put) -> None:
    bring(
        books,
        put("p.csv", PORTFOLIOS + "q,acme,,EUR,\nr,acme,,,NOPE\n"),
        put("s.csv", "security_id,currency\nUS,USD\n"),
        put("t.csv", TRANSACTIONS + BUYS),
        put("c.csv", "security_id,date,price\nUS,2024-01-02,5\n"),
    )
    reader = BookReader(books)
    with pytest.raises(InputNotFoundError, match="there is no benchmark NOPE"):
        reader.dependencies(EntityKey(BookEntityType.PORTFOLIO, "r"))
    depends = reader.dependencies(EntityKey(BookEntityType.PORTFOLIO, "q"))
    with pytest.raises(InvalidPortfolioError, match="portfolio q is in EUR, security US in USD"):
        reader.history(depends, until=None, max_price_age_days=7)


def test_where_it_is_to_be_strict_nothing_is_written(books: InMemoryBooks, put: Put) -> None:
    report = bring(books, put("p.csv", PORTFOLIOS + "q,acme,,,NOPE\n"), strict=True)
    assert (report.status, obstacles(report)) == ("REFUSED", [f"portfolio q cannot be calculated: {NOPE}"])
    assert list(books.all_entities(BookEntityType.PORTFOLIO)) == []


def test_any_number_of_portfolios_is_looked_at_in_parts(
    books: InMemoryBooks, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_checks, "_ENTITIES_CHECKED_AT_ONCE", 2)
    monkeypatch.setattr(import_checks, "_ENTITIES_KEPT", 0)
    rows = "".join(f"q{number},acme,,{'EUR' if number % 2 else 'USD'},\n" for number in range(5))
    report = bring(
        books,
        put("p.csv", PORTFOLIOS + rows),
        put("s.csv", "security_id,currency\nUS,USD\n"),
        put("t.csv", TRANSACTIONS + "".join(f"t,q{number},buy,2024-01-02,5,1,US\n" for number in range(5))),
    )
    assert [each.entity.entity_id for each in report.obstacles.items] == ["q1", "q3"]
