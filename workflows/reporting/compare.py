"""The page that sets several portfolios side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from common.calculations.types import DayArray, FloatArray
from workflows.reporting import charts
from workflows.reporting.analysis import Correlation, Record, monthly_correlation
from workflows.reporting.figures import Figure, Grid, csv_download, file_stem, series_figure
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
        Two or more, at most `MOST_COMPARED`, their names distinct.
    """
    names = [each.name for each in subjects]
    growth = _growth(subjects)
    returns, risk = _returns(subjects), _side_by_side(subjects)
    labels = in_order([each.row for each in subjects])
    matrix = _correlations(subjects)
    sections = [("growth", "Growth of 1")] if growth else []
    sections += [("returns", "Returns"), ("risk", "Risk")]
    sections += [("correlation", "Correlation")] if matrix else []
    sections.append(("methodology", "Methodology"))
    body = render(
        "compare.html.j2",
        title=f"{len(subjects)} compared",
        facts=[", ".join(names)],
        notes=_notes(subjects, growth),
        warnings=[f"{each.name}: {explained(code)}." for each in subjects for code in each.row["warnings"]],
        sections=sections,
        growth=growth,
        returns=returns,
        risk=risk,
        risk_label=_LONGEST if _LONGEST in labels else labels[-1],
        files={
            "returns": csv_download("returns", returns.columns, returns.lines),
            "risk": csv_download("risk", risk.columns, risk.lines),
        },
        names=names,
        matrix=matrix,
        conventions=_conventions(subjects),
    )
    return Page(f"{', '.join(names)} compared", body, {"growth": growth.spec} if growth else {})


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


def _growth(subjects: Sequence[Subject]) -> Figure | None:
    records = {each.name: each.record for each in subjects if each.record is not None}
    if len(records) < 2:
        return None
    days = shared_days(list(records.values()))
    if days is None:
        return None
    found = {name: rebased(record, days) for name, record in records.items()}
    growth = {name: values for name, values in found.items() if values is not None}
    if not growth:
        return None
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


def _returns(subjects: Sequence[Subject]) -> Grid:
    labels = in_order([each.row for each in subjects])
    lines = [
        (each.name, *(percent(_period_return(each.row["periods"].get(label, {}))) for label in labels))
        for each in subjects
    ]
    return Grid(
        ("Portfolio", *labels),
        lines,
        "Time-weighted, a year from one year on. Each ends on the row's own date.",
    )


def _side_by_side(subjects: Sequence[Subject]) -> Grid:
    labels = in_order([each.row for each in subjects])
    label = _LONGEST if _LONGEST in labels else labels[-1]
    periods = [each.row["periods"].get(label, {}) for each in subjects]
    lines: list[tuple[str, ...]] = [
        (word, *(str(period.get(name) or "-") for period in periods)) for name, word in (("from", "From"), ("to", "To"))
    ]
    lines += [
        (METRICS[name].label, *(METRICS[name].format(period.get(name)) for period in periods))
        for name in _SIDE_BY_SIDE
        if any(period.get(name) is not None for period in periods)
    ]
    note = "Each since its own inception: they compare well where the first dates do." if label == _LONGEST else ""
    return Grid(("Metric", *(each.name for each in subjects)), lines, note)


def _correlations(subjects: Sequence[Subject]) -> list[tuple[str, list[tuple[str, str, float, str]]]]:
    """Return the matrix by rows: text, side, strength and a hint for each cell."""
    records = [(each.name, each.record) for each in subjects if each.record is not None]
    if len(records) < 2:
        return []
    found: dict[tuple[str, str], Correlation] = {}
    for index, (name, record) in enumerate(records):
        for other_name, other in records[index:]:
            found[name, other_name] = found[other_name, name] = monthly_correlation(record, other)
    return [(name, [_cell(found[name, other], same=name == other) for other, _ in records]) for name, _ in records]


def _cell(found: Correlation, *, same: bool) -> tuple[str, str, float, str]:
    hint = f"{found.months:,} months" if found.reason is None else explained(found.reason)
    if found.value is None:
        return "-", "", 0.0, hint
    side = "r-loss" if found.value < 0.0 else "r-gain"
    return ratio(found.value), "" if same else side, 0.0 if same else abs(found.value), hint


def _conventions(subjects: Sequence[Subject]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the conventions, told once for all that share them."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for each in subjects:
        chosen = tuple((name, words) for name, words in conventions(each.row) if name != "Request")
        found.setdefault(chosen, []).append(each.name)
    return [("" if len(found) == 1 else ", ".join(names), list(chosen)) for chosen, names in found.items()]


def _notes(subjects: Sequence[Subject], growth: Figure | None) -> list[str]:
    said: dict[str, list[str]] = {}
    for each in subjects:
        for note in each.notes:
            said.setdefault(note, []).append(each.name)
    notes = [f"{'' if len(names) == len(subjects) else ', '.join(names) + ': '}{note}" for note, names in said.items()]
    with_history = sum(each.record is not None for each in subjects)
    if growth is None and with_history > 1:
        notes.append("Their histories have no two days in common, so there is no chart of all of them.")
    for name, word in (("calculation_method", "methods"), ("flow_timing", "flow timings"), ("currency", "currencies")):
        if len({str(each.row.get(name)) for each in subjects}) > 1:
            notes.append(f"They are of different {word}; see the methodology below.")
    return notes


def _period_return(period: Mapping[str, Any]) -> float | None:
    annual = period.get("annualized_twr")
    return annual if annual is not None else period.get("twr")
