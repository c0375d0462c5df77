"""A portfolio among many comes out as it does alone."""

from datetime import timedelta
from math import log1p

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import (
    Conventions,
    DailyValue,
    Flows,
    FlowTiming,
    Performance,
    Period,
    StandardPeriod,
    Valuations,
    calculate_performance,
    calculate_performances,
)
from common.calculations.batch import Portfolio
from common.calculations.sub_periods import daily_growth, daily_sub_periods
from tests.property.strategies import START, TIMINGS, any_portfolios, funded_portfolios, return_series

AS_OF = START + timedelta(days=400)
PERIODS = [Period.standard(each, AS_OF) for each in StandardPeriod] + [
    Period.explicit(START + timedelta(days=3), START + timedelta(days=40))
]


def assert_same(found: Performance, alone: Performance) -> None:
    assert (found.warnings, found.periods_per_year) == (alone.warnings, alone.periods_per_year)
    for one, other in zip(found.periods, alone.periods, strict=True):
        for name in one._fields:
            mine, its = getattr(one, name), getattr(other, name)
            if name.startswith("mwr") and None not in {mine, its} and mine != its:
                # Many rates are solved side by side, their present values summed in another order.
                days = max(one.days or 1, 1)
                scale = 1.0 if name == "mwr_period" else max(1.0, 365.0 / days)
                assert log1p(mine) == pytest.approx(log1p(its), rel=1e-12, abs=1e-13 * scale)
            else:
                assert mine == its, name


@st.composite
def portfolios(draw: st.DrawFn) -> list[Portfolio]:
    """Some on days of their own, some on the days of the first, regular ones and others."""
    made = draw(st.lists(st.one_of(funded_portfolios(), any_portfolios()), min_size=1, max_size=4))
    found = [(Valuations.of(values), Flows.of(flows)) for values, flows in made]
    days = found[0][0].days
    for _ in range(draw(st.integers(0, 5))):
        values = draw(
            st.lists(
                st.one_of(st.just(0.0), st.floats(1.0, 1e6), st.floats(-1e3, 1e3)),
                min_size=days.size,
                max_size=days.size,
            )
        )
        flows = draw(st.sampled_from([found[0][1], Flows.none(), found[-1][1]]))
        found.append((Valuations.from_arrays(days.copy(), values), flows))
    return [found[each] for each in draw(st.permutations(range(len(found))))]


@given(
    portfolios(),
    TIMINGS,
    st.booleans(),
    st.sampled_from([1, 40, 131_072]),
    st.one_of(st.none(), return_series(min_size=30)),
    st.sampled_from([0.0, 0.03]),
)
def test_each_is_what_it_is_alone(
    given_portfolios: list[Portfolio],
    timing: FlowTiming,
    modified_dietz: bool,
    values_at_once: int,
    benchmark_returns: list[float] | None,
    risk_free: float,
) -> None:
    benchmark = None
    if benchmark_returns is not None:
        levels = 100.0 * np.cumprod(1.0 + np.array(benchmark_returns))
        benchmark = Valuations.of(
            DailyValue(START + timedelta(days=index - 5), level) for index, level in enumerate(levels)
        )
    conventions = Conventions(timing, modified_dietz, risk_free)
    alone = [
        calculate_performance(valuations, flows, PERIODS, conventions, benchmark)
        for valuations, flows in given_portfolios
    ]
    together = calculate_performances(given_portfolios, PERIODS, conventions, benchmark, values_at_once=values_at_once)
    for found, expected in zip(together, alone, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("timing", FlowTiming)
@given(data=st.data())
def test_growth_is_the_same_with_and_without_the_second_look(timing: FlowTiming, data: st.DataObject) -> None:
    """A row that is always invested, beside one that is not, which makes all rows be looked at twice."""
    values, flows = data.draw(funded_portfolios(timing))
    valuations = Valuations.of(values)
    parts = daily_sub_periods(valuations, Flows.of(flows), timing)
    at = np.searchsorted(valuations.days, Flows.of(flows).days, side="right" if timing == "after_close" else "left") - 1
    net = np.zeros(parts.growth.size + 1)
    np.add.at(net, at, Flows.of(flows).amounts)
    v0, v1, net = valuations.values[:-1], valuations.values[1:], net[:-1]
    nothing = np.zeros_like(v0)
    both = daily_growth(
        np.stack((v0, nothing)),
        np.stack((v1, nothing)),
        np.stack((net, nothing)),
        np.abs(np.stack((net, nothing))),
        timing,
    )
    assert both.growth[0].tolist() == parts.growth.tolist()
    assert both.undefined[0].tolist() == parts.undefined.tolist()
    assert both.empty[0].tolist() == parts.empty.tolist()
    assert both.empty[1].all()
