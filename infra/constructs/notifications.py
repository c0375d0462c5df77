"""The topic that people listen to."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.constructs.encryption import READ, WRITE, EncryptionKey, allow
from infra.settings import StageSettings


class Notifications(Construct):
    """The topic that people listen to; alarms may publish to it too."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings, encryption: EncryptionKey) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        self.topic = sns.Topic(self, "Topic", display_name=settings.prefix, master_key=encryption.key, enforce_ssl=True)
        # The rule's target lets EventBridge publish; alarms are made elsewhere. Both may use the key by that.
        self.topic.grant_publish(iam.ServicePrincipal("cloudwatch.amazonaws.com"))
        if settings.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))

    def allow_publish(self, grantee: iam.IGrantable) -> None:
        """Let `grantee` send messages."""
        allow(grantee, ["sns:Publish"], [self.topic.topic_arn])
        self._encryption.allow(grantee, "sns", [*READ, *WRITE])
