"""PersistDynamoDB: the rows of an execution into the table of results."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.config import PayloadSettings, ResultStoreSettings
from common.errors import clip
from common.models.results import Run
from common.observability import logger
from common.stores.dynamodb import result_store
from common.stores.outcomes import rows_of
from common.stores.ports import PayloadStore, RefusedRow, ResultKey, ResultStore
from common.stores.s3 import payload_store

# Of the reasons together: they stand in the state beside the results, which leave 16 KiB of it.
_REASON_CHARACTERS = 4_096
_MAX_REASON_CHARACTERS = 500


def persist_dynamodb(event: Mapping[str, Any], payloads: PayloadStore, results: ResultStore) -> dict[str, Any]:
    """Write the rows of all entities that were calculated.

    Parameters
    ----------
    event
        `{run, entities}`: the execution, and what its iterations handed on.

    Returns
    -------
    dict
        `written` and `superseded`, counts of rows, and `refusals`: empty, or where the store refused rows for
        themselves, for each of `entities` the reason, None for those it did not refuse.

    Raises
    ------
    ThrottledError, TransientError
        Some rows are not written; try all of them again.
    StoreError
        The store refuses all of this for good.
    """
    entities = event["entities"]
    report = results.write(rows_of(entities, payloads), Run.model_validate(event["run"]))
    for refused in report.refused:
        logger().warning("RefusedRow", extra={**event["run"], **refused.key._asdict(), "reason": refused.reason})
    return {
        "written": report.written,
        "superseded": report.superseded,
        "refusals": _refusals(entities, report.refused) if report.refused else [],
    }


def _refusals(entities: Sequence[Mapping[str, Any]], refused: Sequence[RefusedRow]) -> list[str | None]:
    """Return for each entity why its row was refused, short enough for the state; the log has the whole of it."""
    room = min(_REASON_CHARACTERS // len(refused), _MAX_REASON_CHARACTERS)
    reasons = {tuple(map(str, each.key)): clip(each.reason, room) for each in refused}
    rows = [each.get("row", {}) for each in entities]
    return [reasons.get(tuple(row.get(name) for name in ResultKey._fields)) for row in rows]


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    payloads: PayloadStore | None = None,
    results: ResultStore | None = None,
) -> dict[str, Any]:
    """Run `persist_dynamodb` as a Lambda function."""
    report = persist_dynamodb(
        event,
        payloads or payload_store(PayloadSettings.from_env()),
        results or result_store(ResultStoreSettings.from_env()),
    )
    counts = {"written": report["written"], "superseded": report["superseded"]}
    refused = sum(each is not None for each in report["refusals"])
    logger().info("PersistDynamoDB", extra={**event["run"], **counts, "refused": refused})
    return report
