"""Executions and results as a person reads them in a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from workflows.executions import Event, Execution, ExecutionStatus

JsonObject = Mapping[str, Any]

STATUS_STYLE = {
    "SUCCEEDED": "green",
    "PARTIAL": "yellow",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "ABORTED": "red",
    "RUNNING": "cyan",
}

# Reasons and warnings in words; `docs/methodology.md` tells more about each.
EXPLANATIONS = {
    "annualized_return_undefined": "needs an annualised return",
    "benchmark_history_too_short": "the benchmark starts after the period does",
    "empty_account": "nothing was invested in part of the period; that part is left out",
    "flow_after_final_date": "a cash flow is dated after the final value",
    "flow_outside_valuations": "a cash flow lies outside the valuations and was left out",
    "flow_timing_suspect": "the valuations jump as if the flows had another timing than flow_timing says",
    "history_too_short": "the portfolio's history starts after the period does",
    "indeterminate": "the flows net to nil",
    "large_flow": "a flow over 10 % of the value: Modified Dietz is only an approximation there",
    "multiple_roots": "several rates solve the flows; the one nearest zero is shown",
    "no_benchmark": "no benchmark was given",
    "no_down_periods": "the benchmark never fell",
    "no_drawdown": "there was no drawdown",
    "no_real_root": "no rate solves the flows",
    "no_sign_change": "all flows have one sign, so there is no rate",
    "no_up_periods": "the benchmark never rose",
    "no_valuation_in_period": "there is no valuation within the period",
    "non_positive_denominator": "the invested capital was not positive",
    "not_converged": "the rate could not be found",
    "out_of_range": "larger than a number can be",
    "stale_benchmark": "the benchmark is over a week older than the portfolio at an end of the period",
    "stale_valuation": "a valuation is over a month older than the date it stands for",
    "too_few_returns": "too few returns",
    "too_few_valuations": "there is only one valuation",
    "total_loss": "everything that was put in is lost",
    "track_record_broken": "a loss of everything breaks the track record",
    "under_one_year": "not annualised under a year",
    "value_without_flow": "value appeared in an empty account without a flow",
    "zero_benchmark_volatility": "the benchmark did not move",
    "zero_downside_deviation": "no return fell below the risk-free rate",
    "zero_tracking_error": "the portfolio moved exactly as the benchmark",
    "zero_volatility": "the returns did not vary",
}

_PERCENT = {
    "twr": "TWR",
    "annualized_twr": "TWR a year",
    "mwr_period": "MWR",
    "mwr": "MWR a year",
    "benchmark_twr": "Benchmark",
    "annualized_benchmark_twr": "Benchmark a year",
    "excess_return": "Excess return",
    "volatility": "Volatility",
    "downside_deviation": "Downside deviation",
    "max_drawdown": "Max drawdown",
    "var": "VaR 95 %",
    "cvar": "CVaR 95 %",
    "best_day": "Best day",
    "worst_day": "Worst day",
    "tracking_error": "Tracking error",
    "alpha": "Alpha",
}
_RATIO = {
    "sharpe_ratio": "Sharpe",
    "sharpe_ratio_arithmetic": "Sharpe, arithmetic",
    "sortino_ratio": "Sortino",
    "calmar_ratio": "Calmar",
    "information_ratio": "Information ratio",
    "beta": "Beta",
    "correlation": "Correlation",
    "up_capture": "Up capture",
    "down_capture": "Down capture",
    "skewness": "Skewness",
    "kurtosis": "Excess kurtosis",
}
_SHEET = (
    *("twr", "annualized_twr", "mwr_period", "mwr", "benchmark_twr", "annualized_benchmark_twr", "excess_return"),
    *("volatility", "downside_deviation", "max_drawdown", "var", "cvar", "best_day", "worst_day"),
    *("sharpe_ratio", "sharpe_ratio_arithmetic", "sortino_ratio", "calmar_ratio", "skewness", "kurtosis"),
    *("beta", "alpha", "correlation", "tracking_error", "information_ratio", "up_capture", "down_capture"),
)
_PORTFOLIO_WIDTH, _COLUMN_WIDTH = 24, 10


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=STATUS_STYLE.get(status, ""))


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share as a percentage; a dash where there is none."""
    return "-" if value is None else f"{value * 100:,.{digits}f}"


