"""State machine definitions: load the file, put one into another, fill the `${Placeholders}`.

It stands on nothing but the standard library, so that a synthesis needs neither moto nor numpy.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from common.errors import PermanentError
from common.json_types import JsonObject
from workflows.registry import STATE_MACHINES

DEFINITIONS: Final = Path(__file__).resolve().parent.parent / "statemachines"

PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
# In a file of ours: the states of the definition of this name stand here.
_STATES_OF: Final = "StatesOf"


class DefinitionError(PermanentError):
    """A state machine definition that is not there, or cannot be filled in."""


def load(name: str) -> str:
    """Return the text of the definition called `name`, whole, its placeholders unfilled."""
    try:
        text = (DEFINITIONS / STATE_MACHINES[name]).read_text("utf-8")
    except KeyError:
        raise DefinitionError(f"no state machine is called {name!r}; known: {', '.join(STATE_MACHINES)}") from None
    return json.dumps(_composed(json.loads(text)), indent=2) if f'"{_STATES_OF}"' in text else text


def _composed(definition: JsonObject) -> JsonObject:
    """Put the states of another definition where an ItemProcessor asks for them: the language has no include."""
    for state in definition["States"].values():
        processor = state.get("ItemProcessor", {})
        if (name := processor.pop(_STATES_OF, None)) is not None:
            whole = json.loads(load(name))
            processor |= {"StartAt": whole["StartAt"], "States": _as_batch(whole["States"])}
    return definition


def _as_batch(states: JsonObject) -> JsonObject:
    """Return the states of a machine as those of one batch of many.

    A machine that ends in a Fail state has told of everything in the state before it, and Fail has no output. In a
    batch that output counts, so the state before it is the last.
    """
    failing = {name for name, state in states.items() if state["Type"] == "Fail"}
    kept = {name: state for name, state in states.items() if name not in failing}
    return {
        name: {**{key: value for key, value in state.items() if key != "Next"}, "End": True}
        if state.get("Next") in failing
        else state
        for name, state in kept.items()
    }


def placeholders(name: str) -> frozenset[str]:
    """Return the names in `${...}` of the definition called `name`."""
    return frozenset(PLACEHOLDER.findall(load(name)))


def render(name: str, substitutions: Mapping[str, str]) -> str:
    """Return the definition called `name` with every placeholder filled.

    Raises
    ------
    DefinitionError
        A placeholder has no value, or a value no placeholder; all of them are told.
    """
    return fill(load(name), substitutions, name)


def fill(text: str, substitutions: Mapping[str, str], name: str = "the definition") -> str:
    """Fill the placeholders of a definition's `text`; see `render`."""
    wanted = set(PLACEHOLDER.findall(text))
    wrong = [f"${{{key}}} has no value" for key in sorted(wanted - substitutions.keys())]
    wrong += [f"${{{key}}} does not occur" for key in sorted(substitutions.keys() - wanted)]
    if wrong:
        raise DefinitionError(f"{name}: " + ", ".join(wrong))
    # A placeholder sits inside a JSON string, so its value is escaped as the inside of one.
    return PLACEHOLDER.sub(lambda match: json.dumps(substitutions[match[1]])[1:-1], text)
