"""The files of fleet runs as the console reads them: out of a stage's bucket, or of this machine's data directory."""

import threading
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from common.errors import InputNotFoundError
from workflows.cli.fleet import fleet_report

if TYPE_CHECKING:
    from common.stores.ports import PayloadStore
    from workflows.console.fleet import FleetFile
    from workflows.world import World


class StagedFleetFiles:
    """Files where the run has put them; see `workflows.console.ports.FleetFiles`.

    Parameters
    ----------
    payloads
        Reads the bucket they are in.
    """

    def __init__(self, payloads: "PayloadStore") -> None:
        self._payloads = payloads

    def open(self, execution: str, file: "FleetFile") -> BinaryIO:  # noqa: ARG002 - the key has it
        """Open a file of an execution."""
        return self._payloads.open_uri(file.uri)

    def source(self, execution: str, file: "FleetFile") -> str:  # noqa: ARG002 - the key has it
        """Return what a request calls a file of an execution."""
        return file.uri

    def close(self) -> None:
        """Do nothing: they stay where they are."""


class KeptFleetFiles:
    """Files that are kept in the data directory, where the bucket ends with the process. To be closed.

    Parameters
    ----------
    data_dir
        Where they are kept.
    world
        In which runs may have ended whose files are not kept yet; None where it is another process's, which keeps them.
    """

    def __init__(self, data_dir: Path, world: "World | None") -> None:
        self._data_dir = data_dir
        self._world = world
        self._opened = datetime.now(UTC)
        self._lock = threading.Lock()
        # `fleet_report` asks for the settings of the command, of which a thread of the server knows nothing.
        self._context = copy_context()

    def open(self, execution: str, file: "FleetFile") -> BinaryIO:
        """Open a file of an execution."""
        return self._path(execution, file.name).open("rb")

    def source(self, execution: str, file: "FleetFile") -> str:
        """Return what a request calls a file of an execution."""
        return str(self._path(execution, file.name))

    def close(self) -> None:
        """Keep the files of what has ended while this was open."""
        if self._world is None:
            return
        for execution in self._world.fleet.list():
            if execution.started_at < self._opened:
                return
            if execution.finished:
                self._keep(execution.name)

    def _path(self, execution: str, name: str) -> Path:
        path = (self._data_dir / "fleet" / execution / name).resolve()
        if not path.is_file():
            self._keep(execution)
        if not path.is_file():
            raise InputNotFoundError(f"{path} is not there: the process that ran {execution} did not keep it.")
        return path

    def _keep(self, execution: str) -> None:
        if self._world is not None:
            with self._lock:
                found = self._world.fleet.describe(execution)
                self._context.run(fleet_report, self._world, found, self._data_dir)
