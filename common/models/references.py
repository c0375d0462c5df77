"""Reading a referenced file: JSON, JSON Lines, CSV or Parquet, into series or portfolios."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from common.calculations.types import Flows, Valuations
from common.errors import InvalidPortfolioError
from common.models.faults import faults
from common.models.fields import parse_amount, parse_date
from common.models.json_portfolios import json_portfolios
from common.models.limits import (
    MAX_CASH_FLOWS,
    MAX_PORTFOLIO_BYTES,
    MAX_PORTFOLIOS,
    MAX_PORTFOLIOS_ROWS,
    MAX_VALUATIONS,
)
from common.models.rows import (
    ATTRIBUTE_COLUMNS,
    VALUATION_COLUMNS,
    Malformed,
    Numbered,
    Row,
    Table,
    UnreadableFileError,
    csv_table,
    json_rows,
    missing_column,
    parquet_table,
    text_date,
    wrong_columns,
)
from common.models.series import CashFlowColumns, CashFlowSeries, ValuationColumns, ValuationSeries
from common.models.sources import Source, SourceFormat

_FAULTS_TOLD = 5
# Of a text in Parquet: no id, date or number is longer, and all rows of a file of portfolios are kept at a time.
_TEXT_CHARACTERS = 100

T = TypeVar("T")
Place = str
"""Where in a file something stands, as a person finds it: `line 17`, `row 3`."""

_valuation_series: TypeAdapter[ValuationColumns | Source] = TypeAdapter(ValuationSeries)
_cash_flow_series: TypeAdapter[CashFlowColumns | Source] = TypeAdapter(CashFlowSeries)


def read_valuations(body: bytes, source: Source) -> Valuations:
    """Return the valuations of a file with the columns `date` and `value`, in the order of their days.

    Raises
    ------
    InvalidPortfolioError
        With the place of the first faults, or because there are none or too many.
    """
    if source.resolved_format is SourceFormat.JSON:
        columns = _read_json(body, source, _valuation_series.validate_python)
        if isinstance(columns, Source):
            raise InvalidPortfolioError(f"{source.source}: a file must not refer to another one")
        return columns.valuations()
    days, values = _read_series(body, source, "value", MAX_VALUATIONS, unique=True)
    if not days:
        raise InvalidPortfolioError(f"{source.source}: there are no valuations in it")
    numbers = np.asarray(days, dtype="datetime64[D]").astype(np.int64)
    order = np.argsort(numbers, kind="stable")
    return Valuations.from_arrays(numbers[order], np.asarray(values, dtype=np.float64)[order])


def read_cash_flows(body: bytes, source: Source) -> Flows:
    """Return the cash flows of a file with the columns `date` and `amount`.

    Raises
    ------
    InvalidPortfolioError
        With the place of the first faults, or because there are too many.
    """
    if source.resolved_format is SourceFormat.JSON:
        columns = _read_json(body, source, _cash_flow_series.validate_python)
        if isinstance(columns, Source):
            raise InvalidPortfolioError(f"{source.source}: a file must not refer to another one")
        return columns.flows()
    days, amounts = _read_series(body, source, "amount", MAX_CASH_FLOWS, unique=False)
    numbers = np.asarray(days, dtype="datetime64[D]").astype(np.int64)
    return Flows.from_arrays(numbers, np.asarray(amounts, dtype=np.float64))


def read_portfolios(body: bytes, source: Source) -> Iterator[Any]:
    """Yield the portfolios of a file as they would stand in a request, not yet validated.

    Of JSON and JSON Lines no more than one is in memory; a table is read whole, for its rows may stand in any order.
    JSON holds a list of them, JSON Lines one a line. CSV and Parquet have a row for each valuation: `portfolio_id`,
    `date`, `value`, and where wanted `cash_flow`, `client_id`, `account_id`, `currency`.

    Raises
    ------
    InvalidPortfolioError
        The file, or from some place on the rest of it, cannot be read; or it has too many rows.
    """
    match source.resolved_format:
        case SourceFormat.JSON:
            try:
                yield from json_portfolios(body, MAX_PORTFOLIO_BYTES)
            except UnreadableFileError as error:
                raise InvalidPortfolioError(f"{source.source}: {error}") from None
        case SourceFormat.JSON_LINES:
            for _, row in _rows(body, source):
                yield row
        case _:
            rows = _rows(body, source, "portfolio_id", "date", "value", known=("portfolio_id", *VALUATION_COLUMNS))
            portfolios = _by_portfolio(rows, source)
            for name in list(portfolios):
                yield portfolios.pop(name)


def _by_portfolio(rows: Iterator[tuple[Place, Row]], source: Source) -> dict[str, dict[str, Any]]:
    portfolios: dict[str, dict[str, Any]] = {}
    for count, (place, row) in enumerate(rows, start=1):
        if count > MAX_PORTFOLIOS_ROWS:
            raise InvalidPortfolioError(
                f"{source.source}: over {MAX_PORTFOLIOS_ROWS:,} rows; as a manifest it may have more"
            )
        name = row.get("portfolio_id")
        if name in (None, ""):
            raise InvalidPortfolioError(f"{source.source}: {place}: portfolio_id is missing")
        portfolio = portfolios.get(str(name))
        if portfolio is None:
            if len(portfolios) == MAX_PORTFOLIOS:
                raise InvalidPortfolioError(f"{source.source}: over {MAX_PORTFOLIOS} portfolios")
            portfolio = portfolios[str(name)] = {
                "portfolio_id": str(name),
                **{key: row[key] for key in ATTRIBUTE_COLUMNS if row.get(key)},
                "valuations": {"dates": [], "values": []},
                "cash_flows": {"dates": [], "amounts": []},
            }
        day = text_date(row.get("date"))
        portfolio["valuations"]["dates"].append(day)
        portfolio["valuations"]["values"].append(row.get("value"))
        if row.get("cash_flow") not in (None, "", "0", 0, 0.0):
            portfolio["cash_flows"]["dates"].append(day)
            portfolio["cash_flows"]["amounts"].append(row["cash_flow"])
    return portfolios


def _read_json(body: bytes, source: Source, validate: Callable[[Any], T]) -> T:
    try:
        return validate(json.loads(body))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            told = "; ".join(str(fault) for fault in faults(error)[:_FAULTS_TOLD])
            raise InvalidPortfolioError(f"{source.source}: {told}") from None
        raise InvalidPortfolioError(f"{source.source}: is not JSON: {error}") from None


def _read_series(
    body: bytes, source: Source, column: str, limit: int, *, unique: bool
) -> tuple[list[date], list[float]]:
    """Return the dates and numbers of a file of rows, or tell its first faults and their places."""
    days: list[date] = []
    numbers: list[float] = []
    first_place: dict[date, Place] = {}
    told: list[str] = []
    for place, row in _rows(body, source, "date", column):
        try:
            day, number = parse_date(text_date(row.get("date"))), parse_amount(row.get(column))
        except PydanticCustomError as error:
            what = "date" if error.type.startswith("date") else column
            told.append(f"{place}: {what} {_shown(row.get(what))} {error.message()}")
        else:
            if unique and (earlier := first_place.setdefault(day, place)) != place:
                told.append(f"{place}: {day.isoformat()} stands in {earlier} already")
            days.append(day)
            numbers.append(number)
        if len(days) > limit:
            told.append(f"over {limit} rows")
        if len(told) >= _FAULTS_TOLD:
            break
    if told:
        raise InvalidPortfolioError(f"{source.source}: {'; '.join(told)}")
    return days, numbers


def _rows(
    body: bytes, source: Source, *columns: str, known: Sequence[str] | None = None
) -> Iterator[tuple[Place, Row]]:
    """Yield the rows of a file; a table must have all of `columns`, and none but the `known` where they are given."""
    unit = "row" if source.resolved_format is SourceFormat.PARQUET else "line"
    try:
        for number, row in _numbered(body, source, columns, known):
            if isinstance(row, Malformed):
                raise InvalidPortfolioError(f"{source.source}: {unit} {number}: {row.reason}")
            yield f"{unit} {number}", row
    except UnreadableFileError as error:
        raise InvalidPortfolioError(f"{source.source}: {error}") from None
    except UnicodeDecodeError:
        raise InvalidPortfolioError(f"{source.source}: is not UTF-8 text (byte {_first_undecoded(body)})") from None


def _numbered(body: bytes, source: Source, columns: Sequence[str], known: Sequence[str] | None) -> Numbered:
    match source.resolved_format:
        case SourceFormat.CSV:
            yield from _having(columns, known, csv_table(_lines(body)))
        case SourceFormat.JSON_LINES:
            yield from json_rows(_lines(body))
        case SourceFormat.PARQUET:
            with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                file.write(body)
                file.flush()
                yield from _having(columns, known, parquet_table(file.name, longest=_TEXT_CHARACTERS))
        case SourceFormat.JSON:
            raise AssertionError("JSON is read whole")


def _having(columns: Sequence[str], known: Sequence[str] | None, table: Table) -> Numbered:
    if missing := next((each for each in columns if each not in table.columns), None):
        raise UnreadableFileError(missing_column([missing], table.columns))
    if known is not None and (told := wrong_columns(table.columns, known)):
        raise UnreadableFileError(told)
    return table.rows


def _lines(body: bytes) -> Iterator[str]:
    """Yield the lines of a text, decoded one by one: a text may take four times the room of its bytes."""
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="\n")
    number = 0
    while line := text.readline(MAX_PORTFOLIO_BYTES + 1):
        number += 1
        if len(line) > MAX_PORTFOLIO_BYTES:
            raise UnreadableFileError(f"line {number}: is longer than {MAX_PORTFOLIO_BYTES:,} bytes")
        yield line


def _first_undecoded(body: bytes) -> int:
    try:
        body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start
    raise AssertionError("what could not be decoded line by line cannot be decoded whole")


def _shown(value: object) -> str:
    return "is missing;" if value is None else repr(value)[:40]
