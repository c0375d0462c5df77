"""Build the prices and levels that go with examples/books: two years of real closes of six shares and of the S&P 500.

The market data are adjusted closes: splits and dividends are worked into them. Books hold prices as they were traded,
with the split or dividend beside the day it fell on. So the two splits of these years and the dividends of Coca-Cola
are taken out again, going back from the last day. The dividends of the other shares, and all later ones, remain worked
in: the prices are close to those quoted then, not equal.

Everything is counted in Decimal, so that every machine writes the same bytes.
"""

import argparse
import csv
import gzip
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
BASE, FIRST, LAST = "2019-12-31", "2020-01-02", "2021-12-31"
SECURITIES = ("AAPL", "GE", "JNJ", "KO", "MSFT", "XOM")
TEN_THOUSANDTH = Decimal("0.0001")

# New units for each old one, from the close of this day on.
SPLITS = {("AAPL", "2020-08-31"): Decimal(4), ("GE", "2021-08-02"): Decimal("0.125")}
# In USD on a share, by the ex-date.
DIVIDENDS = {
    **{("KO", day): Decimal("0.41") for day in ("2020-03-13", "2020-06-12", "2020-09-14", "2020-11-30")},
    **{("KO", day): Decimal("0.42") for day in ("2021-03-12", "2021-06-14", "2021-09-14", "2021-11-30")},
}


def read(path: Path, first: str = FIRST) -> list[dict[str, str]]:
    """Return the days of a gzipped CSV from the first to the last."""
    with gzip.open(path, "rt", encoding="ascii", newline="") as file:
        return [row for row in csv.DictReader(file) if first <= row["Date"] <= LAST]


def as_traded(symbol: str, adjusted: list[tuple[str, Decimal]]) -> list[str]:
    """Return the lines of a share's prices, the oldest first.

    An adjusted close is the traded one times a factor. Going back over an ex-date the factor becomes smaller by what
    the dividend was of the close before it, and over a split by what the units became more.
    """
    factor = Decimal(1)
    lines = []
    dividend, split = Decimal(0), Decimal(1)  # of the day after
    for day, close in reversed(adjusted):
        price = (close / factor + dividend) * split
        factor = close / price
        dividend, split = DIVIDENDS.get((symbol, day), Decimal(0)), SPLITS.get((symbol, day), Decimal(1))
        lines.append(f"{symbol},{day},{price.quantize(TEN_THOUSANDTH)},{dividend},{split}")
    return lines[::-1]


def build(out: Path) -> None:
    """Write the prices and the levels into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    market = read(HERE / "data" / "sp500_dataset.csv.gz")
    prices = ["security_id,date,price,dividend,split"]
    for symbol in SECURITIES:
        prices += as_traded(symbol, [(row["Date"], Decimal(row[symbol])) for row in market])
    _write_lines(out / "prices.csv", prices)
    # What is bought on the first day is compared with the close before it.
    index = read(HERE / "data" / "sp500_index.csv.gz", BASE)
    _write_lines(
        out / "levels.csv", ["benchmark_id,date,level", *(f"SP500,{row['Date']},{row['SP500']}" for row in index)]
    )


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the prices that go with examples/books.")
    parser.add_argument("--out", type=Path, default=HERE / "build" / "books", help="folder to write to (%(default)s)")
    out: Path = parser.parse_args().out
    build(out)
    print(f"{out}: prices.csv of {len(SECURITIES)} shares, levels.csv of the S&P 500")


if __name__ == "__main__":
    main()
