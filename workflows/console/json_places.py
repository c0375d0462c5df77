"""Where the parts of a JSON document stand in its text, so that a fault can be shown beside its line."""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def lines_of(text: str) -> Mapping[str, int]:
    """Return the line, from 1, on which each part of a document begins, by its path: `$.portfolios[0].currency`.

    Parameters
    ----------
    text
        Valid JSON.
    """
    json.loads(text)
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found: dict[str, int] = {}
    _Walk(text, starts, found).value(0, "$")
    return found


def line_of(places: Mapping[str, int], path: str) -> int | None:
    """Return the line of a path, or of what is nearest around it: a field that is missing has no line."""
    while path not in places:
        cut = max(path.rfind("."), path.rfind("["))
        if cut <= 0:
            return None
        path = path[:cut]
    return places[path]


class _Walk:
    """One pass over a text that is known to be valid."""

    def __init__(self, text: str, starts: list[int], found: dict[str, int]) -> None:
        self._text = text
        self._starts = starts
        self._found = found

    def value(self, at: int, path: str) -> int:
        """Note where the value at a position begins, and return the position after it."""
        at = self._skip(at)
        self._found.setdefault(path, bisect_right(self._starts, at))
        if self._text[at] == "{":
            return self._object(at + 1, path)
        if self._text[at] == "[":
            return self._list(at + 1, path)
        return _DECODER.raw_decode(self._text, at)[1]

    def _object(self, at: int, path: str) -> int:
        at = self._skip(at)
        while self._text[at] != "}":
            at = self._skip(at + 1) if self._text[at] == "," else at
            key_at = at
            key, at = _DECODER.raw_decode(self._text, at)
            inner = f"{path}.{key}"
            self._found[inner] = bisect_right(self._starts, key_at)
            at = self._skip(self.value(self._skip(at) + 1, inner))
        return at + 1

    def _list(self, at: int, path: str) -> int:
        at, index = self._skip(at), 0
        while self._text[at] != "]":
            at = at + 1 if self._text[at] == "," else at
            at = self._skip(self.value(at, f"{path}[{index}]"))
            index += 1
        return at + 1

    def _skip(self, at: int) -> int:
        space = _SPACE.match(self._text, at)
        assert space is not None
        return space.end()
