"""Transactions on their way to the queue."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from common.config import QueueSettings
from common.errors import StoreError, TransientError
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

BATCH_MESSAGES: Final = 10  # SendMessageBatch's limit on the messages of a call
BATCH_BYTES: Final = 256 * 1024  # and on their sum; queues made before August 2025 take no more
SEND_ATTEMPTS: Final = 4
FIRST_WAIT: Final = 0.1  # seconds; doubled each time

# Two attempts of at most 5 s: a caller waits 29 s for all the calls together.
PATIENCE: Final = Patience(attempts=2, connect_seconds=2, read_seconds=3)


class TransactionSender(Protocol):
    """Where transactions wait for being entered into the books.

    Raises
    ------
    ThrottledError, TransientError
        Some messages may be in the queue already; to send all of them again does no harm, since each transaction is
        entered once.
    StoreError
        The queue refuses a message for good.
    """

    def send(self, messages: Sequence[str]) -> None:
        """Send every message."""


class SqsTransactionSender:
    """The queue on SQS.

    Parameters
    ----------
    client
        A boto3 client of SQS.
    queue_url
        Where the messages go.
    sleep
        Waits between attempts at the entries of a batch that failed.
    """

    def __init__(self, client: "SQSClient", queue_url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._queue_url = queue_url
        self._sleep = sleep

    def send(self, messages: Sequence[str]) -> None:
        """Send every message, those first that come first."""
        for batch in _batches(messages):
            self._send(batch)

    def _send(self, messages: Sequence[str]) -> None:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(number), "MessageBody": message} for number, message in enumerate(messages)
        ]
        wait = FIRST_WAIT
        for attempt in range(SEND_ATTEMPTS):
            if attempt:
                self._sleep(random.uniform(0.0, wait))  # noqa: S311 - jitter is no secret
                wait *= 2
            with typed_errors("SQS"):
                answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            # A batch of which entries failed is answered with 200.
            failed = {each["Id"]: each for each in answer.get("Failed", ())}
            if refused := next((each for each in failed.values() if each["SenderFault"]), None):
                raise StoreError(f"SQS: {refused['Code']}: {refused.get('Message', '')}")
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
        raise TransientError(f"SQS: {len(entries)} messages not taken after {SEND_ATTEMPTS} attempts")


def _batches(messages: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield as many messages at a time as one call takes."""
    batch: list[str] = []
    size = 0
    for message in messages:
        length = len(message.encode())
        if batch and (len(batch) == BATCH_MESSAGES or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += length
    if batch:
        yield batch


@kept
def transaction_sender(settings: QueueSettings) -> SqsTransactionSender:
    """Return the queue of these settings; a warm function keeps it."""
    return SqsTransactionSender(aws_client("sqs", settings.sqs_endpoint, PATIENCE), settings.queue_url)
