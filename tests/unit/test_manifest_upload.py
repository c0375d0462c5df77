"""Manifests: what starts a run, for whom, once; and what starts none."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.access import Buckets
from common.models.fleet import FleetRequest
from common.stores.memory import InMemoryPayloadStore
from tests.executions import never_ending
from workflows.executions import ExecutionClient
from workflows.registry import FLEET
from workflows.triggers import manifest_upload

EVENT = json.loads((Path(__file__).parents[1] / "events" / "s3_object_created.json").read_bytes())
BUCKETS = Buckets(PAYLOAD_BUCKET="payloads", UPLOAD_BUCKET="uploads")
REQUEST = {"entity_ids": ["growth"]}


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExecutionClient]:
    with never_ending(monkeypatch) as client:
        yield client


def event(
    key: str = "manifests/acme/month end.json",
    *,
    bucket: str = "uploads",
    sequencer: str = "1",
    version: str | None = None,
) -> dict[str, Any]:
    made: dict[str, Any] = deepcopy(EVENT)
    made["detail"]["bucket"]["name"] = bucket
    made["detail"]["object"] |= {"key": key, "sequencer": sequencer, "version-id": version}
    if version is None:
        del made["detail"]["object"]["version-id"]
    return made


def received(
    executions: ExecutionClient, body: object, made: dict[str, Any] | None = None
) -> tuple[dict[str, Any], InMemoryPayloadStore]:
    made = made or event()
    uri = f"s3://{made['detail']['bucket']['name']}/{made['detail']['object']['key']}"
    payloads = InMemoryPayloadStore({uri: body if isinstance(body, bytes) else json.dumps(body).encode()})
    report = manifest_upload.handler(
        made, None, buckets=BUCKETS, payloads=payloads, executions=executions, fleet=executions
    )
    return report, payloads


def test_a_manifest_starts_a_run_of_the_client_in_whose_folder_it_lies(executions: ExecutionClient) -> None:
    report, _ = received(executions, REQUEST)
    assert report["status"] == "STARTED"
    found = executions.describe(report["execution"]).input
    assert (found["client_id"], found["entity_ids"], found["request_id"]) == ("acme", ["growth"], "month-end")


def test_an_event_that_comes_twice_starts_one_run(executions: ExecutionClient) -> None:
    first, _ = received(executions, REQUEST)
    again, _ = received(executions, REQUEST)
    assert again == {**first, "status": "ALREADY_STARTED"}
    assert len(list(executions.list())) == 1


def test_an_event_that_comes_twice_starts_one_run_though_its_file_was_replaced(executions: ExecutionClient) -> None:
    first, _ = received(executions, REQUEST)
    again, payloads = received(executions, {"entity_ids": ["income"]})
    assert again == {**first, "status": "ALREADY_STARTED"}
    assert executions.describe(first["execution"]).input["entity_ids"] == ["growth"]
    assert len(payloads.objects) == 1


def test_a_manifest_is_read_in_the_version_of_its_event(executions: ExecutionClient) -> None:
    uri = "s3://uploads/manifests/acme/month end.json"
    versions = {"v1": ["growth"], "v2": ["income"]}
    objects = {f"{uri}?versionId={each}": json.dumps({"entity_ids": ids}) for each, ids in versions.items()}
    newest = objects[f"{uri}?versionId=v2"]
    payloads = InMemoryPayloadStore({name: body.encode() for name, body in {**objects, uri: newest}.items()})
    for number, (version, ids) in enumerate(versions.items()):
        made = event(sequencer=str(number), version=version)
        report = manifest_upload.handler(
            made, None, buckets=BUCKETS, payloads=payloads, executions=executions, fleet=executions
        )
        assert report["status"] == "STARTED"
        assert executions.describe(report["execution"]).input["entity_ids"] == ids


def test_another_upload_of_the_same_file_is_another_run(executions: ExecutionClient) -> None:
    first, _ = received(executions, REQUEST)
    second, _ = received(executions, REQUEST, event(sequencer="2"))
    assert first["execution"] != second["execution"]


@pytest.mark.parametrize(
    "made",
    [
        event("data/acme/p.json"),
        event("manifests/p.json"),
        event("manifests/acme/"),
        event("other/manifests/acme/p.json"),
        event(bucket="somewhere-else"),
    ],
)
def test_other_objects_are_left_alone(executions: ExecutionClient, made: dict[str, Any]) -> None:
    report, payloads = received(executions, REQUEST, made)
    assert report["status"] == "IGNORED"
    assert len(payloads.objects) == 1
    assert list(executions.list()) == []


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b"{", "$", "is not JSON"),
        (b"[1]", "$", "must be an object"),
        (b"[" * 100_000, "$", "is not JSON"),
        ({"entity_ids": []}, "$.entity_ids", "must have at least 1 item"),
        ({**REQUEST, "client_id": "globex"}, "$.client_id", "there is no client globex"),
        ({**REQUEST, "client_id": None}, "$.client_id", "there is no client None"),
        ({**REQUEST, "portfolios": {"source": "local.csv"}}, "$.portfolios", "must start with s3://"),
    ],
)
def test_a_wrong_manifest_starts_nothing_and_says_why(
    executions: ExecutionClient, body: object, path: str, message: str
) -> None:
    report, payloads = received(executions, body)
    assert report["status"] == "REJECTED"
    told = json.loads(payloads.objects[report["key"]])
    assert told["manifest"] == "s3://uploads/manifests/acme/month end.json"
    assert told["faults"][0]["path"] == path
    assert message in told["faults"][0]["message"]
    assert list(executions.list()) == []


def test_a_manifest_that_is_gone_again_is_rejected(executions: ExecutionClient) -> None:
    payloads = InMemoryPayloadStore()
    report = manifest_upload.handler(
        event(), None, buckets=BUCKETS, payloads=payloads, executions=executions, fleet=executions
    )
    assert report["status"] == "REJECTED"


def test_a_large_manifest_leaves_its_histories_below_the_client_s_prefix(executions: ExecutionClient) -> None:
    dates = [
        f"{year}-{month:02}-{day:02}" for year in range(1950, 2020) for month in range(1, 13) for day in range(1, 29)
    ]
    series = {"dates": dates, "values": [1000.5] * len(dates)}
    report, payloads = received(executions, {"portfolios": [{"portfolio_id": "growth", "valuations": series}]})
    assert report["status"] == "STARTED"
    staged = [key for key in payloads.objects if key.startswith("inputs/")]
    assert [key.rsplit("/", 1)[0] for key in staged] == ["inputs/acme"]
    source = executions.describe(report["execution"]).input["portfolios"][0]["valuations"]["source"]
    assert source == f"s3://payloads/{staged[0]}"


@pytest.mark.parametrize("name", ["one.jsonl", "one.ndjson", "ids.csv", "p.parquet"])
def test_a_manifest_is_a_fleet_run_however_short_and_is_not_read_here(executions: ExecutionClient, name: str) -> None:
    report, payloads = received(executions, b"neither of them", event(f"manifests/acme/{name}"))
    assert (report["status"], report["state_machine"]) == ("STARTED", FLEET)
    request = FleetRequest.parse(executions.describe(report["execution"]).input)
    assert request.client_id == "acme"
    assert request.manifest is not None
    assert request.manifest.source == f"s3://uploads/manifests/acme/{name}"
    assert payloads.objects.keys() == {f"s3://uploads/manifests/acme/{name}"}


def test_a_request_of_a_fleet_run_is_one(executions: ExecutionClient) -> None:
    report, _ = received(executions, {"entity_types": ["portfolio", "account"], "as_of_date": "2024-01-31"})
    assert report["state_machine"] == "performance-fleet"
    found = executions.describe(report["execution"]).input
    assert (found["client_id"], found["entity_types"]) == ("acme", ["portfolio", "account"])


def test_the_levels_of_a_fleet_run_s_benchmark_may_be_too_long_for_an_execution(executions: ExecutionClient) -> None:
    days = [str(each) for each in np.arange("1990-01-01", "2030-01-01", dtype="datetime64[D]")]
    levels = {"dates": days, "values": [100.0] * len(days)}
    benchmark = {"benchmark_id": "index", "valuations": levels}
    report, payloads = received(executions, {"entity_types": ["portfolio"], "benchmark": benchmark})
    source = executions.describe(report["execution"]).input["benchmark"]["valuations"]["source"]
    assert json.loads(payloads.objects[source.removeprefix("s3://payloads/")]) == levels


@pytest.mark.parametrize("name", ["notes.txt", "manifest"])
def test_a_file_of_no_known_format_is_rejected(executions: ExecutionClient, name: str) -> None:
    report, payloads = received(executions, b"", event(f"manifests/acme/{name}"))
    assert report["status"] == "REJECTED"
    assert "as its ending tells" in payloads.objects[report["key"]].decode()
