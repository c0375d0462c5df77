"""Return and risk against a benchmark."""

import numpy as np

from common.ratios.parts import (
    Returns,
    below_target,
    beta_of,
    known,
    measure,
    pair_of,
    quotient,
    return_per_year,
    root_mean_square,
    series_of,
    sigma_of,
)


@measure
def regression_alpha(returns: Returns, benchmark_returns: Returns) -> float:
    """Return mean(r) - beta mean(b), the intercept of r on b, per period; None for a constant benchmark."""
    r, b = pair_of(returns, benchmark_returns)
    return float(r.mean()) - beta_of(r, b) * float(b.mean())


@measure
def bull_beta(returns: Returns, benchmark_returns: Returns) -> float:
    """Return beta over the periods where b > 0; None where those are fewer than two, or b is constant in them."""
    r, b = pair_of(returns, benchmark_returns)
    return beta_of(r[b > 0.0], b[b > 0.0])


@measure
def bear_beta(returns: Returns, benchmark_returns: Returns) -> float:
    """Return beta over the periods where b < 0; None where those are fewer than two, or b is constant in them."""
    r, b = pair_of(returns, benchmark_returns)
    return beta_of(r[b < 0.0], b[b < 0.0])


@measure
def systematic_risk(returns: Returns, benchmark_returns: Returns, *, periods_per_year: float, ddof: int = 0) -> float:
    """Return |beta| sigma(b) sqrt(k): the risk a year that the benchmark explains; None for a constant benchmark."""
    r, b = pair_of(returns, benchmark_returns)
    return abs(beta_of(r, b)) * sigma_of(b, periods_per_year, ddof)


@measure
def specific_risk(returns: Returns, benchmark_returns: Returns, *, periods_per_year: float) -> float:
    """Return sqrt(sum e**2 / n) sqrt(k), e the residuals of r on b; None for a constant benchmark."""
    r, b = pair_of(returns, benchmark_returns)
    residuals = (r - r.mean()) - beta_of(r, b) * (b - b.mean())
    return root_mean_square(residuals) * float(np.sqrt(periods_per_year))


@measure
def total_risk(returns: Returns, benchmark_returns: Returns, *, periods_per_year: float, ddof: int = 0) -> float:
    """Return sqrt(systematic risk**2 + specific risk**2); with `ddof` 0 it is the volatility of r."""
    systematic = systematic_risk(returns, benchmark_returns, periods_per_year=periods_per_year, ddof=ddof)
    specific = specific_risk(returns, benchmark_returns, periods_per_year=periods_per_year)
    return float(np.hypot(known(systematic), known(specific)))


@measure
def m_squared(
    returns: Returns, benchmark_returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float
) -> float:
    """Return (R - rf) sigma(b) / sigma(r) + rf: R at the benchmark's risk (Modigliani & Modigliani 1997)."""
    r, b = pair_of(returns, benchmark_returns)
    return (return_per_year(r, periods_per_year) - risk_free_rate) * quotient(sigma_of(b), sigma_of(r)) + risk_free_rate


@measure
def m_squared_excess(
    returns: Returns, benchmark_returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float
) -> float:
    """Return (1 + M squared) / (1 + B) - 1, B the benchmark's compounded return a year."""
    m2 = m_squared(returns, benchmark_returns, risk_free_rate, periods_per_year=periods_per_year)
    benchmark = return_per_year(series_of(benchmark_returns), periods_per_year)
    return quotient(1.0 + known(m2), 1.0 + benchmark) - 1.0


@measure
def m2_sortino(returns: Returns, benchmark_returns: Returns, target: float = 0.0, *, periods_per_year: float) -> float:
    """Return R + Sortino ratio (sigma_D(b) - sigma_D(r)), sigma_D the downside deviations from `target` a year.

    The Sortino ratio is that of one period, (mean - target) / sigma_D, as in Bacon's own table.
    """
    r, b = pair_of(returns, benchmark_returns)
    downside, benchmark_downside = root_mean_square(below_target(r, target)), root_mean_square(below_target(b, target))
    sortino = quotient(float((r - target).mean()), downside)
    annual = float(np.sqrt(periods_per_year))
    return return_per_year(r, periods_per_year) + sortino * (benchmark_downside - downside) * annual


@measure
def omega_excess_return(
    returns: Returns, benchmark_returns: Returns, target: float = 0.0, *, periods_per_year: float
) -> float:
    """Return R - 3 sigma_D(r) sigma_D(b), the downside deviations from `target` a year (Sortino et al. 1997)."""
    r, b = pair_of(returns, benchmark_returns)
    downside, benchmark_downside = root_mean_square(below_target(r, target)), root_mean_square(below_target(b, target))
    return return_per_year(r, periods_per_year) - 3.0 * downside * benchmark_downside * periods_per_year
