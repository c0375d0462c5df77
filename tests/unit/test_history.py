"""The history of a metric: the same from either store, page by page."""

import logging
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config import TimeSeriesSettings
from common.errors import StoreError, ThrottledError, TransientError
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.models.results import PeriodResult, ResultRow, Run
from common.stores.memory import InMemoryResultStore
from common.stores.timestream import MEASURES, TimestreamReader, TimestreamStore, time_series_reader
from tests.api import ACME, World, world
from tests.contract.rows import EARLY, LATE, period, row
from tests.time_series import timestream_client
from workflows.local.timestream import LocalTimestream
from workflows.triggers.api.history import (
    HistoryQuery,
    HistorySource,
    Metric,
    TimeSeriesTable,
    decode_position,
    encode_position,
    metric_history,
)
from workflows.triggers.api.problems import ProblemError, ProblemType

DATABASE, TABLE = "investment_performance", "performance_metrics"
PATH = "/portfolios/acme-portfolio/performance/history"


@dataclass
class Stores:
    """The rows, and the time series that was made of them."""

    results: InMemoryResultStore
    series: TimestreamStore
    reader: TimestreamReader
    queries: list[str] = field(default_factory=list)
    error: Exception | None = None

    def query(self, sql: str) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
        if self.error:
            raise self.error
        self.queries.append(sql)
        return self.reader.query(sql)

    def write(self, *rows: ResultRow, run: Run = EARLY) -> None:
        self.results.write(rows, run)
        self.series.write(rows, run)

    @property
    def table(self) -> TimeSeriesTable:
        return TimeSeriesTable(self, DATABASE, TABLE)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTimestream]:
    path: Path = tmp_path_factory.mktemp("timestream") / "timestream.duckdb"
    with LocalTimestream(path, clock=lambda: datetime(2024, 1, 1, tzinfo=UTC)) as local:
        client = timestream_client("write", local.endpoint)
        client.create_database(DatabaseName=DATABASE)
        client.create_table(
            DatabaseName=DATABASE,
            TableName=TABLE,
            MagneticStoreWriteProperties={"EnableMagneticStoreWrites": True},
        )
        yield local


@pytest.fixture
def stores(endpoint: LocalTimestream) -> Stores:
    return Stores(
        InMemoryResultStore(),
        TimestreamStore(timestream_client("write", endpoint.endpoint), DATABASE, TABLE),
        TimestreamReader(timestream_client("query", endpoint.endpoint)),
    )


def asked(entity_id: str, **more: Any) -> HistoryQuery:
    usual: dict[str, Any] = {"metric": Metric.TWR, "period": "ITD", "start": None, "end": None, "limit": 100}
    return HistoryQuery(EntityType.PORTFOLIO, entity_id, **(usual | more))


def from_both(stores: Stores, query: HistoryQuery) -> list[tuple[str, float]]:
    """Return the points, which both stores have to answer alike."""
    page = metric_history(query, stores.results, stores.table)
    truth = metric_history(query, stores.results, None)
    assert truth.source is HistorySource.DYNAMODB
    if truth.points:
        assert page.source is HistorySource.TIMESTREAM
    assert list(page.points) == list(truth.points)
    assert page.last == truth.last
    return [(day.isoformat(), value) for day, value in page.points]


def days(entity_id: str, count: int, first: date = date(2023, 1, 1), **periods: PeriodResult) -> list[ResultRow]:
    return [
        row(entity_id, day=first + timedelta(number), periods=periods or {"ITD": period(twr=number / 100)})
        for number in range(count)
    ]


def test_the_measures_are_the_specification_s() -> None:
    assert tuple(Metric) == MEASURES


@pytest.mark.parametrize("metric", Metric)
def test_each_metric_is_answered_alike(stores: Stores, metric: Metric) -> None:
    metrics = {name: number / 7 for number, name in enumerate(MEASURES)}
    stores.write(*days(f"each-{metric}", 3, ITD=period(**metrics), MTD=period(**{metric.value: 9.0})))
    assert from_both(stores, asked(f"each-{metric}", metric=metric)) == [
        (f"2023-01-0{day}", metrics[metric]) for day in (1, 2, 3)
    ]


