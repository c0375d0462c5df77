"""What a portfolio asks of the services: sizes, units and durations, measured on this project.

tests/infra/test_capacity.py makes the same rows with the project's own code and holds the sizes to them. Durations are
those of one machine, so no test holds them; `on_lambda` says what is made of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil
from types import MappingProxyType
from typing import Final

from common.models.limits import STATE_BUDGET_BYTES
from infra.capacity.limits import FULL_CORE_MB
from workflows.registry import FUNCTIONS

# A core of Lambda on arm64 against the machine that durations were measured on: an assumption, on the slow side.
CORE_RATIO: Final = 1.15
# From an inner state's entry to its function's first line and back, beyond what the function takes: an assumption.
INVOKE_SECONDS: Final = 0.025
# What Step Functions takes for a state besides: an assumption.
TRANSITION_SECONDS: Final = 0.010
# A request to DynamoDB, S3 or Timestream and back, of which a function only waits: an assumption.
DYNAMODB_SECONDS: Final = 0.005
S3_SECONDS: Final = 0.025
TIMESTREAM_SECONDS: Final = 0.040
# From a new environment to its handler: imports take 0.4 s on one full core, and boto3's clients are made.
COLD_SECONDS: Final = 0.9
BATCH_RECORDS: Final = 100  # of a WriteRecords call
DYNAMODB_WRITERS: Final = 8
TIMESTREAM_WRITERS: Final = 4
PAYLOAD_READERS: Final = 16


class Kind(StrEnum):
    """Where the data of a portfolio come from, and how much there is."""

    INLINE = "inline"
    """2,520 valuations in the manifest, too many for the state: a work item in S3."""
    VALUED = "valued"
    """2,520 valuations and 50 flows in the books, and a benchmark there."""
    TRADED = "traded"
    """500 transactions in 20 securities in the books, and a benchmark there."""


@dataclass(frozen=True, slots=True)
class Row:
    """A result.

    Attributes
    ----------
    outcome_bytes
        What CalculatePortfolio returns, as JSON.
    item_bytes
        The item in the table of results, by DynamoDB's rules.
    records
        Of the time series.
    """

    outcome_bytes: int
    item_bytes: int
    records: int

    @property
    def write_units(self) -> int:
        """Of the item, written once."""
        return ceil(self.item_bytes / 1024)


ROWS: Final[Mapping[Kind, Mapping[int, Row]]] = MappingProxyType(
    {
        Kind.INLINE: {1: Row(1_792, 1_372, 5), 4: Row(5_996, 4_535, 18), 8: Row(11_810, 8_987, 32)},
        Kind.VALUED: {1: Row(1_798, 1_344, 5), 4: Row(5_625, 4_467, 18), 8: Row(10_988, 8_918, 32)},
        Kind.TRADED: {1: Row(2_126, 1_668, 5), 4: Row(5_950, 4_778, 18), 8: Row(11_306, 9_204, 32)},
    }
)
"""By the number of periods; those without a benchmark have the longer texts of what is undefined."""
LARGEST_OUTCOME_BYTES: Final[Mapping[int, int]] = MappingProxyType({1: 2_518, 4: 7_611, 8: 14_401})
"""By the number of periods, what CalculatePortfolio returns at most: nothing defined, and all ids of full length."""

RECORD_BYTES: Final = 81
"""Of a record of the time series, by Timestream's rules, without what is common to its call."""
COMMON_BYTES: Final = 40
"""What is common to a call."""
STORED_RECORD_BYTES: Final = RECORD_BYTES + COMMON_BYTES
"""Of a record as it is stored."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What CalculatePortfolio reads, and how long it takes.

    Attributes
    ----------
    handler_ms
        Warm, on the machine of docs/benchmarks.md, with a DynamoDB beside it on the same cores.
    calls, read_units
        Of DynamoDB, with prices and benchmark in memory.
    cold_calls, cold_read_units
        With nothing in memory.
    s3_gets
        The work item.
    """

    handler_ms: float
    calls: int
    read_units: float
    cold_calls: int
    cold_read_units: float
    s3_gets: int = 0


READINGS: Final[Mapping[Kind, Reading]] = MappingProxyType(
    {
        Kind.INLINE: Reading(8, 0, 0, 0, 0, s3_gets=1),
        Kind.VALUED: Reading(21, 3, 7, 4, 10),
        Kind.TRADED: Reading(58, 3, 38, 24, 91),
    }
)
"""docs/benchmarks.md: "What that asks of DynamoDB", and the times above it; inline measured without a store."""

PERIOD_SHARE: Final[Mapping[int, float]] = MappingProxyType({1: 0.5, 4: 0.75, 8: 1.0})
"""Of the time that eight periods take."""

HOT_READ_UNITS: Final = 1.0
"""Of the benchmark's own item, and of each security's that everybody holds, for each portfolio of the books."""
CACHE_WRITE_UNITS: Final = 3.0
CACHE_READ_UNITS: Final = 0.5
"""A miss of the shared cache, which is what every portfolio of a new night is."""

