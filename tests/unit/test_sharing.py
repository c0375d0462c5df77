"""A world that another process reads: who is let in, what is answered, and what is left when its owner has gone."""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from common.errors import StoreError
from common.models.kinds import EntityType
from workflows.attached import attach
from workflows.deployed import Announcement, OwnerGoneError, RemoteWorld, understood
from workflows.executions import ExecutionNotFoundError
from workflows.local import sharing
from workflows.local.sharing import SharedWorld, announced

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:m:x"
START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
TOLD = {
    "region": "us-east-1",
    "state_machine_arn": MACHINE,
    "fleet_arn": f"{MACHINE}-fleet",
    "result_table": "results",
    "entity_table": "entities",
    "payload_bucket": "payloads",
    "timestream_endpoint": "http://127.0.0.1:9",
    "lines": ["DynamoDB: here"],
}


def client(service: str) -> Any:
    return boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="us-east-1").client(service)  # type: ignore[call-overload]  # two services


@pytest.fixture
def stepfunctions() -> Iterator[Stubber]:
    with Stubber(client("stepfunctions")) as stubber:
        yield stubber


@pytest.fixture
def dynamodb() -> Iterator[Stubber]:
    with Stubber(client("dynamodb")) as stubber:
        yield stubber


@pytest.fixture
def shared(tmp_path: Path, stepfunctions: Stubber, dynamodb: Stubber) -> Iterator[SharedWorld]:
    world = SharedWorld(tmp_path, stepfunctions=stepfunctions.client, dynamodb=dynamodb.client, told=TOLD)
    with world:
        yield world


@pytest.fixture
def attached(shared: SharedWorld) -> RemoteWorld:
    return attach(shared.announcement)


def ask(announcement: Announcement, target: str, headers: Mapping[str, str], body: bytes = b"{}") -> tuple[int, Any]:
    connection = HTTPConnection(announcement.endpoint.removeprefix("http://"), timeout=10)
    connection.request("POST", "/", body, {"X-Amz-Target": target, **headers})
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def signed(key: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential={key}/20260102/us-east-1/states/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Perfcalc-Token": "wrong"},
        {"X-Perfcalc-Token": ""},
        {"Authorization": "Bearer x"},
        {"Authorization": signed("AKIAIOSFODNN7EXAMPLE")},
    ],
)
def test_whoever_does_not_know_the_token_is_refused(shared: SharedWorld, headers: dict[str, str]) -> None:
    status, answer = ask(shared.announcement, "AWSStepFunctions.ListStateMachines", headers)
    assert (status, answer["__type"]) == (403, "UnrecognizedClientException")


def test_the_token_may_come_as_a_header_or_as_the_access_key(shared: SharedWorld, stepfunctions: Stubber) -> None:
    token = shared.announcement.token.get_secret_value()
    for headers in ({"X-Perfcalc-Token": token}, {"Authorization": signed(token)}):
        stepfunctions.add_response("list_state_machines", {"stateMachines": []}, {})
        answer = ask(shared.announcement, "AWSStepFunctions.ListStateMachines", headers)
        assert answer == (200, {"stateMachines": []})


@pytest.mark.parametrize(
    "target",
    [
        "AWSStepFunctions.StartExecution",
        "AWSStepFunctions.DeleteStateMachine",
        "AWSStepFunctions.describe_execution",
        "AWSStepFunctions._make_api_call",
        "AWSStepFunctions",
        "",
        "DynamoDB_20120810.PutItem",
        "DynamoDB_20120810.DescribeExecution",
        "AmazonSQS.SendMessage",
    ],
)
def test_what_is_not_reading_is_unknown(shared: SharedWorld, target: str) -> None:
    token = shared.announcement.token.get_secret_value()
    status, answer = ask(shared.announcement, target, {"X-Perfcalc-Token": token})
    assert (status, answer["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "SerializationException"),
        (b"{", "SerializationException"),
        (b'{"Key": {"id": {"B": "?"}}}', "SerializationException"),
        (b'{"executionArn": 1}', "ValidationException"),
        (b'{"planet": "Mars"}', "ValidationException"),
    ],
)
def test_a_body_that_is_no_request_is_told(shared: SharedWorld, body: bytes, kind: str) -> None:
    token = shared.announcement.token.get_secret_value()
    status, answer = ask(shared.announcement, "AWSStepFunctions.DescribeExecution", {"X-Perfcalc-Token": token}, body)
    assert (status, answer["__type"]) == (400, kind)


