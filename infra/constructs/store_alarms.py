"""Alarms of the stores: what DynamoDB and Timestream refuse, and their own faults."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.constructs.alarms import FIVE_MINUTES, Alarms, Meaning
from infra.constructs.tables import ACCOUNT_INDEX, CLIENT_INDEX, Table, Tables

# What the roles of the functions may do with each table; DynamoDB counts its own faults by operation.
_OPERATIONS: Final = {
    "Results": ("BatchGetItem", "Query", "UpdateItem"),
    "Entities": (
        "BatchGetItem",
        "Query",
        "Scan",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "TransactWriteItems",
    ),
    "Cache": ("GetItem", "PutItem"),
}


def watch_tables(alarms: Alarms, tables: Tables) -> None:
    """Watch what DynamoDB refuses, and its own faults."""
    indexes: dict[str, tuple[str, ...]] = {"Results": (), "Entities": (CLIENT_INDEX, ACCOUNT_INDEX), "Cache": ()}
    for name, table in {"Results": tables.results, "Entities": tables.entities, "Cache": tables.cache}.items():
        for what in ("Read", "Write"):
            meaning = Meaning(
                f"DynamoDB throttles {what.lower()}s of the table {name} or its indexes.",
                "any in each of two periods of five minutes: shorter bursts are retried.",
                "table-throttles",
            )
            throttled = _throttled(table, indexes[name], f"{what}ThrottleEvents")
            alarms.add(f"{name}{what}Throttles", throttled, 0, meaning, periods=2)
        meaning = Meaning(
            f"DynamoDB fails at requests to the table {name}.",
            "any in each of two periods of five minutes: single ones are retried.",
            "store-faults",
        )
        faults = [_dynamodb("SystemErrors", {"TableName": table.name, "Operation": each}) for each in _OPERATIONS[name]]
        alarms.add(f"{name}SystemErrors", _sum(faults), 0, meaning, periods=2)


def watch_time_series(alarms: Alarms) -> None:
    """Watch Timestream's own faults. It counts them by operation alone, for the account and region."""
    for operation in ("WriteRecords", "Query"):
        metric = cloudwatch.Metric(
            namespace="AWS/Timestream",
            metric_name="SystemErrors",
            dimensions_map={"Operation": operation},
            statistic="Sum",
            period=FIVE_MINUTES,
        )
        meaning = Meaning(
            f"Timestream fails at {operation}, whoever of the account calls it.",
            "any in each of two periods of five minutes: single ones are retried.",
            "store-faults",
        )
        alarms.add(f"Timestream{operation}Errors", metric, 0, meaning, periods=2)


def _dynamodb(name: str, dimensions: Mapping[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic="Sum",
        period=FIVE_MINUTES,
    )


def _throttled(table: Table, indexes: Sequence[str], name: str) -> cloudwatch.IMetric:
    of_table = {"TableName": table.name}
    return _sum(
        [
            _dynamodb(name, of_table),
            *(_dynamodb(name, {**of_table, "GlobalSecondaryIndexName": index}) for index in indexes),
        ]
    )


def _sum(metrics: Sequence[cloudwatch.Metric]) -> cloudwatch.IMetric:
    if len(metrics) == 1:
        return metrics[0]
    named = {f"m{number}": metric for number, metric in enumerate(metrics)}
    return cloudwatch.MathExpression(
        # Unlike m0 + m1 the sum of a list goes without those that have no data.
        expression=f"SUM([{', '.join(named)}])",
        using_metrics=named,
        label="Sum",
        period=FIVE_MINUTES,
    )
