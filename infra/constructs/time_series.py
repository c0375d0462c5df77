"""The time series on Timestream for LiveAnalytics, which is closed to accounts that did not use it before June 2025."""

from typing import Final

from aws_cdk import CfnResource
from aws_cdk import aws_iam as iam
from aws_cdk import aws_timestream as timestream
from constructs import Construct

from infra.constructs.buckets import AccessLogs, PrivateBucket
from infra.constructs.encryption import EncryptionKey, allow, removal_policy
from infra.constructs.findings import acknowledge
from infra.settings import StageSettings

MEMORY_STORE_HOURS: Final = 24
MAGNETIC_STORE_DAYS: Final = 73_000  # the most there is; the specification's 365 would lose what a history is asked for
_REJECTED_DAYS: Final = 90


class TimeSeries(Construct):
    """The specification's database and table.

    Attributes
    ----------
    database, table
        Their names.
    """

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings) -> None:
        super().__init__(scope, construct_id)
        encryption = EncryptionKey(self, "Encryption", settings, what="the time series")
        self._rejected = PrivateBucket(
            self,
            "Rejected",
            settings,
            encryption,
            AccessLogs(self, "AccessLogs", settings),
            expire_days={"": _REJECTED_DAYS},
        )
        database = timestream.CfnDatabase(
            self, "Database", database_name=settings.time_series_database, kms_key_id=encryption.key.key_arn
        )
        # Python's property classes render the names of these properties in lower case, which Timestream refuses.
        table = timestream.CfnTable(
            self,
            "Table",
            database_name=settings.time_series_database,
            table_name=settings.time_series_table,
            retention_properties={
                "MemoryStoreRetentionPeriodInHours": str(MEMORY_STORE_HOURS),
                "MagneticStoreRetentionPeriodInDays": str(MAGNETIC_STORE_DAYS),
            },
            # A result is dated by its calculation date: almost every one is older than the memory store takes.
            magnetic_store_write_properties={
                "EnableMagneticStoreWrites": True,
                "MagneticStoreRejectedDataLocation": {
                    "S3Configuration": {
                        "BucketName": self._rejected.name,
                        "EncryptionOption": "SSE_KMS",
                        "KmsKeyId": encryption.key.key_arn,
                    }
                },
            },
        )
        table.add_resource_dependency(database)
        for resource in (database, table):
            assert isinstance(resource, CfnResource)
            resource.apply_removal_policy(removal_policy(settings))
            acknowledge(
                resource,
                "The specification's store, for accounts that have it; `time_series_store` chooses to do without.",
                "CloudFormation-Validate::W3697",
            )
        self.database = settings.time_series_database
        self.table = settings.time_series_table
        self._table_arn = table.attr_arn

    def allow_write(self, role: iam.Role) -> None:
        """Let `role` write records."""
        allow(role, ["timestream:WriteRecords"], [self._table_arn])
        # AWS asks this of whoever has Timestream report to a bucket.
        self._rejected.allow_put(role, "")
        allow(role, ["s3:GetBucketAcl"], [self._rejected.bucket.bucket_arn])
        self._allow_endpoints(role)

    def allow_select(self, role: iam.Role) -> None:
        """Let `role` query the table."""
        allow(role, ["timestream:Select"], [self._table_arn])
        self._allow_endpoints(role)

    def _allow_endpoints(self, role: iam.Role) -> None:
        allow(role, ["timestream:DescribeEndpoints"], ["*"])
        acknowledge(
            role,
            "The SDK asks Timestream for its endpoints, and DescribeEndpoints knows no resource.",
            "AwsSolutions-IAM5[Resource::*]",
        )
