"""All metrics of a portfolio over periods: bases, short histories, benchmarks, warnings."""

from datetime import date, timedelta

import numpy as np
import pytest

from common.calculations import (
    Caution,
    Conventions,
    Flows,
    FlowTiming,
    Performance,
    Period,
    PeriodPerformance,
    Reason,
    StandardPeriod,
    Valuations,
    calculate_performance,
    calculate_risk_metrics,
    infer_periods_per_year,
)
from common.calculations.types import day_number

AS_OF = date(2024, 3, 29)


def business_days(first: date, last: date) -> list[int]:
    spans = (first + timedelta(days=each) for each in range((last - first).days + 1))
    return [day_number(day) for day in spans if day.weekday() < 5]


def growing(first: date, last: date, seed: int = 1, start: float = 1000.0) -> Valuations:
    days = business_days(first, last)
    steps = np.random.default_rng(seed).normal(0.0005, 0.01, len(days) - 1)
    return Valuations.from_arrays(days, (start * np.cumprod(np.concatenate(([1.0], 1.0 + steps)))).tolist())


def measure(
    valuations: Valuations,
    *labels: str,
    flows: Flows | None = None,
    benchmark: Valuations | None = None,
    as_of: date = AS_OF,
    conventions: Conventions | None = None,
) -> Performance:
    periods = [Period.standard(label, as_of) for label in labels]
    return calculate_performance(valuations, flows or Flows.none(), periods, conventions or Conventions(), benchmark)


def only(performance: Performance) -> PeriodPerformance:
    (period,) = performance.periods
    return period


def test_the_base_is_the_last_valuation_on_or_before_the_calendar_start() -> None:
    # 2023-12-31 is a Sunday: the year starts from Friday's close.
    found = only(measure(growing(date(2023, 1, 2), AS_OF), "YTD"))
    assert (found.from_date, found.to_date, found.days) == (date(2023, 12, 29), AS_OF, 91)


def test_a_history_that_starts_within_the_period_is_never_shortened_in_silence() -> None:
    found = only(measure(growing(date(2023, 6, 1), AS_OF), "1Y"))
    assert found.twr is None
    assert found.undefined["twr"] is Reason.HISTORY_TOO_SHORT
    assert set(found.risk.undefined.values()) == {Reason.HISTORY_TOO_SHORT}


def test_an_account_that_was_empty_at_the_start_has_no_history_yet() -> None:
    history = growing(date(2022, 1, 3), AS_OF)
    values = history.values.copy()
    values[:400] = 0.0
    opened = int(history.days[400])
    found = measure(
        Valuations(history.days, values),
        "1Y",
        "ITD",
        flows=Flows.from_arrays([opened], [values[400]]),
        conventions=Conventions(FlowTiming.START_OF_DAY),
    )
    one_year, itd = found.periods
    assert one_year.undefined["twr"] is Reason.HISTORY_TOO_SHORT
    assert itd.from_date is not None
    assert day_number(itd.from_date) == history.days[399]
    assert itd.twr == pytest.approx(values[-1] / values[400] - 1)


def test_a_year_between_week_ends_is_still_a_year() -> None:
    # A Sunday: the year runs from Friday to Friday, 364 days.
    as_of = date(2023, 12, 31)
    found = only(measure(growing(date(2022, 1, 3), date(2023, 12, 29)), "1Y", as_of=as_of))
    assert found.days == 364
    assert found.twr is not None
    assert found.annualized_twr == pytest.approx((1 + found.twr) ** (365 / 364) - 1)


def test_under_a_year_nothing_is_annualised() -> None:
    found = only(measure(growing(date(2023, 1, 2), AS_OF), "QTD", benchmark=growing(date(2023, 1, 2), AS_OF, 2)))
    assert found.annualized_twr is None
    assert found.undefined["annualized_twr"] is Reason.UNDER_ONE_YEAR
    assert found.risk.undefined["sharpe_ratio"] is Reason.UNDER_ONE_YEAR
    assert found.risk.sharpe_ratio_arithmetic is not None
    assert found.twr is not None
    assert found.benchmark_twr is not None
    assert found.risk.excess_return == pytest.approx(found.twr - found.benchmark_twr)
    assert found.mwr_period == pytest.approx(found.twr)


def test_no_valuation_within_the_period() -> None:
    found = only(measure(growing(date(2023, 1, 2), date(2024, 2, 29)), "MTD"))
    assert found.undefined["twr"] is Reason.NO_VALUATION_IN_PERIOD


def test_a_single_valuation() -> None:
    lone = Valuations.from_arrays([day_number(AS_OF)], [1000.0])
    assert only(measure(lone, "ITD")).undefined["twr"] is Reason.TOO_FEW_VALUATIONS


def test_every_period_is_what_it_would_be_alone() -> None:
    valuations, benchmark = growing(date(2010, 1, 4), AS_OF), growing(date(2009, 1, 2), AS_OF, 2)
    flows = Flows.from_arrays(valuations.days[50::60], np.full(valuations.days[50::60].size, 25.0))
    together = measure(valuations, *StandardPeriod, flows=flows, benchmark=benchmark)
    for label, found in zip(StandardPeriod, together.periods, strict=True):
        assert found == only(measure(valuations, label, flows=flows, benchmark=benchmark))


