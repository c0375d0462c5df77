"""What has results, in a list of its own: a fleet run has more rows than a page could read and sort each time."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from workflows.console.events import PAGE_LINES, Page
from workflows.console.ports import PortfolioLink

# Read between two looks at the clock.
_PART: Final = 1000

_TABLE: Final = """
    CREATE TABLE entity (
        entity_type TEXT, entity_id TEXT, name TEXT, calculated_for TEXT, said TEXT,
        PRIMARY KEY (entity_type, entity_id)
    ) WITHOUT ROWID
"""
_PUT: Final = """
    INSERT INTO entity VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        calculated_for = max(calculated_for, excluded.calculated_for),
        name = CASE excluded.name WHEN '' THEN name ELSE excluded.name END,
        said = CASE excluded.name WHEN '' THEN said ELSE excluded.said END
"""
_COUNT: Final = "SELECT count(*) FROM entity WHERE instr(said, ?)"
_PAGE: Final = """
    SELECT entity_type, entity_id, name, calculated_for FROM entity WHERE instr(said, ?)
    ORDER BY entity_type, entity_id LIMIT ? OFFSET ?
"""


class Catalogue:
    """Entities by their type and id, each once, filtered and in pages.

    Sources are read a little at a time, when somebody asks. Any thread may ask.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        # Of no name: SQLite keeps it in memory and, when it grows, in a file that is gone with the connection.
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute(_TABLE)
        self._clock = clock
        self._lock = threading.Lock()
        self._unread: dict[str, Iterator[PortfolioLink]] = {}
        self._known: dict[str, float] = {}

    def add(self, name: str, links: Callable[[], Iterable[PortfolioLink]], *, again: float | None = None) -> None:
        """Add a source, which is read once under its name.

        Parameters
        ----------
        name
            A source that is known under it is not read a second time ...
        links
            What is in it; called when its turn comes.
        again
            ... before so many seconds have gone by since it was read; None: never.
        """
        with self._lock:
            read = self._known.get(name)
            if name in self._unread or (read is not None and (again is None or self._clock() - read < again)):
                return
            self._unread[name] = _begun(links)

    def read_on(self, seconds: float) -> bool:
        """Read what is not read yet, for some `seconds`; return whether that was all.

        A source that fails is begun anew the next time.
        """
        deadline = self._clock() + seconds
        with self._lock:
            while self._unread:
                name = next(iter(self._unread))
                links = self._unread.pop(name)
                part = list(islice(links, _PART))
                self._put(part)
                if len(part) < _PART:
                    self._known[name] = self._clock()
                else:
                    self._unread[name] = links
                if self._clock() >= deadline:
                    break
            return not self._unread

    def page(self, text: str, number: int) -> Page[PortfolioLink]:
        """Return a page, counted from 1, of the entities whose id or name has `text` in it, whatever the case."""
        wanted = text.casefold()
        with self._lock:
            (found,) = self._database.execute(_COUNT, (wanted,)).fetchone()
            first = min(max(number - 1, 0), max((found - 1) // PAGE_LINES, 0)) * PAGE_LINES
            rows = self._database.execute(_PAGE, (wanted, PAGE_LINES, first)).fetchall()
        return Page([PortfolioLink(*row) for row in rows], first, found)

    def close(self) -> None:
        """Let go of it."""
        with self._lock:
            self._database.close()

    def _put(self, links: Iterable[PortfolioLink]) -> None:
        with self._database:
            self._database.executemany(
                _PUT,
                ((each.entity_type, each.entity_id, each.name, each.calculated_for, _said(each)) for each in links),
            )


def _begun(links: Callable[[], Iterable[PortfolioLink]]) -> Iterator[PortfolioLink]:
    yield from links()


def _said(link: PortfolioLink) -> str:
    return f"{link.entity_id}\n{link.name}".casefold()
