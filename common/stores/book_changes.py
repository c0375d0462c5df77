"""What transactions change in a portfolio's book: the same answer for every adapter."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from common.errors import StoreError
from common.models.books import Transaction
from common.stores.ports import TransactionReport


class Entry(NamedTuple):
    """A transaction to write, and the one it replaces."""

    new: Transaction
    old: Transaction | None


class Changes(NamedTuple):
    """What is to be written, and what is told about everything given."""

    entries: Sequence[Entry]
    report: TransactionReport

    @property
    def from_date(self) -> date:
        """The earliest date of what was entered and of what it replaces; of no entries there is none."""
        return min(each.trade_date for entry in self.entries for each in entry if each is not None)

    @property
    def security_ids(self) -> list[str]:
        """The securities that were entered, each once."""
        return sorted({entry.new.security_id for entry in self.entries if entry.new.security_id is not None})


def distinct(
    portfolio_id: str, transactions: Iterable[Transaction]
) -> tuple[Mapping[str, Transaction], TransactionReport]:
    """Return the first transaction of each id, and what became of the others.

    Raises
    ------
    StoreError
        One belongs to another portfolio.
    """
    first: dict[str, Transaction] = {}
    unchanged: list[str] = []
    conflicting: list[str] = []
    for each in transactions:
        if each.portfolio_id != portfolio_id:
            raise StoreError(f"transaction {each.transaction_id} is not one of portfolio {portfolio_id}")
        known = first.setdefault(each.transaction_id, each)
        if known is not each:
            (unchanged if known == each else conflicting).append(each.transaction_id)
    return first, TransactionReport(unchanged=unchanged, conflicting=conflicting)


def compare(given: Iterable[Transaction], known: Mapping[str, Transaction], *, replace: bool) -> Changes:
    """Return what `given`, all of distinct ids, changes in what is `known`."""
    entries: list[Entry] = []
    added: list[str] = []
    replaced: list[str] = []
    unchanged: list[str] = []
    conflicting: list[str] = []
    for new in given:
        old = known.get(new.transaction_id)
        if old == new:
            unchanged.append(new.transaction_id)
        elif old is not None and not replace:
            conflicting.append(new.transaction_id)
        else:
            entries.append(Entry(new, old))
            (added if old is None else replaced).append(new.transaction_id)
    return Changes(entries, TransactionReport(added, replaced, unchanged, conflicting))


def combine(reports: Sequence[TransactionReport]) -> TransactionReport:
    """Return reports as one that names an id once under each heading."""

    def joined(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each for ids in lists for each in ids))

    return TransactionReport(
        joined(each.added for each in reports),
        joined(each.replaced for each in reports),
        joined(each.unchanged for each in reports),
        joined(each.conflicting for each in reports),
    )
