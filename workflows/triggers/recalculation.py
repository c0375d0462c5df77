"""Recalculation: results that a back-dated transaction has made wrong are calculated again, a burst at a time."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple

from common.access import Scope
from common.config import BooksSettings, ExecutionSettings, FleetSettings, ResultStoreSettings
from common.json_text import canonical_json
from common.json_types import JsonObject
from common.models.books import BookEntityType, Entity, EntityKey, Mark
from common.models.kinds import EntityType
from common.models.limits import MAX_CONCURRENCY, MAX_PERIODS, MAX_PORTFOLIOS
from common.observability import logger
from common.stores.botocore_errors import typed_errors
from common.stores.dynamodb import result_store
from common.stores.dynamodb_entities import entity_store
from common.stores.ports import EntityStore, ResultStore
from workflows.executions import Execution, ExecutionClient, ExecutionNotFoundError, ExecutionStatus, execution_client

PREFIX: Final = "recalculation-"
ENTERING: Final = timedelta(seconds=30)
"""How long a transaction may take from its mark's time until everybody reads it, retries and clocks included."""
CLOCKS: Final = timedelta(minutes=5)
"""How far the clock that made a mark may be behind: AWS takes no request that is signed with a time further off."""
MAX_ATTEMPTS: Final = 3
"""How often a mark's results are tried to be calculated again before somebody has to look."""
ROWS_OF_A_SWEEP: Final = 5_000
"""How many stored results of one client a sweep looks at; the rest is for the next one."""
# DescribeExecution is allowed some fifteen times a second.
MAX_DESCRIBED: Final = 100
# What a sweep needs to end in order, after the last client it takes on.
RESERVE_SECONDS: Final = 60.0
_HASH_DIGITS: Final = 24

Who = tuple[EntityType, str]


class Options(NamedTuple):
    """How a stored result was asked for, as JSON, by which request, and for which periods.

    The request id is kept: the time series is overwritten only by a record of the same request.
    """

    request_id: str
    asked: str
    time_periods: tuple[str, ...]


class Stale(NamedTuple):
    """A stored row that is to be calculated again."""

    entity_type: EntityType
    entity_id: str
    calculation_date: str

    @property
    def who(self) -> Who:
        """Whose it is."""
        return self.entity_type, self.entity_id


@dataclass(slots=True)
class Sweep:
    """What a sweep came to, in portfolios and names of executions."""

    started: int = 0
    cleared: int = 0
    waiting: int = 0
    failing: int = 0
    rows: int = 0
    executions: list[str] = field(default_factory=list)

    def report(self) -> JsonObject:
        """Return it as JSON."""
        return {
            name: getattr(self, name) for name in ("started", "cleared", "waiting", "failing", "rows", "executions")
        }


def recalculate(
    books: EntityStore,
    results: ResultStore,
    executions: ExecutionClient,
    fleet: ExecutionClient,
    *,
    seconds_left: Callable[[], float],
) -> JsonObject:
    """Start what calculates marked results again, and clear the marks whose executions have done so.

    For each client, what was asked for in the same way goes into one execution. Its name is made of the marks: a sweep
    that was killed is done again without a second run. Before it starts a mark waits while an execution of its client,
    or of the platform, runs that began before it: that one may have read the books before the transaction, and write
    rows that were not there yet. After it has started a mark stays until its executions have succeeded; what failed
    is tried again, `MAX_ATTEMPTS` times.

    Returns
    -------
    dict
        Numbers of marks `started`, `cleared`, `waiting` and `failing` (for somebody to look at); of stored `rows` to
        be calculated again; the names of the `executions` started.

    Raises
    ------
    ThrottledError, TransientError
        The marks are still there; the next sweep goes on.
    """
    sweep = Sweep()
    # The marks first: what begins to run after they are read has read the books after their transactions.
    marks = sorted(books.marks(), key=lambda mark: mark.marked_at)
    stored = books.entities([EntityKey(BookEntityType.PORTFOLIO, mark.portfolio_id) for mark in marks])
    portfolios = {each.entity.entity_id: each.entity for each in stored.values()}
    with typed_errors("Step Functions"):
        unstarted = [mark for mark in marks if not _has_started(mark, portfolios, executions, books, sweep)]
        if not unstarted:  # as most of the time: nobody's executions have to be asked for
            return sweep.report()
        running = _Running(executions, fleet)
    by_client: dict[str, list[Mark]] = defaultdict(list)  # the one that waits longest first
    for mark in unstarted:
        by_client[portfolios[mark.portfolio_id].client_id or ""].append(mark)
    for client_id, of_client in by_client.items():
        due = [mark for mark in of_client if not running.since(client_id, mark.marked_at + ENTERING)]
        sweep.waiting += len(of_client) - len(due)
        if due and seconds_left() < RESERVE_SECONDS:
            sweep.waiting += len(due)
        elif due:
            concerned = {mark: set(_concerned(portfolios[mark.portfolio_id])) for mark in due}
            _start(client_id, concerned, books, results, executions, sweep)
    return sweep.report()