@pytest.mark.parametrize("length", [str(sharing.MAX_BODY_BYTES + 1), "-1", "many"])
def test_a_body_that_is_too_large_or_of_no_length_is_not_read(shared: SharedWorld, length: str) -> None:
    headers = {"X-Perfcalc-Token": shared.announcement.token.get_secret_value(), "Content-Length": length}
    status, answer = ask(shared.announcement, "AWSStepFunctions.DescribeExecution", headers)
    assert (status, answer["__type"]) == (400, "ValidationException")


def test_it_listens_on_the_loopback_alone_and_announces_itself_to_its_owner_alone(
    shared: SharedWorld, tmp_path: Path
) -> None:
    assert shared.announcement.endpoint.startswith("http://127.0.0.1:")
    assert shared._server.server_address[0] == "127.0.0.1"
    assert stat.S_IMODE((tmp_path / sharing.FILE).stat().st_mode) == 0o600
    assert shared.announcement.token.get_secret_value() not in repr(shared.announcement)
    assert shared.announcement.pid == os.getpid()


def test_an_execution_is_described_as_its_owner_sees_it(attached: RemoteWorld, stepfunctions: Stubber) -> None:
    told = {
        "executionArn": EXECUTION,
        "stateMachineArn": MACHINE,
        "name": "x",
        "status": "RUNNING",
        "startDate": START,
        "input": "{}",
    }
    stepfunctions.add_response("describe_execution", told, {"executionArn": EXECUTION})
    found = attached.executions.describe("x")
    assert (found.name, found.started_at, found.input) == ("x", START, {})
    stepfunctions.add_client_error("describe_execution", "ExecutionDoesNotExist", "not there", 400)
    with pytest.raises(ExecutionNotFoundError):
        attached.executions.describe("y")


def test_a_history_is_read_in_pages(attached: RemoteWorld, stepfunctions: Stubber) -> None:
    event = {"timestamp": START, "type": "ExecutionStarted", "id": 1, "previousEventId": 0}
    stepfunctions.add_response("get_execution_history", {"events": [event], "nextToken": "1"})
    stepfunctions.add_response("get_execution_history", {"events": [{**event, "id": 2}]})
    assert [each["id"] for each in attached.executions.growing_history("x").read()] == [1, 2]


def test_an_execution_may_be_stopped(attached: RemoteWorld, stepfunctions: Stubber) -> None:
    asked = {"executionArn": EXECUTION, "error": "Stopped", "cause": ""}
    stepfunctions.add_response("stop_execution", {"stopDate": START}, asked)
    attached.executions.stop("x")
    stepfunctions.assert_no_pending_responses()


def test_tables_without_a_server_of_their_own_are_read_here_bytes_included(
    attached: RemoteWorld, shared: SharedWorld, dynamodb: Stubber
) -> None:
    item = {"id": {"S": "a"}, "chunk": {"B": b"\x00\xff"}}
    dynamodb.add_response("get_item", {"Item": item}, {"TableName": "t", "Key": {"id": {"B": b"\x01"}}})
    token = shared.announcement.token.get_secret_value()
    session = boto3.Session(aws_access_key_id=token, aws_secret_access_key="z", region_name="us-east-1")
    reader = session.client("dynamodb", endpoint_url=shared.announcement.dynamodb_endpoint)
    assert reader.get_item(TableName="t", Key={"id": {"B": b"\x01"}})["Item"] == item
    dynamodb.add_response("query", {"Items": []})
    assert list(attached.result_store.history(EntityType.PORTFOLIO, "growth")) == []
    with pytest.raises(ClientError, match="UnknownOperationException"):
        reader.put_item(TableName="t", Item={"id": {"S": "a"}})


