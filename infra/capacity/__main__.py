"""`python -m infra.capacity`: simulate, write docs/cost.md and docs/scale.md anew; or tell of a run of your own."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import replace

from rich.console import Console

from common.models.limits import MAX_CONCURRENCY, MAX_CONCURRENT_BATCHES, MAX_PORTFOLIOS
from infra.capacity import cost_tables, scale_tables
from infra.capacity.cost import Children, Design
from infra.capacity.documents import DOCUMENTS, IMAGES, write
from infra.capacity.fleet import FleetRun
from infra.capacity.inventory import synthesised
from infra.capacity.scale_tables import Study
from infra.capacity.scenarios import RECOMMENDED, RECOMMENDED_BATCHES, RECOMMENDED_CAPACITY, SIZES
from infra.capacity.tables import Table
from infra.capacity.workload import Kind, Workload
from infra.settings import STAGES


def cost_document() -> dict[str, Table]:
    """Return the tables of docs/cost.md but that of an idle month."""
    return {
        "designs": cost_tables.designs(),
        "kinds": cost_tables.kinds(),
        "lines": cost_tables.lines(),
        "savings": cost_tables.savings(),
        "batch-sizes": cost_tables.batch_sizes(),
        "sizes": cost_tables.inline_batches(),
        "memory": cost_tables.memory(),
        "stored": cost_tables.stored(),
        "prices": cost_tables.price_list(),
    }


def scale_document(found: Study) -> dict[str, Table]:
    """Return the tables of docs/scale.md."""
    return {
        "summary": scale_tables.summary(found),
        **{f"ladder-{size}": scale_tables.steps(found.ladders[size]) for size in SIZES},
        "utilisation": scale_tables.utilisation(found),
        "mixes": scale_tables.mixes(found),
        "curve": scale_tables.curve(found),
        "hot-keys": scale_tables.hot_keys(found),
        "assumptions": scale_tables.assumptions(),
        "limits": scale_tables.limit_list(),
    }


def main() -> None:
    """Tell of a run of one's own where its size is given; else simulate everything and write the documents."""
    parser = argparse.ArgumentParser(prog="python -m infra.capacity", description=__doc__)
    parser.add_argument("--portfolios", type=_count(), help="of a run of your own; nothing is written then")
    parser.add_argument("--batch-size", type=_count(MAX_PORTFOLIOS), default=RECOMMENDED.batch_size)
    parser.add_argument("--children", choices=[each.value for each in Children], default=RECOMMENDED.children.value)
    parser.add_argument("--batches", type=_count(MAX_CONCURRENT_BATCHES), default=RECOMMENDED_BATCHES, help="at a time")
    parser.add_argument(
        "--max-concurrency", type=_count(MAX_CONCURRENCY), default=RECOMMENDED.max_concurrency, help="of a batch"
    )
    parser.add_argument("--kind", choices=[each.value for each in Kind], default=Kind.VALUED.value)
    parser.add_argument("--periods", type=int, choices=(1, 4, 8), default=8)
    parser.add_argument("--no-time-series", action="store_true")
    parser.add_argument("--cache", action="store_true", help="results go into the shared cache")
    parser.add_argument("--log-executions", action="store_true", help="at level ALL")
    given = parser.parse_args()
    console = Console(width=180)
    if given.portfolios:
        _own(console, given)
    elif given == parser.parse_args([]):
        _everything(console)
    else:
        parser.error("the documents have settings of their own; those of a run of yours need --portfolios")


def _own(console: Console, given: argparse.Namespace) -> None:
    children = Children(given.children)
    design = Design(
        children,
        given.batch_size,
        given.max_concurrency,
        log_executions=given.log_executions,
    )
    load = Workload(Kind(given.kind), given.periods, time_series=not given.no_time_series, cache=given.cache)
    console.print(cost_tables.own_bill(given.portfolios, design, load).rich())
    if children is not Children.PLAIN:
        capacity = replace(RECOMMENDED_CAPACITY, max_children=given.batches)
        console.print(scale_tables.own_run(FleetRun(given.portfolios, design, load, capacity)).rich())


def _everything(console: Console) -> None:
    from infra.capacity.plots import draw  # noqa: PLC0415 - needs matplotlib, which a run of one's own does not

    with console.status("Synthesising the stages"):
        idle = cost_tables.idle({stage: synthesised(settings) for stage, settings in STAGES.items()})
    with console.status("Simulating: a minute or two"):
        found = scale_tables.study()
    documents: Mapping[str, Mapping[str, Table]] = {
        "cost.md": {"idle": idle, **cost_document()},
        "scale.md": scale_document(found),
    }
    for name, tables in documents.items():
        for table in tables.values():
            console.print(table.rich())
        changed = write(DOCUMENTS / name, tables)
        console.print(f"docs/{name} {'is written anew' if changed else 'was up to date'}")
    draw(found, IMAGES)
    console.print(f"{IMAGES.relative_to(DOCUMENTS.parent)}/ is drawn anew")


def _count(most: int | None = None) -> Callable[[str], int]:
    """Return what reads a number of things, of which a request may have so many."""

    def count(text: str) -> int:
        value = int(text)
        if value < 1:
            raise argparse.ArgumentTypeError("must be at least 1")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most:,}")
        return value

    return count


if __name__ == "__main__":
    main()
