"""What comes in and what goes out: requests, files, an import into the books, the time series."""

import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from common.models.books import DayValue
from common.models.references import read_valuations
from common.models.request import CalculationRequest
from common.models.sources import Source
from common.stores.memory_books import InMemoryBooks
from common.stores.timestream import TimestreamStore, measurements
from tests.benchmarks import market
from tests.benchmarks.measure import Case, Work
from tests.contract.rows import EARLY, row
from tests.time_series import timestream_client
from workflows.import_files import inspect
from workflows.importing import import_files
from workflows.local.timestream import LocalTimestream

PRICES = 100_000
IMPORT_ROUNDS = 5


def cases() -> Iterator[Case]:
    """Yield requests and files, the import, and the time series."""
    yield from _documents()
    yield from _import()
    yield from _time_series()


def _documents() -> Iterator[Case]:
    values, _ = market.valued("portfolio", 0)
    points: Any = [{"date": each.date.isoformat(), "value": float(each.value)} for each in values]
    columns: Any = {"dates": [each["date"] for each in points], "values": [each["value"] for each in points]}

    def parse(valuations: Any) -> Work:
        document = json.dumps({"portfolios": [{"portfolio_id": "p", "valuations": valuations}]})
        return lambda: CalculationRequest.parse(json.loads(document))

    by_columns, by_points = parse(columns), parse(points)
    assert by_columns() == by_points()
    yield Case(f"request with {len(points):,} valuations as columns", by_columns, "as a list of points", by_points)
    rows = "date,value\n" + "".join(f"{each['date']},{each['value']!r}\n" for each in points)
    lines = "".join(json.dumps(each) + "\n" for each in points)

    def from_csv() -> Any:
        return read_valuations(rows.encode(), Source(source="s3://b/k.csv"))

    def from_lines() -> Any:
        return read_valuations(lines.encode(), Source(source="s3://b/k.jsonl"))

    assert from_csv().values.tolist() == from_lines().values.tolist()
    yield Case(f"file of {len(points):,} valuations as CSV", from_csv, "as JSON Lines", from_lines)


def _import() -> Iterator[Case]:
    """Yield an import of prices against reading them without looking, and the same import once more."""
    found = market.market()
    a_security = PRICES // len(found.prices)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "prices.csv"
        with path.open("w", encoding="ascii", newline="") as file:
            written = csv.writer(file)
            written.writerow(("security_id", "date", "price"))
            for day, *prices in list(zip(found.days, *found.prices.values(), strict=True))[:a_security]:
                written.writerows((name, day, price) for name, price in zip(found.prices, prices, strict=True))
        files = inspect([path])
        filled = InMemoryBooks()
        (first,) = import_files(files, filled).files
        (second,) = import_files(files, filled).files
        assert (first.new, second.new, second.unchanged) == (PRICES, 0, PRICES)
        plain = _read_plainly(path)
        for security_id, days in plain.items():
            assert filled.prices(security_id).prices.tolist() == [float(each.value) for each in days.values()]
        yield Case(
            f"import of {PRICES:,} prices into books in memory",
            lambda: import_files(files, InMemoryBooks()),
            "csv.reader, date and Decimal, unchecked",
            lambda: _read_plainly(path),
            IMPORT_ROUNDS,
        )
        yield Case(
            f"import of the same {PRICES:,} prices once more",
            lambda: import_files(files, filled),
            "the first import",
            lambda: import_files(files, InMemoryBooks()),
            IMPORT_ROUNDS,
        )


def _read_plainly(path: Path) -> dict[str, dict[date, DayValue]]:
    """Return the prices of a file that is believed."""
    found: defaultdict[str, dict[date, DayValue]] = defaultdict(dict)
    with path.open(encoding="ascii", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for security_id, text, price in rows:
            day = date.fromisoformat(text)
            found[security_id][day] = DayValue(day, Decimal(price))
    return found


def _time_series() -> Iterator[Case]:
    """Yield the loopback Timestream, written in batches of 100 as the store does, against a record at a time."""
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalTimestream(Path(directory) / "timestream.duckdb") as timestream,
    ):
        client = timestream_client("write", timestream.endpoint)
        client.create_database(DatabaseName="bench")
        for table in ("batched", "single"):
            client.create_table(
                DatabaseName="bench",
                TableName=table,
                MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
            )
        rows = [row(f"p-{index}") for index in range(40)]
        count = len(list(measurements(rows)))
        store = TimestreamStore(client, "bench", "batched")
        # Both sides write the same records again, as a retry does.
        moment = str(int(datetime.combine(rows[0].calculation_date, datetime.min.time(), UTC).timestamp() * 1000))

        def one_by_one() -> None:
            for each in measurements(rows):
                client.write_records(
                    DatabaseName="bench",
                    TableName="single",
                    Records=[
                        {
                            "Dimensions": [
                                {"Name": "entity_id", "Value": each.row.entity_id},
                                {"Name": "time_period", "Value": each.time_period},
                            ],
                            "MeasureName": each.measure,
                            "MeasureValue": repr(each.value),
                            "MeasureValueType": "DOUBLE",
                            "Time": moment,
                            "Version": EARLY.version,
                        }
                    ],
                )

        assert store.write(rows, EARLY).written == count
        one_by_one()
        yield Case(
            f"{count} records to the local Timestream, by the store",
            lambda: store.write(rows, EARLY),
            "a record a call, one after the other",
            one_by_one,
        )
