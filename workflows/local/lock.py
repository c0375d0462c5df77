"""One process at a time in a data directory: DuckDB, ExtendDB and the archive each have one owner."""

import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from common.errors import TransientError

LOCK_FILE: Final = "lock"
_MAX_BYTES: Final = 256
# What there is to do besides waiting, where the process takes requests.
_INSTEAD: Final = {
    "serve": ", or send the request to its API",
    "console": ", or start the request in the console",
}


class Holder(NamedTuple):
    """Who works in a data directory."""

    pid: int
    since: datetime | None = None
    command: str | None = None
    """What it runs of perfcalc: `serve`."""


class DataDirectoryInUseError(TransientError):
    """Another process, or another runtime of this one, works in the data directory.

    Attributes
    ----------
    holder
        Who it is; None where it cannot be told.
    """

    def __init__(self, data_dir: Path, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(f"{data_dir} is in use by {_told(holder)}; {_remedy(holder)}")


class DataDirectoryLock:
    """Hold `data_dir` for the length of a `with` block.

    The kernel drops the lock with the process, so that nothing has to be cleared away after a kill -9.

    Parameters
    ----------
    data_dir
        Made where it is not there.
    command
        What of perfcalc holds it, for the message to others; None where it is not one of its commands.

    Raises
    ------
    DataDirectoryInUseError
        Somebody else holds it.
    """

    def __init__(self, data_dir: Path, command: str | None = None) -> None:
        self._data_dir = data_dir
        self._command = command
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = read_holder(descriptor)
            os.close(descriptor)
            raise DataDirectoryInUseError(self._data_dir, holder) from None
        os.ftruncate(descriptor, 0)
        lines = (str(os.getpid()), datetime.now(UTC).isoformat(), self._command or "")
        os.pwrite(descriptor, ("\n".join(lines) + "\n").encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            # The file stays: to unlink it would let a waiting process lock an inode nobody else can see.
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def read_holder(descriptor: int) -> Holder | None:
    """Return who has written into the lock's file; None while that is being done, or where it was another program."""
    pid, since, command = (os.pread(descriptor, _MAX_BYTES, 0).decode(errors="replace") + "\n\n\n").split("\n")[:3]
    with suppress(ValueError):
        return Holder(int(pid), datetime.fromisoformat(since) if since else None, command or None)
    return None


def _told(holder: Holder | None) -> str:
    if holder is None:
        return "another process"
    words = [f"process {holder.pid}"]
    if holder.command:
        words.append(f"`perfcalc {holder.command}`")
    if holder.since:
        words.append(f"since {holder.since:%Y-%m-%d %H:%M:%S} UTC")
    return ", ".join(words)


def _remedy(holder: Holder | None) -> str:
    instead = _INSTEAD.get(holder.command or "", "") if holder else ""
    return f"wait until it ends, stop it, {'' if instead else 'or '}choose another data directory{instead}"
