"""Recalculation: results that a back-dated transaction has made wrong are calculated again, a burst at a time."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from common.config import BooksSettings, ExecutionSettings, ResultStoreSettings
from common.models.books import BookEntityType, Entity, EntityKey, Mark
from common.models.limits import MAX_CONCURRENCY, MAX_PORTFOLIOS
from common.models.results import EntityType
from common.observability import logger
from common.stores.botocore_errors import typed_errors
from common.stores.dynamodb import result_store
from common.stores.dynamodb_books import book_store
from common.stores.ports import Books, JsonObject, ResultStore
from workflows.executions import ExecutionClient, ExecutionStatus, canonical_json, execution_client

_HASH_DIGITS = 24

ENTERING = timedelta(seconds=30)
"""How long a transaction may take from its mark's time until everybody reads it, retries and clocks included."""


class Options(NamedTuple):
    """How a stored result was calculated, and so how it is to be calculated again.

    The request id is kept: the time series is overwritten only by a record of the same request.
    """

    request_id: str
    calculation_method: str
    flow_timing: str
    risk_free_rate: float
    benchmark_id: str | None
    time_periods: tuple[str, ...]


class Stale(NamedTuple):
    """A stored row that is to be calculated again."""

    entity_type: EntityType
    entity_id: str
    calculation_date: str


def recalculate(books: Books, results: ResultStore, executions: ExecutionClient) -> JsonObject:
    """Start one execution for all marks there are, or as few as it takes, and clear them.

    What was calculated in the same way goes into one execution. Its name is made of the marks: a sweep that was
    killed is done again without a second run. A mark stays while an execution runs that began before it: that one may
    have read the books before the transaction, and write its rows after this sweep has looked for them.

    Returns
    -------
    dict
        `marks` cleared, `waiting` marks left for the next sweep, `rows` to be calculated again, names of
        `executions`.

    Raises
    ------
    ThrottledError, TransientError
        The marks are still there; the next sweep does it all.
    """
    with typed_errors("Step Functions"):
        running = [each.started_at for each in executions.list(status=ExecutionStatus.RUNNING)]
    marks = sorted(books.marks())
    due = [mark for mark in marks if not any(began <= mark.marked_at + ENTERING for began in running)]
    groups: dict[Options, set[Stale]] = defaultdict(set)
    for stale, options in _stale(due, books, results):
        groups[options].add(stale)
    names = []
    tokens = [mark.token for mark in due]
    for options, rows in sorted(groups.items(), key=str):
        ordered = sorted(rows)
        for first in range(0, len(ordered), MAX_PORTFOLIOS):
            request = _request(options, ordered[first : first + MAX_PORTFOLIOS], books)
            digest = hashlib.sha256(canonical_json([tokens, request]).encode()).hexdigest()[:_HASH_DIGITS]
            with typed_errors("Step Functions"):
                execution, _ = executions.start_once(f"recalculation-{digest}", request)
            names.append(execution.name)
    cleared = sum(books.clear_mark(mark) for mark in due)
    return {
        "marks": cleared,
        "waiting": len(marks) - cleared,
        "rows": sum(map(len, groups.values())),
        "executions": names,
    }


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    books: Books | None = None,
    results: ResultStore | None = None,
    executions: ExecutionClient | None = None,
) -> JsonObject:
    """Run `recalculate` as a Lambda function, every few minutes."""
    report = recalculate(
        books or book_store(BooksSettings.from_env()),
        results or result_store(ResultStoreSettings.from_env()),
        executions or execution_client(ExecutionSettings.from_env()),
    )
    logger().info("Recalculation", extra=report)
    return report


def _stale(marks: Sequence[Mark], books: Books, results: ResultStore) -> Iterator[tuple[Stale, Options]]:
    """Yield what is to be calculated again: rows of the marked portfolios, and of the accounts they belong to."""
    keys = [EntityKey(BookEntityType.PORTFOLIO, mark.portfolio_id) for mark in marks]
    stored = books.entities(keys)
    since: dict[tuple[EntityType, str], date] = {}
    for mark, key in zip(marks, keys, strict=True):
        if key not in stored:
            continue
        for who in _concerned(stored[key].entity):
            since[who] = min(since.get(who, mark.from_date), mark.from_date)
    for (entity_type, entity_id), start in since.items():
        for row in results.history(entity_type, entity_id, start=start):
            stale = Stale(entity_type, entity_id, row["calculation_date"])
            periods: dict[Options, list[str]] = defaultdict(list)
            for label, period in row["periods"].items():
                periods[_options(row, period)].append(label)
            for options, labels in periods.items():
                # The first period stands at the top of the row, and stays there.
                labels.sort(key=lambda label: (label != row["time_period"], label))
                yield stale, options._replace(time_periods=tuple(labels))


def _concerned(portfolio: Entity) -> Iterator[tuple[EntityType, str]]:
    yield EntityType.PORTFOLIO, portfolio.entity_id
    if portfolio.account_id:
        yield EntityType.ACCOUNT, portfolio.account_id


def _options(row: JsonObject, period: JsonObject) -> Options:
    return Options(
        request_id=period["request_id"],
        calculation_method=period["calculation_method"],
        flow_timing=period["flow_timing"],
        risk_free_rate=row["risk_free_rate"],
        benchmark_id=row.get("benchmark_id"),
        time_periods=(),
    )


def _request(options: Options, rows: Sequence[Stale], books: Books) -> JsonObject:
    request: JsonObject = {
        "request_id": options.request_id,
        "calculation_method": options.calculation_method,
        "flow_timing": options.flow_timing,
        "risk_free_rate": options.risk_free_rate,
        "time_periods": list(options.time_periods),
        "max_concurrency": MAX_CONCURRENCY,
        "entities": [
            {"entity_type": row.entity_type.value, "entity_id": row.entity_id, "as_of_date": row.calculation_date}
            for row in rows
        ],
    }
    if options.benchmark_id:
        key = EntityKey(BookEntityType.BENCHMARK, options.benchmark_id)
        if key in books.entities([key]):  # one that came with a request is not to be had again
            request["benchmark"] = {"benchmark_id": options.benchmark_id}
    return request
