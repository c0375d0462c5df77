"""`perfcalc report`: what it writes where, and what it says instead where it cannot."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.models.results import ResultRow
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.unit.reporting_world import RUN, Parsed, books_with, request
from workflows.cli import app as cli
from workflows.cli import main, reporting
from workflows.executions import Execution, ExecutionNotFoundError, ExecutionStatus
from workflows.reporting import page, rendering
from workflows.reporting.sources import from_request

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Run = Callable[..., tuple[int, str, str]]


class Executions:
    """Those of one state machine, newest first."""

    def __init__(self, *known: Execution) -> None:
        self._known = {each.name: each for each in known}

    def list(self, *, limit: int | None = None) -> Iterator[Execution]:
        yield from self._known.values()

    def describe(self, name: str) -> Execution:
        name = name.removeprefix("arn:")
        if name not in self._known:
            raise ExecutionNotFoundError(f"no execution is called {name}")
        return self._known[name]

    def has(self, arn: str) -> bool:
        return arn.removeprefix("arn:") in self._known


def execution(name: str, status: ExecutionStatus, output: Any) -> Execution:
    stopped = None if status is ExecutionStatus.RUNNING else START
    return Execution(
        arn=f"arn:{name}",
        name=name,
        status=status,
        started_at=START,
        stopped_at=stopped,
        error=None,
        cause=None,
        input={},
        output=output,
    )


RUNS = execution("night-2", ExecutionStatus.RUNNING, None)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A world that the command opens, whatever directory it is told."""
    found = SimpleNamespace(
        result_store=InMemoryResultStore(), books=InMemoryBooks(), executions=Executions(RUNS), fleet=Executions()
    )

    @contextmanager
    def opened(data_dir: Path) -> Iterator[SimpleNamespace]:
        yield found

    monkeypatch.setattr(reporting, "open_to_read", opened)
    return found


