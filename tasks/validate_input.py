"""ValidateInput: from a request to the entities to calculate, each small enough for its share of the state."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from common.access import Buckets, Scope
from common.config import BooksSettings, PayloadSettings
from common.errors import Fault, InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.models.books import BookEntityType
from common.models.inputs import PortfolioInput
from common.models.kinds import EntityType
from common.models.limits import MAX_PORTFOLIOS, MAX_PORTFOLIOS_BYTES, MAX_SERIES_BYTES, STATE_BUDGET_BYTES
from common.models.references import read_portfolios, read_valuations
from common.models.request import CalculationRequest, EntityReference, parse_portfolios
from common.models.series import ValuationColumns
from common.models.sources import Source
from common.observability import logger
from common.ownership import benchmark_named, files, files_of, look_up, named, portfolios_named, unreadable
from common.stores.dynamodb_entities import entity_store
from common.stores.ports import EntityStore, PayloadStore
from common.stores.s3 import payload_store

# The benchmark stands in the input of every iteration and so in the history as often: only a small one travels there.
INLINE_BENCHMARK_BYTES = 2_048


def validate_input(
    document: object, execution_name: str, payloads: PayloadStore, books: EntityStore, buckets: Buckets
) -> dict[str, Any]:
    """Validate a request and lay out the work.

    Parameters
    ----------
    document
        The request, as it was given to the execution.
    execution_name
        Stands in for a request id that was not given.
    payloads
        Where to put what does not fit, under a name made of its content: a retry writes the same objects.
    books
        Who owns what; asked where the request is bound to a client.
    buckets
        What a request that is bound to a client may refer to.

    Returns
    -------
    dict
        `request` (what all entities share), `max_concurrency`, `result_bytes` (what each iteration may return
        inline) and `entities`: `{entity_type, entity_id}` each, with its data as `portfolio` or under `key` where the
        request has them, and with an `as_of_date` of its own where it has one.

    Raises
    ------
    InvalidRequestError
        With every fault and its JSON path.
    ThrottledError, TransientError
        A store did not answer; try again.
    """
    request = CalculationRequest.parse(document)
    scope = Scope(request.client_id)
    _refuse(unreadable(files(request), scope, buckets))  # before anything is read
    work = _portfolios(request, scope, payloads, books, buckets) if request.portfolios else _entities(request, books)
    shared = request.model_dump(
        mode="json", exclude={"portfolios", "benchmark", "max_concurrency", "entity_type", "entity_ids", "entities"}
    )
    shared["request_id"] = request.request_id or execution_name
    shared["benchmark"] = _benchmark(request, scope, payloads, books)
    plan = {
        "request": shared,
        "max_concurrency": request.max_concurrency,
        "result_bytes": STATE_BUDGET_BYTES // len(work),
    }
    return {**plan, "entities": _laid_out(work, payloads, STATE_BUDGET_BYTES - len(_json(plan)))}


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    payloads: PayloadStore | None = None,
    books: EntityStore | None = None,
    buckets: Buckets | None = None,
) -> dict[str, Any]:
    """Run `validate_input` as a Lambda function on `{request, execution}`."""
    execution = event["execution"]
    plan = validate_input(
        event["request"],
        execution["name"],
        payloads or payload_store(PayloadSettings.from_env()),
        books or entity_store(BooksSettings.from_env()),
        buckets or Buckets.from_env(),
    )
    logger().info(
        "ValidateInput",
        extra={
            "execution_name": execution["name"],
            "request_id": plan["request"]["request_id"],
            "entities": len(plan["entities"]),
        },
    )
    return plan


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        raise InvalidRequestError(faults)


def _portfolios(
    request: CalculationRequest, scope: Scope, payloads: PayloadStore, books: EntityStore, buckets: Buckets
) -> list[PortfolioInput]:
    """Return the portfolios that come with their data."""
    path, portfolios = "$.portfolios", request.portfolios
    if isinstance(portfolios, Source):
        try:
            body = payloads.get_uri(portfolios.source, max_bytes=MAX_PORTFOLIOS_BYTES)
            portfolios = parse_portfolios(read_portfolios(body, portfolios), path)
        except (InvalidPortfolioError, InputNotFoundError) as error:
            raise InvalidRequestError([Fault(f"{path}.source", str(error))]) from None
        _refuse(unreadable(files_of(portfolios), scope, buckets))
    assert portfolios is not None
    if request.client_id:
        owned, faults = look_up(portfolios_named(portfolios), books, scope.owns)
        _refuse(faults)
        portfolios = [
            # Whose a portfolio is stands in the books, whatever the request says of it.
            each.model_copy(update={"client_id": entity.client_id, "account_id": entity.account_id})
            for each, entity in zip(portfolios, owned, strict=True)
        ]
    return portfolios


def _entities(request: CalculationRequest, books: EntityStore) -> list[EntityReference]:
    """Return the entities whose data are in the books."""
    references = request.references()
    if references is None:
        assert request.client_id is not None
        found = books.entities_of_client(request.client_id, BookEntityType(request.entity_type))
        references = [
            EntityReference(entity_type=request.entity_type, entity_id=each.entity_id, as_of_date=None)
            for each in islice(found, MAX_PORTFOLIOS + 1)
        ]
        if not references:
            raise InvalidRequestError([Fault("$.client_id", f"{request.client_id} has no {request.entity_type}")])
        if len(references) > MAX_PORTFOLIOS:
            message = f"{request.client_id} has over {MAX_PORTFOLIOS}: name as many in entity_ids"
            raise InvalidRequestError([Fault("$.client_id", message)])
    elif request.client_id:
        _, faults = look_up(named(request), books, Scope(request.client_id).owns)
        _refuse(faults)
    return references


def _benchmark(
    request: CalculationRequest, scope: Scope, payloads: PayloadStore, books: EntityStore
) -> dict[str, Any] | None:
    """Read the benchmark once for all portfolios; a large one travels by its key, one of the books by its id."""
    benchmark = request.benchmark
    if benchmark is None:
        return None
    if benchmark.valuations is None:
        _, faults = look_up(benchmark_named(request.benchmark), books, scope.sees)
        _refuse(faults)
        return {"benchmark_id": benchmark.benchmark_id}
    path = "$.benchmark.valuations"
    columns = benchmark.valuations
    if isinstance(columns, Source):
        try:
            levels = read_valuations(payloads.get_uri(columns.source, max_bytes=MAX_SERIES_BYTES), columns)
        except (InvalidPortfolioError, InputNotFoundError) as error:
            raise InvalidRequestError([Fault(f"{path}.source", str(error))]) from None
        if float(levels.values.min()) <= 0.0:
            raise InvalidRequestError([Fault(path, "the levels of a benchmark must be positive")])
        columns = ValuationColumns(levels.days, levels.values)
    found = {"benchmark_id": benchmark.benchmark_id, "valuations": columns.dump()}
    body = _json(found)
    if len(body) <= INLINE_BENCHMARK_BYTES:
        return found
    return {"benchmark_id": benchmark.benchmark_id, "key": _put(body, payloads)}


def _laid_out(
    work: Sequence[PortfolioInput | EntityReference], payloads: PayloadStore, budget: int
) -> list[dict[str, Any]]:
    """Return the work items: as they are where all of them fit into `budget` bytes, else each in its share of them.

    They are written out one by one. As columns the portfolios of a request take a sixth of their room as JSON.
    """
    items: list[dict[str, Any]] = []
    size = 0
    for each in work:
        items.append(_item(each))
        size += len(_json(items[-1])) + 1
        if size > budget:
            return [_travels(_item(every), payloads, budget // len(work)) for every in work]
    return items


def _item(content: PortfolioInput | EntityReference) -> dict[str, Any]:
    document = content.model_dump(mode="json", exclude_none=True)
    if isinstance(content, EntityReference):
        return document
    return {"entity_type": EntityType.PORTFOLIO.value, "entity_id": content.portfolio_id, "portfolio": document}


def _travels(item: dict[str, Any], payloads: PayloadStore, share: int) -> dict[str, Any]:
    """Return `item` where it fits into `share` bytes, otherwise its key."""
    if "portfolio" not in item or len(_json(item)) < share:
        return item
    return {
        "entity_type": item["entity_type"],
        "entity_id": item["entity_id"],
        "key": _put(_json(item["portfolio"]), payloads),
    }


def _put(body: bytes, payloads: PayloadStore) -> str:
    key = f"work/{hashlib.sha256(body).hexdigest()}.json"
    payloads.put(key, body)
    return key


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
