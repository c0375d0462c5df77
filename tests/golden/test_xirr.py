"""Money-weighted returns that others published, tested or computed."""

import math

import pytest

from common.calculations import calculate_irr, xirr
from tests.golden.reading import Case, day, near, parameters, read

CASES = read("xirr")["cases"]
VERIFIED = {"abs": 1e-12, "rel": 1e-9}
"""How near the roots that were found with 50 digits."""


@pytest.mark.parametrize("case", parameters(CASES))
def test_every_root_is_found_and_the_nearest_to_zero_given(case: Case) -> None:
    found = xirr([day(each) for each in case["dates"]], case["amounts"], day_count=case.get("day_count", "act/365F"))
    assert list(found.roots) == [near(root, VERIFIED) for root in case["roots"]]
    assert found.reason == case["reason"]
    if case["roots"]:
        assert found.value == near(min(case["roots"], key=lambda rate: abs(math.log1p(rate))), case["tolerance"])
    else:
        assert found.value == (-1.0 if case["reason"] == "total_loss" else None)


@pytest.mark.parametrize("case", parameters([case for case in CASES if "rate" in case]))
def test_the_rate_is_found(case: Case) -> None:
    found = xirr([day(each) for each in case["dates"]], case["amounts"], day_count=case.get("day_count", "act/365F"))
    assert found.value == near(case["rate"], case["tolerance"])


@pytest.mark.parametrize("case", parameters([case for case in CASES if case.get("literal") is not None]))
def test_a_literal_is_one_of_the_roots_unless_it_is_known_wrong(case: Case) -> None:
    found = xirr([day(each) for each in case["dates"]], case["amounts"], day_count=case.get("day_count", "act/365F"))
    met = any(abs(root - case["literal"]) <= case["literal_abs"] for root in found.roots)
    assert met is case["literal_agrees"]


@pytest.mark.parametrize("case", parameters([case for case in CASES if "published_roots" in case]))
def test_published_roots_are_the_roots(case: Case) -> None:
    found = xirr([day(each) for each in case["dates"]], case["amounts"])
    assert list(found.roots) == [near(root, case["tolerance"]) for root in case["published_roots"]]


def test_where_a_peer_finds_no_rate_though_there_is_one_ours_is_given() -> None:
    missed = [case["name"] for case in CASES if case["roots"] and case.get("literal", 0.0) is None]
    assert missed == ["pyxirr_case_30_45"]


@pytest.mark.parametrize("case", parameters([case for case in CASES if "day_count" not in case]))
def test_the_portfolio_view_gives_the_same(case: Case) -> None:
    """The last day's amounts, taken as the final value, and the others with their sign turned."""
    dates = [day(each) for each in case["dates"]]
    final = max(dates)
    flows = [(when, -amount) for when, amount in zip(dates, case["amounts"], strict=True) if when != final]
    final_value = math.fsum(amount for when, amount in zip(dates, case["amounts"], strict=True) if when == final)
    found, expected = calculate_irr(flows, final_value, final), xirr(dates, case["amounts"])
    assert found.roots == pytest.approx(expected.roots, rel=1e-12)
    assert found.reason == expected.reason
