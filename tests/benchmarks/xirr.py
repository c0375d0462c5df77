"""Internal rates of return: one, from 4 to 1,002 flows, and those of 10,000 portfolios at once.

Ours gives every real root, or shows that there is but one; the others give one root. The flows are of ten years at 7 %
a year, contributions and every fourth time a withdrawal. What turns Python's dates into days is in the time where lists
of them are given; arrays are made beforehand, and so are the years that brentq is given.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta

import numpy as np

from common.calculations import xirr, xirr_many
from common.calculations.types import DayArray, FloatArray
from common.calculations.words import day_number
from tests.benchmarks.measure import Case, NotInstalledError

FLOWS = (4, 10, 52, 102, 252, 502, 1_002)
PORTFOLIOS, FEWEST, MOST = 10_000, 4, 60
RATE, YEARS = 0.07, 10
FIRST = date(2014, 1, 2)
AGREE = 1e-7
"""pyxirr stops at a present value of 1e-9 or a step as small; its rates are good to some nine digits."""

Rate = Callable[[], float | None]


def cases() -> Iterator[Case]:
    """Yield one rate against each of the others, and many against a loop."""
    try:
        from pyxirr import xirr as in_rust  # noqa: PLC0415 - `make bench` alone installs these two
        from scipy.optimize import brentq  # noqa: PLC0415 - as above
    except ImportError as error:
        raise NotInstalledError(f"{error.name} is not installed: make bench") from None

    generator = np.random.default_rng(12)
    for count in FLOWS:
        yield from _one(count, generator, in_rust, brentq)
    yield from _many(generator, in_rust)
    yield _two_rates(brentq)


def _one(
    count: int,
    generator: np.random.Generator,
    in_rust: Callable[..., float | None],
    brentq: Callable[..., float],
) -> Iterator[Case]:
    days, amounts = _flows(generator, count)
    dates, numbers = _dates(days), amounts.tolist()
    day_array = days.astype("datetime64[D]")
    years = (days - days[0]) / 365.0

    def bracketed() -> float:
        return float(brentq(lambda rate: float(np.sum(amounts * (1.0 + rate) ** -years)), -0.9, 10.0, xtol=1e-12))

    ours: tuple[Rate, ...] = (lambda: xirr(dates, numbers).value, lambda: xirr(day_array, amounts).value)
    theirs: tuple[Rate, ...] = (
        lambda: in_rust(dates, numbers),
        lambda: in_rust(dates, amounts),
        lambda: in_rust(day_array, amounts),
    )
    for each in (*ours, *theirs, bracketed):
        found = each()
        assert found is not None
        assert abs(found - RATE) < AGREE
    yield Case(f"xirr, {count:,} flows, lists of dates and floats", ours[0], "pyxirr, of the same lists", theirs[0])
    fastest = _fastest(ours)
    yield Case(f"xirr, {count:,} flows, lists or arrays", fastest, "pyxirr, of its fastest form", _fastest(theirs))
    yield Case(f"xirr, {count:,} flows, lists or arrays", fastest, "scipy's brentq, given a bracket", bracketed)


def _many(generator: np.random.Generator, in_rust: Callable[..., float | None]) -> Iterator[Case]:
    counts = generator.integers(FEWEST, MOST + 1, PORTFOLIOS)
    portfolios = [_flows(generator, int(count)) for count in counts]
    days = np.concatenate([each for each, _ in portfolios])
    amounts = np.concatenate([each for _, each in portfolios])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    lists = [(_dates(each), paid.tolist()) for each, paid in portfolios]

    def loop() -> list[float | None]:
        return [in_rust(dates, numbers) for dates, numbers in lists]

    results = xirr_many(days, amounts, offsets)
    assert float(np.abs(results.values - np.array(loop(), dtype=np.float64)).max()) < AGREE
    what = f"xirr of {PORTFOLIOS:,} portfolios, {FEWEST} to {MOST} flows, arrays"
    yield Case(what, lambda: xirr_many(days, amounts, offsets), "a loop of pyxirr over lists", loop)
    yield Case(
        f"{what}, each result made an object",
        lambda: list(xirr_many(days, amounts, offsets)),
        "a loop of pyxirr over lists",
        loop,
    )


def _two_rates(brentq: Callable[..., float]) -> Case:
    """An account that was overdrawn: every interval in which another root may be is searched."""
    # 1 % and 2 % every 73 days are the only positive roots: a sum of powers has none.
    amounts = np.convolve([-1.0, 1.01 + 1.02, -1.01 * 1.02], np.ones(50))
    days = np.arange(amounts.size) * 73
    day_array = days.astype("datetime64[D]")
    years = days / 365.0
    found = xirr(day_array, amounts)
    np.testing.assert_allclose(found.roots, (1.01**5 - 1.0, 1.02**5 - 1.0), rtol=1e-9)
    low, high = found.roots[0] - 0.02, sum(found.roots) / 2.0

    def bracketed() -> float:
        return float(brentq(lambda rate: float(np.sum(amounts * (1.0 + rate) ** -years)), low, high, xtol=1e-12))

    assert abs(bracketed() - found.roots[0]) < AGREE
    return Case(
        f"xirr, {days.size} flows with two rates, both found",
        lambda: xirr(day_array, amounts),
        "scipy's brentq, one of them in its bracket",
        bracketed,
    )


def _flows(generator: np.random.Generator, count: int) -> tuple[DayArray, FloatArray]:
    """Return an opening value, contributions and withdrawals, and the closing value that makes the rate `RATE`."""
    last = YEARS * 365
    inner = np.sort(generator.choice(np.arange(1, last), count - 2, replace=False))
    days = np.concatenate(([0], inner, [last]))
    amounts = -generator.uniform(100.0, 1_000.0, count)
    amounts[generator.random(count) < 0.25] *= -1.0
    amounts[0], amounts[-1] = -10_000.0, 0.0
    amounts[-1] = -float(np.sum(amounts * (1.0 + RATE) ** ((last - days) / 365.0)))
    return days + day_number(FIRST), amounts


def _dates(days: DayArray) -> list[date]:
    return [FIRST + timedelta(days=int(day - days[0])) for day in days]


def _fastest(forms: Sequence[Rate], repeats: int = 300) -> Rate:
    """Return the form of the flows that takes a function the least time."""

    def seconds(form: Rate) -> float:
        began = time.perf_counter()
        form()
        return time.perf_counter() - began

    return min(forms, key=lambda form: sorted(seconds(form) for _ in range(repeats))[repeats // 4])
