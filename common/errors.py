"""Errors, split by what a retry can do about them.

Step Functions matches `Retry` and `Catch` on the class's own name, never on a base class, so the names below are the
ones that stand in `statemachines/*.asl.json`; a test holds the two together.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

# A Cause is cut at 32,768 characters by Step Functions; the message stays well below it.
MAX_MESSAGE_CHARACTERS = 8_000
MAX_FAULTS_TOLD = 100


class Fault(NamedTuple):
    """One thing wrong with an input, and where."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class PerformanceCalculatorError(Exception):
    """Base of all errors this project raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(clip(message, MAX_MESSAGE_CHARACTERS))


class PermanentError(PerformanceCalculatorError):
    """Trying again cannot help."""


class InvalidRequestError(PermanentError):
    """The request is wrong; nothing was started.

    Parameters
    ----------
    faults
        Every fault found, each with its JSON path.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        told = [str(fault) for fault in self.faults[:MAX_FAULTS_TOLD]]
        if more := len(self.faults) - len(told):
            told.append(f"... and {more} more")
        noun = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(f"{len(self.faults)} {noun} in the request\n" + "\n".join(told))


class InvalidPortfolioError(PermanentError):
    """The data a portfolio refers to cannot be used; the other portfolios of the request go on."""


class InputNotFoundError(PermanentError):
    """A referenced file, object or row is not there, or may not be read."""


class StoreError(PermanentError):
    """A store refused what it was given, and would again."""


class TransientError(PerformanceCalculatorError):
    """A dependency failed in a way that passes."""


class ThrottledError(TransientError):
    """A dependency asked for less; wait longer than for other transient errors."""


def too_large(size: int, limit: int) -> str:
    """Return what is said of a file of so many bytes, of which no more than `limit` are read."""
    return f"is of {size:,} bytes, larger than the {limit:,} that are read"


def clip(text: str, limit: int) -> str:
    """Shorten `text` to `limit` characters, saying so."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def message_of(cause: str | None) -> str:
    """Return the message of a function's error, whose Cause is JSON, or the Cause as it is."""
    try:
        return str(json.loads(cause or "")["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause or ""
