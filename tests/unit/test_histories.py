"""`BookReader`: what it keeps of the books from one portfolio to the next."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from common.calculations import Valuations
from common.errors import InvalidPortfolioError
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, SeriesKind
from common.stores.histories import BookReader
from common.stores.memory_books import InMemoryBooks

PORTFOLIOS = ("growth", "income")
DAYS = (date(2024, 1, 2), date(2024, 1, 3))


class Recording(InMemoryBooks):
    """Books that remember whose levels were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def levels(self, benchmark_id: str) -> Valuations:
        self.read.append(benchmark_id)
        return super().levels(benchmark_id)


@pytest.fixture
def books() -> Recording:
    """Return the books of two portfolios that are compared with one benchmark."""
    made = Recording()
    made.put_entity(Entity(entity_type=BookEntityType.BENCHMARK, entity_id="SP500"))
    for name in PORTFOLIOS:
        made.put_entity(
            Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id="acme", benchmark_id="SP500")
        )
    return made


def levels(reader: BookReader) -> list[Any]:
    """Return the levels that each portfolio is compared with."""
    found = []
    for name in PORTFOLIOS:
        compared = reader.benchmark(reader.dependencies(EntityKey(BookEntityType.PORTFOLIO, name)))
        assert compared is not None
        found.append(compared.values.tolist())
    return found


def write(books: InMemoryBooks, *values: int) -> None:
    books.write_series(SeriesKind.LEVEL, "SP500", [DayValue(DAYS[at], Decimal(each)) for at, each in enumerate(values)])


def test_the_levels_of_a_benchmark_are_read_once_for_all_portfolios(books: Recording) -> None:
    write(books, 1000, 1010)
    reader = BookReader(books)
    assert levels(reader) == [[1000.0, 1010.0]] * 2
    assert levels(reader) == [[1000.0, 1010.0]] * 2
    assert books.read == ["SP500"]


def test_levels_that_changed_are_read_again(books: Recording) -> None:
    write(books, 1000)
    reader = BookReader(books)
    assert levels(reader) == [[1000.0]] * 2
    write(books, 1000, 1010)
    assert levels(reader) == [[1000.0, 1010.0]] * 2
    assert books.read == ["SP500"] * 2


def test_a_benchmark_without_levels_is_told_each_time(books: Recording) -> None:
    reader = BookReader(books)
    for _ in range(2):
        with pytest.raises(InvalidPortfolioError, match="the benchmark SP500 has no levels"):
            levels(reader)
