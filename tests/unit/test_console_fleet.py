"""Fleet runs in the console: what the pages tell of one, what is started from them, and what has results."""

import json
import re
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import ClientError
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputNotFoundError, InvalidRequestError, ThrottledError
from common.stores.memory import InMemoryPayloadStore
from tests.console import (
    BATCHES,
    BEGIN,
    ENTITIES,
    FAILED,
    MACHINE_ARN,
    ORIGIN,
    REFUSED,
    FleetWorld,
    Telling,
    TellingClient,
    csrf_of,
    fleet_world,
    let_in,
)
from tests.workflow.test_performance_calculation import request
from workflows.cli.console import request_starter
from workflows.cli.fleet_files import KeptFleetFiles, StagedFleetFiles
from workflows.console.catalogue import Catalogue
from workflows.console.console import Console
from workflows.console.events import PAGE_LINES
from workflows.console.fleet import FAILURES_SHOWN, FleetFile, first_failures, fleet_plan, fleet_summary
from workflows.console.graph import graph_of, run_in_children
from workflows.console.ports import PortfolioLink
from workflows.console.references import state_machines
from workflows.console.rerun import NothingToRerunError, manifest_request
from workflows.console.results import StoredResults
from workflows.executions import Execution

pytestmark = pytest.mark.xdist_group("console")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetWorld]:
    with fleet_world(tmp_path_factory.mktemp("fleet")) as it:
        yield it


@pytest.fixture
def browser(world: FleetWorld) -> FlaskClient:
    return let_in(world.console)


def at(execution: Execution, view: str = "") -> str:
    return f"/executions/performance-fleet/{execution.name}{view}"


def ended(world: FleetWorld, location: str) -> Execution:
    machine, name = location.rsplit("/", 2)[1:]
    assert machine == "performance-fleet"
    return world.runtime.fleet.wait(name, timeout=120)


def post(browser: FlaskClient, path: str, **form: Any) -> Any:
    csrf = csrf_of(browser.get("/start").text)
    return browser.post(path, data={"csrf": csrf, **form}, headers={"Origin": ORIGIN})


# The pages of a real one


def test_the_map_of_a_fleet_run_counts_its_batches_and_its_states_are_run_in_children(
    browser: FlaskClient, world: FleetWorld
) -> None:
    told = json.loads(browser.get(at(world.mixed, "/graph.json")).text)
    node = told["nodes"]["CalculateBatches"]
    assert node["status"] == "succeeded"
    assert (node["iterations"]["total"], node["iterations"]["succeeded"]) == (BATCHES, BATCHES)
    assert (node["iterations"]["failed"], node["iterations"]["pending"], node["iterations"]["running"]) == (0, 0, 0)
    (batches,) = [each for each in told["scope"]["nodes"] if each["distributed"]]
    inside = {each["name"]: each for each in batches["inner"][0]["nodes"]}
    assert inside["PersistDynamoDB"]["in_children"]
    assert not batches["in_children"]
    assert not inside.keys() & told["nodes"].keys()
    assert told["statuses"]["in-children"] == "Run in child executions"
    legend = browser.get(at(world.mixed)).text
    assert "Run in child executions" in legend


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("PersistDynamoDB", "run in child executions"),
        ("CalculatePortfolio", "run in child executions"),
        ("RunFailed", "has not been reached"),
    ],
)
def test_a_state_of_the_children_is_never_one_that_was_not_reached(
    browser: FlaskClient, world: FleetWorld, state: str, words: str
) -> None:
    page = browser.get(at(world.mixed, f"/states/{state}?part=1")).text
    assert words in page
    assert ("map-runs" in page) is ("child" in words)


