"""The worked examples of the specification: as they are written and, where their arithmetic slips, as they were meant.

`README.md` here tells which those are.
"""

from datetime import date
from itertools import pairwise

import pytest

from common.calculations import (
    CashFlow,
    DailyValue,
    calculate_daily_twr,
    calculate_irr,
    calculate_modified_dietz,
    calculate_risk_metrics,
    max_drawdown,
)

# From 1 January, 91 and 365 days on are 1 April and 31 December: 2024 is a leap year.
FIRST, SECOND, THIRD = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
DAY_91, DAY_365 = date(2024, 4, 1), date(2024, 12, 31)


@pytest.mark.parametrize("timing", ["after_close", "end_of_day", "start_of_day", "inflow_start_outflow_end"])
def test_modified_dietz_of_no_gain_is_nothing_however_the_flow_is_weighted(timing: str) -> None:
    flows = [CashFlow(date(2024, 1, 16), 1000)]
    found = calculate_modified_dietz(10000, 11000, flows, FIRST, date(2024, 1, 31), flow_timing=timing)
    assert found.value == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("final_value", "third_day", "total"),
    [
        pytest.param(11330, 130 / 11200, 1.02 * 11330 / 11200 - 1, id="as written: 1.16 % and 3.18 %"),
        pytest.param(11312, 0.01, 0.0302, id="as meant: 1 % and 3.02 %"),
    ],
)
def test_daily_valuation(final_value: float, third_day: float, total: float) -> None:
    values = [DailyValue(FIRST, 10000), DailyValue(SECOND, 10200), DailyValue(THIRD, final_value)]
    found = calculate_daily_twr(values, [CashFlow(SECOND, 1000)])
    assert list(found.sub_returns) == pytest.approx([0.02, third_day], abs=1e-15)
    assert found.value == pytest.approx(total, abs=1e-15)


@pytest.mark.parametrize(
    ("final_value", "rate"),
    [
        pytest.param(13200, 0.104505809648220060, id="as written: 10.45 %"),
        pytest.param(11000 + 2000 * 1.1 ** (274 / 365), 0.10, id="as meant: 10 %, of 13,148.34"),
    ],
)
def test_internal_rate_of_return(final_value: float, rate: float) -> None:
    found = calculate_irr([CashFlow(FIRST, 10000), CashFlow(DAY_91, 2000)], final_value, DAY_365)
    assert found.value == pytest.approx(rate, abs=1e-14)
    assert found.period_value == found.value  # over 365 days they are the same


@pytest.mark.parametrize(
    ("ddof", "volatility"),
    [
        pytest.param(0, 0.0231516738055804509, id="as written, of the population: 2.32 %"),
        pytest.param(1, 0.0258843582110895695, id="of a sample: 2.59 %"),
    ],
)
def test_volatility(ddof: int, volatility: float) -> None:
    returns = [0.02, -0.01, 0.03, -0.02, 0.04]
    found = calculate_risk_metrics(returns, None, periods_per_year=1, ddof=ddof)
    assert found.volatility == pytest.approx(volatility, abs=1e-16)


def test_sharpe_ratio() -> None:
    returns = [0.15, -0.15]  # whose deviation is the example's volatility
    found = calculate_risk_metrics(returns, 0.10, risk_free_rate=0.02, periods_per_year=1)
    assert found.sharpe_ratio == pytest.approx(8 / 15, abs=1e-15)


def test_max_drawdown() -> None:
    values = [100, 105, 103, 110, 95, 100, 105]
    found = max_drawdown([after / before - 1 for before, after in pairwise(values)])
    assert found.value == pytest.approx(15 / 110, abs=1e-15)
    assert (found.peak_index, found.trough_index, found.recovery_index) == (3, 4, None)
