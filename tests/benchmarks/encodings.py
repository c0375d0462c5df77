"""How a daily series is kept in DynamoDB: what reading and writing ten years costs in each encoding.

Units are those of DynamoDB's rules for the items' sizes, without the entity's own item; those of reading are held
against what ExtendDB reports. The time is this process's own on the CPU, ExtendDB being another one: what boto3 spends
on the answers and what makes arrays of them.
"""

import json
import random
import statistics
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.table import Table

from common.calculations import Valuations
from common.calculations.types import DayArray, FloatArray
from common.calculations.words import day_number
from common.models.books import DayValue, SeriesKind
from common.stores import series_arrays, series_chunks
from common.stores.book_items import ENTITY_TABLE, STAMP, STAMP_BITS, chunk_key, key, sort_key, stored_chunk
from common.stores.dynamodb_items import Item
from tests.benchmarks.dynamodb import local_client, make_table, metered
from tests.benchmarks.measure import Case

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DAYS = 2_520
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


def cases() -> Iterator[Case | Table]:
    """Yield the store's way to read numbers and its encoding, each against others, and sizes and units."""
    days = ten_years()
    yield from _parsers([str(day.value) for day in days])
    with local_client() as client:
        make_table(client, TABLE, ENTITY_TABLE)
        yield from _encodings(client, days)


def ten_years() -> list[DayValue]:
    """Return the valuations of 2,520 business days, two decimals each, from a fixed seed."""
    chance = random.Random(7)
    days, value = [], 1_234_567.0
    for number in range(DAYS):
        value *= 1.0 + chance.gauss(0.0003, 0.01)
        day = date(2014, 1, 1) + timedelta(days=number // 5 * 7 + number % 5)
        days.append(DayValue(day, Decimal(f"{value:.2f}")))
    return days


def _encodings(client: "DynamoDBClient", days: Sequence[DayValue]) -> Iterator[Case | Table]:
    sizes = Table(
        *("Encoding", "Items", "Bytes", "Read units", "Import", "A day"),
        title=f"{len(days):,} daily valuations: size, and units of reading, importing and adding a day",
    )
    expected = Valuations.of((day.date, day.value) for day in days)
    works: dict[str, tuple[Callable[[], Arrays], Callable[[], Arrays]]] = {}
    for number, each in enumerate(ENCODINGS):
        partition = f"portfolio-{number:05}"
        items = each.items(partition, days)
        for item in items:
            client.put_item(TableName=TABLE, Item=item)
        works[each.name] = (partial(_arrays, each, client, partition), partial(each.arrays, items))
        with metered(client) as consumed:
            found = _arrays(each, client, partition)
        assert found[0].tolist() == expected.days.tolist()
        assert found[1].tolist() == expected.values.tolist()
        size = sum(map(item_bytes, items))
        read = ceil(size / READ_UNIT_BYTES)
        assert read == consumed.read, "ExtendDB counts as DynamoDB's documentation does"
        sizes.add_row(
            each.name,
            f"{len(items):,}",
            f"{size:,}",
            f"{read}",
            f"{sum(map(_write_units, items)):,}",
            f"{statistics.mean(_append_units(each, days)):.1f}",
        )
    *others, own = ENCODINGS
    whole, of_items = works[own.name]
    for other in others:
        yield Case(
            "reading ten years as the store keeps them",
            whole,
            other.name,
            works[other.name][0],
            clock=time.process_time,
        )
    yield Case("of it: arrays from the items", of_items, "all of it", whole, clock=time.process_time)
    yield sizes


def _arrays(encoding: Encoding, client: "DynamoDBClient", partition: str) -> Arrays:
    """Read a series consistently and make arrays of it."""
    pages = client.get_paginator("query").paginate(
        TableName=TABLE,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": {"S": partition}},
        ConsistentRead=True,
    )
    return encoding.arrays([item for page in pages for item in page["Items"]])


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
    found = series_arrays.valuations(map(stored_chunk, items))
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


def _parsers(texts: list[str]) -> Iterator[Case]:
    expected = [float(text) for text in texts]
    own, *others = PARSERS
    for each in PARSERS:
        assert each.parse(texts).tolist() == expected
    for other in others:
        yield Case(
            f"array of {len(texts):,} texts by {own.name}",
            partial(own.parse, texts),
            other.name,
            partial(other.parse, texts),
            clock=time.process_time,
        )
