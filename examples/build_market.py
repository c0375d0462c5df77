"""Build the example requests: 24 portfolios of different kinds on real daily closes of 1990 to 2022.

Each portfolio is simulated day by day. Its valuation is taken at the close; what its owner does comes after the close,
at that day's closing prices, and is in the next valuation: that is what `flow_timing: after_close` means.

Everything is counted in integers (cents, thousandths of a dollar a share, ten-thousandths of a share), so that every
machine writes the same bytes.
"""

import argparse
import calendar
import csv
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
AS_OF = date(2022, 12, 28)
INLINE_FLOWS = 12  # more than these go to a file
SHARE = 10_000  # fractional shares are dealt in ten-thousandths
CENTS = SHARE * 10  # units of a ten-thousandth share times a thousandth of a dollar, in a cent

Series = list[tuple[date, int]]
"""Dates and cents."""


# --- the market ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Market:
    """Closing prices, in thousandths of a dollar."""

    days: list[date]
    closes: dict[str, list[int]]

    @classmethod
    def read(cls, path: Path) -> "Market":
        """Read a gzipped CSV: `Date`, then a column for each symbol."""
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            header, *rows = csv.reader(file)
        columns = list(zip(*rows, strict=True))
        return cls(
            [date.fromisoformat(day) for day in columns[0]],
            {
                symbol: [_thousandths(text) for text in column]
                for symbol, column in zip(header, columns, strict=True)
                if symbol != "Date"
            },
        )


