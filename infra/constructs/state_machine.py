"""The state machines, as their definition files have them, and what stands around them."""

import json
from collections.abc import Mapping
from typing import Final

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.constructs.buckets import PayloadBucket
from infra.constructs.encryption import allow
from infra.constructs.findings import acknowledge
from infra.constructs.functions import Function, log_retention
from infra.constructs.notifications import Notifications
from infra.constructs.queues import PrivateQueue
from infra.settings import StageSettings
from workflows.definitions import load, render
from workflows.registry import (
    BACKFILL_QUEUE,
    BATCH_EXECUTION_TYPE,
    BATCHES,
    CALCULATION,
    FLEET,
    NOTIFICATION_TOPIC,
    PLACEHOLDERS,
)

LIVE: Final = "live"


class StateMachine(Construct):
    """A state machine, a version for each definition that was ever deployed, and the alias that starts go through.

    Parameters
    ----------
    machine
        As in `workflows.registry.STATE_MACHINES`.
    functions
        By the placeholders of the definition, more than it has.
    backfill
        The queue for results that the time series lacks.
    values
        What else the definition has to be told, by its placeholders.

    Attributes
    ----------
    state_machine, alias, log_group, name
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        machine: str,
        *,
        functions: Mapping[str, Function],
        backfill: PrivateQueue,
        values: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name = f"{settings.prefix}-{machine}"
        called = {each: function.arn for each, function in functions.items() if each in PLACEHOLDERS[machine]}
        self.log_group = logs.LogGroup(
            self,
            "Log",
            # Below this name a log group needs no entry of its own in the account's one policy of limited length.
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=log_retention(settings),
            removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
        )
        filled = render(machine, {**called, BACKFILL_QUEUE: backfill.url, **(values or {})})
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            # From a string, so that the definition stands in the template, where tests and linters see it.
            definition_body=sfn.DefinitionBody.from_string(filled),
            state_machine_type=sfn.StateMachineType.STANDARD,
            logs=sfn.LogOptions(destination=self.log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
            tracing_enabled=True,
        )
        self.role = self.state_machine.role
        allow(self.role, ["lambda:InvokeFunction"], list(called.values()))
        backfill.allow_send(self.role)
        acknowledge(
            self.role,
            "X-Ray and the delivery of logs know no resources.",
            "AwsSolutions-IAM5[Resource::*]",
        )
        self.alias = self._live()

    def allow_start(self, role: iam.Role) -> None:
        """Let `role` start executions of the live version, and see what became of them."""
        # Step Functions authorises an alias by the state machine's own ARN; the qualifier is a condition.
        allow(
            role,
            ["states:StartExecution"],
            [self.state_machine.state_machine_arn],
            {"ForAnyValue:StringEquals": {"states:StateMachineQualifier": [LIVE]}},
        )
        self._allow_describe(role)

    def allow_list(self, role: iam.Role) -> None:
        """Let `role` list the executions, and see what became of each."""
        allow(role, ["states:ListExecutions"], [self.state_machine.state_machine_arn])
        self._allow_describe(role)

    def _allow_describe(self, role: iam.Role) -> None:
        allow(role, ["states:DescribeExecution"], [self._arn("execution", f"{self.name}:*")])
        acknowledge(
            role,
            "Executions are named by whoever starts them; all are of this one state machine.",
            _wildcard(f"execution:{self.name}:*"),
        )

    def _arn(self, resource: str, name: str) -> str:
        """Return an ARN of Step Functions by its name, which refers to no resource that it could wait for."""
        return Stack.of(self).format_arn(
            service="states", resource=resource, resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )

    def _live(self) -> sfn.CfnStateMachineAlias:
        machine = self.state_machine.node.default_child
        assert isinstance(machine, sfn.CfnStateMachine)
        version = sfn.CfnStateMachineVersion(
            self,
            "Version",
            state_machine_arn=self.state_machine.state_machine_arn,
            state_machine_revision_id=machine.attr_state_machine_revision_id,
        )
        # Older versions stay, so that the alias can be turned back to one.
        version.apply_removal_policy(RemovalPolicy.RETAIN)
        return sfn.CfnStateMachineAlias(
            self,
            "Alias",
            name=LIVE,
            deployment_preference=sfn.CfnStateMachineAlias.DeploymentPreferenceProperty(
                state_machine_version_arn=version.attr_arn, type="ALL_AT_ONCE"
            ),
        )


class CalculationStateMachine(StateMachine):
    """The calculation: of some hundred portfolios at a time."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        functions: Mapping[str, Function],
        backfill: PrivateQueue,
    ) -> None:
        super().__init__(scope, construct_id, settings, CALCULATION, functions=functions, backfill=backfill)


class FleetStateMachine(StateMachine):
    """The fleet run: its batches are child executions, which it starts and whose results it writes down by itself.

    Parameters
    ----------
    payloads
        Where the list of batches is, and where their results go.
    notifications
        Who hears how a run has ended.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        functions: Mapping[str, Function],
        backfill: PrivateQueue,
        payloads: PayloadBucket,
        notifications: Notifications,
    ) -> None:
        values = {
            NOTIFICATION_TOPIC: notifications.topic.topic_arn,
            BATCH_EXECUTION_TYPE: settings.batch_execution_type,
        }
        super().__init__(scope, construct_id, settings, FLEET, functions=functions, backfill=backfill, values=values)
        notifications.allow_publish(self.role)
        payloads.allow_map_run(self.role)
        self._allow_batches()

    def _allow_batches(self) -> None:
        """Let the role do what a distributed Map does; of a definition in a text CDK does not know that it has one.

        The state machine waits for the policy of its role, so the policy names it and does not refer to it.
        """
        label = json.loads(load(FLEET))["States"][BATCHES]["Label"]
        executions, batches = f"{self.name}:*", f"{self.name}/{label}:*"
        allow(self.role, ["states:StartExecution"], [self._arn("stateMachine", self.name)])
        # The Developer Guide has the first; the second is what a child execution is called.
        named = [self._arn("execution", each) for each in (executions, batches)]
        allow(self.role, ["states:DescribeExecution", "states:StopExecution"], named)
        allow(self.role, ["states:RedriveExecution"], [self._arn("execution", batches)])
        acknowledge(
            self.role,
            "Step Functions names the executions of batches; all are of this one state machine.",
            *(_wildcard(f"execution:{each}") for each in (executions, batches)),
        )


def _wildcard(resource: str) -> str:
    return f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:{resource}]"
