"""How well a number of AWS is known."""

from enum import StrEnum
from typing import Final


class Evidence(StrEnum):
    """Where a number was read."""

    PAGE = "AWS"
    """On AWS's own page, or a copy of it."""
    SECONDARY = "elsewhere"
    """On somebody else's page, which quotes AWS."""
    UNVERIFIED = "unverified"
    """From memory, or an assumption: look it up before much depends on it."""


READ_ON: Final = "2026-11-26"
"""When the pages were looked at: stored copies, which may be older than that."""
