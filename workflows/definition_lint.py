"""What is wrong with a state machine definition: every fault, each with its JSON path.

The service and the local engine both run the JSONPath part of the Amazon States Language, which `states_language` has
in tables. The linter stands on nothing but the standard library, so that a commit hook needs neither moto nor numpy.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from typing import Any

from common.errors import Fault
from common.json_types import JsonObject
from workflows.definitions import PLACEHOLDER
from workflows.states_language import (
    ALL_ERRORS,
    ANY_STATE_FIELDS,
    BRANCH_FIELDS,
    CATCHER_FIELDS,
    DISTRIBUTED_FIELDS,
    EXCLUSIVE_FIELDS,
    EXECUTION_TYPES,
    MACHINE_FIELDS,
    MAX_DEFINITION_BYTES,
    MAX_LABEL_CHARACTERS,
    MAX_STATE_NAME_CHARACTERS,
    OPERATORS,
    PATH_FIELDS,
    PROCESSOR_FIELDS,
    REQUIRED_FIELDS,
    REQUIRED_PARAMETERS,
    RESOURCE,
    RETRIER_FIELDS,
    STATE_FIELDS,
    TEMPLATE_FIELDS,
)


def lint(text: str, known_placeholders: Collection[str]) -> list[Fault]:
    """Return everything wrong with a definition, each with its JSON path; an empty list when nothing is.

    Parameters
    ----------
    text
        The definition, its placeholders unfilled.
    known_placeholders
        The names a deployment fills. One that the definition uses beyond them is a fault, and so is one it leaves out.
    """
    if (size := len(text.encode())) > MAX_DEFINITION_BYTES:
        return [Fault("$", f"{size} bytes; Step Functions takes {MAX_DEFINITION_BYTES}")]
    try:
        definition = json.loads(text, object_pairs_hook=_without_duplicates)
    except ValueError as error:
        return [Fault("$", f"not JSON: {error}")]
    if not isinstance(definition, dict):
        return [Fault("$", "not a JSON object")]
    return [
        *_unknown_fields(definition, MACHINE_FIELDS, "$", "a state machine"),
        *_states(definition, "$"),
        *_repeated_names(definition),
        *_placeholder_faults(definition, known_placeholders),
    ]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"repeated key {', '.join(map(repr, repeated))}")
    return dict(pairs)


def _states(machine: JsonObject, path: str) -> Iterator[Fault]:
    """Check one scope of states: the machine itself, a Map's ItemProcessor or a branch."""
    states = machine.get("States")
    if not isinstance(states, dict) or not states:
        yield Fault(f"{path}.States", "missing: an object of one state or more")
        return
    start = machine.get("StartAt")
    if start not in states:
        yield Fault(f"{path}.StartAt", f"{start!r} is not a state here" + _meant(start, states))
    followers: dict[str, list[str]] = {}
    ends = False
    for name, state in states.items():
        here = f"{path}.States.{name}"
        if not isinstance(state, dict):
            yield Fault(here, "not a JSON object")
            continue
        if len(name) > MAX_STATE_NAME_CHARACTERS:
            yield Fault(here, f"a name of {len(name)} characters; at most {MAX_STATE_NAME_CHARACTERS}")
        yield from _state(state, here)
        targets = list(_targets(state, here))
        for where, target in targets:
            if target not in states:
                yield Fault(where, f"{target!r} is not a state here" + _meant(target, states))
        followers[name] = [target for _, target in targets]
        ends = ends or state.get("Type") in {"Succeed", "Fail"} or state.get("End") is True
    if not ends:
        yield Fault(f"{path}.States", "no state ends the execution")
    if isinstance(start, str) and start in states:
        for name in states.keys() - _reachable(start, followers):
            yield Fault(f"{path}.States.{name}", "cannot be reached")


