"""The rate that is shown to be the only one, the search for all of them, and the forms in which flows are given."""

import math
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from common.calculations import MoneyWeightedReturn, Reason, calculate_irr, xirr, xirr_many
from common.calculations.money_weighted import solve
from common.calculations.real_roots import Equation
from common.calculations.sole_root import FEW, sole_root, sole_root_of_few

START = date(2020, 1, 1)
STEPS, TOLERANCE = 100, 1e-12
SAVINGS = [(day, -100.0) for day in range(0, 3_000, 30)] + [(3_000, 15_000.0)]


def found(times: list[float], paid: list[float]) -> float | None:
    return sole_root(np.array(times), np.array(paid), STEPS, TOLERANCE)


def test_an_account_that_is_never_overdrawn_has_one_rate_however_often_its_flows_turn() -> None:
    paid = [-1_000.0, 200.0, -300.0, 50.0, -20.0, 1_300.0]
    root = found([0.0, 0.5, 1.0, 2.0, 2.5, 4.0], paid)
    assert root is not None
    assert math.fsum(a * math.exp(-root * t) for a, t in zip(paid, [0, 0.5, 1, 2, 2.5, 4], strict=True)) == (
        pytest.approx(0.0, abs=1e-11)
    )


def test_an_overdrawn_account_is_not_called_one_of_a_single_rate() -> None:
    # (1 - 1.1 v)(1 - 1.2 v): 10 % and 20 %.
    assert found([0.0, 1.0, 2.0], [-1.0, 2.3, -1.32]) is None
    both = solve(np.array([0, 365, 730]), np.array([-1.0, 2.3, -1.32]))
    assert both.roots == pytest.approx((0.1, 0.2), rel=1e-12)
    assert both.reason is Reason.MULTIPLE_ROOTS


def test_a_rate_that_is_the_only_one_of_an_overdrawn_account_is_left_to_the_exhaustive_search() -> None:
    # (1 - 1.1 v) times a factor without a real root: in between more was taken out than there was.
    paid = [-1.0, 2.1, -2.1, 1.1]
    assert found([0.0, 1.0, 2.0, 3.0], paid) is None
    only = solve(np.array([0, 365, 730, 1_095]), np.array(paid))
    assert only.roots == pytest.approx((0.1,), rel=1e-12)
    assert only.reason is None


def test_one_turn_is_enough_where_a_balance_is_lost_in_rounding() -> None:
    times, paid = [0.0, 1.0, 2.0, 3.0, 4.0], [-1e-20, -1e-20, -100.0, 60.0, 60.0]
    root = found(times, paid)
    equation = Equation.of(np.array(times), np.array(paid))
    assert equation is not None
    ((low, high),) = equation.brackets()
    assert root == pytest.approx(equation.polish(low, high, 100, 1e-12), rel=1e-12)


@pytest.mark.parametrize(
    "paid",
    [
        [0.0, -100.0, 110.0],
        [-100.0, 110.0, 0.0],
        [-100.0, -110.0, -5.0],
        [-100.0, math.nan, 110.0],
        [-100.0, 5.0, math.inf],
        [-1e-200, 1e-201, 1e-200],
        [-1e200, 1e199, 1e200],
    ],
)
@pytest.mark.parametrize("count", [3, FEW + 10])
def test_what_is_not_as_it_should_be_has_no_quick_rate(paid: list[float], count: int) -> None:
    paid = [paid[0], *[paid[1]] * (count - 2), paid[2]]
    assert found([float(each) for each in range(count)], paid) is None


def test_flows_of_nothing_on_the_way_change_nothing() -> None:
    with_nothing = found([0.0, 1.0, 2.0, 3.0], [-100.0, 0.0, 60.0, 60.0])
    assert with_nothing == pytest.approx(found([0.0, 2.0, 3.0], [-100.0, 60.0, 60.0]), rel=1e-14)


