"""The history of one metric, page by page: Timestream first, DynamoDB behind it.

DynamoDB is the truth and Timestream a copy made for this query, so both have to answer alike:

- A date on which the metric is undefined is left out. Timestream has no record of it; the row of that date says why.
- Several requests may have written a date, with values that differ; such a date is read from DynamoDB, which keeps
  the latest.
- Days before 1970, which Timestream does not know, and an answer without any record, are read from DynamoDB.

What Timestream lacks until its backfill has run, or keeps of a metric that a later run found undefined, it cannot tell
apart from what is right.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from common.errors import PerformanceCalculatorError
from common.json_types import JsonObject
from common.models.fields import LAST_DATE
from common.models.kinds import EntityType
from common.observability import logger
from common.stores.ports import ResultKey, ResultStore, TimeSeriesReader
from common.stores.timestream import FIRST_DATE
from workflows.triggers.api.problems import ProblemError, ProblemType

MAX_POINTS: Final = 1_000
"""Of a page: Query's own limit on the rows of one answer."""
DEFAULT_POINTS: Final = 100

_POSITION: Final = re.compile(r"1\.(\d{4}-\d{2}-\d{2})")


class Metric(StrEnum):
    """The specification's measures."""

    TWR = "twr"
    MWR = "mwr"
    VOLATILITY = "volatility"
    SHARPE_RATIO = "sharpe_ratio"
    MAX_DRAWDOWN = "max_drawdown"


class HistorySource(StrEnum):
    """Where a page comes from."""

    TIMESTREAM = "timestream"
    DYNAMODB = "dynamodb"


@dataclass(frozen=True, slots=True)
class TimeSeriesTable:
    """The table of the time series, and what reads it."""

    reader: TimeSeriesReader
    database: str
    table: str


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked for.

    Attributes
    ----------
    entity_type : EntityType
    entity_id : str
    metric : Metric
    period : str
        The label of one.
    start, end : date or None
        The first and the last day, inclusive.
    limit : int
        Points of a page, at most `MAX_POINTS`.
    """

    entity_type: EntityType
    entity_id: str
    metric: Metric
    period: str
    start: date | None
    end: date | None
    limit: int


class MetricPoint(NamedTuple):
    """The metric on one day."""

    date: date
    value: float


class HistoryPage(NamedTuple):
    """Some points, oldest first.

    Attributes
    ----------
    points : sequence of MetricPoint
        At most as many as were asked for; fewer do not mean that there are no more.
    last : date or None
        Where the next page begins after; None on the last page.
    source : HistorySource
    """

    points: Sequence[MetricPoint]
    last: date | None
    source: HistorySource


def metric_history(query: HistoryQuery, results: ResultStore, series: TimeSeriesTable | None) -> HistoryPage:
    """Return a page of a metric's history.

    Parameters
    ----------
    query
        What is asked for.
    results
        The truth, read where the time series cannot tell.
    series
        None where there is none; where it fails, the rows answer.

    Raises
    ------
    ThrottledError, TransientError
        The rows did not answer; try again.
    """
    found = None if series is None or _has_earlier_rows(query, results) else _recorded(query, series)
    return _from_records(query, found, results) if found else _from_rows(query, results)


def _has_earlier_rows(query: HistoryQuery, results: ResultStore) -> bool:
    """Return whether some of the rows asked for are older than Timestream's first day."""
    if query.start is not None and query.start >= FIRST_DATE:
        return False
    end = min(query.end or LAST_DATE, FIRST_DATE - timedelta(days=1))
    return next(results.history(query.entity_type, query.entity_id, start=query.start, end=end), None) is not None


def _recorded(query: HistoryQuery, series: TimeSeriesTable) -> dict[date, float | None]:
    """Return what the time series has, in the order of the days; None stands for values that differ.

    It is empty where the time series did not answer.
    """
    try:
        _, rows = series.reader.query(_statement(query, series))
        return {row["time"].date(): row["lowest"] if row["lowest"] == row["highest"] else None for row in rows}
    except PerformanceCalculatorError as error:
        logger().warning("Timestream did not answer", extra={"error": type(error).__name__, "reason": str(error)})
        return {}


def _from_records(query: HistoryQuery, found: dict[date, float | None], results: ResultStore) -> HistoryPage:
    days = list(found)[: query.limit]
    doubtful = [ResultKey(query.entity_type, query.entity_id, day) for day in days if found[day] is None]
    stored = results.read_many(doubtful) if doubtful else {}
    values = {**found, **{key.calculation_date: _value(stored.get(key, {}), query) for key in doubtful}}
    points = [MetricPoint(day, value) for day in days if (value := values[day]) is not None]
    return HistoryPage(points, days[-1] if len(found) > query.limit else None, HistorySource.TIMESTREAM)


def _statement(query: HistoryQuery, series: TimeSeriesTable) -> str:
    """Return the specification's query for one period, one row a day, and one day more than the page has."""
    start, end = max(query.start or FIRST_DATE, FIRST_DATE), query.end or LAST_DATE
    table = f"{_name(series.database)}.{_name(series.table)}"
    # Names and values are quoted: Query takes no parameters.
    return f"""
SELECT time, min(measure_value::double) AS lowest, max(measure_value::double) AS highest
FROM {table}
WHERE entity_type = {_text(query.entity_type)}
  AND entity_id = {_text(query.entity_id)}
  AND measure_name = {_text(query.metric)}
  AND time_period = {_text(query.period)}
  AND time BETWEEN {_text(start.isoformat())} AND {_text(end.isoformat())}
GROUP BY time
ORDER BY time ASC
LIMIT {query.limit + 1}
"""  # noqa: S608 - all of it is quoted


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _from_rows(query: HistoryQuery, results: ResultStore) -> HistoryPage:
    rows = results.history(query.entity_type, query.entity_id, start=query.start, end=query.end)
    found = list(islice(_defined(rows, query), query.limit + 1))
    points = found[: query.limit]
    return HistoryPage(points, points[-1].date if len(found) > query.limit else None, HistorySource.DYNAMODB)


def _defined(rows: Iterator[JsonObject], query: HistoryQuery) -> Iterator[MetricPoint]:
    for row in rows:
        value = _value(row, query)
        if value is not None:
            yield MetricPoint(date.fromisoformat(row["calculation_date"]), value)


def _value(row: JsonObject, query: HistoryQuery) -> float | None:
    value: float | None = row.get("periods", {}).get(query.period, {}).get(query.metric.value)
    return value


def encode_position(last: date) -> str:
    """Return the token of the page after a day; it says nothing but that day."""
    return urlsafe_b64encode(f"1.{last.isoformat()}".encode()).decode().rstrip("=")


def decode_position(token: str) -> date:
    """Return the first day of the page a token stands for.

    Raises
    ------
    ProblemError
        It is none of ours.
    """
    try:
        text = urlsafe_b64decode(token.encode() + b"=" * (-len(token) % 4)).decode()
        match = _POSITION.fullmatch(text)
        last = date.fromisoformat(match[1]) if match else None
    except ValueError:
        last = None
    if last is None or last >= date.max or encode_position(last) != token:
        raise ProblemError(ProblemType.MALFORMED, "The next_token is not one of this API's.")
    return last + timedelta(days=1)
