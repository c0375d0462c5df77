"""Bring what a request refers to on this machine to where the functions can read it.

A function reads S3 alone. So `perfcalc run` puts local files there, and long inline histories too, before it starts
the execution; objects are named by their content, so that a repeated run puts them there once.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from common.access import staged_prefix
from common.errors import Fault, InvalidRequestError, too_large
from common.json_text import canonical_json
from common.json_types import JsonObject
from common.models.limits import MAX_PORTFOLIOS_BYTES, MAX_SERIES_BYTES, STATE_BUDGET_BYTES
from common.models.request import CalculationRequest
from common.models.sources import LOCAL_SOURCES, Source, SourceFormat
from common.stores.ports import PayloadStore


class Staged(NamedTuple):
    """A request whose series a function can read."""

    request: JsonObject
    origins: Mapping[str, str]
    """Where each object came from, by its URI: the user's path, or the place in the request."""


def check(document: object, base: Path) -> JsonObject:
    """Return the request as an execution has it, its references still those of the user.

    Parameters
    ----------
    document
        The request as the user wrote it.
    base
        Directory that relative paths start from.

    Raises
    ------
    InvalidRequestError
        With every fault of the request, or every file that cannot be read.
    """
    request = CalculationRequest.parse(document, local_sources=True)
    checked: JsonObject = request.model_dump(mode="json", exclude_none=True)
    _each_file(checked, lambda source, place: open_source(base / source.source, place.max_bytes).close())
    return checked


def stage(checked: JsonObject, base: Path, payloads: PayloadStore, bucket: str) -> Staged:
    """Put every local file, and every history too long for a state, on S3.

    Parameters
    ----------
    checked, base
        As from `check`; `checked` is changed in place.
    payloads, bucket
        Where the objects go, and the name of the bucket behind it.

    Raises
    ------
    InvalidRequestError
        With every file that can no longer be read.
    """
    origins: dict[str, str] = {}

    def put(body: bytes, kind: SourceFormat, origin: str) -> JsonObject:
        uri = _put(body, kind, payloads, bucket, checked.get("client_id"))
        origins[uri] = origin
        return {"source": uri}

    def put_file(source: Source, place: _Place) -> None:
        with open_source(base / source.source, place.max_bytes) as file:
            place.holder[place.field] = put(file.read(), source.resolved_format, source.source)

    _each_file(checked, put_file)
    _lighten(checked, put)
    return Staged(checked, origins)


def check_fleet(document: object, base: Path) -> JsonObject:
    """Return the request of a fleet run as an execution has it, its references still those of the user.

    Raises
    ------
    InvalidRequestError
        With every fault of the request, or every file that cannot be read.
    """
    # The API stages calculations alone, and should not wait for it.
    from common.models.fleet import FleetRequest  # noqa: PLC0415 - as above

    request = FleetRequest.parse(document, local_sources=True)
    checked: JsonObject = request.model_dump(mode="json", exclude_none=True)
    faults = []
    if request.manifest and not request.manifest.source.startswith("s3://"):
        try:
            _open_regular(base / request.manifest.source).close()
        except OSError as error:
            faults.append(Fault("$.manifest.source", f"{request.manifest.source}: {error.strerror or error}"))
    _each_file(checked, lambda source, place: open_source(base / source.source, place.max_bytes).close(), faults)
    return checked


def stage_fleet(checked: JsonObject, base: Path, payloads: PayloadStore, bucket: str, *, elsewhere: bool) -> JsonObject:
    """Let a function read what the request of a fleet run refers to on this machine.

    Parameters
    ----------
    checked, base
        As from `check_fleet`; `checked` is changed in place.
    payloads, bucket
        Where files go, and the name of the bucket behind it.
    elsewhere
        Whether the functions run elsewhere: the manifest is put there then. On this machine it is read where it is,
        but for a run that is bound to a client.
    """
    manifest = checked.get("manifest", {})
    if manifest and not manifest["source"].startswith("s3://"):
        path = (base / manifest["source"]).resolve()
        # Of what is not in a bucket, a run that is bound to a client reads nothing.
        put_there = elsewhere or bool(checked.get("client_id"))
        manifest["source"] = _put_manifest(path, payloads, bucket, checked) if put_there else str(path)

    def put_file(source: Source, place: _Place) -> None:
        with open_source(base / source.source, place.max_bytes) as file:
            uri = _put(file.read(), source.resolved_format, payloads, bucket, checked.get("client_id"))
            place.holder[place.field] = {"source": uri}

    _each_file(checked, put_file)
    return checked


