"""`make bench`: each measurement against its comparison, in turns in one process: ratios that mean something."""

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq

from common.calculations import (
    Conventions,
    Flows,
    Period,
    StandardPeriod,
    Valuations,
    calculate_performance,
    xirr,
)
from common.calculations.returns import daily_sub_periods, link
from common.models.references import read_valuations
from common.models.request import CalculationRequest
from common.models.series import Source
from common.stores.timestream import TimestreamStore, measurements
from tests.contract.rows import EARLY, row
from tests.time_series import timestream_client
from workflows.local.timestream import LocalTimestream

ROUNDS = 15
SECONDS_A_ROUND = 0.05
DAYS = 2_520

Work = Callable[[], object]


class Case(NamedTuple):
    """What is measured, and what it is compared with."""

    what: str
    ours: Work
    against: str
    theirs: Work


def main() -> None:
    """Measure every case and print the ratios."""
    table = Table("What", "Takes", "Against", "Takes", "Ratio", "Range of the ratio", title="Medians of paired rounds")
    with _time_series_cases() as time_series:
        for case in (*_mathematics(), *_documents(), *time_series):
            ours, theirs = _measure(case)
            ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
            table.add_row(
                case.what,
                _shown(statistics.median(ours)),
                case.against,
                _shown(statistics.median(theirs)),
                f"{statistics.median(ratios):.2f}x",
                f"{ratios[1]:.2f} to {ratios[-2]:.2f}",
            )
    Console(width=140).print(table)


def _measure(case: Case) -> tuple[list[float], list[float]]:
    """Return the seconds of each call of both sides, round by round."""
    works = (case.ours, case.theirs)
    repeats = [max(1, round(SECONDS_A_ROUND / _seconds(work, 1))) for work in works]
    rounds = [[_seconds(work, repeat) for work, repeat in zip(works, repeats, strict=True)] for _ in range(ROUNDS)]
    return [ours for ours, _ in rounds], [theirs for _, theirs in rounds]


def _seconds(work: Work, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def _shown(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:,.0f} ms"


def _history() -> tuple[list[date], list[float], list[tuple[date, float]]]:
    """Ten years of business days with 50 flows, from a fixed seed."""
    chance = random.Random(7)
    days = [date(2014, 1, 1) + timedelta(days=n) for n in range(DAYS * 7 // 5 + 7)]
    days = [day for day in days if day.weekday() < 5][:DAYS]
    flows = [(day, 1000.0 * chance.uniform(-0.5, 1.0)) for day in sorted(chance.sample(days[1:-1], 50))]
    amounts = dict(flows)
    values, value = [], 100_000.0
    for day in days:
        value = value * (1.0 + chance.gauss(0.0003, 0.01))
        values.append(value)
        value += amounts.get(day, 0.0)
    return days, values, flows


def _mathematics() -> Iterator[Case]:
    days, values, flows = _history()
    valuations = Valuations.from_arrays(
        np.asarray(days, dtype="datetime64[D]").astype(np.int64), np.asarray(values, dtype=np.float64)
    )
    inside = Flows.from_arrays(
        np.asarray([day for day, _ in flows], dtype="datetime64[D]").astype(np.int64),
        np.asarray([amount for _, amount in flows], dtype=np.float64),
    )
    conventions = Conventions()
    moved = dict(flows)

    def loop() -> float:
        total = 1.0
        for (day, before), (_, after) in pairwise(zip(days, values, strict=True)):
            total *= after / (before + moved.get(day, 0.0))
        return total - 1.0

    linked = link(daily_sub_periods(valuations, inside, conventions.flow_timing)).value
    assert linked is not None
    assert abs(linked / loop() - 1.0) < 1e-9
    yield Case(
        f"daily TWR, {DAYS:,} days, 50 flows",
        lambda: link(daily_sub_periods(valuations, inside, conventions.flow_timing)),
        "the specification's loop over days",
        loop,
    )

    dates = [days[0], *(day for day, _ in flows), days[-1]]
    paid = [-values[0], *(-amount for _, amount in flows), values[-1]]
    years = np.asarray([(day - dates[0]).days / 365.0 for day in dates])
    cash = np.asarray(paid)

    def by_brentq() -> float:
        return float(brentq(lambda rate: float(np.sum(cash * (1.0 + rate) ** -years)), -0.9, 10.0, xtol=1e-12))

    found = xirr(dates, paid).value
    assert found is not None
    assert abs(found - by_brentq()) < 1e-9
    yield Case(
        "xirr with every real root, 52 flows",
        lambda: xirr(dates, paid),
        "scipy's brentq, one root in a bracket",
        by_brentq,
    )

    as_of = days[-1]
    periods = [Period.standard(label, as_of) for label in StandardPeriod]
    yield Case(
        f"all metrics of 8 periods, {DAYS:,} days",
        lambda: calculate_performance(valuations, inside, periods, conventions, valuations),
        "all metrics of one, ITD",
        lambda: calculate_performance(valuations, inside, periods[-1:], conventions, valuations),
    )


def _documents() -> Iterator[Case]:
    days, values, _ = _history()
    texts = [day.isoformat() for day in days]
    points: Any = [{"date": day, "value": value} for day, value in zip(texts, values, strict=True)]
    columns: Any = {"dates": texts, "values": values}

    def parse(valuations: Any) -> Work:
        document = json.dumps({"portfolios": [{"portfolio_id": "p", "valuations": valuations}]})
        return lambda: CalculationRequest.parse(json.loads(document))

    yield Case(f"request with {DAYS:,} valuations as columns", parse(columns), "as a list of points", parse(points))
    csv = "date,value\n" + "".join(f"{day},{value!r}\n" for day, value in zip(texts, values, strict=True))
    lines = "".join(json.dumps(point) + "\n" for point in points)
    yield Case(
        f"file of {DAYS:,} valuations as CSV",
        lambda: read_valuations(csv.encode(), Source(source="s3://b/k.csv")),
        "as JSON Lines",
        lambda: read_valuations(lines.encode(), Source(source="s3://b/k.jsonl")),
    )


@contextmanager
def _time_series_cases() -> Iterator[list[Case]]:
    """The loopback Timestream, written in batches of 100 as the store does, and a record at a time."""
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

        yield [
            Case(
                f"{count} records to the local Timestream, by the store",
                lambda: store.write(rows, EARLY),
                "a record a call, one after the other",
                one_by_one,
            )
        ]


if __name__ == "__main__":
    main()
