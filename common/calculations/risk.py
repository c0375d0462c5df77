"""Risk of a series of periodic returns, alone and against a benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np

from common.calculations.types import FloatArray, Reason, finite_series

VAR_CONFIDENCE = 0.95
# A standard deviation below this share of the mean is rounding: constant returns do not cancel to an exact zero.
_COUNTS_AS_ZERO = 1e-12


@dataclass(frozen=True, slots=True)
class RiskMetrics:
    """Risk metrics of one period; None where undefined, with the reason in `undefined`.

    With n returns r of k periods a year, m their mean, rf the risk-free rate a year and rf_k = (1 + rf)**(1/k) - 1:

    Attributes
    ----------
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
    undefined
        Reason for each metric that is None.
    """

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
    undefined: dict[str, Reason] = field(default_factory=dict)

    @classmethod
    def all_undefined(cls, reason: Reason, benchmark_reason: Reason | None = None) -> "RiskMetrics":
        """Return metrics of which none is defined; those against a benchmark for a reason of their own, if given."""
        undefined = dict.fromkeys(RISK_METRICS, reason)
        if benchmark_reason is not None:
            undefined |= dict.fromkeys(BENCHMARK_METRICS, benchmark_reason)
        return cls(undefined=undefined)


RISK_METRICS = tuple(each.name for each in fields(RiskMetrics) if each.name != "undefined")
BENCHMARK_METRICS = RISK_METRICS[RISK_METRICS.index("beta") :]
"""The metrics that need a benchmark."""


class Drawdown(NamedTuple):
    """The largest fall below an earlier peak.

    Indices count wealth points: 0 is the start, i the end of the i-th return.
    """

    value: float
    peak_index: int | None = None
    trough_index: int | None = None
    recovery_index: int | None = None
    """First point at or above the peak again; None when that has not come yet."""


class _Metrics(dict[str, float]):
    """Values as they are found, and the reasons of those that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.undefined: dict[str, Reason] = {}

    def miss(self, reason: Reason, *names: str) -> None:
        self.undefined |= dict.fromkeys(names, reason)

    def result(self) -> RiskMetrics:
        for name in [name for name, value in self.items() if not np.isfinite(value)]:
            self.miss(Reason.OUT_OF_RANGE, name)
            del self[name]
        return RiskMetrics(**self, undefined=self.undefined)


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
    if not periods_per_year > 0.0:
        raise ValueError("periods_per_year must be positive")
    found = _Metrics()
    with np.errstate(all="ignore"):  # what is not finite in the end is reported as out_of_range
        _alone(found, r, annualized_return, risk_free_rate or 0.0, periods_per_year, ddof)
        if benchmark_returns is None:
            found.miss(Reason.NO_BENCHMARK, *BENCHMARK_METRICS)
        else:
            b = finite_series(benchmark_returns, "benchmark_returns")
            if b.size != r.size:
                raise ValueError(f"{b.size} benchmark returns for {r.size} returns")
            annualized = (annualized_return, annualized_benchmark_return)
            _against(found, r, b, annualized, risk_free_rate or 0.0, periods_per_year, ddof)
        return found.result()


def max_drawdown(returns: Sequence[float] | FloatArray) -> Drawdown:
    """Return the largest fall of the wealth that `returns` make of 1, as a positive share of the peak before it.

    Parameters
    ----------
    returns : (n,) array_like
        A return below -100 % makes a drawdown over 1.
    """
    wealth = np.empty(len(returns) + 1)
    wealth[0] = 1.0
    np.cumprod(1.0 + np.asarray(returns, dtype=np.float64), out=wealth[1:])
    peaks = np.maximum.accumulate(wealth)
    falls = 1.0 - wealth / peaks
    trough = int(np.argmax(falls))
    if not falls[trough] > 0.0:
        return Drawdown(0.0)
    peak = int(np.argmax(wealth[: trough + 1]))
    recovered = wealth[trough:] >= wealth[peak]
    recovery = trough + int(np.argmax(recovered)) if bool(recovered.any()) else None
    return Drawdown(float(falls[trough]), peak, trough, recovery)


