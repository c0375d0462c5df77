"""What is wrong with a document: every fault with its place, in words."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from common.errors import Fault

# pydantic puts the tag of a member of a union into the place of a fault. Ours stand in angle brackets, as no field
# does, so that a path can leave them out.
_TAG_OPENING: Final = "<"

_MESSAGES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_unicode": "is not UTF-8 text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "has too many digits",
    "int_from_float": "must be a whole number",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items, has {actual_length}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}
MAX_FAULTS_LISTED: Final = 200_000
"""A fault takes a kilobyte while they are listed, and the smallest function that does so has 512 MB."""
_ENTITIES: Final = ("$.portfolios", "$.entity_ids", "$.entities")
_ANY_FORM: Final = "has characters that it must not have"
_forms: dict[str, str] = {}

# How pydantic begins its own messages; what comes after it says what is wrong.
_LIBRARY: Final = re.compile(r"^(?:(?:Value error|Assertion failed), |\w+ should (?=be |have |match ))")


def spelled(pattern: str, message: str) -> str:
    """Return a pattern, and let what does not match it be told in words: a pattern means nothing to most people.

    Parameters
    ----------
    pattern
        The `pattern` of a field.
    message
        What is wrong with a text that does not match, such as `must have only digits`.
    """
    _forms[pattern] = message
    return pattern


def faults(error: ValidationError) -> list[Fault]:
    """Return every fault of a validation with its JSON path; of over `MAX_FAULTS_LISTED` nothing but their number."""
    if (count := error.error_count()) > MAX_FAULTS_LISTED:
        return [Fault("$", f"has {count:,} faults, more than are listed")]
    return [
        Fault(
            path := json_path(each["loc"]),
            told(each["type"], each["msg"], each.get("ctx", {})) + _instead(path, each["type"]),
        )
        for each in error.errors(include_url=False, include_input=False)
    ]


def _instead(path: str, kind: str) -> str:
    """Return what to do where a request names more entities than it may."""
    if kind == "too_long" and path in _ENTITIES:
        return '; a manifest takes any number: `perfcalc run FILE.jsonl`, or {"manifest": {"source": ...}}'
    return ""


def told(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """Return what is wrong in words that help a person who wrote JSON; pydantic's own `message` where they do."""
    if kind == "string_pattern_mismatch":
        return _forms.get(context["pattern"], _ANY_FORM)
    template = _MESSAGES.get(kind)
    if template is not None:
        return template.format(**context)
    # A message of pydantic's is filled in already, and may hold braces of the user's.
    return in_words(message)


def in_words(message: str) -> str:
    """Return a message of pydantic's as one of ours would be."""
    told, _, _ = _LIBRARY.sub(lambda found: "must " if found[0].endswith("should ") else "", message).partition(
        ", unable to parse "
    )
    return told.replace("a valid integer", "a whole number").replace("a valid number", "a number")


def json_path(location: tuple[int | str, ...]) -> str:
    """Return `$.portfolios[0].valuations` for the parts of a location, our own tags left out."""
    path = "$"
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(_TAG_OPENING):
            path += f".{part}"
    return path