def test_days_are_inclusive_at_both_ends(stores: Stores) -> None:
    stores.write(*days("ends", 9))
    found = from_both(stores, asked("ends", start=date(2023, 1, 3), end=date(2023, 1, 5)))
    assert found == [("2023-01-03", 0.02), ("2023-01-04", 0.03), ("2023-01-05", 0.04)]
    assert from_both(stores, asked("ends", start=date(2024, 1, 3), end=date(2024, 1, 5))) == []


def test_an_explicit_period_is_known_by_its_label(stores: Stores) -> None:
    label = "2020-01-01/2022-12-31"
    rows = days("explicit", 2)
    stores.write(*(each.model_copy(update={"periods": {label: period(twr=0.5), "ITD": period()}}) for each in rows))
    assert from_both(stores, asked("explicit", period=label)) == [("2023-01-01", 0.5), ("2023-01-02", 0.5)]
    assert from_both(stores, asked("explicit", period="2020-01-01/2022-12-30")) == []


@pytest.mark.parametrize(
    "entity_id", ["a'b\"c", "' OR 1=1 --", "'; DROP TABLE x --", "''", "\\'", '"', "%", "_", "$1", "{x}", "é"]
)
def test_quotes_of_an_id_stay_in_it(stores: Stores, entity_id: str) -> None:
    stores.write(*days("bystander", 1), *days(entity_id, 1, ITD=period(twr=0.25)))
    assert from_both(stores, asked(entity_id)) == [("2023-01-01", 0.25)]
    assert from_both(stores, asked(entity_id, period="' OR '1'='1")) == []


def test_a_date_on_which_the_metric_is_undefined_is_left_out(stores: Stores) -> None:
    first, second, third = days("undefined", 3)
    hole = second.model_copy(update={"periods": {"ITD": period(twr=None)}})
    stores.write(first, hole, third)
    assert from_both(stores, asked("undefined")) == [("2023-01-01", 0.0), ("2023-01-03", 0.02)]


def test_of_several_requests_that_differ_the_latest_is_told(stores: Stores) -> None:
    stores.write(*days("several", 3))
    day = date(2023, 1, 2)
    stores.write(row("several", run=LATE, day=day, periods={"ITD": period(twr=0.5)}), run=LATE)
    assert from_both(stores, asked("several")) == [("2023-01-01", 0.0), ("2023-01-02", 0.5), ("2023-01-03", 0.02)]


def test_of_several_requests_that_agree_there_is_one_point(stores: Stores) -> None:
    stores.write(*days("agreed", 2))
    again = [each.model_copy(update={"request_id": LATE.request_id}) for each in days("agreed", 2)]
    stores.write(*again, run=LATE)
    stores.results = Unreadable(stores.results)
    page = metric_history(asked("agreed"), stores.results, stores.table)
    assert [(day.day, value) for day, value in page.points] == [(1, 0.0), (2, 0.01)]


def test_a_doubtful_date_that_the_rows_do_not_have_is_left_out(stores: Stores) -> None:
    (only,) = days("gone", 1)
    stores.series.write([only], EARLY)
    stores.series.write([row("gone", run=LATE, day=date(2023, 1, 1), periods={"ITD": period(twr=0.5)})], LATE)
    assert metric_history(asked("gone"), stores.results, stores.table).points == []


class Unreadable(InMemoryResultStore):
    """Rows of which none may be read by its key."""

    def __init__(self, rows: InMemoryResultStore) -> None:
        super().__init__()
        self._rows = rows._rows

    def read_many(self, keys: Any) -> Any:
        raise AssertionError(f"{keys} were read")


def test_days_before_timestream_s_first_are_told_too(stores: Stores) -> None:
    stores.results.write(days("old", 4, date(1969, 12, 30)), EARLY)
    stores.series.write(days("old", 4, date(1969, 12, 30)), EARLY)
    page = metric_history(asked("old"), stores.results, stores.table)
    assert [day.isoformat() for day, _ in page.points] == ["1969-12-30", "1969-12-31", "1970-01-01", "1970-01-02"]
    assert page.source is HistorySource.DYNAMODB
    assert len(from_both(stores, asked("old", start=date(1970, 1, 1)))) == 2


