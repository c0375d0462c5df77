"""Buckets: what is too large for a state, what clients upload, and who read either."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.encryption import READ, WRITE, EncryptionKey, allow, removal_policy
from infra.constructs.findings import acknowledge
from infra.settings import StageSettings

# An execution can be redriven for 14 days, and then reads again what it was begun with.
REDRIVE_DAYS: Final = 14
# For so long the name of an execution is not free again, and a repeated request finds what it was.
EXECUTION_DAYS: Final = 90
_UPLOAD_PART_DAYS: Final = 7


class AccessLogs(Construct):
    """Who read and wrote the other buckets."""

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings) -> None:
        super().__init__(scope, construct_id)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            # Logs are delivered to no bucket with a key of the customer's own.
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(settings.log_retention_days))],
            removal_policy=removal_policy(settings),
        )


class PrivateBucket(Construct):
    """An encrypted bucket that only our functions reach, over TLS.

    Parameters
    ----------
    expire_days
        How long objects are kept, by their prefix; what no prefix names is kept.
    versioned
        Whether an object that is replaced is kept for as long as an execution's name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        encryption: EncryptionKey,
        access_logs: AccessLogs,
        *,
        expire_days: Mapping[str, int],
        versioned: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=encryption.key,
            bucket_key_enabled=True,  # one call of KMS for many objects
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=versioned,
            server_access_logs_bucket=access_logs.bucket,
            server_access_logs_prefix=f"{construct_id.lower()}/",
            lifecycle_rules=[
                *(
                    s3.LifecycleRule(
                        id=prefix.strip("/") or "all", prefix=prefix or None, expiration=Duration.days(days)
                    )
                    for prefix, days in expire_days.items()
                ),
                s3.LifecycleRule(
                    id="leftovers",
                    abort_incomplete_multipart_upload_after=Duration.days(_UPLOAD_PART_DAYS),
                    noncurrent_version_expiration=Duration.days(EXECUTION_DAYS) if versioned else None,
                ),
            ],
            removal_policy=removal_policy(settings),
        )

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self.bucket.bucket_name

    def allow_get(self, role: iam.Role, *prefixes: str, versions: bool = False) -> None:
        """Let `role`, of another stack, read objects below `prefixes`."""
        actions = ["s3:GetObject", *(["s3:GetObjectVersion"] if versions else [])]
        self._allow(role, actions, prefixes, READ)

    def allow_put(self, role: iam.Role, *prefixes: str, parts: bool = False) -> None:
        """Let `role`, of another stack, write objects below `prefixes`; long ones in parts."""
        actions = ["s3:PutObject", *(["s3:AbortMultipartUpload"] if parts else [])]
        # The parts are decrypted where they are put together.
        self._allow(role, actions, prefixes, [*READ, *WRITE] if parts else WRITE)

    def allow_list(self, role: iam.Role, *prefixes: str) -> None:
        """Let `role` see which objects there are below `prefixes`."""
        below = [f"{prefix}*" for prefix in prefixes]
        allow(role, ["s3:ListBucket"], [self.bucket.bucket_arn], {"StringLike": {"s3:prefix": below}})

    def _allow(self, role: iam.IRole, actions: Sequence[str], prefixes: Sequence[str], key: Sequence[str]) -> None:
        allow(role, actions, [self.bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes])
        self._encryption.allow(role, "s3", key)
        # To a role of another stack the bucket is the value that its own stack exports, and cdk-nag has it so.
        stack = Stack.of(self)
        exported = stack.resolve(stack.export_value(self.bucket.bucket_arn))["Fn::ImportValue"]
        acknowledge(
            role,
            "The names of objects are made of their content, or are a client's choice; the prefix says what they are.",
            *(f"AwsSolutions-IAM5[Resource::{exported}/{prefix}*]" for prefix in prefixes),
        )


class PayloadBucket(PrivateBucket):
    """What does not fit into a state: work items, results, inputs; and why a manifest was refused."""

    WORK: Final = "work/"
    RESULTS: Final = "results/"
    INPUTS: Final = "inputs/"
    REJECTED: Final = "rejected/"
    FLEET: Final = "fleet/"
    FLEETS: Final = (FLEET, f"{INPUTS}*/fleet/")
    """Where a fleet run has its batches, the platform's and a client's."""
    RUN_RESULTS: Final = tuple(f"{fleet}*/results/" for fleet in FLEETS)
    """Where the batches' results are written to, in files for hundreds of them."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        encryption: EncryptionKey,
        access_logs: AccessLogs,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            settings,
            encryption,
            access_logs,
            expire_days={
                self.WORK: REDRIVE_DAYS + 1,
                self.RESULTS: REDRIVE_DAYS + 1,
                self.INPUTS: EXECUTION_DAYS,
                self.FLEET: EXECUTION_DAYS,
                self.REJECTED: EXECUTION_DAYS,
            },
        )

    def allow_map_run(self, role: iam.IRole) -> None:
        """Let the `role` of a state machine read a list of items, and write down what became of each."""
        self._allow(role, ["s3:GetObject"], self.FLEETS, READ)
        written = ["s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
        self._allow(role, written, self.RUN_RESULTS, [*READ, *WRITE])


class UploadBucket(PrivateBucket):
    """What clients upload, below `manifests/<client>/` and `data/<client>/`; EventBridge hears of each object."""

    MANIFESTS: Final = "manifests/"
    DATA: Final = "data/"

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        encryption: EncryptionKey,
        access_logs: AccessLogs,
    ) -> None:
        # A manifest is read in the version that its event names.
        super().__init__(scope, construct_id, settings, encryption, access_logs, expire_days={}, versioned=True)
        resource = self.bucket.node.default_child
        assert isinstance(resource, s3.CfnBucket)
        # `event_bridge_enabled` would do this through a function of CDK's own.
        resource.add_property_override("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled", True)
