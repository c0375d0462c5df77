"""Risk as PerformanceAnalytics, empyrical, Portfolio Performance and fava measure it, and as Bacon printed it.

Each case has one line here that says by which of our functions, and with which adaptation of sign, divisor or scale,
the peer's number is had.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest

from common import ratios as ours
from common.calculations import Reason, RiskMetrics, calculate_risk_metrics, link_returns, max_drawdown
from common.calculations.types import FloatArray
from tests.golden.reading import Case, near, parameters, read

FAMILY = read("risk")
DATASETS = FAMILY["datasets"]
CASES = FAMILY["cases"]
DEGENERATE = {case["name"]: case["peer"] for case in FAMILY["degenerate"]["cases"]}

MONTHS, WEEKS, DAYS = 12.0, 52.0, 252.0
TARGET = 0.005
"""The minimum acceptable return a month of Bacon's examples."""


def risk(
    returns: FloatArray,
    benchmark: FloatArray | None = None,
    *,
    k: float = 1.0,
    ddof: int = 0,
    rf: float = 0.0,
    annualized: float | None = None,
) -> RiskMetrics:
    """Calculate the metrics with compounded annual returns; per period and without a scale where `k` is 1."""
    return calculate_risk_metrics(
        returns,
        ours.geometric_return(returns, periods_per_year=k) if annualized is None else annualized,
        benchmark,
        None if benchmark is None else ours.geometric_return(benchmark, periods_per_year=k),
        rf,
        periods_per_year=k,
        ddof=ddof,
    )


# ---- PerformanceAnalytics and Bacon -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Monthly:
    """A portfolio, its benchmark and, for the managers, the risk-free returns."""

    p: FloatArray
    b: FloatArray
    rf: FloatArray

    @classmethod
    def named(cls, name: str) -> "Monthly":
        data = DATASETS[name]
        p = np.array(data["portfolio"], dtype=np.float64)
        return cls(p, np.array(data["benchmark"], dtype=np.float64), np.array(data.get("risk_free", np.zeros(p.size))))


