"""The examples, checked against the market data and not against the code that built them."""

import csv
import gzip
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.calculations import (
    Caution,
    Flows,
    FlowTiming,
    PeriodPerformance,
    Valuations,
    calculate_daily_twr,
    calculate_performance,
)
from common.errors import InvalidPortfolioError, InvalidRequestError
from common.models.arguments import conventions_of, periods_of
from common.models.inputs import PortfolioInput
from common.models.references import read_cash_flows, read_valuations
from common.models.request import CalculationRequest
from common.models.series import CashFlowColumns, ValuationColumns
from common.models.sources import Source, SourceFormat

EXAMPLES = Path(__file__).parents[2] / "examples"
BLUE_CHIPS = ("CVX", "GE", "HD", "JNJ", "JPM", "KO", "MSFT", "PFE", "PG", "XOM")

pytestmark = pytest.mark.xdist_group("examples")  # one build for all of them

Prices = dict[str, dict[date, float]]


def run_builder(out: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "build_market.py", "--out", out],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("examples")
    run_builder(out)
    return out


@pytest.fixture(scope="module")
def market(built: Path) -> CalculationRequest:
    return request(built / "market.json")


@pytest.fixture(scope="module")
def prices() -> Prices:
    with gzip.open(EXAMPLES / "data" / "sp500_dataset.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    return {
        symbol: {date.fromisoformat(row["Date"]): float(row[symbol]) for row in rows}
        for symbol in rows[0]
        if symbol != "Date"
    }


def request(path: Path) -> CalculationRequest:
    return CalculationRequest.parse(json.loads(path.read_bytes()), local_sources=True)


def portfolio(found: CalculationRequest, name: str) -> PortfolioInput:
    assert isinstance(found.portfolios, list)
    return next(each for each in found.portfolios if each.portfolio_id == name)


def series(base: Path, found: PortfolioInput) -> tuple[Valuations, Flows]:
    held, moved = found.valuations, found.cash_flows
    return (
        held.valuations()
        if isinstance(held, ValuationColumns)
        else read_valuations((base / held.source).read_bytes(), held),
        moved.flows()
        if isinstance(moved, CashFlowColumns)
        else read_cash_flows((base / moved.source).read_bytes(), moved),
    )


def dated(days: Any, numbers: Any) -> dict[date, float]:
    found: dict[date, float] = {}
    for day, number in zip(days.astype("datetime64[D]").tolist(), numbers.tolist(), strict=True):
        found[day] = found.get(day, 0.0) + number
    return found


def by_day(base: Path, found: PortfolioInput) -> tuple[dict[date, float], dict[date, float]]:
    valuations, flows = series(base, found)
    return dated(valuations.days, valuations.values), dated(flows.days, flows.amounts)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_bytes_twice(built: Path, tmp_path: Path) -> None:
    run_builder(tmp_path, PYTHONHASHSEED="12345")
    assert contents(tmp_path) == contents(built)


def test_24_portfolios_of_distinct_ids_that_the_readme_describes(market: CalculationRequest) -> None:
    assert isinstance(market.portfolios, list)
    names = [each.portfolio_id for each in market.portfolios]
    assert len(set(names)) == 24
    table = re.findall(r"^\| `([a-z0-9-]+)` \|", (EXAMPLES / "README.md").read_text(), flags=re.MULTILINE)
    assert table == names
    assert len({each.account_id for each in market.portfolios}) == 24


def test_every_way_to_hand_data_over_is_used(market: CalculationRequest, built: Path) -> None:
    assert isinstance(market.portfolios, list)
    ways = Counter(
        each.valuations.resolved_format.value if isinstance(each.valuations, Source) else "inline"
        for each in market.portfolios
    )
    assert set(ways) == {"csv", "jsonl", "json", "parquet", "inline"}
    assert ways["csv"] > 12
    document = json.loads((built / "market.json").read_bytes())
    inline = [each["valuations"] for each in document["portfolios"] if "source" not in each["valuations"]]
    assert {type(each) for each in inline} == {list, dict}
    assert sum(len(body) for body in contents(built).values()) < 10_000_000


@pytest.mark.parametrize("name", ["market.json", "market-broken.json"])
def test_references_name_what_was_built(built: Path, name: str) -> None:
    sources = re.findall(r'"source": "([^"]+)"', (built / name).read_text())
    assert sources
    assert all((built / source).is_file() for source in sources)


