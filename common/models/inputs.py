"""What a request brings along: portfolios with their data, and a benchmark."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from common.models.fields import StrictModel
from common.models.identifiers import ClientIdentifier, Currency, Identifier
from common.models.series import CashFlowColumns, CashFlowSeries, ValuationColumns, ValuationSeries


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
