"""The tables of docs/scale.md, and what they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from common.models.entity_table import MARK_PARTITIONS
from infra.capacity import scenarios
from infra.capacity.cost import Children
from infra.capacity.cost_tables import BATCH_SIZES
from infra.capacity.fleet import FleetRun
from infra.capacity.limits import LIMITS, PARTITION_READS, PARTITION_WRITES
from infra.capacity.outcome import Outcome
from infra.capacity.scenarios import Rung, ladder, outcome_cost, recommended, simulated
from infra.capacity.tables import Table, duration, listed, percent, usd
from infra.capacity.workload import (
    COLD_SECONDS,
    CORE_RATIO,
    DYNAMODB_SECONDS,
    INVOKE_SECONDS,
    S3_SECONDS,
    TIMESTREAM_SECONDS,
    TRANSITION_SECONDS,
)

MILLION: Final = 1_000_000
MIXES: Final = ((40, 10), (80, 5), (100, 4), (200, 2), (400, 1), (100, 10), (400, 10))
_RUNGS: Final = {10_000: 4, MILLION: 8, 10_000_000: 3}


@dataclass(frozen=True, slots=True)
class Study:
    """All that was simulated.

    Attributes
    ----------
    defaults
        A run of each size with the defaults of a request, on new tables.
    first
        With what is recommended, on new tables.
    ladders
        For each size: what binds, and what raising it gives. The largest begins where the middle one has ended.
    mixes
        A million, by batches at a time and portfolios of a batch at a time: on new tables, and on warm ones.
    curve
        A million on warm tables, by children and batch size.
    """

    defaults: dict[int, Outcome]
    first: dict[int, Outcome]
    ladders: dict[int, list[Rung]]
    mixes: dict[tuple[int, int], tuple[Outcome, Outcome]]
    curve: dict[Children, dict[int, Outcome]]


def study() -> Study:
    """Simulate everything: about a minute."""
    ladders: dict[int, list[Rung]] = {}
    start = recommended(scenarios.SIZES[0])
    for size in scenarios.SIZES:
        begin = recommended(size) if size <= MILLION else replace(start, portfolios=size)
        ladders[size] = ladder(begin, _RUNGS[size])
        start = ladders[size][-1].outcome.run
    million = recommended(MILLION)
    return Study(
        defaults={size: simulated(FleetRun(size)) for size in scenarios.SIZES},
        first={size: simulated(recommended(size)) for size in scenarios.SIZES},
        ladders=ladders,
        mixes={
            (batches, portfolios): (
                simulated(scenarios.mixed(million, batches, portfolios)),
                simulated(scenarios.warm(scenarios.mixed(million, batches, portfolios))),
            )
            for batches, portfolios in MIXES
        },
        curve={
            children: {size: simulated(scenarios.warm(scenarios.cut(million, children, size))) for size in BATCH_SIZES}
            for children in (Children.EXPRESS, Children.STANDARD)
        },
    )


def summary(found: Study) -> Table:
    """Return the three sizes at a glance."""
    rows = []
    for size in scenarios.SIZES:
        for name, outcome in (("defaults", found.defaults[size]), ("recommended", found.first[size])):
            rows.append([f"{size:,}, {name}", *_numbers(outcome)])
        last = found.ladders[size][-1]
        rows.append([f"{size:,}, all of the ladder raised", *_numbers(last.outcome)])
    return Table("Three sizes", ("Portfolios", *_NUMBERS), rows)


def steps(rungs: Sequence[Rung]) -> Table:
    """Return a ladder."""
    rows = []
    for rung in rungs:
        binds = rung.binds
        used = f"{binds.limit} ({percent(rung.outcome.utilisation[binds.limit])})" if binds else "nothing alone"
        rows.append([rung.raised or "as it begins", *_numbers(rung.outcome), used])
    return Table("Raised one after the other", ("Raised", *_NUMBERS, "binds "), rows)


def utilisation(found: Study) -> Table:
    """Return how far each limit is used, for what is recommended on new tables."""
    names = list(dict.fromkeys(name for each in found.first.values() for name in each.utilisation))
    rows = [[name, *(percent(found.first[size].utilisation[name]) for size in scenarios.SIZES)] for name in names]
    return Table("How far each limit is used", ("Limit", *(f"{size:,}" for size in scenarios.SIZES)), rows)


def mixes(found: Study) -> Table:
    """Return what comes of more batches at a time, of fewer portfolios each."""
    rows = [
        [
            f"{batches} x {portfolios}",
            f"{batches * portfolios:,}",
            duration(new.map_seconds),
            f"{new.failed:,}",
            duration(warm.map_seconds),
            f"{sum(warm.throttled.values()):,}",
            f"{warm.failed:,}",
        ]
        for (batches, portfolios), (new, warm) in found.mixes.items()
    ]
    return Table(
        "Batches at a time",
        (
            "Batches x portfolios at a time",
            "calculations at most",
            "new tables",
            "lost",
            "warm tables",
            "throttled",
            "lost there",
        ),
        rows,
    )


def curve(found: Study) -> Table:
    """Return how long a million takes by batch size, on warm tables."""
    rows = []
    for size in BATCH_SIZES:
        express, standard = found.curve[Children.EXPRESS][size], found.curve[Children.STANDARD][size]
        rows.append(
            [
                str(size),
                duration(express.map_seconds),
                usd(outcome_cost(express)),
                f"{express.longest_batch_seconds:.0f} s",
                duration(standard.map_seconds),
                usd(outcome_cost(standard)),
            ]
        )
    return Table(
        "By batch size",
        ("Portfolios in a batch", "Express", "USD", "longest batch", "Standard", "USD, Standard"),
        rows,
    )


def hot_keys(found: Study) -> Table:
    """Return the keys that many portfolios share, and how many portfolios a second each can bear."""
    reads, writes = PARTITION_READS.value, PARTITION_WRITES.value
    fastest = max(each.run.portfolios / each.map_seconds for rungs in found.ladders.values() for _, each, _ in rungs)
    first = found.first[MILLION]
    keys = [
        ("entities: `id` = the benchmark", "a fleet run, each portfolio", "1 read", reads),
        ("entities: `id` = a security that a part p of all portfolios hold", "a fleet run", "p reads", reads),
        ("ClientIndex: `client_id` = C, `entity_type` = portfolio", "portfolios entered", "1 write", writes),
        ("AccountIndex: `account_id` = A, `entity_type` = portfolio", "portfolios entered", "1 write", writes),
        (
            f"entities: `id` = `{MARK_PARTITIONS[0]}` to `{MARK_PARTITIONS[-1]}`",
            "transactions entered",
            f"2 writes to one of {len(MARK_PARTITIONS)}",
            writes / 2 * len(MARK_PARTITIONS),
        ),
        ("results: `id` = the portfolio", "a fleet run", "its own", float("inf")),
    ]
    rows = [
        [
            key,
            when,
            units,
            f"{bears:,.0f}" if bears < float("inf") else "any number",
            _share(MILLION / first.map_seconds, bears) if "fleet" in when else "not in a fleet run",
            _share(fastest, bears) if "fleet" in when else "not in a fleet run",
        ]
        for key, when, units, bears in keys
    ]
    return Table(
        "Keys that many share",
        (
            "Key",
            "when ",
            "units each ",
            "portfolios a second",
            "a million, recommended",
            "the fastest run here",
        ),
        rows,
    )


def limit_list() -> Table:
    """Return all limits with where they come from."""
    rows = [
        [each.what, f"{each.value:,.0f}", each.unit, each.raised or "nothing", each.evidence, each.page]
        for each in LIMITS
    ]
    return Table("Limits", ("Limit", "value", "unit ", "raised by ", "read ", "published "), rows)


def assumptions() -> Table:
    """Return the durations that nobody could measure here."""
    rows = [
        ["a core of Lambda, against the measuring machine's", f"{CORE_RATIO} times as long"],
        ["a function with less than 1,769 MB", "as many times longer"],
        ["from a state to its function and back", f"{INVOKE_SECONDS * 1000:.0f} ms"],
        ["a state besides", f"{TRANSITION_SECONDS * 1000:.0f} ms"],
        ["DynamoDB, a call", f"{DYNAMODB_SECONDS * 1000:.0f} ms"],
        ["S3, a call", f"{S3_SECONDS * 1000:.0f} ms"],
        ["Timestream, a call", f"{TIMESTREAM_SECONDS * 1000:.0f} ms"],
        ["a new environment", f"{COLD_SECONDS} s"],
    ]
    return Table("Assumed", ("What", "taken as"), rows)


_NUMBERS: Final = ("takes", "of which PlanBatches", "portfolios a second", "USD", "throttled", "lost")


def _numbers(outcome: Outcome) -> list[str]:
    return [
        duration(outcome.seconds),
        duration(outcome.plan_seconds),
        f"{outcome.run.portfolios / outcome.map_seconds:,.0f}",
        usd(outcome_cost(outcome)),
        f"{sum(outcome.throttled.values()):,}",
        f"{outcome.failed:,}",
    ]


def _share(rate: float, bears: float) -> str:
    return percent(rate / bears)


def own_run(run: FleetRun) -> Table:
    """Return how any run goes."""
    outcome = simulated(run)
    tight = sorted(outcome.utilisation.items(), key=lambda each: -each[1])[:3]
    rows = [
        *([name, value] for name, value in zip(_NUMBERS, _numbers(outcome), strict=True)),
        ["longest batch", f"{outcome.longest_batch_seconds:.0f} s"],
        ["used most", listed(f"{name} ({percent(part)})" for name, part in tight)],
    ]
    return Table(f"{run.portfolios:,} portfolios on new tables", ("Figure", "value"), rows)
