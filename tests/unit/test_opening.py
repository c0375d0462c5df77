"""A data directory as commands open it: who has it, who comes next, and one that may only be read."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.stub import Stubber

from common.errors import InputNotFoundError
from tests.unit.test_sharing import EXECUTION, MACHINE, START, TOLD, client
from workflows.cli.joining import JoinedWorld, joined
from workflows.deployed import OwnerGoneError, RemoteWorld
from workflows.execution_names import execution_name
from workflows.executions import ExecutionStatus
from workflows.local import opening
from workflows.local.copied import CopyError, not_writable
from workflows.local.lock import DataDirectoryInUseError, DataDirectoryLock, Holder
from workflows.local.opening import opened_in_turn, opened_to_read
from workflows.local.sharing import SharedWorld
from workflows.world import Readable

LISTED = {"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": "x", "status": "SUCCEEDED", "startDate": START}
DESCRIBED = {**LISTED, "input": "{}"}
EVENTS = [{"timestamp": START, "type": "ExecutionStarted", "id": number, "previousEventId": 0} for number in (1, 2)]


class Scripted:
    """Step Functions whose answers never change, and which is told of every question."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.before: Any = lambda: None

    def list_executions(self, **asked: Any) -> dict[str, Any]:
        """Return one execution of requests, no fleet run."""
        self._ask("list")
        return {"executions": [] if asked["stateMachineArn"].endswith("-fleet") else [LISTED]}

    def describe_execution(self, **_: object) -> dict[str, Any]:
        """Return it."""
        self._ask("describe")
        return DESCRIBED

    def get_execution_history(self, **asked: Any) -> dict[str, Any]:
        """Return its events, one a page."""
        self._ask("history")
        return {"events": EVENTS[1:]} if "nextToken" in asked else {"events": EVENTS[:1], "nextToken": "1"}

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        self.before()


class Runtimes:
    """Opens worlds of a script, and counts them."""

    def __init__(self, stepfunctions: Any) -> None:
        self.stepfunctions = stepfunctions
        self.opened: list[Path] = []
        self.open = 0

    @contextmanager
    def __call__(self, data_dir: Path) -> Iterator[Any]:
        """Open a world, as `LocalRuntime` does: locked, and announced."""
        with (
            DataDirectoryLock(data_dir, "history"),
            SharedWorld(data_dir, stepfunctions=self.stepfunctions, dynamodb=None, told=TOLD) as shared,
        ):
            self.opened.append(data_dir)
            self.open += 1
            try:
                yield shared
            finally:
                self.open -= 1


@pytest.fixture
def runtimes() -> Runtimes:
    return Runtimes(Scripted())


def read(world: Readable) -> list[Any]:
    """Ask everything that `perfcalc history` does, and more."""
    return [
        [each.name for each in world.executions.list()],
        [each.name for each in world.fleet.list()],
        world.executions.describe("x").status,
        [event.id for event in world.executions.history("x")],
        [event["id"] for event in world.executions.growing_history("x").read()],
    ]


ANSWERED = [["x"], [], ExecutionStatus.SUCCEEDED, [1, 2], [1, 2]]
QUESTIONS = ["list", "list", "describe", "history", "history", "history", "history"]


@pytest.mark.parametrize("question", range(7))
def test_a_reader_goes_on_at_whichever_question_the_owner_ends(
    tmp_path: Path, runtimes: Runtimes, question: int
) -> None:
    owning = Scripted()
    asked = iter(range(100))
    with ExitStack() as owner, opened_to_read(*owned(tmp_path, owner, owning), runtimes) as world:
        assert isinstance(world, RemoteWorld)

        def end(**_: object) -> None:
            if next(asked) == question:
                owner.close()

        world.executions.client.meta.events.register("before-call.sfn.*", end)
        assert read(world) == ANSWERED
        assert runtimes.opened == [tmp_path]
        questions = [*owning.asked, *runtimes.stepfunctions.asked]
    assert questions == ["list", "list", "describe", "history", "history", "history", "history"], "each is put once"
    assert len(owning.asked) == question
    assert runtimes.open == 0
    with DataDirectoryLock(tmp_path):
        """Nobody holds it any longer."""


