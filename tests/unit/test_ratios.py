"""Ratios where they stop being defined, and what must hold wherever they are."""

import inspect
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common import ratios
from common.calculations import calculate_risk_metrics
from tests.golden.reading import read

Measure = Callable[..., float | None]

MEASURES: dict[str, Measure] = {
    name: measure for name in ratios.__all__ if inspect.isfunction(measure := getattr(ratios, name))
}
AGAINST_BENCHMARK = {name for name in MEASURES if "benchmark_returns" in inspect.signature(MEASURES[name]).parameters}
A_YEAR = {name for name in MEASURES if "periods_per_year" in inspect.signature(MEASURES[name]).parameters}
COMPOUNDED = A_YEAR - {"systematic_risk", "specific_risk", "total_risk"}

ORDINARY = [0.02, -0.01, 0.03, -0.02, 0.04, -0.03, 0.01]
MARKET = [0.01, -0.02, 0.02, -0.01, 0.03, -0.04, 0.02]


def call(name: str, returns: Sequence[float], benchmark: Sequence[float] = MARKET, **options: float) -> float | None:
    """Call a measure with what its signature asks for."""
    parameters = inspect.signature(MEASURES[name]).parameters
    given = {"benchmark_returns": benchmark, "periods_per_year": 12.0, "sharpe_ratio": 0.5} | options
    return MEASURES[name](returns, **{key: value for key, value in given.items() if key in parameters})


def undefined(returns: Sequence[float], benchmark: Sequence[float]) -> set[str]:
    return {name for name in MEASURES if call(name, returns, benchmark) is None}


# ---- undefined ----------------------------------------------------------------------------------------------------


def test_all_are_defined_for_ordinary_returns() -> None:
    assert undefined(ORDINARY, MARKET) == set()


@pytest.mark.parametrize("returns", [[], [0.01]], ids=["none", "one"])
def test_below_two_returns_nothing_is_defined(returns: list[float]) -> None:
    assert undefined(returns, returns) == MEASURES.keys()


DIVIDED_BY_A_LOSS = {
    "martin_ratio",
    "omega_ratio",
    "omega_sharpe_ratio",
    "pain_ratio",
    "upside_potential_ratio",
    "variability_skewness",
    "volatility_skewness",
    "m2_sortino",
}
DIVIDED_BY_DISPERSION = {
    "adjusted_sharpe_ratio",
    "m_squared",
    "m_squared_excess",
    "modified_cvar",
    "modified_var",
    "sample_kurtosis",
    "sample_skewness",
    "skewness_kurtosis_ratio",
}


# 0.1 has no exact float: the deviations from its mean are rounding, not zero.
@pytest.mark.parametrize("each", [0.01, 0.1, 1 / 3])
def test_constant_gains_have_no_dispersion_and_no_loss_to_divide_by(each: float) -> None:
    assert undefined([each] * 7, MARKET) == DIVIDED_BY_A_LOSS | DIVIDED_BY_DISPERSION


def test_returns_of_nothing_have_no_tails_either() -> None:
    assert undefined([0.0] * 7, MARKET) == DIVIDED_BY_A_LOSS | DIVIDED_BY_DISPERSION | {"tail_ratio"}


@pytest.mark.parametrize("each", [0.0, 0.1, -0.1])
def test_a_constant_benchmark_has_no_beta(each: float) -> None:
    regressions = {"bear_beta", "bull_beta", "regression_alpha", "specific_risk", "systematic_risk", "total_risk"}
    assert undefined(ORDINARY, [each] * 7) == regressions


def test_a_benchmark_that_never_fell_has_no_bear_beta() -> None:
    assert undefined(ORDINARY, [abs(each) for each in MARKET]) == {"bear_beta"}


# Two such losses make a positive product, and still nobody was left to earn it.
@pytest.mark.parametrize("losses", [[-1.01], [-1.5, -1.5]], ids=["once", "twice"])
def test_no_return_a_year_after_a_loss_of_more_than_everything(losses: list[float]) -> None:
    returns = [*ORDINARY[: -len(losses)], *losses]
    assert undefined(returns, MARKET) == COMPOUNDED


