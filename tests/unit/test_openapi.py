"""The API's document: what is in the repository is what is served, and tells every route and every answer."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.models.request import CalculationRequest
from tests.api import Answer, proxy_event
from workflows.triggers.api import openapi
from workflows.triggers.api.handler import handler, resolver
from workflows.triggers.api.models import TransactionsRequest
from workflows.triggers.api.problems import MEDIA_TYPE
from workflows.triggers.routes import ROUTES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document(resolver())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_repository_has_the_document_that_is_served(
    document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    openapi.main()
    kept = (ROOT / "docs" / "openapi.json").read_text()
    assert capsys.readouterr().out == kept, "run python -m workflows.triggers.api.openapi > docs/openapi.json"
    assert Answer(handler(proxy_event("GET", "/openapi.json", caller=None), None)).body == json.loads(kept) == document


def test_the_routes_are_those_that_the_authorizer_grants(document: dict[str, Any]) -> None:
    found = {(method, path, "security" in operation) for method, path, operation in operations(document)}
    assert found == {(route.method, route.path, route.role is not None) for route in ROUTES}


def test_the_version_is_the_project_s(document: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]


def test_every_operation_is_told(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for _, _, operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"][0] in {tag["name"] for tag in document["tags"]}
        assert all(parameter["description"] for parameter in operation.get("parameters", ()))


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    for method, _, operation in operations(document):
        answers = operation["responses"]
        assert "500" in answers
        if "security" in operation:
            assert answers.keys() >= {"401", "403", "404", "429", "503"}
        if method == "POST":
            assert answers.keys() >= {"202", "400", "413", "415", "422"}
        for status, answer in answers.items():
            if status >= "400":
                assert answer["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
            elif status != "304":
                assert answer["content"]["application/json"]["schema"]


def test_what_a_caller_is_to_do_stands_in_a_header(document: dict[str, Any]) -> None:
    answers = document["paths"]["/calculate"]["post"]["responses"]
    assert [list(answers[status]["headers"]) for status in ("401", "429", "503")] == [
        ["WWW-Authenticate"],
        ["Retry-After"],
        ["Retry-After"],
    ]


def test_every_reference_leads_somewhere_and_every_schema_is_needed(document: dict[str, Any]) -> None:
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert referred == set(document["components"]["schemas"])


def test_the_examples_are_good_requests(document: dict[str, Any]) -> None:
    def examples(path: str) -> list[Any]:
        body = document["paths"][path]["post"]["requestBody"]
        return [each["value"] for each in body["content"]["application/json"]["examples"].values()]

    assert [CalculationRequest.parse(value) for value in examples("/calculate")]
    assert [TransactionsRequest.model_validate(value) for value in examples("/transactions")]


def test_the_token_is_a_bearer_s(document: dict[str, Any]) -> None:
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