def owned(data_dir: Path, stack: ExitStack, stepfunctions: Any, command: str = "run") -> tuple[Path]:
    """Have another hold the directory, until `stack` is closed."""
    stack.enter_context(DataDirectoryLock(data_dir, command))
    stack.enter_context(SharedWorld(data_dir, stepfunctions=stepfunctions, dynamodb=None, told=TOLD))
    return (data_dir,)


def test_the_next_owner_is_read_where_there_is_one(tmp_path: Path, runtimes: Runtimes) -> None:
    second = Scripted()
    with (
        ExitStack() as following,
        ExitStack() as owner,
        opened_to_read(*owned(tmp_path, owner, Scripted()), runtimes) as world,
    ):
        owner.close()
        owned(tmp_path, following, second)
        assert read(world) == ANSWERED
    assert len(second.asked) == 7
    assert runtimes.opened == []


def test_a_directory_that_is_being_closed_is_waited_for(
    tmp_path: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = ExitStack()
    closing.enter_context(DataDirectoryLock(tmp_path, "run"))
    waits = iter([lambda: None, closing.close])
    monkeypatch.setattr("time.sleep", lambda _: next(waits)())
    with opened_to_read(tmp_path, runtimes) as world:
        assert not isinstance(world, RemoteWorld), "nobody was there to be asked"
    assert runtimes.opened == [tmp_path]
    assert list(waits) == []


def test_a_directory_whose_owner_lets_nobody_in_is_not_waited_for_for_ever(
    tmp_path: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda _: now.append(now.pop() + 1.0))
    with (
        DataDirectoryLock(tmp_path, "serve"),
        pytest.raises(DataDirectoryInUseError, match=r"`perfcalc serve`, since"),
        opened_to_read(tmp_path, runtimes),
    ):
        pass
    assert now[0] > opening.PATIENCE_SECONDS
    assert runtimes.opened == []


def test_who_does_not_take_over_waits_for_the_next_owner(tmp_path: Path, runtimes: Runtimes) -> None:
    def reads() -> None:
        with (
            ExitStack() as owner,
            ExitStack() as following,
            opened_to_read(*owned(tmp_path, owner, Scripted()), runtimes, takes_over=False) as world,
        ):
            owner.close()
            owned(tmp_path, following, Scripted())
            assert read(world) == ANSWERED
            following.close()
            read(world)

    with pytest.raises(OwnerGoneError, match="does not answer any longer") as caught:
        reads()
    assert str(tmp_path) in str(caught.value)
    assert runtimes.opened == []


@pytest.mark.parametrize("command", ["history", "watch"])
def test_who_works_in_a_directory_waits_for_who_reads_it(
    tmp_path: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    reading = ExitStack()
    reading.enter_context(DataDirectoryLock(tmp_path, command))
    monkeypatch.setattr("time.sleep", lambda _: reading.close())
    with opened_in_turn(tmp_path, runtimes):
        assert runtimes.open == 1
    assert runtimes.open == 0


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("run", "wait until it ends, stop it, or choose another data directory"),
        ("serve", "wait until it ends, stop it, choose another data directory, or send the request to its API"),
        ("console", "wait until it ends, stop it, choose another data directory, or start the request in the console"),
        (None, "wait until it ends, stop it, or choose another data directory"),
    ],
)
def test_who_works_in_it_is_told_at_once_with_what_there_is_to_do(
    tmp_path: Path, runtimes: Runtimes, command: str | None, remedy: str
) -> None:
    with (
        DataDirectoryLock(tmp_path, command),
        pytest.raises(DataDirectoryInUseError) as caught,
        opened_in_turn(tmp_path, runtimes),
    ):
        pass
    holder = caught.value.holder
    assert holder is not None
    assert (holder.pid, holder.command) == (os.getpid(), command)
    assert holder.since is not None
    assert datetime.now(UTC) - holder.since < timedelta(minutes=1)
    who = f"process {os.getpid()}, {f'`perfcalc {command}`, ' if command else ''}since {holder.since:%Y-%m-%d %H:%M:%S}"
    assert str(caught.value) == f"{tmp_path} is in use by {who} UTC; {remedy}"


