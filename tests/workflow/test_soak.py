"""A fleet run in bad weather: poison, throttling, dying workers. Nothing is lost, and nothing is counted twice."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.models.kinds import EntityType
from common.stores.ports import ResultKey
from workflows.local.lambda_host import Injected, Refusal
from workflows.local.runtime import LocalRuntime

DAYS = [(date(2024, 1, 1) + timedelta(days=index)).isoformat() for index in range(60)]
AS_OF = date.fromisoformat(DAYS[-1])
POISON = 0.01
Json = dict[str, Any]


def name_of(number: int) -> str:
    return f"p{number:06}"


def growth(number: int) -> float:
    """A daily growth that only this portfolio has, so that its row tells whose data it was made from."""
    return 1 + (number + 1) * 1e-8


def entries(count: int, poisoned: dict[int, str]) -> Iterator[str]:
    for number in range(count):
        values = [1000 * growth(number) ** day for day in range(len(DAYS))]
        match poisoned.get(number):
            case "text":
                yield '{"portfolio_id": '
                continue
            case "values":
                values = [-1.0, float("1e16"), *values[2:]]
            case "missing":
                yield json.dumps({"entity_id": name_of(number)})
                continue
        yield json.dumps({"portfolio_id": name_of(number), "valuations": {"dates": DAYS, "values": values}})


def weather(seed: int) -> Any:
    """Of all first attempts some are throttled, some find a dying worker, some fail for good."""

    def fault(name: str, event: Any, attempt: int) -> Injected | None:
        if attempt > 2:
            return None
        luck = random.Random(f"{seed}{name}{attempt}{json.dumps(event, sort_keys=True)[-400:]}").random()
        if luck < 0.01:
            return Refusal()
        if luck < 0.02:
            return SystemExit(137)
        if luck < 0.03 and name in {"CalculatePortfolio", "PersistDynamoDB"}:
            return TimeoutError("of no type that is retried")
        return None

    return fault


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.slow)])
def test_nothing_is_lost_and_nothing_is_counted_twice(tmp_path: Path, count: int) -> None:
    chosen = random.Random(7).sample(range(count), int(count * POISON))
    kinds = ("text", "values", "missing")
    poisoned = {number: kinds[index % 3] for index, number in enumerate(chosen)}
    manifest = tmp_path / "manifest.jsonl"
    with manifest.open("w") as file:
        file.writelines(f"{line}\n" for line in entries(count, poisoned))
    names = [name_of(number) for number in range(count)]
    with LocalRuntime(tmp_path / "data", faults=weather(1), retry_delay_scale=0.001) as runtime:
        request = {"manifest": {"source": str(manifest)}, "time_periods": ["ITD"], "request_id": "soak"}
        execution = runtime.fleet.wait(runtime.fleet.start_or_attach(request).name)
        summary = execution.output
        rows = runtime.result_store.read_many([ResultKey(EntityType.PORTFOLIO, name, AS_OF) for name in names])
        failures = [json.loads(line) for line in runtime.payload_store.get(summary["failures"]["key"]).splitlines()]
        calculated = [json.loads(line) for line in runtime.payload_store.get(summary["results"]["key"]).splitlines()]
        _, records = runtime.time_series_reader.query(
            "SELECT entity_id, count(*) AS number FROM investment_performance.performance_metrics "
            "WHERE measure_name = 'twr' GROUP BY entity_id"
        )
        series = {each["entity_id"]: each["number"] for each in records}
    assert summary["entities"] == count
    assert summary["calculated"] + summary["failed"] == count
    assert summary["calculated"] == len(calculated)
    assert summary["failed"] == len(failures)
    # Each is either a row, with its own numbers, or a failure; never both, never neither.
    stored = {key.entity_id for key in rows}
    assert Counter(each["entity_id"] for each in calculated) == Counter(stored)
    for key, row in rows.items():
        expected = growth(int(key.entity_id[1:])) ** (len(DAYS) - 1) - 1
        assert row["periods"]["ITD"]["twr"] == pytest.approx(expected, rel=1e-6)
    assert series == dict.fromkeys(stored, 1)
    # What the weather did was retried; what is poison failed. An error of no known kind is nobody's to retry.
    well = {name_of(number) for number in range(count) if number not in poisoned}
    lost = [each for each in failures if each["failure"]["error"] == "TimeoutError"]
    # The weather may hit a portfolio that is poison, before that is found.
    assert well - stored == well & {str(each.get("portfolio_id", each.get("entity_id"))) for each in lost}
    assert stored.isdisjoint(name_of(number) for number in poisoned)
