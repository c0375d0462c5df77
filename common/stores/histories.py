"""An entity's history out of the books: its valuations and flows, and what they depend on."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from common.access import Scope
from common.cache import CalculationCache
from common.calculations.aggregation import exclude_flows, include_flows, security_history, sum_histories
from common.calculations.bookkeeping import LedgerError
from common.calculations.ledger import LedgerHistory, value_ledger
from common.calculations.types import Flows, PriceHistory, Valuations
from common.calculations.words import Caution, FlowTiming, day_date, day_number
from common.errors import InputNotFoundError, InvalidPortfolioError
from common.models.books import BookEntityType, EntityKey, StoredEntity
from common.stores.portfolio_books import beginning, begun_by, known_by, ledger_entry, valued_history
from common.stores.ports import Books, PortfolioBook

READERS = 8
# Prices of a security at a revision: some 250 kB for ten years of days.
PRICES_KEPT = 256
# Levels of a benchmark at a revision: some 40 kB.
LEVELS_KEPT = 32
KEPT_SECONDS = 3600.0

PriceCache = CalculationCache[tuple[str, str], PriceHistory]
LevelCache = CalculationCache[tuple[str, str], Valuations]

Item = TypeVar("Item")
Found = TypeVar("Found")


class EntityHistory(NamedTuple):
    """What an entity was worth and what went in and out.

    Attributes
    ----------
    flow_timing
        What the valuations hold on the day of a flow.
    warnings
        What is doubtful about it.
    """

    valuations: Valuations
    flows: Flows
    flow_timing: FlowTiming
    warnings: tuple[Caution, ...] = ()


class Dependencies(NamedTuple):
    """Everything in the books that an entity's history is made of, at the revisions it has now.

    Attributes
    ----------
    entity
        The entity itself.
    portfolios
        An account's portfolios, by id; a portfolio is its own.
    securities
        The securities that any of them was ever traded in.
    benchmark
        What it is compared with, where the books have it.
    """

    entity: StoredEntity
    portfolios: tuple[StoredEntity, ...] = ()
    securities: tuple[StoredEntity, ...] = ()
    benchmark: StoredEntity | None = None

    def revisions(self) -> list[Any]:
        """Return what changes whenever any of it does, as JSON."""
        found = [self.entity, *self.portfolios, *self.securities]
        if self.benchmark:
            found.append(self.benchmark)
        return [[*each.entity.key, each.revision] for each in found]


class Position(NamedTuple):
    """Units of one security, at its last price; one from before a split is divided by it."""

    security_id: str
    quantity: Decimal
    price: float
    price_date: date
    value: float


class Positions(NamedTuple):
    """What is held at the close of a day.

    Attributes
    ----------
    as_of : date
    cash : Decimal
    positions : tuple of Position
    value : float
        Cash and positions together.
    """

    as_of: date
    cash: Decimal
    positions: tuple[Position, ...]
    value: float


class BookReader:
    """Reads histories out of the books.

    Parameters
    ----------
    books
        The books.
    prices, levels
        Keep prices by security, and levels by benchmark, and revision: most portfolios hold the same securities and
        are compared with the same benchmark.
    """

    def __init__(self, books: Books, prices: PriceCache | None = None, levels: LevelCache | None = None) -> None:
        self._books = books
        self._prices = prices or CalculationCache(KEPT_SECONDS, max_entries=PRICES_KEPT)
        self._levels = levels or CalculationCache(KEPT_SECONDS, max_entries=LEVELS_KEPT)

    def dependencies(self, key: EntityKey, benchmark_id: str | None = None, *, compare: bool = True) -> Dependencies:
        """Return an entity with everything its history is made of.

        Parameters
        ----------
        key
            Its key.
        benchmark_id
            Stands in for its own benchmark.
        compare
            Whether a benchmark of the books is wanted at all.

        Raises
        ------
        InputNotFoundError
            The entity or the benchmark is not in the books.
        """
        entity = self._books.entities([key]).get(key)
        if entity is None:
            raise InputNotFoundError(f"there is no {key.entity_type} {key.entity_id} in the books")
        portfolios: tuple[StoredEntity, ...] = ()
        if key.entity_type is BookEntityType.PORTFOLIO:
            portfolios = (entity,)
        elif key.entity_type is BookEntityType.ACCOUNT:
            portfolios = tuple(self._portfolios_of(entity))
        wanted = [
            EntityKey(BookEntityType.SECURITY, each)
            for each in sorted({security for portfolio in portfolios for security in portfolio.security_ids})
        ]
        benchmark_id = (benchmark_id or entity.entity.benchmark_id) if compare else None
        benchmark_key = EntityKey(BookEntityType.BENCHMARK, benchmark_id) if benchmark_id else None
        scope = Scope(entity.entity.client_id)
        stored = self._books.entities([*wanted, *([benchmark_key] if benchmark_key else ())])
        # A security or benchmark of another client is not there: a book may name it, and must not learn its prices.
        found = {name: each for name, each in stored.items() if scope.sees(each.entity)}
        if benchmark_key and benchmark_key not in found:
            raise InputNotFoundError(f"there is no benchmark {benchmark_id} in the books")
        return Dependencies(
            entity,
            portfolios,
            tuple(found[each] for each in wanted if each in found),
            found[benchmark_key] if benchmark_key else None,
        )

    def history(
        self,
        of: Dependencies,
        *,
        until: date | None,
        max_price_age_days: int,
        flow_timing: FlowTiming | None = None,
    ) -> EntityHistory:
        """Return what an entity was worth and what went in and out, up to `until`.

        Parameters
        ----------
        of
            The entity, from `dependencies`.
        until
            The last day; the last there is when None.
        max_price_age_days
            How long a missing price is carried forward.
        flow_timing
            The convention asked for; what the books say of the valuations when None.

        Raises
        ------
        InvalidPortfolioError
            The books cannot be made into a history; the message says why.
        """
        last = None if until is None else day_number(until)
        try:
            match of.entity.entity.entity_type:
                case BookEntityType.SECURITY:
                    security_id = of.entity.entity.entity_id
                    prices = _until(self._prices_of([of.entity])[security_id], last)
                    return EntityHistory(*security_history(prices), FlowTiming.END_OF_DAY)
                case BookEntityType.ACCOUNT:
                    return self._account(of, last, max_price_age_days, flow_timing)
                case _:
                    return self._portfolio(of, last, max_price_age_days, flow_timing)
        except LedgerError as error:
            raise InvalidPortfolioError(str(error)) from None

    def holdings(self, of: Dependencies, *, as_of: date | None, max_price_age_days: int) -> Positions:
        """Return what a portfolio or an account holds by its transactions, and what that is worth.

        Raises
        ------
        InvalidPortfolioError
            The transactions cannot be valued; the message says why.
        """
        last = None if as_of is None else day_number(as_of)
        books = {each.entity.entity_id: self._books.portfolio_book(each.entity.entity_id) for each in of.portfolios}
        for name, book in books.items():
            if book.valuations is not None:
                raise InvalidPortfolioError(
                    f"{name} is valued by valuations: its transactions do not say what it holds"
                )
        _refuse_several_currencies(of, begun_by(books, last), last)
        try:
            found = self._value(of, books, last, max_price_age_days)
        except LedgerError as error:
            raise InvalidPortfolioError(str(error)) from None
        held = found.holdings
        positions = []
        for security_id, quantity in sorted(held.quantities.items()):
            close = found.closes[security_id]
            positions.append(
                Position(security_id, quantity, close.price, day_date(close.day), float(quantity) * close.price)
            )
        return Positions(day_date(held.day), held.cash, tuple(positions), float(found.valuations.values[-1]))

    def benchmark(self, of: Dependencies) -> Valuations | None:
        """Return the levels of the benchmark."""
        if of.benchmark is None:
            return None
        name = of.benchmark.entity.entity_id
        levels = self._levels.get_or_compute((name, of.benchmark.revision), lambda: self._books.levels(name))
        if not levels.days.size:
            raise InvalidPortfolioError(f"the benchmark {name} has no levels")
        return levels

    def _portfolios_of(self, account: StoredEntity) -> Iterator[StoredEntity]:
        """Yield an account's portfolios as they are now: the index that lists them may be a moment late."""
        keys = [each.key for each in self._books.portfolios_of_account(account.entity.entity_id)]
        found = self._books.entities(keys)
        for key in keys:
            stored = found.get(key)
            if stored and stored.entity.account_id == account.entity.entity_id:
                if stored.entity.client_id != account.entity.client_id:
                    raise InvalidPortfolioError(f"portfolio {key.entity_id} is not of the account's client")
                yield stored

    def _portfolio(
        self, of: Dependencies, last: int | None, max_price_age_days: int, asked: FlowTiming | None
    ) -> EntityHistory:
        entity = of.entity.entity
        book = self._books.portfolio_book(entity.entity_id)
        if book.valuations is not None:
            valuations, flows = valued_history(book.valuations, book.transactions, last)
            return _history(valuations, flows, asked or entity.flow_timing or FlowTiming.AFTER_CLOSE, last)
        _refuse_several_currencies(of, {entity.entity_id: book}, last)
        found = self._value(of, {entity.entity_id: book}, last, max_price_age_days)
        return _in_timing(found.valuations, found.flows, asked or FlowTiming.END_OF_DAY, last, found.warnings)

    def _account(
        self, of: Dependencies, last: int | None, max_price_age_days: int, asked: FlowTiming | None
    ) -> EntityHistory:
        """Return the sum of an account's portfolios: the valued ones, and one ledger of all the others."""
        if not of.portfolios:
            raise InvalidPortfolioError(f"the account {of.entity.entity.entity_id} has no portfolios")
        ids = [each.entity.entity_id for each in of.portfolios]
        books = dict(zip(ids, _at_once(self._books.portfolio_book, ids), strict=True))
        begun = begun_by(books, last)
        if not begun:
            raise InvalidPortfolioError(beginning(books, last))
        _refuse_several_currencies(of, begun, last)
        histories = []
        timings = set[FlowTiming]()
        warnings = set[Caution]()
        for portfolio in of.portfolios:
            book = begun.get(portfolio.entity.entity_id)
            if book is None or book.valuations is None:
                continue
            valuations, flows = valued_history(book.valuations, book.transactions, last)
            timing = portfolio.entity.flow_timing or FlowTiming.AFTER_CLOSE
            timings.add(timing)
            if timing is FlowTiming.AFTER_CLOSE:
                valuations = include_flows(valuations, flows)
            histories.append((valuations, flows))
        # With those that begin later: what is on its way to them is the account's.
        by_ledger = {name: book for name, book in books.items() if book.valuations is None}
        if by_ledger.keys() & begun.keys():
            found = self._value(of, by_ledger, last, max_price_age_days)
            histories.append((found.valuations, found.flows))
            timings.add(FlowTiming.END_OF_DAY)
            warnings.update(found.warnings)
        account = sum_histories(histories)
        warnings.update(account.warnings)
        timing = asked or of.entity.entity.flow_timing or _shared(timings)
        return _in_timing(account.valuations, account.flows, timing, last, tuple(sorted(warnings)))

    def _value(
        self, of: Dependencies, books: Mapping[str, PortfolioBook], last: int | None, max_price_age_days: int
    ) -> LedgerHistory:
        """Return the history of one ledger made of all transactions of `books`, by portfolio.

        A transfer between two of them stays within the ledger. One to a portfolio with valuations of its own leaves
        it, and meets its opposite when the histories are summed.
        """
        entries = [ledger_entry(each, books.keys()) for book in books.values() for each in book.transactions]
        traded = {entry.security_id for entry in entries if entry.security_id}
        securities = [each for each in of.securities if each.entity.entity_id in traded]
        return value_ledger(entries, self._prices_of(securities), until=last, max_price_age_days=max_price_age_days)

    def _prices_of(self, securities: Sequence[StoredEntity]) -> Mapping[str, PriceHistory]:
        def read(security: StoredEntity) -> PriceHistory:
            name = security.entity.entity_id
            return self._prices.get_or_compute((name, security.revision), lambda: self._books.prices(name))

        return dict(zip((each.entity.entity_id for each in securities), _at_once(read, securities), strict=True))


