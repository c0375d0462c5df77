"""The API over HTTP, asked what schemathesis makes of its document: whatever comes, the answer is as documented.

A failure tells its request as a curl command.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from schemathesis import CheckContext, CheckFunction, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as conformance

from tests.workflow.fuzzed_requests import (
    CALCULATE,
    EXECUTION,
    MALFORMED,
    OPERATIONS,
    TRANSACTIONS,
    Request,
    cases,
    edges,
    path_parameter,
    reaches,
)
from tests.workflow.fuzzed_world import (
    ACCOUNTS,
    ACME,
    GLOBEX,
    PORTFOLIOS,
    SECONDS,
    SECURITIES,
    FuzzedWorld,
    books_of,
    fuzzed_world,
    rows_of,
)
from workflows.executions import Execution, ExecutionStatus
from workflows.triggers.api.history import Metric
from workflows.triggers.api.problems import MEDIA_TYPE, Problem, ProblemType

pytestmark = pytest.mark.xdist_group("api fuzz")  # one world for all of them

CALLERS: Final = ("operator", "reader", "admin", "nobody")
READS: Final = [label for label in OPERATIONS if label.startswith("GET")]
# What Acme may read the performance of, and where.
RESULTS: Final = [
    *(("GET /portfolios/{entity_id}/performance", name) for name in PORTFOLIOS[ACME]),
    ("GET /accounts/{entity_id}/performance", ACCOUNTS[ACME]),
    ("GET /securities/{entity_id}/performance", SECURITIES[ACME]),
]
RUNNING_AT_ONCE: Final = 4
# What wrong data end with; all else would be a fault of ours.
WRONG_DATA: Final = {"InvalidRequestError", "AllPortfoliosFailed", "InvalidPortfolioError", "InputNotFoundError"}
# How many times as much is asked; the first is the same in every run.
EXTENTS: Final = [pytest.param(1, id="some"), pytest.param(6, id="many", marks=pytest.mark.slow)]

CONFORMANCE: Final[list[CheckFunction]] = [
    not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.negative_data_rejection,
]


class Fuzzer:
    """Asks a world, checks every answer, and keeps what came of it.

    Attributes
    ----------
    statuses : dict
        Which each caller has been answered with.
    started : dict
        Names of the executions, and who started them.
    """

    def __init__(self, world: FuzzedWorld) -> None:
        self.world = world
        self.statuses: dict[str, set[int]] = defaultdict(set)
        self.started: dict[str, str] = {}
        self._told: set[str] = set()
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy stands before the loopback

    def ask(self, case: Request, caller: str) -> Response:
        """Ask as `caller` and check the answer."""
        token = self.world.tokens[caller]
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = case.call(self.world.url, self._session, headers, timeout=SECONDS)
        case.validate_response(response, [*CONFORMANCE, is_a_problem, *self._checks_of(caller)], headers=headers)
        self.statuses[caller].add(response.status_code)
        if response.status_code == 202:
            self._keep(case, caller, response)
        return response

    def read(self, label: str, caller: str, name: str, **query: str | int) -> Response:
        """Ask for one thing."""
        operation = OPERATIONS[label]
        segments = {each.name: path_parameter(name) for each in operation.path_parameters}
        return self.ask(operation.Case(path_parameters=segments, query=query), caller)

    def fuzz(self, label: str, examples: int, *, same: bool) -> None:
        """Ask for an operation that many times, as every caller, in every run the `same` or not."""

        @settings(
            max_examples=examples,
            derandomize=same,
            database=None,
            phases=[Phase.generate],  # a world that has changed meanwhile cannot be asked the same again
            suppress_health_check=list(HealthCheck),
        )
        @given(cases(OPERATIONS[label], self.world), st.sampled_from(("operator", "operator", *CALLERS)))
        def ask(case: Request, caller: str) -> None:
            # What an admin does to Globex is right, and would hide what others do.
            mixed = caller == "admin" and case.method == "POST" and GLOBEX in str(case.body)
            self.ask(case, "operator" if mixed else caller)

        ask()

    def _keep(self, case: Request, caller: str, response: Response) -> None:
        if caller != "admin":  # who gives a name of Globex's to something of their own may read it there
            self._told |= {secret for secret in self.world.secrets if secret in _sent(response)}
        if case.operation.label == CALCULATE:
            self.started[response.json()["execution_id"]] = caller
            executions = self.world.runtime.executions
            for execution in islice(executions.list(status=ExecutionStatus.RUNNING), RUNNING_AT_ONCE - 1, None):
                executions.wait(execution.name, timeout=SECONDS)

    def _checks_of(self, caller: str) -> list[CheckFunction]:
        def keeps_to_the_role(context: CheckContext, response: Response, case: Request) -> None:
            """Without a token nothing that needs one, and with a reader's nothing but reading."""
            if "security" not in case.operation.definition.raw:
                assert response.status_code == 200
            elif caller == "nobody":
                assert response.status_code == 401
            elif caller == "reader" and case.method == "POST":
                assert response.status_code == 403
            else:
                assert response.status_code not in {401, 403}

        def keeps_the_secrets_of_globex(context: CheckContext, response: Response, case: Request) -> None:
            """None is in an answer, unless the caller has named it and hears that there is no such thing."""
            found = [secret for secret in secrets_in(response, self.world) if secret not in self._told]
            assert not [secret for secret in found if secret not in _sent(response)]
            assert not found or response.status_code >= 400

        def takes_nothing_that_reaches_for_globex(context: CheckContext, response: Response, case: Request) -> None:
            """A request that names what is Globex's is not accepted."""
            assert response.status_code != 202 or not reaches(case.body)

        if caller in {"admin", "globex"}:
            return [keeps_to_the_role]
        return [keeps_to_the_role, keeps_the_secrets_of_globex, takes_nothing_that_reaches_for_globex]


