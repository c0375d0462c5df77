"""PlanBatches and SummariseRun: every entry of a manifest is in one batch or refused, and counted once in the end."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import common.batches
from common.access import Buckets, Scope
from common.errors import InvalidRequestError, TransientError
from common.models.books import BookEntityType, Entity
from common.models.manifests import FAILURE
from common.models.request import CalculationRequest
from common.stores.memory import InMemoryPayloadStore
from common.stores.memory_books import InMemoryBooks
from tasks import plan_batches, summarise_run

Json = dict[str, Any]
BUCKETS = Buckets(PAYLOAD_BUCKET="payloads", UPLOAD_BUCKET="uploads")
NAME = "night"


class Store(InMemoryPayloadStore):
    """Its own bucket under both names: the key, and the `s3://` name that batches have."""

    def get(self, key: str) -> bytes:
        return super().get(key.removeprefix("s3://payloads/"))


def portfolio(name: str, **changes: Any) -> Json:
    return {"portfolio_id": name, "valuations": {"dates": ["2024-01-02"], "values": [1.0]}, **changes}


def books(*names: str, client: str = "acme") -> InMemoryBooks:
    made = InMemoryBooks()
    for name in names:
        made.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id=client))
    return made


def store(*documents: object, uri: str = "s3://uploads/manifests/acme/all.jsonl") -> Store:
    body = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents)
    return Store({uri: body})


def plan(payloads: Store, made: InMemoryBooks | None = None, **request: Any) -> Json:
    request = {"manifest": {"source": "s3://uploads/manifests/acme/all.jsonl"}, **request}
    event = {
        "request": {key: value for key, value in request.items() if value is not None},
        "execution": {"name": NAME},
    }
    environment = {"PAYLOAD_BUCKET": "payloads"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYLOAD_BUCKET", environment["PAYLOAD_BUCKET"])
        return plan_batches.handler(event, None, payloads=payloads, books=made or InMemoryBooks(), buckets=BUCKETS)


def batches(payloads: Store, planned: Mapping[str, Any]) -> list[Json]:
    return cast("list[Json]", json.loads(payloads.get(planned["batches"]["key"])))


def entities(payloads: Store, batch: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "portfolios" in batch:
        found = payloads.get(batch["portfolios"]["source"]).splitlines()
        return [("portfolio", json.loads(line)["portfolio_id"]) for line in found]
    if "entities" in batch:
        return [(each["entity_type"], each["entity_id"]) for each in batch["entities"]]
    return [(batch["entity_type"], each) for each in batch["entity_ids"]]


def refusals(payloads: Store, planned: Mapping[str, Any]) -> list[Json]:
    return [json.loads(line) for line in payloads.get(planned["refused"]["key"]).splitlines()]


def test_entities_of_the_books_travel_in_the_list_itself() -> None:
    payloads = store(*({"entity_id": f"p{number}"} for number in range(5)))
    planned = plan(payloads, batch_size=2, as_of_date="2024-01-31", max_concurrency=7)
    assert (planned["batch_count"], planned["entity_count"], planned["refused"]["count"]) == (3, 5, 0)
    first, *_, last = batches(payloads, planned)
    assert first["entity_ids"] == ["p0", "p1"]
    assert last["entity_ids"] == ["p4"]
    assert (first["request_id"], first["as_of_date"], first["max_concurrency"]) == (NAME, "2024-01-31", 7)
    for each in batches(payloads, planned):
        CalculationRequest.parse(each)


def test_portfolios_with_data_are_put_into_an_object_for_each_batch() -> None:
    payloads = store(portfolio("a"), {"entity_id": "b"}, portfolio("c"), portfolio("d"))
    planned = plan(payloads, batch_size=2)
    found = batches(payloads, planned)
    assert [entities(payloads, each) for each in found] == [
        [("portfolio", "a"), ("portfolio", "c")],
        [("portfolio", "b")],
        [("portfolio", "d")],
    ]
    assert found[0]["portfolios"] == {
        "source": f"s3://payloads/fleet/{NAME}/batches/000000.jsonl",
        "format": "jsonl",
    }
    assert planned["results"] == {"bucket": "payloads", "prefix": f"fleet/{NAME}/results"}


def test_a_table_whose_portfolios_stand_apart_is_refused_whole() -> None:
    rows = b"portfolio_id,date,value\n" + b"".join(
        b"%c,2024-01-0%d,1\n" % (name, day) for day in (2, 3) for name in b"ab"
    )
    uri = "s3://uploads/manifests/acme/all.jsonl"
    with pytest.raises(InvalidRequestError, match="the rows of a stand apart, at line 2 and at line 4: sort by"):
        plan(Store({uri: rows}), manifest={"source": uri, "format": "csv"})


def test_a_benchmark_that_is_not_in_the_books_is_told_before_anything_is_planned() -> None:
    payloads = store({"entity_id": "a"})
    with pytest.raises(InvalidRequestError, match=r"\$\.benchmark\.benchmark_id: there is no benchmark nope"):
        plan(payloads, benchmark={"benchmark_id": "nope"})
    theirs = {"benchmark_id": "x", "valuations": {"source": "s3://uploads/data/birch/levels.csv"}}
    with pytest.raises(InvalidRequestError, match="there is no such object, or it may not be read"):
        plan(payloads, books("a"), client_id="acme", benchmark=theirs)


def test_no_client_is_called_so_that_the_platform_s_batches_are_its_own() -> None:
    payloads = store(portfolio("a"))
    (batch,) = batches(payloads, plan(payloads))
    for name in ("fleet", "inputs", "_fleet", "."):
        assert not Scope(name).reads(batch["portfolios"]["source"], BUCKETS)


def test_what_is_wrong_in_a_manifest_is_refused_and_the_rest_goes_on() -> None:
    payloads = store({"entity_id": "a"}, b"{", {"entity_id": "a"}, portfolio("b", valuations=[]))
    planned = plan(payloads)
    assert (planned["batch_count"], planned["entity_count"], planned["refused"]["count"]) == (1, 4, 3)
    assert [each[FAILURE]["message"] for each in refusals(payloads, planned)] == [
        "line 2: is not a JSON object",
        "line 3: a stands in line 1 already",
        "line 4: $.valuations: must have at least 1 item(s)",
    ]


def test_the_failures_of_a_run_that_nobody_has_put_right_fail_again_for_the_same_reasons() -> None:
    twice = portfolio("a", valuations={"dates": ["2024-01-02"], "values": [2.0]})
    payloads = store(portfolio("a"), b'{"portfolio_id": "b", ', twice)
    told = ["all.jsonl line 2: is not a JSON object", "all.jsonl line 3: a stands in line 1 already"]
    for run in range(3):
        refused = refusals(payloads, plan(payloads))
        assert [each[FAILURE]["message"] for each in refused] == (
            told if run else [each.removeprefix("all.jsonl ") for each in told]
        )
        assert refused[0][FAILURE]["text"] == '{"portfolio_id": "b", '
        assert refused[1][FAILURE]["duplicate"] == {"entity_type": "portfolio", "entity_id": "a"}
        assert refused[1]["valuations"] == twice["valuations"]
        payloads = store(*refused)
    refused[1]["portfolio_id"] = "c"
    mended = {"portfolio_id": "b", "valuations": {"dates": ["2024-01-02"], "values": [1.0]}}
    payloads = store(mended, refused[1])
    planned = plan(payloads)
    assert planned["refused"]["count"] == 0
    assert [entities(payloads, each) for each in batches(payloads, planned)] == [
        [("portfolio", "b"), ("portfolio", "c")]
    ]


def test_types_and_dates_of_a_batch_stand_once_where_they_are_the_same() -> None:
    payloads = store(
        {"entity_id": "a", "entity_type": "account"},
        {"entity_id": "p"},
        {"entity_id": "q", "as_of_date": "2024-01-31"},
        {"entity_id": "a"},
    )
    found = batches(payloads, plan(payloads))
    assert [entities(payloads, each) for each in found] == [
        [("account", "a")],
        [("portfolio", "p"), ("portfolio", "q"), ("portfolio", "a")],
    ]
    assert found[1]["entities"][1]["as_of_date"] == "2024-01-31"


def test_an_entity_whose_date_comes_before_the_end_of_a_period_is_refused_and_its_batch_is_not() -> None:
    payloads = store(
        {"entity_id": "early", "as_of_date": "2022-06-30"},
        {"entity_id": "late", "as_of_date": "2024-12-31"},
        {"entity_id": "undated"},
    )
    planned = plan(payloads, time_periods=["2020-12-31/2024-12-31"])
    (batch,) = batches(payloads, planned)
    assert entities(payloads, batch) == [("portfolio", "late"), ("portfolio", "undated")]
    CalculationRequest.parse(batch)
    (refused,) = refusals(payloads, planned)
    assert refused[FAILURE]["message"] == (
        "line 1: $.as_of_date: time period 2020-12-31/2024-12-31 ends after as_of_date 2022-06-30"
    )


def test_a_batch_of_portfolios_is_never_larger_than_a_calculation_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"dates": [f"2024-01-{day:02}" for day in range(1, 29)], "values": [1.5] * 28}
    line = len(json.dumps(portfolio("p-00", valuations=long, cash_flows={"dates": [], "amounts": []})))
    monkeypatch.setattr(common.batches, "MAX_PORTFOLIOS_BYTES", 3 * line)
    names = [f"p-{index:02}" for index in range(10)]
    payloads = store(*(portfolio(name, valuations=long) for name in names))
    planned = plan(payloads, batch_size=7)
    found = batches(payloads, planned)
    sizes = [len(payloads.get(each["portfolios"]["source"])) for each in found]
    assert max(sizes) <= 3 * line
    assert [len(entities(payloads, each)) for each in found] == [3, 3, 3, 1]
    assert [name for each in found for _, name in entities(payloads, each)] == names
    assert planned["entity_count"] == 10


def test_a_batch_as_large_as_may_be_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = store(*(portfolio(f"p-{index}") for index in range(4)))
    (batch,) = batches(payloads, plan(payloads))
    size = len(payloads.get(batch["portfolios"]["source"]))
    for limit, expected in ((size, 1), (size - 1, 2)):
        monkeypatch.setattr(common.batches, "MAX_PORTFOLIOS_BYTES", limit)
        assert plan(payloads)["batch_count"] == expected


def test_all_of_the_books_in_the_order_of_the_ids() -> None:
    made = books("c", "a", "b")
    made.put_entity(Entity(entity_type=BookEntityType.ACCOUNT, entity_id="x", account_id="x", client_id="acme"))
    payloads = Store()
    planned = plan(payloads, made, manifest=None, entity_types=["portfolio", "account"], batch_size=2)
    assert [entities(payloads, each) for each in batches(payloads, planned)] == [
        [("portfolio", "a"), ("portfolio", "b")],
        [("portfolio", "c")],
        [("account", "x")],
    ]


def test_all_securities_are_every_client_s_and_nobody_s() -> None:
    made = InMemoryBooks()
    for name, client in (("theirs", "birch"), ("AAPL", None), ("own", "acme")):
        made.put_entity(Entity(entity_type=BookEntityType.SECURITY, entity_id=name, client_id=client))
    payloads = Store()

    def planned(client_id: str | None) -> list[str]:
        found = plan(payloads, made, manifest=None, entity_types=["security"], client_id=client_id)
        return [name for each in batches(payloads, found) for _, name in entities(payloads, each)]

    assert planned(None) == ["AAPL", "own", "theirs"]
    assert planned("acme") == ["own"]


def test_empty_books_are_no_fault() -> None:
    payloads = Store()
    planned = plan(payloads, manifest=None)
    assert (planned["batch_count"], planned["entity_count"]) == (0, 0)
    assert summarise(payloads, planned)["status"] == "SUCCEEDED"


def test_a_run_of_a_client_takes_what_is_its_own() -> None:
    made = books("own", "mine")
    made.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="theirs", client_id="birch"))
    payloads = store(
        {"entity_id": "own"},
        {"entity_id": "theirs"},
        {"entity_id": "nobody"},
        portfolio("mine", client_id="birch", valuations={"source": "s3://uploads/data/acme/mine.csv"}),
        portfolio("own2"),
    )
    planned = plan(payloads, made, client_id="acme", batch_size=2)
    assert planned["prefix"] == f"inputs/acme/fleet/{NAME}/"
    found = batches(payloads, planned)
    assert {each["client_id"] for each in found} == {"acme"}
    assert sorted(key for each in found for key in entities(payloads, each)) == [
        ("portfolio", "mine"),
        ("portfolio", "own"),
    ]
    kept = json.loads(payloads.get(found[-1]["portfolios"]["source"]))
    assert kept["client_id"] == "acme"
    assert [each[FAILURE]["message"] for each in refusals(payloads, planned)] == [
        "line 2: there is no portfolio theirs",
        "line 3: there is no portfolio nobody",
        "line 5: there is no portfolio own2",
    ]


def test_a_client_s_portfolio_may_not_refer_to_the_data_of_another() -> None:
    payloads = store(portfolio("own", valuations={"source": "s3://uploads/data/birch/secret.csv"}))
    planned = plan(payloads, books("own"), client_id="acme")
    (only,) = refusals(payloads, planned)
    assert "s3://uploads/data/birch/secret.csv: there is no such object" in only[FAILURE]["message"]


def test_a_client_s_run_may_not_read_the_manifest_of_another() -> None:
    payloads = store({"entity_id": "a"})
    with pytest.raises(InvalidRequestError, match=r"\$\.manifest\.source: .* there is no such object"):
        plan(payloads, books("a", client="birch"), client_id="birch")


def test_all_of_a_client_s_books() -> None:
    made = books("a")
    made.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="b", client_id="birch"))
    payloads = Store()
    planned = plan(payloads, made, manifest=None, client_id="birch")
    assert [entities(payloads, each) for each in batches(payloads, planned)] == [[("portfolio", "b")]]


def test_a_client_that_has_nothing_in_the_books_is_told() -> None:
    made = books("a")
    with pytest.raises(InvalidRequestError, match=r"\$\.client_id: acmee has no portfolio"):
        plan(Store(), made, manifest=None, client_id="acmee")
    with pytest.raises(InvalidRequestError, match=r"\$\.client_id: acme has no account or security"):
        plan(Store(), made, manifest=None, client_id="acme", entity_types=["account", "security"])


def test_the_levels_of_a_benchmark_are_put_down_once() -> None:
    benchmark = {"benchmark_id": "index", "valuations": {"dates": ["2024-01-02"], "values": [100.0]}}
    payloads = store({"entity_id": "a"}, {"entity_id": "b"})
    found = batches(payloads, plan(payloads, benchmark=benchmark, batch_size=1))
    (source,) = {each["benchmark"]["valuations"]["source"] for each in found}
    assert json.loads(payloads.get(source)) == benchmark["valuations"]
    for each in found:
        CalculationRequest.parse(each)


@pytest.mark.parametrize(
    ("payloads", "changes", "fault"),
    [
        (store(), {}, "$.manifest: s3://uploads/manifests/acme/all.jsonl: there is nothing in it"),
        (Store(), {}, "$.manifest.source: s3://uploads/manifests/acme/all.jsonl: there is no such object"),
        (
            store(b"a,b"),
            {"manifest": {"source": "s3://uploads/manifests/acme/all.jsonl", "format": "csv"}},
            "no column",
        ),
        (store(), {"manifest": {"source": "all.jsonl"}}, "$.manifest: must start with s3://"),
        (store(), {"batch_size": 501, "colour": 1}, "$.batch_size: must be at most 500"),
        (store(), {"entity_types": ["portfolio"]}, "$: give a manifest or entity_types, not both"),
        (store(), {"manifest": None, "entity_types": ["account", "account"]}, "an entity type stands twice"),
    ],
)
def test_a_wrong_request_is_told(payloads: Store, changes: Json, fault: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        plan(payloads, **changes)
    assert fault in str(caught.value)


def test_a_file_of_this_machine_is_read_where_that_is_allowed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "all.csv"
    file.write_text("entity_id\na\nb\n")
    monkeypatch.setenv("LOCAL_FILES", "true")
    payloads = Store()
    assert plan(payloads, manifest={"source": str(file)})["entity_count"] == 2
    with pytest.raises(InvalidRequestError, match="No such file"):
        plan(payloads, manifest={"source": f"{file}.jsonl"})


def test_planning_again_puts_down_the_same() -> None:
    payloads = store(portfolio("a"), {"entity_id": "b"}, b"{", portfolio("c"))
    first = plan(payloads, batch_size=1)
    before = dict(payloads.objects)
    assert plan(payloads, batch_size=1) == first
    assert payloads.objects == before


# What the batches came to


def child(request: Json, *, output: Json | None = None, error: str = "", cause: str = "") -> Json:
    found: Json = {"Input": json.dumps(request), "Status": "SUCCEEDED" if output is not None else "FAILED"}
    return {**found, "Output": json.dumps(output)} if output is not None else {**found, "Error": error, "Cause": cause}


def output(payloads: Store, batch: Json, failed: Mapping[str, str] | None = None, **changes: Any) -> Json:
    failed = failed or {}
    keys = entities(payloads, batch)
    return {
        "status": "SUCCEEDED",
        "calculated": len(keys) - len(failed),
        "cached": 1,
        "failed": len(failed),
        "dynamodb": {"written": len(keys) - len(failed), "superseded": 0},
        "timestream": {"status": "SUCCEEDED"},
        "rows": [
            {"entity_type": kind, "entity_id": name, "calculation_date": "2024-01-31"}
            for kind, name in keys
            if name not in failed
        ],
        "failures": [
            {"entity_type": kind, "entity_id": name, "error": failed[name], "message": f"{name} is wrong"}
            for kind, name in keys
            if name in failed
        ],
        **changes,
    }


def write(payloads: Store, planned: Mapping[str, Any], **children: Iterable[Json]) -> None:
    """Write what the children came to as the Map's result writer does."""
    directory = f"{planned['results']['prefix']}/0f2c"
    files: dict[str, list[Json]] = {kind: [] for kind in ("FAILED", "PENDING", "SUCCEEDED")}
    for kind, found in children.items():
        key = f"{directory}/{kind}_0.json"
        payloads.put(key, json.dumps(list(found)).encode())
        files[kind].append({"Key": key, "Size": 1})
    manifest = {"DestinationBucket": "payloads", "MapRunArn": "arn", "ResultFiles": files}
    payloads.put(f"{directory}/manifest.json", json.dumps(manifest).encode())