def test_a_page_reads_one_day_more_than_it_has(stores: Stores) -> None:
    stores.write(*days("pages", 10))
    page = metric_history(asked("pages", limit=4), stores.results, stores.table)
    assert (len(page.points), page.last) == (4, date(2023, 1, 4))
    assert "LIMIT 5" in stores.queries[-1]
    assert metric_history(asked("pages", limit=10), stores.results, stores.table).last is None


@pytest.mark.parametrize("error", [ThrottledError("x"), TransientError("x"), StoreError("x")])
def test_where_timestream_fails_the_rows_answer(
    stores: Stores, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    stores.results.write(days("fails", 2), EARLY)
    stores.error = error
    with caplog.at_level(logging.WARNING, logger="performance-calculator"):
        page = metric_history(asked("fails"), stores.results, stores.table)
    assert (len(page.points), page.source) == (2, HistorySource.DYNAMODB)
    assert [record.getMessage() for record in caplog.records] == ["Timestream did not answer"]


def test_a_page_that_breaks_off_is_no_answer(stores: Stores) -> None:
    class Broken:
        def query(self, sql: str) -> tuple[Sequence[str], Iterator[Mapping[str, Any]]]:
            def rows() -> Iterator[Mapping[str, Any]]:
                yield {"time": datetime(2023, 1, 1, tzinfo=UTC), "lowest": 1.0, "highest": 1.0}
                raise TransientError("x")

            return [], rows()

    stores.results.write(days("broken", 2), EARLY)
    page = metric_history(asked("broken"), stores.results, TimeSeriesTable(Broken(), DATABASE, TABLE))
    assert (len(page.points), page.source) == (2, HistorySource.DYNAMODB)


def test_what_timestream_has_nothing_of_the_rows_answer(stores: Stores) -> None:
    stores.results.write(days("late", 2), EARLY)
    page = metric_history(asked("late"), stores.results, stores.table)
    assert (len(page.points), page.source) == (2, HistorySource.DYNAMODB)


def test_a_table_of_another_name(stores: Stores) -> None:
    table = TimeSeriesTable(stores, 'a"b', "c")
    assert metric_history(asked("any"), stores.results, table).points == []
    assert 'FROM "a""b"."c"' in stores.queries[-1]


@given(day=st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_a_position_is_the_day_after(day: date) -> None:
    assert decode_position(encode_position(day)) == day + timedelta(1)


@given(token=st.text(max_size=20) | st.binary(max_size=14).map(lambda data: urlsafe_b64encode(data).decode()))
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ProblemError) as caught:
        decode_position(token)
    assert caught.value.kind is ProblemType.MALFORMED


@pytest.mark.parametrize("text", ["1.2023-02-30", "2.2023-06-30", "1.2023-06-30 ", "1.9999-12-31", "2023-06-30"])
def test_a_token_is_a_day_of_the_calendar(text: str) -> None:
    with pytest.raises(ProblemError):
        decode_position(urlsafe_b64encode(text.encode()).decode().rstrip("="))


# Through the API


@pytest.fixture(params=["timestream", "dynamodb"])
def api(request: pytest.FixtureRequest, stores: Stores) -> World:
    made = world()
    made.results = stores.results
    made.time_series = stores.table if request.param == "timestream" else None
    rows = days("acme-portfolio", 7, ITD=period(twr=0.1), YTD=period(twr=0.2))
    rows[3] = rows[3].model_copy(update={"periods": {"ITD": period(twr=None), "YTD": period(twr=0.2)}})
    stores.write(*rows)
    return made


def test_a_history_is_read_page_by_page(api: World) -> None:
    path, pages = f"{PATH}?metric=twr&limit=4", []
    while path:
        answer = api.ask("GET", path, caller={**ACME, "role": "reader"})
        assert answer.status == 200
        pages.append(answer.body)
        link = answer.headers.get("link", "")
        assert bool(link) == bool(answer.body["next_token"])
        path = link.removeprefix("</v1").removesuffix('>; rel="next"')
    assert [[point["date"][-2:] for point in page["points"]] for page in pages] == [
        ["01", "02", "03", "05"],
        ["06", "07"],
    ]
    first: JsonObject = pages[0]
    assert first["entity"] == {"entity_type": "portfolio", "entity_id": "acme-portfolio"}
    assert (first["metric"], first["period"]) == ("twr", "ITD")
    assert first["points"][0] == {"date": "2023-01-01", "value": 0.1}
    assert first["source"] == ("timestream" if api.time_series else "dynamodb")
    assert pages[1]["next_token"] is None


def test_the_next_page_keeps_the_filter(api: World) -> None:
    answer = api.ask("GET", f"{PATH}?metric=twr&period=YTD&from=2023-01-02&to=2023-01-05&limit=2")
    assert [point["date"] for point in answer.body["points"]] == ["2023-01-02", "2023-01-03"]
    path = answer.headers["link"].removeprefix("</v1").removesuffix('>; rel="next"')
    assert "period=YTD&from=2023-01-02&to=2023-01-05&limit=2" in path
    following = api.ask("GET", path).body
    assert [point["date"] for point in following["points"]] == ["2023-01-04", "2023-01-05"]
    assert following["next_token"] is None


def test_a_token_goes_back_before_no_first_day(api: World) -> None:
    token = encode_position(date(2023, 1, 1))
    body = api.ask("GET", f"{PATH}?metric=twr&from=2023-01-06&next_token={token}").body
    assert [point["date"] for point in body["points"]] == ["2023-01-06", "2023-01-07"]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("", "query.metric"),
        ("metric=beta", "query.metric"),
        ("metric=twr&limit=0", "query.limit"),
        ("metric=twr&limit=1001", "query.limit"),
        ("metric=twr&limit=ten", "query.limit"),
        ("metric=twr&period=2Y", "query.period"),
        ("metric=twr&period=ITD&period=1Y", "query.period"),
        ("metric=twr&from=2023-1-1", "query.from"),
        ("metric=twr&from=2023-02-01&to=2023-01-01", "query.from"),
        ("metric=twr&to=3000-01-01", "query.to"),
    ],
)
def test_a_wrong_parameter_is_told(api: World, query: str, place: str) -> None:
    answer = api.ask("GET", f"{PATH}?{query}")
    assert answer.status == 422
    assert list(answer.errors) == [place]