def given_history(valuations: Valuations, flows: Flows, timing: FlowTiming, until: date | None) -> EntityHistory:
    """Return the history of a portfolio that comes with its data, up to `until`: as of the same data in the books.

    Parameters
    ----------
    valuations, flows
        All that were given; the flows are in the valuations as `timing` says.
    until
        The last day; the last there is when None.

    Raises
    ------
    InvalidPortfolioError
        The first valuation is later.
    """
    last = None if until is None else day_number(until)
    return _history(*known_by(valuations, flows, last), timing, last)


def _at_once(read: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    """Return what `read` makes of each item, several at a time; threads for a single one would only cost time."""
    if len(items) < 2:
        return list(map(read, items))
    with ThreadPoolExecutor(max_workers=READERS) as readers:
        return list(readers.map(read, items))


def _shared(timings: Set[FlowTiming]) -> FlowTiming:
    """Return what an account is calculated under when nobody says: its valuations hold the flows of their day."""
    if len(timings) == 1 and FlowTiming.AFTER_CLOSE not in timings:
        return next(iter(timings))
    return FlowTiming.END_OF_DAY


def _in_timing(
    valuations: Valuations, flows: Flows, timing: FlowTiming, last: int | None, warnings: tuple[Caution, ...]
) -> EntityHistory:
    """Return valuations that include their day's flows as those of `timing`.

    Without the flows in them, as `after_close` has it, they make the same returns as with them by the end of the day.
    """
    if timing is FlowTiming.AFTER_CLOSE:
        valuations = exclude_flows(valuations, flows)
    return _history(valuations, flows, timing, last, warnings)


def _history(
    valuations: Valuations, flows: Flows, timing: FlowTiming, last: int | None, warnings: tuple[Caution, ...] = ()
) -> EntityHistory:
    if timing is FlowTiming.AFTER_CLOSE and last is not None and flows.days.size:
        closing = valuations.days[-1]
        if flows.days[-1] >= closing:
            # After the close of the last day a flow is beyond the history, not a doubtful part of it.
            inside = flows.days != closing
            flows = Flows(flows.days[inside], flows.amounts[inside])
    return EntityHistory(valuations, flows, timing, warnings)


def _until(prices: PriceHistory, last: int | None) -> PriceHistory:
    if last is None:
        return prices
    kept = prices.days <= last
    return PriceHistory(prices.days[kept], prices.prices[kept], prices.dividends[kept], prices.splits[kept])


def _refuse_several_currencies(of: Dependencies, books: Mapping[str, PortfolioBook], last: int | None) -> None:
    """Refuse what does not have one currency: the entity, the portfolios of `books`, what they have traded by `last`.

    Those of which no currency is known are taken to have the others'.
    """
    until = date.max if last is None else day_date(last)
    traded = {
        each.security_id
        for book in books.values()
        if book.valuations is None
        for each in book.transactions
        if each.trade_date <= until
    }
    portfolios = [each for each in of.portfolios if each.entity.entity_id in books]
    securities = [each for each in of.securities if each.entity.entity_id in traded]
    known = [each.entity for each in (of.entity, *portfolios, *securities) if each.entity.currency]
    for other in known[1:]:
        if other.currency != known[0].currency:
            raise InvalidPortfolioError(
                f"{known[0].entity_type} {known[0].entity_id} is in {known[0].currency}, {other.entity_type} "
                f"{other.entity_id} in {other.currency}; amounts are not converted"
            )
