"""The synthesised templates, read as CloudFormation will: references followed, from one stack to the next."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from infra.settings import StageSettings

Json = dict[str, Any]


class Resource(NamedTuple):
    """A resource of a template."""

    stack: str
    logical_id: str
    body: Json

    @property
    def properties(self) -> Json:
        found: Json = self.body.get("Properties", {})
        return found


class Statement(NamedTuple):
    """What a policy allows: every action on every resource."""

    actions: frozenset[str]
    resources: frozenset[str]
    conditions: str


@dataclass(frozen=True)
class Synthesis:
    """The templates of one stage, by the last part of their stacks' names."""

    settings: StageSettings
    templates: Mapping[str, Json]
    directory: Path

    def files(self) -> list[Path]:
        return sorted(self.directory.glob("*.template.json"))

    def all(self, kind: str) -> list[Resource]:
        return [
            Resource(stack, logical_id, body)
            for stack, template in self.templates.items()
            for logical_id, body in template["Resources"].items()
            if body["Type"] == kind
        ]

    def one(self, kind: str, part: str = "") -> Resource:
        """Return the only resource of a type whose logical id has `part` in it."""
        (found,) = [each for each in self.all(kind) if part in each.logical_id]
        return found

    def text(self, value: Any) -> str:
        """Return a value as text: `{LogicalId}` for a Ref, `{LogicalId.Arn}` for an attribute, of whatever stack."""
        if isinstance(value, str):
            return value
        if isinstance(value, int | float):
            return str(value)
        assert isinstance(value, dict), value
        ((function, argument),) = value.items()
        match function:
            case "Ref":
                return "{" + str(argument) + "}"
            case "Fn::GetAtt":
                return "{" + ".".join(argument) + "}"
            case "Fn::ImportValue":
                return self._exports[argument]
            case "Fn::Join":
                return str(argument[0]).join(map(self.text, argument[1]))
            case "Fn::Select":  # a part of an ARN
                return "{" + f"{self.text(argument[1]['Fn::Split'][1]).strip('{}')}[{argument[0]}]" + "}"
        raise AssertionError(function)

    def functions(self) -> dict[str, Resource]:
        """Return the functions by their names in the registry."""
        prefix = f"{self.settings.prefix}-"
        return {
            each.properties["FunctionName"].removeprefix(prefix): each for each in self.all("AWS::Lambda::Function")
        }

    def called(self) -> dict[str, str]:
        """Return what each function is called by, the ARN of its alias, by its name in the registry."""
        functions = {each.logical_id: name for name, each in self.functions().items()}
        return {
            functions[each.properties["FunctionName"]["Ref"]]: "{" + each.logical_id + "}"
            for each in self.all("AWS::Lambda::Alias")
        }

    def machine(self, name: str) -> Resource:
        """Return a state machine by its name in the registry."""
        (found,) = [
            each
            for each in self.all("AWS::StepFunctions::StateMachine")
            if each.properties["StateMachineName"] == f"{self.settings.prefix}-{name}"
        ]
        return found

    def definition(self, name: str) -> str:
        """Return the definition of a state machine, by its name in the registry."""
        return self.text(self.machine(name).properties["DefinitionString"])

    def statements(self, role: str) -> list[Statement]:
        """Return what is allowed to the role with this logical id."""
        found = []
        for policy in self.all("AWS::IAM::Policy"):
            if role in map(_reference, policy.properties["Roles"]):
                found += list(self._statements(policy.properties["PolicyDocument"]))
        return found

    def allowed(self, function: str) -> list[Statement]:
        """Return what is allowed to a function of the registry."""
        role = self.functions()[function].properties["Role"]["Fn::GetAtt"][0]
        return self.statements(role)

    def on(self, function: str, resource: str) -> set[str]:
        """Return the actions allowed to a function on resources whose text has `resource` in it."""
        return {
            action
            for statement in self.allowed(function)
            if any(resource in each for each in statement.resources)
            for action in statement.actions
        }

    def _statements(self, document: Json) -> Iterator[Statement]:
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "NotAction" not in statement
            assert "NotResource" not in statement
            yield Statement(
                frozenset(_listed(statement["Action"])),
                frozenset(map(self.text, _listed(statement["Resource"]))),
                json.dumps(statement.get("Condition", {})),
            )

    @cached_property
    def _exports(self) -> dict[str, str]:
        return {
            output["Export"]["Name"]: self.text(output["Value"])
            for template in self.templates.values()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _reference(value: Any) -> str:
    return str(value["Ref"])
