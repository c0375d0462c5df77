"""Accounts from portfolios, flows into and out of valuations, total returns of securities: worked by hand."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest

from common.calculations import (
    AccountHistory,
    Caution,
    Flows,
    FlowTiming,
    LedgerError,
    PriceHistory,
    TimeWeightedReturn,
    Valuations,
    calculate_daily_twr,
    exclude_flows,
    include_flows,
    security_history,
    sum_histories,
)
from common.calculations.words import day_date, day_number

START = day_number(date(2024, 1, 1))
History = tuple[Valuations, Flows]


def history(values: dict[int, float], flows: Sequence[tuple[int, float]] = ()) -> History:
    return (
        Valuations.from_arrays([START + day for day in values], list(values.values())),
        Flows.from_arrays([START + day for day, _ in flows], [amount for _, amount in flows]),
    )


def values_of(valuations: Valuations) -> dict[int, float]:
    return dict(zip((valuations.days - START).tolist(), valuations.values.tolist(), strict=True))


def plain(found: History | AccountHistory) -> tuple[dict[int, float], list[tuple[int, float]]]:
    valuations, flows = found if isinstance(found, tuple) else (found.valuations, found.flows)
    return values_of(valuations), list(zip((flows.days - START).tolist(), flows.amounts.tolist(), strict=True))


def daily(found: History | AccountHistory, timing: FlowTiming = FlowTiming.END_OF_DAY) -> TimeWeightedReturn:
    valuations, flows = found if isinstance(found, tuple) else (found.valuations, found.flows)
    return calculate_daily_twr(
        [(day_date(day), value) for day, value in zip(valuations.days, valuations.values, strict=True)],
        [(day_date(day), amount) for day, amount in zip(flows.days, flows.amounts, strict=True)],
        flow_timing=timing,
    )


class TestSum:
    def test_of_two_portfolios_adds_values_and_flows(self) -> None:
        one = history({0: 100.0, 1: 110.0, 2: 121.0}, [(1, 5.0)])
        other = history({0: 200.0, 1: 190.0, 2: 195.0}, [(1, -15.0), (2, 1.0)])
        assert plain(sum_histories([one, other])) == ({0: 300.0, 1: 300.0, 2: 316.0}, [(1, -10.0), (2, 1.0)])

    def test_of_one_is_itself_with_its_flows_netted(self) -> None:
        # As binary fractions 0.1 + 0.2 - 0.3 leave 2.8e-17, which is no money. What came on the 2nd is there then.
        lone = history({0: 0.0, 3: 110.0}, [(3, -0.3), (-1, 7.0), (3, 0.2), (3, 0.1), (1, 5.0), (1, -5.0), (2, 1.0)])
        assert plain(sum_histories([lone])) == ({0: 0.0, 2: 1.0, 3: 110.0}, [(2, 1.0)])

    def test_of_values_that_cancel_is_exactly_nothing(self) -> None:
        parts = [history({0: 100.0, 1: each}) for each in (0.1, 0.2, -0.3)]
        assert plain(sum_histories(parts))[0] == {0: 300.0, 1: 0.0}

    def test_lets_a_transfer_between_two_portfolios_cancel(self) -> None:
        one = history({0: 100.0, 1: 60.0}, [(1, -40.1)])
        other = history({0: 100.0, 1: 141.0}, [(1, 40.1)])
        found = sum_histories([one, other])
        assert plain(found) == ({0: 200.0, 1: 201.0}, [])
        assert daily(found).value == pytest.approx(0.005)

    def test_has_the_days_that_all_have_and_those_of_its_flows(self) -> None:
        # The second is valued every four days: on the 3rd its 50 of the first day stand for it.
        one = history({day: 100.0 + day for day in range(9)}, [(3, 2.0)])
        weekly = history({0: 50.0, 4: 51.0, 8: 52.0})
        assert plain(sum_histories([one, weekly])) == ({0: 150.0, 3: 153.0, 4: 155.0, 8: 160.0}, [(3, 2.0)])

    def test_lets_a_large_flow_earn_nothing_it_was_not_there_for(self) -> None:
        # Valued weekly, flat at 100. Into the other, worth 10, come 10,000 on the 3rd, and it gains 1 % by the 7th:
        # (100 + 10,110.1) / (100 + 10 + 10,000), which without a valuation of the 3rd would be 92 % of the 110.
        weekly = history({0: 100.0, 7: 100.0})
        other = history({0: 10.0, 3: 10010.0, 7: 10110.1}, [(3, 10000.0)])
        found = sum_histories([weekly, other])
        assert plain(found)[0] == {0: 110.0, 3: 10110.0, 7: 10210.1}
        assert daily(found).value == pytest.approx(10210.1 / 10110.0 - 1, rel=1e-12)
        assert daily(found).warnings == ()
        assert found.warnings == ()

    def test_carries_a_value_with_what_flowed_since(self) -> None:
        # The second got 20 on the 1st and gave 5 to the first on the 2nd: on the 3rd its 50 are 65.
        one = history({0: 100.0, 2: 105.0, 3: 99.0, 4: 99.0}, [(2, 5.0), (3, -6.0)])
        other = history({0: 50.0, 4: 66.0}, [(1, 20.0), (2, -5.0)])
        found = sum_histories([one, other])
        assert plain(found) == ({0: 150.0, 1: 170.0, 3: 164.0, 4: 165.0}, [(1, 20.0), (3, -6.0)])
        assert daily(found).value == pytest.approx(165 / 164 - 1)

    def test_tells_where_a_value_was_carried_longer_than_over_a_week_end(self) -> None:
        for age, warnings in ((4, ()), (5, (Caution.CARRIED_VALUATION,))):
            one = history({0: 100.0, age: 101.0}, [(age, 1.0)])
            found = sum_histories([one, history({0: 50.0, 10: 50.0})])
            assert plain(found)[0] == {0: 150.0, age: 151.0}
            assert found.warnings == warnings

    def test_carries_no_value_for_over_a_month(self) -> None:
        other = history({0: 50.0, 40: 50.0})
        for age, days in ((31, [0, 31, 40]), (32, [0, 40])):
            one = history({0: 100.0, age: 101.0, 40: 101.0}, [(age, 1.0)])
            found = sum_histories([one, other])
            assert list(plain(found)[0]) == days
            assert plain(found)[1] == [(age, 1.0)]
            assert found.warnings == ((Caution.CARRIED_VALUATION,) if age == 31 else ())

    def test_takes_in_a_portfolio_that_begins_later(self) -> None:
        # It brings 50: 40 by its own flow of that day, 10 from before, which nothing but the value tells of.
        one = history({0: 100.0, 1: 101.0, 2: 102.0})
        later = history({1: 50.0, 2: 51.0}, [(0, 9.0), (1, 40.0), (2, -1.0)])
        found = sum_histories([one, later])
        assert plain(found) == ({0: 100.0, 1: 151.0, 2: 153.0}, [(1, 50.0), (2, -1.0)])
        assert daily(found).value == pytest.approx(1.01 * 154 / 151 - 1)

    def test_takes_in_a_portfolio_between_two_of_the_accounts_days(self) -> None:
        weekly = history({0: 100.0, 4: 101.0, 8: 102.0})
        later = history({2: 50.0, 3: 50.5, 4: 51.0, 8: 52.0})
        found = sum_histories([weekly, later])
        assert plain(found) == ({0: 100.0, 2: 150.0, 4: 152.0, 8: 154.0}, [(2, 50.0)])
        assert daily(found).value == pytest.approx(154 / 150 - 1)
        # Nor does it take another day in common.
        assert plain(sum_histories([weekly, history({3: 50.0, 5: 51.0})]))[0] == {0: 100.0, 3: 150.0}

    def test_opens_with_all_that_begin_on_the_first_day(self) -> None:
        # The flows up to then are in the opening values.
        one = history({0: 100.0, 1: 102.0}, [(0, 100.0)])
        other = history({0: 50.0, 1: 51.0}, [(-3, 50.0)])
        found = sum_histories([one, other])
        assert plain(found) == ({0: 150.0, 1: 153.0}, [])
        assert daily(found).warnings == ()

    def test_counts_the_flows_of_a_portfolio_that_begins_with_nothing(self) -> None:
        # As a ledger does: 0 on the day before its first deposit.
        one = history({0: 100.0, 1: 101.0, 2: 102.0})
        ledger = history({1: 0.0, 2: 50.0}, [(2, 50.0)])
        assert plain(sum_histories([one, ledger])) == ({0: 100.0, 1: 101.0, 2: 152.0}, [(2, 50.0)])

    def test_goes_on_without_a_portfolio_that_ended_empty(self) -> None:
        one = history({0: 100.0, 1: 101.0, 2: 102.0})
        closed = history({0: 50.0, 1: 0.0}, [(1, -50.0)])
        assert plain(sum_histories([closed, one])) == ({0: 150.0, 1: 101.0, 2: 102.0}, [(1, -50.0)])

    def test_goes_on_while_a_portfolio_is_empty(self) -> None:
        # From the 1st to the 3rd nothing is there, so nothing is missing; on the 4th what came is not valued yet.
        one = history({day: 100.0 + day for day in range(7)})
        again = history({0: 50.0, 1: 0.0, 6: 70.0}, [(1, -50.0), (4, 69.0)])
        found = sum_histories([one, again])
        assert plain(found) == (
            {0: 150.0, 1: 101.0, 2: 102.0, 3: 103.0, 4: 173.0, 6: 176.0},
            [(1, -50.0), (4, 69.0)],
        )

    def test_ends_with_a_portfolio_whose_worth_is_not_known_any_more(self) -> None:
        one = history({0: 100.0, 1: 101.0, 2: 102.0})
        behind = history({0: 50.0, 1: 51.0})
        assert plain(sum_histories([one, behind])) == ({0: 150.0, 1: 152.0}, [])
        # It ended empty, but got money since, which is there on its day.
        longer = history({0: 100.0, 1: 101.0, 2: 102.0, 3: 103.0})
        refilled = history({0: 50.0, 1: 0.0}, [(1, -50.0), (2, 70.0)])
        assert plain(sum_histories([longer, refilled])) == (
            {0: 150.0, 1: 101.0, 2: 172.0},
            [(1, -50.0), (2, 70.0)],
        )

    def test_holds_a_portfolio_that_lived_between_two_of_the_accounts_days(self) -> None:
        # 50 came, 53 went: the account made 3 on the 150 that were there.
        weekly = history({0: 100.0, 4: 100.0})
        short = history({1: 50.0, 2: 52.0, 3: 0.0}, [(3, -53.0)])
        found = sum_histories([weekly, short])
        assert plain(found) == ({0: 100.0, 1: 150.0, 3: 100.0, 4: 100.0}, [(1, 50.0), (3, -53.0)])
        assert daily(found).value == pytest.approx(0.02)

    def test_needs_valuations(self) -> None:
        with pytest.raises(LedgerError, match=r"^there are no valuations$"):
            sum_histories([])
        for others in ([], [history({0: 1.0})]):
            with pytest.raises(LedgerError, match=r"^history 1 of \d has no valuations$"):
                sum_histories([history({}), *others])


class TestIncludingFlows:
    # The specification's example, after the close.
    after_close = history({0: 10000.0, 1: 10200.0, 4: 11330.0}, [(1, 1000.0)])

    def test_adds_what_came_after_the_close(self) -> None:
        valuations, flows = self.after_close
        found = include_flows(valuations, flows)
        assert values_of(found) == {0: 10000.0, 1: 11200.0, 4: 11330.0}
        assert daily((found, flows)).value == pytest.approx(1.02 * 11330 / 11200 - 1, rel=1e-14)
        assert daily(self.after_close, FlowTiming.AFTER_CLOSE).value == pytest.approx(daily((found, flows)).value)

    def test_and_excluding_them_again_gives_back_the_valuations(self) -> None:
        valuations, flows = self.after_close
        assert values_of(exclude_flows(include_flows(valuations, flows), flows)) == values_of(valuations)

    def test_leaves_alone_what_has_no_valuation_of_its_day(self) -> None:
        valuations, flows = history({0: 100.0, 2: 110.0}, [(-1, 5.0), (1, 6.0), (3, 7.0)])
        assert values_of(include_flows(valuations, flows)) == values_of(valuations)
        assert values_of(exclude_flows(valuations, flows)) == values_of(valuations)

    def test_of_the_first_and_the_last_day_are_in_their_valuations(self) -> None:
        edges = history({0: 100.0, 1: 110.0}, [(0, 5.0), (1, 6.0)])
        assert values_of(include_flows(*edges)) == {0: 105.0, 1: 116.0}
        assert values_of(exclude_flows(*edges)) == {0: 95.0, 1: 104.0}

    def test_empties_what_they_empty(self) -> None:
        # In binary 1000.3 - 0.1 - 0.2 - 1000.0 is not 0.
        valuations, flows = history({0: 1000.0, 1: 1000.3, 2: 0.0}, [(1, -0.1), (1, -0.2), (1, -1000.0)])
        found = include_flows(valuations, flows)
        assert values_of(found) == {0: 1000.0, 1: 0.0, 2: 0.0}
        assert daily((found, flows)).value == pytest.approx(0.0003)

    def test_of_nothing_is_nothing(self) -> None:
        assert values_of(include_flows(*history({}, [(1, 1.0)]))) == {}


class TestTotalReturnOfASecurity:
    def prices(
        self, prices: list[float], dividends: dict[int, float] | None = None, splits: dict[int, float] | None = None
    ) -> PriceHistory:
        size = len(prices)
        paid = [(dividends or {}).get(day, 0.0) for day in range(size)]
        split = [(splits or {}).get(day, 1.0) for day in range(size)]
        return PriceHistory(START + np.arange(size), np.array(prices), np.array(paid), np.array(split))

    def test_without_dividends_or_splits_is_that_of_the_price(self) -> None:
        found = security_history(self.prices([50.0, 51.0, 49.0]))
        assert plain(found) == ({0: 50.0, 1: 51.0, 2: 49.0}, [])

    def test_has_the_dividend_on_its_ex_date(self) -> None:
        # (49 + 2) / 50, then 50 / 49.
        found = security_history(self.prices([50.0, 49.0, 50.0], {1: 2.0}))
        assert plain(found) == ({0: 50.0, 1: 49.0, 2: 50.0}, [(1, -2.0)])
        assert daily(found).value == pytest.approx(51 / 50 * 50 / 49 - 1, rel=1e-14)

    def test_has_splits_from_their_day_on(self) -> None:
        found = security_history(self.prices([100.0, 26.0, 27.0, 55.0], {}, {1: 4.0, 3: 0.5}))
        assert plain(found) == ({0: 100.0, 1: 104.0, 2: 108.0, 3: 110.0}, [])

    def test_takes_a_dividend_for_one_unit_after_the_split_of_its_day(self) -> None:
        # Two for one and 1 a new unit: 2 x (51 + 1) for what cost 100; then 3 on each of the two.
        found = security_history(self.prices([100.0, 51.0, 50.0], {1: 1.0, 2: 3.0}, {1: 2.0}))
        assert plain(found) == ({0: 100.0, 1: 102.0, 2: 100.0}, [(1, -2.0), (2, -6.0)])
        assert daily(found).value == pytest.approx(1.04 * 106 / 102 - 1, rel=1e-14)

    def test_begins_after_the_first_days_dividend_and_split(self) -> None:
        found = security_history(self.prices([100.0, 101.0], {0: 5.0}, {0: 3.0}))
        assert plain(found) == ({0: 100.0, 1: 101.0}, [])
        assert daily(found).warnings == ()

    def test_needs_a_price(self) -> None:
        with pytest.raises(LedgerError, match=r"^there are no prices$"):
            security_history(PriceHistory.none())
