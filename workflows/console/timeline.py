"""The timeline: states and iterations as bars, the iterations of a Map packed into as few lanes as ran at a time."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from workflows.console.states import Iteration, StateStatus, Visit
from workflows.console.visits import Visits


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of time.

    Attributes
    ----------
    start, end : int
        Milliseconds since the execution started.
    label : str
    status : StateStatus
    visit : int or None
        The visit that the bar stands for, or the first of an iteration.
    """

    start: int
    end: int
    label: str
    status: StateStatus
    visit: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the timeline; several bars for a lane of iterations or a state that was entered again."""

    name: str
    depth: int
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All rows, and how long the execution took, in milliseconds."""

    rows: Sequence[Row]
    end: int


def timeline_of(visits: Visits, started: datetime, until: datetime) -> Timeline:
    """Return the timeline of an execution.

    Parameters
    ----------
    visits
        What was visited.
    started
        When the execution started.
    until
        Where what runs is drawn to: its end, or now.
    """

    def ms(moment: datetime | None) -> int:
        return max(round(((moment or until) - started).total_seconds() * 1000), 0)

    rows: list[Row] = []
    at: dict[tuple[str, int], int] = {}
    for visit in visits.visits:
        if visit.iteration:
            continue
        depth = _depth(visit)
        bar = Bar(ms(visit.entered), ms(visit.exited), visit.name, visit.status, visit.id)
        if (found := at.get((visit.name, depth))) is not None:
            rows[found] = Row(visit.name, depth, [*rows[found].bars, bar])
            continue
        at[visit.name, depth] = len(rows)
        rows.append(Row(visit.name, depth, [bar]))
        bars = (
            Bar(ms(each.started), ms(each.ended), f"#{each.index}", each.status, _first(each))
            for each in visit.iterations
        )
        rows += [Row("", depth + 1, lane) for lane in lanes(bars)]
    return Timeline(rows, max((bar.end for row in rows for bar in row.bars), default=0))


def lanes(bars: Iterable[Bar]) -> list[list[Bar]]:
    """Pack bars into as few lanes as possible, none over another in its lane.

    First fit by the lane that is free the longest (a heap of ends), which is optimal for intervals and takes
    n log n steps.
    """
    packed: list[list[Bar]] = []
    free: list[tuple[int, int]] = []
    for bar in sorted(bars, key=lambda each: (each.start, each.end)):
        if free and free[0][0] <= bar.start:
            _, lane = heapq.heappop(free)
            packed[lane].append(bar)
        else:
            lane = len(packed)
            packed.append([bar])
        # A bar of no length still takes room, or many of one moment would lie over each other.
        heapq.heappush(free, (max(bar.end, bar.start + 1), lane))
    return packed


def _first(iteration: Iteration) -> int | None:
    return iteration.visits[0].id if iteration.visits else None


def _depth(visit: Visit) -> int:
    depth, parent = 0, visit.parent
    while parent is not None:
        depth, parent = depth + 1, parent.parent
    return depth
