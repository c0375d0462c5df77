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
from common.models.books import BookEntityType, DayValue, Entity, EntityKey, SeriesKind, StoredEntity, Transaction
from common.models.kinds import EntityType
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
UNVALUED: Final = "unvalued"
PORTFOLIOS: Final = {
    ACME: ("growth", "income", "a/b?c=1&d=%2F+;~", UNVALUED),
    GLOBEX: ("globex-zenith", "globex-nadir"),
}
ACCOUNTS: Final = {ACME: "acme-account", GLOBEX: "globex-account"}
SECURITIES: Final[dict[str | None, str]] = {ACME: "acme-note", GLOBEX: "globex-note", None: "AAPL"}
BENCHMARKS: Final[dict[str | None, str]] = {ACME: "acme-index", GLOBEX: "globex-index", None: "SP500"}
VALUES: Final = {client: f"s3://performance-uploads/data/{client}/values.csv" for client in (ACME, GLOBEX)}
MANDATES: Final = {client: f"s3://performance-uploads/data/{client}/mandates.csv" for client in (ACME, GLOBEX)}
"""Files of the clients: of one series, and of the portfolio that comes first, with its valuations."""

SECRET_METRICS: Final = ("twr", "mwr", "volatility", "max_drawdown", "benchmark_twr", "best_day", "worst_day")

_FIRST_VALUES: Final[dict[str | None, Decimal]] = {
    ACME: Decimal("10000.25"),
    GLOBEX: Decimal("7919.37"),
    None: Decimal("101.5"),
}


@dataclass(frozen=True)
class FuzzedWorld:
    """A world to ask.

    Attributes
    ----------
    runtime : LocalRuntime
    data_dir : Path
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
    data_dir: Path
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
                data_dir=data_dir,
                url=gateway.url,
                tokens=_tokens(data_dir),
                executions=executions,
                secrets=tuple(sorted(_secrets(runtime, executions[GLOBEX]))),
            )


def rows_of(runtime: LocalRuntime, client: str | None) -> list[dict[str, Any]]:
    """Return every stored result of a client; None is the platform."""
    return [row for kind, name in _entities(client) for row in runtime.result_store.history(kind, name)]


def books_of(runtime: LocalRuntime, client: str) -> dict[EntityKey, StoredEntity]:
    """Return everything a client has in the books, with its revisions."""
    keys = [EntityKey(BookEntityType(kind), name) for kind, name in _entities(client)]
    return runtime.books.entities([*keys, EntityKey(BookEntityType.BENCHMARK, BENCHMARKS[client])])


def _entities(client: str | None) -> list[tuple[EntityType, str]]:
    accounts = [] if client is None else [(EntityType.ACCOUNT, ACCOUNTS[client])]
    portfolios = [(EntityType.PORTFOLIO, name) for name in PORTFOLIOS.get(client or "", ())]
    return [*portfolios, *accounts, (EntityType.SECURITY, SECURITIES[client])]


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
            if name != UNVALUED:
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
        lines = [f"{day},{value}\n" for day, value, *_ in _series(client, "file")]
        mandates = "".join(f"{PORTFOLIOS[client][0]},{line}" for line in lines)
        runtime.upload(f"data/{client}/values.csv", f"date,value\n{''.join(lines)}".encode())
        runtime.upload(f"data/{client}/mandates.csv", f"portfolio_id,date,value\n{mandates}".encode())
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
        DayValue(day, _FIRST_VALUES[owner] + Decimal(index * step % 53) + Decimal(index))
        for index, day in enumerate(DAYS)
    ]


def _calculate(runtime: LocalRuntime, client: str | None) -> tuple[str, ...]:
    """Calculate what a client has, and start something that fails; return the executions."""
    name = client or "platform"
    request: dict[str, Any] = {
        "request_id": f"{name}-month-end",
        "time_periods": ["MTD", "ITD"],
        "benchmark": {"benchmark_id": BENCHMARKS[client]},
        "entities": [
            {"entity_type": kind, "entity_id": entity_id, "as_of_date": day.isoformat()}
            for kind, entity_id in _entities(client)
            for day in CALCULATED
            if entity_id != UNVALUED
        ],
    }
    failing = {"request_id": f"{name}-fails", "entity_ids": ["nobody"]}
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
        "globex": token(Role.OPERATOR, GLOBEX),
        "nobody": None,
    }


def _secrets(runtime: LocalRuntime, executions: Sequence[str]) -> Iterator[str]:
    yield from (*PORTFOLIOS[GLOBEX], ACCOUNTS[GLOBEX], SECURITIES[GLOBEX], BENCHMARKS[GLOBEX], *executions)
    yield from (f"{GLOBEX} Family Office", f"{GLOBEX} Pension", f"{GLOBEX} Mandate", f"{GLOBEX}-deposit")
    yield str(_FIRST_VALUES[GLOBEX])
    others = {figure for client in (ACME, None) for figure in _figures(rows_of(runtime, client))}
    yield from set(_figures(rows_of(runtime, GLOBEX))) - others


def _figures(document: object) -> Iterator[str]:
    """Yield the metrics of a document that have too many digits to be another's by chance."""
    if isinstance(document, list):
        yield from (figure for value in document for figure in _figures(value))
    elif isinstance(document, dict):
        yield from (figure for value in document.values() for figure in _figures(value))
        texts = (json.dumps(document[name]) for name in SECRET_METRICS if name in document)
        yield from (text for text in texts if len(text) > 12)
