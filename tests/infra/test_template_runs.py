"""What the templates describe, made in moto and run: names, keys and variables against the code that meets them."""

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import boto3
import pytest
from moto.events.models import EventPattern

from common.config import BooksSettings
from common.models.books import BookEntityType, DayValue, Entity, SeriesKind
from common.stores.dynamodb_books import book_store
from common.stores.ports import Books
from common.warm import forget
from infra.constructs.schedules import SCHEDULED_TIME
from tests.api import proxy_event
from tests.infra.deployed import Deployed, deployed
from tests.infra.templates import Json, Synthesis
from workflows.executions import Execution, ExecutionClient, ExecutionFailedError
from workflows.local.development_key import mint
from workflows.local.event_sources import QueueSource, object_created
from workflows.local.lambda_host import Injected
from workflows.registry import FLEET
from workflows.triggers.routes import Role

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=index) for index in range(90) if (FIRST + timedelta(days=index)).weekday() < 5]
SATURDAY = "2024-03-30T06:00:00Z"
AS_OF = "2024-03-28"  # the day between was Good Friday
UPLOADED = "portfolio_id,date,value\n" + "".join(f"growth,{day},{500 + i}\n" for i, day in enumerate(DAYS[:30]))
NO_TIME_SERIES = "backfill"
"""Request id of a run whose time series cannot be written."""
SECONDS = 30.0


