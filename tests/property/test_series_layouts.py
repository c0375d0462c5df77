"""However series are laid out to be measured together, each comes out as it does alone, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.calculations.extremes import deepest_fall, lower_tail
from common.calculations.moments import JointMoments, Moments, Series
from common.calculations.money_weighted import solve, solve_few
from common.calculations.sole_root import FEW
from common.calculations.types import FloatArray, ascends, highest, lowest
from tests.property.strategies import RETURNS, return_series

TAIL = 0.05
TARGETS = st.sampled_from([0.0, 0.001])


@st.composite
def rows(draw: st.DrawFn) -> list[FloatArray]:
    """Some series of one length."""
    length = draw(st.integers(1, 40))
    row = st.lists(RETURNS, min_size=length, max_size=length)
    return [np.array(each) for each in draw(st.lists(row, min_size=2, max_size=5))]


def alone(each: FloatArray, target: float) -> Moments:
    (found,) = Series([each]).moments(target, TAIL)
    return found


def pair(each: FloatArray, beside: FloatArray) -> JointMoments:
    (found,) = Series([each]).joint_moments(Series([beside]))
    return found


@given(rows(), TARGETS)
def test_the_rows_of_a_matrix_are_each_what_they_are_alone(series: list[FloatArray], target: float) -> None:
    with np.errstate(all="ignore"):
        found = Series(np.stack(series)).moments(target, TAIL)
        np.testing.assert_equal(found, [alone(each, target) for each in series])


@given(st.lists(return_series(min_size=1), min_size=2, max_size=5), TARGETS)
def test_series_laid_end_to_end_are_each_what_they_are_alone(lists: list[list[float]], target: float) -> None:
    series = [np.array(each) for each in lists]
    with np.errstate(all="ignore"):
        np.testing.assert_equal(Series(series).moments(target, TAIL), [alone(each, target) for each in series])


@given(rows(), st.sampled_from(["as it is", "only rises", "never rises"]))
def test_a_benchmark_beside_all_rows_is_beside_each_of_them(series: list[FloatArray], shape: str) -> None:
    beside, *compared = series
    beside = {"as it is": beside, "only rises": np.abs(beside) + 0.01, "never rises": -np.abs(beside)}[shape]
    found = Series(np.stack(compared)).joint_moments(Series([beside]))
    assert found == [pair(each, beside) for each in compared]
    if shape == "only rises":
        assert {each.down for each in found} == {1.0}
    if shape == "never rises":
        assert {each.up for each in found} == {1.0}


@given(st.lists(return_series(min_size=1), min_size=2, max_size=5), st.data())
def test_a_benchmark_for_each_of_several_series_is_beside_its_own(
    lists: list[list[float]], data: st.DataObject
) -> None:
    others = [np.array(data.draw(return_series(min_size=len(each), max_size=len(each)))) for each in lists]
    series = [np.array(each) for each in lists]
    found = Series(series).joint_moments(Series(others))
    assert found == [pair(each, beside) for each, beside in zip(series, others, strict=True)]


@given(rows())
def test_the_growth_over_all_is_the_product_of_the_growths(series: list[FloatArray]) -> None:
    for each in series:
        assert pair(each, each).growth == float(np.multiply.reduce(1.0 + each)) == pair(each, each).benchmark_growth


@given(
    st.lists(
        st.tuples(st.integers(0, 4_000), st.floats(-1e6, 1e6)),
        min_size=2,
        max_size=FEW,
        unique_by=lambda each: each[0],
    )
)
def test_few_flows_in_plain_floats_have_the_rate_that_arrays_have(flows: list[tuple[int, float]]) -> None:
    days, amounts = map(list, zip(*sorted(flows), strict=True))
    found = solve_few(days, amounts)
    assert found is None or found == solve(np.array(days), np.array(amounts))


def test_few_flows_of_which_two_share_a_day_are_left_to_arrays() -> None:
    assert solve_few([1, 1, 400], [-50.0, -50.0, 110.0]) is None


@given(st.lists(st.floats(allow_nan=False), max_size=30))
def test_lowest_and_highest_are_those_of_a_list(values: list[float]) -> None:
    assert lowest(np.array(values)) == min(values, default=np.inf)
    assert highest(np.array(values)) == max(values, default=-np.inf)


@given(st.lists(st.integers(0, 5), max_size=5))
def test_days_ascend_where_each_comes_after_the_one_before(days: list[int]) -> None:
    assert ascends(np.array(days, dtype=np.int64)) == (days == sorted(set(days)))


def test_one_that_is_not_a_number_is_lowest_and_highest() -> None:
    values = np.array([1.0, np.nan, -1.0])
    assert np.isnan([lowest(values), highest(values)]).all()


@given(return_series(min_size=2))
def test_the_returns_of_which_a_tail_is_taken_stay_in_their_order(returns: list[float]) -> None:
    array = np.array(returns)
    found = lower_tail(array, np.empty(0), TAIL)
    assert array.tolist() == returns
    assert found[0] == float(np.quantile(array, TAIL))


@pytest.mark.parametrize(
    ("wealth", "found"),
    [
        ([1.0, 2.0, 3.0], (0.0, None, None, None)),
        ([1.0, 0.5, 0.75], (0.5, 0, 1, None)),
        ([1.0, 2.0, 1.0, 2.0, 3.0], (0.5, 1, 2, 3)),
        ([1.0, 1.0, 1.0, 0.5], (0.5, 0, 3, None)),
        ([1.0, 0.75, 1.0, 1.0, 0.5, 1.0], (0.5, 2, 4, 5)),
        ([1.0, 0.75, 1.0 - 1e-15, 1.0, 0.5, 1.0 - 1e-15], (0.5, 2, 4, 5)),
        ([1.0, 0.5, 0.5 - 1e-15, 1.0], (0.5 + 1e-15, 0, 1, 3)),
        ([1.0, 1.0 - 1e-15, 1.0], (0.0, None, None, None)),
    ],
)
def test_a_fall_has_its_peak_its_trough_and_where_it_is_made_good(
    wealth: list[float], found: tuple[float, ...]
) -> None:
    worth = np.array(wealth)
    assert deepest_fall(worth, 1.0 - worth / np.maximum.accumulate(worth)) == found
