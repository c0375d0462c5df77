"""Ten years of a market and of those who trade in it, from a fixed seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from common.calculations import TransactionType
from common.models.books import BookEntityType, DayValue, Entity, SeriesKind, Transaction
from common.stores.ports import Books

DAYS = 2_520
SECURITIES = 40
CLIENT, BENCHMARK = "acme", "market"

_SEED = 7
_FIRST = date(2014, 1, 1)
_CENT = Decimal("0.01")
_QUARTER_DAYS = 63
_T = TransactionType

# How often each type comes among 100 transactions after the first purchases.
_MIX = {_T.BUY: 42, _T.SELL: 24, _T.DIVIDEND: 16, _T.DEPOSIT: 9, _T.WITHDRAWAL: 3, _T.FEE: 6}


@dataclass(frozen=True)
class Market:
    """Prices of securities, and the levels of a benchmark.

    Attributes
    ----------
    days : sequence of date
        Business days, in order.
    prices : dict of str to sequence of Decimal
        For each security one a day, in cents.
    levels : sequence of Decimal
        One a day.
    """

    days: Sequence[date]
    prices: dict[str, list[Decimal]]
    levels: Sequence[Decimal]

    def price_series(self, security_id: str) -> list[DayValue]:
        """Return the prices of a security as the books take them, with a dividend of half a percent each quarter."""
        return [
            DayValue(day, price, (price / 200).quantize(_CENT) if at % _QUARTER_DAYS == 40 else Decimal(0))
            for at, (day, price) in enumerate(zip(self.days, self.prices[security_id], strict=True))
        ]

    def level_series(self) -> list[DayValue]:
        """Return the benchmark's levels as the books take them."""
        return list(map(DayValue, self.days, self.levels))


