"""Several portfolios compared in the console: how they are chosen, what is refused, and what the page says."""

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InputNotFoundError, InvalidPortfolioError, PerformanceCalculatorError, ThrottledError
from common.models.books import BookEntityType, DayValue, Entity, SeriesKind
from common.models.kinds import EntityType
from common.models.limits import MAX_ID_CHARACTERS
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.console import MACHINE_ARN, TellingClient, let_in, stranger
from tests.unit.reporting_world import FIRST, Parsed, business_days, values
from workflows.console.comparison import NotComparableError, compared_entities
from workflows.console.console import Console
from workflows.console.events import PAGE_LINES, page_of
from workflows.console.ports import EntityName, EntityPage, PageFile, PortfolioLink, PortfolioPage
from workflows.console.references import state_machines
from workflows.console.results import StoredResults
from workflows.reporting import compare
from workflows.reporting.theme import SERIES

pytestmark = pytest.mark.xdist_group("console")

HOSTILE = "<img/src=x?onerror=alert(1)>\"'&+%41"
BOTH = [("entity", f"portfolio/{HOSTILE}"), ("entity", "account/p-0")]


class Results:
    """Results of more portfolios than a page lists, and a comparison that tells what it was asked for."""

    most_compared = 4

    def __init__(self) -> None:
        self.links = [
            PortfolioLink("account", "p-0"),
            PortfolioLink("portfolio", HOSTILE, HOSTILE),
            *(PortfolioLink("portfolio", f"p-{number}") for number in range(PAGE_LINES)),
        ]
        self.complete = True
        self.asked: list[tuple[list[EntityName], date | None]] = []
        self.error: PerformanceCalculatorError | None = None

    def entities(self, text: str, number: int) -> EntityPage:
        return EntityPage(page_of([each for each in self.links if text in each.entity_id], number), self.complete)

    def page(self, entity_type: str, entity_id: str, *, as_of: date | None) -> PortfolioPage | None:
        return PortfolioPage(entity_id, '<main class="report"></main>')

    def comparison(self, entities: Sequence[EntityName], *, as_of: date | None) -> PortfolioPage:
        self.asked.append((list(entities), as_of))
        if self.error:
            raise self.error
        return PortfolioPage(f"{HOSTILE} compared", '<main class="report">side by side</main>')

    def files(self) -> Mapping[str, PageFile]:
        return {"report.css": PageFile("text/css", "a{}"), "report.js": PageFile("text/javascript", "1")}


@pytest.fixture
def results() -> Results:
    return Results()


@pytest.fixture
def browser(results: Results) -> FlaskClient:
    client: Any = TellingClient()
    return let_in(Console(client, state_machines([MACHINE_ARN]), "a test", portfolios=results))


def asking(*entities: str, **more: str) -> str:
    return f"/compare?{urlencode([*(('entity', each) for each in entities), *more.items()])}"


def chosen_in(page: str) -> list[str]:
    """Return what the form of a list would send along, in the order of the page."""
    return [each["value"] for each in Parsed(page).all("input", name="entity") if "checked" in each]


# The page


def test_a_comparison_stands_in_the_frame_of_the_pages_of_results(browser: FlaskClient, results: Results) -> None:
    answer = browser.get("/compare", query_string=[*BOTH, ("as_of", "2024-03-29")])
    assert answer.status_code == 200
    portfolio, account = EntityName(EntityType.PORTFOLIO, HOSTILE), EntityName(EntityType.ACCOUNT, "p-0")
    assert results.asked == [([portfolio, account], date(2024, 3, 29))]
    assert answer.text.count("<main") == 1
    assert '<main class="report">side by side</main>' in answer.text
    assert (
        answer.headers["Content-Security-Policy"]
        == browser.get("/portfolios/portfolio/p-0").headers["Content-Security-Policy"]
    )
    assert "style-src 'self' 'unsafe-inline'" in answer.headers["Content-Security-Policy"]
    assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
    parsed = Parsed(answer.text)
    assert ("title", f"{HOSTILE} compared · perfcalc") in parsed.texts
    assert "<img/" not in answer.text
    assert {each["src"] for each in parsed.all("script")} >= {"/portfolios/files/report.js"}


