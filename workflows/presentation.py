"""Executions and results as a person reads them in a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.errors import message_of
from workflows.execution_history import Event
from workflows.executions import Execution, ExecutionStatus
from workflows.wording import EXPLANATIONS, METRICS, in_order, percent, ratio

if TYPE_CHECKING:
    from common.stores.histories import Positions

STATUS_STYLE = {
    "SUCCEEDED": "green",
    "PARTIAL": "yellow",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "ABORTED": "red",
    "RUNNING": "cyan",
}
_GAP = 2
# More metrics than these make a line of their own hard to read.
_METRICS_NAMED = 4


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=STATUS_STYLE.get(status, ""))


def results_table(results: Sequence[Mapping[str, Any]], width: int) -> RenderableType:
    """Return one line for each row: the return of each period, and the risk of the longest.

    Parameters
    ----------
    results
        Rows of one run.
    width
        Columns of the terminal; the periods that do not fit are left out, shortest first, and named below.
    """
    labels = in_order(results)
    days = {label: max(row["periods"].get(label, {}).get("days") or 0 for row in results) for label in labels}
    longest = max(reversed(labels), key=days.__getitem__)
    rest = [label for label in labels if label != longest]
    risk = [row["periods"].get(longest, {}) for row in results]
    names = [row["entity_id"] + (" *" if row["warnings"] else "") for row in results]
    kind = _kind(results)
    name_width = min(max(len(name) for name in (kind, *names)), width // 3)
    returns = [_period_column(label, [_return(row["periods"].get(label, {})) for row in results]) for label in rest]
    head = longest.partition("/")[0]
    fixed = [
        _period_column(longest, [_return(period) for period in risk]),
        _Column(f"MWR\n{head}", [percent(_either(period, "mwr", "mwr_period")) for period in risk]),
        _Column(f"Volatility\n{head}", [percent(period.get("volatility")) for period in risk]),
        _Column(f"Sharpe\n{head}", [ratio(period.get("sharpe_ratio")) for period in risk]),
        _Column(f"Max dd\n{head}", [percent(period.get("max_drawdown")) for period in risk]),
    ]
    fitting = _fitting([*fixed, *reversed(returns)], width - name_width) - len(fixed)
    hidden = len(rest) - max(fitting, 0)
    table = _table(_Column(kind, names), [*returns[hidden:], *fixed], name_width)
    notes = ["Returns are time-weighted, and annualised from one year on; - is undefined: see `perfcalc results`."]
    if hidden:
        notes.append(f"No room for {', '.join(rest[:hidden])}: a wider terminal or --json shows them.")
    warned = sorted({warning for row in results for warning in row["warnings"]})
    notes += [f"* {warning}: {EXPLANATIONS.get(warning, '')}" for warning in warned]
    return Group(table, Text("\n" + "\n".join(notes), style="dim"))


def row_sheet(row: Mapping[str, Any], width: int) -> RenderableType:
    """Return everything about one row: metrics down, periods across, and the reasons below.

    What does not fit beside each other into `width` columns stands below each other.
    """
    periods: Mapping[str, Mapping[str, Any]] = row["periods"]
    metrics = [name for name in METRICS if any(period.get(name) is not None for period in periods.values())]
    names = _Column("", ["from", "to", "days", "", *(METRICS[name].label for name in metrics)])
    columns = [
        _period_column(
            label,
            [
                *(str(periods[label].get(name) or "-") for name in ("from", "to", "days")),
                "",
                *(METRICS[name].format(periods[label].get(name)) for name in metrics),
            ],
        )
        for label in in_order([row])
    ]
    parts: list[RenderableType] = [Text(_title(row), style="bold")]
    while columns:
        fitting = max(_fitting(columns, width - names.width), 1)
        parts += [Text(), _table(names, columns[:fitting], names.width)]
        columns = columns[fitting:]
    return Group(*parts, *_reasons(periods))


def rows_table(rows: Sequence[Mapping[str, Any]], label: str | None) -> RenderableType:
    """Return one line for each calculation date, for one period; the last of each row when None."""
    table = _lines("Date", "Period")
    for name in ("TWR", "TWR a year", "MWR a year", "Volatility", "Sharpe", "Max dd"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        chosen = label or in_order([row])[-1]
        period = row["periods"][chosen]
        table.add_row(
            row["calculation_date"],
            chosen.replace("/", "\n"),
            *(percent(period.get(name)) for name in ("twr", "annualized_twr", "mwr", "volatility")),
            ratio(period.get("sharpe_ratio")),
            percent(period.get("max_drawdown")),
        )
    return Group(Text(f"{rows[-1]['entity_type']} {rows[-1]['entity_id']}", style="bold"), Text(), table)


def holdings_table(name: str, currency: str | None, held: "Positions") -> RenderableType:
    """Return a line for each position, then the cash, then all of it."""
    table = _lines("Security")
    for column in ("Quantity", "Price", "Of", "Value"):
        table.add_column(column, justify="right", no_wrap=True)
    for each in held.positions:
        quantity = f"{each.quantity.normalize():,f}"
        table.add_row(each.security_id, quantity, f"{each.price:,.4f}", str(each.price_date), f"{each.value:,.2f}")
    table.add_row("Cash", "", "", "", f"{held.cash:,.2f}")
    table.add_section()
    table.add_row("All", "", "", str(held.as_of), f"{held.value:,.2f}")
    title = ", ".join(filter(None, [name, str(held.as_of), currency]))
    return Group(Text(title, style="bold"), Text(), table)


def failures_table(failures: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a line for each portfolio, account or security that failed, with the reason."""
    table = _lines(_kind(failures), "Error", "Reason")
    for failure in failures:
        table.add_row(*(Text(str(failure[name])) for name in ("entity_id", "error", "message")))
    return Group(Text("Not calculated", style="red"), Text(), table)


