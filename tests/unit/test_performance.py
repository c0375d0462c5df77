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
    calculate_performances,
    calculate_risk_metrics,
    infer_periods_per_year,
)
from common.calculations.words import day_date, day_number

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


@pytest.mark.parametrize("copies", [1, 20])
@pytest.mark.parametrize("modified_dietz", [False, True])
def test_below_a_year_the_excess_return_is_that_of_the_returns_beside_it(modified_dietz: bool, copies: int) -> None:
    """Also where the account is empty for some time, in which only the benchmark has a return."""
    days = [day_number(date(2023, month, 28)) for month in range(1, 7)]
    valuations = Valuations.from_arrays(days, [100.0, 110.0, 0.0, 0.0, 50.0, 55.0])
    flows = Flows.from_arrays([days[2], days[4]], [-110.0, 50.0])
    levels = Valuations.from_arrays(days, [100.0, 103.0, 106.0, 109.0, 112.0, 115.0])
    conventions = Conventions(FlowTiming.END_OF_DAY, modified_dietz=modified_dietz)
    period = Period.standard("ITD", date(2023, 6, 28))
    for each in calculate_performances([(valuations, flows)] * copies, [period], conventions, levels):
        found = only(each)
        assert Caution.EMPTY_ACCOUNT in found.warnings
        assert found.twr is not None
        assert found.benchmark_twr == pytest.approx(0.15)
        assert found.risk.excess_return == pytest.approx(found.twr - 0.15)


def levels_on(*days: date, last: float = 110.0) -> Valuations:
    return Valuations.from_arrays([day_number(day) for day in days], [*[100.0] * (len(days) - 1), last])


@pytest.mark.parametrize("modified_dietz", [False, True])
@pytest.mark.parametrize("label", ["1Y", "3Y", "ITD", "2022-12-31/2023-12-31", "2022-12-31/2030-12-31"])
@pytest.mark.parametrize(
    ("closing", "is_year"),
    [
        (date(2023, 1, 31), False),
        (date(2023, 12, 1), False),
        (date(2023, 12, 23), False),
        (date(2023, 12, 24), True),
        (date(2023, 12, 29), True),
        (date(2023, 12, 31), True),
    ],
)
def test_a_year_is_annualised_where_its_valuations_cover_it_but_for_a_week(
    closing: date, is_year: bool, label: str, modified_dietz: bool
) -> None:
    as_of, first = date(2023, 12, 31), date(2022, 12, 31)
    valuations = Valuations.from_arrays(
        [day_number(day) for day in (first, date(2023, 1, 15), closing)], [100.0, 90.0, 110.0]
    )
    if label == "3Y":
        # Three years of which the valuations cover no more than one.
        as_of = date(2025, 12, 31)
    period = Period.explicit(*map(date.fromisoformat, label.split("/"))) if "/" in label else None
    found = only(
        calculate_performance(
            valuations,
            Flows.none(),
            [period or Period.standard(label, as_of)],
            Conventions(modified_dietz=modified_dietz),
            valuations,
        )
    )
    days = (closing - first).days
    assert found.days == days
    assert found.twr == pytest.approx(0.1)
    expected = pytest.approx(1.1 ** (365 / days) - 1) if is_year else None
    assert (found.annualized_twr, found.annualized_benchmark_twr) == (expected, expected)
    reasons = {found.undefined.get(each) for each in ("annualized_twr", "annualized_benchmark_twr")}
    if not modified_dietz or closing.month > 1:
        needing = ("sharpe_ratio", "sortino_ratio", "calmar_ratio", "alpha")
        reasons |= {found.risk.undefined.get(each) for each in needing}
    assert reasons == ({None} if is_year else {Reason.UNDER_ONE_YEAR})


def test_a_year_needs_the_calendar_too() -> None:
    """A week less than a year apart is no excuse where no year was asked for."""
    valuations = levels_on(date(2023, 1, 3), date(2023, 12, 29))
    periods = [Period.standard("ITD", date(2023, 12, 29)), Period.explicit(date(2023, 1, 3), date(2024, 1, 2))]
    found = calculate_performance(valuations, Flows.none(), periods, Conventions()).periods
    assert [each.days for each in found] == [360, 360]
    assert [each.undefined.get("annualized_twr") for each in found] == [Reason.UNDER_ONE_YEAR] * 2
    a_day_more = calculate_performance(
        valuations, Flows.none(), [Period.explicit(date(2023, 1, 3), date(2024, 1, 3))], Conventions()
    )
    assert only(a_day_more).annualized_twr == pytest.approx(1.1 ** (365 / 360) - 1)


