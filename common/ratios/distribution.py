"""The shape of the distribution of returns, and its tails."""

from statistics import NormalDist

import numpy as np

from common.calculations.risk import VAR_CONFIDENCE, RiskMetrics
from common.ratios.parts import Returns, known, measure, quotient, risk_of, series_of, sigma_of


@measure
def sample_skewness(returns: Returns) -> float:
    """Return S sqrt(n (n - 1)) / (n - 2), S the population's skewness (Fisher-Pearson); None for n < 3."""
    n = series_of(returns, least=3).size
    return known(risk_of(returns).skewness) * float(np.sqrt(n * (n - 1))) / (n - 2)


@measure
def sample_kurtosis(returns: Returns) -> float:
    """Return n (n + 1) / ((n - 1) (n - 2) (n - 3)) sum ((r - mean) / s)**4, s the sample's; None for n < 4.

    Not in excess of the normal distribution's: that is had by subtracting 3 (n - 1)**2 / ((n - 2) (n - 3)).
    """
    n = series_of(returns, least=4).size
    kurtosis = known(risk_of(returns).kurtosis) + 3.0
    return kurtosis * (n + 1) * (n - 1) / ((n - 2) * (n - 3))


@measure
def skewness_kurtosis_ratio(returns: Returns) -> float:
    """Return skewness / kurtosis of the population, the kurtosis not in excess (Watanabe 2006)."""
    metrics = risk_of(returns)
    return quotient(known(metrics.skewness), known(metrics.kurtosis) + 3.0)


@measure
def adjusted_sharpe_ratio(returns: Returns, sharpe_ratio: float | None) -> float:
    """Return SR (1 + S/6 SR - K/24 SR**2), S skewness and K excess kurtosis (Pezier & White 2006).

    Parameters
    ----------
    sharpe_ratio
        Of `returns`, by whichever convention; None makes the result None.
    """
    metrics, ratio = risk_of(returns), known(sharpe_ratio)
    skewness, kurtosis = known(metrics.skewness), known(metrics.kurtosis)
    return ratio * (1.0 + skewness / 6.0 * ratio - kurtosis / 24.0 * ratio * ratio)


@measure
def tail_ratio(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return |quantile at confidence| / |quantile at 1 - confidence|, linear between order statistics."""
    r = series_of(returns)
    gain, loss = np.abs(np.quantile(r, [confidence, 1.0 - confidence])).tolist()
    return quotient(gain, loss)


@measure
def gaussian_var(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return mean + z sigma, z the normal quantile of 1 - confidence and sigma the population's.

    A return, so a loss is negative; so are the three below.
    """
    r, z = series_of(returns), _quantile(confidence)
    return float(r.mean()) + z * sigma_of(r)


@measure
def gaussian_cvar(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return mean - sigma phi(z) / (1 - confidence), the mean of a normal distribution's returns below its VaR."""
    r, z = series_of(returns), _quantile(confidence)
    return float(r.mean()) - sigma_of(r) * NormalDist().pdf(z) / (1.0 - confidence)


@measure
def modified_var(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return mean + h sigma, h the Cornish-Fisher quantile of skewness S and excess kurtosis K (Favre & Galeano 2002).

    h = z + (z**2 - 1) S / 6 + (z**3 - 3 z) K / 24 - (2 z**3 - 5 z) S**2 / 36; None for constant returns.
    """
    r = series_of(returns)
    metrics = risk_of(r)
    return float(r.mean()) + _cornish_fisher(metrics, confidence) * sigma_of(r)


@measure
def modified_cvar(returns: Returns, confidence: float = VAR_CONFIDENCE) -> float:
    """Return the mean below `modified_var`'s h under the Edgeworth density (Boudt, Peterson & Croux 2008).

    mean - sigma phi(h) / (1 - confidence) (1 + S h**3 / 6 + K (h**4 - 2 h**2 - 1) / 24
    + S**2 (h**6 - 9 h**4 + 9 h**2 + 3) / 72), and not above the VaR, where the expansion would leave it.
    """
    r = series_of(returns)
    metrics = risk_of(r)
    skewness, kurtosis = known(metrics.skewness), known(metrics.kurtosis)
    h = _cornish_fisher(metrics, confidence)
    square = h * h
    expansion = (
        1.0
        + skewness / 6.0 * square * h
        + kurtosis / 24.0 * (square * square - 2.0 * square - 1.0)
        + skewness * skewness / 72.0 * (square * square * square - 9.0 * square * square + 9.0 * square + 3.0)
    )
    standard = -NormalDist().pdf(h) / (1.0 - confidence) * expansion
    return float(r.mean()) + sigma_of(r) * min(standard, h)


def _quantile(confidence: float) -> float:
    """Return the normal quantile of 1 - `confidence`, a ValueError outside (0, 1)."""
    return NormalDist().inv_cdf(1.0 - confidence)


def _cornish_fisher(metrics: RiskMetrics, confidence: float) -> float:
    z = _quantile(confidence)
    skewness, kurtosis = known(metrics.skewness), known(metrics.kurtosis)
    return (
        z
        + (z * z - 1.0) * skewness / 6.0
        + (z * z * z - 3.0 * z) * kurtosis / 24.0
        - (2.0 * z * z * z - 5.0 * z) * skewness * skewness / 36.0
    )
