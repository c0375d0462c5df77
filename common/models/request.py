"""The request: what to calculate, for which portfolios, by which conventions."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from common.errors import Fault, InvalidRequestError
from common.models.faults import faults
from common.models.fields import IsoDate, StrictModel
from common.models.identifiers import ClientIdentifier, Identifier
from common.models.inputs import BenchmarkInput, PortfolioInput
from common.models.kinds import EntityType
from common.models.limits import DEFAULT_CONCURRENCY, MAX_CONCURRENCY, MAX_PORTFOLIOS
from common.models.options import CalculationOptions, distinct
from common.models.sources import Source

# Of portfolios. A feed that writes every number in a way of its own has a fault for each.
_FAULTS_KEPT = 1_000
_IN_A_PORTFOLIO = re.compile(r"\$\.portfolios\[(\d+)\]")


def _portfolios_shape(value: object) -> str:
    return "<source>" if isinstance(value, Mapping | Source) else "<list>"


def _until_many_faults(value: object, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
    """Validate portfolios up to the one with which they have more faults than anybody reads.

    Each fault takes a kilobyte: the points of a request may have millions, and who admits it has half a gigabyte.
    """
    if type(value) is not list or len(value) > MAX_PORTFOLIOS:
        return validate(value)
    read: list[object] = []
    count = 0
    for each in value:
        try:
            read.append(PortfolioInput.model_validate(each, context=info.context))
        except ValidationError as error:
            read.append(each)  # once more with the others, for the place of its faults
            count += error.error_count()
            if count > _FAULTS_KEPT:
                break
    return validate(read)


Portfolios = Annotated[
    Annotated[
        list[PortfolioInput],
        Field(min_length=1, max_length=MAX_PORTFOLIOS),
        WrapValidator(_until_many_faults),
        Tag("<list>"),
    ]
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
        Annotated[list[Identifier], Field(min_length=1, max_length=MAX_PORTFOLIOS), AfterValidator(distinct)] | None
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
    def _also_wrong(cls, document: object, found: Sequence[Fault] = ()) -> list[Fault]:
        return [*_unread(document, found), *duplicate_ids(document)]

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
            found.insert(0, _read_up_to(path, index - 1))
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


def _unread(document: object, found: Sequence[Fault]) -> list[Fault]:
    """Return a fault that says up to which portfolio a request was read, where that is not the last."""
    portfolios = document.get("portfolios") if isinstance(document, Mapping) else None
    places = [match[1] for fault in found if (match := _IN_A_PORTFOLIO.match(fault.path))]
    if not isinstance(portfolios, list) or len(places) <= _FAULTS_KEPT or int(places[-1]) == len(portfolios) - 1:
        return []
    return [_read_up_to("$.portfolios", int(places[-1]))]


def _read_up_to(path: str, index: int) -> Fault:
    return Fault(path, f"has so many faults that it was read up to item {index} alone")


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
