"""`perfcalc import`: files of every kind and format into the books, and what is wrong with one."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import InvalidRequestError, StoreError, TransientError
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, SeriesKind, Transaction
from common.models.kinds import CalculationMethod
from common.models.records import RecordKind, tell_kind
from common.models.results import Asked
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from common.stores.ports import SeriesReport, TransactionReport
from tests.contract.rows import EARLY
from tests.contract.rows import row as result_row
from workflows import import_files as files
from workflows import importing, spool
from workflows.cli import importing as command
from workflows.cli import main
from workflows.import_files import inspect
from workflows.import_report import FileReport, ImportReport
from workflows.importing import import_files

EXAMPLES = Path(__file__).parents[2] / "examples"
FORMATS = ("csv", "jsonl", "parquet")

Rows = Sequence[Mapping[str, str]]


class Books(InMemoryBooks):
    """Books that remember what was asked of them, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.series: dict[tuple[SeriesKind, str], dict[date, DayValue]] = {}
        self.writes: list[tuple[str, int]] = []
        self.lookups = 0
        self.writes_left = 1_000_000

    def entities(self, keys: Sequence[EntityKey]) -> Any:
        self.lookups += 1
        return super().entities(keys)

    def put_entity(self, entity: Entity) -> bool:
        self._write(entity.entity_id, 1)
        return super().put_entity(entity)

    def write_series(self, kind: SeriesKind, entity_id: str, days: Sequence[DayValue]) -> SeriesReport:
        self._write(entity_id, len(days))
        self.series.setdefault((kind, entity_id), {}).update({day.date: day for day in days})
        return super().write_series(kind, entity_id, days)

    def record(
        self, portfolio_id: str, transactions: Sequence[Transaction], *, replace: bool = False
    ) -> TransactionReport:
        self._write(portfolio_id, len(transactions))
        return super().record(portfolio_id, transactions, replace=replace)

    def _write(self, entity_id: str, count: int) -> None:
        if len(self.writes) == self.writes_left:
            raise TransientError("the table is away")
        self.writes.append((entity_id, count))

    def state(self) -> dict[str, Any]:
        """Return everything that is in them but the revisions."""
        stored = {key: each.entity for key, each in self._entities.items()}
        ids = [key.entity_id for key in stored if key.entity_type is BookEntityType.PORTFOLIO]
        transactions = {each: self.portfolio_book(each).transactions for each in ids}
        marks = {mark.portfolio_id: mark.from_date for mark in self.marks()}
        return {"entities": stored, "transactions": transactions, "series": self.series, "marks": marks}


@pytest.fixture
def books() -> Books:
    """Books with a portfolio of client acme."""
    found = Books()
    found.put_entity(Entity.model_validate({"entity_type": "portfolio", "entity_id": "p", "client_id": "acme"}))
    found.writes.clear()
    return found


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file."""

    def written(name: str, body: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        return path

    return written


Put = Callable[[str, str | bytes], Path]


def bring(
    books: Books, *paths: Path, strict: bool = False, kind: RecordKind | None = None, today: date | None = None
) -> ImportReport:
    return import_files(inspect(paths, kind), books, strict=strict, today=today)


def only(report: ImportReport) -> FileReport:
    (found,) = report.files
    assert found.rows == found.new + found.changed + found.unchanged + found.repeated + found.bad or report.refused
    return found


def told(report: ImportReport) -> list[str]:
    """Return the faults of the only file as the command tells them, without its name."""
    (found,) = report.files
    return [line.removeprefix(f"{found.file.path}: ") for line in command._told(report)]


def write(path: Path, rows: Rows) -> Path:
    """Write rows of text in the format that the ending of `path` tells; numbers and dates as each format has them."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".jsonl":
        path.write_text("".join(_json_line(row) + "\n" for row in rows), encoding="utf-8", newline="")
        return path
    with path.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    if path.suffix == ".parquet":
        types = {name: _PARQUET_TYPES.get(name, "VARCHAR") for name in columns}
        duckdb.read_csv(str(path.with_suffix(".csv")), dtype=types).write_parquet(str(path))
    return path


_NUMBERS = {"amount", "quantity", "price", "dividend", "split", "level", "value"}
_PARQUET_TYPES = {**dict.fromkeys(_NUMBERS, "DECIMAL(20, 6)"), "date": "DATE", "trade_date": "TIMESTAMP"}


def _json_line(row: Mapping[str, str]) -> str:
    pairs = (f"{json.dumps(name)}: {text if name in _NUMBERS else json.dumps(text)}" for name, text in row.items())
    return "{" + ", ".join(pairs) + "}"


def parquet(path: Path, select: str) -> Path:
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


