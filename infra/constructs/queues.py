"""Queues: encrypted, over TLS alone, and kept for as long as SQS keeps anything."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.encryption import READ, WRITE, EncryptionKey, allow
from infra.constructs.findings import acknowledge

RETENTION: Final = Duration.days(14)  # the specification's, and SQS's most


class PrivateQueue(Construct):
    """A queue.

    Parameters
    ----------
    visibility
        How long a message that was received is nobody else's.
    dead_letters
        Where messages go that were received `max_receive_count` times; else `ends_here` says why there is none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        encryption: EncryptionKey,
        *,
        visibility: Duration | None = None,
        dead_letters: "PrivateQueue | None" = None,
        max_receive_count: int = 5,
        ends_here: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        self.queue: sqs.Queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=encryption.key,
            data_key_reuse=Duration.minutes(5),
            enforce_ssl=True,
            retention_period=RETENTION,
            visibility_timeout=visibility,
            dead_letter_queue=sqs.DeadLetterQueue(max_receive_count=max_receive_count, queue=dead_letters.queue)
            if dead_letters
            else None,
        )
        if ends_here:
            acknowledge(self.queue, ends_here, "AwsSolutions-SQS3")

    @property
    def arn(self) -> str:
        """The queue's ARN."""
        return self.queue.queue_arn

    @property
    def url(self) -> str:
        """The queue's URL."""
        return self.queue.queue_url

    def allow_send(self, grantee: iam.IGrantable) -> None:
        """Let `grantee` send messages."""
        allow(grantee, ["sqs:SendMessage"], [self.arn])
        self._encryption.allow(grantee, "sqs", [*READ, *WRITE])