def _state(state: JsonObject, path: str) -> Iterator[Fault]:
    kind = state.get("Type")
    if not isinstance(kind, str) or kind not in STATE_FIELDS:
        yield Fault(f"{path}.Type", f"{kind!r} is not a type of state" + _meant(kind, STATE_FIELDS))
        return
    yield from _unknown_fields(state, ANY_STATE_FIELDS | STATE_FIELDS[kind], path, f"a {kind} state")
    yield from (Fault(path, f"{field} is missing") for field in REQUIRED_FIELDS.get(kind, ()) if field not in state)
    for group in EXCLUSIVE_FIELDS.get(kind, ()):
        if len(given := [field for field in group if field in state]) > 1:
            yield Fault(path, f"{' and '.join(given)} exclude each other")
    if kind not in {"Choice", "Succeed", "Fail"} and ("Next" in state) == (state.get("End") is True):
        yield Fault(path, 'exactly one of Next and "End": true is needed')
    if state.get("QueryLanguage", "JSONPath") != "JSONPath":
        yield Fault(f"{path}.QueryLanguage", "only JSONPath is run locally")
    yield from _paths(state, path)
    for field in TEMPLATE_FIELDS & state.keys():
        yield from _template(state[field], f"{path}.{field}")
    yield from _retriers(state.get("Retry", []), f"{path}.Retry")
    yield from _catchers(state.get("Catch", []), f"{path}.Catch")
    match kind:
        case "Task":
            yield from _task(state, path)
        case "Map":
            yield from _map(state, path)
        case "Parallel":
            yield from _parallel(state, path)
        case "Choice":
            yield from _choice(state, path)
        case "Wait" if not state.keys() & set(EXCLUSIVE_FIELDS["Wait"][0]):
            yield Fault(path, "one of Seconds, SecondsPath, Timestamp and TimestampPath is needed")


def _task(state: JsonObject, path: str) -> Iterator[Fault]:
    if "TimeoutSeconds" not in state and "TimeoutSecondsPath" not in state:
        yield Fault(path, "TimeoutSeconds is missing: the service would wait for a lost task for three years")
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
        yield Fault(f"{path}.HeartbeatSeconds", "not shorter than TimeoutSeconds")
    for field in ("TimeoutSeconds", "HeartbeatSeconds"):
        if field in state:
            yield from _whole(state[field], 1, f"{path}.{field}")
    resource = state.get("Resource")
    if resource is None:
        return
    if not isinstance(resource, str) or not RESOURCE.fullmatch(resource):
        yield Fault(f"{path}.Resource", f"{resource!r} is neither a placeholder nor the ARN of something that runs")
        return
    action = ":".join(resource.split(":")[5:]).split(".")[0]
    parameters = state.get("Parameters", {})
    for name in REQUIRED_PARAMETERS.get(action, ()):
        if isinstance(parameters, dict) and not {name, f"{name}.$"} & parameters.keys():
            yield Fault(f"{path}.Parameters", f"{name} is missing for {action}")


def _map(state: JsonObject, path: str) -> Iterator[Fault]:
    if "MaxConcurrency" in state:
        yield from _whole(state["MaxConcurrency"], 0, f"{path}.MaxConcurrency")
    if "ItemProcessor" not in state:
        return
    here, processor = f"{path}.ItemProcessor", state["ItemProcessor"]
    if not isinstance(processor, dict):
        yield Fault(here, "not a JSON object")
        return
    yield from _unknown_fields(processor, PROCESSOR_FIELDS, here, "an ItemProcessor")
    yield from _states(processor, here)
    config = processor.get("ProcessorConfig", {})
    if config.get("Mode", "INLINE") == "DISTRIBUTED":
        yield from _distributed(state, config, path)
    else:
        for field in DISTRIBUTED_FIELDS & state.keys():
            yield Fault(f"{path}.{field}", "only a distributed Map has it")


def _distributed(state: JsonObject, config: JsonObject, path: str) -> Iterator[Fault]:
    kind = config.get("ExecutionType")
    if kind not in EXECUTION_TYPES and not PLACEHOLDER.fullmatch(str(kind)):
        yield Fault(f"{path}.ItemProcessor.ProcessorConfig.ExecutionType", f"{kind!r} is neither STANDARD nor EXPRESS")
    if len(state.get("Label", "")) > MAX_LABEL_CHARACTERS:
        yield Fault(f"{path}.Label", f"longer than {MAX_LABEL_CHARACTERS} characters")
    for field in ("ItemReader", "ResultWriter"):
        part = state.get(field)
        if part is None:
            continue
        if "Resource" not in part:
            yield Fault(f"{path}.{field}", "Resource is missing")
        yield from _template(part.get("Parameters", {}), f"{path}.{field}.Parameters")


