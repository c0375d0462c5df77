"""Flows and the days around them: what is found for all of them at once is what is found for each by itself."""

import math
from statistics import mean, median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations import CashFlow, DailyValue, Flows, FlowTiming, Valuations, calculate_daily_twr
from common.calculations import infer_periods_per_year as inferred
from common.calculations.flow_timing import flow_timing_suspect_days
from common.calculations.sub_periods import LARGE_FLOW_SHARE
from common.calculations.words import day_date, day_number
from tests.property.strategies import START, TIMINGS, Portfolio, any_portfolios, funded_portfolios


def movement(window: list[DailyValue], flow: CashFlow, timing: FlowTiming) -> float:
    found = calculate_daily_twr(window, [flow], flow_timing=timing)
    if found.reason in {"empty_account", "too_few_valuations"}:
        return 0.0
    if found.value is None or min(found.sub_returns) <= -1.0:
        return math.inf
    return sum(abs(math.log(1.0 + each)) for each in found.sub_returns)


def one_by_one(values: list[DailyValue], flows: list[CashFlow], timing: FlowTiming) -> tuple[set[int], set[int]]:
    """Return the suspect days, and those too near a limit for two ways of rounding to agree."""
    values = sorted(values)
    of_day: dict[int, float] = {}
    for day, amount in flows:
        of_day[day_number(day)] = of_day.get(day_number(day), 0.0) + float(amount)
    suspect, close = set(), set()
    for number, amount in of_day.items():
        before = max((at for at, each in enumerate(values) if day_number(each.date) < number), default=None)
        if before is None or before >= len(values) - 1 or float(values[before].value) <= 0.0:
            continue
        share = abs(amount) / float(values[before].value)
        moved = {
            each: movement(values[before : before + 3], CashFlow(day_date(number), amount), each) for each in FlowTiming
        }
        jump = 0.5 * abs(math.log(max(1.0 + math.copysign(min(share, 0.9), amount), 0.1))) if amount else 0.0
        best = min(each for candidate, each in moved.items() if candidate is not timing)
        if share > LARGE_FLOW_SHARE and moved[timing] > jump and moved[timing] > 5.0 * best:
            suspect.add(number)
        for one, other in ((share, LARGE_FLOW_SHARE), (moved[timing], jump), (moved[timing], 5.0 * best)):
            if math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9):
                close.add(number)
    return suspect, close


@given(st.one_of(*(funded_portfolios(each) for each in FlowTiming), any_portfolios()), TIMINGS)
def test_suspect_days_are_those_found_one_by_one(portfolio: Portfolio, timing: FlowTiming) -> None:
    values, flows = portfolio
    found = flow_timing_suspect_days(Valuations.of(values), Flows.of(flows), timing)
    assert found == sorted(found)
    expected, close = one_by_one(values, flows, timing)
    assert set(found) - close == expected - close


@given(st.lists(st.integers(0, 60), max_size=20), st.integers(-5, 65), st.integers(-5, 65), TIMINGS)
def test_a_flow_is_within_when_it_moves_capital_between_the_two_days(
    offsets: list[int], opening: int, closing: int, timing: FlowTiming
) -> None:
    flows = Flows.from_arrays(offsets, [float(1 + each) for each in range(len(offsets))])
    found = flows.within(opening, closing, timing).days.tolist()
    if timing is FlowTiming.AFTER_CLOSE:
        assert found == [each for each in sorted(offsets) if opening <= each < closing]
    else:
        assert found == [each for each in sorted(offsets) if opening < each <= closing]


@given(st.lists(st.integers(0, 30), max_size=20))
def test_net_flows_have_each_day_once(offsets: list[int]) -> None:
    flows = Flows.from_arrays(offsets, [float(each + 1) for each in range(len(offsets))])
    net = flows.net()
    assert net.days.tolist() == sorted(set(offsets))
    assert net.amounts.sum() == flows.amounts.sum()


@given(st.lists(st.sampled_from([1, 1, 1, 2, 3, 5, 7, 30, 91, 365]), min_size=1, max_size=30))
def test_the_nearest_spacing_to_the_usual_distance_counts(distances: list[int]) -> None:
    days = np.concatenate(([day_number(START)], day_number(START) + np.cumsum(distances)))
    middle = median(distances)
    if middle <= 1:
        cut = [each % 7 for each in distances if each % 7]
        calendar = mean(distances) <= 1.2 or (max(distances) >= 7 and mean(cut) <= 1.1)
        assert inferred(days) == (365 if calendar else 252)
        return
    usual = mean([each for each in distances if middle <= 2 * each and each <= 2 * middle])
    off = {periods: abs(math.log(usual * periods / 365)) for periods in (252, 104, 52, 26, 12, 4, 2, 1)}
    assert off[inferred(days)] == pytest.approx(min(off.values()))
