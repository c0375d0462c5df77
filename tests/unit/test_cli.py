"""The command line as far as it needs no engine: reading requests, reporting runs, refusing what is wrong."""

import io
import json
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from common.errors import InvalidRequestError, StoreError
from common.stores.memory import InMemoryResultStore
from tests.contract.rows import EARLY, period, row
from workflows.cli import app as cli
from workflows.cli import main, report
from workflows.cli import run as run_command
from workflows.executions import Execution, ExecutionStatus

PROJECT = Path(__file__).parents[2]
SINGLE = PROJECT / "examples" / "single.json"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    signal_handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Call `main` as the shell would, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["perfcalc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert not (tmp_path / ".perfcalc").exists()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return called


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"hello", "is not JSON: Expecting value: line 1 column 1"),
        (b'{"a": 1,}', "is not JSON: "),
        (b"\x80abc", "is not JSON: 'utf-8' codec can't decode byte 0x80"),
        (b"[" * 100_000 + b"]" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "is not JSON: Exceeds the limit"),
    ],
    ids=["empty", "blank", "words", "comma", "binary", "nested", "digits"],
)
def test_what_is_no_json_is_told_with_the_file_s_name(run: Run, tmp_path: Path, body: bytes, reason: str) -> None:
    (tmp_path / "request.json").write_bytes(body)
    code, out, err = run("run", "request.json", "--json")
    assert code == 2
    assert err.startswith(f"1 fault in the request\nrequest.json: {reason}")
    told = json.loads(out)
    assert (told["error"], told["faults"][0]["path"]) == ("InvalidRequestError", "request.json")
    assert told["faults"][0]["message"].startswith(reason)
    assert run("run", "request.json")[1] == ""
    assert "Traceback" not in err


def test_a_request_that_is_too_large_is_not_read_whole(run: Run, tmp_path: Path) -> None:
    code, _, err = run("run", "/dev/zero")
    assert code == 2
    assert "is larger than 64 MiB" in err


@pytest.mark.parametrize("name", ["nothing.json", ".", "no/such/directory.json"])
def test_a_request_that_cannot_be_opened_is_one_message(run: Run, name: str) -> None:
    code, out, err = run("run", name)
    assert (code, out, len(err.splitlines())) == (2, "", 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encodings_of_json_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "request.json"
    path.write_text('{"é": 1}', encoding=encoding)
    assert run_command.read_request(path) == ({"é": 1}, tmp_path)


def test_standard_input_starts_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1]")))
    assert run_command.read_request(Path("-")) == ([1], tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InvalidRequestError, match="standard input: is empty"):
        run_command.read_request(Path("-"))


@pytest.mark.parametrize(
    ("document", "fault"),
    [("[]", "$: must be an object"), ("{}", "$: give portfolios, entity_ids, entities or a client_id")],
)
def test_a_document_that_is_no_request_is_told(run: Run, tmp_path: Path, document: str, fault: str) -> None:
    (tmp_path / "request.json").write_text(document)
    assert run("run", "request.json") == (2, "", f"1 fault in the request\n{fault}\n")


def test_a_number_that_is_none_is_told_where_it_stands(run: Run, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(SINGLE.read_text().replace("10094.20", "NaN"))
    code, _, err = run("run", "request.json")
    assert code == 2
    assert "$.portfolios[0].valuations[1].value: must be finite" in err


def test_a_missing_file_of_a_request_is_told_before_anything_is_made(run: Run, tmp_path: Path) -> None:
    portfolio = {"portfolio_id": "[red]", "valuations": {"source": "missing.csv"}}
    (tmp_path / "request.json").write_text(json.dumps({"portfolios": [portfolio]}))
    code, _, err = run("run", "request.json", "--data-dir", tmp_path / "data")
    assert code == 2
    assert err.endswith("$.portfolios[0].valuations.source: missing.csv: No such file or directory\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["runn"],
        ["run"],
        ["run", SINGLE, "--bogus"],
        ["run", SINGLE, "--max-concurrency", "0"],
        ["run", SINGLE, "--max-concurrency", "41"],
        ["run", SINGLE, "--max-concurrency", "many"],
        ["run", SINGLE, "--data-dir", SINGLE],
        ["results", "p", "--from", "2024-13-01"],
        ["results", "p", "--from", "2024-01-02", "--to", "2024-01-01"],
        ["results", "p", "--entity-type", "planet"],
        ["query"],
    ],
)
def test_wrong_usage_ends_with_two_and_one_message(run: Run, arguments: list[object]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.count("Error") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("command", [["history"], ["history", "x"], ["results", "x"], ["query", "SELECT 1"], ["watch"]])
def test_reading_makes_no_data_directory(run: Run, command: list[str]) -> None:
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert err.startswith("Nothing has been run in .perfcalc yet: start with")


def test_a_data_directory_that_cannot_be_made_is_one_message(run: Run) -> None:
    code, out, err = run("run", SINGLE, "--data-dir", SINGLE / "data")
    assert (code, out) == (1, "")
    assert err == f"{SINGLE}/data: Not a directory\n"


@pytest.mark.parametrize("command", [[], ["run"], ["watch"], ["history"], ["results"], ["query"], ["lint"]])
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"perfcalc {' '.join(command)}".strip() in out.partition("─╯")[2]


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, "perfcalc 0.1.0\n", "")