def test_a_comparison_leads_to_each_and_back_to_the_list_with_all_of_them_chosen(browser: FlaskClient) -> None:
    page = browser.get("/compare", query_string=[*BOTH, ("as_of", "2024-03-29"), ("text", "p-")]).text
    links = [each["href"] for each in Parsed(page).all("a")]
    paths = {unquote(urlsplit(link).path) for link in links if "as_of=2024-03-29" in link}
    assert paths == {f"/portfolios/portfolio/{HOSTILE}", "/portfolios/account/p-0"}
    for link in links:
        if "as_of" in link:
            assert browser.get(link).status_code == 200
    (back,) = [link for link in links if "entity=" in link]
    assert parse_qsl(urlsplit(back).query) == [*BOTH, ("text", "p-")]
    assert chosen_in(browser.get(back).text) == ["account/p-0", f"portfolio/{HOSTILE}"]


def test_a_field_that_was_left_empty_is_none(browser: FlaskClient, results: Results) -> None:
    assert browser.get(asking("portfolio/a", "", "portfolio/b", as_of="", text="")).status_code == 200
    assert results.asked[0][1] is None


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([], ["None is chosen: a comparison needs two at least."]),
        (["portfolio/a"], ["One is chosen: a comparison needs two at least."]),
        ([f"portfolio/{name}" for name in "abcde"], ["5 are chosen: no more than 4 can be told apart in one chart."]),
        (["portfolio/a", "portfolio/a"], ["portfolio/a is chosen 2 times."]),
        (["client/a", "portfolio/b"], ["client/a: there is no kind client; there are portfolio, account, security."]),
        (["a", "portfolio/b"], ["a names nothing: one is named by its kind and id, as portfolio/acme-growth."]),
        (["/a", "portfolio/b"], ["/a: there is no kind ;"]),
        (["portfolio/", "portfolio/b"], ["portfolio/:  cannot be an id."]),
        (["portfolio/a b", "portfolio/b"], ["portfolio/a b: a b cannot be an id."]),
        ([f"portfolio/{'x' * (MAX_ID_CHARACTERS + 1)}", "portfolio/b"], ["x cannot be an id."]),
        (["fund/<b>", "nothing<i>"], ["fund/<b>: there is no kind fund", "nothing<i> names nothing"]),
    ],
)
def test_a_choice_that_cannot_be_compared_is_told_with_every_fault(
    browser: FlaskClient, results: Results, chosen: list[str], words: list[str]
) -> None:
    answer = browser.get(asking(*chosen))
    assert answer.status_code == 400
    parsed = Parsed(answer.text)
    assert ("h1", "These cannot be compared") in parsed.texts
    (told,) = [text for tag, text in parsed.texts if tag == "p" and text.strip() and not text.startswith("Choose")]
    for each in words:
        assert each in told
    assert len(told.splitlines()) == len(words)
    assert "<b>" not in answer.text
    assert "<i>" not in answer.text
    assert results.asked == []


