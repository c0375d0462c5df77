"""What is wrong with a document: every fault with its place, in words."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from common.errors import Fault

# pydantic puts the tag of a member of a union into the place of a fault. Ours stand in angle brackets, as no field does,
# so that a path can leave them out.
_TAG_OPENING: Final = "<"

_MESSAGES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "string_pattern_mismatch": "must match {pattern}",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be text",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "enum": "must be {expected}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items, has {actual_length}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def faults(error: ValidationError) -> list[Fault]:
    """Return every fault of a validation with its JSON path."""
    return [
        Fault(json_path(each["loc"]), told(each["type"], each["msg"], each.get("ctx", {})))
        for each in error.errors(include_url=False, include_input=False)
    ]


def told(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """Return what is wrong in words that help a person who wrote JSON; pydantic's own `message` where they do."""
    template = _MESSAGES.get(kind)
    # A message of pydantic's is filled in already, and may hold braces of the user's.
    return message if template is None else template.format(**context)


def json_path(location: tuple[int | str, ...]) -> str:
    """Return `$.portfolios[0].valuations` for the parts of a location, our own tags left out."""
    path = "$"
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(_TAG_OPENING):
            path += f".{part}"
    return path
