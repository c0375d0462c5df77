"""Referenced files of every format, and the place of what is wrong in one."""

import json
from datetime import date
from pathlib import Path

import duckdb
import pytest

from common.calculations import Valuations
from common.calculations.words import day_date
from common.errors import InvalidPortfolioError
from common.models import references
from common.models.references import read_cash_flows, read_portfolios, read_valuations
from common.models.sources import Source


def source(name: str) -> Source:
    return Source(source=f"s3://bucket/{name}")


def parquet(tmp_path: Path, select: str) -> bytes:
    path = tmp_path / "file.parquet"
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def points(valuations: Valuations) -> list[tuple[date, float]]:
    return [(day_date(day), value) for day, value in zip(valuations.days, valuations.values, strict=True)]


EXPECTED = [(date(2024, 1, 2), 1000.0), (date(2024, 1, 3), 1010.5)]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("v.csv", "date,value\n2024-01-03,1010.50\n2024-01-02,1000\n"),
        ("v.csv", "\ufeffvalue,date,note\r\n1000,2024-01-02,opening\r\n1010.50,2024-01-03,\r\n"),
        ("v.json", '[{"date": "2024-01-03", "value": "1010.50"}, {"date": "2024-01-02", "value": 1000}]'),
        ("v.json", '{"dates": ["2024-01-02", "2024-01-03"], "values": [1000, 1010.5]}'),
        ("v.jsonl", '{"date": "2024-01-02", "value": 1000}\n\n{"date": "2024-01-03", "value": 1010.5}\n'),
    ],
)
def test_valuations_of_each_format(name: str, body: str) -> None:
    assert points(read_valuations(body.encode(), source(name))) == EXPECTED


@pytest.mark.parametrize("kind", ["DATE", "TIMESTAMP", "VARCHAR"])
def test_valuations_of_parquet(tmp_path: Path, kind: str) -> None:
    rows = f"SELECT '2024-01-02'::{kind} AS date, 1000::DOUBLE AS value UNION ALL SELECT '2024-01-03'::{kind}, 1010.5"
    assert points(read_valuations(parquet(tmp_path, rows), source("v.parquet"))) == EXPECTED


def test_decimals_of_parquet(tmp_path: Path) -> None:
    rows = "SELECT '2024-01-02'::DATE AS date, 1010.50::DECIMAL(18, 2) AS amount"
    assert read_cash_flows(parquet(tmp_path, rows), source("f.parquet")).amounts.tolist() == [1010.5]


def test_cash_flows_may_share_a_day_and_may_be_none() -> None:
    flows = read_cash_flows(b"date,amount\n2024-01-02,5\n2024-01-02,-3\n", source("f.csv"))
    assert flows.amounts.tolist() == [5.0, -3.0]
    assert read_cash_flows(b"date,amount\n", source("f.csv")).amounts.size == 0


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("v.csv", "date,value\n2024-01-02,n/a\n", "line 2: value 'n/a' must be a number"),
        ("v.csv", "date,value\n2024-01-02\n", "line 2: value is missing; must be a number"),
        ("v.csv", "date,value\n02/01/2024,5\n", "line 2: date '02/01/2024' must be a date, YYYY-MM-DD"),
        ("v.csv", "date,value\n2024-01-02,1\n2024-01-02,2\n", "line 3: 2024-01-02 stands in line 2 already"),
        (
            "v.csv",
            "day;value\n2024-01-02;1\n",
            "there is no column `date`; its columns must be separated by commas, not by ';'",
        ),
        ("v.csv", "date,value\n", "there are no valuations in it"),
        ("v.csv", "", "is empty"),
        ("v.csv", "date,value\n2024-01-02,inf\n", "line 2: value 'inf' must be finite"),
        ("v.jsonl", '{"date": "2024-01-02", "value": 1}\n{"date"\n', "line 2: is not a JSON object"),
        ("v.jsonl", "[1]\n", "line 1: is not a JSON object"),
        ("v.json", "{", "is not JSON"),
        ("v.json", '[{"date": "2024-01-02"}]', "$[0].value: is missing"),
        ("v.json", '{"source": "s3://b/other.csv"}', "a file must not refer to another one"),
        ("v.json", "[" * 100_000, "is not JSON"),
        ("v.parquet", "no parquet", "is not a Parquet file"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(name: str, body: str, expected: str) -> None:
    with pytest.raises(InvalidPortfolioError) as caught:
        read_valuations(body.encode(), source(name))
    assert str(caught.value).startswith(f"s3://bucket/{name}: ")
    assert expected in str(caught.value)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InvalidPortfolioError, match="is not UTF-8 text \\(byte 0\\)"):
        read_valuations(b"\xff\xfe", source("v.csv"))