MONTHLY: dict[str, Callable[[Monthly], float | None]] = {
    "Return.cumulative": lambda d: link_returns(d.p),
    "StdDev.annualized": lambda d: risk(d.p, k=MONTHS, ddof=1).volatility,
    "StdDev.pop": lambda d: risk(d.p).volatility,
    "SharpeRatio.monthly.rf0": lambda d: risk(d.p, ddof=1).sharpe_ratio_arithmetic,
    "maxDrawdown": lambda d: risk(d.p).max_drawdown,
    "CalmarRatio": lambda d: risk(d.p, k=MONTHS).calmar_ratio,
    "SterlingRatio": lambda d: ours.sterling_ratio(d.p, periods_per_year=MONTHS),
    "SortinoRatio.MAR0.005": lambda d: risk(d.p, rf=TARGET, annualized=float(d.p.mean())).sortino_ratio,
    "SemiDeviation": lambda d: ours.semi_deviation(d.p),
    "SFM.beta": lambda d: risk(d.p, d.b).beta,
    "SFM.alpha": lambda d: ours.regression_alpha(d.p, d.b),
    "SFM.jensenAlpha": lambda d: risk(d.p, d.b, k=MONTHS).alpha,
    # The peer compounds its 3 %/12 a month.
    "SFM.jensenAlpha.rf": lambda d: risk(d.p, d.b, k=MONTHS, rf=link_returns([0.03 / 12] * 12)).alpha,
    "CAPM.beta.bull": lambda d: ours.bull_beta(d.p, d.b),
    "CAPM.beta.bear": lambda d: ours.bear_beta(d.p, d.b),
    "TrackingError": lambda d: risk(d.p, d.b, k=MONTHS, ddof=1).tracking_error,
    "ActivePremium": lambda d: risk(d.p, d.b, k=MONTHS).excess_return,
    "InformationRatio": lambda d: risk(d.p, d.b, k=MONTHS, ddof=1).information_ratio,
    "UpCapture": lambda d: risk(d.p, d.b).up_capture,
    "DownCapture": lambda d: risk(d.p, d.b).down_capture,
    "VaR.historical95": lambda d: risk(d.p).var,
    "VaR.gaussian95": lambda d: ours.gaussian_var(d.p),
    "VaR.modified95": lambda d: ours.modified_var(d.p),
    "skewness.fisher": lambda d: ours.sample_skewness(d.p),
    # The peer's moment kurtosis is not in excess.
    "kurtosis.moment": lambda d: known(risk(d.p).kurtosis) + 3.0,
    "kurtosis.sample": lambda d: ours.sample_kurtosis(d.p),
    # The peer takes the arithmetic Sharpe ratio, Bacon that of the compounded return: BACON below.
    "AdjustedSharpeRatio": lambda d: ours.adjusted_sharpe_ratio(
        d.p, risk(d.p, k=MONTHS, ddof=1).sharpe_ratio_arithmetic
    ),
    "DownsideFrequency": lambda d: ours.downside_frequency(d.p, TARGET),
    "M2Sortino": lambda d: ours.m2_sortino(d.p, d.b, TARGET, periods_per_year=MONTHS),
    "MSquared": lambda d: ours.m_squared(d.p, d.b, periods_per_year=MONTHS),
    "MSquaredExcess": lambda d: ours.m_squared_excess(d.p, d.b, periods_per_year=MONTHS),
    "MartinRatio": lambda d: ours.martin_ratio(d.p, periods_per_year=MONTHS),
    "UlcerIndex": lambda d: ours.ulcer_index(d.p),
    "Selectivity": lambda d: risk(d.p, d.b, k=MONTHS).alpha,
    "OmegaExcessReturn": lambda d: ours.omega_excess_return(d.p, d.b, TARGET, periods_per_year=MONTHS),
    "OmegaSharpeRatio": lambda d: ours.omega_sharpe_ratio(d.p, TARGET),
    "PainRatio": lambda d: ours.pain_ratio(d.p, periods_per_year=MONTHS),
    "SpecificRisk": lambda d: ours.specific_risk(d.p, d.b, periods_per_year=MONTHS),
    # The peer mixes the sample's deviation of the benchmark with the population's of the residuals.
    "TotalRisk": lambda d: ours.total_risk(d.p, d.b, periods_per_year=MONTHS, ddof=1),
    "UpsideRisk": lambda d: ours.upside_risk(d.p, TARGET),
    "UpsidePotentialRatio": lambda d: ours.upside_potential_ratio(d.p, TARGET, each_over_own=True),
    "VariabilitySkewness": lambda d: ours.variability_skewness(d.p, TARGET),
    "SkewnessKurtosisRatio": lambda d: ours.skewness_kurtosis_ratio(d.p),
    # Over excess returns the risk-free rate is nil.
    "mg.SharpeRatio.annualized": lambda d: risk(d.p - d.rf, k=MONTHS, ddof=1).sharpe_ratio_arithmetic,
    "mg.SharpeRatio": lambda d: risk(d.p - d.rf, ddof=1).sharpe_ratio_arithmetic,
    "mg.SFM.alpha": lambda d: ours.regression_alpha(d.p - d.rf, d.b - d.rf),
    "mg.InformationRatio": lambda d: risk(d.p, d.b, k=MONTHS, ddof=1).information_ratio,
    "mg.DownCapture": lambda d: risk(d.p, d.b).down_capture,
    "mg.ES.gauss95": lambda d: ours.gaussian_cvar(d.p),
    "mg.ES.mod95": lambda d: ours.modified_cvar(d.p),
    "mg.skew": lambda d: risk(d.p).skewness,
    "bacon.total_risk_population": lambda d: ours.total_risk(d.p, d.b, periods_per_year=MONTHS),
    "bacon.specific_risk_population": lambda d: ours.specific_risk(d.p, d.b, periods_per_year=MONTHS),
    "bacon.jensen_alpha_annualised_geometric": lambda d: risk(d.p, d.b, k=MONTHS).alpha,
    "bacon.volatility_population_monthly": lambda d: risk(d.p).volatility,
    "bacon.volatility_population_annualised": lambda d: risk(d.p, k=MONTHS).volatility,
    "bacon.up_capture_geometric": lambda d: risk(d.p, d.b).up_capture,
    "bacon.upside_potential_ratio_full_over_full": lambda d: ours.upside_potential_ratio(d.p, TARGET),
    "bacon.skewness_fisher_pearson_unbiased": lambda d: ours.sample_skewness(d.p),
}