def test_the_map_and_its_map_run_lead_to_each_other(browser: FlaskClient, world: FleetWorld) -> None:
    step = browser.get(at(world.mixed, "/states/CalculateBatches?part=1")).text
    found = re.search(r'href="(/map-runs/performance-fleet/Batches/[^"]+)">Map Run Batches</a>, succeeded', step)
    assert found is not None
    assert at(world.mixed, "/map-runs") in step
    runs = browser.get(at(world.mixed, "/map-runs")).text
    assert f'href="{at(world.mixed)}#CalculateBatches"' in runs
    assert f'href="{found[1]}"' in runs
    run = browser.get(found[1]).text
    assert "are not kept" in run
    assert f'href="{at(world.mixed)}"' in run


def test_the_head_of_a_fleet_run_tells_entities_and_batches(browser: FlaskClient, world: FleetWorld) -> None:
    page = browser.get(at(world.mixed)).text
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>([^<]*)</dd>", page))
    assert facts["Entities"] == str(ENTITIES + FAILED)
    assert (facts["Calculated"], facts["Failed"]) == (str(ENTITIES), str(FAILED))
    assert facts["Batches"] == f"{BATCHES} planned: {BATCHES} succeeded, 0 failed, 0 not begun"
    assert "Partial" in page
    assert "2 InvalidPortfolioError, 1 InputNotFoundError" in page


def test_what_a_fleet_run_could_not_calculate_is_told_with_its_reasons(browser: FlaskClient, world: FleetWorld) -> None:
    for query in ("", "?part=1"):
        page = browser.get(at(world.mixed, f"/failures{query}")).text
        assert page.count("<td>InvalidPortfolioError</td>") == REFUSED
        assert "there is no portfolio none in the books" in page
        assert "portfolio bad" in page
        assert ("<html" in page) is (query == "")


def test_the_failures_are_run_again_on_the_fleet_machine_with_the_options_kept(
    browser: FlaskClient, world: FleetWorld
) -> None:
    page = browser.get(at(world.mixed)).text
    assert f"Start a fleet run for the {FAILED} that failed" in page
    again = ended(world, post(browser, at(world.mixed, "/rerun-failures")).headers["Location"])
    assert again.input["manifest"] == {"source": str((world.kept / "failures.jsonl").resolve())}
    assert {**again.input, **world.mixed.input, "manifest": again.input["manifest"]} == again.input
    # Nothing could be calculated, so it is a failed one; which can be run again too, from what it has left.
    assert again.status == "FAILED"
    page = browser.get(at(again)).text
    assert f"Start a fleet run for the {FAILED} that failed" in page
    assert "1 planned: 1 succeeded, 0 failed, 0 not begun" in page
    last = ended(world, post(browser, at(again, "/rerun-failures")).headers["Location"])
    assert last.input["manifest"]["source"].endswith(f"fleet/{again.name}/failures.jsonl")


def test_a_fleet_run_is_run_again_on_the_fleet_machine(browser: FlaskClient, world: FleetWorld) -> None:
    again = ended(world, post(browser, at(world.mixed, "/rerun")).headers["Location"])
    assert (again.name, again.input) == (f"{world.mixed.name}-2", world.mixed.input)


def test_what_a_fleet_run_has_calculated_is_listed(browser: FlaskClient, world: FleetWorld) -> None:
    page = browser.get("/portfolios").text
    for index in range(ENTITIES):
        assert f'href="/portfolios/portfolio/p-{index}"' in page
    assert "bad" not in page
    assert "2024-03-29" in page
    part = browser.get("/portfolios?text=P-3&part=1").text
    assert "p-3" in part
    assert "p-1" not in part
    assert "1 to 1 of 1" in part
    assert browser.get("/portfolios/portfolio/p-3").status_code == 200


def test_a_fleet_request_is_started_from_the_form(
    browser: FlaskClient, world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.data_dir.parent)
    document = {"request_id": "typed", "manifest": {"source": "fleet.jsonl"}, "time_periods": ["ITD"]}
    typed = ended(world, post(browser, "/start", request=json.dumps(document)).headers["Location"])
    assert typed.output["calculated"] == ENTITIES
    # A fleet run has a default of its own for how many at a time.
    assert "max_price_age_days" in typed.input
    assert typed.input["max_concurrency"] == world.mixed.input.get("max_concurrency", typed.input["max_concurrency"])


