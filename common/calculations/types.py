"""The words of the mathematics: flows, valuations, conventions, and why something is undefined or doubtful."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from math import inf
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
DayArray = NDArray[np.int64]
"""Days since 1970-01-01: dates that can be subtracted and searched."""
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


@dataclass(frozen=True, slots=True)
class Valuations:
    """Market values at the close of strictly increasing days.

    Attributes
    ----------
    days : (n,) int64
    values : (n,) float64
    """

    days: DayArray
    values: FloatArray

    @classmethod
    def of(cls, daily_values: Iterable[tuple[date, Money]]) -> Self:
        """Sort `daily_values` by date.

        Raises
        ------
        ValueError
            A date stands twice, or a value is not finite.
        """
        points = sorted((day_number(day), float(value)) for day, value in daily_values)
        return cls.from_arrays([day for day, _ in points], [value for _, value in points])

    @classmethod
    def from_arrays(cls, days: Sequence[int] | DayArray, values: Sequence[float] | FloatArray) -> Self:
        """Take days that increase strictly, and their values.

        Raises
        ------
        ValueError
            The days do not increase, or a value is not finite.
        """
        day_array = np.asarray(days, dtype=np.int64)
        value_array = np.asarray(values, dtype=np.float64)
        if not ascends(day_array):
            raise ValueError("valuation dates must increase, each at most once")
        if not bool(np.isfinite(value_array).all()):
            raise ValueError("valuations must be finite numbers")
        return cls(day_array, value_array)


@dataclass(frozen=True, slots=True)
class Flows:
    """External flows in the order of their days; several may share a day.

    Attributes
    ----------
    days : (m,) int64
    amounts : (m,) float64, a contribution positive
    """

    days: DayArray
    amounts: FloatArray

    @classmethod
    def of(cls, cash_flows: Iterable[tuple[date, Money]]) -> Self:
        """Sort `cash_flows` by date.

        Raises
        ------
        ValueError
            An amount is not finite.
        """
        flows = sorted((day_number(day), float(amount)) for day, amount in cash_flows)
        return cls.from_arrays([day for day, _ in flows], [amount for _, amount in flows])

    @classmethod
    def from_arrays(cls, days: Sequence[int] | DayArray, amounts: Sequence[float] | FloatArray) -> Self:
        """Take days, in any order, and their amounts.

        Raises
        ------
        ValueError
            An amount is not finite.
        """
        day_array = np.asarray(days, dtype=np.int64)
        amount_array = np.asarray(amounts, dtype=np.float64)
        if not bool(np.isfinite(amount_array).all()):
            raise ValueError("cash flows must be finite numbers")
        if day_array.size > 1 and not bool((day_array[1:] >= day_array[:-1]).all()):
            order = np.argsort(day_array, kind="stable")
            day_array, amount_array = day_array[order], amount_array[order]
        return cls(day_array, amount_array)

    @classmethod
    def none(cls) -> Self:
        """Return no flows."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0))

    def between(self, after: int, until: int) -> Self:
        """Return the flows dated in (after, until]."""
        if self.days.size == 0 or (self.days[0] > after and self.days[-1] <= until):
            return self
        first, last = self.days.searchsorted((after, until), side="right").tolist()
        return type(self)(self.days[first:last], self.amounts[first:last])

    def within(self, opening: int, closing: int, timing: FlowTiming) -> Self:
        """Return the flows that move capital between the valuations of two days.

        One after the close of a day is in no valuation of that day, any other one is in it.
        """
        late = 1 if timing is FlowTiming.AFTER_CLOSE else 0
        return self.between(opening - late, closing - late)

    def dated_by_close(self, timing: FlowTiming) -> Self:
        """Return the flows dated with the close from which on they count, that of the day before for a day's start."""
        if timing is FlowTiming.START_OF_DAY:
            return type(self)(self.days - 1, self.amounts)
        if timing is not FlowTiming.INFLOW_START_OUTFLOW_END:
            return self
        days = self.days - (self.amounts > 0.0)
        if not np.count_nonzero(days[1:] < days[:-1]):
            return type(self)(days, self.amounts)
        order = days.argsort(kind="stable")
        return type(self)(days[order], self.amounts[order])

    def net(self) -> Self:
        """Return the flows with those of one day added."""
        if ascends(self.days):
            return self
        days, place = np.unique(self.days, return_inverse=True)
        return type(self)(days, np.bincount(place, weights=self.amounts).astype(np.float64, copy=False))


def lowest(values: FloatArray) -> float:
    """Return the lowest of some values, infinity where there are none.

    As `highest`, it asks for a place: of a few hundred values numpy's own `min` takes five times as long to call.
    """
    return float(values.item(values.argmin())) if values.size else inf


def highest(values: FloatArray) -> float:
    """Return the highest of some values, minus infinity where there are none."""
    return float(values.item(values.argmax())) if values.size else -inf


def ascends(days: DayArray) -> bool:
    """Return whether each day comes after the one before."""
    return days.size < 2 or int(np.count_nonzero(days[1:] > days[:-1])) == days.size - 1


def finite_series(values: Sequence[float] | FloatArray, name: str) -> FloatArray:
    """Return `values` as an (n,) array; a ValueError, which names them, where one is not a finite number."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not bool(np.isfinite(array).all()):
        raise ValueError(f"{name} must be a flat series of finite numbers")
    return array


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


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """Closing prices of one security on strictly increasing days, as they were traded.

    Attributes
    ----------
    days : (n,) int64
    prices : (n,) float64
    dividends : (n,) float64
        Paid on one unit, on the ex-date; 0 on other days.
    splits : (n,) float64
        New units for each old one, from that day's price on; 1 on other days.
    """

    days: DayArray
    prices: FloatArray
    dividends: FloatArray
    splits: FloatArray

    @classmethod
    def none(cls) -> Self:
        """Return no prices."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), np.empty(0))
