"""Where a page's data come from: the row and the history of an entity, from the stores or from a request file.

The rule is one of honesty. A history is shown where it is the one the row was made of: that of the books under the
conventions the row was asked for, or that of the request a page is asked for with. A row whose data came with its
request is shown alone, for those data are not kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from common.calculations import (
    Conventions,
    Flows,
    FlowTiming,
    Period,
    PeriodPerformance,
    StandardPeriod,
    Valuations,
    calculate_performance,
)
from common.calculations.words import day_date
from common.errors import Fault, InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.models.arguments import conventions_of, periods_of
from common.models.books import BookEntityType, EntityKey
from common.models.inputs import PortfolioInput
from common.models.kinds import CalculationMethod, EntityType
from common.models.limits import DEFAULT_PRICE_AGE_DAYS, MAX_PORTFOLIOS_BYTES, MAX_SERIES_BYTES
from common.models.references import read_cash_flows, read_portfolios, read_valuations
from common.models.request import CalculationRequest, parse_portfolios
from common.models.results import Asked
from common.models.series import CashFlowColumns, CashFlowSeries, ValuationColumns, ValuationSeries
from common.models.sources import Source
from common.stores.histories import BookReader, Dependencies, EntityHistory, given_history
from common.stores.ports import ResultStore
from workflows.reporting.analysis import Record, analyse
from workflows.reporting.words import explained
from workflows.staging import open_source
from workflows.wording import in_order

# Rounding between a float64 and its decimal in the store is far below this; a correction in the books far above.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Subject:
    """An entity as a page shows it.

    Attributes
    ----------
    row : Mapping
        As the store has it, or calculated for the page.
    stored : bool
        Whether the store has it.
    record : Record or None
        The history behind it; None where there is none, which `notes` explains.
    notes : tuple of str
        What a reader must know of where the numbers come from.
    """

    row: Mapping[str, Any]
    stored: bool
    record: Record | None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The entity's id."""
        return str(self.row["entity_id"])


def from_stores(
    results: ResultStore,
    reader: BookReader,
    entity_type: EntityType,
    entity_id: str,
    *,
    as_of: date | None = None,
    max_price_age_days: int = DEFAULT_PRICE_AGE_DAYS,
) -> Subject:
    """Return an entity by its last stored result on or before `as_of`, with its history out of the books.

    One in the books that has no result yet is calculated, over all standard periods and under the defaults.

    Raises
    ------
    InputNotFoundError
        There is no result of it, and it is not in the books.
    InvalidPortfolioError
        There is no result of it, and the books cannot be made into a history.
    """
    row = results.latest(entity_type, entity_id, as_of=as_of)
    if row is None:
        return _calculated_from_books(
            reader, EntityKey(BookEntityType(entity_type), entity_id), as_of, max_price_age_days
        )
    period = row["periods"][longest(row)]
    notes = _mixture(row)
    if not period.get("asked"):
        return Subject(
            row,
            stored=True,
            record=None,
            notes=(
                *notes,
                "The data of this result came with its request and are not kept, so only the stored numbers are shown. "
                "With the request itself the report has every chart: perfcalc report ID --request FILE.",
            ),
        )
    asked = Asked.model_validate(period["asked"])
    key = EntityKey(BookEntityType(entity_type), entity_id)
    try:
        depends = reader.dependencies(key, asked.benchmark_id, compare=row.get("benchmark_id") is not None)
        history = reader.history(
            depends,
            until=date.fromisoformat(row["calculation_date"]),
            max_price_age_days=asked.max_price_age_days,
            flow_timing=asked.flow_timing,
        )
        benchmark = _same_benchmark(reader, depends, row.get("benchmark_id"), notes)
    except (InputNotFoundError, InvalidPortfolioError) as error:
        return Subject(row, stored=True, record=None, notes=(*notes, f"Only the stored numbers are shown: {error}."))
    conventions = Conventions(
        history.flow_timing,
        asked.calculation_method is CalculationMethod.MODIFIED_DIETZ,
        asked.risk_free_rate,
        asked.periods_per_year,
    )
    record = _record(history, date.fromisoformat(row["calculation_date"]), conventions, benchmark, notes)
    if record is not None and (changed := _changed(row, record)):
        notes.append(changed)
    return Subject(row, stored=True, record=record, notes=tuple(notes))