BACON: dict[str, Callable[[Monthly], float | None]] = {
    "AdjustedSharpeRatio": lambda d: ours.adjusted_sharpe_ratio(d.p, risk(d.p, k=MONTHS, ddof=1).sharpe_ratio),
}
"""Where the book's definition is another than the peer's, and gives the book's number."""

BOOK = [case for case in CASES if "book" in case]


def known(value: float | None) -> float:
    assert value is not None
    return value


@pytest.mark.parametrize("case", parameters([case for case in CASES if case["name"] in MONTHLY]))
def test_monthly_returns(case: Case) -> None:
    found = MONTHLY[case["name"]](Monthly.named(case["data"]))
    assert found == near(case["value"], case["tolerance"])


@pytest.mark.parametrize("case", parameters(BOOK))
def test_what_the_book_prints_to_one_unit_of_its_last_digit(case: Case) -> None:
    name = case["name"]
    found = BACON.get(name, MONTHLY[name])(Monthly.named(case["data"]))
    exponent = Decimal(str(case["book"])).as_tuple().exponent
    met = abs(known(found) - case["book"]) <= 10.0 ** int(exponent)
    assert met is (case["book_agrees"] or name in BACON)


# ---- empyrical --------------------------------------------------------------------------------------------------


def series(name: str, *, missing: float | None = None) -> FloatArray:
    """Return a series without its missing first row, or with a number in its place."""
    values = DATASETS[name]["portfolio"]
    return np.array([missing if each is None else each for each in values if each is not None or missing is not None])


def mixed_with(name: str) -> tuple[FloatArray, FloatArray]:
    """Return `mixed` and another series over the rows in which both have a number."""
    return series("mixed"), series(name)[1:]


def annual_in_down_markets(returns: FloatArray, benchmark: FloatArray) -> float | None:
    return ours.geometric_return(returns[benchmark < 0.0], periods_per_year=DAYS)


def excess_of_mixed() -> FloatArray:
    mixed, risk_free = mixed_with("simple_benchmark")
    return mixed - risk_free


def down_capture() -> float:
    mixed, negative = mixed_with("all_negative")
    return known(annual_in_down_markets(negative, mixed)) / known(annual_in_down_markets(mixed, mixed))