@pytest.mark.parametrize("text", ["yesterday", "2024-02-30", "29.03.2024", "<b>"])
@pytest.mark.parametrize("path", [asking("portfolio/a", "portfolio/b"), "/portfolios/portfolio/a?"])
def test_a_date_that_is_none_is_told_and_not_passed_over(
    browser: FlaskClient, results: Results, path: str, text: str
) -> None:
    answer = browser.get(f"{path}&{urlencode({'as_of': text})}")
    assert answer.status_code == 400
    assert f"{text} is no date" in Parsed(answer.text).text()
    assert results.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputNotFoundError("There are no results of portfolio <b>."), 404),
        (InvalidPortfolioError("portfolio <b> cannot be calculated."), 422),
        (ThrottledError("<b>"), 503),
    ],
)
def test_what_the_results_refuse_is_told_and_the_choice_is_not_lost(
    browser: FlaskClient, results: Results, error: PerformanceCalculatorError, status: int
) -> None:
    results.error = error
    answer = browser.get("/compare", query_string=BOTH)
    assert answer.status_code == status
    assert str(error) in Parsed(answer.text).text()
    assert "<b>" not in answer.text
    (back,) = [each["href"] for each in Parsed(answer.text).all("a") if "entity=" in each["href"]]
    assert set(chosen_in(browser.get(back).text)) == {each for _, each in BOTH}


def test_without_results_there_is_nothing_to_compare() -> None:
    answer = let_in(TellingClient().console).get(asking("portfolio/a", "portfolio/b"))
    assert (answer.status_code, "No results are available here" in answer.text) == (404, True)


def test_nobody_compares_who_was_not_let_in(results: Results) -> None:
    client: Any = TellingClient()
    console = Console(client, state_machines([MACHINE_ARN]), "a test", portfolios=results)
    assert stranger(console).get("/compare", query_string=BOTH).status_code == 403
    assert results.asked == []


IDS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"),
    min_size=1,
    max_size=MAX_ID_CHARACTERS,
)


@given(st.lists(st.tuples(st.sampled_from(EntityType), IDS), min_size=2, max_size=8, unique=True))
def test_whatever_an_id_is_made_of_it_comes_back_from_the_address(chosen: list[tuple[EntityType, str]]) -> None:
    keys = [PortfolioLink(kind.value, entity_id).key for kind, entity_id in chosen]
    sent = [value for _, value in parse_qsl(urlencode([("entity", key) for key in keys]))]
    assert compared_entities(sent, 8) == chosen


KEYS = st.builds("{}/{}".format, st.sampled_from([*EntityType, "client", ""]), IDS | st.text(max_size=2))


@given(st.lists(KEYS | st.text(), max_size=6))
def test_whatever_an_address_says_it_is_taken_whole_or_refused(chosen: list[str]) -> None:
    try:
        found = compared_entities(chosen, 4)
    except NotComparableError:
        return
    assert [f"{kind}/{entity_id}" for kind, entity_id in found] == chosen


# The list


def test_every_line_can_be_chosen_and_says_what_it_would_be(browser: FlaskClient) -> None:
    parsed = Parsed(browser.get("/portfolios").text)
    boxes = parsed.all("input", name="entity")
    assert len(boxes) == PAGE_LINES
    assert {each["type"] for each in boxes} == {"checkbox"}
    labels = {each["value"]: each["aria-label"] for each in boxes}
    assert labels["account/p-0"] == "Compare account p-0"
    assert labels["portfolio/p-0"] == "Compare portfolio p-0"
    assert labels[f"portfolio/{HOSTILE}"] == f"Compare portfolio {HOSTILE}"
    (button,) = parsed.all("button", formaction="/compare")
    assert button["type"] == "submit"
    # The first button of a form is what Enter in a field presses.
    assert "formaction" not in parsed.all("button", type="submit")[0]


def test_what_is_chosen_is_kept_from_page_to_page_and_never_twice(browser: FlaskClient) -> None:
    query = [*BOTH, *BOTH, ("entity", "portfolio/p-99")]
    every = {*(each for _, each in BOTH), "portfolio/p-99"}
    for more in ([], [("page", "2")], [("text", "p-9")], [("text", "nothing")], [("text", "p-9"), ("clear", "1")]):
        page = browser.get("/portfolios", query_string=[*query, *more]).text
        found = chosen_in(page)
        assert (len(found), set(found)) == (3, every)
        assert "3 chosen" in page
    values = [each["value"] for each in Parsed(page).all("input", name="entity")]
    assert len(values) == len(set(values)) == PAGE_LINES + 1


