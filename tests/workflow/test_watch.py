"""`perfcalc watch`, and reading while another process works in the data directory: real processes, real signals."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.models.kinds import EntityType
from tests.workflow.test_cli import EXAMPLES, PERFCALC, SECONDS, perfcalc
from workflows.local import sharing
from workflows.local.opening import opened_to_read
from workflows.local.runtime import LocalRuntime
from workflows.world import Readable, all_executions

pytestmark = pytest.mark.xdist_group("watch")


@contextmanager
def holding(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run `perfcalc serve`, which holds the data directory, until the block ends."""
    command: list[str | Path] = [PERFCALC, "serve", "--port", "0", "--data-dir", data_dir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Serving ")
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=SECONDS)


def request(directory: Path, portfolios: int) -> Path:
    """Write a request that takes a while: so many portfolios, one after the other."""
    days = [f"{2000 + year}-{month:02}-{day:02}" for year in range(20) for month in range(1, 13) for day in (1, 15)]
    lines = "".join(f"{day},{1000 + index}\n" for index, day in enumerate(days))
    (directory / "values.csv").write_text(f"date,value\n{lines}")
    source = {"valuations": {"source": "values.csv"}}
    document = {"max_concurrency": 1, "portfolios": [{"portfolio_id": f"p{n}", **source} for n in range(portfolios)]}
    path = directory / "request.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory in which one run has succeeded, the last one failed."""
    data_dir = tmp_path_factory.mktemp("ran")
    assert perfcalc("run", EXAMPLES / "single.json", data_dir=data_dir).returncode == 0
    path = tmp_path_factory.mktemp("wrong") / "request.json"
    # Ids are looked up by the first function, not by the command.
    path.write_text(json.dumps({"request_id": "wrong", "entity_ids": ["nobody"]}))
    assert perfcalc("run", path, data_dir=data_dir).returncode == 1
    return data_dir


def test_a_run_that_is_over_is_told_in_one_line_with_the_exit_code_of_the_run(ran: Path) -> None:
    history = json.loads(perfcalc("history", "--json", data_dir=ran).stdout)
    succeeded = next(each["name"] for each in history if each["status"] == "SUCCEEDED")
    done = perfcalc("watch", succeeded, data_dir=ran)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"SUCCEEDED {succeeded}: 1 calculated, 0 failed, in ")


@pytest.mark.slow
def test_without_a_name_it_is_the_newest_and_the_failed_step_is_named(ran: Path) -> None:
    done = perfcalc("watch", data_dir=ran)
    last = done.stdout.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("FAILED wrong-")
    assert "ValidateInput failed, InvalidRequestError: " in last or "AllFailed failed, AllPortfoliosFailed: " in last
    document = json.loads(perfcalc("watch", "--json", data_dir=ran).stdout)
    assert document["status"] == "FAILED"
    assert f"{document['step']} failed, {document['error']}" in last


def test_an_execution_that_there_is_not_is_one_message(ran: Path) -> None:
    done = perfcalc("watch", "nothing", data_dir=ran)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "no execution is called nothing\n")


