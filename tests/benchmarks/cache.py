"""What the cache saves and what it costs: CalculatePortfolio on unchanged books, with and without it."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from rich.table import Table

from common.access import Buckets
from common.cache import CalculationCache
from common.models.books import BookEntityType, Entity
from common.stores.dynamodb_books import ENTITY_TABLE, DynamoDBBooks
from common.stores.dynamodb_cache import CACHE_TABLE, DynamoDBResultCache
from common.stores.histories import BookReader
from common.stores.layered_cache import SharedCalculationCache
from common.stores.memory import InMemoryPayloadStore
from tasks import calculate_portfolio, validate_input
from tests.benchmarks import market
from tests.benchmarks.dynamodb import WRITE_PRICE, Consumed, local_client, make_table, metered
from tests.benchmarks.measure import Case, quiet

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PORTFOLIOS = 10
DAY_SECONDS = 24 * 3600

_BOOKS, _CACHE = "books", "cache"
_EXECUTION = {"name": "benchmark"}
_VALUED, _TRADED, _ACCOUNT = "valued", "traded-0", "account"

Outcome = dict[str, Any]


def cases() -> Iterator[Case | Table]:
    """Yield what is compared for a valued portfolio, a traded one and an account, and what each asks of DynamoDB."""
    with quiet(), local_client() as client:
        world = _World(client)
        costs = Table(
            *("Entity", "Path", "Calls", "Read units", "Write units", f"Cost, a write as {WRITE_PRICE} reads"),
            title="What CalculatePortfolio asks of DynamoDB",
        )
        for name, entity_type, entity_id in (
            ("valued portfolio", BookEntityType.PORTFOLIO, _VALUED),
            ("traded portfolio", BookEntityType.PORTFOLIO, _TRADED),
            (f"account of {PORTFOLIOS} traded", BookEntityType.ACCOUNT, _ACCOUNT),
        ):
            paths = _Paths(world, entity_type, entity_id)
            expected = paths.calculated()
            assert "cached" not in expected
            assert paths.missed()["result"]["periods"].keys() == expected["result"]["periods"].keys()
            assert paths.kept() == expected
            for read in (paths.shared, paths.memory):
                assert read() == expected | {"cached": True}
            assert paths.calculated_warm() == expected
            yield Case(
                f"{name}: from the shared cache",
                paths.shared,
                "calculated, nothing in memory",
                paths.calculated,
            )
            yield Case(
                f"{name}: from the function's memory",
                paths.memory,
                "calculated, prices and benchmark in memory",
                paths.calculated_warm,
            )
            yield Case(f"{name}: a miss", paths.missed, "calculated, no cache", paths.calculated)
            for path, consumed in paths.consumed():
                costs.add_row(
                    name,
                    path,
                    str(consumed.calls),
                    f"{consumed.read:g}",
                    f"{consumed.written:g}",
                    f"{consumed.cost:g}",
                )
            costs.add_section()
        yield costs


class _World:
    """The books, the cache, and the function between them."""

    def __init__(self, client: "DynamoDBClient") -> None:
        make_table(client, _BOOKS, ENTITY_TABLE)
        make_table(client, _CACHE, CACHE_TABLE)
        self.client = client
        self.books = DynamoDBBooks(client, _BOOKS)
        self.payloads = InMemoryPayloadStore()
        self._results = DynamoDBResultCache(client, _CACHE, DAY_SECONDS)
        market.keep_market(self.books)
        market.keep_valued(self.books, _VALUED, 0)
        self.books.put_entity(
            Entity(
                entity_type=BookEntityType.ACCOUNT,
                entity_id=_ACCOUNT,
                client_id=market.CLIENT,
                account_id=_ACCOUNT,
                benchmark_id=market.BENCHMARK,
            )
        )
        for number in range(PORTFOLIOS):
            market.keep_traded(self.books, f"traded-{number}", number, account_id=_ACCOUNT)
        # The index that lists them lags behind its table.
        while len(list(self.books.portfolios_of_account(_ACCOUNT))) < PORTFOLIOS:
            pass

    def event(self, entity_type: BookEntityType, entity_id: str) -> dict[str, Any]:
        """Return the input of the function, as ValidateInput and the Map lay it out."""
        request = {
            "request_id": "benchmark",
            "as_of_date": market.market().days[-1].isoformat(),
            "entity_type": entity_type.value,
            "entity_ids": [entity_id],
            "risk_free_rate": 0.02,
        }
        plan = validate_input.handler(
            {"request": request, "execution": _EXECUTION},
            None,
            payloads=self.payloads,
            books=self.books,
            buckets=Buckets(PAYLOAD_BUCKET="payloads", UPLOAD_BUCKET="uploads"),
        )
        (entity,) = plan["entities"]
        return {
            "request": plan["request"],
            "result_bytes": plan["result_bytes"],
            "entity": entity,
            "execution": _EXECUTION,
        }

    def shared(self) -> SharedCalculationCache:
        """Return the cache of a function that has calculated nothing yet."""
        return SharedCalculationCache(CalculationCache(DAY_SECONDS), self._results)

    def run(self, event: dict[str, Any], reader: BookReader, cache: SharedCalculationCache) -> Outcome:
        """Call the function."""
        return calculate_portfolio.handler(event, None, payloads=self.payloads, reader=reader, cache=cache)


class _Paths:
    """The ways in which one entity's result comes about."""

    def __init__(self, world: _World, entity_type: BookEntityType, entity_id: str) -> None:
        self._world = world
        self._event = world.event(entity_type, entity_id)
        self._warm_reader, self._warm_cache = BookReader(world.books), world.shared()
        self._numbers = count(1)

    def calculated(self) -> Outcome:
        """Calculate in a function without a cache that has read nothing yet."""
        return self._world.run(self._event, BookReader(self._world.books), _no_cache())

    def calculated_warm(self) -> Outcome:
        """Calculate without a cache in a function that has the prices and the benchmark from an earlier portfolio."""
        return self._world.run(self._event, self._warm_reader, _no_cache())

    def missed(self) -> Outcome:
        """Calculate what no cache has, and keep it: another key each time, the work the same."""
        event = {
            **self._event,
            "request": {**self._event["request"], "risk_free_rate": 0.02 + 1e-9 * next(self._numbers)},
        }
        return self._world.run(event, BookReader(self._world.books), self._world.shared())

    def kept(self) -> Outcome:
        """Calculate and keep what `shared` and `memory` are to read."""
        return self._world.run(self._event, self._warm_reader, self._warm_cache)

    def shared(self) -> Outcome:
        """Read from the shared cache, in a function that has read nothing yet."""
        return self._world.run(self._event, BookReader(self._world.books), self._world.shared())

    def memory(self) -> Outcome:
        """Read from the function's own memory."""
        return self._world.run(self._event, self._warm_reader, self._warm_cache)

    def consumed(self) -> Iterator[tuple[str, Consumed]]:
        """Yield each way, and what it asks of DynamoDB."""
        ways: dict[str, Callable[[], Outcome]] = {
            "calculated, nothing in memory": self.calculated,
            "calculated, prices and benchmark in memory": self.calculated_warm,
            "a miss: calculated, then kept": self.missed,
            "from the shared cache": self.shared,
            "from the function's memory": self.memory,
        }
        for name, way in ways.items():
            with metered(self._world.client) as consumed:
                way()
            yield name, consumed


_no_cache = partial(SharedCalculationCache, CalculationCache(0, max_entries=0), None)
