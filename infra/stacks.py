"""The stacks, each a few constructs and who may do what: data that stays, time series, workflow, ways in, alarms."""

from aws_cdk import Annotations, CfnOutput, Stack
from constructs import Construct

from common.models.entity_table import MARK_PARTITIONS
from infra.constructs.alarms import Alarms
from infra.constructs.api import Api
from infra.constructs.buckets import AccessLogs, PayloadBucket, UploadBucket
from infra.constructs.dashboards import BusinessDashboard, OperatorDashboard
from infra.constructs.encryption import EncryptionKey
from infra.constructs.failures import FailedExecutions
from infra.constructs.fleet_alarms import watch_account, watch_fleet
from infra.constructs.functions import Function
from infra.constructs.log_metrics import LogMetrics
from infra.constructs.notifications import Notifications
from infra.constructs.queues import PrivateQueue
from infra.constructs.schedules import Schedule
from infra.constructs.signing_keys import SigningKeys
from infra.constructs.state_machine import CalculationStateMachine, FleetStateMachine
from infra.constructs.store_alarms import watch_tables, watch_time_series
from infra.constructs.tables import ACCOUNT_INDEX, CLIENT_INDEX, Tables
from infra.constructs.time_series import TimeSeries
from infra.constructs.transaction_queue import TransactionQueue
from infra.constructs.uploads import ManifestRule
from infra.nightly_slots import nightly_slots
from infra.settings import StageSettings
from workflows.registry import TASKS


class StorageStack(Stack):
    """What has to outlive every other stack: tables and buckets."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Performance calculator: results, books, cache, payloads, uploads",
            termination_protection=settings.keep_data,
        )
        encryption = EncryptionKey(self, "Encryption", settings, what="tables and buckets")
        access_logs = AccessLogs(self, "AccessLogs", settings)
        self.tables = Tables(self, "Tables", settings, encryption)
        self.payloads = PayloadBucket(self, "Payloads", settings, encryption, access_logs)
        self.uploads = UploadBucket(self, "Uploads", settings, encryption, access_logs)
        self.values = {
            "DYNAMODB_TABLE": self.tables.results.name,
            "ENTITY_TABLE": self.tables.entities.name,
            "CACHE_TABLE": self.tables.cache.name,
            "CACHE_TTL_SECONDS": str(settings.cache_ttl_seconds),
            "PAYLOAD_BUCKET": self.payloads.name,
            "UPLOAD_BUCKET": self.uploads.name,
        }
        CfnOutput(self, "UploadBucket", value=self.uploads.name, description="Bucket for manifests and data")
        # `workflows.deployed` finds a stage by the outputs of its stacks.
        CfnOutput(self, "ResultTable", value=self.tables.results.name, description="Table of results")
        CfnOutput(self, "EntityTable", value=self.tables.entities.name, description="Table of the books")
        CfnOutput(self, "PayloadBucket", value=self.payloads.name, description="Bucket for the data of requests")


class TimeSeriesStack(Stack):
    """Timestream, by itself: an account that has none can leave it out."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Performance calculator: time series in Timestream for LiveAnalytics",
            termination_protection=settings.keep_data,
        )
        self.time_series = TimeSeries(self, "TimeSeries", settings)
        self.values = {
            "TIMESTREAM_DATABASE": self.time_series.database,
            "TIMESTREAM_TABLE": self.time_series.table,
        }
        CfnOutput(self, "TimeSeriesDatabase", value=self.time_series.database, description="Database of Timestream")
        CfnOutput(self, "TimeSeriesTable", value=self.time_series.table, description="Table of the time series")


