"""All metrics of one portfolio, against libraries that make them of its returns.

Ours starts from valuations, flows and a benchmark's levels, and finds the money-weighted return too; the others start
from returns that are already made, and have no such rate. What can be compared is compared before anything is timed.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from common.calculations import (
    Conventions,
    Flows,
    Period,
    PeriodPerformance,
    StandardPeriod,
    Valuations,
    calculate_performance,
    calculate_risk_metrics,
)
from common.calculations.types import DayArray, FloatArray
from common.calculations.words import day_date
from tests.benchmarks.measure import Case, NotInstalledError

LENGTHS = (252, 2_520, 10_000)
FLOWS = 50
PERIODS_PER_YEAR = 252

_SEED = 11
_FIRST_DAY = 4_383  # a Thursday in 1982
_LEAST_ROUNDS, _ROUNDS = 5, 25

Metrics = dict[str, float]


def cases() -> Iterator[Case]:
    """Yield the whole set of metrics at each length against each peer, and the metrics of given returns alone."""
    peers = [_Empyrical(), _Quantstats(), _Ffn()]
    for length in LENGTHS:
        world = _World.of(length)
        found = world.performance()
        for peer in peers:
            work = peer.work(world)
            _compare(found, world, work(), peer)
            yield Case(
                f"every metric from valuations, {FLOWS} flows and a benchmark, {length:,} days",
                world.performance,
                f"{peer.name}, its metrics of returns",
                work,
                _LEAST_ROUNDS if peer.slow else _ROUNDS,
            )
        empyrical = peers[0].work(world)
        yield Case(
            f"risk metrics of given returns, {length:,} days",
            world.risk,
            "empyrical, its metrics of returns",
            empyrical,
            _ROUNDS,
        )


class _World(NamedTuple):
    """A portfolio with its flows and a benchmark, and the returns that follow from them."""

    valuations: Valuations
    flows: Flows
    benchmark: Valuations
    returns: FloatArray
    benchmark_returns: FloatArray
    periods: list[Period]

    @classmethod
    def of(cls, length: int) -> "_World":
        """Make one with `length` returns, of business days."""
        chance = np.random.default_rng((_SEED, length))
        places = np.arange(length + 1)
        days: DayArray = _FIRST_DAY + places // 5 * 7 + places % 5
        market = chance.normal(0.0003, 0.009, length)
        returns = 0.7 * market + chance.normal(0.0001, 0.006, length)
        paid_in = np.zeros(length + 1)
        paid_in[np.sort(chance.permutation(np.arange(1, length))[:FLOWS])] = chance.uniform(-2_500.0, 5_000.0, FLOWS)
        values = np.empty(length + 1)
        values[0] = 100_000.0
        for at, each in enumerate(returns.tolist()):
            values[at + 1] = (values[at] + paid_in[at]) * (1.0 + each)
        moved = np.flatnonzero(paid_in)
        levels = 1_000.0 * np.concatenate(([1.0], np.cumprod(1.0 + market)))
        return cls(
            Valuations(days, values),
            Flows(days[moved], paid_in[moved]),
            Valuations(days, levels),
            returns,
            market,
            [Period.standard(StandardPeriod.ITD, day_date(int(days[-1])))],
        )

    def performance(self) -> PeriodPerformance:
        """Return everything there is over the whole history."""
        (found,) = calculate_performance(
            self.valuations, self.flows, self.periods, Conventions(), self.benchmark
        ).periods
        return found

    def risk(self) -> object:
        """Return the risk metrics of the returns."""
        return calculate_risk_metrics(
            self.returns, 0.08, self.benchmark_returns, 0.07, periods_per_year=PERIODS_PER_YEAR
        )

    def as_series(self) -> tuple[Any, Any]:
        """Return the returns and the benchmark's as pandas series by date."""
        pandas = _installed("pandas")
        index = pandas.DatetimeIndex(self.valuations.days[1:].astype("datetime64[D]"))
        return pandas.Series(self.returns, index), pandas.Series(self.benchmark_returns, index)


class _Peer:
    """A library, and what it calls what we have too.

    Attributes
    ----------
    slow
        A call takes so long that a few rounds will do.
    """

    name: str
    slow = False

    def work(self, world: _World) -> Callable[[], Metrics]:
        """Return what makes all its metrics, from data laid out as it likes them."""
        raise TypeError("each peer has its own")


