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

from common.ratios.benchmark import (
    bear_beta,
    bull_beta,
    m2_sortino,
    m_squared,
    m_squared_excess,
    omega_excess_return,
    regression_alpha,
    specific_risk,
    systematic_risk,
    total_risk,
)
from common.ratios.distribution import (
    adjusted_sharpe_ratio,
    gaussian_cvar,
    gaussian_var,
    modified_cvar,
    modified_var,
    sample_kurtosis,
    sample_skewness,
    skewness_kurtosis_ratio,
    tail_ratio,
)
from common.ratios.drawdown import (
    STERLING_EXCESS,
    geometric_return,
    martin_ratio,
    pain_index,
    pain_ratio,
    sterling_ratio,
    ulcer_index,
)
from common.ratios.target import (
    downside_frequency,
    omega_ratio,
    omega_sharpe_ratio,
    semi_deviation,
    upside_potential_ratio,
    upside_risk,
    variability_skewness,
    volatility_skewness,
)

__all__ = [
    "STERLING_EXCESS",
    "adjusted_sharpe_ratio",
    "bear_beta",
    "bull_beta",
    "downside_frequency",
    "gaussian_cvar",
    "gaussian_var",
    "geometric_return",
    "m2_sortino",
    "m_squared",
    "m_squared_excess",
    "martin_ratio",
    "modified_cvar",
    "modified_var",
    "omega_excess_return",
    "omega_ratio",
    "omega_sharpe_ratio",
    "pain_index",
    "pain_ratio",
    "regression_alpha",
    "sample_kurtosis",
    "sample_skewness",
    "semi_deviation",
    "skewness_kurtosis_ratio",
    "specific_risk",
    "sterling_ratio",
    "systematic_risk",
    "tail_ratio",
    "total_risk",
    "ulcer_index",
    "upside_potential_ratio",
    "upside_risk",
    "variability_skewness",
    "volatility_skewness",
]
