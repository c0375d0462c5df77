"""Lines over time: as many as wanted over the same days, with the values of the day nearest to the pointer."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from common.calculations.types import DayArray, FloatArray
from workflows.reporting.analysis import thin
from workflows.reporting.specs import PRECISE, Spec, days_of, finished, numbers
from workflows.reporting.theme import DASHES

if TYPE_CHECKING:
    import altair as alt

MOST_POINTS: Final = 2_000
# Of the legend, in pixels: a stroke with its gaps, and a character of a name.
_LEGEND_SYMBOL, _LEGEND_CHARACTER, _MOST_COLUMNS = 50, 8, 4
# Beyond this a linear axis shows the last years alone.
_LOG_FROM = 12.0


class Line(NamedTuple):
    """One line of a chart: its name, its values on the chart's days, and the role of its colour."""

    name: str
    values: FloatArray
    colour: str
    dash: Sequence[int] = DASHES[0]


def lines_chart(
    days: DayArray,
    lines: Sequence[Line],
    title: str,
    form: str,
    *,
    filled: bool = False,
    flows: Sequence[Mapping[str, Any]] = (),
    from_zero: bool = False,
    may_be_log: bool = False,
) -> Spec:
    """Return lines over the same days, with what they are on the day nearest to the pointer."""
    import altair as alt  # noqa: PLC0415 - takes a second to import

    finite = [np.nan_to_num(line.values) for line in lines]
    kept = thin(days, finite, MOST_POINTS)
    fields = [f"v{index}" for index in range(len(lines))]
    columns = [numbers(line.values[kept]) for line in lines]
    rows = [
        {"d": day, **{field: column[index] for field, column in zip(fields, columns, strict=True)}}
        for index, day in enumerate(days_of(days[kept]))
    ]
    logarithmic = may_be_log and _spans_much(finite)
    base = alt.Chart(alt.NamedData(name="points")).encode(
        x=alt.X(
            "d", type="temporal", scale=alt.Scale(type="utc"), title=None, axis=alt.Axis(labelOverlap=True, tickCount=8)
        )
    )
    scale = alt.Scale(
        type="log" if logarithmic else "linear", zero=from_zero or filled, nice=not (filled or logarithmic)
    )
    axis = alt.Axis(format=form, tickCount=6, labelOverlap=True)
    if logarithmic:
        scale = alt.Scale(type="log", nice=False)
        axis = alt.Axis(format=",~r", values=_decimal_steps(finite))
    y_title = f"{title}, logarithmic" if logarithmic else title
    drawn: list[alt.Chart] = []
    if filled:
        drawn.append(
            base.mark_area(color=lines[0].colour, opacity=0.25).encode(
                y=alt.Y(fields[0], type="quantitative", title=y_title, scale=scale, axis=axis)
            )
        )
    drawn += [
        base.mark_line(color=line.colour, strokeDash=list(line.dash)).encode(
            y=alt.Y(field, type="quantitative", title=y_title, scale=scale, axis=axis)
        )
        for line, field in reversed(list(zip(lines, fields, strict=True)))
    ]
    if len(lines) > 1:
        drawn.append(_names_of(alt, lines))
    if flows:
        drawn.append(_flow_marks(alt, base))
    near = alt.selection_point(nearest=True, on="pointerover", clear="pointerout", fields=["d"], empty=False)
    drawn.append(
        base.mark_rule(strokeWidth=1)
        .encode(
            opacity=alt.condition(near, alt.value(0.6), alt.value(0)),
            tooltip=[
                alt.Tooltip("d", type="nominal", title="Date"),
                *(
                    alt.Tooltip(field, type="quantitative", title=line.name, format=PRECISE.get(form, form))
                    for field, line in zip(fields, lines, strict=True)
                ),
            ],
        )
        .add_params(near)
    )
    datasets: dict[str, list[Any]] = {"points": rows} | ({"flows": list(flows)} if flows else {})
    if len(lines) > 1:
        datasets["names"] = [{"name": line.name} for line in lines]
    return finished(alt.layer(*drawn), datasets)


def _names_of(alt: Any, lines: Sequence[Line]) -> "alt.Chart":
    """Return a layer that draws nothing and has the legend of all lines."""
    names = [line.name for line in lines]
    entry = _LEGEND_SYMBOL + _LEGEND_CHARACTER * max(map(len, names))
    # As many side by side as there is room for: a phone has it for one or two.
    columns = alt.ExprRef(f"clamp(floor(width / {entry}), 1, {_MOST_COLUMNS})")
    legend = alt.Legend(columns=columns, symbolType="stroke")
    colour = alt.Scale(domain=names, range=[line.colour for line in lines])
    dash = alt.Scale(domain=names, range=[list(line.dash) for line in lines])
    return (  # type: ignore[no-any-return]  # the module is passed as a value
        alt.Chart(alt.NamedData(name="names"))
        .mark_line()
        .encode(
            color=alt.Color("name", type="nominal", scale=colour, legend=legend, title=None),
            strokeDash=alt.StrokeDash("name", type="nominal", scale=dash, legend=legend, title=None),
        )
    )


def _flow_marks(alt: Any, base: Any) -> "alt.Chart":
    """Return a triangle for each flow, up for one into the portfolio and down for one out of it."""
    kinds, shapes, colours = ["in", "out"], ["triangle-up", "triangle-down"], ["#inflow", "#outflow"]
    return (  # type: ignore[no-any-return]  # the module is passed as a value
        base.mark_point(filled=True, size=120, stroke="#surface", strokeWidth=1)
        .encode(
            y=alt.Y("g", type="quantitative"),
            shape=alt.Shape("kind", type="nominal", scale=alt.Scale(domain=kinds, range=shapes), legend=None),
            fill=alt.Fill("kind", type="nominal", scale=alt.Scale(domain=kinds, range=colours), legend=None),
            tooltip=[
                alt.Tooltip("d", type="nominal", title="Date"),
                alt.Tooltip("kind", type="nominal", title="Flow"),
                alt.Tooltip("amount", type="quantitative", title="Amount", format=",.2f"),
            ],
        )
        .properties(data=alt.NamedData(name="flows"))
    )


def _spans_much(series: Sequence[FloatArray]) -> bool:
    low, high = min(float(each.min()) for each in series), max(float(each.max()) for each in series)
    return low > 0.0 and high / low > _LOG_FROM


def _decimal_steps(series: Sequence[FloatArray]) -> list[float]:
    """Return the marks of a logarithmic axis: 1, 2 and 5 of each power of ten, or the powers alone of many."""
    low, high = min(float(each.min()) for each in series), max(float(each.max()) for each in series)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    marks = [step * 10.0**power for power in powers for step in steps]
    return [mark for mark in marks if low / 1.1 <= mark <= high * 1.1]
