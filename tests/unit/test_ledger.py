"""Histories from transactions: what each type does, which days are valued, and which ledgers are refused."""

import csv
import gzip
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.calculations import (
    Caution,
    ClosingPrice,
    Conventions,
    FlowTiming,
    Holdings,
    LedgerEntry,
    LedgerError,
    LedgerHistory,
    Period,
    PeriodPerformance,
    PriceHistory,
    Reason,
    TransactionType,
    calculate_performance,
    holdings_on,
    value_ledger,
)
from common.calculations.words import day_date, day_number

MONDAY = date(2024, 1, 1)
DATA = Path(__file__).parents[2] / "examples" / "data"
INCLUDED = [FlowTiming.END_OF_DAY, FlowTiming.START_OF_DAY, FlowTiming.INFLOW_START_OUTFLOW_END]
Number = str | int | float | None


def on(offset: int) -> int:
    return day_number(MONDAY + timedelta(days=offset))


def entry(
    kind: str, offset: int, amount: Number = None, quantity: Number = None, security: str | None = None, **rest: Any
) -> LedgerEntry:
    numbers = [None if each is None else Decimal(str(each)) for each in (amount, quantity)]
    return LedgerEntry(TransactionType(kind), on(offset), numbers[0], numbers[1], security, **rest)


def closes(**by_offset: float) -> PriceHistory:
    """Prices by day, as d0=100.0."""
    days = [on(int(name[1:])) for name in by_offset]
    size = len(days)
    return PriceHistory(np.array(days), np.array(list(by_offset.values())), np.zeros(size), np.ones(size))


def value(
    entries: list[LedgerEntry], *, max_price_age_days: int = 7, until: int | None = None, **prices: PriceHistory
) -> LedgerHistory:
    end = None if until is None else on(until)
    return value_ledger(entries, prices, until=end, max_price_age_days=max_price_age_days)


def valued(history: LedgerHistory) -> dict[int, float]:
    pairs = zip(history.valuations.days.tolist(), history.valuations.values.tolist(), strict=True)
    return {day - on(0): worth for day, worth in pairs}


def flowed(history: LedgerHistory) -> list[tuple[int, float]]:
    return [
        (day - on(0), amount)
        for day, amount in zip(history.flows.days.tolist(), history.flows.amounts.tolist(), strict=True)
    ]


def since_inception(
    history: LedgerHistory, end: date | None = None, timing: FlowTiming = FlowTiming.END_OF_DAY
) -> PeriodPerformance:
    period = Period.standard("ITD", end or day_date(history.holdings.day))
    found = calculate_performance(history.valuations, history.flows, [period], Conventions(flow_timing=timing))
    return found.periods[0]


def test_the_specifications_daily_example_from_transactions() -> None:
    # 10,000 buy 100 units at 100; 102 makes 10,200; 1,000 come in after that day's close and stay in cash; at 103.30
    # the units are worth 10,330 and all of it 11,330. 1.02 x 11,330 / 11,200 - 1 = 3.1839 %.
    history = value(
        [
            entry("deposit", 0, 10000),
            entry("buy", 0, 10000, 100, "FUND"),
            entry("deposit", 1, 1000),
        ],
        FUND=closes(d0=100.0, d1=102.0, d2=103.3),
    )
    assert valued(history) == {-1: 0.0, 0: 10000.0, 1: 11200.0, 2: 11330.0}
    assert flowed(history) == [(0, 10000.0), (1, 1000.0)]
    found = since_inception(history)
    assert found.twr == pytest.approx(1.02 * 11330 / 11200 - 1, rel=1e-14)
    assert (found.from_date, found.days) == (MONDAY - timedelta(days=1), 3)


