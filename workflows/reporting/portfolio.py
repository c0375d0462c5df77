"""The page of one portfolio, account or security."""

from collections.abc import Mapping, Sequence
from itertools import chain
from string import ascii_lowercase
from typing import Any, NamedTuple

from common.calculations import FlowTiming
from common.models.kinds import CalculationMethod
from workflows.reporting import charts
from workflows.reporting.analysis import (
    Record,
    Rolling,
    Year,
    distribution,
    monthly_returns,
    rolling_risk,
    rolling_window,
    underwater,
)
from workflows.reporting.figures import Download, Figure, Grid, csv_download, file_stem, series_figure
from workflows.reporting.page import Page, render
from workflows.reporting.sources import Subject, longest
from workflows.reporting.words import AGAINST_BENCHMARK, GROUPS, METHODS, TIMINGS, explained
from workflows.wording import in_order, percent, ratio


class _Cell(NamedTuple):
    """A number, or a dash with the mark and the code of the reason."""

    text: str
    mark: str = ""
    reason: str = ""


class _Reason(NamedTuple):
    mark: str
    code: str
    words: str


class _Heat(NamedTuple):
    """A cell of the heat map: its number, the side it is on and how strong."""

    text: str
    side: str
    strength: float


class Tile(NamedTuple):
    """A number that a reader looks for first."""

    label: str
    value: str
    detail: str


def portfolio_page(subject: Subject) -> str:
    """Return the body of the page, for a frame that has the files of `assets`."""
    return build(subject).body


def build(subject: Subject) -> Page:
    """Return the page of an entity."""
    row = subject.row
    figures = {each.id: each for each in _figures(subject)} if subject.record else {}
    years = monthly_returns(subject.record) if subject.record else ()
    table, reasons = periods_table(row)
    sections = [("periods", "Periods"), *((each.id, each.title.partition(",")[0]) for each in figures.values())]
    if years:
        sections.insert(-1, ("months", "Months"))
    sections.append(("methodology", "Methodology"))
    body = render(
        "portfolio.html.j2",
        title=f"{str(row['entity_type']).capitalize()} {subject.name}",
        facts=facts(row),
        notes=subject.notes,
        warnings=[_warning(row, code) for code in row["warnings"]],
        sections=sections,
        tiles=tiles(row),
        periods=table,
        reasons=reasons,
        labels=in_order([row]),
        row_periods=row["periods"],
        figures=figures,
        years=_heat(years),
        month_names=charts.MONTHS,
        months_file=_months_file(subject.name, years),
        periods_file=_periods_file(row),
        conventions=conventions(row),
    )
    specs = {each.id: each.spec for each in figures.values()}
    if years:
        specs["months"] = charts.months_chart(years)
    return Page(f"{subject.name}, {row['calculation_date']}", body, specs, subject.notes)


def facts(row: Mapping[str, Any]) -> list[str]:
    """Return who and when, as the line below a title has it."""
    found = [f"as of {row['calculation_date']}"]
    for name, word in (("currency", ""), ("client_id", "client "), ("account_id", "account ")):
        if row.get(name):
            found.append(f"{word}{row[name]}")
    if row.get("benchmark_id"):
        found.append(f"against {row['benchmark_id']}")
    return found


def tiles(row: Mapping[str, Any]) -> list[Tile]:
    """Return the numbers of the longest period that a reader looks for first."""
    label = longest(row)
    period = row["periods"][label]
    year = period.get("annualized_twr") is not None
    found = [
        Tile(f"TWR, {label}", percent(period.get("twr")), "over the period"),
        Tile("TWR a year", percent(period.get("annualized_twr")), "" if year else "from one year on"),
        Tile("MWR a year", percent(period.get("mwr")), "money-weighted"),
        Tile("Volatility", percent(period.get("volatility")), "a year"),
        Tile("Sharpe", ratio(period.get("sharpe_ratio")), f"over {row['risk_free_rate']:.2%} risk-free"),
        Tile("Max drawdown", percent(period.get("max_drawdown")), _fall(period)),
    ]
    if row.get("benchmark_id"):
        name = "annualized_benchmark_twr" if year else "benchmark_twr"
        found[2:2] = [
            Tile("Benchmark", percent(period.get(name)), f"{row['benchmark_id']}{', a year' if year else ''}"),
            Tile("Excess return", percent(period.get("excess_return")), "a year" if year else "over the period"),
        ]
    return found


