"""Where a page's numbers come from, and the words and colours it has for them."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.calculations import Caution, FlowTiming, Reason
from common.errors import InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.models.books import DayValue, SeriesKind
from common.models.kinds import CalculationMethod, EntityType
from common.models.results import Asked, PeriodResult, ResultRow
from common.stores.histories import BookReader
from common.stores.memory import InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.unit.reporting_world import RUN, books_with, business_days, request
from workflows.reporting.analysis import rolling_window
from workflows.reporting.sources import Subject, from_request, from_stores
from workflows.reporting.theme import ROLES, resolved, variables
from workflows.reporting.words import GROUPS, METHODS, TIMINGS, explained
from workflows.wording import EXPLANATIONS, METRICS

NAME = "p"
ASKED = Asked(
    calculation_method=CalculationMethod.DAILY,
    flow_timing=None,
    risk_free_rate=0.0,
    periods_per_year=None,
    max_price_age_days=7,
    benchmark_id=None,
)


def stored(books: InMemoryBooks, *, asked: Asked | None = ASKED, **more: Any) -> tuple[InMemoryResultStore, Subject]:
    """Return a store with the row that a calculation on these books leaves, and the page's own calculation of it."""
    results = InMemoryResultStore()
    fresh = from_stores(results, BookReader(books), EntityType.PORTFOLIO, NAME)
    row = ResultRow.model_validate({**fresh.row, "request_id": "r", "asked": asked, **more}, strict=False)
    results.write([row], RUN)
    return results, fresh


@pytest.mark.parametrize("code", [*Reason, *Caution])
def test_every_reason_and_every_warning_has_words(code: str) -> None:
    assert code in EXPLANATIONS
    assert explained(code) == EXPLANATIONS[code] != ""


def test_a_reason_of_a_later_version_is_shown_as_it_is() -> None:
    assert explained("moon_in_the_seventh_house") == "moon in the seventh house"


def test_every_convention_has_words() -> None:
    assert set(TIMINGS) == set(FlowTiming)
    assert set(METHODS) == set(CalculationMethod)


def test_every_metric_of_the_terminal_stands_in_one_group_of_a_page() -> None:
    on_a_page = [name for group in GROUPS.values() for name in group]
    assert sorted(on_a_page) == sorted(METRICS)
    assert set(METRICS) <= set(PeriodResult.model_fields)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours by WCAG 2."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255.0
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("role", [each for each in ROLES if each not in {"surface", "raised", "line"}])
def test_colours_stand_out_from_the_page(role: str, theme: int) -> None:
    least = 4.5 if role in {"ink", "muted", "focus"} else 3.0
    for surface in ("surface", "raised"):
        assert contrast(ROLES[role][theme], ROLES[surface][theme]) >= least


def test_roles_become_colours_everywhere_but_in_data() -> None:
    spec = {"color": "#ink", "layer": [{"range": ["#gain"]}], "datasets": {"a": [{"name": "#ink"}]}}
    assert resolved(spec, variables()) == {
        "color": "var(--r-ink)",
        "layer": [{"range": ["var(--r-gain)"]}],
        "datasets": {"a": [{"name": "#ink"}]},
    }


def test_a_calculated_row_has_the_layout_of_a_stored_one() -> None:
    (found,) = from_request(request(NAME), Path(), [NAME])
    ResultRow.model_validate({**found.row, "request_id": "r"}, strict=False)


def test_a_stored_row_is_shown_with_the_history_it_was_made_of() -> None:
    books = books_with(NAME)
    results, fresh = stored(books)
    found = from_stores(results, BookReader(books), EntityType.PORTFOLIO, NAME)
    assert found.stored
    assert found.notes == ()
    assert found.record is not None
    assert found.record.growth[-1] - 1.0 == pytest.approx(found.row["periods"]["ITD"]["twr"], rel=1e-12)
    assert found.record.benchmark is not None
    assert fresh.notes[0].startswith("There is no stored result")


def test_a_page_says_where_the_books_have_changed_since() -> None:
    books = books_with(NAME)
    results, _ = stored(books)
    books.write_series(SeriesKind.VALUATION, NAME, [DayValue(business_days(600)[-1], Decimal(9_999))])
    found = from_stores(results, BookReader(books), EntityType.PORTFOLIO, NAME)
    assert found.record is not None
    assert [each for each in found.notes if each.startswith("The books have changed since this result was stored")]


def test_the_history_ends_where_the_row_does() -> None:
    books = books_with(NAME)
    results, _ = stored(books)
    later = date(2030, 1, 2)
    books.write_series(SeriesKind.VALUATION, NAME, [DayValue(later, Decimal(5_000))])
    found = from_stores(results, BookReader(books), EntityType.PORTFOLIO, NAME)
    assert found.notes == ()


