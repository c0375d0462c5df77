"""A TOKEN authorizer as API Gateway runs it: asked once for a token, its policy kept and evaluated for each method.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html
"""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Annotated, Final, Literal

from cachetools import TTLCache
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from workflows.local.gateway_events import (
    AUTHORIZER_ERROR,
    EXPLICIT_DENY,
    IMPLICIT_DENY,
    UNAUTHORIZED,
    GatewayResponseError,
)
from workflows.local.lambda_host import FunctionError

INVOKE: Final = "execute-api:Invoke"
MAX_TTL_SECONDS: Final = 3600  # API Gateway's own
MAX_TOKENS: Final = 1024

_ONE_OR_MANY: Final = BeforeValidator(lambda value: value if isinstance(value, list) else [value])


class Decision(Enum):
    """What a policy says about an action on a resource."""

    ALLOW = "allow"
    EXPLICIT_DENY = "explicit_deny"
    IMPLICIT_DENY = "implicit_deny"


class Statement(BaseModel):
    """One statement. Conditions and the Not elements are refused: to pass over one would grant too much."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sid: str = Field("", alias="Sid")
    effect: Literal["Allow", "Deny"] = Field(alias="Effect")
    actions: Annotated[list[str], _ONE_OR_MANY] = Field(alias="Action")
    resources: Annotated[list[str], _ONE_OR_MANY] = Field(alias="Resource")

    def covers(self, action: str, resource: str) -> bool:
        """Return whether it is about `action`, whatever its case, on `resource`, letter by letter."""
        return any(matches(each.lower(), action.lower()) for each in self.actions) and any(
            matches(each, resource) for each in self.resources
        )


class Policy(BaseModel):
    """An IAM policy document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field("", alias="Id")
    version: str = Field("", alias="Version")
    statements: Annotated[list[Statement], _ONE_OR_MANY] = Field(alias="Statement")

    def decide(self, action: str, resource: str) -> Decision:
        """Evaluate the policy: a Deny stands over every Allow, and what nothing allows is denied."""
        effects = {each.effect for each in self.statements if each.covers(action, resource)}
        if "Deny" in effects:
            return Decision.EXPLICIT_DENY
        return Decision.ALLOW if effects else Decision.IMPLICIT_DENY


def matches(pattern: str, text: str) -> bool:
    """Return whether an IAM pattern fits: `*` stands for any characters, slashes among them, and `?` for one."""
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    wildcards = {"*": ".*", "?": "."}
    return re.compile("".join(wildcards.get(each) or re.escape(each) for each in pattern), re.DOTALL)


class _Output(BaseModel):
    """What an authorizer has to return; an object or a list in the context is an error."""

    principal_id: StrictStr = Field(alias="principalId")
    policy: Policy = Field(alias="policyDocument")
    context: dict[str, StrictStr | StrictBool | StrictInt | StrictFloat] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Grant:
    policy: Policy
    context: dict[str, str | int]


class TokenAuthorizer:
    """Decide about requests by the policy of their token.

    Parameters
    ----------
    call
        Invokes the authorizer function with an event as JSON.
    ttl_seconds
        How long a token's policy is kept, for all methods; 0: not at all.
    timer
        The clock of that, in seconds.
    """

    def __init__(
        self,
        call: Callable[[bytes], bytes],
        *,
        ttl_seconds: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 <= ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"a policy is kept for 0 to {MAX_TTL_SECONDS} seconds, not {ttl_seconds}")
        self._call = call
        self._grants: TTLCache[str, _Grant] = TTLCache(MAX_TOKENS, ttl_seconds, timer)
        self._lock = threading.Lock()

    def authorize(self, token: str | None, method_arn: str) -> dict[str, str | int]:
        """Return the caller's context for a method that `token` may call.

        Raises
        ------
        GatewayResponseError
            401 where there is no token or the function says `Unauthorized`, 403 where its policy does not allow the
            method, 500 where it fails or returns what cannot be understood.
        """
        if not token or token.isspace():
            raise GatewayResponseError(UNAUTHORIZED)
        with self._lock:
            grant = self._grants.get(token)
        if grant is None:
            started = time.monotonic()
            grant = self._ask(token, method_arn)
            latency = int((time.monotonic() - started) * 1000)
            with self._lock:
                self._grants[token] = grant
        else:
            latency = 0
        decision = grant.policy.decide(INVOKE, method_arn)
        if decision is not Decision.ALLOW:
            denied = EXPLICIT_DENY if decision is Decision.EXPLICIT_DENY else IMPLICIT_DENY
            raise GatewayResponseError(denied)
        return {**grant.context, "integrationLatency": latency}

    def _ask(self, token: str, method_arn: str) -> _Grant:
        event = {"type": "TOKEN", "methodArn": method_arn, "authorizationToken": token}
        try:
            output = _Output.model_validate_json(self._call(json.dumps(event).encode()))
        except FunctionError as error:
            # The one message that means something: every other failure is the authorizer's own.
            unauthorized = error.payload["errorMessage"] == "Unauthorized"
            raise GatewayResponseError(UNAUTHORIZED if unauthorized else AUTHORIZER_ERROR) from error
        except (ValidationError, TimeoutError) as error:
            raise GatewayResponseError(AUTHORIZER_ERROR) from error
        context = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in output.context.items()
        }
        return _Grant(output.policy, {**context, "principalId": output.principal_id})
