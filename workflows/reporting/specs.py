"""What all charts share: how numbers are written, and what makes a specification of a chart."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from common.calculations.types import DayArray, FloatArray
from workflows.reporting.theme import CONFIG

Spec = dict[str, Any]

PERCENT: Final = "~%"
RATIO: Final = ",.2f"
# A tooltip has room for what an axis rounds.
PRECISE: Final = {PERCENT: ".2%"}
_HEIGHT = 300


def finished(chart: Any, datasets: Mapping[str, list[Any]], *, height: int = _HEIGHT) -> Spec:
    """Return the specification of a chart that is as wide as its place."""
    spec: Spec = chart.to_dict()
    # A page names no other place: the schema's address is of no use to who draws the chart.
    del spec["$schema"]
    return {
        **spec,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
        "config": dict(CONFIG),
        "datasets": dict(datasets),
    }


def days_of(days: DayArray) -> list[str]:
    """Return days since 1970-01-01 as ISO 8601."""
    return [str(day) for day in days.astype("datetime64[D]")]


def numbers(values: FloatArray) -> list[float | None]:
    """Return values with the seven digits a chart can show; None where there is none."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values.tolist()]
