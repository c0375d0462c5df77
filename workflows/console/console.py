"""What the pages show, and where they find it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from workflows.console.histories import Histories
from workflows.console.ports import FleetFiles, PortfolioPages, RequestStarter
from workflows.console.references import StateMachine
from workflows.console.service import StepFunctions

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

EXTENSION: Final = "perfcalc-console"
"""Under which name an application knows its console."""


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages show.

    Attributes
    ----------
    client
        A boto3 client of Step Functions: of AWS, or of a local world.
    machines
        The state machines to watch, by their names.
    title
        Whose world it is: a data directory, or a stack.
    starter
        Starts what a person writes; None where that cannot be.
    may_start
        Whether executions can be started at all; in a world that another process has open they cannot.
    keeps_children
        Whether the executions of a Map Run can be asked for: of engines on a laptop the run and its counts alone.
    fleet_files
        The files that fleet runs leave; None where they cannot be read.
    portfolios
        The pages of results; None where there are none.
    """

    client: "SFNClient"
    machines: Mapping[str, StateMachine]
    title: str
    starter: RequestStarter | None = None
    may_start: bool = True
    keeps_children: bool = True
    fleet_files: FleetFiles | None = None
    portfolios: PortfolioPages | None = None
    service: StepFunctions = field(init=False)
    histories: Histories = field(init=False)

    def __post_init__(self) -> None:
        service = StepFunctions(self.client)
        object.__setattr__(self, "service", service)
        object.__setattr__(self, "histories", Histories(service))