def test_valuations_a_year_apart_are_enough() -> None:
    valuations = levels_on(date(2022, 12, 31), date(2023, 12, 31))
    found = only(measure(valuations, "ITD", as_of=date(2024, 6, 30)))
    assert found.annualized_twr == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("last_level", "is_year"), [(date(2023, 12, 29), True), (date(2023, 12, 24), True), (date(2023, 12, 1), False)]
)
def test_a_benchmark_whose_levels_stop_within_the_year_is_not_annualised(last_level: date, is_year: bool) -> None:
    valuations = growing(date(2022, 12, 30), date(2023, 12, 29))
    benchmark = levels_on(date(2022, 12, 30), last_level)
    found = only(measure(valuations, "1Y", benchmark=benchmark, as_of=date(2023, 12, 31)))
    assert found.twr is not None
    assert found.annualized_twr is not None
    assert found.risk.sharpe_ratio is not None
    assert found.benchmark_twr == pytest.approx(0.1)
    if is_year:
        # The portfolio's own days: what is compared stands on the same ones.
        assert found.annualized_benchmark_twr == pytest.approx(1.1 ** (365 / 364) - 1)
        assert found.risk.alpha is not None
    else:
        assert found.annualized_benchmark_twr is None
        named = [found.undefined["annualized_benchmark_twr"], *map(found.risk.undefined.get, ("alpha",))]
        assert named == [Reason.UNDER_ONE_YEAR] * 2
        assert found.risk.excess_return == pytest.approx(found.twr - 0.1)
        assert Caution.STALE_BENCHMARK in found.warnings


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
    # At the start of the day it is there for that day's growth.
    early = timing in {FlowTiming.START_OF_DAY, FlowTiming.INFLOW_START_OUTFLOW_END}
    at_middle = 1500.0 * 1.1 + (300.0 * 1.1 ** (1 / 365 if early else 0) if included else 0.0)
    closing = at_middle * 1.1 if included else (at_middle + 300.0) * 1.1
    valuations = Valuations.from_arrays([first, middle, last], [opening, at_middle, closing])
    flows = Flows.from_arrays([first, middle], [500.0, 300.0])
    found = only(measure(valuations, "ITD", flows=flows, as_of=date(2023, 1, 1), conventions=Conventions(timing)))
    assert found.mwr == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("timing", "flow", "close", "expected"),
    [
        ("start_of_day", 1000.0, 2200.0, 0.1),
        ("start_of_day", -500.0, 600.0, 0.2),
        ("inflow_start_outflow_end", 1000.0, 2200.0, 0.1),
        ("inflow_start_outflow_end", -500.0, 600.0, 0.1),
        ("end_of_day", 1000.0, 2200.0, 0.2),
        ("end_of_day", -500.0, 600.0, 0.1),
    ],
)
@pytest.mark.parametrize("modified_dietz", [False, True])
@pytest.mark.parametrize("copies", [1, 20])
def test_a_flow_counts_in_both_returns_from_the_same_time_on(
    timing: FlowTiming, flow: float, close: float, expected: float, modified_dietz: bool, copies: int
) -> None:
    """Over a single day; by itself, and among many that are solved together."""
    days = [day_number(date(2023, 1, each)) for each in (1, 2)]
    given = (Valuations.from_arrays(days, [1000.0, close]), Flows.from_arrays(days[1:], [flow]))
    periods = [Period.standard("ITD", date(2023, 1, 2))]
    conventions = Conventions(FlowTiming(timing), modified_dietz)
    for each in calculate_performances([given] * copies, periods, conventions):
        assert only(each).twr == pytest.approx(expected)
        assert only(each).mwr_period == pytest.approx(expected)


