"""How things are named."""

from typing import Annotated

from pydantic import Field

from common.models.limits import MAX_ID_CHARACTERS

# Printable ASCII: an id is part of keys, object names and dimensions. `#` separates the parts of a key.
Identifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=r"^[!-\"$-~]+$")]

# A client's id is a folder of its own in the upload bucket, which must not reach into another's.
ClientIdentifier = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS, pattern=r"^[!-\"$-.0-~]+$")]

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
