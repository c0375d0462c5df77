"""The console in a real browser: a run is started, watched to its end, and looked into."""

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.conftest import LAPTOP, PHONE
from tests.console import TellingClient, map_history
from tests.workflow.test_performance_calculation import BROKEN, ThrottledError, request
from workflows.console.console import Console
from workflows.console.references import state_machines
from workflows.console.server import ConsoleServer
from workflows.executions import Execution
from workflows.local.lambda_host import Injected
from workflows.local.runtime import LocalRuntime
from workflows.staging import check, stage

pytestmark = pytest.mark.xdist_group("browser")

MILLISECONDS = 30_000
expect.set_options(timeout=MILLISECONDS)


@dataclass
class Watched:
    """A console over a local world, in which a portfolio called `waits` is calculated when a test says so."""

    runtime: LocalRuntime
    go_on: threading.Event
    server: ConsoleServer

    def run(self, document: dict[str, Any]) -> Execution:
        return self.runtime.executions.wait(self.runtime.executions.start_or_attach(document).name, timeout=120)

    def address(self, execution: Execution, view: str = "") -> str:
        return f"{self.server.origin}/executions/performance-calculation/{execution.name}{view}"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    go_on, throttled = threading.Event(), set[str]()

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if name == "CalculatePortfolio" and event["entity"]["entity_id"] == "waits":
            go_on.wait(60)
        if name == "PersistDynamoDB" and event["run"]["execution_name"] not in throttled:
            throttled.add(event["run"]["execution_name"])
            return ThrottledError("DynamoDB: slow down")
        return None

    with LocalRuntime(tmp_path_factory.mktemp("console"), faults=fault, retry_delay_scale=0.001) as runtime:

        def start(document: Any) -> str:
            staged = stage(check(document, Path.cwd()), Path.cwd(), runtime.payload_store, runtime.payload_bucket)
            return runtime.executions.start_or_attach(staged.request).arn

        arns = [runtime.executions.state_machine_arn]
        shown = Console(boto3.client("stepfunctions"), state_machines(arns), "a test", start)
        with ConsoleServer(shown) as server:
            yield Watched(runtime, go_on, server)
            go_on.set()


@dataclass
class Complaints:
    """What a page's scripts complained about."""

    told: list[str] = field(default_factory=list)

    def hear(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.told.append(str(error)))
        page.on("console", self._console)

    def _console(self, message: ConsoleMessage) -> None:
        # A page that is refused, as some are on purpose, is told too.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self.told.append(message.text)


@pytest.fixture
def page(chromium: Browser, watched: Watched) -> Iterator[Page]:
    context = chromium.new_context(viewport=LAPTOP, color_scheme="light")  # type: ignore[arg-type]  # a TypedDict
    yield from opened(context.new_page(), watched.server.url)
    context.close()


@pytest.fixture
def phone(chromium: Browser, watched: Watched) -> Iterator[Page]:
    context = chromium.new_context(viewport=PHONE, has_touch=True)  # type: ignore[arg-type]  # a TypedDict
    yield from opened(context.new_page(), watched.server.url)
    context.close()


def opened(page: Page, url: str) -> Iterator[Page]:
    complaints = Complaints()
    complaints.hear(page)
    page.set_default_timeout(MILLISECONDS)
    page.goto(url)
    assert "token" not in page.url
    yield page
    # A blocked script or style would be told here: nothing of the pages breaks their own policy.
    assert complaints.told == []


@pytest.fixture(scope="module")
def mixed(watched: Watched) -> Execution:
    return watched.run(request(request_id="mixed", portfolios=[*request(3)["portfolios"], BROKEN]))


def state(page: Page, name: str) -> Any:
    return page.locator(f'g[data-state="{name}"]')


def of_status(status: str) -> re.Pattern[str]:
    return re.compile(rf"\bs-{status}\b")


