"""Further measures of the literature, over the returns of equally long periods.

`calculate_risk_metrics` has the measures every result carries; here are those an analyst asks for beside them.
Formulas follow Bacon, *Practical Portfolio Performance Measurement and Attribution* (2nd ed., 2008, ch. 4) unless
another source is named.

Every measure takes simple returns (0.01 is 1 %) as an (n,) array_like, and answers with a `float` or, where it is
undefined, None: below two returns; where a denominator is zero or only rounding; where it needs the compounded return
and a period lost more than everything; where no float holds the result. What further makes one undefined is said
there. Every measure raises `ValueError` where a return is not a finite number or the lengths of two series differ.

Rates named `target` and `threshold` are those of one period; `risk_free_rate` and every annualised return are those of
a year, compounded. A regression on excess returns is had by passing excess returns.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from statistics import NormalDist
from typing import ParamSpec

import numpy as np

from common.calculations.returns import link_returns
from common.calculations.risk import VAR_CONFIDENCE, RiskMetrics, calculate_risk_metrics, max_drawdown
from common.calculations.types import FloatArray, finite_series

STERLING_EXCESS = 0.10
"""What the ratio adds to the drawdown; Deane Sterling Jones's own figure."""

Returns = Sequence[float] | FloatArray
_P = ParamSpec("_P")
_COUNTS_AS_ZERO = 1e-12  # of a return: what is left where equal numbers were subtracted


class _UndefinedError(Exception):
    """A formula met something it has no answer for; never leaves this module."""


def _measure(formula: Callable[_P, float]) -> Callable[_P, float | None]:
    """Let a formula be written without its undefined cases: they, and what no float holds, become None."""

    @wraps(formula)
    def measured(*args: _P.args, **kwargs: _P.kwargs) -> float | None:
        try:
            with np.errstate(all="ignore"):
                value = float(formula(*args, **kwargs))
        except _UndefinedError:
            return None
        return value if np.isfinite(value) else None

    return measured


# ---- return a year ----------------------------------------------------------------------------------------------


@_measure
def geometric_return(returns: Returns, *, periods_per_year: float) -> float:
    """Return (prod (1 + r)) ** (k / n) - 1, the compounded return a year.

    The part of the ratios below. It extrapolates what is shorter than a year; a figure that is shown takes
    `annualize_return`, which refuses to.
    """
    return _per_year(_series(returns), periods_per_year)


# ---- return to drawdown -----------------------------------------------------------------------------------------


@_measure
def sterling_ratio(returns: Returns, *, periods_per_year: float, excess: float = STERLING_EXCESS) -> float:
    """Return R / (max drawdown + excess), R the compounded return a year.

    After Deane Sterling Jones, with the maximum drawdown where he averaged the largest of each year.
    """
    r = _series(returns)
    return _ratio(_per_year(r, periods_per_year), max_drawdown(r).value + excess)


@_measure
def ulcer_index(returns: Returns) -> float:
    """Return sqrt(sum D**2 / n), D the fall of wealth below its peak after each return (Martin & McCann 1989)."""
    return _root_mean_square(_falls(_series(returns)))


@_measure
def martin_ratio(returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float) -> float:
    """Return (R - rf) / ulcer index; None without a drawdown (Martin & McCann 1989)."""
    r = _series(returns)
    return _ratio(_per_year(r, periods_per_year) - risk_free_rate, _root_mean_square(_falls(r)))


@_measure
def pain_index(returns: Returns) -> float:
    """Return sum D / n, D the fall of wealth below its peak after each return (Zephyr Associates 2006)."""
    return float(_falls(_series(returns)).mean())


@_measure
def pain_ratio(returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float) -> float:
    """Return (R - rf) / pain index; None without a drawdown (Zephyr Associates 2006)."""
    r = _series(returns)
    return _ratio(_per_year(r, periods_per_year) - risk_free_rate, float(_falls(r).mean()))


# ---- above and below a target -----------------------------------------------------------------------------------


@_measure
def semi_deviation(returns: Returns, *, ddof: int = 0) -> float:
    """Return sqrt(sum min(r - mean, 0)**2 / (n - ddof)), per period (Markowitz 1959); None for n <= ddof."""
    r = _series(returns, least=max(2, ddof + 1))
    below = _below(r, float(r.mean()))
    return float(np.sqrt(below @ below / (r.size - ddof)))


@_measure
def downside_frequency(returns: Returns, target: float = 0.0) -> float:
    """Return the share of the returns that are below `target`."""
    return float((_series(returns) < target).mean())


@_measure
def upside_risk(returns: Returns, target: float = 0.0) -> float:
    """Return sqrt(sum max(r - target, 0)**2 / n), per period: the other half of the downside deviation."""
    return _root_mean_square(_above(_series(returns), target))


