"""The model of cost and scale: against the code it describes, cases that can be calculated, laws, and its documents."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.access import Buckets
from common.cache import CalculationCache
from common.models.fleet import FleetRequest
from common.models.limits import MAX_ID_CHARACTERS, STATE_BUDGET_BYTES
from common.models.results import ResultRow, Run
from common.stores.dynamodb import _item
from common.stores.histories import BookReader
from common.stores.layered_cache import SharedCalculationCache
from common.stores.memory import InMemoryPayloadStore
from common.stores.memory_books import InMemoryBooks
from common.stores.timestream import BATCH_RECORDS, _common_attributes, _record, measurements
from infra.capacity import cost_tables, limits, prices, scale_tables, scenarios, steps, workload
from infra.capacity.__main__ import cost_document, main, scale_document
from infra.capacity.cost import Children, Design, batch_seconds, by_service, express_memory_mb, run_lines, total
from infra.capacity.documents import DOCUMENTS, IMAGES, MarkerError, filled, parts
from infra.capacity.fleet import Capacity, FleetRun, Times
from infra.capacity.outcome import Outcome
from infra.capacity.resources import Pool, Supply
from infra.capacity.simulation import simulate
from infra.capacity.tables import Table
from infra.capacity.workload import ROWS, Kind, Workload
from infra.settings import STAGES
from tasks import calculate_portfolio, validate_input
from tests.benchmarks import market
from tests.infra.templates import Synthesis

MILLION = 1_000_000
PERIODS = {1: ["ITD"], 4: ["MTD", "YTD", "1Y", "ITD"], 8: None}
REMAKE = "run `make simulate`"


# What the model says of the code


@cache
def books() -> InMemoryBooks:
    found = InMemoryBooks()
    market.keep_market(found)
    market.keep_valued(found, "valued-0000001", 0)
    market.keep_traded(found, "traded-0000001", 0)
    return found


@cache
def outcome(kind: Kind, periods: int) -> dict[str, Any]:
    """Calculate a portfolio of a kind as the workflow does."""
    request: dict[str, Any] = {
        "request_id": "nightly",
        "as_of_date": market.market().days[-1].isoformat(),
        "risk_free_rate": 0.02,
    }
    if PERIODS[periods]:
        request["time_periods"] = PERIODS[periods]
    if kind is Kind.INLINE:
        days, _ = market.valued("inline", 0)
        columns = {"dates": [day.date.isoformat() for day in days], "values": [float(day.value) for day in days]}
        request["portfolios"] = [{"portfolio_id": "valued-0000001", "valuations": columns}]
    else:
        request["entity_ids"] = [f"{kind}-0000001"]
    return calculated(request)


def longest_outcome(periods: int) -> dict[str, Any]:
    """Calculate what has the longest result: a portfolio of one valuation, with ids of full length."""
    longest = {name: name[0] * MAX_ID_CHARACTERS for name in ("portfolio_id", "client_id", "account_id")}
    request: dict[str, Any] = {
        "request_id": "r" * MAX_ID_CHARACTERS,
        "portfolios": [{**longest, "currency": "USD", "valuations": [{"date": "2024-01-02", "value": 1}]}],
        "benchmark": {
            "benchmark_id": "b" * MAX_ID_CHARACTERS,
            "valuations": [{"date": "2023-01-02", "value": 1}, {"date": "2023-01-03", "value": 1}],
        },
    }
    if PERIODS[periods]:
        request["time_periods"] = PERIODS[periods]
    return calculated(request)


def calculated(request: dict[str, Any]) -> dict[str, Any]:
    """Return what CalculatePortfolio returns of the only entity of a request."""
    payloads = InMemoryPayloadStore()
    execution = {"name": "x" * 80}
    plan = validate_input.handler(
        {"request": request, "execution": execution},
        None,
        payloads=payloads,
        books=books(),
        buckets=Buckets(PAYLOAD_BUCKET="payloads", UPLOAD_BUCKET="uploads"),
    )
    (entity,) = plan["entities"]
    event = {"request": plan["request"], "entity": entity, "result_bytes": STATE_BUDGET_BYTES, "execution": execution}
    return calculate_portfolio.handler(
        event,
        None,
        payloads=payloads,
        reader=BookReader(books()),
        cache=SharedCalculationCache(CalculationCache(0, max_entries=0), None),
    )


def attribute_bytes(attribute: dict[str, Any]) -> int:
    """Return the size of an attribute by DynamoDB's rules."""
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            digits = Decimal(value).normalize().as_tuple()
            return (len(digits.digits) + 1) // 2 + 1 + digits.sign
        case "M":
            return 3 + sum(len(name) + attribute_bytes(each) + 1 for name, each in value.items())
        case "L":
            return 3 + sum(attribute_bytes(each) + 1 for each in value)
        case _:
            return 1