def _thousandths(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * 1000 + int(fraction.ljust(3, "0"))


# --- one portfolio -------------------------------------------------------------------------------------------------


@dataclass
class Account:
    """Shares and cash of one portfolio on one day. Cash below zero is a margin debt."""

    market: Market
    cash: int = 0
    units: dict[str, int] = field(default_factory=dict)
    flows: Series = field(default_factory=list)
    place: int = 0
    today: date = AS_OF

    def price(self, symbol: str) -> int:
        """Return today's close; on a day without trading, the last one."""
        return self.market.closes[symbol][self.place]

    @property
    def value(self) -> int:
        """What shares and cash are worth, in cents."""
        return self.cash + _cents(sum(units * self.price(symbol) for symbol, units in self.units.items()))

    def flow(self, cents: int) -> None:
        """Book a contribution (positive) or a withdrawal of today."""
        self.cash += cents
        self.flows.append((self.today, cents))

    def trade(self, symbol: str, units: int) -> int:
        """Buy, or sell if negative, at today's close; return what was turned over."""
        cost = _cents(units * self.price(symbol))
        self.cash -= cost
        self.units[symbol] = self.units.get(symbol, 0) + units
        if not self.units[symbol]:
            del self.units[symbol]
        return abs(cost)


def _cents(product: int) -> int:
    """Round units times price to cents, halves up."""
    return (product + CENTS // 2) // CENTS


Step = Callable[[Account], object]
Weights = dict[str, int]
"""Per cent of the value in each share."""


def contribute(dollars: int) -> Step:
    return lambda account: account.flow(dollars * 100)


def withdraw(dollars: int) -> Step:
    return lambda account: _pay_out(account, dollars * 100)


def withdraw_share(numerator: int, denominator: int) -> Step:
    return lambda account: _pay_out(account, account.value * numerator // denominator)


def withdraw_all(account: Account) -> None:
    everything = account.value
    account.units.clear()
    account.cash = everything
    account.flow(-everything)


def transfer_out_half(account: Account) -> None:
    """Deliver half of every holding to another depot: a flow without a trade."""
    before = account.value
    for symbol in account.units:
        account.units[symbol] -= account.units[symbol] // 2
    account.flows.append((account.today, account.value - before))


def _pay_out(account: Account, cents: int) -> None:
    """Pay from the cash; what it lacks comes from selling a part of every holding."""
    if (lacking := cents - account.cash) > 0:
        held = account.value - account.cash
        for symbol, units in sorted(account.units.items()):
            account.trade(symbol, -min(units, -(-units * lacking // held) + 1))
    account.flow(-cents)


def buy(weights: Weights, *, lot: int = 1) -> Step:
    """Spend the cash; sell nothing."""

    def step(account: Account) -> None:
        cash = account.cash
        for symbol, weight in weights.items():
            account.trade(symbol, cash * weight * (CENTS // 100) // account.price(symbol) // lot * lot)

    return step


def rebalance(weights: Weights, *, lot: int = 1) -> Step:
    """Trade to the weights; over 100 % in all is bought on margin, what lacks to 100 % stays cash."""
    return lambda account: _trade_to(account, account.value, weights, lot)


def hold_best(count: int, days: int, *, worst: bool = False, cost_bp: int = 0) -> Step:
    """Move everything into the shares that did best (or worst) over the last days, paying for each trade."""

    def step(account: Account) -> None:
        past = account.place - days
        change = {symbol: closes[account.place] / closes[past] for symbol, closes in account.market.closes.items()}
        chosen = sorted(change, key=lambda symbol: (change[symbol], symbol), reverse=not worst)[:count]
        value = account.value
        turnover = _trade_to(account, value - value * 2 * cost_bp // 10_000, dict.fromkeys(chosen, 100 // count), 1)
        account.cash -= turnover * cost_bp // 10_000

    return step


def _trade_to(account: Account, value: int, weights: Weights, lot: int) -> int:
    turnover = 0
    for symbol in sorted({*account.units, *weights}):
        wanted = value * weights.get(symbol, 0) * (CENTS // 100) // account.price(symbol) // lot * lot
        turnover += account.trade(symbol, wanted - account.units.get(symbol, 0))
    return turnover


# --- when something is done ----------------------------------------------------------------------------------------

When = Callable[[date, date], date | None]
"""Which day, if any, from a trading day up to the one before the next trading day."""


def on(text: str) -> When:
    """Choose one day, whether there is trading or not."""
    chosen = date.fromisoformat(text)
    return lambda day, following: chosen if day <= chosen < following else None


def last_trading_day(period: str) -> When:
    """Choose the last trading day of every week, month, quarter or year."""
    return lambda day, following: day if _number(day, period) != _number(following, period) else None


def month_end(day: date, following: date) -> date | None:
    """Choose the last day of every month by the calendar, often a day without trading."""
    end = day.replace(day=calendar.monthrange(day.year, day.month)[1])
    return end if end < following else None


def fifteenth(day: date, following: date) -> date | None:
    """Choose the 15th of every month, or the trading day before it."""
    return day if day.day <= 15 < following.day else None


def every_day(day: date, _following: date) -> date | None:
    return day


def _number(day: date, period: str) -> int:
    match period:
        case "week":
            return day.toordinal() // 7  # weeks begin with Sunday, ordinal 0
        case "quarter":
            return day.year * 4 + (day.month - 1) // 3
        case "month":
            return day.year * 12 + day.month
        case _:
            return day.year


Habit = tuple[When, tuple[Step, ...]]


def do(when: When, *steps: Step) -> Habit:
    return when, steps


class Portfolio:
    """A portfolio and what its owner does with it.

    Parameters
    ----------
    first
        Day of the first valuation.
    start
        What is done after that day's close.
    habits
        What is done on later days.
    opening
        Dollars it holds before the first valuation; 0 for an account that its first flow opens.
    valued
        The days on which it is valued.
    debt_rate
        Yearly interest on a margin debt, per cent.
    form
        How its valuations are handed over: csv, jsonl, json, parquet, or within the request as points or columns.
    """

    def __init__(
        self,
        portfolio_id: str,
        client_id: str,
        first: str,
        start: tuple[Step, ...],
        *habits: Habit,
        opening: float = 0,
        valued: When = every_day,
        debt_rate: int = 0,
        form: str = "csv",
    ) -> None:
        self.portfolio_id, self.client_id, self.form = portfolio_id, client_id, form
        self.first, self.opening = date.fromisoformat(first), round(opening * 100)
        self.start, self.habits = start, habits
        self.valued, self.debt_rate = valued, debt_rate

    def simulate(self, market: Market) -> tuple[Series, Series]:
        """Return the valuations and the cash flows."""
        account = Account(market, self.opening)
        valuations: Series = []
        first, last = market.days.index(self.first), len(market.days) - 1
        for place in range(first, last + 1):
            day = account.today = market.days[place]
            account.place = place
            if account.cash < 0:
                elapsed = (day - market.days[place - 1]).days
                account.cash -= -account.cash * self.debt_rate * elapsed // 36_500
            # The data end on a Wednesday: no week, month or year is complete then.
            following = market.days[place + 1] if place < last else day + timedelta(days=1)
            if place == first or self.valued(day, following):
                valuations.append((day, account.value))
            if place == first:
                for step in self.start:
                    step(account)
            elif place < last:  # a flow after the last close would be in no valuation
                for when, steps in self.habits:
                    if due := when(day, following):
                        account.today = due
                        for step in steps:
                            step(account)
        return valuations, account.flows


TECHNOLOGY, INDUSTRY, BANKS = ["AAPL", "AMD", "MSFT"], ["GE"], ["BAC", "JPM"]
SHOPS, OIL, HOUSEHOLD = ["BBY", "HD", "WMT"], ["CVX", "RRC", "XOM"], ["KO", "PEP", "PG"]
HEALTH = ["JNJ", "LLY", "MRK", "PFE", "UNH"]
ALL_20 = dict.fromkeys([*TECHNOLOGY, *INDUSTRY, *BANKS, *SHOPS, *OIL, *HOUSEHOLD, *HEALTH], 5)
BLUE_CHIPS = dict.fromkeys(["CVX", "GE", "HD", "JNJ", "JPM", "KO", "MSFT", "PFE", "PG", "XOM"], 10)
STAPLES = dict.fromkeys(["JNJ", "KO", "PEP", "PG", "WMT"], 20)
ENERGY = {"XOM": 50, "CVX": 50}
ON_MARGIN = dict.fromkeys(BLUE_CHIPS, 13)
HALF_INVESTED = {"JNJ": 25, "PG": 25}
ROUND_LOT = 100 * SHARE

PORTFOLIOS = (
    Portfolio("apple-held", "C-1001", "1990-01-02", (buy({"AAPL": 100}),), opening=10_000),
    Portfolio("equal-weight-held", "C-1001", "1990-01-02", (buy(ALL_20),), opening=100_000),
    Portfolio(
        "growth-dca",
        "C-1002",
        "1990-01-31",
        (contribute(500), buy({"MSFT": 100})),
        do(last_trading_day("month"), contribute(500), buy({"MSFT": 100})),
    ),
    Portfolio(
        "equal-weight-quarterly",
        "C-1002",
        "1990-01-02",
        (rebalance(ALL_20),),
        do(last_trading_day("quarter"), rebalance(ALL_20)),
        opening=250_000,
        form="json",
    ),
    Portfolio(
        "staples-yearly",
        "C-1003",
        "1990-01-02",
        (rebalance(STAPLES),),
        do(last_trading_day("year"), rebalance(STAPLES)),
        opening=150_000,
    ),
    Portfolio(
        "retirement-4-percent",
        "C-1003",
        "2000-01-03",
        (buy(BLUE_CHIPS),),
        do(last_trading_day("month"), withdraw_share(4, 1_200)),
        do(last_trading_day("year"), rebalance(BLUE_CHIPS)),
        opening=1_000_000,
    ),
    Portfolio(
        "energy-income",
        "C-1004",
        "1995-01-03",
        (buy(ENERGY),),
        do(last_trading_day("quarter"), withdraw(7_500)),
        opening=500_000,
    ),
    Portfolio(
        "windfall",
        "C-1004",
        "2003-06-02",
        (contribute(10_000), buy(BLUE_CHIPS)),
        do(on("2009-03-09"), contribute(250_000), buy(STAPLES)),
    ),
    Portfolio("newcomer-2021", "C-1005", "2021-04-01", (contribute(25_000), buy(ALL_20)), form="jsonl"),
    Portfolio(
        "three-months-old",
        "C-1005",
        "2022-09-28",
        (contribute(5_000), buy(STAPLES)),
        do(on("2022-11-30"), contribute(1_000), buy(STAPLES)),
        form="points",
    ),
    Portfolio(
        "emptied-and-reopened",
        "C-1006",
        "1998-05-01",
        (contribute(80_000), buy(BLUE_CHIPS)),
        do(on("2008-10-10"), withdraw_all),
        do(on("2012-01-03"), contribute(60_000), buy(BLUE_CHIPS)),
        form="jsonl",
    ),
    Portfolio(
        "closed-2015",
        "C-1006",
        "2001-02-01",
        (contribute(40_000), buy(ENERGY)),
        do(on("2015-08-31"), withdraw_all),
    ),
    Portfolio(
        "momentum-yearly",
        "C-1007",
        "1991-01-02",
        (hold_best(5, 250),),
        do(last_trading_day("year"), hold_best(5, 250)),
        opening=100_000,
        form="parquet",
    ),
    Portfolio(
        "weekly-rotation",
        "C-1007",
        "1995-01-03",
        (hold_best(5, 5, worst=True, cost_bp=10),),
        do(last_trading_day("week"), hold_best(5, 5, worst=True, cost_bp=10)),
        opening=100_000,
    ),
    Portfolio(
        "half-in-cash",
        "C-1008",
        "1992-01-02",
        (rebalance(HALF_INVESTED),),
        do(last_trading_day("quarter"), rebalance(HALF_INVESTED)),
        opening=60_000,
    ),
    Portfolio(
        "margin-130",
        "C-1008",
        "1993-01-04",
        (rebalance(ON_MARGIN),),
        do(last_trading_day("quarter"), rebalance(ON_MARGIN)),
        opening=200_000,
        debt_rate=6,
    ),
    Portfolio(
        "half-transferred",
        "C-1009",
        "2005-03-01",
        (buy(BLUE_CHIPS),),
        do(on("2013-06-28"), transfer_out_half),
        opening=320_000,
    ),
    Portfolio("forgotten-cents", "C-1009", "2010-01-04", (buy({"LLY": 100}),), opening=0.05),
    Portfolio(
        "endowment",
        "C-1010",
        "1990-01-02",
        (rebalance(ALL_20, lot=ROUND_LOT),),
        do(on("2009-06-30"), contribute(500_000_000)),
        do(last_trading_day("quarter"), withdraw_share(5, 400), rebalance(ALL_20, lot=ROUND_LOT)),
        opening=2_000_000_000,
        form="parquet",
    ),
    Portfolio(
        "weekend-gift",
        "C-1010",
        "2004-01-02",
        (buy({"HD": 60, "WMT": 40}),),
        do(on("2010-05-15"), contribute(20_000)),  # a Saturday; the money is invested on Monday
        do(on("2010-05-17"), buy({"HD": 60, "WMT": 40})),
        opening=90_000,
    ),
    Portfolio(
        "month-end-saver",
        "C-1011",
        "2000-03-31",
        (contribute(300),),
        do(every_day, buy({"UNH": 50, "LLY": 50})),
        do(month_end, contribute(300)),
        form="json",
    ),
    Portfolio(
        "valued-weekly",
        "C-1011",
        "1996-01-05",
        (buy(ALL_20),),
        do(last_trading_day("quarter"), contribute(2_500), buy(ALL_20)),
        opening=75_000,
        valued=last_trading_day("week"),
        form="jsonl",
    ),
    Portfolio(
        "valued-monthly",
        "C-1012",
        "1990-01-31",
        (buy(BLUE_CHIPS),),
        do(fifteenth, contribute(250), buy(BLUE_CHIPS)),
        opening=50_000,
        valued=last_trading_day("month"),
        form="columns",
    ),
    Portfolio(
        "fee-and-top-up",
        "C-1012",
        "2006-01-03",
        (buy({"MSFT": 50, "PEP": 50}),),
        do(last_trading_day("quarter"), contribute(3_000), withdraw_share(1, 400), buy({"MSFT": 50, "PEP": 50})),
        opening=120_000,
    ),
)
BROKEN = "broken-feed"
NEIGHBOURS = ("apple-held", "growth-dca", "staples-yearly", "newcomer-2021", "emptied-and-reopened")


# --- the requests --------------------------------------------------------------------------------------------------


def build(out: Path) -> None:
    """Write both requests and the files they refer to into a folder."""
    market = Market.read(HERE / "data" / "sp500_dataset.csv.gz")
    index = Market.read(HERE / "data" / "sp500_index.csv.gz")
    (out / "portfolios").mkdir(parents=True, exist_ok=True)
    levels = [(day, close // 10) for day, close in zip(index.days, index.closes["SP500"], strict=True)]
    write_csv(out / "sp500.csv", "value", levels)
    documents = {}
    for number, portfolio in enumerate(PORTFOLIOS, start=1):
        valuations, flows = portfolio.simulate(market)
        documents[portfolio.portfolio_id] = {
            "portfolio_id": portfolio.portfolio_id,
            "client_id": portfolio.client_id,
            "account_id": f"A-{2000 + number}",
            "currency": "USD",
            "valuations": hand_over(out, portfolio.portfolio_id, portfolio.form, "value", valuations),
            "cash_flows": hand_over(
                out,
                f"{portfolio.portfolio_id}-flows",
                "points" if len(flows) <= INLINE_FLOWS else "csv",
                "amount",
                flows,
            ),
        }
    broken = hand_over(out, BROKEN, "csv", "value", PORTFOLIOS[0].simulate(market)[0])
    spoil(out / broken["source"])
    broken_one = {"portfolio_id": BROKEN, "client_id": "C-1013", "account_id": "A-2100", "currency": "USD"}
    neighbours = [documents[name] for name in NEIGHBOURS]
    write_request(out, "market-broken", [*neighbours, {**broken_one, "valuations": broken}])
    write_request(out, "market", list(documents.values()))


def write_request(out: Path, name: str, portfolios: list[dict[str, Any]]) -> None:
    request = {
        "request_id": f"{name}-{AS_OF}",
        "as_of_date": AS_OF.isoformat(),
        "time_periods": [
            *("MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "ITD"),
            {"from": "2007-10-09", "to": "2009-03-09"},
        ],
        "calculation_method": "daily",
        "flow_timing": "after_close",
        "risk_free_rate": 0.02,
        "max_concurrency": 10,
        "benchmark": {"benchmark_id": "SP500", "valuations": {"source": "sp500.csv"}},
        "portfolios": portfolios,
    }
    (out / f"{name}.json").write_text(json.dumps(request, indent=1) + "\n", encoding="ascii", newline="\n")


def hand_over(out: Path, name: str, form: str, column: str, series: Series) -> Any:
    """Return a series as it stands in a request: itself, or a reference to the file it was written to."""
    points = [{"date": day.isoformat(), column: cents / 100} for day, cents in series]
    columns = {
        "dates": [point["date"] for point in points],
        f"{column}s": [point[column] for point in points],
    }
    if form == "points":
        return points
    if form == "columns":
        return columns
    path = out / "portfolios" / f"{name}.{form}"
    match form:
        case "json":
            path.write_text(json.dumps(columns) + "\n", encoding="ascii", newline="\n")
        case "jsonl":
            _write_lines(path, map(json.dumps, points))
        case "parquet":
            path = write_parquet(path, column, series)
        case _:
            write_csv(path, column, series)
    return {"source": path.relative_to(out).as_posix()}


def write_csv(path: Path, column: str, series: Series) -> None:
    _write_lines(path, [f"date,{column}", *(f"{day},{_decimal(cents)}" for day, cents in series)])


def write_parquet(path: Path, column: str, series: Series) -> Path:
    """Write Parquet where duckdb is installed, CSV elsewhere; return what was written."""
    rows = path.with_suffix(".csv")
    write_csv(rows, column, series)
    try:
        import duckdb  # noqa: PLC0415 - optional
    except ImportError:
        print(f"{rows.name}: written as CSV, since duckdb is not installed")
        return rows
    with duckdb.connect() as connection:
        table = connection.read_csv(str(rows), dtype={"date": "DATE", column: "DECIMAL(18,2)"})
        table.write_parquet(str(path))
    rows.unlink()
    return path


def spoil(path: Path) -> None:
    """Put two faults of real feeds into a CSV: a value that is none, and a day delivered twice."""
    lines = path.read_text(encoding="ascii").splitlines()
    lines[1200] = lines[1200].partition(",")[0] + ",n/a"
    lines.insert(2400, lines[2399])
    _write_lines(path, lines)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def _decimal(cents: int) -> str:
    return f"{'-' * (cents < 0)}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the example requests from the market data.")
    parser.add_argument("--out", type=Path, default=HERE / "build", help="folder to write to (%(default)s)")
    out: Path = parser.parse_args().out
    build(out)
    print(f"{out}: market.json with {len(PORTFOLIOS)} portfolios, market-broken.json with one that is broken")


if __name__ == "__main__":
    main()