def summarise(payloads: Store, planned: Json, **state: Any) -> Json:
    event = {"execution": {"name": NAME}, "state": {"plan": planned, **state}}
    return summarise_run.handler(event, None, payloads=payloads)


def failures(payloads: Store, summary: Mapping[str, Any]) -> list[Json]:
    return [json.loads(line) for line in payloads.get(summary["failures"]["key"]).splitlines()]


def test_a_run_of_which_everything_was_calculated() -> None:
    payloads = store(*({"entity_id": f"p{number}"} for number in range(5)))
    planned = plan(payloads, batch_size=2)
    write(
        payloads, planned, SUCCEEDED=[child(each, output=output(payloads, each)) for each in batches(payloads, planned)]
    )
    summary = summarise(payloads, planned)
    assert summary == {
        "status": "SUCCEEDED",
        "request_id": NAME,
        "entities": 5,
        "calculated": 5,
        "cached": 3,
        "failed": 0,
        "failures_by_error": {},
        "batches": {"planned": 3, "succeeded": 3, "failed": 0, "not_begun": 0},
        "dynamodb": {"written": 5, "superseded": 0},
        "timestream": {"SUCCEEDED": 3},
        "failures": {"bucket": "payloads", "key": f"fleet/{NAME}/failures.jsonl"},
        "results": {"bucket": "payloads", "key": f"fleet/{NAME}/calculated.jsonl"},
    }
    rows = [json.loads(line) for line in payloads.get(summary["results"]["key"]).splitlines()]
    assert [each["entity_id"] for each in rows] == ["p0", "p1", "p2", "p3", "p4"]
    assert failures(payloads, summary) == []


