"""A question to a process that ends meanwhile is put to the next one, and answered once."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError
from botocore.stub import Stubber

from common.errors import StoreError, TransientError
from common.models.kinds import EntityType
from tests.unit.test_sharing import EXECUTION, MACHINE, START, TOLD, client
from workflows.attached import ATTEMPTS, Attached, WholeQueries, attach
from workflows.deployed import Announcement
from workflows.executions import ExecutionClient, ExecutionNotFoundError
from workflows.local.loopback import LoopbackServer
from workflows.local.sharing import SharedWorld
from workflows.local.timestream import LocalTimestream

LISTED = {"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "x", "status": "RUNNING", "startDate": START}


@contextmanager
def owner(data_dir: Path, **told: str) -> Iterator[tuple[SharedWorld, Stubber, Stubber]]:
    """Open a world whose answers come from a script."""
    with (
        Stubber(client("stepfunctions")) as stepfunctions,
        Stubber(client("dynamodb")) as dynamodb,
        SharedWorld(data_dir, stepfunctions=stepfunctions.client, dynamodb=dynamodb.client, told=TOLD | told) as shared,
    ):
        yield shared, stepfunctions, dynamodb


class Succession:
    """Tells of one successor after the other, None when there are no more."""

    def __init__(self, *announcements: Announcement) -> None:
        self.left = list(announcements)
        self.asked = 0

    def __call__(self) -> Announcement | None:
        self.asked += 1
        return self.left.pop(0) if self.left else None


def names(executions: ExecutionClient) -> list[str]:
    return [each.name for each in executions.list()]


def test_who_has_ended_before_the_first_question_is_not_missed(tmp_path: Path) -> None:
    with owner(tmp_path) as (gone, *_):
        pass
    with owner(tmp_path) as (shared, stepfunctions, dynamodb):
        stepfunctions.add_response("list_executions", {"executions": [LISTED]})
        dynamodb.add_response("query", {"Items": []})
        find = Succession(shared.announcement)
        world = attach(gone.announcement, find)
        assert names(world.executions) == ["x"]
        # The tables' client goes on with the same process, under the token of that one.
        assert list(world.result_store.history(EntityType.PORTFOLIO, "growth")) == []
        assert find.asked == 1
        stepfunctions.assert_no_pending_responses()


def test_between_two_pages_the_next_process_goes_on(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = ExitStack()
        gone, stepfunctions, _ = first.enter_context(owner(tmp_path / "first"))
        shared, others, _ = stack.enter_context(owner(tmp_path / "second"))
        stepfunctions.add_response("list_executions", {"executions": [LISTED], "nextToken": "1"})
        others.add_response("list_executions", {"executions": [{**LISTED, "name": "y"}]})
        listed = attach(gone.announcement, Succession(shared.announcement)).executions.list()
        assert next(listed).name == "x"
        first.close()
        assert [each.name for each in listed] == ["y"]


@pytest.fixture(autouse=True)
def _directories(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()


class Breaking(BaseHTTPRequestHandler):
    """Ends in the middle of an answer, of which it has sent this much."""

    sent = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(self.sent)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"executions": []',
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "refused"],
)
def test_in_the_middle_of_an_answer_the_whole_one_comes_from_the_next_process(tmp_path: Path, sent: bytes) -> None:
    breaking = LoopbackServer(type("Handler", (Breaking,), {"sent": sent}), "breaking")
    breaking.start()
    with owner(tmp_path) as (shared, stepfunctions, _):
        stepfunctions.add_response("list_executions", {"executions": [LISTED]})
        announcement = shared.announcement.model_copy(update={"endpoint": breaking.endpoint})
        assert names(attach(announcement, Succession(shared.announcement)).executions) == ["x"]
    breaking.stop()


def test_no_question_is_put_for_ever(tmp_path: Path) -> None:
    with owner(tmp_path) as (gone, *_):
        pass
    find = Succession(*[gone.announcement.model_copy() for _ in range(2 * ATTEMPTS)])
    with pytest.raises((NoConnectionError, HTTPClientError)):
        names(attach(gone.announcement, find).executions)
    assert find.asked == ATTEMPTS - 1


def test_where_nobody_comes_after_it_the_question_fails_at_once(tmp_path: Path) -> None:
    with owner(tmp_path) as (gone, *_):
        pass
    find = Succession()
    with pytest.raises(NoConnectionError):
        names(attach(gone.announcement, find).executions)
    assert find.asked == 1


def test_what_a_process_refuses_is_not_asked_of_another(tmp_path: Path) -> None:
    with owner(tmp_path) as (shared, stepfunctions, _):
        stepfunctions.add_client_error("describe_execution", "ExecutionDoesNotExist", "not there", 400)
        find = Succession(shared.announcement)
        with pytest.raises(ExecutionNotFoundError):
            attach(shared.announcement, find).executions.describe("x")
        assert find.asked == 0


def test_questions_that_fail_at_once_look_for_one_successor(tmp_path: Path) -> None:
    with owner(tmp_path) as (gone, *_):
        pass
    with owner(tmp_path) as (shared, stepfunctions, _):
        both = threading.Barrier(2)
        find = Succession(shared.announcement)
        attached = Attached(gone.announcement, find)

        def renew() -> None:
            both.wait()
            found.append(attached.renew(gone.announcement))

        found: list[bool] = []
        threads = [threading.Thread(target=renew) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (found, find.asked, attached.announcement) == ([True, True], 1, shared.announcement)
        stepfunctions.assert_no_pending_responses()


def test_a_kept_connection_is_not_answered_from_a_world_that_is_being_closed(tmp_path: Path) -> None:
    with Stubber(client("stepfunctions")) as stepfunctions:
        shared = SharedWorld(tmp_path, stepfunctions=stepfunctions.client, dynamodb=None, told=TOLD)
        with shared:
            stepfunctions.add_response("list_executions", {"executions": [LISTED]})
            stepfunctions.add_response("list_executions", {"executions": []})
            world = attach(shared.announcement)
            assert names(world.executions) == ["x"]
        with pytest.raises((NoConnectionError, HTTPClientError)):
            names(world.executions)
        with pytest.raises(AssertionError):
            stepfunctions.assert_no_pending_responses()


def test_an_answer_that_has_begun_is_given_before_the_world_is_closed(tmp_path: Path) -> None:
    asked, goes_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def list_executions(self, **_: object) -> dict[str, Any]:
            asked.set()
            assert goes_on.wait(10)
            assert not closed.is_set()
            return {"executions": [LISTED]}

    shared = SharedWorld(tmp_path, stepfunctions=Slow(), dynamodb=None, told=TOLD)
    with ExitStack() as stack:
        stack.callback(closed.set)
        stack.enter_context(shared)
        found: list[str] = []
        world = attach(shared.announcement)
        asking = threading.Thread(target=lambda: found.extend(names(world.executions)))
        asking.start()
        assert asked.wait(10)
        closing = threading.Thread(target=stack.pop_all().close)
        closing.start()
        goes_on.set()
        closing.join(10)
        asking.join(10)
    assert closed.is_set()
    assert found == ["x"]


def test_a_server_does_not_wait_for_a_client_that_takes_no_answer() -> None:
    begun, over = threading.Event(), threading.Event()

    class Stuck(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            begun.set()
            over.wait(10)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = LoopbackServer(Stuck, "stuck")
    server.start()
    host = server.endpoint.removeprefix("http://")
    from http.client import HTTPConnection  # noqa: PLC0415 - nothing else here speaks HTTP itself

    connection = HTTPConnection(host, timeout=10)
    connection.request("POST", "/", b"{}")
    assert begun.wait(10)
    server.stop(timeout=0)
    over.set()
    connection.close()


ROWS = "SELECT * FROM range(2500) AS numbers(n) ORDER BY n"


@pytest.fixture
def queried(tmp_path: Path) -> Iterator[Callable[..., tuple[list[Any], Succession]]]:
    """Return what runs a query at a process whose answers `faults` spoils, and goes on at another."""
    with ExitStack() as stack:

        def query(sql: str, faults: Any) -> tuple[list[Any], Succession]:
            first = stack.enter_context(LocalTimestream(tmp_path / "first" / "t.duckdb", faults=faults))
            second = stack.enter_context(LocalTimestream(tmp_path / "second" / "t.duckdb"))
            told = {"pid": 1, "endpoint": first.endpoint, "token": "t", "dynamodb_endpoint": first.endpoint}
            keys = {"dynamodb_access_key": "k", "dynamodb_secret_key": "s"}
            one, two = (
                Announcement.model_validate({**TOLD, **told, **keys, "timestream_endpoint": each.endpoint})
                for each in (first, second)
            )
            find = Succession(two)
            names, rows = WholeQueries(Attached(one, find)).query(sql)
            assert names == ["n"]
            return [row["n"] for row in rows], find

        yield query


@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_query_whose_process_ends_on_any_page_is_run_anew(
    queried: Callable[..., tuple[list[Any], Succession]], page: int
) -> None:
    asked = iter(range(10))

    def faults(operation: str, _: object) -> str | None:
        return "InternalServerException" if operation == "Query" and next(asked) >= page else None

    rows, find = queried(ROWS, faults)
    assert rows == list(range(2500))
    assert find.asked == 1


def test_a_statement_that_is_wrong_is_told_at_once(queried: Callable[..., tuple[list[Any], Succession]]) -> None:
    with pytest.raises(StoreError, match="no_such_table"):
        queried("SELECT * FROM no_such_table", None)


def test_a_query_that_nobody_answers_is_an_error_that_passes(
    queried: Callable[..., tuple[list[Any], Succession]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Succession, "__call__", lambda _: None)
    with pytest.raises(TransientError):
        queried(ROWS, lambda *_: "InternalServerException")


def test_the_request_is_signed_for_whoever_is_asked(tmp_path: Path) -> None:
    seen: list[str] = []

    class Listening(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(f"{self.headers['Host']} {self.headers['Authorization'].split('/')[0]}")
            body = json.dumps({"executions": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = LoopbackServer(Listening, "listening")
    server.start()
    with owner(tmp_path) as (gone, *_):
        pass
    following = gone.announcement.model_validate(
        {**gone.announcement.model_dump(), "endpoint": server.endpoint, "token": "another"}
    )
    names(attach(gone.announcement, Succession(following)).executions)
    server.stop()
    assert seen == [f"{server.endpoint.removeprefix('http://')} AWS4-HMAC-SHA256 Credential=another"]
