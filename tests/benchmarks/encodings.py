"""How a daily series is kept in DynamoDB: what reading and writing ten years costs in each encoding.

Run by `python -m tests.benchmarks.encodings`. Units are those of DynamoDB's rules for the items' sizes, without the
entity's own item; those of reading are held against what ExtendDB reports. CPU time is that of this process alone,
ExtendDB being another one: what boto3 spends on the answers and what makes arrays of them, in turns, so that all
encodings meet the same machine.
"""

import json
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import numpy as np
from rich.console import Console
from rich.table import Table

from common.calculations import Valuations
from common.calculations.types import DayArray, FloatArray, day_number
from common.models.books import DayValue, SeriesKind
from common.stores import series_chunks
from common.stores.book_items import ENTITY_TABLE, STAMP, STAMP_BITS, chunk_key, key, sort_key, stored_chunk
from common.stores.dynamodb_items import Item
from workflows.local.dynamodb import ACCESS_KEY, SECRET_KEY, LocalDynamoDB, find_extenddb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DAYS = 2_520
ROUNDS = 15
TABLE = "encodings"
STAMPED = {"N": str(2**STAMP_BITS - 1)}

READ_UNIT_BYTES, WRITE_UNIT_BYTES = 4 * 1024, 1024
TRANSACTION_FACTOR = 2  # a write in a transaction costs twice

Arrays = tuple[DayArray, FloatArray]


class Encoding(NamedTuple):
    """A way to keep a series: the items of the days it is given, and the arrays of the items it is given."""

    name: str
    items: Callable[[str, Sequence[DayValue]], list[Item]]
    arrays: Callable[[Iterable[Item]], Arrays]


class Parser(NamedTuple):
    """A way from decimal texts to an array."""

    name: str
    parse: Callable[[list[str]], Any]


def main() -> None:
    """Measure every encoding and every way to read numbers, and print both tables."""
    if find_extenddb() is None:
        raise SystemExit("ExtendDB is not installed: npm ci")
    days = ten_years()
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as directory, LocalDynamoDB(Path(directory)) as local:
        console.print(_encodings(_client(local.endpoint), days))
    console.print(_parsers([str(day.value) for day in days]))


