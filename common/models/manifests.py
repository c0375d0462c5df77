"""A manifest, line by line: portfolios with their data, or entities of the books; of any length, in little memory."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydantic import ValidationError

from common.models.faults import faults
from common.models.limits import MAX_MANIFEST_LINE_BYTES, MAX_VALUATIONS
from common.models.request import EntityReference, PortfolioInput
from common.models.rows import (
    Malformed,
    Numbered,
    Row,
    Table,
    UnreadableFileError,
    csv_table,
    json_rows,
    parquet_table,
    text_date,
    text_lines,
)
from common.models.sources import Source, SourceFormat

FAILURE = "failure"
"""Field of a manifest's line that tells why it failed in an earlier run; whoever runs the line again passes over it."""

_FAULTS_TOLD = 5
_ATTRIBUTES = ("client_id", "account_id", "currency")

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One portfolio with its data, or one entity of the books.

    Attributes
    ----------
    place : str
        Where it stands, as a person finds it: `line 17`, `row 3`.
    content : PortfolioInput or EntityReference
    """

    place: str
    content: PortfolioInput | EntityReference

    def document(self) -> JsonObject:
        """Return it as a line of a manifest."""
        return self.content.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """What stands in a manifest and is no portfolio.

    Attributes
    ----------
    place : str
    document : dict
        What could be read of it.
    message : str
    """

    place: str
    document: JsonObject
    message: str


def read_manifest(file: BinaryIO, source: Source) -> Iterator[ManifestEntry | RefusedEntry]:
    """Yield the entries of a manifest in their order.

    JSON Lines has one on each line: a portfolio as it would stand in a request, or an entity of the books as
    `{entity_id}` with an `entity_type` and an `as_of_date` where wanted. CSV and Parquet with a column `date` have a
    row for each valuation, those of a portfolio one after another; without it a row for each entity of the books.

    Raises
    ------
    UnreadableFileError
        The file is none of these, or from some place on cannot be read.
    """
    match source.resolved_format:
        case SourceFormat.JSON_LINES:
            yield from _of_objects(json_rows(text_lines(file, MAX_MANIFEST_LINE_BYTES)))
        case SourceFormat.CSV:
            yield from _of_table(csv_table(text_lines(file, MAX_MANIFEST_LINE_BYTES), whole_rows=True), "line")
        case SourceFormat.PARQUET:
            with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                yield from _of_table(parquet_table(copy.name), "row")
        case SourceFormat.JSON:
            raise UnreadableFileError("a manifest is JSON Lines, CSV or Parquet: JSON would have to be read whole")


def _of_objects(rows: Numbered) -> Iterator[ManifestEntry | RefusedEntry]:
    for number, row in rows:
        place = f"line {number}"
        if isinstance(row, Malformed):
            yield RefusedEntry(place, {}, row.reason)
        else:
            yield _entry(place, {key: value for key, value in row.items() if key != FAILURE})


def _of_table(table: Table, unit: str) -> Iterator[ManifestEntry | RefusedEntry]:
    columns = set(table.columns)
    if not columns & {"portfolio_id", "entity_id"}:
        raise UnreadableFileError("there is no column `portfolio_id` or `entity_id`")
    if "date" in columns:
        yield from _of_valuations(table.rows, unit)
        return
    for number, row in table.rows:
        place = f"{unit} {number}"
        if isinstance(row, Malformed):
            yield RefusedEntry(place, {}, row.reason)
        else:
            named = {"entity_id": _name(row, "entity_id", "portfolio_id")}
            named |= {key: row[key] for key in ("entity_type", "as_of_date") if row.get(key)}
            yield _entry(place, {key: _text(value) for key, value in named.items()})


def _of_valuations(rows: Numbered, unit: str) -> Iterator[ManifestEntry | RefusedEntry]:
    """Put the rows of each portfolio together; one of which a row cannot be read is not calculated without it."""
    current: _Gathered | None = None
    broken: str | None = None
    for number, row in rows:
        place = f"{unit} {number}"
        if isinstance(row, Malformed):
            # It may be the last row of one portfolio or the first of the next: both are in doubt.
            broken = f"{place}: {row.reason}"
            if current:
                current.broken = broken
            continue
        name = _text(_name(row, "portfolio_id", "entity_id"))
        if current is None or name != current.document["portfolio_id"]:
            if current:
                yield current.entry()
            current = _Gathered(place, name, row, broken)
        current.add(row)
        broken = None
    if current:
        yield current.entry()
    elif broken:
        yield RefusedEntry(broken.partition(":")[0], {}, broken)


class _Gathered:
    """A portfolio while its rows are read."""

    def __init__(self, place: str, name: object, first: Row, broken: str | None) -> None:
        self.place, self.broken = place, broken
        self.document: JsonObject = {
            "portfolio_id": name,
            **{key: first[key] for key in _ATTRIBUTES if first.get(key)},
            "valuations": {"dates": [], "values": []},
            "cash_flows": {"dates": [], "amounts": []},
        }

    def add(self, row: Row) -> None:
        valuations, flows = self.document["valuations"], self.document["cash_flows"]
        if len(valuations["dates"]) > MAX_VALUATIONS:  # one too many is enough to be refused
            return
        day = text_date(row.get("date"))
        valuations["dates"].append(day)
        valuations["values"].append(row.get("value"))
        if row.get("cash_flow") not in (None, "", "0", 0, 0.0):
            flows["dates"].append(day)
            flows["amounts"].append(row["cash_flow"])

    def entry(self) -> ManifestEntry | RefusedEntry:
        if self.broken:
            return RefusedEntry(self.place, self.document, self.broken)
        return _entry(self.place, self.document)


def _entry(place: str, document: Mapping[str, Any]) -> ManifestEntry | RefusedEntry:
    try:
        if "valuations" in document:
            return ManifestEntry(place, PortfolioInput.model_validate(document))
        named = dict(document)
        if "portfolio_id" in named:
            named.setdefault("entity_id", named.pop("portfolio_id"))
        return ManifestEntry(place, EntityReference.model_validate(named))
    except ValidationError as error:
        told = [f"{fault.path}: {fault.message}" for fault in faults(error)[:_FAULTS_TOLD]]
        return RefusedEntry(place, dict(document), "; ".join(told))


def _name(row: Row, *columns: str) -> object:
    """Return what stands in the first of some columns that is not empty; 0 is an id."""
    return next((row[each] for each in columns if row.get(each) not in (None, "")), None)


def _text(value: object) -> object:
    value = text_date(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
