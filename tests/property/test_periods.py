"""What is a year, and what the spacing of returns contradicts."""

from datetime import date, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from common.calculations import (
    Caution,
    Conventions,
    Flows,
    Period,
    Reason,
    StandardPeriod,
    Valuations,
    calculate_performance,
)
from common.calculations.words import day_date, day_number
from tests.property.strategies import START

PERIODS = st.one_of(
    st.tuples(st.sampled_from(StandardPeriod), st.integers(0, 1_500)).map(
        lambda drawn: Period.standard(drawn[0], START + timedelta(days=drawn[1]))
    ),
    st.tuples(st.integers(0, 800), st.integers(1, 1_200)).map(
        lambda drawn: Period.explicit(START + timedelta(days=drawn[0]), START + timedelta(days=drawn[0] + drawn[1]))
    ),
)


def is_year_by_calendar(start: date, end: date) -> bool:
    """Whether 365 days lie between two dates, 366 where one of them is a 29 February."""
    leap = any((start + timedelta(days=each)).timetuple()[1:3] == (2, 29) for each in range(1, 366))
    return (end - start).days >= 365 + leap


@given(
    st.lists(st.integers(0, 1_500), min_size=2, max_size=12, unique=True),
    PERIODS,
    st.booleans(),
    st.lists(st.integers(-40, 1_500), min_size=1, max_size=8, unique=True),
)
def test_nothing_is_annualised_that_its_own_days_and_the_calendar_do_not_make_a_year(
    offsets: list[int], period: Period, modified_dietz: bool, levels: list[int]
) -> None:
    days = [day_number(START) + each for each in sorted(offsets)]
    priced = [day_number(START) + each for each in sorted(levels)]
    found = calculate_performance(
        Valuations.from_arrays(days, [100.0 + each % 7 for each in range(len(days))]),
        Flows.none(),
        [period],
        Conventions(modified_dietz=modified_dietz),
        Valuations.from_arrays(priced, [50.0 + each % 5 for each in range(len(priced))]),
    ).periods[0]
    assume(found.twr is not None)
    assert found.days is not None
    assert found.from_date is not None
    assert found.to_date is not None
    by_calendar = is_year_by_calendar(period.start or found.from_date, period.end)
    is_year = found.days >= 365 or (by_calendar and found.days >= 358)
    assert (found.annualized_twr is not None) is is_year
    assert (found.undefined.get("annualized_twr") is Reason.UNDER_ONE_YEAR) is not is_year
    if found.benchmark_twr is not None:
        base, end = (
            max(each for each in priced if each <= day_number(edge)) for edge in (found.from_date, found.to_date)
        )
        assert (found.annualized_benchmark_twr is not None) is (is_year and end - base >= 358)


@given(
    st.lists(st.sampled_from([1, 2, 3, 7, 14, 30, 91]), min_size=1, max_size=40),
    st.one_of(st.none(), st.sampled_from([365.0, 252.0, 52.0, 12.0, 4.0])),
)
def test_the_spacing_is_told_where_it_is_another_one_than_the_years(
    distances: list[int], given_k: float | None
) -> None:
    days = [day_number(START)]
    for each in distances:
        days.append(days[-1] + each)
    found = calculate_performance(
        Valuations.from_arrays(days, [100.0 + each % 3 for each in range(len(days))]),
        Flows.none(),
        [Period.explicit(START, day_date(days[-1]))],
        Conventions(periods_per_year=given_k),
    )
    observed = 365 * len(distances) / sum(distances)
    ratio = observed / found.periods_per_year
    assume(abs(ratio - 1.5) > 1e-9 and abs(ratio - 1 / 1.5) > 1e-9)
    told = len(distances) >= 12 and not 1 / 1.5 <= ratio <= 1.5
    assert (Caution.IRREGULAR_SPACING in found.periods[0].warnings) is told