def _parallel(state: JsonObject, path: str) -> Iterator[Fault]:
    branches = state.get("Branches", [])
    if not isinstance(branches, list) or not branches:
        yield Fault(f"{path}.Branches", "not a list of one branch or more")
        return
    for index, branch in enumerate(branches):
        here = f"{path}.Branches[{index}]"
        if not isinstance(branch, dict):
            yield Fault(here, "not a JSON object")
            continue
        yield from _unknown_fields(branch, BRANCH_FIELDS, here, "a branch")
        yield from _states(branch, here)


def _choice(state: JsonObject, path: str) -> Iterator[Fault]:
    choices = state.get("Choices", [])
    if not isinstance(choices, list) or not choices:
        yield Fault(f"{path}.Choices", "not a list of one rule or more")
        return
    if "Default" not in state:
        yield Fault(path, "Default is missing: an input that no rule matches would fail with States.NoChoiceMatched")
    for index, rule in enumerate(choices):
        here = f"{path}.Choices[{index}]"
        if isinstance(rule, dict) and "Next" not in rule:
            yield Fault(here, "Next is missing")
        yield from _rule(rule, here, extra=frozenset({"Next", "Comment"}))


def _rule(rule: object, path: str, extra: frozenset[str] = frozenset()) -> Iterator[Fault]:
    if not isinstance(rule, dict):
        yield Fault(path, "not a JSON object")
        return
    combined = rule.keys() & {"And", "Or", "Not"}
    compared = rule.keys() & OPERATORS
    yield from _unknown_fields(rule, OPERATORS | extra | {"Variable", "And", "Or", "Not"}, path, "a choice rule")
    if len(combined) + len(compared) != 1:
        yield Fault(path, "exactly one comparison, or one of And, Or and Not, is needed")
    if compared and "Variable" not in rule:
        yield Fault(path, "Variable is missing")
    yield from _paths(rule, path)
    for operator in combined:
        inner = rule[operator]
        if operator == "Not":
            yield from _rule(inner, f"{path}.Not")
        elif isinstance(inner, list) and inner:
            yield from chain.from_iterable(
                _rule(part, f"{path}.{operator}[{index}]") for index, part in enumerate(inner)
            )
        else:
            yield Fault(f"{path}.{operator}", "not a list of one rule or more")


def _retriers(retriers: object, path: str) -> Iterator[Fault]:
    for here, retrier in _handlers(retriers, path):
        yield from _unknown_fields(retrier, RETRIER_FIELDS, here, "a retrier")
        for field, least in (("IntervalSeconds", 1), ("MaxAttempts", 0), ("MaxDelaySeconds", 1)):
            if field in retrier:
                yield from _whole(retrier[field], least, f"{here}.{field}")
        rate = retrier.get("BackoffRate", 1)
        if not isinstance(rate, int | float) or rate < 1:
            yield Fault(f"{here}.BackoffRate", "not a number of 1 or more")
        if retrier.get("JitterStrategy", "NONE") not in {"FULL", "NONE"}:
            yield Fault(f"{here}.JitterStrategy", "neither FULL nor NONE")
    yield from _error_names(retriers, path)


def _catchers(catchers: object, path: str) -> Iterator[Fault]:
    for here, catcher in _handlers(catchers, path):
        yield from _unknown_fields(catcher, CATCHER_FIELDS, here, "a catcher")
        yield from _paths(catcher, here)
        if "Next" not in catcher:
            yield Fault(here, "Next is missing")
    yield from _error_names(catchers, path)


def _handlers(handlers: object, path: str) -> Iterator[tuple[str, JsonObject]]:
    """Yield the entries of a Retry or Catch that are objects; `_error_names` tells about the others."""
    if isinstance(handlers, list):
        yield from ((f"{path}[{index}]", entry) for index, entry in enumerate(handlers) if isinstance(entry, dict))