def test_each_type_moves_cash_units_and_flows() -> None:
    # 1000 - 401 + 205 + 3.5 + 1.25 - 2 - 0.5 - 100 = 706.25 in cash, (4 - 2) x 2 = 4 units.
    history = value(
        [
            entry("deposit", 0, 1000),
            entry("buy", 0, 401, 4, "A"),
            entry("sell", 1, 205, 2, "A"),
            entry("dividend", 2, "3.5", None, "A"),
            entry("interest", 2, "1.25"),
            entry("fee", 3, 2),
            entry("tax", 3, "0.5", None, "A"),
            entry("split", 4, None, 2, "A"),
            entry("withdrawal", 5, 100),
        ],
        A=closes(d0=100.0, d1=102.0, d2=101.0, d3=103.0, d4=52.0, d5=53.0),
    )
    assert valued(history) == {
        -1: 0.0,
        0: 599 + 400.0,
        1: 804 + 204.0,
        2: 808.75 + 202.0,
        3: 806.25 + 206.0,
        4: 806.25 + 208.0,
        5: 706.25 + 212.0,
    }
    assert flowed(history) == [(0, 1000.0), (5, -100.0)]
    assert history.holdings == Holdings(on(5), Decimal("706.25"), {"A": Decimal(4)})
    assert history.warnings == ()


def test_a_correction_takes_back_what_it_corrects() -> None:
    history = value([entry("deposit", 0, 100), entry("dividend", 1, 5), entry("dividend", 2, -5), entry("fee", 2, -1)])
    assert valued(history) == {-1: 0.0, 0: 100.0, 1: 105.0, 2: 101.0}


def test_the_first_days_performance_counts() -> None:
    # Bought at 100, closed at 101: the first day earned 1 % on what came in.
    history = value([entry("deposit", 0, 1000), entry("buy", 0, 1000, 10, "A")], A=closes(d0=101.0, d1=102.01))
    for timing in INCLUDED:
        found = since_inception(history, timing=timing)
        assert found.twr == pytest.approx(1.0201 - 1, rel=1e-12)
        assert found.mwr_period == pytest.approx(1.0201 - 1, rel=1e-9)
        assert found.warnings == ()


def test_a_transferred_security_is_a_flow_of_its_value() -> None:
    # Given: 990. By the market: 5 x 102; then 3 x 104 by the close of Friday, out on Saturday.
    history = value(
        [
            entry("transfer_in", 0, 990, 10, "A"),
            entry("transfer_in", 1, None, 5, "A"),
            entry("transfer_out", 5, None, 3, "A"),
            entry("transfer_out", 7, 1250, 12, "A"),
        ],
        A=closes(d0=100.0, d1=102.0, d4=104.0, d7=105.0),
    )
    assert flowed(history) == [(0, 990.0), (1, 510.0), (5, -312.0), (7, -1250.0)]
    assert valued(history) == {-1: 0.0, 0: 1000.0, 1: 1530.0, 4: 1560.0, 5: 1248.0, 7: 0.0}


def test_transferred_cash_is_a_flow() -> None:
    history = value([entry("transfer_in", 0, 100), entry("transfer_out", 1, 30)])
    assert flowed(history) == [(0, 100.0), (1, -30.0)]
    assert valued(history) == {-1: 0.0, 0: 100.0, 1: 70.0}


def test_what_comes_in_and_goes_out_on_one_day_are_two_flows() -> None:
    # inflow_start_outflow_end needs both: 1,000 came in, lost 100 and left.
    history = value(
        [
            entry("deposit", 0, 1000),
            entry("buy", 0, 1000, 10, "A"),
            entry("sell", 0, 900, 10, "A"),
            entry("withdrawal", 0, 900),
        ],
        A=closes(d0=95.0),
    )
    assert flowed(history) == [(0, 1000.0), (0, -900.0)]
    assert since_inception(history, timing=FlowTiming.INFLOW_START_OUTFLOW_END).twr == pytest.approx(-0.1)


def test_a_split_comes_before_the_days_other_transactions_and_splits_multiply() -> None:
    # 10 x 2 x 3 = 60, then 60 sold.
    entries = [
        entry("deposit", 0, 1000),
        entry("buy", 0, 1000, 10, "A"),
        entry("sell", 1, 1020, 60, "A"),
        entry("split", 1, None, 2, "A"),
        entry("split", 1, None, 3, "A"),
    ]
    history = value(entries, A=closes(d0=100.0, d1=17.0))
    assert valued(history) == {-1: 0.0, 0: 1000.0, 1: 1020.0}
    assert history.holdings.quantities == {}


