"""Alarms: what somebody is called for. Each says what it means, why there is its threshold, and where to read on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.api import STAGE
from infra.constructs.functions import Function
from infra.constructs.log_metrics import LogMetrics
from infra.constructs.queues import RETENTION, PrivateQueue
from infra.constructs.state_machine import CalculationStateMachine
from infra.constructs.tables import ACCOUNT_INDEX, CLIENT_INDEX, Table, Tables
from infra.constructs.transaction_queue import VISIBILITY
from infra.nightly_slots import Slots
from infra.settings import StageSettings
from workflows.registry import FUNCTIONS, TASKS

RUNBOOK: Final = "docs/runbook.md"
API_5XX: Final = 5
"""The specification's: more than five within a minute."""

_TIMEOUT_SHARE: Final = 0.8
_FAILED_PERCENT: Final = 10
_FAILED_AT_LEAST: Final = 5
_MINUTE: Final = Duration.minutes(1)
_FIVE_MINUTES: Final = Duration.minutes(5)
_HOUR: Final = Duration.hours(1)

# What the roles of the functions may do with each table; DynamoDB counts its own faults by operation.
_OPERATIONS: Final = {
    "Results": ("BatchGetItem", "Query", "UpdateItem"),
    "Entities": (
        "BatchGetItem",
        "Query",
        "Scan",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "TransactWriteItems",
    ),
    "Cache": ("GetItem", "PutItem"),
}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an alarm says to who is called.

    Attributes
    ----------
    text
        What has happened, a sentence.
    threshold
        Why the threshold is what it is.
    section
        The heading of the runbook, as its anchor.
    """

    text: str
    threshold: str
    section: str

    @property
    def description(self) -> str:
        """The alarm's description."""
        return f"{self.text} Threshold: {self.threshold} What to do: {RUNBOOK}#{self.section}"


