"""Laws that every time-weighted return obeys."""

import itertools
from datetime import timedelta
from decimal import Decimal, localcontext
from math import isfinite, prod

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from common.calculations import (
    CashFlow,
    DailyValue,
    FlowTiming,
    annualize_return,
    calculate_daily_twr,
    calculate_modified_dietz,
    link_returns,
)
from tests.property.strategies import START, TIMINGS, Portfolio, any_portfolios, funded_portfolios, return_series


@pytest.mark.parametrize("timing", FlowTiming)
@given(data=st.data())
def test_recovers_the_returns_a_portfolio_was_made_of(timing: FlowTiming, data: st.DataObject) -> None:
    values, flows = data.draw(funded_portfolios(timing))
    found = calculate_daily_twr(values, flows, flow_timing=timing)
    assert found.value is not None
    assert found.value == pytest.approx(link_returns(found.sub_returns), rel=1e-12, abs=1e-12)
    assert len(found.sub_returns) == len(values) - 1


@given(funded_portfolios(), st.floats(1e-3, 1e3))
def test_does_not_depend_on_the_unit_of_money(portfolio: Portfolio, factor: float) -> None:
    values, flows = portfolio
    scaled = calculate_daily_twr(
        [DailyValue(day, float(value) * factor) for day, value in values],
        [CashFlow(day, float(amount) * factor) for day, amount in flows],
    )
    assert scaled.value == pytest.approx(calculate_daily_twr(values, flows).value, rel=1e-10, abs=1e-12)


@given(funded_portfolios(), st.data())
def test_a_period_split_and_linked_is_the_period(portfolio: Portfolio, data: st.DataObject) -> None:
    values, flows = portfolio
    cut = data.draw(st.integers(1, len(values) - 2))
    first = calculate_daily_twr(values[: cut + 1], flows)
    second = calculate_daily_twr(values[cut:], flows)
    whole = calculate_daily_twr(values, flows)
    assert first.value is not None
    assert second.value is not None
    assert link_returns([first.value, second.value]) == pytest.approx(whole.value, rel=1e-12, abs=1e-12)


@given(return_series())
def test_without_flows_is_the_ratio_of_the_values(returns: list[float]) -> None:
    wealth = np.cumprod([1000.0, *(1 + np.array(returns))])
    values = [DailyValue(START + timedelta(days=index), value) for index, value in enumerate(wealth)]
    ratio = pytest.approx(wealth[-1] / wealth[0] - 1, rel=1e-12, abs=1e-12)
    for timing in FlowTiming:
        assert calculate_daily_twr(values, [], flow_timing=timing).value == ratio
    dietz = calculate_modified_dietz(wealth[0], wealth[-1], [], values[0].date, values[-1].date)
    assert dietz.value == ratio


@given(funded_portfolios())
def test_float64_agrees_with_decimal(portfolio: Portfolio) -> None:
    values, flows = portfolio
    flow_of = {day: Decimal(float(amount)) for day, amount in flows}
    with localcontext() as context:
        context.prec = 50
        exact = prod(
            Decimal(float(after.value)) / (Decimal(float(before.value)) + flow_of.get(before.date, Decimal(0)))
            for before, after in itertools.pairwise(values)
        )
    found = calculate_daily_twr(values, flows).value
    assert found is not None
    assert 1 + found == pytest.approx(float(exact), rel=1e-12)


# Growth that no float holds, and then nothing left of it.
@example(
    ([DailyValue(START + timedelta(days=day), value) for day, value in enumerate((0.0, 4e-305, 8370.0, 0.0))], []),
    FlowTiming.AFTER_CLOSE,
)
# A flow that is more than 1e308 times the value it meets.
@example(
    (
        [DailyValue(START, 2e-302), DailyValue(START + timedelta(days=1), 0.0)],
        [CashFlow(START + timedelta(days=1), 4e6)],
    ),
    FlowTiming.AFTER_CLOSE,
)
@given(any_portfolios(), TIMINGS)
def test_anything_finite_gives_a_finite_number_or_a_reason(portfolio: Portfolio, timing: FlowTiming) -> None:
    values, flows = portfolio
    daily = calculate_daily_twr(values, flows, flow_timing=timing)
    dietz = calculate_modified_dietz(
        values[0].value, values[-1].value, flows, min(values).date, max(values).date, flow_timing=timing
    )
    for found in (daily, dietz):
        if found.value is None:
            assert found.reason is not None
        else:
            assert found.reason is None
            assert isfinite(found.value)
            assert all(isfinite(each) for each in found.sub_returns)


@given(st.floats(-0.99, 10.0), st.integers(365, 20_000))
def test_annualising_compounds_back(total: float, days: int) -> None:
    annual = annualize_return(total, days).value
    assert annual is not None
    assert (1 + annual) ** (days / 365) - 1 == pytest.approx(total, rel=1e-9, abs=1e-9)


@given(st.floats(1e3, 1e6), st.floats(1e3, 1e6), st.floats(-500.0, 1e6), st.integers(1, 29))
def test_modified_dietz_lies_between_its_timings(start: float, end: float, flow: float, day: int) -> None:
    assume(abs(flow) > 1e-3)
    last = START + timedelta(days=31)
    at = [CashFlow(START + timedelta(days=day), flow)]
    early = calculate_modified_dietz(start, end, at, START, last, flow_timing="start_of_day").value
    late = calculate_modified_dietz(start, end, at, START, last, flow_timing="end_of_day").value
    mixed = calculate_modified_dietz(start, end, at, START, last, flow_timing="inflow_start_outflow_end").value
    assert early is not None
    assert late is not None
    assert mixed == pytest.approx(early if flow > 0 else late)
