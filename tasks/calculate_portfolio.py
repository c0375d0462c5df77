"""CalculatePortfolio: one portfolio's performance over all periods asked for."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from common.calculations import Flows, Performance, PeriodPerformance, Valuations, calculate_performance
from common.calculations.types import day_date
from common.config import PayloadSettings
from common.errors import InputNotFoundError, InvalidPortfolioError, StoreError, clip
from common.models.limits import MAX_SOURCE_BYTES
from common.models.references import read_cash_flows, read_valuations
from common.models.request import CalculationOptions, PortfolioInput
from common.models.results import EntityType
from common.models.series import CashFlowColumns, ValuationColumns
from common.observability import logger
from common.stores.ports import PayloadStore
from common.stores.s3 import payload_store

# What a failure's row needs besides its message: names of fields, the portfolio's id, the error's class.
_FAILURE_FRAME_BYTES = 180
_BENCHMARKS_KEPT = 4


def calculate_portfolio(event: Mapping[str, Any], payloads: PayloadStore) -> dict[str, Any]:
    """Calculate one portfolio.

    Parameters
    ----------
    event
        `{request, portfolio, result_bytes, execution}` as `ValidateInput` laid it out.
    payloads
        Where referenced data is, and where a result goes that is larger than `result_bytes`.

    Returns
    -------
    dict
        `row` (the key of the row) and `result`, or `result_key`.

    Raises
    ------
    InvalidPortfolioError, InputNotFoundError
        The portfolio's data cannot be used; the message fits the portfolio's share of the state.
    ThrottledError, TransientError
        A store did not answer; try again.
    """
    room = int(event["result_bytes"])
    try:
        result = _result(event, payloads)
    except (InvalidPortfolioError, InputNotFoundError, StoreError) as error:
        # The failures of all portfolios have to fit into the one state that collects them.
        raise type(error)(_clip_json(str(error), room - _FAILURE_FRAME_BYTES)) from None
    row = {key: result[key] for key in ("entity_type", "entity_id", "calculation_date")}
    outcome = {"row": row, "result": result}
    if len(json.dumps(outcome, allow_nan=False)) <= room:
        return outcome
    key = f"results/{event['execution']['name']}/{result['entity_id']}.json"
    payloads.put(key, json.dumps(result, allow_nan=False).encode())
    return {"row": row, "result_key": key}


def handler(event: Mapping[str, Any], context: object, *, payloads: PayloadStore | None = None) -> dict[str, Any]:
    """Run `calculate_portfolio` as a Lambda function."""
    outcome = calculate_portfolio(event, payloads or payload_store(PayloadSettings.from_env()))
    logger().info(
        "CalculatePortfolio",
        extra={
            "execution_name": event["execution"]["name"],
            "request_id": event["request"]["request_id"],
            **outcome["row"],
        },
    )
    return outcome


def _result(event: Mapping[str, Any], payloads: PayloadStore) -> dict[str, Any]:
    shared = dict(event["request"])
    benchmark = shared.pop("benchmark")
    options = CalculationOptions.model_validate(shared)
    document = event["portfolio"]
    if "key" in document:
        document = json.loads(payloads.get(document["key"]))
    portfolio = PortfolioInput.model_validate(document)
    valuations = _valuations(portfolio, payloads)
    flows = _flows(portfolio, payloads)
    as_of = options.as_of_date or day_date(int(valuations.days[-1]))
    if day_date(int(valuations.days[0])) > as_of:
        first = day_date(int(valuations.days[0])).isoformat()
        raise InvalidPortfolioError(f"the first valuation, {first}, is later than as_of_date {as_of.isoformat()}")
    performance = calculate_performance(
        valuations, flows, options.periods(as_of), options.conventions, _benchmark(benchmark, payloads)
    )
    return {
        "entity_type": EntityType.PORTFOLIO.value,
        "entity_id": portfolio.portfolio_id,
        "calculation_date": as_of.isoformat(),
        "calculation_method": options.calculation_method.value,
        "request_id": options.request_id,
        "flow_timing": options.flow_timing.value,
        "risk_free_rate": options.risk_free_rate,
        "benchmark_id": benchmark["benchmark_id"] if benchmark else None,
        "currency": portfolio.currency,
        "client_id": portfolio.client_id,
        "account_id": portfolio.account_id,
        **_performance(performance),
    }


def _valuations(portfolio: PortfolioInput, payloads: PayloadStore) -> Valuations:
    series = portfolio.valuations
    if isinstance(series, ValuationColumns):
        return series.valuations()
    return read_valuations(payloads.get_uri(series.source, max_bytes=MAX_SOURCE_BYTES), series)


def _flows(portfolio: PortfolioInput, payloads: PayloadStore) -> Flows:
    series = portfolio.cash_flows
    if isinstance(series, CashFlowColumns):
        return series.flows()
    return read_cash_flows(payloads.get_uri(series.source, max_bytes=MAX_SOURCE_BYTES), series)


def _benchmark(benchmark: Mapping[str, Any] | None, payloads: PayloadStore) -> Valuations | None:
    if benchmark is None:
        return None
    if "key" in benchmark:
        return _stored_benchmark(benchmark["key"], payloads)
    return ValuationColumns.model_validate(benchmark["valuations"]).valuations()


@lru_cache(maxsize=_BENCHMARKS_KEPT)
def _stored_benchmark(key: str, payloads: PayloadStore) -> Valuations:
    """Read a benchmark once for all portfolios of a warm function; its key is made of its content."""
    return ValuationColumns.model_validate(json.loads(payloads.get(key))["valuations"]).valuations()


def _performance(performance: Performance) -> dict[str, Any]:
    return {
        "periods_per_year": performance.periods_per_year,
        "periods": {period.label: _period(period) for period in performance.periods},
        "warnings": list(performance.warnings),
    }


def _period(period: PeriodPerformance) -> dict[str, Any]:
    """Lay a period out flat: its own metrics and those of risk, and one list of reasons for both."""
    found = asdict(period)
    risk = found.pop("risk")
    del found["label"]
    undefined = found.pop("undefined") | risk.pop("undefined")
    warnings = found.pop("warnings")
    start, end = found.pop("from_date"), found.pop("to_date")
    dates = {
        name: value.isoformat() if (value := found.pop(name)) else None
        for name in ("max_drawdown_peak", "max_drawdown_trough", "max_drawdown_recovery")
    }
    return {
        "from": start.isoformat() if start else None,
        "to": end.isoformat() if end else None,
        **found,
        **risk,
        **dates,
        "undefined": undefined,
        "warnings": list(warnings),
    }


def _clip_json(text: str, limit: int) -> str:
    """Shorten `text` so that it takes at most `limit` bytes as JSON."""
    escapes = len(json.dumps(text)) - len(text)
    return text if len(text) + escapes <= limit else clip(text, max(limit - escapes, 60))