def test_flows_at_the_start_of_the_first_day_are_there_with_the_opening_value() -> None:
    first, last = date(2023, 1, 1), date(2023, 1, 31)
    valuations = Valuations.from_arrays([day_number(first), day_number(last)], [1000.0, 2200.0])
    flows = Flows.from_arrays([day_number(first) + 1] * 2, [1500.0, -500.0])
    for timing, expected in ((FlowTiming.START_OF_DAY, 2200 / 2000 - 1), (FlowTiming.END_OF_DAY, None)):
        found = only(measure(valuations, "ITD", flows=flows, as_of=last, conventions=Conventions(timing)))
        assert found.mwr_period is not None
        if expected is not None:
            assert found.mwr_period == pytest.approx(expected, rel=1e-12)
            assert found.mwr == pytest.approx((1 + expected) ** (365 / 30) - 1, rel=1e-12)
        else:
            assert found.mwr_period > 0.1


@pytest.mark.parametrize(
    ("timing", "mwr_period"),
    [("start_of_day", 0.1), ("inflow_start_outflow_end", 0.1), ("end_of_day", None)],
)
def test_an_account_that_is_opened_and_valued_on_one_day(timing: str, mwr_period: float | None) -> None:
    """As it was booked, the deposit of `end_of_day` has no time to earn a rate in."""
    before, opened = (day_number(date(2023, 1, each)) for each in (1, 2))
    valuations, flows = Valuations.from_arrays([before, opened], [0.0, 1100.0]), Flows.from_arrays([opened], [1000.0])
    conventions = Conventions(FlowTiming(timing))
    found = only(measure(valuations, "ITD", flows=flows, as_of=date(2023, 1, 2), conventions=conventions))
    assert found.twr == pytest.approx(0.1)
    assert found.mwr_period == (None if mwr_period is None else pytest.approx(mwr_period))
    assert found.undefined.get("mwr") == (Reason.NO_SIGN_CHANGE if mwr_period is None else None)