def executions_table(executions: Iterable[Execution]) -> RenderableType:
    """Return a line for each execution, the newest first; its name stands last, where it has most room."""
    table = _lines("Status", "Started (UTC)", "Took", "Execution")
    for execution in executions:
        table.add_row(
            status_text(execution.outcome), _moment(execution.started_at), took(execution), Text(execution.name)
        )
    return table


def outcomes_table(executions: Iterable[Execution]) -> RenderableType:
    """Return a line for each execution that has ended, with what it came to, and its failures below."""
    table = _lines("Status")
    for name in ("Calculated", "Cached", "Failed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Took", justify="right", no_wrap=True)
    table.add_column("Execution", overflow="fold")
    told: list[Text] = []
    for execution in executions:
        output = execution.output or {}
        counts = [str(output.get(name, "-")) for name in ("calculated", "cached", "failed")]
        table.add_row(status_text(execution.outcome), *counts, took(execution), Text(execution.name))
        if execution.error:
            told.append(Text(f"{execution.name}: {execution.error}: {message_of(execution.cause)}", style="red"))
        told += [
            Text(f"{each['entity_type']} {each['entity_id']}: {each['message']}", style="red")
            for each in output.get("failures", ())
        ]
    return Group(table, Text(), *told) if told else table


def history_table(events: Sequence[Event]) -> RenderableType:
    """Return a line for each event of an execution, and each error with its cause below."""
    table = _lines()
    table.add_column("ID", justify="right", no_wrap=True)
    for name in ("Type", "Step"):
        table.add_column(name, no_wrap=True)
    table.add_column("Resource", overflow="fold")
    table.add_column("Elapsed\nms", justify="right", no_wrap=True)
    for event in events:
        cells = (str(event.id), event.type, event.step or "", event.resource or "", f"{event.elapsed_ms:,}")
        table.add_row(*map(Text, cells), style="red" if event.error else "")
    told = [
        Text(f"{event.id} {event.step or 'Execution'} {event.error}: {message_of(event.cause)}", style="red")
        for event in events
        if event.error
    ]
    return Group(table, Text(), *told)


