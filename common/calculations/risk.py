"""Risk of a series of periodic returns, alone and against a benchmark."""

from collections.abc import Sequence
from math import isfinite, isnan, sqrt
from typing import NamedTuple

import numpy as np

from common.calculations.moments import Drawdown, JointMoments, Moments, Series
from common.calculations.types import FloatArray, finite_series
from common.calculations.words import Reason

VAR_CONFIDENCE = 0.95
TAIL_SHARE = 1.0 - VAR_CONFIDENCE
# A standard deviation below this share of the mean is rounding: constant returns do not cancel to an exact zero.
_COUNTS_AS_ZERO = 1e-12


class RiskMetrics(NamedTuple):
    """Risk metrics of one period; None where undefined, with the reason in `undefined`.

    With n returns r of k periods a year, m their mean, rf the risk-free rate a year and rf_k = (1 + rf)**(1/k) - 1:

    Attributes
    ----------
    undefined
        Reason for each metric that is None.
    volatility
        sqrt(sum (r - m)**2 / (n - ddof)) * sqrt(k).
    sharpe_ratio
        (R - rf) / volatility, R the annualised return (Sharpe 1966).
    sharpe_ratio_arithmetic
        mean(r - rf_k) * k / volatility (Sharpe 1994).
    sortino_ratio
        (R - rf) / downside_deviation.
    calmar_ratio
        R / max_drawdown.
    downside_deviation
        sqrt(sum min(r - rf_k, 0)**2 / n) * sqrt(k): over all n returns (Sortino & van der Meer 1991).
    max_drawdown
        Largest fall of the linked wealth below an earlier peak, the start included, as a positive share of the peak.
    var, cvar
        The 5 % quantile of the returns (linear between order statistics) and the mean of those at or below it;
        returns, so a loss is negative.
    skewness, kurtosis
        Population moments m3 / m2**1.5 and m4 / m2**2 - 3.
    best_day, worst_day
        Largest and smallest return of a sub-period, a day where valuations are daily.
    beta
        cov(r, b) / var(b), b the benchmark's returns.
    alpha
        Jensen's: R - rf - beta (B - rf), B the benchmark's annualised return.
    correlation
        cov(r, b) / (sigma(r) sigma(b)).
    tracking_error
        sqrt(sum (a - mean(a))**2 / (n - ddof)) * sqrt(k), a = r - b.
    information_ratio
        (R - B) / tracking_error.
    up_capture, down_capture
        Linked r over linked b, over the sub-periods where b > 0, or b <= 0; never annualised.
    excess_return
        R - B; under a year, where returns are not annualised, the difference of the linked returns.
    """

    undefined: dict[str, Reason]
    volatility: float | None = None
    sharpe_ratio: float | None = None
    sharpe_ratio_arithmetic: float | None = None
    sortino_ratio: float | None = None
    calmar_ratio: float | None = None
    downside_deviation: float | None = None
    max_drawdown: float | None = None
    var: float | None = None
    cvar: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None
    best_day: float | None = None
    worst_day: float | None = None
    beta: float | None = None
    alpha: float | None = None
    correlation: float | None = None
    tracking_error: float | None = None
    information_ratio: float | None = None
    up_capture: float | None = None
    down_capture: float | None = None
    excess_return: float | None = None

    @classmethod
    def all_undefined(cls, reason: Reason, benchmark_reason: Reason | None = None) -> "RiskMetrics":
        """Return metrics of which none is defined; those against a benchmark for a reason of their own, if given."""
        undefined = dict.fromkeys(RISK_METRICS, reason)
        if benchmark_reason is not None:
            undefined |= dict.fromkeys(BENCHMARK_METRICS, benchmark_reason)
        return cls(undefined)


RISK_METRICS = tuple(name for name in RiskMetrics._fields if name != "undefined")
BENCHMARK_METRICS = RISK_METRICS[RISK_METRICS.index("beta") :]
"""The metrics that need a benchmark."""


class Basis(NamedTuple):
    """What the metrics of a period depend on besides its returns.

    Attributes
    ----------
    risk_free
        Rate a year.
    target
        The same, a period.
    k
        Periods in a year.
    root_k
        sqrt(k).
    ddof
        0 for the population's standard deviation, 1 for a sample's.
    """

    risk_free: float
    target: float
    k: float
    root_k: float
    ddof: int

    @classmethod
    def of(cls, risk_free_rate: float | None, periods_per_year: float, ddof: int = 0) -> "Basis":
        """Take the conventions of `calculate_risk_metrics`."""
        if not periods_per_year > 0.0:
            raise ValueError("periods_per_year must be positive")
        risk_free = risk_free_rate or 0.0
        return cls(risk_free, _per_period(risk_free, periods_per_year), periods_per_year, sqrt(periods_per_year), ddof)