@pytest.mark.parametrize(
    ("document", "path", "line"),
    [
        ('{\n "manifest": {"source": "none.jsonl"}\n}', "$.manifest.source", 2),
        ('{\n "entity_types": ["fund"]\n}', "$.entity_types[0]", 2),
        ('{"manifest": {"source": "fleet.jsonl"},\n "batch_size": 0}', "$.batch_size", 2),
        ('{"manifest": {"source": "fleet.jsonl"}, "entity_types": ["portfolio"]}', "$", 1),
    ],
)
def test_the_faults_of_a_fleet_request_are_told_beside_their_lines(
    browser: FlaskClient, world: FleetWorld, monkeypatch: pytest.MonkeyPatch, document: str, path: str, line: int
) -> None:
    monkeypatch.chdir(world.data_dir.parent)
    answer = post(browser, "/start", request=document)
    assert answer.status_code == 400
    assert f'data-line="{line}">Line {line}</button> <code>{path}</code>' in answer.text


def test_who_comes_from_another_machine_cannot_name_a_manifest_of_this_one(world: FleetWorld) -> None:
    start = request_starter(world.runtime, trusted=False)
    with pytest.raises(InvalidRequestError):
        start({"manifest": {"source": str(world.data_dir.parent / "fleet.jsonl")}})
    arn = start({"request_id": "all", "entity_types": ["account"]})
    assert world.runtime.fleet.wait(arn, timeout=120).input["entity_types"] == ["account"]


def test_an_execution_of_another_kind_has_no_manifest_of_failures(browser: FlaskClient, world: FleetWorld) -> None:
    started = world.runtime.executions.start_or_attach(request(1, request_id="single"))
    world.runtime.executions.wait(started.name, timeout=120)
    here = f"/executions/performance-calculation/{started.name}"
    assert browser.get(f"{here}/failures").status_code == 404
    assert "Entities" not in browser.get(here).text


# Where the files are


def test_files_are_kept_by_whoever_looks_at_the_run_or_closes_the_console(world: FleetWorld) -> None:
    summary = fleet_summary(world.mixed.output)
    assert summary is not None
    for file in world.kept.glob("*"):
        file.unlink()
    found: list[bytes] = []

    def look() -> None:  # on a thread, as the server's requests are
        with world.files.open(world.mixed.name, summary.results) as opened:
            found.extend(opened)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert len(found) == ENTITIES
    for file in world.kept.glob("*"):
        file.unlink()
    world.files.close()
    assert (world.kept / "failures.jsonl").is_file()


def test_a_file_that_nobody_has_kept_is_not_offered(world: FleetWorld, tmp_path: Path) -> None:
    files = KeptFleetFiles(tmp_path, None)
    browser = let_in(Console(world.console.client, world.console.machines, "a test", fleet_files=files))
    page = browser.get(at(world.mixed)).text
    assert "3 could not be calculated" in page
    assert "Run the failures again" not in page
    assert browser.get(at(world.mixed, "/failures")).status_code == 404
    assert post(browser, at(world.mixed, "/rerun-failures")).status_code == 409
    files.close()


def test_a_list_goes_on_without_a_file_that_is_not_there_and_has_it_when_it_is(
    world: FleetWorld, tmp_path: Path
) -> None:
    seconds = [0.0]
    runtime = world.runtime
    results = StoredResults(
        runtime.result_store,
        runtime.books,
        runtime.executions,
        runtime.fleet,
        KeptFleetFiles(tmp_path, None),
        catalogue=Catalogue(clock=lambda: seconds[0]),
    )
    assert "p-4" not in {each.entity_id for each in results.entities("", 1).page.lines}
    kept = tmp_path / "fleet" / world.mixed.name
    kept.mkdir(parents=True)
    line = {"entity_type": "portfolio", "entity_id": "p-4", "calculation_date": "2024-03-29"}
    (kept / "calculated.jsonl").write_text(json.dumps(line) + '\n{"cut')
    seconds[0] += 10
    assert "p-4" in {each.entity_id for each in results.entities("", 1).page.lines}
    results.close()


