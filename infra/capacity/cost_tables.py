"""The tables of docs/cost.md."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from common.models.limits import STATE_BUDGET_BYTES
from infra.capacity.cost import (
    Children,
    Design,
    Line,
    batch_seconds,
    by_service,
    idle_lines,
    run_lines,
    stored_lines,
    total,
)
from infra.capacity.inventory import Template, inventory
from infra.capacity.prices import PRICES
from infra.capacity.scenarios import RECOMMENDED, RECOMMENDED_WORKLOAD
from infra.capacity.tables import Table, usd
from infra.capacity.workload import LARGEST_OUTCOME_BYTES, Kind, Workload
from infra.settings import STAGES

MILLION: Final = 1_000_000
BATCH_SIZES: Final = (4, 8, 12, 16, 20, 25, 30, 40, 50, 75, 100, 150, 200)
SERVICES: Final = ("Step Functions", "Lambda", "DynamoDB", "Timestream", "S3", "CloudWatch", "X-Ray")

# What the recommendations are compared with.
PLAINLY: Final = Design(Children.EXPRESS, batch_size=25, max_concurrency=10)
PLAIN_WORKLOAD: Final = Workload()

# The nightly run is at 02:00 in New York, and a record is dated midnight UTC of the business day before.
RECORD_AGE_HOURS: Final = 31


def designs() -> Table:
    """Return what a million portfolios cost by design."""
    named = {
        f"Express batches of {RECOMMENDED.batch_size}": RECOMMENDED,
        "Express batches of 25": replace(RECOMMENDED, batch_size=25),
        "Express batches of 100": replace(RECOMMENDED, batch_size=100),
        f"Standard batches of {RECOMMENDED.batch_size}": replace(RECOMMENDED, children=Children.STANDARD),
        "Standard batches of 100": replace(RECOMMENDED, children=Children.STANDARD, batch_size=100),
        "no fleet run: executions of 500": replace(RECOMMENDED, children=Children.PLAIN, batch_size=500),
        "no fleet run: one each": replace(RECOMMENDED, children=Children.PLAIN, batch_size=1),
    }
    return _services("Design", {name: run_lines(MILLION, each, RECOMMENDED_WORKLOAD) for name, each in named.items()})


def kinds() -> Table:
    """Return what a million portfolios cost by where their data are, and by the number of periods."""
    return _services(
        "Portfolios",
        {
            f"{kind}, {periods} period{'s' if periods > 1 else ''}": run_lines(
                MILLION, RECOMMENDED, replace(RECOMMENDED_WORKLOAD, kind=kind, periods=periods)
            )
            for kind in Kind
            for periods in (8, 4, 1)
        },
    )


def lines() -> Table:
    """Return the bill of a million portfolios, line by line."""
    return _bill(f"A million portfolios, {RECOMMENDED_WORKLOAD.kind}", _summed())


def savings() -> Table:
    """Return what each of the recommendations saves, one after the other."""
    design, load, fits = PLAINLY, PLAIN_WORKLOAD, RECOMMENDED.batch_size
    rows = [["Express batches of 25, shared cache, all events logged", usd(_million(design, load)), ""]]
    for what, design_of, load_of in (
        (f"batches of {fits}, whose results fit into the state", {"batch_size": fits}, {}),
        ("no shared cache for a new night", {}, {"cache": False}),
        ("executions' log at level ERROR", {"log_executions": False}, {}),
    ):
        before = _million(design, load)
        design, load = replace(design, **design_of), replace(load, **load_of)  # type: ignore[arg-type]  # of both
        rows.append([what, usd(_million(design, load)), usd(before - _million(design, load))])
    rows.append(["without a time series", usd(_million(design, replace(load, time_series=False))), ""])
    return Table("What saves what", ("Change", "USD a million", "saves"), rows)


def batch_sizes() -> Table:
    """Return what a million portfolios cost by the size of their batches."""
    rows = []
    for size in BATCH_SIZES:
        express = replace(RECOMMENDED, batch_size=size)
        rows.append(
            [
                str(size),
                "in the state" if RECOMMENDED_WORKLOAD.inline(size) else "S3",
                f"{batch_seconds(express, RECOMMENDED_WORKLOAD):.1f} s",
                usd(_million(express, RECOMMENDED_WORKLOAD)),
                usd(_million(replace(express, children=Children.STANDARD), RECOMMENDED_WORKLOAD)),
            ]
        )
    return Table(
        "By batch size", ("Portfolios in a batch", "results travel ", "a batch takes", "Express", "Standard"), rows
    )


def inline_batches() -> Table:
    """Return the largest batches whose results travel in the state."""
    rows = [
        [
            f"{kind}, {periods}",
            f"{load.row.outcome_bytes:,}",
            str(load.largest_inline_batch),
            f"{load.row.item_bytes:,}",
            str(load.row.write_units),
            str(load.row.records),
        ]
        for kind in Kind
        for periods in (1, 4, 8)
        for load in [Workload(kind=kind, periods=periods)]
    ]
    rows += [
        [f"with nothing defined, {periods}", f"{size:,}", str(STATE_BUDGET_BYTES // size), "", "", ""]
        for periods, size in LARGEST_OUTCOME_BYTES.items()
    ]
    return Table(
        "Sizes of results",
        ("Portfolios, periods", "result, bytes", "largest batch", "item, bytes", "write units", "records"),
        rows,
    )


def memory() -> Table:
    """Return what a million portfolios cost, and how long a batch takes, by the memory of the functions."""
    rows = []
    for calculate in (512, 1_024, 1_769):
        for persist in (256, 512, 1_024, 1_769):
            sizes = {"CalculatePortfolio": calculate, "PersistDynamoDB": persist, "PersistTimestream": persist}
            load = replace(RECOMMENDED_WORKLOAD, memory_mb=sizes)
            rows.append(
                [
                    f"{calculate:,}",
                    f"{persist:,}",
                    f"{load.calculate_seconds(RECOMMENDED.batch_size) * 1000:.0f} ms",
                    f"{batch_seconds(RECOMMENDED, load):.2f} s",
                    usd(by_service(run_lines(MILLION, RECOMMENDED, load))["Lambda"]),
                ]
            )
    return Table(
        "By memory",
        ("CalculatePortfolio, MB", "Persist..., MB", "a calculation", "a batch", "Lambda, USD a million"),
        rows,
    )


def stored() -> Table:
    """Return what it costs for a month to keep what a run of a million wrote, by Timestream's memory store."""
    rows = []
    for retention in (24, 36, 48, 168):
        found = by_service(
            stored_lines(MILLION, RECOMMENDED_WORKLOAD, memory_hours=max(0, retention - RECORD_AGE_HOURS))
        )
        into = "the memory store" if retention > RECORD_AGE_HOURS else "the magnetic store"
        rows.append([f"{retention} h", into, usd(found["DynamoDB"]), usd(found["Timestream"])])
    return Table(
        "A month of a million rows",
        ("Memory store keeps", "a night is written into ", "DynamoDB, USD a month", "Timestream, first month"),
        rows,
    )


