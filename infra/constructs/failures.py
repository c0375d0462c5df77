"""Who is told when an execution ends without success, whatever the state machine itself could catch."""

from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.constructs.encryption import EncryptionKey
from infra.constructs.queues import PrivateQueue
from infra.constructs.state_machine import CalculationStateMachine
from infra.settings import StageSettings


class Notifications(Construct):
    """The topic that people listen to; alarms may publish to it too."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings, encryption: EncryptionKey) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Topic", display_name=settings.prefix, master_key=encryption.key, enforce_ssl=True)
        # The rule's target lets EventBridge publish; alarms are made elsewhere. Both may use the key by that.
        self.topic.grant_publish(iam.ServicePrincipal("cloudwatch.amazonaws.com"))
        if settings.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))


class FailedExecutions(Construct):
    """A rule on executions that failed: `States.ALL` catches neither States.Runtime nor States.DataLimitExceeded."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        calculation: CalculationStateMachine,
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
                    "stateMachineArn": [calculation.state_machine.state_machine_arn],
                    "status": ["FAILED", "TIMED_OUT", "ABORTED"],
                },
            ),
        )
        name = events.EventField.from_path("$.detail.name")
        status = events.EventField.from_path("$.detail.status")
        self.rule.add_target(
            targets.SnsTopic(
                notifications.topic,
                # Not the event itself: it has the input, and so somebody's positions, in it.
                message=events.RuleTargetInput.from_text(f"Execution {name} of {calculation.name}: {status}"),
                dead_letter_queue=undelivered.queue,
            )
        )
