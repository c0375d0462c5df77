"""The tasks as functions: what they hand on, and what they leave to the stores."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from common.access import Buckets
from common.cache import CalculationCache
from common.errors import InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.models.limits import MAX_PORTFOLIOS, STATE_BUDGET_BYTES, STATE_PAYLOAD_BYTES
from common.models.results import ResultRow, Run
from common.stores.histories import BookReader
from common.stores.layered_cache import SharedCalculationCache
from common.stores.memory import InMemoryPayloadStore, InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from common.stores.ports import RefusedRow, ResultKey, WriteReport
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


def test_a_last_valuation_that_lies_ahead_is_no_date_to_calculate_for() -> None:
    slip = {"dates": ["2024-01-01", "2024-01-02", "2099-01-03"], "values": [1000.0, 1010.0, 1020.0]}
    portfolios = [{"portfolio_id": "p", "valuations": slip}]
    with pytest.raises(InvalidPortfolioError, match="the last valuation, of 2099-01-03, must be at most 7 days after"):
        calculate(request(portfolios=portfolios))
    # As of a date it is one of those that are not known yet.
    (outcome,) = calculate(request(portfolios=portfolios, as_of_date="2024-01-02"))
    assert outcome["row"]["calculation_date"] == "2024-01-02"


def test_what_comes_after_the_date_has_no_part_in_a_result() -> None:
    monthly: dict[str, list[Any]] = {
        "dates": [f"{2016 + index // 12}-{1 + index % 12:02}-28" for index in range(60)],
        "values": [1000.0 + 7 * (index % 5) + index for index in range(60)],
    }
    daily: dict[str, list[Any]] = {
        "dates": [f"2021-{1 + index // 28:02}-{1 + index % 28:02}" for index in range(200)],
        "values": [900.0 + index for index in range(200)],
    }
    later = {name: monthly[name] + daily[name] for name in monthly}
    flows: dict[str, list[Any]] = {"dates": ["2018-06-28", "2023-01-01"], "amounts": [10.0, 50.0]}
    known = {name: values[:1] for name, values in flows.items()}
    before, after = (
        calculate(request(portfolios=[{"portfolio_id": "p", **data}], as_of_date="2020-12-31"))[0]["result"]
        for data in ({"valuations": monthly, "cash_flows": known}, {"valuations": later, "cash_flows": flows})
    )
    assert before["periods_per_year"] == 12
    assert after == before


def test_files_that_are_too_large_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate_input, "MAX_PORTFOLIOS_BYTES", 50)
    monkeypatch.setattr(validate_input, "MAX_SERIES_BYTES", 40)
    monkeypatch.setattr(calculate_portfolio, "MAX_SERIES_BYTES", 30)
    payloads = InMemoryPayloadStore({"s3://b/f.json": b"[" * 60})
    file = {"source": "s3://b/f.json"}
    said = "s3://b/f.json: is of 60 bytes, larger than the {} that are read"
    with pytest.raises(InvalidRequestError) as refused:
        plan(request(portfolios=file), payloads)
    assert str(refused.value.faults[0]) == f"$.portfolios.source: {said.format(50)}"
    with pytest.raises(InvalidRequestError) as refused:
        plan(request(benchmark={"valuations": file}), payloads)
    assert str(refused.value.faults[0]) == f"$.benchmark.valuations.source: {said.format(40)}"
    for series in ({"valuations": file}, {"valuations": valuations(), "cash_flows": file}):
        with pytest.raises(InvalidPortfolioError) as failed:
            calculate(request(portfolios=[{"portfolio_id": "p", **series}]), payloads)
        assert str(failed.value) == said.format(30)


def test_a_result_too_large_for_its_share_travels_by_key() -> None:
    payloads = InMemoryPayloadStore()
    document = request(60, time_periods=["ITD", "MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y"])
    outcomes = calculate(document, payloads)
    assert outcomes[0]["result_key"] == "results/run-1/portfolio/p-0/2024-01-20.json"
    results = InMemoryResultStore()
    report = persist_dynamodb.handler({"run": RUN, "entities": outcomes}, None, payloads=payloads, results=results)
    assert report == {"written": 60, "superseded": 0, "refusals": []}


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
    assert first == again == {"written": 2, "superseded": 0, "refusals": []}


class RefusingStore(InMemoryResultStore):
    """Refuses the rows of some portfolios."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = names

    def write(self, rows: Sequence[ResultRow], run: Run) -> WriteReport:
        taken = [row for row in rows if row.entity_id not in self._names]
        refused = [
            RefusedRow(ResultKey(row.entity_type, row.entity_id, row.calculation_date), "too large " * 100)
            for row in rows
            if row.entity_id in self._names
        ]
        return super().write(taken, run)._replace(refused=refused)


def test_a_refused_row_is_told_in_the_place_of_its_outcome() -> None:
    failure = {"failure": {"entity_id": "p-9", "error": "X", "message": "y"}}
    # A service between may order the fields of an object as it likes.
    outcomes = [{**each, "row": dict(sorted(each["row"].items(), reverse=True))} for each in calculate(request(2))]
    event = {"run": RUN, "entities": [failure, *outcomes]}
    report = persist_dynamodb.handler(event, None, payloads=InMemoryPayloadStore(), results=RefusingStore("p-1"))
    reason = report["refusals"][2]
    assert report == {"written": 1, "superseded": 0, "refusals": [None, None, reason]}
    assert reason.startswith("too large too large")
    assert len(reason) == 500


def test_the_reasons_of_any_number_of_refused_rows_fit_into_the_state() -> None:
    payloads = InMemoryPayloadStore()
    outcomes = calculate(request(MAX_PORTFOLIOS, days=2), payloads)
    names = [each["row"]["entity_id"] for each in outcomes]
    event = {"run": RUN, "entities": outcomes}
    report = persist_dynamodb.handler(event, None, payloads=payloads, results=RefusingStore(*names))
    assert all(report["refusals"])
    assert len(json.dumps(report)) < STATE_PAYLOAD_BYTES - STATE_BUDGET_BYTES
