"""Alarms and dashboards: that they look at what is there, and say what to do."""

import ast
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from infra.constructs.log_metrics import FAILURES, NIGHTLY
from infra.nightly_slots import nightly_slots
from tests.infra.templates import Resource, Synthesis
from workflows.registry import CALCULATION, FLEET, FUNCTIONS, STATE_MACHINES, TASKS
from workflows.triggers.nightly_schedule import REQUEST_ID

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent.parent
RUNBOOK = ROOT / "docs" / "runbook.md"
NIGHTS = "cron(0 2 ? * TUE-SAT *)"
MAP_RUNS = {"ApproximateOpenMapRunCount", "OpenMapRunLimit", "ApproximateMapRunBacklogSize"}
"""Of the account and region, without dimensions."""


def alarms(synthesis: Synthesis) -> dict[str, Json]:
    prefix = f"{synthesis.settings.prefix}-"
    return {
        each.properties["AlarmName"].removeprefix(prefix): each.properties
        for each in synthesis.all("AWS::CloudWatch::Alarm")
    }


def metrics(synthesis: Synthesis, alarm: Json) -> list[tuple[str, str, dict[str, str]]]:
    """Return what an alarm looks at: namespace, name and dimensions, also of those within an expression."""
    found = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", ()) if "MetricStat" in each] or [alarm]
    return [
        (
            each["Namespace"],
            each["MetricName"],
            {named["Name"]: synthesis.text(named["Value"]) for named in each.get("Dimensions", ())},
        )
        for each in found
    ]


def refs(resources: list[Resource]) -> set[str]:
    return {"{" + each.logical_id + "}" for each in resources}


def anchors() -> set[str]:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


def filters(synthesis: Synthesis) -> dict[str, Json]:
    return {
        each.properties["MetricTransformations"][0]["MetricName"]: each.properties
        for each in synthesis.all("AWS::Logs::MetricFilter")
    }


def test_every_alarm_calls_somebody_and_says_what_it_means_and_what_to_do(synthesis: Synthesis) -> None:
    topic = "{" + synthesis.one("AWS::SNS::Topic").logical_id + "}"
    for name, alarm in alarms(synthesis).items():
        assert [synthesis.text(each) for each in alarm["AlarmActions"]] == [topic], name
        said = re.fullmatch(
            r"(.+\.) Threshold: (.+\.) What to do: docs/runbook\.md#([\w-]+)", alarm["AlarmDescription"]
        )
        assert said, name
        assert len(said[2].split()) >= 4, name
        assert said[3] in anchors(), name
        assert alarm["TreatMissingData"] == ("breaching" if name == "NoNightlyRun" else "notBreaching")


def test_the_topic_and_its_key_let_alarms_in(synthesis: Synthesis) -> None:
    policy = json.dumps(synthesis.one("AWS::SNS::TopicPolicy").properties)
    key = synthesis.text(synthesis.one("AWS::SNS::Topic").properties["KmsMasterKeyId"])
    (of_topic,) = [
        each
        for each in synthesis.all("AWS::KMS::Key")
        if each.stack == "workflow" and key == "{" + each.logical_id + ".Arn}"
    ]
    assert "cloudwatch.amazonaws.com" in policy
    assert "cloudwatch.amazonaws.com" in json.dumps(of_topic.properties["KeyPolicy"])


