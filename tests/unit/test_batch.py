"""Many portfolios: in order, a chunk at a time."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from common.calculations import (
    Caution,
    Conventions,
    Flows,
    Period,
    Reason,
    StandardPeriod,
    Valuations,
    calculate_performance,
    calculate_performances,
)
from common.calculations.batch import Portfolio
from common.calculations.words import day_number

AS_OF = date(2024, 3, 29)
PERIODS = [Period.standard(each, AS_OF) for each in StandardPeriod]
LAST = day_number(AS_OF)


def portfolio(number: int, *, days: int = 900, flows: int = 5) -> Portfolio:
    chance = np.random.default_rng(number)
    all_days = np.arange(LAST - days + 1, LAST + 1)
    values = np.cumprod(1.0 + chance.normal(0.0003, 0.01, days), dtype=np.float64) * 1_000.0
    at = np.sort(chance.permutation(np.arange(1, days - 1))[:flows])
    return Valuations(all_days, values), Flows(all_days[at], chance.uniform(-20.0, 40.0, flows))


def test_they_come_in_their_order_whatever_their_days() -> None:
    lengths = [900, 400, 900, 30, 900, 400]
    given = [portfolio(number, days=days) for number, days in enumerate(lengths)]
    found = list(calculate_performances(given, PERIODS, Conventions()))
    assert [each.periods[-1].days for each in found] == [days - 1 for days in lengths]
    for (valuations, flows), each in zip(given, found, strict=True):
        assert each.periods[-1].twr == calculate_performance(valuations, flows, PERIODS, Conventions()).periods[-1].twr


def test_no_portfolios_have_no_performance() -> None:
    assert list(calculate_performances([], PERIODS, Conventions())) == []


def test_no_more_is_read_than_a_chunk_and_its_successor() -> None:
    read = 0

    def endless() -> Iterator[Portfolio]:
        nonlocal read
        while True:
            read += 1
            yield portfolio(read)

    performances = calculate_performances(endless(), PERIODS[-1:], Conventions(), values_at_once=4 * 900)
    next(performances)
    assert read == 5
    for _ in range(4):
        next(performances)
    assert read == 9


def test_a_portfolio_of_more_than_a_chunk_is_one() -> None:
    given = [portfolio(1), portfolio(2)]
    assert len(list(calculate_performances(given, PERIODS, Conventions(), values_at_once=10))) == 2


def test_what_is_special_about_one_is_told_of_that_one_alone() -> None:
    """An empty account, a broken record, a flow outside and one read with the wrong timing, among regular ones."""
    given = [portfolio(number) for number in range(8)]
    days = given[0][0].days

    def changed(number: int, first: int, value: float) -> Portfolio:
        values = given[number][0].values.copy()
        values[first:] = value
        return Valuations(days, values), given[number][1]

    given[1] = changed(1, 0, 0.0)[0], Flows.none()
    given[2] = changed(2, 450, -5.0)
    given[3] = given[3][0], Flows(np.array([LAST + 3]), np.array([5.0]))
    jumped = given[4][0].values.copy()
    jumped[500:] += 600.0
    given[4] = Valuations(days, jumped), Flows(days[500:501], np.array([600.0]))
    found = [each.periods[-1] for each in calculate_performances(given, PERIODS, Conventions())]
    assert found[1].undefined["twr"] is Reason.EMPTY_ACCOUNT
    assert found[2].undefined["twr"] is Reason.NON_POSITIVE_DENOMINATOR
    assert Caution.FLOW_TIMING_SUSPECT in found[4].warnings
    warned = [each.warnings for each in calculate_performances(given, PERIODS, Conventions())]
    assert [number for number, each in enumerate(warned) if Caution.FLOW_OUTSIDE_VALUATIONS in each] == [3]
    for number in (0, 5, 6, 7):
        assert found[number].twr is not None
        assert warned[number] == ()


def test_the_benchmark_and_the_conventions_are_those_of_all() -> None:
    given = [portfolio(number) for number in range(3)]
    benchmark = portfolio(99, days=700)[0]
    conventions = Conventions(risk_free_rate=0.02, periods_per_year=260.0)
    for (valuations, flows), each in zip(
        given, calculate_performances(given, PERIODS, conventions, benchmark), strict=True
    ):
        alone = calculate_performance(valuations, flows, PERIODS, conventions, benchmark)
        assert each.periods_per_year == 260.0
        assert each.periods[3].risk == alone.periods[3].risk
        assert each.periods[3].risk.beta is not None
        assert each.periods[-1].undefined["benchmark_twr"] is Reason.BENCHMARK_HISTORY_TOO_SHORT


@pytest.mark.parametrize("level", [0.0, -0.0])
def test_a_benchmark_without_a_level_is_refused(level: float) -> None:
    valuations, flows = portfolio(1)
    levels = np.full(valuations.days.size, 100.0)
    levels[10] = level
    with pytest.raises(ValueError, match="benchmark_returns"):
        list(calculate_performances([(valuations, flows)], PERIODS, Conventions(), Valuations(valuations.days, levels)))
