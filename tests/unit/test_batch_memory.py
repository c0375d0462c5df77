"""What many portfolios keep in memory, and what the periods of some of them share."""

import gc
import weakref
from collections.abc import Iterator
from datetime import date

import numpy as np

from common.calculations import (
    Conventions,
    Flows,
    Period,
    StandardPeriod,
    Valuations,
    calculate_performance,
    calculate_performances,
)
from common.calculations.history import BenchmarkLevels, History
from common.calculations.types import DayArray, FloatArray
from common.calculations.words import day_number

AS_OF = date(2024, 3, 29)
LAST = day_number(AS_OF)
DAYS = np.arange(LAST - 899, LAST + 1)
PERIODS = [Period.standard(each, AS_OF) for each in StandardPeriod]


def values(number: int) -> FloatArray:
    chance = np.random.default_rng(number)
    return np.cumprod(1.0 + chance.normal(0.0003, 0.01, DAYS.size), dtype=np.float64) * 1_000.0


def test_of_a_chunk_that_is_done_no_history_is_kept_while_the_next_one_is_read() -> None:
    kept: list[int] = []

    def portfolios() -> Iterator[tuple[Valuations, Flows]]:
        for number in range(9):
            kept.append(sum(isinstance(each, History) for each in gc.get_objects()))
            yield Valuations(DAYS, values(number)), Flows.none()

    found = calculate_performances(portfolios(), PERIODS, Conventions(), values_at_once=3 * DAYS.size)
    assert sum(1 for _ in found) == 9
    assert kept == [0] * 9


def test_of_portfolios_on_the_same_days_one_array_of_days_is_kept() -> None:
    copies: list[weakref.ref[DayArray]] = []
    alive: list[int] = []

    def portfolios() -> Iterator[tuple[Valuations, Flows]]:
        for number in range(8):
            # The first of the chunk, and the one that was read last.
            alive.append(sum(each() is not None for each in copies))
            days = DAYS.copy()
            copies.append(weakref.ref(days))
            yield Valuations(days, values(number)), Flows.none()

    list(calculate_performances(portfolios(), PERIODS, Conventions()))
    assert max(alive) <= 2


def test_periods_that_coincide_have_the_same_metrics() -> None:
    """The first quarter is the year to date in March, for one portfolio and among many."""
    given = [(Valuations(DAYS, values(number)), Flows.none()) for number in range(3)]
    benchmark = Valuations(DAYS, values(9))
    for (valuations, flows), found in zip(
        given, calculate_performances(given, PERIODS, Conventions(), benchmark), strict=True
    ):
        by_label = {each.label: each for each in found.periods}
        assert by_label["QTD"].risk == by_label["YTD"].risk
        assert by_label["QTD"].risk != by_label["MTD"].risk
        alone = calculate_performance(valuations, flows, PERIODS, Conventions(), benchmark)
        assert [each.risk for each in found.periods] == [each.risk for each in alone.periods]


def test_returns_of_a_benchmark_that_only_their_sum_makes_infinite_are_finite() -> None:
    days = np.arange(LAST - 4, LAST + 1)
    levels = np.array([1e-300, 1e8, 1e-300, 1e8, 1e8])
    assert not BenchmarkLevels.of(Valuations(days, levels), days).finite
    portfolio = Valuations(days, np.array([100.0, 101.0, 99.0, 102.0, 103.0]))
    (found,) = calculate_performance(
        portfolio, Flows.none(), PERIODS[-1:], Conventions(), Valuations(days, levels)
    ).periods
    assert found.benchmark_twr == 1e8 / 1e-300 - 1.0