class World:
    """A stage that runs, with books in it."""

    def __init__(self, stage: Deployed) -> None:
        self.stage = stage
        self.books: Books = book_store(BooksSettings(ENTITY_TABLE=stage.ref("AWS::DynamoDB::Table", "Entities")))
        self.uploads = stage.ref("AWS::S3::Bucket", "UploadsBucket")
        self.payloads = stage.ref("AWS::S3::Bucket", "PayloadsBucket")
        self.with_time_series = stage.synthesis.settings.time_series_store == "timestream"
        self._calculations, self._fleets = (
            ExecutionClient(
                boto3.client("stepfunctions"),
                stage.ref("AWS::StepFunctions::StateMachineAlias", part),
                poll_seconds=0.05,
            )
            for part in ("Calculation", "Fleet")
        )
        self._hear()
        self._write_books()

    def _write_books(self) -> None:
        entity = partial(Entity, client_id="acme", account_id="joint")
        self.books.put_entity(entity(entity_type=BookEntityType.ACCOUNT, entity_id="joint"))
        for name, start in (("growth", 1000), ("income", 2000)):
            self.books.put_entity(entity(entity_type=BookEntityType.PORTFOLIO, entity_id=name))
            self.books.write_series(
                SeriesKind.VALUATION, name, [DayValue(day, Decimal(start + i)) for i, day in enumerate(DAYS)]
            )

    def due(self, schedule: str) -> Any:
        """Have a schedule call what it calls."""
        target = self.stage.value("Target", "AWS::Scheduler::Schedule", schedule)
        return self.stage.invoke(target["Arn"], json.loads(target["Input"].replace(SCHEDULED_TIME, SATURDAY)))

    def upload(self, key: str, body: str) -> Any:
        """Put an object, and have the rule call what it calls of an upload."""
        boto3.client("s3").put_object(Bucket=self.uploads, Key=key, Body=body.encode())
        event = object_created(self.uploads, key, body.encode())
        assert EventPattern(None, self.stage.value("EventPattern", "AWS::Events::Rule", "Manifests")).matches_event(
            event
        )
        (target,) = self.stage.value("Targets", "AWS::Events::Rule", "Manifests")
        return self.stage.invoke(target["Arn"], event)

    def authorize(self, token: str, method: str, path: str) -> dict[str, str]:
        """Return what the API's authorizer says of the bearer of a token, if it lets them."""
        arn = f"arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1/{method}{path}"
        event = {"type": "TOKEN", "methodArn": arn, "authorizationToken": f"Bearer {token}"}
        authorizer = self.stage.value("AuthorizerUri", "AWS::ApiGateway::Authorizer")
        answer = self.stage.invoke(authorizer, event)
        (statement,) = answer["policyDocument"]["Statement"]
        assert any(fnmatchcase(arn, each) for each in statement["Resource"])
        context: dict[str, str] = answer["context"]
        return context

    def token(self) -> str:
        """Return a token of the customers' identity provider, which has the secret and the stage's settings."""
        secret = boto3.client("secretsmanager").get_secret_value(SecretId=self.stage.ref("AWS::SecretsManager::Secret"))
        settings = self.stage.synthesis.settings
        return mint(
            json.loads(secret["SecretString"])["JwtSecret"],
            subject="ada",
            role=Role.OPERATOR,
            client_id="acme",
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            lifetime=timedelta(minutes=5),
        )

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask the API, by the way of its authorizer; return status and body."""
        caller = self.authorize(self.token(), method, path.partition("?")[0])
        methods = self.stage.synthesis.all("AWS::ApiGateway::Method")
        (uri,) = {self.stage.resolve(each.stack, each.properties["Integration"]["Uri"]) for each in methods}
        answer = self.stage.invoke(uri, proxy_event(method, path, caller=caller, body=body))
        return answer["statusCode"], json.loads(answer["body"])

    def calculated(self, request: Json) -> Any:
        """Have the API start a calculation; return the output of its execution."""
        status, started = self.ask("POST", "/calculate", request)
        assert status == 202, started
        output = self.finished(started["execution_id"]).output
        status, told = self.ask("GET", f"/executions/{started['execution_id']}")
        assert (status, told["status"]) == (200, "SUCCEEDED")
        return output

    def drain(self) -> int:
        """Have the queue's event source mapping hand on what waits; return how many messages were taken."""
        sqs = boto3.client("sqs")
        arn = self.stage.value("EventSourceArn", "AWS::Lambda::EventSourceMapping")
        function = self.stage.value("FunctionName", "AWS::Lambda::EventSourceMapping")
        url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
        return QueueSource(sqs, url, self.stage.host.invoke, self.stage.host.name(function)).drain()

    def finished(self, name: str) -> Execution:
        """Return a calculation that has succeeded."""
        return _succeeded(self._calculations, name)

    def fleet(self, name: str) -> Execution:
        """Return a fleet run that has succeeded."""
        return _succeeded(self._fleets, name)

    def _hear(self) -> None:
        """Subscribe a queue to the notifications."""
        sqs = boto3.client("sqs")
        self._heard = sqs.create_queue(QueueName="heard")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._heard, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = self.stage.ref("AWS::SNS::Topic")
        boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def heard(self) -> list[tuple[str, Json]]:
        """Return subjects and messages of the notifications since the last time."""
        sqs = boto3.client("sqs")
        found = []
        for each in sqs.receive_message(QueueUrl=self._heard, MaxNumberOfMessages=10).get("Messages", ()):
            told = json.loads(each["Body"])
            found.append((told["Subject"], json.loads(told["Message"])))
            sqs.delete_message(QueueUrl=self._heard, ReceiptHandle=each["ReceiptHandle"])
        return found

    def row(self, entity_type: str, entity_id: str, day: str = AS_OF) -> Json | None:
        """Return an item of the table of results, by the key that the specification gives it."""
        key = {"id": {"S": f"{entity_type}#{entity_id}"}, "calculation_date": {"S": day}}
        table = self.stage.ref("AWS::DynamoDB::Table", "Results")
        item: Json | None = boto3.client("dynamodb").get_item(TableName=table, Key=key).get("Item")
        return item


