"""Charts as Vega-Lite specifications, one function a chart; colours are roles of the theme.

A line that has more points than a screen has columns is thinned to at most `MOST_POINTS` by largest triangles, which
keeps its shape and extremes; the numbers that go with a chart are never thinned.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from common.calculations.types import DayArray, FloatArray, Flows
from workflows.reporting.analysis import Distribution, Record, Rolling, Year, underwater
from workflows.reporting.line_charts import Line, lines_chart
from workflows.reporting.specs import PERCENT, PRECISE, RATIO, Spec, days_of, finished, numbers
from workflows.reporting.theme import DASHES, SERIES

if TYPE_CHECKING:
    import altair as alt

MOST_FLOWS: Final = 60
# Two dates stand below each other.
_PERIOD_LABEL = "split(datum.label, '/')"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def growth_chart(record: Record, name: str, benchmark_name: str | None) -> Spec:
    """Return the growth of 1, with the benchmark's and the flows."""
    lines = [Line(name, record.growth, "#portfolio")]
    if record.benchmark is not None and benchmark_name is not None:
        lines.append(Line(benchmark_name, record.benchmark, "#benchmark", DASHES[1]))
    return lines_chart(record.days, lines, "Growth of 1", RATIO, flows=_flow_rows(record), may_be_log=True)


def flows_to_mark(record: Record) -> tuple[Flows, str]:
    """Return the net flows of each day, or of each month or year where more could not be told apart.

    Returns
    -------
    flows : Flows
        Each on the last day of its kind that has one; those that net to nil are left out.
    unit : str
        `day`, `month` or `year`.
    """
    days = record.flows.days
    for unit in ("day", "month", "year"):
        code = unit[0].upper()
        _, place = np.unique(days.astype("datetime64[D]").astype(f"datetime64[{code}]"), return_inverse=True)
        amounts = np.bincount(place, weights=record.flows.amounts).astype(np.float64)
        last = days[np.searchsorted(place, np.arange(amounts.size), side="right") - 1]
        moved = amounts != 0.0
        found = Flows(last[moved], amounts[moved])
        if found.days.size <= MOST_FLOWS:
            return found, unit
    return found, "year"


def drawdown_chart(record: Record, name: str, benchmark_name: str | None) -> Spec:
    """Return how far the growth lies below its highest point so far."""
    lines = [Line(name, underwater(record.growth), "#portfolio")]
    if record.benchmark is not None and benchmark_name is not None:
        lines.append(Line(benchmark_name, underwater(record.benchmark), "#benchmark", DASHES[1]))
    return lines_chart(record.days, lines, "Below the peak", PERCENT, filled=True)


def rolling_volatility_chart(rolling: Rolling, name: str) -> Spec:
    """Return the volatility of each window."""
    line = Line(name, rolling.volatility, "#portfolio")
    return lines_chart(rolling.days, [line], f"Volatility, {rolling.window} returns", PERCENT, from_zero=True)


def rolling_sharpe_chart(rolling: Rolling, name: str) -> Spec:
    """Return the arithmetic Sharpe ratio of each window."""
    line = Line(name, rolling.sharpe, "#portfolio")
    return lines_chart(rolling.days, [line], f"Sharpe, {rolling.window} returns", RATIO, from_zero=True)


def comparison_chart(days: DayArray, growth: Mapping[str, FloatArray]) -> Spec:
    """Return the growth of 1 of several portfolios over the same days."""
    return lines_chart(days, _told_apart(growth), "Growth of 1", RATIO, may_be_log=True)


def drawdown_comparison_chart(days: DayArray, below: Mapping[str, FloatArray]) -> Spec:
    """Return how far several portfolios lie below their highest points so far, over the same days."""
    return lines_chart(days, _told_apart(below), "Below the peak", PERCENT, from_zero=True)


def distribution_chart(found: Distribution) -> Spec:
    """Return the histogram of the returns, with value at risk and expected shortfall."""
    import altair as alt  # noqa: PLC0415 - takes a second to import

    rows = _bins(found.edges, found.counts)
    bars = _bars(alt, "Return", "Returns", PERCENT)
    marks = [
        {"at": value, "label": label}
        for value, label in ((found.var, "VaR 95 %"), (found.cvar, "CVaR 95 %"))
        if value is not None
    ]
    names, colours = ["VaR 95 %", "CVaR 95 %"], ["#loss", "#outflow"]
    rules = (
        alt.Chart(alt.NamedData(name="marks"))
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("at", type="quantitative"),
            color=alt.Color("label", type="nominal", scale=alt.Scale(domain=names, range=colours)),
            strokeDash=alt.StrokeDash(
                "label", type="nominal", scale=alt.Scale(domain=names, range=[list(each) for each in DASHES[:2]])
            ),
            tooltip=[
                alt.Tooltip("label", type="nominal", title="Line"),
                alt.Tooltip("at", type="quantitative", format=".2%", title="Return"),
            ],
        )
    )
    return finished(alt.layer(bars, rules), {"bins": rows, "marks": marks})


