"""A wrong request lists every fault with its place; a right one gets sensible defaults."""

from datetime import date
from typing import Any

import pytest

from common.errors import InvalidRequestError
from common.models.faults import MAX_FAULTS_LISTED
from common.models.kinds import CalculationMethod
from common.models.limits import MAX_PORTFOLIOS
from common.models.request import CalculationRequest, parse_portfolios
from common.models.series import ValuationColumns
from common.models.sources import Source

VALUATIONS = [{"date": "2024-01-02", "value": 1000}, {"date": "2024-01-03", "value": "1010.50"}]


def request(**changes: Any) -> dict[str, Any]:
    return {"portfolios": [{"portfolio_id": "p-1", "valuations": VALUATIONS}], **changes}


def portfolio(**changes: Any) -> dict[str, Any]:
    return request(portfolios=[{"portfolio_id": "p-1", "valuations": VALUATIONS, **changes}])


def faults(document: object, *, local_sources: bool = False) -> list[str]:
    with pytest.raises(InvalidRequestError) as caught:
        CalculationRequest.parse(document, local_sources=local_sources)
    return [str(fault) for fault in caught.value.faults]


def test_defaults() -> None:
    found = CalculationRequest.parse(request())
    assert found.time_periods == ["MTD", "QTD", "YTD", "1Y", "3Y", "5Y", "10Y", "ITD"]
    assert found.calculation_method is CalculationMethod.DAILY
    assert found.flow_timing is None  # as the data say
    assert (found.max_concurrency, found.risk_free_rate, found.as_of_date) == (10, 0.0, None)
    assert isinstance(found.portfolios, list)
    series = found.portfolios[0].valuations
    assert isinstance(series, ValuationColumns)
    assert series.dates == [date(2024, 1, 2), date(2024, 1, 3)]
    assert series.values == [1000.0, 1010.5]


def test_points_and_columns_are_the_same() -> None:
    columns = {"dates": ["2024-01-02", "2024-01-03"], "values": [1000, "1010.50"]}
    assert CalculationRequest.parse(portfolio(valuations=columns)) == CalculationRequest.parse(request())


