"""What the JSONPath part of the Amazon States Language has: its fields, operators and limits, as tables."""

import re
from collections.abc import Mapping
from typing import Final

# Step Functions: a state's name, and the definition itself.
MAX_STATE_NAME_CHARACTERS: Final = 80
MAX_DEFINITION_BYTES: Final = 1024 * 1024
MAX_LABEL_CHARACTERS: Final = 40

RESOURCE: Final = re.compile(
    r"""\$\{\w+\}                                        # a function's ARN, filled in at deployment
    | arn:aws[a-z-]*:lambda:[\w-]+:\d{12}:function:[\w-]+(:[\w$-]+)?
    | arn:aws[a-z-]*:states:[\w-]*:\d*:(activity:[\w-]+|[\w-]+:[\w:.-]+)""",
    re.VERBOSE,
)
# What a service integration cannot do without; the service notices at run time alone.
REQUIRED_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "lambda:invoke": ("FunctionName",),
    "sqs:sendMessage": ("QueueUrl", "MessageBody"),
    "sns:publish": ("Message",),
    "states:startExecution": ("StateMachineArn",),
}
EXECUTION_TYPES: Final = frozenset({"STANDARD", "EXPRESS"})

MACHINE_FIELDS: Final = frozenset({"Comment", "StartAt", "States", "TimeoutSeconds", "Version", "QueryLanguage"})
PROCESSOR_FIELDS: Final = frozenset({"Comment", "StartAt", "States", "ProcessorConfig"})
BRANCH_FIELDS: Final = frozenset({"Comment", "StartAt", "States"})
ANY_STATE_FIELDS: Final = frozenset({"Type", "Comment", "QueryLanguage"})
_PATHS: Final = frozenset({"InputPath", "OutputPath"})
_FLOW: Final = frozenset({"Next", "End"})
_WORK: Final = _PATHS | _FLOW | {"Parameters", "ResultPath", "ResultSelector", "Retry", "Catch"}
# `Assign` is missing on purpose: the local engine cannot run it.
STATE_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "Task": _WORK
    | {
        "Resource",
        "TimeoutSeconds",
        "TimeoutSecondsPath",
        "HeartbeatSeconds",
        "HeartbeatSecondsPath",
        "Credentials",
    },
    "Map": _WORK
    | {
        "ItemProcessor",
        "ItemsPath",
        "ItemSelector",
        "ItemReader",
        "ItemBatcher",
        "ResultWriter",
        "MaxConcurrency",
        "MaxConcurrencyPath",
        "ToleratedFailureCount",
        "ToleratedFailureCountPath",
        "ToleratedFailurePercentage",
        "ToleratedFailurePercentagePath",
        "Label",
    },
    "Parallel": _WORK | {"Branches"},
    "Pass": _PATHS | _FLOW | {"Parameters", "Result", "ResultPath"},
    "Wait": _PATHS | _FLOW | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Choice": _PATHS | {"Choices", "Default"},
    "Succeed": _PATHS,
    "Fail": frozenset({"Error", "ErrorPath", "Cause", "CausePath"}),
}
REQUIRED_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Task": ("Resource",),
    "Map": ("ItemProcessor",),
    "Parallel": ("Branches",),
    "Choice": ("Choices",),
}
EXCLUSIVE_FIELDS: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "Task": (("TimeoutSeconds", "TimeoutSecondsPath"), ("HeartbeatSeconds", "HeartbeatSecondsPath")),
    "Map": (
        ("MaxConcurrency", "MaxConcurrencyPath"),
        ("ToleratedFailureCount", "ToleratedFailureCountPath"),
        ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
    ),
    "Wait": (("Seconds", "SecondsPath", "Timestamp", "TimestampPath"),),
    "Fail": (("Error", "ErrorPath"), ("Cause", "CausePath")),
}
DISTRIBUTED_FIELDS: Final = frozenset(
    {
        "ItemReader",
        "ItemBatcher",
        "ResultWriter",
        "ToleratedFailureCount",
        "ToleratedFailureCountPath",
        "ToleratedFailurePercentage",
        "ToleratedFailurePercentagePath",
        "Label",
    }
)
RETRIER_FIELDS: Final = frozenset(
    {
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
        "Comment",
    }
)
CATCHER_FIELDS: Final = frozenset({"ErrorEquals", "Next", "ResultPath", "Comment"})
ALL_ERRORS: Final = "States.ALL"

_COMPARED: Final = ("String", "Numeric", "Timestamp")
OPERATORS: Final = (
    {
        f"{kind}{relation}{source}"
        for kind in _COMPARED
        for relation in ("Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals")
        for source in ("", "Path")
    }
    | {"BooleanEquals", "BooleanEqualsPath", "StringMatches"}
    | {"IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp"}
)
PATH_FIELDS: Final = frozenset(
    {
        "InputPath",
        "OutputPath",
        "ResultPath",
        "ItemsPath",
        "MaxConcurrencyPath",
        "TimeoutSecondsPath",
        "ToleratedFailureCountPath",
        "ToleratedFailurePercentagePath",
        "Variable",
    }
)
TEMPLATE_FIELDS: Final = frozenset({"Parameters", "ResultSelector", "ItemSelector"})
