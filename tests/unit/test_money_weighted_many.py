"""Many portfolios at once are each of them alone."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from common.calculations import MoneyWeightedReturn, MoneyWeightedReturns, Reason, money_weighted_many, xirr_many
from common.calculations.money_weighted import solve

Flows = Sequence[tuple[int, float]]

EVERY_KIND: dict[str, Flows] = {
    "plain": [(0, -1_000.0), (200, -100.0), (400, 50.0), (900, 1_300.0)],
    "nothing": [],
    "one flow": [(7, -5.0)],
    "loss of nearly all": [(0, -1_000.0), (365, 1e-6)],
    "total loss": [(0, -1_000.0), (365, 0.0)],
    "all paid in": [(0, -1_000.0), (365, -1.0)],
    "all taken out": [(0, 1_000.0), (365, 1.0)],
    "nets to nil": [(5, -0.1), (5, -0.2), (5, 0.3)],
    "two on the first day": [(0, -1_000.0), (0, -500.0), (800, 1_700.0)],
    "a day of nothing": [(0, -1_000.0), (100, 30.0), (100, -30.0), (100, 1e-17), (700, 1_100.0)],
    "nothing at both ends": [(0, 0.0), (10, -1_000.0), (300, 0.0), (500, 990.0), (600, 0.0)],
    "two rates": [(0, -1.0), (365, 2.3), (730, -1.32)],
    "no rate": [(0, -1.0), (365, 1.0), (730, -1.0)],
    "borrowed": [(0, 1_000.0), (365, -40.0), (730, -1_040.0)],
    "out of range": [(0, -1.0), (1, 1e6)],
    "huge numbers": [(0, -1e200), (365, 1.1e200)],
    "tiny numbers": [(0, -1e-200), (365, 1.1e-200)],
    "no gain": [(0, -100.0), (365, 100.0)],
    "a balance lost in rounding": [(0, -1e-20), (365, -1e-20), (730, -100.0), (1_000, 60.0), (1_400, 60.0)],
}


def of(portfolios: Sequence[Flows]) -> MoneyWeightedReturns:
    flows = [flow for each in portfolios for flow in each]
    offsets = np.cumsum([0, *(len(each) for each in portfolios)])
    return xirr_many(np.array([day for day, _ in flows]), np.array([amount for _, amount in flows]), offsets)


def alone(flows: Flows) -> MoneyWeightedReturn:
    return solve(np.array([day for day, _ in flows], dtype=np.int64), np.array([amount for _, amount in flows]))


def assert_same(found: MoneyWeightedReturn, expected: MoneyWeightedReturn) -> None:
    assert found.reason is expected.reason
    assert found.roots == pytest.approx(expected.roots, rel=1e-12, abs=1e-13)
    for one, other in ((found.value, expected.value), (found.period_value, expected.period_value)):
        assert one is other is None or one == pytest.approx(other, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("at_once", [1, 7, 65_536])
def test_every_kind_of_portfolio_gets_what_it_gets_alone(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(money_weighted_many, "FLOWS_AT_ONCE", at_once)
    portfolios = list(EVERY_KIND.values()) * 2
    results = of(portfolios)
    assert len(results) == len(portfolios)
    for flows, found in zip(portfolios, results, strict=True):
        assert_same(found, alone(flows))


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_each_kind_gets_the_same_among_plain_ones(kind: str) -> None:
    plain = EVERY_KIND["plain"]
    before, found, after = of([plain, EVERY_KIND[kind], plain])
    assert_same(found, alone(EVERY_KIND[kind]))
    assert before == after
    assert_same(before, alone(plain))


def test_plain_portfolios_are_solved_together_and_the_others_one_by_one() -> None:
    results = of([EVERY_KIND["plain"], EVERY_KIND["two rates"], EVERY_KIND["two on the first day"]])
    assert list(results.singly) == [1]
    assert results.values.tolist() == [each.value for each in results]
    assert results.period_values.tolist() == [each.period_value for each in results]


def test_what_is_undefined_is_nan_in_the_arrays_and_none_with_a_reason_in_the_sequence() -> None:
    results = of([EVERY_KIND["all paid in"], EVERY_KIND["plain"]])
    assert math.isnan(results.values[0])
    assert math.isnan(results.period_values[0])
    assert results[0] == MoneyWeightedReturn(None, Reason.NO_SIGN_CHANGE)
    assert results[1].value is not None


def test_it_is_a_sequence() -> None:
    results = of([EVERY_KIND["plain"], EVERY_KIND["no gain"], EVERY_KIND["no rate"]])
    assert results[-1] == results[2]
    assert results[1:] == [results[1], results[2]]
    assert list(reversed(results)) == list(results)[::-1]
    with pytest.raises(IndexError):
        results[3]


def test_of_no_portfolios_there_are_no_rates() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert list(xirr_many(nothing, np.empty(0), np.array([0]))) == []


def test_many_flows_of_many_lengths() -> None:
    generator = np.random.default_rng(3)
    portfolios = []
    for _ in range(400):
        days = np.sort(generator.integers(0, 6_000, generator.integers(2, 120)))
        amounts = generator.normal(-10.0, 100.0, days.size)
        amounts[0], amounts[-1] = -3_000.0, 3_000.0 * generator.uniform(0.3, 4.0)
        portfolios.append(list(zip(days.tolist(), amounts.tolist(), strict=True)))
    results = of(portfolios)
    assert len(results.singly) < 100
    for flows, found in zip(portfolios, results, strict=True):
        assert_same(found, alone(flows))


@pytest.mark.parametrize(
    ("days", "amounts", "offsets", "what"),
    [
        ([0, 1], [1.0], [0, 2], "2 days for 1 amounts"),
        ([0, 1], [1.0, 2.0], [0, 1], "offsets must lead"),
        ([0, 1], [1.0, 2.0], [1, 2], "offsets must lead"),
        ([0, 1], [1.0, 2.0], [], "offsets must lead"),
        ([0, 1], [1.0, 2.0], [0, 2, 1, 2], "offsets must not descend"),
        ([1, 0], [1.0, 2.0], [0, 2], "days of a portfolio must ascend"),
        ([0, 1], [1.0, math.nan], [0, 2], "finite"),
    ],
)
def test_flows_that_do_not_fit_are_refused(
    days: list[int], amounts: list[float], offsets: list[int], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        xirr_many(np.array(days), np.array(amounts), np.array(offsets, dtype=np.int64))


def test_days_may_descend_from_one_portfolio_to_the_next() -> None:
    assert [each.value for each in of([[(500, -1.0), (865, 1.1)], [], [(0, -1.0), (365, 1.1)]])][::2] == [
        pytest.approx(0.1, rel=1e-12)
    ] * 2
