"""The series of a page end in the numbers of the row, whatever the portfolio."""

from collections.abc import Sequence
from datetime import date, timedelta
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import (
    CashFlow,
    Conventions,
    DailyValue,
    Flows,
    FlowTiming,
    Period,
    Valuations,
    calculate_performance,
    calculate_risk_metrics,
)
from common.calculations.types import FloatArray
from tests.property.strategies import START, TIMINGS, Portfolio, any_portfolios, funded_portfolios
from workflows.reporting.analysis import (
    Record,
    analyse,
    distribution,
    monthly_correlation,
    monthly_returns,
    rolling_risk,
    thin,
    underwater,
)
from workflows.reporting.sketch import RELATIVE_ERROR, Sketch

METHODS = st.booleans()
AS_OF = START + timedelta(days=6_000)


def record_of(
    portfolio: Portfolio, timing: FlowTiming, *, dietz: bool = False, levels: Sequence[float] = ()
) -> Record | None:
    values, flows = portfolio
    benchmark = Valuations.of((START + timedelta(days=index), level) for index, level in enumerate(levels))
    found = analyse(
        Valuations.of(values),
        Flows.of(flows),
        AS_OF,
        Conventions(flow_timing=timing, modified_dietz=dietz, risk_free_rate=0.02),
        benchmark if levels else None,
    )
    return found if isinstance(found, Record) else None


def of_row(portfolio: Portfolio, timing: FlowTiming, *, dietz: bool = False) -> float | None:
    values, flows = portfolio
    conventions = Conventions(flow_timing=timing, modified_dietz=dietz)
    performance = calculate_performance(
        Valuations.of(values), Flows.of(flows), [Period.standard("ITD", AS_OF)], conventions
    )
    return performance.periods[0].twr


@given(any_portfolios(), TIMINGS, METHODS)
def test_a_record_is_there_where_the_row_has_a_return_and_ends_in_it(
    portfolio: Portfolio, timing: FlowTiming, dietz: bool
) -> None:
    record, twr = record_of(portfolio, timing, dietz=dietz), of_row(portfolio, timing, dietz=dietz)
    if record is None:
        # A product that overflows on its way has no curve, though a number may hold its end.
        assert twr is None or abs(twr) > 1e100
        return
    assert twr is not None
    assert record.growth[-1] - 1.0 == pytest.approx(twr, rel=1e-12, abs=1e-12)
    assert record.days.size == record.growth.size
    assert (np.diff(record.days) > 0).all()
    assert record.returns.size == record.return_days.size


@given(funded_portfolios(), METHODS)
def test_the_deepest_point_under_water_is_the_maximum_drawdown(portfolio: Portfolio, dietz: bool) -> None:
    record = record_of(portfolio, FlowTiming.AFTER_CLOSE, dietz=dietz)
    assert record is not None
    risk = record.inception_to_date.risk
    assert -underwater(record.growth).min() == pytest.approx(risk.max_drawdown, rel=1e-12, abs=1e-12)
    assert (underwater(record.growth) <= 0.0).all()


@given(funded_portfolios())
def test_months_and_years_link_to_the_whole_return(portfolio: Portfolio) -> None:
    record = record_of(portfolio, FlowTiming.AFTER_CLOSE)
    assert record is not None
    years = monthly_returns(record)
    total = record.growth[-1]
    assert prod(1.0 + each for year in years for each in year.months if each is not None) == pytest.approx(total)
    assert prod(1.0 + year.total for year in years if year.total is not None) == pytest.approx(total)


@given(funded_portfolios())
def test_value_at_risk_is_that_of_the_risk_metrics_and_every_return_is_counted(portfolio: Portfolio) -> None:
    record = record_of(portfolio, FlowTiming.AFTER_CLOSE)
    assert record is not None
    found = distribution(record)
    risk = calculate_risk_metrics(record.returns, None, periods_per_year=record.periods_per_year)
    assert (found.var, found.cvar) == (risk.var, risk.cvar)
    assert found.counts.sum() == record.returns.size
    assert (np.diff(found.edges) > 0).all()


