"""The figures of docs/cost.md and docs/scale.md, as PNG and SVG."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final

from infra.capacity.cost import Children, by_service, run_lines
from infra.capacity.cost_tables import BATCH_SIZES, MILLION, SERVICES
from infra.capacity.scale_tables import Study
from infra.capacity.scenarios import RECOMMENDED, RECOMMENDED_WORKLOAD, cut, outcome_cost, recommended, simulated, warm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, which colour-blind readers can tell apart.
_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_EXPRESS, _STANDARD = _COLOURS[0], _COLOURS[5]
_DOTS_PER_INCH: Final = 110
_POINTS: Final = 60


def draw(found: Study, directory: Path) -> list[Path]:
    """Draw all figures; return their files. The same study makes the same files."""
    import matplotlib  # noqa: PLC0415 - takes a second, and only this needs it
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    figures: dict[str, tuple[tuple[float, float], int, Callable[..., None]]] = {
        "cost-by-design": ((8.0, 3.6), 1, _designs),
        "batch-size": ((10.0, 4.0), 2, lambda *axes: _batch_size(found, *axes)),
        "run": ((10.0, 4.0), 2, lambda *axes: _run(found, *axes)),
        "ladder": ((9.0, 4.2), 1, lambda axes: _ladder(found, axes)),
    }
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    with matplotlib.rc_context(
        {
            "svg.hashsalt": "capacity",  # else the ids of elements are random
            "svg.fonttype": "none",
            "font.size": 9.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10.0,
        }
    ):
        for name, (size, panels, painter) in figures.items():
            figure = Figure(figsize=size, layout="constrained")
            painter(*figure.subplots(1, panels, squeeze=False)[0])
            files += _save(figure, directory / name)
    return files


def _save(figure: "Figure", path: Path) -> list[Path]:
    png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
    figure.savefig(png, dpi=_DOTS_PER_INCH, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None})
    return [png, svg]


def _designs(axes: "Axes") -> None:
    run = recommended(MILLION)
    named = {
        f"Express, batches of {RECOMMENDED.batch_size}": run,
        "Express, batches of 25": cut(run, Children.EXPRESS, 25),
        "Express, batches of 100": cut(run, Children.EXPRESS, 100),
        f"Standard, batches of {RECOMMENDED.batch_size}": cut(run, Children.STANDARD, RECOMMENDED.batch_size),
        "Standard, batches of 100": cut(run, Children.STANDARD, 100),
        "no fleet run, 500 an execution": cut(run, Children.PLAIN, 500),
    }
    bills = [by_service(run_lines(MILLION, each.design, RECOMMENDED_WORKLOAD)) for each in named.values()]
    left = [0.0] * len(bills)
    for service, colour in zip(SERVICES, _COLOURS, strict=True):
        width = [bill.get(service, 0.0) for bill in bills]
        axes.barh(list(named), width, left=left, color=colour, label=service, height=0.65)
        left = [before + each for before, each in zip(left, width, strict=True)]
    for number, value in enumerate(left):
        axes.text(value + 0.5, number, f"{value:.2f}", va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, max(left) * 1.12)
    axes.set_xlabel("USD for a million portfolios of eight periods, valued day by day in the books")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.5))


def _batch_size(found: Study, cost: "Axes", time: "Axes") -> None:
    for children, colour in ((Children.EXPRESS, _EXPRESS), (Children.STANDARD, _STANDARD)):
        outcomes = found.curve[children]
        name = f"{children.value.title()} batches"
        cost.plot(BATCH_SIZES, [outcome_cost(outcomes[size]) for size in BATCH_SIZES], "o-", color=colour, label=name)
        minutes = [outcomes[size].map_seconds / 60 for size in BATCH_SIZES]
        time.plot(BATCH_SIZES, minutes, "o-", color=colour, label=name)
    largest = RECOMMENDED_WORKLOAD.largest_inline_batch
    for axes, title in ((cost, "Cost of a million, USD"), (time, "Time of a million on warm tables, minutes")):
        axes.axvline(largest, color="#666666", linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_xticks(BATCH_SIZES, [str(size) if size not in {30, 75, 150} else "" for size in BATCH_SIZES])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("portfolios in a batch")
        axes.set_title(title)
        axes.legend(frameon=False)
    cost.text(largest * 1.04, 2.0, f"up to {largest}, results\ntravel in the state", color="#444444")


def _run(found: Study, done: "Axes", rate: "Axes") -> None:
    runs = {
        "new tables": (found.first[MILLION], _STANDARD),
        "tables warm to 40,000 units": (simulated(warm(recommended(MILLION))), _EXPRESS),
        "all of the ladder raised": (found.ladders[MILLION][-1].outcome, _COLOURS[2]),
    }
    for name, (outcome, colour) in runs.items():
        ends = outcome.samples[:: max(1, len(outcome.samples) // _POINTS)]
        minutes = [sample.second / 60 for sample in ends]
        done.plot(minutes, [sample.done / MILLION for sample in ends], color=colour, label=name)
        between = [(earlier.second + later.second) / 120 for earlier, later in pairwise(ends)]
        rates = [(later.done - earlier.done) / (later.second - earlier.second) for earlier, later in pairwise(ends)]
        rate.plot(between, rates, color=colour)
        takes = [sample.write_units / outcome.run.workload.row.write_units for sample in ends]
        rate.step(minutes, takes, where="post", color=colour, linestyle=":", linewidth=1)
    done.set_title("Portfolios done, millions")
    rate.set_title("Portfolios a second; dotted, what the table of results takes")
    for axes in (done, rate):
        axes.set_xlabel("minutes after the plan")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
    done.legend(frameon=False, loc="lower right")


def _ladder(found: Study, axes: "Axes") -> None:
    rungs = found.ladders[MILLION]
    names = [rung.raised or "recommended, on new tables" for rung in rungs]
    rates = [MILLION / rung.outcome.map_seconds for rung in rungs]
    places = range(len(rungs))
    axes.barh(places, rates, color=_EXPRESS, height=0.65)
    axes.set_yticks(places, [fill(name, 38) for name in names])
    for place, rung, rate in zip(places, rungs, rates, strict=True):
        binds = f"; binds: {rung.binds.limit}" if rung.binds else ""
        axes.text(rate + 20, place, f"{rung.outcome.map_seconds / 60:.1f} min{binds}", va="center", fontsize=7.5)
    axes.invert_yaxis()
    axes.set_xlim(0, max(rates) * 1.75)
    axes.set_xlabel("portfolios a second, a million in all")