def test_a_price_carried_over_a_split_is_divided_by_it() -> None:
    # Four for one on Saturday: Friday's 100 is 25 of the new units.
    history = value(
        [
            entry("deposit", 4, 1000),
            entry("buy", 4, 1000, 10, "A"),
            entry("split", 5, None, 4, "A"),
            entry("transfer_in", 6, None, 8, "A"),
        ],
        A=closes(d4=100.0, d7=26.0),
    )
    assert valued(history) == {3: 0.0, 4: 1000.0, 5: 1000.0, 6: 1200.0, 7: 1248.0}
    assert flowed(history) == [(4, 1000.0), (6, 200.0)]


def test_a_split_before_the_purchase_counts_for_a_price_from_before_it() -> None:
    # Bought on Sunday, last priced on Friday, split on Saturday.
    history = value(
        [
            entry("deposit", 0, 100),
            entry("split", 5, None, 4, "A"),
            entry("buy", 6, 100, 4, "A"),
        ],
        A=closes(d4=100.0, d5=25.0, d7=26.0),
    )
    assert valued(history)[6] == 100.0
    history = value(
        [entry("deposit", 0, 100), entry("split", 5, None, 4, "A"), entry("buy", 6, 100, 4, "A")],
        A=closes(d4=100.0, d7=26.0),
    )
    assert valued(history) == {-1: 0.0, 0: 100.0, 5: 100.0, 6: 100.0, 7: 104.0}


def test_days_with_a_price_or_an_entry_are_valued_from_the_first_entry_to_the_end() -> None:
    entries = [entry("deposit", 2, 1000), entry("buy", 4, 100, 1, "A"), entry("deposit", 5, 10)]
    prices = closes(d0=90.0, d2=95.0, d3=99.0, d4=100.0, d7=101.0, d8=102.0)
    # Before it is bought on the 4th, the security adds no days.
    assert list(valued(value(entries, A=prices))) == [1, 2, 4, 5, 7, 8]
    assert list(valued(value(entries, A=prices, until=7))) == [1, 2, 4, 5, 7]
    # The deposit of the 5th is not known yet.
    history = value(entries, A=prices, until=4)
    assert list(valued(history)) == [1, 2, 4]
    assert history.holdings == Holdings(on(4), Decimal(900), {"A": Decimal(1)})
    assert list(valued(value(entries, A=prices, until=3))) == [1, 2]


def test_a_later_purchase_changes_nothing_before_it() -> None:
    # A is priced once a week; B, bought on the 15th, every day.
    entries = [entry("deposit", 0, 100), entry("buy", 0, 100, 1, "A")]
    exchanged = [*entries, entry("sell", 14, 102, 1, "A"), entry("buy", 14, 102, 2, "B")]
    weekly, daily = closes(d0=100.0, d7=101.0, d14=102.0), closes(**{f"d{day}": 51.0 for day in range(17)})
    before = valued(value(entries, until=14, A=weekly, B=daily))
    assert before == {-1: 0.0, 0: 100.0, 7: 101.0, 14: 102.0}
    assert valued(value(exchanged, A=weekly, B=daily)) == {**before, 15: 102.0, 16: 102.0}


def test_what_is_held_at_the_end_is_told_with_the_prices_that_make_its_worth() -> None:
    # A two for one on Monday, last priced on Friday at 100: 20 units at 50. B is sold again, C was never held.
    entries = [
        entry("deposit", 0, 2000),
        entry("buy", 0, 1000, 10, "A"),
        entry("buy", 0, 300, 3, "B"),
        entry("sell", 4, 300, 3, "B"),
        entry("split", 7, None, 2, "A"),
    ]
    history = value(entries, A=closes(d0=100.0, d4=100.0), B=closes(d0=100.0, d4=100.0), C=closes(d0=1.0), until=9)
    assert history.closes == {"A": ClosingPrice(50.0, on(4))}
    assert history.holdings == Holdings(on(9), Decimal(1000), {"A": Decimal(20)})
    assert history.valuations.values[-1] == 1000 + 20 * 50.0
    assert value(entries, A=closes(d0=100.0, d4=100.0), B=closes(d0=99.0), until=0).closes == {
        "A": ClosingPrice(100.0, on(0)),
        "B": ClosingPrice(99.0, on(0)),
    }


def test_until_need_not_be_a_valuation_day() -> None:
    entries = [entry("deposit", 0, 100), entry("buy", 0, 100, 1, "A")]
    history = value(entries, A=closes(d0=100.0, d4=101.0, d7=102.0), until=6)
    assert list(valued(history)) == [-1, 0, 4]
    assert history.holdings.day == on(6)


