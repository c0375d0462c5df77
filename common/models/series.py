"""Dated series as they stand in a request: as points, as columns, or as a reference to a file of them."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from common.calculations import Flows, Valuations
from common.models.limits import MAX_AMOUNT, MAX_CASH_FLOWS, MAX_VALUATIONS

FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)

LOCAL_SOURCES = "local_sources"
"""Key of the validation context that lets a reference name a file of this machine."""


class SourceFormat(StrEnum):
    """Formats of a referenced file."""

    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


_FORMAT_OF_ENDING = {
    "json": SourceFormat.JSON,
    "jsonl": SourceFormat.JSON_LINES,
    "ndjson": SourceFormat.JSON_LINES,
    "csv": SourceFormat.CSV,
    "parquet": SourceFormat.PARQUET,
}


class StrictModel(BaseModel):
    """No unknown field, no coercion, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def parse_date(value: object) -> date:
    """Return the date that `YYYY-MM-DD` names.

    Raises
    ------
    PydanticCustomError
        It is anything else, or outside 1900 to 2199.
    """
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        try:
            day = date.fromisoformat(value)
        except ValueError:
            pass
        else:
            if FIRST_DATE <= day <= LAST_DATE:
                return day
            raise PydanticCustomError("date_range", "the date must lie between 1900 and 2199")
    elif type(value) is date:
        return value
    raise PydanticCustomError("date_format", "must be a date, YYYY-MM-DD")


def is_plain_number(text: str) -> bool:
    """Tell whether `text` is a decimal number; Python alone would take `1_000`, and digits of other scripts, too."""
    if "_" in text or not text.isascii():
        return False
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


def parse_amount(value: object) -> float:
    """Return an amount of money given as a JSON number or as decimal text.

    A decimal text and its float64 differ by at most half a unit in the last of 15 digits; what is computed from it
    starts from that float64 either way.

    Raises
    ------
    PydanticCustomError
        It is no number, not finite, or larger than `MAX_AMOUNT`.
    """
    number: float
    if isinstance(value, str):
        if not is_plain_number(value):
            raise PydanticCustomError("amount", "must be a number")
        number = float(Decimal(value))
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
    else:
        raise PydanticCustomError("amount", "must be a number")
    if not abs(number) <= MAX_AMOUNT:
        raise PydanticCustomError("amount_range", "must be finite and at most 1e15 in size")
    return number


IsoDate = Annotated[date, BeforeValidator(parse_date)]
Amount = Annotated[float, BeforeValidator(parse_amount)]


