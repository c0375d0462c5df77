"""The tasks as functions: what they hand on, and what they leave to the stores."""

import json
from typing import Any

import pytest

from common.access import Buckets
from common.cache import CalculationCache
from common.errors import InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.models.limits import MAX_PORTFOLIOS, STATE_BUDGET_BYTES, STATE_PAYLOAD_BYTES
from common.models.results import ResultRow
from common.stores.histories import BookReader
from common.stores.layered_cache import SharedCalculationCache
from common.stores.memory import InMemoryPayloadStore, InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tasks import calculate_portfolio, persist_dynamodb, validate_input

EXECUTION = {"name": "run-1"}
RUN = {"request_id": "r", "execution_name": "run-1", "started_at": "2024-01-05T00:00:00.123Z"}


def valuations(days: int = 20) -> dict[str, list[Any]]:
    return {
        "dates": [f"2024-{1 + index // 28:02}-{1 + index % 28:02}" for index in range(days)],
        "values": [1000.0 + index**1.5 for index in range(days)],
    }


def request(count: int = 1, days: int = 20, **changes: Any) -> dict[str, Any]:
    portfolios = [{"portfolio_id": f"p-{index}", "valuations": valuations(days)} for index in range(count)]
    return {"request_id": "r", "time_periods": ["ITD", "MTD"], "portfolios": portfolios, **changes}


BUCKETS = Buckets(PAYLOAD_BUCKET="payloads", UPLOAD_BUCKET="uploads")


def plan(
    document: object, payloads: InMemoryPayloadStore | None = None, books: InMemoryBooks | None = None
) -> dict[str, Any]:
    return validate_input.handler(
        {"request": document, "execution": EXECUTION},
        None,
        payloads=payloads or InMemoryPayloadStore(),
        books=books or InMemoryBooks(),
        buckets=BUCKETS,
    )


