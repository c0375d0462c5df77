"""The synthesised templates of a stage, made in moto as CloudFormation makes them on AWS, as far as moto goes."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from unittest.mock import patch

import boto3

from common.warm import forget
from tests.infra.templates import Json, Resource, Synthesis
from workflows.local.engine import LocalEngine
from workflows.local.lambda_host import ACCOUNT, REGION, Faults, Handler, LambdaContext, LambdaHost, function_arn
from workflows.local.timestream import LocalTimestream
from workflows.registry import FUNCTIONS, LambdaFunction

Attributes = Mapping[str, str]
"""Of a resource that was made: what `Ref` gives, under that name, and what `Fn::GetAtt` does."""

_PSEUDO: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
}
_SUBSTITUTED: Final = re.compile(r"\$\{([^!}]+)\}")
_CALLED: Final = re.compile(r"(?:(?:.*/functions/)?arn:aws:lambda:[^:]+:\d+:function:)?([^:/]+):(\w+)(?:/invocations)?")


class UnresolvedError(AssertionError):
    """A template refers to what is not there, or in a way that is not understood here."""


class _Process(threading.local):
    """What `common.config`, which alone reads the environment, has in the place of `os`: each invocation's own.

    Executions run side by side, and whoever lists the process's environment meanwhile must find it unchanged.
    """

    environ: Mapping[str, str] = MappingProxyType({})


class DeployedHost(LambdaHost):
    """Calls functions by their deployed names, each with the variables of its template and no others.

    Attributes
    ----------
    environments
        The variables by the function's name.
    aliases
        The versions by the names of functions and aliases. Whoever calls may call these alone.
    everywhere
        Variables of every function, which say where services stand that are not on AWS.
    process
        For `common.config`.
    """

    def __init__(self, synthesis: Synthesis, faults: Faults | None = None) -> None:
        super().__init__(dict(map(_function, synthesis.all("AWS::Lambda::Function"))), faults=faults)
        self.environments: dict[str, Mapping[str, str]] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.everywhere: dict[str, str] = {}
        self.process = _Process()

    def name(self, target: str) -> str:
        """Return the name of the function that is called by an alias: its ARN, or the address of an integration."""
        named = _CALLED.fullmatch(target)
        if named is None or (named[1], named[2]) not in self.aliases:
            raise UnresolvedError(f"{target} is no alias of a function")
        return named[1]

    def by_name(self, params: Json, **_: object) -> Json:
        """Let an Invoke of an alias be one of its function, as the engine's own host knows it."""
        return {**params, "FunctionName": self.name(params["FunctionName"])}

    def _handler(self, function_name: str, function: LambdaFunction) -> Handler:
        handler = super()._handler(function_name, function)

        def told(event: Any, context: LambdaContext) -> Any:
            # Every invocation has a thread of its own.
            self.process.environ = {**self.everywhere, **self.environments[function_name]}
            return handler(event, context)

        return told