def test_every_failure_is_a_line_of_a_manifest_that_can_be_run_again() -> None:
    payloads = store(
        portfolio("a"), portfolio("b"), {"entity_id": "c", "as_of_date": "2024-01-31"}, {"entity_id": "d"}, b"{"
    )
    planned = plan(payloads, batch_size=2)
    with_data, by_id = batches(payloads, planned)
    lambda_cause = json.dumps({"errorMessage": "the table is gone", "errorType": "StoreError", "stackTrace": []})
    write(
        payloads,
        planned,
        SUCCEEDED=[child(with_data, output=output(payloads, with_data, {"b": "InvalidPortfolioError"}))],
        FAILED=[child(by_id, error="StoreError", cause=lambda_cause)],
    )
    summary = summarise(payloads, planned)
    assert (summary["status"], summary["calculated"], summary["failed"]) == ("PARTIAL", 1, 4)
    assert summary["failures_by_error"] == {"InvalidPortfolioError": 2, "StoreError": 2}
    assert summary["batches"] == {"planned": 2, "succeeded": 1, "failed": 1, "not_begun": 0}
    refused, *others = failures(payloads, summary)
    second, third, fourth = sorted(others, key=lambda each: str(each.get("portfolio_id") or each["entity_id"]))
    assert refused[FAILURE]["message"] == "line 5: is not a JSON object"
    assert second[FAILURE] == {"error": "InvalidPortfolioError", "message": "b is wrong"}
    assert third == {
        "entity_type": "portfolio",
        "entity_id": "c",
        "as_of_date": "2024-01-31",
        FAILURE: {"error": "StoreError", "message": "the table is gone"},
    }
    assert fourth["entity_id"] == "d"
    again = Store({"s3://uploads/manifests/acme/all.jsonl": payloads.get(summary["failures"]["key"])})
    replanned = plan(again)
    assert (replanned["entity_count"], replanned["refused"]["count"]) == (4, 1)
    assert sorted(key for each in batches(again, replanned) for key in entities(again, each)) == [
        ("portfolio", "b"),
        ("portfolio", "c"),
        ("portfolio", "d"),
    ]