@_measure
def upside_potential_ratio(returns: Returns, target: float = 0.0, *, each_over_own: bool = False) -> float:
    """Return mean max(r - target, 0) / downside deviation (Sortino, van der Meer & Plantinga 1999).

    Parameters
    ----------
    each_over_own
        Average the gains over the returns above `target` alone, and the squared losses over those below; otherwise,
        as the authors do, both over all n.
    """
    r = _series(returns)
    above, below = _above(r, target), _below(r, target)
    if each_over_own:
        above, below = above[r > target], below[r < target]
    if above.size == 0 or below.size == 0:
        raise _UndefinedError
    return _ratio(float(above.mean()), _root_mean_square(below))


@_measure
def omega_ratio(returns: Returns, threshold: float = 0.0) -> float:
    """Return sum max(r - threshold, 0) / sum max(threshold - r, 0) (Keating & Shadwick 2002)."""
    r = _series(returns)
    return _ratio(float(_above(r, threshold).mean()), float(-_below(r, threshold).mean()))


@_measure
def omega_sharpe_ratio(returns: Returns, threshold: float = 0.0) -> float:
    """Return (mean - threshold) / mean max(threshold - r, 0), which is omega - 1 (Kazemi, Schneeweis & Gupta 2004)."""
    r = _series(returns)
    return _ratio(float((r - threshold).mean()), float(-_below(r, threshold).mean()))


@_measure
def variability_skewness(returns: Returns, target: float = 0.0) -> float:
    """Return upside risk / downside deviation."""
    r = _series(returns)
    return _ratio(_root_mean_square(_above(r, target)), _root_mean_square(_below(r, target)))


@_measure
def volatility_skewness(returns: Returns, target: float = 0.0) -> float:
    """Return upside variance / downside variance: the square of `variability_skewness`."""
    variability = _known(variability_skewness(returns, target))
    return variability * variability


# ---- shape and tails --------------------------------------------------------------------------------------------


@_measure
def sample_skewness(returns: Returns) -> float:
    """Return S sqrt(n (n - 1)) / (n - 2), S the population's skewness (Fisher-Pearson); None for n < 3."""
    n = _series(returns, least=3).size
    return _known(_metrics(returns).skewness) * float(np.sqrt(n * (n - 1))) / (n - 2)


@_measure
def sample_kurtosis(returns: Returns) -> float:
    """Return n (n + 1) / ((n - 1) (n - 2) (n - 3)) sum ((r - mean) / s)**4, s the sample's; None for n < 4.

    Not in excess of the normal distribution's: that is had by subtracting 3 (n - 1)**2 / ((n - 2) (n - 3)).
    """
    n = _series(returns, least=4).size
    kurtosis = _known(_metrics(returns).kurtosis) + 3.0
    return kurtosis * (n + 1) * (n - 1) / ((n - 2) * (n - 3))


@_measure
def skewness_kurtosis_ratio(returns: Returns) -> float:
    """Return skewness / kurtosis of the population, the kurtosis not in excess (Watanabe 2006)."""
    metrics = _metrics(returns)
    return _ratio(_known(metrics.skewness), _known(metrics.kurtosis) + 3.0)


@_measure
def adjusted_sharpe_ratio(returns: Returns, sharpe_ratio: float | None) -> float:
    """Return SR (1 + S/6 SR - K/24 SR**2), S skewness and K excess kurtosis (Pezier & White 2006).

    Parameters
    ----------
    sharpe_ratio
        Of `returns`, by whichever convention; None makes the result None.
    """
    metrics, ratio = _metrics(returns), _known(sharpe_ratio)
    skewness, kurtosis = _known(metrics.skewness), _known(metrics.kurtosis)
    return ratio * (1.0 + skewness / 6.0 * ratio - kurtosis / 24.0 * ratio * ratio)