def test_an_emptied_portfolio_is_worth_exactly_nothing() -> None:
    # In binary 0.1 + 0.2 - 0.3 is not 0.
    history = value(
        [
            entry("deposit", 0, "0.1"),
            entry("deposit", 0, "0.2"),
            entry("buy", 0, "0.3", "0.3", "A"),
            entry("sell", 1, "0.33", "0.1", "A"),
            entry("sell", 1, "0.66", "0.2", "A"),
            entry("withdrawal", 1, "0.99"),
        ],
        A=closes(d0=1.0, d1=3.3, d2=3.4),
    )
    assert valued(history) == {-1: 0.0, 0: pytest.approx(0.3), 1: 0.0, 2: 0.0}
    assert history.holdings == Holdings(on(2), Decimal("0.00"), {})


def test_digits_that_the_default_context_would_round_are_kept() -> None:
    fine = "1000000000000000.0000000000000000001"
    history = value(
        [
            entry("deposit", 0, fine),
            entry("withdrawal", 1, 10**15),
            entry("transfer_in", 0, 1, "1.000000000000000000000000000000001", "A"),
            entry("split", 1, None, "1.000000000000000000000000000000001", "A"),
        ],
        A=closes(d0=1.0, d1=1.0),
    )
    assert history.holdings.cash == Decimal("1E-19")
    exact = "1.000000000000000000000000000000002000000000000000000000000000000001"
    assert history.holdings.quantities == {"A": Decimal(exact)}


def test_after_the_end_zeros_follow_that_the_returns_leave_out() -> None:
    # 2 % while it lasted. The year since has no return, because nothing was invested.
    history = value(
        [
            entry("deposit", 0, 1000),
            entry("buy", 0, 1000, 10, "A"),
            entry("sell", 1, 1020, 10, "A"),
            entry("withdrawal", 1, 1020),
        ],
        A=closes(d0=100.0, d1=102.0, d2=90.0, d400=80.0),
    )
    assert valued(history) == {-1: 0.0, 0: 1000.0, 1: 0.0, 2: 0.0, 400: 0.0}
    end = MONDAY + timedelta(days=400)
    found = since_inception(history, end)
    assert found.twr == pytest.approx(0.02)
    assert found.warnings == (Caution.EMPTY_ACCOUNT,)
    conventions = Conventions(flow_timing=FlowTiming.END_OF_DAY)
    year = calculate_performance(history.valuations, history.flows, [Period.standard("1Y", end)], conventions)
    assert year.periods[0].undefined["twr"] is Reason.EMPTY_ACCOUNT


def test_what_is_wholly_borrowed_is_worth_exactly_nothing() -> None:
    # In binary 3 x 1.1 - 3.3 is not 0, and a gain on that would be without bounds.
    history = value([entry("buy", 0, "3.3", 3, "A")], A=closes(d0=1.1, d1=1.2))
    assert valued(history) == {-1: 0.0, 0: 0.0, 1: pytest.approx(0.3)}


def test_cash_may_be_borrowed() -> None:
    history = value([entry("deposit", 0, 100), entry("buy", 0, 300, 3, "A")], A=closes(d0=100.0, d1=110.0))
    assert valued(history) == {-1: 0.0, 0: 100.0, 1: 130.0}
    assert history.holdings.cash == -200


