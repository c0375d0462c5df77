"""Pages of results as a browser and a reader without one get them: nothing from elsewhere, nothing unescaped."""

import base64
import csv
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from common.errors import InvalidPortfolioError
from tests.unit.reporting_world import Parsed, request
from tests.unit.test_presentation import row
from workflows.reporting import charts, compare, fleet, page, portfolio
from workflows.reporting.sources import Subject, from_request
from workflows.reporting.theme import ROLES
from workflows.wording import METRICS

HOSTILE = "<script>alert(1)</script>\"'&=cmd"
CONVENTIONS: dict[str, Any] = {
    "flow_timing": "after_close",
    "risk_free_rate": 0.0,
    "periods_per_year": 252.0,
    "currency": "<b>",
}
FLEET_FAILURES = [{"entity_type": "portfolio", "entity_id": HOSTILE, "error": HOSTILE, "message": HOSTILE}]


def subjects(*names: str, **more: Any) -> list[Subject]:
    return from_request(request(*names, **more), Path(), list(names))


def fleet_document(name: str) -> str:
    rows = [row(f"{name}{index}", warnings=["empty_account"]) for index in range(30)]
    return page.document(fleet.build(fleet.summarise(rows, FLEET_FAILURES), name, "PARTIAL"))


DOCUMENTS: dict[str, Callable[[str], str]] = {
    "portfolio": lambda name: page.document(portfolio.build(subjects(name)[0])),
    "stored numbers alone": lambda name: page.document(
        portfolio.build(Subject(row(name, **CONVENTIONS, request_id=name, benchmark_id=name), True, None, (name,)))
    ),
    "compared": lambda name: page.document(compare.build(subjects(name, "other"))),
    "fleet": fleet_document,
}


