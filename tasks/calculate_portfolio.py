"""CalculatePortfolio: the performance of one portfolio, account or security over all periods asked for."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import Any

import orjson
from pydantic import TypeAdapter

# What `series` imports with the first columns, here at the start: a snapshot of the function has it then.
import common.models.columns  # noqa: F401 - as above
from common.access import Scope
from common.cache import CalculationCache, code_version, fingerprint
from common.calculations.performance import PeriodPerformance, calculate_performance
from common.calculations.risk import RISK_METRICS
from common.calculations.types import Flows, Valuations
from common.calculations.words import FlowTiming, day_date
from common.config import BooksSettings, CacheSettings, PayloadSettings
from common.errors import InputNotFoundError, InvalidPortfolioError, StoreError, clip
from common.models.arguments import conventions_of, periods_of
from common.models.books import BookEntityType, EntityKey
from common.models.fields import ahead_fault
from common.models.inputs import PortfolioInput
from common.models.limits import MAX_SERIES_BYTES
from common.models.options import CalculationOptions
from common.models.references import read_cash_flows, read_valuations
from common.models.series import CashFlowColumns, ValuationColumns
from common.observability import logger
from common.stores.dynamodb_books import book_store
from common.stores.dynamodb_cache import result_cache
from common.stores.histories import BookReader, EntityHistory, given_history
from common.stores.layered_cache import SharedCalculationCache
from common.stores.ports import PayloadStore
from common.stores.s3 import payload_store
from common.warm import kept

# What a failure's row needs besides its message: names of fields, the portfolio's id, the error's class.
_FAILURE_FRAME_BYTES = 210
_BENCHMARKS_KEPT = 4
_RESULTS_KEPT = 1024

_levels: TypeAdapter[ValuationColumns] = TypeAdapter(ValuationColumns)

_DRAWDOWN_DATES = ("max_drawdown_peak", "max_drawdown_trough", "max_drawdown_recovery")
_LAID_OUT_APART = {"label", "from_date", "to_date", *_DRAWDOWN_DATES, "risk", "undefined", "warnings"}
_OWN_METRICS = tuple(name for name in PeriodPerformance._fields if name not in _LAID_OUT_APART)
_own_metrics, _risk_metrics = attrgetter(*_OWN_METRICS), attrgetter(*RISK_METRICS)

CALCULATION_CODE = (
    "common.calculations",
    "common.models.arguments",
    "common.models.books",
    "common.models.columns",
    "common.models.fields",
    "common.models.inputs",
    "common.models.kinds",
    "common.models.limits",
    "common.models.options",
    "common.models.series",
    "common.stores.book_items",
    "common.stores.dynamodb_books",
    "common.stores.dynamodb_entities",
    "common.stores.histories",
    "common.stores.portfolio_books",
    "common.stores.series_arrays",
    "common.stores.series_chunks",
    "tasks.calculate_portfolio",
)
"""What a result depends on besides its data: a change of any of it makes what is in the cache worthless."""


def calculate_portfolio(
    event: Mapping[str, Any], payloads: PayloadStore, reader: BookReader | None, cache: SharedCalculationCache | None
) -> dict[str, Any]:
    """Calculate one portfolio, account or security.

    Parameters
    ----------
    event
        `{request, entity, result_bytes, execution}` as `ValidateInput` laid it out.
    payloads
        Where referenced data is, and where a result goes that is larger than `result_bytes`.
    reader
        Reads the history of what comes without its data; None where the entity brings it.
    cache
        What was calculated from the same revisions of the books before; None likewise.

    Returns
    -------
    dict
        `row` (the key of the row) and `result`, or `result_key`; `cached` where it was read instead of calculated.

    Raises
    ------
    InvalidPortfolioError, InputNotFoundError
        The entity's data cannot be used; the message fits its share of the state.
    ThrottledError, TransientError
        A store did not answer; try again.
    """
    room = int(event["result_bytes"])
    try:
        result, cached = _result(event, payloads, reader, cache)
    except (InvalidPortfolioError, InputNotFoundError, StoreError) as error:
        # The failures of all entities have to fit into the one state that collects them.
        raise type(error)(_clip_json(str(error), room - _FAILURE_FRAME_BYTES)) from None
    row = {key: result[key] for key in ("entity_type", "entity_id", "calculation_date")}
    outcome = {"row": row, **({"cached": True} if cached else {}), "result": result}
    if _size(outcome) <= room:
        return outcome
    key = f"results/{event['execution']['name']}/{row['entity_type']}/{row['entity_id']}/{row['calculation_date']}.json"
    payloads.put(key, _json(result))
    del outcome["result"]
    return {**outcome, "result_key": key}


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    payloads: PayloadStore | None = None,
    reader: BookReader | None = None,
    cache: SharedCalculationCache | None = None,
) -> dict[str, Any]:
    """Run `calculate_portfolio` as a Lambda function."""
    if not _brings_its_data(event["entity"]):
        # Making a client takes longer than calculating a portfolio that needs none.
        reader = reader or book_reader(BooksSettings.from_env())
        cache = cache or calculation_cache(CacheSettings.from_env())
    outcome = calculate_portfolio(event, payloads or payload_store(PayloadSettings.from_env()), reader, cache)
    logger().info(
        "CalculatePortfolio",
        extra={
            "execution_name": event["execution"]["name"],
            "request_id": event["request"]["request_id"],
            "cached": outcome.get("cached", False),
            **outcome["row"],
        },
    )
    return outcome


@kept
def book_reader(settings: BooksSettings) -> BookReader:
    """Return the reader of these settings; a warm function keeps it, and the prices it has read."""
    return BookReader(book_store(settings))


@kept
def calculation_cache(settings: CacheSettings) -> SharedCalculationCache:
    """Return the cache of these settings; a warm function keeps it."""
    local: CalculationCache[str, dict[str, Any]] = CalculationCache(
        settings.ttl_seconds, max_entries=_RESULTS_KEPT if settings.ttl_seconds else 0
    )
    return SharedCalculationCache(local, result_cache(settings))


def _brings_its_data(entity: Mapping[str, Any]) -> bool:
    return "portfolio" in entity or "key" in entity


def _result(
    event: Mapping[str, Any], payloads: PayloadStore, reader: BookReader | None, cache: SharedCalculationCache | None
) -> tuple[dict[str, Any], bool]:
    shared = dict(event["request"])
    benchmark, client_id = shared.pop("benchmark"), shared.pop("client_id")
    options = CalculationOptions.model_validate(shared)
    entity = event["entity"]
    if _brings_its_data(entity):
        who, what = _given(entity, options, benchmark, payloads)
        cached = False
    else:
        assert reader is not None
        assert cache is not None
        who, what, cached = _of_the_books(entity, options, benchmark, Scope(client_id), payloads, reader, cache)
    return {
        "entity_type": entity["entity_type"],
        "entity_id": entity["entity_id"],
        "calculation_method": options.calculation_method.value,
        "request_id": options.request_id,
        "risk_free_rate": options.risk_free_rate,
        **who,
        **what,
    }, cached


def _given(
    entity: Mapping[str, Any], options: CalculationOptions, benchmark: Mapping[str, Any] | None, payloads: PayloadStore
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Calculate a portfolio that comes with its data."""
    document = entity["portfolio"] if "portfolio" in entity else orjson.loads(payloads.get(entity["key"]))
    portfolio = PortfolioInput.model_validate(document)
    history = given_history(
        _valuations(portfolio, payloads),
        _flows(portfolio, payloads),
        options.flow_timing or FlowTiming.AFTER_CLOSE,
        options.as_of_date,
    )
    who = {
        "benchmark_id": benchmark["benchmark_id"] if benchmark else None,
        "currency": portfolio.currency,
        "client_id": portfolio.client_id,
        "account_id": portfolio.account_id,
    }
    return who, _calculated(history, options, options.as_of_date, _benchmark(benchmark, payloads))