# CPU of the other functions on the measuring machine, in ms.
VALIDATE_MS: Final = 1.0
WRITE_ROW_MS: Final = 6.4
WRITE_SERIES_MS: Final = 1.9
PLAN_ENTITY_MS: Final = 0.05
"""A page of ClientIndex, read and made entities of: 49 us an entity."""
SUMMARISE_PORTFOLIO_MS: Final = 0.01
"""Two levels of JSON for some 250 bytes of the result files: 8 us of them."""

LOG_LINE_BYTES: Final = 450
"""Of each call of a function, in JSON; its platform events are not logged."""
EXECUTION_EVENT_BYTES: Final = 400
"""Of an execution's log at level ALL, without data: an event."""
SAMPLED: Final = 0.05
"""Of the calls of a function with active tracing are traced, and one a second: X-Ray's default."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The portfolios of a run, all of one kind.

    Attributes
    ----------
    kind
    periods
        1, 4 or 8.
    time_series
        Whether the deployment has one.
    cache
        Whether results go into the shared cache.
    memory_mb
        Of functions that have another size than the registry says.
    """

    kind: Kind = Kind.VALUED
    periods: int = 8
    time_series: bool = True
    cache: bool = True
    memory_mb: Mapping[str, int] = field(default_factory=dict)

    @property
    def row(self) -> Row:
        """What a portfolio's result is."""
        return ROWS[self.kind][self.periods]

    @property
    def reading(self) -> Reading:
        """What a portfolio's data are."""
        return READINGS[self.kind]

    def memory(self, function: str) -> int:
        """Return the memory of a function in MB."""
        return self.memory_mb.get(function, FUNCTIONS[function].memory_mb)

    def inline(self, batch_size: int) -> bool:
        """Return whether results travel in the state: each has an equal share of it."""
        return self.row.outcome_bytes <= STATE_BUDGET_BYTES // batch_size

    @property
    def largest_inline_batch(self) -> int:
        """The most portfolios in a batch whose results still travel in the state."""
        return STATE_BUDGET_BYTES // self.row.outcome_bytes

    def on_lambda(self, function: str, ms: float) -> float:
        """Return the seconds of `ms` of the measuring machine's CPU: below 1,769 MB a function has a part of a core."""
        return ms / 1000 * CORE_RATIO * max(1.0, FULL_CORE_MB.value / self.memory(function))

    def validate_seconds(self) -> float:
        """Return how long ValidateInput runs."""
        return self.on_lambda("ValidateInput", VALIDATE_MS)

    def calculate_seconds(self, batch_size: int, *, cold: bool = False) -> float:
        """Return how long CalculatePortfolio runs, in an environment that is there."""
        reading = self.reading
        calls = (reading.cold_calls if cold else reading.calls) + (2 if self.cache and reading.calls else 0)
        objects = reading.s3_gets + (0 if self.inline(batch_size) else 1)
        cpu = self.on_lambda("CalculatePortfolio", reading.handler_ms * PERIOD_SHARE[self.periods])
        return cpu + calls * DYNAMODB_SECONDS + objects * S3_SECONDS

    def write_rows_seconds(self, batch_size: int) -> float:
        """Return how long PersistDynamoDB runs."""
        cpu = self.on_lambda("PersistDynamoDB", WRITE_ROW_MS * self.row.write_units / ROWS[self.kind][8].write_units)
        return batch_size * (cpu + DYNAMODB_SECONDS / DYNAMODB_WRITERS) + self._payload_seconds(batch_size)

    def write_series_seconds(self, batch_size: int) -> float:
        """Return how long PersistTimestream runs; a millisecond where there is none."""
        if not self.time_series:
            return self.on_lambda("PersistTimestream", 1.0)
        cpu = self.on_lambda("PersistTimestream", WRITE_SERIES_MS * self.row.records / ROWS[self.kind][8].records)
        waits = ceil(self.series_calls(batch_size) / TIMESTREAM_WRITERS)
        return batch_size * cpu + waits * TIMESTREAM_SECONDS + self._payload_seconds(batch_size)

    def series_calls(self, batch_size: int) -> int:
        """Return the calls of WriteRecords for a batch."""
        return ceil(batch_size * self.row.records / BATCH_RECORDS) if self.time_series else 0

    def series_writes(self, batch_size: int) -> int:
        """Return the writes of 1 KiB that a batch is billed."""
        records = batch_size * self.row.records
        full, rest = divmod(records, BATCH_RECORDS)
        sizes = [BATCH_RECORDS] * full + ([rest] if rest else [])
        return sum(ceil((COMMON_BYTES + each * RECORD_BYTES) / 1024) for each in sizes) if self.time_series else 0

    def plan_seconds(self, portfolios: int) -> float:
        """Return how long PlanBatches runs over the books, or over a manifest of as many lines."""
        return self.on_lambda("PlanBatches", portfolios * PLAN_ENTITY_MS) + portfolios / 4_000 * 0.040

    def summarise_seconds(self, portfolios: int) -> float:
        """Return how long SummariseRun runs."""
        return self.on_lambda("SummariseRun", portfolios * SUMMARISE_PORTFOLIO_MS)

    def _payload_seconds(self, batch_size: int) -> float:
        return 0.0 if self.inline(batch_size) else ceil(batch_size / PAYLOAD_READERS) * S3_SECONDS