def test_all_24_can_be_calculated(market: CalculationRequest, built: Path) -> None:
    assert isinstance(market.portfolios, list)
    assert market.as_of_date is not None
    assert market.benchmark is not None
    levels = market.benchmark.valuations
    assert isinstance(levels, Source)
    benchmark = read_valuations((built / levels.source).read_bytes(), levels)
    for each in market.portfolios:
        found = calculate_performance(
            *series(built, each),
            periods_of(market, market.as_of_date),
            conventions_of(market, FlowTiming.AFTER_CLOSE),
            benchmark,
        )
        whole: PeriodPerformance = found.periods[7]
        assert whole.label == "ITD"
        assert whole.twr is not None, each.portfolio_id
        assert whole.mwr is not None, each.portfolio_id
        assert whole.risk.beta is not None, each.portfolio_id
        assert Caution.FLOW_TIMING_SUSPECT not in found.warnings, each.portfolio_id
        assert Caution.VALUE_WITHOUT_FLOW not in found.warnings, each.portfolio_id


def test_a_share_held_is_worth_what_its_price_says(market: CalculationRequest, built: Path, prices: Prices) -> None:
    values, flows = by_day(built, portfolio(market, "apple-held"))
    assert not flows
    assert list(values) == list(prices["AAPL"])
    start = date(1990, 1, 2)
    for day, value in values.items():
        assert value / values[start] == pytest.approx(prices["AAPL"][day] / prices["AAPL"][start], rel=5e-6)


def test_saving_monthly_earns_what_the_share_does(market: CalculationRequest, built: Path, prices: Prices) -> None:
    values, flows = by_day(built, portfolio(market, "growth-dca"))
    days = list(values)
    assert len(flows) == 395
    assert set(flows.values()) == {500.0}
    growth = [values[after] / (values[before] + flows.get(before, 0.0)) for before, after in pairwise(days)]
    assert math.prod(growth) == pytest.approx(prices["MSFT"][days[-1]] / prices["MSFT"][days[0]], rel=2e-5)


@pytest.mark.parametrize(
    ("name", "symbols", "exposure"),
    [
        ("equal-weight-quarterly", None, 1.0),
        ("endowment", None, 1.0),
        ("half-in-cash", ("JNJ", "PG"), 0.5),
        ("margin-130", BLUE_CHIPS, 1.3),
    ],
)
def test_a_rebalanced_portfolio_moves_with_its_shares(
    market: CalculationRequest,
    built: Path,
    prices: Prices,
    name: str,
    symbols: tuple[str, ...] | None,
    exposure: float,
) -> None:
    values, flows = by_day(built, portfolio(market, name))
    days = list(values)
    quarter_starts = [
        (before, after) for before, after in pairwise(days) if (before.month - 1) // 3 != (after.month - 1) // 3
    ]
    assert len(quarter_starts) > 100
    for before, after in quarter_starts:
        moved = np.mean([prices[symbol][after] / prices[symbol][before] - 1 for symbol in symbols or prices])
        debt = max(exposure - 1.0, 0.0) * 0.06 * (after - before).days / 365
        gained = values[after] / (values[before] + flows.get(before, 0.0)) - 1
        assert gained == pytest.approx(exposure * moved - debt, abs=2e-6)


def test_an_emptied_account_is_worth_nothing_until_it_is_reopened(market: CalculationRequest, built: Path) -> None:
    emptied, reopened = date(2008, 10, 10), date(2012, 1, 3)
    values, flows = by_day(built, portfolio(market, "emptied-and-reopened"))
    assert flows[emptied] == -values[emptied] < 0
    between = [value for day, value in values.items() if emptied < day <= reopened]
    assert len(between) > 800
    assert set(between) == {0.0}
    following = min(day for day in values if day > reopened)
    assert values[following] == pytest.approx(flows[reopened], rel=0.05)


def test_a_closed_account_stays_empty(market: CalculationRequest, built: Path) -> None:
    values, flows = by_day(built, portfolio(market, "closed-2015"))
    assert flows[date(2015, 8, 31)] == -values[date(2015, 8, 31)]
    assert {value for day, value in values.items() if day > date(2015, 8, 31)} == {0.0}
    assert list(values)[-1] == date(2022, 12, 28)


def test_half_transferred_leaves_half(market: CalculationRequest, built: Path) -> None:
    values, flows = by_day(built, portfolio(market, "half-transferred"))
    assert flows == {date(2013, 6, 28): pytest.approx(-values[date(2013, 6, 28)] / 2, rel=1e-5)}


