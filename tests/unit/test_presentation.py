"""Tables as a person sees them: nothing cut, dashes where there is no number, and never wider than the terminal."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from common.errors import message_of
from common.models.results import PeriodResult
from tests.contract.rows import period
from workflows import presentation
from workflows.execution_history import Event
from workflows.executions import Execution, ExecutionStatus
from workflows.wording import in_order, percent, ratio

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONGEST_ID = "x" * 64


def shown(renderable: RenderableType, width: int = 120) -> str:
    console = Console(width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(renderable)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= width
    return "\n".join(lines)


def row(entity_id: str = "p", *, labels: Sequence[str] = ("ITD", "1Y", "MTD"), **more: Any) -> dict[str, Any]:
    days = {"MTD": 30, "QTD": 90, "YTD": 180, "1Y": 365, "3Y": 1096, "5Y": 1826, "10Y": 3652, "ITD": 9999}
    periods = {label: dumped(period()) | {"days": days.get(label, 100)} for label in labels}
    return {
        "entity_type": "portfolio",
        "entity_id": entity_id,
        "calculation_date": "2023-06-30",
        "calculation_method": "daily",
        "benchmark_id": None,
        "periods": periods,
        "warnings": [],
        **more,
    }


def dumped(result: PeriodResult) -> dict[str, Any]:
    return result.model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0842, "8.42%"), (-0.5, "-50.00%"), (582.5851, "58,258.51%"), (-0.00001, "0.00%"), (0.0, "0.00%")],
)
def test_a_share_is_a_percentage_and_nothing_is_a_dash(value: float | None, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.5123, "0.51"), (4720.265, "4,720.27"), (-0.001, "0.00")])
def test_a_ratio_has_two_decimals_and_nothing_is_a_dash(value: float | None, text: str) -> None:
    assert ratio(value) == text


def test_periods_stand_in_the_order_of_reports() -> None:
    labels = ["10Y", "1Y", "2007-10-09/2009-03-09", "3Y", "5Y", "ITD", "MTD", "QTD", "YTD"]
    ordered = ["MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "2007-10-09/2009-03-09", "ITD"]
    assert in_order([row(labels=labels)]) == ordered


def test_what_has_no_room_is_left_out_shortest_first_and_named() -> None:
    rows = [row("p", labels=["MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "ITD"])]
    narrow, wide = shown(presentation.results_table(rows, 80), 80), shown(presentation.results_table(rows, 160), 160)
    header = narrow.splitlines()[1].split()
    assert header[:2] == ["Portfolio", "1Y"]
    assert header[-1] == "ITD"
    assert "No room for MTD, QTD, YTD: " in narrow
    assert wide.splitlines()[1].split()[:4] == ["Portfolio", "MTD", "QTD", "YTD"]
    assert "No room" not in wide


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_numbers_are_never_cut_however_long_the_names(width: int) -> None:
    rows = [row(LONGEST_ID, labels=["1Y", "2007-10-09/2009-03-09", "ITD"]), row("short", labels=["ITD"])]
    text = shown(presentation.results_table(rows, width), width)
    assert "…" not in text
    assert "8.42%" in text
    folded = "".join(line[: width // 3].split(" ")[0] for line in text.splitlines()[3:] if line.startswith("x"))
    assert folded == LONGEST_ID


def test_of_periods_equally_long_the_last_one_tells_the_risk() -> None:
    result = row(labels=["MTD", "ITD"])
    result["periods"]["ITD"]["days"] = result["periods"]["MTD"]["days"]
    header = shown(presentation.results_table([result], 80), 80).splitlines()[1].split()
    assert header == ["Portfolio", "MTD", *["ITD"] * 5]


def test_a_warning_is_flagged_and_explained_once() -> None:
    rows = [row("a", warnings=["empty_account"]), row("b", warnings=["empty_account"]), row("c")]
    text = shown(presentation.results_table(rows, 100), 100)
    assert text.count("* empty_account: nothing was invested") == 1
    assert [line[:3] for line in text.splitlines()[3:6]] == ["a *", "b *", "c  "]


@pytest.mark.parametrize(("width", "blocks"), [(50, 3), (80, 2), (200, 1)])
def test_a_sheet_too_wide_continues_below_itself(width: int, blocks: int) -> None:
    labels = ["MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "ITD"]
    text = shown(presentation.row_sheet(row(labels=labels), width), width)
    assert text.count("Max drawdown") == blocks
    assert text.count("2022-06-30") == len(labels), "every date is whole"
    assert "…" not in text


def test_a_sheet_leaves_out_what_no_period_has_and_says_why() -> None:
    text = shown(presentation.row_sheet(row(), 80), 80)
    assert "Volatility" in text
    assert "Beta" not in text
    assert re.search(r"- MTD, 1Y, ITD: \d+ metrics: no benchmark was given", text)


def test_an_id_that_looks_like_markup_is_shown_as_it_is() -> None:
    assert shown(presentation.row_sheet(row("[red]p[/red]"), 80)).startswith("portfolio [red]p[/red], 2023-06-30")
    assert "[red]p[/red]" in shown(presentation.rows_table([row("[red]p[/red]")] * 2, None))
    assert "[b]" in shown(presentation.rows_of_query(["[b]"], [{"[b]": 1}]))


def test_a_series_of_rows_has_a_line_for_each_date() -> None:
    rows = [row(calculation_date=day) for day in ("2023-06-30", "2023-07-31")]
    lines = shown(presentation.rows_table(rows, None), 80).splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["2023-06-30", "ITD"], ["2023-07-31", "ITD"]]
    assert shown(presentation.rows_table(rows, "MTD"), 80).splitlines()[-1].split()[1] == "MTD"


def test_failures_are_told_whole() -> None:
    failure = {
        "entity_type": "portfolio",
        "entity_id": LONGEST_ID,
        "error": "InvalidPortfolioError",
        "message": "no " * 60 + "end",
    }
    text = shown(presentation.failures_table([failure]), 80)
    assert text.count("x") == 64
    assert text.count("no ") + text.count("no\n") >= 60
    assert "end" in text


def execution(status: ExecutionStatus = ExecutionStatus.SUCCEEDED, name: str = "run-1") -> Execution:
    stopped = None if status is ExecutionStatus.RUNNING else START + timedelta(seconds=2.54)
    return Execution("arn:execution:" + name, name, status, START, stopped)


def test_executions_are_listed_with_their_whole_names() -> None:
    text = shown(presentation.executions_table([execution(name="n" * 80), execution(ExecutionStatus.RUNNING)]), 80)
    assert text.count("n" * 30) >= 2
    assert "SUCCEEDED  2026-01-02 03:04:05  2.5 s" in text
    assert "RUNNING    2026-01-02 03:04:05  running" in text


def test_the_events_of_an_execution_fit_into_80_columns_and_errors_have_their_cause() -> None:
    cause = '{"errorMessage": "line 2: value \'x\' must be a number", "errorType": "E", "stackTrace": ["secret"]}'
    task = "lambda:invoke CalculatePortfolio"
    events = [
        Event(1, "ExecutionStarted", None, None, 0, None, None),
        Event(24_999, "MapIterationSucceeded", "CalculatePortfolios", None, 123_456, None, None),
        Event(25_000, "TaskFailed", "CalculatePortfolio", task, 123_457, "InvalidPortfolioError", cause),
    ]
    text = shown(presentation.history_table(events), 80)
    assert "24999  MapIterationSucceeded  CalculatePortfolios" in text
    assert "123,456" in text
    assert "lambda:invoke" in text
    assert "CalculatePortfolio " in text
    assert "25000 CalculatePortfolio InvalidPortfolioError: line 2: value 'x' must" in text
    assert "secret" not in text


@pytest.mark.parametrize("cause", ["plain words", "[1]", '{"other": 1}', "null"])
def test_a_cause_that_is_no_function_s_is_told_as_it_is(cause: str) -> None:
    assert message_of(cause) == cause
    assert message_of(None) == ""


def test_a_query_shows_numbers_to_the_right_and_counts_its_rows() -> None:
    rows: list[dict[str, Any]] = [{"name": "a", "n": 1}, {"name": None, "n": 1234.5}]
    assert shown(presentation.rows_of_query(["name", "n"], rows)).splitlines() == [
        "name       n",
        "────────────",
        "a          1",
        "-     1234.5",
        "",
        "2 rows",
    ]
    assert shown(presentation.rows_of_query(["n"], [])).endswith("0 rows")