RUN = Run(request_id="nightly", execution_name="x" * 80, started_at=datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("periods", PERIODS)
@pytest.mark.parametrize("kind", Kind)
def test_a_result_has_the_size_that_the_model_says(kind: Kind, periods: int) -> None:
    found = outcome(kind, periods)
    row = ResultRow.model_validate(found["result"])
    item = _item(row, RUN)
    size = sum(len(name) + attribute_bytes(each) for name, each in item.items())
    expected = ROWS[kind][periods]
    assert len(json.dumps(found)) == pytest.approx(expected.outcome_bytes, rel=0.03)
    assert size == pytest.approx(expected.item_bytes, rel=0.03)
    assert math.ceil(size / 1024) == expected.write_units
    assert len(list(measurements([row]))) == expected.records


def test_a_record_of_the_time_series_has_the_size_that_the_model_says() -> None:
    row = ResultRow.model_validate(outcome(Kind.VALUED, 8)["result"])
    records = [_record(each) for each in measurements([row])]
    common = _common_attributes(row.calculation_method, RUN)

    def dimensions(record: Any) -> int:
        return sum(len(each["Name"]) + len(each["Value"]) for each in record["Dimensions"])

    sizes = [8 + dimensions(each) + len(each["MeasureName"]) + 8 for each in records]
    assert sum(sizes) / len(sizes) == pytest.approx(workload.RECORD_BYTES, rel=0.05)
    assert dimensions(common) == pytest.approx(workload.COMMON_BYTES, rel=0.05)
    assert workload.BATCH_RECORDS == BATCH_RECORDS


@pytest.mark.parametrize("periods", PERIODS)
def test_the_longest_result_has_the_size_that_the_model_says(periods: int) -> None:
    assert len(json.dumps(longest_outcome(periods))) == pytest.approx(workload.LARGEST_OUTCOME_BYTES[periods], rel=0.01)


def test_a_batch_of_the_default_size_is_of_results_that_fit_into_their_share_of_the_state() -> None:
    size = scenarios.RECOMMENDED.batch_size
    assert len(json.dumps(longest_outcome(8))) <= STATE_BUDGET_BYTES // size
    assert all(Workload(kind=kind).inline(size) for kind in Kind)
    assert STATE_BUDGET_BYTES // (size + 2) < workload.LARGEST_OUTCOME_BYTES[8]


def test_a_request_that_says_nothing_is_what_is_recommended_but_for_the_log() -> None:
    request = FleetRequest.model_validate({"manifest": {"source": "s3://bucket/key.jsonl"}})
    design = scenarios.RECOMMENDED
    assert (design.batch_size, design.max_concurrency) == (request.batch_size, request.max_concurrency)
    assert scenarios.RECOMMENDED_CAPACITY.max_children == request.max_concurrent_batches


def test_steps_are_those_of_the_definitions() -> None:
    outside = steps.batch_steps(0)
    for portfolios in (1, 20, 500):
        batch = steps.batch_steps(portfolios)
        assert batch.transitions == outside.transitions + portfolios
        assert batch.events == outside.events + 7 * portfolios  # a task of an iteration: 5, and its start and end
        assert batch.tasks == 3 + portfolios
        # As many as a batch of its own: a fleet run has the calculation's states.
        assert steps.calculation_steps(portfolios).transitions == batch.transitions
    assert outside.transitions == 9
    assert steps.fleet_steps(50_000).transitions == 50_000 + 7
    assert steps.fleet_steps(1).events == steps.fleet_steps(50_000).events


def test_throttling_is_tried_again_as_the_definition_says() -> None:
    retrier = steps.retrier("CalculatePortfolio")
    assert retrier.attempts == 8
    assert [retrier.limit(attempt) for attempt in range(1, 9)] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert 230 < retrier.longest_wait < 250  # "for about 4 minutes"
    assert {steps.retrier(task) for task in ("ValidateInput", "PersistDynamoDB", "PersistTimestream")} == {retrier}
    with pytest.raises(KeyError):
        steps.retrier("SummariseCalculation2")


def test_the_capacity_is_that_of_the_production_stage() -> None:
    reserved = STAGES["prod"].reserved_concurrency
    capacity = Capacity.of_stage(STAGES["prod"])
    assert capacity.calculate_concurrency == reserved["CalculatePortfolio"]
    assert capacity.other_concurrency == limits.CONCURRENCY.value - sum(reserved.values())
    assert scenarios.RECOMMENDED_BATCHES * scenarios.RECOMMENDED.max_concurrency <= capacity.calculate_concurrency


# What it costs


def test_the_bill_of_standard_batches_is_that_of_their_transitions() -> None:
    design = Design(Children.STANDARD, batch_size=20)
    bill = by_service(run_lines(MILLION, design, Workload()))
    assert bill["Step Functions"] == pytest.approx((50_007 + 50_000 * 29) * 0.025 / 1000)


def test_the_bill_of_express_batches_is_that_of_their_starts_and_seconds() -> None:
    design, load = Design(Children.EXPRESS, batch_size=20), Workload()
    seconds = math.ceil(batch_seconds(design, load) * 10) / 10
    expected = 50_007 * 25e-6 + 50_000 * 1e-6 + 50_000 * seconds * 64 / 1024 * 0.06 / 3600
    assert express_memory_mb(design) == 64
    assert by_service(run_lines(MILLION, design, load))["Step Functions"] == pytest.approx(expected)


def test_results_that_do_not_fit_into_the_state_are_put_once_and_read_twice() -> None:
    inline, stored = (
        run_lines(MILLION, Design(batch_size=size), Workload()) for size in (Workload().largest_inline_batch, 50)
    )
    assert by_service(inline)["S3"] == 0.0
    assert by_service(stored)["S3"] == pytest.approx(MILLION * (5e-6 + 2 * 0.4e-6))


@given(
    portfolios=st.integers(1, 10**7),
    size=st.integers(1, 500),
    children=st.sampled_from(Children),
    kind=st.sampled_from(Kind),
    periods=st.sampled_from((1, 4, 8)),
)
def test_more_portfolios_and_more_periods_never_cost_less(
    portfolios: int, size: int, children: Children, kind: Kind, periods: int
) -> None:
    design, load = Design(children, batch_size=size), Workload(kind=kind, periods=periods)
    bill = total(run_lines(portfolios, design, load))
    assert bill > 0.0
    assert total(run_lines(portfolios + size, design, load)) > bill
    assert total(run_lines(portfolios, design, replace(load, periods=8))) >= bill
    assert total(run_lines(portfolios, design, replace(load, time_series=False))) <= bill
    assert sum(by_service(run_lines(portfolios, design, load)).values()) == pytest.approx(bill)


def test_every_price_and_every_limit_is_in_its_table_with_its_source() -> None:
    for module, kind, listed in ((prices, prices.Price, prices.PRICES), (limits, limits.Limit, limits.LIMITS)):
        constants = [each for each in vars(module).values() if isinstance(each, kind)]
        assert list(listed) == constants
        assert all(each.page.startswith("https://") for each in listed)


def test_an_idle_month_is_counted_in_the_templates(prod: Synthesis, dev: Synthesis) -> None:
    found = {each.settings.stage: list(each.templates.values()) for each in (dev, prod)}
    table = cost_tables.idle(found)
    row = {(line[0], line[1]): line for line in table.rows}
    assert row["KMS", "key"][3] == f"{len(dev.all('AWS::KMS::Key')):.2f}"
    assert row["WAF", "web ACL"][3:] == ["", "5.00"]
    alarms = [each.properties for each in prod.all("AWS::CloudWatch::Alarm")]
    metrics = sum(sum("MetricStat" in metric for metric in each.get("Metrics", [])) or 1 for each in alarms)
    assert f"{metrics / 10:.2f}" in row["CloudWatch", "metric of an alarm"]
    text = (DOCUMENTS / "cost.md").read_text("utf-8")
    assert filled(text, {"idle": table, **cost_document()}) == text, REMAKE


# How it scales: cases that can be calculated

PLENTY = Capacity(
    max_children=1,
    calculate_concurrency=10_000,
    other_concurrency=10_000,
    requests_per_concurrency=1e6,
    new_environments=1e6,
    write_units=1e9,
    read_units=1e9,
    table_units=1e9,
    hot_read_units=1e9,
    series_calls=1e9,
    express_dispatch=1e6,
    standard_dispatch=1e6,
    standard_transitions=1e9,
)
"""One batch at a time, and of everything else more than can be used."""
AT_ONCE = Times(0.0, 1.0, 1.0, 0.0, 0.0, invoke=0.0, transition=0.0, cold=0.0)
"""A calculation takes a second, and nothing else takes any time."""


def certain(portfolios: int, capacity: Capacity, times: Times = AT_ONCE, **design: Any) -> Outcome:
    """Simulate a run in which nothing is left to chance."""
    return simulate(FleetRun(portfolios, Design(**design), Workload(), capacity, times, spread=0.0))


def test_one_portfolio_at_a_time_takes_as_long_as_all_of_them_one_after_the_other() -> None:
    found = certain(120, PLENTY, batch_size=10, max_concurrency=1)
    assert found.map_seconds == pytest.approx(120.0, rel=1e-4)
    assert found.longest_batch_seconds == pytest.approx(10.0, rel=1e-4)
    assert found.utilisation["MaxConcurrency of the Map"] == pytest.approx(1.0)


def test_everything_a_batch_does_takes_its_time() -> None:
    times = Times(2.0, 1.0, 1.0, 4.0, 8.0, invoke=0.5, transition=0.25, cold=0.0)
    found = certain(20, PLENTY, times, batch_size=20, max_concurrency=10)
    calls = 3 * 0.5 + 2 * 0.5
    states = (9 + 2) * 0.25  # ten portfolios at a time: two more states, one after the other
    assert found.map_seconds == pytest.approx(2 + 2 * 1 + 4 + 8 + calls + states, rel=1e-3)


def test_a_rate_that_binds_gives_so_many_a_second() -> None:
    capacity = replace(PLENTY, max_children=6, write_units=90.0, table_units=90.0)
    found = certain(2_000, capacity, batch_size=10, max_concurrency=10)
    assert Workload().row.write_units == 9
    assert found.map_seconds == pytest.approx(2_000 * 9 / 90.0, rel=0.02)
    assert found.utilisation["results table, write units"] == pytest.approx(1.0, rel=0.02)


def test_batches_are_begun_at_the_rate_of_the_map() -> None:
    express = certain(1_000, replace(PLENTY, max_children=10_000, express_dispatch=10.0), batch_size=1)
    assert express.map_seconds == pytest.approx(1_000 / 10 + 1.0, rel=0.02)
    standard = certain(
        1_000,
        replace(PLENTY, max_children=10_000, standard_dispatch=5.0),
        children=Children.STANDARD,
        batch_size=1,
    )
    assert standard.map_seconds == pytest.approx(1_000 / 5 + 1.0, rel=0.02)


def test_a_concurrency_that_binds_obeys_littles_law() -> None:
    found = certain(5_000, replace(PLENTY, max_children=20), batch_size=5, max_concurrency=5)
    rate = 5_000 / found.map_seconds
    at_a_time = found.utilisation["CalculatePortfolio at a time"] * PLENTY.calculate_concurrency
    assert rate * 1.0 == pytest.approx(at_a_time)  # a second each
    assert found.map_seconds == pytest.approx(5_000 / (20 * 5), rel=0.02)


def test_calls_beyond_the_concurrency_are_throttled_and_tried_again() -> None:
    capacity = replace(PLENTY, max_children=4, calculate_concurrency=10)
    found = certain(400, capacity, batch_size=10, max_concurrency=10)
    assert found.throttled["CalculatePortfolio"] > 0
    assert found.calculated + found.failed == 400
    assert max(sample.calculating for sample in found.samples) <= 10
    assert found.map_seconds >= 400 / 10


def test_portfolios_that_are_throttled_to_the_end_are_lost_and_the_others_are_not() -> None:
    slow = replace(AT_ONCE, calculate=60.0, calculate_cold=60.0)
    capacity = replace(PLENTY, calculate_concurrency=1)
    found = certain(40, capacity, slow, children=Children.STANDARD, batch_size=40, max_concurrency=40)
    assert 0 < found.calculated < 40
    assert found.calculated + found.failed == 40


def test_an_express_batch_that_takes_over_five_minutes_is_lost() -> None:
    slow = replace(AT_ONCE, calculate=40.0, calculate_cold=40.0)
    express, standard = (
        certain(10, PLENTY, slow, children=children, batch_size=10, max_concurrency=1)
        for children in (Children.EXPRESS, Children.STANDARD)
    )
    assert (express.calculated, express.failed) == (0, 10)
    assert (standard.calculated, standard.failed) == (10, 0)


def test_a_time_series_that_takes_nothing_loses_no_portfolio() -> None:
    found = certain(
        20, replace(PLENTY, series_calls=1e-6), children=Children.STANDARD, batch_size=10, max_concurrency=10
    )
    assert (found.calculated, found.backfilled) == (20, 20)


def test_a_part_of_a_run_with_a_part_of_everything_takes_as_long() -> None:
    run = scenarios.recommended(40_000)
    whole, part = simulate(run), simulate(run, scale=10)
    assert part.map_seconds == pytest.approx(whole.map_seconds, rel=0.05)
    for name, used in whole.utilisation.items():
        assert part.utilisation[name] == pytest.approx(used, abs=0.05), name
    with pytest.raises(ValueError, match="cannot both be divided by 7"):
        simulate(run, scale=7)


# and laws


@settings(max_examples=25)
@given(
    portfolios=st.integers(1, 600),
    batch=st.integers(1, 60),
    at_a_time=st.integers(1, 40),
    children=st.sampled_from((Children.EXPRESS, Children.STANDARD)),
    batches=st.integers(1, 40),
    calls=st.integers(1, 60),
    units=st.floats(20.0, 10_000.0),
    seed=st.integers(0, 3),
)
def test_every_portfolio_is_done_or_lost_exactly_once(
    portfolios: int, batch: int, at_a_time: int, children: Children, batches: int, calls: int, units: float, seed: int
) -> None:
    capacity = replace(
        Capacity(),
        max_children=batches,
        calculate_concurrency=calls,
        other_concurrency=calls,
        write_units=units,
        read_units=units,
    )
    found = simulate(FleetRun(portfolios, Design(children, batch, at_a_time), Workload(), capacity, seed=seed))
    assert found.calculated + found.failed == portfolios
    assert found.samples[-1].done == found.calculated
    assert found.samples[-1].children == found.samples[-1].calculating == 0
    assert [sample.done for sample in found.samples] == sorted(sample.done for sample in found.samples)
    assert max(sample.calculating for sample in found.samples) <= calls
    assert max(sample.children for sample in found.samples) <= batches
    assert all(used >= 0.0 for used in found.utilisation.values())
    assert simulate(found.run) == found  # the same seed, the same run


@settings(max_examples=10)
@given(
    portfolios=st.integers(50, 1_000),
    batches=st.integers(1, 30),
    units=st.floats(200.0, 5_000.0),
    more=st.floats(1.0, 4.0),
)
def test_more_of_anything_is_never_slower(portfolios: int, batches: int, units: float, more: float) -> None:
    less = replace(PLENTY, max_children=batches, write_units=units, table_units=units)
    base = certain(portfolios, less, batch_size=10, max_concurrency=5)
    slack = 1e-6 + base.longest_batch_seconds  # the last batch may come to lie otherwise
    for capacity in (
        replace(less, write_units=units * more, table_units=units * more),
        replace(less, max_children=math.ceil(batches * more)),
    ):
        found = certain(portfolios, capacity, batch_size=10, max_concurrency=5)
        # What is throttled waits before it tries again: more at a time than the table takes can be slower, and is.
        assert found.map_seconds <= base.map_seconds + slack or found.samples[-1].throttled
    assert certain(portfolios * 2, less, batch_size=10, max_concurrency=5).map_seconds >= base.map_seconds


@given(takes=st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.1, 50.0)), min_size=1, max_size=60))
def test_a_supply_never_gives_more_than_its_rate_and_its_burst(takes: list[tuple[float, float]]) -> None:
    supply, now, given_until = Supply(10.0), 0.0, []
    for pause, units in takes:
        now += pause
        wait = supply.take(now, units, patience=20.0)
        if wait is not None:
            assert wait <= 20.0
            given_until.append((now + wait, units))
    for end, _ in given_until:
        assert sum(units for at, units in given_until if at <= end) <= 10.0 * (end + 1.0) + 1e-6
    assert supply.refused == len(takes) - len(given_until)


