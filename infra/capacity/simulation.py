"""A fleet run, event by event, within the limits of the services.

Batches are begun at the Map's rate, as many at a time as it allows. Each calls its functions as the definition has it:
ValidateInput, CalculatePortfolio for its portfolios so many at a time, PersistDynamoDB, PersistTimestream. A call finds
an environment, has one made, or is throttled; inside it a store may keep it waiting, and throttles it where that is
longer than its client is patient. What is throttled is tried again as the definition's Retry says, with its jitter.

A large run is simulated as a part of one: a hundredth of the portfolios with a hundredth of everything takes as long.
"""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import Any, Final

from infra.capacity import limits, steps
from infra.capacity.fleet import FleetRun
from infra.capacity.outcome import Outcome, Sample
from infra.capacity.resources import Pool, Supply
from infra.capacity.workload import HOT_READ_UNITS

# How long botocore's standard mode keeps trying, on average: half of 1, 2, 4 and 8 s; of Timestream's, one less.
STORE_PATIENCE: Final = 7.5
SERIES_PATIENCE: Final = 3.5
_FOREVER: Final = float("inf")
_TASKS: Final = ("ValidateInput", "CalculatePortfolio", "PersistDynamoDB", "PersistTimestream")


@dataclass(slots=True)
class _Batch:
    size: int
    started: float
    waiting: int
    unfinished: int
    failed: int = 0
    ended: bool = False


@dataclass(slots=True)
class _Call:
    task: str
    batch: _Batch
    attempt: int = 0


def simulate(run: FleetRun, *, scale: int = 1) -> Outcome:
    """Simulate a run.

    Parameters
    ----------
    scale
        Simulate a `scale`-th of the run with a `scale`-th of its capacity.

    Raises
    ------
    ValueError
        The capacity cannot be divided so.
    """
    part = replace(run, portfolios=math.ceil(run.portfolios / scale), capacity=run.capacity.scaled(scale))
    return _Simulation(part).result(run, scale)


@cache
def _retriers() -> dict[str, steps.Retrier]:
    return {task: steps.retrier(task) for task in _TASKS}


