"""JSON in Python's types.

Nothing but a name is here, so that whoever uses it brings along nothing else.
"""

from typing import Any

JsonObject = dict[str, Any]
"""One that is made, kept or changed. What is only read is a `Mapping[str, Any]`."""
