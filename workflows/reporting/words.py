"""What a page calls things, and what it says where a number is missing or doubtful."""

from collections.abc import Mapping
from typing import Final

from common.calculations import FlowTiming
from common.models.kinds import CalculationMethod
from workflows.wording import EXPLANATIONS, METRICS, Metric

AGAINST_BENCHMARK: Final = "Against the benchmark"


def _metrics(*names: str) -> dict[str, Metric]:
    return {name: METRICS[name] for name in names}


GROUPS: Final[Mapping[str, Mapping[str, Metric]]] = {
    "Return": _metrics("twr", "annualized_twr", "mwr_period", "mwr", "best_day", "worst_day"),
    "Risk": _metrics("volatility", "downside_deviation", "max_drawdown", "var", "cvar", "skewness", "kurtosis"),
    "Return for risk": _metrics("sharpe_ratio", "sharpe_ratio_arithmetic", "sortino_ratio", "calmar_ratio"),
    AGAINST_BENCHMARK: _metrics(
        "benchmark_twr",
        "annualized_benchmark_twr",
        "excess_return",
        "beta",
        "alpha",
        "correlation",
        "tracking_error",
        "information_ratio",
        "up_capture",
        "down_capture",
    ),
}

TIMINGS: Final[Mapping[FlowTiming, str]] = {
    FlowTiming.AFTER_CLOSE: "after the close: the valuation of a flow's day excludes it",
    FlowTiming.END_OF_DAY: "at the end of the day: the valuation includes the flow, which earned nothing that day",
    FlowTiming.START_OF_DAY: "at the start of the day: the valuation includes the flow, invested all day",
    FlowTiming.INFLOW_START_OUTFLOW_END: "contributions at the start of the day, withdrawals at its end",
}

METHODS: Final[Mapping[CalculationMethod, str]] = {
    CalculationMethod.DAILY: "time-weighted, returns between all valuations linked",
    CalculationMethod.MODIFIED_DIETZ: "Modified Dietz, monthly returns linked",
}


def explained(code: str) -> str:
    """Return a reason or a warning in words; its own name where a row is of a later version than this one."""
    return EXPLANATIONS.get(code, code.replace("_", " "))


def metric_label(name: str) -> str:
    """Return what a metric is called."""
    return METRICS[name].label if name in METRICS else name.replace("_", " ")