def test_flows_of_days_without_trading_are_in_the_next_valuation(market: CalculationRequest, built: Path) -> None:
    values, flows = by_day(built, portfolio(market, "weekend-gift"))
    saturday = date(2010, 5, 15)
    assert flows == {saturday: 20_000.0}
    assert saturday not in values
    friday, monday = values[date(2010, 5, 14)], values[date(2010, 5, 17)]
    assert monday == pytest.approx(friday + 20_000, rel=0.02)
    values, flows = by_day(built, portfolio(market, "month-end-saver"))
    assert sum(day not in values for day in flows) > 50
    assert all((day + timedelta(days=1)).day == 1 for day in flows)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"), [("forgotten-cents", 0.02, 1.0), ("endowment", 1e9, 1e12), ("apple-held", 1e3, 1e7)]
)
def test_sizes_are_as_described(
    market: CalculationRequest, built: Path, name: str, lowest: float, highest: float
) -> None:
    values, _ = series(built, portfolio(market, name))
    assert lowest <= values.values.min()
    assert values.values.max() <= highest


@pytest.mark.parametrize(("name", "longest"), [("valued-weekly", 11), ("valued-monthly", 35)])
def test_seldom_valued(market: CalculationRequest, built: Path, name: str, longest: int) -> None:
    values, _ = series(built, portfolio(market, name))
    gaps = np.diff(values.days)  # the longest of the weekly ones: the exchange was closed after 2001-09-10
    assert np.median(gaps) > 6
    assert gaps.max() <= longest


def test_one_portfolio_is_broken_and_its_faults_have_places(built: Path) -> None:
    broken = request(built / "market-broken.json")
    assert isinstance(broken.portfolios, list)
    assert len(broken.portfolios) == 6
    failures = {}
    for each in broken.portfolios:
        try:
            series(built, each)
        except InvalidPortfolioError as error:
            failures[each.portfolio_id] = str(error)
    assert list(failures) == ["broken-feed"]
    assert "line 1201: value 'n/a'" in failures["broken-feed"]
    assert re.search(r"line 2401: \d{4}-\d\d-\d\d stands in line 2400 already", failures["broken-feed"])


def test_without_duckdb_parquet_becomes_csv(tmp_path: Path, built: Path) -> None:
    (tmp_path / "duckdb.py").write_text("raise ImportError")
    told = run_builder(tmp_path, PYTHONPATH=str(tmp_path))
    assert told.count("since duckdb is not installed") == 2
    plain, rich = request(tmp_path / "market.json"), request(built / "market.json")
    for name in ("momentum-yearly", "endowment"):
        source = portfolio(plain, name).valuations
        assert isinstance(source, Source)
        assert source.resolved_format is SourceFormat.CSV
        values, _ = series(tmp_path, portfolio(plain, name))
        same, _ = series(built, portfolio(rich, name))
        assert np.array_equal(values.values, same.values)
        assert np.array_equal(values.days, same.days)


def test_single_by_hand() -> None:
    single = request(EXAMPLES / "single.json")
    assert isinstance(single.portfolios, list)
    valuations, flows = series(EXAMPLES, single.portfolios[0])
    values = dated(valuations.days, valuations.values)
    assert 20 <= len(values) <= 40
    # Each flow came after the close of its day: 1,000 in on the 9th, 500 out on the 22nd.
    expected = 10_282.30 / 10_000 * 11_495.10 / 11_282.30 * 11_166.40 / 10_995.10 - 1
    found = calculate_daily_twr(values.items(), dated(flows.days, flows.amounts).items())
    assert found.value == pytest.approx(expected, abs=1e-14)
    assert not found.warnings


def test_invalid_is_told_every_fault_and_its_place() -> None:
    with pytest.raises(InvalidRequestError) as told:
        request(EXAMPLES / "invalid.json")
    assert sorted(fault.path for fault in told.value.faults) == [
        "$.as_of_date",
        "$.max_concurrency",
        "$.portfolios[0].currency",
        "$.portfolios[0].valuations[1].value",
        "$.portfolios[0].valuations[2].date",
        "$.portfolios[1].cash_flows[0].date",
        "$.portfolios[1].valuations",
        "$.portfolios[2].portfolio_id",
        "$.portfolios[2].valuations",
        "$.rebalance",
        "$.risk_free_rate",
        "$.time_periods[1]",
        "$.time_periods[2]",
    ]
