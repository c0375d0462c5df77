"""How a command opens a data directory: by itself, or through the process that has it open already."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workflows.attached import attach
from workflows.deployed import Announcement, understood
from workflows.local.copied import copied, not_writable
from workflows.local.lock import DataDirectoryInUseError
from workflows.local.sharing import announced

if TYPE_CHECKING:
    from workflows.local.runtime import LocalRuntime
    from workflows.world import Readable

OpenRuntime = Callable[[Path], AbstractContextManager["LocalRuntime"]]
"""Opens the world of this machine in a directory, in this process."""

# A process that holds a data directory opens its world in a second or two, and closes it as fast.
PATIENCE_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.1
# Commands that hold it to read what there is, and are through in a moment.
_PASSING: Final = frozenset({"history", "holdings", "query", "report", "results", "watch"})


@contextmanager
def opened_to_read(data_dir: Path, open_runtime: OpenRuntime, *, takes_over: bool = True) -> "Iterator[Readable]":
    """Open what there is in `data_dir` to be read; when the process that it is read through ends, it is read on.

    Parameters
    ----------
    data_dir
        Where it is.
    open_runtime
        Called where nobody has it open, in any thread; of a directory that may not be written with a copy of it.
    takes_over
        Whether the directory is opened here when the process that had it open has ended, and nobody else opens it.

    Raises
    ------
    DataDirectoryInUseError
        The process that has it open lets nobody in.
    OwnerGoneError
        The process that had it open has ended, and so have those after it, or there is none.
    """
    with ExitStack() as stack:
        found = _owner(data_dir, open_runtime, stack)
        if not isinstance(found, Announcement):
            yield found
            return

        def successor() -> Announcement | None:
            if not takes_over:
                return announced(data_dir)
            owner = _owner(data_dir, open_runtime, stack)
            return owner if isinstance(owner, Announcement) else owner.announcement

        stack.enter_context(understood(str(data_dir), attached=True))
        yield attach(found, successor)


def _owner(data_dir: Path, open_runtime: OpenRuntime, stack: ExitStack) -> "Announcement | LocalRuntime":
    """Return whose world is read: that of the process that has `data_dir` open, or one that is opened on `stack`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if announcement := announced(data_dir):
            return announcement
        try:
            if not_writable(data_dir):
                # Read as another process's: what is started in a copy would be lost with it.
                return stack.enter_context(open_runtime(stack.enter_context(copied(data_dir)))).announcement
            return stack.enter_context(open_runtime(data_dir))
        except DataDirectoryInUseError:  # it is being opened, or closed
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


@contextmanager
def opened_in_turn(data_dir: Path, open_runtime: OpenRuntime) -> "Iterator[LocalRuntime]":
    """Open `data_dir` to work in it, after a command that reads what is there.

    Raises
    ------
    DataDirectoryInUseError
        Somebody works in it.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                runtime = stack.enter_context(open_runtime(data_dir))
                break
            except DataDirectoryInUseError as error:
                # It cannot be told who it is while the lock changes hands.
                passing = error.holder is None or error.holder.command in _PASSING
                if not passing or time.monotonic() > deadline:
                    raise
            time.sleep(POLL_SECONDS)
        yield runtime
