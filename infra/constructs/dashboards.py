"""Dashboards: one for who keeps it running, one for who wants to know what it has done."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.api import STAGE
from infra.constructs.functions import Function
from infra.constructs.log_metrics import LogMetrics
from infra.constructs.queues import PrivateQueue
from infra.constructs.state_machine import StateMachine
from infra.constructs.tables import Tables
from infra.settings import StageSettings

_FIVE_MINUTES: Final = Duration.minutes(5)
_DAY: Final = Duration.days(1)
_HALF: Final = 12
_WHOLE: Final = 24


class OperatorDashboard(Construct):
    """Alarms, executions, functions, queues, tables and the API."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        alarms: Sequence[cloudwatch.Alarm],
        machines: Mapping[str, StateMachine],
        functions: Mapping[str, Function],
        queues: Mapping[str, PrivateQueue],
        tables: Tables,
        api: apigateway.RestApi,
    ) -> None:
        super().__init__(scope, construct_id)
        dashboard = _dashboard(self, f"{settings.prefix}-operations", Duration.hours(12))
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=_WHOLE, height=8))
        for name, each in machines.items():
            machine = each.state_machine
            dashboard.add_widgets(
                _graph(
                    f"Executions of the {name}",
                    machine.metric_started(period=_FIVE_MINUTES),
                    machine.metric_succeeded(period=_FIVE_MINUTES),
                    machine.metric_failed(period=_FIVE_MINUTES),
                    machine.metric_timed_out(period=_FIVE_MINUTES),
                    machine.metric_aborted(period=_FIVE_MINUTES),
                    machine.metric_throttled(period=_FIVE_MINUTES),
                ),
                _graph(
                    f"Duration of the {name}, ms",
                    machine.metric_time(period=_FIVE_MINUTES, statistic="p50", label="p50"),
                    machine.metric_time(period=_FIVE_MINUTES, statistic="p99", label="p99"),
                ),
            )
        dashboard.add_widgets(
            _account(
                "Concurrency of Lambda in the account",
                "AWS/Lambda",
                "ClaimedAccountConcurrency",
                "ConcurrentExecutions",
            ),
            _account(
                "Map Runs of the account", "AWS/States", "ApproximateOpenMapRunCount", "ApproximateMapRunBacklogSize"
            ),
        )

        def of_functions(title: str, metric: Callable[[Function, str], cloudwatch.Metric]) -> cloudwatch.GraphWidget:
            return _graph(title, *(metric(each, name) for name, each in functions.items()))

        dashboard.add_widgets(
            of_functions(
                "Calls", lambda each, name: each.function.metric_invocations(period=_FIVE_MINUTES, label=name)
            ),
            of_functions(
                "Duration of calls (p99), ms",
                lambda each, name: each.function.metric_duration(period=_FIVE_MINUTES, statistic="p99", label=name),
            ),
        )
        dashboard.add_widgets(
            of_functions("Errors", lambda each, name: each.function.metric_errors(period=_FIVE_MINUTES, label=name)),
            of_functions(
                "Throttles", lambda each, name: each.function.metric_throttles(period=_FIVE_MINUTES, label=name)
            ),
        )
        dashboard.add_widgets(
            _graph(
                "Messages in queues",
                *(
                    each.queue.metric_approximate_number_of_messages_visible(
                        period=_FIVE_MINUTES, statistic="Maximum", label=name
                    )
                    for name, each in queues.items()
                ),
            ),
            _graph(
                "Age of the oldest message, s",
                *(
                    each.queue.metric_approximate_age_of_oldest_message(
                        period=_FIVE_MINUTES, statistic="Maximum", label=name
                    )
                    for name, each in queues.items()
                ),
            ),
        )
        named = {"results": tables.results, "entities": tables.entities, "cache": tables.cache}

        def of_tables(title: str, *names: str) -> cloudwatch.GraphWidget:
            return _graph(
                title,
                *(
                    cloudwatch.Metric(
                        namespace="AWS/DynamoDB",
                        metric_name=metric,
                        dimensions_map={"TableName": table.name},
                        statistic="Sum",
                        period=_FIVE_MINUTES,
                        label=f"{name} {metric}",
                    )
                    for name, table in named.items()
                    for metric in names
                ),
            )

        dashboard.add_widgets(
            of_tables("Capacity of tables, units", "ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits"),
            of_tables("Throttles of tables", "ReadThrottleEvents", "WriteThrottleEvents"),
        )

        def of_api(name: str, statistic: str) -> cloudwatch.Metric:
            return cloudwatch.Metric(
                namespace="AWS/ApiGateway",
                metric_name=name,
                dimensions_map={"ApiName": api.rest_api_name, "Stage": STAGE},
                statistic=statistic,
                period=_FIVE_MINUTES,
                label=f"{name} {statistic}",
            )

        dashboard.add_widgets(
            _graph("Requests", of_api("Count", "Sum"), of_api("4XXError", "Sum"), of_api("5XXError", "Sum")),
            _graph("Latency of the API, ms", of_api("Latency", "p50"), of_api("Latency", "p99")),
        )


class BusinessDashboard(Construct):
    """What was calculated, a day at a time."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings, log_metrics: LogMetrics) -> None:
        super().__init__(scope, construct_id)
        dashboard = _dashboard(self, f"{settings.prefix}-business", Duration.days(30))

        def daily(title: str, *names: str) -> cloudwatch.GraphWidget:
            return cloudwatch.GraphWidget(
                title=title,
                left=[log_metrics.metric(name, _DAY) for name in names],
                view=cloudwatch.GraphWidgetView.BAR if len(names) == 1 else cloudwatch.GraphWidgetView.TIME_SERIES,
                stacked=len(names) > 1,
                width=_HALF,
            )

        dashboard.add_widgets(
            daily("Of the night, a UTC day", "NightlyCalculated", "NightlyCached"),
            daily("Of everybody, a UTC day", "PortfoliosCalculated", "PortfoliosCached", "PortfoliosFailed"),
        )
        dashboard.add_widgets(
            daily("Executions started and rows calculated again", "NightlyExecutions", "RecalculationRows"),
            daily("Not delivered as asked for", "PortfoliosFailed", "RecordsRejected"),
        )
        dashboard.add_widgets(daily("Of fleet runs, a UTC day", "FleetCalculated", "FleetFailed"))


def _dashboard(scope: Construct, name: str, interval: Duration) -> cloudwatch.Dashboard:
    return cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=name, default_interval=interval)


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=_HALF)


def _account(title: str, namespace: str, *names: str) -> cloudwatch.GraphWidget:
    """Return a graph of what has no dimensions: it is of everything in the account and region."""
    return _graph(
        title,
        *(
            cloudwatch.Metric(namespace=namespace, metric_name=name, statistic="Maximum", period=_FIVE_MINUTES)
            for name in names
        ),
    )
