"""Room for what may not fit into memory: there while it is small, on disk beyond that, and gone once it is closed."""

import sqlite3
import tempfile
from typing import BinaryIO, cast

from common.models.limits import SPOOLED_BYTES

# Nothing in it outlives the process, so nothing is done to keep it whole. 64 MiB of it stay in memory.
_SETTINGS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;"


def scratch_file() -> BinaryIO:
    """Return a temporary file."""
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(SPOOLED_BYTES))


def scratch_database(schema: str) -> sqlite3.Connection:
    """Return a temporary database with the tables of `schema`, in a transaction that is never committed."""
    # No name: a temporary file of SQLite's own, which is gone with the connection.
    database = sqlite3.connect("", isolation_level=None)
    database.executescript(_SETTINGS + schema)
    database.execute("BEGIN")
    return database
