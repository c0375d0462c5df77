"""Executions that outlive the process: each one a file of JSON lines, its description first, its events after it."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from common.json_types import JsonObject
from workflows.execution_names import MAX_NAME_CHARACTERS

RUNNING: Final = "RUNNING"
ABORTED: Final = "ABORTED"
MAP_RUNS: Final = "mapRuns"
_MOMENTS: Final = ("startDate", "stopDate", "timestamp")
_LISTED: Final = ("executionArn", "stateMachineArn", "name", "status", "startDate", "stopDate")
# A console asks for the list every few seconds, and for a long history page by page.
_LISTED_KEPT: Final = 50_000
_HISTORIES_KEPT: Final = 4
_EXECUTION_ARN_COLONS: Final = 7


class ExecutionArchive:
    """The files of finished executions, and of those that run.

    Parameters
    ----------
    directory
        Where they are; a directory for each state machine in it. One process at a time.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def recover(self, witness: Path | None = None) -> int:
        """Close what an earlier process left running when it was killed; return how many that were.

        Parameters
        ----------
        witness
            A file that whoever runs executions writes to all along, so that its last change tells how long that was.
        """
        seen = witness.stat().st_mtime if witness and witness.exists() else 0.0
        left = [path for path in self._directory.glob("*/*.jsonl") if _first_line(path)["status"] == RUNNING]
        for path in left:
            execution = _first_line(path)
            cause = "The process that ran this execution ended before it."
            # Nobody saw its end; the files were last written when it was alive.
            end = datetime.fromtimestamp(max(path.stat().st_mtime, seen), UTC)
            closed = {**execution, "status": ABORTED, "stopDate": end, "error": "Killed", "cause": cause}
            events = [_started(closed), aborted(closed, after=1)]
            self.save(closed, events)
        return len(left)

    def save(self, execution: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        """Write an execution with its events in the place of what is known of it."""
        path = self._path(execution["executionArn"])
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            for line in (execution, *events):
                file.write(json.dumps(line, default=_to_text, separators=(",", ":")) + "\n")
        os.replace(file.name, path)

    def find(self, arn: str) -> JsonObject | None:
        """Return the description of an execution, None when it is not known."""
        # A longer name is none of an execution, nor one that a file may have.
        if arn.count(":") != _EXECUTION_ARN_COLONS or len(arn.rsplit(":", 1)[1]) > MAX_NAME_CHARACTERS:
            return None
        path = self._path(arn)
        return _first_line(path) if path.exists() else None

    def events(self, arn: str) -> list[JsonObject]:
        """Return the events of an execution."""
        path = self._path(arn)
        return list(_events(path, path.stat().st_mtime_ns))

    def executions(self, state_machine_arn: str) -> Iterator[JsonObject]:
        """Yield of a state machine's executions what a list shows, in no order."""
        directory = self._directory / _file_name(machine_name(state_machine_arn))
        if directory.exists():
            with os.scandir(directory) as found:
                for file in found:
                    if file.name.endswith(".jsonl"):
                        yield _listed(Path(file.path), file.stat().st_mtime_ns)

    def _path(self, arn: str) -> Path:
        machine, name = arn.split(":")[6:8]
        return self._directory / _file_name(machine) / f"{_file_name(name)}.jsonl"


def _started(execution: Mapping[str, Any]) -> JsonObject:
    details = {"input": execution.get("input", "{}")}
    moment = execution["startDate"]
    return {
        "id": 1,
        "previousEventId": 0,
        "type": "ExecutionStarted",
        "timestamp": moment,
        "executionStartedEventDetails": details,
    }


def aborted(execution: Mapping[str, Any], *, after: int) -> JsonObject:
    """Return the last event of an execution that was stopped, behind that with the number `after`."""
    details = {key: execution[key] for key in ("error", "cause") if key in execution}
    moment = execution["stopDate"]
    return {
        "id": after + 1,
        "previousEventId": 0,
        "type": "ExecutionAborted",
        "timestamp": moment,
        "executionAbortedEventDetails": details,
    }


def _first_line(path: Path) -> JsonObject:
    with path.open(encoding="utf-8") as file:
        return _revive(file.readline())


@lru_cache(maxsize=_LISTED_KEPT)
def _listed(path: Path, _modified: int) -> JsonObject:
    """Return what a list shows of an execution, read once for each state of its file."""
    execution = _first_line(path)
    listed: JsonObject = {key: execution[key] for key in _LISTED if key in execution}
    return {**listed, MAP_RUNS: [run["mapRunArn"] for run in execution.get(MAP_RUNS, ())]}


@lru_cache(maxsize=_HISTORIES_KEPT)
def _events(path: Path, _modified: int) -> Sequence[JsonObject]:
    with path.open(encoding="utf-8") as file:
        next(file)
        return tuple(_revive(line) for line in file)


def _revive(line: str) -> JsonObject:
    return with_moments(json.loads(line))


def with_moments(document: JsonObject) -> JsonObject:
    """Return an execution, event or Map Run with its moments as such: in a file they are text."""
    moments = {key: datetime.fromisoformat(document[key]) for key in _MOMENTS if isinstance(document.get(key), str)}
    return {**document, **moments}


def _to_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} in an execution")


def machine_name(arn: str) -> str:
    """Return the name of a state machine."""
    return arn.split(":")[6]


def _file_name(name: str) -> str:
    # A dot is escaped too: an ARN comes from a person, and may not lead out of the directory.
    return quote(name, safe="").replace(".", "%2E")