def ten_years() -> list[DayValue]:
    """Return the valuations of 2,520 business days, two decimals each, from a fixed seed."""
    chance = random.Random(7)
    days, value = [], 1_234_567.0
    for number in range(DAYS):
        value *= 1.0 + chance.gauss(0.0003, 0.01)
        day = date(2014, 1, 1) + timedelta(days=number // 5 * 7 + number % 5)
        days.append(DayValue(day, Decimal(f"{value:.2f}")))
    return days


def _encodings(client: "DynamoDBClient", days: Sequence[DayValue]) -> Table:
    table = Table(
        *("Encoding", "Items", "Bytes", "Read units", "CPU", "of it arrays", "Ratio", "Import", "A day"),
        title=f"{len(days):,} daily valuations: units of reading, importing and adding a day, and CPU time of reading",
    )
    partitions = {each.name: f"portfolio-{number:05}" for number, each in enumerate(ENCODINGS)}
    stored = {each.name: each.items(partitions[each.name], days) for each in ENCODINGS}
    for items in stored.values():
        for item in items:
            client.put_item(TableName=TABLE, Item=item)
    expected = Valuations.of((day.date, day.value) for day in days)
    spent: dict[str, list[tuple[float, float]]] = {each.name: [] for each in ENCODINGS}
    reported: dict[str, float] = {}
    for _ in range(ROUNDS):
        for each in ENCODINGS:
            began = time.process_time()
            items, reported[each.name] = _read(client, partitions[each.name])
            answered = time.process_time()
            found = each.arrays(items)
            ended = time.process_time()
            spent[each.name].append((ended - began, ended - answered))
            assert found[0].tolist() == expected.days.tolist()
            assert found[1].tolist() == expected.values.tolist()
    own = [whole for whole, _ in spent[ENCODINGS[-1].name]]
    for each in ENCODINGS:
        items = stored[each.name]
        size = sum(map(item_bytes, items))
        read = ceil(size / READ_UNIT_BYTES)
        assert read == reported[each.name], "ExtendDB counts as DynamoDB's documentation does"
        whole, arrays = zip(*spent[each.name], strict=True)
        ratios = [theirs / ours for theirs, ours in zip(whole, own, strict=True)]
        table.add_row(
            each.name,
            f"{len(items):,}",
            f"{size:,}",
            f"{read}",
            f"{statistics.median(whole) * 1e3:.1f} ms",
            f"{statistics.median(arrays) * 1e3:.1f} ms",
            f"{statistics.median(ratios):.1f}x",
            f"{sum(map(_write_units, items)):,}",
            f"{statistics.mean(_append_units(each, days)):.1f}",
        )
    return table


def _read(client: "DynamoDBClient", partition: str) -> tuple[list[Item], float]:
    """Return the items of a partition, read consistently, and the units that were reported."""
    items: list[Item] = []
    units = 0.0
    for page in client.get_paginator("query").paginate(
        TableName=TABLE,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": {"S": partition}},
        ConsistentRead=True,
        ReturnConsumedCapacity="TOTAL",
    ):
        items += page["Items"]
        units += page["ConsumedCapacity"]["CapacityUnits"]
    return items, units


def item_bytes(item: Mapping[str, Any]) -> int:
    """Return the size of an item by DynamoDB's rules: names and values."""
    return sum(len(name) + _value_bytes(value) for name, value in item.items())


def _value_bytes(attribute: Mapping[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "N":  # a byte for two significant digits, and one more
            return (len(Decimal(value).normalize().as_tuple().digits) + 1) // 2 + 1
        case "M":
            return 3 + sum(len(name) + _value_bytes(each) + 1 for name, each in value.items())
        case _:
            return len(value)


def _write_units(item: Item) -> int:
    return TRANSACTION_FACTOR * ceil(item_bytes(item) / WRITE_UNIT_BYTES)


def _append_units(encoding: Encoding, days: Sequence[DayValue]) -> list[int]:
    """Return the units of writing each day of the last year after those before it: the item it is in, anew."""
    last = [day for day in days if day.date.year == days[-1].date.year - 1]
    return [_write_units(encoding.items("portfolio-00000", last[: number + 1])[-1]) for number in range(len(last))]


def _rows(partition: str, days: Sequence[DayValue]) -> list[Item]:
    return [{**key(partition, f"valuation#{day.date}"), "value": {"N": str(day.value)}} for day in days]


def _from_rows(items: Iterable[Item]) -> Arrays:
    points = [(_number(sort_key(item).partition("#")[2]), float(item["value"]["N"])) for item in items]
    return np.array([day for day, _ in points]), np.array([value for _, value in points])


def _chunks(name: str, encode: Callable[[Mapping[date, DayValue]], Item]) -> Callable[..., list[Item]]:
    """Return what makes an item of each year, with its days as `encode` writes them."""

    def items(partition: str, days: Sequence[DayValue]) -> list[Item]:
        years = series_chunks.by_year(SeriesKind.VALUATION, days)
        return [
            {**chunk_key(SeriesKind.VALUATION, partition, year), STAMP: STAMPED, name: encode(each)}
            for year, each in years.items()
        ]

    return items


def _map(days: Mapping[date, DayValue]) -> Item:
    return {"M": {day.isoformat(): {"N": str(value.value)} for day, value in days.items()}}


def _from_maps(items: Iterable[Item]) -> Arrays:
    points = sorted((_number(day), float(value["N"])) for item in items for day, value in item["days"]["M"].items())
    return np.array([day for day, _ in points]), np.array([value for _, value in points])


def _json(days: Mapping[date, DayValue]) -> str:
    columns = {"dates": [day.isoformat() for day in days], "values": [float(day.value) for day in days.values()]}
    return json.dumps(columns, separators=(",", ":"))


def _from_json(texts: Iterable[str | bytes]) -> Arrays:
    days: list[int] = []
    values: list[float] = []
    for text in texts:
        columns = json.loads(text)
        days += map(_number, columns["dates"])
        values += columns["values"]
    return np.array(days), np.array(values)


def _from_gaps(items: Iterable[Item]) -> Arrays:
    found = series_chunks.valuations(map(stored_chunk, items))
    return found.days, found.values


def _number(day: str) -> int:
    return day_number(date.fromisoformat(day))


ENCODINGS = (
    Encoding("an item a day", _rows, _from_rows),
    Encoding("a year: map of date to number", _chunks("days", _map), _from_maps),
    Encoding(
        "a year: JSON of columns",
        _chunks("days", lambda days: {"S": _json(days)}),
        lambda items: _from_json(item["days"]["S"] for item in items),
    ),
    Encoding(
        "a year: compressed JSON, dates",
        _chunks("days", lambda days: {"B": zlib.compress(_json(days).encode())}),
        lambda items: _from_json(zlib.decompress(item["days"]["B"]) for item in items),
    ),
    Encoding(
        "a year: compressed JSON, gaps (the store)",
        _chunks("days", lambda days: {"B": series_chunks.encode(days)}),
        _from_gaps,
    ),
)

PARSERS = (
    Parser("json.loads", lambda texts: np.array(json.loads(f"[{','.join(texts)}]"))),
    Parser("list of float()", lambda texts: np.array([float(each) for each in ",".join(texts).split(",")])),
    Parser("numpy.array of texts", lambda texts: np.array(",".join(texts).split(","), dtype=np.float64)),
    Parser("numpy.fromstring", lambda texts: np.fromstring(",".join(texts), sep=",")),
)


def _parsers(texts: list[str]) -> Table:
    table = Table("From text to array", "Takes", title=f"{len(texts):,} numbers")
    spent: dict[str, list[float]] = {each.name: [] for each in PARSERS}
    for _ in range(ROUNDS * 10):
        for each in PARSERS:
            began = time.process_time()
            found = each.parse(texts)
            spent[each.name].append(time.process_time() - began)
            assert found.tolist() == [float(text) for text in texts]
    for name, seconds in spent.items():
        table.add_row(name, f"{statistics.median(seconds) * 1e6:,.0f} µs")
    return table


def _client(endpoint: str | None) -> "DynamoDBClient":
    client = boto3.Session(
        aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name="us-east-1"
    ).client("dynamodb", endpoint_url=endpoint)
    client.create_table(TableName=TABLE, **ENTITY_TABLE)
    client.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return client


if __name__ == "__main__":
    main()
