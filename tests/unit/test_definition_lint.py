import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from workflows.definition_lint import lint
from workflows.definitions import load
from workflows.registry import BATCHES, CALCULATION, FLEET, PLACEHOLDERS, STATE_MACHINES

KNOWN = {"Work", "Queue"}
Json = dict[str, Any]


def sound() -> Json:
    """A definition of every kind of state, with nothing wrong in it."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "${Work}", "Payload.$": "$"},
        "TimeoutSeconds": 60,
    }
    return {
        "StartAt": "Prepare",
        "States": {
            "Prepare": {
                **task,
                "Retry": [
                    {"ErrorEquals": ["Throttled"], "IntervalSeconds": 2, "BackoffRate": 2, "JitterStrategy": "FULL"},
                    {"ErrorEquals": ["States.ALL"], "MaxAttempts": 1, "MaxDelaySeconds": 9},
                ],
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Tell"}],
                "Next": "Each",
            },
            "Each": {
                "Type": "Map",
                "ItemsPath": "$.items",
                "MaxConcurrency": 10,
                "ItemSelector": {"item.$": "$$.Map.Item.Value", "fixed": {"list.$": "States.Array($.a, 1)"}},
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": "Calculate",
                    "States": {"Calculate": {**task, "End": True}},
                },
                "ResultPath": "$.items",
                "Next": "Both",
            },
            "Both": {
                "Type": "Parallel",
                "Branches": [{"StartAt": "Left", "States": {"Left": {"Type": "Pass", "End": True}}}],
                "Next": "Any",
            },
            "Any": {
                "Type": "Choice",
                "Choices": [
                    {
                        "And": [
                            {"Variable": "$.n", "NumericEquals": 0},
                            {"Not": {"Variable": "$.m", "IsPresent": True}},
                        ],
                        "Next": "Empty",
                    }
                ],
                "Default": "Pause",
            },
            "Pause": {"Type": "Wait", "Seconds": 1, "Next": "Done"},
            "Empty": {"Type": "Fail", "Error": "Empty", "CausePath": "$.cause"},
            "Tell": {
                **task,
                "Resource": "arn:aws:states:::sqs:sendMessage",
                "Parameters": {"QueueUrl": "${Queue}", "MessageBody.$": "$"},
                "ResultPath": None,
                "Next": "Done",
            },
            "Done": {"Type": "Succeed"},
        },
    }


def faults(definition: object) -> list[str]:
    return [str(fault) for fault in lint(json.dumps(definition), KNOWN)]


def test_a_sound_definition_has_no_faults() -> None:
    assert faults(sound()) == []


def put(path: str, value: object) -> Callable[[Json], None]:
    def change(definition: Json) -> None:
        *parents, last = path.split("/")
        holder: Any = definition
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        holder[last] = value

    return change


def drop(path: str) -> Callable[[Json], None]:
    def change(definition: Json) -> None:
        *parents, last = path.split("/")
        holder: Any = definition
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        del holder[last]

    return change


PREPARE, EACH = "States/Prepare", "States/Each"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (put("StartAt", "Prepair"), "$.StartAt: 'Prepair' is not a state here; did you mean 'Prepare'?"),
        (put("Timeout", 3), "$.Timeout: not a field of a state machine"),
        (put("States", {}), "$.States: missing: an object of one state or more"),
        (put("States/Done", []), "$.States.Done: not a JSON object"),
        (put(f"{PREPARE}/Next", "Eech"), "$.States.Prepare.Next: 'Eech' is not a state here; did you mean 'Each'?"),
        (put("States/Any/Default", "X"), "$.States.Any.Default: 'X' is not a state here"),
        (put("States/Any/Choices/0/Next", "X"), "$.States.Any.Choices[0].Next: 'X' is not a state here"),
        (put(f"{PREPARE}/Catch/0/Next", "X"), "$.States.Prepare.Catch[0].Next: 'X' is not a state here"),
        (
            put(f"{EACH}/ItemProcessor/States/Calculate/Next", "Done"),
            "$.States.Each.ItemProcessor.States.Calculate.Next: 'Done' is not a state here",
        ),
        (put("States/Lost", {"Type": "Succeed"}), "$.States.Lost: cannot be reached"),
        (put("States/Left", {"Type": "Succeed"}), "'Left' is also the name of"),
        (put("States/" + "n" * 81, {"Type": "Succeed"}), "a name of 81 characters; at most 80"),
        (put("States/Done/Type", "Suceed"), "'Suceed' is not a type of state; did you mean 'Succeed'?"),
        (drop("States/Done/Type"), "$.States.Done.Type: None is not a type of state"),
        (put("States/Done/End", True), "$.States.Done.End: not a field of a Succeed state"),
        (put(f"{PREPARE}/ItemsPath", "$"), "$.States.Prepare.ItemsPath: not a field of a Task state"),
        (put(f"{PREPARE}/TimeoutSecond", 3), "did you mean 'TimeoutSeconds'?"),
        (put(f"{PREPARE}/Assign", {}), "$.States.Prepare.Assign: not a field of a Task state"),
        (drop(f"{PREPARE}/TimeoutSeconds"), "$.States.Prepare: TimeoutSeconds is missing"),
        (put(f"{PREPARE}/TimeoutSeconds", 0), "$.States.Prepare.TimeoutSeconds: 0 is not a whole number of 1 or more"),
        (put(f"{PREPARE}/HeartbeatSeconds", 60), "$.States.Prepare.HeartbeatSeconds: not shorter than"),
        (put(f"{PREPARE}/TimeoutSecondsPath", "$.t"), "TimeoutSeconds and TimeoutSecondsPath exclude each other"),
        (put(f"{PREPARE}/End", True), '$.States.Prepare: exactly one of Next and "End": true is needed'),
        (drop("States/Pause/Next"), '$.States.Pause: exactly one of Next and "End": true is needed'),
        (drop("States/Pause/Seconds"), "$.States.Pause: one of Seconds"),
        (put("States/Empty/Cause", "c"), "$.States.Empty: Cause and CausePath exclude each other"),
        (drop(f"{PREPARE}/Resource"), "$.States.Prepare: Resource is missing"),
        (put(f"{PREPARE}/Resource", "lambda"), "$.States.Prepare.Resource: 'lambda' is neither"),
        (drop(f"{PREPARE}/Parameters/FunctionName"), "$.States.Prepare.Parameters: FunctionName is missing for"),
        (drop("States/Tell/Parameters/MessageBody.$"), "MessageBody is missing for sqs:sendMessage"),
        (put(f"{PREPARE}/Parameters/Payload.$", "a"), "Parameters.Payload.$: a key that ends in .$ takes a path"),
        (put(f"{PREPARE}/Parameters/Payload", "$.a"), "Parameters.Payload: a literal that looks like a path"),
        (put(f"{EACH}/ItemSelector/fixed/list", "States.Array(1)"), "ItemSelector.fixed.list: a literal that looks"),
        (put(f"{EACH}/ItemsPath", "items"), "$.States.Each.ItemsPath: 'items' is not a path"),
        (put(f"{EACH}/ItemsPath", None), "$.States.Each.ItemsPath: None is not a path"),
        (put(f"{EACH}/MaxConcurrency", "3"), "$.States.Each.MaxConcurrency: '3' is not a whole number"),
        (drop(f"{EACH}/ItemProcessor"), "$.States.Each: ItemProcessor is missing"),
        (put(f"{EACH}/ItemProcessor/Next", "Done"), "$.States.Each.ItemProcessor.Next: not a field of an"),
        (put(f"{EACH}/QueryLanguage", "JSONata"), "$.States.Each.QueryLanguage: only JSONPath"),
        (put("States/Both/Branches", []), "$.States.Both.Branches: not a list of one branch or more"),
        (put("States/Both/Branches/0/StartAt", "L"), "$.States.Both.Branches[0].StartAt: 'L' is not a state here"),
        (put("States/Any/Choices", []), "$.States.Any.Choices: not a list of one rule or more"),
        (drop("States/Any/Default"), "$.States.Any: Default is missing"),
        (drop("States/Any/Choices/0/Next"), "$.States.Any.Choices[0]: Next is missing"),
        (drop("States/Any/Choices/0/And/0/Variable"), "$.States.Any.Choices[0].And[0]: Variable is missing"),
        (put("States/Any/Choices/0/And/0/NumericEqual", 1), "did you mean 'NumericEquals'?"),
        (put("States/Any/Choices/0/And/1/Not/IsNull", True), "Choices[0].And[1].Not: exactly one comparison"),
        (put("States/Any/Choices/0/And", []), "$.States.Any.Choices[0].And: not a list of one rule or more"),
        (put(f"{PREPARE}/Retry/0/ErrorEquals", []), "$.States.Prepare.Retry[0].ErrorEquals: not a list of one"),
        (put(f"{PREPARE}/Retry/0/ErrorEquals", ["States.ALL"]), "Retry[0].ErrorEquals: States.ALL comes last"),
        (put(f"{PREPARE}/Retry/1/ErrorEquals", ["States.ALL", "X"]), "Retry[1].ErrorEquals: States.ALL stands alone"),
        (put(f"{PREPARE}/Retry/0/MaxAttempt", 1), "did you mean 'MaxAttempts'?"),
        (put(f"{PREPARE}/Retry/0/IntervalSeconds", 0.5), "IntervalSeconds: 0.5 is not a whole number of 1 or more"),
        (put(f"{PREPARE}/Retry/0/BackoffRate", 0.5), "BackoffRate: not a number of 1 or more"),
        (put(f"{PREPARE}/Retry/0/JitterStrategy", "HALF"), "JitterStrategy: neither FULL nor NONE"),
        (put(f"{PREPARE}/Retry", {}), "$.States.Prepare.Retry: not a list"),
        (drop(f"{PREPARE}/Catch/0/Next"), "$.States.Prepare.Catch[0]: Next is missing"),
        (put(f"{PREPARE}/Catch/0/ResultPath", "error"), "Catch[0].ResultPath: 'error' is not a path"),
        (put(f"{PREPARE}/Comment", "${Wark}"), "$.States.Prepare.Comment: nothing fills ${Wark}; did you mean 'Work'?"),
        (put("States/Tell/Parameters/QueueUrl", "https://queue"), "$: ${Queue} is missing"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_path(change: Callable[[Json], None], fault: str) -> None:
    definition = sound()
    change(definition)
    assert any(fault in told for told in faults(definition)), faults(definition)


def test_a_machine_that_never_ends_is_told() -> None:
    loop = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}}
    assert [str(fault) for fault in lint(json.dumps(loop), ())] == ["$.States: no state ends the execution"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "$: not JSON: "),
        ("[]", "$: not a JSON object"),
        ('{"States": {}, "States": {}}', "$: not JSON: repeated key 'States'"),
        (json.dumps({"Comment": "x" * 1024 * 1024}), "Step Functions takes 1048576"),
    ],
)
def test_text_that_is_no_definition_is_told(text: str, fault: str) -> None:
    (only,) = lint(text, ())
    assert fault in str(only)


@pytest.mark.parametrize("name", STATE_MACHINES)
def test_the_definitions_of_this_project_have_no_faults(name: str) -> None:
    assert lint(load(name), PLACEHOLDERS[name]) == []


def distributed(**changes: Any) -> str:
    definition = json.loads(load(FLEET))
    definition["States"][BATCHES] |= changes
    return json.dumps(definition)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"Label": "x" * 41}, f"$.States.{BATCHES}.Label: longer than 40 characters"),
        ({"ToleratedFailurePercentage": 5}, "exclude each other"),
        ({"ToleratedFailurePercentagePath": "plan"}, "ToleratedFailurePercentagePath: 'plan' is not a path"),
        ({"ItemReader": {}}, f"$.States.{BATCHES}.ItemReader: Resource is missing"),
        (
            {"ResultWriter": {"Resource": "r", "Parameters": {"Bucket": "$.plan.bucket"}}},
            f"$.States.{BATCHES}.ResultWriter.Parameters.Bucket: a literal that looks like a path",
        ),
    ],
)
def test_a_wrong_distributed_map_is_told(changes: dict[str, Any], fault: str) -> None:
    assert any(fault in str(each) for each in lint(distributed(**changes), PLACEHOLDERS[FLEET]))


def test_the_children_of_a_distributed_map_are_of_a_type_there_is() -> None:
    text = load(FLEET).replace("${BatchExecutionType}", "FAST")
    faults = lint(text, PLACEHOLDERS[FLEET])
    assert "'FAST' is neither STANDARD nor EXPRESS" in "\n".join(map(str, faults))


def test_what_only_a_distributed_map_has_is_refused_elsewhere() -> None:
    definition = json.loads(load(CALCULATION))
    definition["States"]["CalculatePortfolios"]["Label"] = "Batches"
    (only,) = lint(json.dumps(definition), PLACEHOLDERS[CALCULATION])
    assert str(only) == "$.States.CalculatePortfolios.Label: only a distributed Map has it"


def test_a_commit_hook_imports_neither_numpy_nor_an_aws_library() -> None:
    code = (
        "import sys, workflows.definition_lint;"
        "print(sorted({'numpy', 'boto3', 'botocore', 'moto', 'tasks'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
