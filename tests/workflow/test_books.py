"""From transactions to stored results, on real prices: what is stored against valuations made another way."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from common.calculations import TransactionType
from common.models.books import BookEntityType, DayValue, Entity, SeriesKind, Transaction
from common.models.kinds import EntityType
from common.stores.ports import ResultKey
from workflows.executions import ExecutionStatus
from workflows.local.runtime import LocalRuntime

DATASET = Path(__file__).parents[2] / "examples" / "data" / "sp500_dataset.csv.gz"
SHARES = ("AAPL", "KO", "MSFT", "XOM")
FIRST, AS_OF = date(2018, 1, 2), date(2022, 12, 28)
T = TransactionType
PERIODS = ["MTD", "QTD", "YTD", "1Y", "3Y", "ITD"]

Prices = dict[str, dict[date, Decimal]]


@pytest.fixture(scope="module")
def prices() -> Prices:
    found: Prices = defaultdict(dict)
    with gzip.open(DATASET, "rt", encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            day = date.fromisoformat(row["Date"])
            if FIRST - timedelta(days=7) <= day <= AS_OF:
                for share in SHARES:
                    found[share][day] = Decimal(row[share])
    return dict(found)


def transactions(prices: Prices) -> dict[str, list[Transaction]]:
    """Return the books of two portfolios of one account: monthly savings, purchases, fees, dividends, transfers."""
    books: dict[str, list[Transaction]] = {"saver": [], "trader": []}
    trading = sorted(prices["AAPL"])
    days = [day for day in trading if day >= FIRST]

    def enter(portfolio: str, kind: TransactionType, day: date, **fields: Any) -> None:
        name = f"{portfolio}-{len(books[portfolio]):04}"
        books[portfolio].append(
            Transaction.model_validate(
                {
                    "transaction_id": name,
                    "portfolio_id": portfolio,
                    "type": kind,
                    "trade_date": day.isoformat(),
                    **{key: str(value) if isinstance(value, Decimal) else value for key, value in fields.items()},
                }
            )
        )

    def buy(portfolio: str, share: str, day: date, quantity: Decimal) -> None:
        cost = (quantity * prices[share][day] * Decimal("1.001")).quantize(Decimal("0.01"))
        enter(portfolio, T.BUY, day, security_id=share, quantity=quantity, amount=cost)

    for number, day in enumerate(days[::21]):
        enter("saver", T.DEPOSIT, day, amount=Decimal("1000.00"))
        buy("saver", SHARES[number % 4], day, Decimal(3))
        if number % 3 == 2:
            enter("saver", T.DIVIDEND, day, security_id="KO", amount=Decimal("4.20"))
            enter("saver", T.FEE, day, amount=Decimal("2.50"))
    enter("trader", T.DEPOSIT, days[0], amount=Decimal("50000"))
    for share in SHARES:
        buy("trader", share, days[0], Decimal(20))
    for number, day in enumerate(days[30::63]):
        share = SHARES[number % 4]
        proceeds = (2 * prices[share][day] * Decimal("0.999")).quantize(Decimal("0.01"))
        enter("trader", T.SELL, day, security_id=share, quantity=Decimal(2), amount=proceeds)
    enter("trader", T.WITHDRAWAL, date(2020, 3, 21), amount=Decimal("5000"))  # a Saturday
    moved = date(2021, 6, 15)
    enter("trader", T.TRANSFER_OUT, moved, security_id="MSFT", quantity=Decimal(4), counterparty_id="saver")
    enter(
        "saver",
        T.TRANSFER_IN,
        moved + timedelta(days=2),
        security_id="MSFT",
        quantity=Decimal(4),
        counterparty_id="trader",
    )
    enter("trader", T.TAX, days[-20], amount=Decimal("321.98"))
    return books


def valued(entries: list[Transaction], prices: Prices, *, internal: set[str]) -> tuple[list[Any], list[Any]]:
    """Return daily values and flows by the plainest way there is: day after day, in Decimal."""
    first = min(each.trade_date for each in entries)
    trading = {day for share in SHARES for day in prices[share]}
    days = sorted({each.trade_date for each in entries} | {day for day in trading if day >= first})
    values: list[Any] = [{"date": (first - timedelta(days=1)).isoformat(), "value": "0"}]
    flows: list[Any] = []
    cash, units = Decimal(0), dict.fromkeys(SHARES, Decimal(0))
    for day in days:
        last = {share: prices[share][max(each for each in prices[share] if each <= day)] for share in SHARES}
        net = Decimal(0)
        for each in (entry for entry in entries if entry.trade_date == day):
            share, quantity, amount = each.security_id or "", each.quantity or Decimal(0), each.amount or Decimal(0)
            match each.type:
                case T.DEPOSIT:
                    cash, net = cash + amount, net + amount
                case T.WITHDRAWAL:
                    cash, net = cash - amount, net - amount
                case T.BUY:
                    cash -= amount
                    units[share] += quantity
                case T.SELL:
                    cash += amount
                    units[share] -= quantity
                case T.DIVIDEND:
                    cash += amount
                case T.FEE | T.TAX:
                    cash -= amount
                case T.TRANSFER_IN | T.TRANSFER_OUT if each.counterparty_id not in internal:
                    sign = 1 if each.type is T.TRANSFER_IN else -1
                    units[share] += sign * quantity
                    net += sign * quantity * last[share]
        value = cash + sum((units[share] * last[share] for share in SHARES), Decimal(0))
        values.append({"date": day.isoformat(), "value": str(value)})
        if net:
            flows.append({"date": day.isoformat(), "amount": str(net)})
    return values, flows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, prices: Prices) -> Iterator[LocalRuntime]:
    with LocalRuntime(tmp_path_factory.mktemp("books")) as runtime:
        books = runtime.books
        books.put_entity(
            Entity(entity_type=BookEntityType.ACCOUNT, entity_id="joint", account_id="joint", client_id="acme")
        )
        for name in ("saver", "trader"):
            books.put_entity(
                Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id="acme", account_id="joint")
            )
        for share in SHARES:
            books.put_entity(Entity(entity_type=BookEntityType.SECURITY, entity_id=share))
            books.write_series(SeriesKind.PRICE, share, [DayValue(day, value) for day, value in prices[share].items()])
        for name, entries in transactions(prices).items():
            books.record(name, entries)
        yield runtime


def run(world: LocalRuntime, **request: Any) -> dict[str, Any]:
    document = {"as_of_date": AS_OF.isoformat(), "time_periods": PERIODS, **request}
    execution = world.executions.wait(world.executions.start_or_attach(document).name, timeout=120)
    assert (execution.status, execution.output["status"]) == (ExecutionStatus.SUCCEEDED, "SUCCEEDED")
    output: dict[str, Any] = execution.output
    return output


def stored(world: LocalRuntime, kind: EntityType, name: str) -> dict[str, Any]:
    key = ResultKey(kind, name, AS_OF)
    return world.result_store.read_many([key])[key]


def close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Assert that two stored rows have the same metrics and reasons, period by period."""
    provenance = {"request_id", "version", "asked"}
    assert found["periods"].keys() == expected["periods"].keys() == set(PERIODS)
    for label, period in found["periods"].items():
        other = expected["periods"][label]
        for name in period.keys() - provenance:
            if isinstance(period[name], float):
                assert period[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12), (label, name)
            else:
                assert period[name] == other[name], (label, name)


