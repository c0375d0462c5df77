"""What the mathematics holds in arrays: valuations, flows and prices, by day."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.calculations.words import FlowTiming, Money, day_number

FloatArray = NDArray[np.float64]
DayArray = NDArray[np.int64]
"""Days since 1970-01-01: dates that can be subtracted and searched."""


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
