"""A manifest, line by line: portfolios with their data, or entities of the books; of any length, in little memory."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, NamedTuple

from pydantic import ValidationError

from common.json_types import JsonObject
from common.models.faults import faults
from common.models.inputs import PortfolioInput
from common.models.kinds import EntityType
from common.models.limits import MAX_MANIFEST_LINE_BYTES, MAX_VALUATIONS
from common.models.request import EntityReference
from common.models.rows import (
    ATTRIBUTE_COLUMNS,
    VALUATION_COLUMNS,
    Malformed,
    Numbered,
    Row,
    Table,
    UnreadableFileError,
    bounded_lines,
    csv_table,
    json_rows,
    missing_column,
    parquet_table,
    text_date,
    text_lines,
    wrong_columns,
)
from common.models.sources import Source, SourceFormat

FAILURE = "failure"
"""Field of a manifest's line that tells why it failed in an earlier run; see `read_manifest`."""

TEXT_CHARACTERS = 4_096
"""So much of what could not be read is kept with the reason."""

_FAULTS_TOLD = 5
_NAMING = ("portfolio_id", "entity_id")
_OF_THE_BOOKS = ("entity_type", "as_of_date")
_DUPLICATE: Final = "duplicate"
_INCOMPLETE: Final = "incomplete"


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

    @property
    def names(self) -> JsonObject:
        """The entity it is of: `entity_type` and `entity_id`."""
        if isinstance(self.content, PortfolioInput):
            return {"entity_type": EntityType.PORTFOLIO.value, "entity_id": self.content.portfolio_id}
        return {"entity_type": self.content.entity_type.value, "entity_id": self.content.entity_id}

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
    told : dict
        What else is to stand under `failure`, so that the line can be put right, and is refused until it is.
    earlier : bool
        Whether it was refused by an earlier run, and `message` is what that run said.
    """

    place: str
    document: JsonObject
    message: str
    told: JsonObject = field(default_factory=dict)
    earlier: bool = False


def duplicate(names: JsonObject) -> JsonObject:
    """Return what stands under `failure` of a line whose entity another line has already."""
    return {_DUPLICATE: names}


def read_manifest(file: BinaryIO, source: Source) -> Iterator[ManifestEntry | RefusedEntry]:
    """Yield the entries of a manifest in their order.

    JSON Lines has one on each line: a portfolio as it would stand in a request, or an entity of the books as
    `{entity_id}` with an `entity_type` and an `as_of_date` where wanted. CSV and Parquet with a column `date` have a
    row for each valuation, those of a portfolio one after another; without it a row for each entity of the books.

    A line that failed in an earlier run has the reason under `failure`, which is passed over; but what that run refused
    is refused again, for the same reason, as long as nobody has put it right: a line that is nothing but its `failure`,
    one that still names the entity of another line (`failure.duplicate`), and a portfolio that lacks rows which could
    not be read (`failure.incomplete`). Without `failure` each of them is read like any other line.

    Raises
    ------
    UnreadableFileError
        The file is none of these, or from some place on cannot be read.
    """
    match source.resolved_format:
        case SourceFormat.JSON_LINES:
            yield from _of_objects(json_rows(bounded_lines(file, MAX_MANIFEST_LINE_BYTES)))
        case SourceFormat.CSV:
            lines = text_lines(file, MAX_MANIFEST_LINE_BYTES)
            yield from _of_table(csv_table(lines, whole_rows=True, rows_are_lines=True), "line")
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
            yield RefusedEntry(place, {}, row.reason, _text_of(row))
        else:
            document = {key: value for key, value in row.items() if key != FAILURE}
            entry = _entry(place, document)
            yield _refused_again(entry, document, row[FAILURE]) if isinstance(row.get(FAILURE), dict) else entry


def _refused_again(
    entry: ManifestEntry | RefusedEntry, document: JsonObject, failure: JsonObject
) -> ManifestEntry | RefusedEntry:
    """Return the entry of a line that failed before; the reason it was refused for then, where that still holds."""
    same = isinstance(entry, ManifestEntry) and failure.get(_DUPLICATE) == entry.names
    message = failure.get("message")
    if not isinstance(message, str) or (document and not same and failure.get(_INCOMPLETE) is not True):
        return entry
    told = {key: value for key, value in failure.items() if key not in {"error", "message"}}
    return RefusedEntry(entry.place, document, message, told, earlier=True)


def _text_of(row: Malformed) -> JsonObject:
    """Return what stands under `failure` of what could not be read: its text, or how that begins."""
    text = row.text.rstrip("\r\n")
    if len(text) <= TEXT_CHARACTERS:
        return {"text": text} if text else {}
    return {"text": text[:TEXT_CHARACTERS], "text_is": f"the first {TEXT_CHARACTERS:,} of {len(text):,} characters"}


def _of_table(table: Table, unit: str) -> Iterator[ManifestEntry | RefusedEntry]:
    columns = set(table.columns)
    if columns.isdisjoint(_NAMING):
        raise UnreadableFileError(missing_column(_NAMING, table.columns))
    if "date" in columns:
        if "value" not in columns:
            raise UnreadableFileError(missing_column(["value"], table.columns))
        if told := wrong_columns(table.columns, [*_NAMING, *VALUATION_COLUMNS]):
            raise UnreadableFileError(told)
        yield from _of_valuations(table.rows, unit)
        return
    if columns & {"value", "cash_flow"}:
        raise UnreadableFileError(missing_column(["date"], table.columns))
    if told := wrong_columns(table.columns, [*_NAMING, *_OF_THE_BOOKS, "date", "value", "cash_flow"], others=True):
        raise UnreadableFileError(told)
    for number, row in table.rows:
        place = f"{unit} {number}"
        if isinstance(row, Malformed):
            yield RefusedEntry(place, {}, row.reason, _text_of(row))
        else:
            named = {"entity_id": _name(row, "entity_id", "portfolio_id")}
            named |= {key: row[key] for key in _OF_THE_BOOKS if row.get(key)}
            yield _entry(place, {key: _text(value) for key, value in named.items()})


def _of_valuations(rows: Numbered, unit: str) -> Iterator[ManifestEntry | RefusedEntry]:
    """Put the rows of each portfolio together; one of which a row cannot be read is not calculated without it."""
    current: _Gathered | None = None
    broken: _Broken | None = None
    for number, row in rows:
        place = f"{unit} {number}"
        if isinstance(row, Malformed):
            # It may be the last row of one portfolio or the first of the next: both are in doubt.
            broken = _Broken(place, row)
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
        yield RefusedEntry(broken.place, {}, broken.row.reason, _text_of(broken.row))


class _Broken(NamedTuple):
    """A row that could not be read, and where it stands."""

    place: str
    row: Malformed


class _Gathered:
    """A portfolio while its rows are read."""

    def __init__(self, place: str, name: object, first: Row, broken: _Broken | None) -> None:
        self.place, self.broken = place, broken
        self.document: JsonObject = {
            "portfolio_id": name,
            **{key: first[key] for key in ATTRIBUTE_COLUMNS if first.get(key)},
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
            message = f"{self.broken.place}: {self.broken.row.reason}"
            return RefusedEntry(self.place, self.document, message, {_INCOMPLETE: True, **_text_of(self.broken.row)})
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
