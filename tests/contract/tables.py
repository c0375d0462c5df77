"""A table of DynamoDB for a block, on each engine that a suite runs over."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from moto import mock_aws

_NO_DELAY: Any = {"Delay": 0.02, "MaxAttempts": 500}


@contextmanager
def moto_table(name: str, definition: Mapping[str, Any]) -> Iterator[Any]:
    """Make a table on moto; yield a client of it."""
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(TableName=name, **definition)
        yield client


@contextmanager
def extenddb_table(endpoint: str, name: str, definition: Mapping[str, Any]) -> Iterator[Any]:
    """Make a table on ExtendDB, and remove it at the end; yield a client of it."""
    client = extenddb_client_of(endpoint)
    make_table(client, name, definition)
    yield client
    client.delete_table(TableName=name)
    client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig=_NO_DELAY)


def extenddb_client_of(endpoint: str) -> Any:
    """Return a client of an ExtendDB."""
    return boto3.client("dynamodb", region_name="us-east-1", endpoint_url=endpoint)


def make_table(client: Any, name: str, definition: Mapping[str, Any]) -> None:
    """Make a table, and wait until it is there."""
    client.create_table(TableName=name, **definition)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig=_NO_DELAY)