def test_a_run_that_ended_early_is_failed_and_what_was_not_begun_is_among_its_failures() -> None:
    payloads = store(*({"entity_id": f"p{number}"} for number in range(6)))
    planned = plan(payloads, batch_size=2)
    first, second, _ = batches(payloads, planned)
    # The third is in no file: the service was stopped before it wrote one.
    write(payloads, planned, SUCCEEDED=[child(first, output=output(payloads, first))], PENDING=[child(second)])
    error = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "The threshold was exceeded"}
    summary = summarise(payloads, planned, map_error=error)
    assert (summary["status"], summary["calculated"], summary["failed"]) == ("FAILED", 2, 4)
    assert summary["reason"] == (
        "States.ExceedToleratedFailureThreshold: The threshold was exceeded (1 of 3 batches were begun)"
    )
    assert summary["batches"]["not_begun"] == 2
    assert [each["entity_id"] for each in failures(payloads, summary)] == ["p2", "p3", "p4", "p5"]
    assert summary["failures_by_error"] == {"NotBegun": 4}


def test_a_run_of_which_nothing_was_calculated_has_failed() -> None:
    payloads = store({"entity_id": "a"}, {"entity_id": "b"})
    planned = plan(payloads)
    (only,) = batches(payloads, planned)
    wrong = dict.fromkeys(("a", "b"), "InputNotFoundError")
    done = output(payloads, only, wrong, status="FAILED")
    del done["dynamodb"], done["timestream"]
    write(payloads, planned, SUCCEEDED=[child(only, output=done)])
    summary = summarise(payloads, planned)
    assert (summary["status"], summary["failed"]) == ("FAILED", 2)
    assert summary["reason"] == "None of 2 entities could be calculated; most failed with InputNotFoundError."


