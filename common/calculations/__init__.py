"""The mathematics of investment performance: numpy only, no input or output.

From transactions to a history of values and flows:

- `bookkeeping`: what transactions make of cash and units; `ledger`: what those were worth, day by day
- `aggregation`: histories made from other histories

From a history to returns and risk:

- `words`: flow timings, reasons, cautions and the like; `types`: valuations, flows and prices as arrays; `periods`:
  reporting periods, and how many returns make a year
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

The names below are imported when they are first asked for: who only needs a word of `words` does not wait for numpy.
What runs as a function imports from the modules themselves, where its package is told what belongs into it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from common.calculations.periods import Period, infer_periods_per_year, resolve_period
    from common.calculations.returns import (
        TimeWeightedReturn,
        annualize_return,
        calculate_daily_twr,
        calculate_modified_dietz,
        link_returns,
    )
    from common.calculations.risk import RiskMetrics, calculate_risk_metrics, max_drawdown
    from common.calculations.types import Flows, PriceHistory, Valuations
    from common.calculations.words import (
        CashFlow,
        Caution,
        DailyValue,
        FlowTiming,
        Reason,
        StandardPeriod,
        TransactionType,
        Undefinable,
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

_NAMES = {
    "aggregation": ("AccountHistory", "exclude_flows", "include_flows", "security_history", "sum_histories"),
    "batch": ("calculate_performances",),
    "bookkeeping": ("Holdings", "LedgerEntry", "LedgerError"),
    "history": ("Conventions",),
    "ledger": ("ClosingPrice", "LedgerHistory", "holdings_on", "value_ledger"),
    "moments": ("Drawdown",),
    "money_weighted": ("DayCount", "MoneyWeightedReturn", "calculate_irr", "xirr"),
    "money_weighted_many": ("MoneyWeightedReturns", "xirr_many"),
    "performance": ("Performance", "PeriodPerformance", "calculate_performance"),
    "periods": ("Period", "infer_periods_per_year", "resolve_period"),
    "returns": (
        "TimeWeightedReturn",
        "annualize_return",
        "calculate_daily_twr",
        "calculate_modified_dietz",
        "link_returns",
    ),
    "risk": ("RiskMetrics", "calculate_risk_metrics", "max_drawdown"),
    "types": ("Flows", "PriceHistory", "Valuations"),
    "words": (
        "CashFlow",
        "Caution",
        "DailyValue",
        "FlowTiming",
        "Reason",
        "StandardPeriod",
        "TransactionType",
        "Undefinable",
    ),
}
"""The module of each name: what the imports above are to whoever reads types, this is when the program runs."""

if not TYPE_CHECKING:  # or every misspelt name would be one that may be there
    _MODULES = {name: module for module, names in _NAMES.items() for name in names}

    def __getattr__(name):
        """Return one of the names, and keep it."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return found

    def __dir__():
        """Return the names, imported or not."""
        return sorted({*globals(), *_MODULES})
