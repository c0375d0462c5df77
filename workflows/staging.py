"""Bring what a request refers to on this machine to where the functions can read it.

A function reads S3 alone. So `perfcalc run` puts local files there, and long inline histories too, before it starts
the execution; objects are named by their content, so that a repeated run puts them there once.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import Fault, InvalidRequestError
from common.models.limits import MAX_SOURCE_BYTES, STATE_BUDGET_BYTES
from common.models.request import CalculationRequest
from common.models.series import Source, SourceFormat
from common.stores.ports import PayloadStore
from workflows.executions import canonical_json

JsonObject = dict[str, Any]


def stage(document: object, base: Path, payloads: PayloadStore, bucket: str) -> JsonObject:
    """Return the request with every local file and every history too long for a state on S3.

    Parameters
    ----------
    document
        The request as the user wrote it.
    base
        Directory that relative paths start from.
    payloads, bucket
        Where the objects go, and the name of the bucket behind it.

    Raises
    ------
    InvalidRequestError
        With every fault of the request and every file that cannot be read.
    """
    request = CalculationRequest.parse(document, local_sources=True)
    staged: JsonObject = request.model_dump(mode="json", exclude_none=True)
    faults: list[Fault] = []
    for path, holder, field in _series(staged):
        if "source" in holder[field] and not holder[field]["source"].startswith("s3://"):
            source = Source.model_validate(holder[field], context={"local_sources": True})
            try:
                body = _read(base / source.source)
            except OSError as error:
                faults.append(Fault(f"{path}.source", f"{source.source}: {error.strerror or error}"))
            else:
                holder[field] = _put(body, source.resolved_format, payloads, bucket)
    if faults:
        raise InvalidRequestError(faults)
    _lighten(staged, payloads, bucket)
    return staged


def _series(staged: JsonObject) -> Iterator[tuple[str, JsonObject, str]]:
    """Yield each place where a series or a reference stands: its JSON path, what holds it, under which name."""
    if "benchmark" in staged:
        yield "$.benchmark.valuations", staged["benchmark"], "valuations"
    if isinstance(staged["portfolios"], dict):
        yield "$.portfolios", staged, "portfolios"
        return
    for index, portfolio in enumerate(staged["portfolios"]):
        for field in ("valuations", "cash_flows"):
            yield f"$.portfolios[{index}].{field}", portfolio, field


def _lighten(staged: JsonObject, payloads: PayloadStore, bucket: str) -> None:
    """Move inline series out, longest first, until the request fits into an execution's input."""
    size = len(canonical_json(staged).encode())
    inline = [
        (len(canonical_json(holder[field])), holder, field)
        for _, holder, field in _series(staged)
        if "source" not in holder[field]
    ]
    for length, holder, field in sorted(inline, key=lambda each: -each[0]):
        if size <= STATE_BUDGET_BYTES:
            return
        body = canonical_json(holder[field]).encode()
        holder[field] = _put(body, SourceFormat.JSON, payloads, bucket)
        size += len(canonical_json(holder[field])) - length


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_SOURCE_BYTES:
        raise OSError(f"larger than {MAX_SOURCE_BYTES // 1024 // 1024} MiB")
    return path.read_bytes()


def _put(body: bytes, kind: SourceFormat, payloads: PayloadStore, bucket: str) -> JsonObject:
    key = f"inputs/{hashlib.sha256(body).hexdigest()}.{kind}"
    payloads.put(key, body)
    return {"source": f"s3://{bucket}/{key}"}
