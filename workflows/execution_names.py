"""How executions are named: after their requests, so that the same request is the same run."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from common.json_text import canonical_json

# Step Functions: an execution's name. Some other characters are allowed, but CloudWatch Logs takes these alone.
MAX_NAME_CHARACTERS: Final = 80
_NOT_IN_A_NAME: Final = re.compile(r"[^0-9A-Za-z_-]+")
_NOT_IN_AN_ID: Final = re.compile(r"[^0-9A-Za-z._-]+")
_STEM_CHARACTERS: Final = 40
_HASH_DIGITS: Final = 12
# Leaves room for the number of a rerun, "-1234".
_REQUEST_ID_CHARACTERS: Final = MAX_NAME_CHARACTERS - _HASH_DIGITS - 1 - 5


def identifier_in(file_name: str) -> str:
    """Return the name of a file without its ending, of characters an id may have; it may begin with any of them."""
    return _NOT_IN_AN_ID.sub("-", file_name.rsplit(".", 1)[0])[:_STEM_CHARACTERS]


def execution_name(request: Mapping[str, Any]) -> str:
    """Return the name of the execution of `request`, so that the same request is the same run.

    It does not begin with a hyphen: a command line would take it for an option.
    """
    digest = hashlib.sha256(canonical_json(request).encode()).hexdigest()[:_HASH_DIGITS]
    request_id = _NOT_IN_A_NAME.sub("-", str(request.get("request_id") or "")).lstrip("-") or "run"
    return f"{request_id[:_REQUEST_ID_CHARACTERS]}-{digest}"


def numbered(base: str, number: int) -> str:
    """Return the name of the execution that is the `number`-th called `base`."""
    return base if number == 1 else f"{base}-{number}"
