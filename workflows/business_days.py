"""Which days are business days: the calendar of a market or a country."""

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from common.errors import PermanentError

if TYPE_CHECKING:
    from holidays import HolidayBase


class UnknownCalendarError(PermanentError):
    """No market and no country has this name."""


@lru_cache(maxsize=4)
def business_calendar(name: str) -> "HolidayBase":
    """Return the holidays of a market (`NYSE`, `XECB`) or country (`US`, `DE`); those of nobody for an empty name.

    Raises
    ------
    UnknownCalendarError
        There is no such market or country.
    """
    import holidays  # noqa: PLC0415 - a tenth of a second that only the schedule needs

    if not name:
        return holidays.HolidayBase()
    if name in holidays.list_supported_financial():
        return holidays.financial_holidays(name)
    if name in holidays.list_supported_countries():
        return holidays.country_holidays(name)
    raise UnknownCalendarError(f"{name} is no market and no country that has a calendar, such as NYSE or DE")


def previous_business_day(day: date, calendar: str) -> date:
    """Return the last business day before `day`."""
    return business_calendar(calendar).get_nth_working_day(day, -1)
