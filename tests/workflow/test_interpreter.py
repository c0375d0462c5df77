"""The interpreter made quick does what it does as it comes: the same events in the same order, and copies that are."""

import json
import re
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.stepfunctions.parser.asl.eval import states
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.utils import TMP_THREADS

from tests.workflow.test_engine import ThrottledError, each, finish, opened, task
from workflows.local import engine
from workflows.local.interpreter import copy_json, quick_interpreter

Json = dict[str, Any]

ITEM: Json = {
    "StartAt": "Call",
    "States": {
        "Call": task(
            Next="Told",
            ResultPath="$.answer",
            OutputPath="$",
            ResultSelector={"payload.$": "$.Payload", "first.$": "$.Payload.item.parts[0]"},
            Retry=[{"ErrorEquals": ["ThrottledError"], "IntervalSeconds": 1, "MaxAttempts": 2}],
            Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Failed"}],
        ),
        "Told": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.answer.first", "NumericGreaterThan": 1, "Next": "Large"}],
            "Default": "Small",
        },
        "Large": {
            "Type": "Pass",
            "Parameters": {
                "text.$": "States.Format('{} of {}', $.answer.first, $.shared.name)",
                "all.$": "$.item.parts[*]",
            },
            "ResultPath": "$.large",
            "End": True,
        },
        "Small": {"Type": "Pass", "InputPath": "$.item", "End": True},
        "Failed": {"Type": "Pass", "Parameters": {"error.$": "$.error.Error"}, "End": True},
    },
}
for state in ITEM["States"].values():
    if "Next" in state:
        state.pop("End", None)

MACHINE: Json = {
    "StartAt": "Items",
    "States": {
        "Items": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 1,
            "ItemSelector": {
                "shared.$": "$.shared",
                "item.$": "$$.Map.Item.Value",
                "at.$": "$$.Map.Item.Index",
                "run": {"name.$": "$$.Execution.Name"},
            },
            "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, **ITEM},
            "ResultPath": "$.items",
            "Next": "Twice",
        },
        "Twice": {
            "Type": "Pass",
            "Parameters": {"request.$": "$", "again.$": "$.items", "count.$": "States.ArrayLength($.items)"},
            "End": True,
        },
    },
}
REQUEST: Json = {
    "shared": {"name": "parts", "nothing": None},
    "items": [{"parts": [1, 2.5]}, {"parts": [3]}, {"parts": [7], "fails": True}, {"none": 0}],
}


def faults(name: str, event: Any, attempt: int) -> ThrottledError | None:
    fails = "fails" in event["item"] or (event["item"].get("parts") == [3] and attempt == 1)
    return ThrottledError("slower") if fails else None


def history(directory: Path) -> tuple[Any, list[Json]]:
    with opened(directory, faults) as world:
        machine = world.machine(MACHINE)
        execution = finish(machine, REQUEST)
        events = world.engine.events(execution.arn)
    plain = json.dumps([{**event, "timestamp": None} for event in events], default=str)
    # What is another one in each run: ids of requests, and times and stacks in what is quoted.
    told = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.+Z]+", "-", plain)
    return (execution.status, execution.output, execution.error), json.loads(told)


def test_the_history_is_the_same_event_by_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, events = history(tmp_path / "quick")
    monkeypatch.setattr(engine, "quick_interpreter", nullcontext)
    as_it_comes, events_as_they_come = history(tmp_path / "plain")
    assert outcome == as_it_comes
    assert events == events_as_they_come
    kinds = [event["type"] for event in events]
    # Failed: once with one item, three times with another, and the path that the last one has not.
    assert (kinds.count("TaskScheduled"), kinds.count("TaskFailed"), kinds.count("MapIterationSucceeded")) == (7, 5, 4)


def test_what_a_state_is_given_is_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as world:
        machine = world.machine(each(task()))
        execution = finish(machine, {"items": [{"a": [1]}] * 3})
        assert execution.output == [{"a": [1]}] * 3


def test_no_thread_that_has_ended_is_kept(tmp_path: Path) -> None:
    before = list(TMP_THREADS)
    with opened(tmp_path) as world:
        execution = finish(world.machine(each(task())), {"items": [{"a": 1}] * 3})
        assert execution.output == [{"a": 1}] * 3
    assert before == TMP_THREADS


def test_the_interpreter_is_as_it_was_when_the_block_is_left() -> None:
    before = json_path.parse, states.copy
    with quick_interpreter():
        assert json_path.parse is not before[0]
        assert json_path.parse("$.a[0]") is json_path.parse("$.a[0]")
    assert (json_path.parse, states.copy) == before


documents: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(documents)
def test_a_copy_is_equal_and_shares_nothing_that_can_change(document: Any) -> None:
    copied = copy_json(document)
    assert copied == deepcopy(document)
    assert not {*map(id, containers(copied))} & {*map(id, containers(document))}


def test_what_is_no_json_is_copied_too() -> None:
    class Thing:
        def __init__(self) -> None:
            self.parts = [1]

    thing = {"thing": Thing(), "set": {1}}
    copied: Any = copy_json(thing)
    assert copied["thing"] is not thing["thing"]
    assert copied["thing"].parts == [1]
    assert copied["set"] == {1}


def containers(document: Any) -> list[Any]:
    if isinstance(document, dict):
        return [document, *(part for each in document.values() for part in containers(each))]
    if isinstance(document, list):
        return [document, *(part for each in document for part in containers(each))]
    return []
