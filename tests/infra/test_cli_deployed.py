"""`perfcalc --stack`: the commands in a stage that was made of the synthesised templates, in moto."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.warm import forget
from tests.e2e.flow import Answer
from tests.infra.commands import commands, parsed
from tests.infra.deployed import Deployed, deployed
from tests.infra.templates import Synthesis
from tests.signals import handlers_restored
from workflows.local.lambda_host import Injected

PREFIX = "investment-performance-dev"
DAYS = ["2023-05-31", "2023-06-15", "2023-06-30"]
VALUES = "date,value\n2023-05-31,10000\n2023-06-15,10400\n2023-06-30,11166.40\n"
REFUSED = "refused"
"""Request id of a run that PersistDynamoDB fails."""

Perfcalc = Callable[..., Answer]


@pytest.fixture(scope="module", params=["dev", "none"])
def stage(
    request: pytest.FixtureRequest, synthesise: Callable[[str], Synthesis], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    with deployed(synthesise(request.param), tmp_path_factory.mktemp(request.param), _refused) as made:
        yield made


@pytest.fixture(scope="module")
def perfcalc(stage: Deployed) -> Iterator[Perfcalc]:
    with handlers_restored(), commands(stage) as called:
        yield lambda *arguments: called("--stack", PREFIX, *arguments)


@pytest.fixture(scope="module")
def with_time_series(stage: Deployed) -> bool:
    return stage.synthesis.settings.time_series_store == "timestream"


def write(directory: Path, **more: Any) -> Path:
    """Write a request with two portfolios in files beside it, of which one cannot be calculated."""
    (directory / "growth.csv").write_text(VALUES)
    (directory / "broken.csv").write_text("date,value\n2023-06-30,n/a\n")
    portfolios = [
        {"portfolio_id": "growth", "valuations": {"source": "growth.csv"}},
        {"portfolio_id": "broken", "valuations": {"source": "broken.csv"}},
    ]
    request = {"request_id": "two", "time_periods": ["MTD", "ITD"], "portfolios": portfolios, **more}
    path = directory / "request.json"
    path.write_text(json.dumps(request))
    return path


@pytest.fixture(scope="module")
def ran(perfcalc: Perfcalc, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what a run of two portfolios printed."""
    return parsed(perfcalc("run", write(tmp_path_factory.mktemp("request")), "--json"))


def test_a_run_takes_its_files_along_and_shows_what_the_stage_has_stored(ran: Any, with_time_series: bool) -> None:
    assert ran["status"] == "PARTIAL"
    (row,) = ran["results"]
    assert (row["entity_id"], row["calculation_date"]) == ("growth", "2023-06-30")
    assert row["periods"]["ITD"]["twr"] == pytest.approx(0.11664)
    (failure,) = ran["failures"]
    assert failure["message"].startswith("broken.csv: line 2: value 'n/a' must be a number")
    assert ran["timestream"]["status"] == ("SUCCEEDED" if with_time_series else "DISABLED")


def test_a_run_tells_where_it_is_and_what_can_be_typed_next(perfcalc: Perfcalc, tmp_path: Path) -> None:
    ended = perfcalc("run", write(tmp_path))
    assert ended.code == 3
    assert f"AWS: {PREFIX}, account 123456789012, region us-east-1" in ended.err
    assert f"perfcalc --stack {PREFIX} history two-" in ended.out
    assert f"perfcalc --stack {PREFIX} results growth\n" in ended.out


def test_the_history_lists_it_and_shows_its_events(perfcalc: Perfcalc, ran: Any) -> None:
    name = ran["execution"]["name"]
    assert name in [each["name"] for each in parsed(perfcalc("history", "--json"))]
    shown = perfcalc("history", name)
    assert shown.code == 0
    assert "CalculatePortfolios" in shown.out


