"""A row of a file that is imported into the books: what it holds, or everything that is wrong with it."""

import json
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from common.errors import Fault, clip
from common.models.books import (
    BookEntityType,
    DayValue,
    Entity,
    Number,
    Positive,
    SeriesKind,
    StoredEntity,
    Transaction,
)
from common.models.faults import faults
from common.models.fields import IsoDate, StrictModel, ahead_fault
from common.models.identifiers import Identifier
from common.models.rows import Row, text_date

Attributes = dict[str, str | None]
"""What a file says of an entity; None clears an attribute, one that is not there is left as it is."""

_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_SHOWN_CHARACTERS = 40


class RecordKind(StrEnum):
    """What a file holds, each kind after those it depends on.

    Transactions come last: they mark their portfolios, which should find prices and valuations when they are
    recalculated.
    """

    CLIENTS = "clients"
    ACCOUNTS = "accounts"
    PORTFOLIOS = "portfolios"
    SECURITIES = "securities"
    BENCHMARKS = "benchmarks"
    PRICES = "prices"
    LEVELS = "levels"
    VALUATIONS = "valuations"
    TRANSACTIONS = "transactions"

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column it can have, those it must have first."""
        required, optional = _COLUMNS[self]
        return required + optional

    @property
    def required(self) -> tuple[str, ...]:
        """The columns it must have; the first names the entity a row belongs to."""
        return _COLUMNS[self][0]

    @property
    def order(self) -> int:
        """Its place among the kinds when several are imported together."""
        return _ORDER[self]


_COLUMNS: dict[RecordKind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    RecordKind.CLIENTS: (("client_id",), ("name",)),
    RecordKind.ACCOUNTS: (("account_id", "client_id"), ("name", "currency", "benchmark_id")),
    RecordKind.PORTFOLIOS: (
        ("portfolio_id", "client_id"),
        ("account_id", "name", "currency", "benchmark_id", "flow_timing"),
    ),
    RecordKind.SECURITIES: (("security_id",), ("name", "currency", "client_id")),
    RecordKind.BENCHMARKS: (("benchmark_id",), ("name", "currency")),
    RecordKind.PRICES: (("security_id", "date", "price"), ("dividend", "split")),
    RecordKind.LEVELS: (("benchmark_id", "date", "level"), ()),
    RecordKind.VALUATIONS: (("portfolio_id", "date", "value"), ()),
    RecordKind.TRANSACTIONS: (
        ("portfolio_id", "transaction_id", "type", "trade_date"),
        ("amount", "quantity", "security_id", "counterparty_id"),
    ),
}
_KNOWN = {kind: frozenset(required + optional) for kind, (required, optional) in _COLUMNS.items()}
_ORDER = {kind: place for place, kind in enumerate(RecordKind)}

ENTITIES: dict[RecordKind, BookEntityType] = {
    RecordKind.CLIENTS: BookEntityType.CLIENT,
    RecordKind.ACCOUNTS: BookEntityType.ACCOUNT,
    RecordKind.PORTFOLIOS: BookEntityType.PORTFOLIO,
    RecordKind.SECURITIES: BookEntityType.SECURITY,
    RecordKind.BENCHMARKS: BookEntityType.BENCHMARK,
}
"""The kinds that are entities, a row each."""

SERIES: dict[RecordKind, SeriesKind] = {
    RecordKind.PRICES: SeriesKind.PRICE,
    RecordKind.LEVELS: SeriesKind.LEVEL,
    RecordKind.VALUATIONS: SeriesKind.VALUATION,
}
"""The kinds that are days of a series."""


class InvalidRecordError(ValueError):
    """A row that is no record of its kind.

    Parameters
    ----------
    faults
        Everything that is wrong with it, each with its column; the column is empty where it is the whole row.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


class Record(NamedTuple):
    """What a row holds.

    Attributes
    ----------
    entity_id : str
        Whose it is.
    key : str
        What tells it from the entity's others of its kind: the id of a transaction, the day of a series; empty for an
        entity.
    content : dict, Transaction or DayValue
        Of an entity the attributes that the file has.
    """

    entity_id: str
    key: str
    content: Attributes | Transaction | DayValue


