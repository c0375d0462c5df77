"""What is started by the clock."""

import json
from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.constructs.encryption import allow
from infra.constructs.functions import Function
from infra.constructs.queues import PrivateQueue

SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"
"""EventBridge Scheduler puts in the time that was meant: the same however often it has to try."""

_RETRIES: Final = 10
_MAX_AGE_SECONDS: Final = 3600


class Schedule(Construct):
    """A schedule that calls a function with the time it was meant for.

    Parameters
    ----------
    expression
        `cron(...)` or `rate(...)`.
    event
        What the function is told besides `time`.
    undelivered
        Where an event goes that Lambda would not take.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        description: str,
        expression: str,
        function: Function,
        undelivered: PrivateQueue,
        time_zone: str = "UTC",
        event: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}}
            ),
        )
        allow(role, ["lambda:InvokeFunction"], [function.arn])
        undelivered.allow_send(role)
        # CDK's own target would permit every version of the function.
        self.schedule = scheduler.CfnSchedule(
            self,
            "Schedule",
            description=description,
            schedule_expression=expression,
            schedule_expression_timezone=time_zone,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=function.arn,
                role_arn=role.role_arn,
                input=json.dumps({"time": SCHEDULED_TIME, **(event or {})}),
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_retry_attempts=_RETRIES, maximum_event_age_in_seconds=_MAX_AGE_SECONDS
                ),
                dead_letter_config=scheduler.CfnSchedule.DeadLetterConfigProperty(arn=undelivered.arn),
            ),
        )
        self.schedule.node.add_dependency(role)
