"""PersistTimestream: the rows of an execution into the time series."""

from collections.abc import Mapping
from typing import Any

from common.config import PayloadSettings, TimeSeriesSettings
from common.models.results import Run
from common.observability import logger
from common.stores.outcomes import rows_of
from common.stores.ports import PayloadStore, TimeSeriesStore
from common.stores.s3 import payload_store
from common.stores.timestream import time_series_store

# Each rejected record goes to the log; the state carries so many, to show what is the matter.
_REJECTIONS_TOLD = 20


def persist_timestream(
    event: Mapping[str, Any], payloads: PayloadStore, time_series: TimeSeriesStore | None
) -> dict[str, Any]:
    """Write the records of all entities that were calculated.

    Parameters
    ----------
    event
        `{run, entities}`: the execution, and what its iterations handed on.
    payloads
        Where results are that were too large for the state.
    time_series
        None where the deployment has none: DynamoDB answers for it everywhere.

    Returns
    -------
    dict
        `status` (`SUCCEEDED`, `PARTIAL` where records were rejected, `DISABLED` where there is no time series),
        `written`, `superseded`, `rejected` (counts of records) and `rejections`, the first of them.

    Raises
    ------
    ThrottledError, TransientError
        Some records are not written; try all of them again.
    StoreError
        The store refuses this for good.
    """
    if time_series is None:
        return {"status": "DISABLED", "written": 0, "superseded": 0, "rejected": 0, "rejections": []}
    report = time_series.write(rows_of(event["entities"], payloads), Run.model_validate(event["run"]))
    for rejected in report.rejected:
        logger().warning("RejectedRecord", extra={**event["run"], **rejected._asdict()})
    return {
        "status": "PARTIAL" if report.rejected else "SUCCEEDED",
        "written": report.written,
        "superseded": report.superseded,
        "rejected": len(report.rejected),
        "rejections": [rejected._asdict() for rejected in report.rejected[:_REJECTIONS_TOLD]],
    }


def handler(
    event: Mapping[str, Any],
    context: object,
    *,
    payloads: PayloadStore | None = None,
    time_series: TimeSeriesStore | None = None,
) -> dict[str, Any]:
    """Run `persist_timestream` as a Lambda function."""
    settings = TimeSeriesSettings.from_env_if_set()
    report = persist_timestream(
        event,
        payloads or payload_store(PayloadSettings.from_env()),
        time_series or (time_series_store(settings) if settings else None),
    )
    counts = {name: report[name] for name in ("status", "written", "superseded", "rejected")}
    logger().info("PersistTimestream", extra={**event["run"], **counts})
    return report
