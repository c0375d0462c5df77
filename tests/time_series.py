"""What the suites that talk to a local Timestream share."""

from typing import Any

import boto3
from botocore.config import Config

SPECIFIED_QUERY = """
SELECT time, measure_value::double AS twr
FROM "investment_performance"."performance_metrics"
WHERE entity_type = 'portfolio'
  AND entity_id = 'p-0'
  AND measure_name = 'twr'
  AND time BETWEEN '2024-01-01' AND '2024-06-30'
ORDER BY time ASC
"""
"""The specification's, for one portfolio of ours."""


def timestream_client(side: str, endpoint: str) -> Any:
    """Return a client of the `write` or `query` side that tries once."""
    return boto3.client(
        f"timestream-{side}",  # type: ignore[call-overload]  # two services
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
    )