def test_every_alarm_looks_at_something_that_is_there(synthesis: Synthesis) -> None:
    machines = refs(synthesis.all("AWS::StepFunctions::StateMachine"))
    functions = refs(synthesis.all("AWS::Lambda::Function"))
    queues = {f"{{{each.logical_id}.QueueName}}" for each in synthesis.all("AWS::SQS::Queue")}
    tables = {"{" + each.logical_id + "}": each.properties for each in synthesis.all("AWS::DynamoDB::Table")}
    api = synthesis.one("AWS::ApiGateway::RestApi").properties["Name"]
    stage = synthesis.one("AWS::ApiGateway::Stage").properties["StageName"]
    for name, alarm in alarms(synthesis).items():
        for namespace, metric, dimensions in metrics(synthesis, alarm):
            match namespace:
                case "AWS/ApiGateway":
                    assert dimensions == {"ApiName": api, "Stage": stage}
                case "AWS/States" if metric in MAP_RUNS:
                    assert not dimensions
                case "AWS/States":
                    assert dimensions.keys() == {"StateMachineArn"}
                    assert dimensions["StateMachineArn"] in machines
                case "AWS/Lambda" if metric == "ClaimedAccountConcurrency":
                    assert not dimensions
                case "AWS/Lambda":
                    assert dimensions.keys() == {"FunctionName"}
                    assert dimensions["FunctionName"] in functions
                case "AWS/SQS":
                    assert dimensions.keys() == {"QueueName"}
                    assert dimensions["QueueName"] in queues
                case "AWS/DynamoDB":
                    table = tables[dimensions["TableName"]]
                    indexes = {each["IndexName"] for each in table.get("GlobalSecondaryIndexes", ())}
                    assert dimensions.get("GlobalSecondaryIndexName") in {None, *indexes}
                    assert ("Operation" in dimensions) == (metric == "SystemErrors")
                case "AWS/Timestream":
                    assert dimensions.keys() == {"Operation"}
                case _:
                    assert namespace == synthesis.settings.prefix, name
                    assert metric in filters(synthesis)
                    assert not dimensions


