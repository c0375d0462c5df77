"""Time-weighted returns where convention, not arithmetic, decides."""

from datetime import date, timedelta

import pytest

from common.calculations import (
    CashFlow,
    Caution,
    DailyValue,
    FlowTiming,
    Reason,
    annualize_return,
    calculate_daily_twr,
    calculate_modified_dietz,
)

START = date(2024, 1, 1)
TIMINGS = list(FlowTiming)


def days(*values: float) -> list[DailyValue]:
    return [DailyValue(START + timedelta(days=index), value) for index, value in enumerate(values)]


def flow(day: int, amount: float) -> CashFlow:
    return CashFlow(START + timedelta(days=day), amount)


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        ("after_close", 1.02 * 11330 / 11200 - 1),
        ("end_of_day", (10200 - 1000) / 10000 * 11330 / 10200 - 1),
        ("start_of_day", 10200 / 11000 * 11330 / 10200 - 1),
        ("inflow_start_outflow_end", 10200 / 11000 * 11330 / 10200 - 1),
    ],
)
def test_each_timing_has_its_formula(timing: str, expected: float) -> None:
    found = calculate_daily_twr(days(10000, 10200, 11330), [flow(1, 1000)], flow_timing=timing)
    assert found.value == pytest.approx(expected, rel=1e-14)


def test_order_of_the_input_does_not_matter() -> None:
    values, flows = days(100, 110, 130, 120), [flow(1, 10), flow(2, -5)]
    assert calculate_daily_twr(values[::-1], flows[::-1]).value == calculate_daily_twr(values, flows).value


def test_a_flow_at_the_week_end_belongs_between_the_valuations_around_it() -> None:
    friday, saturday, monday = date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4)
    values = [DailyValue(friday, 1000), DailyValue(monday, 1515)]
    late = calculate_daily_twr(values, [CashFlow(saturday, 500)], flow_timing="after_close")
    early = calculate_daily_twr(values, [CashFlow(saturday, 500)], flow_timing="start_of_day")
    assert late.value == early.value == pytest.approx(0.01)


@pytest.mark.parametrize("timing", TIMINGS)
def test_one_valuation_is_no_return(timing: FlowTiming) -> None:
    found = calculate_daily_twr(days(10000), [], flow_timing=timing)
    assert (found.value, found.reason) == (None, Reason.TOO_FEW_VALUATIONS)


@pytest.mark.parametrize("timing", [t for t in TIMINGS if t is not FlowTiming.AFTER_CLOSE])
def test_an_inflow_opens_an_empty_account_at_the_start_of_its_day(timing: FlowTiming) -> None:
    found = calculate_daily_twr(days(0, 1000, 1010), [flow(1, 1000)], flow_timing=timing)
    assert found.value == pytest.approx(0.01)


def test_emptied_and_reopened_links_what_was_invested() -> None:
    # 10 % until it is emptied after the close of day 1, nothing on day 2 and 3, 5 % after it is reopened.
    values = days(1000, 1100, 0, 0, 2100)
    found = calculate_daily_twr(values, [flow(1, -1100), flow(3, 2000)])
    assert found.value == pytest.approx(1.1 * 1.05 - 1)
    assert found.warnings == (Caution.EMPTY_ACCOUNT,)
    assert [day.day for day in found.sub_period_ends] == [2, 5]


def test_emptied_by_amounts_whose_sum_rounds() -> None:
    parts = [flow(1, -0.1), flow(1, -0.2), flow(1, -1000.0)]
    found = calculate_daily_twr(days(1000, 1000.3, 0), parts)
    assert found.value == pytest.approx(0.0003)


def test_an_account_that_was_never_funded_has_no_return() -> None:
    found = calculate_daily_twr(days(0, 0, 0), [])
    assert (found.value, found.reason) == (None, Reason.EMPTY_ACCOUNT)


def test_value_that_no_flow_explains_is_left_out_and_told() -> None:
    found = calculate_daily_twr(days(0, 500, 505), [])
    assert found.value == pytest.approx(0.01)
    assert Caution.VALUE_WITHOUT_FLOW in found.warnings


def test_withdrawing_more_than_there_is_leaves_no_capital() -> None:
    found = calculate_daily_twr(days(1000, 1000, 10), [flow(1, -1500)])
    assert (found.value, found.reason) == (None, Reason.NON_POSITIVE_DENOMINATOR)


