"""The words of the mathematics: flows, values, conventions, and why something is undefined or doubtful.

Who only speaks of calculations, as requests, results and the books do, needs these and no arrays: nothing here imports
numpy, which takes longer to import than all the mathematics.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

Money = Decimal | float | int

_EPOCH = date(1970, 1, 1).toordinal()


class CashFlow(NamedTuple):
    """An external flow, seen from the portfolio: a contribution is positive, a withdrawal negative."""

    date: date
    amount: Money


class DailyValue(NamedTuple):
    """The market value of a portfolio at the close of a day."""

    date: date
    value: Money


class TransactionType(StrEnum):
    """What a line of a portfolio's book did."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    BUY = "buy"
    SELL = "sell"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    FEE = "fee"
    TAX = "tax"
    SPLIT = "split"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"


class StandardPeriod(StrEnum):
    """The periods reports are made for, each ending on the as-of date."""

    MTD = "MTD"
    QTD = "QTD"
    YTD = "YTD"
    ONE_YEAR = "1Y"
    THREE_YEARS = "3Y"
    FIVE_YEARS = "5Y"
    TEN_YEARS = "10Y"
    ITD = "ITD"


class FlowTiming(StrEnum):
    """When in its day an external flow took part, and whether that day's valuation holds it."""

    AFTER_CLOSE = "after_close"
    """The valuation of the day excludes the flow, which takes part from the next sub-period on."""
    END_OF_DAY = "end_of_day"
    """The valuation of the day includes the flow, which earned nothing that day."""
    START_OF_DAY = "start_of_day"
    """The valuation of the day includes the flow, which was invested all day."""
    INFLOW_START_OUTFLOW_END = "inflow_start_outflow_end"
    """Contributions as at the start, withdrawals as at the end of the day."""


class Reason(StrEnum):
    """Why a metric is undefined, or what is special about the value it has."""

    ANNUALIZED_RETURN_UNDEFINED = "annualized_return_undefined"
    BENCHMARK_HISTORY_TOO_SHORT = "benchmark_history_too_short"
    EMPTY_ACCOUNT = "empty_account"
    FLOW_AFTER_FINAL_DATE = "flow_after_final_date"
    HISTORY_TOO_SHORT = "history_too_short"
    INDETERMINATE = "indeterminate"
    MULTIPLE_ROOTS = "multiple_roots"
    NON_POSITIVE_DENOMINATOR = "non_positive_denominator"
    NOT_CONVERGED = "not_converged"
    NO_BENCHMARK = "no_benchmark"
    NO_DOWN_PERIODS = "no_down_periods"
    NO_DRAWDOWN = "no_drawdown"
    NO_REAL_ROOT = "no_real_root"
    NO_SIGN_CHANGE = "no_sign_change"
    NO_UP_PERIODS = "no_up_periods"
    NO_VALUATION_IN_PERIOD = "no_valuation_in_period"
    OUT_OF_RANGE = "out_of_range"
    TOO_FEW_RETURNS = "too_few_returns"
    TOO_FEW_VALUATIONS = "too_few_valuations"
    TOTAL_LOSS = "total_loss"
    TRACK_RECORD_BROKEN = "track_record_broken"
    UNDER_ONE_YEAR = "under_one_year"
    ZERO_BENCHMARK_VOLATILITY = "zero_benchmark_volatility"
    ZERO_DOWNSIDE_DEVIATION = "zero_downside_deviation"
    ZERO_TRACKING_ERROR = "zero_tracking_error"
    ZERO_VOLATILITY = "zero_volatility"


class Caution(StrEnum):
    """A warning that goes with a value: it is defined, and still deserves a second look."""

    CARRIED_VALUATION = "carried_valuation"
    """A portfolio's last value, some days old, stands in for its part of the account's valuation on a flow's day."""
    EMPTY_ACCOUNT = "empty_account"
    """Nothing was invested during some sub-periods; they are left out."""
    FLOW_OUTSIDE_VALUATIONS = "flow_outside_valuations"
    """A flow lies before the first or after the last valuation it could belong to, and was left out."""
    FLOW_TIMING_SUSPECT = "flow_timing_suspect"
    """The valuations jump as if the flows had another timing than the one given."""
    IRREGULAR_SPACING = "irregular_spacing"
    """The returns of the period are much closer together, or further apart, than `periods_per_year` says."""
    LARGE_FLOW = "large_flow"
    """A flow over 10 % of the value it met: Modified Dietz is only an approximation there."""
    MULTIPLE_ROOTS = "multiple_roots"
    """Several rates solve the money-weighted return; the one nearest zero is given."""
    STALE_BENCHMARK = "stale_benchmark"
    """The benchmark's value at one end of the period is over a week older than the portfolio's."""
    STALE_VALUATION = "stale_valuation"
    """The valuation at one end of the period is over a month older than the date it stands for."""
    TOTAL_LOSS = "total_loss"
    """Everything put in was lost: the money-weighted return is -100 %."""
    TRACK_RECORD_BROKEN = "track_record_broken"
    """A sub-period lost everything: what comes after cannot be linked to what came before."""
    TRANSFER_IN_TRANSIT = "transfer_in_transit"
    """A transfer between the account's portfolios has left one and not arrived in the other."""
    VALUE_WITHOUT_FLOW = "value_without_flow"
    """An empty account has a value the next day and no flow explains it; that sub-period is left out."""


@dataclass(frozen=True, slots=True)
class Undefinable:
    """A number, or None with the reason why there is none."""

    value: float | None
    reason: Reason | None = None


def day_number(day: date) -> int:
    """Return the days from 1970-01-01 to `day`."""
    return day.toordinal() - _EPOCH


def day_date(number: int) -> date:
    """Return the date `number` days after 1970-01-01."""
    return date.fromordinal(int(number) + _EPOCH)