def test_what_is_dumped_parses_to_the_same() -> None:
    document = request(time_periods=["1Y", {"from": "2023-01-01", "to": "2023-06-30"}], as_of_date="2024-01-03")
    found = CalculationRequest.parse(document)
    assert found.time_periods == ["1Y", "2023-01-01/2023-06-30"]
    assert CalculationRequest.parse(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"request_id": "a b"}, "$.request_id: must have only visible ASCII"),
        ({"request_id": "x" * 65}, "$.request_id: must have at most 64 characters"),
        ({"colour": "red"}, "$.colour: is not a known field"),
        ({"as_of_date": "2024-13-01"}, "$.as_of_date: must be a date, YYYY-MM-DD"),
        ({"as_of_date": "20240101"}, "$.as_of_date: must be a date, YYYY-MM-DD"),
        ({"as_of_date": 1704067200}, "$.as_of_date: must be a date, YYYY-MM-DD"),
        ({"as_of_date": "1066-10-14"}, "$.as_of_date: must lie between 1900 and 2199"),
        ({"time_periods": []}, "$.time_periods: must have at least 1 item(s)"),
        ({"time_periods": ["2Y"]}, "$.time_periods[0]: must be one of MTD"),
        ({"time_periods": ["1Y", "1Y"]}, "$.time_periods: 1Y stands twice"),
        ({"time_periods": ["2023-05-01/2023-05-01"]}, "$.time_periods[0]: from must lie before to"),
        (
            {"time_periods": ["2023-05-01/2023-06-01"], "as_of_date": "2023-05-15"},
            "$: time period 2023-05-01/2023-06-01 ends after as_of_date 2023-05-15",
        ),
        ({"calculation_method": "weekly"}, "$.calculation_method: must be 'daily' or 'modified_dietz'"),
        ({"flow_timing": "noon"}, "$.flow_timing: must be 'after_close'"),
        ({"risk_free_rate": "0.02"}, "$.risk_free_rate: must be a number"),
        ({"risk_free_rate": -1}, "$.risk_free_rate: must be greater than -1"),
        ({"risk_free_rate": float("nan")}, "$.risk_free_rate"),
        ({"periods_per_year": 0}, "$.periods_per_year: must be at least 1"),
        ({"max_concurrency": 0}, "$.max_concurrency: must be at least 1"),
        ({"max_concurrency": 41}, "$.max_concurrency: must be at most 40"),
        ({"max_concurrency": 1.5}, "$.max_concurrency: must be a whole number"),
        ({"max_concurrency": True}, "$.max_concurrency: must be a whole number"),
        ({"benchmark": {"valuations": {"dates": ["2024-01-02"], "values": [0]}}}, "$.benchmark: the levels"),
        ({"portfolios": []}, "$.portfolios: must have at least 1 item(s)"),
        ({"portfolios": "all"}, "$.portfolios: must be a list"),
        ({"portfolios": [7]}, "$.portfolios[0]: must be an object"),
        ({"portfolios": {"source": "s3://bucket"}}, "$.portfolios: must name an object: s3://bucket/key"),
    ],
)
def test_faults_of_the_request(changes: dict[str, Any], expected: str) -> None:
    (fault,) = faults(request(**changes))
    assert fault.startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"portfolio_id": ""}, "portfolio_id: must not be empty"),
        ({"portfolio_id": "a#b"}, "portfolio_id: must have only visible ASCII"),
        ({"portfolio_id": "é"}, "portfolio_id: must have only visible ASCII"),
        ({"currency": "usd"}, "currency: must be three capital letters"),
        ({"valuations": []}, "valuations: must have at least 1 item(s)"),
        ({"valuations": [{"date": "2024-01-02"}]}, "valuations[0].value: is missing"),
        ({"valuations": [{"date": "2024-01-02", "value": "n/a"}]}, "valuations[0].value: must be a number"),
        ({"valuations": [{"date": "2024-01-02", "value": True}]}, "valuations[0].value: must be a number"),
        ({"valuations": [{"date": "2024-01-02", "value": None}]}, "valuations[0].value: must be a number"),
        ({"valuations": [{"date": "2024-01-02", "value": "NaN"}]}, "valuations[0].value: must be finite"),
        ({"valuations": [{"date": "2024-01-02", "value": 1e16}]}, "valuations[0].value: must be finite"),
        ({"valuations": [{"date": "2024-01-02", "value": 10**400}]}, "valuations[0].value: must be finite"),
        ({"valuations": VALUATIONS + VALUATIONS[:1]}, "valuations: 2024-01-02 stands twice (items 0 and 2)"),
        ({"valuations": {"dates": ["2024-01-02"], "values": [1, 2]}}, "valuations: 1 dates for 2 values"),
        ({"valuations": {"dates": ["2024-01-02"], "values": ["x"]}}, "valuations.values[0]: must be a number"),
        ({"valuations": {"source": "values.csv"}}, "valuations: must start with s3://"),
        ({"valuations": {"source": "s3://b/values"}}, "valuations: give a format"),
        ({"valuations": {"source": "ftp://b/v.csv"}}, "valuations: must be a path or start with s3://"),
        ({"valuations": {"source": "s3://b/v.csv", "format": "xls"}}, "valuations.format: must be 'json'"),
        ({"cash_flows": [{"date": "2024-01-02", "value": 5}]}, "cash_flows[0].amount: is missing"),
    ],
)
def test_faults_of_a_portfolio(changes: dict[str, Any], expected: str) -> None:
    found = faults(portfolio(**changes))
    assert found[0].startswith(f"$.portfolios[0].{expected}")