def test_tables_with_a_server_of_their_own_are_not_answered_here(tmp_path: Path, stepfunctions: Stubber) -> None:
    own = {"dynamodb_endpoint": "http://127.0.0.1:9", "dynamodb_access_key": "k", "dynamodb_secret_key": "s"}
    with SharedWorld(tmp_path, stepfunctions=stepfunctions.client, dynamodb=None, told=TOLD | own) as shared:
        assert shared.announcement.dynamodb_endpoint == "http://127.0.0.1:9"
        token = shared.announcement.token.get_secret_value()
        status, _ = ask(shared.announcement, "DynamoDB_20120810.Query", {"X-Perfcalc-Token": token})
        assert status == 400


def test_the_configuration_of_whoever_attaches_does_not_matter(
    shared: SharedWorld, stepfunctions: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody-else-s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    stepfunctions.add_response("list_executions", {"executions": []})
    assert list(attach(shared.announcement).executions.list()) == []


def test_a_world_is_found_while_it_is_open_and_no_longer(
    tmp_path: Path, shared: SharedWorld, stepfunctions: Stubber, attached: RemoteWorld
) -> None:
    found = announced(tmp_path)
    assert found == shared.announcement
    assert attached.describe() == ["DynamoDB: here", f"Open in process {os.getpid()}"]
    shared.__exit__(None, None, None)
    assert not (tmp_path / sharing.FILE).exists()
    assert announced(tmp_path) is None
    with pytest.raises(OwnerGoneError, match="does not answer"), understood("here", attached=True):
        list(attached.executions.list())
    shared.__enter__()  # which the fixture closes


def test_what_a_killed_process_has_left_is_not_taken_for_a_world(tmp_path: Path, stepfunctions: Stubber) -> None:
    shared = SharedWorld(tmp_path, stepfunctions=stepfunctions.client, dynamodb=None, told=TOLD)
    with shared:
        left = (tmp_path / sharing.FILE).read_bytes()
    (tmp_path / sharing.FILE).write_bytes(left)
    assert announced(tmp_path) is None
    # By now another has the port, and another token.
    with SharedWorld(tmp_path, stepfunctions=stepfunctions.client, dynamodb=None, told=TOLD) as other:
        stale = json.loads(left) | {"endpoint": other.announcement.endpoint}
        (tmp_path / sharing.FILE).write_text(json.dumps(stale))
        assert announced(tmp_path) is None


def test_who_answers_everything_is_not_taken_for_a_world(tmp_path: Path, stepfunctions: Stubber) -> None:
    heard: list[str] = []

    class Impostor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(str(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "64")
            self.end_headers()
            self.wfile.write(b"0" * 64)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with SharedWorld(tmp_path, stepfunctions=stepfunctions.client, dynamodb=None, told=TOLD) as shared:
        token = shared.announcement.token.get_secret_value()
        left = json.loads((tmp_path / sharing.FILE).read_bytes())
    with HTTPServer(("127.0.0.1", 0), Impostor) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        (tmp_path / sharing.FILE).write_text(json.dumps(left | {"endpoint": f"http://127.0.0.1:{server.server_port}"}))
        assert announced(tmp_path) is None
        thread.join()
    assert heard
    assert token not in "".join(heard)


@pytest.mark.parametrize("left", [b"", b"{}", b"\xff", b'{"pid": "x"}'])
def test_a_file_that_announces_nothing_is_passed_over(tmp_path: Path, left: bytes) -> None:
    (tmp_path / sharing.FILE).write_bytes(left)
    assert announced(tmp_path) is None


def test_a_store_s_own_error_keeps_its_words(attached: RemoteWorld, dynamodb: Stubber) -> None:
    dynamodb.add_client_error("query", "ValidationException", "the key is wrong", 400)
    with pytest.raises(StoreError, match="the key is wrong"), understood("here", attached=True):
        list(attached.result_store.history(EntityType.PORTFOLIO, "growth"))
