"""What a run costs, by service and by design: pure functions of prices, steps and sizes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from math import ceil
from typing import NamedTuple

from common.models.limits import DEFAULT_BATCH_CONCURRENCY, DEFAULT_BATCH_SIZE
from infra.capacity import prices, steps
from infra.capacity.limits import INLINE_ITERATIONS
from infra.capacity.prices import Price
from infra.capacity.workload import (
    CACHE_READ_UNITS,
    CACHE_WRITE_UNITS,
    COLD_SECONDS,
    EXECUTION_EVENT_BYTES,
    INVOKE_SECONDS,
    LOG_LINE_BYTES,
    SAMPLED,
    STORED_RECORD_BYTES,
    TRANSITION_SECONDS,
    Workload,
)

_EXPRESS_CHUNK_MB = 64
# AWS's own estimate of an Express execution's memory: this, its definition, and its data for each step of its Maps.
_EXPRESS_BASE_MB = 50.0
# The request, its share and the work item of an iteration.
_ITERATION_BYTES = 2_048
_GB = 1024**3


class Children(StrEnum):
    """What calculates the batches."""

    EXPRESS = "EXPRESS"
    STANDARD = "STANDARD"
    PLAIN = "plain"
    """No fleet run: an execution of the calculation for each batch."""


@dataclass(frozen=True, slots=True)
class Design:
    """How a run is cut; as a request is that says nothing else.

    Attributes
    ----------
    children
    batch_size
        Portfolios in a batch.
    max_concurrency
        Portfolios of a batch at a time.
    log_executions
        Whether the events of executions are logged at level ALL.
    """

    children: Children = Children.EXPRESS
    batch_size: int = DEFAULT_BATCH_SIZE
    max_concurrency: int = DEFAULT_BATCH_CONCURRENCY
    log_executions: bool = True

    @property
    def at_a_time(self) -> int:
        """How many portfolios of a batch run at a time."""
        return min(self.max_concurrency, self.batch_size, int(INLINE_ITERATIONS.value))


class Line(NamedTuple):
    """A line of the bill."""

    price: Price
    what: str
    quantity: float

    @property
    def usd(self) -> float:
        """What it costs."""
        return self.price.of(self.quantity)


def run_lines(
    portfolios: int, design: Design, workload: Workload, *, batch_takes: float | None = None, cold: int = 0
) -> list[Line]:
    """Return the bill of a run in which everything succeeds.

    Parameters
    ----------
    portfolios
        How many; the last batch counts as a whole one.
    batch_takes
        Seconds, as simulated; those of `batch_seconds` when None.
    cold
        Environments of CalculatePortfolio that had to be made.
    """
    batches = ceil(portfolios / design.batch_size)
    started = cold * COLD_SECONDS * workload.memory("CalculatePortfolio") / 1024
    return [
        *_step_functions(batches, design, batch_takes or batch_seconds(design, workload)),
        Line(prices.LAMBDA_DURATION, "initialisation", started),
        *_functions(portfolios, batches, design, workload),
        *_stores(portfolios, batches, design, workload),
        *_observation(portfolios, batches, design),
    ]


def by_service(lines: Iterable[Line]) -> dict[str, float]:
    """Return the USD of each service, in the order in which they come."""
    found: dict[str, float] = {}
    for line in lines:
        found[line.price.service] = found.get(line.price.service, 0.0) + line.usd
    return found


def total(lines: Iterable[Line]) -> float:
    """Return the USD of all lines."""
    return sum(line.usd for line in lines)


def batch_seconds(design: Design, workload: Workload) -> float:
    """Return how long a batch takes when nothing is in its way."""
    size = design.batch_size
    tasks = workload.validate_seconds() + workload.write_rows_seconds(size) + workload.write_series_seconds(size)
    waves = ceil(size / design.at_a_time)
    # Outside of the Map; an iteration's own state is part of its wave.
    outside = _batch_steps(size).transitions - size
    return (
        tasks
        + 3 * INVOKE_SECONDS
        + outside * TRANSITION_SECONDS
        + waves * (workload.calculate_seconds(size) + INVOKE_SECONDS + TRANSITION_SECONDS)
    )


def express_memory_mb(design: Design) -> int:
    """Return the memory that an Express child is billed, in chunks of 64 MB."""
    used = _EXPRESS_BASE_MB + (_definition_bytes() + design.batch_size * _ITERATION_BYTES) / 1024**2
    return ceil(used / _EXPRESS_CHUNK_MB) * _EXPRESS_CHUNK_MB


@cache
def _batch_steps(size: int) -> steps.Steps:
    return steps.batch_steps(size)


@cache
def _definition_bytes() -> int:
    return steps.batch_bytes()


@cache
def _fixed_fleet_transitions() -> int:
    return steps.fleet_steps(0).transitions


def _step_functions(batches: int, design: Design, seconds: float) -> Sequence[Line]:
    size = design.batch_size
    match design.children:
        case Children.PLAIN:
            return [Line(prices.TRANSITION, "executions", batches * steps.calculation_steps(size).transitions)]
        case Children.STANDARD:
            inside = batches * _batch_steps(size).transitions
            return [
                Line(prices.TRANSITION, "the run, and each batch begun", _fixed_fleet_transitions() + batches),
                Line(prices.TRANSITION, "batches", inside),
            ]
        case Children.EXPRESS:
            billed = ceil(seconds * 10) / 10
            return [
                Line(prices.TRANSITION, "the run, and each batch begun", _fixed_fleet_transitions() + batches),
                Line(prices.EXPRESS_REQUEST, "batches", batches),
                Line(prices.EXPRESS_DURATION, "batches", batches * billed * express_memory_mb(design) / 1024),
            ]


def _functions(portfolios: int, batches: int, design: Design, workload: Workload) -> Sequence[Line]:
    size = design.batch_size
    seconds: dict[str, tuple[int, float]] = {
        "ValidateInput": (batches, workload.validate_seconds()),
        "CalculatePortfolio": (portfolios, workload.calculate_seconds(size)),
        "PersistDynamoDB": (batches, workload.write_rows_seconds(size)),
        "PersistTimestream": (batches, workload.write_series_seconds(size)),
    }
    if design.children is not Children.PLAIN:
        seconds["PlanBatches"] = (1, workload.plan_seconds(portfolios))
        seconds["SummariseRun"] = (1, workload.summarise_seconds(portfolios))
    return [
        Line(prices.LAMBDA_REQUEST, "calls", sum(calls for calls, _ in seconds.values())),
        *(
            Line(prices.LAMBDA_DURATION, name, calls * each * workload.memory(name) / 1024)
            for name, (calls, each) in seconds.items()
        ),
    ]


def _stores(portfolios: int, batches: int, design: Design, workload: Workload) -> Sequence[Line]:
    size, reading, row = design.batch_size, workload.reading, workload.row
    lines = [
        Line(prices.WRITE_UNIT, "rows", portfolios * row.write_units),
        Line(prices.READ_UNIT, "books", portfolios * reading.read_units),
    ]
    if workload.cache and reading.calls:
        lines += [
            Line(prices.WRITE_UNIT, "shared cache", portfolios * CACHE_WRITE_UNITS),
            Line(prices.READ_UNIT, "shared cache", portfolios * CACHE_READ_UNITS),
        ]
    if workload.time_series:
        lines.append(Line(prices.TIMESTREAM_WRITE, "records", batches * workload.series_writes(size)))
    # Work items are put by PlanBatches, some thousand of them at a time, or by ValidateInput one by one.
    put = portfolios if reading.s3_gets else 0
    got = portfolios * reading.s3_gets
    if not workload.inline(size):
        put, got = put + portfolios, got + 2 * portfolios
    lines += [Line(prices.S3_PUT, "work items and results", put), Line(prices.S3_GET, "work items and results", got)]
    return lines


def _observation(portfolios: int, batches: int, design: Design) -> Sequence[Line]:
    calls = portfolios + 3 * batches
    lines = [Line(prices.LOG_INGESTION, "functions", calls * LOG_LINE_BYTES / _GB)]
    if design.log_executions:
        events = batches * _batch_steps(design.batch_size).events
        lines.append(Line(prices.LOG_INGESTION, "executions", events * EXECUTION_EVENT_BYTES / _GB))
    lines.append(Line(prices.TRACE, "functions", calls * SAMPLED))
    return lines


def stored_lines(portfolios: int, workload: Workload, *, memory_hours: float) -> list[Line]:
    """Return what it costs for a month to keep the rows of one run.

    Parameters
    ----------
    memory_hours
        How long the records stay in Timestream's memory store: its retention, less their age when they are written.
    """
    row = workload.row
    rows, records = portfolios * row.item_bytes / _GB, portfolios * row.records * STORED_RECORD_BYTES / _GB
    lines = [Line(prices.TABLE_STORAGE, "rows", rows), Line(prices.TABLE_BACKUP, "rows", rows)]
    if workload.time_series:
        lines += [
            Line(prices.TIMESTREAM_MEMORY, "records", records * memory_hours),
            Line(prices.TIMESTREAM_MAGNETIC, "records", records),
        ]
    return lines


def idle_lines(inventory: Mapping[Price, tuple[str, float]]) -> list[Line]:
    """Return a month's bill of what is there and does nothing."""
    return [Line(price, what, quantity) for price, (what, quantity) in inventory.items() if quantity]