@pytest.fixture(scope="module", params=["none", "dev"])
def world(
    request: pytest.FixtureRequest, synthesise: Callable[[str], Synthesis], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with deployed(synthesise(request.param), tmp_path_factory.mktemp("runs"), _time_series_down) as stage:
        yield World(stage)


@pytest.fixture(scope="module")
def night(world: World) -> Execution:
    """Return the fleet run of a night."""
    report = world.due("Nightly")
    assert (report["as_of_date"], report["started"]) == (AS_OF, True)
    return world.fleet(report["execution"])


def test_a_night_ends_in_the_table_of_results(world: World, night: Execution) -> None:
    output = night.output
    assert (output["status"], output["calculated"], output["failed"]) == ("SUCCEEDED", 3, 0)
    assert output["batches"] == {"planned": 2, "succeeded": 2, "failed": 0, "not_begun": 0}
    assert output["timestream"] == {"SUCCEEDED" if world.with_time_series else "DISABLED": 2}
    for entity_type, name in (("portfolio", "growth"), ("portfolio", "income"), ("account", "joint")):
        row = world.row(entity_type, name)
        assert row is not None
        assert (row["request_id"], row["client_id"]) == ({"S": "nightly"}, {"S": "acme"})


def test_a_night_that_is_due_again_is_not_calculated_again(world: World, night: Execution) -> None:
    report = world.due("Nightly")
    assert (report["execution"], report["started"]) == (night.name, False)


def test_a_fleet_run_tells_how_it_has_ended(world: World, night: Execution) -> None:
    ((subject, told),) = [each for each in world.heard() if each[1]["request_id"] == "nightly"]
    assert subject == "Fleet run SUCCEEDED"
    assert told == night.output


def test_the_api_reads_what_the_night_wrote(world: World, night: Execution) -> None:
    status, performance = world.ask("GET", f"/portfolios/growth/performance?as_of={AS_OF}&period=ITD")
    assert (status, performance["entity_id"]) == (200, "growth")
    # A series of valuations without flows, from its first to its last.
    values = [Decimal(1000 + i) for i, day in enumerate(DAYS) if day.isoformat() <= AS_OF]
    assert performance["periods"]["ITD"]["twr"] == pytest.approx(float(values[-1] / values[0] - 1))
    status, history = world.ask("GET", "/portfolios/growth/performance/history?metric=twr&period=ITD")
    assert (status, [each["date"] for each in history["points"]]) == (200, [AS_OF])
    assert history["source"] == ("timestream" if world.with_time_series else "dynamodb")


def test_a_token_of_another_secret_is_refused(world: World) -> None:
    header, payload, signature = world.token().split(".")
    with pytest.raises(Exception, match="Unauthorized"):
        world.authorize(f"{header}.{payload}.{signature[::-1]}", "GET", "/portfolios/growth/performance")


def test_a_late_transaction_is_entered_and_its_results_calculated_again(world: World, night: Execution) -> None:
    before = world.row("portfolio", "growth")
    sent = {
        "transaction_id": "t-1",
        "portfolio_id": "growth",
        "type": "deposit",
        "trade_date": "2024-02-15",
        "amount": "100",
    }
    status, answer = world.ask("POST", "/transactions", {"transactions": [sent]})
    assert (status, answer["accepted"]) == (202, 1)
    assert world.drain() == 1
    assert [each.transaction_id for each in world.books.portfolio_book("growth").transactions] == ["t-1"]
    report = world.due("Sweep")
    assert (report["started"], report["rows"]) == (1, 2)  # its own and its account's
    for name in report["executions"]:
        assert world.finished(name).output["status"] == "SUCCEEDED"
    after = world.row("portfolio", "growth")
    assert before is not None
    assert after is not None
    assert after["periods"] != before["periods"]
    assert world.due("Sweep")["cleared"] == 1
    assert list(world.books.marks()) == []


def test_a_message_that_is_no_transaction_ends_in_the_dead_letter_queue(world: World) -> None:
    sqs = boto3.client("sqs")
    url = world.stage.ref("AWS::SQS::Queue", "TransactionsMessages")
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    for _ in range(world.stage.value("RedrivePolicy", "AWS::SQS::Queue", "TransactionsMessages")["maxReceiveCount"]):
        (received,) = sqs.receive_message(QueueUrl=url)["Messages"]
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"], VisibilityTimeout=0)
    assert world.drain() == 0
    dead = sqs.receive_message(QueueUrl=world.stage.ref("AWS::SQS::Queue", "TransactionsDeadLetters"))
    assert [each["Body"] for each in dead["Messages"]] == ["{}"]


def test_an_uploaded_manifest_starts_a_run_on_uploaded_data(world: World) -> None:
    boto3.client("s3").put_object(Bucket=world.uploads, Key="data/acme/p.csv", Body=UPLOADED.encode())
    manifest = {"portfolios": {"source": f"s3://{world.uploads}/data/acme/p.csv"}}
    report = world.upload("manifests/acme/month-end.json", json.dumps(manifest))
    assert report["status"] == "STARTED"
    output = world.finished(report["execution"]).output
    assert (output["status"], output["request_id"]) == ("SUCCEEDED", "month-end")
    row = world.row("portfolio", "growth", DAYS[29].isoformat())
    assert row is not None
    assert row["request_id"] == {"S": "month-end"}


def test_a_manifest_that_is_none_is_answered_in_the_bucket_of_payloads(world: World) -> None:
    report = world.upload("manifests/acme/wrong.json", "[]")
    assert report["status"] == "REJECTED"
    told = boto3.client("s3").get_object(Bucket=world.payloads, Key=report["key"])["Body"].read()
    assert json.loads(told)["manifest"] == f"s3://{world.uploads}/manifests/acme/wrong.json"


def test_a_request_to_the_api_runs_on_uploaded_data(world: World) -> None:
    boto3.client("s3").put_object(Bucket=world.uploads, Key="data/acme/q.csv", Body=UPLOADED.encode())
    source = f"s3://{world.uploads}/data/acme/q.csv"
    output = world.calculated({"portfolios": {"source": source}, "as_of_date": DAYS[20].isoformat()})
    assert (output["status"], output["calculated"]) == ("SUCCEEDED", 1)
    assert world.row("portfolio", "growth", DAYS[20].isoformat()) is not None


def test_what_was_calculated_before_comes_from_the_cache_of_the_template(world: World) -> None:
    request = {"entity_ids": ["income"], "as_of_date": DAYS[40].isoformat()}
    first = world.calculated(request)
    forget()  # another sandbox, which has nothing of its own
    assert [first["cached"], world.calculated(request)["cached"]] == [0, 1]
    dynamodb = boto3.client("dynamodb")
    table = world.stage.ref("AWS::DynamoDB::Table", "Cache")
    lives = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    kept = dynamodb.scan(TableName=table)["Items"]
    assert kept
    assert all(each[lives["AttributeName"]].keys() == {"N"} for each in kept)


def test_what_the_time_series_lacks_is_told_to_the_queue_of_the_template(world: World) -> None:
    output = world.calculated({"request_id": NO_TIME_SERIES, "entity_ids": ["income"]})
    assert (output["status"], output["timestream"]["status"]) == ("PARTIAL", "BACKFILL_QUEUED")
    queue = world.stage.ref("AWS::SQS::Queue", "Backfill")
    (message,) = boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"])["run"]["request_id"] == NO_TIME_SERIES


def test_a_long_manifest_is_a_fleet_run_whose_failures_can_be_run_again(world: World) -> None:
    lines = [{"entity_id": "growth"}, {"entity_id": "nobody"}, {"entity_id": "income"}]
    body = "\n".join(json.dumps({**each, "as_of_date": DAYS[45].isoformat()}) for each in lines)
    report = world.upload("manifests/acme/some.jsonl", body)
    assert (report["status"], report["state_machine"]) == ("STARTED", FLEET)
    output = world.fleet(report["execution"]).output
    assert (output["status"], output["entities"], output["calculated"], output["failed"]) == ("PARTIAL", 3, 2, 1)
    for name in ("growth", "income"):
        row = world.row("portfolio", name, DAYS[45].isoformat())
        assert row is not None
        assert row["request_id"] == {"S": "some"}
    left = boto3.client("s3").get_object(Bucket=output["failures"]["bucket"], Key=output["failures"]["key"])["Body"]
    (failure,) = map(json.loads, left.read().splitlines())
    assert failure["entity_id"] == "nobody"
    world.books.put_entity(
        Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="nobody", client_id="acme", account_id="other")
    )
    world.books.write_series(SeriesKind.VALUATION, "nobody", [DayValue(day, Decimal(1)) for day in DAYS])
    again = {"manifest": {"source": "s3://{bucket}/{key}".format(**output["failures"])}}
    report = world.upload("manifests/acme/again.json", json.dumps(again))
    output = world.fleet(report["execution"]).output
    assert (output["status"], output["calculated"], output["failed"]) == ("SUCCEEDED", 1, 0)
    assert world.row("portfolio", "nobody", DAYS[45].isoformat()) is not None


def _succeeded(executions: ExecutionClient, name: str) -> Execution:
    execution = executions.wait(name, timeout=SECONDS)
    if execution.failed:
        raise ExecutionFailedError(execution)
    return execution


def _time_series_down(function: str, event: Any, attempt: int) -> Injected | None:
    down = function.endswith("-PersistTimestream") and event["run"]["request_id"] == NO_TIME_SERIES
    return RuntimeError("down") if down else None
