"""The words of the mathematics: flows, valuations, conventions and the reasons why something is undefined."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class CashFlow(NamedTuple):
    """An external flow, seen from the portfolio: a contribution is positive, a withdrawal negative."""

    date: date
    amount: Decimal | float


class DailyValue(NamedTuple):
    """The market value of a portfolio at the close of a day."""

    date: date
    value: Decimal | float


class FlowTiming(StrEnum):
    """When in its day an external flow took part, and whether that day's valuation holds it."""

    AFTER_CLOSE = "after_close"
    END_OF_DAY = "end_of_day"
    START_OF_DAY = "start_of_day"
    INFLOW_START_OUTFLOW_END = "inflow_start_outflow_end"