DAY = date(2024, 1, 2)
KINDS: dict[RecordKind, tuple[Rows, dict[str, Any]]] = {
    RecordKind.CLIENTS: (
        [{"client_id": "acme", "name": 'Ñandú, "Söhne"\nand others'}, {"client_id": "birch"}],
        {"acme": {"client_id": "acme", "name": 'Ñandú, "Söhne"\nand others'}, "birch": {"client_id": "birch"}},
    ),
    RecordKind.ACCOUNTS: (
        [{"account_id": "a", "client_id": "acme", "name": "Main", "currency": "EUR", "benchmark_id": "MSCI"}],
        {"a": {"account_id": "a", "client_id": "acme", "name": "Main", "currency": "EUR", "benchmark_id": "MSCI"}},
    ),
    RecordKind.PORTFOLIOS: (
        [
            {
                "portfolio_id": "q",
                "client_id": "acme",
                "account_id": "a",
                "name": "Growth",
                "currency": "USD",
                "benchmark_id": "SP500",
                "flow_timing": "end_of_day",
            }
        ],
        {
            "q": {
                "client_id": "acme",
                "account_id": "a",
                "name": "Growth",
                "currency": "USD",
                "benchmark_id": "SP500",
                "flow_timing": "end_of_day",
            }
        },
    ),
    RecordKind.SECURITIES: (
        [{"security_id": "AAPL", "name": "Apple", "currency": "USD"}, {"security_id": "own", "client_id": "acme"}],
        {"AAPL": {"name": "Apple", "currency": "USD"}, "own": {"client_id": "acme"}},
    ),
    RecordKind.BENCHMARKS: (
        [{"benchmark_id": "SP500", "name": "S&P 500", "currency": "USD"}],
        {"SP500": {"name": "S&P 500", "currency": "USD"}},
    ),
    RecordKind.PRICES: (
        [
            {"security_id": "AAPL", "date": "2024-01-03", "price": "185.640", "dividend": "0.24", "split": "0.125"},
            {"security_id": "AAPL", "date": "2024-01-02", "price": "0"},
        ],
        {
            "AAPL": [
                DayValue(DAY, Decimal(0)),
                DayValue(date(2024, 1, 3), Decimal("185.64"), Decimal("0.24"), Decimal("0.125")),
            ]
        },
    ),
    RecordKind.LEVELS: (
        [{"benchmark_id": "SP500", "date": "2024-01-02", "level": "4742.83"}],
        {"SP500": [DayValue(DAY, Decimal("4742.83"))]},
    ),
    RecordKind.VALUATIONS: (
        [{"portfolio_id": "p", "date": "2024-01-02", "value": "-12.5"}],
        {"p": [DayValue(DAY, Decimal("-12.5"))]},
    ),
    RecordKind.TRANSACTIONS: (
        [
            {
                "transaction_id": "t2",
                "portfolio_id": "p",
                "type": "buy",
                "trade_date": "2024-01-03",
                "amount": "100.10",
                "quantity": "1.5",
                "security_id": "AAPL",
            },
            {
                "transaction_id": "t1",
                "portfolio_id": "p",
                "type": "transfer_in",
                "trade_date": "2024-01-02",
                "amount": "1000",
                "counterparty_id": "q",
            },
        ],
        {
            "p": [
                Transaction.model_validate(
                    {
                        "transaction_id": "t1",
                        "portfolio_id": "p",
                        "type": "transfer_in",
                        "trade_date": "2024-01-02",
                        "amount": "1000",
                        "counterparty_id": "q",
                    }
                ),
                Transaction.model_validate(
                    {
                        "transaction_id": "t2",
                        "portfolio_id": "p",
                        "type": "buy",
                        "trade_date": "2024-01-03",
                        "amount": "100.1",
                        "quantity": "1.5",
                        "security_id": "AAPL",
                    }
                ),
            ]
        },
    ),
}
_TYPES = {
    RecordKind.CLIENTS: BookEntityType.CLIENT,
    RecordKind.ACCOUNTS: BookEntityType.ACCOUNT,
    RecordKind.PORTFOLIOS: BookEntityType.PORTFOLIO,
    RecordKind.SECURITIES: BookEntityType.SECURITY,
    RecordKind.BENCHMARKS: BookEntityType.BENCHMARK,
}
_SERIES = {
    RecordKind.PRICES: SeriesKind.PRICE,
    RecordKind.LEVELS: SeriesKind.LEVEL,
    RecordKind.VALUATIONS: SeriesKind.VALUATION,
}


# --- what is brought in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RecordKind)
@pytest.mark.parametrize("form", FORMATS)
def test_each_kind_is_read_from_each_format(books: Books, tmp_path: Path, kind: RecordKind, form: str) -> None:
    rows, expected = KINDS[kind]
    path = write(tmp_path / f"file.{form}", rows)
    report = bring(books, path)
    found = only(report)
    assert (found.file.kind, found.rows, found.new, found.bad, report.status) == (
        kind,
        len(rows),
        len(rows),
        0,
        "SUCCEEDED",
    )
    state = books.state()
    for entity_id, content in expected.items():
        if kind in _TYPES:
            key = EntityKey(_TYPES[kind], entity_id)
            assert state["entities"][key] == Entity.model_validate(
                {"entity_type": _TYPES[kind], "entity_id": entity_id, **content}
            )
        elif kind in _SERIES:
            assert sorted(state["series"][_SERIES[kind], entity_id].values()) == content
        else:
            assert state["transactions"][entity_id] == content

    revisions = dict(books._entities)
    again = only(bring(books, path))
    assert (again.new, again.changed, again.unchanged) == (0, 0, len(rows))
    assert books._entities == revisions


def test_numbers_keep_every_digit(books: Books, put: Put, tmp_path: Path) -> None:
    digits = "123456789.0123456789012345678901234"[:34]
    put("a.jsonl", f'{{"security_id": "A", "date": "2024-01-02", "price": {digits}}}\n')
    put("b.csv", f"security_id,date,price\nB,2024-01-02,{digits}\n")
    columns = f"'C' AS security_id, DATE '2024-01-02' AS date, {digits[:25]}::DECIMAL(38, 15) AS price"
    parquet(tmp_path / "c.parquet", f"SELECT {columns}, 0.1::DOUBLE AS dividend, 0.1::FLOAT AS split")
    assert bring(books, *(tmp_path / name for name in ("a.jsonl", "b.csv", "c.parquet"))).status == "SUCCEEDED"
    prices = {name: books.series[SeriesKind.PRICE, name][DAY] for name in "ABC"}
    assert prices["A"].value == prices["B"].value == Decimal(digits)
    assert prices["C"] == DayValue(DAY, Decimal(digits[:25]), Decimal("0.1"), Decimal("0.1"))


def test_files_are_loaded_in_the_order_of_what_they_depend_on(books: Books, put: Put) -> None:
    paths = [
        put("1.csv", "transaction_id,portfolio_id,type,trade_date,amount\nt,new,deposit,2024-01-02,5\n"),
        put("2.csv", "portfolio_id,date,value\nnew,2024-01-02,5\n"),
        put("3.csv", "security_id,date,price\nS,2024-01-02,5\n"),
        put("4.csv", "security_id,name\nS,Share\n"),
        put("5.csv", "portfolio_id,client_id,account_id\nnew,acme,a\n"),
        put("6.csv", "account_id,client_id,name\na,acme,Main\n"),
        put("7.csv", "client_id,name\nacme,Acme\n"),
    ]
    report = bring(books, *paths)
    assert (report.status, report.made) == ("SUCCEEDED", {})
    kinds = [each.file.kind.value for each in report.files]
    assert kinds == ["clients", "accounts", "portfolios", "securities", "prices", "valuations", "transactions"]
    assert [(mark.portfolio_id, mark.from_date) for mark in report.marks] == [("new", DAY)]