def histogram_chart(edges: FloatArray, counts: Sequence[int], title: str, form: str) -> Spec:
    """Return a histogram of a metric over portfolios."""
    import altair as alt  # noqa: PLC0415 - takes a second to import

    return finished(_bars(alt, title, "Portfolios", form), {"bins": _bins(edges, counts)}, height=180)


def ranges_chart(rows: Sequence[Mapping[str, Any]], title: str, form: str) -> Spec:
    """Return, for each period, where the middle half and nine tenths of the portfolios lie.

    Parameters
    ----------
    rows
        `{period, p5, p25, p50, p75, p95}` in the order to show them.
    title, form
        Of the metric.
    """
    import altair as alt  # noqa: PLC0415 - takes a second to import

    order = [each["period"] for each in rows]
    base = alt.Chart(alt.NamedData(name="ranges")).encode(
        y=alt.Y("period", type="nominal", sort=order, title=None, axis=alt.Axis(labelExpr=_PERIOD_LABEL)),
        tooltip=[
            alt.Tooltip("period", type="nominal", title="Period"),
            *(
                alt.Tooltip(name, type="quantitative", format=PRECISE.get(form, form), title=label)
                for name, label in (
                    *(("p95", "95th percentile"), ("p75", "75th percentile"), ("p50", "Median")),
                    *(("p25", "25th percentile"), ("p5", "5th percentile")),
                )
            ),
        ],
    )
    axis = alt.Axis(format=form, grid=True, labelOverlap=True, tickCount=6)
    wide = base.mark_rule(strokeWidth=2, color="#muted").encode(
        x=alt.X("p5", type="quantitative", title=title, axis=axis), x2="p95"
    )
    half = base.mark_bar(height=14).encode(x=alt.X("p25", type="quantitative"), x2="p75")
    middle = base.mark_tick(thickness=3, height=20, color="#ink").encode(x=alt.X("p50", type="quantitative"))
    return finished(alt.layer(wide, half, middle), {"ranges": list(rows)}, height=60 + 36 * len(rows))


def months_chart(years: Sequence[Year]) -> Spec:
    """Return the heat map of monthly returns, as an image has it; a page has it as a table."""
    import altair as alt  # noqa: PLC0415 - takes a second to import

    rows = [
        {"year": str(year.year), "month": MONTHS[month], "value": value}
        for year in years
        for month, value in enumerate(year.months)
        if value is not None
    ]
    largest = max((abs(float(row["value"])) for row in rows), default=0.0) or 1.0
    base = alt.Chart(alt.NamedData(name="months")).encode(
        x=alt.X("month", type="nominal", sort=list(MONTHS), title=None, axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("year", type="nominal", sort="ascending", title=None),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "value",
            type="quantitative",
            legend=None,
            scale=alt.Scale(domain=[-largest, 0.0, largest], range=["#loss", "#surface", "#gain"], interpolate="rgb"),
        )
    )
    numbers = base.mark_text(fontSize=11).encode(text=alt.Text("value", type="quantitative", format=".1%"))
    return finished(alt.layer(cells, numbers), {"months": rows}, height=30 + 20 * len(years))


def _flow_rows(record: Record) -> list[dict[str, Any]]:
    flows, _ = flows_to_mark(record)
    growth = numbers(record.growth_on(flows.days))
    return [
        {"d": day, "g": at, "amount": amount, "kind": "in" if amount > 0 else "out"}
        for day, at, amount in zip(days_of(flows.days), growth, flows.amounts.tolist(), strict=True)
    ]


def _bars(alt: Any, title: str, counted: str, form: str) -> "alt.Chart":
    return (  # type: ignore[no-any-return]  # the module is passed as a value
        alt.Chart(alt.NamedData(name="bins"))
        .mark_bar(binSpacing=1, opacity=0.85)
        .encode(
            x=alt.X("low", type="quantitative", bin="binned", title=title, axis=alt.Axis(format=form, grid=False)),
            x2="high",
            y=alt.Y("count", type="quantitative", title=counted, axis=alt.Axis(tickMinStep=1, format=",d")),
            tooltip=[
                alt.Tooltip("low", type="quantitative", title="From", format=PRECISE.get(form, form)),
                alt.Tooltip("high", type="quantitative", title="to", format=PRECISE.get(form, form)),
                alt.Tooltip("count", type="quantitative", title=counted, format=",d"),
            ],
        )
    )


def _bins(edges: FloatArray, counts: Sequence[int] | Any) -> list[dict[str, Any]]:
    bounds = numbers(np.asarray(edges))
    return [
        {"low": bounds[index], "high": bounds[index + 1], "count": int(count)} for index, count in enumerate(counts)
    ]


def _told_apart(values: Mapping[str, FloatArray]) -> list[Line]:
    return [
        Line(name, each, SERIES[index % len(SERIES)], DASHES[index % len(DASHES)])
        for index, (name, each) in enumerate(values.items())
    ]
