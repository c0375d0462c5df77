"""What the formulas of the measures are put together from."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec

import numpy as np

from common.calculations.returns import link_returns
from common.calculations.risk import RiskMetrics, calculate_risk_metrics
from common.calculations.types import FloatArray, finite_series

Returns = Sequence[float] | FloatArray
_P = ParamSpec("_P")
_COUNTS_AS_ZERO = 1e-12  # of a return: what is left where equal numbers were subtracted


class UndefinedError(Exception):
    """A formula met something it has no answer for; never leaves this package."""


def measure(formula: Callable[_P, float]) -> Callable[_P, float | None]:
    """Let a formula be written without its undefined cases: they, and what no float holds, become None."""

    @wraps(formula)
    def measured(*args: _P.args, **kwargs: _P.kwargs) -> float | None:
        try:
            with np.errstate(all="ignore"):
                value = float(formula(*args, **kwargs))
        except UndefinedError:
            return None
        return value if np.isfinite(value) else None

    return measured


def series_of(returns: Returns, *, least: int = 2) -> FloatArray:
    """Return the returns as an array; undefined where they are fewer than `least`."""
    r = finite_series(returns, "returns")
    if r.size < least:
        raise UndefinedError
    return r


def pair_of(returns: Returns, benchmark_returns: Returns) -> tuple[FloatArray, FloatArray]:
    """Return both series as arrays; a ValueError where their lengths differ."""
    if len(returns) != len(benchmark_returns):
        raise ValueError(f"{len(benchmark_returns)} benchmark returns for {len(returns)} returns")
    return series_of(returns), series_of(benchmark_returns)


def known(value: float | None) -> float:
    """Return a value that others found; undefined where they found none."""
    if value is None:
        raise UndefinedError
    return value


def quotient(numerator: float, denominator: float) -> float:
    """Return the quotient; undefined where the denominator is zero or only rounding."""
    if abs(denominator) <= _COUNTS_AS_ZERO:
        raise UndefinedError
    return numerator / denominator


def return_per_year(r: FloatArray, periods_per_year: float) -> float:
    """Return the compounded return a year; undefined where a period lost more than everything."""
    if not periods_per_year > 0.0:
        raise ValueError("periods_per_year must be positive")
    if float(r.min()) < -1.0:
        raise UndefinedError
    return float(np.expm1(np.log1p(link_returns(r)) * (periods_per_year / r.size)))


def risk_of(r: Returns, periods_per_year: float = 1.0, ddof: int = 0) -> RiskMetrics:
    """Return the metrics of risk that need no annualised return."""
    return calculate_risk_metrics(r, None, periods_per_year=periods_per_year, ddof=ddof)


def sigma_of(r: FloatArray, periods_per_year: float = 1.0, ddof: int = 0) -> float:
    """Return the standard deviation, exactly 0 where it is only rounding."""
    return known(risk_of(r, periods_per_year, ddof).volatility)


def beta_of(r: FloatArray, b: FloatArray) -> float:
    """Return cov(r, b) / var(b); undefined for a constant benchmark."""
    return known(calculate_risk_metrics(r, None, b, periods_per_year=1.0).beta)


def above_target(r: FloatArray, target: float) -> FloatArray:
    """Return max(r - target, 0)."""
    above: FloatArray = np.maximum(r - target, 0.0)
    return above


def below_target(r: FloatArray, target: float) -> FloatArray:
    """Return min(r - target, 0)."""
    below: FloatArray = np.minimum(r - target, 0.0)
    return below


def root_mean_square(values: FloatArray) -> float:
    """Return sqrt(sum x**2 / n)."""
    return float(np.sqrt(values @ values / values.size))


def falls_below_peak(r: FloatArray) -> FloatArray:
    """Return how far wealth stands below its peak, the starting 1 included, after each return."""
    wealth = np.cumprod(1.0 + r)
    falls: FloatArray = 1.0 - wealth / np.maximum(np.maximum.accumulate(wealth), 1.0)
    return falls
