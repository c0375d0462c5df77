"""`perfcalc watch`: a run followed to its end."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from common.errors import InvalidRequestError, clip
from workflows import presentation
from workflows.cli.app import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    ExitCode,
    app,
    err,
    open_to_read,
    out,
    plain,
    print_json,
    settings,
)
from workflows.cli.report import execution_json
from workflows.cli.usage import examples
from workflows.deployed import OwnerGoneError
from workflows.execution_history import Unhurried
from workflows.executions import Execution, ExecutionClient
from workflows.watching import Failure, Iterations, Step, StepStatus, Verdict, WatchedRun
from workflows.world import all_executions, find_execution

# Two calls each time, of which Step Functions allows some fifteen a second to all of an account.
POLL_SECONDS = 1.0
LOCAL_POLL_SECONDS = 0.2
# Where nobody sees a bar, a Map is told of each time another of so many parts is done.
TOLD_PARTS = 10
FAILURES_SHOWN = 5
MESSAGE_CHARACTERS = 300
_BAR = 30
_MARKS = {
    StepStatus.RUNNING: ("…", ""),
    StepStatus.SUCCEEDED: ("✓", "green"),
    StepStatus.CAUGHT: ("!", "yellow"),
    StepStatus.FAILED: ("✗", "red"),
}

_ENDED = {"ABORTED": "stopped in {}", "TIMED_OUT": "timed out in {}"}

Show = Callable[[Execution, WatchedRun], None]


@app.command(
    epilog=examples(
        "perfcalc watch",
        "perfcalc watch market-2022-12-28-0123456789ab",
        "perfcalc --stack investment-performance-prod watch --json",
        then="Exit code, as for run: 0 all calculated, 3 some, 1 none or the run failed, 2 its request is wrong.",
    )
)
def watch(
    execution: Annotated[
        str | None, typer.Argument(metavar="EXECUTION", help="Name of an execution.", show_default="the newest")
    ] = None,
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Follow a run to its end, and say whether it worked and which step failed.

    Ctrl-C ends the watching alone. On this machine a run can be watched that another perfcalc has started.
    """
    watched = WatchedRun()
    with _display(as_json=as_json) as show:
        ended = _followed(execution, watched, show, data_dir)
    if ended is None:
        err.print("No executions yet: start one with `perfcalc run examples/single.json`.")
        raise typer.Exit(ExitCode.FAILED)
    verdict = Verdict.of(ended, watched)
    if as_json:
        print_json(document(ended, watched, verdict))
    else:
        for fault in ended.request_faults:
            out.print(str(fault), style="red", soft_wrap=True)
        out.print(sentence(verdict, presentation.took(ended)), soft_wrap=True)
    if ended.request_faults:
        raise typer.Exit(ExitCode.INVALID_REQUEST)
    raise typer.Exit(ExitCode.__members__.get(verdict.status, ExitCode.FAILED))


def _followed(name: str | None, watched: WatchedRun, show: Show, data_dir: Path) -> Execution | None:
    """Return the execution once it has ended, None where there is none."""
    while True:
        try:
            with open_to_read(data_dir) as world:
                if name is None:
                    newest = next(all_executions(world, limit=1), None)
                    if newest is None:
                        return None
                    name = newest.name
                executions, _ = find_execution(world, name)
                return follow(executions, name, watched, show, seconds=_poll_seconds())
        except OwnerGoneError:
            # The process that ran it has ended: what it left is there to be read, or somebody else has it open.
            time.sleep(LOCAL_POLL_SECONDS)


def _poll_seconds() -> float:
    return POLL_SECONDS if settings().stack else LOCAL_POLL_SECONDS


def follow(executions: ExecutionClient, name: str, watched: WatchedRun, show: Show, *, seconds: float) -> Execution:
    """Follow an execution to its end.

    Parameters
    ----------
    executions
        Those of its state machine.
    name
        Name or ARN.
    watched
        Takes its events.
    show
        Called whenever something may have changed.
    seconds
        Between two looks.

    Raises
    ------
    ExecutionNotFoundError
        There is none of this name.
    """
    history, unhurried = executions.growing_history(name), Unhurried()
    while True:
        # Asked before its events are read: those of one that has ended are all there.
        execution = executions.describe(name)
        with unhurried.turn(at_once=execution.finished) as due:
            if due:
                watched.take(history.read())
                _take_map_runs(executions, watched)
        show(execution, watched)
        if execution.finished:
            return execution
        time.sleep(seconds)


def _take_map_runs(executions: ExecutionClient, watched: WatchedRun) -> None:
    """Count what the history of a Distributed Map's execution does not tell."""
    for step in watched.steps:
        if step.iterations and step.iterations.run_arn and not step.iterations.over:
            watched.take_map_run(executions.map_run(step.iterations.run_arn), datetime.now(UTC))


class _Display:
    """Shows a run: nothing where JSON is wanted, a table that moves on a terminal, lines elsewhere."""

    def __init__(self, *, as_json: bool) -> None:
        self._live = None if as_json or not out.is_terminal else Live(console=out, auto_refresh=False, transient=False)
        self._lines = None if as_json or out.is_terminal else Lines()

    def __enter__(self) -> Show:
        if self._live:
            self._live.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def _show(self, execution: Execution, watched: WatchedRun) -> None:
        if self._live:
            self._live.update(picture(execution, watched), refresh=True)
        elif self._lines:
            for line in self._lines.new(execution, watched):
                out.print(line, soft_wrap=True)


def _display(*, as_json: bool) -> _Display:
    return _Display(as_json=as_json)


