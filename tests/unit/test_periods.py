"""A stored row narrowed to the periods asked for, for the API and the command line alike."""

from typing import Any

from workflows.periods import only_periods

METRICS = ("twr", "mwr", "volatility", "sharpe_ratio", "max_drawdown")


def figures(value: float) -> dict[str, Any]:
    return dict.fromkeys(METRICS, value)


ROW = {
    "entity_id": "p",
    "time_period": "MTD",
    **figures(1.0),
    "periods": {"MTD": {**figures(1.0), "days": 30}, "1Y": {**figures(2.0), "days": 365}},
}


def test_the_figures_at_the_top_are_those_of_the_period_asked_for() -> None:
    found = only_periods(ROW, ["1Y"])
    assert found == {**ROW, **figures(2.0), "time_period": "1Y", "periods": {"1Y": {**figures(2.0), "days": 365}}}


def test_of_several_periods_the_first_is_at_the_top() -> None:
    found = only_periods(ROW, ["10Y", "1Y", "MTD"])
    assert (found["time_period"], found["twr"], list(found["periods"])) == ("1Y", 2.0, ["1Y", "MTD"])


def test_without_a_period_the_row_is_as_it_was() -> None:
    assert only_periods(ROW, None) == ROW
    assert only_periods(ROW, ["10Y"]) == {**ROW, "periods": {}}