def test_the_steps_of_the_list_are_buttons_of_the_form(browser: FlaskClient) -> None:
    parsed = Parsed(browser.get("/portfolios").text)
    assert [each["value"] for each in parsed.all("button", name="page")] == ["2", "2"]
    assert [each["action"] for each in parsed.all("form")] == ["/portfolios"]
    last = browser.get("/portfolios?page=2&text=").text
    assert f"101 to {PAGE_LINES + 2}" in last
    assert [each["value"] for each in Parsed(last).all("button", name="page")] == ["1", "1"]


def test_a_filter_is_cleared_by_a_button_that_takes_the_choice_along(browser: FlaskClient) -> None:
    assert Parsed(browser.get("/portfolios").text).all("button", name="clear") == []
    narrow = browser.get("/portfolios?text=p-7").text
    assert len(Parsed(narrow).all("button", name="clear")) == 1
    wide = Parsed(browser.get("/portfolios?text=p-7&clear=1").text)
    assert wide.all("input", name="text")[0]["value"] == ""
    assert len(wide.all("input", name="entity")) == PAGE_LINES


def test_the_part_that_is_read_anew_has_the_same_chosen(browser: FlaskClient, results: Results) -> None:
    results.complete = False
    page = browser.get("/portfolios", query_string=[*BOTH, ("text", "p-")]).text
    found = re.search(r'data-part="([^"]*)" data-live="reading"', page)
    assert found is not None
    part = browser.get(unescape(found[1])).text
    assert "<form" not in part
    assert "data-reading" in part
    assert chosen_in(part) == ["account/p-0"]


def test_where_there_is_nothing_nothing_is_offered_to_be_compared(browser: FlaskClient, results: Results) -> None:
    results.links = []
    page = browser.get("/portfolios").text
    assert "Nothing has been calculated yet" in page
    assert "/compare" not in page


def test_a_portfolio_leads_to_the_list_with_it_chosen(browser: FlaskClient) -> None:
    page = browser.get(f"/portfolios/portfolio/{HOSTILE.replace('%', '%25').replace('?', '%3F')}").text
    (link,) = [each["href"] for each in Parsed(page).all("a") if "entity=" in each["href"]]
    assert chosen_in(browser.get(link).text) == [f"portfolio/{HOSTILE}"]


# The results themselves


@pytest.fixture
def stored() -> StoredResults:
    """Results of books: an account and its portfolio of the same id, and portfolios of other days and currencies."""
    books = InMemoryBooks()
    books.put_entity(
        Entity(
            entity_type=BookEntityType.ACCOUNT, entity_id="same", client_id="acme", account_id="same", currency="EUR"
        )
    )
    for name, account, currency, count in (
        ("same", "same", "EUR", 80),
        ("other", None, "EUR", 300),
        ("dollars", None, "USD", 80),
        ("empty", None, "EUR", 0),
    ):
        books.put_entity(
            Entity(
                entity_type=BookEntityType.PORTFOLIO,
                entity_id=name,
                client_id="acme",
                account_id=account,
                currency=currency,
            )
        )
        days = [
            DayValue(day, Decimal(str(each))) for day, each in zip(business_days(count), values(count), strict=True)
        ]
        books.write_series(SeriesKind.VALUATION, name, days)
    nothing: Any = None  # what tells what there is, which is not asked here
    return StoredResults(InMemoryResultStore(), books, nothing, nothing, nothing)


P, A = EntityType.PORTFOLIO, EntityType.ACCOUNT


def compared(stored: StoredResults, *entities: tuple[EntityType, str], as_of: date | None = None) -> Parsed:
    return Parsed(stored.comparison([EntityName(*each) for each in entities], as_of=as_of).body)