def test_a_run_is_watched_from_another_process_to_its_end(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    command: list[str | Path] = [PERFCALC, "run", request(tmp_path, 60), "--data-dir", data_dir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + SECONDS
        while not list(data_dir.glob("executions/*/*.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        watched = perfcalc("watch", data_dir=data_dir)
        running.communicate(timeout=SECONDS)
    lines = watched.stdout.splitlines()
    assert (watched.returncode, watched.stderr) == (0, "")
    assert " RUNNING, started " in lines[0]
    assert any(line.startswith("CalculatePortfolios ") and " of 60, " in line for line in lines)
    assert lines[-1].startswith("SUCCEEDED ")
    assert "60 calculated, 0 failed" in lines[-1]
    assert len(lines) == len(set(lines)), "nothing is told twice, though the process that ran it has ended meanwhile"


@pytest.mark.slow
def test_ctrl_c_ends_the_watching_and_not_the_run(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    run: list[str | Path] = [PERFCALC, "run", request(tmp_path, 100), "--json", "--data-dir", data_dir]
    watch: list[str | Path] = [PERFCALC, "watch", "--data-dir", data_dir]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + SECONDS
        while not list(data_dir.glob("executions/*/*.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with subprocess.Popen(watch, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            assert watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=SECONDS)
        assert (watching.returncode, err) == (130, "Stopped.\n")
        out, _ = running.communicate(timeout=SECONDS)
    assert (running.returncode, json.loads(out)["status"]) == (0, "SUCCEEDED")


@pytest.mark.slow
def test_what_was_run_is_read_while_another_process_holds_the_data_directory(ran: Path) -> None:
    alone = perfcalc("history", "--json", data_dir=ran).stdout
    rows = perfcalc("results", "first-steps", "--json", data_dir=ran).stdout
    with holding(ran) as process:
        assert perfcalc("history", "--json", data_dir=ran).stdout == alone
        assert perfcalc("results", "first-steps", "--json", data_dir=ran).stdout == rows
        counted = perfcalc(
            "query", "SELECT count(*) AS n FROM investment_performance.performance_metrics", data_dir=ran
        )
        assert counted.stdout.split()[-2:] == ["1", "row"]
        assert perfcalc("watch", data_dir=ran).returncode == 1
        refused = perfcalc("recalculate", data_dir=ran)
        assert (refused.returncode, f"in use by process {process.pid}" in refused.stderr) == (1, True)
    assert not (ran / sharing.FILE).exists()


@pytest.mark.slow
def test_a_world_without_a_server_for_its_tables_is_read_too(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    # A process that finds no ExtendDB: what it would have looked for is not in the project's own directory.
    (tmp_path / "sitecustomize.py").write_text("import workflows.local.dynamodb as d; d.find_extenddb = lambda: None\n")
    data_dir = tmp_path / "data"
    assert perfcalc("run", EXAMPLES / "single.json", data_dir=data_dir).returncode == 0
    assert (data_dir / "dynamodb" / "journal.jsonl").exists()
    alone = perfcalc("results", "first-steps", "--json", data_dir=data_dir).stdout
    with holding(data_dir):
        assert perfcalc("results", "first-steps", "--json", data_dir=data_dir).stdout == alone


@pytest.mark.slow
def test_what_a_killed_process_has_left_is_no_world(ran: Path) -> None:
    with holding(ran) as process:
        process.kill()
        process.wait(SECONDS)
        assert (ran / sharing.FILE).exists()
        assert perfcalc("history", "--json", data_dir=ran).returncode == 0
    assert not (ran / sharing.FILE).exists()


def test_a_reader_whose_owner_ends_reads_on_by_itself(ran: Path) -> None:
    with holding(ran) as process, opened_to_read(ran, LocalRuntime) as world:
        assert f"Open in process {process.pid}" in world.describe()
        before = everything(world)
        process.terminate()
        process.wait(SECONDS)
        assert everything(world) == before
        assert (ran / sharing.FILE).exists(), "others read through the reader meanwhile"
        assert perfcalc("history", data_dir=ran).returncode == 0
    assert not (ran / sharing.FILE).exists()


def everything(world: Readable) -> list[Any]:
    assert world.time_series_reader is not None
    _, rows = world.time_series_reader.query("SELECT * FROM investment_performance.performance_metrics ORDER BY ALL")
    executions = list(all_executions(world))
    return [
        executions,
        [world.executions.history(each.name) for each in executions],
        list(world.result_store.history(EntityType.PORTFOLIO, "first-steps")),
        list(rows),
    ]


@pytest.mark.slow
def test_the_same_request_is_followed_in_the_process_that_has_it_under_way(tmp_path: Path) -> None:
    data_dir, path = tmp_path / "data", request(tmp_path, 60)
    with running(path, data_dir) as first:
        second = perfcalc("run", path, "--json", data_dir=data_dir)
        out, _ = first.communicate(timeout=SECONDS)
    assert "is under way in process" in second.stderr
    assert (second.returncode, first.returncode) == (0, 0)
    assert json.loads(second.stdout) == json.loads(out)
    assert len(json.loads(perfcalc("history", "--json", data_dir=data_dir).stdout)) == 1


@pytest.mark.slow
def test_another_request_is_told_who_works_there(tmp_path: Path) -> None:
    data_dir, path = tmp_path / "data", request(tmp_path, 60)
    with running(path, data_dir) as first:
        second = perfcalc("run", EXAMPLES / "single.json", data_dir=data_dir)
        first.communicate(timeout=SECONDS)
    assert (second.returncode, second.stdout) == (1, "")
    assert f"{data_dir} is in use by process {first.pid}, `perfcalc run`, since " in second.stderr


@pytest.mark.slow
def test_a_run_that_is_killed_has_failed_for_who_followed_it(tmp_path: Path) -> None:
    data_dir, path = tmp_path / "data", request(tmp_path, 100)
    with running(path, data_dir) as first:
        command: list[str | Path] = [PERFCALC, "run", path, "--json", "--data-dir", data_dir]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert any("is under way in process" in line for line in second.stderr)
            first.kill()
            out, _ = second.communicate(timeout=SECONDS)
    report = json.loads(out)
    assert (second.returncode, report["execution"]["status"], report["execution"]["error"]) == (1, "ABORTED", "Killed")


@contextmanager
def running(path: Path, data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a request in another process, from the moment that its execution is there."""
    command: list[str | Path] = [PERFCALC, "run", path, "--json", "--data-dir", data_dir]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + SECONDS
        while not list(data_dir.glob("executions/*/*.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process


@pytest.mark.slow
def test_what_may_only_be_read_is_read_and_nothing_is_run_there(ran: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "kept"
    shutil.copytree(ran, data_dir)
    for path in (*data_dir.rglob("*"), data_dir):
        path.chmod(path.stat().st_mode & ~0o222)
    # The superuser may write everything, unless that is taken from it.
    bounded = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

    def tried(*words: str | Path) -> tuple[int, str, str]:
        command = [*bounded, PERFCALC, *words, "--data-dir", data_dir]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return done.returncode, done.stdout, done.stderr

    alone = perfcalc("history", "--json", data_dir=ran).stdout
    assert tried("history", "--json") == (0, alone, "")
    assert tried("results", "first-steps", "--json")[0] == 0
    refused = f"{data_dir} may not be written; choose another data directory, or have it made writable\n"
    assert tried("run", EXAMPLES / "single.json") == (1, "", refused)
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
