"""Reports as a browser shows them: drawn, offline, without an error, in both themes, on a phone and on paper."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.unit.reporting_world import request
from tests.unit.test_presentation import row
from workflows.reporting import compare, fleet, page, portfolio
from workflows.reporting.rendering import png
from workflows.reporting.sources import from_request
from workflows.reporting.theme import ROLES

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
# A4 without the margins.
PAPER = 703
NAME = "growth<b>&\"'"
# A chart that was drawn has at least this many marks: lines, points, bars, labels.
LEAST_MARKS = 10

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a report of each kind."""
    place = tmp_path_factory.mktemp("reports")
    found = from_request(request(NAME, "other", count=700), Path(), [])
    rows = [row(f"p{index}", warnings=["empty_account"]) for index in range(40)]
    failure = {"entity_type": "portfolio", "entity_id": NAME, "error": "InvalidPortfolioError", "message": NAME}
    documents = {
        "portfolio": page.document(portfolio.build(found[0])),
        "compare": page.document(compare.build(found)),
        "fleet": page.document(fleet.build(fleet.summarise(rows, [failure]), NAME, "PARTIAL")),
    }
    for kind, document in documents.items():
        (place / f"{kind}.html").write_text(document)
    return {kind: place / f"{kind}.html" for kind in documents}


class Opened:
    """A report in a tab, with everything the browser had to say about it."""

    def __init__(self, chromium: Browser, file: Path, **options: Any) -> None:
        self.context = chromium.new_context(accept_downloads=True, **options)
        self.context.set_offline(True)
        self.page: Page = self.context.new_page()
        self.told: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.told.append(message.text))
        self.page.on("pageerror", lambda error: self.told.append(str(error)))
        self.page.on("request", lambda asked: self.asked.append(asked.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-report-ready=true]")

    def elsewhere(self) -> list[str]:
        """Return what was asked for besides the file itself."""
        return [url for url in self.asked[1:] if not url.startswith(("data:", "blob:"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["portfolio", "compare", "fleet"])
def test_every_chart_is_drawn_without_a_network_and_without_a_complaint(
    chromium: Browser, reports: dict[str, Path], kind: str, scheme: str
) -> None:
    opened = Opened(chromium, reports[kind], viewport=DESKTOP, color_scheme=scheme)
    marks = opened.page.eval_on_selector_all(
        ".r-plot", "plots => plots.map(plot => plot.querySelectorAll('svg path, svg text').length)"
    )
    assert marks
    assert min(marks) >= LEAST_MARKS
    assert (opened.told, opened.elsewhere()) == ([], [])
    background = opened.page.eval_on_selector(".report", "found => getComputedStyle(found).backgroundColor")
    surface = ROLES["surface"][0 if scheme == "light" else 1]
    assert background == f"rgb({', '.join(str(int(surface[at : at + 2], 16)) for at in (1, 3, 5))})"
    opened.context.close()


@pytest.mark.parametrize("kind", ["portfolio", "compare", "fleet"])
def test_a_phone_scrolls_down_and_never_sideways(chromium: Browser, reports: dict[str, Path], kind: str) -> None:
    opened = Opened(chromium, reports[kind], viewport=PHONE)
    width = opened.page.evaluate("document.documentElement.scrollWidth")
    plots = opened.page.eval_on_selector_all(".r-plot svg", "all => all.map(svg => svg.getBoundingClientRect().right)")
    assert width <= PHONE["width"]
    assert max(plots) <= PHONE["width"]
    opened.context.close()


def test_the_theme_can_be_chosen_by_keyboard_and_repaints_the_charts(
    chromium: Browser, reports: dict[str, Path]
) -> None:
    opened = Opened(chromium, reports["portfolio"], viewport=DESKTOP, color_scheme="light")
    tab = opened.page
    line = ".r-plot svg path[stroke='var(--r-portfolio)']"
    before = tab.eval_on_selector(line, "found => getComputedStyle(found).stroke")
    switch = tab.locator(".r-theme")
    switch.focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    assert switch.text_content() == "Theme: dark"
    assert tab.eval_on_selector(line, "found => getComputedStyle(found).stroke") != before
    opened.context.close()


def test_charts_and_numbers_can_be_downloaded(chromium: Browser, reports: dict[str, Path], tmp_path: Path) -> None:
    opened = Opened(chromium, reports["portfolio"], viewport=DESKTOP)
    starts = {"png": b"\x89PNG", "svg": b"<svg", "csv": b"date,"}
    for kind, start in starts.items():
        with opened.page.expect_download() as waiting:
            button = f"#growth [data-save={kind}]" if kind != "csv" else "#growth a[download]"
            opened.page.click(button)
        file = tmp_path / f"growth.{kind}"
        waiting.value.save_as(file)
        assert waiting.value.suggested_filename.endswith(f"growth.{kind}")
        body = file.read_bytes()
        assert body.startswith(start)
        assert b"var(--" not in body
    assert opened.told == []
    opened.context.close()


def test_the_numbers_below_a_chart_open_by_keyboard(chromium: Browser, reports: dict[str, Path]) -> None:
    opened = Opened(chromium, reports["portfolio"], viewport=DESKTOP)
    opened.page.locator("#growth summary").focus()
    opened.page.keyboard.press("Space")
    assert opened.page.locator("#growth details table").is_visible()
    opened.context.close()


def test_paper_is_light_whatever_the_screen_is(chromium: Browser, reports: dict[str, Path]) -> None:
    opened = Opened(chromium, reports["portfolio"], viewport={"width": PAPER, "height": 1000}, color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert opened.page.eval_on_selector(".report", "found => getComputedStyle(found).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert not opened.page.locator(".r-nav").is_visible()
    right = opened.page.eval_on_selector_all("table, svg", "all => all.map(e => e.getBoundingClientRect().right)")
    assert max(right) <= PAPER
    paper = opened.page.pdf(prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    assert 2 <= paper.count(b"/Type /Page\n") <= 8
    opened.context.close()


def test_without_a_script_the_numbers_are_there(chromium: Browser, reports: dict[str, Path]) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(reports["portfolio"].as_uri())
    assert tab.locator("#periods table").is_visible()
    assert tab.locator("#growth a[download]").is_visible()
    assert not tab.locator("#growth [data-save=png]").is_visible()
    context.close()


def test_every_chart_is_an_image_without_a_browser() -> None:
    found = from_request(request("p", count=400), Path(), ["p"])
    for name, spec in portfolio.build(found[0]).charts.items():
        assert png(spec).startswith(b"\x89PNG"), name