@cache
def market(securities: int = SECURITIES) -> Market:
    """Return ten years of prices that move with the market and on their own."""
    chance = np.random.default_rng(_SEED)
    days = [_FIRST + timedelta(days=number // 5 * 7 + number % 5) for number in range(DAYS)]
    together = chance.normal(0.0003, 0.009, DAYS)
    apart = chance.normal(0.0, 0.012, (securities, DAYS))
    starts = chance.uniform(15.0, 400.0, securities)
    prices = starts[:, None] * np.exp(np.cumsum(together + apart, axis=1))
    return Market(
        days,
        {f"security-{number:02}": _cents(each) for number, each in enumerate(prices)},
        _cents(1000.0 * np.exp(np.cumsum(together))),
    )


def valued(portfolio_id: str, number: int, *, count: int = 50) -> tuple[list[DayValue], list[Transaction]]:
    """Return ten years of daily valuations of a portfolio, and its deposits and withdrawals after the close.

    Parameters
    ----------
    number
        Another portfolio for each.
    count
        Of deposits and withdrawals.
    """
    chance = np.random.default_rng((_SEED, number, count))
    days = market().days
    moves = chance.normal(0.0003, 0.01, DAYS).tolist()
    amounts = chance.uniform(-2_500.0, 5_000.0, count).round(2).tolist()
    flows = dict(zip(np.sort(chance.permutation(np.arange(1, DAYS - 1))[:count]).tolist(), amounts, strict=True))
    worth, values = 100_000.0, []
    entries = _Entries(portfolio_id)
    for at, move in enumerate(moves):
        worth *= 1.0 + move
        values.append(DayValue(days[at], _decimal(worth)))
        if amount := flows.get(at, 0.0):
            worth += amount
            entries.add(_T.DEPOSIT if amount > 0 else _T.WITHDRAWAL, days[at], amount=_decimal(abs(amount)))
    return values, entries.made


def trades(portfolio_id: str, number: int, *, held: int = 20, count: int = 500) -> list[Transaction]:
    """Return the transactions of a portfolio: it buys `held` securities on the first day and goes on trading in them.

    Parameters
    ----------
    number
        Another portfolio for each; which securities it holds depends on it too.
    count
        Of transactions, the first deposit and purchases among them.
    """
    chance = np.random.default_rng((_SEED, number, held, count))
    found = market()
    securities = [str(each) for each in chance.permutation(sorted(found.prices))[:held]]
    entries = _Entries(portfolio_id)
    units = dict.fromkeys(securities, 0)

    def trade(kind: TransactionType, at: int, security_id: str, quantity: int) -> None:
        price = found.prices[security_id][at]
        cost = Decimal("1.001") if kind is _T.BUY else Decimal("0.999")
        units[security_id] += quantity if kind is _T.BUY else -quantity
        entries.add(
            kind,
            found.days[at],
            amount=(quantity * price * cost).quantize(_CENT),
            quantity=Decimal(quantity),
            security_id=security_id,
        )

    entries.add(_T.DEPOSIT, found.days[0], amount=Decimal(1_000_000))
    for security_id in securities:
        trade(_T.BUY, 0, security_id, int(40_000 / found.prices[security_id][0]))
    kinds = chance.choice([kind.value for kind in _MIX], count - held - 1, p=np.array(list(_MIX.values())) / 100)
    days = np.sort(chance.integers(1, DAYS, kinds.size))
    for at, name in zip(days.tolist(), kinds.tolist(), strict=True):
        security_id = securities[int(chance.integers(held))]
        match TransactionType(name):
            case _T.SELL if units[security_id] > 1:
                trade(_T.SELL, at, security_id, int(chance.integers(1, units[security_id] // 2 + 1)))
            case _T.BUY | _T.SELL:
                trade(_T.BUY, at, security_id, int(chance.integers(1, 60)))
            case _T.DIVIDEND:
                entries.add(
                    _T.DIVIDEND, found.days[at], amount=_decimal(chance.uniform(5, 900)), security_id=security_id
                )
            case kind:
                entries.add(kind, found.days[at], amount=_decimal(chance.uniform(10, 5_000)))
    return entries.made


def keep_market(books: Books) -> None:
    """Write the securities with their prices, and the benchmark with its levels, into books."""
    found = market()
    books.put_entity(Entity(entity_type=BookEntityType.BENCHMARK, entity_id=BENCHMARK))
    books.write_series(SeriesKind.LEVEL, BENCHMARK, found.level_series())
    for security_id in found.prices:
        books.put_entity(Entity(entity_type=BookEntityType.SECURITY, entity_id=security_id))
        books.write_series(SeriesKind.PRICE, security_id, found.price_series(security_id))


def keep_valued(books: Books, portfolio_id: str, number: int) -> None:
    """Write a portfolio into books that is valued on every day."""
    values, flows = valued(portfolio_id, number)
    books.put_entity(_portfolio(portfolio_id))
    books.write_series(SeriesKind.VALUATION, portfolio_id, values)
    books.record(portfolio_id, flows)


def keep_traded(books: Books, portfolio_id: str, number: int, account_id: str | None = None) -> None:
    """Write a portfolio into books that is valued by its transactions."""
    books.put_entity(_portfolio(portfolio_id, account_id))
    books.record(portfolio_id, trades(portfolio_id, number))


def _portfolio(portfolio_id: str, account_id: str | None = None) -> Entity:
    return Entity(
        entity_type=BookEntityType.PORTFOLIO,
        entity_id=portfolio_id,
        client_id=CLIENT,
        account_id=account_id,
        benchmark_id=BENCHMARK,
    )


class _Entries:
    """A book under construction."""

    def __init__(self, portfolio_id: str) -> None:
        self._portfolio_id = portfolio_id
        self.made: list[Transaction] = []

    def add(self, kind: TransactionType, day: date, **fields: Any) -> None:
        self.made.append(
            Transaction(
                transaction_id=f"{self._portfolio_id}-{len(self.made):05}",
                portfolio_id=self._portfolio_id,
                type=kind,
                trade_date=day,
                **fields,
            )
        )


def _decimal(number: float) -> Decimal:
    return Decimal(f"{number:.2f}")


def _cents(numbers: "np.ndarray[Any, np.dtype[np.float64]]") -> list[Decimal]:
    return list(map(_decimal, numbers.tolist()))
