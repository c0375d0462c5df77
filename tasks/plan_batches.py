"""PlanBatches: from a manifest of any length, or all the books, to batches that a calculation takes each."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, BinaryIO, Final

from common.access import Buckets, Scope, fleet_prefix, staged_prefix
from common.batches import BatchWriter, EntityNames
from common.config import BooksSettings, PayloadSettings
from common.errors import Fault, InputNotFoundError, InvalidRequestError
from common.json_text import compact_json
from common.json_types import JsonObject
from common.models.books import BookEntityType, EntityKey
from common.models.fleet import FleetRequest
from common.models.inputs import PortfolioInput
from common.models.manifests import ManifestEntry, RefusedEntry, duplicate, read_manifest
from common.models.request import EntityReference
from common.models.rows import UnreadableFileError
from common.models.sources import Source, SourceFormat
from common.observability import logger
from common.ownership import FileReference, Place, benchmark_files, benchmark_named, files_of, look_up, unreadable
from common.stores.dynamodb_entities import entity_store
from common.stores.ports import EntityStore, PayloadStore
from common.stores.s3 import payload_store

_MANIFEST: Final = "manifest"
"""Under `failure`: the file that its message counts the lines of, where the message does not name it itself."""

OpenManifest = Callable[[str], BinaryIO]


def plan_batches(
    document: object,
    execution_name: str,
    payloads: PayloadStore,
    books: EntityStore,
    buckets: Buckets,
    *,
    open_manifest: OpenManifest,
    local_files: bool = False,
) -> JsonObject:
    """Cut what a fleet run is asked for into batches, in one pass and in memory that does not grow with it.

    Parameters
    ----------
    document
        The request, as it was given to the execution.
    execution_name
        Stands in for a request id that was not given; the batches lie below it, so that a retry writes the same
        objects.
    payloads
        Where the batches go, those of a client's run below its prefix.
    books
        What is calculated where there is no manifest; and who owns what, where the run is bound to a client.
    buckets
        What a manifest may refer to in a run that is bound to a client.
    open_manifest
        Opens what the request calls its manifest.
    local_files
        Whether that may be a file of this machine.

    Returns
    -------
    dict
        `batches` (bucket and key of their list, each a request of the calculation), `batch_count`, `entity_count`
        (all entries, the refused ones too), `refused` (bucket and key of what cannot be calculated, and its `count`),
        `results` (bucket and prefix for what the batches return), and the settings of the Map.

    Raises
    ------
    InvalidRequestError
        With every fault and its JSON path; or the manifest cannot be read, or nothing is in it.
    ThrottledError, TransientError
        A store did not answer; try again.
    """
    request = FleetRequest.parse(document, local_sources=local_files)
    scope = Scope(request.client_id)
    if request.manifest and (faults := unreadable([FileReference("$.manifest", request.manifest)], scope, buckets)):
        raise InvalidRequestError(faults)
    prefix = fleet_prefix(request.client_id, execution_name)
    options = {**request.batch_options(execution_name), **_benchmark(request, scope, books, payloads, buckets)}
    with BatchWriter(payloads, buckets.payloads, prefix, options, request.batch_size) as batches:
        planner = _Planner(batches, scope, books, buckets, request)
        if request.manifest:
            with closing(_opened(open_manifest, request.manifest)) as file:
                _plan_manifest(file, request.manifest, planner)
        else:
            _plan_books(request, books, planner)
        return {
            "request_id": options["request_id"],
            **batches.close(),
            "results": {"bucket": buckets.payloads, "prefix": f"{prefix}results"},
            "prefix": prefix,
            "max_concurrent_batches": request.max_concurrent_batches,
            "tolerated_failure_percentage": request.tolerated_failure_percentage,
        }


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    payloads: PayloadStore | None = None,
    books: EntityStore | None = None,
    buckets: Buckets | None = None,
) -> JsonObject:
    """Run `plan_batches` as a Lambda function on `{request, execution}`."""
    settings = PayloadSettings.from_env()
    store = payloads or payload_store(settings)
    name = event["execution"]["name"]
    plan = plan_batches(
        event["request"],
        name,
        store,
        books or entity_store(BooksSettings.from_env()),
        buckets or Buckets.from_env(),
        open_manifest=_open_anywhere(store) if settings.local_files else store.open_uri,
        local_files=settings.local_files,
    )
    logger().info(
        "PlanBatches",
        extra={
            "execution_name": name,
            "request_id": plan["request_id"],
            "entities": plan["entity_count"],
            "batches": plan["batch_count"],
            "refused": plan["refused"]["count"],
        },
    )
    return plan


def _open_anywhere(payloads: PayloadStore) -> OpenManifest:
    """Return what opens files of this machine too: on a laptop a manifest need not be copied first."""

    def opened(source: str) -> BinaryIO:
        if source.startswith("s3://"):
            return payloads.open_uri(source)
        try:
            return open(source, "rb")
        except OSError as error:
            raise InputNotFoundError(f"{source}: {error.strerror or error}") from None

    return opened


def _opened(open_manifest: OpenManifest, manifest: Source) -> BinaryIO:
    try:
        return open_manifest(manifest.source)
    except InputNotFoundError as error:
        raise InvalidRequestError([Fault("$.manifest.source", str(error))]) from None


def _plan_manifest(file: BinaryIO, manifest: Source, planner: "_Planner") -> None:
    try:
        for entry in read_manifest(file, manifest):
            planner.take(entry)
    except UnreadableFileError as error:
        raise InvalidRequestError([Fault("$.manifest", f"{manifest.source}: {error}")]) from None
    planner.finish()
    if not planner.batches.entities:
        raise InvalidRequestError([Fault("$.manifest", f"{manifest.source}: there is nothing in it")])


def _plan_books(request: FleetRequest, books: EntityStore, planner: "_Planner") -> None:
    """Plan everything in the books, or of one client, in the order of the ids: whoever plans it again does the same."""
    for entity_type in request.types_of_the_books:
        kind = BookEntityType(entity_type)
        found = books.entities_of_client(request.client_id, kind) if request.client_id else books.all_entities(kind)
        with EntityNames() as names:
            for each in found:
                names.add(entity_type, each.entity_id, "")
            for entity_id in names.in_order(entity_type):
                reference = EntityReference(entity_type=entity_type, entity_id=entity_id, as_of_date=None)
                planner.batches.add_reference(reference)
    planner.batches.flush()
    if request.client_id and not planner.batches.entities:
        # As a calculation says it. A night of the platform is no fault, whatever is in the books.
        kinds = " or ".join(request.types_of_the_books)
        raise InvalidRequestError([Fault("$.client_id", f"{request.client_id} has no {kinds}")])


def _benchmark(
    request: FleetRequest, scope: Scope, books: EntityStore, payloads: PayloadStore, buckets: Buckets
) -> JsonObject:
    """Return the benchmark as every batch names it: its levels are put on S3 once."""
    if request.benchmark is None:
        return {}
    wrong = unreadable(benchmark_files(request.benchmark), scope, buckets)
    wrong += look_up(benchmark_named(request.benchmark), books, scope.sees)[1]
    if wrong:
        raise InvalidRequestError(wrong)
    benchmark: JsonObject = request.benchmark.model_dump(mode="json", exclude_none=True)
    if benchmark.get("valuations") and "source" not in benchmark["valuations"]:
        body = compact_json(benchmark["valuations"])
        key = f"{staged_prefix(request.client_id)}{sha256(body).hexdigest()}.json"
        payloads.put(key, body)
        benchmark["valuations"] = {"source": f"s3://{buckets.payloads}/{key}"}
    return {"benchmark": benchmark}


class _Planner:
    """Hands the entries of a manifest on to the batches, those refused that are no portfolio of whoever asks."""

    def __init__(
        self, batches: "BatchWriter", scope: Scope, books: EntityStore, buckets: Buckets, request: FleetRequest
    ) -> None:
        self.batches = batches
        self._scope, self._books, self._buckets, self._request = scope, books, buckets, request
        self._today = datetime.now(UTC).date()
        # A table has a row for each valuation, and the rows of a portfolio belong together.
        manifest = request.manifest
        self._of_rows = manifest is not None and manifest.resolved_format is not SourceFormat.JSON_LINES
        self._names = EntityNames()
        self._waiting: list[ManifestEntry] = []

    def take(self, entry: ManifestEntry | RefusedEntry) -> None:
        if isinstance(entry, RefusedEntry):
            if self._of_rows and "portfolio_id" in entry.document:
                # Not to be calculated by rows of it that stand elsewhere.
                self._earlier(EntityKey(BookEntityType.PORTFOLIO, str(entry.document["portfolio_id"])), entry.place)
            self._refuse(entry)
            return
        key = _key(entry.content)
        if (earlier := self._earlier(key, entry.place, rows=isinstance(entry.content, PortfolioInput))) is not None:
            message = f"{key.entity_id} stands in {earlier} already"
            self._refuse(RefusedEntry(entry.place, entry.document(), message, duplicate(entry.names)))
        elif (late := self._late(entry.content)) is not None:
            self.batches.refuse(entry.document(), f"{entry.place}: $.as_of_date: {late}")
        elif self._scope.client_id is None:
            self._add(entry.content)
        else:
            self._waiting.append(entry)
            if len(self._waiting) == self.batches.size:
                self._check_owners()

    def _refuse(self, entry: RefusedEntry) -> None:
        """Refuse an entry; what an earlier run refused already, in the words of that one, and of its manifest."""
        message, told = f"{entry.place}: {entry.message}", entry.told
        if entry.earlier:
            manifest = told.get(_MANIFEST)
            message = f"{manifest} {entry.message}" if isinstance(manifest, str) else entry.message
            told = {key: value for key, value in told.items() if key != _MANIFEST}
        elif told and self._request.manifest:
            told = {_MANIFEST: self._request.manifest.source.rsplit("/", 1)[-1], **told}
        self.batches.refuse(entry.document, message, told)

    def _earlier(self, key: EntityKey, place: str, *, rows: bool = True) -> str | None:
        """Note where an entity stands; return where it stands already, None where it is new."""
        earlier = self._names.add(key.entity_type, key.entity_id, place)
        if earlier is not None and self._of_rows and rows:
            message = f"the rows of {key.entity_id} stand apart, at {earlier} and at {place}: sort by portfolio_id"
            raise InvalidRequestError([Fault("$.manifest", message)])
        return earlier

    def _late(self, content: PortfolioInput | EntityReference) -> str | None:
        """Return why an entity cannot be calculated as of its own date: it alone, not the batch it would stand in."""
        as_of = content.as_of_date if isinstance(content, EntityReference) else None
        return self._request.as_of_fault(as_of, self._today) if as_of else None

    def finish(self) -> None:
        self._check_owners()
        self.batches.flush()
        self._names.close()

    def _check_owners(self) -> None:
        """Ask the books once for many, and refuse those alone that are not this client's."""
        waiting, self._waiting = self._waiting, []
        places = [Place(str(index), _key(each.content)) for index, each in enumerate(waiting)]
        owned, faults = look_up(places, self._books, self._scope.owns)
        missing = {int(fault.path): fault.message for fault in faults}
        owners = iter(owned)
        for index, entry in enumerate(waiting):
            if index in missing:
                self.batches.refuse(entry.document(), f"{entry.place}: {missing[index]}")
                continue
            entity, content = next(owners), entry.content
            if isinstance(content, PortfolioInput):
                if unfit := unreadable(files_of([content]), self._scope, self._buckets):
                    told = "; ".join(fault.message for fault in unfit)
                    self.batches.refuse(entry.document(), f"{entry.place}: {told}")
                    continue
                content = content.model_copy(update={"client_id": entity.client_id, "account_id": entity.account_id})
            self._add(content)

    def _add(self, content: PortfolioInput | EntityReference) -> None:
        if isinstance(content, PortfolioInput):
            self.batches.add_portfolio(content)
        else:
            self.batches.add_reference(content)


def _key(content: PortfolioInput | EntityReference) -> EntityKey:
    if isinstance(content, PortfolioInput):
        return EntityKey(BookEntityType.PORTFOLIO, content.portfolio_id)
    return EntityKey(BookEntityType(content.entity_type), content.entity_id)