class _Metrics(dict[str, float]):
    """Values as they are found, and the reasons of those that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.undefined: dict[str, Reason] = {}

    def miss(self, reason: Reason, *names: str) -> None:
        self.undefined |= dict.fromkeys(names, reason)

    def result(self) -> RiskMetrics:
        if not isfinite(sum(self.values())):  # where it is, all of them are
            for name in [name for name, value in self.items() if not isfinite(value)]:
                self.miss(Reason.OUT_OF_RANGE, name)
                del self[name]
        return RiskMetrics(self.undefined, **self)


def calculate_risk_metrics(
    returns: Sequence[float] | FloatArray,
    annualized_return: float | None,
    benchmark_returns: Sequence[float] | FloatArray | None = None,
    annualized_benchmark_return: float | None = None,
    risk_free_rate: float | None = None,
    *,
    periods_per_year: float,
    ddof: int = 0,
) -> RiskMetrics:
    """Return the risk metrics of periodic returns; `RiskMetrics` tells each formula.

    Parameters
    ----------
    returns : (n,) array_like
        Simple returns of equally long periods; 0.01 is 1 %.
    annualized_return
        Return a year over the whole period; None where it is undefined, as under a year.
    benchmark_returns : (n,) array_like, optional
        Returns of the benchmark over the same periods.
    annualized_benchmark_return
        As `annualized_return`, for the benchmark.
    risk_free_rate
        A year; 0 when None.
    periods_per_year
        How many of the periods make a year: 252 for business days.
    ddof
        0 for the population's standard deviation, 1 for a sample's.

    Returns
    -------
    RiskMetrics
        Below two returns the dispersion is undefined (`too_few_returns`); below one everything is.

    Raises
    ------
    ValueError
        A return is not finite, the lengths differ, or `periods_per_year` is not positive.
    """
    r = finite_series(returns, "returns")
    with np.errstate(all="ignore"):  # what is not finite in the end is reported as out_of_range
        basis = Basis.of(risk_free_rate, periods_per_year, ddof)
        b = None if benchmark_returns is None else finite_series(benchmark_returns, "benchmark_returns")
        if b is not None and b.size != r.size:
            raise ValueError(f"{b.size} benchmark returns for {r.size} returns")
        if r.size == 0:
            return RiskMetrics.all_undefined(Reason.TOO_FEW_RETURNS, Reason.NO_BENCHMARK if b is None else None)
        series = Series([r])
        (alone,) = series.moments(basis.target, TAIL_SHARE)
        if b is None:
            return risk_metrics(alone, annualized_return, basis)
        (joint,) = series.joint_moments(Series([b]))
        return risk_metrics(alone, annualized_return, basis, joint, annualized_benchmark_return)


def risk_metrics(
    alone: Moments,
    annualized_return: float | None,
    basis: Basis,
    joint: JointMoments | None = None,
    annualized_benchmark_return: float | None = None,
) -> RiskMetrics:
    """Return the risk metrics of returns of which the moments are known; `RiskMetrics` tells each formula."""
    found = _Metrics()
    _alone(found, alone, annualized_return, basis)
    if joint is None:
        found.miss(Reason.NO_BENCHMARK, *BENCHMARK_METRICS)
    else:
        _against(found, alone, joint, annualized_return, annualized_benchmark_return, basis)
    return found.result()


def max_drawdown(returns: Sequence[float] | FloatArray) -> Drawdown:
    """Return the largest fall of the wealth that `returns` make of 1, as a positive share of the peak before it.

    Parameters
    ----------
    returns : (n,) array_like
        A return below -100 % makes a drawdown over 1.
    """
    array = np.asarray(returns, dtype=np.float64)
    return Series([array]).drawdowns()[0] if array.size else Drawdown(0.0)


_SPREAD = ("volatility", "downside_deviation", "var", "cvar", "skewness", "kurtosis")
_RATIOS = ("sharpe_ratio", "sharpe_ratio_arithmetic", "sortino_ratio")


def _alone(found: _Metrics, alone: Moments, annualized: float | None, basis: Basis) -> None:
    n, mean = alone.n, alone.mean
    found["best_day"] = alone.highest
    found["worst_day"] = alone.lowest
    found["max_drawdown"] = fall = alone.drawdown.value
    if annualized is None:
        found.miss(Reason.ANNUALIZED_RETURN_UNDEFINED, "sharpe_ratio", "sortino_ratio", "calmar_ratio")
    elif fall == 0.0:
        found.miss(Reason.NO_DRAWDOWN, "calmar_ratio")
    else:
        found["calmar_ratio"] = annualized / fall
    if n < 2 or n <= basis.ddof:
        found.miss(Reason.TOO_FEW_RETURNS, *_SPREAD, *_RATIOS)
        return

    sigma = _deviation(alone.squares, n - basis.ddof, mean)
    found["volatility"] = volatility = sigma * basis.root_k
    found["downside_deviation"] = downside = sqrt(alone.below / n * basis.k)
    found["var"] = alone.quantile
    found["cvar"] = alone.tail

    if sigma == 0.0:
        found.miss(Reason.ZERO_VOLATILITY, "sharpe_ratio", "sharpe_ratio_arithmetic", "skewness", "kurtosis")
    elif not isfinite(alone.squares):
        found.miss(Reason.OUT_OF_RANGE, "sharpe_ratio", "sharpe_ratio_arithmetic", "skewness", "kurtosis")
    else:
        found["skewness"] = alone.cubes / n
        found["kurtosis"] = alone.fourths / n - 3.0
        found["sharpe_ratio_arithmetic"] = (mean - basis.target) * basis.k / volatility
        if annualized is not None:
            found["sharpe_ratio"] = (annualized - basis.risk_free) / volatility
    if downside <= _COUNTS_AS_ZERO * max(1.0, abs(mean)):
        found.miss(Reason.ZERO_DOWNSIDE_DEVIATION, "sortino_ratio")
    elif annualized is not None:
        found["sortino_ratio"] = (annualized - basis.risk_free) / downside


def _against(
    found: _Metrics,
    alone: Moments,
    joint: JointMoments,
    portfolio: float | None,
    benchmark: float | None,
    basis: Basis,
) -> None:
    n = alone.n
    if portfolio is None or benchmark is None:
        found["excess_return"] = joint.growth - joint.benchmark_growth
        found.miss(Reason.ANNUALIZED_RETURN_UNDEFINED, "alpha", "information_ratio")
    else:
        found["excess_return"] = portfolio - benchmark
    for name, growth, of_benchmark, missing in (
        ("up_capture", joint.up, joint.benchmark_up, Reason.NO_UP_PERIODS),
        ("down_capture", joint.down, joint.benchmark_down, Reason.NO_DOWN_PERIODS),
    ):
        if of_benchmark == 1.0:
            found.miss(missing, name)
        else:
            found[name] = (growth - 1.0) / (of_benchmark - 1.0)
    if n < 2 or n <= basis.ddof:
        found.miss(Reason.TOO_FEW_RETURNS, "beta", "alpha", "correlation", "tracking_error", "information_ratio")
        return

    found["tracking_error"] = error = _deviation(joint.active_squares, n - basis.ddof, joint.active_mean) * basis.root_k
    if error == 0.0:
        found.miss(Reason.ZERO_TRACKING_ERROR, "information_ratio")
    elif portfolio is not None and benchmark is not None:
        found["information_ratio"] = (portfolio - benchmark) / error

    if _deviation(joint.squares, n, joint.mean) == 0.0:
        found.miss(Reason.ZERO_BENCHMARK_VOLATILITY, "beta", "alpha", "correlation")
        return
    found["beta"] = beta = joint.product / joint.squares
    if portfolio is not None and benchmark is not None:
        found["alpha"] = portfolio - basis.risk_free - beta * (benchmark - basis.risk_free)
    if _deviation(alone.squares, n, alone.mean) == 0.0:
        found.miss(Reason.ZERO_VOLATILITY, "correlation")
    else:
        correlation = joint.product / sqrt(alone.squares) / sqrt(joint.squares)
        # Rounding may carry a perfect correlation beyond 1; `not a number` stays what it is.
        found["correlation"] = correlation if isnan(correlation) else min(max(correlation, -1.0), 1.0)


def _deviation(squares: float, divisor: int, mean: float) -> float:
    """Return the standard deviation of a sum of squares, exactly 0 where it is only rounding."""
    sigma = sqrt(squares / divisor)
    return 0.0 if sigma <= _COUNTS_AS_ZERO or sigma <= _COUNTS_AS_ZERO * abs(mean) else sigma


def _per_period(annual_rate: float, periods_per_year: float) -> float:
    """Return the rate a period that compounds to `annual_rate`."""
    if annual_rate == 0.0:
        return 0.0
    return float(np.expm1(np.log1p(annual_rate) / periods_per_year)) if annual_rate > -1.0 else -1.0
