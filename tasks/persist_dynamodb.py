"""PersistDynamoDB: the rows of an execution into the table of results."""

from collections.abc import Mapping
from typing import Any

from common.config import PayloadSettings, ResultStoreSettings
from common.models.results import Run
from common.observability import logger
from common.stores.dynamodb import result_store
from common.stores.outcomes import rows_of
from common.stores.ports import PayloadStore, ResultStore
from common.stores.s3 import payload_store


def persist_dynamodb(event: Mapping[str, Any], payloads: PayloadStore, results: ResultStore) -> dict[str, Any]:
    """Write the rows of all entities that were calculated.

    Parameters
    ----------
    event
        `{run, entities}`: the execution, and what its iterations handed on.

    Returns
    -------
    dict
        `written` and `superseded`, counts of rows.

    Raises
    ------
    ThrottledError, TransientError
        Some rows are not written; try all of them again.
    StoreError
        The store refuses a row for good.
    """
    report = results.write(rows_of(event["entities"], payloads), Run.model_validate(event["run"]))
    return {"written": report.written, "superseded": report.superseded}


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
    logger().info("PersistDynamoDB", extra={**event["run"], **report})
    return report
