"""References to files: where one is, and in which format. `references` reads them."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from common.models.fields import StrictModel

LOCAL_SOURCES = "local_sources"
"""Key of the validation context that lets a reference name a file of this machine."""


class SourceFormat(StrEnum):
    """Formats of a referenced file."""

    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


_FORMAT_OF_ENDING = {
    "json": SourceFormat.JSON,
    "jsonl": SourceFormat.JSON_LINES,
    "ndjson": SourceFormat.JSON_LINES,
    "csv": SourceFormat.CSV,
    "parquet": SourceFormat.PARQUET,
}


class Source(StrictModel):
    """A reference to a file: `s3://bucket/key`, or a local path where `perfcalc run` is given the request."""

    source: str = Field(min_length=1, max_length=1024)
    format: Annotated[SourceFormat, Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _is_readable(self, info: ValidationInfo) -> Self:
        if not self.source.startswith("s3://"):
            if "://" in self.source:
                raise PydanticCustomError("source_scheme", "must be a path or start with s3://")
            if not (info.context or {}).get(LOCAL_SOURCES):
                raise PydanticCustomError(
                    "source_local", "must start with s3://; a path of a local file works with `perfcalc run` alone"
                )
        elif "/" not in self.source.removeprefix("s3://").strip("/"):
            raise PydanticCustomError("source_key", "must name an object: s3://bucket/key")
        if self.format is None and format_of(self.source) is None:
            raise PydanticCustomError(
                "source_format", "give a format (json, jsonl, csv, parquet): the ending does not tell it"
            )
        return self

    @property
    def resolved_format(self) -> SourceFormat:
        """The format given, or the one that the ending tells."""
        found = self.format or format_of(self.source)
        assert found is not None
        return found


def format_of(name: str) -> SourceFormat | None:
    """Return the format that the ending of a file's name tells; None where it tells none."""
    return _FORMAT_OF_ENDING.get(name.rsplit("/", 1)[-1].rsplit(".", 1)[-1].lower())