def test_all_faults_are_told_at_once() -> None:
    document = request(
        request_id="a b",
        max_concurrency=99,
        portfolios=[
            {"portfolio_id": "p", "valuations": [{"date": "2024-02-30", "value": "x"}]},
            {"portfolio_id": "p", "valuations": VALUATIONS},
            {"valuations": {"dates": []}},
        ],
    )
    paths = [fault.partition(": ")[0] for fault in faults(document)]
    assert paths == [
        "$.request_id",
        "$.max_concurrency",
        "$.portfolios[0].valuations[0].date",
        "$.portfolios[0].valuations[0].value",
        "$.portfolios[2].portfolio_id",
        "$.portfolios[2].valuations.dates",
        "$.portfolios[2].valuations.values",
        "$.portfolios[1].portfolio_id",
    ]


@pytest.mark.parametrize("document", [None, [], "request", 3])
def test_what_is_no_object(document: object) -> None:
    assert faults(document) == ["$: must be an object"]


def test_too_many_portfolios() -> None:
    many = [{"portfolio_id": f"p-{index}", "valuations": VALUATIONS} for index in range(MAX_PORTFOLIOS + 1)]
    (fault,) = faults(request(portfolios=many))
    told, _, instead = fault.partition("; ")
    assert told == f"$.portfolios: must have at most {MAX_PORTFOLIOS} items, has {MAX_PORTFOLIOS + 1}"
    assert instead == 'a manifest takes any number: `perfcalc run FILE.jsonl`, or {"manifest": {"source": ...}}'
    (fault,) = faults({"entity_ids": [f"p-{index}" for index in range(MAX_PORTFOLIOS + 1)]})
    assert fault.endswith(f"has {MAX_PORTFOLIOS + 1}; {instead}")


def test_a_file_with_thousands_of_faults_is_not_read_to_its_end() -> None:
    bad = {"valuations": {"dates": ["2024-01-02"] * 700, "values": ["n/a"] * 700}}
    given = iter([{"portfolio_id": str(index), **bad} for index in range(10)])
    with pytest.raises(InvalidRequestError) as caught:
        parse_portfolios(given, "$.portfolios")
    assert len(caught.value.faults) == 1 + 2 * 700
    assert str(caught.value.faults[0]) == "$.portfolios: has so many faults that it was read up to item 1 alone"
    assert caught.value.faults[1].path == "$.portfolios[0].valuations.values[0]"
    assert len(list(given)) == 7


def test_portfolios_with_thousands_of_faults_are_not_read_to_their_end() -> None:
    bad = [{"date": "2024-01-02", "price": 1}] * 400
    many = [{"portfolio_id": f"p-{index}", "valuations": bad} for index in range(10)]
    good = {"portfolio_id": "good", "valuations": VALUATIONS}
    found = faults(request(portfolios=[good, *many]))
    assert len(found) == 2 * 2 * 400 + 1
    assert found[0] == "$.portfolios[1].valuations[0].value: is missing"
    assert found[-2] == "$.portfolios[2].valuations[399].price: is not a known field"
    assert found[-1] == "$.portfolios: has so many faults that it was read up to item 2 alone"


def test_portfolios_whose_last_has_the_most_faults_are_read_to_their_end() -> None:
    bad = {"portfolio_id": "bad", "valuations": [{"date": "2024-01-02", "price": 1}] * 600}
    found = faults(request(portfolios=[{"portfolio_id": "good", "valuations": VALUATIONS}, bad]))
    assert len(found) == 2 * 600
    assert all(fault.startswith("$.portfolios[1].valuations[") for fault in found)


def test_of_faults_without_end_the_number_is_told() -> None:
    document = {f"field-{number}": 1 for number in range(MAX_FAULTS_LISTED + 1)}
    assert faults({**document, "entity_ids": ["p-1"]}) == ["$: has 200,001 faults, more than are listed"]


def test_the_message_does_not_grow_with_the_faults() -> None:
    points = [{"date": "x", "value": "y"}] * 5_000
    with pytest.raises(InvalidRequestError) as caught:
        CalculationRequest.parse(portfolio(valuations=points))
    assert len(caught.value.faults) == 10_000
    assert len(str(caught.value)) <= 8_000
    assert "... and 9900 more" in str(caught.value)


