"""ValidateInput: from a request to the portfolios to calculate, each small enough for its share of the state."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from common.config import PayloadSettings
from common.errors import Fault, InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.models.limits import MAX_SOURCE_BYTES, STATE_BUDGET_BYTES
from common.models.references import read_portfolios, read_valuations
from common.models.request import BenchmarkInput, CalculationRequest, PortfolioInput, parse_portfolios
from common.models.series import Source, ValuationColumns
from common.observability import logger
from common.stores.ports import PayloadStore
from common.stores.s3 import payload_store

# The benchmark stands in the input of every iteration and so in the history as often: only a small one travels there.
INLINE_BENCHMARK_BYTES = 2_048


def validate_input(document: object, execution_name: str, payloads: PayloadStore) -> dict[str, Any]:
    """Validate a request and lay out the work.

    Parameters
    ----------
    document
        The request, as it was given to the execution.
    execution_name
        Stands in for a request id that was not given.
    payloads
        Where to put what does not fit, under a name made of its content: a retry writes the same objects.

    Returns
    -------
    dict
        `request` (what all portfolios share), `max_concurrency`, `result_bytes` (what each iteration may return
        inline) and `portfolios`, each whole or as `{portfolio_id, key}`.

    Raises
    ------
    InvalidRequestError
        With every fault and its JSON path.
    ThrottledError, TransientError
        A store did not answer; try again.
    """
    request = CalculationRequest.parse(document)
    portfolios = _portfolios(request, payloads)
    shared = request.model_dump(mode="json", exclude={"portfolios", "benchmark", "max_concurrency"})
    shared["request_id"] = request.request_id or execution_name
    shared["benchmark"] = _benchmark(request.benchmark, payloads)
    items = [portfolio.model_dump(mode="json", exclude_none=True) for portfolio in portfolios]
    plan = {
        "request": shared,
        "max_concurrency": request.max_concurrency,
        "result_bytes": STATE_BUDGET_BYTES // len(items),
    }
    budget = STATE_BUDGET_BYTES - len(_json(plan))
    if sum(len(_json(item)) + 1 for item in items) > budget:
        items = [_travels(item, payloads, budget // len(items)) for item in items]
    return {**plan, "portfolios": items}


def handler(event: Mapping[str, Any], context: object, *, payloads: PayloadStore | None = None) -> dict[str, Any]:
    """Run `validate_input` as a Lambda function on `{request, execution}`."""
    execution = event["execution"]
    plan = validate_input(event["request"], execution["name"], payloads or payload_store(PayloadSettings.from_env()))
    logger().info(
        "ValidateInput",
        extra={
            "execution_name": execution["name"],
            "request_id": plan["request"]["request_id"],
            "portfolios": len(plan["portfolios"]),
        },
    )
    return plan


def _portfolios(request: CalculationRequest, payloads: PayloadStore) -> list[PortfolioInput]:
    if isinstance(request.portfolios, list):
        return request.portfolios
    path, source = "$.portfolios", request.portfolios
    try:
        documents = read_portfolios(payloads.get_uri(source.source, max_bytes=MAX_SOURCE_BYTES), source)
    except (InvalidPortfolioError, InputNotFoundError) as error:
        raise InvalidRequestError([Fault(f"{path}.source", str(error))]) from None
    return parse_portfolios(documents, path)


def _benchmark(benchmark: BenchmarkInput | None, payloads: PayloadStore) -> dict[str, Any] | None:
    """Read the benchmark once for all portfolios; a large one travels by its key."""
    if benchmark is None:
        return None
    path = "$.benchmark.valuations"
    columns = benchmark.valuations
    if isinstance(columns, Source):
        try:
            levels = read_valuations(payloads.get_uri(columns.source, max_bytes=MAX_SOURCE_BYTES), columns)
        except (InvalidPortfolioError, InputNotFoundError) as error:
            raise InvalidRequestError([Fault(f"{path}.source", str(error))]) from None
        if float(levels.values.min()) <= 0.0:
            raise InvalidRequestError([Fault(path, "the levels of a benchmark must be positive")])
        dates = levels.days.astype("datetime64[D]").astype(str).tolist()
        columns = ValuationColumns.model_validate({"dates": dates, "values": levels.values.tolist()})
    found = {"benchmark_id": benchmark.benchmark_id, "valuations": columns.model_dump(mode="json")}
    body = _json(found)
    if len(body) <= INLINE_BENCHMARK_BYTES:
        return found
    return {"benchmark_id": benchmark.benchmark_id, "key": _put(body, payloads)}


def _travels(item: dict[str, Any], payloads: PayloadStore, share: int) -> dict[str, Any]:
    """Return `item` where it fits into `share` bytes, otherwise its key."""
    body = _json(item)
    if len(body) < share:
        return item
    return {"portfolio_id": item["portfolio_id"], "key": _put(body, payloads)}


def _put(body: bytes, payloads: PayloadStore) -> str:
    key = f"work/{hashlib.sha256(body).hexdigest()}.json"
    payloads.put(key, body)
    return key


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