class TestTransfersBetweenPortfoliosOfAnAccount:
    def entries(self, *more: LedgerEntry) -> list[LedgerEntry]:
        return [
            entry("deposit", 0, 1000, portfolio_id="p1"),
            entry("buy", 0, 900, 9, "A", portfolio_id="p1"),
            entry("transfer_out", 1, None, 5, "A", internal=True, portfolio_id="p1"),
            entry("transfer_out", 1, 60, internal=True, portfolio_id="p1"),
            *more,
        ]

    def test_change_nothing_and_tell_what_is_under_way(self) -> None:
        prices = closes(d0=100.0, d1=101.0, d2=102.0)
        arrived = [
            entry("transfer_in", 2, None, 5, "A", internal=True, portfolio_id="p2"),
            entry("transfer_in", 2, 60, internal=True, portfolio_id="p2"),
        ]
        without = value(self.entries()[:2], A=prices)
        for entries, warnings in (
            (self.entries(), (Caution.TRANSFER_IN_TRANSIT,)),
            (self.entries(arrived[0]), (Caution.TRANSFER_IN_TRANSIT,)),
            (self.entries(arrived[1]), (Caution.TRANSFER_IN_TRANSIT,)),
            (self.entries(*arrived), ()),
        ):
            history = value(entries, A=prices)
            assert valued(history) == valued(without)
            assert flowed(history) == flowed(without)
            assert history.holdings == without.holdings
            assert history.warnings == warnings

    def test_a_split_that_both_books_hold_happens_once_on_its_day_in_each(self) -> None:
        # p2 books it a day late: its 5 units are 10 from then on, those of p1 are 8 from the 3rd on.
        history = value(
            self.entries(
                entry("transfer_in", 2, None, 5, "A", internal=True, portfolio_id="p2"),
                entry("transfer_in", 2, 60, internal=True, portfolio_id="p2"),
                entry("split", 3, None, 2, "A", portfolio_id="p1"),
                entry("split", 4, None, 2, "A", portfolio_id="p2"),
            ),
            A=closes(d0=100.0, d1=100.0, d2=100.0, d3=50.0, d4=50.0),
        )
        assert valued(history) == {-1: 0.0, 0: 1000.0, 1: 1000.0, 2: 1000.0, 3: 750.0, 4: 1000.0}
        assert history.holdings.quantities == {"A": Decimal(18)}

    def test_units_under_way_take_part_in_a_split(self) -> None:
        history = value(
            self.entries(
                entry("split", 2, None, 2, "A", portfolio_id="p1"),
                entry("split", 2, None, "2.0", "A", portfolio_id="p2"),
                entry("transfer_in", 3, None, 10, "A", internal=True, portfolio_id="p2"),
                entry("transfer_in", 3, 60, internal=True, portfolio_id="p2"),
            ),
            A=closes(d0=100.0, d1=100.0, d2=50.0, d3=50.0),
        )
        assert valued(history) == {-1: 0.0, 0: 1000.0, 1: 1000.0, 2: 1000.0, 3: 1000.0}
        assert history.warnings == ()

    def test_units_that_a_split_in_one_book_alone_makes_are_held_and_priced(self) -> None:
        # Nobody ever bought B: five are owed and five under way, until the one book doubles what it waits for.
        entries = [
            entry("transfer_out", 0, None, 5, "B", internal=True, portfolio_id="p1"),
            entry("split", 1, None, 2, "B", portfolio_id="p2"),
        ]
        history = value(entries, B=closes(d1=7.0))
        assert history.holdings.quantities == {"B": Decimal(5)}
        assert history.closes == {"B": ClosingPrice(7.0, on(1))}
        assert valued(history) == {-1: 0.0, 0: 0.0, 1: 35.0}

    def test_the_receiver_may_sell_what_has_not_arrived(self) -> None:
        history = value(self.entries(entry("sell", 1, 505, 5, "A", portfolio_id="p2")), A=closes(d0=100.0, d1=101.0))
        assert valued(history)[1] == 605 + 4 * 101.0

    def test_two_different_splits_of_one_day_are_refused(self) -> None:
        entries = self.entries(
            entry("split", 2, None, 4, "A", portfolio_id="p2"), entry("split", 2, None, 2, "A", portfolio_id="p1")
        )
        with pytest.raises(LedgerError) as refused:
            value(entries, A=closes(d0=100.0))
        assert str(refused.value) == "A has different splits on 2024-01-03: 2 in p1, 4 in p2"

    def test_nothing_else_is_internal(self) -> None:
        with pytest.raises(LedgerError, match=r"^fee t-1 of 2024-01-01: only a transfer can be internal$"):
            value([entry("fee", 0, 1, internal=True, transaction_id="t-1")])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "there are no transactions"),
        ([entry("deposit", 3, 1)], "the first transaction is of 2024-01-04, after 2024-01-03"),
        ([entry("fee", 0, transaction_id="t-1")], "fee t-1 of 2024-01-01 has no amount"),
        ([entry("fee", 0, "NaN", transaction_id="t-1")], "fee t-1 of 2024-01-01 has no amount"),
        ([entry("buy", 0, 1, None, "A")], "buy of 2024-01-01 has no quantity"),
        ([entry("buy", 0, 1, 1, transaction_id="t-1")], "buy t-1 of 2024-01-01 has no security"),
        ([entry("transfer_in", 0)], "transfer_in of 2024-01-01 has no amount"),
        ([entry("split", 0, None, 0, "A")], "split of 2024-01-01: the quantity must be positive"),
    ],
)
def test_what_is_no_ledger_is_refused(entries: list[LedgerEntry], message: str) -> None:
    with pytest.raises(LedgerError) as refused:
        value(entries, until=2)
    assert str(refused.value) == message


