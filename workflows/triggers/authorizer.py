"""The API's authorizer: a token in, the caller and what they may invoke out.

API Gateway keeps the answer for each token and applies it to every method, so it grants all the caller's role may use
and nothing besides. Whose portfolio it is, the API decides: this function knows no books.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field, ValidationError

from common.cache import CalculationCache
from common.config import AuthorizerSettings
from common.errors import PerformanceCalculatorError, PermanentError
from common.observability import logger
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.warm import kept
from workflows.triggers.routes import ROUTES, allows
from workflows.triggers.tokens import Caller, RefusedTokenError, SigningKey, UnknownKeyError, UnusableKeyError, verify

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

# For so long, at most, a key is still accepted after it was taken out of the secret.
KEYS_SECONDS: Final = 300
# Tokens of unknown keys have the keys read again, but however many come, no more often than this.
REFRESH_SECONDS: Final = 30

# For each of two versions two attempts of at most 2 s and a wait of up to 1 s: a reading ends within 10 s, and no
# request waits for more than one.
PATIENCE: Final = Patience(attempts=2, connect_seconds=1, read_seconds=1)

# Up to the stage; what follows is the caller's choice. None of its parts can hold what a policy takes for a wildcard.
_METHOD_ARN: Final = re.compile(
    r"(arn:[a-z0-9-]+:execute-api:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9]+/[A-Za-z0-9_-]+)/[A-Z]+(?:/.*)?", re.DOTALL
)
_PATH_PARAMETER: Final = re.compile(r"\{[^{}/]+\}")


class InvalidEventError(PermanentError):
    """The event is not one that API Gateway sends to a TOKEN authorizer."""


class _Secret(BaseModel):
    jwt_secret: str = Field(alias="JwtSecret")


class KeySource:
    """The live signing keys: the secret's current version and, after a rotation, the one before it.

    The version that is AWSPENDING is not live: a rotation that fails leaves it behind.

    Parameters
    ----------
    client
        A boto3 client of Secrets Manager.
    secret_id
        Name or ARN of the secret; its text is `{"JwtSecret": "..."}`.
    clock
        Seconds. A wall clock goes on while a sandbox is frozen between two invocations; a monotonic one may not.

    Raises
    ------
    ThrottledError, TransientError
        Secrets Manager did not answer.
    StoreError
        It has no such secret, or none that may be read.
    UnusableKeyError
        The current version is no key.
    """

    def __init__(
        self, client: "SecretsManagerClient", secret_id: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._secret_id = secret_id
        self._clock = clock
        self._cache: CalculationCache[str, tuple[SigningKey, ...]] = CalculationCache(
            KEYS_SECONDS, max_entries=1, clock=clock
        )
        self._tried_at = -math.inf
        self._fault: PerformanceCalculatorError | None = None

    def keys(self) -> tuple[SigningKey, ...]:
        """Return the keys as they were at most `KEYS_SECONDS` ago, the current one first."""
        return self._cache.get_or_compute(self._secret_id, self._read)

    def refresh(self) -> tuple[SigningKey, ...]:
        """Return the keys, read again unless that was tried within the last `REFRESH_SECONDS`."""
        if self._clock() - self._tried_at >= REFRESH_SECONDS:
            # Nothing is invalidated first: where the reading fails, the keys at hand serve on.
            self._cache.put(self._secret_id, self._read())
        elif self._fault is not None:
            # Whether the token is good is still not known: the answer is the same as when it was tried.
            raise self._fault.with_traceback(None)
        return self.keys()

    def _read(self) -> tuple[SigningKey, ...]:
        self._tried_at = self._clock()
        try:
            with typed_errors("Secrets Manager"):
                current = self._current()
                previous = self._previous()
        except PerformanceCalculatorError as fault:
            self._fault = fault
            raise
        self._fault = None
        # A rotation between the two calls makes the version that was read first the previous one.
        return (current,) if previous is None or previous.key_id == current.key_id else (current, previous)

    def _current(self) -> SigningKey:
        return _signing_key(self._client.get_secret_value(SecretId=self._secret_id, VersionStage="AWSCURRENT"))

    def _previous(self) -> SigningKey | None:
        try:
            answer = self._client.get_secret_value(SecretId=self._secret_id, VersionStage="AWSPREVIOUS")
        except self._client.exceptions.ResourceNotFoundException:
            return None  # it was never rotated
        try:
            return _signing_key(answer)
        except UnusableKeyError as fault:  # a placeholder that was rotated away must not stop the API
            logger().warning("Authorizer", extra={"previous_key": str(fault)})
            return None


def policy(caller: Caller, method_arn: str) -> dict[str, Any]:
    """Return what API Gateway is answered for a caller.

    A `*` of a policy matches slashes too; since the method stands before the path, no grant reaches another method.

    Parameters
    ----------
    caller
        By a verified token.
    method_arn
        The method asked for, of which the API and its stage are taken and no more.

    Returns
    -------
    dict
        `principalId`; `policyDocument`, which allows the routes of the caller's role; `context` for the API, all text,
        `client_id` empty where the caller has none.

    Raises
    ------
    InvalidEventError
        `method_arn` is not the ARN of an API's method.
    """
    if (match := _METHOD_ARN.fullmatch(method_arn)) is None:
        raise InvalidEventError("methodArn is not the ARN of a method")
    granted = [
        f"{match[1]}/{route.method}{_PATH_PARAMETER.sub('*', route.path)}"
        for route in ROUTES
        if allows(caller.role, route)
    ]
    return {
        "principalId": caller.subject,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": granted}],
        },
        "context": {
            "subject": caller.subject,
            "role": caller.role.value,
            "client_id": "" if caller.client_id is None else caller.client_id,
        },
    }


def handler(event: Mapping[str, Any], context: object, *, keys: KeySource | None = None) -> dict[str, Any]:
    """Answer a TOKEN authorizer's event.

    Raises
    ------
    Exception
        `Unauthorized`: the token is refused. API Gateway makes a 401 of this message and a 500 of all others.
    TransientError, StoreError, UnusableKeyError
        The keys cannot be had, which says nothing about the token.
    """
    settings = AuthorizerSettings.from_env()
    try:
        caller = _authenticate(event, keys or key_source(settings), settings)
    except RefusedTokenError as refusal:
        logger().warning("Authorizer", extra={"refused": str(refusal)})
        raise Exception("Unauthorized") from None  # noqa: TRY002 - the message is what counts, and its class is logged
    answer = policy(caller, event["methodArn"])
    logger().info("Authorizer", extra=answer["context"])
    return answer


def _authenticate(event: Mapping[str, Any], source: KeySource, settings: AuthorizerSettings) -> Caller:
    token = _bearer_token(event.get("authorizationToken"))
    try:
        return verify(token, source.keys(), settings.issuer, settings.audience)
    except UnknownKeyError:  # perhaps of a key that is newer than the ones at hand
        return verify(token, source.refresh(), settings.issuer, settings.audience)


def _bearer_token(header: object) -> str:
    """Return the token of an `Authorization` header (RFC 6750, 2.1)."""
    if not isinstance(header, str):
        raise RefusedTokenError("the request has no Authorization header")
    scheme, *tokens = header.split() or [""]
    if scheme.lower() != "bearer" or len(tokens) != 1:
        raise RefusedTokenError("the Authorization header is not `Bearer` and one token")
    return tokens[0]


def _signing_key(version: "GetSecretValueResponseTypeDef") -> SigningKey:
    try:
        secret = _Secret.model_validate_json(version.get("SecretString", ""))
    except ValidationError:  # whose text has the secret in it
        raise UnusableKeyError(f'version {version["VersionId"]} of the secret is not {{"JwtSecret": text}}') from None
    return SigningKey(version["VersionId"], secret.jwt_secret.encode())


@kept
def key_source(settings: AuthorizerSettings) -> KeySource:
    """Return the keys of these settings; a warm function keeps them."""
    client = aws_client("secretsmanager", settings.secrets_endpoint, PATIENCE)
    return KeySource(client, settings.secret_id)
