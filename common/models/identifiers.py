"""How things are named."""

from typing import Annotated

from pydantic import Field

from common.models.faults import spelled
from common.models.limits import MAX_ID_CHARACTERS

_VISIBLE = "must have only visible ASCII characters but"

# Printable ASCII: an id is part of keys, object names and dimensions. `#` separates the parts of a key.
Identifier = Annotated[
    str,
    Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=spelled(r"^[!-\"$-~]+$", f"{_VISIBLE} #, no blanks")),
]

# A client's id is a folder of its own in the upload bucket, which must not reach into another's.
ClientIdentifier = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_ID_CHARACTERS,
        pattern=spelled(r"^[!-\"$-.0-~]+$", f"{_VISIBLE} # and /, no blanks"),
    ),
]

Currency = Annotated[
    str,
    Field(pattern=spelled(r"^[A-Z]{3}$", "must be three capital letters, such as USD"), description="ISO 4217"),
]
