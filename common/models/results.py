"""What a calculation returns and the stores keep."""

from datetime import date, datetime

from pydantic import BaseModel, ConfigDict, Field

from common.calculations.words import FlowTiming
from common.models.kinds import CalculationMethod, EntityType


class Run(BaseModel):
    """The execution a result came from: what its version is taken from, so that a retry writes the same row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: str
    execution_name: str
    started_at: datetime = Field(description="start of the execution, never the clock of a task")

    @property
    def version(self) -> int:
        """Milliseconds since the epoch at the start of the execution."""
        return int(self.started_at.timestamp() * 1000)


class PeriodResult(BaseModel):
    """All metrics of one period. A metric that is undefined is None and its reason stands in `undefined`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_date: date | None = Field(alias="from")
    to_date: date | None = Field(alias="to")
    days: int | None
    twr: float | None
    annualized_twr: float | None
    mwr: float | None
    mwr_period: float | None
    volatility: float | None
    sharpe_ratio: float | None
    sharpe_ratio_arithmetic: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    downside_deviation: float | None
    max_drawdown: float | None
    max_drawdown_peak: date | None
    max_drawdown_trough: date | None
    max_drawdown_recovery: date | None
    var: float | None
    cvar: float | None
    skewness: float | None
    kurtosis: float | None
    best_day: float | None
    worst_day: float | None
    benchmark_twr: float | None
    annualized_benchmark_twr: float | None
    excess_return: float | None
    beta: float | None
    alpha: float | None
    correlation: float | None
    tracking_error: float | None
    information_ratio: float | None
    up_capture: float | None
    down_capture: float | None
    undefined: dict[str, str]
    warnings: list[str]


class Asked(BaseModel):
    """How a result of the books was asked for: what asks for the same again.

    Attributes
    ----------
    flow_timing, periods_per_year
        None where they were left to the data.
    benchmark_id
        One of the books; None: the entity's own, if it has one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    calculation_method: CalculationMethod
    flow_timing: FlowTiming | None
    risk_free_rate: float
    periods_per_year: float | None
    max_price_age_days: int
    benchmark_id: str | None


class ResultRow(BaseModel):
    """The performance of one entity on one date."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entity_type: EntityType
    entity_id: str
    calculation_date: date
    calculation_method: CalculationMethod
    request_id: str
    flow_timing: FlowTiming
    periods_per_year: float
    risk_free_rate: float
    benchmark_id: str | None
    currency: str | None
    client_id: str | None
    account_id: str | None
    asked: Asked | None = Field(None, description="None: its data came with the request, and cannot be had again")
    periods: dict[str, PeriodResult] = Field(min_length=1, description="in the order they were asked for")
    warnings: list[str]
