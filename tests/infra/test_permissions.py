"""Who may do what: each function what it calls, and nothing else."""

import json
from fnmatch import fnmatchcase

import pytest

from common.access import Buckets
from common.models.books import BookEntityType, Entity
from common.stores.memory import InMemoryPayloadStore
from common.stores.memory_books import InMemoryBooks
from tasks import plan_batches
from tests.infra.templates import Synthesis
from workflows.registry import BATCHES, CALCULATION, FLEET, FUNCTIONS, PLACEHOLDERS, TASKS

FILED = ("GetObject", "PutObject", "AbortMultipartUpload")
EXPECTED: dict[str, set[tuple[str, str]]] = {
    "ValidateInput": {
        ("s3:GetObject", "payloads inputs/*"),
        ("s3:GetObject", "payloads fleet/*"),
        ("s3:PutObject", "payloads work/*"),
        ("s3:GetObject", "uploads manifests/*"),
        ("s3:GetObject", "uploads data/*"),
        ("dynamodb:BatchGetItem", "entities"),
        ("dynamodb:Query", "entities ClientIndex"),
    },
    "CalculatePortfolio": {
        ("s3:GetObject", "payloads work/*"),
        ("s3:GetObject", "payloads inputs/*"),
        ("s3:PutObject", "payloads results/*"),
        ("s3:GetObject", "uploads manifests/*"),
        ("s3:GetObject", "uploads data/*"),
        ("dynamodb:BatchGetItem", "entities"),
        ("dynamodb:Query", "entities"),
        ("dynamodb:Query", "entities AccountIndex"),
        ("dynamodb:GetItem", "cache"),
        ("dynamodb:PutItem", "cache"),
    },
    "PersistDynamoDB": {("s3:GetObject", "payloads results/*"), ("dynamodb:UpdateItem", "results")},
    "PersistTimestream": {
        ("s3:GetObject", "payloads results/*"),
        ("timestream:WriteRecords", "time series"),
        ("timestream:DescribeEndpoints", "*"),
        ("s3:PutObject", "rejected records *"),
        ("s3:GetBucketAcl", "rejected records"),
    },
    "PlanBatches": {
        *((f"s3:{action}", f"payloads {each}/*") for action in FILED for each in ("inputs", "fleet")),
        ("s3:GetObject", "uploads manifests/*"),
        ("s3:GetObject", "uploads data/*"),
        ("dynamodb:BatchGetItem", "entities"),
        ("dynamodb:Query", "entities ClientIndex"),
        ("dynamodb:Scan", "entities ClientIndex"),
    },
    "SummariseRun": {
        ("s3:ListBucket", "payloads"),
        *((f"s3:{action}", f"payloads {each}fleet/*") for action in FILED for each in ("", "inputs/*/")),
    },
    "Api": {
        ("states:StartExecution", "calculation"),
        ("states:DescribeExecution", "calculations"),
        ("s3:PutObject", "payloads inputs/*"),
        ("dynamodb:BatchGetItem", "entities"),
        ("dynamodb:BatchGetItem", "results"),
        ("dynamodb:Query", "results"),
        ("sqs:SendMessage", "transactions"),
        ("timestream:Select", "time series"),
        ("timestream:DescribeEndpoints", "*"),
    },
    "Authorizer": {("secretsmanager:GetSecretValue", "signing keys")},
    "TransactionQueue": {
        ("dynamodb:BatchGetItem", "entities"),
        ("dynamodb:PutItem", "entities"),
        ("dynamodb:UpdateItem", "entities"),
        *(
            (f"sqs:{action}", "transactions")
            for action in (
                "ReceiveMessage",
                "DeleteMessage",
                "ChangeMessageVisibility",
                "GetQueueAttributes",
                "GetQueueUrl",
            )
        ),
    },
    "NightlySchedule": {
        ("states:StartExecution", "fleet"),
        ("states:DescribeExecution", "fleet runs"),
        ("sqs:SendMessage", "undelivered"),
    },
    "ManifestUpload": {
        ("states:StartExecution", "calculation"),
        ("states:DescribeExecution", "calculations"),
        ("states:StartExecution", "fleet"),
        ("states:DescribeExecution", "fleet runs"),
        ("s3:GetObject", "uploads manifests/*"),
        ("s3:GetObjectVersion", "uploads manifests/*"),
        ("s3:PutObject", "payloads inputs/*"),
        ("s3:PutObject", "payloads rejected/*"),
        ("sqs:SendMessage", "undelivered"),
    },
    "Recalculation": {
        ("states:StartExecution", "calculation"),
        ("states:DescribeExecution", "calculations"),
        ("states:ListExecutions", "calculation"),
        ("states:ListExecutions", "fleet"),
        ("states:DescribeExecution", "fleet runs"),
        ("dynamodb:BatchGetItem", "entities"),
        ("dynamodb:Query", "entities"),
        ("dynamodb:UpdateItem", "entities"),
        ("dynamodb:DeleteItem", "entities"),
        ("dynamodb:Query", "results"),
        ("sqs:SendMessage", "undelivered"),
    },
}
"""What each function calls, besides its log, traces and keys."""

