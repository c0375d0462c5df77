"""What is wrong with a document is told in words, never in those of a library and never as a pattern."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, StrictBool, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from common.errors import InvalidRequestError
from common.models.books import Entity, Transaction
from common.models.faults import faults, in_words, spelled, told
from common.models.fleet import FleetRequest
from common.models.identifiers import ClientIdentifier, Currency, Identifier
from common.models.inputs import PortfolioInput
from common.models.kinds import EntityType
from common.models.records import InvalidRecordError, RecordKind, parse
from common.models.request import CalculationRequest
from workflows.settings import Settings
from workflows.triggers.api.models import IdempotencyKey, PeriodLabel
from workflows.triggers.tokens import RefusedTokenError, _caller

LEAK = re.compile(r"\^\[|\^\(|Input should|Value error|String should|should (be|match|have)|valid dictionary|\{\w+\}")
# Of every kind, and each wrong somewhere: too long, too large, of another type, not UTF-8, not finite.
JUNK: list[Any] = [
    None,
    True,
    3,
    -1,
    10**30,
    0.5,
    float("inf"),
    float("nan"),
    "",
    " ",
    "x" * 2_000,
    "é",
    "\ud800",
    "a b",
    "usd",
]
JUNK += ["^[A-Z]{3}$", [], [1], ["a"], {}, {"a": 1}, [{}], [[]], date(2024, 1, 2), b"bytes"]


def messages(validate: Callable[[Any], object], document: Any) -> list[str]:
    try:
        validate(document)
    except ValidationError as error:
        return [message for _, message in faults(error)]
    except (InvalidRequestError, InvalidRecordError) as error:
        return [message for _, message in error.faults]
    except RefusedTokenError as error:
        return [str(error)]
    return []


def _parsed(kind: RecordKind, row: dict[str, Any]) -> object:
    return parse(kind, row, date(2024, 1, 2))


VALUATIONS: list[dict[str, Any]] = [{"date": "2024-01-02", "value": 1.0}]
PORTFOLIO: dict[str, Any] = {
    "portfolio_id": "p",
    "currency": "USD",
    "client_id": "c",
    "account_id": "a",
    "valuations": VALUATIONS,
    "cash_flows": [],
}
REQUEST: dict[str, Any] = {
    **{name: None for name in CalculationRequest.model_fields if name not in {"portfolios", "max_concurrency"}},
    "portfolios": [PORTFOLIO],
}
DOCUMENTS: dict[str, tuple[Callable[[Any], object], Mapping[str, Any]]] = {
    "request": (CalculationRequest.parse, REQUEST),
    "fleet": (FleetRequest.parse, dict.fromkeys(FleetRequest.model_fields)),
    "portfolio": (PortfolioInput.model_validate, PORTFOLIO),
    "benchmark": (CalculationRequest.parse, {"benchmark": {"benchmark_id": "b", "valuations": VALUATIONS}}),
    "valuation": (lambda each: PortfolioInput.model_validate({**PORTFOLIO, "valuations": [each]}), VALUATIONS[0]),
    "columns": (
        lambda each: PortfolioInput.model_validate({**PORTFOLIO, "valuations": each}),
        {"dates": ["2024-01-02"], "values": [1.0]},
    ),
    "source": (
        lambda each: PortfolioInput.model_validate({**PORTFOLIO, "valuations": each}),
        {"source": "s3://b/k.csv", "format": "csv"},
    ),
    "entity": (Entity.model_validate, dict.fromkeys(Entity.model_fields)),
    "transaction": (Transaction.model_validate, dict.fromkeys(Transaction.model_fields)),
    "claims": (_caller, {"sub": "s", "role": "reader", "client_id": "c", "exp": 1, "iat": 1, "nbf": 1}),
    **{f"row of {kind}": (partial(_parsed, kind), dict.fromkeys(kind.columns, "x")) for kind in RecordKind},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_message_on_a_wrong_document_has_a_pattern_or_the_words_of_a_library(name: str) -> None:
    validate, right = DOCUMENTS[name]
    wrong: list[Any] = [{**right, field: junk} for field in right for junk in JUNK]
    wrong += [{key: value for key, value in right.items() if key != field} for field in right]
    wrong += [{**right, "bogus": 1}]
    if not name.startswith("row"):  # of which a file has objects alone
        wrong += [each for each in JUNK if not isinstance(each, bytes | date)]
    found = {message for document in wrong for message in messages(validate, document)}
    assert len(found) > 3
    assert not [message for message in found if LEAK.search(message.replace("^[A-Z]{3}$", ""))]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (Identifier, "a b", "must have only visible ASCII characters but #, no blanks"),
        (Identifier, "a#b", "must have only visible ASCII characters but #, no blanks"),
        (ClientIdentifier, "a/b", "must have only visible ASCII characters but # and /, no blanks"),
        (Currency, "usd", "must be three capital letters, such as USD"),
        (PeriodLabel, "1D", "must be a period such as 1Y, or two dates, FROM/TO"),
        (IdempotencyKey, "\n", "must have 1 to 255 visible ASCII characters or blanks"),
        (Identifier, "\ud800", "is not UTF-8 text"),
        (StrictBool, 1, "must be true or false"),
        (Annotated[str, Field(pattern="^[0-9]+$")], "x", "has characters that it must not have"),
        (Annotated[str, Field(pattern=spelled("^[01]+$", "must have only 0 and 1"))], "x", "must have only 0 and 1"),
        (date, "x", "must be a valid date or datetime, input is too short"),
        (EntityType, "planet", "must be 'portfolio', 'account' or 'security'"),
    ],
)
def test_what_is_wrong_with_a_value_is_told_in_words(kind: Any, text: object, expected: str) -> None:
    assert messages(TypeAdapter(kind).validate_python, text) == [expected]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Value error, 'x' is not one of 'a', 'b'", "'x' is not one of 'a', 'b'"),
        ("Input should be a valid integer, unable to parse string as an integer", "must be a whole number"),
        ("Input should be less than or equal to 40", "must be less than or equal to 40"),
        (
            "List should have at most 3 items after validation, not 4",
            "must have at most 3 items after validation, not 4",
        ),
        ("the name should be short", "the name should be short"),
    ],
)
def test_a_message_of_the_library_becomes_one_of_ours(message: str, expected: str) -> None:
    assert in_words(message) == expected


def test_braces_in_what_a_user_wrote_are_left_alone() -> None:
    assert told("custom", "'{names}' is no field", {}) == "'{names}' is no field"


def test_settings_are_told_in_the_same_words() -> None:
    junk = {
        "max_concurrency": "many",
        "cache_ttl_seconds": "-1",
        "log_level": "loud",
        "port": "1" * 5_000,
        "stack": "?",
    }
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate_strings(junk)
    found: list[ErrorDetails] = caught.value.errors(include_url=False)
    assert len(found) == len(junk)
    assert not [each for each in found if LEAK.search(told(each["type"], each["msg"], each.get("ctx", {})))]


class _Model(BaseModel):
    number: Annotated[int, Field(lt=3)]


def test_a_limit_is_told() -> None:
    assert messages(_Model.model_validate, {"number": 3}) == ["must be less than 3"]
    assert messages(_Model.model_validate, {"number": 0.5}) == ["must be a whole number"]
