"""Pairs of works, measured in turns in one process: their ratio means something on other machines too."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import StreamHandler
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from common.observability import logger

ROUNDS = 15
SECONDS_A_ROUND = 0.05

Work = Callable[[], object]
Clock = Callable[[], float]


class NotInstalledError(Exception):
    """What a subject needs is not here; the message says how it comes here."""


class Case(NamedTuple):
    """What is measured, and what it is compared with.

    Attributes
    ----------
    rounds
        How often both are measured, one after the other.
    clock
        The wall's; `time.process_time` where another process does part of the work and is not to be counted.
    """

    what: str
    ours: Work
    against: str
    theirs: Work
    rounds: int = ROUNDS
    clock: Clock = time.perf_counter


class Measured(NamedTuple):
    """Seconds of each call of both sides, round by round."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """How often ours fits into theirs, in ascending order."""
        return sorted(theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True))


def measure(case: Case) -> Measured:
    """Measure both sides of a case in turns, so that both meet the same machine."""
    works = (case.ours, case.theirs)
    first = [_seconds(work, 1, case.clock) for work in works]
    repeats = [max(1, round(SECONDS_A_ROUND / max(seconds, 1e-9))) for seconds in first]
    # Where a call fills a round, the first ones are a round: both sides have been called before, to compare them.
    rounds = [first] if repeats == [1, 1] else []
    while len(rounds) < case.rounds:
        rounds.append([_seconds(work, repeat, case.clock) for work, repeat in zip(works, repeats, strict=True)])
    return Measured([ours for ours, _ in rounds], [theirs for _, theirs in rounds])


def ratio_table() -> Table:
    """Return the table of all ratios, without rows."""
    return Table("What", "Takes", "Against", "Takes", "Ratio", "Range of the ratio", title="Medians of paired rounds")


def ratio_row(case: Case, found: Measured) -> tuple[str, ...]:
    """Return the row of a case; the range leaves out the lowest and the highest ratio where there are five or more."""
    ratios = found.ratios
    inner = ratios[1:-1] if len(ratios) >= 5 else ratios
    return (
        case.what,
        shown(statistics.median(found.ours)),
        case.against,
        shown(statistics.median(found.theirs)),
        f"{statistics.median(ratios):.2f}x",
        f"{inner[0]:.2f} to {inner[-1]:.2f}",
    )


def shown(seconds: float) -> str:
    """Return a duration for a reader."""
    return f"{seconds * 1e6:,.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:,.0f} ms"


def _seconds(work: Work, repeats: int, clock: Clock) -> float:
    began = clock()
    for _ in range(repeats):
        work()
    return (clock() - began) / repeats


@contextmanager
def quiet() -> Iterator[None]:
    """Let the functions log to nowhere: what is measured is the writing, not a terminal."""
    handlers = [each for each in logger().handlers if isinstance(each, StreamHandler)]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        before: list[Any] = [each.setStream(nowhere) for each in handlers]
        try:
            yield
        finally:
            for each, stream in zip(handlers, before, strict=True):
                each.setStream(stream)
