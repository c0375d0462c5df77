"""What the book of a portfolio says: its lines for a ledger, its flows beside valuations, and when it begins."""

from collections.abc import Mapping, Sequence, Set

from common.calculations.bookkeeping import LedgerEntry
from common.calculations.types import Flows, Valuations
from common.calculations.words import TransactionType, day_date, day_number
from common.errors import InvalidPortfolioError
from common.models.books import Transaction
from common.stores.ports import PortfolioBook

_FLOWS = frozenset(
    {
        TransactionType.DEPOSIT,
        TransactionType.WITHDRAWAL,
        TransactionType.TRANSFER_IN,
        TransactionType.TRANSFER_OUT,
    }
)
_OUTWARD = frozenset({TransactionType.WITHDRAWAL, TransactionType.TRANSFER_OUT})


def ledger_entry(transaction: Transaction, own: Set[str]) -> LedgerEntry:
    """Return a line for a ledger that is made of the portfolios `own`."""
    return LedgerEntry(
        type=transaction.type,
        day=day_number(transaction.trade_date),
        amount=transaction.amount,
        quantity=transaction.quantity,
        security_id=transaction.security_id,
        internal=transaction.counterparty_id in own,
        transaction_id=transaction.transaction_id,
        portfolio_id=transaction.portfolio_id,
    )


def valued_history(
    valuations: Valuations, transactions: Sequence[Transaction], last: int | None
) -> tuple[Valuations, Flows]:
    """Return valuations as they were given, with the flows among the transactions."""
    days: list[int] = []
    amounts: list[float] = []
    for each in transactions:
        if each.type not in _FLOWS:
            continue
        if each.amount is None:
            raise InvalidPortfolioError(
                f"{each.type} {each.transaction_id} of {each.security_id} needs an amount: the portfolio is valued by "
                "valuations, not by prices"
            )
        days.append(day_number(each.trade_date))
        amounts.append(float(-each.amount if each.type in _OUTWARD else each.amount))
    return known_by(valuations, Flows.from_arrays(days, amounts), last)


def known_by(valuations: Valuations, flows: Flows, last: int | None) -> tuple[Valuations, Flows]:
    """Return the valuations and flows of the days up to `last`; all of them where it is None.

    Raises
    ------
    InvalidPortfolioError
        There is no valuation by then.
    """
    if last is None:
        return valuations, flows
    if valuations.days[-1] > last:
        known = int(valuations.days.searchsorted(last, side="right"))
        if not known:
            first = day_date(int(valuations.days[0]))
            raise InvalidPortfolioError(
                f"the first valuation, {first.isoformat()}, is later than as_of_date {day_date(last).isoformat()}"
            )
        valuations = Valuations(valuations.days[:known], valuations.values[:known])
    if flows.days.size and flows.days[-1] > last:
        known = int(flows.days.searchsorted(last, side="right"))
        flows = Flows(flows.days[:known], flows.amounts[:known])
    return valuations, flows


def begun_by(books: Mapping[str, PortfolioBook], last: int | None) -> dict[str, PortfolioBook]:
    """Return the books with a valuation by `last`, or a transaction where they were never given valuations."""
    begins = {name: begin for name, book in books.items() if (begin := _begin(book)) is not None}
    return {name: books[name] for name, begin in begins.items() if last is None or begin <= last}


def beginning(books: Mapping[str, PortfolioBook], last: int | None) -> str:
    """Tell why none of an account's books has begun."""
    begins = [begin for book in books.values() if (begin := _begin(book)) is not None]
    if last is None or not begins:
        return "no portfolio of the account has valuations or transactions"
    return (
        f"the account's first valuation or transaction, {day_date(min(begins))}, is later than "
        f"as_of_date {day_date(last)}"
    )


def _begin(book: PortfolioBook) -> int | None:
    if book.valuations is not None:
        return int(book.valuations.days[0])
    return day_number(book.transactions[0].trade_date) if book.transactions else None