@pytest.mark.parametrize(
    ("left", "told"), [(b"", "another process"), (b"123\n", "process 123"), (b"x\n", "another process")]
)
def test_a_lock_of_another_version_is_told_as_far_as_it_goes(tmp_path: Path, left: bytes, told: str) -> None:
    with DataDirectoryLock(tmp_path, "run"):
        (tmp_path / "lock").write_bytes(left)
        with pytest.raises(DataDirectoryInUseError, match=f"in use by {told}; wait"), DataDirectoryLock(tmp_path):
            pass


# A request that another process has under way

REQUEST = {"request_id": "r"}
NAME = execution_name(REQUEST)
SINCE = START + timedelta(hours=1)


def described(status: str, request: str = '{"request_id":"r"}', **more: Any) -> dict[str, Any]:
    arn = EXECUTION.replace(":x", f":{NAME}")
    return {**LISTED, "executionArn": arn, "name": NAME, "status": status, "input": request, **more}


@contextmanager
def second(data_dir: Path, stubber: Stubber, command: str = "run") -> Iterator[JoinedWorld]:
    """Open the world that another process has open as the second `perfcalc run` does."""
    refusal = DataDirectoryInUseError(data_dir, Holder(7, START, command))
    with (
        SharedWorld(data_dir, stepfunctions=stubber.client, dynamodb=None, told=TOLD) as shared,
        joined(data_dir, Runtimes(None), shared.announcement, refusal, SINCE) as world,
    ):
        yield world


@pytest.fixture
def stubber() -> Iterator[Stubber]:
    with Stubber(client("stepfunctions")) as made:
        yield made


@pytest.mark.parametrize(
    "found", [described("RUNNING"), described("SUCCEEDED", stopDate=SINCE), described("FAILED", stopDate=SINCE)]
)
def test_the_same_request_is_the_run_that_was_under_way_when_it_was_typed(
    tmp_path: Path, stubber: Stubber, found: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    stubber.add_response("describe_execution", found)
    stubber.add_client_error("describe_execution", "ExecutionDoesNotExist", "not there", 400)
    stubber.add_response("describe_execution", found)
    with second(tmp_path, stubber) as world:
        assert world.executions.start_or_attach(REQUEST).name == NAME
    assert f"{NAME} is under way in process 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    "found",
    [
        described("SUCCEEDED", stopDate=SINCE - timedelta(seconds=1)),
        described("RUNNING", '{"request_id":"other"}'),
    ],
    ids=["ended before", "another request of this name"],
)
def test_a_request_that_is_not_under_way_is_refused(tmp_path: Path, stubber: Stubber, found: dict[str, Any]) -> None:
    stubber.add_response("describe_execution", found)
    stubber.add_client_error("describe_execution", "ExecutionDoesNotExist", "not there", 400)
    stubber.add_response("describe_execution", found)
    with second(tmp_path, stubber) as world, pytest.raises(DataDirectoryInUseError, match="`perfcalc run`"):
        world.executions.start_or_attach(REQUEST)


def test_a_request_that_was_never_run_is_refused(tmp_path: Path, stubber: Stubber) -> None:
    stubber.add_client_error("describe_execution", "ExecutionDoesNotExist", "not there", 400)
    with second(tmp_path, stubber) as world, pytest.raises(DataDirectoryInUseError, match="process 7"):
        world.fleet.start_or_attach(REQUEST)


def test_nothing_is_staged_for_a_request_that_is_under_way(tmp_path: Path, stubber: Stubber) -> None:
    with second(tmp_path, stubber) as world:
        assert world.payload_bucket == TOLD["payload_bucket"]
        world.payload_store.put("a", b"x")
        assert list(world.payload_store.keys("")) == []
        for read in (world.payload_store.get, world.payload_store.open_uri):
            with pytest.raises(InputNotFoundError, match="memory of another process"):
                read("a")


