"""Bookkeeping: what transactions make of cash and units, day by day and to the last digit.

Transactions count on their trade date, as the GIPS standards demand.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from itertools import groupby
from operator import attrgetter
from typing import Literal

import numpy as np

from common.calculations.types import DayArray, FloatArray
from common.calculations.words import TransactionType, day_date

# Sums of amounts of 34 digits and products of two dozen splits of as many come out exact. Digits cost nothing until
# they are used.
_EXACT = Context(prec=1_000)
_FAULTS_TOLD = 5
# Below this share of the amounts that made it, a difference of amounts is rounding, not money: as in the returns.
_ROUNDING = 1e-12
_ZERO = Decimal(0)

_T = TransactionType
_TRANSFERS = frozenset({_T.TRANSFER_IN, _T.TRANSFER_OUT})
_EXTERNAL = _TRANSFERS | {_T.DEPOSIT, _T.WITHDRAWAL}
# The direction in which each type moves cash, and units. A transfer moves the one or the other.
_CASH = {
    _T.DEPOSIT: 1,
    _T.WITHDRAWAL: -1,
    _T.BUY: -1,
    _T.SELL: 1,
    _T.DIVIDEND: 1,
    _T.INTEREST: 1,
    _T.FEE: -1,
    _T.TAX: -1,
    _T.TRANSFER_IN: 1,
    _T.TRANSFER_OUT: -1,
}
_UNITS = {_T.BUY: 1, _T.SELL: -1, _T.TRANSFER_IN: 1, _T.TRANSFER_OUT: -1}
_GONE = {_T.SELL: "sold", _T.TRANSFER_OUT: "transferred"}


class LedgerError(ValueError):
    """The transactions or prices cannot be made into a history; the message says which and why."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One transaction, as far as it changes cash or units.

    Attributes
    ----------
    type : TransactionType
    day : int
        Trade date, as days since 1970-01-01.
    amount : Decimal or None
        What it moved in cash, costs included; the type tells the direction. A negative dividend, interest, fee or tax
        corrects an earlier one. For a transfer of a security the value it is taken at, None for the market's.
    quantity : Decimal or None
        Units of the security; for a split the new units for each old one.
    security_id : str or None
    internal : bool
        One leg of a transfer between two portfolios of the account whose ledger this is.
    transaction_id : str
        For messages.
    portfolio_id : str
        Whose book it stands in. In the ledger of an account it keeps the portfolios' units apart, because each books a
        split of its own.
    """

    type: TransactionType
    day: int
    amount: Decimal | None
    quantity: Decimal | None
    security_id: str | None
    internal: bool = False
    transaction_id: str = ""
    portfolio_id: str = ""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What there is at the close of a day.

    Attributes
    ----------
    day : int
        Days since 1970-01-01.
    cash : Decimal
        Below 0 on margin.
    quantities : dict of str to Decimal
        Units by security, in the order of their ids; those of which nothing is held are left out.
    """

    day: int
    cash: Decimal
    quantities: dict[str, Decimal]


@dataclass(slots=True)
class Steps:
    """A number that changes on some days and stays the same in between."""

    before: float = 0.0
    days: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def change(self, day: int, value: Decimal | float) -> None:
        """Let it be `value` from `day` on; `day` is later than all before."""
        self.days.append(day)
        self.values.append(float(value))

    def on(self, days: DayArray) -> FloatArray:
        """Return what it is at the close of each of `days`."""
        changes = np.asarray(self.days, dtype=np.int64)
        steps: FloatArray = np.array([self.before, *self.values])
        return steps[np.searchsorted(changes, days, side="right")]