class _PriceRow(StrictModel):
    security_id: Identifier
    date: IsoDate
    price: Annotated[Number, Field(ge=0)]
    dividend: Annotated[Number, Field(ge=0)] = Decimal(0)
    split: Positive = Decimal(1)


class _LevelRow(StrictModel):
    benchmark_id: Identifier
    date: IsoDate
    level: Positive


class _ValuationRow(StrictModel):
    portfolio_id: Identifier
    date: IsoDate
    value: Number


# --- what a file holds -----------------------------------------------------------------------------------------------


def tell_kind(columns: Sequence[str]) -> RecordKind | None:
    """Return the kind that a file with `columns` holds; None where they do not tell.

    Columns that no kind has do not hinder as long as the others leave no doubt: see `column_faults`.
    """
    given = set(columns)
    fitting = [kind for kind in RecordKind if given.issuperset(kind.required)]
    if not fitting:
        return None
    kind = max(fitting, key=lambda each: (len(each.required), -len(given.difference(each.columns))))
    unknown = given.difference(kind.columns)
    # An id alone tells little: security_id, day and close may well be prices.
    return None if len(kind.required) == 1 and len(unknown) >= len(given) - len(unknown) else kind


def column_faults(kind: RecordKind, columns: Sequence[str], *, of_every_row: bool = True) -> list[str]:
    """Return what is wrong with the columns of a file of `kind`.

    Parameters
    ----------
    of_every_row
        False for the keys of one object of several, which others may have though it has not.
    """
    told = [f"the column {name!r} stands twice" for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if unknown := [name for name in dict.fromkeys(columns) if name not in kind.columns]:
        told.append(f"{kind} have no column {', '.join(map(repr, unknown))}; they have {', '.join(kind.columns)}")
        if kind is RecordKind.VALUATIONS and "cash_flow" in unknown:
            told.append("import cash flows as transactions, of the types deposit and withdrawal")
    if of_every_row and (missing := [name for name in kind.required if name not in columns]):
        told.append(f"{kind} need the column {', '.join(missing)}")
    return told


# --- what a row holds ------------------------------------------------------------------------------------------------


def clean(row: Row) -> Row:
    """Return a row as all formats have it: text without space around it, None for what is empty, dates as text."""
    cleaned = {name: text_date(value) for name, value in row.items()}
    return {name: None if value == "" else value for name, value in cleaned.items()}


def parse(kind: RecordKind, row: Row, today: date) -> Record:
    """Return what a row holds.

    Parameters
    ----------
    kind
        What it is a row of.
    row
        As `clean` returns it.
    today
        In UTC; what is dated long after it is a slip.

    Raises
    ------
    InvalidRecordError
        With everything that is wrong with it.
    """
    known = _KNOWN[kind]
    given = {name: value for name, value in row.items() if value is not None and name in known}
    found = [Fault(name, "is missing") for name in kind.required if name not in given]
    found += [Fault(_legible(name), "is not a known column") for name in row if name not in known]
    found += [
        Fault(name, f"{_shown(value)} is not UTF-8 text")
        for name, value in given.items()
        if isinstance(value, str) and not value.isascii() and _NOT_UTF8.search(value)
    ]
    try:
        record = _parse(kind, row, given)
    except ValidationError as error:
        found += _new_faults(error, kind, given, found)
    else:
        content = record.content
        column = "trade_date" if isinstance(content, Transaction) else "date"
        day = getattr(content, column, None)
        if day is not None and (ahead := ahead_fault(day, today)):
            found.append(Fault(column, f"{_shown(row[column])} {ahead}"))
    if found:
        raise InvalidRecordError(found)
    return record


def _parse(kind: RecordKind, row: Row, given: Row) -> Record:
    match kind:
        case RecordKind.PRICES:
            price = _PriceRow.model_validate(given)
            day = DayValue(price.date, price.price, price.dividend, price.split)
            return Record(price.security_id, day.date.isoformat(), day)
        case RecordKind.LEVELS:
            level = _LevelRow.model_validate(given)
            return Record(level.benchmark_id, level.date.isoformat(), DayValue(level.date, level.level))
        case RecordKind.VALUATIONS:
            valuation = _ValuationRow.model_validate(given)
            day = DayValue(valuation.date, valuation.value)
            return Record(valuation.portfolio_id, day.date.isoformat(), day)
        case RecordKind.TRANSACTIONS:
            transaction = Transaction.model_validate(given)
            return Record(transaction.portfolio_id, transaction.transaction_id, transaction)
        case _:
            id_column = kind.required[0]
            entity = Entity.model_validate(_entity_fields(kind, given.get(id_column), given))
            return Record(entity.entity_id, "", {name: row[name] for name in row if name != id_column})


def _entity_fields(kind: RecordKind, entity_id: Any, attributes: Row) -> Row:
    fields = {"entity_type": ENTITIES[kind], **attributes}
    if kind not in {RecordKind.CLIENTS, RecordKind.ACCOUNTS}:  # which bear their own id twice
        fields.pop(kind.required[0], None)
    return fields if entity_id is None else {**fields, "entity_id": entity_id}


def _new_faults(error: ValidationError, kind: RecordKind, given: Row, known: Sequence[Fault]) -> list[Fault]:
    """Return the faults of a validation in columns that are not known to be faulty, one a column."""
    found: dict[str, Fault] = {}
    for path, message in faults(error):
        column = path.removeprefix("$").removeprefix(".")
        if column == "entity_id":
            column = kind.required[0]
        # The identifier of a client, told last, is the stricter one.
        found[column] = Fault(column, f"{_shown(given[column])} {message}" if column in given else message)
    told = {fault.path for fault in known}
    # What is wrong with a row as a whole is not known before its columns are right.
    return [fault for column, fault in found.items() if column not in told and (column or not told)]


def _shown(value: object) -> str:
    return clip(repr(value) if isinstance(value, str) else str(value), _SHOWN_CHARACTERS)


def _legible(name: str) -> str:
    """Return the name of a column that nobody has checked, fit to be printed."""
    return clip(repr(name)[1:-1], _SHOWN_CHARACTERS)


# --- text between reading and writing --------------------------------------------------------------------------------


def dump(record: Record) -> str:
    """Return the content of a record as text, every digit of it."""
    content = record.content
    if isinstance(content, Transaction):
        return content.model_dump_json(exclude_none=True)
    if isinstance(content, DayValue):
        return f"{content.value} {content.dividend} {content.split}"
    return json.dumps(content)


def load_transaction(text: str) -> Transaction:
    """Return the transaction of a dumped record."""
    return Transaction.model_validate_json(text)


def load_day(key: str, text: str) -> DayValue:
    """Return the day of a series of a dumped record, by the record's key."""
    value, dividend, split = text.split()
    return DayValue(date.fromisoformat(key), Decimal(value), Decimal(dividend), Decimal(split))


def load_entity(kind: RecordKind, entity_id: str, text: str, stored: StoredEntity | None) -> Entity:
    """Return the entity of a dumped record: what the books have of it, with the attributes of the file."""
    known: Row = stored.entity.model_dump(exclude={"entity_type", "entity_id"}) if stored else {}
    attributes = {name: value for name, value in {**known, **json.loads(text)}.items() if value is not None}
    if kind in {RecordKind.CLIENTS, RecordKind.ACCOUNTS}:
        attributes[kind.required[0]] = entity_id
    return Entity.model_validate(_entity_fields(kind, entity_id, attributes))


def same_content(kind: RecordKind, key: str, one: str, other: str) -> bool:
    """Return whether two dumped records say the same, such as 1.5 and 1.50."""
    if one == other:
        return True
    if kind in SERIES:
        return load_day(key, one) == load_day(key, other)
    if kind is RecordKind.TRANSACTIONS:
        return load_transaction(one) == load_transaction(other)
    return bool(json.loads(one) == json.loads(other))
