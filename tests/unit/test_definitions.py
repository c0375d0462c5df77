import json
import subprocess
import sys

import pytest

from workflows.definitions import DefinitionError, fill, load, placeholders, render
from workflows.registry import BATCHES, CALCULATION, FLEET, PLACEHOLDERS, STATE_MACHINES


@pytest.mark.parametrize("name", STATE_MACHINES)
def test_the_placeholders_of_a_definition_are_those_that_are_filled(name: str) -> None:
    assert placeholders(name) == PLACEHOLDERS[name]


def test_a_batch_of_a_fleet_run_is_the_calculation_without_its_failed_end() -> None:
    batch, whole = json.loads(load(FLEET))["States"][BATCHES]["ItemProcessor"], json.loads(load(CALCULATION))
    assert batch["StartAt"] == whole["StartAt"]
    assert whole["States"].keys() - batch["States"].keys() == {"AllFailed"}
    for name, state in batch["States"].items():
        if name == "SummariseFailures":
            assert {**whole["States"][name], "End": True} == {**state, "Next": "AllFailed"}
        else:
            assert state == whole["States"][name]


def test_filling_escapes_what_json_needs_escaped() -> None:
    filled = fill('{"a": "arn:${A}", "b": "${B}"}', {"A": 'quote " and \\', "B": "plain"})
    assert json.loads(filled) == {"a": 'arn:quote " and \\', "b": "plain"}


def test_filling_tells_all_that_is_missing_and_all_that_is_too_much() -> None:
    with pytest.raises(DefinitionError) as caught:
        fill('{"a": "${A}", "b": "${B}"}', {"B": "b", "C": "c", "D": "d"}, "machine")
    assert str(caught.value) == ("machine: ${A} has no value, ${C} does not occur, ${D} does not occur")


@pytest.mark.parametrize("name", STATE_MACHINES)
def test_rendering_leaves_no_placeholder(name: str) -> None:
    rendered = render(name, dict.fromkeys(placeholders(name), "value"))
    assert "${" not in rendered
    json.loads(rendered)


def test_an_unknown_machine_is_told_with_the_known_ones() -> None:
    with pytest.raises(DefinitionError, match="'nothing'; known: performance-calculation"):
        load("nothing")


def test_a_synthesis_imports_neither_numpy_nor_an_aws_library() -> None:
    code = (
        "import sys, workflows.definitions;"
        "print(sorted({'numpy', 'boto3', 'botocore', 'moto', 'tasks'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