@pytest.mark.parametrize("token", ["x", "", "x" * 100, "MS4yMDIzLTA2LTMw=", "MS4yMDIzLTA2LTMx"])
def test_a_token_that_is_none_cannot_be_read(api: World, token: str) -> None:
    answer = api.ask("GET", f"{PATH}?metric=twr&next_token={token}")
    assert (answer.status, answer.body["type"]) == (400, "/problems/malformed-request")


@pytest.mark.usefixtures("credentials")
def test_the_reader_of_the_settings(endpoint: LocalTimestream, stores: Stores) -> None:
    environment = {"TIMESTREAM_DATABASE": DATABASE, "TIMESTREAM_TABLE": TABLE}
    settings = TimeSeriesSettings.from_env_if_set(
        {**environment, "AWS_ENDPOINT_URL_TIMESTREAM_QUERY": endpoint.endpoint}
    )
    assert settings is not None
    assert time_series_reader(settings) is time_series_reader(settings)
    stores.write(*days("settings", 2))
    table = TimeSeriesTable(time_series_reader(settings), settings.database, settings.table)
    assert len(metric_history(asked("settings"), stores.results, table).points) == 2


def test_a_deployment_without_timestream_has_no_settings_of_it() -> None:
    assert TimeSeriesSettings.from_env_if_set({"TIMESTREAM_DATABASE": "", "OTHER": "x"}) is None
    with pytest.raises(ValueError, match="TIMESTREAM_TABLE"):
        TimeSeriesSettings.from_env_if_set({"TIMESTREAM_DATABASE": "x"})
