"""Two runs of the same request, compared metric by metric."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

# Lambda is arm64 and most machines are not: the last bits of a transcendental function may differ.
RELATIVE = 1e-9
# Below this a figure is a rounding error of what it is the difference of.
ABSOLUTE = 1e-12
# When a row was written, and by which execution.
_OF_THE_RUN = frozenset({"created_at", "updated_at", "version", "execution_name"})

Report = Mapping[str, Any]


def differences(here: Report, there: Report) -> list[str]:
    """Return what differs between two runs as `perfcalc run --json` prints them, a line each.

    Every metric of every period and every reason, warning and date of every row has to be the same; so have the
    failures, but for their messages, which name each world's own objects.
    """
    found = [*_compared("status", here["status"], there["status"])]
    ours, theirs = _rows(here), _rows(there)
    found += [f"{name}: only here" for name in ours.keys() - theirs.keys()]
    found += [f"{name}: only there" for name in theirs.keys() - ours.keys()]
    for name in sorted(ours.keys() & theirs.keys()):
        found += _compared(name, ours[name], theirs[name])
    found += _compared("failures", _failures(here), _failures(there))
    return sorted(found)


def metrics(report: Report) -> int:
    """Return how many numbers the results of a run have: how much was compared."""
    return sum(
        isinstance(value, int | float) and not isinstance(value, bool)
        for row in report["results"]
        for period in row["periods"].values()
        for value in period.values()
    )


def _rows(report: Report) -> dict[str, Any]:
    return {f"{row['entity_type']} {row['entity_id']} {row['calculation_date']}": row for row in report["results"]}


def _failures(report: Report) -> dict[str, str]:
    return {f"{each['entity_type']} {each['entity_id']}": each["error"] for each in report["failures"]}


def _compared(place: str, here: Any, there: Any) -> Iterator[str]:
    if isinstance(here, dict) and isinstance(there, dict):
        for name in sorted((here.keys() | there.keys()) - _OF_THE_RUN):
            yield from _compared(f"{place}.{name}", here.get(name), there.get(name))
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for index, (ours, theirs) in enumerate(zip(here, there, strict=True)):
            yield from _compared(f"{place}[{index}]", ours, theirs)
    elif not _same(here, there):
        yield f"{place}: {here!r} here, {there!r} there"


def _same(here: Any, there: Any) -> bool:
    if isinstance(here, float) and isinstance(there, int | float) and not isinstance(there, bool):
        return math.isclose(here, there, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(there, float) and isinstance(here, int) and not isinstance(here, bool):
        return _same(there, here)
    return bool(here == there) and type(here) is type(there)