class Deployed:
    """A stage that runs.

    Parameters
    ----------
    synthesis
        Its templates.
    host
        Calls its functions; is told their variables.
    timestream
        Where Timestream stands.
    """

    def __init__(self, synthesis: Synthesis, host: DeployedHost, timestream: str) -> None:
        self.synthesis = synthesis
        self.host = host
        self.timestream = timestream
        self._made: dict[tuple[str, str], Attributes | None] = {}
        self._exports = {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in synthesis.templates.items()
            for output in template.get("Outputs", {}).values()
            if "Export" in output
        }
        for kind in self._makers:
            for resource in synthesis.all(kind):
                self._attributes(resource.stack, resource.logical_id)

    def ref(self, kind: str, part: str = "", attribute: str = "Ref") -> str:
        """Return what `Ref`, or an attribute, gives for the only resource of a type with `part` in its logical id."""
        resource = self.synthesis.one(kind, part)
        return self._attributes(resource.stack, resource.logical_id)[attribute]

    def value(self, name: str, kind: str, part: str = "") -> Any:
        """Return a property of the only such resource, with nothing left to resolve."""
        resource = self.synthesis.one(kind, part)
        return self.resolve(resource.stack, resource.properties[name])

    def invoke(self, target: str, event: object) -> Any:
        """Call the function that the ARN of an alias, or the address of an integration, names."""
        return json.loads(self.host.invoke(self.host.name(target), json.dumps(event).encode()))

    def resolve(self, stack: str, value: Any) -> Any:
        """Return a value of a template of `stack` as its resource gets it."""
        if isinstance(value, list):
            return [self.resolve(stack, each) for each in value]
        if not isinstance(value, dict):
            return value
        if _is_function(value):
            ((name, argument),) = value.items()
            return self._call(stack, name, argument)
        return {name: self.resolve(stack, each) for name, each in value.items()}

    def _call(self, stack: str, function: str, argument: Any) -> Any:
        match function, argument:
            case "Ref", str() if argument in _PSEUDO:
                return _PSEUDO[argument]
            case "Ref", str():
                return self._attributes(stack, argument)["Ref"]
            case "Fn::GetAtt", [str(logical_id), str(attribute)]:
                found = self._attributes(stack, logical_id)
                if attribute not in found:
                    raise UnresolvedError(f"{stack}: {logical_id} has no attribute {attribute} here")
                return found[attribute]
            case "Fn::Join", [str(separator), parts]:
                return separator.join(self.resolve(stack, parts))
            case "Fn::Split", [str(separator), text]:
                return self.resolve(stack, text).split(separator)
            case "Fn::Select", [index, parts]:
                return self.resolve(stack, parts)[int(index)]
            case "Fn::Sub", str():
                return _SUBSTITUTED.sub(lambda found: str(self._call(stack, "Ref", found[1])), argument)
            case "Fn::ImportValue", str() if argument in self._exports:
                return self.resolve(*self._exports[argument])
        raise UnresolvedError(f"{stack}: {function} of {argument}")

    def _attributes(self, stack: str, logical_id: str) -> Attributes:
        """Return the attributes of a resource, which is made when it is first asked for."""
        place = stack, logical_id
        if place not in self._made:
            body = self.synthesis.templates[stack]["Resources"].get(logical_id)
            if body is None or body["Type"] not in self._makers:
                raise UnresolvedError(f"{stack}: {logical_id} is {body['Type'] if body else 'not there'}")
            self._made[place] = None
            properties = self.resolve(stack, body.get("Properties", {}))
            self._made[place] = self._makers[body["Type"]](self, f"{stack}-{logical_id}", properties)
        if (made := self._made[place]) is None:
            raise UnresolvedError(f"{stack}: {logical_id} depends on itself")
        return made

    def _key(self, name: str, properties: Json) -> Attributes:
        key = boto3.client("kms").create_key(
            Description=properties["Description"], Policy=json.dumps(properties["KeyPolicy"])
        )
        return {"Ref": key["KeyMetadata"]["KeyId"], "Arn": key["KeyMetadata"]["Arn"]}

    def _role(self, name: str, properties: Json) -> Attributes:
        document = json.dumps(properties["AssumeRolePolicyDocument"])
        role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
        return {"Ref": role["RoleName"], "Arn": role["Arn"]}

    def _log_group(self, name: str, properties: Json) -> Attributes:
        group = properties["LogGroupName"]
        boto3.client("logs").create_log_group(logGroupName=group)
        return {"Ref": group, "Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*"}

    def _table(self, name: str, properties: Json) -> Attributes:
        client = boto3.client("dynamodb")
        encryption = properties["SSESpecification"]
        taken = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        made = client.create_table(
            TableName=name,
            SSESpecification={
                "Enabled": encryption["SSEEnabled"],
                "SSEType": encryption["SSEType"],
                "KMSMasterKeyId": encryption["KMSMasterKeyId"],
            },
            **{each: properties[each] for each in taken if each in properties},
        )
        if lives := properties.get("TimeToLiveSpecification"):
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=lives)
        return {"Ref": name, "Arn": made["TableDescription"]["TableArn"]}

    def _bucket(self, name: str, properties: Json) -> Attributes:
        client = boto3.client("s3")
        bucket = name.lower()
        client.create_bucket(Bucket=bucket)
        if versions := properties.get("VersioningConfiguration"):
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versions)
        return {"Ref": bucket, "Arn": f"arn:aws:s3:::{bucket}"}

    def _queue(self, name: str, properties: Json) -> Attributes:
        client = boto3.client("sqs")
        attributes: dict[Any, str] = {
            attribute: json.dumps(value) if isinstance(value, dict) else str(value)
            for attribute, value in properties.items()
            if attribute != "Tags"
        }
        url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return {"Ref": url, "Arn": arn, "QueueName": name}

    def _topic(self, name: str, properties: Json) -> Attributes:
        arn = boto3.client("sns").create_topic(Name=name)["TopicArn"]
        return {"Ref": arn, "TopicArn": arn, "TopicName": name}

    def _secret(self, name: str, properties: Json) -> Attributes:
        client = boto3.client("secretsmanager")
        wanted = properties["GenerateSecretString"]
        password = client.get_random_password(
            PasswordLength=wanted["PasswordLength"], ExcludePunctuation=wanted["ExcludePunctuation"]
        )["RandomPassword"]
        secret = {**json.loads(wanted["SecretStringTemplate"]), wanted["GenerateStringKey"]: password}
        arn = client.create_secret(Name=name, SecretString=json.dumps(secret), KmsKeyId=properties["KmsKeyId"])["ARN"]
        return {"Ref": arn, "Id": arn}

    def _function(self, name: str, properties: Json) -> Attributes:
        function = properties["FunctionName"]
        self.host.environments[function] = properties["Environment"]["Variables"]
        return {"Ref": function, "Arn": function_arn(function)}

    def _function_version(self, name: str, properties: Json) -> Attributes:
        return {"Ref": f"{function_arn(properties['FunctionName'])}:1", "Version": "1"}

    def _function_alias(self, name: str, properties: Json) -> Attributes:
        function, alias = properties["FunctionName"], properties["Name"]
        self.host.aliases[function, alias] = properties["FunctionVersion"]
        return {"Ref": f"{function_arn(function)}:{alias}"}

    def _state_machine(self, name: str, properties: Json) -> Attributes:
        machine = boto3.client("stepfunctions").create_state_machine(
            name=properties["StateMachineName"],
            # moto knows no EXPRESS children of a distributed Map.
            definition=properties["DefinitionString"].replace('"EXPRESS"', '"STANDARD"'),
            roleArn=properties["RoleArn"],
            type=properties["StateMachineType"],
            publish=True,
        )
        arn = machine["stateMachineArn"]
        return {
            "Ref": arn,
            "Arn": arn,
            "Name": properties["StateMachineName"],
            "StateMachineRevisionId": machine["stateMachineVersionArn"],
        }

    def _version(self, name: str, properties: Json) -> Attributes:
        # moto publishes a version where it makes the state machine, and nowhere else.
        arn = properties["StateMachineRevisionId"]
        assert arn.rpartition(":")[0] == properties["StateMachineArn"]
        return {"Ref": arn, "Arn": arn}

    def _alias(self, name: str, properties: Json) -> Attributes:
        version = properties["DeploymentPreference"]["StateMachineVersionArn"]
        alias = boto3.client("stepfunctions").create_state_machine_alias(
            name=properties["Name"], routingConfiguration=[{"stateMachineVersionArn": version, "weight": 100}]
        )["stateMachineAliasArn"]
        return {"Ref": alias, "Arn": alias}

    def _database(self, name: str, properties: Json) -> Attributes:
        database = properties["DatabaseName"]
        self._time_series().create_database(DatabaseName=database)
        return {"Ref": database, "Arn": f"arn:aws:timestream:{REGION}:{ACCOUNT}:database/{database}"}

    def _time_series_table(self, name: str, properties: Json) -> Attributes:
        database, table = properties["DatabaseName"], properties["TableName"]
        kept = {period: int(length) for period, length in properties["RetentionProperties"].items()}
        self._time_series().create_table(
            DatabaseName=database,
            TableName=table,
            RetentionProperties=kept,
            MagneticStoreWriteProperties=properties["MagneticStoreWriteProperties"],
        )
        return {"Ref": table, "Arn": f"arn:aws:timestream:{REGION}:{ACCOUNT}:database/{database}/table/{table}"}

    def _time_series(self) -> Any:
        return boto3.client("timestream-write", endpoint_url=self.timestream)

    _makers: Final[Mapping[str, Callable[["Deployed", str, Json], Attributes]]] = {
        "AWS::KMS::Key": _key,
        "AWS::IAM::Role": _role,
        "AWS::Logs::LogGroup": _log_group,
        "AWS::DynamoDB::Table": _table,
        "AWS::S3::Bucket": _bucket,
        "AWS::SQS::Queue": _queue,
        "AWS::SNS::Topic": _topic,
        "AWS::SecretsManager::Secret": _secret,
        "AWS::Lambda::Function": _function,
        "AWS::Lambda::Version": _function_version,
        "AWS::Lambda::Alias": _function_alias,
        "AWS::StepFunctions::StateMachine": _state_machine,
        "AWS::StepFunctions::StateMachineVersion": _version,
        "AWS::StepFunctions::StateMachineAlias": _alias,
        "AWS::Timestream::Database": _database,
        "AWS::Timestream::Table": _time_series_table,  # after its database
    }