def iterations(planned: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the input of each iteration, as the Map selects it."""
    return [
        {
            "request": planned["request"],
            "result_bytes": planned["result_bytes"],
            "entity": entity,
            "execution": EXECUTION,
        }
        for entity in planned["entities"]
    ]


def calculated(
    event: dict[str, Any],
    payloads: InMemoryPayloadStore,
    books: InMemoryBooks | None = None,
    cache: SharedCalculationCache | None = None,
) -> dict[str, Any]:
    return calculate_portfolio.handler(
        event,
        None,
        payloads=payloads,
        reader=BookReader(books or InMemoryBooks()),
        cache=cache or SharedCalculationCache(CalculationCache(3600), None),
    )


def calculate(document: object, payloads: InMemoryPayloadStore | None = None) -> list[dict[str, Any]]:
    payloads = payloads or InMemoryPayloadStore()
    return [calculated(each, payloads) for each in iterations(plan(document, payloads))]


def test_a_small_request_travels_inline() -> None:
    payloads = InMemoryPayloadStore()
    found = plan(request(2), payloads)
    assert payloads.objects == {}
    assert [each["entity_id"] for each in found["entities"]] == ["p-0", "p-1"]
    assert found["max_concurrency"] == 10
    assert found["request"]["request_id"] == "r"


def test_a_request_without_an_id_gets_the_name_of_its_execution() -> None:
    document = request()
    del document["request_id"]
    assert plan(document)["request"]["request_id"] == "run-1"


def test_what_does_not_fit_the_state_travels_by_key() -> None:
    payloads = InMemoryPayloadStore()
    found = plan(request(200, days=300), payloads)
    assert len(json.dumps(found)) < STATE_PAYLOAD_BYTES
    assert all(set(each) == {"entity_type", "entity_id", "key"} for each in found["entities"])
    again = plan(request(200, days=300), payloads)
    assert again == found
    assert len(payloads.objects) == 200


def test_the_largest_request_fits_the_state() -> None:
    long = "x" * 58
    portfolios = [{"portfolio_id": f"{long}{index:05}", "valuations": valuations(1)} for index in range(MAX_PORTFOLIOS)]
    payloads = InMemoryPayloadStore()
    found = plan(request(portfolios=portfolios), payloads)
    assert len(json.dumps(found)) < STATE_PAYLOAD_BYTES
    outcomes = [calculated(each, payloads) for each in iterations(found)]
    assert len(json.dumps({**found, "entities": outcomes})) < STATE_PAYLOAD_BYTES


def test_the_benchmark_is_read_once() -> None:
    lines = "date,value\n" + "".join(f"2024-01-{day:02},{100 + day}\n" for day in range(1, 29))
    payloads = InMemoryPayloadStore({"s3://b/i.csv": lines.encode()})
    document = request(2, benchmark={"benchmark_id": "I", "valuations": {"source": "s3://b/i.csv"}})
    found = plan(document, payloads)
    assert found["request"]["benchmark"]["valuations"]["values"][:2] == [101.0, 102.0]
    (first, _) = calculate(document, payloads)
    assert first["result"]["benchmark_id"] == "I"
    assert first["result"]["periods"]["ITD"]["beta"] is not None


def test_a_long_benchmark_travels_by_key() -> None:
    payloads = InMemoryPayloadStore()
    document = request(benchmark={"valuations": valuations(200)})
    found = plan(document, payloads)
    assert set(found["request"]["benchmark"]) == {"benchmark_id", "key"}
    (outcome,) = calculate(document, payloads)
    assert outcome["result"]["periods"]["ITD"]["tracking_error"] == 0.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"benchmark": {"valuations": {"source": "s3://b/none.csv"}}},
            "$.benchmark.valuations.source: s3://b/none.csv",
        ),
        ({"benchmark": {"valuations": {"source": "s3://b/zero.csv"}}}, "$.benchmark.valuations: the levels"),
        ({"portfolios": {"source": "s3://b/none.json"}}, "$.portfolios.source: s3://b/none.json"),
        ({"portfolios": {"source": "s3://b/bad.json"}}, "$.portfolios[0].valuations: is missing"),
        ({"portfolios": {"source": "s3://b/twice.jsonl"}}, "$.portfolios[1].portfolio_id: 'a' is the id of"),
        ({"portfolios": {"source": "s3://b/empty.jsonl"}}, "$.portfolios: there must be at least one portfolio"),
    ],
)
def test_what_the_request_as_a_whole_refers_to_must_be_right(changes: dict[str, Any], expected: str) -> None:
    line = json.dumps({"portfolio_id": "a", "valuations": valuations(2)}) + "\n"
    payloads = InMemoryPayloadStore(
        {
            "s3://b/zero.csv": b"date,value\n2024-01-01,0\n",
            "s3://b/bad.json": b'[{"portfolio_id": "a"}]',
            "s3://b/twice.jsonl": (line * 2).encode(),
            "s3://b/empty.jsonl": b"",
        }
    )
    with pytest.raises(InvalidRequestError) as caught:
        plan(request(**changes), payloads)
    assert str(caught.value.faults[0]).startswith(expected)


def test_portfolios_of_a_file() -> None:
    body = "portfolio_id,date,value,cash_flow\na,2024-01-02,1000,\na,2024-01-03,1010,5\nb,2024-01-02,1,\n"
    payloads = InMemoryPayloadStore({"s3://b/p.csv": body.encode()})
    found = plan(request(portfolios={"source": "s3://b/p.csv"}), payloads)
    assert [each["entity_id"] for each in found["entities"]] == ["a", "b"]


def test_a_result_has_every_field_of_the_row() -> None:
    (outcome,) = calculate(request(as_of_date="2024-01-20"))
    assert outcome["row"] == {"entity_type": "portfolio", "entity_id": "p-0", "calculation_date": "2024-01-20"}
    found = ResultRow.model_validate(outcome["result"])
    assert list(found.periods) == ["ITD", "MTD"]
    assert found.periods["ITD"].twr == pytest.approx((1000 + 19**1.5) / 1000 - 1)
    assert found.periods["MTD"].undefined["twr"] == "history_too_short"
    assert outcome["result"]["periods"]["ITD"]["from"] == "2024-01-01"


def test_no_as_of_date_is_the_last_valuation() -> None:
    (outcome,) = calculate(request(days=10))
    assert outcome["row"]["calculation_date"] == "2024-01-10"


def test_a_result_too_large_for_its_share_travels_by_key() -> None:
    payloads = InMemoryPayloadStore()
    document = request(60, time_periods=["ITD", "MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y"])
    outcomes = calculate(document, payloads)
    assert outcomes[0]["result_key"] == "results/run-1/portfolio/p-0/2024-01-20.json"
    results = InMemoryResultStore()
    report = persist_dynamodb.handler({"run": RUN, "entities": outcomes}, None, payloads=payloads, results=results)
    assert report == {"written": 60, "superseded": 0}


@pytest.mark.parametrize(
    ("portfolio", "error", "message"),
    [
        ({"valuations": {"source": "s3://b/none.csv"}}, InputNotFoundError, "s3://b/none.csv: there is no such object"),
        ({"valuations": {"source": "s3://b/bad.csv"}}, InvalidPortfolioError, "line 2: value 'n/a' must be a number"),
        (
            {"valuations": [{"date": "2024-03-01", "value": 1}]},
            InvalidPortfolioError,
            "the first valuation, 2024-03-01, is later than as_of_date 2024-02-01",
        ),
    ],
)
def test_what_is_wrong_with_a_portfolio_is_its_own_failure(
    portfolio: dict[str, Any], error: type[Exception], message: str
) -> None:
    payloads = InMemoryPayloadStore({"s3://b/bad.csv": b"date,value\n2024-01-01,n/a\n"})
    document = request(portfolios=[{"portfolio_id": "p", **portfolio}], as_of_date="2024-02-01")
    with pytest.raises(error) as caught:
        calculate(document, payloads)
    assert message in str(caught.value)


def test_the_failures_of_the_largest_request_fit_the_state() -> None:
    name = 'é"' * 300
    portfolios = [
        {"portfolio_id": f"{'x' * 58}{index:05}", "valuations": {"source": f"s3://b/{name}.csv"}}
        for index in range(MAX_PORTFOLIOS)
    ]
    failures = []
    payloads = InMemoryPayloadStore()
    for each in iterations(plan(request(portfolios=portfolios), payloads)):
        with pytest.raises(InputNotFoundError) as caught:
            calculated(each, payloads)
        frame = {"entity_type": "portfolio", "entity_id": each["entity"]["entity_id"], "error": "InvalidPortfolioError"}
        failures.append({"failure": {**frame, "message": str(caught.value)}})
    assert len(json.dumps(failures)) < STATE_BUDGET_BYTES


def test_only_what_was_calculated_is_kept() -> None:
    outcomes = [*calculate(request(2)), {"failure": {"entity_id": "p-9", "error": "X", "message": "y"}}]
    results = InMemoryResultStore()
    event = {"run": RUN, "entities": outcomes}
    first = persist_dynamodb.handler(event, None, payloads=InMemoryPayloadStore(), results=results)
    again = persist_dynamodb.handler(event, None, payloads=InMemoryPayloadStore(), results=results)
    assert first == again == {"written": 2, "superseded": 0}
