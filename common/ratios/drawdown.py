"""The compounded return a year, and what it is beside the falls of wealth on the way."""

from common.calculations.risk import max_drawdown
from common.ratios.parts import (
    Returns,
    falls_below_peak,
    measure,
    quotient,
    return_per_year,
    root_mean_square,
    series_of,
)

STERLING_EXCESS = 0.10
"""What the ratio adds to the drawdown; Deane Sterling Jones's own figure."""


@measure
def geometric_return(returns: Returns, *, periods_per_year: float) -> float:
    """Return (prod (1 + r)) ** (k / n) - 1, the compounded return a year.

    The part of the ratios below. It extrapolates what is shorter than a year; a figure that is shown takes
    `annualize_return`, which refuses to.
    """
    return return_per_year(series_of(returns), periods_per_year)


@measure
def sterling_ratio(returns: Returns, *, periods_per_year: float, excess: float = STERLING_EXCESS) -> float:
    """Return R / (max drawdown + excess), R the compounded return a year.

    After Deane Sterling Jones, with the maximum drawdown where he averaged the largest of each year.
    """
    r = series_of(returns)
    return quotient(return_per_year(r, periods_per_year), max_drawdown(r).value + excess)


@measure
def ulcer_index(returns: Returns) -> float:
    """Return sqrt(sum D**2 / n), D the fall of wealth below its peak after each return (Martin & McCann 1989)."""
    return root_mean_square(falls_below_peak(series_of(returns)))


@measure
def martin_ratio(returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float) -> float:
    """Return (R - rf) / ulcer index; None without a drawdown (Martin & McCann 1989)."""
    r = series_of(returns)
    return quotient(return_per_year(r, periods_per_year) - risk_free_rate, root_mean_square(falls_below_peak(r)))


@measure
def pain_index(returns: Returns) -> float:
    """Return sum D / n, D the fall of wealth below its peak after each return (Zephyr Associates 2006)."""
    return float(falls_below_peak(series_of(returns)).mean())


@measure
def pain_ratio(returns: Returns, risk_free_rate: float = 0.0, *, periods_per_year: float) -> float:
    """Return (R - rf) / pain index; None without a drawdown (Zephyr Associates 2006)."""
    r = series_of(returns)
    return quotient(return_per_year(r, periods_per_year) - risk_free_rate, float(falls_below_peak(r).mean()))
