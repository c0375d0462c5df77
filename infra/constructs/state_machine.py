"""The state machine of the calculation, as its definition file has it, and what stands around it."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.constructs.encryption import allow
from infra.constructs.findings import acknowledge
from infra.constructs.functions import Function, log_retention
from infra.constructs.queues import PrivateQueue
from infra.settings import StageSettings
from workflows.definitions import render
from workflows.registry import BACKFILL_QUEUE

NAME: Final = "performance-calculation"
LIVE: Final = "live"


class CalculationStateMachine(Construct):
    """The state machine, a version for each definition that was ever deployed, and the alias that starts go through.

    Parameters
    ----------
    functions
        By the placeholders of the definition.
    backfill
        The queue for results that the time series lacks.

    Attributes
    ----------
    state_machine, alias, log_group, name
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        functions: Mapping[str, Function],
        backfill: PrivateQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name = f"{settings.prefix}-{NAME}"
        arns = {placeholder: each.function.function_arn for placeholder, each in functions.items()}
        self.log_group = logs.LogGroup(
            self,
            "Log",
            # Below this name a log group needs no entry of its own in the account's one policy of limited length.
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=log_retention(settings),
            removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
        )
        self.state_machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            # From a string, so that the definition stands in the template, where tests and linters see it.
            definition_body=sfn.DefinitionBody.from_string(render(NAME, arns | {BACKFILL_QUEUE: backfill.url})),
            state_machine_type=sfn.StateMachineType.STANDARD,
            logs=sfn.LogOptions(destination=self.log_group, level=sfn.LogLevel.ALL, include_execution_data=False),
            tracing_enabled=True,
        )
        role = self.state_machine.role
        allow(role, ["lambda:InvokeFunction"], list(arns.values()))
        backfill.allow_send(role)
        acknowledge(
            role,
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
        allow(role, ["states:DescribeExecution"], [self._executions()])
        acknowledge(
            role,
            "Executions are named by whoever starts them; all are of this one state machine.",
            "AwsSolutions-IAM5[Resource::"
            f"arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:{self.name}:*]",
        )

    def allow_list(self, role: iam.Role) -> None:
        """Let `role` list the executions."""
        allow(role, ["states:ListExecutions"], [self.state_machine.state_machine_arn])

    def _executions(self) -> str:
        return Stack.of(self).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
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