def test_what_a_row_names_and_nothing_describes_is_made(books: Books, put: Put) -> None:
    report = bring(
        books,
        put("p.csv", "portfolio_id,client_id,account_id\nq,birch,b\nr,birch,b\n"),
        put("s.csv", "security_id,date,price\nS,2024-01-02,1\nS,2024-01-03,1\n"),
        put("l.csv", "benchmark_id,date,level\nB,2024-01-02,1\n"),
    )
    assert {each: (made.count, made.items) for each, made in report.made.items()} == {
        BookEntityType.CLIENT: (1, ("birch",)),
        BookEntityType.ACCOUNT: (1, ("b",)),
        BookEntityType.SECURITY: (1, ("S",)),
        BookEntityType.BENCHMARK: (1, ("B",)),
    }
    found = books.entities([EntityKey(BookEntityType.ACCOUNT, "b"), EntityKey(BookEntityType.CLIENT, "birch")])
    assert {each.entity.client_id for each in found.values()} == {"birch"}
    assert len(found) == 2


def test_a_column_that_is_not_in_the_file_is_left_and_an_empty_one_clears(books: Books, put: Put) -> None:
    key = EntityKey(BookEntityType.SECURITY, "S")
    bring(books, put("s.csv", "security_id,name,currency\nS,Share,USD\n"))
    assert only(bring(books, put("s.csv", "security_id,name\nS,Other\n"))).changed == 1
    assert (books.entities([key])[key].entity.name, books.entities([key])[key].entity.currency) == ("Other", "USD")
    assert only(bring(books, put("s.jsonl", '{"security_id": "S", "currency": null}'))).changed == 1
    assert (books.entities([key])[key].entity.name, books.entities([key])[key].entity.currency) == ("Other", None)


def test_a_file_replaces_what_the_books_have(books: Books, put: Put) -> None:
    rows = "transaction_id,portfolio_id,type,trade_date,amount\nt1,p,deposit,2024-01-02,{}\nt2,p,fee,2024-01-02,1\n"
    bring(books, put("t.csv", rows.format(5)))
    found = only(bring(books, put("t.csv", rows.format(6))))
    assert (found.new, found.changed, found.unchanged) == (0, 1, 1)
    assert [each.amount for each in books.portfolio_book("p").transactions] == [6, 1]
    bring(books, put("v.csv", "portfolio_id,date,value\np,2024-01-02,5\n"))
    assert only(bring(books, put("v.csv", "portfolio_id,date,value\np,2024-01-02,6\np,2024-01-03,6\n"))).changed == 1


def test_one_id_may_stand_for_a_transaction_of_each_portfolio(books: Books, put: Put) -> None:
    portfolios = put("p.csv", "portfolio_id,client_id\nq,acme\n")
    legs = (
        "transaction_id,portfolio_id,type,trade_date,amount,counterparty_id\n"
        "t,p,transfer_out,2024-01-02,5,q\nt,q,transfer_in,2024-01-02,5,p\n"
    )
    assert bring(books, portfolios, put("t.csv", legs)).status == "SUCCEEDED"
    assert len(books.portfolio_book("p").transactions) == len(books.portfolio_book("q").transactions) == 1


