"""`perfcalc console`: what it watches, what may be started from it, and what it opens."""

import json
import re
import webbrowser
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import InvalidRequestError
from common.stores.memory import InMemoryPayloadStore
from tests.console import MACHINE_ARN
from tests.executions import never_ending
from tests.workflow.test_performance_calculation import portfolio
from workflows.cli import console as command
from workflows.cli.console import machine_arns, open_browser, request_starter, startable_world
from workflows.console.references import state_machines
from workflows.deployed import DeployedWorld, RemoteWorld
from workflows.executions import ExecutionClient
from workflows.settings import Settings


class SomeWorld:
    """A world of executions that never end."""

    def __init__(self, executions: ExecutionClient) -> None:
        self.executions = executions
        self.payload_store = InMemoryPayloadStore()
        self.payload_bucket = "payloads"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(command, "settings", lambda: Settings(max_concurrency=7))
    with never_ending(monkeypatch) as executions:
        yield SomeWorld(executions)


def document(source: str) -> dict[str, Any]:
    return {"request_id": "typed", "portfolios": [portfolio("p-1", valuations={"source": source})]}


def test_requests_and_fleet_runs_are_watched(world: Any) -> None:
    world.executions = ExecutionClient(world.executions.client, f"{MACHINE_ARN}:live")
    world.fleet = ExecutionClient(world.executions.client, f"{MACHINE_ARN}-fleet:live")
    assert list(state_machines(machine_arns(world))) == ["calculation", "calculation-fleet"]


def test_what_is_typed_is_started_with_the_settings_of_the_command(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "values.csv").write_text("date,value\n2024-01-01,1\n2024-02-01,2\n")
    arn = request_starter(world, trusted=True)(document("values.csv"))
    started = world.executions.describe(arn)
    assert started.name.startswith("typed-")
    assert started.input["max_concurrency"] == 7
    (given,) = started.input["portfolios"]
    assert given["valuations"]["source"].startswith("s3://payloads/")


def test_a_wrong_request_starts_nothing(world: Any) -> None:
    start = request_starter(world, trusted=True)
    wrongs: list[Any] = [{"portfolios": 1}, [], None, document("none.csv")]
    for wrong in wrongs:
        with pytest.raises(InvalidRequestError):
            start(wrong)
    assert list(world.executions.list()) == []


def test_who_comes_from_another_machine_cannot_name_files_of_this_one(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "values.csv").write_text("date,value\n2024-01-01,1\n")
    start = request_starter(world, trusted=False)
    with pytest.raises(InvalidRequestError):
        start(document("values.csv"))
    arn = start({"portfolios": [portfolio("p-1")]})
    assert json.loads(json.dumps(world.executions.describe(arn).input))["portfolios"][0]["portfolio_id"] == "p-1"


def test_in_a_world_that_another_process_has_open_nothing_can_be_started() -> None:
    anything: Any = None
    parts: dict[str, Any] = dict.fromkeys(("executions", "fleet", "result_store", "books", "time_series_reader"))
    remote = RemoteWorld(**parts, lines=())
    stage = DeployedWorld(**parts, lines=(), payload_store=anything, payload_bucket="b")
    assert startable_world(remote) is None
    assert startable_world(stage) is stage


@pytest.mark.parametrize("browser", [True, False])
def test_the_browser_is_given_a_key_that_opens_once_and_the_terminal_the_one_that_stays(
    world: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, browser: bool
) -> None:
    opened: list[str] = []
    world.fleet = world.executions
    world.result_store = world.books = None
    world.describe = lambda: ["an engine"]

    def wait() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_opened", lambda _: nullcontext(world))
    monkeypatch.setattr(command, "place", str)
    monkeypatch.setattr(command, "startable_world", lambda world: world)
    monkeypatch.setattr(command, "open_browser", opened.append)
    monkeypatch.setattr(command, "threading", SimpleNamespace(Event=lambda: SimpleNamespace(wait=wait)))
    with pytest.raises(KeyboardInterrupt):
        command.console(console_port=0, browser=browser, data_dir=tmp_path)
    printed = re.search(r"is at (http://127\.0\.0\.1:\d+/\?token=(\S+)) until Ctrl-C", capsys.readouterr().out)
    assert printed is not None
    assert len(opened) == browser
    for url in opened:
        assert printed[2] not in url
        assert url.partition("token=")[0] == printed[1].partition("token=")[0]


class Chosen:
    """Browsers that a machine has."""

    def __init__(self, kind: type[Any]) -> None:
        self.opened: list[str] = []
        opened = self.opened

        class Fake(kind):  # type: ignore[misc]  # any kind of browser
            def __init__(self) -> None:
                super().__init__("browser")

            def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
                opened.append(url)
                return True

        self.browser = Fake()


@pytest.mark.parametrize(
    ("kind", "opens"),
    [(webbrowser.BackgroundBrowser, True), (webbrowser.UnixBrowser, True), (webbrowser.GenericBrowser, False)],
)
def test_a_browser_that_would_take_the_terminal_is_left_alone(
    kind: type[Any], opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Chosen(kind)
    monkeypatch.setattr(webbrowser, "get", lambda: chosen.browser)
    open_browser("http://127.0.0.1/")
    assert chosen.opened == (["http://127.0.0.1/"] if opens else [])


def test_without_a_browser_the_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "get", none)
    open_browser("http://127.0.0.1/")
