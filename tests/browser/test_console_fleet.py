"""A fleet run in a real browser: started, watched while its batches are calculated, its failures run again."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import LAPTOP, PHONE
from tests.browser.test_console import of_status, opened, state
from tests.console import FleetWorld, fleet_world
from tests.workflow.test_performance_calculation import request
from workflows.console.server import ConsoleServer
from workflows.local.lambda_host import Injected

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@dataclass
class Fleet:
    """A console over a world with a fleet run, in which a portfolio called `waits` waits too."""

    world: FleetWorld
    go_on: threading.Event
    server: ConsoleServer


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    go_on = threading.Event()

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if name == "CalculatePortfolio" and event["entity"]["entity_id"] == "waits":
            go_on.wait(60)
        return None

    with fleet_world(tmp_path_factory.mktemp("fleet"), fault) as world, ConsoleServer(world.console) as server:
        yield Fleet(world, go_on, server)
        go_on.set()


def test_a_fleet_run_is_started_watched_and_its_failures_run_again(chromium: Browser, fleet: Fleet) -> None:
    waits = {**request(1)["portfolios"][0], "portfolio_id": "waits"}
    manifest = fleet.world.manifest.parent / "waits.jsonl"
    manifest.write_text(f"{fleet.world.manifest.read_text()}\n{json.dumps(waits)}\n")
    context = chromium.new_context(viewport=LAPTOP)  # type: ignore[arg-type]  # a TypedDict
    for page in opened(context.new_page(), fleet.server.url_for_once()):
        page.get_by_role("link", name="Start", exact=True).click()
        page.get_by_label("Request").fill('{"manifest": {"source": "none.jsonl"}}')
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("$.manifest.source")
        document = {"request_id": "watched", "manifest": {"source": str(manifest)}, "batch_size": 1}
        page.get_by_label("Request").fill(json.dumps(document))
        page.get_by_role("button", name="Start", exact=True).click()

        batches = state(page, "CalculateBatches").first
        expect(batches).to_have_class(of_status("running"))
        expect(batches.locator("> text.badge")).to_have_text("6 of 7 succeeded, 1 running")
        expect(state(page, "PersistDynamoDB")).to_have_class(of_status("in-children"))
        expect(state(page, "SummariseRun")).to_have_class(of_status("not-reached"))
        expect(page.locator("#legend-children")).to_be_visible()
        expect(page.locator("#head")).to_contain_text("7 planned: 6 succeeded, 0 failed, 1 running, 0 pending")
        fleet.go_on.set()
        expect(batches.locator("> text.badge")).to_have_text("7 of 7 succeeded")
        expect(page.locator("#head")).to_contain_text("7 planned: 7 succeeded, 0 failed, 0 not begun")

        page.locator("#head summary").click()
        expect(page.locator("#head")).to_contain_text("there is no portfolio none in the books")
        state(page, "PersistDynamoDB").click()
        expect(page.locator("#panel")).to_contain_text("run in child executions")
        batches.click(position={"x": 60, "y": 20})
        page.locator("#panel").get_by_role("link", name="All Map Runs").click()
        page.get_by_role("link", name="CalculateBatches in the graph").click()
        expect(page.locator("#panel")).to_contain_text("Map Run Batches")

        page.get_by_role("button", name="Run the failures again").click()
        expect(page.get_by_role("dialog")).to_contain_text("the 3 that failed")
        page.get_by_role("button", name="Start it").click()
        expect(page.locator("#head .chip").first).to_have_text("Failed")
        expect(page.locator("#head")).to_contain_text("None of 3 entities could be calculated")
        expect(page.get_by_role("button", name="Run the failures again")).to_be_visible()

        page.get_by_role("link", name="Portfolios", exact=True).click()
        expect(page.get_by_role("link", name="waits")).to_be_visible()
        page.get_by_label("Id or name contains").fill("P-4")
        page.keyboard.press("Enter")
        expect(page.locator("table.lines tbody tr")).to_have_count(1)
        page.get_by_role("link", name="p-4").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("p-4")
    context.close()


@pytest.mark.parametrize("view", ["", "/failures", "/map-runs", "/steps"])
def test_no_page_of_a_fleet_run_is_wider_than_a_phone(chromium: Browser, fleet: Fleet, view: str) -> None:
    context = chromium.new_context(viewport=PHONE, has_touch=True)  # type: ignore[arg-type]  # a TypedDict
    for page in opened(context.new_page(), fleet.server.url):
        here = f"{fleet.server.origin}/executions/performance-fleet/{fleet.world.mixed.name}{view}"
        for path in (here, f"{fleet.server.origin}/portfolios"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()
