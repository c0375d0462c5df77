"""A stored row narrowed to the periods that somebody asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.stores.result_rows import FIRST_PERIOD_METRICS


def only_periods(row: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, Any]:
    """Return a row with the periods asked for, in that order; it may hold those of other requests too.

    The first of them is the row's first period then, whose figures stand at its top. Without labels it is as it was.
    """
    periods = row["periods"]
    kept = {label: periods[label] for label in labels or () if label in periods}
    if not kept:
        return {**row, "periods": {} if labels else periods}
    label, first = next(iter(kept.items()))
    return {**row, **{name: first[name] for name in FIRST_PERIOD_METRICS}, "time_period": label, "periods": kept}