class _Empyrical(_Peer):
    name = "empyrical-reloaded on arrays"

    def work(self, world: _World) -> Callable[[], Metrics]:
        made = _installed("empyrical", "empyrical-reloaded")
        r, b = world.returns, world.benchmark_returns

        def metrics() -> Metrics:
            alpha, beta = made.alpha_beta(r, b)
            return {
                "twr": made.cum_returns_final(r),
                "annual return": made.annual_return(r),
                "benchmark_twr": made.cum_returns_final(b),
                "annual return of the benchmark": made.annual_return(b),
                "volatility": made.annual_volatility(r),
                "sharpe_ratio_arithmetic": made.sharpe_ratio(r),
                "sortino": made.sortino_ratio(r),
                "calmar": made.calmar_ratio(r),
                "downside_deviation": made.downside_risk(r),
                "max_drawdown": -made.max_drawdown(r),
                "var": made.value_at_risk(r),
                "cvar": made.conditional_value_at_risk(r),
                "alpha": alpha,
                "beta": beta,
                "information ratio": made.excess_sharpe(r, b),
                "up capture": made.up_capture(r, b),
                "down capture": made.down_capture(r, b),
            }

        return metrics


class _Quantstats(_Peer):
    name = "quantstats on series"
    slow = True

    def work(self, world: _World) -> Callable[[], Metrics]:
        made = _installed("quantstats.stats", "quantstats")
        r, b = world.as_series()

        def metrics() -> Metrics:
            greeks = made.greeks(r, b)
            # Where its peak, trough and recovery lie only the table of all drawdowns tells.
            table = made.drawdown_details(made.to_drawdown_series(r))
            return {
                "twr": made.comp(r),
                "annual return": made.cagr(r),
                "benchmark_twr": made.comp(b),
                "annual return of the benchmark": made.cagr(b),
                "volatility": made.volatility(r),
                "sharpe_ratio_arithmetic": made.sharpe(r),
                "sortino": made.sortino(r),
                "calmar": made.calmar(r),
                "max_drawdown": -made.max_drawdown(r),
                "drawdowns": float(len(table)),
                "normal var": made.value_at_risk(r),
                "cvar by the normal var": made.cvar(r),
                "skewness of a sample": made.skew(r),
                "kurtosis of a sample": made.kurtosis(r),
                "best_day": made.best(r),
                "worst_day": made.worst(r),
                "beta": greeks["beta"],
                "alpha": greeks["alpha"],
                "information ratio": made.information_ratio(r, b),
            }

        return metrics


class _Ffn(_Peer):
    name = "ffn on a series, all its statistics"
    slow = True

    def work(self, world: _World) -> Callable[[], Metrics]:
        made, pandas = _installed("ffn"), _installed("pandas")
        r, _ = world.as_series()
        start = r.index[0] - pandas.Timedelta(days=1)
        prices = pandas.concat([pandas.Series([100.0], [start]), 100.0 * (1.0 + r).cumprod()])

        def metrics() -> Metrics:
            stats = made.calc_stats(prices).stats
            return {
                "twr": stats["total_return"],
                "volatility": stats["daily_vol"],
                "sharpe_ratio_arithmetic": stats["daily_sharpe"],
                "max_drawdown": -stats["max_drawdown"],
                "best_day": stats["best_day"],
                "worst_day": stats["worst_day"],
            }

        return metrics


def _compare(found: PeriodPerformance, world: _World, theirs: Metrics, peer: _Peer) -> None:
    """Make sure that all metrics of one definition agree.

    The peers' standard deviations are those of a sample, ours the population's: these are scaled. Left out are what
    is defined otherwise: returns a year by counted days or by 252, ratios of them, captures a year, an alpha that is
    compounded, the normal distribution's VaR.
    """
    n = world.returns.size
    sample = (n / (n - 1)) ** 0.5
    scale = {"volatility": sample, "sharpe_ratio_arithmetic": 1.0 / sample}
    compared = 0
    for name, value in theirs.items():
        ours = getattr(found, name, None)
        if ours is None:
            ours = getattr(found.risk, name, None)
        if ours is not None and name != "alpha":
            compared += 1
            np.testing.assert_allclose(
                ours * scale.get(name, 1.0), float(value), rtol=1e-9, err_msg=f"{peer.name}: {name}"
            )
    assert compared >= len(_ALWAYS & theirs.keys())


_ALWAYS = {"twr", "benchmark_twr", "volatility", "sharpe_ratio_arithmetic", "max_drawdown", "beta"}


def _installed(module: str, package: str | None = None) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise NotInstalledError(f"{package or module} is not installed: make bench") from None