def _of_the_books(
    reference: Mapping[str, Any],
    options: CalculationOptions,
    benchmark: Mapping[str, Any] | None,
    scope: Scope,
    payloads: PayloadStore,
    reader: BookReader,
    cache: SharedCalculationCache,
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Calculate an entity whose data are in the books, unless that was done before at the same revisions of them."""
    key = EntityKey(BookEntityType(reference["entity_type"]), reference["entity_id"])
    given = benchmark if benchmark and ("valuations" in benchmark or "key" in benchmark) else None
    depends = reader.dependencies(key, benchmark["benchmark_id"] if benchmark else None, compare=given is None)
    entity = depends.entity.entity
    if not scope.owns(entity):
        raise InputNotFoundError(f"there is no {key.entity_type} {key.entity_id} in the books")
    as_of = date.fromisoformat(reference["as_of_date"]) if "as_of_date" in reference else options.as_of_date

    def compute() -> dict[str, Any]:
        history = reader.history(
            depends,
            until=as_of,
            max_price_age_days=options.max_price_age_days,
            flow_timing=options.flow_timing,
        )
        levels = _benchmark(given, payloads) if given else reader.benchmark(depends)
        return _calculated(history, options, as_of, levels)

    who = {
        "benchmark_id": given["benchmark_id"] if given else depends.benchmark and depends.benchmark.entity.entity_id,
        "currency": entity.currency,
        "client_id": entity.client_id,
        "account_id": entity.account_id,
        "asked": {
            "calculation_method": options.calculation_method.value,
            "flow_timing": options.flow_timing and options.flow_timing.value,
            "risk_free_rate": options.risk_free_rate,
            "periods_per_year": options.periods_per_year,
            "max_price_age_days": options.max_price_age_days,
            "benchmark_id": benchmark["benchmark_id"] if benchmark and not given else None,
        },
    }
    determined_by = (
        code_version(CALCULATION_CODE),
        depends.revisions(),
        options.model_dump(mode="json", exclude={"request_id", "as_of_date"}),
        as_of and as_of.isoformat(),
        given,
    )
    what, cached = cache.get_or_compute(fingerprint(*determined_by), compute)
    return who, what, cached


def _calculated(
    history: EntityHistory, options: CalculationOptions, as_of: date | None, benchmark: Valuations | None
) -> dict[str, Any]:
    """Calculate a history that ends by `as_of`; no level of a benchmark that is later has a part in it either."""
    if as_of is None:
        as_of = day_date(int(history.valuations.days[-1]))
        if ahead := ahead_fault(as_of, datetime.now(UTC).date()):
            raise InvalidPortfolioError(f"the last valuation, of {as_of.isoformat()}, {ahead}")
    performance = calculate_performance(
        history.valuations,
        history.flows,
        periods_of(options, as_of),
        conventions_of(options, history.flow_timing),
        benchmark,
    )
    return {
        "calculation_date": as_of.isoformat(),
        "flow_timing": history.flow_timing.value,
        "periods_per_year": performance.periods_per_year,
        "periods": {period.label: _period(period) for period in performance.periods},
        "warnings": sorted({*performance.warnings, *history.warnings}),
    }


def _valuations(portfolio: PortfolioInput, payloads: PayloadStore) -> Valuations:
    series = portfolio.valuations
    if isinstance(series, ValuationColumns):
        return series.valuations()
    return read_valuations(payloads.get_uri(series.source, max_bytes=MAX_SERIES_BYTES), series)


def _flows(portfolio: PortfolioInput, payloads: PayloadStore) -> Flows:
    series = portfolio.cash_flows
    if isinstance(series, CashFlowColumns):
        return series.flows()
    return read_cash_flows(payloads.get_uri(series.source, max_bytes=MAX_SERIES_BYTES), series)


def _benchmark(benchmark: Mapping[str, Any] | None, payloads: PayloadStore) -> Valuations | None:
    if benchmark is None:
        return None
    if "key" in benchmark:
        return _stored_benchmark(benchmark["key"], payloads)
    return _levels.validate_python(benchmark["valuations"]).valuations()


@lru_cache(maxsize=_BENCHMARKS_KEPT)
def _stored_benchmark(key: str, payloads: PayloadStore) -> Valuations:
    """Read a benchmark once for all portfolios of a warm function; its key is made of its content."""
    return _levels.validate_python(orjson.loads(payloads.get(key))["valuations"]).valuations()


def _period(period: PeriodPerformance) -> dict[str, Any]:
    """Lay a period out flat: its own metrics and those of risk, and one list of reasons for both."""
    risk = period.risk
    own, of_risk = _own_metrics(period), _risk_metrics(risk)
    if not all(map(isfinite, [each for each in (*own, *of_risk) if each is not None])):
        raise ValueError(f"a metric of {period.label} is not finite")
    return {
        "from": _iso(period.from_date),
        "to": _iso(period.to_date),
        **dict(zip(_OWN_METRICS, own, strict=True)),
        **dict(zip(RISK_METRICS, of_risk, strict=True)),
        **{name: _iso(getattr(period, name)) for name in _DRAWDOWN_DATES},
        "undefined": period.undefined | risk.undefined,
        "warnings": list(period.warnings),
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _json(value: object) -> bytes:
    # A metric may be a scalar of numpy's.
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _size(outcome: dict[str, Any]) -> int:
    """Return the bytes of `outcome` as Lambda writes it: with a space after each comma and each colon."""
    body = _json(outcome)
    return len(body) + body.count(b",") + body.count(b":")


def _clip_json(text: str, limit: int) -> str:
    """Shorten `text` so that it takes at most `limit` bytes as JSON."""
    escapes = len(json.dumps(text)) - len(text)
    return text if len(text) + escapes <= limit else clip(text, max(limit - escapes, 60))
