"""The functions themselves: one portfolio from the bytes of its event to those of the answer, and cold imports."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
from rich.table import Table

from common.calculations import FlowTiming, StandardPeriod, calculate_performance
from common.calculations.words import day_date
from common.models.arguments import conventions_of, periods_of
from common.models.inputs import PortfolioInput
from common.models.options import CalculationOptions
from common.models.series import CashFlowColumns, ValuationColumns
from common.observability import logger
from common.stores.memory import InMemoryPayloadStore
from tasks.calculate_portfolio import handler
from tests.benchmarks import market
from tests.benchmarks.measure import Case, Work, measure, quiet
from workflows.registry import FUNCTIONS

Json = dict[str, Any]

ROOT: Final = Path(__file__).parents[2]
IMPORT_ROUNDS: Final = 9
PERIODS: Final = [period.value for period in StandardPeriod]
# What every function would import if it did nothing. pydantic imports most of itself when the first model is made.
_ALONE: Final = "import numpy, pydantic\nfrom aws_lambda_powertools import Logger"
_WITH_A_MODEL: Final = (
    "import numpy\nfrom pydantic import BaseModel\nfrom aws_lambda_powertools import Logger\n"
    "class Model(BaseModel):\n    field: int"
)


def cases() -> Iterator[Case | Table]:
    """Yield CalculatePortfolio, warm, where its time goes, and the import of each handler."""
    with quiet():
        yield from _calculation(PERIODS, f"{len(PERIODS)} periods")
        yield from _calculation(["ITD"], "ITD alone")
        yield _decoding()
        yield _shares()
    yield from _imports()


def portfolio() -> Json:
    """Return a portfolio with its data, as ValidateInput hands it on."""
    values, flows = market.valued("portfolio", 0)
    signs = {"deposit": 1, "withdrawal": -1}
    return {
        "portfolio_id": "portfolio",
        "valuations": {
            "dates": [each.date.isoformat() for each in values],
            "values": [float(each.value) for each in values],
        },
        "cash_flows": {
            "dates": [each.trade_date.isoformat() for each in flows],
            "amounts": [float(each.amount or 0) * signs[each.type.value] for each in flows],
        },
    }


def event(periods: Sequence[str], entity: Json) -> bytes:
    """Return the event of one iteration of the Map."""
    document = {
        "request": {
            "request_id": "bench",
            "time_periods": list(periods),
            "calculation_method": "daily",
            "risk_free_rate": 0.02,
            "max_price_age_days": 7,
            "benchmark": None,
            "client_id": None,
        },
        "entity": {"entity_type": "portfolio", "entity_id": "portfolio", **entity},
        "result_bytes": 24_000,
        "execution": {"name": "bench"},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _calculation(periods: Sequence[str], name: str) -> Iterator[Case]:
    given = portfolio()
    body = event(periods, {"portfolio": given})
    payloads = InMemoryPayloadStore()
    payloads.put("work/portfolio.json", json.dumps(given, separators=(",", ":")).encode())
    by_key = event(periods, {"key": "work/portfolio.json"})

    def as_lambda(document: bytes) -> bytes:
        answer = handler(json.loads(document), None, payloads=payloads)
        return json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()

    def decoded_by_orjson(document: bytes) -> bytes:
        return orjson.dumps(handler(orjson.loads(document), None, payloads=payloads))

    found = json.loads(as_lambda(body))
    assert list(found["result"]["periods"]) == list(periods)
    assert found == json.loads(as_lambda(by_key)) == json.loads(decoded_by_orjson(body))
    alone = partial(orjson.loads, body)
    what = f"CalculatePortfolio, {market.DAYS:,} days, {name}, bytes to bytes"
    for how, work in (
        ("data in the event", partial(as_lambda, body)),
        ("the same, decoded by orjson", partial(decoded_by_orjson, body)),
        ("data by key", partial(as_lambda, by_key)),
    ):
        yield Case(f"{what}: {how}", work, "orjson.loads of the data", alone, clock=time.process_time)


def _decoding() -> Case:
    body = event(PERIODS, {"portfolio": portfolio()})
    return Case(
        "json.loads of the event, which Lambda's runtime does",
        lambda: json.loads(body),
        "orjson.loads of the same bytes",
        lambda: orjson.loads(body),
        clock=time.process_time,
    )


def _shares() -> Table:
    """Return where the time of one portfolio goes: each step by itself, in turns with `orjson.loads`."""
    found = Table(
        "Step of CalculatePortfolio", *(f"{n} period(s)" for n in (8, 1)), title="In orjson.loads of the event"
    )
    columns: list[dict[str, float]] = []
    for periods in (PERIODS, ["ITD"]):
        body = event(periods, {"portfolio": portfolio()})
        steps = _steps(body)
        columns.append(
            {name: 1 / median(measure(_against_decoding(step, body)).ratios) for name, step in steps.items()}
        )
    for name in columns[0]:
        found.add_row(name, *(f"{column[name]:.2f}x" for column in columns))
    return found


def _against_decoding(step: Work, body: bytes) -> Case:
    return Case("", step, "", partial(orjson.loads, body), clock=time.process_time)


def _steps(body: bytes) -> dict[str, Work]:
    document = json.loads(body)
    given, request = document["entity"]["portfolio"], document["request"]
    shared = {name: value for name, value in request.items() if name not in {"benchmark", "client_id"}}
    options, read = CalculationOptions.model_validate(shared), PortfolioInput.model_validate(given)
    assert isinstance(read.valuations, ValuationColumns)
    assert isinstance(read.cash_flows, CashFlowColumns)
    valuations, flows = read.valuations.valuations(), read.cash_flows.flows()
    periods = periods_of(options, day_date(int(valuations.days[-1])))
    conventions = conventions_of(options, FlowTiming.AFTER_CLOSE)
    answer = handler(document, None, payloads=InMemoryPayloadStore())
    return {
        "json.loads": lambda: json.loads(body),
        "the columns": lambda: PortfolioInput.model_validate(given),
        "the mathematics": lambda: calculate_performance(valuations, flows, periods, conventions),
        "the log": lambda: logger().info("CalculatePortfolio", extra=answer["row"]),
        "json.dumps": lambda: json.dumps(answer, ensure_ascii=False),
        "the function, decoded event to answer": lambda: handler(document, None, payloads=InMemoryPayloadStore()),
    }


def _imports() -> Iterator[Case]:
    """Yield the processor time of a new interpreter that imports a handler."""
    for function, registered in FUNCTIONS.items():
        module = registered.handler.rpartition(".")[0]
        yield _import(f"import of {function}", f"import {module}", "numpy, pydantic, Logger, one model", _WITH_A_MODEL)
    yield _import("numpy, pydantic, Logger, one model", _WITH_A_MODEL, "without the model", _ALONE)


def _import(what: str, ours: str, against: str, theirs: str) -> Case:
    works = [partial(_run, code) for code in (ours, theirs)]
    for work in works:
        work()  # so that there is bytecode
    return Case(what, works[0], against, works[1], IMPORT_ROUNDS, clock=_children_seconds)


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
