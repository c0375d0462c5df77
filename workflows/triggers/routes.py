"""The API's routes, and who may use them: what the authorizer grants and the API serves."""

from enum import StrEnum
from typing import Final, NamedTuple


class Role(StrEnum):
    """What a caller may do: each role may what the one before it may.

    A reader reads and an operator starts and sends, both for the one client of their token. An admin's token may name
    no client: it is the platform's own, and reaches everything.
    """

    READER = "reader"
    OPERATOR = "operator"
    ADMIN = "admin"


class Route(NamedTuple):
    """A method on a path.

    Attributes
    ----------
    method : str
    path : str
        As API Gateway has it, below the stage: `{name}` stands for one segment.
    role : Role or None
        The least role that may use it; None: it is open to everybody, without a token.
    """

    method: str
    path: str
    role: Role | None


ROUTES: Final = (
    Route("POST", "/calculate", Role.OPERATOR),
    Route("GET", "/executions/{execution_id}", Role.READER),
    Route("GET", "/portfolios/{entity_id}/performance", Role.READER),
    Route("GET", "/accounts/{entity_id}/performance", Role.READER),
    Route("GET", "/securities/{entity_id}/performance", Role.READER),
    Route("GET", "/portfolios/{entity_id}/performance/history", Role.READER),
    Route("GET", "/accounts/{entity_id}/performance/history", Role.READER),
    Route("GET", "/securities/{entity_id}/performance/history", Role.READER),
    Route("POST", "/transactions", Role.OPERATOR),
    Route("GET", "/health", None),
    Route("GET", "/openapi.json", None),
)

_RANKS: Final = tuple(Role)


def allows(role: Role, route: Route) -> bool:
    """Return whether `role` may use `route`."""
    return route.role is None or _RANKS.index(role) >= _RANKS.index(route.role)
