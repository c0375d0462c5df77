"""What calls functions on AWS without being asked: a queue's event source mapping, EventBridge."""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from workflows.local.lambda_host import ACCOUNT, REGION, FunctionError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BATCH_SIZE: Final = 10
_IDLE_SECONDS: Final = 0.2

Invoke = Callable[[str, bytes], bytes]


class QueueSource:
    """Hands the messages of a queue to a function, as an event source mapping does, in a thread of its own.

    Messages that the function names in `batchItemFailures` stay in the queue, and all of a batch when it failed as a
    whole; after the queue's visibility timeout they come again, and at last into its dead-letter queue.

    Parameters
    ----------
    sqs
        A client.
    queue_url
        The queue.
    invoke
        Calls a function by name.
    function
        The function's name.
    """

    def __init__(self, sqs: "SQSClient", queue_url: str, invoke: Invoke, function: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._invoke = invoke
        self._function = function
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"queue-{function}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def drain(self) -> int:
        """Hand on all messages that are visible now; return how many the function took."""
        taken = 0
        while received := self._receive():
            taken += self._hand_on(received)
        return taken

    def _run(self) -> None:
        while not self._stop.is_set():
            if received := self._receive():
                self._hand_on(received)
            else:
                self._stop.wait(_IDLE_SECONDS)

    def _receive(self) -> list["MessageTypeDef"]:
        answer = self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH_SIZE,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _hand_on(self, messages: list["MessageTypeDef"]) -> int:
        name = self._queue_url.rsplit("/", 1)[-1]
        records = [_record(message, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}") for message in messages]
        failed = {message["MessageId"] for message in messages}
        with suppress(FunctionError):
            answer: Any = json.loads(self._invoke(self._function, json.dumps({"Records": records}).encode()))
            failed = {each["itemIdentifier"] for each in (answer or {}).get("batchItemFailures", ())}
        done = [message for message in messages if message["MessageId"] not in failed]
        for message in done:
            self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        return len(done)


def _record(message: "MessageTypeDef", arn: str) -> dict[str, Any]:
    """Return a message as Lambda's event has it."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }


def object_created(bucket: str, key: str, body: bytes) -> dict[str, Any]:
    """Return the event by which EventBridge tells that an object was put."""
    return {
        **_envelope("aws.s3", "Object Created", [f"arn:aws:s3:::{bucket}"]),
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": len(body),
                "etag": hashlib.md5(body, usedforsecurity=False).hexdigest(),
                "sequencer": f"{time.time_ns():018X}",
            },
            "request-id": uuid.uuid4().hex[:16].upper(),
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            "reason": "PutObject",
        },
    }


def scheduled(moment: datetime, **details: Any) -> dict[str, Any]:
    """Return the event of a schedule that was due at `moment`."""
    arn = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/nightly"
    event = _envelope("aws.scheduler", "Scheduled Event", [arn])
    return {**event, "time": _text(moment), "detail": {}, **details}


def _envelope(source: str, detail_type: str, resources: list[str]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": ACCOUNT,
        "time": _text(datetime.now(UTC)),
        "region": REGION,
        "resources": resources,
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