def longest(row: Mapping[str, Any]) -> str:
    """Return the label of the period since inception, or of the last in the order of reports where a row has none."""
    labels = in_order([row])
    return StandardPeriod.ITD.value if StandardPeriod.ITD in labels else labels[-1]


def from_request(document: object, base: Path, entity_ids: list[str]) -> list[Subject]:
    """Return portfolios of a request that brings their data, calculated by its conventions.

    Parameters
    ----------
    document
        The request as the user wrote it.
    base
        Directory that its relative paths start from.
    entity_ids
        Ids of the portfolios wanted, each of which the request must have; all of them where none is named.

    Raises
    ------
    InvalidRequestError
        The request is wrong, or does not bring its data.
    InputNotFoundError
        A portfolio or a file is not there.
    InvalidPortfolioError
        The data of a portfolio cannot be used.
    """
    request = CalculationRequest.parse(document, local_sources=True)
    if request.portfolios is None:
        raise InvalidRequestError(
            [Fault("$", "names what is in the books: leave --request out, and the report reads it there")]
        )
    portfolios = {each.portfolio_id: each for each in _portfolios(request.portfolios, base)}
    entity_ids = entity_ids or list(portfolios)
    if missing := [each for each in entity_ids if each not in portfolios]:
        raise InputNotFoundError(f"the request has no portfolio {', '.join(missing)}")
    benchmark = None
    if request.benchmark is not None:
        if request.benchmark.valuations is None:
            raise InvalidRequestError([Fault("$.benchmark", "is one of the books; a report needs its valuations here")])
        benchmark = _valuations(request.benchmark.valuations, base)
    return [_of_request(request, portfolios[each], benchmark, base) for each in entity_ids]


def calculated_row(
    history: EntityHistory, as_of: date, periods: list[Period], conventions: Conventions, benchmark: Valuations | None
) -> dict[str, Any]:
    """Return what a row says of a history: the same numbers, reasons and warnings as `CalculatePortfolio` returns."""
    performance = calculate_performance(history.valuations, history.flows, periods, conventions, benchmark)
    return {
        "calculation_date": as_of.isoformat(),
        "calculation_method": (
            CalculationMethod.MODIFIED_DIETZ if conventions.modified_dietz else CalculationMethod.DAILY
        ).value,
        "flow_timing": conventions.flow_timing.value,
        "risk_free_rate": conventions.risk_free_rate,
        "periods_per_year": performance.periods_per_year,
        "periods": {each.label: period_of_row(each) for each in performance.periods},
        "warnings": sorted({*performance.warnings, *history.warnings}),
    }


def period_of_row(period: PeriodPerformance) -> dict[str, Any]:
    """Return a period as it stands in a row: its own metrics and those of risk side by side."""
    found, risk = period._asdict(), period.risk._asdict()
    del found["label"], found["risk"]
    undefined = found.pop("undefined") | risk.pop("undefined")
    start, end = found.pop("from_date"), found.pop("to_date")
    flat = {"from": start, "to": end, **found, **risk}
    return {
        **{name: value.isoformat() if isinstance(value, date) else value for name, value in flat.items()},
        "undefined": undefined,
        "warnings": list(period.warnings),
    }


def _calculated_from_books(reader: BookReader, key: EntityKey, as_of: date | None, max_price_age_days: int) -> Subject:
    try:
        depends = reader.dependencies(key)
    except InputNotFoundError as error:
        raise InputNotFoundError(f"there is no result of {key.entity_type} {key.entity_id}, and {error}") from None
    history = reader.history(depends, until=as_of, max_price_age_days=max_price_age_days)
    entity = depends.entity.entity
    identity = {
        "entity_type": key.entity_type.value,
        "entity_id": key.entity_id,
        "benchmark_id": depends.benchmark.entity.entity_id if depends.benchmark else None,
        "currency": entity.currency,
        "client_id": entity.client_id,
        "account_id": entity.account_id,
    }
    notes = (
        "There is no stored result: the numbers were calculated for this page, from the books and by the defaults.",
    )
    return _subject(identity, history, as_of, None, Conventions(history.flow_timing), reader.benchmark(depends), notes)