@contextmanager
def deployed(synthesis: Synthesis, directory: Path, faults: Faults | None = None) -> Iterator[Deployed]:
    """Make the stage for the length of a `with` block; `directory` keeps its time series."""
    host = DeployedHost(synthesis, faults)
    with ExitStack() as stack:
        engine = stack.enter_context(LocalEngine(host, retry_delay_scale=0.001))
        timestream = stack.enter_context(LocalTimestream(directory / "timestream.duckdb"))
        through_the_alias: Callable[..., Any] = _through_the_alias  # botocore takes what a hook returns
        by_name: Callable[..., Any] = host.by_name
        engine.session.events.register("provide-client-params.stepfunctions.StartExecution", through_the_alias)
        engine.session.events.register("provide-client-params.lambda.Invoke", by_name)
        stack.enter_context(patch("common.config.os", host.process))
        host.everywhere |= {f"AWS_ENDPOINT_URL_TIMESTREAM_{side}": timestream.endpoint for side in ("WRITE", "QUERY")}
        forget()
        stack.callback(forget)
        stack.callback(host.wait_idle, 10.0)
        stack.callback(engine.end_waits)
        yield Deployed(synthesis, host, timestream.endpoint)


def _through_the_alias(params: Json, **_: object) -> Json:
    """Let a start through an alias, which moto knows but cannot start, be one of its state machine; refuse others.

    The role of whoever starts is permitted the alias alone.
    """
    client = boto3.client("stepfunctions")
    alias = client.describe_state_machine_alias(stateMachineAliasArn=params["stateMachineArn"])
    (route,) = alias["routingConfiguration"]
    return {**params, "stateMachineArn": route["stateMachineVersionArn"].rpartition(":")[0]}


def _is_function(value: Json) -> bool:
    return len(value) == 1 and all(name == "Ref" or name.startswith("Fn::") for name in value)


def _function(resource: Resource) -> tuple[str, LambdaFunction]:
    """Return a deployed function's name, and what is called by it: the template's handler, in the template's time."""
    properties = resource.properties
    name: str = properties["FunctionName"]
    registered = FUNCTIONS[name.rpartition("-")[2]]
    return name, replace(
        registered,
        handler=properties["Handler"],
        timeout_seconds=properties["Timeout"],
        memory_mb=properties["MemorySize"],
    )
