"""The request: what to calculate, for which portfolios, by which conventions."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from common.calculations import Conventions, FlowTiming, Period, StandardPeriod
from common.errors import Fault, InvalidRequestError
from common.models.faults import faults
from common.models.fields import IsoDate, StrictModel, ahead_fault, parse_date
from common.models.identifiers import ClientIdentifier, Currency, Identifier
from common.models.limits import (
    DEFAULT_CONCURRENCY,
    DEFAULT_PRICE_AGE_DAYS,
    MAX_CONCURRENCY,
    MAX_PERIODS,
    MAX_PORTFOLIOS,
    MAX_PRICE_AGE_DAYS,
)
from common.models.results import CalculationMethod, EntityType
from common.models.series import CashFlowColumns, CashFlowSeries, ValuationColumns, ValuationSeries
from common.models.sources import LOCAL_SOURCES, Source

# Of the portfolios of a file. A feed that writes every number in a way of its own has a fault for each.
_FAULTS_KEPT = 1_000

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


def _distinct(labels: list[str]) -> list[str]:
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
        AfterValidator(_distinct),
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
            raise InvalidRequestError([*faults(error), *cls._also_wrong(document)]) from None
        dates = request._wrong_dates(today or datetime.now(UTC).date())
        if wrong := [*cls._also_wrong(document), *dates]:
            raise InvalidRequestError(wrong)
        return request

    @classmethod
    def _also_wrong(cls, document: object) -> list[Fault]:  # noqa: ARG003 - requests that override it look at it
        """Return the faults of a document that no field of it shows."""
        return []

    def _wrong_dates(self, today: date) -> list[Fault]:
        """Return the faults of the dates that something is to be calculated as of."""
        fault = self.as_of_date and self.as_of_fault(self.as_of_date, today)
        return [Fault("$.as_of_date", fault)] if fault else []

    def periods(self, as_of: date) -> list[Period]:
        """Return the periods asked for, as of a date."""
        found = []
        for label in self.time_periods:
            first, slash, second = label.partition("/")
            found.append(
                Period.explicit(date.fromisoformat(first), date.fromisoformat(second))
                if slash
                else Period.standard(label, as_of)
            )
        return found

    def conventions(self, flow_timing: FlowTiming) -> Conventions:
        """Return the choices the calculations need, for valuations that hold their flows as `flow_timing` says."""
        return Conventions(
            flow_timing=flow_timing,
            modified_dietz=self.calculation_method is CalculationMethod.MODIFIED_DIETZ,
            risk_free_rate=self.risk_free_rate,
            periods_per_year=self.periods_per_year,
        )


class PortfolioInput(StrictModel):
    """One portfolio: who it is, what it was worth, what went in and out."""

    portfolio_id: Identifier
    client_id: ClientIdentifier | None = None
    account_id: Identifier | None = None
    currency: Currency | None = None
    valuations: ValuationSeries
    cash_flows: CashFlowSeries = Field(default_factory=CashFlowColumns.none)


class BenchmarkInput(StrictModel):
    """An index to compare with: its levels, total return or price as the caller chooses, or those of the books."""

    benchmark_id: Identifier = "benchmark"
    valuations: ValuationSeries | None = None

    @model_validator(mode="after")
    def _has_levels(self) -> Self:
        if self.valuations is None and "benchmark_id" not in self.model_fields_set:
            raise PydanticCustomError("benchmark", "give valuations, or the benchmark_id of one in the books")
        if isinstance(self.valuations, ValuationColumns) and min(self.valuations.values) <= 0.0:
            raise PydanticCustomError("benchmark_positive", "the levels of a benchmark must be positive")
        return self


def _portfolios_shape(value: object) -> str:
    return "<source>" if isinstance(value, Mapping | Source) else "<list>"


Portfolios = Annotated[
    Annotated[list[PortfolioInput], Field(min_length=1, max_length=MAX_PORTFOLIOS), Tag("<list>")]
    | Annotated[Source, Tag("<source>")],
    Discriminator(_portfolios_shape),
]


class EntityReference(StrictModel):
    """One entity of the books to calculate."""

    entity_type: Annotated[EntityType, Field(strict=False)] = EntityType.PORTFOLIO
    entity_id: Identifier
    as_of_date: IsoDate | None = Field(None, description="the request's when absent")


class CalculationRequest(CalculationOptions):
    """A request for one portfolio or for many: with their data, or by the ids they have in the books."""

    max_concurrency: int = Field(DEFAULT_CONCURRENCY, ge=1, le=MAX_CONCURRENCY)
    benchmark: BenchmarkInput | None = None
    client_id: ClientIdentifier | None = Field(
        None, description="binds the run to what is this client's; alone, it asks for all of it"
    )
    entity_type: Annotated[EntityType, Field(strict=False)] = EntityType.PORTFOLIO
    entity_ids: (
        Annotated[list[Identifier], Field(min_length=1, max_length=MAX_PORTFOLIOS), AfterValidator(_distinct)] | None
    ) = None
    entities: Annotated[list[EntityReference], Field(min_length=1, max_length=MAX_PORTFOLIOS)] | None = None
    portfolios: Portfolios | None = None

    @model_validator(mode="after")
    def _names_its_entities_once(self) -> Self:
        given = [name for name in ("portfolios", "entity_ids", "entities") if getattr(self, name) is not None]
        if len(given) > 1:
            raise PydanticCustomError("entities", "give one of {names}, not several", {"names": ", ".join(given)})
        if not given and self.client_id is None:
            raise PydanticCustomError("entities", "give portfolios, entity_ids, entities or a client_id")
        if twice := [each for each, count in Counter(self.entities or ()).items() if count > 1]:
            raise PydanticCustomError("duplicate", "{name} stands twice in entities", {"name": twice[0].entity_id})
        if self.portfolios is not None and self.entity_type is not EntityType.PORTFOLIO:
            raise PydanticCustomError("entity_type", "portfolios given with their data are portfolios")
        return self

    def references(self) -> list[EntityReference] | None:
        """Return the entities of the books that are named one by one; None where none are."""
        if self.entity_ids is not None:
            return [
                EntityReference(entity_type=self.entity_type, entity_id=each, as_of_date=None)
                for each in self.entity_ids
            ]
        return self.entities

    @classmethod
    def _also_wrong(cls, document: object) -> list[Fault]:
        return duplicate_ids(document)

    def _wrong_dates(self, today: date) -> list[Fault]:
        return super()._wrong_dates(today) + [
            Fault(f"$.entities[{index}].as_of_date", fault)
            for index, each in enumerate(self.entities or ())
            if each.as_of_date and (fault := self.as_of_fault(each.as_of_date, today))
        ]


def parse_portfolios(documents: Iterable[Any], path: str) -> list[PortfolioInput]:
    """Validate the portfolios of a referenced file, one after another; references in it must be on S3.

    Raises
    ------
    InvalidRequestError
        With every fault, its path below `path`; with those of the first portfolios where there are thousands.
    """
    found: list[Fault] = []
    portfolios: list[PortfolioInput] = []
    named: list[Any] = []
    count = 0
    for index, document in enumerate(documents):
        count += 1
        if count > MAX_PORTFOLIOS:
            continue
        if len(found) > _FAULTS_KEPT:
            found.insert(0, Fault(path, f"has so many faults that it was read up to item {index - 1} alone"))
            break
        name = document.get("portfolio_id") if isinstance(document, Mapping) else None
        named.append({"portfolio_id": name} if isinstance(name, str) else None)
        try:
            portfolios.append(PortfolioInput.model_validate(document))
        except ValidationError as error:
            found += [Fault(f"{path}[{index}]{fault.path[1:]}", fault.message) for fault in faults(error)]
    found += duplicate_ids({"portfolios": named}, path)
    if not count:
        found.append(Fault(path, "there must be at least one portfolio"))
    if count > MAX_PORTFOLIOS:
        found.append(Fault(path, f"{count} portfolios; a request may have {MAX_PORTFOLIOS}"))
    if found:
        raise InvalidRequestError(found)
    return portfolios


def duplicate_ids(document: object, path: str = "$.portfolios") -> list[Fault]:
    """Return a fault for each portfolio id that an earlier portfolio has too."""
    portfolios = document.get("portfolios") if isinstance(document, Mapping) else None
    seen: dict[str, int] = {}
    found = []
    for index, portfolio in enumerate(portfolios if isinstance(portfolios, list) else ()):
        name = portfolio.get("portfolio_id") if isinstance(portfolio, Mapping) else None
        if isinstance(name, str) and (first := seen.setdefault(name, index)) != index:
            found.append(Fault(f"{path}[{index}].portfolio_id", f"{name!r} is the id of {path}[{first}] already"))
    return found
