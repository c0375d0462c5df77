"""The history of a portfolio from its transactions: cash and units day by day, and what they were worth.

Transactions count on their trade date, and an external flow is capital, money or securities, that enters or leaves the
portfolio: so the GIPS standards define both, and Bacon, *Practical Portfolio Performance Measurement and Attribution*
(2nd ed., ch. 2), whose returns are made from such a history. Income, costs and taxes are performance.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.calculations.bookkeeping import Book, Holdings, LedgerEntry, LedgerError, Steps, raise_any, without_rounding
from common.calculations.types import DayArray, FloatArray, Flows, PriceHistory, Valuations
from common.calculations.words import Caution, day_date

# Quoted on this day: never. It lies before every date there is.
_NEVER = -(10**9)
# No market is closed for longer.
_IDLE_DAYS = 7


@dataclass(frozen=True, slots=True)
class ClosingPrice:
    """What one unit of a security is taken at.

    Attributes
    ----------
    price : float
        Divided by the ledger's splits since `day`: a price of the units that there are now.
    day : int
        Of the quotation, as days since 1970-01-01.
    """

    price: float
    day: int


@dataclass(frozen=True, slots=True)
class LedgerHistory:
    """What transactions and prices make of a portfolio.

    Attributes
    ----------
    valuations : Valuations
        At the close, the flows of the day included: for every `FlowTiming` but `after_close`.
    flows : Flows
        For each day what came in, and what went out.
    holdings : Holdings
        At the end.
    closes : dict of str to ClosingPrice
        At the end, of each security that is held then: cash and quantities times these make the last valuation.
    warnings : tuple of Caution
    """

    valuations: Valuations
    flows: Flows
    holdings: Holdings
    closes: dict[str, ClosingPrice]
    warnings: tuple[Caution, ...]


def value_ledger(
    entries: Sequence[LedgerEntry],
    prices: Mapping[str, PriceHistory],
    *,
    until: int | None = None,
    max_price_age_days: int,
) -> LedgerHistory:
    """Return the daily worth and the external flows of what `entries` made of an empty portfolio.

    =============  ==================  ==========  =============
    type           cash                units       external flow
    =============  ==================  ==========  =============
    deposit        + amount                        + amount
    withdrawal     - amount                        - amount
    buy            - amount            + quantity
    sell           + amount            - quantity
    dividend       + amount
    interest       + amount
    fee, tax       - amount
    split                              x quantity
    transfer_in    + amount                        + amount
    transfer_out   - amount                        - amount
    transfer_in    (of a security)     + quantity  + its value
    transfer_out   (of a security)     - quantity  - its value
    =============  ==================  ==========  =============

    A split multiplies the units held at the end of the day before; several of a day multiply each other. The value of
    a transferred security is the `amount`, or the units at the day's closing price. An internal transfer changes
    nothing: what has left one portfolio of the account and not arrived in the other is still the account's, and takes
    part in a split that either of them books.

    Cash and units are exact, so that an emptied portfolio is worth exactly 0; float64 comes in where units meet
    prices.

    Parameters
    ----------
    entries
        In any order, within a day too.
    prices
        By security, in the ledger's currency, as they were traded: not adjusted for splits or dividends.
    until
        Last day, as days since 1970-01-01; later entries and prices are not looked at. None: the last day there is.
    max_price_age_days
        A security without a price on a day is valued at its last one, divided by the splits since then, where that is
        at most so many days old. 0 allows the day's own price only.

    Returns
    -------
    LedgerHistory
        A valuation of 0 on the day before the first entry, so that the first day's performance counts. From then on
        one for every day with an entry, or with a price of a security that was bought, sold or transferred by then;
        also while nothing is held, as zeros, which the returns leave out as `empty_account`. Where there is money and
        nothing else, and over a week has passed without either, one for each weekday, up to `until`. What comes
        after a day changes nothing up to it. With `transfer_in_transit` where the internal transfers do not cancel.

    Raises
    ------
    LedgerError
        There is no entry; an entry lacks what its type needs; more units are sold or transferred than held at the end
        of a day; a security that is held, on a valuation day or on `until`, has no price that is recent enough; two
        portfolios book different splits of one security on one day; a value is larger than float64 holds.
    """
    if not entries:
        raise LedgerError("there are no transactions")
    first = min(entry.day for entry in entries)
    if until is not None and until < first:
        raise LedgerError(f"the first transaction is of {day_date(first)}, after {day_date(until)}")
    book = Book.of(entries if until is None else _until(entries, until))
    securities = sorted(book.units)
    quotes = {security_id: prices.get(security_id, PriceHistory.none()) for security_id in securities}
    known = [(book.units[security_id].days[0], quotes[security_id]) for security_id in securities]
    days = _valuation_days(book.cash_steps.days, known, until)
    days = _with_idle_days(days, book, until)
    # What is held on `until` must have a price then, though it adds no valuation.
    checked = days if until is None or until == days[-1] else np.append(days, until)

    worth = book.cash_steps.on(checked)
    gross = np.abs(worth)
    moved = {key: [float(amount)] for key, amount in book.flows.items()}
    faults = []
    closes = {}
    for security_id in securities:
        units = book.units[security_id].on(checked)
        needed = units != 0.0
        deliveries = book.deliveries.get(security_id, ())
        delivered_at = np.searchsorted(checked, [day for day, _ in deliveries])
        needed[delivered_at] = True
        close, quoted = _closing_prices(quotes[security_id], book.splits.get(security_id), checked)
        outdated = np.flatnonzero(needed & ((quoted == _NEVER) | (checked - quoted > max_price_age_days)))
        if outdated.size:
            at = outdated[0]
            faults.append(_price_fault(security_id, int(checked[at]), int(quoted[at]), max_price_age_days))
        if units[-1] != 0.0:
            closes[security_id] = ClosingPrice(float(close[-1]), int(quoted[-1]))
        with np.errstate(over="ignore", invalid="ignore"):
            position = np.where(units != 0.0, units * close, 0.0)
            worth += position
            gross += np.abs(position)
        for (day, quantity), price in zip(deliveries, close[delivered_at].tolist(), strict=True):
            moved.setdefault((day, quantity < 0), []).append(float(quantity) * price)
    raise_any(faults)

    try:
        # An exact sum, rounded once: the order of a day's entries does not matter.
        flows = [(day, math.fsum(moved[day, outward])) for day, outward in sorted(moved)]
        flows = [(day, amount) for day, amount in flows if amount != 0.0]
        return LedgerHistory(
            Valuations.from_arrays(days, without_rounding(worth, gross)[: days.size]),
            Flows.from_arrays([day for day, _ in flows], [amount for _, amount in flows]),
            book.holdings(int(checked[-1])),
            closes,
            (Caution.TRANSFER_IN_TRANSIT,) if book.in_transit() else (),
        )
    except (OverflowError, ValueError) as fault:
        raise LedgerError(f"quantities and prices multiply to what is no finite number: {fault}") from fault


def holdings_on(entries: Sequence[LedgerEntry], day: int) -> Holdings:
    """Return what `entries` leave at the close of `day`; nothing where all of them are later.

    Raises
    ------
    LedgerError
        As `value_ledger`, prices apart.
    """
    return Book.of(_until(entries, day)).holdings(day)


def _until(entries: Iterable[LedgerEntry], last: int) -> list[LedgerEntry]:
    return [entry for entry in entries if entry.day <= last]


def _valuation_days(
    entry_days: Sequence[int], quotes: Iterable[tuple[int, PriceHistory]], until: int | None
) -> DayArray:
    """Return the day before the first entry, from then on those with an entry, and those with a price.

    A security's prices count from the day that stands before them, that of its first entry: a later purchase must not
    add days to the past.
    """
    before = entry_days[0] - 1
    days = [np.asarray(entry_days, dtype=np.int64)]
    for entered, history in quotes:
        last = None if until is None else np.searchsorted(history.days, until, side="right")
        days.append(history.days[np.searchsorted(history.days, entered) : last])
    offsets = np.concatenate(days) - before
    marked = np.zeros(int(offsets.max()) + 1, dtype=np.bool_)
    marked[0] = True
    marked[offsets] = True
    return np.flatnonzero(marked) + before


def _with_idle_days(days: DayArray, book: Book, until: int | None) -> DayArray:
    """Return `days` and the weekdays on which money lay idle and no price tells the time."""
    ends = np.append(days[1:], days[-1] if until is None else until)
    idle = (ends - days > _IDLE_DAYS) & (book.cash_steps.on(days) != 0.0)
    for units in book.units.values():
        idle &= units.on(days) == 0.0
    found = [days]
    for at in np.flatnonzero(idle):
        # Only after a week of silence: what comes later must not add days before it.
        between = np.arange(days[at] + _IDLE_DAYS + 1, ends[at] + 1)
        found.append(between[np.is_busday(between.astype("datetime64[D]"))])
    return np.unique(np.concatenate(found))


def _closing_prices(history: PriceHistory, splits: Steps | None, days: DayArray) -> tuple[FloatArray, DayArray]:
    """Return the last price on or before each of `days` in units of that day, and the day it is of."""
    at = np.searchsorted(history.days, days, side="right")
    quoted = np.concatenate(([_NEVER], history.days))[at]
    close = np.concatenate(([0.0], history.prices))[at]
    if splits is not None:
        # A price from before a split is one of the old units.
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            close = close / (splits.on(days) / splits.on(quoted))
    return close, quoted


def _price_fault(security_id: str, day: int, quoted: int, max_age: int) -> str:
    if quoted == _NEVER:
        return f"no price of {security_id} on or before {day_date(day)}, which is held then"
    return (
        f"the last price of {security_id} before {day_date(day)} is of {day_date(quoted)}, "
        f"{day - quoted} days old; at most {max_age} are allowed"
    )
