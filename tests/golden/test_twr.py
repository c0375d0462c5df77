"""Daily time-weighted returns that others published or tested, and edges."""

from datetime import date, timedelta

import numpy as np
import pytest

from common.calculations import TimeWeightedReturn, calculate_daily_twr, link_returns
from tests.golden.reading import Case, day, parameters, read

CASES = read("twr")["cases"]
VALUED = [case for case in CASES if "values" in case]
BY_NAME = {case["name"]: case for case in CASES}


def calculate(case: Case) -> TimeWeightedReturn:
    consecutive = [date(2024, 1, 1) + timedelta(days=index) for index in range(len(case["values"]))]
    dates = [day(each) for each in case["dates"]] if "dates" in case else consecutive
    flows = [(dates[index], amount) for index, amount in case["flows"]]
    return calculate_daily_twr(zip(dates, case["values"], strict=True), flows, flow_timing=case["timing"])


def cumulative(found: TimeWeightedReturn) -> list[float]:
    return [link_returns(found.sub_returns[: index + 1]) for index in range(len(found.sub_returns))]


@pytest.mark.parametrize("case", parameters([case for case in VALUED if case["value"] is not None]))
def test_value(case: Case) -> None:
    assert calculate(case).value == pytest.approx(case["value"], abs=case["abs"])


@pytest.mark.parametrize("case", parameters([case for case in VALUED if case["value"] is None]))
def test_where_there_is_none_the_reason_is_given(case: Case) -> None:
    found = calculate(case)
    assert (found.value, found.reason) == (None, case["reason"])


@pytest.mark.parametrize("case", parameters([case for case in VALUED if "sub_returns" in case]))
def test_sub_returns(case: Case) -> None:
    assert list(calculate(case).sub_returns) == pytest.approx(case["sub_returns"], abs=case["abs"])


@pytest.mark.parametrize("case", parameters([case for case in VALUED if "literal" in case]))
def test_a_literal_is_met_unless_it_is_known_wrong(case: Case) -> None:
    met = calculate(case).value == pytest.approx(case["literal"], abs=case["literal_abs"])
    assert met is case.get("literal_agrees", True)


@pytest.mark.parametrize("case", parameters([case for case in VALUED if "literal_cumulative" in case]))
def test_the_way_there(case: Case) -> None:
    found = calculate(case)
    assert cumulative(found) == pytest.approx(case["literal_cumulative"], abs=case["literal_abs"])
    if "cumulative" in case:
        assert cumulative(found) == pytest.approx(case["cumulative"], abs=case["abs"])
    if "literal_sub_returns" in case:
        assert list(found.sub_returns) == pytest.approx(case["literal_sub_returns"], abs=case["literal_abs"])


def test_days_link_to_weeks_and_weeks_to_the_whole() -> None:
    case = BY_NAME["pp_weekly_aggregation"]
    returns = np.array(calculate(BY_NAME["pp_excel_sample"]).sub_returns)
    assert returns == pytest.approx(case["sub_returns"], abs=1e-12)
    weeks = [link_returns(week) for week in np.split(returns, [case["first_week"]])]
    assert weeks == pytest.approx(case["literal_weeks"], abs=case["literal_abs"])
    assert link_returns(weeks) == pytest.approx(case["literal"], abs=case["literal_abs"])