def test_risk_is_that_of_the_sub_returns() -> None:
    valuations, benchmark = growing(date(2022, 1, 3), AS_OF), growing(date(2022, 1, 3), AS_OF, 2)
    found = only(measure(valuations, "1Y", benchmark=benchmark, conventions=Conventions(risk_free_rate=0.03)))
    assert found.from_date is not None
    inside = valuations.days >= day_number(found.from_date)
    returns = valuations.values[inside][1:] / valuations.values[inside][:-1] - 1
    others = benchmark.values[inside][1:] / benchmark.values[inside][:-1] - 1
    expected = calculate_risk_metrics(
        returns, found.annualized_twr, others, found.annualized_benchmark_twr, 0.03, periods_per_year=252
    )
    assert found.risk.volatility == pytest.approx(expected.volatility)
    assert found.risk.beta == pytest.approx(expected.beta)
    assert found.risk.information_ratio == pytest.approx(expected.information_ratio)


def test_drawdown_dates() -> None:
    days = [day_number(date(2024, 1, day)) for day in range(1, 8)]
    valuations = Valuations.from_arrays(days, [100.0, 105, 103, 110, 95, 100, 111])
    found = only(measure(valuations, "ITD", as_of=date(2024, 1, 7)))
    assert found.risk.max_drawdown == pytest.approx(0.1363636363636)
    assert found.max_drawdown_peak == date(2024, 1, 4)
    assert found.max_drawdown_trough == date(2024, 1, 5)
    assert found.max_drawdown_recovery == date(2024, 1, 7)


def test_a_benchmark_that_starts_later_than_the_period() -> None:
    found = measure(growing(date(2021, 1, 4), AS_OF), "1Y", "ITD", benchmark=growing(date(2022, 1, 3), AS_OF))
    one_year, itd = found.periods
    assert one_year.risk.beta is not None
    assert itd.undefined["benchmark_twr"] is Reason.BENCHMARK_HISTORY_TOO_SHORT
    assert itd.risk.undefined["beta"] is Reason.BENCHMARK_HISTORY_TOO_SHORT
    assert itd.risk.volatility is not None


def test_old_valuations_and_benchmarks_are_told() -> None:
    late = growing(date(2022, 1, 3), date(2024, 1, 31))
    assert Caution.STALE_VALUATION in measure(late, "1Y").warnings
    benchmark = growing(date(2022, 1, 3), date(2024, 3, 1))
    assert Caution.STALE_BENCHMARK in measure(growing(date(2022, 1, 3), AS_OF), "1Y", benchmark=benchmark).warnings


def test_modified_dietz_links_months() -> None:
    valuations = growing(date(2022, 1, 3), AS_OF)
    flows = Flows.from_arrays([day_number(date(2023, 5, 10)), day_number(date(2023, 9, 15))], [200.0, -20.0])
    found = measure(valuations, "1Y", "MTD", flows=flows, conventions=Conventions(modified_dietz=True))
    assert found.periods_per_year == 12
    daily = measure(valuations, "1Y", "MTD", flows=flows)
    for linked, exact in zip(found.periods, daily.periods, strict=True):
        assert linked.twr == pytest.approx(exact.twr, abs=2e-2)
        assert linked.mwr == exact.mwr
    assert Caution.LARGE_FLOW in found.periods[0].warnings
    assert found.periods[1].risk.undefined["volatility"] is Reason.TOO_FEW_RETURNS


@pytest.mark.parametrize("timing", FlowTiming)
def test_the_money_weighted_return_counts_each_flow_once(timing: FlowTiming) -> None:
    """Flows that earn exactly 10 % a year, whatever the timing, and a period that starts on a day of one."""
    first, middle, last = (day_number(date(year, 1, 1)) for year in (2021, 2022, 2023))
    included = timing is not FlowTiming.AFTER_CLOSE
    opening = 1000.0 + (500.0 if included else 0.0)
    at_middle = 1500.0 * 1.1 + (300.0 if included else 0.0)
    closing = (1500.0 * 1.1 + 300.0) * 1.1
    valuations = Valuations.from_arrays([first, middle, last], [opening, at_middle, closing])
    flows = Flows.from_arrays([first, middle], [500.0, 300.0])
    found = only(measure(valuations, "ITD", flows=flows, as_of=date(2023, 1, 1), conventions=Conventions(timing)))
    assert found.mwr == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (business_days(date(2020, 1, 1), date(2021, 12, 31)), 252),
        (list(range(800)), 365),
        (list(range(0, 800, 7)), 52),
        ([day_number(date(2020 + m // 12, m % 12 + 1, 28)) for m in range(30)], 12),
        ([day_number(date(2010 + q // 4, 3 * (q % 4) + 3, 28)) for q in range(30)], 4),
        ([day_number(date(year, 12, 31)) for year in range(2000, 2010)], 1),
        ([0], 252),
    ],
)
def test_the_spacing_tells_how_many_make_a_year(days: list[int], expected: int) -> None:
    assert infer_periods_per_year(np.array(days)) == expected


@pytest.mark.parametrize("levels", [[1e-300, 1e15, 1e15], [1e-300, 1e15, 1e-300]])
def test_levels_whose_returns_are_out_of_range_leave_the_portfolio_its_own_metrics(levels: list[float]) -> None:
    days = np.array([19_000, 19_001, 19_002])
    found = calculate_performance(
        Valuations.from_arrays(days, np.array([100.0, 101.0, 102.0])),
        Flows.from_arrays(np.array([], dtype=np.int64), np.array([])),
        [Period.explicit(date(2022, 1, 8), date(2022, 1, 10))],
        Conventions(),
        Valuations.from_arrays(days, np.array(levels)),
    ).periods[0]
    assert found.twr == pytest.approx(0.02)
    assert found.benchmark_twr is None
    assert found.undefined["benchmark_twr"] is Reason.OUT_OF_RANGE
    assert (found.risk.beta, found.risk.undefined["beta"]) == (None, Reason.OUT_OF_RANGE)
