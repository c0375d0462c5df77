"""The periods of portfolios that have a valuation at both ends: their rates and risks, those of many found together."""

from collections.abc import Iterable, Iterator, Sequence
from math import isinf, isnan
from typing import NamedTuple

import numpy as np

from common.calculations.history import BenchmarkLevels, History, Linked, Span
from common.calculations.moments import Drawdown, JointMoments, Moments, Series, blocks
from common.calculations.money_weighted import MoneyWeightedReturn, solve, solve_distinct, solve_few
from common.calculations.money_weighted_many import xirr_many
from common.calculations.periods import LEAST_DAYS_OF_A_YEAR, Period
from common.calculations.returns import annualize_whole_year
from common.calculations.risk import TAIL_SHARE, Basis, RiskMetrics, risk_metrics
from common.calculations.sole_root import FEW
from common.calculations.types import DayArray, FloatArray, finite_series
from common.calculations.words import Reason, Undefinable

FEW_RATES = 16
"""Below so many rates, those of the periods of one portfolio among them, each is solved by itself, which is faster."""
_NO_BENCHMARK = Undefinable(None, Reason.NO_BENCHMARK)
_BENCHMARK_TOO_SHORT = Undefinable(None, Reason.BENCHMARK_HISTORY_TOO_SHORT)
_OUT_OF_RANGE = Undefinable(None, Reason.OUT_OF_RANGE)
_UNDER_ONE_YEAR = Undefinable(None, Reason.UNDER_ONE_YEAR)

_Risk = tuple[RiskMetrics, Drawdown]
_Moments = tuple[Moments, JointMoments | None]


class Stretch(NamedTuple):
    """A period of a portfolio that has valuations at both ends, and its returns.

    Attributes
    ----------
    flows : tuple of int
        Where those between the two valuations begin and end in `History.dated`.
    """

    history: History
    period: Period
    span: Span
    flows: tuple[int, int]
    linked: Linked
    annual: Undefinable
    benchmark: Undefinable
    annual_benchmark: Undefinable


def stretches_of(
    histories: Sequence[History], spans: Sequence[Sequence[Span | Reason]], periods: Sequence[Period]
) -> Iterator[Stretch]:
    """Yield the stretches there are: those of the first period of all histories, then of the second, and so on.

    Parameters
    ----------
    histories
        With the same benchmark, on the same days.
    spans
        Of the periods of each history.
    """
    flows = [iter(history.flows_of(of_history)) for history, of_history in zip(histories, spans, strict=True)]
    for number, period in enumerate(periods):
        shared: dict[Span, tuple[Undefinable, Undefinable]] = {}
        for history, of_history, inside in zip(histories, spans, flows, strict=True):
            span = of_history[number]
            if isinstance(span, Reason):
                continue
            linked = history.link(span)
            full_year = period.is_full_year(span.opening, span.closing)
            beside = shared.get(span) if linked.whole else None
            if beside is None:
                benchmark = _benchmark(history.benchmark, span, linked)
                both = full_year and _covers_a_year(history.benchmark, span)
                beside = benchmark, _annualized(benchmark, span, both)
                if linked.whole:
                    shared[span] = beside
            annual = _annualized(linked.twr, span, full_year)
            yield Stretch(history, period, span, next(inside), linked, annual, *beside)


def _benchmark(benchmark: BenchmarkLevels | None, span: Span, linked: Linked) -> Undefinable:
    if benchmark is None or linked.benchmark_returns is None:
        return _NO_BENCHMARK
    levels = benchmark.levels
    ratio = float(levels[span.last] / levels[span.first])
    if isnan(ratio):
        return _BENCHMARK_TOO_SHORT
    if isinf(ratio):
        return _OUT_OF_RANGE
    finite = linked.whole and benchmark.finite
    if not finite and np.isinf(linked.benchmark_returns).any() and levels[span.first : span.last + 1].all():
        return _OUT_OF_RANGE
    return Undefinable(ratio - 1.0)


