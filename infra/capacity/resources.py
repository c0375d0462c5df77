"""What a simulated run shares: supplies that give so many units a second, and pools of so many calls at a time."""

from typing import Final

_MINUTE: Final = 60.0


class Supply:
    """Units at a rate, first come, first served; one that grows gives twice its peak minute after a while.

    Parameters
    ----------
    rate
        Units a second.
    burst_seconds
        How long what was not asked for can be had later.
    quota
        What the rate does not grow beyond; None where it does not grow.
    doubling_seconds
        How long it takes to grow.
    """

    def __init__(
        self, rate: float, *, burst_seconds: float = 1.0, quota: float | None = None, doubling_seconds: float = 0.0
    ) -> None:
        self.rate = rate
        self.used = 0.0
        self.refused = 0
        self._burst = burst_seconds
        self._quota = quota
        self._doubling = doubling_seconds
        self._grows_at = doubling_seconds if quota is not None else float("inf")
        self._served = -burst_seconds  # when everything that was taken will have been given
        self._minute = 0
        self._in_minute = 0.0
        self._peak = 0.0
        self._offered, self._rate_since = 0.0, 0.0

    def take(self, now: float, units: float, patience: float) -> float | None:
        """Return the seconds until `units` are there; None, and nothing is taken, where that is over `patience`.

        Calls come in order of `now`, or nearly so.
        """
        while now >= self._grows_at:
            self._grow()
        ready = max(self._served, now - self._burst) + units / self.rate
        wait = max(0.0, ready - now)
        if wait > patience:
            self.refused += 1
            return None
        self._served = ready
        self.used += units
        if (minute := int(now // _MINUTE)) != self._minute:
            self._peak = max(self._peak, self._in_minute / _MINUTE)
            self._minute, self._in_minute = minute, 0.0
        self._in_minute += units
        return wait

    def utilisation(self, until: float) -> float:
        """Return the part of what there was from 0 to `until` that was taken."""
        offered = self._offered + self.rate * (until - self._rate_since)
        return self.used / offered if offered > 0.0 else 0.0

    def _grow(self) -> None:
        assert self._quota is not None
        peak = max(self._peak, self._in_minute / _MINUTE)
        self._offered += self.rate * (self._grows_at - self._rate_since)
        self._rate_since = self._grows_at
        self.rate = min(self._quota, max(self.rate, 2.0 * peak))
        self._grows_at += self._doubling


class Pool:
    """Environments of functions: one call at a time each, and no more of them than the concurrency.

    Parameters
    ----------
    concurrency
        Calls at a time.
    new_environments
        How many can be made at once, and within ten seconds.
    requests_per_second
        Calls begun a second.
    """

    def __init__(self, concurrency: int, *, new_environments: float, requests_per_second: float) -> None:
        self.concurrency = concurrency
        self.busy = 0
        self.peak = 0
        self.throttled = 0
        self.cold = 0
        self.busy_seconds = 0.0
        self._environments = 0
        self._making = Supply(new_environments / 10.0, burst_seconds=10.0)
        self._requests = Supply(requests_per_second)

    def begin(self, now: float) -> bool | None:
        """Begin a call; return whether its environment is new, or None where the call is throttled."""
        if self.busy >= self.concurrency or self._requests.take(now, 1.0, 0.0) is None:
            self.throttled += 1
            return None
        cold = self.busy >= self._environments
        if cold:
            if self._making.take(now, 1.0, 0.0) is None:
                self.throttled += 1
                return None
            self._environments += 1
            self.cold += 1
        self.busy += 1
        self.peak = max(self.peak, self.busy)
        return cold

    def end(self, seconds: float) -> None:
        """End a call that has taken so long."""
        self.busy -= 1
        self.busy_seconds += seconds

    def utilisation(self, until: float) -> float:
        """Return the mean part of the concurrency that was in use from 0 to `until`."""
        return self.busy_seconds / (self.concurrency * until) if until > 0.0 else 0.0

    def request_utilisation(self, until: float) -> float:
        """Return the part of the calls a second that was used."""
        return self._requests.utilisation(until)