def rows_of_query(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return the rows of a query, numbers to the right."""
    table = _lines()
    for name in columns:
        numbers = any(isinstance(row[name], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if row[name] is None else str(row[name])) for name in columns))
    return Group(table, Text(f"\n{len(rows):,} row{'' if len(rows) == 1 else 's'}", style="dim"))


def took(execution: Execution) -> str:
    """Return how long an execution took, or that it still runs."""
    if execution.stopped_at is None:
        return "running" if execution.status is ExecutionStatus.RUNNING else "-"
    return f"{(execution.stopped_at - execution.started_at).total_seconds():.1f} s"


def _title(row: Mapping[str, Any]) -> str:
    parts = [f"{row['entity_type']} {row['entity_id']}", str(row["calculation_date"]), str(row["calculation_method"])]
    if row.get("benchmark_id"):
        parts.append(f"against {row['benchmark_id']}")
    return ", ".join(parts)


class _Column(NamedTuple):
    header: str
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(len(line) for line in (*self.header.split("\n"), *self.cells))


def _period_column(label: str, cells: Sequence[str]) -> _Column:
    return _Column(label.replace("/", "\n"), cells)


def _fitting(columns: Sequence[_Column], room: int) -> int:
    """Return how many of the columns fit beside each other into `room`."""
    return sum(taken <= room for taken in accumulate(column.width + _GAP for column in columns))


def _lines(*names: str) -> Table:
    """Return a table of lines under a ruled header; a cell too long is folded, never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 0, 0, _GAP - 1))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _table(names: _Column, columns: Sequence[_Column], name_width: int) -> Table:
    """Return a table of numbers with the names of its lines before them."""
    table = _lines()
    table.add_column(names.header, overflow="fold", width=name_width)
    for column in columns:
        table.add_column(column.header, justify="right", no_wrap=True)
    for cells in zip(names.cells, *(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table


def _kind(entities: Sequence[Mapping[str, Any]]) -> str:
    """Return what entities are called together: `Portfolio`, or `Entity` for a mixture."""
    kinds = {str(each["entity_type"]) for each in entities}
    return kinds.pop().capitalize() if len(kinds) == 1 else "Entity"


def _return(period: Mapping[str, Any]) -> str:
    return percent(_either(period, "annualized_twr", "twr"))


def _either(period: Mapping[str, Any], annual: str, whole: str) -> float | None:
    """Return the annual figure from a year on, that of the whole period below."""
    under_a_year = period.get("annualized_twr") is None
    return period.get(whole if under_a_year else annual)


def _reasons(periods: Mapping[str, Mapping[str, Any]]) -> list[Text]:
    """Say each reason and warning once, with the metrics and periods it concerns."""
    concerned: dict[tuple[str, str], list[str]] = {}
    warned: dict[str, list[str]] = {}
    for label in in_order([{"periods": periods}]):
        undefined: dict[str, list[str]] = {}
        for metric, reason in periods[label]["undefined"].items():
            undefined.setdefault(reason, []).append(METRICS[metric].label if metric in METRICS else metric)
        for reason, metrics in undefined.items():
            named = ", ".join(metrics) if len(metrics) <= _METRICS_NAMED else f"{len(metrics)} metrics"
            concerned.setdefault((named, reason), []).append(label)
        for code in periods[label]["warnings"]:
            warned.setdefault(code, []).append(label)
    return [
        Text(),
        *(
            Text(f"- {', '.join(labels)}: {named}: {EXPLANATIONS.get(reason, reason)}", style="dim")
            for (named, reason), labels in concerned.items()
        ),
        *(
            Text(f"! {', '.join(labels)}: {code}: {EXPLANATIONS.get(code, code)}", style="yellow")
            for code, labels in warned.items()
        ),
    ]


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
