"""One suite for every `ResultStore`: the fake, DynamoDB on moto, DynamoDB on ExtendDB."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from common.config import ResultStoreSettings
from common.errors import StoreError, ThrottledError, TransientError
from common.models.kinds import EntityType
from common.stores.dynamodb import RESULT_TABLE, DynamoDBResultStore, result_store
from common.stores.memory import InMemoryResultStore
from common.stores.ports import ResultKey, ResultStore
from common.stores.result_rows import stored_row
from tests.contract.rows import DAY, EARLY, LATE, period, row
from tests.contract.tables import extenddb_client_of, extenddb_table, make_table, moto_table
from workflows.local.dynamodb import LocalDynamoDB, find_extenddb

TABLE = "performance-metrics"
KEY = ResultKey(EntityType.PORTFOLIO, "port-12345", DAY)


@pytest.fixture(params=["memory", "moto", "extenddb"])
def store(request: pytest.FixtureRequest) -> ResultStore:
    if request.param == "memory":
        return InMemoryResultStore()
    return DynamoDBResultStore(request.getfixturevalue(f"{request.param}_client"), TABLE)


@pytest.fixture
def moto_client(credentials: None) -> Iterator[Any]:
    with moto_table(TABLE, RESULT_TABLE) as made:
        yield made


@pytest.fixture
def extenddb_client(extenddb: str, credentials: None) -> Iterator[Any]:
    with extenddb_table(extenddb, TABLE, RESULT_TABLE) as made:
        yield made


def read(store: ResultStore, key: ResultKey = KEY) -> dict[str, Any]:
    return store.read_many([key])[key]


def test_a_row_reads_back_as_the_specification_has_it(store: ResultStore) -> None:
    report = store.write([row()], EARLY)
    assert (report.written, report.superseded) == (1, 0)
    found = read(store)
    assert found == {**stored_row(row(), EARLY), "created_at": "2023-07-01T10:15:30.000Z"}
    specified = {
        "id": "portfolio#port-12345",
        "calculation_date": "2023-06-30",
        "entity_type": "portfolio",
        "entity_id": "port-12345",
        "time_period": "1Y",
        "twr": 0.0842,
        "mwr": 0.0789,
        "volatility": 0.1245,
        "sharpe_ratio": 0.5123,
        "max_drawdown": 0.1532,
        "calculation_method": "daily",
        "request_id": "req-1",
        "created_at": "2023-07-01T10:15:30.000Z",
        "updated_at": "2023-07-01T10:15:30.000Z",
    }
    assert specified.items() <= found.items()


def test_a_retry_changes_nothing(store: ResultStore) -> None:
    store.write([row()], EARLY)
    before = read(store)
    assert store.write([row()], EARLY).written == 1
    assert read(store) == before


def test_a_second_run_keeps_when_the_row_was_made(store: ResultStore) -> None:
    store.write([row()], EARLY)
    store.write([row(run=LATE)], LATE)
    found = read(store)
    assert found["created_at"] == "2023-07-01T10:15:30.000Z"
    assert found["updated_at"] == "2023-07-01T11:00:00.000Z"
    assert found["request_id"] == "req-2"


def test_other_periods_are_not_erased(store: ResultStore) -> None:
    store.write([row(periods={"1Y": period(), "YTD": period(twr=0.05)})], EARLY)
    store.write([row(run=LATE, periods={"3Y": period(twr=0.3, sharpe_ratio=None), "YTD": period(twr=0.06)})], LATE)
    found = read(store)
    assert {label: each["twr"] for label, each in found["periods"].items()} == {"1Y": 0.0842, "YTD": 0.06, "3Y": 0.3}
    assert {label: each["request_id"] for label, each in found["periods"].items()} == {
        "1Y": "req-1",
        "YTD": "req-2",
        "3Y": "req-2",
    }
    assert (found["time_period"], found["twr"]) == ("3Y", 0.3)
    assert "sharpe_ratio" not in found


def test_an_earlier_execution_that_ends_later_overwrites_nothing(store: ResultStore) -> None:
    store.write([row(run=LATE, periods={"1Y": period(twr=0.2)})], LATE)
    before = read(store)
    report = store.write([row(periods={"1Y": period(twr=0.1)})], EARLY)
    assert (report.written, report.superseded) == (0, 1)
    assert read(store) == before


def test_but_it_adds_the_periods_that_are_missing(store: ResultStore) -> None:
    store.write([row(run=LATE, periods={"1Y": period(twr=0.2)})], LATE)
    report = store.write([row(periods={"1Y": period(twr=0.1), "5Y": period(twr=0.5)})], EARLY)
    assert (report.written, report.superseded) == (1, 0)
    found = read(store)
    assert {label: each["twr"] for label, each in found["periods"].items()} == {"1Y": 0.2, "5Y": 0.5}
    assert (found["twr"], found["version"]) == (0.2, LATE.version)


def test_undefined_metrics_stay_undefined(store: ResultStore) -> None:
    store.write([row(periods={"1Y": period(twr=None, mwr=None)})], EARLY)
    found = read(store)
    assert "twr" not in found
    assert found["periods"]["1Y"]["twr"] is None
    assert found["periods"]["1Y"]["undefined"]["twr"] == "no_benchmark"


def test_labels_and_ids_of_any_kind(store: ResultStore) -> None:
    name = "a.b:c/d-e_f+g@h(i)[j]"
    store.write([row(name, periods={"2008-01-01/2008-12-31": period(), "MTD": period()})], EARLY)
    store.write([row(name, run=LATE, periods={"2008-01-01/2008-12-31": period(twr=0.7)})], LATE)
    found = read(store, ResultKey(EntityType.PORTFOLIO, name, DAY))
    assert found["periods"]["2008-01-01/2008-12-31"]["twr"] == 0.7


def test_history_is_in_order_and_bounded(store: ResultStore) -> None:
    days = [DAY + timedelta(days=each) for each in (3, 1, 2, 0)]
    store.write([row(day=day) for day in days] + [row("other")], EARLY)

    def dates(**bounds: date) -> list[str]:
        rows = store.history(EntityType.PORTFOLIO, "port-12345", **bounds)
        return [each["calculation_date"] for each in rows]

    assert dates() == [day.isoformat() for day in sorted(days)]
    assert dates(start=days[1], end=days[2]) == ["2023-07-01", "2023-07-02"]
    assert dates(start=days[2], end=days[1]) == []


def test_the_latest_row_is_that_on_or_before_a_date(store: ResultStore) -> None:
    days = [DAY + timedelta(days=each) for each in (0, 7, 14)]
    store.write([row(day=day) for day in days] + [row("port-12346", day=DAY + timedelta(days=30))], EARLY)

    def latest(as_of: date | None = None) -> str | None:
        found = store.latest(EntityType.PORTFOLIO, "port-12345", as_of=as_of)
        return None if found is None else found["calculation_date"]

    assert latest() == "2023-07-14"
    assert latest(days[1]) == "2023-07-07"
    assert latest(days[2] - timedelta(days=1)) == "2023-07-07"
    assert latest(DAY - timedelta(days=1)) is None
    assert store.latest(EntityType.ACCOUNT, "port-12345") is None


def test_missing_rows_are_absent(store: ResultStore) -> None:
    assert store.read_many([KEY]) == {}
    assert store.read_many([]) == {}
    assert list(store.history(EntityType.ACCOUNT, "port-12345")) == []


def test_many_rows_at_once(store: ResultStore) -> None:
    rows = [row(f"p-{index}") for index in range(130)]
    assert store.write(rows, EARLY).written == 130
    keys = [ResultKey(EntityType.PORTFOLIO, f"p-{index}", DAY) for index in range(130)]
    assert sorted(store.read_many(keys)) == sorted(keys)


def test_numbers_out_of_range(store: ResultStore) -> None:
    extreme = period(twr=1e-300, mwr=1.5e200, volatility=-0.0, sharpe_ratio=1.5621176965285484e78)
    store.write([row(periods={"1Y": extreme})], EARLY)
    found = read(store)["periods"]["1Y"]
    assert (found["twr"], found["mwr"], found["volatility"]) == (0.0, None, 0.0)
    assert found["undefined"]["mwr"] == "out_of_range"
    assert found["sharpe_ratio"] == 1.5621176965285484e78


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_reads_back_as_it_was(value: float) -> None:
    store = _property_store()
    store.write([row(periods={"1Y": period(twr=value)})], EARLY)
    found = read(store)["periods"]["1Y"]
    if abs(value) > 9.9e125:
        assert found["twr"] is None
        assert found["undefined"]["twr"] == "out_of_range"
    else:
        assert found["twr"] == (value if abs(value) >= 1e-130 else 0.0)


class _Recorder:
    """Stands in for a client: keeps the last update and answers BatchGetItem with what it made of it."""

    def __init__(self) -> None:
        self.item: dict[str, Any] = {}

    def update_item(self, **arguments: Any) -> None:
        names, values = arguments["ExpressionAttributeNames"], arguments["ExpressionAttributeValues"]
        pairs = (each.split(" = ") for each in arguments["UpdateExpression"].removeprefix("SET ").split(", "))
        self.item = {**arguments["Key"], **{names[name]: values[value] for name, value in pairs}}

    def batch_get_item(self, **_: Any) -> dict[str, Any]:
        return {"Responses": {TABLE: [self.item]}}


def _property_store() -> DynamoDBResultStore:
    return DynamoDBResultStore(_Recorder(), TABLE)  # type: ignore[arg-type]  # the two calls the test makes


def _failing(client: Any, operation: str, codes: list[str | None]) -> Callable[..., None]:
    """Let the next calls of `operation` fail with `codes`, one after the other; None lets one pass."""

    def fail(model: Any, **_: Any) -> Any:
        code = codes.pop(0) if codes else None
        if code is None:
            return None
        status = 500 if code.startswith("Internal") else 400
        raise ClientError(
            {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # as much of it as is read
            model.name,
        )

    client.meta.events.register(f"before-call.dynamodb.{operation}", fail)
    return fail


def test_a_throttled_write_is_tried_again_and_ends_complete(moto_client: Any) -> None:
    store = DynamoDBResultStore(moto_client, TABLE)
    rows = [row(f"p-{index}") for index in range(20)]
    keys = [ResultKey(EntityType.PORTFOLIO, f"p-{index}", DAY) for index in range(20)]
    _failing(moto_client, "UpdateItem", [None] * 7 + ["ProvisionedThroughputExceededException"])
    with pytest.raises(ThrottledError):
        store.write(rows, EARLY)
    assert 0 < len(store.read_many(keys)) < 20
    assert store.write(rows, EARLY).written == 20
    assert len(store.read_many(keys)) == 20


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ThrottlingException", ThrottledError),
        ("InternalServerError", TransientError),
        ("ResourceNotFoundException", StoreError),
        ("AccessDeniedException", StoreError),
    ],
)
def test_errors_are_typed(moto_client: Any, code: str, expected: type[Exception]) -> None:
    _failing(moto_client, "UpdateItem", [code])
    with pytest.raises(expected):
        DynamoDBResultStore(moto_client, TABLE).write([row()], EARLY)


def test_unprocessed_keys_are_asked_for_again(moto_client: Any) -> None:
    waits: list[float] = []
    store = DynamoDBResultStore(moto_client, TABLE, sleep=waits.append)
    rows = [row(f"p-{index}") for index in range(10)]
    store.write(rows, EARLY)
    keys = [ResultKey(EntityType.PORTFOLIO, f"p-{index}", DAY) for index in range(10)]
    real = moto_client.batch_get_item

    def half(**arguments: Any) -> Any:
        asked = arguments["RequestItems"][TABLE]["Keys"]
        now, later = asked[: (len(asked) + 1) // 2], asked[(len(asked) + 1) // 2 :]
        answer = real(RequestItems={TABLE: {**arguments["RequestItems"][TABLE], "Keys": now}})
        return {**answer, "UnprocessedKeys": {TABLE: {"Keys": later}} if later else {}}

    moto_client.batch_get_item = half
    assert len(store.read_many(keys)) == 10
    assert len(waits) == 3

    def never(**arguments: Any) -> Any:
        return {"Responses": {}, "UnprocessedKeys": arguments["RequestItems"]}

    moto_client.batch_get_item = never
    with pytest.raises(ThrottledError, match="10 keys still unprocessed"):
        store.read_many(keys)


def test_the_store_of_the_settings(moto_client: Any) -> None:
    settings = ResultStoreSettings.from_env({"DYNAMODB_TABLE": TABLE})
    assert result_store(settings) is result_store(ResultStoreSettings.from_env({"DYNAMODB_TABLE": TABLE}))
    assert result_store(settings).write([row()], EARLY).written == 1


def test_extenddb_keeps_its_data_and_leaves_with_the_block(tmp_path: Path, credentials: None) -> None:
    if find_extenddb() is None:
        pytest.skip("ExtendDB is not installed: npm ci")
    with LocalDynamoDB(tmp_path) as local:
        assert local.endpoint is not None
        made = extenddb_client_of(local.endpoint)
        make_table(made, TABLE, RESULT_TABLE)
        DynamoDBResultStore(made, TABLE).write([row()], EARLY)
    with LocalDynamoDB(tmp_path) as local:
        assert local.endpoint is not None
        made = extenddb_client_of(local.endpoint)
        assert read(DynamoDBResultStore(made, TABLE))["twr"] == 0.0842
