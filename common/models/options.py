"""The options of a request: over which periods, as of when, by which conventions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from common.calculations.words import FlowTiming, StandardPeriod
from common.errors import Fault, InvalidRequestError
from common.models.faults import faults
from common.models.fields import IsoDate, StrictModel, ahead_fault, parse_date
from common.models.identifiers import Identifier
from common.models.kinds import CalculationMethod
from common.models.limits import DEFAULT_PRICE_AGE_DAYS, MAX_PERIODS, MAX_PRICE_AGE_DAYS
from common.models.sources import LOCAL_SOURCES

_STANDARD_PERIODS = tuple(period.value for period in StandardPeriod)

PERIOD_PATTERN = rf"^({'|'.join(_STANDARD_PERIODS)}|\d{{4}}-\d{{2}}-\d{{2}}/\d{{4}}-\d{{2}}-\d{{2}})$"
"""What the label of a period looks like."""


def _period_label(value: object) -> str:
    """Return the label of a period: a standard one, or `FROM/TO`, given as such or as {from, to}."""
    if isinstance(value, Mapping) and set(value) == {"from", "to"}:
        start, end = parse_date(value["from"]), parse_date(value["to"])
    elif isinstance(value, str) and "/" in value:
        first, _, second = value.partition("/")
        start, end = parse_date(first), parse_date(second)
    elif isinstance(value, str) and value in _STANDARD_PERIODS:
        return value
    else:
        raise PydanticCustomError(
            "time_period",
            "must be one of {names}, or {from, to}",
            {"names": ", ".join(_STANDARD_PERIODS)},
        )
    if start >= end:
        raise PydanticCustomError("time_period_order", "from must lie before to")
    return f"{start.isoformat()}/{end.isoformat()}"


_PERIOD_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "enum": list(_STANDARD_PERIODS)},
        {"type": "string", "pattern": PERIOD_PATTERN, "description": "FROM/TO"},
        {
            "type": "object",
            "properties": {name: {"type": "string", "format": "date"} for name in ("from", "to")},
            "required": ["from", "to"],
            "additionalProperties": False,
        },
    ]
}


def distinct(labels: list[str]) -> list[str]:
    """Return the labels, of which none may stand twice."""
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise PydanticCustomError("duplicate", "{labels} stands twice", {"labels": ", ".join(twice[:5])})
    return labels


class CalculationOptions(StrictModel):
    """What all portfolios of a request share."""

    request_id: Identifier | None = Field(None, description="the execution's name when absent")
    as_of_date: IsoDate | None = Field(None, description="each portfolio's last valuation when absent")
    time_periods: Annotated[
        list[Annotated[str, BeforeValidator(_period_label), WithJsonSchema(_PERIOD_SCHEMA)]],
        Field(min_length=1, max_length=MAX_PERIODS),
        AfterValidator(distinct),
    ] = Field(default_factory=lambda: list(_STANDARD_PERIODS))
    calculation_method: Annotated[CalculationMethod, Field(strict=False)] = CalculationMethod.DAILY
    flow_timing: Annotated[FlowTiming, Field(strict=False)] | None = Field(
        None, description="as the books say, else after_close; end_of_day where transactions are valued"
    )
    risk_free_rate: float = Field(0.0, gt=-1.0, le=1.0, allow_inf_nan=False, description="a year")
    periods_per_year: float | None = Field(None, ge=1.0, le=366.0, allow_inf_nan=False)
    max_price_age_days: int = Field(
        DEFAULT_PRICE_AGE_DAYS, ge=0, le=MAX_PRICE_AGE_DAYS, description="how long a missing price is carried forward"
    )

    @model_validator(mode="after")
    def _periods_end_in_time(self) -> Self:
        if self.as_of_date and (fault := self._late_period(self.as_of_date)):
            raise PydanticCustomError("time_period_future", "{fault}", {"fault": fault})
        return self

    def as_of_fault(self, as_of: date, today: date) -> str | None:
        """Return why nothing can be calculated as of a date, which may be an entity's own; None where it can."""
        return ahead_fault(as_of, today) or self._late_period(as_of)

    def _late_period(self, as_of: date) -> str | None:
        ends = ((label, date.fromisoformat(label.partition("/")[2])) for label in self.time_periods if "/" in label)
        late = next((label for label, end in ends if end > as_of), None)
        return late and f"time period {late} ends after as_of_date {as_of.isoformat()}"

    @classmethod
    def parse(cls, document: object, *, local_sources: bool = False, today: date | None = None) -> Self:
        """Validate a request.

        Parameters
        ----------
        document
            The parsed JSON.
        local_sources
            Whether references may name files of this machine.
        today
            In UTC, the clock's when None: a date long after it is a slip.

        Raises
        ------
        InvalidRequestError
            With every fault and its JSON path.
        """
        try:
            request = cls.model_validate(document, context={LOCAL_SOURCES: local_sources})
        except ValidationError as error:
            found = faults(error)
            raise InvalidRequestError([*found, *cls._also_wrong(document, found)]) from None
        dates = request._wrong_dates(today or datetime.now(UTC).date())
        if wrong := [*cls._also_wrong(document), *dates]:
            raise InvalidRequestError(wrong)
        return request

    @classmethod
    def _also_wrong(
        cls,
        document: object,  # noqa: ARG003 - requests that override it look at it
        found: Sequence[Fault] = (),  # noqa: ARG003 - likewise
    ) -> list[Fault]:
        """Return the faults of a document that no field of it shows, where its fields have shown those `found`."""
        return []

    def _wrong_dates(self, today: date) -> list[Fault]:
        """Return the faults of the dates that something is to be calculated as of."""
        fault = self.as_of_date and self.as_of_fault(self.as_of_date, today)
        return [Fault("$.as_of_date", fault)] if fault else []
