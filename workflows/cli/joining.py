"""A run of `perfcalc run` that another process of this machine has under way already: followed, not started again."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from common.errors import InputNotFoundError
from common.stores.ports import PayloadStore
from workflows.cli.app import Stopped, err, typed
from workflows.deployed import Announcement, RemoteWorld
from workflows.execution_history import Progress
from workflows.executions import Execution, ExecutionClient
from workflows.local.lock import DataDirectoryInUseError
from workflows.local.opening import PATIENCE_SECONDS, POLL_SECONDS, OpenRuntime, opened_to_read
from workflows.local.sharing import announced

# Commands that keep the files of a fleet run once it is over, and end then.
_KEEPERS: Final = frozenset({"nightly", "run", "upload"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedWorld(RemoteWorld):
    """The world that another process has open, in which a request that it has under way can be followed."""

    payload_store: PayloadStore
    payload_bucket: str


class JoinedExecutions(ExecutionClient):
    """The executions of a state machine of another process, among which that of a request is looked for.

    Parameters
    ----------
    executions
        The executions as they are read.
    data_dir
        Where they are kept.
    refusal
        Raised where the request is not under way.
    since
        When the command began: what has ended since then was under way.
    keeps_files
        Whether the process that runs them keeps files of them when they are over.
    """

    def __init__(
        self,
        executions: ExecutionClient,
        data_dir: Path,
        refusal: DataDirectoryInUseError,
        since: datetime,
        *,
        keeps_files: bool,
    ) -> None:
        super().__init__(executions.client, executions.state_machine_arn, poll_seconds=POLL_SECONDS)
        self._data_dir = data_dir
        self._refusal = refusal
        self._since = since
        self._keeps_files = keeps_files

    def start_or_attach(self, request: Mapping[str, Any]) -> Execution:
        """Return the execution of `request` that is under way.

        Raises
        ------
        DataDirectoryInUseError
            There is none, and none can be started.
        """
        found = self.under_way(request, since=self._since)
        if found is None:
            raise self._refusal
        err.print(f"{found.name} is under way in process {self._pid}: followed to its end", style="dim")
        return found

    def wait(self, name: str, *, on_progress: Progress | None = None, timeout: float | None = None) -> Execution:
        """Wait for the end of an execution, and until its files are kept."""
        try:
            ended = super().wait(name, on_progress=on_progress, timeout=timeout)
            if self._keeps_files:
                self._wait_for_files()
        except Stopped:
            step = typed("watch", name, data_dir=self._data_dir)
            err.print(f"{name} goes on in process {self._pid}; to follow it: {step}", style="dim")
            raise
        return ended

    @property
    def _pid(self) -> int | None:
        return self._refusal.holder.pid if self._refusal.holder else None

    def _wait_for_files(self) -> None:
        holder = self._refusal.holder
        deadline = time.monotonic() + PATIENCE_SECONDS
        while holder and holder.command in _KEEPERS and time.monotonic() < deadline:
            found = announced(self._data_dir)
            if found is None or found.pid != holder.pid:
                return
            time.sleep(POLL_SECONDS)


class _NothingStaged:
    """Takes what a request refers to without keeping it: whoever has the request under way has put it somewhere."""

    def put(self, key: str, body: bytes) -> None:
        """Do nothing: what is put is named by its content, and so is the request that names it."""

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Do nothing, as `put`."""

    def get(self, key: str) -> bytes:
        """Find nothing."""
        self._fail(key)

    def get_uri(self, uri: str, *, max_bytes: int, version: str | None = None) -> bytes:  # noqa: ARG002 - the port's
        """Find nothing."""
        self._fail(uri)

    def open_uri(self, uri: str) -> BinaryIO:
        """Find nothing."""
        self._fail(uri)

    def keys(self, prefix: str) -> Iterator[str]:  # noqa: ARG002 - the port's signature
        """Find nothing."""
        return iter(())

    @staticmethod
    def _fail(name: str) -> NoReturn:
        raise InputNotFoundError(f"{name} is in the memory of another process")


@contextmanager
def joined(
    data_dir: Path,
    open_runtime: OpenRuntime,
    announcement: Announcement,
    refusal: DataDirectoryInUseError,
    since: datetime,
) -> Iterator[JoinedWorld]:
    """Open the world of the process that has `data_dir` open, as one that the same request can be run in.

    Parameters
    ----------
    data_dir, open_runtime
        As `workflows.local.opening.opened_to_read`.
    announcement, refusal
        What the process has told, and what it is to whoever wants the directory for something else.
    since
        When the command began.
    """
    with opened_to_read(data_dir, open_runtime) as world:
        yield JoinedWorld(
            executions=JoinedExecutions(world.executions, data_dir, refusal, since, keeps_files=False),
            fleet=JoinedExecutions(world.fleet, data_dir, refusal, since, keeps_files=True),
            result_store=world.result_store,
            books=world.books,
            time_series_reader=world.time_series_reader,
            lines=world.describe(),
            payload_store=_NothingStaged(),
            payload_bucket=announcement.payload_bucket,
        )