def _error_names(handlers: object, path: str) -> Iterator[Fault]:
    if not isinstance(handlers, list):
        yield Fault(path, "not a list")
        return
    for index, entry in enumerate(handlers):
        here = f"{path}[{index}].ErrorEquals"
        names = entry.get("ErrorEquals") if isinstance(entry, dict) else None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            yield Fault(here, "not a list of one error name or more")
        elif ALL_ERRORS in names and len(names) > 1:
            yield Fault(here, f"{ALL_ERRORS} stands alone")
        elif ALL_ERRORS in names and index + 1 < len(handlers):
            yield Fault(here, f"{ALL_ERRORS} comes last: what follows is never asked")


def _paths(holder: JsonObject, path: str) -> Iterator[Fault]:
    for field in PATH_FIELDS & holder.keys():
        value = holder[field]
        nothing = value is None and field in {"InputPath", "OutputPath", "ResultPath"}
        if not nothing and not (isinstance(value, str) and value.startswith("$")):
            yield Fault(f"{path}.{field}", f"{value!r} is not a path: it starts with $")


def _template(template: object, path: str) -> Iterator[Fault]:
    if isinstance(template, list):
        yield from chain.from_iterable(_template(item, f"{path}[{i}]") for i, item in enumerate(template))
    elif isinstance(template, dict):
        for key, value in template.items():
            here = f"{path}.{key}"
            dynamic = isinstance(value, str) and value.startswith(("$.", "$[", "$$", "States."))
            if key.endswith(".$") and not dynamic and value != "$":
                yield Fault(here, "a key that ends in .$ takes a path or an intrinsic function")
            elif not key.endswith(".$") and dynamic:
                yield Fault(here, "a literal that looks like a path: the key has to end in .$")
            elif not isinstance(value, str):
                yield from _template(value, here)


def _whole(value: object, least: int, path: str) -> Iterator[Fault]:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        yield Fault(path, f"{value!r} is not a whole number of {least} or more")


def _targets(state: JsonObject, path: str) -> Iterator[tuple[str, str]]:
    """Yield where in `state` a next state is named, and the name."""
    for field in ("Next", "Default"):
        if field in state:
            yield f"{path}.{field}", str(state[field])
    for field in ("Catch", "Choices"):
        for here, entry in _handlers(state.get(field), f"{path}.{field}"):
            if "Next" in entry:
                yield f"{here}.Next", str(entry["Next"])


def _reachable(start: str, followers: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        if (name := waiting.pop()) not in seen:
            seen.add(name)
            waiting += followers.get(name, [])
    return seen


def _repeated_names(definition: JsonObject) -> Iterator[Fault]:
    places: dict[str, list[str]] = {}
    for path, name in _all_names(definition, "$"):
        places.setdefault(name, []).append(path)
    for name, paths in places.items():
        if len(paths) > 1:
            yield Fault(paths[1], f"{name!r} is also the name of {paths[0]}; names are unique in the whole machine")


def _all_names(scope: object, path: str) -> Iterator[tuple[str, str]]:
    states = scope.get("States") if isinstance(scope, dict) else None
    for name, state in states.items() if isinstance(states, dict) else ():
        here = f"{path}.States.{name}"
        yield here, name
        if isinstance(state, dict):
            yield from _all_names(state.get("ItemProcessor"), f"{here}.ItemProcessor")
            branches = state.get("Branches")
            for index, branch in enumerate(branches if isinstance(branches, list) else ()):
                yield from _all_names(branch, f"{here}.Branches[{index}]")


def _placeholder_faults(definition: JsonObject, known: Collection[str]) -> Iterator[Fault]:
    used = set()
    for path, text in _strings(definition, "$"):
        for name in PLACEHOLDER.findall(text):
            used.add(name)
            if name not in known:
                yield Fault(path, f"nothing fills ${{{name}}}" + _meant(name, known))
    for name in sorted(set(known) - used):
        yield Fault("$", f"${{{name}}} is missing")


def _strings(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield path, key
            yield from _strings(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, f"{path}[{index}]")


def _unknown_fields(holder: JsonObject, known: Collection[str], path: str, noun: str) -> Iterator[Fault]:
    for field in holder.keys() - known:
        yield Fault(f"{path}.{field}", f"not a field of {noun}" + _meant(field, known))


def _meant(word: object, known: Collection[str]) -> str:
    close = get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
