"""Reporting periods, and how many returns make a year."""

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from math import log
from typing import Self

import numpy as np

from common.calculations.types import DayArray
from common.calculations.words import StandardPeriod, day_date

DAYS_PER_YEAR = 365.0
LEAST_DAYS_OF_A_YEAR = DAYS_PER_YEAR - 7.0
"""Between the valuations of a period that is a year by the calendar: made on business days, they may miss a week-end
and the holidays around it at an end of the year, which together are seldom longer than a week."""

TELLING_RETURNS = 12
"""Below so many returns a long holiday among them is enough to make their spacing look like another one."""
MOST_IRREGULAR = 1.5
"""More than lies between the 252 business days and the 365 days of a year."""
_SPACINGS = (252, 104, 52, 26, 12, 4, 2, 1)
_WEEK = 7
_BUSINESS_DAYS_APART = 1.2
"""Between the mean distance of calendar days, 1, and that of business days, which skip week-ends: 7/5."""
_CALENDAR_DAYS_APART = 1.1
"""The same where there are pauses, of few values: one on a Saturday hides a week-end."""


_YEARS = {
    StandardPeriod.ONE_YEAR: 1,
    StandardPeriod.THREE_YEARS: 3,
    StandardPeriod.FIVE_YEARS: 5,
    StandardPeriod.TEN_YEARS: 10,
}


@dataclass(frozen=True, slots=True)
class Period:
    """A labelled stretch (start, end] of the calendar, for one as-of date.

    Attributes
    ----------
    label : str
        `1Y`, or `2008-01-01/2008-12-31` for an explicit one (ISO 8601).
    start : date or None
        The day whose closing value is the base; None for the first there is (ITD).
    end : date
    """

    label: str
    start: date | None
    end: date

    @classmethod
    def standard(cls, period: StandardPeriod | str, as_of: date) -> Self:
        """Return a standard period as of a date."""
        return cls(str(period), period_start(period, as_of), as_of)

    @classmethod
    def explicit(cls, start: date, end: date) -> Self:
        """Return the period between two dates."""
        return cls(f"{start.isoformat()}/{end.isoformat()}", start, end)

    def is_full_year(self, opening: int, closing: int) -> bool:
        """Return whether a return between valuations of two days, as day numbers, is one of a year or more.

        They lie a year apart; or the period is a year by the calendar, and they lie `LEAST_DAYS_OF_A_YEAR` apart.
        """
        if closing - opening >= DAYS_PER_YEAR:
            return True
        if closing - opening < LEAST_DAYS_OF_A_YEAR:
            return False
        return shift_years(self.end, -1) >= (day_date(opening) if self.start is None else self.start)


def resolve_period(
    period: StandardPeriod | str, as_of: date, inception: date | None = None
) -> tuple[date | None, date]:
    """Return base and end date of a standard period: it covers (base, end].

    Parameters
    ----------
    period
        `MTD`, `QTD`, `YTD`, `1Y`, `3Y`, `5Y`, `10Y` or `ITD`.
    as_of
        The end.
    inception
        Base of `ITD`.
    """
    standard = StandardPeriod(period)
    return (inception if standard is StandardPeriod.ITD else period_start(standard, as_of)), as_of


def period_start(period: StandardPeriod | str, as_of: date) -> date | None:
    """Return the base date of a standard period; None for ITD, whose base the portfolio itself has.

    The base of a to-date period is the last day of the month, quarter or year before. A period of years starts on the
    same day of an earlier year; where `as_of` is the end of a month, on the end of that month.
    """
    match StandardPeriod(period):
        case StandardPeriod.MTD:
            return as_of.replace(day=1) - timedelta(days=1)
        case StandardPeriod.QTD:
            return as_of.replace(month=as_of.month - (as_of.month - 1) % 3, day=1) - timedelta(days=1)
        case StandardPeriod.YTD:
            return date(as_of.year - 1, 12, 31)
        case StandardPeriod.ITD:
            return None
        case years:
            return shift_years(as_of, -_YEARS[years])


def shift_years(day: date, years: int) -> date:
    """Return the same day of another year; a month's last day stays the month's last day."""
    year = day.year + years
    last = calendar.monthrange(year, day.month)[1]
    at_month_end = day.day == calendar.monthrange(day.year, day.month)[1]
    return date(year, day.month, last if at_month_end else min(day.day, last))


def month_end_positions(days: DayArray) -> DayArray:
    """Return the positions of the last of `days` in each month; the very last day is always one of them."""
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    return np.flatnonzero(np.append(months[1:] != months[:-1], np.True_))


def infer_periods_per_year(days: DayArray) -> int:
    """Return how many sub-periods of this spacing make a year.

    Parameters
    ----------
    days : (n,) int64, increasing

    Returns
    -------
    int
        252 for business days, 365 for calendar days, where the median distance is a day: 365 where the mean distance
        is at most 1.2 days, or 1.1 with whole weeks cut out of each. Else the nearest, by its ratio, of 252, 104, 52,
        26, 12, 4, 2 and 1 to what the usual distance makes: the mean of those that are at least half the median and at
        most its double. 252 below two days.
    """
    if days.size < 2:
        return 252
    mean = (days.item(-1) - days.item(0)) / (days.size - 1)
    if mean <= _BUSINESS_DAYS_APART:
        return 365
    distances = days[1:] - days[:-1]
    # Below a mean of 1.5 most of the distances are of one day, as none is less: their median without a look for it.
    median = 1.0 if mean < 1.5 else float(np.median(distances))
    if median <= 1.0:
        if distances.item(distances.argmax()) < _WEEK:
            return 252  # by the mean of all
        # A pause is no week-end, nor hides those in it: with its whole weeks cut out it ends on the weekday it ends on.
        distances = distances % _WEEK
        return 252 if int(distances.sum()) > _CALENDAR_DAYS_APART * np.count_nonzero(distances) else 365
    usual = distances[(distances >= 0.5 * median) & (distances <= 2.0 * median)]
    observed = DAYS_PER_YEAR * usual.size / int(usual.sum())
    return min(_SPACINGS, key=lambda periods: abs(log(periods / observed)))


def infer_months_per_year(days: DayArray) -> int:
    """Return how many returns between the last valuations of months make a year.

    Parameters
    ----------
    days : (n,) int64, increasing
        Of all valuations.

    Returns
    -------
    int
        What `infer_periods_per_year` makes of the ends of the months that have a valuation: where the first or the last
        of them is not over, it counts as the month that it is. 12 of a single month.
    """
    months = np.unique(days.astype("datetime64[D]").astype("datetime64[M]"))
    ends = (months + 1).astype("datetime64[D]").astype(np.int64) - 1
    return infer_periods_per_year(ends) if ends.size > 1 else 12


def is_irregular(returns: int, days: int, periods_per_year: float) -> bool:
    """Return whether so many returns over so many days contradict `periods_per_year`.

    They do where they make a year of over `MOST_IRREGULAR` times as many, or as few; below `TELLING_RETURNS` never.
    """
    if returns < TELLING_RETURNS:
        return False
    ratio = returns * DAYS_PER_YEAR / days / periods_per_year
    return not 1.0 / MOST_IRREGULAR <= ratio <= MOST_IRREGULAR
