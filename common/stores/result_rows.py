"""What a stored row of results looks like, whichever store keeps it."""

from collections.abc import Mapping

from common.calculations.words import Reason
from common.json_text import timestamp
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.models.results import PeriodResult, ResultRow, Run

FIRST_PERIOD_METRICS = ("twr", "mwr", "volatility", "sharpe_ratio", "max_drawdown")
"""Metrics of the first period that stand at the top level of an item too."""

# A number has 38 digits, which a float64 never needs, and lies between 1E-130 and 9.99E+125.
SMALLEST_NUMBER, LARGEST_NUMBER = 1e-130, 9.9e125


def given_up(versions: Mapping[str, int], *, latest: int) -> list[str]:
    """Return the labels of the periods that a row does without where it is too large with all of them.

    Parameters
    ----------
    versions
        Of each period, by its label.
    latest
        Version of the latest execution that wrote the row: it keeps all of its periods. Of others it keeps the
        standard ones, of which there are but eight.
    """
    return [label for label, version in versions.items() if "/" in label and version < latest]


def partition(entity_type: EntityType, entity_id: str) -> str:
    """Return the partition key of an entity."""
    return f"{entity_type}#{entity_id}"


def stored_row(row: ResultRow, run: Run) -> JsonObject:
    """Return the row as it is stored and read back, but for `created_at`: plain JSON values.

    A number outside DynamoDB's range is stored as what it is worth there: one too small as 0, one too large as
    undefined, with the reason `out_of_range`.
    """
    periods = {label: _stored_period(period, row, run) for label, period in row.periods.items()}
    label, first = next(iter(periods.items()))
    top = {name: first[name] for name in FIRST_PERIOD_METRICS if first[name] is not None}
    return {
        "id": partition(row.entity_type, row.entity_id),
        **row.model_dump(mode="json", exclude={"periods", "asked"}, exclude_none=True),
        "time_period": label,
        **top,
        "periods": periods,
        "version": run.version,
        "updated_at": timestamp(run.started_at),
    }


def _stored_period(period: PeriodResult, row: ResultRow, run: Run) -> JsonObject:
    """Return a period with its provenance: those beside it may come from other requests."""
    found = period.model_dump(mode="json", by_alias=True)
    for name, value in found.items():
        if isinstance(value, float):
            if abs(value) > LARGEST_NUMBER:
                found[name] = None
                found["undefined"] = {**found["undefined"], name: Reason.OUT_OF_RANGE.value}
            elif abs(value) < SMALLEST_NUMBER:
                found[name] = 0.0
    return {
        **found,
        "calculation_method": row.calculation_method.value,
        "flow_timing": row.flow_timing.value,
        "periods_per_year": row.periods_per_year,
        "request_id": row.request_id,
        "asked": row.asked.model_dump(mode="json") if row.asked else None,
        "version": run.version,
    }
