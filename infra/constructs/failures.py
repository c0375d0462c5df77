"""Who is told when an execution ends without success, whatever the state machine itself could catch."""

from collections.abc import Sequence

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.constructs.notifications import Notifications
from infra.constructs.queues import PrivateQueue
from infra.constructs.state_machine import StateMachine


class FailedExecutions(Construct):
    """A rule on executions that failed: `States.ALL` catches neither States.Runtime nor States.DataLimitExceeded.

    To EventBridge the batches of a fleet run are another state machine's. They tell nobody: the run sums them up.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        machines: Sequence[StateMachine],
        notifications: Notifications,
        undelivered: PrivateQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        self.rule = events.Rule(
            self,
            "Rule",
            description="Executions that failed, timed out or were stopped",
            event_pattern=events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [each.state_machine.state_machine_arn for each in machines],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
        )
        arn = events.EventField.from_path("$.detail.executionArn")
        status = events.EventField.from_path("$.detail.status")
        self.rule.add_target(
            targets.SnsTopic(
                notifications.topic,
                # Not the event itself: it has the input, and so somebody's positions, in it.
                message=events.RuleTargetInput.from_text(f"Execution {arn}: {status}"),
                dead_letter_queue=undelivered.queue,
            )
        )
