"""Functions, as the registry describes them: each with a role of its own that may do nothing until it is allowed to."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import Annotations, Duration, RemovalPolicy, Size
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.constructs.encryption import allow
from infra.constructs.findings import acknowledge
from infra.constructs.queues import PrivateQueue
from infra.package_contents import PYTHON
from infra.packages import package_code
from infra.settings import StageSettings
from workflows.registry import FUNCTIONS

RUNTIME: Final = lambda_.Runtime(f"python{PYTHON}", lambda_.RuntimeFamily.PYTHON, supports_snap_start=True)
LIVE: Final = "live"
"""Alias that everything goes through: it keeps environments warm, and has snapshots, which `$LATEST` cannot.

Functions without either have it too. An execution keeps the ARNs that it was started with: a setting that made an alias
would take the permission away from those that run. And code and settings change at once; those of `$LATEST` change
one after the other.
"""

TIME_SERIES: Final = frozenset({"TIMESTREAM_DATABASE", "TIMESTREAM_TABLE"})
"""Variables that a deployment without a time series lacks."""

_ASYNC_RETRIES: Final = 2  # the most Lambda makes, a minute and two minutes after
_ASYNC_HOURS: Final = 2


class Function(Construct):
    """A function of the registry.

    Parameters
    ----------
    name
        As in `workflows.registry.FUNCTIONS`.
    values
        Of variables, more than it needs; it gets exactly those the registry names.
    undelivered
        Where events go that it could not handle, if it is called asynchronously.

    Attributes
    ----------
    function, alias, role, log_group
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        settings: StageSettings,
        values: Mapping[str, str],
        *,
        undelivered: PrivateQueue | None = None,
    ) -> None:
        super().__init__(scope, name)
        entry = FUNCTIONS[name]
        function_name = f"{settings.prefix}-{name}"
        self.log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{function_name}",
            retention=log_retention(settings),
            removal_policy=RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        allow(self.role, ["logs:CreateLogStream", "logs:PutLogEvents"], [self.log_group.log_group_arn])
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            description=f"{name} of {settings.prefix}",
            code=package_code(name),
            handler=entry.handler,
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            timeout=Duration.seconds(entry.timeout_seconds),
            memory_size=entry.memory_mb,
            ephemeral_storage_size=Size.mebibytes(entry.ephemeral_mb),
            environment=_environment(name, settings, values),
            reserved_concurrent_executions=settings.reserved_concurrency.get(name),
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if name in settings.snap_start else None,
            role=self.role,
            log_group=self.log_group,
            # In JSON format Lambda tells the function which level to log from.
            logging_format=lambda_.LoggingFormat.JSON,
            application_log_level_v2=lambda_.ApplicationLogLevel[settings.log_level],
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            tracing=lambda_.Tracing.ACTIVE,
        )
        Annotations.of(self.function).acknowledge_warning(
            "@aws-cdk/aws-lambda:snapStartRequirePublish", "What is called is a version, by its alias."
        )
        self.alias = lambda_.Alias(
            self,
            "Alias",
            alias_name=LIVE,
            # A version is gone when another has taken its place: to go back is to deploy what was there before.
            version=self.function.current_version,
            provisioned_concurrent_executions=settings.provisioned_concurrency.get(name),
        )
        acknowledge(
            self.role, "X-Ray takes segments, and knows no resource for them.", "AwsSolutions-IAM5[Resource::*]"
        )
        acknowledge(
            self.function,
            f"Packages are built, compiled and tested for Python {PYTHON}: a newer runtime is a change of those.",
            "AwsSolutions-L1",
        )
        if undelivered is not None:
            self._keep_undelivered(undelivered)

    @property
    def arn(self) -> str:
        """What is called: the ARN of the live version."""
        return self.alias.function_arn

    def _keep_undelivered(self, queue: PrivateQueue) -> None:
        """Keep events that failed after all retries; what calls a function asynchronously does not hear of them."""
        queue.allow_send(self.role)
        config = lambda_.CfnEventInvokeConfig(
            self,
            "Undelivered",
            function_name=self.function.function_name,
            qualifier=LIVE,
            maximum_retry_attempts=_ASYNC_RETRIES,
            maximum_event_age_in_seconds=_ASYNC_HOURS * 3600,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=queue.arn)
            ),
        )
        config.node.add_dependency(self.role, self.alias)


def log_retention(settings: StageSettings) -> logs.RetentionDays:
    """Return how long logs of a stage are kept."""
    return {
        7: logs.RetentionDays.ONE_WEEK,
        14: logs.RetentionDays.TWO_WEEKS,
        30: logs.RetentionDays.ONE_MONTH,
        90: logs.RetentionDays.THREE_MONTHS,
        180: logs.RetentionDays.SIX_MONTHS,
        365: logs.RetentionDays.ONE_YEAR,
        731: logs.RetentionDays.TWO_YEARS,
    }[settings.log_retention_days]


def _environment(name: str, settings: StageSettings, values: Mapping[str, str]) -> dict[str, str]:
    wanted = FUNCTIONS[name].environment
    if settings.time_series_store == "none":
        wanted = tuple(each for each in wanted if each not in TIME_SERIES)
    return {each: values[each] for each in wanted}
