"""ManifestUpload: a file that a client puts into its folder of the upload bucket starts a run of that client."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from common.access import MANIFESTS, Buckets
from common.config import ExecutionSettings, FleetSettings, PayloadSettings
from common.errors import Fault, InputNotFoundError, InvalidPortfolioError, InvalidRequestError
from common.json_types import JsonObject
from common.models.fleet import OF_A_FLEET, FleetRequest
from common.models.identifiers import ClientIdentifier
from common.models.limits import INVOCATION_BYTES
from common.models.request import CalculationRequest
from common.models.sources import SourceFormat, format_of
from common.observability import logger
from common.stores.botocore_errors import typed_errors
from common.stores.ports import PayloadStore
from common.stores.s3 import payload_store
from workflows.execution_names import identifier_in
from workflows.executions import ExecutionClient, ExecutionConflictError, execution_client
from workflows.registry import CALCULATION, FLEET
from workflows.staging import lighten

REJECTED: Final = "rejected"
"""Folder of the payload bucket that says why a manifest started nothing; below it the manifest's own key."""

_HASH_DIGITS: Final = 24
_client_id: TypeAdapter[str] = TypeAdapter(ClientIdentifier)


class _Bucket(BaseModel):
    name: str


class _Object(BaseModel):
    key: str
    # Grows with every upload to the key: the same in an event that comes twice, another in one that follows.
    sequencer: str
    version_id: str | None = Field(None, alias="version-id", description="absent where the bucket keeps no versions")


class _Detail(BaseModel):
    bucket: _Bucket
    object: _Object


class ObjectCreated(BaseModel):
    """EventBridge's event `Object Created` of S3."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    detail_type: str = Field(alias="detail-type", pattern="^Object Created$")
    detail: _Detail

    @property
    def uri(self) -> str:
        """The object's `s3://` name."""
        return f"s3://{self.detail.bucket.name}/{self.detail.object.key}"


def receive_manifest(
    event: ObjectCreated, buckets: Buckets, payloads: PayloadStore, executions: ExecutionClient, fleet: ExecutionClient
) -> JsonObject:
    """Start the run that an uploaded manifest describes.

    JSON is a request, of a calculation or of a fleet run. JSON Lines, CSV and Parquet are a fleet run, however short:
    a line that is wrong is a failure of that line. A manifest lies at `manifests/<client_id>/<name>`, and that client
    is whose run it is, whatever it says itself.

    Returns
    -------
    dict
        `status`: `STARTED` or `ALREADY_STARTED` with the `execution` and its `state_machine`, `REJECTED` with the `key`
        of an object in the payload bucket that says why, or `IGNORED` for an object that is no manifest.

    Raises
    ------
    ThrottledError, TransientError
        The same event again starts it.
    """
    folder, _, rest = event.detail.object.key.partition("/")
    client_id, slash, name = rest.partition("/")
    if event.detail.bucket.name != buckets.uploads or folder != MANIFESTS or not slash or not name:
        return {"status": "IGNORED", "uri": event.uri}
    try:
        _client_id.validate_python(client_id)
        machine, request = _request(event, client_id, name, payloads)
    except (InvalidRequestError, ValidationError) as error:
        key = f"{REJECTED}/{event.detail.object.key}.json"
        faults = error.faults if isinstance(error, InvalidRequestError) else [Fault("$", "is in no client's folder")]
        told = {"manifest": event.uri, "faults": [fault._asdict() for fault in faults]}
        payloads.put(key, json.dumps(told, indent=2).encode())
        return {"status": "REJECTED", "uri": event.uri, "key": key, "faults": len(faults)}
    digest = hashlib.sha256(f"{event.uri}#{event.detail.object.sequencer}".encode()).hexdigest()[:_HASH_DIGITS]
    name = f"manifest-{digest}"
    with typed_errors("Step Functions"):
        try:
            starting = fleet if machine == FLEET else executions
            _, new = starting.start_once(name, lighten(request, payloads, buckets.payloads))
        except ExecutionConflictError:
            # The event has come before, and the file was replaced since: what is there now has an event of its own.
            new = False
    status = "STARTED" if new else "ALREADY_STARTED"
    return {"status": status, "uri": event.uri, "execution": name, "state_machine": machine}


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    buckets: Buckets | None = None,
    payloads: PayloadStore | None = None,
    executions: ExecutionClient | None = None,
    fleet: ExecutionClient | None = None,
) -> JsonObject:
    """Run `receive_manifest` as a Lambda function on an event of EventBridge."""
    report = receive_manifest(
        ObjectCreated.model_validate(event),
        buckets or Buckets.from_env(),
        payloads or payload_store(PayloadSettings.from_env()),
        executions or execution_client(ExecutionSettings.from_env()),
        fleet or execution_client(FleetSettings.from_env()),
    )
    logger().info("ManifestUpload", extra=report)
    return report


def _request(event: ObjectCreated, client_id: str, name: str, payloads: PayloadStore) -> tuple[str, JsonObject]:
    """Return the state machine that a manifest asks for, and the request that it stands for."""
    kind = format_of(name)
    if kind is None:
        raise InvalidRequestError([Fault("$", "must be JSON, JSON Lines, CSV or Parquet, as its ending tells")])
    document = _document(event, payloads) if kind is SourceFormat.JSON else {"manifest": {"source": event.uri}}
    if document.get("client_id", client_id) != client_id:
        raise InvalidRequestError([Fault("$.client_id", f"there is no client {document['client_id']}")])
    document = {"request_id": identifier_in(name), **document, "client_id": client_id}
    if document.keys() & OF_A_FLEET:
        return FLEET, FleetRequest.parse(document).model_dump(mode="json", exclude_none=True)
    return CALCULATION, CalculationRequest.parse(document).model_dump(mode="json", exclude_none=True)


def _document(event: ObjectCreated, payloads: PayloadStore) -> JsonObject:
    try:
        version = event.detail.object.version_id
        document = json.loads(payloads.get_uri(event.uri, max_bytes=INVOCATION_BYTES, version=version))
    except (InputNotFoundError, InvalidPortfolioError) as error:  # it is gone again, or too large
        raise InvalidRequestError([Fault("$", str(error))]) from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError([Fault("$", f"is not JSON: {error}")]) from None
    if not isinstance(document, dict):
        raise InvalidRequestError([Fault("$", "must be an object")])
    return document
