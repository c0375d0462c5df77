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

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from `environ`, the process's own when None."""
        return cls.model_validate(dict(os.environ if environ is None else environ))


class PayloadSettings(FunctionSettings):
    """Where payloads too large for a state are kept."""

    bucket: str = Field(alias="PAYLOAD_BUCKET")
    s3_endpoint: str | None = Field(None, alias="AWS_ENDPOINT_URL_S3")


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