def test_a_benchmark_that_lost_everything_leaves_nothing_to_exceed() -> None:
    assert undefined(ORDINARY, [*MARKET[:-1], -1.0]) == {"m_squared_excess"}


@pytest.mark.parametrize(("measure", "least"), [(ratios.sample_skewness, 3), (ratios.sample_kurtosis, 4)])
def test_correcting_for_bias_needs_enough_returns(measure: Measure, least: int) -> None:
    assert measure(ORDINARY[: least - 1]) is None
    assert measure(ORDINARY[:least]) is not None


def test_a_divisor_of_nothing_is_undefined() -> None:
    assert ratios.semi_deviation(ORDINARY[:2], ddof=2) is None
    assert ratios.semi_deviation(ORDINARY[:3], ddof=2) is not None


@pytest.mark.parametrize("returns", [[0.01, 0.02], [-0.01, -0.02]], ids=["no loss", "no gain"])
def test_upside_potential_over_its_own_returns_needs_both_kinds(returns: list[float]) -> None:
    assert ratios.upside_potential_ratio(returns, each_over_own=True) is None


# ---- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(MEASURES))
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_a_number_is_refused(name: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        call(name, [*ORDINARY[:-1], wrong])


@pytest.mark.parametrize("name", sorted(AGAINST_BENCHMARK))
def test_series_of_two_lengths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="6 benchmark returns for 7"):
        call(name, ORDINARY, MARKET[:-1])


def test_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="flat"):
        ratios.ulcer_index(np.zeros((3, 2)))


@pytest.mark.parametrize("name", sorted(COMPOUNDED))
def test_a_year_has_periods(name: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        call(name, ORDINARY, periods_per_year=0.0)


@pytest.mark.parametrize("measure", [ratios.gaussian_var, ratios.gaussian_cvar, ratios.modified_var])
@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_confidence_is_neither_nothing_nor_all(measure: Measure, confidence: float) -> None:
    with pytest.raises(ValueError, match="in the range"):
        measure(ORDINARY, confidence)


# ---- values that the published cases leave open -------------------------------------------------------------------


def test_a_loss_of_everything_is_a_return_of_minus_one() -> None:
    assert ratios.geometric_return([0.1, -1.0, 0.2], periods_per_year=12) == -1.0


def test_the_first_loss_counts_from_the_start() -> None:
    assert ratios.pain_index([-0.1, 0.0]) == pytest.approx(0.1)
    assert ratios.ulcer_index([-0.1, 1 / 9]) == pytest.approx(0.1 / math.sqrt(2))


def test_the_risk_free_rate_is_of_a_year() -> None:
    returns, benchmark = [0.2, -0.1], [0.1, -0.2]
    gain = 1.2 * 0.9 - 1.0
    assert ratios.martin_ratio(returns, 0.02, periods_per_year=2) == pytest.approx((gain - 0.02) / math.sqrt(0.01 / 2))
    assert ratios.pain_ratio(returns, 0.02, periods_per_year=2) == pytest.approx((gain - 0.02) / 0.05)
    # Both spread 0.15 around their mean.
    assert ratios.m_squared(returns, benchmark, 0.02, periods_per_year=2) == pytest.approx(gain)
    doubled = [0.35, -0.25]
    levered = (1.35 * 0.75 - 1.0 - 0.02) / 2 + 0.02
    assert ratios.m_squared(doubled, benchmark, 0.02, periods_per_year=2) == pytest.approx(levered)


def test_what_meets_the_target_is_neither_above_nor_below_it() -> None:
    returns = [0.03, 0.01, 0.01, -0.01]
    assert ratios.downside_frequency(returns, 0.01) == 0.25
    assert ratios.upside_potential_ratio(returns, 0.01, each_over_own=True) == pytest.approx(1.0)
    assert ratios.upside_potential_ratio(returns, 0.01) == pytest.approx(0.02 / 4 / math.sqrt(0.02**2 / 4))


def test_systematic_risk_is_positive_where_beta_is_negative() -> None:
    inverse = [-2.0 * each for each in MARKET]
    volatility = calculate_risk_metrics(inverse, None, periods_per_year=12).volatility
    assert ratios.systematic_risk(inverse, MARKET, periods_per_year=12) == pytest.approx(volatility)
    assert ratios.specific_risk(inverse, MARKET, periods_per_year=12) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("found", "printed"),
    [
        (lambda r: ratios.volatility_skewness(r, 0.005), 1.32),
        (ratios.pain_index, 0.04),
    ],
    ids=["volatility skewness", "pain index"],
)
def test_bacon_as_the_manual_of_performance_analytics_quotes_him(found: Measure, printed: float) -> None:
    assert found(read("risk")["datasets"]["bacon"]["portfolio"]) == pytest.approx(printed, abs=0.005)


