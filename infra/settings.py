"""What a stage of the deployment is: everything that may differ between two of them, and nothing that may not."""

from collections.abc import Callable
from typing import Any, Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from workflows.registry import FUNCTIONS

APPLICATION: Final = "investment-performance"
DEFAULT_STAGE: Final = "dev"

TimeSeriesKind = Literal["timestream", "none"]


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
    reserved_concurrency
        By the function's name. An account has 1,000 at first, sometimes only 10, of which a deployment may not take
        the last 100.
    nightly_cron
        Six fields of EventBridge, in `time_zone`.
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
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    log_retention_days: Literal[7, 14, 30, 90, 180, 365, 731]
    reserved_concurrency: dict[str, int] = {}
    nightly_cron: str = "cron(0 2 ? * TUE-SAT *)"
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

    @field_validator("reserved_concurrency")
    @classmethod
    def _known_functions(cls, reserved: dict[str, int]) -> dict[str, int]:
        if unknown := sorted(reserved.keys() - FUNCTIONS.keys()):
            raise ValueError(f"no function is called {', '.join(unknown)}")
        return reserved

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