def periods_table(row: Mapping[str, Any]) -> tuple[list[tuple[str, list[tuple[str, str, list[_Cell]]]]], list[_Reason]]:
    """Return the metrics by group and period, and the reasons for every one that is missing.

    The group against the benchmark is left out of a row that has none.
    """
    labels = in_order([row])
    marks: dict[str, str] = {}
    groups = []
    for group, metrics in GROUPS.items():
        if group == AGAINST_BENCHMARK and not row.get("benchmark_id"):
            continue
        lines = []
        for name, metric in metrics.items():
            cells = []
            for label in labels:
                period = row["periods"][label]
                reason = period["undefined"].get(name, "")
                if period.get(name) is None and reason:
                    cells.append(_Cell("-", marks.setdefault(reason, _mark(len(marks))), reason))
                else:
                    cells.append(_Cell(metric.format(period.get(name))))
            lines.append((metric.label, metric.meaning, cells))
        groups.append((group, lines))
    return groups, [_Reason(mark, code, explained(code)) for code, mark in marks.items()]


def conventions(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the choices a row depends on, in words."""
    return [
        ("Method", METHODS[CalculationMethod(row["calculation_method"])]),
        ("Flow timing", TIMINGS[FlowTiming(row["flow_timing"])]),
        ("Risk-free rate", f"{row['risk_free_rate']:.2%} a year"),
        ("Periods a year", f"{row['periods_per_year']:g}, by which risk is brought to a year"),
        ("Benchmark", str(row.get("benchmark_id") or "none")),
        ("Annualising", "from one year on, by (1 + R) ^ (365 / days) - 1"),
        ("Volatility", "of the population, a year; value at risk is the 5 % quantile of the returns"),
        *([("Request", str(row["request_id"]))] if row.get("request_id") else []),
    ]


def _figures(subject: Subject) -> Sequence[Figure]:
    record, name = subject.record, subject.name
    assert record is not None
    benchmark = str(subject.row["benchmark_id"]) if record.benchmark is not None else None
    found = [_growth(record, name, benchmark), _drawdown(record, name, benchmark)]
    if window := rolling_window(record):
        found += _rolling(rolling_risk(record, window), name)
    found.append(_distribution(record, name))
    return found


def _growth(record: Record, name: str, benchmark: str | None) -> Figure:
    flows, unit = charts.flows_to_mark(record)
    columns = [(name, record.growth, ",.4f")]
    if record.benchmark is not None and benchmark:
        columns.append((benchmark, record.benchmark, ",.4f"))
    if flows.days.size:
        columns.append(("Net flows so far", record.net_flows(), ",.2f"))
    note = "Time-weighted: what became of 1 that was invested at the start, whatever flowed in or out."
    if flows.days.size:
        note += f" Triangles mark the net flows of each {unit}, up for in and down for out."
    return series_figure(
        "growth",
        "Growth of 1",
        note,
        charts.growth_chart(record, name, benchmark),
        f"1 invested on {_day(record, 0)} became {record.growth[-1]:,.2f} by {_day(record, -1)}."
        + (f" The benchmark made {record.benchmark[-1]:,.2f} of it." if record.benchmark is not None else ""),
        record.days,
        columns,
        file_stem(name, "growth"),
    )


def _drawdown(record: Record, name: str, benchmark: str | None) -> Figure:
    below = underwater(record.growth)
    columns = [(name, below, ".2%")]
    if record.benchmark is not None and benchmark:
        columns.append((benchmark, underwater(record.benchmark), ".2%"))
    fall = record.inception_to_date
    note = "How far the growth lies below its highest point so far."
    if fall.max_drawdown_trough:
        back = f"recovered by {fall.max_drawdown_recovery}" if fall.max_drawdown_recovery else "not recovered yet"
        note += f" The largest fall went from {fall.max_drawdown_peak} to {fall.max_drawdown_trough}, {back}."
    return series_figure(
        "drawdown",
        "Drawdown",
        note,
        charts.drawdown_chart(record, name, benchmark),
        f"The largest fall is {-below.min():.2%}; the record ends {-below[-1]:.2%} below its highest point.",
        record.days,
        columns,
        file_stem(name, "drawdown"),
    )


def _rolling(rolling: Rolling, name: str) -> list[Figure]:
    note = f"Each point is of the last {rolling.window:,} returns."
    return [
        series_figure(
            "volatility",
            "Rolling volatility",
            f"{note} A year.",
            charts.rolling_volatility_chart(rolling, name),
            f"Volatility of each {rolling.window} returns in a row.",
            rolling.days,
            [("Volatility", rolling.volatility, ".2%")],
            file_stem(name, "volatility"),
        ),
        series_figure(
            "sharpe",
            "Rolling Sharpe",
            f"{note} The arithmetic form, by the mean of the returns, for a window has no return a year.",
            charts.rolling_sharpe_chart(rolling, name),
            f"Sharpe ratio of each {rolling.window} returns in a row.",
            rolling.days,
            [("Sharpe, arithmetic", rolling.sharpe, ",.2f")],
            file_stem(name, "sharpe"),
        ),
    ]


def _distribution(record: Record, name: str) -> Figure:
    found = distribution(record)
    bounds = list(zip(found.edges[:-1].tolist(), found.edges[1:].tolist(), found.counts.tolist(), strict=True))
    return Figure(
        id="distribution",
        title="Distribution of returns",
        note=(
            f"{record.returns.size:,} returns between valuations. 5 % lie below VaR ({percent(found.var)}), "
            f"and CVaR ({percent(found.cvar)}) is their mean."
        ),
        spec=charts.distribution_chart(found),
        summary=f"Histogram of {record.returns.size:,} returns from {record.returns.min():.2%} "
        f"to {record.returns.max():.2%}.",
        grid=Grid(
            ("From", "To", "Returns"),
            [(f"{low:.3%}", f"{high:.3%}", f"{count:,}") for low, high, count in bounds],
        ),
        download=csv_download(file_stem(name, "distribution"), ["from", "to", "returns"], bounds),
    )


def _heat(years: Sequence[Year]) -> list[tuple[int, list[_Heat], str]]:
    strongest = max((abs(each) for year in years for each in year.months if each is not None), default=0.0) or 1.0
    return [
        (
            year.year,
            [
                _Heat(
                    "" if each is None else f"{each:z.1%}",
                    "" if each is None else "r-loss" if each < 0.0 else "r-gain",
                    0.0 if each is None else min(abs(each) / strongest, 1.0) ** 0.5,
                )
                for each in year.months
            ],
            percent(year.total),
        )
        for year in reversed(years)
    ]


def _months_file(name: str, years: Sequence[Year]) -> Download:
    rows = [(year.year, *year.months, year.total) for year in years]
    return csv_download(file_stem(name, "months"), ["year", *charts.MONTHS, "total"], rows)


def _periods_file(row: Mapping[str, Any]) -> Download:
    labels = in_order([row])
    names = ("from", "to", "days", *chain.from_iterable(GROUPS.values()))
    rows = [(name, *(row["periods"][label].get(name) for label in labels)) for name in names]
    return csv_download(file_stem(str(row["entity_id"]), "periods"), ["metric", *labels], rows)


def _warning(row: Mapping[str, Any], code: str) -> str:
    concerned = [label for label in in_order([row]) if code in row["periods"][label]["warnings"]]
    words = explained(code)
    periods = f" ({', '.join(concerned)})" if concerned else ""
    return f"{words[:1].upper()}{words[1:]}{periods}."


def _fall(period: Mapping[str, Any]) -> str:
    peak, trough = period.get("max_drawdown_peak"), period.get("max_drawdown_trough")
    return f"{peak} to {trough}" if peak and trough else ""


def _mark(number: int) -> str:
    """Return a, b, ... z, aa, ab: as footnotes are marked."""
    first, second = divmod(number, len(ascii_lowercase))
    return (ascii_lowercase[first - 1] if first else "") + ascii_lowercase[second]


def _day(record: Record, index: int) -> str:
    return str(record.days[index : index + 1 or None].astype("datetime64[D]")[0])
