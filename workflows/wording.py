"""What figures, periods, reasons and warnings are called and how they are written, in a terminal and on a page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

# Reasons and warnings in words; `docs/methodology.md` tells more about each.
EXPLANATIONS: Final[Mapping[str, str]] = {
    "annualized_return_undefined": "needs an annualised return",
    "benchmark_history_too_short": "the benchmark starts after the period does",
    "carried_valuation": "a portfolio's last value stands in for the account's valuation on the day of a flow",
    "empty_account": "nothing was invested in part of the period; that part is left out",
    "flow_after_final_date": "a cash flow is dated after the final value",
    "flow_outside_valuations": "a cash flow lies outside the valuations and was left out",
    "flow_timing_suspect": "the valuations jump as if the flows had another timing than flow_timing says",
    "history_too_short": "the portfolio's history starts after the period does",
    "indeterminate": "the flows net to nil",
    "irregular_spacing": "the returns are much closer together, or further apart, than periods_per_year says",
    "large_flow": "a flow over 10 % of the value: Modified Dietz is only an approximation there",
    "multiple_roots": "several rates solve the flows; the one nearest zero is shown",
    "no_benchmark": "no benchmark was given",
    "no_down_periods": "the benchmark never fell",
    "no_drawdown": "there was no drawdown",
    "no_real_root": "no rate solves the flows",
    "no_sign_change": "all flows have one sign, so there is no rate",
    "no_up_periods": "the benchmark never rose",
    "no_valuation_in_period": "there is no valuation within the period",
    "non_positive_denominator": "the invested capital was not positive",
    "not_converged": "the rate could not be found",
    "out_of_range": "larger than a number can be",
    "stale_benchmark": "the benchmark is over a week older than the portfolio at an end of the period",
    "stale_valuation": "a valuation is over a month older than the date it stands for",
    "too_few_returns": "too few returns",
    "too_few_valuations": "there is only one valuation",
    "total_loss": "everything that was put in is lost",
    "track_record_broken": "a loss of everything breaks the track record",
    "transfer_in_transit": "a transfer between the account's portfolios has left one and not arrived in the other",
    "under_one_year": "not annualised under a year",
    "value_without_flow": "value appeared in an empty account without a flow",
    "zero_benchmark_volatility": "the benchmark did not move",
    "zero_downside_deviation": "no return fell below the risk-free rate",
    "zero_tracking_error": "the portfolio moved exactly as the benchmark",
    "zero_volatility": "the returns did not vary",
}

# The order of reports; periods between two dates stand before the last.
_ORDER: Final = ("MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "", "ITD")


def percent(value: float | None) -> str:
    """Return a share as a percentage; a dash where there is none."""
    return "-" if value is None else f"{value:z,.2%}"


def ratio(value: float | None) -> str:
    """Return a ratio; a dash where there is none."""
    return "-" if value is None else f"{value:z,.2f}"


class Metric(NamedTuple):
    """A metric as a person reads it."""

    label: str
    format: Callable[[float | None], str]
    meaning: str


# In the order of the sheet that a terminal shows.
METRICS: Final[Mapping[str, Metric]] = {
    "twr": Metric("TWR", percent, "time-weighted return over the period"),
    "annualized_twr": Metric("TWR a year", percent, "the same a year, from one year on"),
    "mwr_period": Metric("MWR", percent, "money-weighted return over the period"),
    "mwr": Metric("MWR a year", percent, "money-weighted return a year"),
    "benchmark_twr": Metric("Benchmark", percent, "return of the benchmark over the period"),
    "annualized_benchmark_twr": Metric("Benchmark a year", percent, "the same a year, from one year on"),
    "excess_return": Metric("Excess return", percent, "return less that of the benchmark"),
    "volatility": Metric("Volatility", percent, "standard deviation of the returns, a year"),
    "downside_deviation": Metric("Downside deviation", percent, "deviation below the risk-free rate, a year"),
    "max_drawdown": Metric("Max drawdown", percent, "largest fall below an earlier peak"),
    "var": Metric("VaR 95 %", percent, "the return that 5 % of the returns fall below"),
    "cvar": Metric("CVaR 95 %", percent, "mean of the returns at or below VaR"),
    "best_day": Metric("Best day", percent, "largest return between two valuations"),
    "worst_day": Metric("Worst day", percent, "smallest return between two valuations"),
    "sharpe_ratio": Metric("Sharpe", ratio, "return a year over the risk-free rate, for one of volatility"),
    "sharpe_ratio_arithmetic": Metric("Sharpe, arithmetic", ratio, "the same by the mean of the returns"),
    "sortino_ratio": Metric("Sortino", ratio, "the same for one of downside deviation"),
    "calmar_ratio": Metric("Calmar", ratio, "return a year for one of maximum drawdown"),
    "skewness": Metric("Skewness", ratio, "third standardised moment of the returns"),
    "kurtosis": Metric("Excess kurtosis", ratio, "fourth standardised moment less 3"),
    "beta": Metric("Beta", ratio, "how far the portfolio moves with the benchmark"),
    "alpha": Metric("Alpha", percent, "Jensen's: return beyond what beta explains, a year"),
    "correlation": Metric("Correlation", ratio, "of the returns with those of the benchmark"),
    "tracking_error": Metric("Tracking error", percent, "standard deviation of the difference, a year"),
    "information_ratio": Metric("Information ratio", ratio, "excess return for one of tracking error"),
    "up_capture": Metric("Up capture", ratio, "share of the benchmark's return where it rose"),
    "down_capture": Metric("Down capture", ratio, "share of the benchmark's return where it fell"),
}


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the labels of all periods in the order of reports: as they come from a store they are sorted as text."""
    found = {label for row in rows for label in row["periods"]}
    return sorted(found, key=lambda label: (_ORDER.index(label if label in _ORDER else ""), label))