def test_a_supply_that_grows_gives_twice_its_peak_up_to_its_quota() -> None:
    supply = Supply(10.0, quota=35.0, doubling_seconds=1_800.0)
    rates = []
    for second in range(4 * 1_800):
        supply.take(float(second), supply.rate, patience=10.0)
        rates.append(supply.rate)
    assert [rates[second] for second in (0, 1_799, 1_801, 3_601)] == pytest.approx([10.0, 10.0, 20.0, 35.0])
    idle = Supply(10.0, quota=35.0, doubling_seconds=1_800.0)
    idle.take(4_000.0, 1.0, patience=0.0)
    assert idle.rate == 10.0


def test_a_pool_makes_no_more_environments_than_it_may_and_uses_those_it_has() -> None:
    pool = Pool(10, new_environments=4, requests_per_second=1e6)
    assert [pool.begin(0.0) for _ in range(5)] == [True, True, True, True, None]
    pool.end(1.0)
    assert pool.begin(0.0) is False
    assert pool.begin(10.0) is True
    assert (pool.cold, pool.throttled, pool.peak) == (5, 1, 5)


# The documents


def test_the_cost_document_is_up_to_date_but_for_the_idle_month() -> None:
    text = (DOCUMENTS / "cost.md").read_text("utf-8")
    assert sorted(parts(text)) == sorted(["idle", *cost_document()])
    for name, table in cost_document().items():
        assert f"<!-- simulate: {name} -->\n\n{table.markdown()}\n\n<!-- end -->" in text, REMAKE


