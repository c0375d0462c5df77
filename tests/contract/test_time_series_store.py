"""One suite for every `TimeSeriesStore`: the fake, and Timestream on the local endpoint."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from common.config import TimeSeriesSettings
from common.errors import StoreError, ThrottledError, TransientError
from common.models.kinds import CalculationMethod, EntityType
from common.models.results import Run
from common.stores.memory_timeseries import InMemoryTimeSeriesStore, RecordKey
from common.stores.ports import TimeSeriesReport, TimeSeriesStore
from common.stores.timestream import BATCH_RECORDS, MEASURES, TimestreamReader, TimestreamStore, time_series_store
from tests.contract.rows import DAY, EARLY, LATE, period, row
from tests.time_series import timestream_client
from workflows.local.timestream import LocalTimestream

DATABASE = "investment_performance"
AGAIN = EARLY.model_copy(update={"execution_name": "run-3", "started_at": LATE.started_at})
"""A later execution of the same request: its records have the same dimensions."""

_table_numbers = count()


@dataclass
class Endpoint:
    """The local Timestream, with what it is to answer next and what it was asked."""

    url: str = ""
    codes: list[str | None] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def fault(self, operation: str, request: dict[str, Any]) -> str | None:
        if operation != "WriteRecords":
            return None
        self.requests.append(request)
        return self.codes.pop(0) if self.codes else None

    def client(self, side: str) -> Any:
        return timestream_client(side, self.url)


@pytest.fixture(scope="module")
def open_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    endpoint = Endpoint()
    path = tmp_path_factory.mktemp("timestream") / "timestream.duckdb"
    midnight = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC)
    with LocalTimestream(path, clock=lambda: midnight, faults=endpoint.fault) as local:
        endpoint.url = local.endpoint
        endpoint.client("write").create_database(DatabaseName=DATABASE)
        yield endpoint


@pytest.fixture
def endpoint(open_endpoint: Endpoint) -> Endpoint:
    open_endpoint.codes.clear()
    open_endpoint.requests.clear()
    return open_endpoint


@pytest.fixture
def table(endpoint: Endpoint) -> str:
    """Return a new table that keeps 24 hours, and so nothing before `DAY`."""
    name = f"performance_metrics_{next(_table_numbers)}"
    retention: Any = {"MemoryStoreRetentionPeriodInHours": 24, "MagneticStoreRetentionPeriodInDays": 73_000}
    endpoint.client("write").create_table(DatabaseName=DATABASE, TableName=name, RetentionProperties=retention)
    return name


@pytest.fixture
def timestream(endpoint: Endpoint, table: str) -> TimestreamStore:
    return TimestreamStore(endpoint.client("write"), DATABASE, table)


@dataclass(frozen=True)
class Series:
    """A store, and all that is in it."""

    store: TimeSeriesStore
    records: Callable[[], dict[RecordKey, float]]

    def write(self, *rows: Any, run: Run = EARLY) -> TimeSeriesReport:
        return self.store.write(rows, run)

    def values(self, label: str = "1Y") -> dict[str, float]:
        """Return the values of one period by measure; there must be one record of each."""
        found = [(key.measure, value) for key, value in self.records().items() if key.time_period == label]
        assert len(found) == len(dict(found))
        return dict(found)


@pytest.fixture(params=["memory", "timestream"])
def series(request: pytest.FixtureRequest) -> Series:
    if request.param == "memory":
        memory = InMemoryTimeSeriesStore(first_date=DAY)
        return Series(memory, lambda: {key: value for key, (_, value) in memory.records.items()})
    store, table = request.getfixturevalue("timestream"), request.getfixturevalue("table")
    reader = TimestreamReader(request.getfixturevalue("endpoint").client("query"))
    return Series(store, lambda: stored(reader, table))


def stored(reader: TimestreamReader, table: str) -> dict[RecordKey, float]:
    _, rows = reader.query(f'SELECT * FROM "{DATABASE}"."{table}"')
    found = {}
    for each in rows:
        assert each["time"].time() == datetime.min.time()
        key = RecordKey(
            EntityType(each["entity_type"]),
            each["entity_id"],
            CalculationMethod(each["calculation_method"]),
            each["request_id"],
            each["time_period"],
            each["time"].date(),
            each["measure_name"],
        )
        assert key not in found
        found[key] = each["measure_value"]
    return found


def test_each_period_and_measure_is_a_record(series: Series) -> None:
    report = series.write(row(periods={"1Y": period(), "YTD": period(twr=0.05)}))
    assert report == TimeSeriesReport(written=10)
    found = series.records()
    assert len(found) == 10
    key = RecordKey(EntityType.PORTFOLIO, "port-12345", CalculationMethod.DAILY, "req-1", "1Y", DAY, "twr")
    assert found[key] == 0.0842
    assert found[key._replace(time_period="YTD")] == 0.05
    assert series.values("1Y") == dict(zip(MEASURES, (0.0842, 0.0789, 0.1245, 0.5123, 0.1532), strict=True))


def test_nothing_to_write_is_nothing_written(series: Series) -> None:
    assert series.write() == TimeSeriesReport(written=0)
    assert series.records() == {}


def test_a_retry_is_written_again_and_changes_nothing(series: Series) -> None:
    series.write(row())
    before = series.records()
    assert series.write(row()) == TimeSeriesReport(written=5)
    assert series.records() == before


def test_a_later_execution_of_the_request_replaces(series: Series) -> None:
    series.write(row())
    assert series.write(row(periods={"1Y": period(twr=0.2)}), run=AGAIN) == TimeSeriesReport(written=5)
    assert series.values()["twr"] == 0.2
    assert series.values()["mwr"] == 0.0789


def test_an_earlier_execution_that_ends_later_overwrites_nothing(series: Series) -> None:
    series.write(row(periods={"1Y": period(twr=0.2)}), run=AGAIN)
    before = series.records()
    assert series.write(row()) == TimeSeriesReport(written=0, superseded=5)
    assert series.records() == before


def test_an_equal_value_of_a_later_execution_still_supersedes(series: Series) -> None:
    series.write(row())
    series.write(row(), run=AGAIN)
    report = series.write(row(periods={"1Y": period(twr=0.9), "YTD": period()}))
    assert report == TimeSeriesReport(written=5, superseded=5)
    assert series.values()["twr"] == 0.0842


def test_another_request_has_records_of_its_own(series: Series) -> None:
    series.write(row())
    assert series.write(row(run=LATE, periods={"1Y": period(twr=0.2)}), run=LATE).written == 5
    found = {(key.request_id, value) for key, value in series.records().items() if key.measure == "twr"}
    assert found == {("req-1", 0.0842), ("req-2", 0.2)}


def test_another_value_at_the_same_version_is_rejected_one_by_one(series: Series) -> None:
    series.write(row("a", periods={"1Y": period(), "YTD": period()}), row("b"))
    before = series.records()
    report = series.write(
        row("a", periods={"1Y": period(twr=0.1), "YTD": period(volatility=0.2)}), row("b", periods={"1Y": period()})
    )
    assert (report.written, report.superseded) == (13, 0)
    assert [(each.entity_id, each.time_period, each.measure) for each in report.rejected] == [
        ("a", "1Y", "twr"),
        ("a", "YTD", "volatility"),
    ]
    assert all("version" in each.reason for each in report.rejected)
    assert series.records() == before


def test_of_two_values_in_one_call_the_first_is_kept(series: Series) -> None:
    report = series.write(row(), row(periods={"1Y": period(twr=0.1)}))
    assert report.written == 9
    assert [each.measure for each in report.rejected] == ["twr"]
    assert series.values()["twr"] == 0.0842


def test_late_records_are_rejected_and_the_others_stay(series: Series) -> None:
    report = series.write(row("late", day=DAY - timedelta(days=1)), row("in-time"))
    assert (report.written, report.superseded) == (5, 0)
    assert [(each.entity_id, each.time_period, each.measure) for each in report.rejected] == [
        ("late", "1Y", measure) for measure in MEASURES
    ]
    assert all(each.reason for each in report.rejected)
    assert {key.entity_id for key in series.records()} == {"in-time"}


def test_a_day_before_the_epoch_is_rejected_and_the_others_stay(series: Series) -> None:
    report = series.write(row("old", day=date(1969, 12, 31)), row("new"))
    assert report.written == 5
    assert [each.entity_id for each in report.rejected] == ["old"] * 5
    assert "1969-12-31 is before 1970-01-01" in report.rejected[0].reason


def test_an_undefined_metric_is_no_record(series: Series) -> None:
    report = series.write(row(periods={"1Y": period(sharpe_ratio=None, mwr=None)}))
    assert report == TimeSeriesReport(written=3)
    assert set(series.values()) == {"twr", "volatility", "max_drawdown"}


def test_a_row_without_any_metric_is_no_record(series: Series) -> None:
    assert series.write(row(periods={"1Y": period(**dict.fromkeys(MEASURES))})) == TimeSeriesReport(written=0)
    assert series.records() == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_never_leaves(series: Series, endpoint: Endpoint, value: float) -> None:
    report = series.write(row(periods={"1Y": period(twr=value)}))
    assert report.written == 4
    (rejected,) = report.rejected
    assert (rejected.entity_id, rejected.time_period, rejected.measure) == ("port-12345", "1Y", "twr")
    assert rejected.reason == f"{value} is not a finite number"
    assert "twr" not in series.values()
    sent = [record["MeasureValue"] for request in endpoint.requests for record in request["Records"]]
    assert not {"nan", "inf", "-inf"}.intersection(sent)


def test_any_finite_number_is_kept_to_the_last_bit(series: Series) -> None:
    numbers = {
        "twr": 5e-324,
        "mwr": 1.7976931348623157e308,
        "volatility": 0.1 + 0.2,
        "sharpe_ratio": -1e-300,
        "max_drawdown": 0.0,
    }
    assert series.write(row(periods={"1Y": period(**numbers)})).written == 5
    assert series.values() == numbers


def test_ids_and_labels_of_any_kind(series: Series) -> None:
    name, label = "a'b\"c;d%e/ü ✓", "2008-01-01/2008-12-31"
    assert series.write(row(name, periods={label: period()})).written == 5
    assert {(key.entity_id, key.time_period) for key in series.records()} == {(name, label)}


def test_methods_are_told_apart(series: Series) -> None:
    dietz = row().model_copy(update={"calculation_method": CalculationMethod.MODIFIED_DIETZ})
    assert series.write(row(), dietz, row("b")).written == 15
    found = {(key.entity_id, key.calculation_method) for key in series.records()}
    assert found == {("port-12345", "daily"), ("port-12345", "modified_dietz"), ("b", "daily")}


def test_more_records_than_a_call_takes(series: Series) -> None:
    rows = [row(f"p-{index}") for index in range(130)]
    assert series.write(*rows) == TimeSeriesReport(written=650)
    assert len(series.records()) == 650


def test_rejections_of_several_batches_name_the_right_records(series: Series) -> None:
    series.write(*(row(f"p-{index}") for index in range(130)))
    changed = {7, 64, 129}
    rows = [row(f"p-{index}", periods={"1Y": period(twr=0.5 if index in changed else 0.0842)}) for index in range(130)]
    report = series.write(*rows)
    assert report.written == 647
    assert [(each.entity_id, each.measure) for each in report.rejected] == [
        (f"p-{index}", "twr") for index in sorted(changed)
    ]


def test_many_rows_from_several_threads(series: Series) -> None:
    def write(part: int) -> TimeSeriesReport:
        own = [row(f"p-{part}-{index}") for index in range(40)]
        return series.write(*own, row("shared"))

    with ThreadPoolExecutor(8) as threads:
        reports = list(threads.map(write, range(8)))
    assert reports == [TimeSeriesReport(written=205)] * 8
    found = series.records()
    assert len(found) == 8 * 200 + 5
    assert sum(key.entity_id == "shared" for key in found) == 5


def test_of_executions_at_once_the_latest_stays(series: Series) -> None:
    def write(minute: int) -> TimeSeriesReport:
        run = EARLY.model_copy(update={"started_at": EARLY.started_at + timedelta(minutes=minute)})
        return series.write(row(periods={"1Y": period(twr=minute / 100)}), run=run)

    with ThreadPoolExecutor(8) as threads:
        reports = list(threads.map(write, range(16)))
    assert all(report.written + report.superseded == 5 and not report.rejected for report in reports)
    assert series.values()["twr"] == 0.15


def test_calls_are_full_and_of_one_method(endpoint: Endpoint, timestream: TimestreamStore) -> None:
    dietz = row("dietz").model_copy(update={"calculation_method": CalculationMethod.MODIFIED_DIETZ})
    timestream.write([row(f"p-{index}") for index in range(50)] + [dietz], EARLY)
    assert sorted(len(request["Records"]) for request in endpoint.requests) == [5, 50, BATCH_RECORDS, BATCH_RECORDS]
    for request in endpoint.requests:
        common = {each["Name"]: each["Value"] for each in request["CommonAttributes"]["Dimensions"]}
        entities = {each["Value"] for record in request["Records"] for each in record["Dimensions"]}
        assert common == {
            "request_id": "req-1",
            "calculation_method": "modified_dietz" if "dietz" in entities else "daily",
        }
        assert request["CommonAttributes"]["Version"] == EARLY.version


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", ThrottledError),
        ("InternalServerException", TransientError),
        ("ValidationException", StoreError),
        ("AccessDeniedException", StoreError),
        ("ResourceNotFoundException", StoreError),
        ("RejectedRecordsException", StoreError),
    ],
)
def test_errors_are_typed(
    endpoint: Endpoint, timestream: TimestreamStore, code: str, expected: type[Exception]
) -> None:
    endpoint.codes[:] = [code]
    with pytest.raises(expected, match=f"^Timestream: .*{code}") as caught:
        timestream.write([row()], EARLY)
    assert caught.type is expected


def test_an_unknown_table_is_refused_for_good(endpoint: Endpoint) -> None:
    with pytest.raises(StoreError, match="ResourceNotFoundException"):
        TimestreamStore(endpoint.client("write"), DATABASE, "none").write([row()], EARLY)


def test_a_store_that_is_not_there_is_a_passing_fault() -> None:
    with pytest.raises(TransientError):
        TimestreamStore(Endpoint("http://127.0.0.1:9").client("write"), DATABASE, "any").write([row()], EARLY)


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerException"])
def test_what_was_half_written_is_completed_by_the_whole_call(
    endpoint: Endpoint, table: str, timestream: TimestreamStore, code: str
) -> None:
    rows = [row(f"p-{index}") for index in range(200)]
    endpoint.codes[:] = [None, None, code]
    with pytest.raises(TransientError):
        timestream.write(rows, EARLY)
    reader = TimestreamReader(endpoint.client("query"))
    assert 0 < len(stored(reader, table)) < 1000
    assert timestream.write(rows, EARLY) == TimeSeriesReport(written=1000)
    assert len(stored(reader, table)) == 1000


def test_a_batch_that_fails_keeps_those_not_begun_from_being_sent(
    endpoint: Endpoint, timestream: TimestreamStore
) -> None:
    endpoint.codes[:] = ["ThrottlingException"] * 100
    with pytest.raises(ThrottledError):
        timestream.write([row(f"p-{index}") for index in range(2000)], EARLY)
    assert len(endpoint.requests) < 50


def test_a_wrong_statement_is_refused_for_good(endpoint: Endpoint) -> None:
    with pytest.raises(StoreError, match="ValidationException"):
        TimestreamReader(endpoint.client("query")).query("SELEC")


@pytest.mark.usefixtures("credentials")
def test_the_store_of_the_settings(endpoint: Endpoint, table: str) -> None:
    environment = {
        "TIMESTREAM_DATABASE": DATABASE,
        "TIMESTREAM_TABLE": table,
        "AWS_ENDPOINT_URL_TIMESTREAM_WRITE": endpoint.url,
    }
    store = time_series_store(TimeSeriesSettings.from_env(environment))
    assert time_series_store(TimeSeriesSettings.from_env(environment)) is store
    assert store.write([row()], EARLY) == TimeSeriesReport(written=5)
