"""The page that sets several portfolios side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from common.calculations.types import DayArray, FloatArray
from workflows.reporting import charts
from workflows.reporting.analysis import Correlation, Record, monthly_correlation, underwater
from workflows.reporting.figures import Download, Figure, Grid, csv_download, file_stem, series_figure
from workflows.reporting.page import Page, render
from workflows.reporting.portfolio import conventions
from workflows.reporting.sources import Subject
from workflows.reporting.theme import SERIES
from workflows.reporting.words import explained
from workflows.wording import METRICS, in_order, percent, ratio

MOST_COMPARED: Final = len(SERIES)
_LONGEST: Final = "ITD"
_SIDE_BY_SIDE: Final = (
    *("twr", "annualized_twr", "mwr", "volatility", "downside_deviation", "max_drawdown", "var", "cvar"),
    *("sharpe_ratio", "sortino_ratio", "calmar_ratio", "excess_return", "beta", "alpha", "tracking_error"),
)


def build(subjects: Sequence[Subject]) -> Page:
    """Return the page of several entities.

    Parameters
    ----------
    subjects
        Two or more, at most `MOST_COMPARED`, none of them twice.
    """
    named = _distinctly_named(subjects)
    labels = in_order([each.row for each in subjects])
    risk_label = _LONGEST if _LONGEST in labels else labels[-1]
    figures = _figures(named)
    notes = _notes(named, charted=bool(figures))
    returns, returns_file = _returns(named, labels)
    risk, risk_file = _side_by_side(named, risk_label)
    correlations = _correlations(named)
    kind = _kind(named)
    sections = [*((each.id, each.title) for each in figures), ("returns", "Returns"), ("risk", "Risk")]
    sections += [("correlation", "Correlation")] if correlations else []
    sections.append(("methodology", "Methodology"))
    body = render(
        "compare.html.j2",
        title=f"{len(subjects)} compared",
        facts=[", ".join(named)],
        notes=notes,
        warnings=[f"{name}: {explained(code)}." for name, each in named.items() for code in each.row["warnings"]],
        sections=sections,
        figures=figures,
        returns=returns,
        risk=risk,
        risk_label=risk_label,
        files={
            "returns": returns_file,
            "risk": risk_file,
            "correlation": csv_download(
                "correlation",
                (kind, *(name for name, _ in correlations)),
                [(name, *(each.value for each in found)) for name, found in correlations],
            ),
        },
        kind=kind,
        matrix=_matrix(correlations),
        conventions=_conventions(named),
    )
    return Page(f"{', '.join(named)} compared", body, {each.id: each.spec for each in figures}, tuple(notes))


def shared_days(records: Sequence[Record]) -> DayArray | None:
    """Return the days of all records on which every one of them runs; None where there are not two."""
    first = max(int(each.days[0]) for each in records)
    last = min(int(each.days[-1]) for each in records)
    days = np.unique(np.concatenate([each.days for each in records]))
    days = days[(days >= first) & (days <= last)]
    return days if days.size > 1 else None


def rebased(record: Record, days: DayArray) -> FloatArray | None:
    """Return the growth of 1 invested on the first of `days`; None where nothing was left to grow by then."""
    growth = record.growth_on(days)
    return growth / growth[0] if growth[0] > 0.0 else None


def _distinctly_named(subjects: Sequence[Subject]) -> dict[str, Subject]:
    """Return entities by what a page calls each: its id, with its kind before it where they are of several kinds.

    An id is unique among its kind alone; it has no blank, so that none can be mistaken for a kind and an id.
    """
    alike = len({each.row["entity_type"] for each in subjects}) == 1
    return {each.name if alike else f"{each.row['entity_type']} {each.name}": each for each in subjects}


def _kind(named: Mapping[str, Subject]) -> str:
    kinds = {str(each.row["entity_type"]) for each in named.values()}
    return kinds.pop().capitalize() if len(kinds) == 1 else "Entity"


def _figures(named: Mapping[str, Subject]) -> list[Figure]:
    """Return the charts over the days that all histories share; none where there are no such days."""
    records = {name: each.record for name, each in named.items() if each.record is not None}
    days = shared_days(list(records.values())) if len(records) > 1 else None
    if days is None:
        return []
    found = {name: rebased(record, days) for name, record in records.items()}
    growth = {name: values for name, values in found.items() if values is not None}
    return [_growth(days, growth), _drawdown(days, growth)] if growth else []


def _growth(days: DayArray, growth: Mapping[str, FloatArray]) -> Figure:
    first, last = (str(day) for day in days[[0, -1]].astype("datetime64[D]"))
    return series_figure(
        "growth",
        "Growth of 1",
        f"From {first} to {last}, when all of them have a history.",
        charts.comparison_chart(days, growth),
        ", ".join(f"{name}: {values[-1]:,.2f}" for name, values in growth.items()),
        days,
        [(name, values, ",.4f") for name, values in growth.items()],
        file_stem("growth", "compared"),
    )


def _drawdown(days: DayArray, growth: Mapping[str, FloatArray]) -> Figure:
    below = {name: underwater(values) for name, values in growth.items()}
    return series_figure(
        "drawdown",
        "Drawdown",
        "How far each lies below its highest point since the first of these days.",
        charts.drawdown_comparison_chart(days, below),
        "The largest falls: " + ", ".join(f"{name} {abs(values.min()):.2%}" for name, values in below.items()) + ".",
        days,
        [(name, values, ".2%") for name, values in below.items()],
        file_stem("drawdown", "compared"),
    )


def _returns(named: Mapping[str, Subject], labels: Sequence[str]) -> tuple[Grid, Download]:
    columns = (_kind(named), "As of", *labels)
    rows = [
        (
            name,
            str(each.row["calculation_date"]),
            [_period_return(each.row["periods"].get(label, {})) for label in labels],
        )
        for name, each in named.items()
    ]
    grid = Grid(
        columns,
        [(name, day, *map(percent, found)) for name, day, found in rows],
        "Time-weighted, a year from one year on. Each ends on its own date.",
    )
    return grid, csv_download("returns", columns, [(name, day, *found) for name, day, found in rows])


def _side_by_side(named: Mapping[str, Subject], label: str) -> tuple[Grid, Download]:
    periods = [each.row["periods"].get(label, {}) for each in named.values()]
    lines: list[tuple[str, ...]] = [
        (word, *(str(period.get(name) or "-") for period in periods)) for name, word in (("from", "From"), ("to", "To"))
    ]
    lines += [
        (METRICS[name].label, *(METRICS[name].format(period.get(name)) for period in periods))
        for name in _SIDE_BY_SIDE
        if any(period.get(name) is not None for period in periods)
    ]
    note = "Each since its own inception: they compare well where the first dates do." if label == _LONGEST else ""
    rows = [(name, *(period.get(name) for period in periods)) for name in ("from", "to", *_SIDE_BY_SIDE)]
    return Grid(("Metric", *named), lines, note), csv_download("risk", ("metric", *named), rows)


def _correlations(named: Mapping[str, Subject]) -> list[tuple[str, list[Correlation]]]:
    """Return the correlations of those that have a history with each other, by rows; none of one alone."""
    records = [(name, each.record) for name, each in named.items() if each.record is not None]
    if len(records) < 2:
        return []
    found: dict[tuple[str, str], Correlation] = {}
    for index, (name, record) in enumerate(records):
        for other_name, other in records[index:]:
            found[name, other_name] = found[other_name, name] = monthly_correlation(record, other)
    return [(name, [found[name, other] for other, _ in records]) for name, _ in records]


def _matrix(
    correlations: Sequence[tuple[str, Sequence[Correlation]]],
) -> list[tuple[str, list[tuple[str, str, float, str]]]]:
    """Return for each row its name, and for each of its cells text, side, strength and a hint."""
    return [
        (name, [_cell(each, same=row == column) for column, each in enumerate(found)])
        for row, (name, found) in enumerate(correlations)
    ]


def _cell(found: Correlation, *, same: bool) -> tuple[str, str, float, str]:
    hint = f"{found.months:,} months" if found.reason is None else explained(found.reason)
    if found.value is None:
        return "-", "", 0.0, hint
    side = "r-loss" if found.value < 0.0 else "r-gain"
    return ratio(found.value), "" if same else side, 0.0 if same else abs(found.value), hint


def _conventions(named: Mapping[str, Subject]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the conventions, told once for all that share them."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, each in named.items():
        chosen = tuple((what, words) for what, words in conventions(each.row) if what != "Request")
        found.setdefault(chosen, []).append(name)
    return [("" if len(found) == 1 else ", ".join(names), list(chosen)) for chosen, names in found.items()]


def _notes(named: Mapping[str, Subject], *, charted: bool) -> list[str]:
    said: dict[str, list[str]] = {}
    for name, each in named.items():
        for note in each.notes:
            said.setdefault(note, []).append(name)
    notes = [f"{'' if len(names) == len(named) else ', '.join(names) + ': '}{note}" for note, names in said.items()]
    with_history = sum(each.record is not None for each in named.values())
    if not charted and with_history > 1:
        notes.append("Their histories have no two days in common, so there is no chart of all of them.")
    for field, word in (("calculation_method", "methods"), ("flow_timing", "flow timings")):
        if len({str(each.row.get(field)) for each in named.values()}) > 1:
            notes.append(f"They are of different {word}; see the methodology below.")
    if len({each.row["calculation_date"] for each in named.values()}) > 1:
        notes.append("They are of different dates, so the same period does not end on the same day for all of them.")
    currencies = {name: each.row.get("currency") or "none told" for name, each in named.items()}
    if len(set(currencies.values())) > 1:
        told = ", ".join(f"{name} {currency}" for name, currency in currencies.items())
        notes.append(f"They are of different currencies, and each is measured in its own: {told}.")
    return notes


def _period_return(period: Mapping[str, Any]) -> float | None:
    annual = period.get("annualized_twr")
    return annual if annual is not None else period.get("twr")
