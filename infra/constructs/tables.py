"""The tables: results by entity and date, the books, and what was calculated before."""

from collections.abc import Sequence

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.constructs.encryption import READ, WRITE_TABLE, EncryptionKey, allow, removal_policy
from infra.settings import StageSettings

_WRITES = frozenset({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"})
_S = dynamodb.AttributeType.STRING

CLIENT_INDEX, ACCOUNT_INDEX = "ClientIndex", "AccountIndex"
MARKS = "#recalculation"
"""Partition of the book's marks: what the sweep may change, and all it may change."""


class Table(Construct):
    """A table on demand, encrypted, with point-in-time recovery."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StageSettings,
        encryption: EncryptionKey,
        *,
        partition_key: str,
        sort_key: str | None = None,
        time_to_live: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._encryption = encryption
        # TableV2 takes no customer-managed key in a stack without a region.
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name=partition_key, type=_S),
            sort_key=dynamodb.Attribute(name=sort_key, type=_S) if sort_key else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=encryption.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=time_to_live,
            deletion_protection=settings.keep_data,
            removal_policy=removal_policy(settings),
        )

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.table_name

    def add_index(self, name: str, partition_key: str, sort_key: str) -> None:
        """Add an index that holds whole items."""
        self.table.add_global_secondary_index(
            index_name=name,
            partition_key=dynamodb.Attribute(name=partition_key, type=_S),
            sort_key=dynamodb.Attribute(name=sort_key, type=_S),
            projection_type=dynamodb.ProjectionType.ALL,
        )

    def allow(
        self,
        grantee: iam.IGrantable,
        actions: Sequence[str],
        *,
        index: str | None = None,
        partition: str | None = None,
    ) -> None:
        """Let `grantee` call `actions` on the table, or on one of its indexes, or on one of its partitions.

        What a transaction does is permitted by the actions on its items.
        """
        named = [f"dynamodb:{action}" for action in actions]
        resource = self.table.table_arn if index is None else f"{self.table.table_arn}/index/{index}"
        only = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [partition]}} if partition else None
        allow(grantee, named, [resource], only)
        self._encryption.allow(grantee, "dynamodb", WRITE_TABLE if _WRITES & set(named) else READ)


class Tables(Construct):
    """The three tables of the calculation.

    Attributes
    ----------
    results
        The specification's Performance Metrics table.
    entities
        The books: the specification's entity table.
    cache
        What was calculated before. The service removes what has expired.
    """

    def __init__(self, scope: Construct, construct_id: str, settings: StageSettings, encryption: EncryptionKey) -> None:
        super().__init__(scope, construct_id)
        self.results = Table(self, "Results", settings, encryption, partition_key="id", sort_key="calculation_date")
        self.entities = Table(self, "Entities", settings, encryption, partition_key="id", sort_key="entity_type")
        self.entities.add_index(CLIENT_INDEX, "client_id", "entity_type")
        self.entities.add_index(ACCOUNT_INDEX, "account_id", "entity_type")
        self.cache = Table(self, "Cache", settings, encryption, partition_key="id", time_to_live="expires_at")