@dataclass(slots=True)
class Book:
    """Cash and units as the entries change them, and what the valuation needs of every day."""

    cash: Decimal = _ZERO
    cash_in_transit: Decimal = _ZERO
    positions: defaultdict[str, defaultdict[str | None, Decimal]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Decimal))
    )
    """Units by security and portfolio; those of None are on their way from one portfolio to another."""
    cash_steps: Steps = field(default_factory=Steps)
    units: defaultdict[str, Steps] = field(default_factory=lambda: defaultdict(Steps))
    """Of all portfolios together, for each security that was ever bought, sold or transferred from or to elsewhere."""
    splits: defaultdict[str, Steps] = field(default_factory=lambda: defaultdict(lambda: Steps(1.0)))
    """The product of the splits so far."""
    flows: defaultdict[tuple[int, bool], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """By day and whether it went out. Both are kept: `inflow_start_outflow_end` tells them apart."""
    deliveries: defaultdict[str, list[tuple[int, Decimal]]] = field(default_factory=lambda: defaultdict(list))
    """Units transferred from or to elsewhere at the closing price of a day."""

    @classmethod
    def of(cls, entries: Iterable[LedgerEntry]) -> "Book":
        """Enter `entries`, day after day; a `LedgerError` where more is sold or transferred than there is."""
        book, faults = cls(), dict[str, str]()
        by_day = attrgetter("day")
        with localcontext(_EXACT):
            for day, group in groupby(sorted(entries, key=by_day), key=by_day):
                today = list(group)
                changed = book._split(day, [entry for entry in today if entry.type is _T.SPLIT])
                for entry in today:
                    if entry.type is not _T.SPLIT and (security_id := book._enter(entry)) is not None:
                        changed.add(security_id)
                book.cash_steps.change(day, book.cash)
                for security_id in changed:
                    held = sum(book.positions[security_id].values(), _ZERO)
                    book.units[security_id].change(day, held)
                    if held < 0:
                        faults.setdefault(security_id, _shortfall(security_id, day, today, held))
        raise_any([faults[each] for each in sorted(faults)])
        return book

    def holdings(self, day: int) -> Holdings:
        """Return what there is after the last entry, as that of `day`."""
        with localcontext(_EXACT):
            totals = {each: sum(self.positions[each].values(), _ZERO) for each in sorted(self.positions)}
        return Holdings(day, self.cash, {each: held for each, held in totals.items() if held})

    def in_transit(self) -> bool:
        """Tell whether what left one portfolio of the account has not arrived in another, or the other way round."""
        return bool(self.cash_in_transit) or any(position[None] for position in self.positions.values())

    def _split(self, day: int, splits: Iterable[LedgerEntry]) -> set[str]:
        """Multiply what was held the day before; return the securities of which there are other units now."""
        ratios: defaultdict[str, dict[str, Decimal]] = defaultdict(dict)
        for entry in splits:
            of_security = ratios[_security(entry)]
            ratio = _number(entry, "quantity")
            if ratio <= 0:
                raise LedgerError(f"{_name(entry)} of {day_date(day)}: the quantity must be positive")
            of_security[entry.portfolio_id] = of_security.get(entry.portfolio_id, Decimal(1)) * ratio
        changed = set[str]()
        for security_id, by_portfolio in ratios.items():
            if len(set(by_portfolio.values())) > 1:
                told = ", ".join(f"{by_portfolio[each]:f} in {each}" for each in sorted(by_portfolio))
                raise LedgerError(f"{security_id} has different splits on {day_date(day)}: {told}")
            ratio = next(iter(by_portfolio.values()))
            steps = self.splits[security_id]
            steps.change(day, (steps.values or [steps.before])[-1] * float(ratio))
            for portfolio_id in (None, *by_portfolio):
                self.positions[security_id][portfolio_id] *= ratio
            # Units under way that two books split a day apart are the account's, though it never bought any.
            if security_id in self.units or sum(self.positions[security_id].values(), _ZERO):
                changed.add(security_id)
        return changed

    def _enter(self, entry: LedgerEntry) -> str | None:
        """Move cash and units; return the security of which the account has other units now."""
        delivery = entry.type in _TRANSFERS and entry.security_id is not None
        cash = _ZERO if delivery else _CASH[entry.type] * _number(entry, "amount")
        units, security_id = _ZERO, None
        if delivery or entry.type in {_T.BUY, _T.SELL}:
            security_id = _security(entry)
            units = _UNITS[entry.type] * _number(entry, "quantity")
            self.positions[security_id][entry.portfolio_id] += units
        if entry.internal:
            if entry.type not in _TRANSFERS:
                raise LedgerError(f"{_name(entry)} of {day_date(entry.day)}: only a transfer can be internal")
            self.cash_in_transit -= cash
            if security_id is not None:
                self.positions[security_id][None] -= units
            return None
        self.cash += cash
        if delivery and security_id is not None and entry.amount is None:
            self.deliveries[security_id].append((entry.day, units))
        elif entry.type in _EXTERNAL:
            flow = _CASH[entry.type] * _number(entry, "amount")
            self.flows[entry.day, flow < 0] += flow
        return security_id


def _number(entry: LedgerEntry, name: Literal["amount", "quantity"]) -> Decimal:
    value: Decimal | None = getattr(entry, name)
    if value is None or not value.is_finite():
        raise LedgerError(f"{_name(entry)} of {day_date(entry.day)} has no {name}")
    return value


def _security(entry: LedgerEntry) -> str:
    if entry.security_id is None:
        raise LedgerError(f"{_name(entry)} of {day_date(entry.day)} has no security")
    return entry.security_id


def _name(entry: LedgerEntry) -> str:
    return f"{entry.type} {entry.transaction_id}".rstrip()


def _shortfall(security_id: str, day: int, entries: Iterable[LedgerEntry], held: Decimal) -> str:
    """Tell which entries of `day` left less than nothing; a split counts, because it changed what there was to sell."""
    own = [entry for entry in entries if entry.security_id == security_id and not entry.internal]
    out = [entry for entry in own if entry.type in _GONE]
    gone = sum((_number(entry, "quantity") for entry in out), _ZERO)
    names = " and ".join(sorted(_name(entry) for entry in own if entry.type in _GONE or entry.type is _T.SPLIT))
    how = " and ".join(sorted({_GONE[entry.type] for entry in out})) or "sold"
    return f"{names} of {day_date(day)}: {gone:f} {security_id} {how}, {held + gone:f} held"


def without_rounding(sums: FloatArray, gross: FloatArray) -> FloatArray:
    """Return `sums`, 0 where all that is left of amounts of `gross` size in total is what float64 rounds.

    Nothing must be exactly nothing: a return on 1e-17 has no meaning.
    """
    return np.where(np.abs(sums) < _ROUNDING * gross, 0.0, sums)


def raise_any(faults: Sequence[str]) -> None:
    """Raise a `LedgerError` that tells the first of `faults`, if there are any."""
    if faults:
        more = len(faults) - _FAULTS_TOLD
        rest = [f"and {more} more securities"] if more > 0 else []
        raise LedgerError("; ".join([*faults[:_FAULTS_TOLD], *rest]))
