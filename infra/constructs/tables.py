"""The tables: results by entity and date, the books, and what was calculated before."""

from collections.abc import Sequence

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from common.models.entity_table import ACCOUNT_INDEX, CLIENT_INDEX, INDEXED, projected
from infra.constructs.encryption import READ, WRITE_TABLE, EncryptionKey, allow, removal_policy
from infra.settings import StageSettings

_WRITES = frozenset({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"})
_S = dynamodb.AttributeType.STRING

__all__ = ["ACCOUNT_INDEX", "CLIENT_INDEX", "Table", "Tables"]


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

    def add_index(self, name: str, partition_key: str, sort_key: str, attributes: Sequence[str]) -> None:
        """Add an index that holds the keys and `attributes`."""
        self.table.add_global_secondary_index(
            index_name=name,
            partition_key=dynamodb.Attribute(name=partition_key, type=_S),
            sort_key=dynamodb.Attribute(name=sort_key, type=_S),
            projection_type=dynamodb.ProjectionType.INCLUDE,
            non_key_attributes=list(attributes),
        )

    def allow(
        self,
        grantee: iam.IGrantable,
        actions: Sequence[str],
        *,
        index: str | None = None,
        partitions: Sequence[str] = (),
    ) -> None:
        """Let `grantee` call `actions` on the table, or on one of its indexes, or on some of its partitions.

        What a transaction does is permitted by the actions on its items.
        """
        named = [f"dynamodb:{action}" for action in actions]
        resource = self.table.table_arn if index is None else f"{self.table.table_arn}/index/{index}"
        only = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": list(partitions)}} if partitions else None
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
        for index, attribute in INDEXED.items():
            self.entities.add_index(index, attribute, "entity_type", projected(index))
        self.cache = Table(self, "Cache", settings, encryption, partition_key="id", time_to_live="expires_at")
