"""The portfolios of a JSON list, one by one: of text that takes many times its room once it is parsed."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from common.models.rows import BYTE_ORDER_MARK, UnreadableFileError

_BLANKS: Final = re.compile(rb"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()
# Most portfolios are shorter. One that is not is parsed again, of more bytes.
_FIRST_TRY: Final = 256 * 1024
_CONTINUES: Final = range(0x80, 0xC0)
"""The bytes of a UTF-8 character behind its first."""


def json_portfolios(body: bytes, max_bytes: int) -> Iterator[Any]:
    """Yield the items of a JSON list, of which no more than one is in memory.

    Parameters
    ----------
    body
        UTF-8.
    max_bytes
        The longest an item may be.

    Raises
    ------
    UnreadableFileError
        It is no list; or, while the items are read, it is not JSON, or an item is too long.
    """
    at = _after_blanks(body, len(BYTE_ORDER_MARK) if body.startswith(BYTE_ORDER_MARK) else 0)
    if body[at : at + 1] != b"[":
        raise UnreadableFileError("must be a list of portfolios")
    at = _after_blanks(body, at + 1)
    mark = body[at : at + 1]
    at += mark == b"]"
    while mark != b"]":
        item, at = _item(body, at, max_bytes)
        yield item
        at = _after_blanks(body, at)
        mark = body[at : at + 1]
        if mark not in (b",", b"]"):
            raise _not_json(body, at, "there is neither a comma nor the end of the list behind an item")
        at = _after_blanks(body, at + 1)
    if _after_blanks(body, at) < len(body):
        raise _not_json(body, at, "something stands behind the list")


def _item(body: bytes, at: int, max_bytes: int) -> tuple[Any, int]:
    """Return the item that begins at a place, and the place behind it."""
    size = min(_FIRST_TRY, max_bytes)
    while True:
        end = min(at + size, len(body))
        for _ in range(3):  # not within a character
            end -= end < len(body) and body[end] in _CONTINUES
        text = ""
        try:
            text = body[at:end].decode()
            item, length = _DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            if end == len(body) or size == max_bytes:
                before, why = _told(error, text)
                longer = f", within the {max_bytes:,} bytes a portfolio may have" if end < len(body) else ""
                raise _not_json(body, at + before, f"{why}{longer}") from None
        else:
            return item, at + (length if text.isascii() else len(text[:length].encode()))
        size = min(8 * size, max_bytes)


def _told(error: Exception, text: str) -> tuple[int, str]:
    """Return how many bytes before a fault are in order, and what it is."""
    match error:
        case json.JSONDecodeError():
            return len(text[: error.pos].encode()), error.msg
        case UnicodeDecodeError():
            return error.start, "a byte is not of UTF-8"
    return 0, str(error)


def _after_blanks(body: bytes, at: int) -> int:
    found = _BLANKS.match(body, at)
    return found.end() if found else at


def _not_json(body: bytes, at: int, why: str) -> UnreadableFileError:
    line = body.count(b"\n", 0, at) + 1
    return UnreadableFileError(f"line {line}: is not JSON: {why}")