@_measure
def tail_ratio(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return |quantile at confidence| / |quantile at 1 - confidence|, linear between order statistics."""
    r = _series(returns)
    gain, loss = np.abs(np.quantile(r, [confidence, 1.0 - confidence])).tolist()
    return _ratio(gain, loss)


@_measure
def gaussian_var(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return mean + z sigma, z the normal quantile of 1 - confidence and sigma the population's.

    A return, so a loss is negative; so are the three below.
    """
    r, z = _series(returns), _quantile(confidence)
    return float(r.mean()) + z * _sigma(r)


@_measure
def gaussian_cvar(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return mean - sigma phi(z) / (1 - confidence), the mean of a normal distribution's returns below its VaR."""
    r, z = _series(returns), _quantile(confidence)
    return float(r.mean()) - _sigma(r) * NormalDist().pdf(z) / (1.0 - confidence)


@_measure
def modified_var(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return mean + h sigma, h the Cornish-Fisher quantile of skewness S and excess kurtosis K (Favre & Galeano 2002).

    h = z + (z**2 - 1) S / 6 + (z**3 - 3 z) K / 24 - (2 z**3 - 5 z) S**2 / 36; None for constant returns.
    """
    r = _series(returns)
    metrics = _metrics(r)
    return float(r.mean()) + _cornish_fisher(metrics, confidence) * _sigma(r)


@_measure
def modified_cvar(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return the mean below `modified_var`'s h under the Edgeworth density (Boudt, Peterson & Croux 2008).

    mean - sigma phi(h) / (1 - confidence) (1 + S h**3 / 6 + K (h**4 - 2 h**2 - 1) / 24
    + S**2 (h**6 - 9 h**4 + 9 h**2 + 3) / 72), and not above the VaR, where the expansion would leave it.
    """
    r = _series(returns)
    metrics = _metrics(r)
    skewness, kurtosis = _known(metrics.skewness), _known(metrics.kurtosis)
    h = _cornish_fisher(metrics, confidence)
    square = h * h
    expansion = (
        1.0
        + skewness / 6.0 * square * h
        + kurtosis / 24.0 * (square * square - 2.0 * square - 1.0)
        + skewness * skewness / 72.0 * (square * square * square - 9.0 * square * square + 9.0 * square + 3.0)
    )
    standard = -NormalDist().pdf(h) / (1.0 - confidence) * expansion
    return float(r.mean()) + _sigma(r) * min(standard, h)


# ---- against a benchmark ----------------------------------------------------------------------------------------


@_measure
def regression_alpha(returns: Returns, benchmark_returns: Returns) -> float:
    """Return mean(r) - beta mean(b), the intercept of r on b, per period; None for a constant benchmark."""
    r, b = _pair(returns, benchmark_returns)
    return float(r.mean()) - _beta(r, b) * float(b.mean())


@_measure
def bull_beta(returns: Returns, benchmark_returns: Returns) -> float:
    """Return beta over the periods where b > 0; None where those are fewer than two, or b is constant in them."""
    r, b = _pair(returns, benchmark_returns)
    return _beta(r[b > 0.0], b[b > 0.0])


@_measure
def bear_beta(returns: Returns, benchmark_returns: Returns) -> float:
    """Return beta over the periods where b < 0; None where those are fewer than two, or b is constant in them."""
    r, b = _pair(returns, benchmark_returns)
    return _beta(r[b < 0.0], b[b < 0.0])


@_measure
def systematic_risk(returns: Returns, benchmark_returns: Returns, *, periods_per_year: float, ddof: int = 0) -> float:
    """Return |beta| sigma(b) sqrt(k): the risk a year that the benchmark explains; None for a constant benchmark."""
    r, b = _pair(returns, benchmark_returns)
    return abs(_beta(r, b)) * _sigma(b, periods_per_year, ddof)


@_measure
def specific_risk(returns: Returns, benchmark_returns: Returns, *, periods_per_year: float) -> float:
    """Return sqrt(sum e**2 / n) sqrt(k), e the residuals of r on b; None for a constant benchmark."""
    r, b = _pair(returns, benchmark_returns)
    residuals = (r - r.mean()) - _beta(r, b) * (b - b.mean())
    return _root_mean_square(residuals) * float(np.sqrt(periods_per_year))


@_measure
def total_risk(returns: Returns, benchmark_returns: Returns, *, periods_per_year: float, ddof: int = 0) -> float:
    """Return sqrt(systematic risk**2 + specific risk**2); with `ddof` 0 it is the volatility of r."""
    systematic = systematic_risk(returns, benchmark_returns, periods_per_year=periods_per_year, ddof=ddof)
    specific = specific_risk(returns, benchmark_returns, periods_per_year=periods_per_year)
    return float(np.hypot(_known(systematic), _known(specific)))


@_measure
def m_squared(
    returns: Returns, benchmark_returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float
) -> float:
    """Return (R - rf) sigma(b) / sigma(r) + rf: R at the benchmark's risk (Modigliani & Modigliani 1997)."""
    r, b = _pair(returns, benchmark_returns)
    return (_per_year(r, periods_per_year) - risk_free_rate) * _ratio(_sigma(b), _sigma(r)) + risk_free_rate


@_measure
def m_squared_excess(
    returns: Returns, benchmark_returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float
) -> float:
    """Return (1 + M squared) / (1 + B) - 1, B the benchmark's compounded return a year."""
    m2 = m_squared(returns, benchmark_returns, risk_free_rate, periods_per_year=periods_per_year)
    benchmark = _per_year(_series(benchmark_returns), periods_per_year)
    return _ratio(1.0 + _known(m2), 1.0 + benchmark) - 1.0


@_measure
def m2_sortino(returns: Returns, benchmark_returns: Returns, target: float = 0.0, *, periods_per_year: float) -> float:
    """Return R + Sortino ratio (sigma_D(b) - sigma_D(r)), sigma_D the downside deviations from `target` a year.

    The Sortino ratio is that of one period, (mean - target) / sigma_D, as in Bacon's own table.
    """
    r, b = _pair(returns, benchmark_returns)
    downside, benchmark_downside = _root_mean_square(_below(r, target)), _root_mean_square(_below(b, target))
    sortino = _ratio(float((r - target).mean()), downside)
    annual = float(np.sqrt(periods_per_year))
    return _per_year(r, periods_per_year) + sortino * (benchmark_downside - downside) * annual


@_measure
def omega_excess_return(
    returns: Returns, benchmark_returns: Returns, target: float = 0.0, *, periods_per_year: float
) -> float:
    """Return R - 3 sigma_D(r) sigma_D(b), the downside deviations from `target` a year (Sortino et al. 1997)."""
    r, b = _pair(returns, benchmark_returns)
    downside, benchmark_downside = _root_mean_square(_below(r, target)), _root_mean_square(_below(b, target))
    return _per_year(r, periods_per_year) - 3.0 * downside * benchmark_downside * periods_per_year


# ---- parts ------------------------------------------------------------------------------------------------------


def _series(returns: Returns, *, least: int = 2) -> FloatArray:
    """Return the returns as an array; undefined where they are fewer than `least`."""
    r = finite_series(returns, "returns")
    if r.size < least:
        raise _UndefinedError
    return r


def _pair(returns: Returns, benchmark_returns: Returns) -> tuple[FloatArray, FloatArray]:
    if len(returns) != len(benchmark_returns):
        raise ValueError(f"{len(benchmark_returns)} benchmark returns for {len(returns)} returns")
    return _series(returns), _series(benchmark_returns)


def _known(value: float | None) -> float:
    if value is None:
        raise _UndefinedError
    return value


def _ratio(numerator: float, denominator: float) -> float:
    if abs(denominator) <= _COUNTS_AS_ZERO:
        raise _UndefinedError
    return numerator / denominator


def _per_year(r: FloatArray, periods_per_year: float) -> float:
    """Return the compounded return a year; undefined where a period lost more than everything."""
    if not periods_per_year > 0.0:
        raise ValueError("periods_per_year must be positive")
    if float(r.min()) < -1.0:
        raise _UndefinedError
    return float(np.expm1(np.log1p(link_returns(r)) * (periods_per_year / r.size)))


def _metrics(r: Returns, periods_per_year: float = 1.0, ddof: int = 0) -> RiskMetrics:
    return calculate_risk_metrics(r, None, periods_per_year=periods_per_year, ddof=ddof)


def _sigma(r: FloatArray, periods_per_year: float = 1.0, ddof: int = 0) -> float:
    """Return the standard deviation, exactly 0 where it is only rounding."""
    return _known(_metrics(r, periods_per_year, ddof).volatility)


def _beta(r: FloatArray, b: FloatArray) -> float:
    return _known(calculate_risk_metrics(r, None, b, periods_per_year=1.0).beta)


def _above(r: FloatArray, target: float) -> FloatArray:
    above: FloatArray = np.maximum(r - target, 0.0)
    return above


def _below(r: FloatArray, target: float) -> FloatArray:
    below: FloatArray = np.minimum(r - target, 0.0)
    return below


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(values @ values / values.size))


def _falls(r: FloatArray) -> FloatArray:
    """Return how far wealth stands below its peak, the starting 1 included, after each return."""
    wealth = np.cumprod(1.0 + r)
    falls: FloatArray = 1.0 - wealth / np.maximum(np.maximum.accumulate(wealth), 1.0)
    return falls


def _quantile(confidence: float) -> float:
    """Return the normal quantile of 1 - `confidence`, a ValueError outside (0, 1)."""
    return NormalDist().inv_cdf(1.0 - confidence)


def _cornish_fisher(metrics: RiskMetrics, confidence: float) -> float:
    z = _quantile(confidence)
    skewness, kurtosis = _known(metrics.skewness), _known(metrics.kurtosis)
    return (
        z
        + (z * z - 1.0) * skewness / 6.0
        + (z * z * z - 3.0 * z) * kurtosis / 24.0
        - (2.0 * z * z * z - 5.0 * z) * skewness * skewness / 36.0
    )