def settle(
    books: EntityStore, results: ResultStore, executions: ExecutionClient, fleet: ExecutionClient, *, most: int
) -> list[Mark]:
    """Clear the marks that no stored result has to be calculated again for, as the next sweep would; start nothing.

    So it is after a first import: there is nothing yet that its transactions could have made wrong.

    Parameters
    ----------
    most
        Marks that are looked at, each of which takes a query or two; the others are left to the sweep.

    Returns
    -------
    list of Mark
        Those that are still there.
    """
    marks = sorted(books.marks(), key=lambda mark: mark.marked_at)  # before the executions, as in a sweep
    looked_at = [mark for mark in marks if not mark.executions][:most]
    if not looked_at:
        return marks
    stored = books.entities([EntityKey(BookEntityType.PORTFOLIO, mark.portfolio_id) for mark in looked_at])
    portfolios = {key.entity_id: each.entity for key, each in stored.items()}
    with typed_errors("Step Functions"):
        running = _Running(executions, fleet)
    has_any = cache(lambda *who: results.latest(*who) is not None)  # an account is that of many portfolios
    cleared = set()
    for mark in looked_at:
        portfolio = portfolios[mark.portfolio_id]
        waits = running.since(portfolio.client_id or "", mark.marked_at + ENTERING)
        whose = (who for who in _concerned(portfolio) if has_any(*who))
        rows = (row for who in whose for row in results.history(*who, start=mark.from_date))
        if not waits and not any(_is_stale(row, mark) for row in rows) and books.clear_mark(mark):
            cleared.add(mark.portfolio_id)
    return [mark for mark in marks if mark.portfolio_id not in cleared]


def handler(
    event: Mapping[str, Any],
    context: Any,
    *,
    books: EntityStore | None = None,
    results: ResultStore | None = None,
    executions: ExecutionClient | None = None,
    fleet: ExecutionClient | None = None,
) -> JsonObject:
    """Run `recalculate` as a Lambda function, every few minutes."""
    report = recalculate(
        books or entity_store(BooksSettings.from_env()),
        results or result_store(ResultStoreSettings.from_env()),
        executions or execution_client(ExecutionSettings.from_env()),
        fleet or execution_client(FleetSettings.from_env()),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )
    log = logger().error if report["failing"] else logger().info
    log("Recalculation", extra=report)
    return report


class _Running:
    """The executions that run, and whose they are."""

    def __init__(self, *machines: ExecutionClient) -> None:
        self._began: list[tuple[str | None, datetime]] = []
        for executions in machines:
            # A recalculation rewrites rows that are there, and a later one wins: nobody has to wait for it.
            found = [
                each for each in executions.list(status=ExecutionStatus.RUNNING) if not each.name.startswith(PREFIX)
            ]
            self._began += [
                (executions.describe(each.name).input.get("client_id"), each.started_at)
                for each in islice(found, MAX_DESCRIBED)
            ]
            self._began += [(None, each.started_at) for each in found[MAX_DESCRIBED:]]

    def since(self, client_id: str, moment: datetime) -> bool:
        """Return whether one runs that may write a client's rows and began before `moment`."""
        return any(whose in {None, client_id} and began <= moment for whose, began in self._began)


def _has_started(
    mark: Mark, portfolios: Mapping[str, Entity], executions: ExecutionClient, books: EntityStore, sweep: Sweep
) -> bool:
    """Deal with a mark whose executions were started; return False where they have to be started (again)."""
    if not mark.executions:
        return False
    concerned = set(_concerned(portfolios[mark.portfolio_id]))
    ended = [_found(executions, name) for name in mark.executions]
    if any(each is not None and not each.finished for each in ended):
        sweep.waiting += 1
    elif all(each is not None and _succeeded(each, concerned) for each in ended):
        sweep.cleared += books.clear_mark(mark)
    elif mark.attempts < MAX_ATTEMPTS:
        return False
    else:
        sweep.failing += 1
    return True


def _found(executions: ExecutionClient, name: str) -> Execution | None:
    try:
        return executions.describe(name)
    except ExecutionNotFoundError:  # after 90 days
        return None