@dataclass(slots=True)
class _Events:
    """What will happen, in order of time."""

    heap: list[tuple[float, int, Callable[[float, Any], None], Any]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def at(self, time: float, what: Callable[[float, Any], None], to: Any) -> None:
        heapq.heappush(self.heap, (time, next(self.numbers), what, to))


class _Simulation:
    def __init__(self, run: FleetRun) -> None:
        self._run = run
        self._times = run.durations
        self._events = _Events()
        self._chance = random.Random(run.seed)  # noqa: S311 - a simulation keeps no secret
        sigma = math.sqrt(math.log1p(run.spread**2))
        self._spread = (-(sigma**2) / 2, sigma) if sigma else None
        load, times = run.workload, self._times
        self._warm = {
            "ValidateInput": times.validate,
            "CalculatePortfolio": times.calculate,
            "PersistDynamoDB": times.write_rows,
            "PersistTimestream": times.write_series,
        }
        self._cold = self._warm | {"CalculatePortfolio": times.calculate_cold}
        self._read_units = load.reading.read_units, load.reading.cold_read_units
        self._retriers = _retriers()
        capacity, new = run.capacity, run.capacity.new_environments
        self._calculate = Pool(
            capacity.calculate_concurrency,
            new_environments=new,
            requests_per_second=capacity.calculate_concurrency * capacity.requests_per_concurrency,
        )
        self._others = Pool(
            capacity.other_concurrency,
            new_environments=3 * new,  # three functions
            requests_per_second=capacity.other_concurrency * capacity.requests_per_concurrency,
        )
        doubling = limits.DOUBLING_SECONDS.value
        self._writes = Supply(capacity.write_units, quota=capacity.table_units, doubling_seconds=doubling)
        self._reads = Supply(capacity.read_units, quota=capacity.table_units, doubling_seconds=doubling)
        self._hot = Supply(capacity.hot_read_units)
        self._series = Supply(
            capacity.series_calls, quota=_FOREVER, doubling_seconds=limits.TIMESTREAM_DOUBLING_SECONDS.value
        )
        self._transitions = Supply(_FOREVER if run.express else capacity.standard_transitions)
        self._dispatch = Supply(capacity.express_dispatch if run.express else capacity.standard_dispatch)
        self._left = run.portfolios
        self._running = 0
        self._dispatching = False
        self._done = self._failed = self._backfilled = 0
        self._batch_seconds: list[float] = []
        self._throttled: Counter[str] = Counter()
        self._samples: list[Sample] = []
        self._end = 0.0

    def result(self, whole: FleetRun, scale: int) -> Outcome:
        """Run to the end."""
        self._begin_batches(0.0)
        heap, next_sample, stride = self._events.heap, 0.0, 1.0
        while heap:
            now, _, what, to = heapq.heappop(heap)
            while now >= next_sample:
                self._samples.append(self._sample(next_sample))
                next_sample += stride
                if len(self._samples) >= 1_200:  # enough to draw
                    self._samples = self._samples[::2]
                    stride *= 2
            what(now, to)
        self._samples.append(self._sample(self._end))
        plan = whole.workload.plan_seconds(whole.portfolios)
        summarise = whole.workload.summarise_seconds(whole.portfolios)
        assert self._done + self._failed == self._run.portfolios
        failed = round(self._failed * whole.portfolios / self._run.portfolios)
        return Outcome(
            run=whole,
            plan_seconds=plan,
            map_seconds=self._end,
            summarise_seconds=summarise,
            calculated=whole.portfolios - failed,
            failed=failed,
            backfilled=self._backfilled * scale,
            throttled={task: self._throttled[task] * scale for task in _TASKS},
            cold=self._calculate.cold * scale,
            utilisation=self._utilisation(plan, summarise),
            mean_batch_seconds=sum(self._batch_seconds) / len(self._batch_seconds),
            longest_batch_seconds=max(self._batch_seconds),
            samples=tuple(
                replace(
                    each,
                    done=each.done * scale,
                    children=each.children * scale,
                    calculating=each.calculating * scale,
                    throttled=each.throttled * scale,
                    write_units=each.write_units * scale,
                )
                for each in self._samples
            ),
        )

    def _utilisation(self, plan: float, summarise: float) -> dict[str, float]:
        end, run = self._end, self._run
        running = sum(self._batch_seconds) / (run.capacity.max_children * end)
        found = {
            "MaxConcurrency of the Map": running,
            "batches begun a second": self._dispatch.utilisation(end),
            "CalculatePortfolio at a time": self._calculate.utilisation(end),
            "CalculatePortfolio a second": self._calculate.request_utilisation(end),
            "other functions at a time": self._others.utilisation(end),
            "results table, write units": self._writes.utilisation(end),
            "entity table, read units": self._reads.utilisation(end),
            "benchmark's partition, read units": self._hot.utilisation(end),
            "WriteRecords calls": self._series.utilisation(end),
            "PlanBatches, of 15 minutes": plan / limits.FUNCTION_SECONDS.value,
            "SummariseRun, of 15 minutes": summarise / limits.FUNCTION_SECONDS.value,
        }
        if run.express:
            found["longest batch, of 5 minutes"] = max(self._batch_seconds) / limits.EXPRESS_SECONDS.value
        else:
            found["Standard transitions"] = self._transitions.utilisation(end)
            events = steps.batch_steps(run.design.batch_size).events
            found["history of a batch, of 25,000 events"] = events / limits.HISTORY_EVENTS.value
        return found

    def _sample(self, second: float) -> Sample:
        return Sample(
            second,
            self._done,
            self._running,
            self._calculate.busy,
            sum(self._throttled.values()),
            self._writes.rate,
        )

    def _begin_batches(self, now: float, _: object = None) -> None:
        """Begin a batch, if one may be begun, and see to the next."""
        self._dispatching = False
        if not self._left or self._running >= self._run.capacity.max_children:
            return
        wait = self._dispatch.take(now, 1.0, _FOREVER)
        assert wait is not None
        size = min(self._run.design.batch_size, self._left)
        self._left -= size
        self._running += 1
        self._events.at(now + wait, self._start_batch, size)
        if self._left and self._running < self._run.capacity.max_children:
            self._dispatching = True
            self._events.at(now + wait, self._begin_batches, None)

    def _start_batch(self, now: float, size: int) -> None:
        batch = _Batch(size, now, waiting=size, unfinished=size)
        self._call(now + self._enter(now, 1), _Call("ValidateInput", batch))

    def _enter(self, now: float, states: int) -> float:
        """Return how long it takes to enter so many states."""
        if self._run.express:
            return states * self._times.transition
        wait = self._transitions.take(now, states, _FOREVER)
        assert wait is not None
        return states * self._times.transition + wait

    def _call(self, now: float, call: _Call) -> None:
        self._events.at(now + self._times.invoke, self._arrive, call)

    def _arrive(self, now: float, call: _Call) -> None:
        """Let a call find an environment."""
        if self._over(now, call.batch):
            return
        cold = self._pool(call.task).begin(now)
        if cold is None:
            self._again(now, call)
            return
        wait, patience = self._wait(now, call, cold=cold)
        if wait is None:
            self._events.at(now + patience, self._refused, (call, patience))
            return
        seconds = self._duration(call.task, cold=cold) + wait
        self._events.at(now + seconds, self._returned, (call, seconds))

    def _pool(self, task: str) -> Pool:
        return self._calculate if task == "CalculatePortfolio" else self._others

    def _duration(self, task: str, *, cold: bool) -> float:
        spread = self._chance.lognormvariate(*self._spread) if self._spread else 1.0
        return self._cold[task] * spread + self._times.cold if cold else self._warm[task] * spread

    def _wait(self, now: float, call: _Call, *, cold: bool) -> tuple[float | None, float]:
        """Return how long the stores keep a call waiting, None where it gives up, and how long it is patient."""
        load, written = self._run.workload, call.batch.size - call.batch.failed
        match call.task:
            case "CalculatePortfolio":
                units = self._read_units[cold]
                if not units:
                    return 0.0, 0.0
                hot = self._hot.take(now, HOT_READ_UNITS, STORE_PATIENCE)
                read = self._reads.take(now, units, STORE_PATIENCE)
                return (None if hot is None or read is None else max(hot, read)), STORE_PATIENCE
            case "PersistDynamoDB":
                return self._writes.take(now, written * load.row.write_units, STORE_PATIENCE), STORE_PATIENCE
            case "PersistTimestream" if load.time_series:
                return self._series.take(now, load.series_calls(written), SERIES_PATIENCE), SERIES_PATIENCE
            case _:
                return 0.0, 0.0

    def _refused(self, now: float, ended: tuple[_Call, float]) -> None:
        """End a call that a store has throttled to the end."""
        call, seconds = ended
        self._pool(call.task).end(seconds)
        if not self._over(now, call.batch):
            self._again(now, call)

    def _again(self, now: float, call: _Call) -> None:
        """Try again after a wait, or give up."""
        self._throttled[call.task] += 1
        retrier = self._retriers[call.task]
        if call.attempt < retrier.attempts:
            call.attempt += 1
            self._call(now + self._chance.uniform(0.0, retrier.limit(call.attempt)), call)
            return
        batch = call.batch
        match call.task:
            case "CalculatePortfolio":
                batch.failed += 1
                self._iterated(now, batch)
            case "PersistTimestream":
                self._backfilled += batch.size - batch.failed
                self._finish(now, batch)
            case _:
                batch.failed = batch.size
                self._finish(now, batch)

    def _returned(self, now: float, ended: tuple[_Call, float]) -> None:
        call, seconds = ended
        self._pool(call.task).end(seconds)
        batch = call.batch
        if self._over(now, batch):
            return
        match call.task:
            case "ValidateInput":
                entered = now + self._enter(now, 1)
                for _ in range(min(self._run.design.at_a_time, batch.size)):
                    self._iterate(entered, batch)
            case "CalculatePortfolio":
                self._iterated(now, batch)
            case "PersistDynamoDB" if batch.failed < batch.size:  # CountCalculated, AnyCalculated, PersistTimestream
                self._call(now + self._enter(now, 3), _Call("PersistTimestream", batch))
            case _:
                self._finish(now, batch)

    def _iterate(self, now: float, batch: _Batch) -> None:
        batch.waiting -= 1
        self._call(now + self._enter(now, 1), _Call("CalculatePortfolio", batch))

    def _iterated(self, now: float, batch: _Batch) -> None:
        batch.unfinished -= 1
        if batch.waiting:
            self._iterate(now, batch)
        elif not batch.unfinished:
            self._call(now + self._enter(now, 1), _Call("PersistDynamoDB", batch))

    def _finish(self, now: float, batch: _Batch) -> None:
        self._events.at(now + self._enter(now, 3), self._end_batch, batch)  # the summary, the choice, the status

    def _over(self, now: float, batch: _Batch) -> bool:
        """Return whether a batch has ended, and end it where its time is up."""
        if not batch.ended and self._run.express and now - batch.started > limits.EXPRESS_SECONDS.value:
            batch.failed = batch.size
            self._end_batch(now, batch)
        return batch.ended

    def _end_batch(self, now: float, batch: _Batch) -> None:
        if batch.ended:
            return
        batch.ended = True
        self._done += batch.size - batch.failed
        self._failed += batch.failed
        self._batch_seconds.append(now - batch.started)
        self._running -= 1
        self._end = max(self._end, now)
        if not self._dispatching:
            self._begin_batches(now)