def test_a_run_is_started_watched_to_its_end_and_looked_into(page: Page, watched: Watched) -> None:
    waits = {**request(1)["portfolios"][0], "portfolio_id": "waits"}
    document = request(request_id="watched", portfolios=[*request(2)["portfolios"], waits, BROKEN])

    page.get_by_role("link", name="Start", exact=True).click()
    page.get_by_label("Request").fill('{"portfolios": 1}')
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("$.portfolios")
    page.get_by_label("Request").fill(json.dumps(document))
    page.get_by_role("button", name="Start", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("watched-")
    expect(state(page, "ValidateInput")).to_have_class(of_status("succeeded"))
    expect(state(page, "CalculatePortfolios")).to_have_class(of_status("running"))
    expect(state(page, "CalculatePortfolios").first).to_contain_text("3 of 4, 1 running, 1 caught")
    expect(state(page, "PersistDynamoDB")).to_have_class(of_status("not-reached"))
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    watched.go_on.set()
    expect(page.locator("#head .chip").first).to_have_text("Succeeded")
    expect(page.locator("#head")).to_contain_text("Partial")
    expect(state(page, "Partial")).to_have_class(of_status("succeeded"))
    expect(state(page, "PersistDynamoDB")).to_have_class(of_status("retried"))
    expect(state(page, "RecordCrash")).to_have_class(of_status("not-reached"))
    expect(page.get_by_role("button", name="Run the failures again")).to_be_visible()

    # The step that failed, and why.
    state(page, "CalculatePortfolio").click()
    panel = page.locator("#panel")
    expect(panel).to_contain_text("Entered 4 times")
    panel.get_by_role("link", name="#3 p-broken").click()
    expect(panel).to_contain_text("InputNotFoundError")
    expect(panel).to_contain_text("there is no such object")

    page.get_by_role("navigation", name="Views").get_by_role("link", name="Events").click()
    page.wait_for_load_state("domcontentloaded")  # its scripts have run
    page.get_by_label("Type").select_option("Failures")
    expect(page.locator("table.events tbody tr")).to_have_count(2)
    page.locator("table.events summary").first.click()
    expect(page.locator("table.events pre").first).to_contain_text("errorMessage")

    page.get_by_role("link", name="Input and output").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert json.loads(download.value.path().read_text())["request_id"] == "watched"


@pytest.mark.slow
def test_the_failures_are_run_again_after_a_question(page: Page, watched: Watched, mixed: Execution) -> None:
    page.goto(watched.address(mixed))
    page.get_by_role("button", name="Run the failures again").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("the 1 that failed")
    expect(question.get_by_role("button", name="Start it")).to_be_focused()
    question.get_by_role("button", name="Cancel").click()
    expect(question).to_be_hidden()
    page.get_by_role("button", name="Run the failures again").click()
    page.get_by_role("button", name="Start it").click()
    expect(page.locator("#head .chip").first).to_have_text("Failed")
    expect(state(page, "AllFailed")).to_have_class(of_status("failed"))


@pytest.mark.slow
def test_the_graph_is_walked_by_keyboard(page: Page, watched: Watched, mixed: Execution) -> None:
    page.goto(watched.address(mixed))
    expect(state(page, "Partial")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.state"):
            break
    expect(state(page, "ValidateInput")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(state(page, "CalculatePortfolio")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(state(page, "CalculatePortfolio")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_focused()
    expect(page.locator("#panel")).to_contain_text("Entered 4 times")
    page.keyboard.press("Escape")
    expect(state(page, "CalculatePortfolio")).to_be_focused()


@pytest.mark.slow
def test_the_theme_follows_the_system_until_it_is_switched(chromium: Browser, watched: Watched) -> None:
    for scheme, other in (("light", "dark"), ("dark", "light")):
        context = chromium.new_context(viewport=LAPTOP, color_scheme=scheme)  # type: ignore[arg-type]  # see above
        for page in opened(context.new_page(), watched.server.url):
            background = "getComputedStyle(document.documentElement).backgroundColor"
            before = page.evaluate(background)
            page.get_by_role("button", name="Switch between light and dark").click()
            after = page.evaluate(background)
            assert before != after
            page.reload()
            assert page.evaluate(background) == after
            assert page.evaluate("document.documentElement.dataset.theme") == other
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize("view", ["", "/steps", "/events", "/timeline", "/data", "/definition"])
def test_no_page_is_wider_than_a_phone(phone: Page, watched: Watched, mixed: Execution, view: str) -> None:
    for path in (watched.address(mixed, view), f"{watched.server.origin}/", f"{watched.server.origin}/start"):
        phone.goto(path)
        phone.wait_for_load_state("networkidle")
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.slow
def test_the_timeline_tells_its_bars_and_opens_them(page: Page, watched: Watched, mixed: Execution) -> None:
    page.goto(watched.address(mixed, "/timeline"))
    page.locator("#timeline canvas").wait_for()
    page.locator("#timeline").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#bar")).to_contain_text("ValidateInput: Succeeded")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#bar")).to_contain_text("CalculatePortfolios")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#bar")).to_contain_text("#")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_have_text("CalculatePortfolio")


@pytest.mark.slow
def test_the_list_shows_what_is_new_by_itself(page: Page, watched: Watched) -> None:
    page.goto(watched.server.origin)
    execution = watched.run(request(1, request_id="came-later"))
    expect(page.get_by_role("link", name=execution.name)).to_be_visible()


@pytest.mark.slow
def test_a_console_that_is_gone_is_told(chromium: Browser) -> None:
    client = TellingClient()
    client.add("one", map_history(2)[:5], status="RUNNING", stopDate=None, output=None)
    context = chromium.new_context(viewport=LAPTOP)  # type: ignore[arg-type]  # a TypedDict
    page = context.new_page()
    with ConsoleServer(client.console) as server:
        page.goto(server.url)
        page.get_by_role("link", name="one").click()
        expect(page.locator("#head .chip")).to_have_text("Running")
        client.error = "ThrottlingException"
        expect(page.locator("#trouble")).to_contain_text("ThrottlingException")
        client.error = None
        expect(page.locator("#trouble")).to_be_hidden()
    expect(page.locator("#trouble")).to_contain_text("does not answer")
    context.close()


@pytest.mark.slow
def test_thousands_of_iterations_and_executions_stay_smooth(chromium: Browser) -> None:
    client = TellingClient(definition=json.dumps(MAP))
    client.add("big", map_history(3500, failing=[3, 3499]))
    for number in range(10_000):
        client.add(f"run-{number:05}")
    context = chromium.new_context(viewport=LAPTOP)  # type: ignore[arg-type]  # a TypedDict
    page = context.new_page()
    with ConsoleServer(client.console) as server:
        page.goto(server.url)
        page.get_by_role("link", name="Older").click()
        expect(page.get_by_role("link", name="run-09949")).to_be_visible()
        page.get_by_label("Name contains").fill("big")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Older").click()  # it is the 10,001st
        page.get_by_role("link", name="big").click()
        expect(state(page, "Each").first).to_contain_text("3,500 of 3,500, 2 caught")
        page.get_by_role("link", name="Timeline").click()
        page.locator("#timeline canvas").wait_for()
        # Frames while the timeline is zoomed and scrolled: each must be done well within a tenth of a second.
        for _ in range(6):
            page.get_by_role("button", name="Longer").click()
        slowest = page.evaluate(
            """async () => {
                const box = document.getElementById("timeline");
                let worst = 0;
                for (let at = 0; at < 40; at += 1) {
                    const began = performance.now();
                    box.scrollLeft = at * 200;
                    box.dispatchEvent(new Event("scroll"));
                    worst = Math.max(worst, performance.now() - began);
                    await new Promise(requestAnimationFrame);
                }
                return worst;
            }"""
        )
        assert slowest < 100
        page.get_by_role("link", name="Events").click()
        page.get_by_role("link", name="Last").click()
        expect(page.locator("table.events tbody tr").last).to_contain_text("ExecutionSucceeded")
        assert page.evaluate("document.querySelectorAll('*').length") < 3000
    context.close()


MAP = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemProcessor": {
                "StartAt": "Work",
                "States": {"Work": {"Type": "Task", "Resource": "${Work}", "End": True}},
            },
            "End": True,
        }
    },
}