EMPYRICAL: dict[str, Callable[[], float | None]] = {
    "emp_cum_final_mixed": lambda: link_returns(series("mixed")),
    # The peer's drawdown is negative.
    "emp_maxdd_all_negative": lambda: -max_drawdown(series("all_negative")).value,
    "emp_maxdd_udu": lambda: -max_drawdown(series("up_down_up")).value,
    # The peer counts the missing row as a period: as a return of nil.
    "emp_annual_return_mixed_daily": lambda: ours.geometric_return(series("mixed", missing=0.0), periods_per_year=DAYS),
    "emp_annual_vol_weekly": lambda: risk(series("weekly"), k=WEEKS, ddof=1).volatility,
    "emp_annual_vol_monthly": lambda: risk(series("monthly"), k=MONTHS, ddof=1).volatility,
    "emp_calmar_mixed": lambda: risk(series("mixed", missing=0.0), k=DAYS).calmar_ratio,
    "emp_calmar_weekly": lambda: risk(series("weekly"), k=WEEKS).calmar_ratio,
    "emp_calmar_monthly": lambda: risk(series("monthly"), k=MONTHS).calmar_ratio,
    "emp_sharpe_mixed": lambda: risk(series("mixed"), k=DAYS, ddof=1).sharpe_ratio_arithmetic,
    "emp_sharpe_positive": lambda: risk(series("positive"), k=DAYS, ddof=1).sharpe_ratio_arithmetic,
    "emp_sharpe_negative": lambda: risk(series("negative"), k=DAYS, ddof=1).sharpe_ratio_arithmetic,
    "emp_sharpe_mixed_rf_series": lambda: risk(excess_of_mixed(), k=DAYS, ddof=1).sharpe_ratio_arithmetic,
    "emp_downside_mixed_0": lambda: risk(series("mixed"), k=DAYS).downside_deviation,
    # Ours takes a rate a year, the peer one a day.
    "emp_downside_mixed_0.1": lambda: risk(series("mixed"), k=DAYS, rf=1.1**DAYS - 1.0).downside_deviation,
    "emp_downside_df_one_0": lambda: risk(series("one"), k=DAYS).downside_deviation,
    # The peer's return is the arithmetic one: 252 times the mean.
    "emp_sortino_df_one": lambda: (
        risk(series("one"), k=DAYS, annualized=DAYS * float(series("one").mean())).sortino_ratio
    ),
    "emp_sortino_mixed_mar_1pct": lambda: (
        DAYS**0.5 * known(risk(series("mixed"), rf=0.01, annualized=float(series("mixed").mean())).sortino_ratio)
    ),
    "emp_beta_self": lambda: risk(series("mixed"), series("mixed")).beta,
    # The peer annualises; ours never does, and counts a flat benchmark as down.
    "emp_down_capture_allneg_mixed": down_capture,
    "emp_omega_mixed_flat1": lambda: ours.omega_ratio(series("mixed"), 0.01),
    "emp_tail_ratio_mixed": lambda: ours.tail_ratio(series("mixed")),
}


@pytest.mark.parametrize("case", parameters([case for case in CASES if case["source"] == "empyrical"]))
def test_empyrical(case: Case) -> None:
    assert EMPYRICAL[case["name"]]() == near(case["value"], case["tolerance"])


# ---- Portfolio Performance, fava, the specification -------------------------------------------------------------


def returns_of(wealth: list[float]) -> FloatArray:
    values = np.array(wealth, dtype=np.float64)
    return values[1:] / values[:-1] - 1.0


def cumulative_drawdown(case: Case) -> float:
    return max_drawdown(returns_of([1.0, *(1.0 + each for each in case["cumulative_returns"])])).value


def semi_deviation_of_logarithms(case: Case) -> float:
    """The peer takes logarithms, the sample's divisor, and scales to the whole period."""
    logarithms = np.log1p(case["returns"])
    return known(ours.semi_deviation(logarithms, ddof=1)) * float(np.sqrt(logarithms.size))


def sharpe_of_given_figures(case: Case) -> float | None:
    """Two returns whose population deviation is the case's volatility."""
    returns = np.array([case["vol"], -case["vol"]])
    return risk(returns, annualized=case["annual_return"], rf=case["rf"]).sharpe_ratio


OTHERS: dict[str, Callable[[Case], float | None]] = {
    "pp_semideviation_log_period": semi_deviation_of_logarithms,
    "pp_drawdown_multi_peaks": cumulative_drawdown,
    "pp_drawdown_over_100pct": cumulative_drawdown,
    "pp_vol_single": lambda case: risk(np.array(case["returns"])).volatility,
    "pp_vol_empty": lambda case: risk(np.array(case["returns"])).volatility,
    # The peer's drawdown is negative.
    "fava_mdd": lambda case: -max_drawdown(returns_of(case["prices"])).value,
    "spec_d_volatility_population": lambda case: risk(np.array(case["returns"])).volatility,
    "spec_e_sharpe": sharpe_of_given_figures,
    "spec_f_max_drawdown": lambda case: max_drawdown(returns_of(case["values"])).value,
}


