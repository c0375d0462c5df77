"""The real `perfcalc` in processes of its own: exit codes, clean output, and what is left after it was stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from workflows.local.lock import DataDirectoryLock

PERFCALC = Path(sys.executable).with_name("perfcalc")
EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 60

# The fixtures of this module are processes that take seconds.
pytestmark = pytest.mark.xdist_group("cli")

Rows = dict[str, Any]


def perfcalc(*arguments: object, data_dir: Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [PERFCALC, *map(str, arguments), "--data-dir", data_dir],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def rows(document: str) -> Rows:
    """Return the results of a run by entity, without what differs from run to run."""
    told = json.loads(document)["results"]
    return {each["entity_id"]: _timeless(each) for each in told}


def _timeless(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    moments = {"created_at", "updated_at", "version"}
    return {name: _timeless(each) for name, each in value.items() if name not in moments}


@contextmanager
def running(request: Path, data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a request and wait until its execution has begun."""
    command: list[str | Path] = [PERFCALC, "run", request, "--data-dir", data_dir, "--max-concurrency", "1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + SECONDS
        while not list(data_dir.glob("executions/*/*.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process


def left_over(data_dir: Path) -> list[str]:
    """Return the processes that work in the data directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(data_dir):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it has ended, or is another user's
    return found


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("market")
    subprocess.run([sys.executable, EXAMPLES / "build_market.py", "--out", out], check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def undisturbed(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    done = perfcalc("run", market / "market.json", "--json", data_dir=tmp_path_factory.mktemp("undisturbed"))
    assert (done.returncode, done.stderr) == (0, ""), "a run that is not watched says nothing beside its document"
    document = json.loads(done.stdout)
    assert (document["status"], len(document["results"]), document["failures"]) == ("SUCCEEDED", 24, [])
    return rows(done.stdout)


def test_a_request_on_standard_input_ends_with_a_table_and_the_execution(tmp_path: Path) -> None:
    done = perfcalc("run", "-", data_dir=tmp_path, stdin=(EXAMPLES / "single.json").read_text())
    assert done.returncode == 0
    assert "first-steps  6.39%  6.39%" in done.stdout
    assert "SUCCEEDED 1 calculated, 0 failed" in done.stdout
    name = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("Execution "))
    events = perfcalc("history", name, data_dir=tmp_path)
    assert events.returncode == 0
    assert "ExecutionSucceeded" in events.stdout
    assert left_over(tmp_path) == []


def test_a_broken_portfolio_is_a_failure_beside_the_others(market: Path, tmp_path: Path) -> None:
    done = perfcalc("run", market / "market-broken.json", "--json", data_dir=tmp_path)
    document = json.loads(done.stdout)
    assert (done.returncode, document["status"], len(document["results"])) == (3, "PARTIAL", 5)
    [failure] = document["failures"]
    assert set(failure) == {"entity_type", "entity_id", "error", "message"}
    assert failure["message"].startswith("portfolios/broken-feed.csv: line 1201: value 'n/a' must be a number")
    assert set(document) >= {"execution", "status", "results", "failures"}


def test_an_invalid_request_writes_nothing(tmp_path: Path) -> None:
    done = perfcalc("run", EXAMPLES / "invalid.json", "--json", data_dir=tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.startswith("13 faults in the request\n$.as_of_date: must be a date")
    told = json.loads(done.stdout)
    assert (told["status"], told["error"], len(told["faults"])) == ("FAILED", "InvalidRequestError", 13)
    assert told["faults"][0] == {"path": "$.as_of_date", "message": "must be a date, YYYY-MM-DD"}
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_what_the_books_alone_can_tell_of_a_request_is_told_as_any_other_fault(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"request_id": "r", "entity_ids": ["p"], "benchmark": {"benchmark_id": "NOPE"}}')
    fault = {"path": "$.benchmark.benchmark_id", "message": "there is no benchmark NOPE"}
    told = f"1 fault in the request\n{fault['path']}: {fault['message']}\n"
    done = perfcalc("run", request, "--json", data_dir=tmp_path / "data")
    document = json.loads(done.stdout)
    assert (done.returncode, document["error"], document["faults"]) == (2, "InvalidRequestError", [fault])
    assert document["execution"]["cause"] == told.rstrip()
    assert done.stderr.startswith(told)
    assert "stackTrace" not in done.stdout
    watched = perfcalc("watch", data_dir=tmp_path / "data")
    assert watched.returncode == 2
    *_, first, last = watched.stdout.splitlines()
    assert first == f"{fault['path']}: {fault['message']}"
    assert "ValidateInput failed, InvalidRequestError: 1 fault in the request, in " in last
    (tmp_path / "empty.jsonl").touch()
    fleet = perfcalc("run", tmp_path / "empty.jsonl", data_dir=tmp_path / "data")
    assert (fleet.returncode, fleet.stdout) == (2, "")
    assert "empty.jsonl: there is nothing in it" in fleet.stderr


def test_a_run_that_is_stopped_is_aborted_and_leaves_no_process(market: Path, tmp_path: Path) -> None:
    with running(market / "market.json", tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("Stopped.\n")
    assert "Traceback" not in err
    assert left_over(tmp_path) == []
    listed = json.loads(perfcalc("history", "--json", data_dir=tmp_path).stdout)
    assert [each["status"] for each in listed] == ["ABORTED"]


def test_a_stop_while_python_still_imports_is_silent(tmp_path: Path) -> None:
    command = "import os, signal, workflows.cli.main; os.kill(os.getpid(), signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_run_that_was_killed_ends_in_the_same_rows_when_repeated(
    market: Path, undisturbed: Rows, tmp_path: Path
) -> None:
    with running(market / "market.json", tmp_path) as process:
        process.kill()
    again = perfcalc("run", market / "market.json", "--json", data_dir=tmp_path)
    assert again.returncode == 0
    assert rows(again.stdout) == undisturbed


def test_a_second_process_is_told_who_works_in_the_data_directory(tmp_path: Path) -> None:
    with DataDirectoryLock(tmp_path, "serve"):
        done = perfcalc("recalculate", data_dir=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path} is in use by process {os.getpid()}, `perfcalc serve`, since " in done.stderr
    assert "wait until it ends, stop it, choose another data directory, or send the request to its API" in done.stderr


def manifest(directory: Path) -> Path:
    days = [f"2024-01-{day:02}" for day in range(1, 29)]
    lines = [
        {
            "portfolio_id": f"p{number}",
            "valuations": {"dates": days, "values": [100.0 + number + day for day in range(28)]},
        }
        for number in range(3)
    ]
    file = directory / "month end.jsonl"
    file.write_text("\n".join([*map(json.dumps, lines), "{", '{"entity_id": "nobody"}']))
    return file


def test_a_manifest_is_a_fleet_run_and_its_failures_are_one_again(tmp_path: Path) -> None:
    file = manifest(tmp_path)
    done = perfcalc("run", file, "--json", data_dir=tmp_path / "data")
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"], report["calculated"], report["failed"]) == (3, "PARTIAL", 3, 2)
    name = report["execution"]["name"]
    assert name.startswith("month-end-")
    failures = Path(report["files"]["failures"])
    assert failures == tmp_path / "data" / "fleet" / name / "failures.jsonl"
    again = perfcalc("run", report["files"]["request"], data_dir=tmp_path / "data")
    assert again.returncode == 1
    assert "there is no portfolio nobody in the books" in again.stdout
    assert "FleetRunFailed: None of 2 entities could be calculated" in again.stdout


@pytest.mark.slow
def test_a_fleet_run_is_read_by_every_command(tmp_path: Path) -> None:
    done = perfcalc("run", manifest(tmp_path), "--json", data_dir=tmp_path / "data")
    report = json.loads(done.stdout)
    name, failures = report["execution"]["name"], Path(report["files"]["failures"])
    (row,) = json.loads(perfcalc("results", "p1", "--json", data_dir=tmp_path / "data").stdout)
    assert row["request_id"] == "month-end"
    watched = perfcalc("watch", name, data_dir=tmp_path / "data")
    assert watched.returncode == 3
    assert f"PARTIAL {name}: 3 calculated, 2 failed" in watched.stdout
    page = tmp_path / "fleet.html"
    assert perfcalc("report", "--fleet", name, "-o", page, data_dir=tmp_path / "data").returncode == 0
    assert "nobody" in page.read_text()
    listed = json.loads(perfcalc("history", "--json", data_dir=tmp_path / "data").stdout)
    assert {each["name"]: (each["status"], each["outcome"]) for each in listed}[name] == ("SUCCEEDED", "PARTIAL")
    assert perfcalc("run", failures, data_dir=tmp_path / "data").returncode == 1
    one = perfcalc("history", "--limit", "1", data_dir=tmp_path / "data")
    assert (name in one.stdout, one.stderr) == (False, "There are more than these 1: see --limit.\n")
    # Somebody has begun to put them right.
    failures.write_text(
        json.dumps({"portfolio_id": "p3", "valuations": {"dates": ["2024-01-01"], "values": [1]}}) + "\n{"
    )
    assert perfcalc("report", "--fleet", name, "-o", page, data_dir=tmp_path / "data").returncode == 0
    assert "nobody" not in page.read_text()


@pytest.mark.slow
def test_a_request_that_names_a_manifest_is_a_fleet_run(tmp_path: Path) -> None:
    document = {"manifest": {"source": manifest(tmp_path).name}, "time_periods": ["ITD"], "batch_size": 1}
    request = tmp_path / "request.json"
    request.write_text(json.dumps(document))
    done = perfcalc("run", request, data_dir=tmp_path / "data")
    assert done.returncode == 3
    assert "PARTIAL 3 calculated, 2 failed, in " in done.stdout
    assert "line 4: is not a JSON object" in done.stdout


@pytest.mark.slow
def test_what_failed_is_run_again_as_it_was_asked_for(tmp_path: Path) -> None:
    levels = tmp_path / "levels.csv"
    levels.write_text("date,value\n2024-01-01,100\n2024-01-28,101\n")
    document = {
        "request_id": "january",
        "manifest": {"source": manifest(tmp_path).name},
        "as_of_date": "2024-01-20",
        "time_periods": ["ITD"],
        "benchmark": {"benchmark_id": "index", "valuations": {"source": "levels.csv"}},
    }
    (tmp_path / "request.json").write_text(json.dumps(document))
    report = json.loads(perfcalc("run", tmp_path / "request.json", "--json", data_dir=tmp_path / "data").stdout)
    failures = Path(report["files"]["failures"])
    # Somebody puts one of them right.
    mended = {"portfolio_id": "p9", "valuations": {"dates": ["2024-01-01", "2024-01-20"], "values": [100, 102]}}
    failures.write_text(json.dumps(mended) + "\n")
    again = json.loads(perfcalc("run", report["files"]["request"], "--json", data_dir=tmp_path / "data").stdout)
    assert (again["status"], again["calculated"]) == ("SUCCEEDED", 1)
    (row,) = json.loads(perfcalc("results", "p9", "--json", data_dir=tmp_path / "data").stdout)
    assert (row["calculation_date"], row["request_id"], row["benchmark_id"]) == ("2024-01-20", "january", "index")
    assert row["periods"].keys() == {"ITD"}
    assert row["periods"]["ITD"]["benchmark_twr"] is not None


def test_a_wrong_fleet_request_starts_nothing(tmp_path: Path) -> None:
    document = {"manifest": {"source": "none.jsonl"}, "benchmark": {"valuations": {"source": "none.csv"}}}
    done = perfcalc("run", "-", data_dir=tmp_path / "data", stdin=json.dumps(document))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-3:] == [
        "2 faults in the request",
        "$.manifest.source: none.jsonl: No such file or directory",
        "$.benchmark.valuations.source: none.csv: No such file or directory",
    ]
    assert not (tmp_path / "data").exists()
    wrong = perfcalc("run", "-", data_dir=tmp_path / "data", stdin='{"entity_types": ["portfolio"], "batch_size": 0}')
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (2, "$.batch_size: must be at least 1")


@pytest.mark.slow
def test_a_night_over_empty_books_and_again(tmp_path: Path) -> None:
    night = ("nightly", "--date", "2024-04-02", "--entity-type", "portfolio")
    first = perfcalc(*night, data_dir=tmp_path / "data")
    again = perfcalc(*night, data_dir=tmp_path / "data")
    assert (first.returncode, again.returncode) == (0, 0)
    assert "The night of 2024-04-02, for 2024-04-01, started now" in first.stdout
    assert "Nothing to calculate: load the books with `perfcalc import`." in first.stdout
    assert "The night of 2024-04-02, for 2024-04-01, was started before" in again.stdout
    told = json.loads(perfcalc(*night, "--json", data_dir=tmp_path / "data").stdout)
    assert (told["started"], told["status"], told["entities"]) == (False, "SUCCEEDED", 0)
