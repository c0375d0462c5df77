"""Which function stands behind each placeholder of a state machine.

Handlers are named by strings: whoever reads this, the CDK app among them, imports neither numpy nor a task.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskFunction:
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
    """

    handler: str
    timeout_seconds: int
    memory_mb: int
    environment: tuple[str, ...]


_PAYLOADS = ("PAYLOAD_BUCKET",)

TASKS: dict[str, TaskFunction] = {
    "ValidateInput": TaskFunction("tasks.validate_input.handler", 60, 1024, _PAYLOADS),
    "CalculatePortfolio": TaskFunction("tasks.calculate_portfolio.handler", 60, 1024, _PAYLOADS),
    "PersistDynamoDB": TaskFunction("tasks.persist_dynamodb.handler", 120, 512, (*_PAYLOADS, "DYNAMODB_TABLE")),
    "PersistTimestream": TaskFunction(
        "tasks.persist_timestream.handler", 120, 512, (*_PAYLOADS, "TIMESTREAM_DATABASE", "TIMESTREAM_TABLE")
    ),
}
"""Placeholder of the function's ARN, and name of its Task state."""

BACKFILL_QUEUE = "BackfillQueueUrl"
"""Placeholder of the queue for results that the time series still lacks."""

STATE_MACHINES: dict[str, str] = {"performance-calculation": "performance_calculation.asl.json"}
"""Name of each state machine, and its definition."""
