"""Every answer of the API that is no success: problem details, RFC 9457."""

from collections.abc import Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from common.errors import Fault, InvalidRequestError, PermanentError, ThrottledError, TransientError, clip

MEDIA_TYPE: Final = "application/problem+json"

# An answer of Lambda has at most 6 MB: the paths and details of all faults told have 2.4, at four bytes a character.
MAX_FAULTS: Final = 1_000
MAX_FAULT_CHARACTERS: Final = 300

# How long a caller is asked to wait, in seconds: a store that throttles wants more of a rest than one that failed.
THROTTLED_SECONDS: Final = 10
UNAVAILABLE_SECONDS: Final = 5


class ProblemType(Enum):
    """What can be wrong: the name of its `type`, and what it means."""

    MALFORMED = ("malformed-request", HTTPStatus.BAD_REQUEST, "The request cannot be read")
    UNAUTHENTICATED = ("unauthenticated", HTTPStatus.UNAUTHORIZED, "No valid token came with the request")
    FORBIDDEN = ("forbidden", HTTPStatus.FORBIDDEN, "The token's role does not allow this")
    NOT_FOUND = ("not-found", HTTPStatus.NOT_FOUND, "There is no such thing")
    METHOD_NOT_ALLOWED = ("method-not-allowed", HTTPStatus.METHOD_NOT_ALLOWED, "The path has no such method")
    CONFLICT = ("idempotency-conflict", HTTPStatus.CONFLICT, "The key was used for another request")
    TOO_LARGE = ("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too large")
    UNSUPPORTED = ("unsupported-media-type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
    INVALID = ("invalid-request", HTTPStatus.UNPROCESSABLE_ENTITY, "The request has faults")
    THROTTLED = ("too-many-requests", HTTPStatus.TOO_MANY_REQUESTS, "Try again later")
    INTERNAL = ("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side")
    UNAVAILABLE = ("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "Try again in a moment")

    def __init__(self, slug: str, status: HTTPStatus, title: str) -> None:
        self.uri = f"/problems/{slug}"
        self.status = status
        self.title = title


class ProblemFault(BaseModel):
    """One thing wrong with a request, and where."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(
        description="JSON path in the body, `$.portfolios[0]`; of a parameter `query.limit`",
        examples=["$.entity_ids[0]"],
    )
    detail: str = Field(examples=["there is no portfolio p-17"])


class Problem(BaseModel):
    """What is wrong: problem details, RFC 9457."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="names the problem, for programs", examples=["/problems/not-found"])
    title: str = Field(description="the same for every problem of this type", examples=["There is no such thing"])
    status: int = Field(description="the status of the answer", examples=[404])
    detail: str = Field(description="this occurrence, for people", examples=["There is no portfolio of this id."])
    instance: str = Field(description="the path that was asked for", examples=["/v1/portfolios/p-17/performance"])
    request_id: str = Field(description="what the logs know this request by")
    errors: list[ProblemFault] | None = Field(None, description="every fault, where there are several to tell")


class ProblemError(PermanentError):
    """An answer that is no success.

    Parameters
    ----------
    kind
        What is wrong.
    detail
        Said of this occurrence; nothing of a stack, a store or another client.
    faults
        Each with its place.
    headers
        Of the answer.
    """

    def __init__(
        self, kind: ProblemType, detail: str, *, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def document(self, instance: str, request_id: str) -> str:
        """Return the body of the answer."""
        told = [
            ProblemFault(path=clip(path, MAX_FAULT_CHARACTERS), detail=clip(message, MAX_FAULT_CHARACTERS))
            for path, message in self.faults[:MAX_FAULTS]
        ]
        problem = Problem(
            type=self.kind.uri,
            title=self.kind.title,
            status=self.kind.status,
            detail=str(self),
            instance=instance,
            request_id=request_id,
            errors=told or None,
        )
        return problem.model_dump_json(exclude_none=True)


def no_such(noun: str) -> ProblemError:
    """Return the one answer for what is not there and for what is not the caller's."""
    return ProblemError(ProblemType.NOT_FOUND, f"There is no {noun} of this id.")


def invalid(faults: Sequence[Fault]) -> ProblemError:
    """Return the answer to a request with faults."""
    return ProblemError(ProblemType.INVALID, _told(f"{_count(faults, 'fault')} in the request", faults), faults=faults)


def missing(faults: Sequence[Fault]) -> ProblemError:
    """Return the answer to a request that names what is not there, or not the caller's."""
    return ProblemError(
        ProblemType.NOT_FOUND, _told(f"The request names {_count(faults, 'thing')} not there", faults), faults=faults
    )


def problem_of(error: Exception) -> ProblemError:
    """Return what is answered for an error; for one that nobody foresaw, nothing but that there was one."""
    match error:
        case ProblemError():
            return error
        case InvalidRequestError():
            return invalid(error.faults)
        case ThrottledError():
            return ProblemError(
                ProblemType.THROTTLED,
                "A store behind the API asked for fewer requests.",
                headers={"Retry-After": str(THROTTLED_SECONDS)},
            )
        case TransientError():
            return ProblemError(
                ProblemType.UNAVAILABLE,
                "A store behind the API did not answer.",
                headers={"Retry-After": str(UNAVAILABLE_SECONDS)},
            )
        case _:
            return ProblemError(ProblemType.INTERNAL, "The log knows more, by the request_id.")


def _count(faults: Sequence[Fault], noun: str) -> str:
    return f"{len(faults):,} {noun}{'' if len(faults) == 1 else 's'}"


def _told(detail: str, faults: Sequence[Fault]) -> str:
    return f"{detail}; the first {MAX_FAULTS:,} are told." if len(faults) > MAX_FAULTS else f"{detail}."