@pytest.mark.parametrize("case", parameters([case for case in CASES if case["name"] in OTHERS]))
def test_other_peers_and_the_specification(case: Case) -> None:
    found = OTHERS[case["name"]](case)
    assert found == (None if case["value"] is None else near(case["value"], case["tolerance"]))


@pytest.mark.parametrize("case", parameters([case for case in CASES if "peer" in case]))
def test_where_a_peer_says_nought_and_ours_is_undefined_the_reason_is_given(case: Case) -> None:
    assert risk(np.array(case["returns"])).undefined["volatility"] == case["reason"]


def test_each_case_is_calculated() -> None:
    assert {case["name"] for case in CASES} == MONTHLY.keys() | EMPYRICAL.keys() | OTHERS.keys()


# ---- what empyrical answers to degenerate input, and what is answered here -----------------------------------------

RISING = np.array([0.01, 0.02, 0.03])
MIXED = np.array([0.01, -0.02, 0.03])
ONE = np.array([0.01])
UNDEFINED: dict[str, tuple[Callable[[], RiskMetrics], str, Reason]] = {
    "sharpe_of_constant_returns": (
        lambda: risk(np.full(10, 0.01), k=DAYS, ddof=1),
        "sharpe_ratio",
        Reason.ZERO_VOLATILITY,
    ),
    "sortino_without_downside": (lambda: risk(RISING, k=DAYS), "sortino_ratio", Reason.ZERO_DOWNSIDE_DEVIATION),
    "calmar_without_drawdown": (lambda: risk(RISING, k=DAYS), "calmar_ratio", Reason.NO_DRAWDOWN),
    "sharpe_of_one_return": (lambda: risk(ONE, k=DAYS, annualized=0.1), "sharpe_ratio", Reason.TOO_FEW_RETURNS),
    "beta_to_a_constant_benchmark": (
        lambda: risk(MIXED, np.full(3, 0.01)),
        "beta",
        Reason.ZERO_BENCHMARK_VOLATILITY,
    ),
    "volatility_of_one_return": (lambda: risk(ONE, k=DAYS), "volatility", Reason.TOO_FEW_RETURNS),
    # Two days have no return a year here, so none that could explode.
    "alpha_of_two_returns": (
        lambda: calculate_risk_metrics(MIXED[:2], None, RISING[:2], None, periods_per_year=DAYS),
        "alpha",
        Reason.ANNUALIZED_RETURN_UNDEFINED,
    ),
}


@pytest.mark.parametrize("name", list(UNDEFINED))
def test_what_is_degenerate_is_undefined_with_its_reason(name: str) -> None:
    calculate, metric, reason = UNDEFINED[name]
    found = calculate()
    assert getattr(found, metric) is None
    assert found.undefined[metric] == reason


@pytest.mark.parametrize("name", ["var_with_nan", "cvar_with_nan"])
def test_nan_is_refused(name: str) -> None:
    assert name in DEGENERATE
    with pytest.raises(ValueError, match="finite"):
        risk(np.array([0.01, np.nan, -0.1]), annualized=0.0)


def test_a_loss_of_more_than_everything_is_a_drawdown_of_more_than_everything() -> None:
    """The peer's input is not told; these returns have its drawdown."""
    assert -max_drawdown([0.1, -1.5, 0.2]).value == pytest.approx(DEGENERATE["max_drawdown_of_more_than_everything"])


def test_each_degenerate_case_is_answered() -> None:
    refused = {"var_with_nan", "cvar_with_nan", "max_drawdown_of_more_than_everything"}
    assert DEGENERATE.keys() == UNDEFINED.keys() | refused