class WorkflowStack(Stack):
    """The calculation and the fleet run: their functions, their state machines, and who hears of their failures."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        storage: StorageStack,
        time_series: TimeSeriesStack | None,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Performance calculator: functions and state machines",
        )
        encryption = EncryptionKey(
            self,
            "Encryption",
            settings,
            what="queues and notifications of the workflow",
            services=["events.amazonaws.com"],
        )
        values = {**storage.values, **(time_series.values if time_series else {})}
        self.functions = {name: Function(self, name, settings, values) for name in TASKS}
        self.backfill = PrivateQueue(
            self,
            "Backfill",
            encryption,
            ends_here="Nothing receives from it but a person: a message says which results the time series lacks.",
        )
        self.undelivered = PrivateQueue(
            self, "Undelivered", encryption, ends_here="It is where notifications end that could not be delivered."
        )
        self.notifications = Notifications(self, "Notifications", settings, encryption)
        self.calculation = CalculationStateMachine(
            self, "Calculation", settings, functions=self.functions, backfill=self.backfill
        )
        self.fleet = FleetStateMachine(
            self,
            "Fleet",
            settings,
            functions=self.functions,
            backfill=self.backfill,
            payloads=storage.payloads,
            notifications=self.notifications,
        )
        FailedExecutions(
            self,
            "FailedExecutions",
            machines=[self.calculation, self.fleet],
            notifications=self.notifications,
            undelivered=self.undelivered,
        )
        self._allow(storage, time_series)
        CfnOutput(self, "StateMachineArn", value=self.calculation.alias.attr_arn, description="Where executions start")
        CfnOutput(self, "FleetStateMachineArn", value=self.fleet.alias.attr_arn, description="Where fleet runs start")

    def _allow(self, storage: StorageStack, time_series: TimeSeriesStack | None) -> None:
        tables, payloads, uploads = storage.tables, storage.payloads, storage.uploads
        work, inputs, results = payloads.WORK, payloads.INPUTS, payloads.RESULTS

        validate = self.functions["ValidateInput"].role
        payloads.allow_get(validate, inputs, payloads.FLEET)
        payloads.allow_put(validate, work)
        uploads.allow_get(validate, uploads.MANIFESTS, uploads.DATA)
        tables.entities.allow(validate, ["BatchGetItem"])
        tables.entities.allow(validate, ["Query"], index=CLIENT_INDEX)

        calculate = self.functions["CalculatePortfolio"].role
        payloads.allow_get(calculate, work, inputs)
        payloads.allow_put(calculate, results)
        uploads.allow_get(calculate, uploads.MANIFESTS, uploads.DATA)
        tables.entities.allow(calculate, ["BatchGetItem", "Query"])
        tables.entities.allow(calculate, ["Query"], index=ACCOUNT_INDEX)
        tables.cache.allow(calculate, ["GetItem", "PutItem"])

        rows = self.functions["PersistDynamoDB"].role
        payloads.allow_get(rows, results)
        tables.results.allow(rows, ["UpdateItem"])

        series = self.functions["PersistTimestream"].role
        payloads.allow_get(series, results)
        if time_series:
            time_series.time_series.allow_write(series)

        plan = self.functions["PlanBatches"].role
        payloads.allow_get(plan, inputs, payloads.FLEET)
        payloads.allow_put(plan, inputs, payloads.FLEET, parts=True)
        uploads.allow_get(plan, uploads.MANIFESTS, uploads.DATA)
        tables.entities.allow(plan, ["BatchGetItem"])
        tables.entities.allow(plan, ["Query", "Scan"], index=CLIENT_INDEX)

        summary = self.functions["SummariseRun"].role
        payloads.allow_list(summary, *payloads.FLEETS)
        payloads.allow_get(summary, *payloads.FLEETS)
        payloads.allow_put(summary, *payloads.FLEETS, parts=True)


class EntryStack(Stack):
    """The ways in: API, queue, schedules, uploads."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        storage: StorageStack,
        time_series: TimeSeriesStack | None,
        workflow: WorkflowStack,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Performance calculator: API, queue, schedules, uploads",
        )
        encryption = EncryptionKey(
            self, "Encryption", settings, what="queues and signing keys", services=["events.amazonaws.com"]
        )
        self.signing_keys = SigningKeys(self, "SigningKeys", settings, encryption)
        self.transactions = TransactionQueue(self, "Transactions", encryption)
        self.undelivered = PrivateQueue(
            self, "Undelivered", encryption, ends_here="It is where events end that no function could handle."
        )
        values = {
            **storage.values,
            **(time_series.values if time_series else {}),
            "STATE_MACHINE_ARN": workflow.calculation.alias.attr_arn,
            "FLEET_STATE_MACHINE_ARN": workflow.fleet.alias.attr_arn,
            "TRANSACTION_QUEUE_URL": self.transactions.messages.url,
            "JWT_SECRET_ID": self.signing_keys.secret_id,
            "JWT_ISSUER": settings.jwt_issuer,
            "JWT_AUDIENCE": settings.jwt_audience,
            "BUSINESS_CALENDAR": settings.business_calendar,
            "BUSINESS_TIMEZONE": settings.time_zone,
        }
        called_and_answered = ("Api", "Authorizer", "TransactionQueue")
        told = ("NightlySchedule", "ManifestUpload", "Recalculation")
        self.functions = {
            **{name: Function(self, name, settings, values) for name in called_and_answered},
            **{name: Function(self, name, settings, values, undelivered=self.undelivered) for name in told},
        }
        self._allow(storage, time_series, workflow)
        self.transactions.feed(self.functions["TransactionQueue"])
        self.api = Api(
            self, "Gateway", settings, handler=self.functions["Api"], authorizer=self.functions["Authorizer"]
        )
        CfnOutput(self, "ApiEndpoint", value=self.api.api.url, description="API Gateway endpoint URL")
        self.nightly = Schedule(
            self,
            "Nightly",
            description="Everything of all clients, for the last business day",
            expression=settings.nightly_cron,
            time_zone=settings.time_zone,
            function=self.functions["NightlySchedule"],
            undelivered=self.undelivered,
            event={
                "entity_types": ["portfolio", "account"],
                "batch_size": settings.nightly_batch_size,
                "max_concurrent_batches": settings.nightly_concurrent_batches,
                "max_concurrency": settings.nightly_concurrency,
            },
        )
        self.sweep = Schedule(
            self,
            "Sweep",
            description="What late transactions have made wrong",
            expression=_rate(settings.recalculation_minutes),
            function=self.functions["Recalculation"],
            undelivered=self.undelivered,
        )
        self.manifests = ManifestRule(
            self,
            "Manifests",
            uploads=storage.uploads,
            function=self.functions["ManifestUpload"],
            undelivered=self.undelivered,
        )

    def _allow(self, storage: StorageStack, time_series: TimeSeriesStack | None, workflow: WorkflowStack) -> None:
        tables, payloads, uploads = storage.tables, storage.payloads, storage.uploads
        calculation, fleet = workflow.calculation, workflow.fleet

        api = self.functions["Api"].role
        calculation.allow_start(api)
        payloads.allow_put(api, payloads.INPUTS)
        tables.entities.allow(api, ["BatchGetItem"])
        tables.results.allow(api, ["BatchGetItem", "Query"])
        self.transactions.messages.allow_send(api)
        if time_series:
            time_series.time_series.allow_select(api)

        self.signing_keys.allow_read(self.functions["Authorizer"].role)

        tables.entities.allow(self.functions["TransactionQueue"].role, ["BatchGetItem", "PutItem", "UpdateItem"])

        fleet.allow_start(self.functions["NightlySchedule"].role)

        manifests = self.functions["ManifestUpload"].role
        calculation.allow_start(manifests)
        fleet.allow_start(manifests)
        uploads.allow_get(manifests, uploads.MANIFESTS, versions=True)
        payloads.allow_put(manifests, payloads.INPUTS, payloads.REJECTED)

        sweep = self.functions["Recalculation"].role
        calculation.allow_start(sweep)
        calculation.allow_list(sweep)
        fleet.allow_list(sweep)
        tables.entities.allow(sweep, ["BatchGetItem"])
        # Of the books it changes the marks alone.
        tables.entities.allow(sweep, ["Query", "UpdateItem", "DeleteItem"], partitions=MARK_PARTITIONS)
        tables.results.allow(sweep, ["Query"])


