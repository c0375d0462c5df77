"""Many portfolios in one go: what is the same for all of them is done once, and the rest a chunk at a time."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from common.calculations.history import BenchmarkLevels, Conventions, History, same_days
from common.calculations.performance import Performance, measure
from common.calculations.periods import Period
from common.calculations.types import DayArray, Flows, Valuations

VALUES_AT_ONCE = 131_072
"""Valuations of a chunk: a MiB in each of the few arrays that are kept until it is done."""

Portfolio = tuple[Valuations, Flows]


def calculate_performances(
    portfolios: Iterable[Portfolio],
    periods: Sequence[Period],
    conventions: Conventions,
    benchmark: Valuations | None = None,
    *,
    values_at_once: int = VALUES_AT_ONCE,
) -> Iterator[Performance]:
    """Yield the performance of each of many portfolios, in their order: what `calculate_performance` returns.

    Portfolios that follow each other are taken together. It is worth most where they are valued on the same days, as
    those of a market are on its business days; others come out the same, with less gained.

    Parameters
    ----------
    portfolios
        Valuations, at least one, and flows of each. Read as far as the next chunk needs, and not kept.
    periods, conventions, benchmark
        As for `calculate_performance`.
    values_at_once
        Valuations of a chunk, which has one portfolio at least: memory grows with it, not with the portfolios.

    Yields
    ------
    Performance
        Exactly the single call's but for the money-weighted returns, which agree to 1e-12: `xirr_many` finds those of
        many portfolios side by side and adds in another order.

    Raises
    ------
    ValueError
        As the single call; the portfolios of the same chunk are then without a result too.
    """
    for chunk in _chunks(portfolios, values_at_once):
        yield from _measured(chunk, periods, conventions, benchmark)


def _measured(
    chunk: Sequence[Portfolio], periods: Sequence[Period], conventions: Conventions, benchmark: Valuations | None
) -> list[Performance]:
    """Return the performances of a chunk; what they were made of is not kept while the next one is read."""
    found: dict[int, Performance] = {}
    for members in _alike(chunk):
        histories = list(_histories([chunk[each] for each in members], conventions, benchmark))
        found.update(zip(members, measure(histories, periods), strict=True))
    return [found[each] for each in range(len(chunk))]


def _chunks(portfolios: Iterable[Portfolio], values_at_once: int) -> Iterator[list[Portfolio]]:
    chunk: list[Portfolio] = []
    size = 0
    for valuations, flows in portfolios:
        if chunk and size + valuations.days.size > values_at_once:
            yield chunk
            chunk, size = [], 0
        # Where all have the same days, one array of them is enough to keep.
        known = bool(chunk) and same_days(chunk[-1][0].days, valuations.days)
        days = chunk[-1][0].days if known else valuations.days
        chunk.append((Valuations(days, valuations.values), flows))
        size += days.size
    if chunk:
        yield chunk


def _alike(chunk: Sequence[Portfolio]) -> list[list[int]]:
    """Return the positions of the portfolios of each list of days."""
    groups: dict[tuple[int, int, int], list[tuple[DayArray, list[int]]]] = {}
    for position, (valuations, _) in enumerate(chunk):
        days = valuations.days
        near = groups.setdefault((days.size, int(days[0]), int(days[-1])), [])
        for others, members in near:
            if same_days(others, days):
                members.append(position)
                break
        else:
            near.append((days, [position]))
    return [members for near in groups.values() for _, members in near]


def _histories(
    portfolios: Sequence[Portfolio], conventions: Conventions, benchmark: Valuations | None
) -> Iterator[History]:
    """Yield the histories of portfolios that are valued on the same days; what depends on these is found once.

    Each history is made by itself: rows of a matrix of many would leave the nearest cache, which costs more than the
    calls that it saves.
    """
    days = portfolios[0][0].days
    levels = None if benchmark is None else BenchmarkLevels.of(benchmark, days)
    for valuations, flows in portfolios:
        history = History.of(Valuations(days, valuations.values), flows, conventions, levels)
        if conventions.periods_per_year is None:
            conventions = replace(conventions, periods_per_year=history.periods_per_year)
        yield history
