"""What is answered without a look at all of the data is what a look at all of it answers."""

from datetime import date, timedelta
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import Conventions, Flows, FlowTiming, Period, StandardPeriod, Valuations
from common.calculations.history import History, Span
from common.calculations.money_weighted import solve, solve_distinct
from common.calculations.periods import infer_periods_per_year
from common.calculations.sub_periods import outside_valuations
from tests.property.strategies import START, TIMINGS, any_portfolios

AS_OF = START + timedelta(days=400)
PERIODS = [Period.standard(each, AS_OF) for each in StandardPeriod]
# Around the same days as the valuations, so that many of them fall on the days at which a period begins or ends.
CROWDED = st.lists(st.tuples(st.integers(-3, 43), st.sampled_from([-5.0, 3.0, 8.0])), max_size=30)


def crowded_history(dated: list[tuple[int, float]], timing: FlowTiming, first: int = 0) -> History:
    """Return forty valuations and flows around them, all within a day of the start of some month."""
    days = first + np.arange(40)
    flows = Flows.from_arrays([first + day for day, _ in dated], [amount for _, amount in dated])
    return History.of(Valuations.from_arrays(days, np.arange(100.0, 140.0).tolist()), flows, Conventions(timing), None)


@given(CROWDED, TIMINGS, st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), min_size=1, max_size=5))
def test_the_flows_of_a_period_stand_side_by_side_however_they_are_dated(
    dated: list[tuple[int, float]], timing: FlowTiming, ends: list[tuple[int, int]]
) -> None:
    history = crowded_history(dated, timing)
    spans = [Span(*sorted(each), *sorted(each)) for each in ends]
    for span, (begin, end) in zip(spans, history.flows_of(spans), strict=True):
        expected = history.flows.within(span.opening, span.closing, timing).dated_by_close(timing)
        assert history.dated.days[begin:end].tolist() == expected.days.tolist()
        assert history.dated.amounts[begin:end].tolist() == expected.amounts.tolist()


@given(CROWDED, TIMINGS)
def test_flows_are_called_distinct_where_no_two_are_dated_alike(
    dated: list[tuple[int, float]], timing: FlowTiming
) -> None:
    history = crowded_history(dated, timing)
    days = history.dated.days.tolist()
    assert history.distinct == (len(set(days)) == len(days))


@given(any_portfolios(), TIMINGS)
def test_a_flow_is_outside_where_it_is_not_within(
    portfolio: tuple[list[tuple[date, float]], list[tuple[date, float]]], timing: FlowTiming
) -> None:
    valuations, flows = Valuations.of(portfolio[0]), Flows.of(portfolio[1])
    inside = flows.within(int(valuations.days[0]), int(valuations.days[-1]), timing)
    assert outside_valuations(valuations, flows, timing) == (inside.days.size < flows.days.size)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=30))
def test_the_spacing_of_days_is_told_by_their_median_distance(distances: list[int]) -> None:
    days = np.cumsum([0, *distances])
    median, mean = float(np.median(distances)), sum(distances) / len(distances)
    if median <= 1.0:
        expected = 252 if mean > 1.2 else 365
    else:
        usual = [each for each in distances if 0.5 * median <= each <= 2.0 * median]
        observed = 365.0 * len(usual) / sum(usual)
        expected = min((252, 104, 52, 26, 12, 4, 2, 1), key=lambda periods: abs(log(periods / observed)))
    assert infer_periods_per_year(days) == expected


@pytest.mark.parametrize("count", [3, 24, 25, 80])
@given(data=st.data())
def test_distinct_flows_have_the_rate_that_is_found_for_any_flows(count: int, data: st.DataObject) -> None:
    paid_in = data.draw(st.lists(st.floats(-500.0, -1.0), min_size=count, max_size=count))
    amounts = np.array([*paid_in, -data.draw(st.floats(0.5, 2.0)) * sum(paid_in)])
    days = np.cumsum(data.draw(st.lists(st.integers(30, 60), min_size=count + 1, max_size=count + 1)))
    found = solve_distinct(days, amounts)
    assert found is not None
    assert found == solve(days, amounts)


@pytest.mark.parametrize("amounts", [[-100.0, 230.0, -132.0], [-100.0, -10.0], [-100.0, np.nan, 5.0], [0.0, -5.0, 6.0]])
def test_what_may_have_another_rate_or_none_is_left_to_the_search(amounts: list[float]) -> None:
    assert solve_distinct(np.arange(len(amounts)) * 365, np.array(amounts)) is None