def is_a_problem(context: CheckContext, response: Response, case: Request) -> None:
    """Every answer that is no success is a problem of one of the API's types, and of this request."""
    if response.status_code < 400:
        return
    assert response.headers["content-type"] == [MEDIA_TYPE]
    assert response.headers["cache-control"] == ["no-store"]
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError as error:
        raise AssertionError(str(error)) from None
    assert (problem.type, problem.title, problem.status) in {
        (each.uri, each.title, each.status) for each in ProblemType
    }
    assert problem.status == response.status_code
    assert problem.instance == urlsplit(str(response.request.url)).path
    assert [problem.request_id] == response.headers["x-amzn-requestid"]


def secrets_in(response: Response, world: FuzzedWorld) -> list[str]:
    answer = response.text + json.dumps(dict(response.headers))
    return [secret for secret in world.secrets if secret in answer]


def _sent(response: Response) -> str:
    body = response.request.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    return unquote(str(response.request.url)) + text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedWorld]:
    with fuzzed_world(tmp_path_factory.mktemp("fuzzed")) as made:
        yield made


@pytest.fixture
def fuzzer(world: FuzzedWorld) -> Iterator[Fuzzer]:
    def of_globex() -> tuple[object, object]:
        return rows_of(world.runtime, GLOBEX), books_of(world.runtime, GLOBEX)

    before = of_globex()
    yield Fuzzer(world)
    assert of_globex() == before


def finished(fuzzer: Fuzzer) -> list[Execution]:
    """Wait for what was started and return it."""
    return [fuzzer.world.runtime.executions.wait(name, timeout=SECONDS) for name in fuzzer.started]


