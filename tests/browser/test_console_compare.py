"""Portfolios compared in a real browser: chosen in the list, page by page, with and without scripts, and looked at."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from common.models.books import BookEntityType, DayValue, Entity, SeriesKind
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.browser.conftest import LAPTOP, PHONE
from tests.browser.test_console import opened
from tests.console import MACHINE_ARN, TellingClient
from tests.unit.reporting_world import business_days, values
from workflows.console.console import Console
from workflows.console.events import PAGE_LINES
from workflows.console.ports import EntityPage
from workflows.console.references import state_machines
from workflows.console.results import StoredResults
from workflows.console.server import ConsoleServer

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

# The first of the list, and one of its last page with everything in its id that an address has to quote.
FIRST, LAST = "a-first", "z/<b>last?&\"'+%41"
LONG = [f"fund-of-a-long-name-{number}" for number in range(6)]
# A chart that was drawn has at least this many marks: lines, points, labels.
LEAST_MARKS = 10


class Nothing:
    """Executions of which there are none."""

    def list(self, **_: Any) -> Sequence[Any]:
        """Return none."""
        return ()


class Growing(StoredResults):
    """Results whose list is longer at the second look, which is not had before a test says so."""

    def __init__(self, books: InMemoryBooks) -> None:
        nothing: Any = Nothing()
        # A list that is read for no time at all is read one part at a time.
        super().__init__(InMemoryResultStore(), books, nothing, nothing, nothing, read_seconds=0.0)
        self.go_on = threading.Event()
        self.looks = 0

    def entities(self, text: str, number: int) -> EntityPage:
        """Return a page, the first at once."""
        self.looks += 1
        if self.looks > 1:
            self.go_on.wait(60)
        return super().entities(text, number)


@contextmanager
def serving(names: Sequence[str], *, unvalued: int, accounts: int = 0) -> Iterator[tuple[ConsoleServer, Growing]]:
    """Serve books of portfolios with a history, of others without, and of accounts."""
    books = InMemoryBooks()
    for index, name in enumerate(names):
        books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name, client_id="acme", currency="EUR"))
        history = zip(business_days(300), values(300, 1_000.0 + 40.0 * index), strict=True)
        days = [DayValue(day, Decimal(str(each))) for day, each in history]
        books.write_series(SeriesKind.VALUATION, name, days)
    for number in range(unvalued):
        entity_id = f"m-{number:04}"
        books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id=entity_id, client_id="acme"))
    for number in range(accounts):
        entity_id = f"account-{number:04}"
        books.put_entity(
            Entity(entity_type=BookEntityType.ACCOUNT, entity_id=entity_id, client_id="acme", account_id=entity_id)
        )
    results, client = Growing(books), TellingClient()
    anything: Any = client
    with ConsoleServer(Console(anything, state_machines([MACHINE_ARN]), "a test", portfolios=results)) as server:
        yield server, results
        results.go_on.set()
    results.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ConsoleServer]:
    with serving([FIRST, *LONG, LAST], unvalued=PAGE_LINES) as (found, results):
        results.go_on.set()
        yield found


def box(page: Page, name: str) -> Locator:
    return page.get_by_label(f"Compare portfolio {name}", exact=True)


def chosen(page: Page) -> Locator:
    return page.locator("input[name=entity]:checked")


def test_two_of_different_pages_are_chosen_compared_and_downloaded(
    chromium: Browser, server: ConsoleServer, tmp_path: Path
) -> None:
    context = chromium.new_context(viewport=LAPTOP, accept_downloads=True)  # type: ignore[arg-type]  # a TypedDict
    for page in opened(context.new_page(), server.url):
        page.get_by_role("link", name="Portfolios", exact=True).click()
        compare = page.get_by_role("button", name="Compare", exact=True)
        expect(compare).to_be_disabled()
        box(page, FIRST).focus()
        page.keyboard.press("Space")
        expect(page.get_by_role("status").filter(has_text="1 chosen")).to_be_visible()
        page.reload()
        expect(box(page, FIRST)).to_be_checked()  # the address keeps it
        page.get_by_role("button", name="Next").click()
        elsewhere = page.get_by_role("list", name="Chosen, but not on this page")
        expect(elsewhere.get_by_label(f"portfolio {FIRST}")).to_be_checked()
        page.get_by_label("Id or name contains").fill("LAST")
        page.keyboard.press("Enter")
        expect(page.locator("table.lines tbody tr")).to_have_count(1)
        box(page, LAST).check()
        expect(page.get_by_role("status").filter(has_text="2 chosen")).to_be_visible()
        compare.focus()
        page.keyboard.press("Enter")

        page.wait_for_selector("html[data-report-ready=true]")
        expect(page.get_by_role("heading", level=1)).to_have_text("2 compared")
        marks = page.eval_on_selector_all(
            ".r-plot", "plots => plots.map(plot => plot.querySelectorAll('svg path, svg text').length)"
        )
        assert len(marks) == 2
        assert min(marks) >= LEAST_MARKS
        # The head of a column may be broken after a slash.
        expect(page.get_by_role("region", name="Return and risk side by side")).to_contain_text(LAST[2:])
        page.locator("#growth summary").click()
        expect(page.locator("#growth details table thead")).to_contain_text(LAST[2:])
        for identifier in ("growth", "drawdown", "returns", "risk", "correlation"):
            with page.expect_download() as waiting:
                page.locator(f"#{identifier} a[download]").click()
            file = tmp_path / f"{identifier}.csv"
            waiting.value.save_as(file)
            assert FIRST in file.read_text()
            assert LAST.partition('"')[0] in file.read_text()

        page.get_by_role("link", name="Choose others").click()
        expect(chosen(page)).to_have_count(2)
        expect(page.get_by_label("Id or name contains")).to_have_value("LAST")
        page.go_back()
        page.locator("nav.crumbs").get_by_role("link", name=LAST).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Portfolio {LAST}")
        page.get_by_role("link", name="Compare with others").click()
        expect(chosen(page)).to_have_count(1)
    context.close()


def test_without_scripts_it_is_the_same(chromium: Browser, server: ConsoleServer) -> None:
    context = chromium.new_context(viewport=LAPTOP, java_script_enabled=False)  # type: ignore[arg-type]  # a TypedDict
    for page in opened(context.new_page(), server.url):
        page.goto(f"{server.origin}/portfolios?text=a-first")
        box(page, FIRST).check()
        page.get_by_role("button", name="Clear").click()
        expect(page.get_by_label("Id or name contains")).to_have_value("")
        expect(chosen(page)).to_have_count(1)
        page.get_by_role("button", name="Last").click()
        box(page, LAST).check()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("2 compared")
        expect(page.locator("#returns table")).to_be_visible()
        page.get_by_role("link", name="Choose others").click()
        expect(chosen(page)).to_have_count(2)
        chosen(page).first.uncheck()
        chosen(page).first.uncheck()
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("These cannot be compared")
    context.close()


def test_what_is_chosen_outlives_the_list_being_read_anew(chromium: Browser) -> None:
    # The accounts come before all portfolios, and are read after the first thousand of them.
    context = chromium.new_context(viewport=LAPTOP)  # type: ignore[arg-type]  # a TypedDict
    with serving([], unvalued=1000, accounts=PAGE_LINES) as (server, results):
        for page in opened(context.new_page(), server.url):
            page.goto(f"{server.origin}/portfolios?entity=account/account-0001&entity=portfolio/m-0007")
            expect(page.locator("[data-reading]")).to_be_visible()
            box(page, "m-0000").check()
            box(page, "m-0001").check()
            box(page, "m-0007").uncheck()
            box(page, "m-0001").focus()
            results.go_on.set()
            expect(page.get_by_role("link", name="account-0000")).to_be_visible()
            expect(page.locator("[data-reading]")).to_have_count(0)
            expect(page.get_by_role("status").filter(has_text="3 chosen")).to_be_visible()
            assert [each.get_attribute("value") for each in chosen(page).all()] == [
                "account/account-0001",
                "portfolio/m-0000",
                "portfolio/m-0001",
            ]
            expect(page.get_by_label("portfolio m-0000", exact=True)).to_be_checked()
            page.get_by_label("portfolio m-0000", exact=True).uncheck()
            expect(page.get_by_role("status").filter(has_text="2 chosen")).to_be_visible()
            page.get_by_role("button", name="Compare", exact=True).click()
            expect(page.get_by_role("heading", level=1)).to_have_text("That cannot be shown")
            page.get_by_role("link", name="Choose again").click()
            expect(chosen(page)).to_have_count(2)
    context.close()


def test_more_than_can_be_told_apart_cannot_be_pressed_together(chromium: Browser, server: ConsoleServer) -> None:
    context = chromium.new_context(viewport=LAPTOP)  # type: ignore[arg-type]  # a TypedDict
    for page in opened(context.new_page(), server.url):
        page.goto(f"{server.origin}/portfolios")
        compare = page.get_by_role("button", name="Compare", exact=True)
        boxes = page.locator("table input[name=entity]")
        for index in range(9):
            boxes.nth(index).check()
            expect(compare).to_be_enabled() if 1 <= index < 8 else expect(compare).to_be_disabled()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_of_a_comparison_is_wider_than_a_phone(chromium: Browser, server: ConsoleServer, scheme: str) -> None:
    query = urlencode([("entity", f"portfolio/{name}") for name in (FIRST, *LONG, LAST)])
    context = chromium.new_context(viewport=PHONE, has_touch=True, color_scheme=scheme)  # type: ignore[arg-type]  # a TypedDict and a Literal
    for page in opened(context.new_page(), server.url):
        for path in (f"/portfolios?page=2&{query}", f"/compare?{query}"):
            page.goto(f"{server.origin}{path}")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        page.wait_for_selector("html[data-report-ready=true]")
        names = page.locator("#growth .r-plot svg .role-legend-label text")
        expect(names).to_have_count(8)
        right = names.evaluate_all("all => Math.max(...all.map(each => each.getBoundingClientRect().right))")
        assert right <= PHONE["width"]
    context.close()
