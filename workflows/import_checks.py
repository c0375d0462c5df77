"""What an import leaves in the books that no run can calculate: a benchmark that is not there, several currencies.

It is judged by the books as they will be, the files and what is there already together: the files may be in any order.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import NamedTuple

from common.access import Scope
from common.models.books import BookEntityType, Entity, EntityKey, StoredEntity
from common.models.records import ENTITIES, RecordKind, load_entity
from common.stores.ports import Books
from workflows.spool import Spool

_ENTITIES_CHECKED_AT_ONCE = 1_000
_ENTITIES_KEPT = 100_000
_KINDS = {entity_type: kind for kind, entity_type in ENTITIES.items()}


class Obstacle(NamedTuple):
    """What keeps a portfolio or an account from being calculated."""

    entity: EntityKey
    message: str

    def __str__(self) -> str:
        return f"{self.entity.entity_type} {self.entity.entity_id} cannot be calculated: {self.message}"


def obstacles(spool: Spool, books: Books) -> Iterator[Obstacle]:
    """Yield what keeps the accounts and portfolios that an import touches from being calculated once it is done.

    Parameters
    ----------
    spool
        Everything that is about to be written.
    books
        As they were before.
    """
    checks = _Checks(spool, books)
    for kinds in ((RecordKind.ACCOUNTS,), (RecordKind.PORTFOLIOS, RecordKind.TRANSACTIONS)):
        ids = iter(spool.entities(*kinds))
        while chunk := list(islice(ids, _ENTITIES_CHECKED_AT_ONCE)):
            yield from checks.of(kinds[0], chunk)


class _Checks:
    """Looks at entities as they will be."""

    def __init__(self, spool: Spool, books: Books) -> None:
        self._spool, self._books = spool, books
        self._known: dict[EntityKey, Entity | None] = {}
        self._with_levels: dict[str, bool] = {}

    def of(self, kind: RecordKind, ids: list[str]) -> Iterator[Obstacle]:
        """Yield the obstacles of entities of one kind, given in the order of their ids."""
        keys = [EntityKey(ENTITIES[kind], each) for each in ids]
        stored = self._books.entities(keys)
        rows = self._spool.contents(kind, ids[0], ids[-1])
        traded: Mapping[str, Set[str]] = {}
        if kind is RecordKind.PORTFOLIOS:
            traded = self._spool.traded(ids[0], ids[-1])
        found = {key: entity for key in keys if (entity := _merged(key, rows, stored.get(key)))}
        self._look_up(
            named
            for key, entity in found.items()
            for named in _named(entity, _securities(stored.get(key), traded.get(key.entity_id, frozenset())))
        )
        for key, entity in found.items():
            if message := self._benchmark(entity):
                yield Obstacle(key, message)
            if kind is RecordKind.PORTFOLIOS:
                own = traded.get(key.entity_id, frozenset())
                yield from self._currencies(entity, _securities(stored.get(key), own), own)

    def _look_up(self, keys: Iterable[EntityKey]) -> None:
        if len(self._known) > _ENTITIES_KEPT:
            self._known.clear()
        unknown = [key for key in dict.fromkeys(keys) if key not in self._known]
        stored = self._books.entities(unknown) if unknown else {}
        for key in unknown:
            row = self._spool.contents(_KINDS[key.entity_type], key.entity_id, key.entity_id)
            self._known[key] = _merged(key, row, stored.get(key))

    def _benchmark(self, entity: Entity) -> str | None:
        name = entity.benchmark_id
        if name is None:
            return None
        key = EntityKey(BookEntityType.BENCHMARK, name)
        benchmark = self._known[key]
        there = Scope(entity.client_id).sees(benchmark) if benchmark else self._spool.owner(key) is not None
        if not there:
            return f"its benchmark {name!r} is neither in the books nor in these files"
        if name not in self._with_levels:
            self._with_levels[name] = self._spool.has(RecordKind.LEVELS, name) or self._books.levels(name).days.size > 0
        return None if self._with_levels[name] else f"its benchmark {name!r} has no levels"

    def _currencies(self, portfolio: Entity, securities: Set[str], own: Set[str]) -> Iterator[Obstacle]:
        """Yield what is not of the portfolio's currency: `securities` of all times, or only those of these files."""
        account = self._known[EntityKey(BookEntityType.ACCOUNT, portfolio.account_id)] if portfolio.account_id else None
        if account and portfolio.currency and account.currency not in {None, portfolio.currency}:
            told = f"it is in {account.currency}, its portfolio {portfolio.entity_id!r} in {portfolio.currency}"
            yield Obstacle(account.key, f"{told}; amounts are not converted")
        if self._foreign(portfolio, securities) is None or self._spool.has(RecordKind.VALUATIONS, portfolio.entity_id):
            return
        # The books know every security it ever had a transaction in, with those of transactions that were replaced.
        book = self._books.portfolio_book(portfolio.entity_id)
        held = own | {each.security_id for each in book.transactions if each.security_id}
        foreign = self._foreign(portfolio, securities & held)
        if foreign and book.valuations is None:
            one, other = foreign
            what = "it is" if one.key == portfolio.key else f"its security {one.entity_id!r} is"
            told = f"{what} in {one.currency}, its security {other.entity_id!r} in {other.currency}"
            yield Obstacle(portfolio.key, f"{told}; amounts are not converted")

    def _foreign(self, portfolio: Entity, securities: Set[str]) -> tuple[Entity, Entity] | None:
        """Return two of a portfolio and its securities that are in different currencies."""
        scope = Scope(portfolio.client_id)
        found = (self._known[EntityKey(BookEntityType.SECURITY, each)] for each in sorted(securities))
        known = [each for each in (portfolio, *found) if each and each.currency and scope.sees(each)]
        return next(((known[0], each) for each in known if each.currency != known[0].currency), None)


def _merged(key: EntityKey, rows: Mapping[str, str], stored: StoredEntity | None) -> Entity | None:
    """Return an entity as it will be; None where nothing describes it."""
    if row := rows.get(key.entity_id):
        return load_entity(_KINDS[key.entity_type], key.entity_id, row, stored)
    return stored.entity if stored else None


def _securities(stored: StoredEntity | None, traded: Set[str]) -> Set[str]:
    return traded | (stored.security_ids if stored else frozenset())


def _named(entity: Entity, securities: Set[str]) -> Iterator[EntityKey]:
    if entity.benchmark_id:
        yield EntityKey(BookEntityType.BENCHMARK, entity.benchmark_id)
    if entity.entity_type is BookEntityType.PORTFOLIO and entity.account_id:
        yield EntityKey(BookEntityType.ACCOUNT, entity.account_id)
    for each in securities:
        yield EntityKey(BookEntityType.SECURITY, each)
