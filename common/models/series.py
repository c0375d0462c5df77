"""Dated series as they stand in a request: as points, as columns, or as a reference to a file of them.

numpy comes with the first series that is read: a request may name its entities by their ids alone, and who admits such
requests should not wait for it. So what needs arrays is imported where they are made.
"""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import (
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from common.models.fields import Amount, IsoDate, StrictModel
from common.models.limits import MAX_CASH_FLOWS, MAX_VALUATIONS
from common.models.sources import Source

if TYPE_CHECKING:
    from common.calculations.types import DayArray, FloatArray, Flows, Valuations


class _Written:
    """The columns as JSON has them, item by item: what tells every fault, and what the schema is made of."""

    class ValuationColumns(StrictModel):
        """Market values at the close of days, in columns."""

        dates: list[IsoDate] = Field(min_length=1, max_length=MAX_VALUATIONS)
        values: list[Amount] = Field(min_length=1, max_length=MAX_VALUATIONS)

        @model_validator(mode="after")
        def _fits(self) -> Self:
            _same_length(self.dates, self.values, "values")
            _refuse_duplicates(self.dates)
            return self

    class CashFlowColumns(StrictModel):
        """External flows, in columns; several may share a day."""

        dates: list[IsoDate] = Field(max_length=MAX_CASH_FLOWS)
        amounts: list[Amount] = Field(max_length=MAX_CASH_FLOWS)

        @model_validator(mode="after")
        def _fits(self) -> Self:
            _same_length(self.dates, self.amounts, "amounts")
            return self


class _ValuationPoint(StrictModel):
    date: IsoDate
    value: Amount


class _CashFlowPoint(StrictModel):
    date: IsoDate
    amount: Amount


class _Columns:
    """What valuations and cash flows have in common: an array of days and one of numbers, in the order given.

    Ten years of days as objects of Python's take twenty times as long to read as arrays, and only to become arrays.
    So whole columns are read where they are of the plainest form, and item by item where a closer look is needed.
    """

    __slots__ = ("_days", "_numbers")

    _written: ClassVar[type[StrictModel]]
    """What takes the closer look."""
    _column: ClassVar[str]
    """Name of the numbers."""
    _fewest: ClassVar[int]
    _most: ClassVar[int]
    _day_once: ClassVar[bool]

    def __init__(self, days: "DayArray", numbers: "FloatArray") -> None:
        self._days = days
        self._numbers = numbers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self._as_lists() == other._as_lists()

    def __hash__(self) -> int:
        return hash(self._days.tobytes())  # not of the numbers: 0.0 and -0.0 are equal

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<{self._days.size}>)"

    def _as_lists(self) -> tuple[list[int], list[float]]:
        return self._days.tolist(), self._numbers.tolist()

    @property
    def dates(self) -> list[date]:
        """The dates."""
        found: list[date] = self._days.astype("datetime64[D]").tolist()
        return found

    def dump(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        return {"dates": self._days.astype("datetime64[D]").astype(str).tolist(), self._column: self._numbers.tolist()}

    @classmethod
    def _read(cls, dates: object, numbers: object) -> Self | None:
        """Return columns of the plainest form; None where a closer look is needed."""
        if type(dates) is not list or type(numbers) is not list or len(dates) != len(numbers):
            return None
        if not cls._fewest <= len(dates) <= cls._most:
            return None
        from common.models.columns import one_stands_twice, read_days, read_numbers  # noqa: PLC0415 - as the module says

        days, read = read_days(dates), read_numbers(numbers)
        if days is None or read is None or (cls._day_once and one_stands_twice(days)):
            return None
        return cls(days, read)

    @classmethod
    def _of_columns(cls, value: Any, look_closer: ValidatorFunctionWrapHandler) -> Self:
        if isinstance(value, cls):
            return value
        if type(value) is dict and value.keys() == {"dates", cls._column}:
            found = cls._read(value["dates"], value[cls._column])
            if found is not None:
                return found
        written = look_closer(value)
        return cls._of_lists(written.dates, getattr(written, cls._column))

    @classmethod
    def _of_points(cls, value: Any, look_closer: ValidatorFunctionWrapHandler) -> Self:
        number = cls._column.removesuffix("s")
        if type(value) is list and {dict}.issuperset(map(type, value)) and {2}.issuperset(map(len, value)):
            try:
                found = cls._read([each["date"] for each in value], [each[number] for each in value])
            except KeyError:
                found = None
            if found is not None:
                return found
        points = look_closer(value)
        dates = [point.date for point in points]
        if cls._day_once:
            _refuse_duplicates(dates)
        return cls._of_lists(dates, [getattr(point, number) for point in points])

    @classmethod
    def _of_lists(cls, dates: list[date], numbers: list[float]) -> Self:
        from common.models.columns import arrays  # noqa: PLC0415 - as the module says

        return cls(*arrays(dates, numbers))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            cls._of_columns,
            handler.generate_schema(cls._written),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.dump),
        )


class ValuationColumns(_Columns):
    """Market values at the close of days, in columns.

    Parameters
    ----------
    days : (n,) int64
        Days since 1970-01-01, each once, in any order.
    numbers : (n,) float64
        Their values.
    """

    __slots__ = ()

    _written = _Written.ValuationColumns
    _column = "values"
    _fewest, _most = 1, MAX_VALUATIONS
    _day_once = True

    @property
    def values(self) -> list[float]:
        """The values."""
        found: list[float] = self._numbers.tolist()
        return found

    def valuations(self) -> "Valuations":
        """Return them in the order of their days, for the calculations."""
        from common.calculations.types import Valuations  # noqa: PLC0415 - as the module says

        days, values = self._days, self._numbers
        if not bool((days[1:] > days[:-1]).all()):
            order = days.argsort(kind="stable")
            days, values = days[order], values[order]
        return Valuations.from_arrays(days, values)


class CashFlowColumns(_Columns):
    """External flows, in columns; several may share a day.

    Parameters
    ----------
    days : (n,) int64
        Days since 1970-01-01, in any order.
    numbers : (n,) float64
        Their amounts.
    """

    __slots__ = ()

    _written = _Written.CashFlowColumns
    _column = "amounts"
    _fewest, _most = 0, MAX_CASH_FLOWS
    _day_once = False

    @classmethod
    def none(cls) -> Self:
        """Return no flows."""
        return cls._of_lists([], [])

    @property
    def amounts(self) -> list[float]:
        """The amounts."""
        found: list[float] = self._numbers.tolist()
        return found

    def flows(self) -> "Flows":
        """Return them in the order of their days, for the calculations."""
        from common.calculations.types import Flows  # noqa: PLC0415 - as the module says

        return Flows.from_arrays(self._days, self._numbers)


# In angle brackets, so that a fault's path leaves them out: they are ours, not the user's.
_POINTS, _COLUMNS, _SOURCE = "<points>", "<columns>", "<source>"


def _shape(value: object) -> str:
    if isinstance(value, list):
        return _POINTS
    if isinstance(value, Source) or (isinstance(value, Mapping) and "source" in value):
        return _SOURCE
    return _COLUMNS


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
            WrapValidator(ValuationColumns._of_points),
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
            WrapValidator(CashFlowColumns._of_points),
            Tag(_POINTS),
        ]
        | Annotated[CashFlowColumns, Tag(_COLUMNS)]
        | Annotated[Source, Tag(_SOURCE)],
        Discriminator(_shape),
    ]
