"""A fleet run on this machine: ten times as many portfolios against a tenth of them, in time and in memory."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from common.models.limits import DEFAULT_BATCH_SIZE
from workflows.local.runtime import LocalRuntime

FEWER, MORE = 2_000, 20_000
DAYS = 252

_MEBIBYTE = 1024 if sys.platform != "darwin" else 1024 * 1024  # of ru_maxrss


def cases() -> Iterator[Table]:
    """Yield the table of both runs, each in a process of its own, the smaller one before and after the larger."""
    runs = [_in_a_process(count) for count in (FEWER, MORE, FEWER)]
    (fewer, more), again = runs[:2], runs[2]
    seconds = (fewer["seconds"] + again["seconds"]) / 2
    title = f"Local fleet runs, in batches of {DEFAULT_BATCH_SIZE}"
    table = Table("Portfolios", "Takes", "a portfolio", "Peak memory", title=title)
    for run in runs:
        each = f"{run['seconds'] / run['portfolios'] * 1000:.1f} ms"
        table.add_row(f"{run['portfolios']:,}", f"{run['seconds']:,.0f} s", each, f"{run['mebibytes']:,.0f} MiB")
    memory = max(fewer["mebibytes"], again["mebibytes"])
    table.add_row("ratio", f"{more['seconds'] / seconds:.2f}", "", f"{more['mebibytes'] / memory:.2f}")
    yield table


def _in_a_process(count: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.fleet", str(count)], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _run(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        manifest = Path(directory, "manifest.jsonl")
        _write(manifest, count)
        with LocalRuntime(Path(directory, "data")) as runtime:
            began = time.perf_counter()
            started = runtime.fleet.start_or_attach({"manifest": {"source": str(manifest)}})
            summary = runtime.fleet.wait(started.name).output
            seconds = time.perf_counter() - began
        assert (summary["status"], summary["calculated"]) == ("SUCCEEDED", count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MEBIBYTE
    return {"portfolios": count, "seconds": seconds, "mebibytes": peak}


def _write(manifest: Path, count: int) -> None:
    rng = np.random.default_rng(1)
    dates = np.busday_offset("2023-01-03", np.arange(DAYS), roll="forward").astype(str).tolist()
    with manifest.open("w") as file:
        for number in range(count):
            values = (1e6 * np.cumprod(1 + rng.normal(0.0004, 0.01, DAYS))).round(2).tolist()
            valuations = {"dates": dates, "values": values}
            file.write(json.dumps({"portfolio_id": f"p{number:06}", "valuations": valuations}) + "\n")


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]))))
