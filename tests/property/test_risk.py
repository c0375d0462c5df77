"""Laws that every risk metric obeys."""

from datetime import timedelta
from itertools import accumulate
from math import isfinite

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import (
    Conventions,
    Flows,
    FlowTiming,
    Period,
    Reason,
    Valuations,
    calculate_daily_twr,
    calculate_performance,
    calculate_risk_metrics,
    link_returns,
    max_drawdown,
)
from common.calculations.risk import RISK_METRICS, RiskMetrics
from common.calculations.words import day_date, day_number
from common.models.results import PeriodResult
from tests.property.strategies import START, return_series

ANYTHING = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(0.0), st.floats(-1.0, 1.0))


def every_metric(metrics: RiskMetrics) -> dict[str, float | None]:
    return {name: getattr(metrics, name) for name in RISK_METRICS}


@given(return_series(min_size=1))
def test_drawdown_lies_between_nothing_and_everything(returns: list[float]) -> None:
    fall = max_drawdown(returns)
    assert 0.0 <= fall.value <= 1.0
    wealth = np.concatenate(([1.0], np.cumprod(1 + np.array(returns))))
    if fall.value == 0.0:
        assert (np.diff(wealth) >= -1e-12 * wealth[:-1]).all()
        return
    assert fall.peak_index is not None
    assert fall.trough_index is not None
    assert fall.peak_index < fall.trough_index
    assert fall.value == pytest.approx(1 - wealth[fall.trough_index] / wealth[fall.peak_index])
    assert (wealth[fall.peak_index + 1 : fall.trough_index] <= wealth[fall.peak_index] * (1 + 2e-12)).all()
    level = wealth[fall.peak_index] * (1 - 2e-12)
    if fall.recovery_index is not None:
        assert wealth[fall.recovery_index] >= level
        assert (wealth[fall.trough_index : fall.recovery_index] < wealth[fall.peak_index]).all()


CENTS = st.integers(100_000, 100_000_000).map(lambda cents: cents / 100)


@given(CENTS, st.lists(st.floats(0.3, 0.99), min_size=1, max_size=20))
def test_a_value_that_is_back_at_its_peak_has_recovered(peak: float, shares: list[float]) -> None:
    below = [round(peak * share, 2) for share in shares]
    days = [START + timedelta(days=day) for day in range(2 * len(below) + 3)]
    # At the peak, below it, at the peak again, below by as much, and at the peak once more.
    values = [peak, *below, peak, *below, peak]
    found = calculate_daily_twr(zip(days, values, strict=True))
    fall = max_drawdown(found.sub_returns)
    assert fall.trough_index is not None
    assert fall.value == pytest.approx(1 - min(below) / peak, rel=1e-12)
    again = len(below) + 1
    first = fall.trough_index < again
    assert fall.peak_index == (0 if first else again)
    assert fall.recovery_index == (again if first else 2 * again)


@given(CENTS, st.lists(st.integers(1, 1_000_000), min_size=2, max_size=20))
def test_deposits_into_cash_make_no_fall_and_no_ratio_of_rounding(opening: float, deposits: list[int]) -> None:
    cents = list(accumulate(deposits, initial=round(opening * 100)))
    days = [day_number(START) + 200 * number for number in range(len(cents))]
    valuations = Valuations.from_arrays(days, [each / 100 for each in cents])
    flows = Flows.from_arrays(days[1:], [each / 100 for each in deposits])
    period = Period.standard("ITD", day_date(days[-1]))
    (found,) = calculate_performance(valuations, flows, [period], Conventions(FlowTiming.END_OF_DAY)).periods
    assert found.annualized_twr == pytest.approx(0.0, abs=1e-12)
    assert found.risk.max_drawdown == 0.0
    assert found.max_drawdown_peak is None
    assert found.risk.undefined["calmar_ratio"] is Reason.NO_DRAWDOWN


