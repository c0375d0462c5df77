"""SummariseRun: what the batches of a fleet run came to, and its failures as a manifest that can be run again."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import blake2b
from typing import Any, BinaryIO

import ijson

from common.config import PayloadSettings
from common.errors import clip, message_of
from common.json_text import compact_json
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.models.limits import MAX_PORTFOLIOS_BYTES
from common.models.manifests import FAILURE
from common.observability import logger
from common.scratch import scratch_file
from common.stores.ports import COMPLETE_SERIES, PayloadStore
from common.stores.s3 import payload_store

NOT_BEGUN = "NotBegun"
"""The error of portfolios whose batch was not begun, because the run was ended before."""

_MESSAGE_CHARACTERS = 500


def summarise_run(state: Mapping[str, Any], payloads: PayloadStore) -> JsonObject:
    """Add up a fleet run.

    Parameters
    ----------
    state
        `plan` as `PlanBatches` returned it; `map_error` where the Map failed.
    payloads
        Has the result files that the Map wrote. Gets `failures.jsonl`, a manifest of everything that was not
        calculated, each line with the reason under `failure`; and `calculated.jsonl`, the keys of all rows.

    Returns
    -------
    dict
        `status`: `SUCCEEDED`, `PARTIAL` where some entities failed or the time series lacks some batches, `FAILED`
        where none was calculated or the run was ended early, with a `reason`. Each planned entity is counted once, in
        `calculated` or in `failed`.

    Raises
    ------
    ThrottledError, TransientError
        A store did not answer; try again.
    """
    plan = state["plan"]
    with closing(scratch_file()) as failures, closing(scratch_file()) as calculated:
        run = _Totals(payloads, failures, calculated)
        run.add_refused(plan["refused"])
        for kind, child in _children(payloads, plan["results"]["prefix"]):
            run.add_child(kind, child)
        if run.batches < plan["batch_count"]:
            run.add_missing(plan["batches"])
        status, reason = _verdict(run, plan, state.get("map_error"))
        return {
            "status": status,
            **({"reason": reason} if reason else {}),
            "request_id": plan["request_id"],
            "entities": plan["entity_count"],
            "calculated": run.counts["calculated"],
            "cached": run.counts["cached"],
            "failed": run.counts["failed"],
            "failures_by_error": dict(run.errors.most_common()),
            "batches": {
                "planned": plan["batch_count"],
                **{name: run.ended[name] for name in ("succeeded", "failed", "not_begun")},
            },
            "dynamodb": {name: run.counts[name] for name in ("written", "superseded")},
            "timestream": dict(run.time_series),
            "failures": run.put(failures, f"{plan['prefix']}failures.jsonl", plan["results"]["bucket"]),
            "results": run.put(calculated, f"{plan['prefix']}calculated.jsonl", plan["results"]["bucket"]),
        }


def handler(event: Mapping[str, Any], context: object, *, payloads: PayloadStore | None = None) -> JsonObject:
    """Run `summarise_run` as a Lambda function on `{execution, state}`."""
    summary = summarise_run(event["state"], payloads or payload_store(PayloadSettings.from_env()))
    logger().info(
        "SummariseRun",
        extra={
            "execution_name": event["execution"]["name"],
            **{
                name: summary[name]
                for name in ("request_id", "status", "entities", "calculated", "failed", "failures_by_error")
            },
        },
    )
    return summary


class _Totals:
    """The sums of a run while its results are read; what grows with it goes to files."""

    def __init__(self, payloads: PayloadStore, failures: BinaryIO, calculated: BinaryIO) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.time_series: Counter[str] = Counter()
        self._payloads, self._failures, self._calculated = payloads, failures, calculated
        self._seen: set[bytes] = set()

    @property
    def batches(self) -> int:
        """How many batches have been added."""
        return len(self._seen)

    def add_refused(self, refused: Mapping[str, Any]) -> None:
        """Add what no batch was made of."""
        if not refused["count"]:
            return
        with closing(self._payloads.open_uri(f"s3://{refused['bucket']}/{refused['key']}")) as file:
            for line in file:
                self._failures.write(line)
                self._count_failure(json.loads(line)[FAILURE]["error"])

    def add_child(self, kind: str, child: Mapping[str, Any]) -> None:
        """Add what a batch came to; one that is reported twice counts once."""
        request = json.loads(child["Input"])
        if not self._is_new(request):
            return
        if kind == "SUCCEEDED":
            self.ended["succeeded"] += 1
            self._add_output(request, json.loads(child["Output"]))
        elif kind == "FAILED":
            self.ended["failed"] += 1
            self._add_failed(request, child.get("Error") or child["Status"], _told(child.get("Cause")))
        else:
            self._add_not_begun(request)

    def add_missing(self, batches: Mapping[str, Any]) -> None:
        """Add the batches that were planned and never reported."""
        with closing(self._payloads.open_uri(f"s3://{batches['bucket']}/{batches['key']}")) as file:
            for request in ijson.items(file, "item", use_float=True):
                if self._is_new(request):
                    self._add_not_begun(request)

    def put(self, file: BinaryIO, key: str, bucket: str) -> JsonObject:
        """Put a file down, and return where it is."""
        file.seek(0)
        self._payloads.put_file(key, file)
        return {"bucket": bucket, "key": key}

    def _is_new(self, request: Mapping[str, Any]) -> bool:
        digest = blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=12).digest()
        seen = digest in self._seen
        self._seen.add(digest)
        return not seen

    def _add_output(self, request: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        for name in ("calculated", "cached"):
            self.counts[name] += output[name]
        self.counts.update(output.get("dynamodb", {}))
        if "timestream" in output:
            self.time_series[output["timestream"]["status"]] += 1
        for row in output["rows"]:
            self._calculated.write(compact_json(row) + b"\n")
        failed = {(each["entity_type"], each["entity_id"]): each for each in output["failures"]}
        if failed:
            for key, document in self._entries(request):
                if key in failed:
                    self._fail(document, failed[key]["error"], failed[key]["message"])

    def _add_failed(self, request: Mapping[str, Any], error: str, message: str) -> None:
        for _, document in self._entries(request):
            self._fail(document, error, message)

    def _add_not_begun(self, request: Mapping[str, Any]) -> None:
        self.ended["not_begun"] += 1
        self._add_failed(request, NOT_BEGUN, "The run ended before this batch was begun.")

    def _entries(self, request: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], JsonObject]]:
        """Yield the entities of a batch, each with the line that stands for it in a manifest."""
        if "portfolios" in request:
            body = self._payloads.get_uri(request["portfolios"]["source"], max_bytes=MAX_PORTFOLIOS_BYTES)
            for line in body.splitlines():
                document = json.loads(line)
                yield (EntityType.PORTFOLIO.value, document["portfolio_id"]), document
            return
        one_by_one = request.get("entities") or [
            {"entity_type": request["entity_type"], "entity_id": entity_id} for entity_id in request["entity_ids"]
        ]
        for document in one_by_one:
            yield (document["entity_type"], document["entity_id"]), document

    def _fail(self, document: JsonObject, error: str, message: str) -> None:
        self._failures.write(compact_json({**document, FAILURE: {"error": error, "message": message}}) + b"\n")
        self._count_failure(error)

    def _count_failure(self, error: str) -> None:
        self.counts["failed"] += 1
        self.errors[error] += 1


def _children(payloads: PayloadStore, prefix: str) -> Iterator[tuple[str, JsonObject]]:
    """Yield the child executions that the Map has written down, each with the kind of file it stands in.

    A Map that failed returns no place of its files, but has written them all the same; so they are looked for.
    """
    manifests = [json.loads(payloads.get(key)) for key in payloads.keys(f"{prefix}/") if key.endswith("/manifest.json")]
    # What succeeded first: after a redrive a batch may stand among the failed ones too, from before.
    for kind in ("SUCCEEDED", "FAILED", "PENDING"):
        for manifest in manifests:
            for each in manifest["ResultFiles"].get(kind, ()):
                uri = f"s3://{manifest['DestinationBucket']}/{each['Key']}"
                with closing(payloads.open_uri(uri)) as file:
                    for child in ijson.items(file, "item", use_float=True):
                        yield kind, child


def _verdict(run: _Totals, plan: Mapping[str, Any], error: Mapping[str, Any] | None) -> tuple[str, str | None]:
    counts = run.counts
    if error is not None:
        cause = f": {_told(error.get('Cause'))}" if error.get("Cause") else ""
        begun = run.ended["succeeded"] + run.ended["failed"]
        return "FAILED", f"{error['Error']}{cause} ({begun} of {plan['batch_count']} batches were begun)"
    if plan["entity_count"] and not counts["calculated"]:
        most = run.errors.most_common(1)[0][0]
        return "FAILED", f"None of {plan['entity_count']} entities could be calculated; most failed with {most}."
    if counts["failed"] or run.time_series.keys() - COMPLETE_SERIES:
        return "PARTIAL", None
    return "SUCCEEDED", None


def _told(cause: str | None) -> str:
    return clip(message_of(cause) if cause else "The execution's history has the cause.", _MESSAGE_CHARACTERS)