def test_a_portfolio_and_an_account_of_one_id_are_told_apart(stored: StoredResults) -> None:
    page = stored.comparison([EntityName(P, "same"), EntityName(A, "same")], as_of=None)
    assert page.title == "portfolio same, account same compared"
    parsed = Parsed(page.body)
    columns = [text for tag, text in parsed.texts if tag == "th"]
    assert columns.count("portfolio same") == columns.count("account same") >= 3
    spec = parsed.specs()[0]
    assert [each["name"] for each in spec["datasets"]["names"]] == ["portfolio same", "account same"]


def test_of_one_kind_the_id_is_name_enough(stored: StoredResults) -> None:
    page = stored.comparison([EntityName(P, "same"), EntityName(P, "other")], as_of=None)
    assert page.title == "same, other compared"


def test_every_chart_and_every_table_has_its_file(stored: StoredResults) -> None:
    parsed = compared(stored, (P, "same"), (P, "other"))
    files = {each["download"]: unquote(each["href"]) for each in parsed.all("a") if "download" in each}
    assert set(files) == {
        "growth-compared.csv",
        "drawdown-compared.csv",
        "returns.csv",
        "risk.csv",
        "correlation.csv",
    }
    lines = {name: list(csv.reader(text.partition(",")[2].splitlines())) for name, text in files.items()}
    assert lines["drawdown-compared.csv"][:2] == [["date", "same", "other"], [str(FIRST), "0.0", "0.0"]]
    assert [each["id"] for each in parsed.all("figure")] == ["growth", "drawdown"]
    # Numbers as they are, and not as the page writes them.
    assert [row[0] for row in lines["correlation.csv"]] == ["Portfolio", "same", "other"]
    assert float(lines["correlation.csv"][1][2]) == float(lines["correlation.csv"][2][1]) <= 1.0
    header, same, other = lines["returns.csv"]
    assert header[:2] == ["Portfolio", "As of"]
    assert (same[0], other[0]) == ("same", "other")
    risk = {row[0]: row[1:] for row in lines["risk.csv"]}
    assert risk["metric"] == ["same", "other"]
    assert float(same[header.index("ITD")]) == float(risk["twr"][0])  # of less than a year
    assert float(other[header.index("ITD")]) == float(risk["annualized_twr"][1])
    assert float(risk["var"][0]) < 0.0


def test_what_does_not_compare_well_is_said(stored: StoredResults) -> None:
    text = compared(stored, (A, "same"), (P, "dollars")).text()
    assert (
        "They are of different currencies, and each is measured in its own: account same EUR, portfolio dollars USD."
        in text
    )
    text = compared(stored, (P, "same"), (P, "other")).text()
    assert "They are of different dates" in text
    assert "currencies" not in text
    alike = compared(stored, (P, "same"), (P, "other"), as_of=date(2020, 3, 2)).text()
    assert "They are of different dates" not in alike
    assert "2020-03-02" in alike


def test_all_that_have_no_results_are_named_at_once(stored: StoredResults) -> None:
    with pytest.raises(InputNotFoundError) as refused:
        compared(stored, (P, "same"), (P, "none"), (A, "other"))
    assert str(refused.value) == "There are no results of portfolio none, account other."


def test_one_that_cannot_be_calculated_is_named_with_its_reason(stored: StoredResults) -> None:
    with pytest.raises(InvalidPortfolioError) as refused:
        compared(stored, (P, "same"), (P, "empty"))
    assert str(refused.value).startswith("portfolio empty has no results, and none can be calculated: ")
    with pytest.raises(InvalidPortfolioError) as refused:
        compared(stored, (P, "same"), (P, "other"), as_of=date(2019, 12, 31))
    told = str(refused.value).splitlines()
    assert len(told) == 2
    assert told[1].startswith("portfolio other has no results on or before 2019-12-31, and none can be calculated: ")


def test_as_many_can_be_compared_as_there_are_lines_to_tell_apart(stored: StoredResults) -> None:
    assert stored.most_compared == compare.MOST_COMPARED == len(SERIES)
