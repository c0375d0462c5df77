"""The moments of several series, found together, are those of each series to all its digits."""

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.calculations.moments import NUMBERS_AT_ONCE, Drawdown, Series, blocks
from common.calculations.types import FloatArray
from tests.property.strategies import return_series

TAIL = 0.05

SERIES = st.lists(return_series(min_size=1), min_size=1, max_size=5)
# A mean that is large against the deviation: sums of squares that are subtracted from each other keep nothing of it.
STEADY = st.builds(
    lambda level, steps: [level + 1e-7 * step for step in steps], st.floats(0.001, 0.3), return_series(min_size=2)
)


def series_of(lists: list[list[float]]) -> Series:
    return Series([np.array(each) for each in lists])


def exact_moments(values: list[float]) -> tuple[Any, Any]:
    exact = [mpmath.mpf(each) for each in values]
    mean = mpmath.fsum(exact) / len(exact)
    return mean, mpmath.fsum((each - mean) ** 2 for each in exact)


def plain_drawdown(returns: list[float]) -> tuple[float, int | None]:
    wealth = peak = 1.0
    falls = [0.0]
    for each in returns:
        wealth *= 1.0 + each
        peak = max(peak, wealth)
        falls.append(1.0 - wealth / peak)
    deepest = max(falls)
    if deepest <= 1e-12:  # the rounding of the product
        return 0.0, None
    return deepest, next(number for number, fall in enumerate(falls) if fall >= deepest - 1e-12)


@given(st.lists(st.one_of(return_series(min_size=1), STEADY), min_size=1, max_size=5), st.sampled_from([0.0, 0.001]))
@example([[0.3 + 1e-9, 0.3 - 1e-9, 0.3], [-0.25] * 40], 0.0)
def test_agree_with_fifty_digits(lists: list[list[float]], target: float) -> None:
    with np.errstate(all="ignore"):
        moments = series_of(lists).moments(target, TAIL)
    for returns, found in zip(lists, moments, strict=True):
        size = max(map(abs, returns))
        with mpmath.workdps(50):
            mean, squares = exact_moments(returns)
            below = mpmath.fsum(min(mpmath.mpf(each) - mpmath.mpf(target), 0) ** 2 for each in returns)
            sigma = mpmath.sqrt(squares / len(returns))
        assert (found.n, found.lowest, found.highest) == (len(returns), min(returns), max(returns))
        assert found.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-15 * size)
        # The deviation of each return from the mean is known to the rounding of the returns, and so is their sum.
        assert found.squares == pytest.approx(float(squares), rel=1e-12, abs=len(returns) * (4e-16 * size) ** 2)
        assert found.below == pytest.approx(float(below), rel=1e-12, abs=1e-300)
        if float(sigma) > 1e-9:
            with mpmath.workdps(50):
                cubes, fourths = (
                    mpmath.fsum(((mpmath.mpf(each) - mean) / sigma) ** power for each in returns) for power in (3, 4)
                )
            scale = float(fourths) * (1.0 + size / float(sigma) * 1e-3)
            assert found.cubes == pytest.approx(float(cubes), abs=1e-12 * scale)
            assert found.fourths == pytest.approx(float(fourths), abs=1e-12 * scale)


@given(SERIES)
def test_quantile_and_tail_are_those_of_numpy(lists: list[list[float]]) -> None:
    with np.errstate(all="ignore"):
        moments = series_of(lists).moments(0.0, TAIL)
    for returns, found in zip(lists, moments, strict=True):
        if len(returns) < 2:
            assert (found.quantile, found.tail) == (0.0, 0.0)
            continue
        array = np.array(returns)
        quantile = float(np.quantile(array, TAIL))
        assert found.quantile == quantile
        assert found.tail == pytest.approx(float(array[array <= quantile].mean()), rel=1e-13, abs=1e-17)


@pytest.mark.parametrize("shape", ["few", "tied", "one-sided", "two-valued", "heavy"])
def test_the_quantile_is_right_where_few_returns_are_far_below_the_mean(shape: str) -> None:
    chance = np.random.default_rng(3)
    returns: FloatArray = {
        "few": np.concatenate((np.full(2, -0.9), np.full(500, 0.01))),
        "tied": np.repeat([-0.02, 0.0, 0.01], 200),
        "one-sided": chance.exponential(0.01, 700),
        "two-valued": np.where(np.arange(600) % 2 == 0, 0.01, -0.01),
        "heavy": np.clip(chance.standard_cauchy(900) * 0.001, -0.9, 9.0),
    }[shape]
    (found,) = Series([returns]).moments(0.0, TAIL)
    quantile = float(np.quantile(returns, TAIL))
    assert found.quantile == quantile
    assert found.tail == pytest.approx(float(returns[returns <= quantile].mean()), rel=1e-13)


@given(SERIES)
def test_drawdowns_are_those_of_a_loop_over_the_days(lists: list[list[float]]) -> None:
    for returns, found in zip(lists, series_of(lists).drawdowns(), strict=True):
        deepest, trough = plain_drawdown(returns)
        assert (found.value, found.trough_index) == (deepest, trough)
        if trough is None:
            assert found == Drawdown(0.0)


@given(SERIES, st.data())
def test_against_a_benchmark_they_are_those_of_each_pair(lists: list[list[float]], data: st.DataObject) -> None:
    others = [data.draw(return_series(min_size=len(each), max_size=len(each))) for each in lists]
    found = series_of(lists).joint_moments(series_of(others))
    for returns, beside, joint in zip(lists, others, found, strict=True):
        r, b = np.array(returns), np.array(beside)
        with mpmath.workdps(50):
            mean, squares = exact_moments(beside)
            own_mean, _ = exact_moments(returns)
            active_mean, active_squares = exact_moments((r - b).tolist())
            product = mpmath.fsum(
                (mpmath.mpf(one) - own_mean) * (mpmath.mpf(other) - mean)
                for one, other in zip(returns, beside, strict=True)
            )
        assert joint.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-16)
        assert joint.squares == pytest.approx(float(squares), rel=1e-12, abs=1e-29)
        assert joint.product == pytest.approx(float(product), rel=1e-12, abs=1e-15)
        assert joint.active_mean == pytest.approx(float(active_mean), rel=1e-12, abs=1e-16)
        assert joint.active_squares == pytest.approx(float(active_squares), rel=1e-12, abs=1e-29)
        for growth, chosen, values in (
            (joint.growth, b == b, r),
            (joint.benchmark_growth, b == b, b),
            (joint.up, b > 0.0, r),
            (joint.benchmark_up, b > 0.0, b),
            (joint.down, b <= 0.0, r),
            (joint.benchmark_down, b <= 0.0, b),
        ):
            # Exactly 1 where no return was chosen, which is how a missing capture is told.
            assert growth == pytest.approx(float(np.prod(1.0 + values[chosen])), rel=1e-13)
            assert chosen.any() or growth == 1.0


@given(st.lists(st.integers(1, 3 * NUMBERS_AT_ONCE), max_size=12))
def test_blocks_hold_everything_once_and_are_bounded(sizes: list[int]) -> None:
    found = [list(each) for each in blocks(sizes, sizes)]
    assert [size for block in found for size in block] == sizes
    for block in found:
        assert len(block) == 1 or sum(block) <= NUMBERS_AT_ONCE