@pytest.mark.parametrize(("command", "waits"), [("run", 3), ("upload", 3), ("serve", 0), ("console", 0)])
def test_the_files_of_a_fleet_run_are_waited_for_where_its_process_keeps_them(
    tmp_path: Path, stubber: Stubber, monkeypatch: pytest.MonkeyPatch, command: str, waits: int
) -> None:
    slept: list[float] = []
    own = SimpleNamespace(pid=7)
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("workflows.cli.joining.announced", lambda _: own if len(slept) < 3 else None)
    for _ in range(2):
        stubber.add_response("describe_execution", described("SUCCEEDED", stopDate=SINCE))
    with second(tmp_path, stubber, command) as world:
        assert world.executions.wait(NAME).status is ExecutionStatus.SUCCEEDED
        assert slept == []
        assert world.fleet.wait(NAME).status is ExecutionStatus.SUCCEEDED
    assert len(slept) == waits


# A directory that may not be written

READ_ONLY_PARTS = [".", "lock", "timestream.duckdb", "dynamodb", "dynamodb/extenddb.sqlite", "executions/m", "logs"]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a data directory that was worked in."""
    data_dir = tmp_path / "kept"
    for name in ("dynamodb", "executions/m", "fleet/x", "logs"):
        (data_dir / name).mkdir(parents=True)
    for name in (
        "lock",
        "timestream.duckdb",
        "dynamodb/extenddb.sqlite",
        "executions/m/x.jsonl",
        "jwt-key",
        "open.json",
    ):
        (data_dir / name).write_text("{}")
    return data_dir


@pytest.mark.parametrize("part", READ_ONLY_PARTS)
def test_whatever_may_not_be_written_is_found(kept: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not_writable(kept) is None
    shut = kept / part
    monkeypatch.setattr("os.access", lambda path, mode: path != shut or not mode & os.W_OK)
    assert not_writable(kept) == shut


def test_what_is_replaced_or_only_read_need_not_be_writable(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shut = {kept / "jwt-key", kept / "open.json", kept / "executions/m/x.jsonl", kept / "fleet/x"}
    monkeypatch.setattr("os.access", lambda path, _: path not in shut)
    assert not_writable(kept) is None
    assert not_writable(kept / "nothing") is None


def test_what_may_only_be_read_is_read_in_a_copy_that_is_gone_afterwards(
    kept: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, _: path != kept)
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    with opened_to_read(kept, runtimes) as world:
        assert isinstance(world, RemoteWorld), "nothing can be started in a copy"
        assert read(world) == ANSWERED
        (copy,) = runtimes.opened
        assert copy != kept
        assert (copy / "executions/m/x.jsonl").read_text() == "{}"
        assert not (copy / "jwt-key").exists()
        with DataDirectoryLock(kept):
            """Others work in it meanwhile."""
    assert not copy.exists()
    assert before.keys() == {*kept.rglob("*")}


def test_nobody_works_in_what_is_being_copied(kept: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda _: now.append(now.pop() + 1.0))
    monkeypatch.setattr("os.access", lambda path, _: path != kept)
    with (
        DataDirectoryLock(kept, "serve"),
        pytest.raises(DataDirectoryInUseError, match="`perfcalc serve`"),
        opened_to_read(kept, runtimes),
    ):
        pass


def test_what_may_not_be_read_either_is_named(kept: Path, runtimes: Runtimes, monkeypatch: pytest.MonkeyPatch) -> None:
    def copyfile(source: str, target: str) -> None:
        raise PermissionError(13, "Permission denied", source)

    monkeypatch.setattr("shutil.copyfile", copyfile)
    monkeypatch.setattr("os.access", lambda path, _: path != kept)
    with (
        pytest.raises(CopyError, match=r"kept may not be written, and .* could not be copied: .*Permission denied"),
        opened_to_read(kept, runtimes),
    ):
        pass
    assert runtimes.opened == []