def _put_manifest(path: Path, payloads: PayloadStore, bucket: str, checked: JsonObject) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        key = f"{staged_prefix(checked.get('client_id'))}{digest}/{path.name}"  # reasons of failures name the file
        payloads.put_file(key, file)
    return f"s3://{bucket}/{key}"


def lighten(checked: JsonObject, payloads: PayloadStore, bucket: str) -> JsonObject:
    """Return the request with its longest histories on S3, so that it fits into an execution's input.

    Parameters
    ----------
    checked
        As `CalculationRequest` dumps it; changed in place.
    payloads, bucket
        Where the objects go, and the name of the bucket behind it. Those of a client's request go below its prefix.
    """
    _lighten(
        checked,
        lambda body, kind, _: {"source": _put(body, kind, payloads, bucket, checked.get("client_id"))},
    )
    return checked


def _put(body: bytes, kind: SourceFormat, payloads: PayloadStore, bucket: str, client_id: str | None) -> str:
    key = f"{staged_prefix(client_id)}{hashlib.sha256(body).hexdigest()}.{kind}"
    payloads.put(key, body)
    return f"s3://{bucket}/{key}"


class _Place(NamedTuple):
    """Where a series or a reference stands."""

    path: str
    holder: JsonObject
    field: str

    @property
    def source(self) -> str | None:
        """What it refers to; None for inline data."""
        source: str | None = self.holder[self.field].get("source")
        return source

    @property
    def max_bytes(self) -> int:
        """How large the file may be."""
        return MAX_PORTFOLIOS_BYTES if self.field == "portfolios" else MAX_SERIES_BYTES


def _each_file(request: JsonObject, use: Callable[[Source, _Place], None], faults: list[Fault] | None = None) -> None:
    """Call `use` for every reference to a local file, and tell all that could not be read together."""
    faults = [] if faults is None else faults
    for place in _places(request):
        if place.source is None or place.source.startswith("s3://"):
            continue
        source = Source.model_validate(place.holder[place.field], context={LOCAL_SOURCES: True})
        try:
            use(source, place)
        except OSError as error:
            faults.append(Fault(f"{place.path}.source", f"{source.source}: {error.strerror or error}"))
        except ValueError:  # a NUL in it
            faults.append(Fault(f"{place.path}.source", f"{source.source!r} is not a path"))
    if faults:
        raise InvalidRequestError(faults)


def _places(request: JsonObject) -> Iterator[_Place]:
    if "valuations" in request.get("benchmark", {}):
        yield _Place("$.benchmark.valuations", request["benchmark"], "valuations")
    portfolios = request.get("portfolios", [])
    if isinstance(portfolios, dict):
        yield _Place("$.portfolios", request, "portfolios")
        return
    for index, portfolio in enumerate(portfolios):
        for field in ("valuations", "cash_flows"):
            yield _Place(f"$.portfolios[{index}].{field}", portfolio, field)


def _lighten(request: JsonObject, put: Callable[[bytes, SourceFormat, str], JsonObject]) -> None:
    """Move inline series out, longest first, until the request fits into an execution's input."""
    size = len(canonical_json(request).encode())
    inline = [
        (len(canonical_json(place.holder[place.field])), place) for place in _places(request) if place.source is None
    ]
    for length, (path, holder, field) in sorted(inline, key=lambda each: -each[0]):
        if size <= STATE_BUDGET_BYTES:
            return
        holder[field] = put(canonical_json(holder[field]).encode(), SourceFormat.JSON, path)
        size += len(canonical_json(holder[field])) - length


def open_source(path: Path, max_bytes: int) -> BinaryIO:
    """Open a file of the user's.

    Raises
    ------
    OSError
        It cannot be read, is no regular file, or is larger than `max_bytes`.
    """
    file = _open_regular(path)
    size = os.fstat(file.fileno()).st_size
    if size > max_bytes:
        file.close()
        raise OSError(too_large(size, max_bytes))
    return file


def _open_regular(path: Path) -> BinaryIO:
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("is not a file")  # to open a pipe would wait for its other end
    return path.open("rb")