def test_the_api_s_alarm_is_the_specification_s_by_the_api_s_name(synthesis: Synthesis) -> None:
    alarm = alarms(synthesis)["ApiServerErrors"]
    expected = {
        "MetricName": "5XXError",
        "Namespace": "AWS/ApiGateway",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    assert {name: alarm[name] for name in expected} == expected
    assert {each["Name"]: each["Value"] for each in alarm["Dimensions"]} == {
        "ApiName": synthesis.settings.prefix,
        "Stage": "v1",
    }


def test_every_function_s_errors_throttles_and_duration_are_watched(synthesis: Synthesis) -> None:
    found = alarms(synthesis)
    for name, function in synthesis.functions().items():
        for kind in ("Errors", "Throttles", "Duration"):
            watched = [each for each in metrics(synthesis, found[f"{name}{kind}"]) if each[:2] == ("AWS/Lambda", kind)]
            assert watched == [("AWS/Lambda", kind, {"FunctionName": "{" + function.logical_id + "}"})]
        duration = found[f"{name}Duration"]
        assert duration["ExtendedStatistic"] == "p99"
        assert duration["Threshold"] == pytest.approx(0.8 * 1000 * FUNCTIONS[name].timeout_seconds)


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_executions_are_watched_in_every_way_they_can_go_wrong(synthesis: Synthesis, machine: str) -> None:
    arn = "{" + synthesis.machine(machine).logical_id + "}"
    watched = {
        metric
        for each in alarms(synthesis).values()
        for space, metric, dimensions in metrics(synthesis, each)
        if space == "AWS/States" and dimensions.get("StateMachineArn") == arn
    }
    expected = {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionThrottled"}
    assert watched == (expected if machine == CALCULATION else expected | {"ExecutionTime"})


def test_a_fleet_run_that_takes_longer_than_the_night_may_is_told(synthesis: Synthesis) -> None:
    alarm = alarms(synthesis)["FleetDuration"]
    hours = synthesis.settings.nightly_hours
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == (
        "ExecutionTime",
        "Maximum",
        3_600_000 * hours,
    )
    # Before it is ended: a run that ran out of time would be told as such.
    assert alarm["Threshold"] < 1000 * json.loads(synthesis.definition(FLEET))["TimeoutSeconds"]


def test_a_fleet_run_with_many_failures_is_told_and_one_with_a_few_is_not(dev: Synthesis) -> None:
    alarm = alarms(dev)["FleetFailures"]
    (expression,) = [each["Expression"] for each in alarm["Metrics"] if "Expression" in each]
    assert expression == "IF(failed > 5, 100 * failed / entities, 0)"
    assert alarm["Threshold"] == 1
    read = filters(dev)
    for name, field in {"FleetFailed": "failed", "FleetEntities": "entities", "FleetCalculated": "calculated"}.items():
        assert read[name]["MetricTransformations"][0]["MetricValue"] == f"$.{field}"
        assert "SummariseRunLog" in dev.text(read[name]["LogGroupName"])


def test_what_the_whole_account_shares_is_watched(synthesis: Synthesis) -> None:
    found = alarms(synthesis)
    concurrency = found["AccountConcurrency"]
    assert concurrency["Threshold"] == 0.9 * synthesis.settings.account_concurrency
    reserved = sum(synthesis.settings.reserved_concurrency.values())
    assert concurrency["Threshold"] > reserved, "it would always be raised"
    assert (concurrency["MetricName"], concurrency["Statistic"]) == ("ClaimedAccountConcurrency", "Maximum")
    assert (found["MapRunBacklog"]["MetricName"], found["MapRunBacklog"]["Threshold"]) == (
        "ApproximateMapRunBacklogSize",
        0,
    )
    (expression,) = [each["Expression"] for each in found["OpenMapRuns"]["Metrics"] if "Expression" in each]
    assert (expression, found["OpenMapRuns"]["Threshold"]) == ("100 * open / limit", 90)


def test_no_message_lies_anywhere_unseen(synthesis: Synthesis) -> None:
    depths: list[tuple[str, str]] = []
    ages: list[tuple[str, str]] = []
    for alarm in alarms(synthesis).values():
        for space, metric, dimensions in metrics(synthesis, alarm):
            if space == "AWS/SQS":
                # Two stacks have a queue of the same logical id: by the export it is known which one is meant.
                (export,) = [each["Value"]["Fn::ImportValue"] for each in alarm["Dimensions"]]
                stack = export.partition(":")[0].removeprefix(f"{synthesis.settings.prefix}-")
                kind = ages if metric == "ApproximateAgeOfOldestMessage" else depths
                kind.append((stack, dimensions["QueueName"]))
                assert kind is ages or alarm["Threshold"] == 0
    queues = [(each.stack, f"{{{each.logical_id}.QueueName}}") for each in synthesis.all("AWS::SQS::Queue")]
    assert [name for _, name in ages if "TransactionsMessages" in name] == [name for _, name in ages]
    assert sorted(depths + ages) == sorted(queues)


def test_a_message_that_is_tried_twice_is_not_yet_late(synthesis: Synthesis) -> None:
    queue = synthesis.one("AWS::SQS::Queue", "TransactionsMessages").properties
    assert alarms(synthesis)["TransactionsAge"]["Threshold"] > 2 * queue["VisibilityTimeout"]


def test_every_table_is_watched_for_each_operation_that_is_allowed_on_it(synthesis: Synthesis) -> None:
    for table in synthesis.all("AWS::DynamoDB::Table"):
        name = "{" + table.logical_id + "}"
        watched = [
            (metric, dimensions)
            for alarm in alarms(synthesis).values()
            for space, metric, dimensions in metrics(synthesis, alarm)
            if space == "AWS/DynamoDB" and dimensions["TableName"] == name
        ]
        indexes = {each["IndexName"] for each in table.properties.get("GlobalSecondaryIndexes", ())}
        for kind in ("ReadThrottleEvents", "WriteThrottleEvents"):
            seen = [dimensions.get("GlobalSecondaryIndexName") for metric, dimensions in watched if metric == kind]
            assert sorted(seen, key=str) == sorted([None, *indexes], key=str)
        allowed = {
            action.removeprefix("dynamodb:")
            for function in synthesis.functions()
            for action in synthesis.on(function, table.logical_id)
        }
        operations = {dimensions["Operation"] for metric, dimensions in watched if metric == "SystemErrors"}
        assert operations - {"TransactWriteItems"} == allowed
        # What a transaction does is allowed by the actions on its items, and counted by its own name.
        assert ("TransactWriteItems" in operations) == ("Entities" in table.logical_id)


def test_timestream_is_watched_where_there_is_one(dev: Synthesis, without_time_series: Synthesis) -> None:
    names = {"TimestreamWriteRecordsErrors", "TimestreamQueryErrors"}
    assert alarms(dev).keys() - alarms(without_time_series).keys() == names


def test_wrong_data_and_refused_tokens_call_nobody(dev: Synthesis) -> None:
    found = alarms(dev)
    for name in ("CalculatePortfolioErrors", "ValidateInputErrors"):
        (expression,) = [each["Expression"] for each in found[name]["Metrics"] if "Expression" in each]
        assert expression == "IF(errors > 5, 100 * errors / calls, 0)"
        assert found[name]["Threshold"] == 10
    (expression,) = [each["Expression"] for each in found["AuthorizerErrors"]["Metrics"] if "Expression" in each]
    assert expression == "errors - FILL(refused, 0)"
    simple = FUNCTIONS.keys() - {"CalculatePortfolio", "ValidateInput", "Authorizer"}
    assert all(found[f"{name}Errors"]["Threshold"] == 0 and "Metrics" not in found[f"{name}Errors"] for name in simple)


def test_a_night_that_does_not_begin_is_told(synthesis: Synthesis) -> None:
    alarm = alarms(synthesis)["NoNightlyRun"]
    expression, *looked_at = alarm["Metrics"]
    slots = nightly_slots(synthesis.settings.nightly_cron, synthesis.settings.time_zone)
    assert slots
    due = "FILL(called, 0) > FILL(failed, 0)"
    assert expression["Expression"] == f"IF({slots.condition('called')}, {due}, 1)"
    assert (alarm["ComparisonOperator"], alarm["Threshold"], alarm["EvaluationPeriods"]) == (
        "LessThanThreshold",
        1,
        slots.hours,
    )
    assert {(each["MetricStat"]["Period"], each["MetricStat"]["Stat"]) for each in looked_at} == {(3600, "Sum")}
    function = synthesis.functions()["NightlySchedule"].logical_id
    assert sorted(metrics(synthesis, alarm)) == [
        ("AWS/Lambda", metric, {"FunctionName": "{" + function + "}"}) for metric in ("Errors", "Invocations")
    ]


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Europe/Berlin", "Europe/Athens", "Asia/Tokyo", "Asia/Kolkata", "Pacific/Auckland"]
)
def test_the_night_s_event_always_comes_in_one_of_its_slots(zone: str) -> None:
    slots = nightly_slots(NIGHTS, zone)
    assert slots
    assert slots.hours == (1 if zone.startswith("Asia") else 2)
    nights = (datetime(2025, 1, 1, 2, tzinfo=ZoneInfo(zone)) + timedelta(days=number) for number in range(730))
    came = {night.astimezone(UTC) for night in nights if night.weekday() in {1, 2, 3, 4, 5}}
    assert {(each.isoweekday(), each.hour) for each in came} == set(slots.utc)
    week = sorted(24 * (day - 1) + hour for day, hour in slots.utc)
    runs = [[hour, hour + 1] if slots.hours == 2 else [hour] for hour in week[:: slots.hours]]
    assert week == [hour for run in runs for hour in run]


@pytest.mark.parametrize(
    "expression", ["rate(1 day)", "cron(0/5 2 ? * TUE-SAT *)", "cron(0 2 1 * ? *)", "cron(0 2 ? * XYZ *)"]
)
def test_a_schedule_that_is_no_time_of_weekdays_has_no_slots(expression: str) -> None:
    assert nightly_slots(expression, "UTC") is None


def test_days_of_a_schedule_are_read_as_it_has_them() -> None:
    for days, expected in {"SAT-MON": {6, 7, 1}, "MON,WED-THU": {1, 3, 4}, "*": set(range(1, 8))}.items():
        slots = nightly_slots(f"cron(30 4 ? * {days} *)", "UTC")
        assert slots
        assert slots.utc == tuple((day, 4) for day in sorted(expected))


def test_a_mark_that_was_given_up_is_told(synthesis: Synthesis) -> None:
    read = filters(synthesis)["RecalculationFailing"]
    assert read["FilterPattern"] == '{ ($.message = "Recalculation") && ($.failing > 0) }'
    assert read["MetricTransformations"][0]["MetricValue"] == "$.failing"
    assert "RecalculationLog" in synthesis.text(read["LogGroupName"])
    alarm = alarms(synthesis)["RecalculationFailing"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("RecalculationFailing", "Maximum", 0)
    assert alarm["Period"] > 60 * synthesis.settings.recalculation_minutes


def test_what_is_read_from_logs_is_what_the_handlers_log(dev: Synthesis) -> None:
    read = filters(dev)
    assert read
    for properties in read.values():
        log = dev.text(properties["LogGroupName"])
        (name,) = [each for each in FUNCTIONS if log.startswith("{" + each + "Log")]
        module = FUNCTIONS[name].handler.rpartition(".")[0]
        source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8"))
        said = {each.value for each in ast.walk(source) if isinstance(each, ast.Constant)}
        for message in re.findall(r'\$\.message = "(\w+)"', properties["FilterPattern"]):
            assert message in said
        # The class of an exception is the runtime's to log; what the time series has rejected is a dataclass.
        for field in set(re.findall(r"\$\.(\w+)", properties["FilterPattern"])) - {"message", "errorType"}:
            assert field in said


def test_failures_are_what_the_state_machine_takes_for_the_portfolio_s_own(dev: Synthesis) -> None:
    states = json.loads(dev.definition(CALCULATION))["States"]["CalculatePortfolios"]["ItemProcessor"]["States"]
    assert tuple(states["CalculatePortfolio"]["Catch"][0]["ErrorEquals"]) == FAILURES
    assert NIGHTLY == REQUEST_ID


def test_the_dashboards_show_what_there_is(synthesis: Synthesis) -> None:
    prefix = synthesis.settings.prefix
    boards = {
        each.properties["DashboardName"]: json.loads(synthesis.text(each.properties["DashboardBody"]))
        for each in synthesis.all("AWS::CloudWatch::Dashboard")
    }
    assert boards.keys() == {f"{prefix}-operations", f"{prefix}-business"}
    operations = json.dumps(boards[f"{prefix}-operations"])
    for kind in (
        "AWS::Lambda::Function",
        "AWS::SQS::Queue",
        "AWS::DynamoDB::Table",
        "AWS::StepFunctions::StateMachine",
    ):
        assert all(each.logical_id in operations for each in synthesis.all(kind)), kind
    assert all(each.logical_id in operations for each in synthesis.all("AWS::CloudWatch::Alarm"))
    shown = {
        metric[1]
        for widget in boards[f"{prefix}-business"]["widgets"]
        for metric in widget["properties"]["metrics"]
        if metric[0] == prefix
    }
    assert (
        {"NightlyCalculated", "NightlyCached", "PortfoliosFailed", "FleetCalculated", "FleetFailed"}
        <= shown
        <= filters(synthesis).keys()
    )


def test_tasks_may_be_throttled_for_as_long_as_an_execution_tries(dev: Synthesis) -> None:
    for name in FUNCTIONS:
        assert alarms(dev)[f"{name}Throttles"]["EvaluationPeriods"] == (3 if name in TASKS else 1)
