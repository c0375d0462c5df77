"""What all models share: how strict they are, and how a day and an amount of money are written in JSON."""

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from common.models.limits import FIRST_YEAR, LAST_YEAR, MAX_AMOUNT, MAX_DAYS_AHEAD

FIRST_DATE, LAST_DATE = date(FIRST_YEAR, 1, 1), date(LAST_YEAR, 12, 31)


class StrictModel(BaseModel):
    """No unknown field, no coercion, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def parse_date(value: object) -> date:
    """Return the date that `YYYY-MM-DD` names.

    Raises
    ------
    PydanticCustomError
        It is anything else, or outside 1900 to 2199.
    """
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        try:
            day = date.fromisoformat(value)
        except ValueError:
            pass
        else:
            if FIRST_DATE <= day <= LAST_DATE:
                return day
            raise PydanticCustomError("date_range", "must lie between 1900 and 2199")
    elif type(value) is date:
        return value
    raise PydanticCustomError("date_format", "must be a date, YYYY-MM-DD")


def ahead_fault(day: date, today: date) -> str | None:
    """Return what is wrong with a date that lies ahead; None where it may come in.

    Parameters
    ----------
    day
        Of a trade, a value, a calculation.
    today
        In UTC.
    """
    if (day - today).days > MAX_DAYS_AHEAD:
        return f"must be at most {MAX_DAYS_AHEAD} days after today"
    return None


def is_plain_number(text: str) -> bool:
    """Tell whether `text` is a decimal number; Python alone would take `1_000`, and digits of other scripts, too."""
    if "_" in text or not text.isascii():
        return False
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


def parse_amount(value: object) -> float:
    """Return an amount of money given as a JSON number or as decimal text.

    A decimal text and its float64 differ by at most half a unit in the last of 15 digits; what is computed from it
    starts from that float64 either way.

    Raises
    ------
    PydanticCustomError
        It is no number, not finite, or larger than `MAX_AMOUNT`.
    """
    number: float
    if isinstance(value, str):
        if not is_plain_number(value):
            raise PydanticCustomError("amount", "must be a number")
        number = float(Decimal(value))
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
    else:
        raise PydanticCustomError("amount", "must be a number")
    if not abs(number) <= MAX_AMOUNT:
        raise PydanticCustomError("amount_range", "must be finite and at most 1e15 in size")
    return number


IsoDate = Annotated[date, BeforeValidator(parse_date)]
Amount = Annotated[float, BeforeValidator(parse_amount)]
