"""A data directory that may not be written, read by way of a copy: DuckDB, ExtendDB and the engine all write to theirs.

ExtendDB's SQLite keeps a write-ahead log, moto's journal is written anew at its start, and whoever works in a data
directory holds a lock in it and tells others where it answers.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from common.errors import PermanentError
from workflows.local.development_key import KEY_FILE
from workflows.local.lock import LOCK_FILE, DataDirectoryInUseError, read_holder
from workflows.local.sharing import FILE

# What others are told by, what is theirs alone, and what nobody reads.
_LEFT_OUT: Final = shutil.ignore_patterns(LOCK_FILE, FILE, KEY_FILE, f".{KEY_FILE}-*", "logs")
# Files that are written where they are, and directories with such files or with directories that are written to.
_WRITTEN: Final = (LOCK_FILE, "timestream.duckdb", "timestream.duckdb.wal")
_LOOKED_INTO: Final = ("dynamodb", "executions", "logs", "queues")


class NotWritableError(PermanentError):
    """Something in a data directory may not be written by whoever works in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} may not be written; choose another data directory, or have it made writable")


class CopyError(PermanentError):
    """A data directory that may not be written could not be copied either."""

    def __init__(self, data_dir: Path, reason: str) -> None:
        super().__init__(f"{data_dir} may not be written, and to be read it could not be copied: {reason}")


def not_writable(data_dir: Path) -> Path | None:
    """Return the first thing that may not be written of what a world writes to, None where there is none."""
    return next((path for path in _written(data_dir) if not _may_be_written(path)), None)


def _written(data_dir: Path) -> Iterator[Path]:
    """Yield what there is of what a world writes to, directories before what is in them."""
    if not data_dir.exists():
        return
    yield data_dir
    yield from (data_dir / name for name in _WRITTEN if (data_dir / name).exists())
    for directory in (data_dir / name for name in _LOOKED_INTO):
        if directory.is_dir():
            yield directory
            yield from sorted(directory.iterdir())
    if (data_dir / "fleet").exists():
        yield data_dir / "fleet"


def _may_be_written(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK | os.X_OK if path.is_dir() else os.R_OK | os.W_OK)


@contextmanager
def copied(data_dir: Path) -> Iterator[Path]:
    """Copy a data directory, in which nobody works meanwhile, for the length of a block.

    Raises
    ------
    DataDirectoryInUseError
        Somebody works in it.
    CopyError
        A file of it may not be read either, or there is no room.
    """
    with tempfile.TemporaryDirectory(prefix="perfcalc-") as place:
        copy = Path(place) / "data"
        try:
            with _unused(data_dir):
                shutil.copytree(data_dir, copy, ignore=_LEFT_OUT, copy_function=shutil.copyfile)
        except shutil.Error as error:
            _, _, reason = error.args[0][0]
            raise CopyError(data_dir, reason) from None
        finally:
            _make_writable(copy)
        yield copy


def _make_writable(copy: Path) -> None:
    """Let the directories of a copy, which are as those it was made of, be written and removed."""
    for directory, _, _ in os.walk(copy):  # from the top: what may not be entered yet is entered next
        Path(directory).chmod(0o700)


@contextmanager
def _unused(data_dir: Path) -> Iterator[None]:
    """Keep everybody from working in a data directory while it is read."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DataDirectoryInUseError(data_dir, read_holder(descriptor)) from None
    finally:
        os.close(descriptor)
