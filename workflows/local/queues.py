"""What moto's SQS forgets with the process: a message is a file until it is deleted, and sent again at the start."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import boto3

from common.json_types import JsonObject

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_OPERATIONS: Final = ("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch")
# What a message consists of, among the parameters of the call that sends it.
_MESSAGE: Final = ("MessageBody", "MessageAttributes")


class KeptQueues:
    """Keeps the messages that clients of `session` send.

    Delivery is at least once, as SQS has it: a process killed between sending a kept message again and forgetting its
    old file leaves both.

    Parameters
    ----------
    directory
        A directory for each queue in it, a file for each message.
    session
        Clients that it makes from now on are watched.
    """

    def __init__(self, directory: Path, session: boto3.Session) -> None:
        self._directory = directory
        self._received: dict[str, Path] = {}
        for operation in _OPERATIONS:
            session.events.register(f"before-call.sqs.{operation}", _remember)
            session.events.register(f"after-call.sqs.{operation}", self._follow)

    def restore(self, client: "SQSClient", queue_url: str) -> None:
        """Send what was kept of a queue that has just been made."""
        kept = sorted(self._messages(queue_url).glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
        for path in kept:
            client.send_message(QueueUrl=queue_url, **json.loads(path.read_text(encoding="utf-8")))
            path.unlink()

    def _follow(
        self, http_response: Any, parsed: JsonObject, model: Any, context: Mapping[str, Any], **_: object
    ) -> None:
        if http_response.status_code >= 300:
            return
        request = context["kept_request"]
        messages = self._messages(request["QueueUrl"])
        match model.name:
            case "SendMessage":
                self._keep(messages, parsed["MessageId"], request)
            case "SendMessageBatch":
                entries = {entry["Id"]: entry for entry in request["Entries"]}
                for sent in parsed.get("Successful", ()):
                    self._keep(messages, sent["MessageId"], entries[sent["Id"]])
            case "ReceiveMessage":
                for message in parsed.get("Messages", ()):
                    self._received[message["ReceiptHandle"]] = messages / f"{message['MessageId']}.json"
            case "DeleteMessage":
                self._forget(request["ReceiptHandle"])
            case "DeleteMessageBatch":
                handles = {entry["Id"]: entry["ReceiptHandle"] for entry in request["Entries"]}
                for deleted in parsed.get("Successful", ()):
                    self._forget(handles[deleted["Id"]])

    def _keep(self, messages: Path, message_id: str, request: Mapping[str, Any]) -> None:
        messages.mkdir(parents=True, exist_ok=True)
        message = {name: request[name] for name in _MESSAGE if name in request}
        # Written whole before it has its name: a process killed meanwhile leaves no half message.
        unfinished = messages / f"{message_id}.new"
        unfinished.write_text(json.dumps(message), encoding="utf-8")
        unfinished.rename(messages / f"{message_id}.json")

    def _forget(self, receipt_handle: str) -> None:
        if path := self._received.pop(receipt_handle, None):
            path.unlink(missing_ok=True)

    def _messages(self, queue_url: str) -> Path:
        return self._directory / quote(queue_url.rsplit("/", 1)[-1], safe="")


def _remember(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
    context["kept_request"] = json.loads(params["body"])