def test_lists_and_arrays_give_the_same() -> None:
    generator = np.random.default_rng(5)
    for count in range(FEW + 1, FEW + 60):
        times = np.sort(generator.uniform(0.0, 20.0, count))
        times -= times[0]
        paid = generator.normal(0.0, 50.0, count)
        paid[0], paid[-1] = -1_000.0, 2_000.0
        few = sole_root_of_few(times.tolist(), paid.tolist(), STEPS, TOLERANCE)
        assert few is not None
        assert sole_root(times, paid, STEPS, TOLERANCE) == pytest.approx(few, rel=1e-13)


def test_no_gain_is_a_rate_of_nil_without_a_sign() -> None:
    result = xirr([START, START + timedelta(days=500)], [-100.0, 100.0])
    assert (result.value, result.period_value) == (0.0, 0.0)
    assert math.copysign(1.0, result.value or 0.0) == 1.0


def test_one_step_is_not_enough_and_is_all_that_is_taken_where_one_is_allowed() -> None:
    days, amounts = (np.array(each) for each in zip(*SAVINGS, strict=True))
    assert solve(days, amounts, max_iterations=1).reason is Reason.NOT_CONVERGED
    assert solve(days, amounts, max_iterations=5).reason is None


@pytest.mark.parametrize(("max_iterations", "tolerance"), [(0, 1e-12), (10, 0.0), (10, math.nan)])
def test_a_search_needs_steps_and_a_tolerance(max_iterations: int, tolerance: float) -> None:
    dates, days, amounts = [START, START + timedelta(days=500)], np.array([0, 500]), np.array([-100.0, 100.0])
    with pytest.raises(ValueError, match="must be positive"):
        xirr(dates, amounts, max_iterations=max_iterations, tolerance=tolerance)
    with pytest.raises(ValueError, match="must be positive"):
        solve(days, amounts, max_iterations=max_iterations, tolerance=tolerance)
    with pytest.raises(ValueError, match="must be positive"):
        xirr_many(days, amounts, np.array([0, 2]), max_iterations=max_iterations, tolerance=tolerance)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("count", [4, FEW + 10])
def test_an_amount_that_is_no_number_is_refused(bad: float, count: int) -> None:
    dates = [START + timedelta(days=each) for each in range(count)]
    amounts = [-100.0, bad, *[1.0] * (count - 3), 110.0]
    with pytest.raises(ValueError, match="finite"):
        xirr(dates, amounts)
    with pytest.raises(ValueError, match="finite"):
        calculate_irr(list(zip(dates, amounts, strict=True)), 1.0, START)


@pytest.mark.parametrize("count", [5, FEW + 40])
def test_the_form_of_the_flows_does_not_matter(count: int) -> None:
    dates = [START + timedelta(days=37 * each) for each in range(count)]
    amounts = [-1_000.0, *(float((-1) ** each * each) for each in range(count - 2)), 1_500.0]
    expected = xirr(dates, amounts)
    assert expected.value is not None
    days = np.array(dates, dtype="datetime64[D]")
    numbers = np.array(amounts)
    mixed = np.random.default_rng(1).permutation(count)
    for one, other in (
        (days, numbers),
        (days.astype("datetime64[ns]"), numbers),
        (days, amounts),
        (dates, [Decimal(str(each)) for each in amounts]),
        (days[mixed], numbers[mixed]),
        ([dates[each] for each in mixed], [amounts[each] for each in mixed]),
    ):
        assert xirr(one, other) == expected
    split = xirr([*dates, dates[-1]], [*amounts[:-1], 700.0, 800.0])
    assert split.value == pytest.approx(expected.value, rel=1e-13)


def test_a_missing_date_is_refused() -> None:
    with pytest.raises(ValueError, match="date is missing"):
        xirr(np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[D]"), [-100.0, 1.0, 110.0])


def test_dates_and_amounts_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 dates for 1 amounts"):
        xirr([START, START], [1.0])


def test_a_rate_beyond_every_float_is_out_of_range() -> None:
    result = solve(np.array([0, 1]), np.array([-1.0, 1e6]))
    assert (result.value, result.reason) == (None, Reason.OUT_OF_RANGE)
    assert result == MoneyWeightedReturn(None, Reason.OUT_OF_RANGE, (), result.period_value)
    assert result.period_value == pytest.approx(1e6 - 1.0, rel=1e-9)
