"""How a simulated run went."""

from dataclasses import dataclass

from infra.capacity.fleet import FleetRun


@dataclass(frozen=True, slots=True)
class Sample:
    """The run at one moment.

    Attributes
    ----------
    second
    done
        Portfolios whose batch has ended.
    children
        Batches under way.
    calculating
        Calls of CalculatePortfolio under way.
    throttled
        Calls throttled until then.
    write_units
        What the table of results gives a second.
    """

    second: float
    done: int
    children: int
    calculating: int
    throttled: int
    write_units: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went. Counts are those of the whole run, whatever part of it was simulated.

    Attributes
    ----------
    plan_seconds, map_seconds, summarise_seconds
        Of PlanBatches, CalculateBatches and SummariseRun.
    calculated, failed
        Portfolios whose batch ended with a row for them, and the others.
    backfilled
        Portfolios among the calculated whose records the time series lacks.
    throttled
        Calls by task: by Lambda, or by a store.
    cold
        New environments of CalculatePortfolio.
    utilisation
        By limit, the part of it that was used on average, or for a limit on something single its longest.
    mean_batch_seconds, longest_batch_seconds
    samples
        In order of time.
    """

    run: FleetRun
    plan_seconds: float
    map_seconds: float
    summarise_seconds: float
    calculated: int
    failed: int
    backfilled: int
    throttled: dict[str, int]
    cold: int
    utilisation: dict[str, float]
    mean_batch_seconds: float
    longest_batch_seconds: float
    samples: tuple[Sample, ...]

    @property
    def seconds(self) -> float:
        """From the start of the run to its end."""
        return self.plan_seconds + self.map_seconds + self.summarise_seconds
