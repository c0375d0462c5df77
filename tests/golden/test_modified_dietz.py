"""Modified Dietz returns that others published, and edges of the formula."""

import pytest

from common.calculations import TimeWeightedReturn, calculate_modified_dietz
from tests.golden.reading import Case, day, parameters, read

CASES = read("modified_dietz")["cases"]


def calculate(case: Case) -> TimeWeightedReturn:
    start, end = case["period"]
    beginning, ending = case["values"]
    flows = [(day(when), amount) for when, amount in case["flows"]]
    return calculate_modified_dietz(beginning, ending, flows, day(start), day(end), flow_timing=case["timing"])


@pytest.mark.parametrize("case", parameters([case for case in CASES if case["value"] is not None]))
def test_value(case: Case) -> None:
    assert calculate(case).value == pytest.approx(case["value"], abs=case["abs"])


@pytest.mark.parametrize("case", parameters([case for case in CASES if "published" in case]))
def test_published_value(case: Case) -> None:
    assert calculate(case).value == pytest.approx(case["published"], abs=case["published_abs"])


@pytest.mark.parametrize("case", parameters([case for case in CASES if case["value"] is None]))
def test_where_the_average_capital_is_not_positive_there_is_none(case: Case) -> None:
    found = calculate(case)
    assert (found.value, found.reason) == (None, case["reason"])
