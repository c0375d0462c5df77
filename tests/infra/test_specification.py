"""The specification's SAM template: what it names is here, and each of its flaws is not."""

import json
import re
from typing import TYPE_CHECKING, cast

from tests.infra.templates import Synthesis
from workflows.registry import TRIGGERS
from workflows.triggers.authorizer import KeySource

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


class _Secrets:
    """A secret that was never rotated."""

    class exceptions:  # noqa: N801 - boto3's name
        ResourceNotFoundException = KeyError

    def __init__(self, text: str) -> None:
        self._versions = {"AWSCURRENT": {"VersionId": "1", "SecretString": text}}

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, str]:  # noqa: N803 - boto3's
        return self._versions[VersionStage]


def test_the_table_of_entities_has_the_specified_key_and_indexes(dev: Synthesis) -> None:
    table = dev.one("AWS::DynamoDB::Table", "Entities").properties
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert [each["AttributeName"] for each in table["KeySchema"]] == ["id", "entity_type"]
    indexes = {
        each["IndexName"]: [key["AttributeName"] for key in each["KeySchema"]]
        for each in table["GlobalSecondaryIndexes"]
    }
    assert indexes == {"ClientIndex": ["client_id", "entity_type"], "AccountIndex": ["account_id", "entity_type"]}


def test_the_endpoint_is_an_output(dev: Synthesis) -> None:
    output = dev.templates["entry"]["Outputs"]["ApiEndpoint"]
    url = dev.text(output["Value"])
    assert url.startswith("https://{" + dev.one("AWS::ApiGateway::RestApi").logical_id + "}.execute-api.")


def test_the_authorizer_is_a_function_of_its_own(synthesis: Synthesis) -> None:
    authorizer = synthesis.one("AWS::ApiGateway::Authorizer").properties
    called = synthesis.called()
    uri = synthesis.text(authorizer["AuthorizerUri"])
    assert called["Authorizer"] in uri
    assert called["Api"] not in uri
    assert authorizer["Type"] == "TOKEN"
    assert authorizer["AuthorizerResultTtlInSeconds"] == 300
    assert authorizer["IdentitySource"] == "method.request.header.Authorization"


def test_the_signing_key_is_generated_and_read_under_the_name_it_has(synthesis: Synthesis) -> None:
    secret = synthesis.one("AWS::SecretsManager::Secret")
    generated = secret.properties["GenerateSecretString"]
    made = json.loads(generated["SecretStringTemplate"])
    made[generated["GenerateStringKey"]] = "k" * generated["PasswordLength"]
    source = KeySource(cast("SecretsManagerClient", _Secrets(json.dumps(made))), "secret")
    (key,) = source.keys()
    assert len(key.secret) == generated["PasswordLength"]
    told = synthesis.functions()["Authorizer"].properties["Environment"]["Variables"]["JWT_SECRET_ID"]
    assert synthesis.text(told) == "{" + secret.logical_id + "}"
    assert "EncryptionKey" in synthesis.text(secret.properties["KmsKeyId"])


def test_no_secret_is_in_a_template(synthesis: Synthesis) -> None:
    assert "{{resolve:" not in json.dumps(synthesis.templates)


def test_the_calculator_may_write_and_nobody_who_reads_may(synthesis: Synthesis) -> None:
    writes = re.compile(r"(Put|Update|Delete|BatchWrite)Item$|PartiQL")
    writers = {
        table: {name for name in synthesis.functions() if any(map(writes.search, synthesis.on(name, table)))}
        for table in ("TablesResults", "TablesEntities", "TablesCache")
    }
    assert writers == {
        "TablesResults": {"PersistDynamoDB"},
        "TablesEntities": {"TransactionQueue", "Recalculation"},
        "TablesCache": {"CalculatePortfolio"},
    }


def test_what_writes_the_time_series_may_and_what_queries_it_may_not(dev: Synthesis) -> None:
    assert "timestream:WriteRecords" in dev.on("PersistTimestream", "TimeSeriesTable")
    assert dev.on("Api", "TimeSeriesTable") == {"timestream:Select"}


def test_no_alarm_takes_the_api_s_id_for_its_name(synthesis: Synthesis) -> None:
    api = synthesis.one("AWS::ApiGateway::RestApi")
    for alarm in synthesis.all("AWS::CloudWatch::Alarm"):
        for dimension in alarm.properties.get("Dimensions", ()):
            assert dimension["Name"] != "ApiName" or dimension["Value"] == api.properties["Name"]


def test_a_message_that_fails_comes_again_alone(synthesis: Synthesis) -> None:
    source = synthesis.one("AWS::Lambda::EventSourceMapping").properties
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert "TransactionsMessages" in synthesis.text(source["EventSourceArn"])
    alias = synthesis.called()["TransactionQueue"].strip("{}")
    assert synthesis.text(source["FunctionName"]) == "{" + f"{alias}[6]" + "}:live"


def test_a_message_stays_hidden_for_six_timeouts_and_the_gathering_of_its_batch(synthesis: Synthesis) -> None:
    queue = synthesis.one("AWS::SQS::Queue", "TransactionsMessages").properties
    window = synthesis.one("AWS::Lambda::EventSourceMapping").properties["MaximumBatchingWindowInSeconds"]
    assert queue["VisibilityTimeout"] == 6 * TRIGGERS["TransactionQueue"].timeout_seconds + window


def test_the_queue_and_its_dead_letter_queue_keep_messages_as_specified(synthesis: Synthesis) -> None:
    queue = synthesis.one("AWS::SQS::Queue", "TransactionsMessages").properties
    dead = synthesis.one("AWS::SQS::Queue", "TransactionsDeadLetters")
    assert queue["MessageRetentionPeriod"] == dead.properties["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert dead.logical_id in synthesis.text(queue["RedrivePolicy"]["deadLetterTargetArn"])
    assert all("KmsMasterKeyId" in each.properties for each in synthesis.all("AWS::SQS::Queue"))


def test_the_time_series_is_named_without_hyphens_as_its_query_names_it(dev: Synthesis, prod: Synthesis) -> None:
    names = {
        each.properties[name]
        for synthesis in (dev, prod)
        for each, name in (
            (synthesis.one("AWS::Timestream::Database"), "DatabaseName"),
            (synthesis.one("AWS::Timestream::Table"), "TableName"),
        )
    }
    assert names == {"investment_performance", "investment_performance_dev", "performance_metrics"}
    assert prod.one("AWS::Timestream::Database").properties["DatabaseName"] == "investment_performance"


def test_late_results_go_to_the_magnetic_store(dev: Synthesis) -> None:
    table = dev.one("AWS::Timestream::Table").properties
    writes = table["MagneticStoreWriteProperties"]
    assert writes["EnableMagneticStoreWrites"] is True
    location = writes["MagneticStoreRejectedDataLocation"]["S3Configuration"]
    assert location.keys() == {"BucketName", "EncryptionOption", "KmsKeyId"}
    assert "TimeSeriesRejected" in dev.text(location["BucketName"])
    assert table["RetentionProperties"].keys() == {
        "MemoryStoreRetentionPeriodInHours",
        "MagneticStoreRetentionPeriodInDays",
    }
    assert table["RetentionProperties"]["MemoryStoreRetentionPeriodInHours"] == "24"


def test_bodies_are_in_no_log(synthesis: Synthesis) -> None:
    (settings,) = synthesis.one("AWS::ApiGateway::Stage").properties["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["DataTraceEnabled"] is False
    assert settings["LoggingLevel"] == "ERROR"