MACHINES: dict[str, set[tuple[str, str]]] = {
    CALCULATION: {("sqs:SendMessage", "backfill")},
    FLEET: {
        ("sqs:SendMessage", "backfill"),
        ("sns:Publish", "topic"),
        # The Map Run, by the Developer Guide's policies for distributed Maps.
        ("states:StartExecution", "fleet by name"),
        ("states:DescribeExecution", "fleet runs"),
        ("states:StopExecution", "fleet runs"),
        ("states:DescribeExecution", "batches"),
        ("states:StopExecution", "batches"),
        ("states:RedriveExecution", "batches"),
        # Its item reader, and its result writer.
        *(("s3:GetObject", f"payloads {each}*") for each in ("fleet/", "inputs/*/fleet/")),
        *(
            (f"s3:{action}", f"payloads {each}*/results/*")
            for action in ("PutObject", "ListMultipartUploadParts", "AbortMultipartUpload")
            for each in ("fleet/", "inputs/*/fleet/")
        ),
    },
}
"""What each state machine does besides calling its functions."""

EVERYBODY_S = ("logs:", "xray:", "kms:")
TIME_SERIES = ("time series", "rejected records", "rejected records *")

NAMES = {
    "TablesResults": "results",
    "TablesEntities": "entities",
    "TablesCache": "cache",
    "PayloadsBucket": "payloads",
    "UploadsBucket": "uploads",
    "TimeSeriesRejected": "rejected records",
    "TimeSeriesTable": "time series",
    "TransactionsMessages": "transactions",
    "Undelivered": "undelivered",
    "SigningKeys": "signing keys",
    "-performance-calculation:*": "calculations",
    "-performance-fleet:*": "fleet runs",
    "-performance-fleet/Batches:*": "batches",
    ":stateMachine:": "fleet by name",
    "CalculationStateMachine": "calculation",
    "FleetStateMachine": "fleet",
    "BackfillQueue": "backfill",
    "NotificationsTopic": "topic",
}
WILDCARD_ACTIONS = {
    "timestream:DescribeEndpoints",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
"""What knows no resource."""


def test_every_function_may_do_exactly_what_it_does(synthesis: Synthesis) -> None:
    for name in FUNCTIONS:
        found = {
            (action, _named(resource))
            for statement in synthesis.allowed(name)
            for action in statement.actions
            for resource in statement.resources
            if not action.startswith(EVERYBODY_S)
        }
        expected = EXPECTED[name]
        if synthesis.settings.time_series_store == "none":
            expected = {
                each for each in expected if each[1] not in TIME_SERIES and not each[0].startswith("timestream:")
            }
        assert found == expected, name


def test_no_action_has_a_wildcard(synthesis: Synthesis) -> None:
    for policy in synthesis.all("AWS::IAM::Policy"):
        for statement in policy.properties["PolicyDocument"]["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [action for action in actions if "*" in action], policy.logical_id


def test_only_what_knows_no_resource_is_allowed_on_all(synthesis: Synthesis) -> None:
    for name in FUNCTIONS:
        anywhere = {action for each in synthesis.allowed(name) if "*" in each.resources for action in each.actions}
        assert anywhere <= WILDCARD_ACTIONS, name


def test_no_role_has_a_policy_of_aws_but_api_gateway_s(synthesis: Synthesis) -> None:
    managed = {
        synthesis.text(arn)
        for role in synthesis.all("AWS::IAM::Role")
        for arn in role.properties.get("ManagedPolicyArns", ())
    }
    assert managed == {"arn:{AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"}


def test_no_two_functions_share_a_role(synthesis: Synthesis) -> None:
    roles = [json.dumps(each.properties["Role"]) for each in synthesis.functions().values()]
    assert len(set(roles)) == len(roles)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_logs_to_its_own_group_alone(dev: Synthesis, function: str) -> None:
    assert dev.on(function, f"{function}Log") == {"logs:CreateLogStream", "logs:PutLogEvents"}
    resources = {
        each
        for statement in dev.allowed(function)
        for each in statement.resources
        if any(action.startswith("logs:") for action in statement.actions)
    }
    assert len(resources) == 1


def test_keys_are_used_through_one_service_at_a_time(synthesis: Synthesis) -> None:
    for name in FUNCTIONS:
        for statement in synthesis.allowed(name):
            if not any(action.startswith("kms:") for action in statement.actions):
                continue
            # Lambda itself decrypts what it takes from the queue.
            if name == "TransactionQueue" and statement.conditions == "{}":
                assert statement.actions == {"kms:Decrypt"}
            else:
                assert "kms:ViaService" in statement.conditions, name
            assert all("EncryptionKey" in resource for resource in statement.resources)


def test_a_key_is_granted_for_writing_only_to_who_writes_a_table(dev: Synthesis) -> None:
    writers = {name for name in FUNCTIONS if "kms:ReEncryptTo" in {a for s in dev.allowed(name) for a in s.actions}}
    assert writers == {"CalculatePortfolio", "PersistDynamoDB", "TransactionQueue", "Recalculation"}


def test_starts_go_through_the_alias(synthesis: Synthesis) -> None:
    for name in ("Api", "NightlySchedule", "ManifestUpload", "Recalculation"):
        starts = [each for each in synthesis.allowed(name) if "states:StartExecution" in each.actions]
        assert starts
        for start in starts:
            assert start.actions == {"states:StartExecution"}
            assert json.loads(start.conditions) == {
                "ForAnyValue:StringEquals": {"states:StateMachineQualifier": ["live"]}
            }


@pytest.mark.parametrize("machine", [CALCULATION, FLEET])
def test_a_state_machine_may_do_exactly_what_its_definition_does(synthesis: Synthesis, machine: str) -> None:
    role = synthesis.machine(machine).properties["RoleArn"]["Fn::GetAtt"][0]
    statements = synthesis.statements(role)
    found = {
        (action, resource)
        for statement in statements
        for action in statement.actions
        for resource in statement.resources
        if resource != "*" and not action.startswith("kms:")
    }
    called = synthesis.called()
    assert {resource for action, resource in found if action == "lambda:InvokeFunction"} == {
        called[name] for name in PLACEHOLDERS[machine] & TASKS.keys()
    }
    others = {(action, _named(resource)) for action, resource in found if action != "lambda:InvokeFunction"}
    assert others == MACHINES[machine]
    anywhere = {action for each in statements if "*" in each.resources for action in each.actions}
    assert all(action.startswith(("logs:", "xray:")) for action in anywhere)
    keys = [each for each in statements if any(action.startswith("kms:") for action in each.actions)]
    services = {service for each in keys for service in ("sqs", "sns", "s3") if f'"{service}."' in each.conditions}
    assert services == ({"sqs"} if machine == CALCULATION else {"sqs", "sns", "s3"})
    assert all("kms:ViaService" in each.conditions for each in keys)


def test_what_a_map_run_is_permitted_is_what_it_is_called_and_where_it_writes(synthesis: Synthesis) -> None:
    machine = synthesis.machine(FLEET)
    state = json.loads(synthesis.definition(FLEET))["States"][BATCHES]
    name = machine.properties["StateMachineName"]
    role = machine.properties["RoleArn"]["Fn::GetAtt"][0]
    redriven = [each for each in synthesis.statements(role) if "states:RedriveExecution" in each.actions]
    assert {each.rpartition(":execution:")[2] for one in redriven for each in one.resources} == {
        f"{name}/{state['Label']}:*"
    }
    assert state["ItemReader"]["Parameters"]["Bucket.$"] == "$.plan.batches.bucket"
    assert state["ResultWriter"]["Parameters"]["Prefix.$"] == "$.plan.results.prefix"


@pytest.mark.parametrize("client", [None, "acme"])
def test_a_plan_lies_where_the_map_run_may_read_and_write(
    dev: Synthesis, client: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = {"request": {"client_id": client} if client else {}, "execution": {"name": "run-1"}}
    monkeypatch.setenv("PAYLOAD_BUCKET", "payloads")
    books = InMemoryBooks()
    books.put_entity(Entity(entity_type=BookEntityType.PORTFOLIO, entity_id="growth", client_id="acme"))
    plan = plan_batches.handler(event, None, payloads=InMemoryPayloadStore(), books=books, buckets=Buckets.from_env())
    statements = dev.statements(dev.machine(FLEET).properties["RoleArn"]["Fn::GetAtt"][0])

    def may(action: str, key: str) -> bool:
        patterns = [r.partition("}/")[2] for each in statements if action in each.actions for r in each.resources]
        return any(fnmatchcase(key, each) for each in patterns)

    assert may("s3:GetObject", plan["batches"]["key"])
    assert may("s3:PutObject", f"{plan['results']['prefix']}/0f7c/SUCCEEDED_0.json")
    assert not may("s3:PutObject", plan["batches"]["key"])


def test_a_summary_looks_only_for_results(dev: Synthesis) -> None:
    (listing,) = [each for each in dev.allowed("SummariseRun") if "s3:ListBucket" in each.actions]
    assert json.loads(listing.conditions) == {"StringLike": {"s3:prefix": ["fleet/*", "inputs/*/fleet/*"]}}


def test_a_schedule_may_call_its_function_alone(synthesis: Synthesis) -> None:
    for schedule in synthesis.all("AWS::Scheduler::Schedule"):
        target = schedule.properties["Target"]
        statements = synthesis.statements(target["RoleArn"]["Fn::GetAtt"][0])
        (invoke,) = [each for each in statements if "lambda:InvokeFunction" in each.actions]
        assert invoke.resources == {synthesis.text(target["Arn"])}


def _named(resource: str) -> str:
    if resource == "*":
        return resource
    (name,) = [name for part, name in NAMES.items() if part in resource]
    _, _, rest = resource.partition("}/")
    return f"{name} {rest.removeprefix('index/')}" if rest else name
