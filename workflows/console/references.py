"""What the console's addresses name: executions and Map Runs, and the ARNs that stand behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

_COLONS_OF_AN_ARN: Final = 5


@dataclass(frozen=True, slots=True)
class StateMachine:
    """A state machine that is watched.

    Attributes
    ----------
    arn : str
        Without the name of an alias or the number of a version: executions are the state machine's.
    start_arn : str
        What executions are started by; an alias, where one was given.
    name : str
    """

    arn: str
    start_arn: str
    name: str

    @classmethod
    def of(cls, arn: str) -> Self:
        """Return the state machine of an ARN, qualified or not."""
        parts = arn.split(":")
        return cls(":".join(parts[:7]), arn, parts[6])


@dataclass(frozen=True, slots=True)
class ExecutionReference:
    """An execution as an address names it.

    Attributes
    ----------
    machine : str
        Name of its state machine.
    name : str
    label : str or None
        Of the distributed Map that started it; None for one that was started by itself.
    """

    machine: str
    name: str
    label: str | None = None

    @classmethod
    def of(cls, arn: str) -> Self:
        """Return the reference of an execution's ARN."""
        machine, name = arn.split(":", 6)[6].split(":", 1)
        machine, _, label = machine.partition("/")
        return cls(machine, name, label or None)

    def arn(self, machine: StateMachine) -> str:
        """Return its ARN."""
        label = f"/{self.label}" if self.label else ""
        return f"{machine.arn.replace(':stateMachine:', ':execution:')}{label}:{self.name}"


@dataclass(frozen=True, slots=True)
class MapRunReference:
    """A Map Run, which is one run of a distributed Map, as an address names it."""

    machine: str
    label: str
    run: str

    @classmethod
    def of(cls, arn: str) -> Self:
        """Return the reference of a Map Run's ARN."""
        machine, run = arn.split(":", 6)[6].split(":", 1)
        machine, _, label = machine.partition("/")
        return cls(machine, label, run)

    def arn(self, machine: StateMachine) -> str:
        """Return its ARN."""
        return f"{machine.arn.replace(':stateMachine:', ':mapRun:')}/{self.label}:{self.run}"


def state_machines(arns: Sequence[str]) -> Mapping[str, StateMachine]:
    """Return the state machines of some ARNs by their names.

    Raises
    ------
    ValueError
        One is no ARN of a state machine.
    """
    for arn in arns:
        if arn.count(":") <= _COLONS_OF_AN_ARN or arn.split(":")[5] != "stateMachine":
            raise ValueError(f"{arn!r} is not the ARN of a state machine")
    return {machine.name: machine for machine in map(StateMachine.of, arns)}