def _covers_a_year(benchmark: BenchmarkLevels | None, span: Span) -> bool:
    """Return whether the levels at both ends, which may be older than the valuations, lie a year apart themselves."""
    if benchmark is None or benchmark.ages is None:
        return True
    opening, closing = span.opening - benchmark.age(span.first), span.closing - benchmark.age(span.last)
    return closing - opening >= LEAST_DAYS_OF_A_YEAR


def _annualized(total: Undefinable, span: Span, full_year: bool) -> Undefinable:
    if total.value is None:
        return Undefinable(None, total.reason)
    return annualize_whole_year(total.value, span.closing - span.opening) if full_year else _UNDER_ONE_YEAR


def money_weighted(stretches: Sequence[Stretch]) -> Iterable[MoneyWeightedReturn]:
    """Solve opening value, flows and closing value of each stretch."""
    if len(stretches) < FEW_RATES:
        return map(_rate, stretches)
    offsets = np.zeros(len(stretches) + 1, dtype=np.int64)
    np.add.accumulate([end - begin + 2 for begin, end in (each.flows for each in stretches)], out=offsets[1:])
    days, amounts = np.empty(offsets[-1], dtype=np.int64), np.empty(offsets[-1])
    for place, each in zip((offsets[:-1] + 1).tolist(), stretches, strict=True):
        begin, end = each.flows
        inside = slice(place, place + end - begin)
        days[inside], amounts[inside] = each.history.dated.days[begin:end], each.history.dated.amounts[begin:end]
    np.negative(amounts, out=amounts)
    firsts, lasts = offsets[:-1], offsets[1:] - 1
    days[firsts], days[lasts] = [each.span.opening for each in stretches], [each.span.closing for each in stretches]
    amounts[firsts] = [-each.history.valuations.values.item(each.span.first) for each in stretches]
    amounts[lasts] = [each.history.valuations.values.item(each.span.last) for each in stretches]
    return xirr_many(days, amounts, offsets)


def _rate(stretch: Stretch) -> MoneyWeightedReturn:
    """Solve opening value, flows and closing value of one stretch."""
    history, (first, last, opening, closing), (begin, end) = stretch.history, stretch.span, stretch.flows
    flows, values = history.dated, history.valuations.values
    found = None
    if end - begin <= FEW - 2:
        days = [opening, *flows.days[begin:end].tolist(), closing]
        paid = [-values.item(first), *(-flows.amounts[begin:end]).tolist(), values.item(last)]
        found = solve_few(days, paid)
    elif history.distinct and opening < flows.days.item(begin) and flows.days.item(end - 1) < closing:
        found = solve_distinct(*_paid(stretch))
    return solve(*_paid(stretch)) if found is None else found


def _paid(stretch: Stretch) -> tuple[DayArray, FloatArray]:
    """Return the days and amounts of which the money-weighted return of a period is made, from the investor's view."""
    history, (first, last, opening, closing), (begin, end) = stretch.history, stretch.span, stretch.flows
    flows, values, size = history.dated, history.valuations.values, end - begin + 2
    days, amounts = np.empty(size, dtype=np.int64), np.empty(size)
    days[0], days[1:-1], days[-1] = opening, flows.days[begin:end], closing
    amounts[0], amounts[-1] = -values[first], values[last]
    np.negative(flows.amounts[begin:end], out=amounts[1:-1])
    return days, amounts


