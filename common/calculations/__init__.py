"""The mathematics of investment performance: numpy only, no input or output."""

from common.calculations.types import CashFlow, DailyValue, FlowTiming

__all__ = ["CashFlow", "DailyValue", "FlowTiming"]
