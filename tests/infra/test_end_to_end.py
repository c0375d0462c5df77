"""The end-to-end flow without its deployment: a stage of the synthesised templates in moto, and a run beside it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.flow import Answer, EndToEndError, end_to_end
from tests.infra.commands import commands
from tests.infra.deployed import Deployed, deployed
from tests.infra.templates import Synthesis

ELSEWHERE = ("--stack", "investment-performance-dev")
ROOT = Path(__file__).parents[2]
SECONDS = 120


class Steps:
    """The flow's steps: the stage is there already, and the machine's own run is a process of its own."""

    def __init__(self, there: Callable[..., Answer]) -> None:
        self._there = there
        self.taken: list[str] = []
        self.falsified: dict[str, str] = {}
        """What is put in the place of what, in the answers of the stage."""

    def deploy(self) -> None:
        self.taken.append("deploy")

    def destroy(self) -> None:
        self.taken.append("destroy")

    def perfcalc(self, *arguments: str) -> Answer:
        self.taken.append(next(each for each in arguments if each in {"run", "watch", "results", "history"}))
        if arguments[:2] == ELSEWHERE:
            answer = self._there(*arguments)
            for right, wrong in self.falsified.items():
                answer = answer._replace(out=answer.out.replace(right, wrong))
            return answer
        command = [sys.executable, "-m", "workflows.cli.main", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, cwd=ROOT)
        return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def stage(synthesise: Callable[[str], Synthesis], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(synthesise("dev"), tmp_path_factory.mktemp("end-to-end")) as made:
        yield made


@pytest.fixture
def steps(signal_handlers: None, stage: Deployed) -> Iterator[Steps]:
    with commands(stage) as called:
        yield Steps(called)


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """Return a request of three portfolios, one of them in a file and one that cannot be calculated."""
    values = [1000 * 1.01**day * (1 + 0.01 * (day % 3)) for day in range(40)]
    days = [f"2023-0{4 + day // 28}-{day % 28 + 1:02}" for day in range(40)]
    (tmp_path / "filed.csv").write_text(
        "date,value\n" + "".join(f"{day},{value}\n" for day, value in zip(days, values, strict=True))
    )
    (tmp_path / "broken.csv").write_text("date,value\n2023-06-30,n/a\n")
    request = {
        "request_id": "end-to-end",
        "time_periods": ["MTD", "ITD"],
        "risk_free_rate": 0.02,
        "portfolios": [
            {"portfolio_id": "inline", "valuations": {"dates": days, "values": values[::-1]}},
            {"portfolio_id": "filed", "valuations": {"source": "filed.csv"}},
            {"portfolio_id": "broken", "valuations": {"source": "broken.csv"}},
        ],
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    return path


def test_a_run_there_and_one_here_store_the_same_figures(steps: Steps, request_file: Path, tmp_path: Path) -> None:
    told: list[str] = []
    found = end_to_end(steps, elsewhere=ELSEWHERE, request=request_file, data_dir=tmp_path / "data", tell=told.append)
    assert found == []
    assert steps.taken == ["deploy", "run", "watch", "results", "history", "run", "destroy"]
    figures = int(told[-1].partition(" ")[0])
    assert figures > 40
    assert told[-1] == f"{figures} figures of 2 results compared, 0 differ"


@pytest.mark.slow
def test_a_figure_that_differs_is_told(steps: Steps, request_file: Path, tmp_path: Path) -> None:
    steps.falsified = {'"twr": 0.': '"twr": 1.'}
    found = end_to_end(
        steps, elsewhere=ELSEWHERE, request=request_file, data_dir=tmp_path / "data", keep=True, tell=list[str]().append
    )
    assert [line.partition(": ")[0].rpartition(".")[2] for line in found]
    assert all(".twr: " in line for line in found)
    assert "destroy" not in steps.taken


@pytest.mark.slow
def test_a_stage_is_destroyed_when_a_step_fails(steps: Steps, tmp_path: Path) -> None:
    with pytest.raises(EndToEndError, match=r"nothing\.json: No such file"):
        end_to_end(
            steps,
            elsewhere=ELSEWHERE,
            request=tmp_path / "nothing.json",
            data_dir=tmp_path / "data",
            tell=list[str]().append,
        )
    assert steps.taken == ["deploy", "run", "destroy"]