def test_a_service_that_asks_for_less_is_told_where_the_list_would_be(
    browser: FlaskClient, world: FleetWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Any:
        refused: Any = {"Error": {"Code": "ThrottlingException", "Message": "no"}}
        raise ClientError(refused, "ListExecutions")

    monkeypatch.setattr(world.runtime.fleet, "list", refuse)
    answer = browser.get("/portfolios")
    assert (answer.status_code, "ThrottlingException" in answer.text) == (503, True)


def test_files_of_a_stage_are_where_the_run_has_put_them() -> None:
    payloads = InMemoryPayloadStore({"s3://b/a/failures.jsonl": b"x\n"})
    files = StagedFleetFiles(payloads)
    file = FleetFile(bucket="b", key="a/failures.jsonl")
    assert files.source("one", file) == "s3://b/a/failures.jsonl"
    with files.open("one", file) as opened:
        assert list(opened) == [b"x\n"]
    with pytest.raises(InputNotFoundError):
        files.open("one", FleetFile(bucket="b", key="none"))


# Told ones


SUMMARY: dict[str, Any] = {
    "status": "PARTIAL",
    "entities": 1234,
    "calculated": 1000,
    "failed": 234,
    "failures_by_error": {"<b>Bad</b>": 234},
    "batches": {"planned": 62, "succeeded": 50, "failed": 10, "not_begun": 2},
    "failures": {"bucket": "b", "key": "a/failures.jsonl"},
    "results": {"bucket": "b", "key": "a/calculated.jsonl"},
}


class ToldFiles:
    """Files of a fleet run of which 234 entities failed."""

    def open(self, execution: str, file: FleetFile) -> BinaryIO:
        failure = {"error": "<b>Bad</b>", "message": "<i>no</i>"}
        lines = [json.dumps({"portfolio_id": f"p-{number}", "failure": failure}) for number in range(234)]
        return BytesIO("\n".join(lines).encode())

    def source(self, execution: str, file: FleetFile) -> str:
        return file.uri


def told_console(client: TellingClient) -> FlaskClient:
    anything: Any = client
    return let_in(Console(anything, state_machines([MACHINE_ARN]), "a test", fleet_files=ToldFiles()))


def test_the_first_200_failures_are_told_and_nothing_of_them_is_markup() -> None:
    client = TellingClient()
    client.add("one", output=json.dumps(SUMMARY))
    browser = told_console(client)
    page = browser.get("/executions/calculation/one/failures").text
    assert page.count('<td class="name">portfolio p-') == FAILURES_SHOWN
    assert "The first 200 of 234" in page
    assert "s3://b/a/failures.jsonl" in page
    assert "62 planned: 50 succeeded, 10 failed, 2 not begun" in page
    for text in (page, browser.get("/executions/calculation/one").text):
        assert "<b>Bad" not in text
        assert "<i>no" not in text
        assert "1,234" in text


def test_a_stage_s_failures_are_run_again_by_their_uri() -> None:
    given = {"entity_types": ["portfolio"], "batch_size": 7, "client_id": "c"}
    assert manifest_request(given, "s3://b/a/failures.jsonl") == {
        "manifest": {"source": "s3://b/a/failures.jsonl"},
        "batch_size": 7,
        "client_id": "c",
    }
    assert "manifest" not in given
    with pytest.raises(NothingToRerunError):
        manifest_request([], "s3://b/a/failures.jsonl")


def running_fleet(**counts: int) -> tuple[TellingClient, dict[str, Any]]:
    run = MACHINE_ARN.replace(":stateMachine:", ":mapRun:") + "/Batches:r-1"
    every = dict.fromkeys(
        ("total", "succeeded", "failed", "running", "pending", "aborted", "timedOut", "resultsWritten"), 0
    )
    told = {
        "mapRunArn": run,
        "executionArn": MACHINE_ARN.replace(":stateMachine:", ":execution:") + ":fleet",
        "status": "RUNNING",
        "startDate": BEGIN,
        "maxConcurrency": 40,
        "toleratedFailureCount": 0,
        "toleratedFailurePercentage": 25.0,
        "itemCounts": every | counts,
        "executionCounts": every | counts,
    }
    tell = Telling()
    plan = {"plan": {"entity_count": 2000, "batch_count": 100, "refused": {"count": 3}}}
    entered = {"name": "Batches", "input": json.dumps(plan)}
    tell("MapRunStarted", tell("MapStateEntered", tell("ExecutionStarted", 0), entered), {"mapRunArn": run})
    client = TellingClient()
    client.map_runs[run] = told
    client.add("fleet", tell.events, status="RUNNING", stopDate=None, output=None)
    return client, told


def test_the_batches_of_a_run_are_counted_while_it_runs() -> None:
    client, run = running_fleet(total=100, succeeded=40, failed=2, timedOut=1, running=20, pending=37)
    browser = told_console(client)
    page = browser.get("/executions/calculation/fleet").text
    assert "100 planned: 40 succeeded, 3 failed, 20 running, 37 pending" in page
    assert "2,000" in page
    first = json.loads(browser.get("/executions/calculation/fleet/live.json?graph=1").text)
    counts = first["nodes"]["Batches"]["iterations"]
    assert (counts["pending"], counts["running"], counts["failed"], counts["total"]) == (37, 20, 3, 100)
    # No event tells that a batch has ended; the page hears of it all the same.
    assert json.loads(browser.get("/executions/calculation/fleet/live.json").text)["version"] == first["version"]
    run["itemCounts"] = run["itemCounts"] | {"succeeded": 60, "running": 0}
    last = json.loads(browser.get("/executions/calculation/fleet/live.json?graph=1").text)
    assert last["version"] != first["version"]
    assert "60 succeeded" in last["head"]


def test_children_that_cannot_be_listed_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = running_fleet(total=100)

    def refuse(**asked: Any) -> Any:
        client.error = "ValidationException"
        client._called("ListExecutions")

    monkeypatch.setattr(client, "list_executions", refuse)
    answer = told_console(client).get("/map-runs/calculation/Batches/r-1")
    assert (answer.status_code, "ValidationException" in answer.text) == (200, True)
    assert 'href="/executions/calculation/fleet"' in answer.text


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {"plan": 1},
        {"plan": {"entity_count": "<b>"}},
        {**SUMMARY, "entities": {}},
        {**SUMMARY, "failures": "a"},
        {key: value for key, value in SUMMARY.items() if key != "batches"},
    ],
)
def test_what_is_no_fleet_run_is_none(document: Any) -> None:
    assert fleet_summary(document) is None
    assert fleet_plan(document) is None