def test_bytes_that_are_no_text_are_told_by_their_place_in_the_file() -> None:
    body = b"portfolio_id,date,value\n" + b"p,2024-01-02,1\n" * 5_000
    with pytest.raises(InvalidPortfolioError, match=rf"is not UTF-8 text \(byte {len(body)}\)"):
        list(read_portfolios(body + b"\xff\n", source("p.csv")))


def test_a_column_of_portfolios_whose_values_would_go_unread_is_told() -> None:
    """A cash flow that is passed over would make a return of it."""
    told = "p.csv: no column is called `cashflow`; write `cash_flow` in place of `cashflow`"
    with pytest.raises(InvalidPortfolioError, match=told):
        list(read_portfolios(b"portfolio_id,date,value,cashflow\na,2024-01-02,1,5\n", source("p.csv")))


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv"])
def test_a_line_is_not_read_beyond_what_a_portfolio_may_have(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_PORTFOLIO_BYTES", 100)
    whole = b"portfolio_id,date,value\n" if name == "p.csv" else b'{"portfolio_id": "p"}\n'
    with pytest.raises(InvalidPortfolioError, match=rf"s3://bucket/{name}: line 2: is longer than 100 bytes"):
        list(read_portfolios(whole + b"x" * 200, source(name)))


def test_a_table_of_portfolios_has_so_many_rows_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"portfolio_id,date,value\na,2024-01-02,1\nb,2024-01-02,1\na,2024-01-03,1\n"
    monkeypatch.setattr(references, "MAX_PORTFOLIOS_ROWS", 3)
    assert [each["portfolio_id"] for each in read_portfolios(body, source("p.csv"))] == ["a", "b"]
    monkeypatch.setattr(references, "MAX_PORTFOLIOS_ROWS", 2)
    with pytest.raises(InvalidPortfolioError, match=r"p\.csv: over 2 rows; as a manifest it may have more"):
        list(read_portfolios(body, source("p.csv")))


def test_only_the_first_faults_are_told() -> None:
    body = "date,value\n" + "".join(f"2024-01-{day:02},x\n" for day in range(1, 30))
    with pytest.raises(InvalidPortfolioError) as caught:
        read_valuations(body.encode(), source("v.csv"))
    assert str(caught.value).count("line ") == 5


def test_portfolios_of_rows(tmp_path: Path) -> None:
    text = (
        "portfolio_id,date,value,cash_flow,currency\n"
        "a,2024-01-02,1000,50,USD\na,2024-01-03,1060,,USD\nb,2024-01-02,5,0,\n"
    )
    first, second = read_portfolios(text.encode(), source("p.csv"))
    assert first == {
        "portfolio_id": "a",
        "currency": "USD",
        "valuations": {"dates": ["2024-01-02", "2024-01-03"], "values": ["1000", "1060"]},
        "cash_flows": {"dates": ["2024-01-02"], "amounts": ["50"]},
    }
    assert second["portfolio_id"] == "b"
    assert second["cash_flows"]["dates"] == []


def test_portfolios_of_documents() -> None:
    one = {"portfolio_id": "a", "valuations": []}
    assert list(read_portfolios(json.dumps([one]).encode(), source("p.json"))) == [one]
    assert list(read_portfolios((json.dumps(one) + "\n").encode(), source("p.jsonl"))) == [one]
    with pytest.raises(InvalidPortfolioError, match="must be a list of portfolios"):
        list(read_portfolios(b"{}", source("p.json")))
    with pytest.raises(InvalidPortfolioError, match="line 2: portfolio_id is missing"):
        list(read_portfolios(b"portfolio_id,date,value\n,2024-01-02,1\n", source("p.csv")))
