"""Deploy, run, compare, destroy: the steps, whoever takes them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tests.e2e.comparing import differences, metrics


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Steps(Protocol):
    """What the flow is made of."""

    def deploy(self) -> None:
        """Bring the stage up; raises where that fails."""

    def destroy(self) -> None:
        """Remove the stage; raises where that fails."""

    def perfcalc(self, *arguments: str) -> Answer:
        """Run `perfcalc`."""


class EndToEndError(Exception):
    """A step did not do what it has to."""


def end_to_end(
    steps: Steps,
    *,
    elsewhere: Sequence[str],
    request: Path,
    data_dir: Path,
    keep: bool = False,
    tell: Callable[[str], None] = print,
) -> list[str]:
    """Return what differs between a run on AWS and one on this machine; empty where nothing does.

    Parameters
    ----------
    elsewhere
        Options of `perfcalc` that choose the deployed stage.
    request
        What is calculated, twice.
    data_dir
        Of the run on this machine.
    keep
        Whether the stage stays.
    tell
        Is told of each step.

    Raises
    ------
    EndToEndError
        A command failed. The stage is destroyed all the same, unless it is to be kept.
    """
    try:
        tell("deploying")
        steps.deploy()
        tell(f"running {request} there")
        there = _document(steps.perfcalc(*elsewhere, "run", str(request), "--json"))
        name = there["execution"]["name"]
        watched = _document(steps.perfcalc(*elsewhere, "watch", name, "--json"))
        if watched["status"] != there["status"]:
            raise EndToEndError(f"watch says {watched['status']} of a run that says {there['status']}")
        _each_row_is_read(steps, elsewhere, there)
        tell("running it here")
        here = _document(steps.perfcalc("run", str(request), "--json", "--data-dir", str(data_dir)))
    finally:
        if not keep:
            tell("destroying")
            steps.destroy()
    found = differences(here, there)
    tell(f"{metrics(here):,} figures of {len(here['results'])} results compared, {len(found)} differ")
    return found


def _each_row_is_read(steps: Steps, elsewhere: Sequence[str], there: dict[str, Any]) -> None:
    """Read one row by `perfcalc results`, and find its execution in `perfcalc history`."""
    row = there["results"][0]
    day = row["calculation_date"]
    found = _document(steps.perfcalc(*elsewhere, "results", row["entity_id"], "--from", day, "--to", day, "--json"))
    if [each["calculation_date"] for each in found] != [day]:
        raise EndToEndError(f"results of {row['entity_id']} on {day} are not there to be read")
    name = there["execution"]["name"]
    if name not in [each["name"] for each in _document(steps.perfcalc(*elsewhere, "history", "--json"))]:
        raise EndToEndError(f"{name} is not in the history")


def _document(answer: Answer) -> Any:
    if answer.code not in {0, 3}:
        raise EndToEndError(answer.err or answer.out)
    return json.loads(answer.out)
