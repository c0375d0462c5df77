"""`perfcalc serve`: its sweep goes on, whatever fails."""

import threading
from collections.abc import Sequence

import pytest

from workflows.cli.serve import sweep
from workflows.local.lambda_host import FunctionError


class Sweeps:
    """Sweeps that come to what a test says; after the last of them the server stops."""

    def __init__(self, outcomes: Sequence[BaseException | None]) -> None:
        self.left = list(outcomes)
        self.stop = threading.Event()

    def __call__(self) -> None:
        outcome = self.left.pop(0)
        if not self.left:
            self.stop.set()
        if outcome:
            raise outcome


def test_a_sweep_that_fails_is_told_once_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    throttled, broken = FunctionError("ThrottledError", "DynamoDB: slow down"), FunctionError("KeyError", "'x'")
    sweeps = Sweeps([throttled, None, throttled, broken, throttled, None])
    sweep(sweeps, sweeps.stop, 0)
    assert sweeps.left == []
    assert capsys.readouterr() == (
        "",
        "Recalculation failed, ThrottledError: DynamoDB: slow down\nRecalculation failed, KeyError: 'x'\n",
    )


def test_what_is_no_failure_of_the_function_ends_the_server() -> None:
    sweeps = Sweeps([KeyboardInterrupt(), None])
    with pytest.raises(KeyboardInterrupt):
        sweep(sweeps, sweeps.stop, 0)
    assert len(sweeps.left) == 1


def test_a_server_that_stops_sweeps_no_more() -> None:
    sweeps = Sweeps([None])
    sweeps.stop.set()
    sweep(sweeps, sweeps.stop, 60)
    assert len(sweeps.left) == 1
