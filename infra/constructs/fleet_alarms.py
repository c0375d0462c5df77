"""Alarms of fleet runs: how they end, how long they take, and the limits of the account that they come near."""

from typing import Final

from aws_cdk import aws_cloudwatch as cloudwatch

from infra.constructs.alarms import FIVE_MINUTES, Alarms, Meaning
from infra.constructs.log_metrics import LogMetrics
from infra.constructs.state_machine import StateMachine
from infra.settings import StageSettings

FAILED_PERCENT: Final = 1
FAILED_AT_LEAST: Final = 5
LIMIT_PERCENT: Final = 90
_MILLISECONDS: Final = 3600 * 1000  # in an hour


def watch_fleet(alarms: Alarms, fleet: StateMachine, settings: StageSettings, log_metrics: LogMetrics) -> None:
    """Watch fleet runs; that they fail as a whole is watched with the executions of the calculation."""
    hours = settings.nightly_hours
    meaning = Meaning(
        f"A fleet run has taken more than {hours} hours.",
        "the stage's `nightly_hours`, after which somebody waits for the night's results.",
        "fleet-duration",
    )
    duration = fleet.state_machine.metric_time(statistic="Maximum", period=FIVE_MINUTES)
    alarms.add("FleetDuration", duration, hours * _MILLISECONDS, meaning)
    failed = cloudwatch.MathExpression(
        expression=f"IF(failed > {FAILED_AT_LEAST}, 100 * failed / entities, 0)",
        using_metrics={
            "failed": log_metrics.metric("FleetFailed", FIVE_MINUTES),
            "entities": log_metrics.metric("FleetEntities", FIVE_MINUTES),
        },
        label="Percent of a run that could not be calculated, of more than a few",
        period=FIVE_MINUTES,
    )
    meaning = Meaning(
        "Many portfolios of a fleet run could not be calculated.",
        f"{FAILED_PERCENT} % of them and more than {FAILED_AT_LEAST}: single ones have wrong data, and are in the run's"
        " message.",
        "fleet-failures",
    )
    alarms.add("FleetFailures", failed, FAILED_PERCENT, meaning)


def watch_account(alarms: Alarms, settings: StageSettings) -> None:
    """Watch how much is left of what everything in the account and region shares."""
    quota = settings.account_concurrency
    meaning = Meaning(
        "Lambda has little room left in this account and region, whoever uses it.",
        f"{LIMIT_PERCENT} % of the stage's `account_concurrency`, {quota}, in each of three periods of five minutes.",
        "account-concurrency",
    )
    claimed = cloudwatch.Metric(
        namespace="AWS/Lambda",
        # Not ConcurrentExecutions: what is reserved or provisioned is gone for all others, used or not.
        metric_name="ClaimedAccountConcurrency",
        statistic="Maximum",
        period=FIVE_MINUTES,
    )
    alarms.add("AccountConcurrency", claimed, LIMIT_PERCENT * quota // 100, meaning, periods=3)
    meaning = Meaning(
        "Fleet runs wait until others of this account and region have ended.",
        "any in each of three periods of five minutes.",
        "map-runs",
    )
    alarms.add("MapRunBacklog", _map_runs("ApproximateMapRunBacklogSize"), 0, meaning, periods=3)
    share = cloudwatch.MathExpression(
        expression="100 * open / limit",
        using_metrics={"open": _map_runs("ApproximateOpenMapRunCount"), "limit": _map_runs("OpenMapRunLimit")},
        label="Percent of the Map Runs that may be open",
        period=FIVE_MINUTES,
    )
    meaning = Meaning(
        "Step Functions will soon start no more fleet runs in this account and region.",
        f"{LIMIT_PERCENT} % of the Map Runs that may be open at a time, 1,000 at first.",
        "map-runs",
    )
    alarms.add("OpenMapRuns", share, LIMIT_PERCENT, meaning)


def _map_runs(name: str) -> cloudwatch.Metric:
    """Return a metric of the account's Map Runs: they have no dimension that would say whose they are."""
    return cloudwatch.Metric(namespace="AWS/States", metric_name=name, statistic="Maximum", period=FIVE_MINUTES)