def _succeeded(execution: Execution, concerned: set[Who]) -> bool:
    if execution.status is not ExecutionStatus.SUCCEEDED:
        return False
    failed = {(EntityType(each["entity_type"]), each["entity_id"]) for each in execution.output["failures"]}
    return not failed & concerned


def _start(
    client_id: str,
    concerned: Mapping[Mark, set[Who]],
    books: EntityStore,
    results: ResultStore,
    executions: ExecutionClient,
    sweep: Sweep,
) -> None:
    """Start the executions for the marks of one client, as many marks as a sweep takes."""
    groups: dict[Options, set[Stale]] = defaultdict(set)
    taken: list[Mark] = []
    seen = 0
    for mark, whose in concerned.items():
        if seen >= ROWS_OF_A_SWEEP:
            break
        taken.append(mark)
        for who in sorted(whose):
            for row in results.history(*who, start=mark.from_date):
                seen += 1
                for options in _options(row) if _is_stale(row, mark) else ():
                    groups[options].add(Stale(*who, row["calculation_date"]))
    sweep.waiting += len(concerned) - len(taken)
    names: dict[Who, set[str]] = defaultdict(set)
    for options, stale in sorted(groups.items()):
        rows = sorted(stale)
        for first in range(0, len(rows), MAX_PORTFOLIOS):
            part = rows[first : first + MAX_PORTFOLIOS]
            whose_part = {stale.who for stale in part}
            tokens = [[mark.token, mark.attempts] for mark in taken if concerned[mark] & whose_part]
            request = _request(client_id, options, part, books)
            digest = hashlib.sha256(canonical_json([tokens, request]).encode()).hexdigest()[:_HASH_DIGITS]
            with typed_errors("Step Functions"):
                execution, _ = executions.start_once(f"{PREFIX}{digest}", request)
            sweep.executions.append(execution.name)
            for who in whose_part:
                names[who].add(execution.name)
    sweep.rows += sum(map(len, groups.values()))
    for mark in taken:
        if started := sorted(set().union(*(names[who] for who in concerned[mark]))):
            sweep.started += books.start_mark(mark, started)
        else:
            sweep.cleared += books.clear_mark(mark)


def _is_stale(row: JsonObject, mark: Mark) -> bool:
    """Return whether a stored row on or after a mark's date is to be calculated again, and can be.

    Where each of its periods comes from an execution that began when everybody read the mark's transactions, it has
    them in it. Otherwise all of the row is calculated again, so that the period that stands at its top stays there.
    """
    versions = [period["version"] for period in row["periods"].values() if period.get("asked")]
    return bool(versions) and min(versions) <= (mark.marked_at + ENTERING + CLOCKS).timestamp() * 1000


def _concerned(portfolio: Entity) -> Iterator[Who]:
    """Yield whose results a mark makes wrong: the portfolio's, and those of the account it belongs to."""
    yield EntityType.PORTFOLIO, portfolio.entity_id
    if portfolio.account_id:
        yield EntityType.ACCOUNT, portfolio.account_id


def _options(row: JsonObject) -> Iterator[Options]:
    """Yield how the periods of a row were asked for; what came with its data cannot be asked for again."""
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for label, period in row["periods"].items():
        if period.get("asked"):
            labels[period["request_id"], canonical_json(period["asked"])].append(label)
    for (request_id, asked), found in labels.items():
        # The first period stands at the top of the row, and stays there.
        found.sort(key=lambda label: (label != row["time_period"], label))
        for first in range(0, len(found), MAX_PERIODS):
            yield Options(request_id, asked, tuple(found[first : first + MAX_PERIODS]))


def _request(client_id: str, options: Options, rows: Iterable[Stale], books: EntityStore) -> JsonObject:
    asked: JsonObject = json.loads(options.asked)
    benchmark_id = asked.pop("benchmark_id")
    request: JsonObject = {
        "client_id": client_id,
        "request_id": options.request_id,
        "time_periods": list(options.time_periods),
        "max_concurrency": MAX_CONCURRENCY,
        **{name: value for name, value in asked.items() if value is not None},
        "entities": [
            {"entity_type": row.entity_type.value, "entity_id": row.entity_id, "as_of_date": row.calculation_date}
            for row in rows
        ],
    }
    if benchmark_id:
        key = EntityKey(BookEntityType.BENCHMARK, benchmark_id)
        stored = books.entities([key]).get(key)
        if stored and Scope(client_id).sees(stored.entity):  # one that has gone would refuse the whole request
            request["benchmark"] = {"benchmark_id": benchmark_id}
    return request
