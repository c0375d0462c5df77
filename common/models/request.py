"""The request: what to calculate, for which portfolios, by which conventions."""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from common.calculations import Conventions, FlowTiming, Period, StandardPeriod
from common.errors import Fault, InvalidRequestError
from common.models.limits import (
    DEFAULT_CONCURRENCY,
    MAX_CONCURRENCY,
    MAX_ID_CHARACTERS,
    MAX_PERIODS,
    MAX_PORTFOLIOS,
)
from common.models.results import CalculationMethod
from common.models.series import (
    LOCAL_SOURCES,
    TAG_OPENING,
    CashFlowColumns,
    CashFlowSeries,
    IsoDate,
    Source,
    StrictModel,
    ValuationColumns,
    ValuationSeries,
    parse_date,
)

# Printable ASCII: an id is part of keys, object names and dimensions. `#` separates the parts of a key.
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=r"^[!-\"$-~]+$")]

_STANDARD_PERIODS = tuple(period.value for period in StandardPeriod)


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
            "must be one of {names}, or {{from, to}}",
            {"names": ", ".join(_STANDARD_PERIODS)},
        )
    if start >= end:
        raise PydanticCustomError("time_period_order", "from must lie before to")
    return f"{start.isoformat()}/{end.isoformat()}"


def _distinct(labels: list[str]) -> list[str]:
    if twice := [label for label, count in Counter(labels).items() if count > 1]:
        raise PydanticCustomError("duplicate_period", "{labels} stands twice", {"labels": ", ".join(twice)})
    return labels


class CalculationOptions(StrictModel):
    """What all portfolios of a request share."""

    request_id: Identifier | None = Field(None, description="the execution's name when absent")
    as_of_date: IsoDate | None = Field(None, description="each portfolio's last valuation when absent")
    time_periods: Annotated[
        list[Annotated[str, BeforeValidator(_period_label)]],
        Field(min_length=1, max_length=MAX_PERIODS),
        AfterValidator(_distinct),
    ] = Field(default_factory=lambda: list(_STANDARD_PERIODS))
    calculation_method: Annotated[CalculationMethod, Field(strict=False)] = CalculationMethod.DAILY
    flow_timing: Annotated[FlowTiming, Field(strict=False)] = FlowTiming.AFTER_CLOSE
    risk_free_rate: float = Field(0.0, gt=-1.0, le=1.0, allow_inf_nan=False, description="a year")
    periods_per_year: float | None = Field(None, ge=1.0, le=366.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _periods_end_in_time(self) -> Self:
        for label in self.time_periods:
            if self.as_of_date and "/" in label and date.fromisoformat(label.partition("/")[2]) > self.as_of_date:
                raise PydanticCustomError(
                    "time_period_future",
                    "time period {label} ends after as_of_date {as_of}",
                    {"label": label, "as_of": self.as_of_date.isoformat()},
                )
        return self

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

    @property
    def conventions(self) -> Conventions:
        """The choices the calculations need."""
        return Conventions(
            flow_timing=self.flow_timing,
            modified_dietz=self.calculation_method is CalculationMethod.MODIFIED_DIETZ,
            risk_free_rate=self.risk_free_rate,
            periods_per_year=self.periods_per_year,
        )


class PortfolioInput(StrictModel):
    """One portfolio: who it is, what it was worth, what went in and out."""

    portfolio_id: Identifier
    client_id: Identifier | None = None
    account_id: Identifier | None = None
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$", description="ISO 4217")
    valuations: ValuationSeries
    cash_flows: CashFlowSeries = Field(default_factory=lambda: CashFlowColumns(dates=[], amounts=[]))


class BenchmarkInput(StrictModel):
    """An index to compare with: its levels, total return or price as the caller chooses."""

    benchmark_id: Identifier = "benchmark"
    valuations: ValuationSeries

    @model_validator(mode="after")
    def _is_positive(self) -> Self:
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


class CalculationRequest(CalculationOptions):
    """A request for one portfolio or for many."""

    max_concurrency: int = Field(DEFAULT_CONCURRENCY, ge=1, le=MAX_CONCURRENCY)
    benchmark: BenchmarkInput | None = None
    portfolios: Portfolios

    @classmethod
    def parse(cls, document: object, *, local_sources: bool = False) -> Self:
        """Validate a request.

        Parameters
        ----------
        document
            The parsed JSON.
        local_sources
            Whether references may name files of this machine.

        Raises
        ------
        InvalidRequestError
            With every fault and its JSON path.
        """
        try:
            request = cls.model_validate(document, context={LOCAL_SOURCES: local_sources})
        except ValidationError as error:
            raise InvalidRequestError([*faults(error), *duplicate_ids(document)]) from None
        if twice := duplicate_ids(document):
            raise InvalidRequestError(twice)
        return request


def parse_portfolios(documents: list[Any], path: str) -> list[PortfolioInput]:
    """Validate the portfolios of a referenced file; references in it must be on S3.

    Raises
    ------
    InvalidRequestError
        With every fault, its path below `path`.
    """
    found: list[Fault] = []
    portfolios = []
    for index, document in enumerate(documents):
        try:
            portfolios.append(PortfolioInput.model_validate(document))
        except ValidationError as error:
            found += [Fault(f"{path}[{index}]{fault.path[1:]}", fault.message) for fault in faults(error)]
    found += duplicate_ids({"portfolios": documents}, path)
    if not documents:
        found.append(Fault(path, "there must be at least one portfolio"))
    if len(documents) > MAX_PORTFOLIOS:
        found.append(Fault(path, f"{len(documents)} portfolios; a request may have {MAX_PORTFOLIOS}"))
    if found:
        raise InvalidRequestError(found)
    return portfolios


def faults(error: ValidationError) -> list[Fault]:
    """Return every fault of a validation with its JSON path."""
    return [
        Fault(json_path(each["loc"]), _MESSAGES.get(each["type"], each["msg"]).format(**each.get("ctx", {})))
        for each in error.errors(include_url=False, include_input=False)
    ]


def json_path(location: tuple[int | str, ...]) -> str:
    """Return `$.portfolios[0].valuations` for the parts of a location, our own tags left out."""
    path = "$"
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(TAG_OPENING):
            path += f".{part}"
    return path


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


# Where pydantic's own words would not help a person who wrote JSON.
_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "string_pattern_mismatch": "must match {pattern}",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be text",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "enum": "must be {expected}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items, has {actual_length}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
