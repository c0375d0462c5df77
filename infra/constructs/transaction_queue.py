"""The queue of transactions, between whoever sends them and the books."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from infra.constructs.encryption import EncryptionKey
from infra.constructs.functions import Function
from infra.constructs.queues import PrivateQueue
from workflows.registry import TRIGGERS

BATCH_MESSAGES: Final = 10
BATCHING_SECONDS: Final = 5
MAX_CONSUMERS: Final = 10  # transactions of one portfolio that are entered at a time stand in each other's way
MAX_RECEIVE_COUNT: Final = 5
# AWS's advice: a message stays hidden while Lambda gathers its batch and tries to hand it over six times.
VISIBILITY: Final = Duration.seconds(6 * TRIGGERS["TransactionQueue"].timeout_seconds + BATCHING_SECONDS)


class TransactionQueue(Construct):
    """The queue, its dead-letter queue, and how its function is fed.

    Attributes
    ----------
    messages, dead_letters
    """

    def __init__(self, scope: Construct, construct_id: str, encryption: EncryptionKey) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = PrivateQueue(
            self, "DeadLetters", encryption, ends_here="It is the dead-letter queue of the transactions."
        )
        self.messages = PrivateQueue(
            self,
            "Messages",
            encryption,
            visibility=VISIBILITY,
            dead_letters=self.dead_letters,
            max_receive_count=MAX_RECEIVE_COUNT,
        )

    def feed(self, consumer: Function) -> None:
        """Hand batches to `consumer`, which names the messages that failed: only they come again."""
        consumer.alias.add_event_source(
            event_sources.SqsEventSource(
                self.messages.queue,
                batch_size=BATCH_MESSAGES,
                max_batching_window=Duration.seconds(BATCHING_SECONDS),
                max_concurrency=MAX_CONSUMERS,
                report_batch_item_failures=True,
            )
        )