@pytest.mark.parametrize("name", ["saver", "trader"])
def test_a_portfolio_s_results_are_those_of_its_independent_valuations(
    world: LocalRuntime, prices: Prices, name: str
) -> None:
    run(world, entity_ids=["saver", "trader"], risk_free_rate=0.01)
    values, flows = valued(transactions(prices)[name], prices, internal=set())
    portfolio = {"portfolio_id": f"{name}-checked", "valuations": values, "cash_flows": flows}
    run(world, portfolios=[portfolio], flow_timing="end_of_day", risk_free_rate=0.01)
    close(stored(world, EntityType.PORTFOLIO, name), stored(world, EntityType.PORTFOLIO, f"{name}-checked"))


def test_the_account_s_results_are_those_of_one_book_without_its_transfers(world: LocalRuntime, prices: Prices) -> None:
    run(world, entity_type="account", entity_ids=["joint"])
    entries = [each for book in transactions(prices).values() for each in book]
    values, flows = valued(entries, prices, internal={"saver", "trader"})
    portfolio = {"portfolio_id": "joint-checked", "valuations": values, "cash_flows": flows}
    run(world, portfolios=[portfolio], flow_timing="end_of_day")
    close(stored(world, EntityType.ACCOUNT, "joint"), stored(world, EntityType.PORTFOLIO, "joint-checked"))


def test_a_security_s_return_is_that_of_its_prices(world: LocalRuntime, prices: Prices) -> None:
    run(world, entity_type="security", entity_ids=["AAPL"])
    found = stored(world, EntityType.SECURITY, "AAPL")["periods"]["ITD"]
    first, last = min(prices["AAPL"]), max(prices["AAPL"])
    growth = prices["AAPL"][last] / prices["AAPL"][first]
    assert found["twr"] == pytest.approx(float(growth) - 1.0, rel=1e-12)
    assert (found["from"], found["to"]) == (first.isoformat(), last.isoformat())


def test_a_fleet_run_over_all_securities_calculates_those_of_nobody(world: LocalRuntime, prices: Prices) -> None:
    request = {"as_of_date": AS_OF.isoformat(), "time_periods": ["ITD"], "entity_types": ["security"], "batch_size": 3}
    summary = world.fleet.wait(world.fleet.start_or_attach(request).name, timeout=120).output
    assert (summary["status"], summary["calculated"], summary["failed"]) == ("SUCCEEDED", len(SHARES), 0)
    for share in SHARES:
        row = stored(world, EntityType.SECURITY, share)
        growth = prices[share][AS_OF] / prices[share][min(prices[share])]
        assert row["periods"]["ITD"]["twr"] == pytest.approx(float(growth) - 1.0, rel=1e-12)
        assert "client_id" not in row


def test_a_second_run_over_unchanged_books_reads_its_results(world: LocalRuntime) -> None:
    what = {"entity_ids": ["saver", "trader"], "risk_free_rate": 0.02}
    first, second = run(world, **what), run(world, request_id="again", **what)
    assert (first["cached"], second["cached"]) == (0, 2)
    assert second["calculated"] == 2
    row = stored(world, EntityType.PORTFOLIO, "saver")
    assert row["request_id"] == "again"
    world.books.record(
        "saver",
        [
            Transaction.model_validate(
                {
                    "transaction_id": "late",
                    "portfolio_id": "saver",
                    "type": "fee",
                    "trade_date": "2022-12-01",
                    "amount": 1,
                }
            )
        ],
    )
    assert run(world, request_id="changed", **what)["cached"] == 1
