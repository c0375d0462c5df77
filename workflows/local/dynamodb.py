"""A DynamoDB that keeps its data: ExtendDB where its binary is, otherwise moto and a journal of what was written."""

import base64
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

import boto3

from common.errors import PermanentError
from common.json_types import JsonObject

PROJECT_ROOT: Final = Path(__file__).parents[2]
BINARY: Final = Path("node_modules/@extenddb/linux-x64/extenddb")
# ExtendDB checks signatures, with the key that AWS's documentation shows everywhere.
ACCESS_KEY: Final = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105 - the published example

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

# Requests that change data.
MUTATIONS: Final = ("UpdateItem", "PutItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems", "CreateTable")


class LocalDynamoDBError(PermanentError):
    """The local DynamoDB could not be started."""


class LocalDynamoDB:
    """A DynamoDB for the length of a `with` block.

    Parameters
    ----------
    directory
        Keeps the data.
    session
        Whose clients write: moto's journal listens there. boto3's default one when None.
    binary
        ExtendDB; looked for in the project and on the PATH when None.

    Attributes
    ----------
    endpoint : str or None
        Where it answers; None is moto, inside this process.
    description : str
        Which engine it is, and why.
    """

    def __init__(self, directory: Path, *, session: boto3.Session | None = None, binary: Path | None = None) -> None:
        self._directory = directory
        self._session = session
        self._binary = binary or find_extenddb()
        self._exit = ExitStack()
        self.endpoint: str | None = None
        self.description = ""

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._binary is not None:
            self.endpoint = self._exit.enter_context(_ExtendDB(self._binary, self._directory)).endpoint
            self.description = f"DynamoDB: ExtendDB, data in {self._directory}"
        else:
            self._exit.enter_context(_Journal(self._directory / "journal.jsonl", self._session or _default_session()))
            self.description = (
                f"DynamoDB: moto, kept in {self._directory / 'journal.jsonl'} (ExtendDB is not installed: `npm ci`)"
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()


def find_extenddb() -> Path | None:
    """Return ExtendDB's binary, from the project's node_modules or the PATH."""
    installed = PROJECT_ROOT / BINARY
    if sys.platform == "linux" and os.access(installed, os.X_OK):
        return installed
    found = shutil.which("extenddb")
    return Path(found) if found else None


class _ExtendDB:
    """ExtendDB as a child process that ends with this one, however this one ends."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._port = _free_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        log = self._directory / "extenddb.log"
        settings = {
            "EXTENDDB__SERVER__PORT": str(self._port),
            "EXTENDDB__SERVER__BIND_ADDR": "127.0.0.1",
            "EXTENDDB__STORAGE__SQLITE__PATH": str((self._directory / "extenddb.sqlite").resolve()),
        }
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - a binary of the project's own
                [str(self._binary.resolve()), "serve", "--foreground"],
                cwd=self._directory,
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for this process, which stops its child once it has finished with it.
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - only two system calls, before exec
            )
        self._await_answer(log)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _await_answer(self, log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self._process.kill()
        self._process.wait()
        raise LocalDynamoDBError(f"ExtendDB did not start; {log} tells why")


class _Journal:
    """What moto forgets: every change of an item, one a line, made again at the next start.

    An update is kept as the item it left, and only the last state of an item is made again: replaying the updates
    themselves would take as long as all the runs before.
    """

    def __init__(self, path: Path, session: boto3.Session) -> None:
        self._path = path
        self._session = session
        self._lock = Lock()

    def __enter__(self) -> Self:
        self._client = self._session.client("dynamodb")
        self._restore()
        self._file = self._path.open("a", encoding="utf-8")
        for event, handler in self._hooks():
            self._session.events.register(event, handler)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for event, handler in self._hooks():
            self._session.events.unregister(event, handler)
        self._file.close()

    def _hooks(self) -> Iterator[tuple[str, Callable[..., None]]]:
        for operation in MUTATIONS:
            yield f"before-call.dynamodb.{operation}", self._remember
            yield f"after-call.dynamodb.{operation}", self._append

    def _remember(self, params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
        context["journal_request"] = params["body"].decode()

    def _append(self, http_response: Any, model: Any, context: Mapping[str, Any], **_: object) -> None:
        if http_response.status_code >= 300:
            return
        request = json.loads(context["journal_request"])
        # Read and written under one lock, an item's last line is its last state.
        with self._lock:
            lines = [_line(entry) for entry in self._entries(model.name, request)]
            self._file.writelines(lines)
            self._file.flush()

    def _entries(self, operation: str, request: Mapping[str, Any]) -> Iterator[JsonObject]:
        """Yield what a request changed, as tables made and items left."""
        match operation:
            case "CreateTable":
                yield {"create": request}
            case "PutItem":
                yield from self._items(request["TableName"], [request["Item"]])
            case "UpdateItem" | "DeleteItem":
                yield from self._items(request["TableName"], [request["Key"]])
            case "BatchWriteItem":
                for table, writes in request["RequestItems"].items():
                    changes = [change for write in writes for change in write.values()]
                    yield from self._items(table, [change.get("Item") or change["Key"] for change in changes])
            case "TransactWriteItems":
                changes = [change for action in request["TransactItems"] for change in action.values()]
                for change in changes:
                    yield from self._items(change["TableName"], [change.get("Item") or change["Key"]])

    def _items(self, table: str, holders: Sequence[JsonObject]) -> Iterator[JsonObject]:
        """Yield the items whose keys `holders` have, as they are now."""
        names = [part["AttributeName"] for part in self._client.describe_table(TableName=table)["Table"]["KeySchema"]]
        for holder in holders:
            key = {name: holder[name] for name in names}
            found = self._client.get_item(TableName=table, Key=key, ConsistentRead=True)
            yield {"table": table, "key": key, "item": found.get("Item")}

    def _restore(self) -> None:
        """Make the tables and items of the journal, and write it anew without what is superseded."""
        if not self._path.exists():
            return
        tables: dict[str, JsonObject] = {}
        items: dict[tuple[str, str], JsonObject] = {}
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    entry = json.loads(line, object_hook=_with_binary)
                except ValueError:
                    break  # half a line: the process was killed while it wrote it
                if "create" in entry:
                    tables[entry["create"]["TableName"]] = entry
                else:
                    items[entry["table"], json.dumps(entry["key"], sort_keys=True)] = entry
        kept = [entry for entry in items.values() if entry["item"] is not None]
        for entry in tables.values():
            self._client.create_table(**entry["create"])
        for entry in kept:
            self._client.put_item(TableName=entry["table"], Item=entry["item"])
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(_line(entry) for entry in (*tables.values(), *kept))
        fresh.replace(self._path)


def _line(entry: JsonObject) -> str:
    """Return an entry as a line of the journal; binary values as base64, like the protocol itself."""
    return json.dumps(entry, default=lambda value: base64.b64encode(value).decode()) + "\n"


def _with_binary(found: JsonObject) -> JsonObject:
    match found:
        case {"B": str(text)}:
            return {"B": base64.b64decode(text)}
        case _:
            return found


def _default_session() -> boto3.Session:
    """Return the session behind `boto3.client`, made now where there is none."""
    if boto3.DEFAULT_SESSION is None:
        boto3.setup_default_session()
    session = boto3.DEFAULT_SESSION
    assert session is not None
    return session


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what a child calls so that it ends when its parent does, `kill -9` included; Linux alone can."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the call above
            os.kill(os.getpid(), signal.SIGTERM)

    return prepare
