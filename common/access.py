"""Whose things a caller or a run may touch. The one place where that is decided."""

from dataclasses import dataclass
from typing import Final

from pydantic import Field

from common.config import FunctionSettings
from common.models.books import Entity

MANIFESTS: Final = "manifests"
"""Folder of the upload bucket whose files start runs; a client's are below its id."""
DATA: Final = "data"
"""Folder of the upload bucket for what manifests refer to; a client's is below its id."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A client's own things, or everything.

    Parameters
    ----------
    client_id
        The client, from a verified token or the prefix of an upload; None is the platform itself.
    """

    client_id: str | None

    def owns(self, entity: Entity) -> bool:
        """Return whether it may calculate and change `entity`."""
        return self.client_id is None or entity.client_id == self.client_id

    def sees(self, entity: Entity) -> bool:
        """Return whether it may read `entity`: its own, and the securities and benchmarks that are everybody's."""
        return self.owns(entity) or entity.client_id is None

    def reads(self, uri: str, buckets: "Buckets") -> bool:
        """Return whether a request of this scope may refer to the object at `uri`, an `s3://bucket/key`."""
        if self.client_id is None:
            return True
        own = [f"s3://{buckets.payloads}/{staged_prefix(self.client_id)}"]
        if buckets.uploads:
            own += [f"s3://{buckets.uploads}/{folder}/{self.client_id}/" for folder in (MANIFESTS, DATA)]
        return uri.startswith(tuple(own))


class Buckets(FunctionSettings):
    """The buckets in which a client has a place of its own."""

    payloads: str = Field(alias="PAYLOAD_BUCKET")
    uploads: str | None = Field(None, alias="UPLOAD_BUCKET")


def staged_prefix(client_id: str | None) -> str:
    """Return where the inputs of a client's requests are put that are too large to travel with them."""
    return f"inputs/{client_id}/" if client_id else "inputs/"


def fleet_prefix(client_id: str | None, execution_name: str) -> str:
    """Return where a fleet run has its batches and what came of them; no client's prefix has those of the platform."""
    return f"{staged_prefix(client_id) if client_id else ''}fleet/{execution_name}/"
