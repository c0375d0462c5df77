"""Limits of AWS that a fleet run meets, at their defaults."""

from dataclasses import dataclass
from typing import Final

from infra.capacity.evidence import Evidence

_STEP_FUNCTIONS = "https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"
_MAP = "https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"
_INLINE_MAP = "https://docs.aws.amazon.com/step-functions/latest/dg/state-map.html"
_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
_LAMBDA_SCALING = "https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html"
_LAMBDA_MEMORY = "https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"
_WARM = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html"
_ON_DEMAND = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"
_DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"
_TIMESTREAM = "https://docs.aws.amazon.com/timestream/latest/developerguide/ts-limits.html"
_TIMESTREAM_THROTTLES = "https://docs.aws.amazon.com/timestream/latest/developerguide/troubleshoot-writethrottles.html"
_S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that something may not exceed.

    Attributes
    ----------
    what
        What is limited.
    value
    unit
        Of `value`.
    page
        Where AWS says so.
    evidence
        How well it is known.
    raised
        What raises it; None where nothing does.
    """

    what: str
    value: float
    unit: str
    page: str
    evidence: Evidence
    raised: str | None = None


EXPRESS_DISPATCH: Final = Limit("Distributed Map: EXPRESS children begun", 1_000, "a second", _MAP, Evidence.SECONDARY)
STANDARD_DISPATCH: Final = Limit("Distributed Map: STANDARD children begun", 100, "a second", _MAP, Evidence.SECONDARY)
MAP_CHILDREN: Final = Limit("Distributed Map: children at a time", 10_000, "children", _MAP, Evidence.PAGE)
INLINE_ITERATIONS: Final = Limit("inline Map: iterations at a time", 40, "iterations", _INLINE_MAP, Evidence.PAGE)
HISTORY_EVENTS: Final = Limit("history of a Standard execution", 25_000, "events", _STEP_FUNCTIONS, Evidence.PAGE)
EXPRESS_SECONDS: Final = Limit("duration of an Express execution", 300, "s", _STEP_FUNCTIONS, Evidence.PAGE)
STATE_BYTES: Final = Limit("input or output of a state", 262_144, "bytes", _STEP_FUNCTIONS, Evidence.PAGE)
# Standard only, in us-east-1; a new account has less.
STANDARD_TRANSITIONS: Final = Limit(
    "Standard: state transitions", 5_000, "a second", _STEP_FUNCTIONS, Evidence.UNVERIFIED, "a quota request"
)
CONCURRENCY: Final = Limit(
    "Lambda: concurrency of an account", 1_000, "calls", _LAMBDA, Evidence.PAGE, "a quota request; new accounts have 10"
)
ENVIRONMENTS: Final = Limit(
    "Lambda: new environments of a function within 10 s", 1_000, "environments", _LAMBDA_SCALING, Evidence.PAGE
)
FUNCTION_SECONDS: Final = Limit("Lambda: duration of a call", 900, "s", _LAMBDA, Evidence.PAGE)
FULL_CORE_MB: Final = Limit("Lambda: memory that comes with one core", 1_769, "MB", _LAMBDA_MEMORY, Evidence.UNVERIFIED)
WARM_WRITES: Final = Limit(
    "DynamoDB on demand: writes of a new table", 4_000, "units a second", _WARM, Evidence.PAGE, "warm throughput"
)
WARM_READS: Final = Limit(
    "DynamoDB on demand: reads of a new table", 12_000, "units a second", _WARM, Evidence.PAGE, "warm throughput"
)
DOUBLING_SECONDS: Final = Limit(
    "DynamoDB on demand: twice the peak so far, after", 1_800, "s", _ON_DEMAND, Evidence.PAGE, "warm throughput"
)
TABLE_UNITS: Final = Limit(
    "DynamoDB: reads, and writes, of a table", 40_000, "units a second", _DYNAMODB, Evidence.PAGE, "a quota request"
)
PARTITION_WRITES: Final = Limit("DynamoDB: writes of a partition", 1_000, "units a second", _WARM, Evidence.PAGE)
PARTITION_READS: Final = Limit("DynamoDB: reads of a partition", 3_000, "units a second", _WARM, Evidence.PAGE)
MAGNETIC_PARTITIONS: Final = Limit(
    "Timestream: active partitions of the magnetic store", 250, "of a database", _TIMESTREAM, Evidence.PAGE
)
# The service says that it throttles while it grows, and no number: this one is for the model to have one.
TIMESTREAM_CALLS: Final = Limit(
    "Timestream: WriteRecords before it has grown",
    1_000,
    "calls a second",
    _TIMESTREAM_THROTTLES,
    Evidence.UNVERIFIED,
    "load itself",
)
TIMESTREAM_DOUBLING_SECONDS: Final = Limit(
    "Timestream: twice as many, after", 600, "s", _TIMESTREAM_THROTTLES, Evidence.UNVERIFIED
)
S3_PUTS: Final = Limit("S3: PUT of a prefix", 3_500, "a second", _S3, Evidence.PAGE, "load itself")
S3_GETS: Final = Limit("S3: GET of a prefix", 5_500, "a second", _S3, Evidence.PAGE, "load itself")

LIMITS: Final = (
    EXPRESS_DISPATCH,
    STANDARD_DISPATCH,
    MAP_CHILDREN,
    INLINE_ITERATIONS,
    HISTORY_EVENTS,
    EXPRESS_SECONDS,
    STATE_BYTES,
    STANDARD_TRANSITIONS,
    CONCURRENCY,
    ENVIRONMENTS,
    FUNCTION_SECONDS,
    FULL_CORE_MB,
    WARM_WRITES,
    WARM_READS,
    DOUBLING_SECONDS,
    TABLE_UNITS,
    PARTITION_WRITES,
    PARTITION_READS,
    MAGNETIC_PARTITIONS,
    TIMESTREAM_CALLS,
    TIMESTREAM_DOUBLING_SECONDS,
    S3_PUTS,
    S3_GETS,
)
"""All of them, in the order of the table."""