def test_a_row_whose_data_came_with_its_request_is_shown_alone() -> None:
    results, _ = stored(books_with(NAME), asked=None)
    found = from_stores(results, BookReader(books_with(NAME)), EntityType.PORTFOLIO, NAME)
    assert found.record is None
    assert "came with its request and are not kept" in found.notes[0]


def test_a_row_whose_books_are_gone_is_shown_alone() -> None:
    results, _ = stored(books_with(NAME))
    found = from_stores(results, BookReader(InMemoryBooks()), EntityType.PORTFOLIO, NAME)
    assert found.record is None
    assert found.notes == ("Only the stored numbers are shown: there is no portfolio p in the books.",)


def test_a_benchmark_that_came_with_the_request_is_not_taken_for_the_books() -> None:
    books = books_with(NAME)
    results, _ = stored(books, benchmark_id="CUSTOM")
    found = from_stores(results, BookReader(books), EntityType.PORTFOLIO, NAME)
    assert found.record is not None
    assert found.record.benchmark is None
    assert "The levels of the benchmark CUSTOM came with the request" in found.notes[0]


def test_what_is_nowhere_is_told_so() -> None:
    with pytest.raises(InputNotFoundError, match="no result of account x, and there is no account x in the books"):
        from_stores(InMemoryResultStore(), BookReader(InMemoryBooks()), EntityType.ACCOUNT, "x")


def test_periods_of_several_requests_are_told() -> None:
    books = books_with(NAME)
    results, fresh = stored(books)
    other = {**fresh.row, "request_id": "r2", "asked": ASKED, "flow_timing": "end_of_day"}
    other["periods"] = {"MTD": fresh.row["periods"]["MTD"]}
    results.write([ResultRow.model_validate(other, strict=False)], RUN.model_copy(update={"execution_name": "e2"}))
    found = from_stores(results, BookReader(books), EntityType.PORTFOLIO, NAME)
    assert "The periods of this result come from several requests" in found.notes[0]


def test_portfolios_of_a_request_are_read_from_its_files(tmp_path: Path) -> None:
    document = request("a", "b", count=300)
    inline = {each.name: each for each in from_request(document, tmp_path, [])}
    for portfolio in document["portfolios"]:
        series = portfolio["valuations"]
        lines = [f"{day},{value}" for day, value in zip(series["dates"], series["values"], strict=True)]
        (tmp_path / f"{portfolio['portfolio_id']}.csv").write_text("\n".join(["date,value", *lines]))
        portfolio["valuations"] = {"source": f"{portfolio['portfolio_id']}.csv"}
    (tmp_path / "portfolios.json").write_text(json.dumps(request("a", "b", count=300)["portfolios"]))
    from_files = from_request(document, tmp_path, ["b", "a"])
    from_one = from_request({**document, "portfolios": {"source": "portfolios.json"}}, tmp_path, ["b", "a"])
    assert [each.name for each in from_files] == ["b", "a"]
    for found in (*from_files, *from_one):
        assert found.row == inline[found.name].row


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"portfolios": {"source": "s3://bucket/key.json"}}, InputNotFoundError, "files of this machine alone"),
        ({"portfolios": {"source": "nothing.json"}}, InputNotFoundError, "No such file"),
        ({"portfolios": None, "entity_ids": ["a"]}, InvalidRequestError, "leave --request out"),
        ({"benchmark": {"benchmark_id": "INDEX"}}, InvalidRequestError, "needs its valuations here"),
        ({"as_of_date": "2019-01-01"}, InvalidPortfolioError, "a: the first valuation, 2020-01-01, is later"),
        ({"time_periods": []}, InvalidRequestError, "at least 1 item"),
    ],
)
def test_a_request_that_cannot_be_shown_says_why(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    document = {name: each for name, each in (request("a") | change).items() if each is not None}
    with pytest.raises(error, match=words):
        from_request(document, tmp_path, ["a"])


def test_a_portfolio_that_a_request_lacks_is_named() -> None:
    with pytest.raises(InputNotFoundError, match="the request has no portfolio c, d"):
        from_request(request("a", "b"), Path(), ["c", "a", "d"])


def test_a_history_without_a_return_is_a_page_of_reasons() -> None:
    document = request("a", count=40)
    document["portfolios"][0]["cash_flows"] = {"dates": ["2020-01-01"], "amounts": [-5_000.0]}
    (found,) = from_request(document, Path(), ["a"])
    assert found.record is None
    assert "the invested capital was not positive" in found.notes[-1]


@pytest.mark.parametrize(("count", "window"), [(600, 252), (300, 63), (120, None)])
def test_a_rolling_window_is_a_year_or_a_quarter_or_too_much(count: int, window: int | None) -> None:
    (found,) = from_request(request("a", count=count), Path(), ["a"])
    assert found.record is not None
    assert rolling_window(found.record) == window
