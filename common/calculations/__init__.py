"""The mathematics of investment performance: numpy only, no input or output."""

from common.calculations.money_weighted import DayCount, MoneyWeightedReturn, calculate_irr, xirr
from common.calculations.performance import (
    Conventions,
    Performance,
    PeriodPerformance,
    calculate_performance,
)
from common.calculations.periods import Period, StandardPeriod, infer_periods_per_year, resolve_period
from common.calculations.returns import (
    TimeWeightedReturn,
    annualize_return,
    calculate_daily_twr,
    calculate_modified_dietz,
    link_returns,
)
from common.calculations.risk import Drawdown, RiskMetrics, calculate_risk_metrics, max_drawdown
from common.calculations.types import (
    CashFlow,
    Caution,
    DailyValue,
    Flows,
    FlowTiming,
    Reason,
    Undefinable,
    Valuations,
)

__all__ = [
    "CashFlow",
    "Caution",
    "Conventions",
    "DailyValue",
    "DayCount",
    "Drawdown",
    "FlowTiming",
    "Flows",
    "MoneyWeightedReturn",
    "Performance",
    "Period",
    "PeriodPerformance",
    "Reason",
    "RiskMetrics",
    "StandardPeriod",
    "TimeWeightedReturn",
    "Undefinable",
    "Valuations",
    "annualize_return",
    "calculate_daily_twr",
    "calculate_irr",
    "calculate_modified_dietz",
    "calculate_performance",
    "calculate_risk_metrics",
    "infer_periods_per_year",
    "link_returns",
    "max_drawdown",
    "resolve_period",
    "xirr",
]
