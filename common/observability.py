"""Structured logs: one logger, configured when the first function starts."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

SERVICE = "performance-calculator"


@cache
def logger() -> "Logger":
    """Return the logger; JSON lines with the service and what the caller adds."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415 - reads the environment when it is imported

    return Logger(service=SERVICE, utc=True)
