"""The largest files a function lets in fit into its memory, and so does what is refused only once it was read.

Each is read by an interpreter of its own, whose peak is what is measured.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import duckdb
import pytest

from common.models.limits import (
    MAX_PORTFOLIO_BYTES,
    MAX_PORTFOLIOS,
    MAX_PORTFOLIOS_BYTES,
    MAX_PORTFOLIOS_ROWS,
    MAX_SERIES_BYTES,
)
from workflows.registry import TASKS

ROOT = Path(__file__).parents[2]
SHARE = 0.7
"""Of a function's memory: the rest is what the service and a warm function's caches take."""

DAYS = [(date(1990, 1, 1) + timedelta(days=index)).isoformat() for index in range(12_000)]

READ = """
import json, resource, sys
import boto3
from common.access import Buckets
from common.errors import PermanentError
from common.stores.memory import InMemoryPayloadStore
from common.stores.memory_books import InMemoryBooks
from tasks.calculate_portfolio import calculate_portfolio
from tasks.validate_input import validate_input

class Files(InMemoryPayloadStore):
    def put(self, key, body):
        pass

    def get_uri(self, uri, *, max_bytes, version=None):
        with open(uri.removeprefix("s3://"), "rb") as file:
            return file.read(max_bytes)

# The clients that a function has, which are a good part of what it holds before it reads anything.
clients = [boto3.client(name, region_name="us-east-1") for name in ("s3", "dynamodb")]
request = json.loads(sys.argv[1])
told = None
try:
    plan = validate_input(request, "run", Files(), InMemoryBooks(), Buckets(PAYLOAD_BUCKET="p"))
    if isinstance(request["portfolios"], list):
        calculate_portfolio(
            {**plan, "entity": plan["entities"][0], "execution": {"name": "run"}}, Files(), None, None
        )
except PermanentError as error:
    told = str(error)
# In bytes on macOS, in KiB elsewhere.
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, told]))
"""


def peak(request: Any) -> tuple[float, str | None]:
    """Return the peak of who reads a request, in MB, and what it was refused for."""
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(request)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    size, told = json.loads(done.stdout.splitlines()[-1])  # DuckDB may tell its progress before
    return size / 1024**2, told


def fill(path: Path, size: int, opening: bytes, items: Iterable[bytes], closing: bytes = b"") -> None:
    """Write as many items as there is room for."""
    with path.open("wb") as file:
        left = size - file.write(opening) - len(closing)
        for item in items:
            if len(item) > left:
                break
            left -= file.write(item)
        file.write(closing)


def portfolios(length: int, *, points: bool) -> Iterator[bytes]:
    values = [1000.0 + index / 7 for index in range(length)]
    if points:
        series: Any = [{"date": day, "value": value} for day, value in zip(DAYS, values, strict=False)]
    else:
        series = {"dates": DAYS[:length], "values": values}
    body = json.dumps({"valuations": series})[1:].encode()
    return (b'{"portfolio_id":"p%d",' % index + body for index in range(MAX_PORTFOLIOS))


def write_json(path: Path) -> None:
    first, *others = portfolios(2_600, points=True)
    fill(path, MAX_PORTFOLIOS_BYTES, b"[" + first, (b"," + each for each in others), b"]")


def write_json_lines(path: Path) -> None:
    fill(path, MAX_PORTFOLIOS_BYTES, b"", (each + b"\n" for each in portfolios(4_500, points=False)))


def write_csv(path: Path) -> None:
    rows = (b"p%d,%s,%d,%d\n" % (i, day.encode(), 10_000 + i, i + 10) for i in range(500) for day in DAYS[:4_000])
    fill(path, MAX_PORTFOLIOS_BYTES, b"portfolio_id,date,value,cash_flow\n", rows)


def write_parquet(path: Path) -> None:
    length = MAX_PORTFOLIOS_ROWS // MAX_PORTFOLIOS
    duckdb.execute(
        "COPY (SELECT 'p' || (i // $1) AS portfolio_id, DATE '2000-01-01' + (i % $1)::INT AS date, random() AS value, "
        f"random() AS cash_flow FROM range($2) each(i)) TO '{path}' (FORMAT parquet)",
        [length, MAX_PORTFOLIOS_ROWS],
    )


def write_objects(path: Path) -> None:
    """Write what takes 28 times its room once it is parsed."""
    opening, item = b'[{"portfolio_id":"p","valuations":[{"":0}', b',{"":0}'
    fill(path, MAX_PORTFOLIO_BYTES, opening, cycle([item]), b"]}]")
    with path.open("ab") as file:
        file.write(b" " * (MAX_PORTFOLIOS_BYTES - file.tell()))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write", "refused"),
    [
        ("p.json", write_json, None),
        ("p.jsonl", write_json_lines, None),
        ("p.csv", write_csv, None),
        ("p.parquet", write_parquet, None),
        ("objects.json", write_objects, "must have at most 40000 items"),
    ],
)
def test_the_largest_file_of_portfolios(
    tmp_path: Path, name: str, write: Callable[[Path], None], refused: str | None
) -> None:
    path = tmp_path / name
    write(path)
    used, told = peak({"portfolios": {"source": f"s3://{path}"}})
    print(f"{name}: {path.stat().st_size / 2**20:.1f} MiB, peak {used:.0f} MiB")
    assert told is None if refused is None else refused in str(told)
    assert used <= SHARE * TASKS["ValidateInput"].memory_mb


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "opening", "item", "closing", "refused"),
    [
        (
            "v.json",
            b'[{"date":"2020-01-01","value":1.5}',
            b',{"date":"2020-01-01","value":1.5}',
            b"]",
            "must have at most 40000 items",
        ),
        ("o.json", b'[{"":0}', b',{"":0}', b"]", "must have at most 40000 items"),
        ("v.csv", b"date,value\n", b"2020-01-01,1.5\n", b"", "stands in line 2 already"),
        ("v.jsonl", b"", b'{"date":"2020-01-01","value":1.5}\n', b"", "stands in line 1 already"),
    ],
)
def test_the_largest_file_of_a_series(
    tmp_path: Path, name: str, opening: bytes, item: bytes, closing: bytes, refused: str
) -> None:
    path = tmp_path / name
    fill(path, MAX_SERIES_BYTES, opening, islice(cycle([item]), MAX_SERIES_BYTES), closing)
    used, told = peak({"portfolios": [{"portfolio_id": "p", "valuations": {"source": f"s3://{path}"}}]})
    print(f"{name}: peak {used:.0f} MiB, {told}")
    assert refused in str(told)
    assert used <= SHARE * TASKS["CalculatePortfolio"].memory_mb


@pytest.mark.slow
@pytest.mark.parametrize("task", ["ValidateInput", "CalculatePortfolio"])
def test_a_long_text_that_parquet_keeps_once_for_all_rows(tmp_path: Path, task: str) -> None:
    path = tmp_path / "p.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'p' AS portfolio_id, DATE '2020-01-01' + i::INT AS date, repeat('1', 1000000) AS value "
            f"FROM range(1500) each(i)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )
    assert path.stat().st_size < 16 * 1024
    source = {"source": f"s3://{path}"}
    of_a_series = [{"portfolio_id": "p", "valuations": source}]
    used, told = peak({"portfolios": source if task == "ValidateInput" else of_a_series})
    print(f"{task}: peak {used:.0f} MiB, {told}")
    assert "must be a number" in str(told)
    assert used <= SHARE * TASKS[task].memory_mb