class MonitoringStack(Stack):
    """Who is called for what, and what there is to look at."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        *,
        storage: StorageStack,
        workflow: WorkflowStack,
        entry: EntryStack,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Performance calculator: alarms and dashboards",
        )
        functions = {**workflow.functions, **entry.functions}
        log_metrics = LogMetrics(self, "LogMetrics", settings, functions)
        self.alarms = Alarms(self, "Alarms", settings, workflow.notifications.topic, log_metrics)
        self.alarms.watch_api(entry.api.api)
        self.alarms.watch_executions(workflow.calculation, "Executions", "the calculation", "executions")
        self.alarms.watch_executions(workflow.fleet, "FleetExecutions", "the fleet run", "fleet-executions")
        self.alarms.watch_functions(functions)
        self.alarms.watch_queues(
            entry.transactions.messages,
            dead_letters=entry.transactions.dead_letters,
            backfill=workflow.backfill,
            undelivered={"UndeliveredEvents": entry.undelivered, "UndeliveredNotifications": workflow.undelivered},
        )
        watch_tables(self.alarms, storage.tables)
        if settings.time_series_store == "timestream":
            watch_time_series(self.alarms)
        if slots := nightly_slots(settings.nightly_cron, settings.time_zone):
            self.alarms.watch_nightly(functions["NightlySchedule"], slots)
        else:
            Annotations.of(self).add_warning_v2(
                f"{settings.prefix}:no-nightly-alarm",
                f"No alarm says that a night was not begun: {settings.nightly_cron} is no time of weekdays.",
            )
        self.alarms.watch_recalculation()
        watch_fleet(self.alarms, workflow.fleet, settings, log_metrics)
        watch_account(self.alarms, settings)
        OperatorDashboard(
            self,
            "Operations",
            settings,
            alarms=self.alarms.all,
            machines={"calculation": workflow.calculation, "fleet run": workflow.fleet},
            functions=functions,
            queues={
                "transactions": entry.transactions.messages,
                "dead letters": entry.transactions.dead_letters,
                "undelivered events": entry.undelivered,
                "undelivered notifications": workflow.undelivered,
                "backfill": workflow.backfill,
            },
            tables=storage.tables,
            api=entry.api.api,
        )
        BusinessDashboard(self, "Business", settings, log_metrics)


def _rate(minutes: int) -> str:
    return "rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)"
