"""A fleet run to simulate: what it does, and what it has to do it with."""

from dataclasses import dataclass, field, replace
from typing import Final, Self

from common.models.limits import DEFAULT_CONCURRENT_BATCHES
from infra.capacity import limits
from infra.capacity.cost import Children, Design
from infra.capacity.workload import (
    COLD_SECONDS,
    INVOKE_SECONDS,
    TRANSITION_SECONDS,
    Workload,
)
from infra.settings import STAGES, StageSettings

DEFAULT_DESIGN: Final = Design()
"""What a request gets that says nothing else."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a run has.

    Attributes
    ----------
    max_children
        `MaxConcurrency` of the Map: batches at a time.
    calculate_concurrency
        Of CalculatePortfolio.
    other_concurrency
        Of ValidateInput, PersistDynamoDB and PersistTimestream together.
    requests_per_concurrency
        Calls a second that Lambda takes for each of it.
    new_environments
        Of a function within ten seconds.
    write_units
        Of the table of results, a second, at the beginning.
    read_units
        Of the table of entities.
    table_units
        What either grows to.
    hot_read_units
        Of the partition that every portfolio reads: the benchmark's.
    series_calls
        Calls of WriteRecords a second, at the beginning.
    express_dispatch, standard_dispatch
        Children begun a second.
    standard_transitions
        A second.
    """

    max_children: int = DEFAULT_CONCURRENT_BATCHES
    calculate_concurrency: int = 400
    other_concurrency: int = 450
    requests_per_concurrency: float = 10.0
    new_environments: float = limits.ENVIRONMENTS.value
    write_units: float = limits.WARM_WRITES.value
    read_units: float = limits.WARM_READS.value
    table_units: float = limits.TABLE_UNITS.value
    hot_read_units: float = limits.PARTITION_READS.value
    series_calls: float = limits.TIMESTREAM_CALLS.value
    express_dispatch: float = limits.EXPRESS_DISPATCH.value
    standard_dispatch: float = limits.STANDARD_DISPATCH.value
    standard_transitions: float = limits.STANDARD_TRANSITIONS.value

    @classmethod
    def of_stage(cls, settings: StageSettings) -> Self:
        """Return what a stage has in an account of its own at the default quotas."""
        account = int(limits.CONCURRENCY.value)
        reserved = settings.reserved_concurrency
        left = account - sum(reserved.values())
        return cls(calculate_concurrency=reserved.get("CalculatePortfolio", left), other_concurrency=left)

    def scaled(self, by: int) -> Self:
        """Return a `by`-th of it, for a run of a `by`-th of the portfolios.

        Raises
        ------
        ValueError
            Something of which there are few, and which may bind, cannot be divided so.
        """
        if self.max_children % by or self.calculate_concurrency % by:
            raise ValueError(f"{self.max_children} and {self.calculate_concurrency} cannot both be divided by {by}")
        return replace(
            self,
            max_children=self.max_children // by,
            calculate_concurrency=self.calculate_concurrency // by,
            other_concurrency=max(1, self.other_concurrency // by),
            new_environments=self.new_environments / by,
            write_units=self.write_units / by,
            read_units=self.read_units / by,
            table_units=self.table_units / by,
            hot_read_units=self.hot_read_units / by,
            series_calls=self.series_calls / by,
            express_dispatch=self.express_dispatch / by,
            standard_dispatch=self.standard_dispatch / by,
            standard_transitions=self.standard_transitions / by,
        )


@dataclass(frozen=True, slots=True)
class Times:
    """How long things take, in seconds, when nothing is in their way."""

    validate: float
    calculate: float
    calculate_cold: float
    write_rows: float
    write_series: float
    invoke: float = INVOKE_SECONDS
    transition: float = TRANSITION_SECONDS
    cold: float = COLD_SECONDS


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A run.

    Attributes
    ----------
    portfolios
    design, workload, capacity
    times
        Those of the workload when None.
    spread
        Standard deviation of a function's duration, relative to its mean.
    seed
        Of the durations and of the jitter between attempts.
    """

    portfolios: int
    design: Design = field(default_factory=lambda: DEFAULT_DESIGN)
    workload: Workload = field(default_factory=Workload)
    capacity: Capacity = field(default_factory=lambda: Capacity.of_stage(STAGES["prod"]))
    times: Times | None = None
    spread: float = 0.3
    seed: int = 1

    @property
    def durations(self) -> Times:
        """How long things take."""
        size, load = self.design.batch_size, self.workload
        return self.times or Times(
            validate=load.validate_seconds(),
            calculate=load.calculate_seconds(size),
            calculate_cold=load.calculate_seconds(size, cold=True),
            write_rows=load.write_rows_seconds(size),
            write_series=load.write_series_seconds(size),
        )

    @property
    def express(self) -> bool:
        """Whether the children are EXPRESS."""
        return self.design.children is Children.EXPRESS