def log(world: FuzzedWorld, message: str, level: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (world.data_dir / "logs" / "handlers.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if (line["message"], line["level"]) == (message, level)]


@pytest.mark.parametrize("times", EXTENTS)
@pytest.mark.parametrize("label", READS)
def test_what_is_read_is_as_documented(fuzzer: Fuzzer, label: str, times: int) -> None:
    has_inputs = "{" in label
    fuzzer.fuzz(label, 50 * times if has_inputs else 8, same=times == 1)
    assert fuzzer.statuses["operator"] >= ({200, 404} if has_inputs else {200})


@pytest.mark.parametrize("times", EXTENTS)
def test_what_is_calculated_is_as_documented(fuzzer: Fuzzer, times: int) -> None:
    fuzzer.fuzz(CALCULATE, 80 * times, same=times == 1)
    assert fuzzer.statuses["operator"] >= {202, 404, 422}
    for execution in finished(fuzzer):
        failures = {failure["error"] for failure in (execution.output or {}).get("failures", ())}
        assert {execution.error} | failures <= WRONG_DATA | {None}, execution
        assert fuzzer.read(EXECUTION, fuzzer.started[execution.name], execution.name).status_code == 200
        assert fuzzer.read(EXECUTION, "globex", execution.name).status_code == 404
    for label, name in RESULTS:
        row = fuzzer.read(label, "reader", name)
        for period, metric in zip(row.json().get("periods", ()), cycle(Metric)):
            assert fuzzer.read(label, "reader", name, period=period).status_code == 200
            history = fuzzer.read(f"{label}/history", "reader", name, metric=metric, period=period, limit=3)
            assert history.status_code == 200


@pytest.mark.parametrize("times", EXTENTS)
def test_what_is_sent_is_as_documented_and_entered(fuzzer: Fuzzer, times: int) -> None:
    fuzzer.fuzz(TRANSACTIONS, 100 * times, same=times == 1)
    assert fuzzer.statuses["operator"] >= {202, 404, 422}
    assert fuzzer.world.runtime.transactions.drain() > 0
    refused = [line["reason"] for line in log(fuzzer.world, "TransactionQueue", "ERROR")]
    assert [reason for reason in refused if not reason.endswith("with another content")] == []


@pytest.mark.parametrize("label", [CALCULATE, TRANSACTIONS])
def test_what_is_no_request_is_refused(fuzzer: Fuzzer, label: str) -> None:
    for body in MALFORMED:
        response = fuzzer.ask(OPERATIONS[label].Case(body=body, media_type="application/json"), "operator")
        assert response.status_code in {400, 422}, body[:80]


@pytest.mark.parametrize("times", EXTENTS)
def test_every_limit_of_the_document_is_kept(fuzzer: Fuzzer, times: int) -> None:
    for operation in OPERATIONS.values():
        for index, case in enumerate(edges(operation, fuzzer.world)):
            if times > 1:
                for caller in CALLERS:
                    fuzzer.ask(case, caller)
            elif not index % 8:
                fuzzer.ask(case, CALLERS[index // 8 % len(CALLERS)])


def test_the_secrets_are_what_their_owner_reads(fuzzer: Fuzzer) -> None:
    found = set()
    for name in PORTFOLIOS[GLOBEX]:
        answer = fuzzer.read("GET /portfolios/{entity_id}/performance", "globex", name)
        assert answer.status_code == 200
        found |= set(secrets_in(answer, fuzzer.world))
    assert len(found) > 20


def test_two_clients_at_once_hear_each_of_their_own(world: FuzzedWorld) -> None:
    def read(number: int) -> tuple[str, str, str, str | None]:
        caller, client = (("reader", ACME), ("globex", GLOBEX))[number % 2]
        name = PORTFOLIOS[client][number % 4 // 2]
        told = Fuzzer(world).read("GET /portfolios/{entity_id}/performance", caller, name).json()
        return name, client, told["entity_id"], told["client_id"]

    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(read, range(80)))
    assert [name for name, *_ in heard] == [name for *_, name, _ in heard]
    # What the platform has calculated from data of its own, in a test before this one, is of no client.
    assert all(told in {client, None} for _, client, _, told in heard)
