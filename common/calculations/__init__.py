"""The mathematics of investment performance: numpy only, no input or output."""

from common.calculations.aggregation import (
    AccountHistory,
    exclude_flows,
    include_flows,
    security_history,
    sum_histories,
)
from common.calculations.bookkeeping import Holdings, LedgerEntry, LedgerError
from common.calculations.ledger import ClosingPrice, LedgerHistory, holdings_on, value_ledger
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
    PriceHistory,
    Reason,
    TransactionType,
    Undefinable,
    Valuations,
)

__all__ = [
    "AccountHistory",
    "CashFlow",
    "Caution",
    "ClosingPrice",
    "Conventions",
    "DailyValue",
    "DayCount",
    "Drawdown",
    "FlowTiming",
    "Flows",
    "Holdings",
    "LedgerEntry",
    "LedgerError",
    "LedgerHistory",
    "MoneyWeightedReturn",
    "Performance",
    "Period",
    "PeriodPerformance",
    "PriceHistory",
    "Reason",
    "RiskMetrics",
    "StandardPeriod",
    "TimeWeightedReturn",
    "TransactionType",
    "Undefinable",
    "Valuations",
    "annualize_return",
    "calculate_daily_twr",
    "calculate_irr",
    "calculate_modified_dietz",
    "calculate_performance",
    "calculate_risk_metrics",
    "exclude_flows",
    "holdings_on",
    "include_flows",
    "infer_periods_per_year",
    "link_returns",
    "max_drawdown",
    "resolve_period",
    "security_history",
    "sum_histories",
    "value_ledger",
    "xirr",
]
