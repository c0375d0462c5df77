"""A record of the local Timestream: what it is stored as, or why it is not."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from common.json_types import JsonObject
from workflows.local.timestream_errors import ServiceError

# Limits of the service: Amazon Timestream for LiveAnalytics developer guide, "Quotas".
MAX_RECORDS: Final = 100
MAX_DIMENSIONS: Final = 128
MAX_DIMENSION_NAME_BYTES: Final = 60
MAX_MEASURE_NAME_BYTES: Final = 256
MAX_RECORD_BYTES: Final = 2048
FUTURE_WINDOW: Final = timedelta(minutes=15)
# The 64 bits of a version and of a time in nanoseconds.
MAX_LONG: Final = 2**63 - 1

# Of a record that is refused.
_NO_SERIES: Final = UUID(int=0)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - DuckDB's naive UTC
_UNITS: Final = {"SECONDS": 1, "MILLISECONDS": 10**3, "MICROSECONDS": 10**6, "NANOSECONDS": 10**9}
# Names a dimension cannot have: AWS IoT's API reference, TimestreamDimension. So columns of our own may begin with ts_.
_RESERVED: Final = re.compile(r"time|measure_name|(ts_|measure_value).*|.*:.*", re.IGNORECASE | re.DOTALL)
_DOUBLE: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_TIME: Final = re.compile(r"\d+", re.ASCII)
_VERSION_REFUSED: Final = (
    "A record already exists with the same time, dimensions, measure name, and record version. A record's value can be "
    "updated by a higher version."
)


class Point:
    """A record as it will be stored, or why it will not."""

    __slots__ = ("dimensions", "measure", "refusal", "series", "time", "value", "version")

    def __init__(self) -> None:
        self.series = _NO_SERIES
        self.version = 1
        self.time = _EPOCH
        self.measure = ""
        self.value = 0.0
        self.dimensions: dict[str, str] = {}
        self.refusal: str | None = None

    @classmethod
    def of(cls, index: int, record: JsonObject, common: JsonObject) -> "Point":
        """Read a record with what its call says of all of them.

        Raises
        ------
        ServiceError
            It contradicts the common attributes, or its version is none; then the whole call is refused.
        """
        shared = {each["Name"] for each in common.get("Dimensions") or ()}
        own = [each["Name"] for each in record.get("Dimensions") or ()]
        if twice := (shared & set(own)) | {name for name in own if own.count(name) > 1}:
            raise ServiceError("ValidationException", f"Record {index} has duplicate dimensions: {sorted(twice)}")
        merged = {**common, **record}
        point = cls()
        point.version = merged.get("Version", 1)
        if not 1 <= point.version <= MAX_LONG:
            raise ServiceError("ValidationException", f"Record {index} has the version {point.version}")
        dimensions = [*(common.get("Dimensions") or ()), *(record.get("Dimensions") or ())]
        point.dimensions = {each["Name"]: each.get("Value", "") for each in dimensions}
        point.measure = str(merged.get("MeasureName", ""))
        point.refusal = _refusal(merged, point)
        if point.refusal is None:
            nanoseconds = _nanoseconds(merged)
            point.time = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
            point.value = float(merged["MeasureValue"])
            point.series = series_key(nanoseconds, point.measure, point.dimensions)
        return point


def series_key(nanoseconds: int, measure: str, dimensions: Mapping[str, str]) -> UUID:
    """Return the key of the one point that has this time, measure and dimensions.

    It is the half of a digest: 16 bytes in the row and in the index, where the text would be hundreds in both.
    """
    text = json.dumps([nanoseconds, measure, sorted(dimensions.items())])
    return UUID(bytes=sha256(text.encode()).digest()[:16])


def _nanoseconds(merged: JsonObject) -> int:
    """Return a record's time since the epoch, which is the same in whatever unit it came."""
    return int(merged["Time"]) * (10**9 // _UNITS[merged.get("TimeUnit", "MILLISECONDS")])


def _refusal(merged: JsonObject, point: Point) -> str | None:
    """Return why a record is not valid by itself."""
    value = merged.get("MeasureValue")
    if merged.get("MeasureValueType", "DOUBLE") != "DOUBLE":
        return f"The measure value type {merged['MeasureValueType']} is not supported for this table."
    if not isinstance(value, str) or not _is_finite_number(value):
        return f"The measure value {value!r} is not a valid DOUBLE."
    if not 1 <= len(point.measure.encode()) <= MAX_MEASURE_NAME_BYTES:
        return f"The measure name must have between 1 and {MAX_MEASURE_NAME_BYTES} bytes."
    if not _TIME.fullmatch(merged.get("Time", "")) or merged.get("TimeUnit", "MILLISECONDS") not in _UNITS:
        return "The time is not valid."
    if _nanoseconds(merged) > MAX_LONG:
        return "The time is not valid."
    if not 1 <= len(point.dimensions) <= MAX_DIMENSIONS:
        return f"A record must have between 1 and {MAX_DIMENSIONS} dimensions."
    for name, text in point.dimensions.items():
        if not text:
            return f"The dimension {name} has an empty value."
        if _RESERVED.fullmatch(name) or len(name.encode()) > MAX_DIMENSION_NAME_BYTES:
            return f"The dimension name {name!r} is not allowed."
    texts = (point.measure, value, *point.dimensions, *point.dimensions.values())
    size = sum(len(text.encode()) for text in texts)
    return f"The record has {size} bytes, over {MAX_RECORD_BYTES}." if size > MAX_RECORD_BYTES else None


def _is_finite_number(text: str) -> bool:
    return _DOUBLE.fullmatch(text) is not None and math.isfinite(float(text))


def settled(
    points: Sequence[Point], known: Mapping[UUID, tuple[int, float]]
) -> tuple[Sequence[Point], Sequence[JsonObject]]:
    """Return which of a call's points are to be stored, and the others as they are told, in their order.

    Parameters
    ----------
    points
        Those of the call, each with its refusal where it has one.
    known
        Version and value of those that are stored.
    """
    accepted: dict[UUID, Point] = {}
    rejected: list[JsonObject] = []
    for index, point in enumerate(points):
        existing = accepted.get(point.series)
        stored = (existing.version, existing.value) if existing else known.get(point.series)
        if point.refusal:
            rejected.append({"RecordIndex": index, "Reason": point.refusal})
        elif stored and (point.version < stored[0] or (point.version == stored[0] and point.value != stored[1])):
            rejected.append({"RecordIndex": index, "Reason": _VERSION_REFUSED, "ExistingVersion": stored[0]})
        else:
            accepted[point.series] = point
    return list(accepted.values()), rejected


def outside(moment: datetime, now: datetime, properties: JsonObject) -> str | None:
    """Return why a table of these properties does not take a time: older than it keeps, or too far ahead."""
    now = now.astimezone(UTC).replace(tzinfo=None)
    if properties["EnableMagneticStoreWrites"]:
        oldest = now - timedelta(days=properties["MagneticStoreRetentionPeriodInDays"])
    else:
        oldest = now - timedelta(hours=properties["MemoryStoreRetentionPeriodInHours"])
    newest = now + FUTURE_WINDOW
    if oldest <= moment < newest:
        return None
    return f"The record timestamp is outside the time range [{oldest}, {newest}) of the data ingestion window."


def misfit(point: Point, dimensions: Mapping[str, str]) -> str | None:
    """Return why a record cannot join a table that has these dimensions, by their names in lower case."""
    met = dict(dimensions)
    for name in point.dimensions:
        if met.setdefault(name.lower(), name) != name:
            # DuckDB's limit, not the service's.
            return f"The dimension name {name!r} differs from {met[name.lower()]!r} in case alone."
    return f"The table would have more than {MAX_DIMENSIONS} dimensions." if len(met) > MAX_DIMENSIONS else None