def _alone(found: _Metrics, r: FloatArray, annualized: float | None, risk_free: float, k: float, ddof: int) -> None:
    n = r.size
    spread = ("volatility", "downside_deviation", "var", "cvar", "skewness", "kurtosis")
    ratios = ("sharpe_ratio", "sharpe_ratio_arithmetic", "sortino_ratio")
    if n == 0:
        found.miss(Reason.TOO_FEW_RETURNS, *spread, *ratios, "calmar_ratio", "max_drawdown", "best_day", "worst_day")
        return
    found["best_day"] = float(r.max())
    found["worst_day"] = float(r.min())
    found["max_drawdown"] = max_drawdown(r).value
    if annualized is None:
        found.miss(Reason.ANNUALIZED_RETURN_UNDEFINED, "sharpe_ratio", "sortino_ratio", "calmar_ratio")
    elif found["max_drawdown"] == 0.0:
        found.miss(Reason.NO_DRAWDOWN, "calmar_ratio")
    else:
        found["calmar_ratio"] = annualized / found["max_drawdown"]
    if n < 2 or n <= ddof:
        found.miss(Reason.TOO_FEW_RETURNS, *spread, *ratios)
        return

    per_period = _per_period(risk_free, k)
    mean = float(r.mean())
    centred = r - mean
    total = float(centred @ centred)
    sigma = _deviation(total, n - ddof, mean)
    below = np.minimum(r - per_period, 0.0)
    downside = float(np.sqrt(float(below @ below) / n * k))
    found["volatility"] = sigma * float(np.sqrt(k))
    found["downside_deviation"] = downside
    found["var"] = quantile = float(np.quantile(r, 1.0 - VAR_CONFIDENCE))
    found["cvar"] = float(r[r <= quantile].mean())

    if sigma == 0.0:
        found.miss(Reason.ZERO_VOLATILITY, "sharpe_ratio", "sharpe_ratio_arithmetic", "skewness", "kurtosis")
    elif not np.isfinite(total):
        found.miss(Reason.OUT_OF_RANGE, "sharpe_ratio", "sharpe_ratio_arithmetic", "skewness", "kurtosis")
    else:
        z = centred / np.sqrt(total / n)
        squares = z * z
        found["skewness"] = float(squares @ z) / n
        found["kurtosis"] = float(squares @ squares) / n - 3.0
        found["sharpe_ratio_arithmetic"] = (mean - per_period) * k / found["volatility"]
        if annualized is not None:
            found["sharpe_ratio"] = (annualized - risk_free) / found["volatility"]
    if downside <= _COUNTS_AS_ZERO * max(1.0, abs(mean)):
        found.miss(Reason.ZERO_DOWNSIDE_DEVIATION, "sortino_ratio")
    elif annualized is not None:
        found["sortino_ratio"] = (annualized - risk_free) / downside


def _against(
    found: _Metrics,
    r: FloatArray,
    b: FloatArray,
    annualized: tuple[float | None, float | None],
    risk_free: float,
    k: float,
    ddof: int,
) -> None:
    n = r.size
    portfolio, benchmark = annualized
    if n == 0:
        found.miss(Reason.TOO_FEW_RETURNS, *BENCHMARK_METRICS)
        return
    if portfolio is None or benchmark is None:
        found["excess_return"] = float(np.prod(1.0 + r) - np.prod(1.0 + b))
        found.miss(Reason.ANNUALIZED_RETURN_UNDEFINED, "alpha", "information_ratio")
    else:
        found["excess_return"] = portfolio - benchmark
    for name, chosen, missing in (
        ("up_capture", b > 0.0, Reason.NO_UP_PERIODS),
        ("down_capture", b <= 0.0, Reason.NO_DOWN_PERIODS),
    ):
        of_benchmark = float(np.prod(1.0 + b[chosen])) - 1.0
        if of_benchmark == 0.0:
            found.miss(missing, name)
        else:
            found[name] = (float(np.prod(1.0 + r[chosen])) - 1.0) / of_benchmark
    if n < 2 or n <= ddof:
        found.miss(Reason.TOO_FEW_RETURNS, "beta", "alpha", "correlation", "tracking_error", "information_ratio")
        return

    active = r - b
    active_mean = float(active.mean())
    centred = active - active_mean
    error = _deviation(float(centred @ centred), n - ddof, active_mean) * float(np.sqrt(k))
    found["tracking_error"] = error
    if error == 0.0:
        found.miss(Reason.ZERO_TRACKING_ERROR, "information_ratio")
    elif portfolio is not None and benchmark is not None:
        found["information_ratio"] = (portfolio - benchmark) / error

    r_mean, b_mean = float(r.mean()), float(b.mean())
    r_centred, b_centred = r - r_mean, b - b_mean
    r_squares, b_squares = float(r_centred @ r_centred), float(b_centred @ b_centred)
    if _deviation(b_squares, n, b_mean) == 0.0:
        found.miss(Reason.ZERO_BENCHMARK_VOLATILITY, "beta", "alpha", "correlation")
        return
    product = float(r_centred @ b_centred)
    found["beta"] = product / b_squares
    if portfolio is not None and benchmark is not None:
        found["alpha"] = portfolio - risk_free - found["beta"] * (benchmark - risk_free)
    if _deviation(r_squares, n, r_mean) == 0.0:
        found.miss(Reason.ZERO_VOLATILITY, "correlation")
    else:
        # Rounding may carry a perfect correlation beyond 1.
        found["correlation"] = float(np.clip(product / np.sqrt(r_squares) / np.sqrt(b_squares), -1.0, 1.0))


def _deviation(squares: float, divisor: int, mean: float) -> float:
    """Return the standard deviation of a sum of squares, exactly 0 where it is only rounding."""
    sigma = float(np.sqrt(squares / divisor))
    return 0.0 if sigma <= _COUNTS_AS_ZERO * max(1.0, abs(mean)) else sigma


def _per_period(annual_rate: float, periods_per_year: float) -> float:
    """Return the rate a period that compounds to `annual_rate`."""
    return float(np.expm1(np.log1p(annual_rate) / periods_per_year)) if annual_rate > -1.0 else -1.0
