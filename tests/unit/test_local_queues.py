from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.local.engine import LocalEngine
from workflows.local.lambda_host import LambdaHost
from workflows.local.queues import KeptQueues

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import DeleteMessageBatchRequestEntryTypeDef


@contextmanager
def queue(directory: Path, *, name: str = "work") -> Iterator[tuple["SQSClient", str]]:
    """A queue in a world of its own, as after the start of a process."""
    with LocalEngine(LambdaHost({})) as engine:
        queues = KeptQueues(directory, engine.session)
        client = engine.session.client("sqs")
        url = client.create_queue(QueueName=name)["QueueUrl"]
        queues.restore(client, url)
        yield client, url


def bodies(client: "SQSClient", url: str) -> list[str]:
    answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    return [message["Body"] for message in answer.get("Messages", ())]


def test_a_message_outlives_the_process_until_it_is_deleted(tmp_path: Path) -> None:
    with queue(tmp_path) as (client, url):
        for body in ("a", "b", "c"):
            client.send_message(QueueUrl=url, MessageBody=body)
    with queue(tmp_path) as (client, url):
        first, *_ = client.receive_message(QueueUrl=url, MaxNumberOfMessages=1)["Messages"]
        client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    with queue(tmp_path) as (client, url):
        assert bodies(client, url) == ["b", "c"]
    with queue(tmp_path) as (client, url):
        assert bodies(client, url) == ["b", "c"]


def test_batches_are_kept_message_by_message(tmp_path: Path) -> None:
    with queue(tmp_path) as (client, url):
        client.send_message_batch(QueueUrl=url, Entries=[{"Id": body, "MessageBody": body} for body in "abc"])
    with queue(tmp_path) as (client, url):
        received = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        done: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": each["Body"], "ReceiptHandle": each["ReceiptHandle"]} for each in received if each["Body"] != "b"
        ]
        client.delete_message_batch(QueueUrl=url, Entries=done)
    with queue(tmp_path) as (client, url):
        assert bodies(client, url) == ["b"]


def test_attributes_are_kept(tmp_path: Path) -> None:
    with queue(tmp_path) as (client, url):
        client.send_message(
            QueueUrl=url, MessageBody="a", MessageAttributes={"tenant": {"DataType": "String", "StringValue": "c-1"}}
        )
    with queue(tmp_path) as (client, url):
        (message,) = client.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
        assert message["MessageAttributes"]["tenant"]["StringValue"] == "c-1"


def test_queues_are_kept_apart(tmp_path: Path) -> None:
    with queue(tmp_path, name="one") as (client, url):
        client.send_message(QueueUrl=url, MessageBody="a")
    with queue(tmp_path, name="other") as (client, url):
        assert bodies(client, url) == []


def test_a_message_half_written_by_a_killed_process_was_never_sent(tmp_path: Path) -> None:
    with queue(tmp_path) as (client, url):
        client.send_message(QueueUrl=url, MessageBody="a")
    (tmp_path / "work" / "0.new").write_text('{"Messa')
    with queue(tmp_path) as (client, url):
        assert bodies(client, url) == ["a"]