def risks(stretches: Sequence[Stretch]) -> Iterator[_Risk]:
    """Yield the risk of each stretch, and where its largest drawdown lies.

    Numpy's warnings are the caller's to silence: what is not finite in the end is reported as out_of_range.
    """
    linked = [each for each in stretches if each.linked.twr.value is not None]
    moments: Iterator[_Moments] = iter(())
    if linked:
        history = linked[0].history
        basis = Basis.of(history.conventions.risk_free_rate, history.periods_per_year)
        moments = iter(_moments(linked, basis.target))
    for each in stretches:
        without = each.benchmark.reason
        if each.linked.twr.value is None:
            yield RiskMetrics.all_undefined(each.linked.twr.reason or Reason.OUT_OF_RANGE, without), Drawdown(0.0)
            continue
        alone, joint = next(moments)
        risk = risk_metrics(alone, each.annual.value, basis, joint, each.annual_benchmark.value)
        both = each.annual.value is not None and each.annual_benchmark.value is not None
        if each.benchmark.value is not None and not (both or each.linked.whole):
            # Beside the sub-periods that are left out the benchmark has a return, as it has in R - B.
            risk = risk._replace(excess_return=each.linked.twr.value - each.benchmark.value)
        for name, reason in risk.undefined.items():
            if reason is Reason.NO_BENCHMARK and without is not None:
                risk.undefined[name] = without
            elif reason is Reason.ANNUALIZED_RETURN_UNDEFINED:
                risk.undefined[name] = each.annual.reason or each.annual_benchmark.reason or reason
        yield risk, alone.drawdown


def _moments(linked: Sequence[Stretch], target: float) -> list[_Moments]:
    """Return what the risk of each stretch is made of; all have a return."""
    if len(linked) == 1:
        return list(_of_any(linked, target))
    # Periods that coincide, as the quarter and the year in March, are measured once.
    distinct: dict[tuple[int, Span], int] = {}
    firsts = [distinct.setdefault((id(each.history), each.span), place) for place, each in enumerate(linked)]
    alike: dict[Span | int, list[int]] = {}
    for place in distinct.values():
        each = linked[place]
        alike.setdefault(each.span if each.linked.whole else place, []).append(place)
    alone = [places[0] for places in alike.values() if len(places) == 1]
    found: dict[int, _Moments] = {}
    for together in blocks(alone, [len(linked[place].linked.twr.sub_returns) for place in alone]):
        found.update(zip(together, _of_any([linked[place] for place in together], target), strict=True))
    for places in alike.values():
        if len(places) > 1:
            found.update(zip(places, _of_same_days([linked[place] for place in places], target), strict=True))
    return [found[place] for place in firsts]


def _of_any(stretches: Sequence[Stretch], target: float) -> Iterator[_Moments]:
    """Yield the moments of stretches of any lengths."""
    returns = [np.asarray(each.linked.twr.sub_returns) for each in stretches]
    beside = [_finite_benchmark(each) for each in stretches]
    series = Series(returns)
    pairs = [(mine, other) for mine, other in zip(returns, beside, strict=True) if other is not None]
    joint: Iterator[JointMoments] = iter(())
    if pairs:
        compared = series if len(pairs) == len(returns) else Series([mine for mine, _ in pairs])
        joint = iter(compared.joint_moments(Series([other for _, other in pairs])))
    for alone, other in zip(series.moments(target, TAIL_SHARE), beside, strict=True):
        yield alone, None if other is None else next(joint)


def _of_same_days(stretches: Sequence[Stretch], target: float) -> Iterator[_Moments]:
    """Yield the moments of stretches over the same days, and so with the same returns of the benchmark beside."""
    beside = _finite_benchmark(stretches[0])
    benchmark = None if beside is None else Series([beside])
    returns = [np.asarray(each.linked.twr.sub_returns) for each in stretches]
    for rows in blocks(returns, [each.size for each in returns]):
        series = Series(np.concatenate(rows).reshape(len(rows), -1))
        joint: Sequence[JointMoments | None] = [None] * len(rows)
        if benchmark is not None:
            joint = series.joint_moments(benchmark)
        yield from zip(series.moments(target, TAIL_SHARE), joint, strict=True)


def _finite_benchmark(stretch: Stretch) -> FloatArray | None:
    """Return the benchmark's returns, a ValueError where one is not finite; None without one over the whole period."""
    if stretch.benchmark.value is None or stretch.linked.benchmark_returns is None:
        return None
    benchmark = stretch.history.benchmark
    if benchmark is not None and benchmark.finite and stretch.linked.whole:
        return stretch.linked.benchmark_returns
    return finite_series(stretch.linked.benchmark_returns, "benchmark_returns")
