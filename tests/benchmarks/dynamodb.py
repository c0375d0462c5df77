"""A DynamoDB to measure against, and what a piece of work asks of it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from tests.benchmarks.measure import NotInstalledError
from workflows.local.dynamodb import ACCESS_KEY, SECRET_KEY, LocalDynamoDB, find_extenddb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# What a unit written costs in units read, billed on demand.
WRITE_PRICE = 5
_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})


@contextmanager
def local_client() -> "Iterator[DynamoDBClient]":
    """Yield a client of an ExtendDB of its own.

    Raises
    ------
    NotInstalledError
        ExtendDB is not there; moto, inside this process, would be measured along with what is compared.
    """
    if find_extenddb() is None:
        raise NotInstalledError("ExtendDB is not installed: npm ci")
    with tempfile.TemporaryDirectory() as directory, LocalDynamoDB(Path(directory)) as local:
        session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name="us-east-1")
        yield session.client("dynamodb", endpoint_url=local.endpoint)


def make_table(client: "DynamoDBClient", name: str, schema: Mapping[str, Any]) -> None:
    """Make a table and wait until it is there."""
    client.create_table(TableName=name, **schema)
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


@dataclass
class Consumed:
    """What was asked of DynamoDB and what it reported for it."""

    units: list[tuple[str, float]] = field(default_factory=list)
    """The operation and the units of each call."""

    @property
    def calls(self) -> int:
        """How many calls."""
        return len(self.units)

    @property
    def read(self) -> float:
        """Read units."""
        return sum(units for operation, units in self.units if operation not in _WRITES)

    @property
    def written(self) -> float:
        """Write units."""
        return sum(units for operation, units in self.units if operation in _WRITES)

    @property
    def cost(self) -> float:
        """All units, at the price of those read."""
        return self.read + WRITE_PRICE * self.written


@contextmanager
def metered(client: "DynamoDBClient") -> Iterator[Consumed]:
    """Yield what is consumed by the calls of `client`; several threads may make them."""
    found = Consumed()

    def ask(params: dict[str, Any], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(model: Any, parsed: Mapping[str, Any], **_: object) -> None:
        told = parsed["ConsumedCapacity"]
        tables = told if isinstance(told, list) else [told]
        found.units.append((model.name, sum(each["CapacityUnits"] for each in tables)))

    client.meta.events.register("before-parameter-build.dynamodb", ask)
    client.meta.events.register("after-call.dynamodb", note)
    try:
        yield found
    finally:
        client.meta.events.unregister("before-parameter-build.dynamodb", ask)
        client.meta.events.unregister("after-call.dynamodb", note)
