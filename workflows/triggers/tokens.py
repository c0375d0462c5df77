"""JSON Web Tokens: which are accepted, and for whom each speaks. No network, and nothing is kept.

A token is HS256 (RFC 7518, 3.2) in the compact form of RFC 7515; RFC 8725 is the checklist. No error of this module has
text of a token in it: whoever logs it writes down neither a signature nor what an attacker chose.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

import jwt
from jwt.algorithms import HMACAlgorithm
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from common.errors import PermanentError
from common.models.faults import faults, spelled
from common.models.identifiers import ClientIdentifier
from workflows.triggers.routes import Role

ALGORITHM: Final = "HS256"
REQUIRED_CLAIMS: Final = ("exp", "iat", "iss", "aud", "sub")

# All headers of a request to API Gateway may take 10,240 bytes together.
MAX_TOKEN_CHARACTERS: Final = 8 * 1024
# How far the clocks of the identity provider and of AWS may stand apart.
LEEWAY_SECONDS: Final = 30
# RFC 7518, 3.2: a key of HS256 is at least as long as the hash.
MIN_SECRET_BYTES: Final = 32

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
# The token's own word on where its key is found, or on an extension that has to be understood.
_REFUSED_HEADERS: Final = frozenset({"crit", "jku", "jwk", "x5c", "x5u"})


class RefusedTokenError(PermanentError):
    """The token proves nothing; the message says why, for the log."""


class UnknownKeyError(RefusedTokenError):
    """It is signed with none of the keys at hand: forged, retired, or newer than they are."""


class UnusableKeyError(PermanentError):
    """A signing key is not fit for use: the deployment is wrong, not the token."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A secret that tokens are signed with.

    Parameters
    ----------
    key_id
        What a token's `kid` names it by: the version of the secret.
    secret
        At least 32 bytes.

    Raises
    ------
    UnusableKeyError
        It is too short, or the public half of an asymmetric pair, which everybody may know.
    """

    key_id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < MIN_SECRET_BYTES:
            raise UnusableKeyError(
                f"the signing key {self.key_id} has {len(self.secret)} bytes; HS256 needs at least {MIN_SECRET_BYTES}"
            )
        try:
            HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(self.secret)
        except jwt.InvalidKeyError:
            raise UnusableKeyError(f"the signing key {self.key_id} is not a secret of HS256") from None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, by a verified token.

    Attributes
    ----------
    subject : str
    role : Role
    client_id : str or None
        The client whose things they may touch; None is the platform itself, and an admin.
    """

    subject: str
    role: Role
    client_id: str | None


class _Claims(BaseModel):
    """What a token says, once its signature, issuer, audience and times are known to be good."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    # OpenID Connect Core 1.0, 2: at most 255 ASCII characters. It is logged, so none of them controls anything.
    sub: Annotated[
        str,
        Field(max_length=255, pattern=spelled(r"^[ -~]+$", "must have only visible ASCII characters and blanks")),
    ]
    role: Annotated[Role, Field(strict=False)]
    client_id: ClientIdentifier | None = None
    # RFC 7519, 2: a NumericDate is a number. PyJWT takes text too.
    exp: FiniteFloat
    iat: FiniteFloat
    nbf: FiniteFloat | None = None

    @model_validator(mode="after")
    def _has_a_client(self) -> Self:
        if self.client_id is None and self.role is not Role.ADMIN:
            raise PydanticCustomError("client_missing", "client_id is missing, which only an admin may do without")
        return self


def verify(token: str, keys: Sequence[SigningKey], issuer: str, audience: str) -> Caller:
    """Return the caller a token speaks for.

    A token that names its key is held against that one alone, any other against each in turn. A time may be off by
    `LEEWAY_SECONDS`.

    Parameters
    ----------
    token
        The token as it came, without `Bearer`.
    keys
        The live keys, the current one first.
    issuer
        What `iss` must be.
    audience
        What `aud` must be, or must have among others.

    Raises
    ------
    UnknownKeyError
        None of `keys` signed it; a key that is not among them may have.
    RefusedTokenError
        It is too long, no token, of another algorithm, brings its own key, is expired or not valid yet, is meant for
        somebody else, or lacks a claim.
    """
    key_id = _key_id(token)
    named = [key for key in keys if key_id in {None, key.key_id}]
    for key in named:
        try:
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=[ALGORITHM],
                issuer=issuer,
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED_CLAIMS)},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError as error:
            raise RefusedTokenError(_reason(error)) from None
        return _caller(claims)
    if key_id is not None and named:
        raise RefusedTokenError("the token is not signed with the key it names")
    raise UnknownKeyError("the token is signed with no key that is known")


def _key_id(token: str) -> str | None:
    """Return the `kid` of a token whose header has nothing against it."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise RefusedTokenError(f"the token has {len(token)} characters, of at most {MAX_TOKEN_CHARACTERS}")
    if _COMPACT.fullmatch(token) is None:
        raise RefusedTokenError("the token is not of the form header.payload.signature")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise RefusedTokenError("the token's header is malformed, or names an extension that is not known") from None
    if refused := sorted(_REFUSED_HEADERS & header.keys()):
        raise RefusedTokenError(f"the token's header has {', '.join(refused)}")
    if header.get("alg") != ALGORITHM:
        raise RefusedTokenError(f"the token's algorithm is not {ALGORITHM}")
    key_id: str | None = header.get("kid")
    return key_id


def _caller(claims: dict[str, object]) -> Caller:
    try:
        said = _Claims.model_validate(claims)
    except ValidationError as error:
        told = [str(fault).removeprefix("$.").removeprefix("$: ") for fault in faults(error)]
        raise RefusedTokenError(f"the token's claims are wrong: {'; '.join(told)}") from None
    return Caller(said.sub, said.role, said.client_id)


def _reason(error: jwt.InvalidTokenError) -> str:
    """Say why PyJWT refused a token whose signature is good, in words of ours: its own may quote the token."""
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet"
        case jwt.InvalidIssuerError():
            return "the token is another issuer's"
        case jwt.InvalidAudienceError():
            return "the token is for another audience"
        case jwt.MissingRequiredClaimError():
            return f"the token has no {error.claim}"
        case _:
            return "the token's payload is malformed"
