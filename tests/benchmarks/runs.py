"""A whole run on this machine: the state machine over the books, and what the engine adds to the handlers' own time."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from common.models.kinds import EntityType
from common.stores.ports import ResultKey
from common.warm import forget
from tests.benchmarks import market
from tests.benchmarks.handlers import portfolio
from tests.benchmarks.measure import Case, NotInstalledError, measure
from workflows.executions import ExecutionStatus
from workflows.local.dynamodb import find_extenddb
from workflows.local.lambda_host import LambdaContext
from workflows.local.runtime import LocalRuntime
from workflows.registry import FUNCTIONS

VALUED, TRADED = 160, 40
ROUNDS = 3  # a run takes ten seconds
RATE = 0.02
INLINE, EXECUTIONS = 500, 2  # a request may have no more than 500

_TIMEOUT = 600.0


def cases() -> Iterator[Case | Table]:
    """Yield a run that reads its results against one that calculates them, and the engine's share of a run."""
    yield from _cached()
    yield _overhead()


def _cached() -> Iterator[Case]:
    if find_extenddb() is None:
        raise NotInstalledError("ExtendDB is not installed: npm ci")
    with tempfile.TemporaryDirectory() as directory, LocalRuntime(Path(directory)) as runtime:
        runs = _Runs(runtime)
        first, calculated = runs.run(RATE, cached=0), runs.stored()
        assert runs.run(RATE, cached=len(runs.ids))["calculated"] == first["calculated"] == len(runs.ids)
        assert runs.stored() == calculated
        portfolios = f"{VALUED} valued and {TRADED} traded portfolios"
        yield Case(f"run over {portfolios}, read from memory", runs.read, "all calculated", runs.calculate, ROUNDS)
        yield Case(
            "the same in functions just started, read from the shared cache",
            _cold(runs.read),
            "all calculated",
            _cold(runs.calculate),
            ROUNDS,
        )


def _overhead() -> Table:
    """Return what a run takes besides its handlers: its processor time without that of the same calls, made directly.

    Processor time, and of this process alone: the engine is in it, and the handlers are; ExtendDB is not.
    """
    calls: list[tuple[str, Any]] = []

    def record(function: str, event: Any, attempt: int) -> None:
        calls.append((function, event))

    with tempfile.TemporaryDirectory() as directory, LocalRuntime(Path(directory), faults=record) as runtime:
        given = portfolio()
        lines = (json.dumps({**given, "portfolio_id": f"inline-{number}"}) for number in range(INLINE))
        runtime.payload_store.put("inline.jsonl", "\n".join(lines).encode())
        source = f"s3://{runtime.payload_bucket}/inline.jsonl"
        numbers = count(1)

        def run() -> None:
            calls.clear()
            for _ in range(EXECUTIONS):
                request = {"request_id": f"inline-{next(numbers)}", "portfolios": {"source": source}}
                executions = runtime.executions
                execution = executions.wait(executions.start_or_attach(request).name, timeout=_TIMEOUT)
                assert execution.output["calculated"] == INLINE

        def call() -> None:
            for function, event in calls:
                registered = FUNCTIONS[function]
                module, _, name = registered.handler.rpartition(".")
                context = LambdaContext(function, registered.memory_mb, registered.timeout_seconds)
                getattr(import_module(module), name)(event, context)

        portfolios = INLINE * EXECUTIONS
        found = measure(Case("", run, "", call, ROUNDS, time.process_time))
    each = [1e3 * (ours - theirs) / portfolios for ours, theirs in zip(found.ours, found.theirs, strict=True)]
    table = Table(
        "Run", "With the engine", "The handlers alone", "Engine", "Range", title="Processor time of a portfolio"
    )
    table.add_row(
        f"{portfolios:,} portfolios of {market.DAYS:,} days, in {EXECUTIONS} executions",
        *(f"{1e3 * median(side) / portfolios:.1f} ms" for side in (found.ours, found.theirs)),
        f"{median(each):.1f} ms",
        f"{min(each):.1f} to {max(each):.1f}",
    )
    return table


class _Runs:
    """Runs of one request over the same books."""

    def __init__(self, runtime: LocalRuntime) -> None:
        self._runtime = runtime
        self._numbers = count(1)
        self.ids = [f"valued-{number}" for number in range(VALUED)] + [f"traded-{number}" for number in range(TRADED)]
        market.keep_market(runtime.books)
        for number in range(VALUED):
            market.keep_valued(runtime.books, f"valued-{number}", number)
        for number in range(TRADED):
            market.keep_traded(runtime.books, f"traded-{number}", number)

    def run(self, risk_free_rate: float, *, cached: int) -> dict[str, Any]:
        """Run the request, and make sure that as many results as expected came from the cache."""
        request = {
            "request_id": f"run-{next(self._numbers)}",
            "as_of_date": market.market().days[-1].isoformat(),
            "entity_ids": self.ids,
            "risk_free_rate": risk_free_rate,
        }
        executions = self._runtime.executions
        execution = executions.wait(executions.start_or_attach(request).name, timeout=_TIMEOUT)
        assert execution.status is ExecutionStatus.SUCCEEDED
        output: dict[str, Any] = execution.output
        assert (output["cached"], output["failed"]) == (cached, 0)
        return output

    def read(self) -> object:
        """Run what was run before."""
        return self.run(RATE, cached=len(self.ids))

    def calculate(self) -> object:
        """Run what was not: at another rate each time, the work the same."""
        return self.run(RATE + 1e-9 * next(self._numbers), cached=0)

    def stored(self) -> list[dict[str, Any]]:
        """Return the periods of all results, without the run they are from."""
        day = market.market().days[-1]
        rows = self._runtime.result_store.read_many([ResultKey(EntityType.PORTFOLIO, each, day) for each in self.ids])
        of_the_run = {"request_id", "version"}
        return [
            {
                label: {name: value for name, value in period.items() if name not in of_the_run}
                for label, period in row["periods"].items()
            }
            for _, row in sorted(rows.items())
        ]


def _cold(work: Callable[[], object]) -> Callable[[], object]:
    """Return `work` in functions that have forgotten everything, their clients included."""

    def begin_anew() -> object:
        forget()
        return work()

    return begin_anew