@pytest.fixture
def run(
    signal_handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Run]:
    """Call `main` as the shell would, in a directory of its own, with scripts that take no time to make."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page, "bundle", lambda: "/* bundle */")
    monkeypatch.setattr(rendering, "png", lambda _: b"\x89PNG")
    page.assets.cache_clear()

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["perfcalc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    yield called
    page.assets.cache_clear()


def written(tmp_path: Path, *names: str) -> Path:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request(*names, count=300)))
    return file


def test_a_portfolio_of_a_request_becomes_a_file_named_after_it(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", "p", "--request", written(tmp_path, "p", "q"))
    assert (code, err) == (0, "")
    assert out.startswith("p.html  ")
    assert Parsed((tmp_path / "p.html").read_text()).all("h1")


def test_a_page_goes_where_it_is_told_over_what_was_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out.html").write_text("old")
    assert run("report", "p", "--request", written(tmp_path, "p"), "-o", "out.html")[0] == 0
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")


def test_standard_output_has_the_page_and_nothing_else(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", "--request", written(tmp_path, "p"), "-o", "-")
    assert (code, err) == (0, "")
    assert out.startswith("<!doctype html>")
    assert out.rstrip().endswith("</html>")
    assert [each.name for each in tmp_path.iterdir()] == ["request.json"]


def test_each_chart_becomes_an_image_on_request(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("report", "p", "--request", written(tmp_path, "p"), "--png", "images/charts")
    images = {each.name for each in (tmp_path / "images/charts").iterdir()}
    assert code == 0
    assert {"growth.png", "drawdown.png", "volatility.png", "sharpe.png", "distribution.png", "months.png"} == images
    assert all(name in out for name in images)


def test_where_there_are_no_charts_no_directory_is_made_and_the_reason_is_told(
    run: Run, tmp_path: Path, world: SimpleNamespace
) -> None:
    (found,) = from_request(request("p", count=300), Path(), ["p"])
    world.result_store.write([ResultRow.model_validate({**found.row, "request_id": "r"}, strict=False)], RUN)
    code, out, err = run("report", "p", "--png", "images/charts")
    assert (code, out.split()[0]) == (0, "p.html")
    assert err.startswith("There are no charts to be written as images. ")
    assert "perfcalc report ID --request FILE" in err
    assert not (tmp_path / "images").exists()


def test_several_portfolios_are_compared_and_a_request_alone_means_all_of_it(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("report", "--request", written(tmp_path, "p", "q"))
    assert (code, out.split()[0]) == (0, "compare.html")
    assert "Correlation of monthly returns" in Parsed((tmp_path / "compare.html").read_text()).text()


def test_more_than_can_be_told_apart_are_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("report", "--request", written(tmp_path, *"abcdefghi"))
    assert (code, err) == (1, "9 portfolios: at most 8 can be told apart in one chart; name fewer\n")


def test_a_portfolio_of_the_books_needs_no_result(run: Run, tmp_path: Path, world: SimpleNamespace) -> None:
    world.books = books_with("p")
    assert run("report", "p")[0] == 0
    assert "There is no stored result" in Parsed((tmp_path / "p.html").read_text()).text()


def test_an_unknown_id_is_one_message(run: Run, tmp_path: Path, world: SimpleNamespace) -> None:
    code, out, err = run("report", "nobody", "-o", "x.html")
    assert (code, out) == (1, "")
    assert err == "there is no result of portfolio nobody, and there is no portfolio nobody in the books\n"
    assert not (tmp_path / "x.html").exists()


def test_the_last_result_on_or_before_a_date_is_shown(run: Run, tmp_path: Path, world: SimpleNamespace) -> None:
    (found,) = from_request(request("p", count=300), Path(), ["p"])
    for day in (date(2023, 1, 2), date(2024, 1, 2)):
        row = {**found.row, "request_id": "r", "calculation_date": day}
        world.result_store.write([ResultRow.model_validate(row, strict=False)], RUN)
    assert run("report", "p", "--date", "2023-12-31")[0] == 0
    assert "as of 2023-01-02" in Parsed((tmp_path / "p.html").read_text()).text()


def test_the_last_run_that_has_ended_is_shown_as_a_fleet(run: Run, tmp_path: Path, world: SimpleNamespace) -> None:
    (found,) = from_request(request("p", count=300), Path(), ["p"])
    world.result_store.write([ResultRow.model_validate({**found.row, "request_id": "r"}, strict=False)], RUN)
    key = {name: found.row[name] for name in ("entity_type", "entity_id", "calculation_date")}
    failure = {"entity_type": "portfolio", "entity_id": "q", "error": "InvalidPortfolioError", "message": "is wrong"}
    ended = {"status": "PARTIAL", "rows": [key], "failures": [failure]}
    world.executions = Executions(RUNS, execution("night-1", ExecutionStatus.SUCCEEDED, ended))
    code, out, _ = run("report", "--fleet")
    assert (code, out.split()[0]) == (0, "night-1.html")
    text = Parsed((tmp_path / "night-1.html").read_text()).text()
    assert "PARTIAL" in text
    assert "InvalidPortfolioError" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fleet", "night-2"], "execution night-2 still runs"),
        (["--fleet", "night-9"], "no execution is called night-9"),
        (["--fleet"], "no execution has ended yet"),
    ],
)
def test_a_run_that_cannot_be_shown_is_one_message(
    run: Run, world: SimpleNamespace, arguments: list[str], words: str
) -> None:
    code, out, err = run("report", *arguments)
    assert (code, out, err) == (1, "", f"{words}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--fleet", "a", "b"],
        ["--fleet", "--request", "r.json"],
        ["--fleet", "--date", "2024-01-01"],
        ["p", "--request", "r.json", "--date", "2024-01-01"],
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, world: SimpleNamespace, arguments: list[str]) -> None:
    assert run("report", *arguments)[0] == 2


def test_a_file_that_is_no_request_is_told_as_by_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text("hello")
    code, _, err = run("report", "p", "--request", "request.json")
    assert code == 2
    assert err.startswith("1 fault in the request\nrequest.json: is not JSON")


def test_a_directory_that_is_not_there_is_one_message(run: Run, tmp_path: Path) -> None:
    code, _, err = run("report", "p", "--request", written(tmp_path, "p"), "-o", "no/such/place.html")
    assert (code, err) == (1, "no/such/place.html: No such file or directory\n")


def test_help_is_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_ORDER", (*cli._ORDER, "report"))
    code, out, _ = run("report", "--help")
    assert code == 0
    assert "--fleet" in out
