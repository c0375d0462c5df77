"""Keys of the customer's own, and what it takes to use data that is encrypted with one."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.settings import StageSettings

# What a service asks of the key in the caller's name. CDK's own grants would be `kms:ReEncrypt*` and the like.
READ: Final = ("kms:Decrypt", "kms:DescribeKey")
WRITE: Final = ("kms:GenerateDataKey",)
# DynamoDB encrypts a table's key anew where it wants to, in the name of who writes.
WRITE_TABLE: Final = (*READ, *WRITE, "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo")


class EncryptionKey(Construct):
    """A key that is rotated each year. The account's policies say who may use it, each through one service alone.

    Parameters
    ----------
    what
        What it encrypts, for the console.
    services
        AWS services that encrypt on their own account, such as EventBridge handing a message to a queue.
    """

    def __init__(
        self, scope: Construct, construct_id: str, settings: StageSettings, *, what: str, services: Sequence[str] = ()
    ) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(
            self,
            "Key",
            description=f"{settings.prefix}: {what}",
            enable_key_rotation=True,
            pending_window=Duration.days(30 if settings.keep_data else 7),
            removal_policy=removal_policy(settings),
        )
        for service in services:
            self.key.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal(service)],
                    actions=["kms:Decrypt", "kms:GenerateDataKey"],
                    resources=["*"],  # in a key's policy: the key itself
                    conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
                )
            )

    def allow(self, grantee: iam.IGrantable, service: str, actions: Sequence[str]) -> None:
        """Let `grantee` use the key through `service`, as `kms:ViaService` names it, and not by itself."""
        stack = Stack.of(self)
        allow(
            grantee,
            actions,
            [self.key.key_arn],
            {"StringEquals": {"kms:ViaService": f"{service}.{stack.region}.amazonaws.com"}},
        )


def allow(
    grantee: iam.IGrantable,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Let `grantee` do exactly these things with exactly these resources."""
    grantee.grant_principal.add_to_principal_policy(
        iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
    )


def removal_policy(settings: StageSettings) -> RemovalPolicy:
    """Return what becomes of data when its stack goes."""
    return RemovalPolicy.RETAIN if settings.keep_data else RemovalPolicy.DESTROY