def test_a_time_series_that_lacks_a_batch_is_told() -> None:
    payloads = store({"entity_id": "a"}, {"entity_id": "b"})
    planned = plan(payloads, batch_size=1)
    states = iter(("DISABLED", "BACKFILL_QUEUED"))
    write(
        payloads,
        planned,
        SUCCEEDED=[
            child(each, output=output(payloads, each, timestream={"status": next(states)}))
            for each in batches(payloads, planned)
        ],
    )
    summary = summarise(payloads, planned)
    assert (summary["status"], summary["timestream"]) == ("PARTIAL", {"DISABLED": 1, "BACKFILL_QUEUED": 1})


def test_a_batch_that_is_reported_twice_counts_once() -> None:
    payloads = store({"entity_id": "a"})
    planned = plan(payloads)
    (only,) = batches(payloads, planned)
    done = child(only, output=output(payloads, only))
    write(payloads, planned, SUCCEEDED=[done, done])
    assert summarise(payloads, planned)["calculated"] == 1


def test_a_batch_that_succeeded_when_the_run_was_redriven_is_no_failure() -> None:
    payloads = store({"entity_id": "a"})
    planned = plan(payloads)
    (only,) = batches(payloads, planned)
    write(
        payloads,
        planned,
        FAILED=[child(only, error="States.Timeout")],
        SUCCEEDED=[child(only, output=output(payloads, only))],
    )
    summary = summarise(payloads, planned)
    assert (summary["status"], summary["calculated"], summary["failed"]) == ("SUCCEEDED", 1, 0)


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    class Broken(Store):
        def keys(self, prefix: str) -> Any:
            raise TransientError("S3: timed out")

    payloads = store({"entity_id": "a"})
    planned = plan(payloads)
    with pytest.raises(TransientError):
        summarise(Broken(payloads.objects), planned)