def test_a_file_by_date_is_one_write_for_each_entity(books: Books, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_ROWS_CHECKED_AT_ONCE", 50)
    days = [date.fromordinal(DAY.toordinal() + number).isoformat() for number in range(100)]
    rows = [f"S{number},{day},1" for day in days for number in range(5)]
    report = bring(books, put("prices.csv", "security_id,date,price\n" + "\n".join(rows)))
    assert only(report).new == 500
    assert [write for write in books.writes if write[1] > 1] == [(f"S{number}", 100) for number in range(5)]
    assert len(books.writes) == 10  # and each was made
    assert books.lookups == 1


def test_a_long_history_is_written_in_parts(books: Books, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_ROWS_WRITTEN_AT_ONCE", 4)
    rows = [f"p,2024-01-{day:02},1" for day in range(1, 11)]
    assert only(bring(books, put("v.csv", "portfolio_id,date,value\n" + "\n".join(rows)))).new == 10
    assert [count for _, count in books.writes] == [4, 4, 2]


def test_what_is_known_of_entities_may_be_forgotten_on_the_way(
    books: Books, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_OWNERS_KEPT", 0)
    monkeypatch.setattr(importing, "_ROWS_CHECKED_AT_ONCE", 1)
    portfolios = put("p.csv", "portfolio_id,client_id,account_id\nq,acme,a\nr,acme,a\ns,birch,a\n")
    values = put("v.csv", "portfolio_id,date,value\nq,2024-01-02,1\nr,2024-01-02,1\np,2024-01-02,1\n")
    report = bring(books, portfolios, values)
    assert [(each.new, each.bad) for each in report.files] == [(2, 1), (3, 0)]
    assert {each: made.count for each, made in report.made.items()} == {
        BookEntityType.CLIENT: 1,
        BookEntityType.ACCOUNT: 1,
    }


# --- what is wrong with a row ----------------------------------------------------------------------------------------

PRICES = "security_id,date,price,dividend\n"
TRANSACTIONS = "transaction_id,portfolio_id,type,trade_date,amount,quantity,security_id\n"


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (
            "c.csv",
            'client_id,name\nacme,"Acme\nof\r\nAnvil"\n\n   \n,\n"b c",Beta\n',
            ["line 8: client_id: 'b c' must have only visible ASCII characters but # and /, no blanks"],
        ),
        (
            "c.csv",
            "\n\nclient_id,name\n\na/b,Beta\n",
            ["line 5: client_id: 'a/b' must have only visible ASCII characters but # and /, no blanks"],
        ),
        ("c.jsonl", '\n{"client_id": "acme"}\n\n{"client_id": 7}\n', ["line 4: client_id: 7 must be text"]),
        (
            "p.csv",
            PRICES + "S,2024-01-02,1,\nS,02/01/2024,n/a,-1\n",
            [
                "line 3: date: '02/01/2024' must be a date, YYYY-MM-DD; price: 'n/a' must be a number; "
                "dividend: '-1' must be at least 0"
            ],
        ),
        ("p.csv", PRICES + ",2024-01-02,,\n", ["line 2: security_id: is missing; price: is missing"]),
        ("p.csv", PRICES + "S,2024-01-02\n", ["line 2: has 2 values for 4 columns"]),
        ("p.csv", PRICES + "S,2024-01-02,1,234.50,0\n", ["line 2: has 5 values for 4 columns"]),
        ("p.csv", PRICES + "S,2024-01-02,inf,\n", ["line 2: price: 'inf' must be finite and at most 1e15 in size"]),
        (
            "p.csv",
            PRICES + f"S,2024-01-02,{'1.' + '2' * 40},\n",
            [f"line 2: price: '1.{'2' * 34}... must have at most 34 digits"],
        ),
        ("p.csv", PRICES + "S,1850-01-02,1,\n", ["line 2: date: '1850-01-02' must lie between 1900 and 2199"]),
        (
            "p.csv",
            PRICES + 'S,2024-01-02,1,\n"S"x,2024-01-03,1,\nS,2024-01-04,1,\n"T,2024-01-05,1,\nT,2024-01-06,1,\n',
            [
                "line 3: is not CSV: ',' expected after '\"'",
                "line 5: is not CSV: unexpected end of data, read up to line 6",
            ],
        ),
        (
            "p.jsonl",
            '{"security_id": "S", "date": "2024-01-02", "price": 1}\n[1]\n{"security_id"\n'
            '{"security_id": "S", "date": "2024-01-03", "price": NaN, "volume": 5}\n',
            [
                "line 2: is not a JSON object",
                "line 3: is not a JSON object",
                "line 4: volume: is not a known column; price: nan must be finite and at most 1e15 in size",
            ],
        ),
        (
            "t.csv",
            TRANSACTIONS + "t,p,bought,2024-01-02,1,,\nt,p,buy,2024-01-02,1,,\nt,p,fee,2024-01-02,1,2,\n",
            [
                "line 2: type: 'bought' must be 'deposit', 'withdrawal', 'buy', 'sell', 'dividend', 'interest', 'fee', "
                "'tax', 'split', 'transfer_in' or 'transfer_out'",
                "line 3: a buy needs quantity, security_id",
                "line 4: a fee has no quantity",
            ],
        ),
        (
            "t.csv",
            TRANSACTIONS + "t,nobody,deposit,2024-01-02,x,,\n",
            ["line 2: amount: 'x' must be a number; portfolio_id: 'nobody' is neither in the books nor in these files"],
        ),
        (
            "q.csv",
            "portfolio_id,client_id,currency\np,,usd\n",
            ["line 2: client_id: is missing; currency: 'usd' must be three capital letters, such as USD"],
        ),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_everything_wrong_with_it(
    books: Books, put: Put, name: str, body: str, expected: list[str]
) -> None:
    report = bring(books, put(name, body))
    assert told(report) == expected
    assert (only(report).bad, report.status) == (len(expected), "PARTIAL")


def test_a_bad_row_of_parquet_is_told_with_its_number(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "[1]*.parquet"
    rows = (
        "SELECT 'S' AS security_id, TIMESTAMP '2024-01-02' AS date, 1::DOUBLE AS price UNION ALL "
        "SELECT NULL, TIMESTAMP '2024-01-02 09:30:00', 'NaN'::DOUBLE"
    )
    report = bring(books, parquet(path, rows))
    assert told(report) == [
        "row 2: security_id: is missing; date: '2024-01-02T09:30:00' must be a date, YYYY-MM-DD; "
        "price: nan must be finite and at most 1e15 in size"
    ]
    assert only(report).new == 1


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "VARCHAR"])
def test_every_type_of_date_of_parquet_is_a_date(books: Books, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.parquet"
    parquet(path, f"SELECT 'S' AS security_id, '2024-01-02'::{kind} AS date, 1::BIGINT AS price")
    assert bring(books, path).status == "SUCCEEDED"
    assert books.series[SeriesKind.PRICE, "S"] == {DAY: DayValue(DAY, Decimal(1))}


def test_the_marks_and_line_ends_of_other_systems_do_no_harm(books: Books, put: Put) -> None:
    body = "\ufeffsecurity_id , date,price\r\n S, 2024-01-02 ,1\r\n\r\nS,2024-01-03,x\r\n"
    report = bring(books, put("p.csv", body))
    assert (only(report).new, told(report)) == (1, ["line 4: price: 'x' must be a number"])
    body = '\ufeff{"security_id": "T", "date": "2024-01-02", "price": 1}\r\n\r\n{}\r\n'
    report = bring(books, put("p.jsonl", body))
    assert (only(report).new, told(report)) == (
        1,
        ["line 3: security_id: is missing; date: is missing; price: is missing"],
    )


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("c.csv", "client_id,name\nacme,Acme\nbirch,Soci\u00e9t\u00e9\noak,Oak\n"),
        (
            "c.jsonl",
            '{"client_id": "acme"}\n{"client_id": "birch", "name": "Soci\u00e9t\u00e9"}\n{"client_id": "oak"}\n',
        ),
    ],
)
def test_text_of_another_encoding_is_a_bad_row(books: Books, put: Put, name: str, body: str) -> None:
    report = bring(books, put(name, body.encode("latin-1")))
    number = 3 if name == "c.csv" else 2
    assert told(report) == [f"line {number}: name: 'Soci\\udce9t\\udce9' is not UTF-8 text"]
    assert only(report).new == 2


def test_a_key_that_is_no_column_is_told_so_that_it_can_be_printed(books: Books, put: Put) -> None:
    keys = ("\\u001b[31mred", "\\ud83d", "x" * 100)
    rows = "".join(f'{{"client_id": "acme", "{key}": 1}}\n' for key in keys)
    report = bring(books, put("c.jsonl", '{"client_id": "acme"}\n' + rows))
    assert told(report) == [
        "line 2: \\x1b[31mred: is not a known column",
        "line 3: \\ud83d: is not a known column",
        f"line 4: {'x' * 37}...: is not a known column",
    ]
    json.dumps(command.report_json(report), ensure_ascii=False).encode()


def test_half_a_character_of_json_is_a_bad_row(books: Books, put: Put) -> None:
    report = bring(books, put("c.jsonl", '{"client_id": "acme", "name": "\\ud83d"}'))
    assert told(report) == ["line 1: name: '\\ud83d' is not UTF-8 text"]


def test_only_the_first_bad_rows_of_a_file_are_told(books: Books, put: Put) -> None:
    report = bring(books, put("v.csv", "portfolio_id,date,value\n" + "p,2024-01-02,x\n" * 25))
    lines = told(report)
    assert lines[0].startswith("line 2: ")
    assert lines[19].startswith("line 21: ")
    assert lines[20:] == ["... and 5 more bad rows"]
    assert only(report).bad == 25


def test_a_row_that_stands_twice_counts_once_and_one_that_contradicts_is_bad(books: Books, put: Put) -> None:
    rows = ["t1,p,deposit,2024-01-02,5,,", "t1,p,deposit,2024-01-02,5.00,,", "t1,p,deposit,2024-01-03,5,,"]
    report = bring(books, put("t.csv", TRANSACTIONS + "\n".join(rows)))
    assert told(report) == ["line 4: transaction_id: 't1' stands in line 2 already, with another content"]
    assert (only(report).new, only(report).repeated) == (1, 1)
    report = bring(books, put("p.csv", PRICES + "S,2024-01-02,5,\nS,2024-01-02,5,0\nS,2024-01-02,6,\n"))
    assert told(report) == ["line 4: date: '2024-01-02' stands in line 2 already, with another content"]
    report = bring(books, put("c.csv", "client_id,name\nacme,A\nacme,A\nacme,B\n"))
    assert told(report) == ["line 4: client_id: 'acme' stands in line 2 already, with another content"]
    report = bring(books, put("q.csv", "portfolio_id,client_id\nq,acme\nq,birch\n"))
    assert told(report) == ["line 3: portfolio_id: 'q' stands in line 2 already, with another content"]


def test_a_row_that_contradicts_another_file_names_it(books: Books, put: Put) -> None:
    first = put("1.csv", "portfolio_id,date,value\np,2024-01-02,5\np,2024-01-03,5\n")
    second = put("2.csv", "portfolio_id,date,value\np,2024-01-02,5\np,2024-01-03,6\n")
    report = bring(books, first, second)
    assert list(command._told(report)) == [
        f"{second}: line 3: date: '2024-01-03' stands in line 3 of {first} already, with another content"
    ]
    assert [(each.new, each.repeated, each.bad) for each in report.files] == [(2, 0, 0), (0, 1, 1)]


def test_what_belongs_to_another_client_is_left_alone(books: Books, put: Put) -> None:
    bring(books, put("a.csv", "account_id,client_id\na,acme\n"), put("s.csv", "security_id,client_id\nS,acme\nT,\n"))
    before = books.state()
    paths = [
        put("1.csv", "portfolio_id,client_id,account_id\np,birch,\nq,birch,a\n"),
        put("2.csv", "account_id,client_id\na,birch\n"),
        put("3.csv", "security_id,client_id\nS,birch\nT,birch\nS,\n"),
    ]
    assert list(command._told(bring(books, *paths))) == [
        f"{paths[1]}: line 2: account_id: 'a' is that of client 'acme'",
        f"{paths[0]}: line 2: portfolio_id: 'p' is that of client 'acme'",
        f"{paths[0]}: line 3: account_id: 'a' is that of client 'acme'",
        f"{paths[2]}: line 2: security_id: 'S' is that of client 'acme'",
        f"{paths[2]}: line 3: security_id: 'T' is everybody's",
        f"{paths[2]}: line 4: security_id: 'S' is that of client 'acme'",
    ]
    assert books.state() == before


def test_an_account_that_is_made_belongs_to_the_client_that_named_it_first(books: Books, put: Put) -> None:
    report = bring(books, put("p.csv", "portfolio_id,client_id,account_id\nq,acme,a\nr,birch,a\n"))
    assert told(report) == ["line 3: account_id: 'a' is that of client 'acme'"]
    assert {each: made.count for each, made in report.made.items()} == {
        BookEntityType.CLIENT: 1,
        BookEntityType.ACCOUNT: 1,
    }


# --- strict, stopped, repeated ---------------------------------------------------------------------------------------


def test_strict_writes_nothing_where_a_row_is_bad(books: Books, put: Put) -> None:
    good = put("c.csv", "client_id,name\nacme,Acme\n")
    bad = put("v.csv", "portfolio_id,date,value\np,2024-01-02,1\np,2024-01-03,x\n")
    report = bring(books, good, bad, strict=True)
    assert (report.status, books.writes) == ("REFUSED", [])
    assert [(each.rows, each.bad) for each in report.files] == [(1, 0), (2, 1)]
    assert bring(books, good, strict=True).status == "SUCCEEDED"


def test_an_import_that_was_stopped_ends_the_same_when_it_is_repeated(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{kind}.csv", rows)
        for kind, (rows, _) in KINDS.items()
        if kind is not RecordKind.TRANSACTIONS
    ]
    paths.append(write(tmp_path / "own.csv", [{"portfolio_id": "p", "client_id": "acme"}]))
    paths.append(write(tmp_path / "transactions.csv", KINDS[RecordKind.TRANSACTIONS][0]))
    whole = Books()
    assert bring(whole, *paths).status == "SUCCEEDED"
    for count in range(len(whole.writes)):
        books = Books()
        books.writes_left = count
        with pytest.raises(TransientError):
            bring(books, *paths)
        books.writes_left = 1_000_000
        assert bring(books, *paths).status == "SUCCEEDED"
        assert books.state() == whole.state()


def test_no_room_for_the_temporary_data_is_one_message(books: Books, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.scratch._SETTINGS", "PRAGMA max_page_count = 6;")
    rows = [f"p,{date.fromordinal(DAY.toordinal() + number)},1" for number in range(2_000)]
    with pytest.raises(StoreError, match="no room for the temporary data of the import: "):
        bring(books, put("v.csv", "portfolio_id,date,value\n" + "\n".join(rows)))
    assert books.writes == []


# --- what is wrong with a file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("nothing.csv", None, "No such file or directory"),
        ("f.xlsx", "PK", "is neither CSV, JSON Lines nor Parquet: its name ends in none of .csv, .jsonl, "),
        ("f.csv", "", "is empty"),
        ("f.jsonl", "", "is empty"),
        ("f.csv", ",,\n", "is empty"),
        ("f.jsonl", "[1]\nhello\n", "there is no JSON object in it"),
        ("f.parquet", "no parquet", "is not a Parquet file"),
        ("f.csv", "\u00e9".encode("latin-1"), "the names of its columns are not UTF-8 text"),
        ("f.csv", "client_id,name\n".encode("utf-16"), "is UTF-16: write it as UTF-8"),
        ("f.csv", '"a', "line 1: is not CSV: unexpected end of data"),
        ("f.csv", "security_id;date;price\n", "its columns must be separated by commas, not by ';'"),
        ("f.csv", "security_id,day,close\n", "the columns 'security_id', 'day', 'close' do not tell what it holds"),
        (
            "f.csv",
            "security_id,date,price,volume\n",
            "prices have no column 'volume'; they have security_id, date, price, ",
        ),
        ("f.csv", "client_id,name,name\n", "the column 'name' stands twice"),
        ("f.csv", "client_id,name,\n", "clients have no column ''; they have client_id, name"),
        (
            "f.csv",
            "portfolio_id,date,value,cash_flow,client_id,account_id,currency\n",
            "import cash flows as transactions, of the types deposit and withdrawal",
        ),
        ("f.csv", "client_id,name\n" + "x" * 2_000_000, "line 2: is longer than 1,048,576 bytes"),
        ("f.csv", "x" * 2_000_000, "line 1: is longer than 1,048,576 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_is_written(
    books: Books, put: Put, tmp_path: Path, name: str, body: str | bytes | None, reason: str
) -> None:
    good = put("c.csv", "client_id,name\nacme,Acme\n")
    path = tmp_path / name if body is None else put(name, body)
    with pytest.raises(InvalidRequestError) as caught:
        bring(books, good, path)
    assert str(caught.value).startswith(f"1 fault in the request\n{path}: ")
    assert reason in str(caught.value)
    assert books.writes == []


def test_every_file_that_cannot_be_used_is_told(put: Put, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        inspect([tmp_path, put("a.csv", ""), tmp_path / "b.csv"])
    assert [fault.message for fault in caught.value.faults] == [
        "is not a file",
        "is empty",
        "No such file or directory",
    ]


def test_a_file_whose_kind_cannot_be_told_lists_the_kinds_and_takes_one_that_is_given(books: Books, put: Put) -> None:
    path = put("f.jsonl", '{"note": 1}\n{"client_id": "acme"}\n')
    with pytest.raises(InvalidRequestError) as caught:
        inspect([path])
    for kind in RecordKind:
        assert f"\n  {kind.value:<12}  {kind.columns[0]}" in str(caught.value)
    path = put("f.jsonl", '{"name": "Nobody"}\n{"client_id": "acme"}\n')
    report = bring(books, path, kind=RecordKind.CLIENTS)
    assert (only(report).new, told(report)) == (1, ["line 1: client_id: is missing"])
    with pytest.raises(InvalidRequestError, match="prices need the column date, price"):
        inspect([put("f.csv", "security_id\nS\n")], RecordKind.PRICES)
    assert bring(books, put("f.jsonl", ""), kind=RecordKind.CLIENTS).status == "SUCCEEDED"


@pytest.mark.parametrize("kind", RecordKind)
def test_the_columns_tell_the_kind(kind: RecordKind) -> None:
    assert tell_kind(kind.columns) is kind
    assert tell_kind(kind.required) is kind


def test_a_file_that_is_too_large_is_not_read(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 0)
    with pytest.raises(InvalidRequestError, match=r"c\.csv: is larger than 0 GiB"):
        inspect([put("c.csv", "client_id\nacme\n")])


def test_a_file_that_goes_away_is_told(books: Books, put: Put) -> None:
    path = put("c.csv", "client_id\nacme\n")
    found = inspect([path])
    path.unlink()
    with pytest.raises(InvalidRequestError, match=r"c\.csv: No such file or directory"):
        import_files(found, books)


def test_damaged_parquet_is_told_with_how_far_it_could_be_read(books: Books, tmp_path: Path) -> None:
    rows = "SELECT 'S' || i AS security_id, DATE '2024-01-02' AS date, i / 7 AS price FROM range(5000) t(i)"
    path = parquet(tmp_path / "p.parquet", rows)
    body = bytearray(path.read_bytes())
    body[4:2000] = bytes(1996)
    path.write_bytes(body)
    with pytest.raises(InvalidRequestError, match=r"p\.parquet: after row 0: the Parquet file is damaged"):
        bring(books, path)
    assert books.writes == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_transaction_is_dated_a_week_ahead_at_the_most(books: Books, tmp_path: Path, form: str) -> None:
    rows = [
        {"transaction_id": day, "portfolio_id": "p", "type": "deposit", "trade_date": day, "amount": "1"}
        for day in ("2024-03-08", "2024-03-09", "2199-12-31")
    ]
    report = bring(books, write(tmp_path / f"t.{form}", rows), today=date(2024, 3, 1))
    assert [each.transaction_id for each in books.portfolio_book("p").transactions] == ["2024-03-08"]
    assert (only(report).new, only(report).bad) == (1, 2)
    assert [line.split(": ", 1)[1] for line in told(report)] == [
        "trade_date: '2024-03-09' must be at most 7 days after today",
        "trade_date: '2199-12-31' must be at most 7 days after today",
    ]
    assert only(bring(books, write(tmp_path / f"u.{form}", rows[:1]))).unchanged == 1


@pytest.mark.parametrize(
    ("columns", "value"),
    [({"security_id": "s"}, "price"), ({"benchmark_id": "b"}, "level"), ({"portfolio_id": "p"}, "value")],
)
def test_what_something_was_worth_is_dated_a_week_ahead_at_the_most(
    books: Books, tmp_path: Path, columns: dict[str, str], value: str
) -> None:
    rows = [{**columns, "date": day, value: "1"} for day in ("2024-03-08", "2099-01-01")]
    report = bring(books, write(tmp_path / "v.csv", rows), today=date(2024, 3, 1))
    assert (only(report).new, only(report).bad) == (1, 1)
    assert [line.split(": ", 1)[1] for line in told(report)] == [
        "date: '2099-01-01' must be at most 7 days after today"
    ]


# --- the same from every format --------------------------------------------------------------------------------------

ids = st.text("abcXYZ019._-$~", min_size=1, max_size=8)
names = st.text(st.characters(codec="utf-8"), max_size=30).map(str.strip)
numbers = st.decimals(0, 10**9, places=6).map(str)
days = st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(date.isoformat)


def row(**columns: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries(columns).map(lambda found: {name: text for name, text in found.items() if text})


@given(
    clients=st.lists(row(client_id=ids, name=names), max_size=4, unique_by=lambda each: each["client_id"]),
    securities=st.lists(row(security_id=ids, name=names), max_size=4, unique_by=lambda each: each["security_id"]),
    prices=st.lists(
        row(security_id=ids, date=days, price=numbers, dividend=st.one_of(st.just(""), numbers)),
        min_size=1,
        unique_by=lambda each: (each["security_id"], each["date"]),
    ),
    transactions=st.lists(
        row(
            transaction_id=ids,
            portfolio_id=st.just("p"),
            type=st.sampled_from(["dividend", "fee", "tax", "interest"]),
            trade_date=days,
            amount=st.decimals(-(10**9), 10**9, places=8).map(lambda number: f"{number:f}"),
            security_id=st.one_of(st.just(""), ids),
        ),
        min_size=1,
        unique_by=lambda each: each["transaction_id"],
    ),
)
@settings(max_examples=40)
def test_the_same_rows_as_csv_and_as_json_lines_are_the_same_books(
    clients: Rows, securities: Rows, prices: Rows, transactions: Rows
) -> None:
    states = []
    with TemporaryDirectory() as folder:
        for form in ("csv", "jsonl"):
            books = Books()
            books.put_entity(Entity.model_validate({"entity_type": "portfolio", "entity_id": "p", "client_id": "c"}))
            tables = {"c": clients, "s": securities, "p": prices, "t": transactions}
            paths = [write(Path(folder) / f"{name}.{form}", rows) for name, rows in tables.items() if rows]
            report = bring(books, *paths, today=date(2199, 12, 31))
            assert report.status == "SUCCEEDED", list(command._told(report))
            assert sum(each.new for each in report.files) == sum(map(len, tables.values()))
            states.append(books.state())
    assert states[0] == states[1]
    expected = {(each["security_id"], each["date"]): Decimal(each["price"]) for each in prices}
    found = {
        (name, day.isoformat()): value.value
        for (_, name), series in states[0]["series"].items()
        for day, value in series.items()
    }
    assert found == expected
    assert {each.entity_id: each.name for each in states[0]["entities"].values() if each.entity_type == "client"} == {
        each["client_id"]: each.get("name") for each in clients
    }


# --- the command -----------------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def results() -> InMemoryResultStore:
    """Return a store that has a result of each portfolio of the tests, all of them calculated long ago."""
    store = InMemoryResultStore()
    asked = Asked(
        calculation_method=CalculationMethod.DAILY,
        flow_timing=None,
        risk_free_rate=0.0,
        periods_per_year=None,
        max_price_age_days=7,
        benchmark_id=None,
    )
    names = ["p", *(f"q{number}" for number in range(25))]
    store.write([result_row(name, day=date(2024, 3, 1)).model_copy(update={"asked": asked}) for name in names], EARLY)
    return store


@pytest.fixture
def run(
    signal_handlers: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    books: Books,
    results: InMemoryResultStore,
) -> Run:
    """Call `main` as the shell would, with `books` in the place of a data directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERFCALC_DATA_DIR", raising=False)

    @contextmanager
    def opened(data_dir: Path) -> Iterator[SimpleNamespace]:
        nothing_runs = SimpleNamespace(list=lambda **_: [])
        yield SimpleNamespace(books=books, result_store=results, executions=nothing_runs, fleet=nothing_runs)

    monkeypatch.setattr(command, "open_world", opened)

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["perfcalc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return called


def test_the_command_tells_what_became_of_each_file(run: Run, put: Put) -> None:
    put("t.csv", TRANSACTIONS + "t,p,deposit,2024-01-02,5,,\nt,p,deposit,2024-01-02,5,,\n")
    put("s.csv", PRICES + "S,2024-01-02,1,\nS,2024-01-03,x,\n")
    code, out, err = run("import", "t.csv", "s.csv", "--data-dir", "data here")
    assert (code, err) == (3, "s.csv: line 3: price: 'x' must be a number\n")
    lines = [line.split() for line in out.splitlines()]
    assert ["File", "Kind", "Rows", "New", "Changed", "Unchanged", "Repeated", "Bad"] in lines
    assert ["s.csv", "prices", "2", "1", "0", "0", "0", "1"] in lines
    assert ["t.csv", "transactions", "2", "1", "0", "0", "1", "0"] in lines
    assert "PARTIAL 2 new, 0 changed, 0 unchanged, 1 bad\n" in out
    assert "Made, since rows name them and none describes them (a typing error makes one, too):\n" in out
    assert ["securities", "1", "S"] in lines
    assert ["p", "2024-01-02"] in lines
    assert out.endswith("recalculate --data-dir 'data here'\n")
    code, out, _ = run("import", "t.csv")
    assert code == 0
    assert "SUCCEEDED 0 new, 0 changed, 1 unchanged\n" in out


def test_the_command_prints_json_and_nothing_else(run: Run, put: Put) -> None:
    put("t.csv", TRANSACTIONS + "t,p,deposit,2024-01-02,5,,\nu,p,buy,2024-01-02,x,,\n")
    code, out, err = run("import", "t.csv", "--json")
    assert (code, err) == (3, "")
    assert json.loads(out) == {
        "status": "PARTIAL",
        "files": [
            {
                "file": "t.csv",
                "kind": "transactions",
                "rows": 2,
                "new": 1,
                "changed": 0,
                "unchanged": 0,
                "repeated": 0,
                "bad": 1,
                "bad_rows": [{"line": 3, "faults": [{"column": "amount", "message": "'x' must be a number"}]}],
            }
        ],
        "made": {},
        "not_calculable": {"count": 0, "first": []},
        "to_recalculate": [{"portfolio_id": "p", "from": "2024-01-02"}],
    }


def test_the_command_refuses_bad_rows_where_it_is_strict(run: Run, put: Put, books: Books) -> None:
    put("t.csv", TRANSACTIONS + "t,p,deposit,2024-01-02,5,,\nu,p,buy,2024-01-02,x,,\n")
    code, out, err = run("import", "--strict", "t.csv")
    assert (code, books.writes) == (2, [])
    assert "REFUSED nothing was written: 1 bad row\n" in out
    assert err == "t.csv: line 3: amount: 'x' must be a number\n"
    code, out, _ = run("import", "--strict", "--json", "t.csv")
    assert (code, json.loads(out)["status"]) == (2, "REFUSED")


def test_the_command_makes_one_message_of_a_file_it_cannot_use(run: Run, put: Put) -> None:
    assert run("import", "none.csv", "--json") == (
        2,
        "",
        "1 fault in the request\nnone.csv: No such file or directory\n",
    )
    put("c.csv", "client_id\nacme\n")
    code, out, err = run("import", "c.csv", "--kind", "prices")
    assert (code, out) == (2, "")
    assert "c.csv: prices have no column 'client_id'" in err


def test_the_command_shows_the_first_portfolios_to_recalculate(run: Run, put: Put) -> None:
    put("p.csv", "portfolio_id,client_id\n" + "".join(f"q{number},acme\n" for number in range(25)))
    put("t.csv", TRANSACTIONS + "".join(f"t,q{number},deposit,2024-01-02,5,,\n" for number in range(25)))
    _, out, _ = run("import", "p.csv", "t.csv")
    assert out.count("2024-01-02") == 20
    assert "\nand 5 more\n" in out


def test_after_a_first_import_there_is_nothing_to_recalculate(run: Run, put: Put, books: Books) -> None:
    put("p.csv", "portfolio_id,client_id\nnew,acme\n")
    put("t.csv", TRANSACTIONS + "t,new,deposit,2024-01-02,5,,\nt,q9,deposit,2024-01-02,5,,\n")
    put("q.csv", "portfolio_id,client_id\nq9,acme\n")
    _, out, _ = run("import", "p.csv", "q.csv", "t.csv")
    assert out.count("2024-01-02") == 1
    assert [mark.portfolio_id for mark in books.marks()] == ["q9"]


def test_the_command_names_the_first_entities_that_were_made(run: Run, put: Put) -> None:
    put("s.csv", PRICES + "".join(f"S{number:02},2024-01-02,1,\n" for number in range(12)))
    _, out, _ = run("import", "s.csv")
    made = ", ".join(f"S{number:02}" for number in range(10))
    assert f"  securities       12  {made} and 2 more\n" in out
    put("s.csv", PRICES + "T,2024-01-02,1,\n")
    _, out, _ = run("import", "s.csv", "--json")
    assert json.loads(out)["made"] == {"security": {"count": 1, "ids": ["T"]}}


def test_the_command_tells_what_cannot_be_calculated(run: Run, put: Put, books: Books) -> None:
    put("p.csv", "portfolio_id,client_id,benchmark_id\n" + "".join(f"r{n:02},acme,NOPE\n" for n in range(21)))
    code, out, err = run("import", "p.csv", "--strict")
    assert (code, err, books.writes) == (2, "", [])
    assert "REFUSED nothing was written: 21 warnings\n" in out
    code, out, err = run("import", "p.csv")
    assert (code, err) == (0, "")
    told = "portfolio r00 cannot be calculated: its benchmark 'NOPE' is neither in the books nor in these files\n"
    assert told in out
    assert out.count("cannot be calculated") == 20
    assert "\nand 1 more\n" in out
    found = json.loads(run("import", "p.csv", "--json")[1])["not_calculable"]
    assert (found["count"], len(found["first"])) == (21, 20)
    assert found["first"][0] == {
        "entity_type": "portfolio",
        "entity_id": "r00",
        "reason": "its benchmark 'NOPE' is neither in the books nor in these files",
    }


# --- the examples ----------------------------------------------------------------------------------------------------


def test_the_example_books_are_whole_and_agree_with_their_prices(tmp_path: Path) -> None:
    subprocess.run([sys.executable, EXAMPLES / "build_books.py", "--out", tmp_path], capture_output=True, check=True)
    books = Books()
    report = bring(books, *(EXAMPLES / "books").iterdir(), *tmp_path.iterdir())
    assert (report.status, report.made) == ("SUCCEEDED", {})
    assert {each.file.kind for each in report.files} == set(RecordKind)
    for portfolio in ("acme-growth", "acme-income"):
        for each in books.portfolio_book(portfolio).transactions:
            if each.type in {"buy", "sell"}:
                assert each.amount is not None
                assert each.quantity is not None
                close = books.series[SeriesKind.PRICE, str(each.security_id)][each.trade_date].value
                assert abs(each.amount - each.quantity * close) <= Decimal("5.005")
    apple = books.series[SeriesKind.PRICE, "AAPL"]
    assert apple[date(2020, 8, 31)].split == 4
    assert apple[date(2020, 8, 28)].value / apple[date(2020, 8, 31)].value > 3.8
    assert sum(day.dividend for day in books.series[SeriesKind.PRICE, "KO"].values()) == Decimal("3.32")


def test_the_builder_writes_the_same_bytes_every_time(tmp_path: Path) -> None:
    for out in ("one", "other"):
        builder: list[str | Path] = [sys.executable, EXAMPLES / "build_books.py", "--out", tmp_path / out]
        subprocess.run(builder, capture_output=True, check=True)
    for name in ("prices.csv", "levels.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    lines = (tmp_path / "one" / "prices.csv").read_bytes().split(b"\n")
    assert lines[:2] == [b"security_id,date,price,dividend,split", b"AAPL,2020-01-02,293.3920,0,1"]
    assert len(lines) == 1 + 6 * 505 + 1
