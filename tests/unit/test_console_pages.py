"""The console over HTTP: who gets in, what the pages say, what the forms do, and that everything is escaped."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from html import unescape
from io import BytesIO
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urljoin
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest
from flask.testing import FlaskClient

from tests.console import (
    BEGIN,
    MACHINE_ARN,
    ORIGIN,
    TOKEN,
    ConsoleWorld,
    Telling,
    TellingClient,
    console_world,
    csrf_of,
    let_in,
    map_history,
    stranger,
)
from tests.workflow.test_performance_calculation import request as calculation
from workflows.console.app import create_app
from workflows.console.console import Console
from workflows.console.events import page_of
from workflows.console.ports import EntityName, EntityPage, PageFile, PortfolioLink, PortfolioPage
from workflows.console.references import state_machines
from workflows.console.security import Gate
from workflows.console.server import ConsoleServer, PortInUseError

pytestmark = pytest.mark.xdist_group("console")

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
E = "/executions/calculation/one"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleWorld]:
    with console_world(tmp_path_factory.mktemp("console")) as it:
        yield it


@pytest.fixture
def browser(world: ConsoleWorld) -> FlaskClient:
    return let_in(world.console)


@pytest.fixture
def telling() -> TellingClient:
    client = TellingClient()
    client.add("one", map_history(3, failing=[1]))
    return client


def at(execution_arn: str, view: str = "") -> str:
    machine, name = execution_arn.split(":")[6:8]
    return f"/executions/{machine}/{name}{view}"


def post(browser: FlaskClient, path: str, *, csrf: str, origin: str | None = ORIGIN, **form: Any) -> Any:
    headers = {"Origin": origin} if origin else {}
    return browser.post(path, data={"csrf": csrf, **form}, headers=headers)


# Who gets in


@pytest.mark.parametrize("path", ["/", E, f"{E}/events", f"{E}/graph.json", "/portfolios", "/start", "/nowhere"])
def test_without_the_token_nothing_is_shown(telling: TellingClient, path: str) -> None:
    answer = stranger(telling.console).get(path)
    assert answer.status_code == 403
    assert "perfcalc console" in answer.text
    assert telling.calls == []


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", "é"])
def test_a_wrong_token_is_refused(telling: TellingClient, token: str) -> None:
    client = stranger(telling.console)
    answer = client.get("/", query_string={"token": token})
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert client.get("/").status_code == 403


def test_the_token_becomes_a_strict_cookie_and_leaves_the_address(telling: TellingClient) -> None:
    client = stranger(telling.console)
    answer = client.get(f"{E}/events?type=Failures&token={TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{E}/events?type=Failures")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert client.get(answer.headers["Location"]).status_code == 200


def opened(gate: Gate, client: TellingClient) -> FlaskClient:
    return create_app(client.console, gate).test_client()


def test_a_pass_opens_the_console_once_and_leaves_the_token_as_it_is(telling: TellingClient) -> None:
    gate = Gate(TOKEN, ["localhost"])
    once = gate.new_pass()
    assert once not in {TOKEN, gate.new_pass()}
    first = opened(gate, telling)
    assert first.get(f"/?token={once}").status_code == 303
    assert first.get("/").status_code == 200
    second = opened(gate, telling)
    assert second.get(f"/?token={once}").status_code == 403
    assert second.get("/").status_code == 403
    assert second.get(f"/?token={TOKEN}").status_code == 303


@pytest.mark.parametrize(("seconds", "status"), [(59.9, 303), (60.0, 403), (3600.0, 403)])
def test_a_pass_is_good_for_a_minute(telling: TellingClient, seconds: float, status: int) -> None:
    now = [100.0]
    gate = Gate(TOKEN, ["localhost"], clock=lambda: now[0])
    once = gate.new_pass()
    now[0] += seconds
    assert opened(gate, telling).get(f"/?token={once}").status_code == status
    assert opened(gate, telling).get(f"/?token={once}").status_code == 403


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example/x", "///evil.example"])
def test_the_token_leads_to_no_other_host(telling: TellingClient, path: str) -> None:
    answer = stranger(telling.console).get(environ_overrides={"PATH_INFO": path}, query_string={"token": TOKEN})
    assert answer.status_code == 303
    assert re.match(r"/[^/\\]", answer.headers["Location"])


def test_an_address_followed_from_elsewhere_opens_too(telling: TellingClient) -> None:
    answer = stranger(telling.console).get(f"/?token={TOKEN}", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["Refresh"]) == (200, "0;url=/")
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]


def test_the_cookie_of_another_console_is_none_here(telling: TellingClient) -> None:
    given = stranger(telling.console).get(f"/?token={TOKEN}").headers["Set-Cookie"]
    name, _, value = given.partition(";")[0].partition("=")
    other = stranger(telling.console)
    other.set_cookie(name, value, domain="127.0.0.1")
    assert other.get("/").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:8081", "localhost.evil:8080"]
)
def test_another_host_name_is_refused_even_with_the_token(telling: TellingClient, host: str) -> None:
    client = let_in(telling.console)
    for path in ("/", f"/?token={TOKEN}", "/static/console.css"):
        assert client.get(path, base_url=f"http://{host}").status_code == 421


def test_every_answer_forbids_frames_scripts_and_other_origins(telling: TellingClient) -> None:
    client = let_in(telling.console)
    for path in ("/", E, f"{E}/graph.json", "/static/graph.js", "/nowhere", f"/?token={TOKEN}"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert not any(name.startswith("Access-Control") for name in headers.keys())  # noqa: SIM118 - of pairs


def test_no_page_has_a_script_or_a_style_of_its_own(browser: FlaskClient, world: ConsoleWorld) -> None:
    views = ["", "/steps", "/events", "/timeline", "/data", "/definition", "/steps/2"]
    for path in ["/", "/start", "/portfolios", *(at(world.mixed.arn, view) for view in views)]:
        page = browser.get(path).text
        assert not re.search(r"<script(?![^>]* src=)", page)
        assert "<style" not in page
        assert not re.search(r"<[^>]* (style|on[a-z]+)=", page)


# What changes something


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:8081", "https://127.0.0.1:8080"]
)
def test_a_form_of_another_origin_changes_nothing(telling: TellingClient, origin: str | None) -> None:
    telling.add("runs", status="RUNNING", stopDate=None, output=None)
    client = let_in(telling.console)
    csrf = csrf_of(client.get("/executions/calculation/runs").text)
    assert post(client, "/executions/calculation/runs/stop", csrf=csrf, origin=origin).status_code == 403
    assert "StopExecution" not in telling.calls


@pytest.mark.parametrize("csrf", ["", "0" * 64, "é"])
def test_a_form_without_the_page_s_token_changes_nothing(telling: TellingClient, csrf: str) -> None:
    client = let_in(telling.console)
    assert post(client, f"{E}/stop", csrf=csrf).status_code == 403
    assert client.get(f"{E}/stop").status_code == 405
    assert telling.calls == []


def test_what_runs_can_be_stopped_and_not_run_again(telling: TellingClient) -> None:
    telling.add("runs", status="RUNNING", stopDate=None, output=None)
    client = let_in(telling.console)
    page = client.get("/executions/calculation/runs").text
    assert "Stop this execution?" in page
    assert "Run again" not in page
    answer = post(client, "/executions/calculation/runs/stop", csrf=csrf_of(page))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/executions/calculation/runs")
    assert "StopExecution" in telling.calls


def test_a_redrive_is_offered_where_step_functions_offers_it(telling: TellingClient) -> None:
    telling.add("broke", map_history(1), status="FAILED", redriveStatus="REDRIVABLE", output=None)
    client = let_in(telling.console)
    assert "Redrive" not in client.get(E).text
    page = client.get("/executions/calculation/broke").text
    assert "Redrive it" in page
    assert post(client, "/executions/calculation/broke/redrive", csrf=csrf_of(page)).status_code == 303
    assert "RedriveExecution" in telling.calls


def test_where_nothing_can_be_started_nothing_is_offered(telling: TellingClient) -> None:
    client: Any = telling
    browser = let_in(Console(client, state_machines([MACHINE_ARN]), "a test", may_start=False))
    assert "Run again" not in browser.get(E).text
    telling.add("runs", status="RUNNING", stopDate=None, output=None)
    csrf = csrf_of(browser.get("/executions/calculation/runs").text)
    for action in (f"{E}/rerun", "/start"):
        assert post(browser, action, csrf=csrf, request="{}").status_code == 409
    assert "/start" not in browser.get("/").text


def test_the_failures_of_a_real_run_are_run_again_alone(browser: FlaskClient, world: ConsoleWorld) -> None:
    page = browser.get(at(world.mixed.arn)).text
    assert "Start an execution for the 1 that failed" in page
    answer = post(browser, at(world.mixed.arn, "/rerun-failures"), csrf=csrf_of(page))
    assert answer.status_code == 303
    name = answer.headers["Location"].rpartition("/")[2]
    again = world.runtime.executions.wait(name, timeout=60)
    assert [each["portfolio_id"] for each in again.input["portfolios"]] == ["p-broken"]
    assert again.status == "FAILED"  # as it did before, and nothing else is in it


def test_a_real_run_is_run_again_under_the_next_name(browser: FlaskClient, world: ConsoleWorld) -> None:
    answer = post(browser, at(world.good.arn, "/rerun"), csrf=csrf_of(browser.get(at(world.good.arn)).text))
    assert answer.headers["Location"] == at(f"{world.good.arn}-2")
    assert world.runtime.executions.wait(f"{world.good.name}-2", timeout=60).input == world.good.input


def test_a_request_is_started_from_text_and_from_a_file(browser: FlaskClient, world: ConsoleWorld) -> None:
    csrf = csrf_of(browser.get("/start").text)
    text = json.dumps(calculation(1, request_id="typed"))
    for form in ({"request": text}, {"file": (BytesIO(b"\xef\xbb\xbf" + text.encode()), "request.json")}):
        answer = post(browser, "/start", csrf=csrf, **form)
        assert answer.status_code == 303
        name = answer.headers["Location"].rpartition("/")[2]
        assert name.startswith("typed-")
        assert world.runtime.executions.wait(name, timeout=60).output["status"] == "SUCCEEDED"


def test_every_fault_of_a_request_is_told_beside_its_line(browser: FlaskClient, world: ConsoleWorld) -> None:
    before = len(list(world.runtime.executions.list()))
    csrf = csrf_of(browser.get("/start").text)
    values = '"valuations": [{"date": "2024-02-31", "value": "x"}]'
    text = f'{{\n "portfolios": [\n  {{"portfolio_id": "a",\n   {values}}}\n ],\n "rebalance": 1\n}}'
    answer = post(browser, "/start", csrf=csrf, request=text)
    assert answer.status_code == 400
    for path, line in (("[0].date", 4), ("[0].value", 4), ("$.rebalance", 6)):
        assert re.search(rf'data-line="{line}">Line {line}</button> <code>[^<]*{re.escape(path)}</code>', answer.text)
    assert "2024-02-31" in answer.text  # what was written is there still
    assert len(list(world.runtime.executions.list())) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [("{,}", "line 1, column 2"), ("", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[]", "must be an object")],
)
def test_what_is_no_request_is_told(browser: FlaskClient, text: str, words: str) -> None:
    answer = post(browser, "/start", csrf=csrf_of(browser.get("/start").text), request=text)
    assert answer.status_code == 400
    assert words in answer.text


def test_a_file_that_is_no_text_is_told(browser: FlaskClient) -> None:
    csrf = csrf_of(browser.get("/start").text)
    answer = post(browser, "/start", csrf=csrf, file=(BytesIO(b"\xff\xfe\x00"), "request.json"))
    assert (answer.status_code, "not UTF-8" in answer.text) == (400, True)


# What the pages say


def test_the_list_tells_the_real_runs(browser: FlaskClient, world: ConsoleWorld) -> None:
    page = browser.get("/").text
    for execution in (world.good, world.failed, world.mixed):
        assert f'<a href="{at(execution.arn)}">{execution.name}</a>' in page
    failed = browser.get("/?status=FAILED&text=FAILED-").text
    assert world.failed.name in failed
    assert world.good.name not in failed
    assert "No execution is like that" in browser.get("/?text=nothing-of-this-name").text
    assert "<html" not in browser.get("/?part=1").text


def test_an_empty_world_says_how_to_begin() -> None:
    page = let_in(TellingClient().console).get("/").text
    assert "Nothing has been run yet" in page
    assert "perfcalc run examples/single.json" in page


def test_the_graph_of_a_real_run_has_its_states_and_their_colours(browser: FlaskClient, world: ConsoleWorld) -> None:
    told = json.loads(browser.get(at(world.mixed.arn, "/graph.json")).text)
    assert told["nodes"]["PersistDynamoDB"]["status"] == "retried"
    assert told["nodes"]["PersistDynamoDB"]["retries"] == 2
    assert told["nodes"]["CalculatePortfolio"]["counts"] == {"succeeded": 2, "caught": 1}
    assert told["nodes"]["CalculatePortfolios"]["iterations"]["total"] == 3
    assert "CalculatePortfolios" in {node["name"] for node in told["scope"]["nodes"]}
    assert ["ValidateInput", "CalculatePortfolios"] in told["taken"]


def test_the_head_of_a_real_run_tells_its_failures(browser: FlaskClient, world: ConsoleWorld) -> None:
    page = browser.get(at(world.mixed.arn)).text
    assert "Partial" in page
    assert "1 could not be calculated" in page
    assert "there is no such object" in page
    assert "data-changing" not in page
    failed = browser.get(at(world.failed.arn)).text
    assert "AllPortfoliosFailed" in failed


def test_a_step_tells_its_attempts_input_and_output(browser: FlaskClient, world: ConsoleWorld) -> None:
    page = browser.get(at(world.mixed.arn, "/states/PersistDynamoDB")).text
    assert "Succeeded after retry" in page
    assert page.count("<strong>ThrottledError</strong>") == 2
    assert "&lt;b&gt;slow&lt;/b&gt;" in page
    href = re.search(r'href="([^"]*/steps/\d+/input\.json)"', page)
    assert href is not None
    answer = browser.get(href[1])
    assert len(json.loads(answer.text)["entities"]) == 3
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")


def test_a_state_that_was_entered_often_tells_each_time(browser: FlaskClient, world: ConsoleWorld) -> None:
    page = browser.get(at(world.mixed.arn, "/states/CalculatePortfolio?part=1")).text
    assert "Entered 3 times" in page
    assert page.index("#2 p-broken") < page.index("#0 p-0")
    assert "has not been reached" in browser.get(at(world.mixed.arn, "/states/RecordCrash")).text


def test_input_output_and_definition_are_downloads(browser: FlaskClient, world: ConsoleWorld) -> None:
    assert json.loads(browser.get(at(world.mixed.arn, "/input.json")).text) == world.mixed.input
    assert json.loads(browser.get(at(world.mixed.arn, "/output.json")).text) == world.mixed.output
    assert browser.get(at(world.failed.arn, "/output.json")).status_code == 404
    definition = browser.get(at(world.mixed.arn, "/definition.json"))
    assert json.loads(definition.text)["StartAt"] == "ValidateInput"
    assert "performance-calculation.asl.json" in definition.headers["Content-Disposition"]
    assert "The linter finds no faults" in browser.get(at(world.mixed.arn, "/definition")).text


def test_an_execution_without_an_output_says_that_there_is_none(browser: FlaskClient, world: ConsoleWorld) -> None:
    answer = browser.get(at(world.failed.arn, "/data"))
    assert answer.status_code == 200
    assert "There is none." in answer.text
    assert "output.json" not in answer.text
    assert "&#34;request_id&#34;: &#34;failed&#34;" in answer.text


def test_a_faulty_definition_is_told_with_its_paths(telling: TellingClient) -> None:
    telling.definition = '{"StartAt": "B", "States": {"A": {"Type": "Pass", "End": true}}}'
    page = let_in(telling.console).get(f"{E}/definition").text
    assert "<code>$.StartAt</code>" in page


def test_what_is_new_is_told_until_there_is_no_more(telling: TellingClient) -> None:
    events = map_history(3)
    arn = telling.add("runs", events[:10], status="RUNNING", stopDate=None, output=None)
    client = let_in(telling.console)
    page = client.get("/executions/calculation/runs").text
    assert "data-changing" in page
    first = json.loads(client.get("/executions/calculation/runs/live.json?graph=1").text)
    assert (first["changing"], first["nodes"]["Each"]["status"]) == (True, "running")
    telling.histories[arn] = events
    telling.executions[arn] |= {"status": "SUCCEEDED", "stopDate": BEGIN, "output": "{}"}
    last = json.loads(client.get("/executions/calculation/runs/live.json?graph=1").text)
    assert (last["changing"], last["nodes"]["Each"]["status"]) == (False, "succeeded")
    assert last["version"] != first["version"]
    assert "Run again" in last["actions"]
    assert "nodes" not in json.loads(client.get("/executions/calculation/runs/live.json").text)


def test_what_somebody_else_has_redriven_is_read_anew(telling: TellingClient) -> None:
    tell = Telling()
    step = tell("TaskStateEntered", tell("ExecutionStarted", 0), {"name": "A"})
    tell("ExecutionFailed", step, {"error": "Broken"})
    arn = telling.add("broke", tell.events, status="FAILED", output=None)
    client = let_in(telling.console)
    client.get("/executions/calculation/broke")
    tell("ExecutionRedriven", 3, {})
    telling.histories[arn] = tell.events
    telling.executions[arn] |= {"status": "RUNNING"}
    told = json.loads(client.get("/executions/calculation/broke/live.json?graph=1").text)
    assert told["nodes"]["A"]["status"] == "running"


def test_a_map_of_3500_iterations_is_shown_page_by_page() -> None:
    telling = TellingClient()
    telling.add("one", map_history(3500, failing=[3499]))
    client = let_in(telling.console)
    while "reading on" in client.get(E).text:
        pass
    calls = len(telling.calls)
    events = client.get(f"{E}/events?page=246").text
    assert "24,501 to 24,506 of 24,506" in events
    assert "Page 246 of 246" in events
    caught = client.get(f"{E}/steps?status=caught").text
    assert "#3499 p-3499" in caught
    assert len(client.get(f"{E}/steps?page=2").text) < 150_000
    timeline = json.loads(client.get(f"{E}/timeline.json").text)
    assert len(timeline["rows"]) < 10
    assert sum(len(row["bars"]) for row in timeline["rows"]) == 3501
    # None of it was read again: each page asks how the execution is, and no more.
    assert set(telling.calls[calls:]) == {"DescribeExecution"}


@pytest.mark.parametrize("page", ["0", "-3", "9999", "x", ""])
def test_a_page_that_is_none_is_the_nearest(telling: TellingClient, page: str) -> None:
    client = let_in(telling.console)
    for view in ("steps", "events"):
        assert client.get(f"{E}/{view}?page={page}").status_code == 200


@pytest.mark.parametrize("name", ["endpoint", "_external", "_anchor", "view", "filters", "self", "page", "part"])
def test_an_address_with_names_of_its_own_is_no_error(telling: TellingClient, name: str) -> None:
    client = let_in(telling.console)
    for path in ("/", f"{E}/steps", f"{E}/events"):
        answer = client.get(path, query_string={name: "x", "text": "p-1"})
        assert answer.status_code == 200


def test_an_event_is_shown_whole(telling: TellingClient) -> None:
    client = let_in(telling.console)
    page = client.get(f"{E}/events/5?part=1").text
    assert "&#34;entity_id&#34;: &#34;p-0&#34;" in page  # JSON in JSON, unfolded
    assert "<html" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/executions/calculation/none",
        "/executions/other/one",
        f"{E}/steps/99999",
        f"{E}/steps/1",
        f"{E}/steps/2/secret.json",
        f"{E}/events/99999",
        f"{E}/secret.json",
        "/map-runs/other/Batches/1",
        "/portfolios/portfolio/p-1",
        "/portfolios/files/report.css",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
    ],
)
def test_what_is_not_there_is_404_in_words(telling: TellingClient, path: str) -> None:
    answer = let_in(telling.console).get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("ThrottlingException", 503, "A service does not answer"),
        ("AccessDeniedException", 502, "A service refused"),
    ],
)
def test_what_the_service_refuses_is_told_in_words(telling: TellingClient, code: str, status: int, words: str) -> None:
    client = let_in(telling.console)
    telling.error = code
    for path in ("/", E, f"{E}/definition"):
        answer = client.get(path)
        assert answer.status_code == status
        assert words in answer.text
    answer = client.get(f"{E}/live.json", headers={"Accept": "application/json"})
    assert answer.status_code == status
    assert code in json.loads(answer.text)["error"]


# Everything is escaped


def test_what_comes_from_outside_is_text_and_nothing_else() -> None:
    telling = TellingClient()
    tell = Telling()
    at_ = tell("TaskStateEntered", tell("ExecutionStarted", 0), {"name": HOSTILE, "input": json.dumps(HOSTILE)})
    at_ = tell("TaskScheduled", at_, {"resource": HOSTILE, "resourceType": HOSTILE})
    at_ = tell("TaskFailed", at_, {"error": HOSTILE, "cause": json.dumps({"errorMessage": HOSTILE})})
    tell("ExecutionFailed", at_, {"error": HOSTILE, "cause": HOSTILE})
    failure = {"entity_type": HOSTILE, "entity_id": HOSTILE, "error": HOSTILE, "message": HOSTILE}
    output = json.dumps({"failures": [failure], "status": "PARTIAL", "calculated": HOSTILE, "failed": HOSTILE})
    name = HOSTILE.replace("/", "")
    telling.add(
        name, tell.events, status="FAILED", error=HOSTILE, cause=HOSTILE, input=json.dumps(HOSTILE), output=output
    )
    telling.definition = json.dumps({"StartAt": HOSTILE, "States": {HOSTILE: {"Type": HOSTILE, "Comment": HOSTILE}}})
    client: Any = telling
    browser = let_in(Console(client, state_machines([MACHINE_ARN]), HOSTILE, portfolios=Results()))
    page = browser.get("/").text
    found = re.search(r'<a href="(/executions/calculation/[^"]+)"', page)
    assert found is not None
    href = unescape(found[1])
    views = [
        "",
        "/steps",
        "/events",
        "/events/2",
        "/steps/2",
        "/data",
        "/definition",
        "/timeline",
        f"/states/{quote(HOSTILE)}",
    ]
    answers = [browser.get(f"{href}{view}") for view in views]
    assert {answer.status_code for answer in answers} == {200}
    pages = [page, *(answer.text for answer in answers)]
    pages += [browser.get("/", query_string={"text": HOSTILE, "machine": HOSTILE}).text]
    pages += [
        browser.get(f"{href}/{view}", query_string={"text": HOSTILE, "type": HOSTILE, "state": HOSTILE}).text
        for view in ("events", "steps")
    ]
    pages += [browser.get("/portfolios").text, browser.get("/portfolios", query_string={"text": HOSTILE}).text]
    for text in pages:
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
    answer = browser.get(f"{href}/input.json")
    assert answer.mimetype == "application/json"


# Portfolios


class Results:
    """Results of one portfolio."""

    most_compared = 8

    def entities(self, text: str, number: int) -> EntityPage:
        every = [PortfolioLink("portfolio", HOSTILE, HOSTILE, HOSTILE), PortfolioLink("portfolio", "p/1")]
        return EntityPage(page_of([each for each in every if text in each.entity_id], number), True)

    def page(self, entity_type: str, entity_id: str, *, as_of: date | None) -> PortfolioPage | None:
        if (entity_type, entity_id) != ("portfolio", "p/1"):
            return None
        return PortfolioPage(f"{HOSTILE} {as_of}", '<main class="report">12.3 %</main>')

    def comparison(self, entities: Sequence[EntityName], *, as_of: date | None) -> PortfolioPage:
        raise AssertionError("nothing of these tests compares")

    def files(self) -> Mapping[str, PageFile]:
        return {"report.css": PageFile("text/css", "a{}"), "report.js": PageFile("text/javascript", "1")}


def test_pages_of_results_stand_in_the_console_s_frame(telling: TellingClient) -> None:
    client: Any = telling
    browser = let_in(Console(client, state_machines([MACHINE_ARN]), "a test", portfolios=Results()))
    assert 'href="/portfolios/portfolio/p/1"' in browser.get("/portfolios").text
    answer = browser.get("/portfolios/portfolio/p/1?as_of=2024-03-29")
    assert '<main class="report">12.3 %</main>' in answer.text
    assert answer.text.count("<main") == 1
    assert "2024-03-29</title>" not in answer.text
    assert "&lt;img" in answer.text
    assert "<img src=x" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert browser.get("/portfolios/files/report.css").mimetype == "text/css"
    assert browser.get("/portfolios/portfolio/none").status_code == 404
    assert "Nothing is called that" in browser.get("/portfolios?text=none").text


@pytest.mark.parametrize("entity_id", ["p/1", "../../etc/passwd", "./p", "a//b", "/p", "p/", "%2e%2e/p", "p?q=1#r"])
def test_every_id_has_an_address_that_a_browser_leaves_as_it_is(telling: TellingClient, entity_id: str) -> None:
    class Named(Results):
        def entities(self, text: str, number: int) -> EntityPage:
            return EntityPage(page_of([PortfolioLink("portfolio", entity_id)], number), True)

        def page(self, entity_type: str, entity_id: str, *, as_of: date | None) -> PortfolioPage:
            return PortfolioPage("a portfolio", f'<main class="report">{entity_id}</main>')

    client: Any = telling
    browser = let_in(Console(client, state_machines([MACHINE_ARN]), "a test", portfolios=Named()))
    (address,) = re.findall(r'href="(/portfolios/portfolio/[^"]+)"', browser.get("/portfolios").text)
    answer = browser.get(urljoin("http://127.0.0.1:8080/portfolios", unescape(address)))
    assert answer.status_code == 200
    assert f'<main class="report">{entity_id}</main>' in answer.text


def test_without_results_the_pages_say_so(telling: TellingClient) -> None:
    client = let_in(telling.console)
    assert "No results are available here" in client.get("/portfolios").text


# Map Runs


def test_the_map_runs_of_a_distributed_map_and_their_executions(telling: TellingClient) -> None:
    run = MACHINE_ARN.replace(":stateMachine:", ":mapRun:") + "/Batches:r-1"
    counts = dict.fromkeys(
        ("total", "succeeded", "failed", "running", "pending", "aborted", "timedOut", "resultsWritten"), 0
    )
    telling.map_runs[run] = {
        "mapRunArn": run,
        "status": "RUNNING",
        "startDate": BEGIN,
        "maxConcurrency": 40,
        "toleratedFailureCount": 0,
        "toleratedFailurePercentage": 100.0,
        "itemCounts": counts | {"total": 2000, "succeeded": 1234},
        "executionCounts": counts,
    }
    child = MACHINE_ARN.replace(":stateMachine:", ":execution:") + "/Batches:c-1"
    telling.children = [{"executionArn": child, "name": "c-1", "status": "RUNNING", "startDate": BEGIN}]
    telling.executions[child] = {**telling.children[0], "stateMachineArn": MACHINE_ARN, "input": "{}"}
    telling.histories[child] = map_history(1)
    tell = Telling()
    step = tell("MapStateEntered", tell("ExecutionStarted", 0), {"name": "Batches"})
    tell("MapRunStarted", step, {"mapRunArn": run})
    telling.add("fleet", tell.events, status="RUNNING", stopDate=None, output=None)
    telling.definition = json.dumps({"StartAt": "Batches", "States": {"Batches": {"Type": "Map", "End": True}}})
    client = let_in(telling.console)
    told = json.loads(client.get("/executions/calculation/fleet/graph.json").text)
    assert told["nodes"]["Batches"]["iterations"]["succeeded"] == 1234
    assert "Map Run Batches</a>, running" in client.get("/executions/calculation/fleet/steps/2").text
    assert "Map Runs" not in client.get(E).text
    page = client.get("/executions/calculation/fleet/map-runs").text
    assert "1,234" in page
    assert 'href="/map-runs/calculation/Batches/r-1"' in page
    page = client.get("/map-runs/calculation/Batches/r-1?status=RUNNING").text
    assert 'href="/children/calculation/Batches/c-1"' in page
    page = client.get("/children/calculation/Batches/c-1").text
    assert "Run again" not in page
    assert "/children/calculation/Batches/c-1/events" in page


def test_a_map_run_that_is_forgotten_is_told(telling: TellingClient) -> None:
    run = MACHINE_ARN.replace(":stateMachine:", ":mapRun:") + "/Batches:r-1"
    tell = Telling()
    step = tell("MapStateEntered", tell("ExecutionStarted", 0), {"name": "Batches"})
    tell("MapRunStarted", step, {"mapRunArn": run})
    telling.add("fleet", tell.events)
    client = let_in(telling.console)
    page = client.get("/executions/calculation/fleet/map-runs")
    assert (page.status_code, "Nothing more is known of run r-1" in page.text) == (200, True)
    told = json.loads(client.get("/executions/calculation/fleet/graph.json").text)
    assert told["nodes"]["Batches"]["iterations"] is None
    assert client.get("/map-runs/calculation/Batches/r-1").status_code == 404


# The server


def test_the_server_answers_on_the_loopback_and_to_its_token_alone(telling: TellingClient) -> None:
    with ConsoleServer(telling.console) as server:
        assert server.url.startswith("http://127.0.0.1:")
        with pytest.raises(HTTPError) as refused:
            urlopen(server.origin)
        refused.value.close()
        assert refused.value.code == 403
        once = server.url_for_once()
        assert server.url.partition("token=")[2] not in once
        with build_opener(HTTPCookieProcessor()).open(server.url) as answer:
            assert answer.url == f"{server.origin}/"
            assert b"one" in answer.read()
        with build_opener(HTTPCookieProcessor()).open(once) as answer:
            assert answer.url == f"{server.origin}/"
        with pytest.raises(HTTPError) as too_late:
            urlopen(once)
        too_late.value.close()
        assert too_late.value.code == 403
        port = int(server.origin.rpartition(":")[2])
        with pytest.raises(PortInUseError, match="in use"):
            ConsoleServer(telling.console, port=port)


def test_two_consoles_have_tokens_of_their_own(telling: TellingClient) -> None:
    with ConsoleServer(telling.console) as one, ConsoleServer(telling.console) as other:
        assert one.url.partition("token=")[2] != other.url.partition("token=")[2]
