"""What the API is asked: what schemathesis makes of its document, and more of what is nearly right in a world."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import hypothesis.core
import schemathesis
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter
from requests.structures import CaseInsensitiveDict
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from tests.workflow.fuzzed_world import (
    ACCOUNTS,
    ACME,
    BENCHMARKS,
    CALCULATED,
    DAYS,
    GLOBEX,
    MANDATES,
    PORTFOLIOS,
    SECURITIES,
    UNVALUED,
    VALUES,
    FuzzedWorld,
)
from workflows.triggers.api.history import encode_position

# Schemathesis puts one in its place that prints nothing: no property test of the process would tell its example.
vars(hypothesis.core)["RepresentationPrinter"] = RepresentationPrinter

Operation = APIOperation[Any, Any, Any, Any]
Request = Case[Operation]

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "openapi.json"
CONFIG: Final = schemathesis.Config.from_dict(
    {
        # The tests say who asks.
        "generation": {"with-security-parameters": False},
        # What literals the code has depends on how much of it is loaded.
        "analysis": {"constants": {"enabled": False}},
        # API Gateway knows no 405.
        "phases": {"coverage": {"unexpected-methods": []}},
    }
)
SCHEMA: Final = schemathesis.openapi.from_path(DOCUMENT, config=CONFIG)
OPERATIONS: Final[dict[str, Operation]] = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
}

CALCULATE: Final = "POST /calculate"
TRANSACTIONS: Final = "POST /transactions"
EXECUTION: Final = "GET /executions/{execution_id}"

_DAYS: Final = (None, "2023-12-31", *(day.isoformat() for day in CALCULATED), "2024-03-01", "2199-12-31")
_METRICS: Final = ("twr", "mwr", "volatility", "sharpe_ratio", "max_drawdown")
# None leaves it out.
_QUERY: Final[dict[str, Sequence[Any]]] = {
    "as_of": (*_DAYS, "1899-12-31"),
    "from": (*_DAYS, "1899-12-31"),
    "to": (*_DAYS, "2200-01-01"),
    "period": (None, "ITD", "MTD", "1Y", "2024-01-01/2024-03-29", "2024-02-31/2024-03-29"),
    "metric": (*_METRICS, *_METRICS, "beta", None),
    "limit": (None, 1, 2, 100, 1000, "1e2"),
    "next_token": (None, None, *(encode_position(day) for day in CALCULATED), "eA", "\u00e9"),
}
_HEADERS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"If-None-Match": "*"},
    {"If-None-Match": 'W/"0", "1"'},
    {"Idempotency-Key": "month-end"},
    {"Idempotency-Key": "again"},
    {"Idempotency-Key": "k" * 256},
)

MALFORMED: Final = (
    b"",
    b" ",
    b"null",
    b'"text"',
    b"{",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b'{"a": NaN}',
    b'{"max_concurrency": -Infinity}',
    b'{"max_concurrency": ' + b"1" * 5000 + b"}",
    b"[" * 50_000,
    b'{"a":' * 50_000,
    b'{"\\ud800": "\\udfff"}',
    b'{"entity_ids": ["\\ud800"], "client_id": "\\u0000"}',
    b'{"risk_free_rate": 1e999999999999999999999, "entity_ids": ["growth"]}',
    b'{"transactions": [{"transaction_id": "t", "portfolio_id": "growth", "type": "fee", "trade_date": "2024-02-15", '
    b'"amount": 1e999999999999999999999}]}',
)
"""What no generator of JSON makes; none of it is a request."""

_TRANSACTION: Final = {
    "transaction_id": "t-1",
    "portfolio_id": "growth",
    "type": "deposit",
    "trade_date": "2024-02-15",
    "amount": "12.34",
}
_VALUATIONS: Final = [{"date": day.isoformat(), "value": 100.5 + index} for index, day in enumerate(DAYS[:8])]
_BODIES: Final[dict[str, Sequence[dict[str, Any]]]] = {
    CALCULATE: (
        {"entity_ids": ["growth", "income"], "as_of_date": "2024-03-29", "time_periods": ["MTD", "ITD"]},
        {"entity_type": "account", "entity_ids": [ACCOUNTS[ACME]], "calculation_method": "modified_dietz"},
        {
            "entities": [
                {"entity_type": "security", "entity_id": SECURITIES[ACME]},
                {"entity_id": "income", "as_of_date": "2024-02-29"},
            ],
            "benchmark": {"benchmark_id": BENCHMARKS[None]},
        },
        {
            "client_id": ACME,
            "portfolios": [
                {
                    "portfolio_id": "income",
                    "account_id": ACCOUNTS[ACME],
                    "client_id": ACME,
                    "currency": "CHF",
                    "valuations": _VALUATIONS,
                    "cash_flows": {"dates": [DAYS[3].isoformat()], "amounts": [-7.25]},
                }
            ],
            "time_periods": [{"from": "2024-01-02", "to": "2024-01-05"}, "ITD"],
        },
        {
            "portfolios": [{"portfolio_id": "growth", "valuations": {"source": VALUES[ACME]}}],
            "benchmark": {"valuations": _VALUATIONS},
            "flow_timing": "start_of_day",
        },
        {"portfolios": {"source": MANDATES[ACME], "format": "csv"}, "periods_per_year": 252, "risk_free_rate": 0.02},
        {"request_id": "a-day", "entity_ids": [UNVALUED], "max_price_age_days": 0, "max_concurrency": 40},
        {},
    ),
    TRANSACTIONS: (
        {"transactions": [_TRANSACTION]},
        {
            "transactions": [
                {**_TRANSACTION, "transaction_id": "t-2", "type": "buy", "security_id": "AAPL", "quantity": 1.5},
                {**_TRANSACTION, "transaction_id": "t-3", "type": "fee", "amount": 0},
                {
                    "transaction_id": "t-4",
                    "portfolio_id": "income",
                    "type": "transfer_in",
                    "trade_date": "2024-03-28",
                    "security_id": SECURITIES[ACME],
                    "quantity": "1e-130",
                    "counterparty_id": "growth",
                },
            ]
        },
    ),
}
# What Globex has in the place of what Acme has.
_COUNTERPARTS: Final = {
    ACME: GLOBEX,
    **dict(zip(PORTFOLIOS[ACME], PORTFOLIOS[GLOBEX], strict=False)),
    **{each[ACME]: each[GLOBEX] for each in (ACCOUNTS, SECURITIES, BENCHMARKS, VALUES, MANDATES)},
}
# Where a name is the sender's own choice.
_FREE: Final = {"request_id", "transaction_id", "counterparty_id"}
# What takes another value's place.
_ODD: Final[st.SearchStrategy[Any]] = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    (
        None,
        True,
        0,
        -1,
        2.5,
        1e300,
        10**40,
        "",
        " ",
        "x" * 65,
        "\x00",
        "\u00e9",
        "1e1000000",
        "0e999999",
        "1899-12-31",
        "2024-02-30",
        "2199-12-31",
        "ITD",
        [],
        {},
        [[]],
        {"source": f"s3://performance-uploads/data/{ACME}/absent.csv"},
        ACME,
        "income",
        "AAPL",
        "security",
    )
)


@st.composite
def cases(draw: st.DrawFn, operation: Operation, world: FuzzedWorld) -> Request:
    """Generate requests for an operation: schemathesis's, good and bad, and more of what is nearly right."""
    kinds = ("near", "near", "near", GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    # Nothing can be wrong with a request that has no parameters.
    kind = draw(st.sampled_from(kinds if _has_inputs(operation) else kinds[:-1]))
    if kind != "near":
        return draw(_strategy(operation.label, kind, None))
    named = draw(st.sampled_from(_ids(operation, world))) if operation.path_parameters else None
    case: Request = draw(_strategy(operation.label, GenerationMode.POSITIVE, named))
    query = {name: draw(st.sampled_from(_QUERY[name])) for name in sorted(each.name for each in operation.query)}
    case.query = {name: value for name, value in query.items() if value is not None}
    case.headers = CaseInsensitiveDict(draw(st.sampled_from(_HEADERS)))
    if operation.label in _BODIES:
        case.body = draw(_bodies(operation.label))
    return case


def edges(operation: Operation, world: FuzzedWorld) -> Iterator[Request]:
    """Yield requests with each parameter and field at, and just beyond, each limit that the document has for it."""
    modes, config = list(GenerationMode), SCHEMA.config.generation_for(operation=operation)
    for case in SCHEMA.iter_coverage_cases(operation, generation_modes=modes, generation_config=config):
        if "0" in case.path_parameters.values():  # the id of a request that is about something else
            case.path_parameters = {name: path_parameter(_ids(operation, world)[0]) for name in case.path_parameters}
        yield case


def path_parameter(entity_id: str) -> str:
    """Return an id as a segment of a path."""
    return quote(entity_id, safe="")


@cache
def _strategy(label: str, mode: GenerationMode, named: str | None) -> st.SearchStrategy[Request]:
    operation = OPERATIONS[label]
    given = None if named is None else {each.name: path_parameter(named) for each in operation.path_parameters}
    return operation.as_strategy(mode, path_parameters=given)


def _has_inputs(operation: Operation) -> bool:
    return bool(operation.path_parameters or operation.query or operation.body)


def _ids(operation: Operation, world: FuzzedWorld) -> Sequence[str]:
    """Return ids of the world that may stand in the path of an operation, Acme's more often."""
    match operation.path.split("/")[1]:
        case "portfolios":
            return (*PORTFOLIOS[ACME], *PORTFOLIOS[GLOBEX], "absent")
        case "accounts":
            return (ACCOUNTS[ACME], ACCOUNTS[GLOBEX], "growth")
        case "securities":
            return (SECURITIES[ACME], SECURITIES[None], SECURITIES[GLOBEX], "growth")
        case "executions":
            return tuple(name for names in world.executions.values() for name in names)
        case _:
            return ()


@st.composite
def _bodies(draw: st.DrawFn, label: str) -> dict[str, Any]:
    document: dict[str, Any] = deepcopy(draw(st.sampled_from(_BODIES[label])))
    if "transactions" in document and draw(st.booleans()):
        number = draw(st.integers(min_value=1))  # another transaction, not the same again
        document["transactions"] = [
            {**each, "transaction_id": f"{each['transaction_id']}-{number}"} for each in document["transactions"]
        ]
    for _ in range(draw(st.sampled_from((0, 1, 1, 2)))):
        places = list(_places(document))
        own = [(container, key) for container, key in places if str(container[key]) in _COUNTERPARTS]
        step = draw(st.sampled_from(("theirs", "odd", "odd", "gone")))
        if step == "theirs" and own:
            container, key = draw(st.sampled_from(own))
            container[key] = _COUNTERPARTS[container[key]]
        elif places:
            container, key = draw(st.sampled_from(places))
            if step == "gone":
                del container[key]
            else:
                container[key] = draw(_ODD)
    return document


def reaches(value: Any, key: str = "") -> set[str]:
    """Return what a body asks to be calculated, read or changed that is Globex's."""
    match value:
        case dict():
            # An index given with its levels, and a portfolio given with its data, are what the books say they are.
            given = {"benchmark_id", "client_id", "account_id"} if value.get("valuations") else set()
            return {name for each in value.keys() - given for name in reaches(value[each], each)}
        case list():
            return {name for each in value for name in reaches(each, key)}
        case str() if key not in _FREE and value in _COUNTERPARTS.values():
            return {value}
        case _:
            return set()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a document, and every key or index in it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