@given(funded_portfolios(), st.lists(st.floats(1.0, 1e6), min_size=61, max_size=61))
def test_the_benchmark_s_growth_ends_in_its_return(portfolio: Portfolio, levels: list[float]) -> None:
    record = record_of(portfolio, FlowTiming.AFTER_CLOSE, levels=levels)
    assert record is not None
    assert record.benchmark is not None
    assert record.benchmark[0] == 1.0
    assert record.benchmark[-1] - 1.0 == pytest.approx(record.inception_to_date.benchmark_twr, rel=1e-12, abs=1e-12)


@given(funded_portfolios(), st.integers(2, 20))
def test_each_rolling_window_is_the_risk_of_its_returns(portfolio: Portfolio, window: int) -> None:
    record = record_of(portfolio, FlowTiming.AFTER_CLOSE)
    assert record is not None
    if record.returns.size < window:
        return
    rolling = rolling_risk(record, window)
    assert rolling.days[-1] == record.return_days[-1]
    assert rolling.days.size == record.returns.size - window + 1
    for index in (0, rolling.days.size // 2, rolling.days.size - 1):
        risk = calculate_risk_metrics(
            record.returns[index : index + window], None, risk_free_rate=0.02, periods_per_year=record.periods_per_year
        )
        expected = np.nan if risk.sharpe_ratio_arithmetic is None else risk.sharpe_ratio_arithmetic
        assert rolling.volatility[index] == pytest.approx(risk.volatility)
        assert rolling.sharpe[index] == pytest.approx(expected, nan_ok=True)


@given(any_portfolios(), TIMINGS)
def test_every_series_of_any_record_is_finite(portfolio: Portfolio, timing: FlowTiming) -> None:
    record = record_of(portfolio, timing)
    if record is None:
        return
    for series in (record.growth, record.returns, record.net_flows(), distribution(record).edges):
        assert np.isfinite(series).all()
    assert not np.isnan(underwater(record.growth)).any()
    for year in monthly_returns(record):
        assert all(each is None or np.isfinite(each) for each in (*year.months, year.total))
    with_itself = monthly_correlation(record, record).value
    assert with_itself is None or with_itself == pytest.approx(1.0)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400).map(np.array),
    st.integers(20, 60),
)
def test_thinning_keeps_the_ends_and_the_extremes(series: FloatArray, most: int) -> None:
    kept = thin(np.arange(series.size), [series], most)
    assert kept.size <= max(most, 1)
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == series.size - 1
    assert series[kept].min() == series.min()
    assert series[kept].max() == series.max()
    if series.size <= most:
        assert kept.size == series.size


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0.0, 1.0))
def test_a_sketch_tells_quantiles_within_its_error(values: list[float], share: float) -> None:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    exact = sorted(values)[int(share * (len(values) - 1))]
    assert sketch.quantile(share) == pytest.approx(exact, rel=1.001 * RELATIVE_ERROR, abs=1e-6)
    assert (sketch.count, sketch.smallest, sketch.largest) == (len(values), min(values), max(values))
    assert sketch.mean == pytest.approx(np.mean(values), abs=1e-6)
    edges, counts = sketch.histogram(10)
    assert sum(counts) == len(values)
    assert (np.diff(edges) > 0).all()


def test_a_flow_outside_the_record_is_not_marked() -> None:
    values = [DailyValue(date(2020, 1, day), 100.0) for day in (1, 2, 3)]
    flows = [CashFlow(date(2019, 12, 31), 5.0), CashFlow(date(2020, 1, 2), 0.5), CashFlow(date(2020, 1, 2), 0.5)]
    record = record_of((values, [*flows, CashFlow(date(2020, 1, 3), 7.0)]), FlowTiming.AFTER_CLOSE)
    assert record is not None
    assert record.flows.amounts.tolist() == [1.0]
    assert record.net_flows().tolist() == [0.0, 1.0, 1.0]