def ratio(value: float | None) -> str:
    """Return a ratio; a dash where there is none."""
    return "-" if value is None else f"{value:,.2f}"


def results_table(results: Sequence[JsonObject], width: int) -> RenderableType:
    """Return one line for each row: the return of each period, and the risk of the longest.

    Parameters
    ----------
    results
        Rows of one run.
    width
        Columns of the terminal; the periods that do not fit are left out, shortest first.
    """
    labels = list(dict.fromkeys(label for row in results for label in row["periods"]))
    longest = max(labels, key=lambda label: max(row["periods"].get(label, {}).get("days") or 0 for row in results))
    room = max((width - _PORTFOLIO_WIDTH) // _COLUMN_WIDTH - 4, 1)
    shown = [label for label in labels if label != longest][-room + 1 :] if room > 1 else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Portfolio", no_wrap=True, overflow="ellipsis", max_width=_PORTFOLIO_WIDTH)
    for label in (*shown, longest):
        table.add_column(label.replace("/", "\n"), justify="right", no_wrap=True)
    for name in ("MWR", "Volatility", "Sharpe", "Max dd"):
        table.add_column(f"{name}\n{longest.partition('/')[0]}", justify="right", no_wrap=True)
    for row in results:
        periods = row["periods"]
        risk = periods.get(longest, {})
        flag = " *" if row["warnings"] else ""
        table.add_row(
            Text(row["entity_id"] + flag),
            *(_return(periods.get(label, {})) for label in (*shown, longest)),
            percent(_either(risk, "mwr", "mwr_period")),
            percent(risk.get("volatility")),
            ratio(risk.get("sharpe_ratio")),
            percent(risk.get("max_drawdown")),
        )
    notes = ["Returns are time-weighted, in %, a year from one year on; - is undefined, `perfcalc results` tells why."]
    warned = sorted({warning for row in results for warning in row["warnings"]})
    notes += [f"* {warning}: {EXPLANATIONS.get(warning, '')}" for warning in warned]
    return Group(table, Text("\n".join(notes), style="dim"))


def row_sheet(row: JsonObject) -> RenderableType:
    """Return everything about one row: metrics down, periods across, and the reasons below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=_title(row), title_justify="left")
    table.add_column("", no_wrap=True)
    periods: Mapping[str, JsonObject] = row["periods"]
    for label in periods:
        table.add_column(label.replace("/", "\n"), justify="right", no_wrap=True)
    for name in ("from", "to", "days"):
        table.add_row(name, *(str(period.get(name) or "-") for period in periods.values()))
    table.add_section()
    for metric in _SHEET:
        values = [period.get(metric) for period in periods.values()]
        if any(value is not None for value in values):
            shown = [percent(value) if metric in _PERCENT else ratio(value) for value in values]
            table.add_row(_PERCENT[metric] + " %" if metric in _PERCENT else _RATIO[metric], *shown)
    return Group(table, *_reasons(periods))


def rows_table(rows: Sequence[JsonObject], label: str | None) -> RenderableType:
    """Return one line for each calculation date, for one period; the first that each row has when None."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=_title(rows[-1]), title_justify="left")
    for name in ("Date", "Period"):
        table.add_column(name, no_wrap=True)
    for name in ("TWR %", "a year %", "MWR a year %", "Volatility %", "Sharpe", "Max dd %"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        chosen = label or next(iter(row["periods"]))
        period = row["periods"].get(chosen)
        if period is not None:
            table.add_row(
                row["calculation_date"],
                chosen,
                *(percent(period.get(name)) for name in ("twr", "annualized_twr", "mwr", "volatility")),
                ratio(period.get("sharpe_ratio")),
                percent(period.get("max_drawdown")),
            )
    return table


def failures_table(failures: Sequence[JsonObject]) -> RenderableType:
    """Return a line for each portfolio that failed, with the reason."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Not calculated", title_justify="left", title_style="red")
    for name in ("Portfolio", "Error", "Reason"):
        table.add_column(name, overflow="fold")
    for failure in failures:
        table.add_row(*(Text(str(failure[name])) for name in ("entity_id", "error", "message")))
    return table


def executions_table(executions: Iterable[Execution]) -> RenderableType:
    """Return a line for each execution, the newest first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Execution", "Status", "Started (UTC)", "Took"):
        table.add_column(name, no_wrap=True, overflow="fold")
    for execution in executions:
        status = status_text(execution.status)
        table.add_row(execution.name, status, _moment(execution.started_at), took(execution))
    return table


def history_table(events: Sequence[Event]) -> RenderableType:
    """Return a line for each event of an execution, and each error with its cause below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("ID", justify="right")
    table.add_column("Type", no_wrap=True)
    table.add_column("Step", no_wrap=True)
    table.add_column("Resource", overflow="fold")
    table.add_column("Elapsed ms", justify="right", no_wrap=True)
    for event in events:
        style = "red" if event.error else ""
        cells = (str(event.id), event.type, event.step or "", event.resource or "", f"{event.elapsed_ms:,}")
        table.add_row(*(Text(cell, style=style) for cell in cells))
    told = [
        Text(f"{event.id} {event.step or ''} {event.error}: {_short(event.cause)}", style="red")
        for event in events
        if event.error
    ]
    return Group(table, *told)


def rows_of_query(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> RenderableType:
    """Return the rows of a query."""
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("-" if row[name] is None else str(row[name])) for name in columns))
    return table


def took(execution: Execution) -> str:
    """Return how long an execution took, or that it still runs."""
    if execution.stopped_at is None:
        return "running" if execution.status is ExecutionStatus.RUNNING else "-"
    return f"{(execution.stopped_at - execution.started_at).total_seconds():.1f} s"


def _title(row: JsonObject) -> str:
    parts = [f"{row['entity_type']} {row['entity_id']}", str(row["calculation_date"]), str(row["calculation_method"])]
    if row.get("benchmark_id"):
        parts.append(f"against {row['benchmark_id']}")
    return ", ".join(parts)


def _return(period: JsonObject) -> str:
    return percent(_either(period, "annualized_twr", "twr"))


def _either(period: JsonObject, annual: str, whole: str) -> float | None:
    """Return the annual figure from a year on, that of the whole period below."""
    under_a_year = period.get("annualized_twr") is None
    return period.get(whole if under_a_year else annual)


def _reasons(periods: Mapping[str, JsonObject]) -> list[Text]:
    """Say each reason once, with the metrics and periods it concerns."""
    concerned: dict[str, dict[str, list[str]]] = {}
    for label, period in periods.items():
        for metric, reason in period["undefined"].items():
            concerned.setdefault(reason, {}).setdefault(metric, []).append(label)
    lines = []
    for reason, metrics in concerned.items():
        labels = list(dict.fromkeys(label for found in metrics.values() for label in found))
        names = ", ".join(metrics) if len(metrics) <= 6 else f"{len(metrics)} metrics"  # more than a line of them
        lines.append(Text(f"- {', '.join(labels)}: {names}: {EXPLANATIONS.get(reason, reason)}", style="dim"))
    for label, period in periods.items():
        lines += [
            Text(f"! {label}: {code}: {EXPLANATIONS.get(code, '')}", style="yellow") for code in period["warnings"]
        ]
    return lines


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _short(cause: str | None) -> str:
    return (cause or "").replace("\\n", "\n").partition('"stackTrace"')[0].rstrip(', "')[:2_000]