def test_the_definitions_are_linted(run: Run) -> None:
    assert run("lint") == (0, "performance_calculation.asl.json, performance_fleet.asl.json: no faults\n", "")


def test_an_unexpected_error_is_a_sentence_and_its_trace_a_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise ZeroDivisionError("by nil")

    monkeypatch.setattr(main, "load", broken)
    code, out, err = run("lint")
    assert (code, out) == (1, "")
    first, second = err.splitlines()
    assert first == "Unexpected error: by nil"
    trace = Path(second.removeprefix("Its trace is in ").removesuffix("."))
    assert "ZeroDivisionError" in trace.read_text()
    trace.unlink()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_with_its_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    def interrupted(name: str) -> object:
        signal.raise_signal(number)
        raise AssertionError

    monkeypatch.setattr(main, "load", interrupted)
    assert run("lint") == (code, "", "Stopped.\n")


def test_a_signal_that_nohup_ignores_stays_ignored(run: Run) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run("lint")
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_status_has_its_exit_code() -> None:
    codes = {status: cli.ExitCode[status].value for status in ("SUCCEEDED", "PARTIAL", "FAILED")}
    assert codes == {"SUCCEEDED": 0, "PARTIAL": 3, "FAILED": 1}


KEY = {"entity_type": "portfolio", "entity_id": "port-12345", "calculation_date": "2023-06-30"}
FAILURE = {"entity_id": "p", "error": "InvalidPortfolioError", "message": "s3://b/inputs/1.csv: line 2"}


def execution(status: ExecutionStatus, output: object = None) -> Execution:
    asked = {"time_periods": ["1Y"]}
    return Execution("arn:x", "x", status, START, START, "AllPortfoliosFailed", "none", asked, output)


def reported(ended: Execution, *, rows: bool = True, last_input: object = None) -> dict[str, Any]:
    store = InMemoryResultStore()
    if rows:
        store.write([row(periods={"MTD": period(), "1Y": period()})], EARLY)
    executions = SimpleNamespace(last_input=lambda name: last_input)
    runtime = cast("Any", SimpleNamespace(result_store=store, executions=executions))
    return report.report_of(runtime, ended, {"s3://b/inputs/1.csv": "mine.csv"})


def test_a_report_has_the_periods_asked_for_and_the_user_s_own_file_names() -> None:
    output = {"status": "PARTIAL", "rows": [KEY], "failures": [FAILURE], "more": 1}
    found = reported(execution(ExecutionStatus.SUCCEEDED, output))
    assert found["status"] == "PARTIAL"
    assert [list(each["periods"]) for each in found["results"]] == [["1Y"]]
    assert found["failures"] == [{**FAILURE, "message": "mine.csv: line 2"}]
    assert set(found["execution"]) >= {"name", "arn", "status", "started_at", "stopped_at"}
    assert found["execution"]["started_at"] == "2026-01-02T03:04:05+00:00"
    assert "more" not in found


def test_a_run_without_a_result_tells_the_failures_of_its_portfolios() -> None:
    calculated = {"entities": [{"failure": FAILURE}, {"row": {}}]}
    found = reported(execution(ExecutionStatus.FAILED), last_input=calculated)
    assert (found["status"], found["results"]) == ("FAILED", [])
    assert [each["message"] for each in found["failures"]] == ["mine.csv: line 2"]
    assert reported(execution(ExecutionStatus.ABORTED), last_input=None)["failures"] == []
    assert reported(execution(ExecutionStatus.ABORTED), last_input={"rows": 1})["failures"] == []


def test_a_result_that_is_not_in_the_store_is_an_error() -> None:
    output = {"status": "SUCCEEDED", "rows": [KEY], "failures": []}
    with pytest.raises(StoreError, match="the results of port-12345 are not in the store"):
        reported(execution(ExecutionStatus.SUCCEEDED, output), rows=False)


@pytest.mark.parametrize(("on_path", "typed"), [(True, "perfcalc"), (False, ".venv/bin/perfcalc")])
def test_the_next_steps_can_be_pasted_into_a_shell(
    on_path: bool, typed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", [f"{Path.cwd()}/.venv/bin/perfcalc"])
    command = tmp_path / "perfcalc"
    command.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if on_path else "")
    output = {"status": "SUCCEEDED", "rows": [KEY], "failures": []}
    found = reported(execution(ExecutionStatus.SUCCEEDED, output))
    steps = [command for _, command in report._next_steps(found, Path("my data"))]
    assert steps == ["x", f"{typed} history x --data-dir 'my data'", f"{typed} results port-12345 --data-dir 'my data'"]
    assert [command for _, command in report._next_steps(found, cli.DEFAULT_DATA_DIR)][1] == f"{typed} history x"