def test_what_came_in_at_the_start_of_the_last_day_and_is_gone_at_its_end_is_lost() -> None:
    days = [day_number(date(2023, 1, each)) for each in (1, 2)]
    valuations, flows = Valuations.from_arrays(days, [0.0, 0.0]), Flows.from_arrays(days[1:], [1000.0])
    conventions = Conventions(FlowTiming.START_OF_DAY)
    found = only(measure(valuations, "ITD", flows=flows, as_of=date(2023, 1, 2), conventions=conventions))
    assert (found.mwr, found.mwr_period) == (-1.0, -1.0)
    assert Caution.TOTAL_LOSS in found.warnings


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (business_days(date(2020, 1, 1), date(2021, 12, 31)), 252),
        (list(range(800)), 365),
        (list(range(0, 800, 7)), 52),
        ([day_number(date(2020 + m // 12, m % 12 + 1, 28)) for m in range(30)], 12),
        ([day_number(date(2010 + q // 4, 3 * (q % 4) + 3, 28)) for q in range(30)], 4),
        ([day_number(date(2010 + h // 2, 6 * (h % 2) + 6, 30)) for h in range(20)], 2),
        ([day_number(date(year, 12, 31)) for year in range(2000, 2010)], 1),
        (list(range(0, 800, 14)), 26),
        ([7 * week + offset for week in range(60) for offset in (0, 3)], 104),
        (business_days(date(2020, 1, 1), date(2021, 12, 31))[::2], 104),
        ([day for day in business_days(date(2020, 1, 1), date(2021, 12, 31)) if day % 7 not in {5, 0}], 104),
        ([day_number(date(2020 + m // 12, m % 12 + 1, 28)) for m in range(30)] + list(range(18900, 18925)), 12),
        # A pause of the record, and months before there were daily values, make no week-ends.
        ([*range(100), *range(140, 240)], 365),
        ([day_number(date(2020, month, 28)) for month in range(1, 13)] + list(range(18650, 19380)), 365),
        (business_days(date(2020, 1, 1), date(2020, 6, 30)) + business_days(date(2021, 1, 1), date(2021, 6, 30)), 252),
        # Monday to Friday of every other week: all week-ends are in the pauses.
        ([day for day in business_days(date(2024, 1, 1), date(2024, 6, 28)) if (day - 19723) // 7 % 2 == 0], 252),
        ([0], 252),
    ],
)
def test_the_spacing_tells_how_many_make_a_year(days: list[int], expected: int) -> None:
    assert infer_periods_per_year(np.array(days)) == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        # Two of the months are not whole, and one is all there is.
        (business_days(date(2023, 12, 15), date(2024, 2, 9)), 12),
        (business_days(date(2024, 1, 15), date(2024, 2, 9)), 12),
        (business_days(date(2024, 1, 15), date(2024, 1, 25)), 12),
        ([day_number(date(2010 + q // 4, 3 * (q % 4) + 3, 15)) for q in range(30)], 4),
    ],
)
def test_the_months_of_modified_dietz_are_months_whole_or_not(days: list[int], expected: int) -> None:
    valuations = Valuations.from_arrays(days, [100.0 + each % 7 for each in days])
    found = measure(valuations, "ITD", as_of=day_date(days[-1]), conventions=Conventions(modified_dietz=True))
    assert found.periods_per_year == expected


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


def test_levels_whose_whole_growth_is_out_of_range() -> None:
    """Each of their returns is a number, as `benchmark_returns` demands; all of them together are not."""
    days = np.array([19_000, 19_001, 19_002])
    found = only(
        measure(
            Valuations.from_arrays(days, [100.0, 101.0, 102.0]),
            "ITD",
            as_of=date(2022, 1, 10),
            benchmark=Valuations.from_arrays(days, [1e-300, 1.0, 1e15]),
        )
    )
    assert found.twr == pytest.approx(0.02)
    assert (found.benchmark_twr, found.annualized_benchmark_twr) == (None, None)
    assert found.undefined["benchmark_twr"] is Reason.OUT_OF_RANGE
    assert (found.risk.beta, found.risk.undefined["beta"]) == (None, Reason.OUT_OF_RANGE)


def test_a_period_whose_returns_are_spaced_otherwise_than_the_year_assumes_says_so() -> None:
    months = [day_number(date(2014 + m // 12, m % 12 + 1, 28)) for m in range(120)]
    days = np.array(months + business_days(date(2024, 1, 1), AS_OF))
    steps = np.random.default_rng(1).normal(0.0, 0.01, days.size)
    valuations = Valuations.from_arrays(days, (100.0 * np.cumprod(1.0 + steps)).tolist())
    labels = ("MTD", "QTD", "1Y", "3Y")
    found = measure(valuations, *labels)
    assert found.periods_per_year == 12
    warned = {each.label for each in found.periods if Caution.IRREGULAR_SPACING in each.warnings}
    assert warned == {"MTD", "QTD", "1Y", "3Y"}
    assert Caution.IRREGULAR_SPACING in found.warnings
    # A number that was given and contradicts the valuations is worth the same warning.
    daily = measure(valuations, *labels, conventions=Conventions(periods_per_year=252))
    assert [each.label for each in daily.periods if Caution.IRREGULAR_SPACING in each.warnings] == ["1Y", "3Y"]
    # By months all are alike.
    linked = measure(valuations, *labels, conventions=Conventions(modified_dietz=True))
    assert Caution.IRREGULAR_SPACING not in linked.warnings


def test_business_and_calendar_days_do_not_contradict_each_other() -> None:
    valuations = growing(date(2020, 1, 1), AS_OF)
    for assumed in (None, 240, 260, 365):
        found = measure(valuations, *StandardPeriod, conventions=Conventions(periods_per_year=assumed))
        assert Caution.IRREGULAR_SPACING not in found.warnings


def test_few_returns_contradict_nothing() -> None:
    valuations = Valuations.from_arrays(list(range(19_000, 19_013)), [100.0 + each for each in range(13)])
    yearly = Conventions(periods_per_year=1)
    for first, warned in ((0, True), (1, False)):
        period = Period.explicit(day_date(19_000 + first), day_date(19_012))
        found = calculate_performance(valuations, Flows.none(), [period], yearly)
        assert (Caution.IRREGULAR_SPACING in found.warnings) is warned


def test_the_time_in_which_an_account_is_empty_is_no_part_of_its_spacing() -> None:
    days = [*range(19_000, 19_020), *range(19_100, 19_120)]
    values = [*[100.0 + each for each in range(19)], 0.0, 0.0, *[100.0 + each for each in range(19)]]
    flows = Flows.from_arrays([19_019, 19_101], [-119.0, 100.0])
    found = only(
        measure(
            Valuations.from_arrays(days, values),
            "ITD",
            flows=flows,
            as_of=day_date(19_119),
            conventions=Conventions(FlowTiming.END_OF_DAY, periods_per_year=365),
        )
    )
    assert found.twr is not None
    assert Caution.EMPTY_ACCOUNT in found.warnings
    assert Caution.IRREGULAR_SPACING not in found.warnings