# ---- laws ---------------------------------------------------------------------------------------------------------

ANYTHING = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.just(0.0), st.floats(-1.0, 1.0))
PAIRS_OF_ANYTHING = st.lists(st.tuples(ANYTHING, ANYTHING), max_size=12)
PAIRS = st.lists(st.tuples(st.floats(-0.3, 0.4), st.floats(-0.3, 0.4)), min_size=5, max_size=40)


@given(PAIRS_OF_ANYTHING, ANYTHING, ANYTHING)
def test_any_finite_input_gives_a_finite_number_or_none(
    pairs: list[tuple[float, float]], target: float, rate: float
) -> None:
    returns, benchmark = [r for r, _ in pairs], [b for _, b in pairs]
    for name in MEASURES:
        found = call(name, returns, benchmark, target=target, threshold=target, risk_free_rate=rate, sharpe_ratio=rate)
        assert found is None or (type(found) is float and math.isfinite(found)), name


@given(PAIRS)
def test_systematic_and_specific_risk_make_up_the_volatility(pairs: list[tuple[float, float]]) -> None:
    returns, benchmark = [r for r, _ in pairs], [b for _, b in pairs]
    assume(np.std(benchmark) > 1e-6)
    total = ratios.total_risk(returns, benchmark, periods_per_year=12)
    volatility = calculate_risk_metrics(returns, None, periods_per_year=12).volatility
    assert total == pytest.approx(volatility, rel=1e-9, abs=1e-9)


@given(PAIRS)
def test_the_mean_beyond_the_value_at_risk_is_no_better_than_it(pairs: list[tuple[float, float]]) -> None:
    returns = [r for r, _ in pairs]
    for var, cvar in ((ratios.gaussian_var, ratios.gaussian_cvar), (ratios.modified_var, ratios.modified_cvar)):
        at, beyond = var(returns), cvar(returns)
        assert (at is None) is (beyond is None)
        if at is not None and beyond is not None:
            assert beyond <= at + 1e-12


@given(PAIRS, st.floats(-0.1, 0.1))
def test_omega_sharpe_is_omega_less_one(pairs: list[tuple[float, float]], threshold: float) -> None:
    returns = [r for r, _ in pairs]
    omega, sharpe = ratios.omega_ratio(returns, threshold), ratios.omega_sharpe_ratio(returns, threshold)
    assert (omega is None) is (sharpe is None)
    if omega is not None and sharpe is not None:
        assert sharpe == pytest.approx(omega - 1.0, rel=1e-9, abs=1e-6)


@given(PAIRS)
def test_at_its_own_risk_a_portfolio_keeps_its_return(pairs: list[tuple[float, float]]) -> None:
    returns = [r for r, _ in pairs]
    assume(np.std(returns) > 1e-6)
    own = ratios.geometric_return(returns, periods_per_year=12)
    assert ratios.m_squared(returns, returns, 0.03, periods_per_year=12) == pytest.approx(own)
    if min(returns) < -1e-3:
        assert ratios.m2_sortino(returns, returns, periods_per_year=12) == pytest.approx(own)
