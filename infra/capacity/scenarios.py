"""Which runs are simulated, what binds each of them, and what to raise next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd
from typing import Final, NamedTuple

from common.models.limits import DEFAULT_CONCURRENT_BATCHES
from infra.capacity.cost import Children, run_lines, total
from infra.capacity.fleet import DEFAULT_DESIGN, Capacity, FleetRun
from infra.capacity.limits import FULL_CORE_MB
from infra.capacity.outcome import Outcome
from infra.capacity.simulation import simulate
from infra.capacity.workload import Workload
from infra.settings import STAGES

SIZES: Final = (10_000, 1_000_000, 10_000_000)

# As many at a time as CalculatePortfolio's reserved concurrency of prod, so that Lambda never throttles it. More
# batches of fewer each are faster, since a batch spends most of its time elsewhere; 400 of one at a time are more than
# a new table takes.
RECOMMENDED_BATCHES: Final = DEFAULT_CONCURRENT_BATCHES
RECOMMENDED: Final = replace(DEFAULT_DESIGN, log_executions=False)
RECOMMENDED_CAPACITY: Final = replace(Capacity.of_stage(STAGES["prod"]), max_children=RECOMMENDED_BATCHES)
RECOMMENDED_WORKLOAD: Final = Workload(cache=False)

_SIMULATED: Final = 40_000
_FEWEST_BATCHES, _FEWEST_CALLS = 4, 16
# A limit that is used less than this does not bind, whatever else is raised.
_IDLE: Final = 0.5
_WORTH_IT: Final = 0.03


@dataclass(frozen=True, slots=True)
class Knob:
    """What can be raised.

    Attributes
    ----------
    limit
        The limit that it relieves, as an outcome names it.
    what
        What is done.
    turn
        Makes of a run the one with it.
    """

    limit: str
    what: str
    turn: Callable[[FleetRun], FleetRun]


class Rung(NamedTuple):
    """A run, what binds it, and what that gives when it is raised.

    Attributes
    ----------
    raised
        What was raised from the run before; None for the first.
    binds
        What shortens the run most when it is raised; None where nothing does by three percent.
    """

    raised: str | None
    outcome: Outcome
    binds: Knob | None


def recommended(portfolios: int) -> FleetRun:
    """Return a run with what is recommended, on tables that are new."""
    return FleetRun(portfolios, RECOMMENDED, RECOMMENDED_WORKLOAD, RECOMMENDED_CAPACITY)


def warm(run: FleetRun) -> FleetRun:
    """Return a run on tables that are warm to their quota."""
    units = run.capacity.table_units
    return replace(run, capacity=replace(run.capacity, write_units=units, read_units=units))


def mixed(run: FleetRun, batches: int, portfolios: int) -> FleetRun:
    """Return a run with so many batches at a time, of so many portfolios at a time."""
    return replace(
        run,
        design=replace(run.design, max_concurrency=portfolios),
        capacity=replace(run.capacity, max_children=batches),
    )


def cut(run: FleetRun, children: Children, batch_size: int) -> FleetRun:
    """Return a run with other batches."""
    return replace(run, design=replace(run.design, children=children, batch_size=batch_size))


def scale_of(run: FleetRun) -> int:
    """Return the part of a run to simulate: few portfolios, yet enough batches and calls at a time."""
    capacity = run.capacity
    common = gcd(capacity.max_children, capacity.calculate_concurrency)
    possible = [
        by
        for by in range(1, common + 1)
        if common % by == 0
        and (
            by == 1
            or (
                capacity.max_children // by >= _FEWEST_BATCHES and capacity.calculate_concurrency // by >= _FEWEST_CALLS
            )
        )
    ]
    return next((by for by in possible if run.portfolios / by <= _SIMULATED), possible[-1])


def simulated(run: FleetRun) -> Outcome:
    """Simulate a run at the scale that suits it."""
    return simulate(run, scale=scale_of(run))


def outcome_cost(outcome: Outcome) -> float:
    """Return the USD of a run, with how long its batches took."""
    run = outcome.run
    return total(
        run_lines(
            run.portfolios,
            run.design,
            run.workload,
            batch_takes=outcome.mean_batch_seconds,
            cold=outcome.cold,
        )
    )


def ladder(run: FleetRun, rungs: int) -> list[Rung]:
    """Simulate a run, raise what binds it, and so on.

    What binds is what shortens the run most when it is doubled: a limit can be used to the full and yet not bind.
    """
    found: list[Rung] = []
    raised, outcome = None, simulated(run)
    for _ in range(rungs):
        best = _best(outcome)
        found.append(Rung(raised, outcome, best[0] if best else None))
        if best is None:
            break
        raised, outcome = best[0].what, best[1]
    return found


def _best(outcome: Outcome) -> tuple[Knob, Outcome] | None:
    tried = [
        (knob, simulated(turned))
        for knob in KNOBS
        if outcome.utilisation[knob.limit] >= _IDLE and (turned := knob.turn(outcome.run)) != outcome.run
    ]
    better = [each for each in tried if each[1].map_seconds < outcome.map_seconds * (1 - _WORTH_IT)]
    return min(better, key=lambda each: each[1].map_seconds, default=None)


def _capacity(**doubled: int) -> Callable[[FleetRun], FleetRun]:
    def turn(run: FleetRun) -> FleetRun:
        more = {name: getattr(run.capacity, name) * by for name, by in doubled.items()}
        return replace(run, capacity=replace(run.capacity, **more))

    return turn


def _writes(run: FleetRun) -> FleetRun:
    more = run.capacity.write_units * 2
    return replace(
        run, capacity=replace(run.capacity, write_units=more, table_units=max(more, run.capacity.table_units))
    )


def _reads(run: FleetRun) -> FleetRun:
    more = run.capacity.read_units * 2
    return replace(
        run, capacity=replace(run.capacity, read_units=more, table_units=max(more, run.capacity.table_units))
    )


def _persist_memory(run: FleetRun) -> FleetRun:
    whole = int(FULL_CORE_MB.value)
    memory = {**run.workload.memory_mb, "PersistDynamoDB": whole, "PersistTimestream": whole}
    return replace(run, workload=replace(run.workload, memory_mb=memory))


def _larger(run: FleetRun) -> FleetRun:
    return replace(run, design=replace(run.design, batch_size=run.design.batch_size * 2))


KNOBS: Final = (
    Knob("results table, write units", "twice the warm throughput of the table of results", _writes),
    Knob(
        "MaxConcurrency of the Map",
        "PersistDynamoDB and PersistTimestream with a whole core (1,769 MB)",
        _persist_memory,
    ),
    Knob(
        "MaxConcurrency of the Map",
        "twice the batches at a time, and Lambda's concurrency with them",
        _capacity(max_children=2, calculate_concurrency=2, other_concurrency=2),
    ),
    Knob("entity table, read units", "twice the warm throughput of the table of entities", _reads),
    Knob(
        "benchmark's partition, read units",
        "the benchmark's revision read half as often",
        _capacity(hot_read_units=2),
    ),
    Knob("WriteRecords calls", "Timestream grown to twice the calls", _capacity(series_calls=2)),
    Knob("batches begun a second", "batches of twice the size", _larger),
)