def _of_request(
    request: CalculationRequest, portfolio: PortfolioInput, benchmark: Valuations | None, base: Path
) -> Subject:
    valuations, flows = _valuations(portfolio.valuations, base), _flows(portfolio.cash_flows, base)
    timing = request.flow_timing or FlowTiming.AFTER_CLOSE
    try:
        history = given_history(valuations, flows, timing, request.as_of_date)
    except InvalidPortfolioError as error:
        raise InvalidPortfolioError(f"{portfolio.portfolio_id}: {error}") from None
    identity = {
        "entity_type": EntityType.PORTFOLIO.value,
        "entity_id": portfolio.portfolio_id,
        "benchmark_id": request.benchmark.benchmark_id if request.benchmark else None,
        "currency": portfolio.currency,
        "client_id": portfolio.client_id,
        "account_id": portfolio.account_id,
    }
    conventions = conventions_of(request, history.flow_timing)
    notes = ("The numbers were calculated for this page, from the data of the request.",)
    return _subject(identity, history, request.as_of_date, request, conventions, benchmark, notes)


def _subject(
    identity: Mapping[str, Any],
    history: EntityHistory,
    as_of: date | None,
    request: CalculationRequest | None,
    conventions: Conventions,
    benchmark: Valuations | None,
    notes: tuple[str, ...],
) -> Subject:
    as_of = as_of or day_date(int(history.valuations.days[-1]))
    periods = periods_of(request, as_of) if request else [Period.standard(each, as_of) for each in StandardPeriod]
    found = list(notes)
    row = {**identity, **calculated_row(history, as_of, periods, conventions, benchmark)}
    record = _record(history, as_of, conventions, benchmark, found)
    return Subject(row, stored=False, record=record, notes=tuple(found))


def _record(
    history: EntityHistory, as_of: date, conventions: Conventions, benchmark: Valuations | None, notes: list[str]
) -> Record | None:
    found = analyse(history.valuations, history.flows, as_of, conventions, benchmark)
    if isinstance(found, Record):
        return found
    notes.append(f"There are no charts, for the return since inception is undefined: {explained(found)}.")
    return None


def _same_benchmark(
    reader: BookReader, depends: Dependencies, benchmark_id: str | None, notes: list[str]
) -> Valuations | None:
    """Return the levels of the benchmark the row was compared with, where they are those of the books."""
    if benchmark_id is None:
        return None
    if depends.benchmark and depends.benchmark.entity.entity_id == benchmark_id:
        return reader.benchmark(depends)
    notes.append(f"The levels of the benchmark {benchmark_id} came with the request and are not kept: no chart has it.")
    return None


def _changed(row: Mapping[str, Any], record: Record) -> str | None:
    """Say that the books have changed since a row was stored, where the return since inception tells."""
    stored = row["periods"].get(StandardPeriod.ITD, {}).get("twr")
    now = record.inception_to_date.twr
    if stored is None or now is None or abs(now - stored) <= _SAME * max(1.0, abs(1.0 + stored)):
        return None
    return (
        f"The books have changed since this result was stored: the return since inception is {stored:.4%} in the "
        f"tables and {now:.4%} in the charts. A new calculation brings them together."
    )


def _mixture(row: Mapping[str, Any]) -> list[str]:
    """Say that the periods of a row were made by different conventions, of which it tells one set alone."""
    names = ("calculation_method", "flow_timing", "periods_per_year")
    if len({tuple(str(period.get(name)) for name in names) for period in row["periods"].values()}) < 2:
        return []
    return [
        "The periods of this result come from several requests, with different conventions. Those told are the last's."
    ]


def _portfolios(given: list[PortfolioInput] | Source, base: Path) -> list[PortfolioInput]:
    if isinstance(given, Source):
        return parse_portfolios(read_portfolios(_read(given, base, MAX_PORTFOLIOS_BYTES), given), "$.portfolios")
    return given


def _valuations(series: ValuationSeries, base: Path) -> Valuations:
    if isinstance(series, ValuationColumns):
        return series.valuations()
    return read_valuations(_read(series, base, MAX_SERIES_BYTES), series)


def _flows(series: CashFlowSeries, base: Path) -> Flows:
    if isinstance(series, CashFlowColumns):
        return series.flows()
    return read_cash_flows(_read(series, base, MAX_SERIES_BYTES), series)


def _read(source: Source, base: Path, max_bytes: int) -> bytes:
    if source.source.startswith("s3://"):
        raise InputNotFoundError(f"{source.source}: a report reads the files of this machine alone")
    try:
        with open_source(base / source.source, max_bytes) as file:
            return file.read()
    except OSError as error:
        raise InputNotFoundError(f"{source.source}: {error.strerror or error}") from None
    except ValueError:  # a NUL in it
        raise InputNotFoundError(f"{source.source!r} is not a path") from None
