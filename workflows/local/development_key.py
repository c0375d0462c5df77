"""The key that tokens are signed with on this machine, and the tokens: on AWS both are the identity provider's."""

import os
import secrets
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import jwt

from common.errors import PermanentError
from workflows.triggers.routes import Role
from workflows.triggers.tokens import ALGORITHM, MIN_SECRET_BYTES

DEVELOPMENT_ISSUER: Final = "perfcalc"
DEVELOPMENT_AUDIENCE: Final = "performance-calculator"
KEY_FILE: Final = "jwt-key"

_RANDOM_BYTES: Final = 48
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class DevelopmentKeyError(PermanentError):
    """The local signing key is not fit for use."""


def development_key(data_dir: Path, fixed: str | None = None) -> str:
    """Return the key of a data directory, made when it is first asked for.

    Needs no lock: of two processes that make one at the same time, both return the one that was first.

    Parameters
    ----------
    data_dir
        Where the key is kept, in a file that its owner alone may read.
    fixed
        A key to use instead; no file is read or written.

    Raises
    ------
    DevelopmentKeyError
        The file may be read by others, is not a file, or it or `fixed` holds no key of at least 32 bytes.
    """
    if fixed is not None:
        return _long_enough(fixed, "the key that is set")
    path = data_dir / KEY_FILE
    if not path.exists():
        _create(path)
    return _read(path)


def mint(
    key: str,
    *,
    subject: str,
    role: Role,
    client_id: str | None,
    issuer: str,
    audience: str,
    lifetime: timedelta,
    key_id: str | None = None,
    now: datetime | None = None,
) -> str:
    """Return a signed token.

    Parameters
    ----------
    key
        The secret, as text.
    subject, role, client_id
        For whom it speaks; `client_id` None is left out.
    issuer, audience
        Whose it is and whom it is for.
    lifetime
        From `now` to its expiry.
    key_id
        The `kid` of its header; None leaves it out.
    now
        The moment it is issued at, with a time zone; this one when None.
    """
    issued = now or datetime.now(UTC)
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": issued,
        "exp": issued + lifetime,
        "role": role.value,
        **({} if client_id is None else {"client_id": client_id}),
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers=None if key_id is None else {"kid": key_id})


def _create(path: Path) -> None:
    """Write a new key, whole and for its owner alone from the first moment it can be seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{KEY_FILE}-")  # mode 0600
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_RANDOM_BYTES) + "\n")
        os.link(name, path)  # unlike a rename, it never replaces a key that tokens are signed with already
    except FileExistsError:
        pass  # another process was first
    finally:
        os.unlink(name)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DevelopmentKeyError(f"{path} is not a file")
        if status.st_mode & _OTHERS:
            raise DevelopmentKeyError(
                f"{path} may be read or changed by others (mode {stat.S_IMODE(status.st_mode):o}): "
                f"remove it, and a new key is made, or `chmod 600` it if nobody has seen it"
            )
        content = file.read()
    try:
        key = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise DevelopmentKeyError(f"{path} holds no key: remove it, and a new one is made") from None
    return _long_enough(key, str(path), "; remove it, and a new key is made")


def _long_enough(key: str, place: str, remedy: str = "") -> str:
    if (length := len(key.encode())) < MIN_SECRET_BYTES:
        raise DevelopmentKeyError(f"{place} holds {length} bytes, and a key needs at least {MIN_SECRET_BYTES}{remedy}")
    return key