def test_its_results_are_read_without_a_data_directory(
    perfcalc: Perfcalc, ran: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (row,) = parsed(perfcalc("results", "growth", "--json", "--data-dir", tmp_path / "nothing"))
    assert row["periods"]["ITD"]["twr"] == ran["results"][0]["periods"]["ITD"]["twr"]
    assert list(tmp_path.iterdir()) == []
    missing = perfcalc("results", "nobody")
    assert (missing.code, missing.err) == (1, f"{PREFIX} has no results for portfolio nobody.\n")


def test_its_time_series_answers_sql_where_there_is_one(perfcalc: Perfcalc, ran: Any, with_time_series: bool) -> None:
    database = "investment_performance_dev"
    answer = perfcalc("query", f"SELECT count(*) AS n FROM {database}.performance_metrics", "--json")
    if with_time_series:
        assert parsed(answer)[0]["n"] > 0
    else:
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == f"{PREFIX} has no time series; `perfcalc results` reads the rows.\n"


def test_it_is_watched_to_its_end(perfcalc: Perfcalc, ran: Any) -> None:
    name = ran["execution"]["name"]
    answer = perfcalc("watch", name)
    assert answer.code == 3
    lines = answer.out.splitlines()
    assert lines[0].startswith(f"{name} SUCCEEDED, started ")
    assert any(line.startswith("! CalculatePortfolio of broken: InvalidPortfolioError: ") for line in lines)
    assert lines[-1].startswith(f"PARTIAL {name}: 1 calculated, 1 failed (1 InvalidPortfolioError), in ")


def test_a_run_that_failed_is_watched_to_the_step_that_failed(perfcalc: Perfcalc, tmp_path: Path) -> None:
    run = perfcalc("run", write(tmp_path, request_id=REFUSED))
    assert run.code == 1
    document = json.loads(perfcalc("watch", "--json").out)  # the newest
    assert document["execution"]["name"].startswith(f"{REFUSED}-")
    assert (document["status"], document["step"], document["error"]) == ("FAILED", "PersistDynamoDB", "StoreError")
    step = next(each for each in document["steps"] if each["name"] == "CalculatePortfolios")
    assert step["iterations"] == {"total": 2, "succeeded": 2, "failed": 0, "caught": 1}
    answer = perfcalc("watch", document["execution"]["name"])
    assert answer.code == 1
    assert "PersistDynamoDB failed, StoreError: the table is gone; 1 calculated, 1 failed, in " in answer.out


def test_what_the_books_are_given_is_calculated(perfcalc: Perfcalc, tmp_path: Path) -> None:
    (tmp_path / "portfolios.csv").write_text("portfolio_id,client_id\nkept,acme\n")
    lines = "".join(f"kept,{day},{1000 + 10 * i}\n" for i, day in enumerate(DAYS))
    (tmp_path / "valuations.csv").write_text(f"portfolio_id,date,value\n{lines}")
    imported = perfcalc("import", tmp_path / "portfolios.csv", tmp_path / "valuations.csv")
    assert (imported.code, "SUCCEEDED 4 new" in imported.out) == (0, True), imported
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"entity_ids": ["kept"], "time_periods": ["ITD"]}))
    document = parsed(perfcalc("run", request, "--json"))
    assert document["results"][0]["periods"]["ITD"]["twr"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["token", "--role", "admin"],
        ["nightly"],
        ["upload", "m.json", "--client", "acme"],
        ["recalculate"],
        ["cache", "clear"],
    ],
)
def test_what_makes_no_sense_there_is_one_sentence(perfcalc: Perfcalc, command: list[str], tmp_path: Path) -> None:
    if command[0] == "upload":
        (tmp_path / "m.json").write_text("{}")
        command = ["upload", str(tmp_path / "m.json"), *command[2:]]
    answer = perfcalc(*command)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"`perfcalc {command[0]}` works on this machine alone; in {PREFIX} ")
    assert answer.err.count("\n") == 1


def test_a_stage_that_is_not_there_is_one_message(perfcalc: Perfcalc) -> None:
    answer = perfcalc("--stack", "investment-performance-nowhere", "history")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("There is no stack investment-performance-nowhere-storage in us-east-1: ")
    forget()


def _refused(function: str, event: Any, attempt: int) -> Injected | None:
    from common.errors import StoreError  # noqa: PLC0415 - told by its name

    refused = function.endswith("-PersistDynamoDB") and event["run"]["request_id"] == REFUSED
    return StoreError("the table is gone") if refused else None