def test_a_single_negative_day_breaks_the_record() -> None:
    found = calculate_daily_twr(days(1000, -50, 1020), [])
    assert (found.value, found.reason) == (None, Reason.NON_POSITIVE_DENOMINATOR)


def test_losing_everything_is_minus_one_and_flagged() -> None:
    found = calculate_daily_twr(days(1000, 0, 0), [])
    assert found.value == -1.0
    assert Caution.TRACK_RECORD_BROKEN in found.warnings


def test_nothing_is_linked_to_a_loss_of_more_than_everything() -> None:
    found = calculate_daily_twr(days(1000, -50, 1010), [flow(1, 1050)])
    assert (found.value, found.reason) == (None, Reason.TRACK_RECORD_BROKEN)


def test_flows_outside_the_valuations_are_told() -> None:
    found = calculate_daily_twr(days(1000, 1010), [flow(-3, 1000), flow(1, 5)])
    assert found.value == pytest.approx(0.01)
    assert Caution.FLOW_OUTSIDE_VALUATIONS in found.warnings


@pytest.mark.parametrize(
    ("right", "values"),
    [
        # 100,000 into 1,000 on day 1; the market moves by half a per cent a day.
        (FlowTiming.AFTER_CLOSE, (1000, 1005, 101510, 102017)),
        (FlowTiming.START_OF_DAY, (1000, 101505, 102012, 102522)),
    ],
)
@pytest.mark.parametrize("read", TIMINGS)
def test_a_large_flow_read_with_the_wrong_timing_is_suspect(
    right: FlowTiming, values: tuple[float, ...], read: FlowTiming
) -> None:
    found = calculate_daily_twr(days(*values), [flow(1, 100_000)], flow_timing=read)
    # Read as in the day although it came after it, or the other way round, the flow shows up as a return.
    wrong = (read is FlowTiming.AFTER_CLOSE) != (right is FlowTiming.AFTER_CLOSE)
    if wrong:
        assert Caution.FLOW_TIMING_SUSPECT in found.warnings
    elif read is right:
        assert Caution.FLOW_TIMING_SUSPECT not in found.warnings


def test_a_crash_on_the_day_of_a_flow_is_not_suspect() -> None:
    found = calculate_daily_twr(days(1000, 600, 810, 815), [flow(1, 200)])
    assert Caution.FLOW_TIMING_SUSPECT not in found.warnings


def test_refuses_a_date_that_stands_twice() -> None:
    with pytest.raises(ValueError, match="at most once"):
        calculate_daily_twr([DailyValue(START, 1), DailyValue(START, 2)], [])


def test_refuses_what_is_not_a_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        calculate_daily_twr(days(1, float("nan")), [])
    with pytest.raises(ValueError, match="finite"):
        calculate_daily_twr(days(1, 2), [flow(0, float("inf"))])


def test_modified_dietz_leaves_out_what_the_values_hold_already() -> None:
    last = START + timedelta(days=30)
    ends = [CashFlow(START, 500), CashFlow(last, 700)]
    in_the_day = calculate_modified_dietz(10_000, 11_000, ends, START, last, flow_timing="end_of_day")
    after_close = calculate_modified_dietz(10_000, 11_000, ends, START, last, flow_timing="after_close")
    assert in_the_day.value == pytest.approx((11_000 - 10_000 - 700) / 10_000)
    assert after_close.value == pytest.approx((11_000 - 10_000 - 500) / 10_500)
    assert Caution.FLOW_OUTSIDE_VALUATIONS in after_close.warnings


def test_modified_dietz_needs_a_day_and_capital() -> None:
    assert calculate_modified_dietz(1, 2, [], START, START).reason is Reason.TOO_FEW_VALUATIONS
    assert calculate_modified_dietz(0, 0, [], START, START + timedelta(days=9)).reason is Reason.EMPTY_ACCOUNT


@pytest.mark.parametrize(
    ("total", "length", "expected", "reason"),
    [
        (0.1, 365, 0.1, None),
        (0.1, 364, None, Reason.UNDER_ONE_YEAR),
        (-1.0, 730, -1.0, None),
        (-1.5, 730, None, Reason.TRACK_RECORD_BROKEN),
        (0.21, 730, 0.1, None),
    ],
)
def test_annualising(total: float, length: int, expected: float | None, reason: Reason | None) -> None:
    found = annualize_return(total, length)
    assert found.reason is reason
    assert found.value == (None if expected is None else pytest.approx(expected))