@given(st.data())
def test_every_entry_is_counted_once_whatever_becomes_of_its_batch(data: st.DataObject) -> None:
    entries = data.draw(
        st.lists(
            st.one_of(
                st.integers(0, 9).map(lambda number: {"entity_id": f"e{number}"}),
                st.integers(0, 9).map(lambda number: portfolio(f"p{number}")),
                st.just(b"{"),
            ),
            min_size=1,
            max_size=20,
        )
    )
    payloads = store(*entries)
    planned = plan(payloads, batch_size=data.draw(st.integers(1, 5)))
    found = batches(payloads, planned)
    planned_keys = [key for each in found for key in entities(payloads, each)]
    assert len(set(planned_keys)) == len(planned_keys)
    assert len(planned_keys) + planned["refused"]["count"] == planned["entity_count"] == len(entries)
    children: dict[str, list[Json]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    for each in found:
        match data.draw(st.sampled_from(("succeeded", "partial", "failed", "pending", "lost"))):
            case "succeeded":
                children["SUCCEEDED"].append(child(each, output=output(payloads, each)))
            case "partial":
                wrong = {entities(payloads, each)[0][1]: "InvalidPortfolioError"}
                children["SUCCEEDED"].append(child(each, output=output(payloads, each, wrong)))
            case "failed":
                children["FAILED"].append(child(each, error="States.Timeout"))
            case "pending":
                children["PENDING"].append(child(each))
    write(payloads, planned, **children)
    summary = summarise(payloads, planned)
    assert summary["calculated"] + summary["failed"] == summary["entities"]
    assert len(failures(payloads, summary)) == summary["failed"]


def test_a_spooled_list_is_put_down_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.scratch.SPOOLED_BYTES", 10)
    payloads = store(*({"entity_id": f"p{number}"} for number in range(50)), b"{", b"{")
    planned = plan(payloads, batch_size=5)
    assert len(batches(payloads, planned)) == 10
    assert len(refusals(payloads, planned)) == 2
