"""What a request names and refers to, and what of that is not there for whoever sends it.

What is another client's is told in the words of what is nobody's: whether there is such a thing is not theirs to know.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from common.access import Buckets, Scope
from common.errors import Fault
from common.models.books import BookEntityType, Entity, EntityKey
from common.models.inputs import BenchmarkInput, PortfolioInput
from common.models.request import CalculationRequest
from common.models.sources import Source
from common.stores.ports import EntityStore


class Place(NamedTuple):
    """An entity of the books, and the JSON path that names it."""

    path: str
    key: EntityKey


class FileReference(NamedTuple):
    """A file, and the JSON path of what refers to it."""

    path: str
    source: Source


def files(request: CalculationRequest) -> list[FileReference]:
    """Return every file that a request refers to."""
    found = files_of(request.portfolios) if isinstance(request.portfolios, list) else []
    if isinstance(request.portfolios, Source):
        found.append(FileReference("$.portfolios", request.portfolios))
    return found + benchmark_files(request.benchmark)


def benchmark_files(benchmark: BenchmarkInput | None) -> list[FileReference]:
    """Return the file that the benchmark of a request refers to, if it refers to one."""
    if benchmark is None or not isinstance(benchmark.valuations, Source):
        return []
    return [FileReference("$.benchmark.valuations", benchmark.valuations)]


def files_of(portfolios: Sequence[PortfolioInput]) -> list[FileReference]:
    """Return every file that portfolios refer to."""
    return [
        FileReference(f"$.portfolios[{index}].{name}", series)
        for index, portfolio in enumerate(portfolios)
        for name, series in (("valuations", portfolio.valuations), ("cash_flows", portfolio.cash_flows))
        if isinstance(series, Source)
    ]


def unreadable(found: Sequence[FileReference], scope: Scope, buckets: Buckets) -> list[Fault]:
    """Return a fault for each file that a scope may not refer to."""
    return [
        Fault(f"{path}.source", f"{source.source}: there is no such object, or it may not be read")
        for path, source in found
        if not scope.reads(source.source, buckets)
    ]


def named(request: CalculationRequest) -> list[Place]:
    """Return the entities that a request names one by one, those given with their data among them."""
    if isinstance(request.portfolios, list):
        return portfolios_named(request.portfolios)
    field = "entity_ids" if request.entity_ids else "entities"
    return [
        Place(f"$.{field}[{index}]", EntityKey(BookEntityType(each.entity_type), each.entity_id))
        for index, each in enumerate(request.references() or ())
    ]


def portfolios_named(portfolios: Sequence[PortfolioInput]) -> list[Place]:
    """Return the entities that portfolios given with their data are."""
    return [
        Place(f"$.portfolios[{index}].portfolio_id", EntityKey(BookEntityType.PORTFOLIO, each.portfolio_id))
        for index, each in enumerate(portfolios)
    ]


def benchmark_named(benchmark: BenchmarkInput | None) -> list[Place]:
    """Return the benchmark of the books that a request names, if it names one."""
    if benchmark is None or benchmark.valuations is not None:
        return []
    return [Place("$.benchmark.benchmark_id", EntityKey(BookEntityType.BENCHMARK, benchmark.benchmark_id))]


def look_up(
    places: Sequence[Place], books: EntityStore, allowed: Callable[[Entity], bool]
) -> tuple[list[Entity], list[Fault]]:
    """Return the entities at `places`, and a fault for each that is not there.

    Parameters
    ----------
    places
        Where each is named.
    books
        Asked for all of them at once.
    allowed
        Whether an entity is there for whoever asks: `Scope.owns` or `Scope.sees`.

    Raises
    ------
    ThrottledError, TransientError
        The books did not answer; try again.
    """
    stored = books.entities(sorted({key for _, key in places})) if places else {}
    entities, faults = [], []
    for path, key in places:
        if key in stored and allowed(stored[key].entity):
            entities.append(stored[key].entity)
        else:
            faults.append(Fault(path, f"there is no {key.entity_type} {key.entity_id}"))
    return entities, faults
