"""A whole run on this machine: the state machine over 200 portfolios of the books, calculated and read again."""

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from common.models.results import EntityType
from common.stores.ports import ResultKey
from common.warm import forget
from tests.benchmarks import market
from tests.benchmarks.measure import Case, NotInstalledError
from workflows.executions import ExecutionStatus
from workflows.local.dynamodb import find_extenddb
from workflows.local.runtime import LocalRuntime

VALUED, TRADED = 160, 40
ROUNDS = 3  # a run takes ten seconds
RATE = 0.02

_TIMEOUT = 600.0


def cases() -> Iterator[Case]:
    """Yield a run that reads its results against one that calculates them, in warm functions and in cold ones."""
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
