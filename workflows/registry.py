"""Which function stands behind each placeholder of a state machine, and behind each way in.

Handlers are named by strings: whoever reads this, the CDK app among them, imports neither numpy nor a task.
"""

from dataclasses import dataclass

from common.models.limits import INVOCATION_BYTES, STATE_PAYLOAD_BYTES


@dataclass(frozen=True, slots=True)
class LambdaFunction:
    """A Lambda function and what it needs.

    Attributes
    ----------
    handler : str
        `module.function`.
    timeout_seconds : int
        Its Task's `TimeoutSeconds` is longer, so that the function's own end is what Step Functions sees.
    memory_mb : int
    environment : tuple of str
        Names of the settings it reads.
    max_event_bytes : int
        The largest event that whoever calls it hands on.
    ephemeral_mb : int
        Room for its temporary files.
    """

    handler: str
    timeout_seconds: int
    memory_mb: int
    environment: tuple[str, ...]
    max_event_bytes: int = STATE_PAYLOAD_BYTES
    ephemeral_mb: int = 512


_PAYLOADS = ("PAYLOAD_BUCKET",)
_BOOKS = ("ENTITY_TABLE",)
_RESULTS = ("DYNAMODB_TABLE",)
_TIME_SERIES = ("TIMESTREAM_DATABASE", "TIMESTREAM_TABLE")
_CACHE = ("CACHE_TABLE", "CACHE_TTL_SECONDS")
_EXECUTIONS = ("STATE_MACHINE_ARN",)
_FLEET = ("FLEET_STATE_MACHINE_ARN",)

TASKS: dict[str, LambdaFunction] = {
    "ValidateInput": LambdaFunction("tasks.validate_input.handler", 60, 1024, (*_PAYLOADS, *_BOOKS, "UPLOAD_BUCKET")),
    "CalculatePortfolio": LambdaFunction("tasks.calculate_portfolio.handler", 60, 1024, (*_PAYLOADS, *_BOOKS, *_CACHE)),
    # 1,769 MB is a whole processor: most of what these do is to wait and to sign requests, a third faster with it.
    "PersistDynamoDB": LambdaFunction("tasks.persist_dynamodb.handler", 120, 1769, (*_PAYLOADS, *_RESULTS)),
    "PersistTimestream": LambdaFunction("tasks.persist_timestream.handler", 120, 1769, (*_PAYLOADS, *_TIME_SERIES)),
    # As long as Lambda lets a function run: one pass over a manifest, and one over what its batches returned.
    # What grows with the run is in temporary files, 10 GB at most: at most 0.03 cents a call.
    "PlanBatches": LambdaFunction(
        "tasks.plan_batches.handler", 900, 2048, (*_PAYLOADS, *_BOOKS, "UPLOAD_BUCKET"), ephemeral_mb=10_240
    ),
    "SummariseRun": LambdaFunction("tasks.summarise_run.handler", 900, 2048, _PAYLOADS, ephemeral_mb=10_240),
}
"""Placeholder of the function's ARN, and name of its Task state."""

TRIGGERS: dict[str, LambdaFunction] = {
    "Api": LambdaFunction(
        "workflows.triggers.api.handler.handler",
        28,  # API Gateway waits 29 s for an integration
        512,
        (*_EXECUTIONS, *_BOOKS, *_RESULTS, *_TIME_SERIES, *_PAYLOADS, "UPLOAD_BUCKET", "TRANSACTION_QUEUE_URL"),
        INVOCATION_BYTES,
    ),
    "Authorizer": LambdaFunction(
        "workflows.triggers.authorizer.handler", 15, 256, ("JWT_SECRET_ID", "JWT_ISSUER", "JWT_AUDIENCE")
    ),
    "TransactionQueue": LambdaFunction(
        "workflows.triggers.transaction_queue.handler", 60, 256, _BOOKS, INVOCATION_BYTES
    ),
    "NightlySchedule": LambdaFunction(
        "workflows.triggers.nightly_schedule.handler",
        300,
        256,
        (*_FLEET, "BUSINESS_CALENDAR", "BUSINESS_TIMEZONE"),
    ),
    "ManifestUpload": LambdaFunction(
        "workflows.triggers.manifest_upload.handler", 60, 512, (*_EXECUTIONS, *_FLEET, *_PAYLOADS, "UPLOAD_BUCKET")
    ),
    "Recalculation": LambdaFunction(
        "workflows.triggers.recalculation.handler", 300, 512, (*_EXECUTIONS, *_FLEET, *_BOOKS, *_RESULTS)
    ),
}
"""The functions in front: what each is called, and so its module."""

FUNCTIONS: dict[str, LambdaFunction] = {**TASKS, **TRIGGERS}

BACKFILL_QUEUE = "BackfillQueueUrl"
"""Placeholder of the queue for results that the time series still lacks."""
NOTIFICATION_TOPIC = "NotificationTopicArn"
"""Placeholder of the topic that hears how a fleet run ended."""
BATCH_EXECUTION_TYPE = "BatchExecutionType"
"""Placeholder of what the batches of a fleet run are: EXPRESS or STANDARD executions."""

CALCULATION = "performance-calculation"
FLEET = "performance-fleet"
BATCHES = "CalculateBatches"
"""The Map state of a fleet run that has a child execution for each batch."""

STATE_MACHINES: dict[str, str] = {
    CALCULATION: "performance_calculation.asl.json",
    FLEET: "performance_fleet.asl.json",
}
"""Name of each state machine, and its definition."""

_CALCULATION_TASKS = ("ValidateInput", "CalculatePortfolio", "PersistDynamoDB", "PersistTimestream")

PLACEHOLDERS: dict[str, frozenset[str]] = {
    CALCULATION: frozenset({*_CALCULATION_TASKS, BACKFILL_QUEUE}),
    FLEET: frozenset(
        {
            *_CALCULATION_TASKS,
            "PlanBatches",
            "SummariseRun",
            BACKFILL_QUEUE,
            NOTIFICATION_TOPIC,
            BATCH_EXECUTION_TYPE,
        }
    ),
}
"""What the definition of each state machine has to be told."""