class Alarms(Construct):
    """All alarms of a stage, to one topic.

    Parameters
    ----------
    topic
        Who is told.
    log_metrics
        What is counted in logs.

    Attributes
    ----------
    all
        The alarms, in the order they were added.
    """

    def __init__(
        self, scope: Construct, construct_id: str, settings: StageSettings, topic: sns.ITopic, log_metrics: LogMetrics
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._action = actions.SnsAction(topic)
        self._log_metrics = log_metrics
        self.all: list[cloudwatch.Alarm] = []

    def watch_api(self, api: apigateway.RestApi) -> None:
        """Watch the answers for which the service is to blame."""
        # By its name: the metric knows nothing of the API's id.
        metric = cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name="5XXError",
            dimensions_map={"ApiName": api.rest_api_name, "Stage": STAGE},
            statistic="Sum",
            period=_MINUTE,
        )
        meaning = Meaning(
            "The API answers requests with 5xx.", "the specification's, more than 5 in a minute.", "api-5xx"
        )
        self._add("ApiServerErrors", metric, API_5XX, meaning)

    def watch_executions(self, calculation: CalculationStateMachine) -> None:
        """Watch executions that end without success, and those that Step Functions slows down."""
        machine = calculation.state_machine
        ended = {
            "Failed": (machine.metric_failed, "have failed"),
            "TimedOut": (machine.metric_timed_out, "have run out of time"),
            "Aborted": (machine.metric_aborted, "were stopped"),
        }
        for name, (metric, what) in ended.items():
            meaning = Meaning(
                f"Executions of the calculation {what}.",
                "one is enough, for whoever started them waits for their results.",
                "executions",
            )
            self._add(f"Executions{name}", metric(period=_FIVE_MINUTES), 0, meaning)
        meaning = Meaning(
            "Step Functions delays the steps of executions.",
            "any in each of three periods of five minutes: a burst is worked off by then.",
            "executions-throttled",
        )
        self._add("ExecutionsThrottled", machine.metric_throttled(period=_FIVE_MINUTES), 0, meaning, periods=3)

    def watch_functions(self, functions: Mapping[str, Function]) -> None:
        """Watch each function's errors, throttles and duration."""
        for name, each in functions.items():
            self._errors(name, each)
            retried = name in TASKS
            meaning = Meaning(
                f"Lambda has no room to run {name}.",
                "any in each of three periods of five minutes: an execution tries for some four minutes."
                if retried
                else "one is enough, for a caller is refused or has to wait.",
                "function-throttles",
            )
            throttles = each.function.metric_throttles(period=_FIVE_MINUTES)
            self._add(f"{name}Throttles", throttles, 0, meaning, periods=3 if retried else 1)
            seconds = FUNCTIONS[name].timeout_seconds
            meaning = Meaning(
                f"{name} comes close to its timeout of {seconds} s.",
                f"{_TIMEOUT_SHARE:.0%} of it at the 99th percentile, which of fewer than 100 calls is the slowest.",
                "function-duration",
            )
            duration = each.function.metric_duration(statistic="p99", period=_FIVE_MINUTES)
            self._add(f"{name}Duration", duration, _TIMEOUT_SHARE * seconds * 1000, meaning)

    def watch_queues(
        self,
        transactions: PrivateQueue,
        *,
        dead_letters: PrivateQueue,
        backfill: PrivateQueue,
        undelivered: Mapping[str, PrivateQueue],
    ) -> None:
        """Watch how long transactions wait, and that the queues where things end are empty.

        Parameters
        ----------
        undelivered
            Queues of what could not be delivered, by the alarms' names.
        """
        wait = 2 * VISIBILITY.to_seconds() + _FIVE_MINUTES.to_seconds()
        meaning = Meaning(
            "Transactions wait to be entered into the books.",
            f"{wait:.0f} s, which two tries of a message and five minutes are.",
            "transactions-wait",
        )
        age = transactions.queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=_FIVE_MINUTES)
        self._add("TransactionsAge", age, wait, meaning)
        ends = {
            "TransactionsDeadLetters": (dead_letters, "Transactions could not be entered.", "dead-letters"),
            "Backfill": (backfill, "The time series lacks results that DynamoDB has.", "backfill"),
            **{
                name: (queue, "What it holds was delivered to nobody.", "undelivered")
                for name, queue in undelivered.items()
            },
        }
        for name, (queue, text, section) in ends.items():
            meaning = Meaning(
                text, f"one is enough, for after {RETENTION.to_days():.0f} days SQS drops what lies there.", section
            )
            depth = queue.queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=_FIVE_MINUTES)
            self._add(f"{name}Depth", depth, 0, meaning)

    def watch_tables(self, tables: Tables) -> None:
        """Watch what DynamoDB refuses, and its own faults."""
        indexes: dict[str, tuple[str, ...]] = {"Results": (), "Entities": (CLIENT_INDEX, ACCOUNT_INDEX), "Cache": ()}
        for name, table in {"Results": tables.results, "Entities": tables.entities, "Cache": tables.cache}.items():
            for what in ("Read", "Write"):
                meaning = Meaning(
                    f"DynamoDB throttles {what.lower()}s of the table {name} or its indexes.",
                    "any in each of two periods of five minutes: shorter bursts are retried.",
                    "table-throttles",
                )
                throttled = _throttled(table, indexes[name], f"{what}ThrottleEvents")
                self._add(f"{name}{what}Throttles", throttled, 0, meaning, periods=2)
            meaning = Meaning(
                f"DynamoDB fails at requests to the table {name}.",
                "any in each of two periods of five minutes: single ones are retried.",
                "store-faults",
            )
            faults = [
                _dynamodb("SystemErrors", {"TableName": table.name, "Operation": each}) for each in _OPERATIONS[name]
            ]
            self._add(f"{name}SystemErrors", _sum(faults), 0, meaning, periods=2)

    def watch_time_series(self) -> None:
        """Watch Timestream's own faults. It counts them by operation alone, for the account and region."""
        for operation in ("WriteRecords", "Query"):
            metric = cloudwatch.Metric(
                namespace="AWS/Timestream",
                metric_name="SystemErrors",
                dimensions_map={"Operation": operation},
                statistic="Sum",
                period=_FIVE_MINUTES,
            )
            meaning = Meaning(
                f"Timestream fails at {operation}, whoever of the account calls it.",
                "any in each of two periods of five minutes: single ones are retried.",
                "store-faults",
            )
            self._add(f"Timestream{operation}Errors", metric, 0, meaning, periods=2)

    def watch_nightly(self, function: Function, slots: Slots) -> None:
        """Watch that the night's event comes, in the hour it is due.

        The schedule has a time zone and days off, a metric has neither. So the hours in UTC at which the event may come
        are written into the expression, which is 1 at all others; with daylight saving time they are two, in a row, and
        the alarm waits for both.
        """
        called = function.function.metric_invocations(period=_HOUR)
        expression = cloudwatch.MathExpression(
            expression=f"IF({slots.condition('called')}, FILL(called, 0), 1)",
            using_metrics={"called": called},
            label="Nights begun, in the hours they are due",
            period=_HOUR,
        )
        meaning = Meaning(
            "The nightly event has not come in the hour it was due.",
            f"one call of NightlySchedule at {slots.local}, or within the hour after where clocks are changed.",
            "no-nightly-run",
        )
        self._add(
            "NoNightlyRun",
            expression,
            1,
            meaning,
            periods=slots.hours,
            comparison=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            # A stage that has never had a night has no data at all.
            missing=cloudwatch.TreatMissingData.BREACHING,
        )

    def watch_recalculation(self) -> None:
        """Watch for marks that sweeps have given up."""
        meaning = Meaning(
            "Results stay wrong after a late transaction: calculating them again has failed three times.",
            "one is enough, for no sweep tries again.",
            "recalculation-failing",
        )
        # Over three sweeps, so that it stays while they go on to find the mark.
        period = Duration.minutes(3 * self._settings.recalculation_minutes)
        self._add("RecalculationFailing", self._log_metrics.failing(period), 0, meaning)

    def _errors(self, name: str, each: Function) -> None:
        errors: cloudwatch.IMetric = each.function.metric_errors(period=_FIVE_MINUTES)
        if name in {"CalculatePortfolio", "ValidateInput"}:
            # Wrong data are an error of the function too: that is how the state machine hears of them.
            errors = cloudwatch.MathExpression(
                expression=f"IF(errors > {_FAILED_AT_LEAST}, 100 * errors / calls, 0)",
                using_metrics={"errors": errors, "calls": each.function.metric_invocations(period=_FIVE_MINUTES)},
                label="Percent of calls that fail, of more than a few",
                period=_FIVE_MINUTES,
            )
            meaning = Meaning(
                f"Many calls of {name} fail.",
                f"{_FAILED_PERCENT} % and more than {_FAILED_AT_LEAST} in five minutes: single ones are wrong data.",
                "function-errors",
            )
            self._add(f"{name}Errors", errors, _FAILED_PERCENT, meaning)
            return
        threshold = "one is enough, for it raises nothing that is to be expected."
        if name == "Authorizer":
            # It refuses a token by an exception, as API Gateway wants it: anybody could raise this alarm.
            errors = cloudwatch.MathExpression(
                expression="errors - FILL(refused, 0)",
                using_metrics={"errors": errors, "refused": self._log_metrics.refused(_FIVE_MINUTES)},
                label="Errors but for refused tokens",
                period=_FIVE_MINUTES,
            )
            threshold = "one is enough but for refused tokens, which are errors to Lambda."
        elif name in TASKS:
            threshold = "one is enough, though what passes is retried: a store is in trouble."
        self._add(f"{name}Errors", errors, 0, Meaning(f"Calls of {name} fail.", threshold, "function-errors"))

    def _add(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        threshold: float,
        meaning: Meaning,
        *,
        periods: int = 1,
        comparison: cloudwatch.ComparisonOperator = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
        # Of what does not happen, and of a queue that nobody uses, there are no data.
        missing: cloudwatch.TreatMissingData = cloudwatch.TreatMissingData.NOT_BREACHING,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._settings.prefix}-{name}",
            alarm_description=meaning.description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        self.all.append(alarm)


def _dynamodb(name: str, dimensions: Mapping[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=name,
        dimensions_map=dict(dimensions),
        statistic="Sum",
        period=_FIVE_MINUTES,
    )


def _throttled(table: Table, indexes: Sequence[str], name: str) -> cloudwatch.IMetric:
    of_table = {"TableName": table.name}
    return _sum(
        [
            _dynamodb(name, of_table),
            *(_dynamodb(name, {**of_table, "GlobalSecondaryIndexName": index}) for index in indexes),
        ]
    )


def _sum(metrics: Sequence[cloudwatch.Metric]) -> cloudwatch.IMetric:
    if len(metrics) == 1:
        return metrics[0]
    named = {f"m{number}": metric for number, metric in enumerate(metrics)}
    return cloudwatch.MathExpression(
        # Unlike m0 + m1 the sum of a list goes without those that have no data.
        expression=f"SUM([{', '.join(named)}])",
        using_metrics=named,
        label="Sum",
        period=_FIVE_MINUTES,
    )
