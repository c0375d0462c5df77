"""Transactions on their way to the queue: full calls, and again what was not taken."""

import json
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from common.config import QueueSettings
from common.errors import StoreError, ThrottledError, TransientError
from workflows.triggers.api.transaction_sender import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    FIRST_WAIT,
    SEND_ATTEMPTS,
    SqsTransactionSender,
    transaction_sender,
)


class FakeSqs:
    """SQS, with what it answers next: the ids of entries that fail, or an error."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[list[str]] = []

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        assert call["QueueUrl"] == "url"
        entries = call["Entries"]
        assert len({entry["Id"] for entry in entries}) == len(entries)
        self.calls.append([entry["MessageBody"] for entry in entries])
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        failed = [
            {"Id": each["Id"], "Code": "InternalError", "SenderFault": answer[each["MessageBody"]], "Message": "no"}
            for each in entries
            if each["MessageBody"] in answer
        ]
        return {"Failed": failed} if failed else {}


def send(sqs: FakeSqs, *messages: str) -> list[float]:
    """Send, and return how long was waited each time."""
    waits: list[float] = []
    SqsTransactionSender(cast("Any", sqs), "url", sleep=waits.append).send(messages)
    return waits


def test_nothing_is_no_call() -> None:
    sqs = FakeSqs()
    send(sqs)
    assert sqs.calls == []


def test_a_call_takes_ten_messages() -> None:
    sqs = FakeSqs()
    assert send(sqs, *(f"m-{number}" for number in range(23))) == []
    assert [len(call) for call in sqs.calls] == [10, 10, 3]
    assert [message for call in sqs.calls for message in call] == [f"m-{number}" for number in range(23)]


@given(lengths=st.lists(st.integers(1, BATCH_BYTES), max_size=30), letter=st.sampled_from("aé"))
def test_no_call_is_larger_than_the_service_takes(lengths: list[int], letter: str) -> None:
    sqs = FakeSqs()
    messages = [letter * (length // len(letter.encode()) or 1) for length in lengths]
    send(sqs, *messages)
    assert [message for call in sqs.calls for message in call] == messages
    for call in sqs.calls:
        assert 1 <= len(call) <= BATCH_MESSAGES
        assert sum(len(message.encode()) for message in call) <= BATCH_BYTES


def test_only_what_failed_is_sent_again_after_a_wait() -> None:
    sqs = FakeSqs({"b": False, "c": False}, {"c": False})
    waits = send(sqs, "a", "b", "c")
    assert sqs.calls == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert len(waits) == 2
    assert 0 <= waits[0] <= FIRST_WAIT
    assert 0 <= waits[1] <= 2 * FIRST_WAIT


def test_what_is_never_taken_is_a_passing_fault() -> None:
    sqs = FakeSqs(*[{"b": False}] * SEND_ATTEMPTS)
    with pytest.raises(TransientError, match="1 messages not taken after 4 attempts"):
        send(sqs, "a", "b")
    assert len(sqs.calls) == SEND_ATTEMPTS


def test_what_the_queue_refuses_is_not_sent_again() -> None:
    sqs = FakeSqs({"b": True})
    with pytest.raises(StoreError, match="SQS: InternalError: no"):
        send(sqs, "a", "b")
    assert len(sqs.calls) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientError({"Error": {"Code": "RequestThrottled"}}, "SendMessageBatch"), ThrottledError),
        (ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessageBatch"), TransientError),
        (EndpointConnectionError(endpoint_url="x"), TransientError),
        (ClientError({"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue"}}, "SendMessageBatch"), StoreError),
    ],
)
def test_errors_are_typed(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught:
        send(FakeSqs(error), "a")
    assert caught.type is expected


@pytest.fixture
def queue_url(credentials: None) -> Iterator[str]:
    with mock_aws():
        yield boto3.client("sqs").create_queue(QueueName="transactions")["QueueUrl"]
    transaction_sender.cache_clear()


def test_the_queue_of_the_settings(queue_url: str) -> None:
    settings = QueueSettings.from_env({"TRANSACTION_QUEUE_URL": queue_url})
    assert transaction_sender(settings) is transaction_sender(settings)
    transaction_sender(settings).send([json.dumps({"number": number}) for number in range(12)])
    client, received = boto3.client("sqs"), []
    while messages := client.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        received += [json.loads(message["Body"])["number"] for message in messages]
    assert sorted(received) == list(range(12))
