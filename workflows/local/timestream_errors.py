"""What the local Timestream answers a call with that it refuses."""

from typing import Any


class ServiceError(Exception):
    """An answer other than success."""

    def __init__(self, code: str, message: str, *, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.members = members
