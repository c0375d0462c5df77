"""The parts of a document that are generated, between markers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.capacity.tables import Table

DOCUMENTS: Final = Path(__file__).parents[2] / "docs"
IMAGES: Final = DOCUMENTS / "images"
_PART: Final = re.compile(r"(<!-- simulate: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


class MarkerError(Exception):
    """A document's markers and the tables for it do not go together."""


def parts(text: str) -> list[str]:
    """Return the names of the parts of a document, in their order."""
    return [part["name"] for part in _PART.finditer(text)]


def filled(text: str, tables: Mapping[str, Table]) -> str:
    """Return a document with its parts anew.

    Raises
    ------
    MarkerError
        A part has no table, or a table no part.
    """
    if sorted(found := parts(text)) != sorted(tables):
        raise MarkerError(f"the document has {sorted(found)}, the tables are {sorted(tables)}")
    return _PART.sub(lambda part: f"{part[1]}\n{tables[part['name']].markdown()}\n\n{part[3]}", text)


def write(path: Path, tables: Mapping[str, Table]) -> bool:
    """Fill a document; return whether that changed it."""
    old = path.read_text("utf-8")
    new = filled(old, tables)
    if new != old:
        path.write_text(new, "utf-8")
    return new != old