class TestSellingMoreThanThereIs:
    def fault(self, *entries: LedgerEntry) -> str:
        with pytest.raises(LedgerError) as refused:
            holdings_on([entry("transfer_in", 0, 500, 5, "AAPL"), *entries], on(9))
        with pytest.raises(LedgerError) as same:
            value([entry("transfer_in", 0, 500, 5, "AAPL"), *entries])
        assert str(refused.value) == str(same.value)
        return str(refused.value)

    def test_is_refused(self) -> None:
        sale = entry("sell", 4, 1000, 10, "AAPL", transaction_id="t-17")
        assert self.fault(sale) == "sell t-17 of 2024-01-05: 10 AAPL sold, 5 held"

    def test_is_told_with_everything_that_made_it(self) -> None:
        found = self.fault(
            entry("split", 4, None, "0.5", "AAPL", transaction_id="t-9"),
            entry("sell", 4, 1000, 2, "AAPL", transaction_id="t-17"),
            entry("transfer_out", 4, None, 1, "AAPL", transaction_id="t-18"),
            entry("buy", 4, 10, "0.1", "AAPL", transaction_id="t-19"),
            entry("sell", 5, 1000, 3, "AAPL", transaction_id="t-20"),
        )
        names = "sell t-17 and split t-9 and transfer_out t-18"
        assert found == f"{names} of 2024-01-05: 3 AAPL sold and transferred, 2.6 held"

    def test_is_told_of_each_security_and_at_most_five(self) -> None:
        sales = [entry("sell", 1, 1, 1, f"S{number}") for number in (7, 6, 5, 4, 3, 2, 1)]
        told = "; ".join(f"sell of 2024-01-02: 1 S{number} sold, 0 held" for number in (1, 2, 3, 4, 5))
        assert self.fault(*sales) == f"{told}; and 2 more securities"

    def test_only_the_end_of_the_day_counts(self) -> None:
        entries = [entry("sell", 0, 100, 1, "A"), entry("buy", 0, 99, 1, "A")]
        assert holdings_on(entries, on(0)) == Holdings(on(0), Decimal(1), {})


