"""A whole run in one page: how returns and risk are spread over its portfolios, and what went wrong."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from workflows.reporting import charts
from workflows.reporting.figures import Figure, Grid, csv_download, file_stem
from workflows.reporting.page import Page, render
from workflows.reporting.portfolio import Tile
from workflows.reporting.sketch import Sketch
from workflows.reporting.specs import PERCENT, RATIO
from workflows.reporting.words import explained, metric_label
from workflows.wording import in_order, percent, ratio

LISTED: Final = 10
MOST_FAILURES_TOLD: Final = 200
_BINS: Final = 30
_QUANTILES: Final = (("p5", 0.05), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p95", 0.95))
# Of the metrics of a row, those whose spread over a fleet says something.
_SPREAD: Final = {
    "return": ("Return", PERCENT),
    "volatility": ("Volatility", PERCENT),
    "max_drawdown": ("Max drawdown", PERCENT),
    "sharpe_ratio": ("Sharpe", RATIO),
}


class Standing(NamedTuple):
    """One portfolio among the best or the worst; ordered by its return, then by its id."""

    value: float
    entity_id: str
    entity_type: str
    volatility: float | None
    max_drawdown: float | None


@dataclass(slots=True)
class PeriodSpread:
    """What a run came to over one period."""

    spread: dict[str, Sketch] = field(default_factory=lambda: {name: Sketch() for name in _SPREAD})
    best: list[Standing] = field(default_factory=list)
    worst: list[Standing] = field(default_factory=list)
    undefined: Counter[str] = field(default_factory=Counter)
    """Portfolios without a return, by reason."""

    def add(self, row: Mapping[str, Any], period: Mapping[str, Any]) -> None:
        """Count a row's period."""
        value = _return(period)
        if value is None:
            self.undefined[str(period["undefined"].get("twr", ""))] += 1
            return
        self.spread["return"].add(value)
        for name in ("volatility", "max_drawdown", "sharpe_ratio"):
            if (found := period.get(name)) is not None:
                self.spread[name].add(found)
        standing = Standing(
            value, str(row["entity_id"]), str(row["entity_type"]), period.get("volatility"), period.get("max_drawdown")
        )
        _keep(self.best, standing)
        _keep(self.worst, standing._replace(value=-value))


