"""A JSON list read item by item: the same items as when it is read whole, and the place of what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models import json_portfolios as module
from common.models.json_portfolios import json_portfolios
from common.models.rows import UnreadableFileError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


def told(body: bytes, max_bytes: int = 1_000) -> str:
    with pytest.raises(UnreadableFileError) as caught:
        list(json_portfolios(body, max_bytes))
    return str(caught.value)


@given(st.lists(OBJECTS), st.sampled_from([None, 2]), st.booleans(), st.integers(1, 40))
def test_the_items_are_those_of_the_list(documents: list[Any], indent: int | None, ascii_: bool, first: int) -> None:
    text = json.dumps(documents, indent=indent, ensure_ascii=ascii_)
    body = f"\ufeff \n{text}\n ".encode("utf-8", "surrogatepass" if ascii_ else "strict")
    with pytest.MonkeyPatch.context() as patch:
        # So that items, and the characters in them, are cut at every place.
        patch.setattr(module, "_FIRST_TRY", first)
        assert list(json_portfolios(body, len(body))) == documents


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "must be a list of portfolios"),
        (b"{}", "must be a list of portfolios"),
        (b'"[]"', "must be a list of portfolios"),
        (b"[", "line 1: is not JSON: Expecting value"),
        (b"[{}\n{}]", "line 2: is not JSON: there is neither a comma nor the end of the list behind an item"),
        (b"[{}", "line 1: is not JSON: there is neither a comma nor the end of the list behind an item"),
        (b"[{},]", "line 1: is not JSON: Expecting value"),
        (b"[,{}]", "line 1: is not JSON: Expecting value"),
        (b"[{}]\n\n[]", "line 3: is not JSON: something stands behind the list"),
        (b'[{"a": 1},\n{"a":\n "b\n"}]', "line 3: is not JSON: Invalid control character at"),
        (b'[{},\n{"a":\n"\xff"}]', "line 3: is not JSON: a byte is not of UTF-8"),
        (b"[" * 100_000, "line 1: is not JSON: maximum recursion depth exceeded"),
    ],
)
def test_what_is_no_list_is_told_with_its_place(body: bytes, expected: str) -> None:
    assert told(body, 10**6).startswith(expected)


def test_an_item_may_be_as_long_as_it_is_told_and_no_longer() -> None:
    item = json.dumps({"a": "é" * 500}, ensure_ascii=False).encode()
    body = b"[{},\n" + item + b",{}]"
    assert len(list(json_portfolios(body, len(item)))) == 3
    assert told(body, len(item) - 1).endswith(f", within the {len(item) - 1:,} bytes a portfolio may have")
    assert told(body, len(item) - 1).startswith("line 2: is not JSON: ")


def test_items_are_read_as_they_are_asked_for() -> None:
    items = json_portfolios(b'[{"a": 1}, {"b": 2}, broken', 100)
    assert [next(items), next(items)] == [{"a": 1}, {"b": 2}]
    with pytest.raises(UnreadableFileError):
        next(items)