class TestPrices:
    held = (entry("transfer_in", 0, 100, 1, "A"), entry("transfer_in", 0, 100, 1, "B"))

    def fault(self, *, until: int | None = None, max_price_age_days: int = 7, **prices: PriceHistory) -> str:
        with pytest.raises(LedgerError) as refused:
            value(list(self.held), until=until, max_price_age_days=max_price_age_days, **prices)
        return str(refused.value)

    def test_must_be_there(self) -> None:
        found = self.fault(A=closes(d1=100.0), B=closes(d0=1.0, d1=2.0))
        assert found == "no price of A on or before 2024-01-01, which is held then"
        assert self.fault(A=closes(d0=1.0)) == "no price of B on or before 2024-01-01, which is held then"
        # However old a price may be, there must be one.
        assert self.fault(A=closes(d0=1.0), max_price_age_days=10**12).startswith("no price of B")

    def test_must_be_recent_on_every_valuation_day(self) -> None:
        found = self.fault(A=closes(d0=1.0, d8=1.0, d9=1.0), B=closes(d0=1.0, d9=1.0))
        assert found == "the last price of B before 2024-01-09 is of 2024-01-01, 8 days old; at most 7 are allowed"

    def test_must_be_recent_on_the_last_day_too(self) -> None:
        found = self.fault(A=closes(d0=1.0), B=closes(d0=1.0), until=8)
        one = "the last price of {} before 2024-01-09 is of 2024-01-01, 8 days old; at most 7 are allowed"
        assert found == f"{one.format('A')}; {one.format('B')}"
        enough = value(list(self.held), until=7, A=closes(d0=1.0), B=closes(d0=1.0))
        assert list(valued(enough)) == [-1, 0]

    def test_must_be_the_days_own_where_no_age_is_allowed(self) -> None:
        found = self.fault(A=closes(d0=1.0, d1=1.0), B=closes(d0=1.0), max_price_age_days=0)
        assert found == "the last price of B before 2024-01-02 is of 2024-01-01, 1 days old; at most 0 are allowed"
        own = closes(d0=1.0, d1=2.0)
        assert valued(value(list(self.held), max_price_age_days=0, A=own, B=own)) == {-1: 0.0, 0: 2.0, 1: 4.0}

    def test_are_not_asked_for_what_is_not_held(self) -> None:
        entries = [
            entry("deposit", 0, 100),
            entry("buy", 1, 100, 1, "A"),
            entry("sell", 2, 100, 1, "A"),
            entry("dividend", 30, 3, None, "A"),
            entry("split", 31, None, 2, "C"),
        ]
        history = value(entries, A=closes(d1=100.0, d2=100.0))
        idle = dict.fromkeys((10, 11, 14, 15, 16, 17, 18, 21, 22, 23, 24, 25, 28, 29), 100.0)
        assert valued(history) == {-1: 0.0, 0: 100.0, 1: 100.0, 2: 100.0, **idle, 30: 103.0, 31: 103.0}

    def test_of_idle_money_tell_no_time_so_weekdays_do(self) -> None:
        history = value([entry("deposit", 0, 100), entry("interest", 3, 1)], until=18)
        # A week after the last entry, the 4th, is the 11th, a Thursday.
        days = [-1, 0, 3, 11, 14, 15, 16, 17, 18]
        assert list(valued(history)) == days
        (month, year) = calculate_performance(
            history.valuations,
            history.flows,
            [Period.standard(label, day_date(on(18))) for label in ("MTD", "1Y")],
            Conventions(flow_timing=FlowTiming.END_OF_DAY),
        ).periods
        assert month.twr == pytest.approx(0.01)
        assert year.undefined["twr"] is Reason.HISTORY_TOO_SHORT

    def test_of_nothing_add_no_days(self) -> None:
        history = value([entry("deposit", 0, 100), entry("withdrawal", 3, 100)], until=18)
        assert list(valued(history)) == [-1, 0, 3]

    def test_are_asked_for_what_is_transferred_through(self) -> None:
        entries = [entry("transfer_in", 0, None, 1, "A"), entry("transfer_out", 0, None, 1, "A")]
        with pytest.raises(LedgerError, match="no price of A on or before 2024-01-01"):
            value(entries)

    def test_must_make_finite_values(self) -> None:
        huge = [entry("transfer_in", 0, 1, "1e300", "A")]
        with pytest.raises(LedgerError, match="no finite number"):
            value(huge, A=closes(d0=1e300))
        priced = [entry("transfer_in", 0, None, "1e300", "A"), entry("transfer_out", 0, None, "1e300", "A")]
        with pytest.raises(LedgerError, match="no finite number"):
            value(priced, A=closes(d0=1e300))


def test_holdings_of_a_day_before_the_first_entry_are_none() -> None:
    assert holdings_on([entry("deposit", 1, 1)], on(0)) == Holdings(on(0), Decimal(0), {})
    assert holdings_on([], on(0)) == Holdings(on(0), Decimal(0), {})


def test_one_share_held_has_the_return_of_its_real_prices() -> None:
    with gzip.open(DATA / "sp500_dataset.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    days = np.array([day_number(date.fromisoformat(row["Date"])) for row in rows])
    for ticker in ("AAPL", "XOM"):
        prices = np.array([float(row[ticker]) for row in rows])
        first = Decimal(rows[0][ticker])
        history = value_ledger(
            [
                LedgerEntry(TransactionType.DEPOSIT, int(days[0]), first, None, None),
                LedgerEntry(TransactionType.BUY, int(days[0]), first, Decimal(1), ticker),
            ],
            {ticker: PriceHistory(days, prices, np.zeros(days.size), np.ones(days.size))},
            max_price_age_days=7,
        )
        assert np.array_equal(history.valuations.values[1:], prices)
        found = since_inception(history)
        assert found.twr == pytest.approx(prices[-1] / prices[0] - 1, rel=1e-12)
        assert found.mwr_period == pytest.approx(found.twr, rel=1e-2)
        assert found.warnings == ()
