"""Laws that every internal rate of return obeys."""

import itertools
from datetime import timedelta
from math import isfinite, log1p

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from common.calculations import (
    CashFlow,
    Conventions,
    DailyValue,
    Flows,
    FlowTiming,
    Period,
    Reason,
    Valuations,
    calculate_irr,
    calculate_performances,
    xirr,
    xirr_many,
)
from common.calculations.money_weighted import DEFAULT_MAX_ITERATIONS, DEFAULT_TOLERANCE, solve
from common.calculations.real_roots import Equation
from common.calculations.sole_root import sole_root
from tests.property.strategies import CENTS, START, Portfolio, any_portfolios

DAYS = st.lists(st.integers(0, 8_000), min_size=2, max_size=20, unique=True).map(sorted)


@st.composite
def investments(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """Paid in first, taken out later: exactly one rate."""
    days = draw(DAYS)
    turn = draw(st.integers(1, len(days) - 1))
    sizes = [draw(st.floats(0.01, 1e6)) for _ in days]
    return days, [-size if index < turn else size for index, size in enumerate(sizes)]


def present_value(days: list[int], amounts: list[float], rate: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Return the present value, and the sum of the sizes it is made of, with 50 digits."""
    with mpmath.workdps(50):
        growth = 1 + mpmath.mpf(rate)
        parts = [mpmath.mpf(each) / growth ** (mpmath.mpf(day) / 365) for day, each in zip(days, amounts, strict=True)]
        return mpmath.fsum(parts), mpmath.fsum(abs(part) for part in parts)


@given(investments())
def test_plugs_back_to_zero(investment: tuple[list[int], list[float]]) -> None:
    days, amounts = investment
    found = xirr([START + timedelta(days=day) for day in days], amounts)
    if found.value is None:
        assert found.reason is Reason.OUT_OF_RANGE
        return
    assert found.reason is None
    assert found.roots == (found.value,)
    # Next to -100 % a float cannot tell two rates apart whose present values differ visibly.
    assume(found.value > -0.999)
    worth, size = present_value(days, amounts, found.value)
    years = (days[-1] - days[0]) / 365
    assert abs(worth) <= size * 1e-13 * (1 + years * (1 + abs(log1p(found.value))) / (1 + found.value))


@given(investments())
def test_agrees_with_fifty_digits(investment: tuple[list[int], list[float]]) -> None:
    days, amounts = investment
    found = xirr([START + timedelta(days=day) for day in days], amounts)
    assume(found.value is not None and -0.99 < found.value < 1e6)
    assert found.value is not None
    with mpmath.workdps(50):
        exact = mpmath.findroot(
            lambda x: mpmath.fsum(
                each * mpmath.exp(-x * mpmath.mpf(day) / 365) for day, each in zip(days, amounts, strict=True)
            ),
            mpmath.log1p(found.value),
            tol=1e-60,
            verify=False,
        )
        rate = mpmath.expm1(exact)
    assert found.value == pytest.approx(float(rate), rel=1e-12, abs=1e-12)


@given(investments(), st.floats(1e-3, 1e3), st.integers(0, 3_000))
def test_depends_on_neither_unit_nor_start(
    investment: tuple[list[int], list[float]], factor: float, shift: int
) -> None:
    days, amounts = investment
    one = xirr([START + timedelta(days=day) for day in days], amounts)
    other = xirr([START + timedelta(days=day + shift) for day in days], [each * factor for each in amounts])
    if one.value is None:
        assert (other.value, other.reason) == (None, one.reason)
    elif one.value < 1e6:  # a larger rate is the exponential of what was solved for, and shows its rounding
        assert other.value == pytest.approx(one.value, rel=1e-9, abs=1e-9)


@given(DAYS, st.data())
def test_every_root_is_one_and_none_is_missed(days: list[int], data: st.DataObject) -> None:
    amounts = data.draw(st.lists(st.floats(-1e4, 1e4), min_size=len(days), max_size=len(days)))
    found = xirr([START + timedelta(days=day) for day in days], amounts)
    assert list(found.roots) == sorted(found.roots)
    # A scan for sign changes, on a grid of its own, must not see a root that is not told.
    seen = 0
    signs = [present_value(days, amounts, float(mpmath.expm1(x / 20)))[0] for x in range(-100, 101)]
    for left, right in itertools.pairwise(signs):
        seen += left * right < 0
    assert len(found.roots) >= seen
    for root in found.roots:
        if -0.999 < root < 1e6:
            worth, size = present_value(days, amounts, root)
            # At a double root the rate itself is only good to half the digits.
            assert abs(worth) <= 1e-9 * size


@example(
    (
        [DailyValue(START, 0.0), DailyValue(START + timedelta(days=2), 2e-311)],
        [CashFlow(START, 0.01), CashFlow(START + timedelta(days=1), -9e12)],
    ),
)
@given(any_portfolios())
def test_anything_finite_gives_a_finite_number_or_a_reason(portfolio: Portfolio) -> None:
    values, flows = portfolio
    last = max(values)
    found = calculate_irr(flows, last.value, last.date)
    if found.value is None:
        assert found.reason is not None
        assert found.roots == ()
    else:
        assert isfinite(found.value)
        assert found.reason in (None, Reason.MULTIPLE_ROOTS, Reason.TOTAL_LOSS)
        assert found.period_value is None or isfinite(found.period_value)


@given(st.lists(CENTS, min_size=1, max_size=5))
def test_flows_that_net_to_nil_are_no_investment(amounts: list[float]) -> None:
    days = [START] * (2 * len(amounts))
    assert xirr(days, amounts + [-each for each in amounts]).value is None


@given(st.floats(1.0, 1e9), st.integers(1, 5_000), st.floats(-0.9, 3.0))
def test_one_deposit_earns_its_own_growth(deposit: float, days: int, total: float) -> None:
    found = calculate_irr([CashFlow(START, deposit)], deposit * (1 + total), START + timedelta(days=days))
    if found.value is not None:
        assert found.period_value == pytest.approx(total, rel=1e-9, abs=1e-9)


AMOUNTS = st.one_of(CENTS, st.floats(-1e4, 1e4), st.sampled_from([-100.0, -1.0, 1.0, 100.0]), st.floats(-1e-9, 1e-9))


@st.composite
def held_accounts(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    """A deposit and a final value with anything between them: most are never overdrawn."""
    days = draw(DAYS)
    size = draw(st.floats(10.0, 1e5))
    between = [draw(st.floats(-0.2 * size, 0.1 * size)) for _ in days[2:]]
    return days, [-size, *between, size * draw(st.floats(0.01, 20.0))]


@given(st.one_of(held_accounts(), investments()))
def test_the_rate_that_is_called_the_only_one_is_all_that_the_exhaustive_search_finds(
    flows: tuple[list[int], list[float]],
) -> None:
    times = (np.array(flows[0]) - flows[0][0]) / 365.0
    paid = np.array(flows[1])
    root = sole_root(times, paid, DEFAULT_MAX_ITERATIONS, DEFAULT_TOLERANCE)
    assume(root is not None)
    equation = Equation.of(times, paid / np.abs(paid).max())
    assert equation is not None
    ((low, high),) = equation.brackets()
    # Both are good to the rounding of the present value, which matters more the flatter it is.
    polished = equation.polish(low, high, DEFAULT_MAX_ITERATIONS, DEFAULT_TOLERANCE)
    assert root == pytest.approx(polished, rel=1e-11, abs=1e-11)


@example([([0, 6_556], [-10.0, 93.0]), ([0, 197], [-0.01, 4e-255]), ([0, 1, 2, 1_235], [-200.0, 0.0, 20.0, 100.0])])
@given(
    st.lists(
        st.one_of(
            held_accounts(),
            investments(),
            st.lists(st.tuples(st.integers(0, 900), AMOUNTS), max_size=6).map(
                lambda flows: ([day for day, _ in sorted(flows)], [amount for _, amount in sorted(flows)])
            ),
        ),
        max_size=8,
    )
)
def test_many_at_once_are_each_of_them_alone(portfolios: list[tuple[list[int], list[float]]]) -> None:
    offsets = np.cumsum([0, *(len(days) for days, _ in portfolios)])
    results = xirr_many(
        np.array([day for days, _ in portfolios for day in days], dtype=np.int64),
        np.array([amount for _, amounts in portfolios for amount in amounts]),
        offsets,
    )
    for (days, amounts), found in zip(portfolios, results, strict=True):
        alone = solve(np.array(days, dtype=np.int64), np.array(amounts, dtype=np.float64))
        assert found.reason is alone.reason
        assert len(found.roots) == len(alone.roots)
        if alone.value is not None and alone.value > -1.0:
            assert found.value is not None
            assert log1p(found.value) == pytest.approx(log1p(alone.value), rel=1e-11, abs=1e-11)
        else:
            assert (found.value, found.period_value) == (alone.value, alone.period_value)


@given(
    st.floats(-0.01, 0.02),
    st.lists(st.tuples(st.integers(1, 90), st.floats(-0.3, 2.0)), max_size=8),
    st.sampled_from(FlowTiming),
    st.sampled_from([1, 20]),
)
def test_money_that_grows_at_one_rate_has_that_rate_whatever_the_timing(
    daily: float, moved: list[tuple[int, float]], timing: FlowTiming, copies: int
) -> None:
    """Valued some days apart, with a flow of a share of the value on a day of each: by itself and among many."""
    start, value, day = 1000.0, 1000.0, 0
    values, flows = [DailyValue(START, start)], []
    for distance, share in moved:
        # The flow comes at the close of a day; what it is dated with depends on the timing.
        flow = share * value
        early = timing is FlowTiming.START_OF_DAY or (timing is FlowTiming.INFLOW_START_OUTFLOW_END and flow > 0.0)
        flows.append(CashFlow(START + timedelta(days=day + early), flow))
        held = timing in {FlowTiming.END_OF_DAY, FlowTiming.INFLOW_START_OUTFLOW_END} and not early
        if held:
            values[-1] = DailyValue(values[-1].date, value + flow)
        value = (value + flow) * (1.0 + daily) ** distance
        day += distance
        values.append(DailyValue(START + timedelta(days=day), value))
    assume(day > 0)
    period = Period.explicit(START, START + timedelta(days=day))
    given_one = (Valuations.of(values), Flows.of(flows))
    for found in calculate_performances([given_one] * copies, [period], Conventions(timing)):
        (each,) = found.periods
        assert each.twr is not None
        assert each.mwr_period is not None
        assert log1p(each.mwr_period) == pytest.approx(day * log1p(daily), rel=1e-9, abs=1e-9)
        assert log1p(each.twr) == pytest.approx(day * log1p(daily), rel=1e-9, abs=1e-9)
