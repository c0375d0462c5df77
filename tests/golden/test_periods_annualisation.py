"""Where periods start, and what a return is a year."""

import pytest

from common.calculations import annualize_return, link_returns, resolve_period
from common.calculations.returns import annualize_whole_year
from tests.golden.reading import Case, day, parameters, read

FAMILY = read("periods_annualisation")
DATED = [case for case in FAMILY["annualisation"] if "period" in case]
TRAILING = [case for case in FAMILY["annualisation"] if "last_months" in case]


@pytest.mark.parametrize("case", parameters(FAMILY["periods"]))
def test_base_and_end(case: Case) -> None:
    assert resolve_period(case["period"], day(case["as_of"])) == (day(case["base"]), day(case["end"]))


@pytest.mark.parametrize("case", parameters(DATED))
def test_a_return_a_year(case: Case) -> None:
    start, end = (day(each) for each in case["period"])
    days = (end - start).days
    assert days == case["days"]
    found = annualize_return(case["total_return"], days)
    assert found.reason == case.get("reason")
    assert found.value == (None if case["value"] is None else pytest.approx(case["value"], abs=case["abs"]))


@pytest.mark.parametrize("case", parameters([case for case in DATED if "raw_formula" in case]))
def test_the_formula_below_a_year_is_the_same_and_is_not_shown(case: Case) -> None:
    found = annualize_whole_year(case["total_return"], case["days"])
    assert found.value == pytest.approx(case["raw_formula"], abs=case["abs"])


@pytest.mark.parametrize("case", parameters(TRAILING))
def test_trailing_months(case: Case) -> None:
    months = case["last_months"]
    total = link_returns(read("risk")["datasets"][case["data"]]["portfolio"][-months:])
    assert total == pytest.approx(case["cumulative"], abs=case["abs"])
    assert annualize_return(total, 365 * months // 12).value == pytest.approx(case["value"], abs=case["abs"])
