"""Metrics that are read from the functions' JSON logs, where a service counts nothing of the kind."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.functions import Function
from infra.settings import StageSettings

FAILURES: Final = ("InvalidPortfolioError", "InputNotFoundError", "StoreError")
"""What the state machine catches as the failure of one portfolio."""
NIGHTLY: Final = "nightly"
"""The request id of the night's results, and of those that a sweep calculates again."""


class LogMetrics(Construct):
    """Filters on the functions' log groups; the messages are those of the handlers, most of level INFO."""

    def __init__(
        self, scope: Construct, construct_id: str, settings: StageSettings, functions: Mapping[str, Function]
    ) -> None:
        super().__init__(scope, construct_id)
        self._namespace = settings.prefix
        calculated = '{ ($.message = "CalculatePortfolio") && ($.cached IS FALSE)'
        cached = '{ ($.message = "CalculatePortfolio") && ($.cached IS TRUE)'
        nightly = f'($.request_id = "{NIGHTLY}")'
        failed = " || ".join(f'($.errorType = "{each}")' for each in FAILURES)
        filters = {
            "RecalculationFailing": (
                "Recalculation",
                '{ ($.message = "Recalculation") && ($.failing > 0) }',
                "$.failing",
            ),
            "RecalculationRows": ("Recalculation", '{ ($.message = "Recalculation") && ($.rows > 0) }', "$.rows"),
            "TokensRefused": ("Authorizer", '{ ($.message = "Authorizer") && ($.refused = "*") }', "1"),
            "PortfoliosCalculated": ("CalculatePortfolio", f"{calculated} }}", "1"),
            "PortfoliosCached": ("CalculatePortfolio", f"{cached} }}", "1"),
            "NightlyCalculated": ("CalculatePortfolio", f"{calculated} && {nightly} }}", "1"),
            "NightlyCached": ("CalculatePortfolio", f"{cached} && {nightly} }}", "1"),
            "PortfoliosFailed": ("CalculatePortfolio", f"{{ {failed} }}", "1"),
            "NightlyExecutions": (
                "NightlySchedule",
                '{ ($.message = "NightlySchedule") && ($.started IS TRUE) }',
                "1",
            ),
            **{
                f"Fleet{field.capitalize()}": (
                    "SummariseRun",
                    f'{{ ($.message = "SummariseRun") && ($.{field} > 0) }}',
                    f"$.{field}",
                )
                for field in ("entities", "calculated", "failed")
            },
            "RecordsRejected": ("PersistTimestream", '{ $.message = "RejectedRecord" }', "1"),
        }
        for name, (function, pattern, value) in filters.items():
            logs.MetricFilter(
                self,
                name,
                log_group=functions[function].log_group,
                filter_pattern=logs.FilterPattern.literal(pattern),
                metric_namespace=self._namespace,
                metric_name=name,
                metric_value=value,
            )

    def failing(self, period: Duration) -> cloudwatch.Metric:
        """Return how many marks sweeps have given up: each sweep counts them all anew."""
        return self.metric("RecalculationFailing", period, statistic="Maximum")

    def refused(self, period: Duration) -> cloudwatch.Metric:
        """Return how many tokens were refused."""
        return self.metric("TokensRefused", period)

    def metric(self, name: str, period: Duration, *, statistic: str = "Sum") -> cloudwatch.Metric:
        """Return the metric of a filter."""
        return cloudwatch.Metric(namespace=self._namespace, metric_name=name, statistic=statistic, period=period)
