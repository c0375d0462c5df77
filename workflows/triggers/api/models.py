"""What the API takes and returns, as its OpenAPI document describes it."""

from datetime import date, datetime
from typing import Annotated, Final, Literal
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema

from common.calculations.words import FlowTiming
from common.models.books import Transaction
from common.models.faults import spelled
from common.models.fields import IsoDate, StrictModel
from common.models.identifiers import Identifier
from common.models.kinds import CalculationMethod, EntityType
from common.models.options import PERIOD_PATTERN
from common.models.results import PeriodResult
from workflows.execution_names import MAX_NAME_CHARACTERS
from workflows.executions import ExecutionStatus
from workflows.triggers.api.history import DEFAULT_POINTS, MAX_POINTS, HistorySource, Metric

MAX_TRANSACTIONS: Final = 100

_identifier: TypeAdapter[str] = TypeAdapter(Identifier)
_execution_name: TypeAdapter[str] = TypeAdapter(
    Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern="^[0-9A-Za-z_-]+$")]
)

# A REST API hands the path on as it was sent.
EntityId = Annotated[
    str,
    BeforeValidator(lambda text: _identifier.validate_python(unquote(text))),
    WithJsonSchema(_identifier.json_schema()),
    Path(description="percent-encoded where it has characters of a path"),
]
# An ARN would name an execution of any state machine there is.
ExecutionName = Annotated[
    str,
    BeforeValidator(lambda text: _execution_name.validate_python(unquote(text))),
    WithJsonSchema(_execution_name.json_schema()),
    Path(description="`execution_id` of the answer that started it"),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=spelled("^[ -~]{1,255}$", "must have 1 to 255 visible ASCII characters or blanks"),
        description="Makes a repeated request the same execution: of your choice, for 90 days, and of your client's.",
    ),
]
AsOf = Annotated[
    IsoDate | None, Query(description="the row on this day or the last before it; the last one when absent")
]
OnePeriod = Annotated[
    str | None, Query(max_length=64, description="one period of the row, by its label; all of them when absent")
]
PeriodLabel = Annotated[
    str,
    Query(
        pattern=spelled(PERIOD_PATTERN, "must be a period such as 1Y, or two dates, FROM/TO"),
        description="the period that ends on each date",
    ),
]
MetricName = Annotated[Metric, Query(description="which of the measures")]
FromDay = Annotated[IsoDate | None, Query(alias="from", description="the first day; the first there is when absent")]
ToDay = Annotated[IsoDate | None, Query(alias="to", description="the last day; the last there is when absent")]
Limit = Annotated[int, Query(ge=1, le=MAX_POINTS, description=f"points of a page, {DEFAULT_POINTS} when absent")]
NextToken = Annotated[str | None, Query(description="of the page before; send the same parameters with it")]

# As it is stored, to the millisecond.
StoredMoment = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class _Answer(BaseModel):
    """What the API answers, or a part of it."""

    # A request needs one or two of these: the others are not even built.
    model_config = ConfigDict(defer_build=True)


class ExecutionStarted(_Answer):
    """An execution that was started, or found."""

    execution_id: str = Field(examples=["month-end-2a53f2ddc2e5"])
    status: ExecutionStatus
    started_at: datetime


class EntityFailure(_Answer):
    """Something that could not be calculated, and why."""

    entity_type: EntityType
    entity_id: str
    error: str = Field(examples=["InvalidPortfolioError"])
    message: str


class RowsWritten(_Answer):
    """What became of the rows in DynamoDB."""

    written: int
    superseded: int = Field(description="written already by a later execution, and left alone")


class RecordsWritten(_Answer):
    """What became of the records in Timestream."""

    model_config = ConfigDict(extra="allow")

    status: str = Field(examples=["SUCCEEDED", "BACKFILL_QUEUED"])
    written: int | None = None
    superseded: int | None = None
    rejected: int | None = None


class ExecutionSummary(_Answer):
    """What an execution did."""

    status: Literal["SUCCEEDED", "PARTIAL"] = Field(
        description="PARTIAL: something failed, or is not in Timestream yet"
    )
    calculated: int = Field(description="how many rows there are of it")
    cached: int = Field(description="of those, how many were calculated before, from the same data")
    failed: int
    failures: list[EntityFailure]
    dynamodb: RowsWritten
    timestream: RecordsWritten


class RequestFault(_Answer):
    """One thing wrong with the request of an execution."""

    path: str = Field(examples=["$.portfolios[0].valuations"])
    detail: str


class ExecutionFailure(_Answer):
    """Why an execution has no result."""

    type: str = Field(examples=["InvalidRequestError"])
    message: str
    errors: list[RequestFault] = []


class ExecutionReport(_Answer):
    """An execution as it is now."""

    execution_id: str
    status: ExecutionStatus
    started_at: datetime
    stopped_at: datetime | None = None
    summary: ExecutionSummary | None = Field(None, description="where it succeeded")
    error: ExecutionFailure | None = Field(None, description="where it failed, ran out of time or was stopped")


class StoredPeriod(PeriodResult):
    """All metrics of one period, and the request they are from. One that is undefined is null, with its reason."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    calculation_method: CalculationMethod
    flow_timing: FlowTiming
    periods_per_year: float
    request_id: str
    version: int


class StoredPerformance(_Answer):
    """The performance of one entity on one date.

    The first metrics are those of `time_period`, which is the first of the periods.
    """

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=["portfolio#p-17"])
    calculation_date: date
    entity_type: EntityType
    entity_id: str
    time_period: str = Field(examples=["1Y"])
    twr: float | None = None
    mwr: float | None = None
    volatility: float | None = None
    sharpe_ratio: float | None = None
    max_drawdown: float | None = None
    calculation_method: CalculationMethod
    flow_timing: FlowTiming
    periods_per_year: float
    risk_free_rate: float
    benchmark_id: str | None = None
    currency: str | None = None
    client_id: str | None = None
    account_id: str | None = None
    request_id: str
    periods: dict[str, StoredPeriod] = Field(description="by label")
    warnings: list[str]
    version: int = Field(description="milliseconds since the epoch at the start of the execution")
    created_at: StoredMoment
    updated_at: StoredMoment


class HistoryEntity(_Answer):
    """Whose history it is."""

    entity_type: EntityType
    entity_id: str


class HistoryPoint(_Answer):
    """The metric on one date."""

    date: date
    value: float


class MetricHistory(_Answer):
    """Some of a metric's history, oldest first.

    A date on which the metric is undefined is left out: the performance of that date says why.
    """

    entity: HistoryEntity
    metric: Metric
    period: str
    points: list[HistoryPoint] = Field(description="at most `limit`; fewer do not mean that there are no more")
    next_token: str | None = Field(description="for the next page; null on the last one")
    source: HistorySource


class TransactionsRequest(StrictModel):
    """Transactions to enter into the books."""

    model_config = ConfigDict(defer_build=True)

    transactions: Annotated[list[Transaction], Field(min_length=1, max_length=MAX_TRANSACTIONS)]


class TransactionsAccepted(_Answer):
    """Transactions on their way into the books."""

    accepted: int
    transaction_ids: list[str]


class Health(_Answer):
    """That the API answers."""

    status: Literal["ok"]
    version: str
