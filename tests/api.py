"""A gateway, a world behind the API, and callers of two clients, for the suites of the API."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from common.access import Buckets
from common.models.books import BookEntityType, Entity
from common.models.kinds import EntityType
from common.models.results import Run
from common.stores.memory import InMemoryPayloadStore, InMemoryResultStore
from common.stores.memory_books import InMemoryBooks
from tests.contract.rows import EARLY, period, row
from workflows.executions import Execution, ExecutionNotFoundError, ExecutionStatus
from workflows.triggers.api.handler import handler
from workflows.triggers.api.history import TimeSeriesTable
from workflows.triggers.api.services import ApiServices, Executions

EVENT = json.loads((Path(__file__).parent / "events" / "api_get.json").read_bytes())
BUCKETS = Buckets(PAYLOAD_BUCKET="payloads", UPLOAD_BUCKET="uploads")

STARTED = datetime(2023, 7, 1, 10, 15, 30, tzinfo=UTC)

Context = Mapping[str, str] | None

ACME = {"client_id": "acme", "role": "operator", "subject": "ada"}
GLOBEX = {"client_id": "globex", "role": "operator", "subject": "gil"}
READER = {**ACME, "role": "reader"}
ADMIN = {"client_id": "", "role": "admin", "subject": "root"}


@dataclass
class Answer:
    """What a caller is answered."""

    raw: dict[str, Any]

    @property
    def status(self) -> int:
        status: int = self.raw["statusCode"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        headers = {}
        for name, values in self.raw["multiValueHeaders"].items():
            (headers[name.lower()],) = values
        return headers

    @property
    def body(self) -> Any:
        return json.loads(self.raw["body"])

    @property
    def errors(self) -> dict[str, str]:
        return {each["path"]: each["detail"] for each in self.body["errors"]}


def proxy_event(
    method: str, path: str, *, caller: Context = ACME, body: object = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the event a REST API makes of a request; text is a body as it is, anything else is made JSON."""
    event: dict[str, Any] = deepcopy(EVENT)
    address, _, query = path.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    sent = {"Accept": "*/*", **({"Content-Type": "application/json"} if method == "POST" else {}), **(headers or {})}
    context = event["requestContext"]
    context.pop("authorizer", None)
    context |= {"path": f"/v1{address}", "httpMethod": method}
    if caller is not None:
        context["authorizer"] = {**caller, "principalId": caller.get("subject", ""), "integrationLatency": 7}
    return event | {
        "path": address,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": {name: [value for each, value in pairs if each == name] for name, _ in pairs}
        or None,
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
    }


@dataclass
class FakeExecutions:
    """Executions that have come to what a test says."""

    known: dict[str, Execution] = field(default_factory=dict)
    started: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None

    def put(self, name: str, status: ExecutionStatus = ExecutionStatus.RUNNING, **more: Any) -> None:
        stopped = None if status is ExecutionStatus.RUNNING else STARTED
        self.known[name] = Execution(f"arn:{name}", name, status, STARTED, stopped, **more)

    def start_once(self, name: str, request: Mapping[str, Any]) -> tuple[Execution, bool]:
        return self.start_or_attach(request), True

    def start_or_attach(self, request: Mapping[str, Any]) -> Execution:
        if self.error:
            raise self.error
        self.started.append(dict(request))
        self.put("started", input=dict(request))
        return self.known["started"]

    def describe(self, name: str) -> Execution:
        if self.error:
            raise self.error
        if name not in self.known:
            raise ExecutionNotFoundError(f"no execution is called {name}")
        return self.known[name]


@dataclass
class FakeQueue:
    """A queue that keeps what it was sent."""

    messages: list[Any] = field(default_factory=list)
    error: Exception | None = None

    def send(self, messages: Sequence[str]) -> None:
        if self.error:
            raise self.error
        self.messages += map(json.loads, messages)


@dataclass
class World:
    """What stands behind the API."""

    executions: Executions = field(default_factory=FakeExecutions)
    books: InMemoryBooks = field(default_factory=InMemoryBooks)
    results: InMemoryResultStore = field(default_factory=InMemoryResultStore)
    time_series: TimeSeriesTable | None = None
    payloads: InMemoryPayloadStore = field(default_factory=InMemoryPayloadStore)
    queue: FakeQueue = field(default_factory=FakeQueue)
    now: datetime = STARTED

    def ask(self, method: str, path: str, **request: Any) -> Answer:
        return self.answer(proxy_event(method, path, **request))

    def answer(self, event: dict[str, Any]) -> Answer:
        services = ApiServices(
            executions=self.executions,
            books=self.books,
            results=self.results,
            time_series=self.time_series,
            payloads=self.payloads,
            buckets=BUCKETS,
            transactions=self.queue,
            clock=lambda: self.now,
        )
        found = handler(json.loads(json.dumps(event)), None, services=services)
        return Answer(json.loads(json.dumps(found)))

    def store(
        self,
        entity_id: str,
        day: date = date(2023, 6, 30),
        *,
        entity_type: EntityType = EntityType.PORTFOLIO,
        run: Run = EARLY,
        **periods: Mapping[str, float | None],
    ) -> None:
        """Store a row; a period is named `p_ITD`, its metrics are those that differ from the usual."""
        made = {name.removeprefix("p_"): period(**metrics) for name, metrics in periods.items()}
        self.results.write(
            [row(entity_id, day=day, run=run, periods=made or None).model_copy(update={"entity_type": entity_type})],
            run,
        )


def world() -> World:
    """Return one with the books of two clients, and what is everybody's."""
    made = World()

    def put(entity_type: BookEntityType, entity_id: str, **more: str) -> None:
        made.books.put_entity(Entity.model_validate({"entity_type": entity_type, "entity_id": entity_id, **more}))

    for client in ("acme", "globex"):
        put(BookEntityType.CLIENT, client, client_id=client)
        put(BookEntityType.ACCOUNT, f"{client}-account", account_id=f"{client}-account", client_id=client)
        for kind in (BookEntityType.PORTFOLIO, BookEntityType.SECURITY, BookEntityType.BENCHMARK):
            put(kind, f"{client}-{kind}", client_id=client)
    put(BookEntityType.SECURITY, "AAPL")
    put(BookEntityType.BENCHMARK, "SP500")
    return made