class Source(StrictModel):
    """A reference to a file: `s3://bucket/key`, or a local path where `perfcalc run` is given the request."""

    source: str = Field(min_length=1, max_length=1024)
    format: Annotated[SourceFormat, Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _is_readable(self, info: ValidationInfo) -> Self:
        if not self.source.startswith("s3://"):
            if "://" in self.source:
                raise PydanticCustomError("source_scheme", "must be a path or start with s3://")
            if not (info.context or {}).get(LOCAL_SOURCES):
                raise PydanticCustomError(
                    "source_local", "must start with s3://; a path of a local file works with `perfcalc run` alone"
                )
        elif "/" not in self.source.removeprefix("s3://").strip("/"):
            raise PydanticCustomError("source_key", "must name an object: s3://bucket/key")
        if self.format is None and format_of(self.source) is None:
            raise PydanticCustomError(
                "source_format", "give a format (json, jsonl, csv, parquet): the ending does not tell it"
            )
        return self

    @property
    def resolved_format(self) -> SourceFormat:
        """The format given, or the one that the ending tells."""
        found = self.format or format_of(self.source)
        assert found is not None
        return found


def format_of(name: str) -> SourceFormat | None:
    """Return the format that the ending of a file's name tells; None where it tells none."""
    return _FORMAT_OF_ENDING.get(name.rsplit("/", 1)[-1].rsplit(".", 1)[-1].lower())


class _Columns(StrictModel):
    """What valuations and cash flows have in common."""

    dates: list[IsoDate]

    def day_numbers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the dates as days since 1970-01-01."""
        return np.asarray(self.dates, dtype="datetime64[D]").astype(np.int64)


class ValuationColumns(_Columns):
    """Market values at the close of days, in columns."""

    dates: list[IsoDate] = Field(min_length=1, max_length=MAX_VALUATIONS)
    values: list[Amount] = Field(min_length=1, max_length=MAX_VALUATIONS)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _same_length(self.dates, self.values, "values")
        _refuse_duplicates(self.dates)
        return self

    def valuations(self) -> Valuations:
        """Return them in the order of their days, for the calculations."""
        days, values = self.day_numbers(), np.asarray(self.values, dtype=np.float64)
        order = np.argsort(days, kind="stable")
        return Valuations.from_arrays(days[order], values[order])


class CashFlowColumns(_Columns):
    """External flows, in columns; several may share a day."""

    dates: list[IsoDate] = Field(max_length=MAX_CASH_FLOWS)
    amounts: list[Amount] = Field(max_length=MAX_CASH_FLOWS)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _same_length(self.dates, self.amounts, "amounts")
        return self

    def flows(self) -> Flows:
        """Return them in the order of their days, for the calculations."""
        return Flows.from_arrays(self.day_numbers(), np.asarray(self.amounts, dtype=np.float64))


class _ValuationPoint(StrictModel):
    date: IsoDate
    value: Amount


class _CashFlowPoint(StrictModel):
    date: IsoDate
    amount: Amount


# Tags stand in angle brackets so that a fault's path can leave them out: they are ours, not the user's.
TAG_OPENING = "<"
_POINTS, _COLUMNS, _SOURCE = "<points>", "<columns>", "<source>"


def _shape(value: object) -> str:
    if isinstance(value, list):
        return _POINTS
    if isinstance(value, Source) or (isinstance(value, Mapping) and "source" in value):
        return _SOURCE
    return _COLUMNS


def _valuation_columns(points: list[_ValuationPoint]) -> ValuationColumns:
    dates = [point.date for point in points]
    _refuse_duplicates(dates)
    return ValuationColumns.model_construct(dates=dates, values=[point.value for point in points])


def _cash_flow_columns(points: list[_CashFlowPoint]) -> CashFlowColumns:
    return CashFlowColumns.model_construct(
        dates=[point.date for point in points], amounts=[point.amount for point in points]
    )


def _refuse_duplicates(dates: list[date]) -> None:
    seen: dict[date, int] = {}
    for index, day in enumerate(dates):
        if (first := seen.setdefault(day, index)) != index:
            raise PydanticCustomError(
                "duplicate_date",
                "{day} stands twice (items {first} and {index})",
                {"day": day.isoformat(), "first": first, "index": index},
            )


def _same_length(dates: list[date], values: list[float], name: str) -> None:
    if len(dates) != len(values):
        raise PydanticCustomError(
            "length",
            "{dates} dates for {values} {name}",
            {"dates": len(dates), "values": len(values), "name": name},
        )


# What a series is once validated: `[{date, value}]`, `{dates, values}` or `{source}`, the points made columns.
if TYPE_CHECKING:
    ValuationSeries = ValuationColumns | Source
    CashFlowSeries = CashFlowColumns | Source
else:
    ValuationSeries = Annotated[
        Annotated[
            list[_ValuationPoint],
            Field(min_length=1, max_length=MAX_VALUATIONS),
            AfterValidator(_valuation_columns),
            Tag(_POINTS),
        ]
        | Annotated[ValuationColumns, Tag(_COLUMNS)]
        | Annotated[Source, Tag(_SOURCE)],
        Discriminator(_shape),
    ]

    CashFlowSeries = Annotated[
        Annotated[
            list[_CashFlowPoint],
            Field(max_length=MAX_CASH_FLOWS),
            AfterValidator(_cash_flow_columns),
            Tag(_POINTS),
        ]
        | Annotated[CashFlowColumns, Tag(_COLUMNS)]
        | Annotated[Source, Tag(_SOURCE)],
        Discriminator(_shape),
    ]