def test_a_local_file_is_for_the_command_line_alone() -> None:
    document = portfolio(valuations={"source": "values.csv"})
    found = CalculationRequest.parse(document, local_sources=True)
    assert isinstance(found.portfolios, list)
    assert isinstance(found.portfolios[0].valuations, Source)
    assert "perfcalc run" in faults(document)[0]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, "$: give portfolios, entity_ids, entities or a client_id"),
        ({"entity_ids": []}, "$.entity_ids: must have at least 1 item(s)"),
        ({"entity_ids": ["a", "b", "a"]}, "$.entity_ids: a stands twice"),
        ({"entities": [{"entity_id": "a"}] * 2}, "$: a stands twice in entities"),
        ({"entities": [{"entity_id": "a", "entity_type": "fund"}]}, "$.entities[0].entity_type: must be 'portfolio'"),
        ({"entity_ids": ["a"], "entities": [{"entity_id": "a"}]}, "$: give one of entity_ids, entities"),
        (request(entity_ids=["a"]), "$: give one of portfolios, entity_ids"),
        (request(entity_type="account"), "$: portfolios given with their data are portfolios"),
        ({"entity_ids": ["a"], "benchmark": {}}, "$.benchmark: give valuations, or the benchmark_id"),
        ({"entity_ids": ["a"], "client_id": "a/b"}, "$.client_id: must have only visible ASCII"),
        ({"entity_ids": ["a"], "max_price_age_days": -1}, "$.max_price_age_days: must be at least 0"),
    ],
)
def test_what_is_asked_by_id_must_be_asked_once(document: dict[str, Any], expected: str) -> None:
    assert faults(document)[0].startswith(expected)


def test_ids_alone_are_portfolios() -> None:
    found = CalculationRequest.parse({"entity_ids": ["a", "b"]}).references()
    assert found is not None
    assert [(each.entity_type.value, each.entity_id, each.as_of_date) for each in found] == [
        ("portfolio", "a", None),
        ("portfolio", "b", None),
    ]


def test_one_entity_may_be_asked_for_as_of_several_dates() -> None:
    entities = [{"entity_id": "a", "as_of_date": f"2024-01-0{day}"} for day in (1, 2)]
    found = CalculationRequest.parse({"entities": entities}).references()
    assert found is not None
    assert len(found) == 2


def test_no_period_ends_after_the_date_of_an_entity_of_its_own() -> None:
    periods = ["1Y", "2020-12-31/2022-06-30", "2020-12-31/2024-12-31"]
    dates = ["2024-12-31", "2022-06-30", None, "2021-12-31"]
    entities = [{"entity_id": str(index), "as_of_date": day} for index, day in enumerate(dates)]
    assert faults({"time_periods": periods, "entities": entities}) == [
        "$.entities[1].as_of_date: time period 2020-12-31/2024-12-31 ends after as_of_date 2022-06-30",
        "$.entities[3].as_of_date: time period 2020-12-31/2022-06-30 ends after as_of_date 2021-12-31",
    ]
    CalculationRequest.parse({"time_periods": periods[:2], "entities": entities[:3]})


def test_nothing_is_calculated_as_of_a_date_over_a_week_ahead() -> None:
    today = date(2024, 3, 1)
    entities = [{"entity_id": "a", "as_of_date": day} for day in ("2024-03-08", "2024-03-09")]
    with pytest.raises(InvalidRequestError) as refused:
        CalculationRequest.parse({"as_of_date": "2099-01-01", "entities": entities}, today=today)
    assert [str(each) for each in refused.value.faults] == [
        "$.as_of_date: must be at most 7 days after today",
        "$.entities[1].as_of_date: must be at most 7 days after today",
    ]
    CalculationRequest.parse({"as_of_date": "2024-03-08", "entities": entities[:1]}, today=today)
    assert faults({"as_of_date": "2099-01-01", "client_id": "acme"}) == [
        "$.as_of_date: must be at most 7 days after today"
    ]


def test_a_client_alone_asks_for_everything() -> None:
    found = CalculationRequest.parse({"client_id": "acme", "entity_type": "account"})
    assert (found.references(), found.client_id) == (None, "acme")