@given(return_series(), st.floats(-0.5, 0.5), st.floats(0.0, 0.2))
def test_agrees_with_fifty_digits(returns: list[float], annual: float, risk_free: float) -> None:
    found = calculate_risk_metrics(returns, annual, risk_free_rate=risk_free, periods_per_year=252)
    with mpmath.workdps(50):
        exact = [mpmath.mpf(each) for each in returns]
        mean = mpmath.fsum(exact) / len(exact)
        sigma = mpmath.sqrt(mpmath.fsum((each - mean) ** 2 for each in exact) / len(exact))
        target = mpmath.expm1(mpmath.log1p(mpmath.mpf(risk_free)) / 252)
        below = mpmath.sqrt(mpmath.fsum(min(each - target, 0) ** 2 for each in exact) / len(exact))
        volatility, downside = sigma * mpmath.sqrt(252), below * mpmath.sqrt(252)
    # A deviation of 1e-12 or less is rounding, by definition zero.
    assert found.volatility == pytest.approx(float(volatility), rel=1e-12, abs=2e-11)
    assert found.downside_deviation == pytest.approx(float(downside), rel=1e-12, abs=1e-14)
    if found.sharpe_ratio is not None and found.volatility is not None:
        assert found.sharpe_ratio == pytest.approx((annual - risk_free) / found.volatility, rel=1e-12)


@given(return_series())
def test_against_itself_a_portfolio_is_its_benchmark(returns: list[float]) -> None:
    found = calculate_risk_metrics(returns, 0.1, returns, 0.1, 0.02, periods_per_year=252)
    assert found.tracking_error == 0.0
    assert found.undefined["information_ratio"] == "zero_tracking_error"
    assert found.excess_return == 0.0
    if found.beta is not None:
        assert found.beta == pytest.approx(1.0)
        assert found.correlation == pytest.approx(1.0)
        assert found.alpha == pytest.approx(0.0, abs=1e-12)
    for capture in (found.up_capture, found.down_capture):
        assert capture is None or capture == pytest.approx(1.0)


@given(return_series(), return_series(), st.sampled_from([None, 0.1]), st.sampled_from([0, 1]))
def test_bounds(returns: list[float], other: list[float], annual: float | None, ddof: int) -> None:
    n = min(len(returns), len(other))
    found = calculate_risk_metrics(returns[:n], annual, other[:n], annual, periods_per_year=12, ddof=ddof)
    assert found.volatility is not None
    assert found.volatility >= 0.0
    assert found.correlation is None or -1.0 <= found.correlation <= 1.0
    assert found.cvar is not None
    assert found.var is not None
    assert found.worst_day is not None
    assert found.worst_day - 1e-15 <= found.cvar <= found.var + 1e-15


@given(return_series(), st.integers(1, 5))
def test_volatility_scales_with_the_returns(returns: list[float], factor: int) -> None:
    one = calculate_risk_metrics(returns, None, periods_per_year=252).volatility
    many = calculate_risk_metrics([each * factor for each in returns], None, periods_per_year=252).volatility
    assert one is not None
    assert many == pytest.approx(factor * one, rel=1e-9, abs=1e-10)


@given(
    st.lists(ANYTHING, max_size=20),
    st.data(),
    st.one_of(st.none(), ANYTHING),
    st.one_of(st.none(), ANYTHING),
    st.one_of(st.none(), st.floats(-2.0, 2.0)),
    st.sampled_from([0, 1]),
)
def test_anything_finite_gives_a_finite_number_or_a_reason(
    returns: list[float],
    data: st.DataObject,
    annual: float | None,
    annual_benchmark: float | None,
    risk_free: float | None,
    ddof: int,
) -> None:
    benchmark = data.draw(st.one_of(st.none(), st.lists(ANYTHING, min_size=len(returns), max_size=len(returns))))
    found = calculate_risk_metrics(
        returns, annual, benchmark, annual_benchmark, risk_free, periods_per_year=252, ddof=ddof
    )
    for name, value in every_metric(found).items():
        assert (value is None) == (name in found.undefined), name
        assert value is None or isfinite(value), name


def test_every_metric_has_a_place_in_the_row() -> None:
    assert set(RiskMetrics._fields) <= set(PeriodResult.model_fields)


def test_refuses_what_is_not_a_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        calculate_risk_metrics([0.1, float("nan")], None, periods_per_year=252)
    with pytest.raises(ValueError, match="2 benchmark returns for 1"):
        calculate_risk_metrics([0.1], None, [0.1, 0.2], periods_per_year=252)


@given(return_series())
def test_linking_is_the_growth_of_wealth(returns: list[float]) -> None:
    assert link_returns(returns) == pytest.approx(np.cumprod(1 + np.array(returns))[-1] - 1, rel=1e-12, abs=1e-12)
