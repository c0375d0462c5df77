"""No golden case is lost without somebody noticing."""

import pytest

from tests.golden.reading import Case, read

EXPECTED = {
    ("xirr", "cases"): 46,
    ("modified_dietz", "cases"): 9,
    ("twr", "cases"): 10,
    ("risk", "cases"): 90,
    ("periods_annualisation", "periods"): 9,
    ("periods_annualisation", "annualisation"): 5,
}
DEGENERATE_RISK = 10


@pytest.mark.parametrize(("family", "group"), list(EXPECTED))
def test_every_case_is_here_once_and_tells_its_source(family: str, group: str) -> None:
    document = read(family)
    cases: list[Case] = document[group]
    assert len({case["name"] for case in cases}) == len(cases) == EXPECTED[family, group]
    assert {case["source"] for case in cases} <= set(document["sources"])


def test_degenerate_cases_are_here() -> None:
    assert len({case["name"] for case in read("risk")["degenerate"]["cases"]}) == DEGENERATE_RISK


@pytest.mark.parametrize("family", sorted({family for family, _ in EXPECTED}))
def test_every_source_is_used_and_told(family: str) -> None:
    document = read(family)
    groups = [group for group in document.values() if isinstance(group, list)]
    used = {case["source"] for group in groups for case in group}
    assert used == set(document["sources"])
    assert all(source["kind"] and source["ref"] for source in document["sources"].values())
