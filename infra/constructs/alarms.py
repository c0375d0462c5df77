"""Alarms: what somebody is called for. Each says what it means, why there is its threshold, and where to read on."""

from collections.abc import Mapping
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
from infra.constructs.state_machine import StateMachine
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
FIVE_MINUTES: Final = Duration.minutes(5)
_HOUR: Final = Duration.hours(1)


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
        self.add("ApiServerErrors", metric, API_5XX, meaning)

    def watch_executions(self, watched: StateMachine, name: str, what: str, section: str) -> None:
        """Watch executions that end without success, and those that Step Functions slows down.

        Parameters
        ----------
        name
            What the alarms' names begin with.
        what
            Whose executions they are, in words.
        section
            Of the runbook.
        """
        machine = watched.state_machine
        ended = {
            "Failed": (machine.metric_failed, "have failed"),
            "TimedOut": (machine.metric_timed_out, "have run out of time"),
            "Aborted": (machine.metric_aborted, "were stopped"),
        }
        for end, (metric, told) in ended.items():
            meaning = Meaning(
                f"Executions of {what} {told}.",
                "one is enough, for whoever started them waits for their results.",
                section,
            )
            self.add(f"{name}{end}", metric(period=FIVE_MINUTES), 0, meaning)
        meaning = Meaning(
            f"Step Functions delays the steps of {what}.",
            "any in each of three periods of five minutes: a burst is worked off by then.",
            "executions-throttled",
        )
        self.add(f"{name}Throttled", machine.metric_throttled(period=FIVE_MINUTES), 0, meaning, periods=3)

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
            throttles = each.function.metric_throttles(period=FIVE_MINUTES)
            self.add(f"{name}Throttles", throttles, 0, meaning, periods=3 if retried else 1)
            seconds = FUNCTIONS[name].timeout_seconds
            meaning = Meaning(
                f"{name} comes close to its timeout of {seconds} s.",
                f"{_TIMEOUT_SHARE:.0%} of it at the 99th percentile, which of fewer than 100 calls is the slowest.",
                "function-duration",
            )
            duration = each.function.metric_duration(statistic="p99", period=FIVE_MINUTES)
            self.add(f"{name}Duration", duration, _TIMEOUT_SHARE * seconds * 1000, meaning)

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
        wait = 2 * VISIBILITY.to_seconds() + FIVE_MINUTES.to_seconds()
        meaning = Meaning(
            "Transactions wait to be entered into the books.",
            f"{wait:.0f} s, which two tries of a message and five minutes are.",
            "transactions-wait",
        )
        age = transactions.queue.metric_approximate_age_of_oldest_message(statistic="Maximum", period=FIVE_MINUTES)
        self.add("TransactionsAge", age, wait, meaning)
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
            depth = queue.queue.metric_approximate_number_of_messages_visible(statistic="Maximum", period=FIVE_MINUTES)
            self.add(f"{name}Depth", depth, 0, meaning)

    def watch_nightly(self, function: Function, slots: Slots) -> None:
        """Watch that the night's event comes and is answered, in the hour it is due.

        NightlySchedule begins a run, or finds the one of that business day, which is what it does after a holiday; when
        it can do neither it fails. That a run begins would be the wrong thing to watch: after a holiday none does, and
        in that hour a client's may.

        The schedule has a time zone and days off, a metric has neither. So the hours in UTC at which the event may come
        are written into the expression, which is 1 at all others; with daylight saving time they are two, in a row, and
        the alarm waits for both.
        """
        called = function.function.metric_invocations(period=_HOUR)
        expression = cloudwatch.MathExpression(
            expression=f"IF({slots.condition('called')}, FILL(called, 0) > FILL(failed, 0), 1)",
            using_metrics={"called": called, "failed": function.function.metric_errors(period=_HOUR)},
            label="Nights answered, in the hours they are due",
            period=_HOUR,
        )
        meaning = Meaning(
            "The night's run has not begun in the hour it was due.",
            f"a call of NightlySchedule that does not fail at {slots.local}, or within the hour after where clocks are"
            " changed.",
            "no-nightly-run",
        )
        self.add(
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
        self.add("RecalculationFailing", self._log_metrics.failing(period), 0, meaning)

    def _errors(self, name: str, each: Function) -> None:
        errors: cloudwatch.IMetric = each.function.metric_errors(period=FIVE_MINUTES)
        if name in {"CalculatePortfolio", "ValidateInput"}:
            # Wrong data are an error of the function too: that is how the state machine hears of them.
            errors = cloudwatch.MathExpression(
                expression=f"IF(errors > {_FAILED_AT_LEAST}, 100 * errors / calls, 0)",
                using_metrics={"errors": errors, "calls": each.function.metric_invocations(period=FIVE_MINUTES)},
                label="Percent of calls that fail, of more than a few",
                period=FIVE_MINUTES,
            )
            meaning = Meaning(
                f"Many calls of {name} fail.",
                f"{_FAILED_PERCENT} % and more than {_FAILED_AT_LEAST} in five minutes: single ones are wrong data.",
                "function-errors",
            )
            self.add(f"{name}Errors", errors, _FAILED_PERCENT, meaning)
            return
        threshold = "one is enough, for it raises nothing that is to be expected."
        if name == "Authorizer":
            # It refuses a token by an exception, as API Gateway wants it: anybody could raise this alarm.
            errors = cloudwatch.MathExpression(
                expression="errors - FILL(refused, 0)",
                using_metrics={"errors": errors, "refused": self._log_metrics.refused(FIVE_MINUTES)},
                label="Errors but for refused tokens",
                period=FIVE_MINUTES,
            )
            threshold = "one is enough but for refused tokens, which are errors to Lambda."
        elif name == "PlanBatches":
            threshold = "one is enough: a manifest that cannot be read ends its run, and else a store is in trouble."
        elif name in TASKS:
            threshold = "one is enough, though what passes is retried: a store is in trouble."
        self.add(f"{name}Errors", errors, 0, Meaning(f"Calls of {name} fail.", threshold, "function-errors"))

    def add(
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
        """Add an alarm that is raised when `metric` is above the threshold, unless `comparison` says otherwise."""
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
