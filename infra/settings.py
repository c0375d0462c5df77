"""What a stage of the deployment is: everything that may differ between two of them, and nothing that may not."""

from collections.abc import Callable
from typing import Any, Final, Literal, Self, TypeVar
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from common.models.limits import (
    DEFAULT_BATCH_CONCURRENCY,
    DEFAULT_BATCH_SIZE,
    DEFAULT_CONCURRENT_BATCHES,
    MAX_CONCURRENCY,
    MAX_CONCURRENT_BATCHES,
    MAX_PORTFOLIOS,
)
from workflows.registry import FUNCTIONS

APPLICATION: Final = "investment-performance"
DEFAULT_STAGE: Final = "dev"

TimeSeriesKind = Literal["timestream", "none"]
_Named = TypeVar("_Named", dict[str, int], frozenset[str])

# Of Lambda: a snapshot holds no larger a disk, and the last of an account's concurrency is not reserved.
_SNAP_START_EPHEMERAL_MB: Final = 512
_UNRESERVED_CONCURRENCY: Final = 100


class StageSettings(BaseModel):
    """One stage.

    Attributes
    ----------
    stage
        Part of every name, so that stages can share an account.
    keep_data
        Tables, buckets, keys and logs outlive their stack, and tables refuse to be deleted.
    time_series_store
        `none` where the account has no Timestream for LiveAnalytics, which is closed to new customers: DynamoDB then
        answers every query.
    time_series_database
        The specification's query names it. It is one for an account and region: a second stage there needs another.
    alarm_email
        Who is told of executions that fail; nobody when None.
    web_firewall
        AWS WAF in front of the API, some 10 USD a month and 0.60 for each million requests.
    log_level
        Of the functions. Alarms and the business dashboard count what is logged at INFO, so there is no higher one:
        they would say nothing, and look as if all were well.
    batch_execution_type
        What the batches of a fleet run are. EXPRESS ones are cheaper, and take no longer than five minutes; of STANDARD
        ones Step Functions keeps the history.
    account_concurrency
        The account's quota of Lambda in the region: 1,000 at first, sometimes only 10.
    reserved_concurrency
        By the function's name, of the account's; Lambda keeps the last 100 for functions that reserve nothing.
    provisioned_concurrency
        By the function's name: so many environments are kept warm and paid for by the hour.
    snap_start
        Functions that start from a snapshot of themselves. Each of their versions is paid for while it is kept, and a
        deployment takes some minutes longer. What starts from one snapshot has one state of `random`, which spreads the
        waits between attempts and nothing else.
    nightly_cron
        Six fields of EventBridge, in `time_zone`.
    nightly_batch_size, nightly_concurrent_batches, nightly_concurrency
        Portfolios in a batch of the night's run, its batches at a time, and portfolios of each at a time. The product
        of the last two is what CalculatePortfolio has to run at once (docs/scale.md).
    nightly_hours
        How long the night's run may take before somebody is told.
    recalculation_minutes
        Between two sweeps for results that late transactions have made wrong.
    throttle_rate, throttle_burst
        Requests a second that the API takes, and at once, of all callers together.
    jwt_issuer, jwt_audience
        What `iss` and `aud` of a token must be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str = Field(pattern="^[a-z][a-z0-9]{1,11}$")
    keep_data: bool
    time_series_store: TimeSeriesKind = "timestream"
    time_series_database: str = "investment_performance"
    time_series_table: str = "performance_metrics"
    cost_centre: str = Field("performance", min_length=1)
    alarm_email: str | None = Field(None, pattern=r"^[^@\s]+@[^@\s]+$")
    web_firewall: bool = False
    log_level: Literal["DEBUG", "INFO"] = "INFO"
    log_retention_days: Literal[7, 14, 30, 90, 180, 365, 731]
    batch_execution_type: Literal["EXPRESS", "STANDARD"] = "EXPRESS"
    account_concurrency: int = Field(1000, ge=10)
    reserved_concurrency: dict[str, PositiveInt] = {}
    provisioned_concurrency: dict[str, PositiveInt] = {}
    snap_start: frozenset[str] = frozenset()
    nightly_cron: str = "cron(0 2 ? * TUE-SAT *)"
    nightly_batch_size: int = Field(DEFAULT_BATCH_SIZE, ge=1, le=MAX_PORTFOLIOS)
    nightly_concurrent_batches: int = Field(DEFAULT_CONCURRENT_BATCHES, ge=1, le=MAX_CONCURRENT_BATCHES)
    nightly_concurrency: int = Field(DEFAULT_BATCH_CONCURRENCY, ge=1, le=MAX_CONCURRENCY)
    nightly_hours: int = Field(4, ge=1, le=12)
    time_zone: str = "America/New_York"
    business_calendar: str = "NYSE"
    recalculation_minutes: int = Field(5, ge=1)
    throttle_rate: int = Field(50, ge=1)
    throttle_burst: int = Field(100, ge=1)
    cache_ttl_seconds: int = Field(7 * 24 * 3600, ge=0)
    jwt_issuer: str = "https://identity.example.com/"
    jwt_audience: str = "performance-calculator"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name} is no time zone")
        return name

    @field_validator("reserved_concurrency", "provisioned_concurrency", "snap_start")
    @classmethod
    def _known_functions(cls, named: _Named) -> _Named:
        if unknown := sorted(set(named) - FUNCTIONS.keys()):
            raise ValueError(f"no function is called {', '.join(unknown)}")
        return named

    @model_validator(mode="after")
    def _starts_in_one_way(self) -> Self:
        if both := sorted(self.snap_start & self.provisioned_concurrency.keys()):
            raise ValueError(f"{', '.join(both)}: snap_start and provisioned_concurrency exclude each other")
        if large := sorted(name for name in self.snap_start if FUNCTIONS[name].ephemeral_mb > _SNAP_START_EPHEMERAL_MB):
            raise ValueError(
                f"{', '.join(large)}: snap_start takes no more than {_SNAP_START_EPHEMERAL_MB} MB of temporary files"
            )
        return self

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        for name, number in self.provisioned_concurrency.items():
            if number > self.reserved_concurrency.get(name, number):
                raise ValueError(f"{name}: provisioned_concurrency is part of reserved_concurrency")
        allocated = self.provisioned_concurrency | self.reserved_concurrency
        if allocated and (total := sum(allocated.values())) > self.account_concurrency - _UNRESERVED_CONCURRENCY:
            raise ValueError(
                f"{total} reserved or provisioned, of {self.account_concurrency} an account has: Lambda keeps"
                f" {_UNRESERVED_CONCURRENCY} for the other functions"
            )
        return self

    @property
    def prefix(self) -> str:
        """What every name begins with."""
        return f"{APPLICATION}-{self.stage}"

    @classmethod
    def from_context(cls, context: Callable[[str], Any]) -> Self:
        """Return the stage that `-c stage=` names, changed by what else `-c` says.

        Parameters
        ----------
        context
            Returns the value of a name, None where it has none.

        Raises
        ------
        ValueError
            There is no such stage, or a value is wrong.
        """
        name = context("stage") or DEFAULT_STAGE
        if name not in STAGES:
            raise ValueError(f"there is no stage {name!r}: it is one of {', '.join(STAGES)}")
        changes = {field: value for field in CHANGEABLE if (value := context(field)) is not None}
        return cls.model_validate(STAGES[name].model_dump() | changes)


CHANGEABLE: Final = (
    "time_series_store",
    "cost_centre",
    "alarm_email",
    "web_firewall",
    "batch_execution_type",
    "nightly_cron",
    "time_zone",
    "business_calendar",
    "jwt_issuer",
    "jwt_audience",
)
"""What `cdk deploy -c name=value` may change; the rest is a change of this file."""

STAGES: Final = {
    "dev": StageSettings(
        stage="dev",
        keep_data=False,
        time_series_database="investment_performance_dev",
        log_level="DEBUG",
        log_retention_days=14,
    ),
    "prod": StageSettings(
        stage="prod",
        keep_data=True,
        web_firewall=True,
        log_retention_days=365,
        # A flood of calculations leaves room for the ways in, and the API's own share is sure.
        reserved_concurrency={"CalculatePortfolio": 400, "Api": 100, "Authorizer": 50},
        throttle_rate=200,
        throttle_burst=400,
    ),
}