def idle(templates: Mapping[str, Sequence[Template]]) -> Table:
    """Return what a month of each stage costs when nobody uses it."""
    bills = {stage: idle_lines(inventory(found, STAGES[stage])) for stage, found in templates.items()}
    named = dict.fromkeys((line.price, line.what) for bill in bills.values() for line in bill)
    rows = [
        [
            price.service,
            price.what,
            what,
            *(
                usd(sum(line.usd for line in bill if (line.price, line.what) == (price, what)))
                for bill in bills.values()
            ),
        ]
        for price, what in named
    ]
    rows.append(["**together**", "", "", *(f"**{usd(total(bill))}**" for bill in bills.values())])
    return Table("An idle month", ("Service", "paid for ", "of ", *(f"{stage}, USD" for stage in bills)), rows)


def price_list() -> Table:
    """Return all prices with where they come from."""
    rows = [
        [each.service, each.what, each.unit, f"{each.usd:.10f}".rstrip("0").rstrip("."), each.evidence, each.page]
        for each in PRICES
    ]
    return Table("Prices", ("Service", "what ", "unit ", "USD", "read ", "published "), rows)


def own_bill(portfolios: int, design: Design, load: Workload) -> Table:
    """Return the bill of any run."""
    return _bill(f"{portfolios:,} portfolios", run_lines(portfolios, design, load))


def _bill(title: str, bill: Sequence[Line]) -> Table:
    rows = [
        [line.price.service, line.what, line.price.what, f"{line.quantity:,.2f}".removesuffix(".00"), usd(line.usd)]
        for line in bill
        if line.quantity
    ]
    rows.append(["**together**", "", "", "", f"**{usd(total(bill))}**"])
    return Table(title, ("Service", "of ", "paid for ", "units", "USD"), rows)


def _summed() -> list[Line]:
    return run_lines(MILLION, RECOMMENDED, RECOMMENDED_WORKLOAD)


def _million(design: Design, load: Workload) -> float:
    return total(run_lines(MILLION, design, load))


def _services(first: str, bills: Mapping[str, Sequence[Line]]) -> Table:
    rows = []
    for name, bill in bills.items():
        found = by_service(bill)
        rows.append([name, *(usd(found.get(each, 0.0)) for each in SERVICES), f"**{usd(total(bill))}**"])
    return Table("USD for a million portfolios", (first, *SERVICES, "together"), rows)