@pytest.mark.slow
def test_the_scale_document_is_up_to_date() -> None:
    text = (DOCUMENTS / "scale.md").read_text("utf-8")
    assert filled(text, scale_document(scale_tables.study())) == text, REMAKE


def test_the_documents_show_every_figure_and_figures_that_are_there() -> None:
    text = "".join((DOCUMENTS / name).read_text("utf-8") for name in ("cost.md", "scale.md"))
    drawn = {file.name for file in IMAGES.glob("*.png")} & {
        "cost-by-design.png",
        "batch-size.png",
        "run.png",
        "ladder.png",
    }
    assert len(drawn) == 4
    for name in drawn:
        assert f"(images/{name})" in text
        assert (IMAGES / name).with_suffix(".svg").is_file()


def test_a_part_without_a_table_is_refused() -> None:
    text = "<!-- simulate: one -->\nold\n<!-- end -->\n"
    table = Table("One", ("a", "b"), [["1", "2"]])
    new = filled(text, {"one": table})
    assert "| 1 | 2 |" in new
    assert "old" not in new
    assert filled(new, {"one": table}) == new
    with pytest.raises(MarkerError):
        filled(text, {"one": table, "two": table})


@pytest.mark.parametrize("children", Children)
def test_a_run_of_ones_own_is_told(
    children: Children, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["capacity", "--portfolios", "2500", "--batch-size", "50", "--children", children.value]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    told = capsys.readouterr().out
    assert "2,500 portfolios" in told
    assert ("on new tables" in told) is (children is not Children.PLAIN)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--portfolios=0"], "must be at least 1"),
        (["--portfolios=-5"], "must be at least 1"),
        (["--portfolios=9", "--batch-size=501"], "must be at most 500"),
        (["--portfolios=9", "--max-concurrency=41"], "must be at most 40"),
        (["--portfolios=9", "--batches=10001"], "must be at most 10,000"),
        (["--batch-size=50"], "need --portfolios"),
    ],
)
def test_a_run_that_nobody_can_ask_for_is_refused(
    arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["capacity", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert reason in capsys.readouterr().err