def test_a_failure_is_told_by_whatever_its_line_has() -> None:
    lines = (
        b'{"entity_type": "account", "entity_id": "a", "failure": {"error": "E", "message": "m"}}\n[1]\n{"fail\n{}\n'
    )
    told = [(each.entity_type, each.entity_id, each.error, each.message) for each in first_failures(BytesIO(lines))]
    assert told == [("account", "a", "E", "m")]  # one without a reason was put right since


def test_states_of_a_distributed_map_are_run_in_children_at_any_depth() -> None:
    inner = {"StartAt": "Deep", "States": {"Deep": {"Type": "Pass", "End": True}}}
    middle = {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": inner, "End": True}}}
    states = {
        "Far": {
            "Type": "Map",
            "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, **middle},
            "Next": "Near",
        },
        "Near": {"Type": "Map", "ItemProcessor": {"StartAt": "In", "States": {"In": {"Type": "Pass"}}}, "End": True},
    }
    assert run_in_children(graph_of(json.dumps({"StartAt": "Far", "States": states}))) == {"Each", "Deep"}


# The catalogue


def link(number: int, date: str = "2024-03-29", name: str = "") -> PortfolioLink:
    return PortfolioLink("portfolio", f"p-{number:06}", name, date)


def test_100000_rows_are_read_bit_by_bit_once_and_shown_in_pages() -> None:
    seconds = iter(range(10**6))
    catalogue = Catalogue(clock=lambda: float(next(seconds)))
    read: list[int] = []

    def rows() -> Iterator[PortfolioLink]:
        for number in range(100_000):
            read.append(number)
            yield link(number)

    looks = 0
    catalogue.add("run", rows)
    while not catalogue.read_on(10.0):
        looks += 1
        catalogue.add("run", rows)
    assert looks > 1
    assert len(read) == 100_000
    page = catalogue.page("", 1000)
    assert (page.found, page.first, page.lines[-1].entity_id) == (100_000, 99_900, "p-099999")
    assert [each.entity_id for each in catalogue.page("P-0999", 1).lines] == [
        f"p-{n:06}" for n in range(99_900, 100_000)
    ]
    catalogue.close()


@given(
    sources=st.lists(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "Ä", "fund ß"])), max_size=60)),
    text=st.sampled_from(["", "1", "p-00000", "ä", "FUND", "SS", "%", "_"]),
    number=st.integers(-2, 4),
)
def test_the_catalogue_is_the_sorted_set_of_what_its_sources_have(
    sources: list[list[tuple[int, str]]], text: str, number: int
) -> None:
    catalogue = Catalogue()
    names: dict[int, str] = {}
    for index, source in enumerate(sources):
        catalogue.add(str(index), lambda source=source: [link(n, name=name) for n, name in source])  # type: ignore[misc]  # a default that binds it
        for n, name in source:
            names[n] = name or names.get(n, "")
    assert catalogue.read_on(60.0)
    wanted = sorted(n for n, name in names.items() if text.casefold() in f"{link(n).entity_id}\n{name}".casefold())
    page = catalogue.page(text, number)
    assert page.found == len(wanted)
    assert [each.entity_id for each in page.lines] == [link(n).entity_id for n in wanted[:PAGE_LINES]]
    assert [each.name for each in page.lines] == [names[n] for n in wanted[:PAGE_LINES]]
    catalogue.close()


