"""The request of a fleet run: which portfolios, of any number, and how they are cut into batches."""

from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from common.json_types import JsonObject
from common.models.identifiers import ClientIdentifier
from common.models.inputs import BenchmarkInput
from common.models.kinds import EntityType
from common.models.limits import (
    DEFAULT_BATCH_CONCURRENCY,
    DEFAULT_BATCH_SIZE,
    DEFAULT_CONCURRENT_BATCHES,
    DEFAULT_TOLERATED_FAILURE_PERCENTAGE,
    MAX_CONCURRENCY,
    MAX_CONCURRENT_BATCHES,
    MAX_PORTFOLIOS,
)
from common.models.options import CalculationOptions
from common.models.sources import Source

OF_A_FLEET: Final = frozenset({"manifest", "entity_types"})
"""A request with one of these fields is a fleet run's."""


def _distinct(types: list[EntityType]) -> list[EntityType]:
    if len(set(types)) < len(types):
        raise PydanticCustomError("duplicate", "an entity type stands twice")
    return types


class FleetRequest(CalculationOptions):
    """A request for the portfolios of a manifest, or for everything in the books."""

    manifest: Source | None = Field(None, description="JSON Lines, CSV or Parquet; everything in the books when absent")
    entity_types: Annotated[
        list[Annotated[EntityType, Field(strict=False)]] | None,
        Field(min_length=1),
        AfterValidator(lambda types: types and _distinct(types)),
    ] = Field(None, description="what of the books, without a manifest; portfolios when absent")
    client_id: ClientIdentifier | None = Field(None, description="binds the run to what is this client's")
    benchmark: BenchmarkInput | None = None
    batch_size: int = Field(DEFAULT_BATCH_SIZE, ge=1, le=MAX_PORTFOLIOS, description="portfolios in a batch")
    max_concurrent_batches: int = Field(
        DEFAULT_CONCURRENT_BATCHES, ge=1, le=MAX_CONCURRENT_BATCHES, description="batches at a time"
    )
    max_concurrency: int = Field(
        DEFAULT_BATCH_CONCURRENCY, ge=1, le=MAX_CONCURRENCY, description="portfolios of a batch at a time"
    )
    tolerated_failure_percentage: float = Field(
        DEFAULT_TOLERATED_FAILURE_PERCENTAGE,
        ge=0.0,
        le=100.0,
        description="of the batches; when more of them fail as a whole, no more are begun",
    )

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.manifest is not None and self.entity_types is not None:
            raise PydanticCustomError("entities", "give a manifest or entity_types, not both")
        return self

    @property
    def types_of_the_books(self) -> list[EntityType]:
        """What of the books is calculated, without a manifest."""
        return self.entity_types or [EntityType.PORTFOLIO]

    def batch_options(self, request_id: str) -> JsonObject:
        """Return what the requests of all batches share, as JSON."""
        own = {"manifest", "entity_types", "benchmark", "batch_size", "max_concurrent_batches"}
        shared: JsonObject = self.model_dump(
            mode="json", exclude=own | {"tolerated_failure_percentage"}, exclude_none=True
        )
        return {**shared, "request_id": self.request_id or request_id}
