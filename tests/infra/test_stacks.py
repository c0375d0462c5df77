"""What is deployed, against the code that it is deployed for."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from common.models.entity_table import MARK_PARTITIONS
from common.stores.dynamodb import RESULT_TABLE
from common.stores.dynamodb_books import ENTITY_TABLE
from common.stores.dynamodb_cache import CACHE_TABLE, CACHE_TIME_TO_LIVE
from infra.settings import STAGES, StageSettings
from tests.infra.templates import Synthesis
from workflows.definitions import placeholders, render
from workflows.registry import (
    BACKFILL_QUEUE,
    BATCH_EXECUTION_TYPE,
    BATCHES,
    CALCULATION,
    FLEET,
    FUNCTIONS,
    NOTIFICATION_TOPIC,
    PLACEHOLDERS,
    STATE_MACHINES,
    TRIGGERS,
)
from workflows.triggers.api.gateway_responses import GATEWAY_RESPONSES
from workflows.triggers.nightly_schedule import ScheduledEvent
from workflows.triggers.routes import ROUTES

Json = dict[str, Any]
TIME_SERIES = {"TIMESTREAM_DATABASE", "TIMESTREAM_TABLE"}
WORK = {"Task", "Map"}
"""Types of states that call something."""


def test_the_stacks_are_those_of_the_stage(dev: Synthesis, without_time_series: Synthesis) -> None:
    assert dev.templates.keys() == {"storage", "time-series", "workflow", "entry", "monitoring"}
    assert without_time_series.templates.keys() == {"storage", "workflow", "entry", "monitoring"}
    assert not [each for each in json.dumps(without_time_series.templates).split('"') if "imestream:" in each]


def test_every_function_of_the_registry_is_deployed_as_it_is_registered(synthesis: Synthesis) -> None:
    functions = synthesis.functions()
    assert functions.keys() == FUNCTIONS.keys()
    for name, function in functions.items():
        properties = function.properties
        assert properties["Handler"] == FUNCTIONS[name].handler
        assert properties["Timeout"] == FUNCTIONS[name].timeout_seconds
        assert properties["MemorySize"] == FUNCTIONS[name].memory_mb
        assert properties["EphemeralStorage"] == {"Size": FUNCTIONS[name].ephemeral_mb}
        assert properties["Architectures"] == ["arm64"]
        assert properties["TracingConfig"] == {"Mode": "Active"}


def test_every_function_is_told_exactly_what_it_reads(synthesis: Synthesis) -> None:
    missing = set() if synthesis.settings.time_series_store == "timestream" else TIME_SERIES
    for name, function in synthesis.functions().items():
        given = function.properties.get("Environment", {}).get("Variables", {})
        assert given.keys() == set(FUNCTIONS[name].environment) - missing, name
        assert all(synthesis.text(value) for value in given.values())


def test_what_functions_are_told_are_names_of_what_is_there(dev: Synthesis) -> None:
    told = {
        name: dev.text(value)
        for function in dev.functions().values()
        for name, value in function.properties["Environment"]["Variables"].items()
    }
    assert "TablesResults" in told["DYNAMODB_TABLE"]
    assert "TablesEntities" in told["ENTITY_TABLE"]
    assert "TablesCache" in told["CACHE_TABLE"]
    assert "PayloadsBucket" in told["PAYLOAD_BUCKET"]
    assert "UploadsBucket" in told["UPLOAD_BUCKET"]
    assert "TransactionsMessages" in told["TRANSACTION_QUEUE_URL"]
    assert "SigningKeysSecret" in told["JWT_SECRET_ID"]
    assert "CalculationAlias" in told["STATE_MACHINE_ARN"]
    assert "FleetAlias" in told["FLEET_STATE_MACHINE_ARN"]
    database, table = dev.one("AWS::Timestream::Database"), dev.one("AWS::Timestream::Table")
    assert told["TIMESTREAM_DATABASE"] == database.properties["DatabaseName"] == table.properties["DatabaseName"]
    assert told["TIMESTREAM_TABLE"] == table.properties["TableName"] == "performance_metrics"


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_the_definition_is_the_file_with_every_placeholder_filled(synthesis: Synthesis, machine: str) -> None:
    assert placeholders(machine) == PLACEHOLDERS[machine]
    values = {
        **synthesis.called(),
        BACKFILL_QUEUE: "{" + synthesis.one("AWS::SQS::Queue", "Backfill").logical_id + "}",
        NOTIFICATION_TOPIC: "{" + synthesis.one("AWS::SNS::Topic").logical_id + "}",
        BATCH_EXECUTION_TYPE: synthesis.settings.batch_execution_type,
    }
    definition = synthesis.definition(machine)
    assert definition == render(machine, {each: values[each] for each in PLACEHOLDERS[machine]})
    assert json.loads(definition)["StartAt"]


def test_batches_are_executions_of_the_kind_that_the_stage_says(dev: Synthesis, without_time_series: Synthesis) -> None:
    for synthesis, kind in ((dev, "EXPRESS"), (without_time_series, "STANDARD")):
        processor = json.loads(synthesis.definition(FLEET))["States"][BATCHES]["ItemProcessor"]
        assert processor["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": kind}
        states = json.loads(synthesis.definition(CALCULATION))["States"]
        assert (
            processor["States"].items() >= {name: each for name, each in states.items() if each["Type"] in WORK}.items()
        )


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_a_state_machine_logs_everything_but_data_and_starts_go_to_a_version(
    synthesis: Synthesis, machine: str
) -> None:
    resource = synthesis.machine(machine)
    logging = resource.properties["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    assert resource.properties["TracingConfiguration"] == {"Enabled": True}
    assert resource.properties["StateMachineType"] == "STANDARD"
    (version,) = [
        each
        for each in synthesis.all("AWS::StepFunctions::StateMachineVersion")
        if synthesis.text(each.properties["StateMachineArn"]) == "{" + resource.logical_id + "}"
    ]
    assert synthesis.text(version.properties["StateMachineRevisionId"]) == (
        "{" + resource.logical_id + ".StateMachineRevisionId}"
    )
    (alias,) = [
        each.properties
        for each in synthesis.all("AWS::StepFunctions::StateMachineAlias")
        if version.logical_id in synthesis.text(each.properties["DeploymentPreference"]["StateMachineVersionArn"])
    ]
    assert alias["Name"] == "live"


def test_failed_executions_of_both_kinds_are_told_without_their_data(prod: Synthesis) -> None:
    rule = prod.one("AWS::Events::Rule", "FailedExecutions").properties
    assert rule["EventPattern"]["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert {prod.text(each) for each in rule["EventPattern"]["detail"]["stateMachineArn"]} == {
        "{" + prod.machine(name).logical_id + "}" for name in STATE_MACHINES
    }
    (target,) = rule["Targets"]
    assert "NotificationsTopic" in prod.text(target["Arn"])
    assert set(target["InputTransformer"]["InputPathsMap"].values()) == {"$.detail.executionArn", "$.detail.status"}
    (subscription,) = prod.all("AWS::SNS::Subscription")
    assert subscription.properties["Endpoint"] == "operations@example.com"


def test_every_function_is_called_by_the_alias_of_its_newest_version(synthesis: Synthesis) -> None:
    functions = synthesis.functions()
    versions = {each.logical_id: each for each in synthesis.all("AWS::Lambda::Version")}
    aliases = synthesis.all("AWS::Lambda::Alias")
    assert synthesis.called().keys() == FUNCTIONS.keys()
    assert len(aliases) == len(versions) == len(FUNCTIONS)
    for alias in aliases:
        assert alias.properties["Name"] == "live"
        version = versions[alias.properties["FunctionVersion"]["Fn::GetAtt"][0]]
        assert version.properties["FunctionName"] == alias.properties["FunctionName"]
        # One that stayed would be paid for as a snapshot, and count towards the account's storage of code.
        assert version.body.get("DeletionPolicy", "Delete") == "Delete"
    for permission in synthesis.all("AWS::Lambda::Permission"):
        assert synthesis.text(permission.properties["FunctionName"]) in synthesis.called().values()
    unqualified = {"{" + each.logical_id + ".Arn}" for each in functions.values()}
    for stack, template in synthesis.templates.items():
        for resource in template["Resources"].values():
            if resource["Type"] in {"AWS::Lambda::Version", "AWS::Lambda::Alias"}:
                continue
            assert not [each for each in _attributes(resource) if synthesis.text(each) in unqualified], stack


def test_environments_are_kept_warm_and_snapshots_taken_where_the_stage_says(synthesis: Synthesis) -> None:
    settings = synthesis.settings
    functions = synthesis.functions()
    names = {function.logical_id: name for name, function in functions.items()}
    warm = {
        names[each.properties["FunctionName"]["Ref"]]: each.properties["ProvisionedConcurrencyConfig"]
        for each in synthesis.all("AWS::Lambda::Alias")
        if "ProvisionedConcurrencyConfig" in each.properties
    }
    expected = settings.provisioned_concurrency.items()
    assert warm == {name: {"ProvisionedConcurrentExecutions": number} for name, number in expected}
    snapshots = {
        name: each.properties["SnapStart"] for name, each in functions.items() if "SnapStart" in each.properties
    }
    assert snapshots == {name: {"ApplyOn": "PublishedVersions"} for name in settings.snap_start}


def test_each_of_these_settings_is_on_in_one_of_the_stages_that_are_tested(
    dev: Synthesis, prod: Synthesis, without_time_series: Synthesis
) -> None:
    assert prod.settings.provisioned_concurrency
    assert without_time_series.settings.snap_start
    assert not dev.settings.provisioned_concurrency
    assert not dev.settings.snap_start


@pytest.mark.parametrize(
    ("part", "expected"), [("Results", RESULT_TABLE), ("Entities", ENTITY_TABLE), ("Cache", CACHE_TABLE)]
)
def test_the_tables_are_those_that_the_stores_were_written_for(synthesis: Synthesis, part: str, expected: Json) -> None:
    table = synthesis.one("AWS::DynamoDB::Table", f"Tables{part}").properties
    assert {name: _sorted(table[name]) for name in expected} == {name: _sorted(each) for name, each in expected.items()}
    assert ("GlobalSecondaryIndexes" in table) == ("GlobalSecondaryIndexes" in expected)


def test_the_cache_forgets(dev: Synthesis) -> None:
    specification = dev.one("AWS::DynamoDB::Table", "TablesCache").properties["TimeToLiveSpecification"]
    assert specification == CACHE_TIME_TO_LIVE


def test_tables_can_be_restored_and_those_of_prod_outlive_their_stack(dev: Synthesis, prod: Synthesis) -> None:
    for synthesis in (dev, prod):
        tables = synthesis.all("AWS::DynamoDB::Table")
        assert len(tables) == 3
        for table in tables:
            properties = table.properties
            assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
            assert properties["SSESpecification"]["SSEType"] == "KMS"
            assert "EncryptionKey" in synthesis.text(properties["SSESpecification"]["KMSMasterKeyId"])
            assert properties["DeletionProtectionEnabled"] is synthesis.settings.keep_data
            assert table.body["DeletionPolicy"] == ("Retain" if synthesis is prod else "Delete")
            assert table.body["UpdateReplacePolicy"] == table.body["DeletionPolicy"]


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret"])
def test_other_data_of_prod_outlive_their_stack(prod: Synthesis, dev: Synthesis, kind: str) -> None:
    assert {each.body["DeletionPolicy"] for each in prod.all(kind)} == {"Retain"}
    assert {each.body["DeletionPolicy"] for each in dev.all(kind)} == {"Delete"}


def test_keys_rotate(synthesis: Synthesis) -> None:
    keys = synthesis.all("AWS::KMS::Key")
    assert keys
    assert all(key.properties["EnableKeyRotation"] is True for key in keys)


def test_buckets_are_private_encrypted_and_reached_over_tls_alone(synthesis: Synthesis) -> None:
    blocked = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    buckets = synthesis.all("AWS::S3::Bucket")
    policies = {synthesis.text(each.properties["Bucket"]): each for each in synthesis.all("AWS::S3::BucketPolicy")}
    for bucket in buckets:
        properties = bucket.properties
        assert properties["PublicAccessBlockConfiguration"] == dict.fromkeys(blocked, True)
        (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        by = encryption["ServerSideEncryptionByDefault"]
        assert by["SSEAlgorithm"] == ("AES256" if "AccessLogs" in bucket.logical_id else "aws:kms")
        policy = json.dumps(policies["{" + bucket.logical_id + "}"].properties["PolicyDocument"])
        assert '"aws:SecureTransport": "false"' in policy
        assert ("LoggingConfiguration" in properties) == ("AccessLogs" not in bucket.logical_id)


def test_payloads_are_kept_while_somebody_may_want_them(dev: Synthesis) -> None:
    rules = dev.one("AWS::S3::Bucket", "Payloads").properties["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert days == {"work/": 15, "results/": 15, "inputs/": 90, "fleet/": 90, "rejected/": 90}
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)


def test_uploads_keep_versions_and_tell_eventbridge(dev: Synthesis) -> None:
    bucket = dev.one("AWS::S3::Bucket", "Uploads").properties
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    rule = dev.one("AWS::Events::Rule", "Manifests").properties
    assert rule["EventPattern"]["detail"]["object"]["key"] == [{"prefix": "manifests/"}]
    assert "UploadsBucket" in dev.text(rule["EventPattern"]["detail"]["bucket"]["name"][0])
    (target,) = rule["Targets"]
    assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
    assert "Undelivered" in dev.text(target["DeadLetterConfig"]["Arn"])
    assert "ManifestUpload" in dev.text(target["Arn"])


def test_every_route_is_a_method_and_only_open_ones_do_without_a_token(synthesis: Synthesis) -> None:
    paths = _paths(synthesis)
    methods = {
        (each.properties["HttpMethod"], paths[synthesis.text(each.properties["ResourceId"])]): each.properties
        for each in synthesis.all("AWS::ApiGateway::Method")
    }
    assert methods.keys() == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        method = methods[route.method, route.path]
        assert method["AuthorizationType"] == ("NONE" if route.role is None else "CUSTOM")
        assert ("AuthorizerId" in method) == (route.role is not None)
        assert "RequestValidatorId" in method
        assert ("RequestModels" in method) == (route.method == "POST")
        assert method["Integration"]["Type"] == "AWS_PROXY"
        assert method["Integration"]["TimeoutInMillis"] > 1000 * TRIGGERS["Api"].timeout_seconds


def test_what_the_api_answers_by_itself_are_problems(dev: Synthesis) -> None:
    answers = {each.properties["ResponseType"]: each.properties for each in dev.all("AWS::ApiGateway::GatewayResponse")}
    assert answers.keys() == GATEWAY_RESPONSES.keys()
    for name, response in GATEWAY_RESPONSES.items():
        assert answers[name]["StatusCode"] == str(response.status)
        assert answers[name]["ResponseTemplates"] == {"application/json": response.template}
        assert answers[name]["ResponseParameters"] == {
            f"gatewayresponse.header.{header}": f"'{value}'" for header, value in response.headers.items()
        }


def test_the_stage_is_throttled_traced_and_logs_no_token(synthesis: Synthesis) -> None:
    stage = synthesis.one("AWS::ApiGateway::Stage").properties
    (settings,) = stage["MethodSettings"]
    assert stage["StageName"] == "v1"
    assert stage["TracingEnabled"] is True
    assert settings["ThrottlingRateLimit"] == synthesis.settings.throttle_rate
    assert settings["ThrottlingBurstLimit"] == synthesis.settings.throttle_burst
    assert not re.search(
        "authorizationToken|header|querystring|body|identity.apiKey", stage["AccessLogSetting"]["Format"]
    )


def test_the_firewall_stands_where_the_stage_says(dev: Synthesis, prod: Synthesis) -> None:
    assert not dev.all("AWS::WAFv2::WebACL")
    association = prod.one("AWS::WAFv2::WebACLAssociation").properties
    assert prod.one("AWS::ApiGateway::Stage").logical_id in prod.text(association["ResourceArn"])
    rules = {rule["Name"]: rule for rule in prod.one("AWS::WAFv2::WebACL").properties["Rules"]}
    common = rules["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]
    assert common["RuleActionOverrides"] == [{"ActionToUse": {"Count": {}}, "Name": "SizeRestrictions_BODY"}]


def test_schedules_say_the_time_they_were_meant_for(synthesis: Synthesis) -> None:
    functions = {"Nightly": "NightlySchedule", "Sweep": "Recalculation"}
    for part, function in functions.items():
        schedule = synthesis.one("AWS::Scheduler::Schedule", part).properties
        target = schedule["Target"]
        event = json.loads(target["Input"])
        assert event["time"] == "<aws.scheduler.scheduled-time>"
        assert function in synthesis.text(target["Arn"])
        assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0
        assert "Undelivered" in synthesis.text(target["DeadLetterConfig"]["Arn"])
    nightly = synthesis.one("AWS::Scheduler::Schedule", "Nightly").properties
    event = json.loads(nightly["Target"]["Input"]) | {"time": "2022-01-04T07:00:00Z"}
    said = ScheduledEvent.model_validate(event)
    assert said.entity_types == ("portfolio", "account")
    settings = synthesis.settings
    assert (said.batch_size, said.max_concurrent_batches, said.max_concurrency) == (
        settings.nightly_batch_size,
        settings.nightly_concurrent_batches,
        settings.nightly_concurrency,
    )
    assert nightly["ScheduleExpressionTimezone"] == synthesis.settings.time_zone


def test_an_event_that_no_function_could_handle_is_kept(synthesis: Synthesis) -> None:
    kept = {
        synthesis.text(each.properties["FunctionName"]): synthesis.text(
            each.properties["DestinationConfig"]["OnFailure"]["Destination"]
        )
        for each in synthesis.all("AWS::Lambda::EventInvokeConfig")
    }
    functions = synthesis.functions()
    asynchronous = ("NightlySchedule", "ManifestUpload", "Recalculation")
    assert kept.keys() == {"{" + functions[name].logical_id + "}" for name in asynchronous}
    assert {each.properties["Qualifier"] for each in synthesis.all("AWS::Lambda::EventInvokeConfig")} == {"live"}
    assert all("Undelivered" in destination for destination in kept.values())


def test_the_book_s_marks_are_what_the_sweep_may_change(dev: Synthesis) -> None:
    changing = [each for each in dev.allowed("Recalculation") if "dynamodb:DeleteItem" in each.actions]
    assert [json.loads(each.conditions) for each in changing] == [
        {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": list(MARK_PARTITIONS)}}
    ]


def test_everything_that_can_be_is_tagged_and_named_after_the_stage(synthesis: Synthesis) -> None:
    settings = synthesis.settings
    expected = {"application": "investment-performance", "stage": settings.stage, "cost-centre": settings.cost_centre}
    for kind in (
        "AWS::Lambda::Function",
        "AWS::DynamoDB::Table",
        "AWS::S3::Bucket",
        "AWS::KMS::Key",
        "AWS::SQS::Queue",
    ):
        for resource in synthesis.all(kind):
            assert {tag["Key"]: tag["Value"] for tag in resource.properties["Tags"]} == expected
    assert all(name.name.startswith(settings.prefix) for name in synthesis.files())


def test_logs_are_kept_as_long_as_the_stage_says(synthesis: Synthesis) -> None:
    groups = synthesis.all("AWS::Logs::LogGroup")
    assert len(groups) == len(FUNCTIONS) + len(STATE_MACHINES) + 1  # the API's
    assert {each.properties["RetentionInDays"] for each in groups} == {synthesis.settings.log_retention_days}


def test_the_context_chooses_a_stage_and_changes_it() -> None:
    chosen = {"stage": "prod", "time_series_store": "none", "web_firewall": "false", "alarm_email": "a@b.example"}
    settings = StageSettings.from_context({**chosen, "batch_execution_type": "STANDARD"}.get)
    assert (settings.stage, settings.time_series_store) == ("prod", "none")
    assert settings.batch_execution_type == "STANDARD"
    assert settings.web_firewall is False
    assert StageSettings.from_context(lambda _: None) == STAGES["dev"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"stage": "live"}, "no stage 'live'"),
        ({"time_series_store": "influx"}, "time_series_store"),
        ({"time_zone": "America/Nowhere"}, "no time zone"),
        ({"alarm_email": "nobody"}, "alarm_email"),
        ({"batch_execution_type": "CHEAP"}, "batch_execution_type"),
    ],
)
def test_a_wrong_setting_is_told(said: dict[str, str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        StageSettings.from_context(said.get)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"snap_start": ["Calculate"]}, "no function is called Calculate"),
        ({"provisioned_concurrency": {"Api": 0}}, "greater than 0"),
        ({"provisioned_concurrency": {"Api": 1}, "snap_start": ["Api"]}, "Api: snap_start and provisioned_concurrency"),
        ({"snap_start": ["PlanBatches"]}, "PlanBatches: snap_start takes no more than 512 MB"),
        ({"provisioned_concurrency": {"Api": 101}}, "Api: provisioned_concurrency is part of reserved_concurrency"),
        ({"provisioned_concurrency": {"PlanBatches": 351}}, "901 reserved or provisioned, of 1000"),
        ({"account_concurrency": 600}, "550 reserved or provisioned, of 600"),
    ],
)
def test_settings_that_lambda_would_refuse_are_refused_before(changes: Json, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        StageSettings.model_validate(STAGES["prod"].model_dump() | changes)


@pytest.mark.parametrize("level", ["WARN", "ERROR"])
def test_no_stage_logs_less_than_its_alarms_count(level: str) -> None:
    with pytest.raises(ValueError, match="log_level"):
        StageSettings.model_validate(STAGES["prod"].model_dump() | {"log_level": level})


def test_a_small_account_can_have_a_stage_that_reserves_nothing() -> None:
    settings = StageSettings.model_validate(STAGES["dev"].model_dump() | {"account_concurrency": 10})
    assert settings.account_concurrency == 10


def _sorted(value: Any) -> Any:
    return sorted(value, key=json.dumps) if isinstance(value, list) else value


def _attributes(value: Any) -> Iterator[Json]:
    """Yield every `Fn::GetAtt` and `Fn::ImportValue` in a value."""
    if isinstance(value, dict):
        if value.keys() & {"Fn::GetAtt", "Fn::ImportValue"}:
            yield value
        for inner in value.values():
            yield from _attributes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _attributes(inner)


def _paths(synthesis: Synthesis) -> dict[str, str]:
    """Return the paths of the API's resources."""
    api = synthesis.one("AWS::ApiGateway::RestApi").logical_id
    resources = {"{" + each.logical_id + "}": each.properties for each in synthesis.all("AWS::ApiGateway::Resource")}

    def path(name: str) -> str:
        if name == "{" + f"{api}.RootResourceId" + "}":
            return ""
        return f"{path(synthesis.text(resources[name]['ParentId']))}/{resources[name]['PathPart']}"

    return {name: path(name) for name in resources}
