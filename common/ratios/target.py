"""Dispersion above and below the mean or a target."""

import numpy as np

from common.ratios.parts import (
    Returns,
    UndefinedError,
    above_target,
    below_target,
    known,
    measure,
    quotient,
    root_mean_square,
    series_of,
)


@measure
def semi_deviation(returns: Returns, *, ddof: int = 0) -> float:
    """Return sqrt(sum min(r - mean, 0)**2 / (n - ddof)), per period (Markowitz 1959); None for n <= ddof."""
    r = series_of(returns, least=max(2, ddof + 1))
    below = below_target(r, float(r.mean()))
    return float(np.sqrt(below @ below / (r.size - ddof)))


@measure
def downside_frequency(returns: Returns, target: float = 0.0) -> float:
    """Return the share of the returns that are below `target`."""
    return float((series_of(returns) < target).mean())


@measure
def upside_risk(returns: Returns, target: float = 0.0) -> float:
    """Return sqrt(sum max(r - target, 0)**2 / n), per period: the other half of the downside deviation."""
    return root_mean_square(above_target(series_of(returns), target))


@measure
def upside_potential_ratio(returns: Returns, target: float = 0.0, *, each_over_own: bool = False) -> float:
    """Return mean max(r - target, 0) / downside deviation (Sortino, van der Meer & Plantinga 1999).

    Parameters
    ----------
    each_over_own
        Average the gains over the returns above `target` alone, and the squared losses over those below; otherwise,
        as the authors do, both over all n.
    """
    r = series_of(returns)
    above, below = above_target(r, target), below_target(r, target)
    if each_over_own:
        above, below = above[r > target], below[r < target]
    if above.size == 0 or below.size == 0:
        raise UndefinedError
    return quotient(float(above.mean()), root_mean_square(below))


@measure
def omega_ratio(returns: Returns, threshold: float = 0.0) -> float:
    """Return sum max(r - threshold, 0) / sum max(threshold - r, 0) (Keating & Shadwick 2002)."""
    r = series_of(returns)
    return quotient(float(above_target(r, threshold).mean()), float(-below_target(r, threshold).mean()))


@measure
def omega_sharpe_ratio(returns: Returns, threshold: float = 0.0) -> float:
    """Return (mean - threshold) / mean max(threshold - r, 0), which is omega - 1 (Kazemi, Schneeweis & Gupta 2004)."""
    r = series_of(returns)
    return quotient(float((r - threshold).mean()), float(-below_target(r, threshold).mean()))


@measure
def variability_skewness(returns: Returns, target: float = 0.0) -> float:
    """Return upside risk / downside deviation."""
    r = series_of(returns)
    return quotient(root_mean_square(above_target(r, target)), root_mean_square(below_target(r, target)))


@measure
def volatility_skewness(returns: Returns, target: float = 0.0) -> float:
    """Return upside variance / downside variance: the square of `variability_skewness`."""
    variability = known(variability_skewness(returns, target))
    return variability * variability