class Lines:
    """A run as lines, each told once."""

    def __init__(self) -> None:
        self._named = False
        self._told: dict[int, StepStatus] = {}
        self._failures = 0
        self._parts: dict[int, int] = {}

    def new(self, execution: Execution, watched: WatchedRun) -> Iterator[str]:
        """Yield what is new since the last time."""
        if not self._named:
            self._named = True
            yield f"{execution.name} {execution.status}, started {execution.started_at:%Y-%m-%d %H:%M:%S} UTC"
        for number, step in enumerate(watched.steps):
            if number not in self._told and step.status is StepStatus.RUNNING:
                self._told[number] = step.status
                yield f"{step.name} entered"
            if step.iterations and self._further(number, step.iterations) and step.status is StepStatus.RUNNING:
                yield f"{step.name} {progress(step.iterations)}"
            if self._told.get(number) is not step.status:
                self._told[number] = step.status
                yield f"{step.name} {step.status.lower()}{_after(step)}"
        for failure in watched.failures[self._failures :]:
            yield f"! {told(failure)}"
        self._failures = len(watched.failures)

    def _further(self, number: int, iterations: Iterations) -> bool:
        parts = TOLD_PARTS * iterations.done // iterations.total if iterations.total else 0
        if parts <= self._parts.get(number, 0):
            return False
        self._parts[number] = parts
        return True


def picture(execution: Execution, watched: WatchedRun) -> RenderableType:
    """Return a run as a table of its steps, the last failures below."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column()
    for step in watched.steps:
        mark, style = _MARKS[step.status]
        bar = (
            ProgressBar(step.iterations.total, step.iterations.done, width=_BAR)
            if step.iterations and step.iterations.total
            else Text()
        )
        words = progress(step.iterations) if step.iterations else ""
        table.add_row(Text(f"{mark} {step.name}", style=style), Text(_after(step).removeprefix(", ")), bar, Text(words))
    title = Text.assemble(f"{execution.name}  ", presentation.status_text(execution.status))
    shown = watched.failures[-FAILURES_SHOWN:]
    hidden = len(watched.failures) - len(shown)
    return Group(
        title,
        table,
        *([Text(f"and {hidden} failures before these", style="dim")] if hidden else []),
        *(Text(f"! {told(each)}", style="red") for each in shown),
    )


def progress(iterations: Iterations) -> str:
    """Return how far a Map is, how fast, and how long it will take."""
    words = [f"{iterations.done:,} of {iterations.total:,}"]
    if failed := iterations.failed + iterations.caught:
        words.append(f"{failed:,} failed")
    if iterations.rate:
        words.append(f"{iterations.rate:,.1f} a second")
    if iterations.seconds_left:
        words.append(f"about {_duration(iterations.seconds_left)} left")
    return ", ".join(words)


def told(failure: Failure) -> str:
    """Return a failure as one line."""
    return one_line(str(failure))


def sentence(verdict: Verdict, took: str) -> Text:
    """Return the answer to "did it work, and which step failed?" as one line."""
    parts = []
    if verdict.step:
        # Other clauses may follow it. Of a wrong request the first line counts the faults.
        message = verdict.message or ""
        told = message.partition("\n")[0] if verdict.error == InvalidRequestError.__name__ else message
        reason = ": ".join(filter(None, [verdict.error, one_line(told).removesuffix(".")]))
        ended = _ENDED.get(verdict.status, "{} failed").format(verdict.step)
        parts.append(f"{ended}, {reason}" if reason else ended)
    if verdict.calculated is not None:
        counted = f"{verdict.calculated:,} calculated, {verdict.failed or 0:,} failed"
        by_error = ", ".join(f"{count:,} {error}" for error, count in verdict.failed_by_error.items())
        parts.append(f"{counted} ({by_error})" if by_error else counted)
    if verdict.batches is not None:
        parts.append(f"{verdict.batches_succeeded or 0:,} of {verdict.batches:,} batches succeeded")
    words = "; ".join(parts)
    style = presentation.STATUS_STYLE.get(verdict.status, "red")
    return Text.assemble(
        (verdict.status, style), f" {verdict.name}: ", f"{words}, in {took}" if parts else f"in {took}"
    )


def document(execution: Execution, watched: WatchedRun, verdict: Verdict) -> dict[str, Any]:
    """Return a run that has ended as `--json` prints it."""
    return {
        "execution": execution_json(execution),
        **{name: value for name, value in plain(verdict).items() if name != "name"},
        "steps": [
            {
                "name": step.name,
                "status": step.status.value,
                "started_at": plain(step.started_at),
                "ended_at": plain(step.ended_at),
                "retries": step.retries,
                **({"iterations": _counts(step.iterations)} if step.iterations else {}),
            }
            for step in watched.steps
        ],
        "failures": [plain(each) for each in watched.failures],
    }


def one_line(text: str) -> str:
    """Return a text without its line breaks, cut where it is long."""
    return clip(" ".join(text.split()), MESSAGE_CHARACTERS)


def _counts(iterations: Iterations) -> dict[str, int]:
    return {name: getattr(iterations, name) for name in ("total", "succeeded", "failed", "caught")}


def _after(step: Step) -> str:
    words = []
    if step.ended_at:
        words.append(f", {(step.ended_at - step.started_at).total_seconds():.1f} s")
    if step.retries:
        words.append(f", tried again {step.retries:,} times" if step.retries > 1 else ", tried again once")
    return "".join(words)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{max(rest, 1)} s"
