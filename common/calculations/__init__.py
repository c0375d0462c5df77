"""The mathematics of investment performance: numpy only, no input or output.

From transactions to a history of values and flows:

- `bookkeeping`: what transactions make of cash and units; `ledger`: what those were worth, day by day
- `aggregation`: histories made from other histories

From a history to returns and risk:

- `types`: the words of the mathematics; `periods`: reporting periods, and how many returns make a year
- `sub_periods`: the growth between valuations; `returns`: growth linked and annualised; `flow_timing`: flows that the
  valuations contradict
- `money_weighted`: the internal rate of return, by `sole_root` where it can be shown to be the only one and by
  `real_roots` elsewhere; `money_weighted_many`: the rates of many portfolios at once
- `moments`: sums over series; `extremes`: their tails and falls; `risk`: the metrics made of them

All of it together:

- `history`: what all periods of a portfolio share; `stretches`: rates and risks of several of them at once
- `performance`: every figure of each period; `batch`: many portfolios

`common.ratios` has further measures of the literature. No result has them, so they are not a part of what a result
that is kept depends on.
"""

from common.calculations.aggregation import (
    AccountHistory,
    exclude_flows,
    include_flows,
    security_history,
    sum_histories,
)
from common.calculations.batch import calculate_performances
from common.calculations.bookkeeping import Holdings, LedgerEntry, LedgerError
from common.calculations.history import Conventions
from common.calculations.ledger import ClosingPrice, LedgerHistory, holdings_on, value_ledger
from common.calculations.moments import Drawdown
from common.calculations.money_weighted import DayCount, MoneyWeightedReturn, calculate_irr, xirr
from common.calculations.money_weighted_many import MoneyWeightedReturns, xirr_many
from common.calculations.performance import Performance, PeriodPerformance, calculate_performance
from common.calculations.periods import Period, StandardPeriod, infer_periods_per_year, resolve_period
from common.calculations.returns import (
    TimeWeightedReturn,
    annualize_return,
    calculate_daily_twr,
    calculate_modified_dietz,
    link_returns,
)
from common.calculations.risk import RiskMetrics, calculate_risk_metrics, max_drawdown
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
    "MoneyWeightedReturns",
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
    "calculate_performances",
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
    "xirr_many",
]