@dataclass(slots=True)
class FleetTally:
    """A run, taken up row by row; its size does not depend on the number of rows.

    Attributes
    ----------
    calculated, failed : int
    periods : dict
        By label.
    warnings : Counter
        Portfolios by warning.
    failures : Counter
        Failures by error.
    told : list of dict
        The first `MOST_FAILURES_TOLD` failures.
    """

    calculated: int = 0
    failed: int = 0
    periods: dict[str, PeriodSpread] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    told: list[Mapping[str, Any]] = field(default_factory=list)
    warned: int = 0
    """Portfolios with any warning."""

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Take up the row of one portfolio."""
        self.calculated += 1
        self.warnings.update(row["warnings"])
        self.warned += bool(row["warnings"])
        for label, period in row["periods"].items():
            self.periods.setdefault(label, PeriodSpread()).add(row, period)

    def add_failure(self, failure: Mapping[str, Any]) -> None:
        """Take up a portfolio that could not be calculated: `{entity_id, error, message}`, `entity_type` with it."""
        self.failed += 1
        self.failures[str(failure["error"])] += 1
        if len(self.told) < MOST_FAILURES_TOLD:
            self.told.append(failure)

    def labels(self) -> list[str]:
        """Return the periods in the order of reports."""
        return in_order([{"periods": self.periods}])


def summarise(rows: Iterable[Mapping[str, Any]], failures: Iterable[Mapping[str, Any]]) -> FleetTally:
    """Return a run from its rows and its failures, each read once and not kept."""
    tally = FleetTally()
    for row in rows:
        tally.add_row(row)
    for failure in failures:
        tally.add_failure(failure)
    return tally


def build(tally: FleetTally, run: str, status: str, error: str | None = None) -> Page:
    """Return the page of a run.

    Parameters
    ----------
    tally
        Of all its rows and failures.
    run
        Name of the execution.
    status
        SUCCEEDED, PARTIAL or FAILED; ABORTED or TIMED_OUT for one that did not come to its end.
    error
        What ended it; None where it worked.
    """
    known = bool(tally.calculated or tally.failed) or error is None
    labels = [label for label in tally.labels() if tally.periods[label].spread["return"].count]
    spreads = [_spread_figure(tally, labels, name) for name in _SPREAD] if labels else []
    spreads = [each for each in spreads if each.grid.lines]
    histograms = [_histogram(tally.periods[label], label, run) for label in labels]
    standings = [(label, _standings(tally.periods[label])) for label in reversed(labels)]
    failures = _failures(tally)
    body = render(
        "fleet.html.j2",
        title="Run",
        facts=[run],
        notes=_notes(tally, error),
        warnings=[],
        sections=[
            *([("spread", "Spread"), ("histograms", "Histograms"), ("standings", "Best and worst")] if labels else []),
            *([("failures", "Failures")] if tally.failed else []),
            *([("quality", "Data quality")] if known else []),
        ],
        tiles=_tiles(tally, status, known=known),
        spreads=spreads,
        histograms=histograms,
        standings=standings,
        listed=LISTED,
        failures=failures,
        failures_file=csv_download(
            file_stem(run, "failures"),
            ["entity_type", "entity_id", "error", "message"],
            [
                [str(each.get(name, "")) for name in ("entity_type", "entity_id", "error", "message")]
                for each in tally.told
            ],
        ),
        told=tally.told,
        failed=tally.failed,
        known=known,
        quality=_quality(tally),
        undefined=_undefined(tally),
    )
    return Page(f"Run {run}", body, {each.id: each.spec for each in [*spreads, *histograms]})


def _tiles(tally: FleetTally, status: str, *, known: bool) -> list[Tile]:
    if not known:
        return [Tile("Status", status, ""), *(Tile(name, "-", "") for name in ("Calculated", "Failed"))]
    of_all = tally.calculated + tally.failed
    return [
        Tile("Status", status, ""),
        Tile("Calculated", f"{tally.calculated:,}", f"of {of_all:,}"),
        Tile("Failed", f"{tally.failed:,}", f"{tally.failed / of_all:.2%}" if of_all else ""),
        Tile("With a warning", f"{tally.warned:,}", f"{len(tally.warnings)} kinds" if tally.warnings else ""),
    ]


def _notes(tally: FleetTally, error: str | None) -> list[str]:
    notes = [] if error is None else [f"The run ended early or failed: {error}"]
    if error is not None and not (tally.calculated or tally.failed):
        notes.append(
            "It left no list of its results, so there is no distribution to show. What it may have stored before is "
            "shown portfolio by portfolio."
        )
    elif not tally.calculated:
        notes.append("Nothing was calculated, so there is no distribution to show.")
    if tally.failed > len(tally.told):
        notes.append(f"Of {tally.failed:,} failures the first {len(tally.told):,} are told one by one.")
    return notes


def _spread_figure(tally: FleetTally, labels: list[str], name: str) -> Figure:
    title, form = _SPREAD[name]
    rows, lines = [], []
    written = percent if form == PERCENT else ratio
    for label in labels:
        sketch = tally.periods[label].spread[name]
        if not sketch.count:
            continue
        quantiles = {key: sketch.quantile(share) for key, share in _QUANTILES}
        rows.append({"period": label, **quantiles})
        numbers = [sketch.smallest, *quantiles.values(), sketch.largest, sketch.mean]
        lines.append((label, f"{sketch.count:,}", *map(written, numbers)))
    columns = ("Period", "Portfolios", "Least", "5 %", "25 %", "Median", "75 %", "95 %", "Most", "Mean")
    note = {
        "return": "Time-weighted, a year from one year on.",
        "volatility": "A year.",
        "max_drawdown": "Largest fall below an earlier peak.",
        "sharpe_ratio": "From one year on.",
    }[name]
    return Figure(
        id=f"spread-{name}",
        title=title,
        note=f"{note} The bar holds the middle half of the portfolios, the line nine tenths, the tick is the median.",
        spec=charts.ranges_chart(rows, title, form),
        summary="; ".join(f"{line[0]}: median {line[5]}" for line in lines),
        grid=Grid(columns, lines, "Quantiles are within 0.5 % of their value; least, most and mean are exact."),
        download=csv_download(f"spread-{name}", columns, lines),
    )


def _histogram(period: PeriodSpread, label: str, run: str) -> Figure:
    sketch = period.spread["return"]
    edges, counts = sketch.histogram(_BINS)
    bounds = list(zip(edges[:-1].tolist(), edges[1:].tolist(), counts, strict=True))
    return Figure(
        id=f"histogram-{file_stem(label)}",
        title=label,
        note=f"{sketch.count:,} portfolios; the outermost bars hold what lies beyond.",
        spec=charts.histogram_chart(edges, counts, "Return", PERCENT),
        summary=f"Returns of {sketch.count:,} portfolios from {sketch.smallest:.2%} to {sketch.largest:.2%}.",
        grid=Grid(
            ("From", "To", "Portfolios"), [(f"{low:.2%}", f"{up:.2%}", f"{count:,}") for low, up, count in bounds]
        ),
        download=csv_download(file_stem(run, label, "histogram"), ["from", "to", "portfolios"], bounds),
    )


def _standings(period: PeriodSpread) -> list[tuple[str, Grid]]:
    best = sorted(period.best, key=lambda each: (-each.value, each.entity_id))
    worst = sorted(
        (each._replace(value=-each.value) for each in period.worst), key=lambda each: (each.value, each.entity_id)
    )
    columns = ("Portfolio", "Return", "Volatility", "Max drawdown")
    return [
        (
            name,
            Grid(
                columns,
                [
                    (each.entity_id, percent(each.value), percent(each.volatility), percent(each.max_drawdown))
                    for each in listed
                ],
            ),
        )
        for name, listed in (("Best", best), ("Worst", worst))
    ]


def _failures(tally: FleetTally) -> Grid:
    return Grid(("Error", "Portfolios"), [(error, f"{count:,}") for error, count in tally.failures.most_common()])


def _quality(tally: FleetTally) -> list[tuple[str, str, str]]:
    return [
        (code, explained(code), f"{count:,} ({count / tally.calculated:.1%})")
        for code, count in tally.warnings.most_common()
    ]


def _undefined(tally: FleetTally) -> list[tuple[str, str, str]]:
    """Return why portfolios have no return, by period and reason."""
    return [
        (label, explained(code) if code else metric_label("twr"), f"{count:,}")
        for label in tally.labels()
        for code, count in tally.periods[label].undefined.most_common()
    ]


def _keep(heap: list[Standing], standing: Standing) -> None:
    """Keep the `LISTED` largest."""
    if len(heap) < LISTED:
        heapq.heappush(heap, standing)
    elif standing.value > heap[0].value:
        heapq.heapreplace(heap, standing)


def _return(period: Mapping[str, Any]) -> float | None:
    annual: float | None = period.get("annualized_twr")
    return annual if annual is not None else period.get("twr")