def test_the_last_date_of_an_entity_counts_whichever_run_was_read_first() -> None:
    catalogue = Catalogue()
    for name, date in (("new", "2024-03-29"), ("old", "2023-12-29"), ("books", "")):
        catalogue.add(name, lambda date=date: [link(1, date)])  # type: ignore[misc]  # a default that binds it
    assert catalogue.read_on(60.0)
    assert [each.calculated_for for each in catalogue.page("", 1).lines] == ["2024-03-29"]
    catalogue.close()


def test_a_source_that_fails_is_begun_anew_and_one_that_changes_is_read_again() -> None:
    seconds = [0.0]
    catalogue = Catalogue(clock=lambda: seconds[0])
    tries: list[str] = []

    def rows() -> Iterator[PortfolioLink]:
        tries.append("rows")
        yield link(len(tries))
        if len(tries) == 1:
            raise ThrottledError("S3: slow down")

    catalogue.add("run", rows, again=60.0)
    with pytest.raises(ThrottledError):
        catalogue.read_on(1.0)
    for moment, count in ((0.0, 2), (59.0, 2), (60.0, 3)):
        seconds[0] = moment
        catalogue.add("run", rows, again=60.0)
        assert catalogue.read_on(1.0)
        assert len(tries) == count
    catalogue.close()
