"""Settings of a function: read once where it starts, frozen from then on."""

import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field


class FunctionSettings(BaseModel):
    """What a Lambda function is told by its environment.

    Every field has an alias that is the variable's name. The `AWS_ENDPOINT_URL_*` names are the AWS SDKs' own; they are
    empty on AWS.
    """

    # An error that quoted its input would quote the environment, credentials included.
    # Each function reads some of these: the others are not even built.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ`, the process's own when None."""
        given = os.environ if environ is None else environ
        # Not all of it: what else stands in the environment costs more to copy than the settings to validate.
        names = [field.alias for field in cls.model_fields.values() if field.alias]
        return cls.model_validate({name: given[name] for name in names if name in given})

    @classmethod
    def from_env_if_set(cls, environ: Mapping[str, str] | None = None) -> Self | None:
        """Read the settings of a service that a deployment may lack; None where no required variable is set."""
        given = os.environ if environ is None else environ
        required = [field.alias for field in cls.model_fields.values() if field.is_required()]
        return cls.from_env(given) if any(given.get(name or "") for name in required) else None


class PayloadSettings(FunctionSettings):
    """Where payloads too large for a state are kept."""

    bucket: str = Field(alias="PAYLOAD_BUCKET")
    s3_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_S3")
    local_files: bool = Field(
        default=False, alias="LOCAL_FILES", description="whether a manifest may be a file of this machine; on a laptop"
    )


class ResultStoreSettings(FunctionSettings):
    """Where result rows are kept."""

    table: str = Field(alias="DYNAMODB_TABLE")
    dynamodb_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_DYNAMODB")


class TimeSeriesSettings(FunctionSettings):
    """Where the time series is kept."""

    database: str = Field(alias="TIMESTREAM_DATABASE")
    table: str = Field(alias="TIMESTREAM_TABLE")
    # An explicit endpoint also switches the SDK's endpoint discovery off, which only the service offers.
    write_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_TIMESTREAM_WRITE")
    query_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_TIMESTREAM_QUERY")


class BooksSettings(FunctionSettings):
    """Where the books are kept."""

    table: str = Field(alias="ENTITY_TABLE")
    dynamodb_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_DYNAMODB")


class CacheSettings(FunctionSettings):
    """Where results that were calculated before are kept, and for how long."""

    table: str = Field(alias="CACHE_TABLE")
    ttl_seconds: int = Field(7 * 24 * 3600, alias="CACHE_TTL_SECONDS", ge=0, description="0 switches the cache off")
    dynamodb_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_DYNAMODB")


class AuthorizerSettings(FunctionSettings):
    """How tokens are verified."""

    secret_id: str = Field(alias="JWT_SECRET_ID", description="in Secrets Manager; never the key itself")
    issuer: str = Field(alias="JWT_ISSUER")
    audience: str = Field(alias="JWT_AUDIENCE")
    secrets_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_SECRETS_MANAGER")


class ExecutionSettings(FunctionSettings):
    """The state machine that triggers start: that of the calculation."""

    state_machine_arn: str = Field(alias="STATE_MACHINE_ARN")
    stepfunctions_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_SFN")


class FleetSettings(ExecutionSettings):
    """The state machine of fleet runs."""

    state_machine_arn: str = Field(alias="FLEET_STATE_MACHINE_ARN")


class QueueSettings(FunctionSettings):
    """The queue of transactions."""

    queue_url: str = Field(alias="TRANSACTION_QUEUE_URL")
    sqs_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_SQS")


class CalendarSettings(FunctionSettings):
    """What a business day is, for the nightly run."""

    calendar: str = Field("NYSE", alias="BUSINESS_CALENDAR", description="a market or country; empty: weekends alone")
    time_zone: str = Field("America/New_York", alias="BUSINESS_TIMEZONE")
