"""The worst that a series of returns has: its lower tail, and the deepest fall of the wealth that it makes."""

from math import nan

import numpy as np

from common.calculations.types import FloatArray, highest

_ROUNDING = 1e-12
"""Less than this share of the peak is rounding of the linked returns: it makes no fall, and hides no recovery."""


def lower_tail(returns: FloatArray, lowest: FloatArray, share: float) -> tuple[float, float]:
    """Return the quantile of `share`, as `numpy.quantile` has it, and the mean of what is at or below it.

    Parameters
    ----------
    lowest
        All of the returns below some bound, which are put in order. Where they are enough, only they are: of all the
        work on a series, that is the dearest.

    Returns
    -------
    tuple of float
        Both 0 below two returns.
    """
    if returns.size < 2:
        return 0.0, 0.0
    place = (returns.size - 1) * share
    rank = int(place)
    weight = place - rank
    ordered = lowest if lowest.size >= rank + 2 else returns.copy()
    ordered.partition((rank, rank + 1))
    lower, upper = ordered[rank : rank + 2].tolist()
    step = upper - lower
    quantile = lower + step * weight if weight < 0.5 else upper - step * (1.0 - weight)
    # All up to the rank are at or below the lower one; only where the quantile meets the upper one there may be more.
    tail = ordered[: rank + 1] if lower <= quantile < upper else returns[returns <= quantile]
    return quantile, float(np.add.reduce(tail)) / tail.size if tail.size else nan


def deepest_fall(wealth: FloatArray, falls: FloatArray) -> tuple[float, int | None, int | None, int | None]:
    """Return the largest of the falls below an earlier peak, and the places of peak, trough and recovery in `wealth`.

    Parameters
    ----------
    wealth, falls : (n,) float64
        `falls` as shares of the highest wealth so far.

    Returns
    -------
    tuple
        0 and no places where there is no fall; no recovery where that has not come yet. The trough is the first place
        as deep. The peak is the first one at its height after which wealth was not below it until the fall: a peak that
        was reached again begins anew.
    """
    trough = int(falls.argmax())
    fall = falls.item(trough)
    if not fall > _ROUNDING:
        return 0.0, None, None, None
    # Whether there is another place as deep, or as high, is quicker to tell than where.
    if highest(falls[:trough]) >= fall - _ROUNDING:
        trough = int((falls >= fall - _ROUNDING).argmax())
    peak = int(wealth[:trough].argmax())
    level = wealth.item(peak) * (1.0 - _ROUNDING)
    if highest(wealth[peak + 1 : trough]) >= level:
        peak = int((wealth[:trough] >= level).nonzero()[0].item(-1))
    while peak and wealth.item(peak - 1) >= level:
        peak -= 1
    recovered = wealth[trough:] >= level
    after = int(recovered.argmax())
    return fall, peak, trough, trough + after if recovered.item(after) else None
