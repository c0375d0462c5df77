"""Two clients' books and results behind the API on the loopback, and everything one of them must never read."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from common.calculations import TransactionType
from common.models.books import BookEntityType, DayValue, Entity, SeriesKind, Transaction
from common.models.results import EntityType
from workflows.executions import Execution
from workflows.local.development_key import DEVELOPMENT_AUDIENCE, DEVELOPMENT_ISSUER, development_key, mint
from workflows.local.gateway import LocalGateway
from workflows.local.runtime import LocalRuntime
from workflows.triggers.routes import Role

ACME: Final = "acme"
GLOBEX: Final = "globex"
DAYS: Final = [date(2024, 1, 1) + timedelta(days=index) for index in range(91)]
CALCULATED: Final = (date(2024, 2, 29), date(2024, 3, 29))
SECONDS: Final = 60.0

# An id may have every printable character but the space and `#`, those of a URL among them.
PORTFOLIOS: Final = {
    ACME: ("growth", "income", "a/b?c=1&d=%2F+;~", "unvalued"),
    GLOBEX: ("globex-zenith", "globex-nadir"),
}
ACCOUNTS: Final = {ACME: "acme-account", GLOBEX: "globex-account"}
SECURITIES: Final = {ACME: "acme-note", GLOBEX: "globex-note", None: "AAPL"}
BENCHMARKS: Final = {ACME: "acme-index", GLOBEX: "globex-index", None: "SP500"}
FILES: Final = {client: f"s3://performance-uploads/data/{client}/values.csv" for client in (ACME, GLOBEX)}

_FIRST_VALUES: Final = {ACME: Decimal("10000.25"), GLOBEX: Decimal("7919.37"), None: Decimal("101.5")}


@dataclass(frozen=True)
class FuzzedWorld:
    """A world to ask.

    Attributes
    ----------
    runtime : LocalRuntime
    url : str
        Where the API is.
    tokens : dict
        By the names of the callers; None is a caller without one.
    executions : dict
        Names of executions that have ended, by their client; None is the platform.
    secrets : tuple of str
        What only Globex may read: ids, names, and every figure of its results.
    """

    runtime: LocalRuntime
    url: str
    tokens: dict[str, str | None]
    executions: dict[str | None, tuple[str, ...]]
    secrets: tuple[str, ...]


@contextmanager
def fuzzed_world(data_dir: Path) -> Iterator[FuzzedWorld]:
    """Make a world in `data_dir` and serve it."""
    with LocalRuntime(data_dir, retry_delay_scale=0.001) as runtime:
        _fill(runtime)
        executions = {client: _calculate(runtime, client) for client in (ACME, GLOBEX, None)}
        gateway = LocalGateway(runtime.host.invoke, api_function="Api", authorizer_function="Authorizer")
        with gateway:
            yield FuzzedWorld(
                runtime=runtime,
                url=gateway.url,
                tokens=_tokens(data_dir),
                executions=executions,
                secrets=tuple(sorted(_secrets(runtime, executions[GLOBEX]))),
            )


def rows_of_globex(runtime: LocalRuntime) -> list[dict[str, Any]]:
    """Return every stored result of Globex."""
    entities = [
        *((EntityType.PORTFOLIO, name) for name in PORTFOLIOS[GLOBEX]),
        (EntityType.ACCOUNT, ACCOUNTS[GLOBEX]),
        (EntityType.SECURITY, SECURITIES[GLOBEX]),
    ]
    return [row for kind, name in entities for row in runtime.result_store.history(kind, name)]


def _fill(runtime: LocalRuntime) -> None:
    books = runtime.books

    def put(kind: BookEntityType, entity_id: str, client: str | None, **more: str) -> None:
        entity = {"entity_type": kind, "entity_id": entity_id, "client_id": client, **more}
        books.put_entity(Entity.model_validate(entity))

    for client in (ACME, GLOBEX):
        account = ACCOUNTS[client]
        put(BookEntityType.CLIENT, client, client, name=f"{client} Family Office")
        put(BookEntityType.ACCOUNT, account, client, account_id=account, name=f"{client} Pension")
        for name in PORTFOLIOS[client]:
            put(BookEntityType.PORTFOLIO, name, client, account_id=account, name=f"{client} Mandate of {name}")
            if name != "unvalued":
                books.write_series(SeriesKind.VALUATION, name, _series(client, name))
        books.record(
            PORTFOLIOS[client][0],
            [
                Transaction(
                    transaction_id=f"{client}-deposit",
                    portfolio_id=PORTFOLIOS[client][0],
                    type=TransactionType.DEPOSIT,
                    trade_date=DAYS[20],
                    amount=_FIRST_VALUES[client] / 10,
                )
            ],
        )
        values = "".join(f"{day},{value}\n" for day, value, *_ in _series(client, "file"))
        runtime.upload(f"data/{client}/values.csv", f"date,value\n{values}".encode())
    for owner, name in SECURITIES.items():
        put(BookEntityType.SECURITY, name, owner)
        books.write_series(SeriesKind.PRICE, name, _series(owner, name))
    for owner, name in BENCHMARKS.items():
        put(BookEntityType.BENCHMARK, name, owner)
        books.write_series(SeriesKind.LEVEL, name, _series(owner, name))


def _series(owner: str | None, name: str) -> list[DayValue]:
    """Return a series that no other name has."""
    step = sum(name.encode()) % 97 + 3
    return [
        DayValue(day, _FIRST_VALUES[owner] + Decimal(index * step % 53) + Decimal(index)) for index, day in enumerate(DAYS)
    ]


def _calculate(runtime: LocalRuntime, client: str | None) -> tuple[str, ...]:
    """Calculate what a client has, and start something that fails; return the executions."""
    portfolios = [name for name in PORTFOLIOS.get(client or "", ()) if name != "unvalued"]
    entities = [(EntityType.PORTFOLIO, name) for name in portfolios]
    entities += [(EntityType.SECURITY, SECURITIES[client])]
    entities += [(EntityType.ACCOUNT, ACCOUNTS[client])] if client else []
    request: dict[str, Any] = {
        "request_id": f"{client or 'platform'}-month-end",
        "time_periods": ["MTD", "ITD"],
        "benchmark": {"benchmark_id": BENCHMARKS[client]},
        "entities": [
            {"entity_type": kind, "entity_id": name, "as_of_date": day.isoformat()}
            for kind, name in entities
            for day in CALCULATED
        ],
    }
    failing = {"request_id": f"{client or 'platform'}-fails", "entity_ids": ["nobody"]}
    bound = {} if client is None else {"client_id": client}
    return tuple(_ended(runtime, {**each, **bound}).name for each in (request, failing))


def _ended(runtime: LocalRuntime, request: dict[str, Any]) -> Execution:
    return runtime.executions.wait(runtime.executions.start_or_attach(request).name, timeout=SECONDS)


def _tokens(data_dir: Path) -> dict[str, str | None]:
    key = development_key(data_dir)

    def token(role: Role, client: str | None) -> str:
        return mint(
            key,
            subject=f"{client}-{role}",
            role=role,
            client_id=client,
            issuer=DEVELOPMENT_ISSUER,
            audience=DEVELOPMENT_AUDIENCE,
            lifetime=timedelta(hours=1),
        )

    return {
        "operator": token(Role.OPERATOR, ACME),
        "reader": token(Role.READER, ACME),
        "admin": token(Role.ADMIN, None),
        "nobody": None,
    }


def _secrets(runtime: LocalRuntime, executions: Sequence[str]) -> Iterator[str]:
    yield from (*PORTFOLIOS[GLOBEX], ACCOUNTS[GLOBEX], SECURITIES[GLOBEX], BENCHMARKS[GLOBEX], *executions)
    yield from (f"{GLOBEX} Family Office", f"{GLOBEX} Pension", f"{GLOBEX} Mandate", f"{GLOBEX}-deposit")
    yield str(_FIRST_VALUES[GLOBEX])
    own = set(_figures(list(_rows_of_acme(runtime))))
    yield from set(_figures(rows_of_globex(runtime))) - own


def _rows_of_acme(runtime: LocalRuntime) -> Iterator[dict[str, Any]]:
    for name in PORTFOLIOS[ACME]:
        yield from runtime.result_store.history(EntityType.PORTFOLIO, name)


def _figures(document: object) -> Iterator[str]:
    """Yield every number of a document that is long enough to be nobody else's by chance."""
    match document:
        case dict():
            yield from (text for value in document.values() for text in _figures(value))
        case list():
            yield from (text for value in document for text in _figures(value))
        case float() if len(text := json.dumps(document)) > 12:
            yield text