@pytest.fixture(autouse=True)
def _small_bundle(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real script takes seconds to make; the browser test has it."""
    page.assets.cache_clear()
    monkeypatch.setattr(page, "bundle", lambda: 'window.vegaEmbed = "</script><!--";')
    yield
    page.assets.cache_clear()


@pytest.fixture(params=list(DOCUMENTS))
def document(request: pytest.FixtureRequest) -> str:
    return DOCUMENTS[request.param](HOSTILE)


def test_a_file_refers_to_nothing_outside_itself(document: str) -> None:
    for tag, name, value in Parsed(document).attributes():
        if name in {"href", "src", "action", "srcset", "data", "poster", "formaction", "xlink:href"}:
            assert value.startswith(("#", "data:")), (tag, name, value[:80])
    assert "@import" not in document
    assert "url(" not in document


def test_what_comes_from_outside_is_text_and_never_markup(document: str) -> None:
    parsed = Parsed(document)
    assert "<script>alert" not in document
    assert HOSTILE in parsed.text() or HOSTILE in str(parsed.specs())
    assert not [name for _, name, _ in parsed.attributes() if name.startswith("on")]
    # The two scripts of the file, and the specifications, which are data.
    assert [each.get("type", "") for each in parsed.all("script")].count("") == 2


def test_the_policy_lets_the_file_s_own_scripts_run_and_nothing_else(document: str) -> None:
    parsed = Parsed(document)
    (policy,) = (each["content"] for each in parsed.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_every_link_within_the_page_leads_somewhere_and_ids_are_distinct(document: str) -> None:
    parsed = Parsed(document)
    ids = [value for _, name, value in parsed.attributes() if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value.removeprefix("#") for _, name, value in parsed.attributes() if name == "href" and value[0] == "#"}
    assert targets <= set(ids)


def test_every_chart_has_its_numbers_a_download_and_words(document: str) -> None:
    parsed = Parsed(document)
    figures = parsed.all("figure")
    assert len(parsed.specs()) == len(figures)
    plots = parsed.all("div", class_="r-plot")
    assert len(plots) == len(figures)
    assert all(each["role"] == "img" and each["aria-label"] for each in plots)
    bodies = re.findall(r"<figure.*?</figure>", document, re.DOTALL)
    for body in bodies:
        assert "<details>" in body
        assert "<tbody>" in body
        assert "download=" in body


def test_scrolling_places_can_be_reached_by_keyboard(document: str) -> None:
    places = Parsed(document).all("div", class_="r-scroll")
    assert places
    assert all(each["tabindex"] == "0" and each["role"] == "region" and each["aria-label"] for each in places)


def test_charts_have_roles_for_colours_and_no_colour_of_their_own(document: str) -> None:
    roles = {f"#{role}" for role in ROLES}
    for spec in Parsed(document).specs():
        without_data = str({name: each for name, each in spec.items() if name != "datasets"})
        found = set(re.findall(r"'(#[^']*)'", without_data))
        assert found <= roles
        assert "http" not in without_data


def test_files_to_download_are_csv_that_no_spreadsheet_takes_for_a_formula() -> None:
    parsed = Parsed(page.document(portfolio.build(subjects("=1+1")[0])))
    links = [each for each in parsed.all("a") if "download" in each]
    assert len(links) >= 6
    for link in links:
        kind, _, body = link["href"].partition(",")
        assert kind == "data:text/csv;charset=utf-8"
        rows = list(csv.reader(io.StringIO(unquote(body))))
        assert len({len(each) for each in rows}) == 1
        assert not [cell for each in rows for cell in each if cell.startswith(("=", "+", "@"))]


def test_a_missing_figure_is_explained_in_words_where_it_is_missing() -> None:
    (found,) = subjects("young", count=40)
    parsed = Parsed(page.document(portfolio.build(found)))
    marks = [each for each in parsed.all("a") if each["href"].startswith("#reason-")]
    missing = sum(name in period["undefined"] for period in found.row["periods"].values() for name in METRICS)
    assert len(marks) == missing > 0
    assert all(each["aria-label"].startswith("why: ") for each in marks)
    assert "not annualised under a year" in parsed.text()
    assert "the portfolio's history starts after the period does" in parsed.text()


def test_warnings_and_conventions_are_told_in_words() -> None:
    found = subjects("p", flow_timing="end_of_day")[0]
    text = Parsed(
        page.document(
            portfolio.build(Subject({**found.row, "warnings": ["empty_account"]}, False, found.record, found.notes))
        )
    ).text()
    assert "Nothing was invested in part of the period" in text
    assert "the valuation includes the flow, which earned nothing that day" in text
    assert "2.00% a year" in text
    assert "252, by which risk is brought to a year" in text


def test_a_page_of_a_request_looks_at_nothing_after_its_date() -> None:
    document = request("p", count=600)
    series = document["portfolios"][0]["valuations"]
    as_of = series["dates"][399]
    later = from_request({**document, "as_of_date": as_of}, Path(), [])[0]
    series["dates"], series["values"] = series["dates"][:400], series["values"][:400]
    known = from_request({**document, "as_of_date": as_of}, Path(), [])[0]
    assert later.row == known.row
    assert later.record is not None
    assert known.record is not None
    assert later.record.days.tolist() == known.record.days.tolist()
    early = series["dates"][0]
    with pytest.raises(InvalidPortfolioError, match=rf"p: the first valuation, {early}, is later than as_of_date"):
        from_request({**document, "as_of_date": "2001-01-01"}, Path(), [])


def test_a_row_without_a_benchmark_has_no_columns_of_dashes_for_it() -> None:
    document = request("p")
    del document["benchmark"]
    (found,) = from_request(document, Path(), [])
    text = Parsed(page.document(portfolio.build(found))).text()
    assert "Tracking error" not in text
    assert "Against the benchmark" not in text


def test_the_numbers_in_the_page_are_those_of_the_row() -> None:
    (found,) = subjects("p")
    text = Parsed(portfolio.portfolio_page(found)).text()
    period = found.row["periods"]["ITD"]
    for name in ("twr", "annualized_twr", "mwr", "volatility", "max_drawdown", "var", "benchmark_twr"):
        assert f"{period[name]:,.2%}" in text, name


def test_a_body_has_no_frame_of_its_own() -> None:
    body = portfolio.portfolio_page(subjects("p")[0])
    assert body.lstrip().startswith('<main class="report">')
    assert "<html" not in body
    assert {"report.css", "vega.js", "report.js"} == set(page.assets())


def test_what_is_compared_says_where_conventions_differ() -> None:
    one, other = subjects("a", "b")
    differing = Subject({**other.row, "flow_timing": "start_of_day"}, False, other.record, other.notes)
    text = Parsed(page.document(compare.build([one, differing]))).text()
    assert "They are of different flow timings" in text
    assert "at the start of the day" in text


def test_a_comparison_starts_where_all_have_begun() -> None:
    long = from_request(request("long", count=600), Path(), [])[0]
    short = from_request(request("short", count=200), Path(), [])[0]
    assert long.record is not None
    assert short.record is not None
    days = compare.shared_days([long.record, short.record])
    assert days is not None
    assert days[-1] == short.record.days[-1]
    again = compare.rebased(long.record, days)
    assert again is not None
    assert again[0] == 1.0


def test_a_comparison_of_rows_alone_has_tables_and_says_why_there_is_no_chart() -> None:
    rows = [Subject(row(name, **CONVENTIONS), True, None, ("the numbers alone",)) for name in ("a", "b")]
    parsed = Parsed(page.document(compare.build(rows)))
    assert parsed.specs() == []
    assert "the numbers alone" in parsed.text()


def test_a_fleet_of_nothing_but_failures_is_a_page_too() -> None:
    summary = fleet.summarise([], FLEET_FAILURES * 300)
    parsed = Parsed(page.document(fleet.build(summary, "night", "FAILED")))
    assert parsed.specs() == []
    assert "Nothing was calculated" in parsed.text()
    assert "Of 300 failures the first 200 are told one by one." in parsed.text()


def test_a_run_that_was_stopped_says_so_and_counts_nothing_it_does_not_know() -> None:
    summary = fleet.summarise([], [])
    text = Parsed(page.document(fleet.build(summary, "night", "ABORTED", "Interrupted: Stopped by the user."))).text()
    assert "ABORTED" in text
    assert "The run ended early or failed: Interrupted: Stopped by the user." in text
    assert "It left no list of its results" in text
    assert "of 0" not in text
    assert "No portfolio has a warning" not in text


def test_a_fleet_is_taken_up_row_by_row_and_kept_small() -> None:
    def rows() -> Any:
        for index in range(3_000):
            found = row(f"p{index:04}", labels=["1Y"])
            found["periods"]["1Y"] = {**found["periods"]["1Y"], "annualized_twr": index / 10_000}
            yield found

    summary = fleet.summarise(rows(), [])
    spread = summary.periods["1Y"]
    assert summary.calculated == 3_000
    assert [each.entity_id for each in sorted(spread.best, reverse=True)] == [
        f"p{index}" for index in range(2999, 2989, -1)
    ]
    assert sorted(each.entity_id for each in spread.worst) == [f"p{index:04}" for index in range(10)]
    assert spread.spread["return"].quantile(0.5) == pytest.approx(0.15, rel=0.01)
    assert len(spread.spread["return"]._buckets) < 1_000


def test_flows_that_are_too_many_to_tell_apart_are_marked_by_month_or_year() -> None:
    document = request("p", count=600)
    days = document["portfolios"][0]["valuations"]["dates"]
    for every, unit in ((20, "day"), (5, "month"), (1, "month")):
        dated = days[10:590:every]
        document["portfolios"][0]["cash_flows"] = {"dates": dated, "amounts": [1.0] * len(dated)}
        (found,) = from_request(document, Path(), [])
        assert found.record is not None
        flows, told = charts.flows_to_mark(found.record)
        assert told == unit
        assert flows.days.size <= charts.MOST_FLOWS
        assert flows.amounts.sum() == len(dated)


def test_many_periods_stand_in_tables_below_each_other() -> None:
    document = request("p", time_periods=[{"from": "2021-01-01", "to": f"2021-06-{day:02}"} for day in range(1, 26)])
    (found,) = from_request(document, Path(), [])
    periods = Parsed(portfolio.portfolio_page(found)).all("div", class_="r-scroll")
    assert sum(each["aria-label"] == "Metrics by period" for each in periods) == 3
