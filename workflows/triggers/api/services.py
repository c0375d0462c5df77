"""What the API works with, and how a warm function comes by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from common.access import Buckets
from common.config import (
    BooksSettings,
    ExecutionSettings,
    PayloadSettings,
    QueueSettings,
    ResultStoreSettings,
    TimeSeriesSettings,
)
from common.stores.clients import INTERACTIVE
from common.stores.dynamodb import result_store
from common.stores.dynamodb_entities import entity_store
from common.stores.ports import EntityStore, PayloadStore, ResultStore
from common.stores.s3 import payload_store
from common.stores.timestream import time_series_reader
from common.warm import kept
from workflows.executions import Execution, execution_client
from workflows.triggers.api.history import TimeSeriesTable
from workflows.triggers.api.transaction_sender import TransactionSender, transaction_sender


class Executions(Protocol):
    """What of `ExecutionClient` the API uses."""

    def start_once(self, name: str, request: Mapping[str, Any]) -> tuple[Execution, bool]:
        """Start the execution called `name`, or find the one there is."""

    def start_or_attach(self, request: Mapping[str, Any]) -> Execution:
        """Start the execution of `request`, named after it."""

    def describe(self, name: str) -> Execution:
        """Return the execution called `name`."""


@dataclass(frozen=True, slots=True)
class ApiServices:
    """The API's collaborators.

    Attributes
    ----------
    executions : Executions
    books : EntityStore
    results : ResultStore
    time_series : TimeSeriesTable or None
        None where the deployment has no Timestream.
    payloads : PayloadStore
        Of the bucket `buckets.payloads`.
    buckets : Buckets
    transactions : TransactionSender
    clock : callable
        The time, with its zone.
    """

    executions: Executions
    books: EntityStore
    results: ResultStore
    time_series: TimeSeriesTable | None
    payloads: PayloadStore
    buckets: Buckets
    transactions: TransactionSender
    clock: Callable[[], datetime]


@kept
def services() -> ApiServices:
    """Return the services of this function's settings; a warm function keeps them."""
    series = TimeSeriesSettings.from_env_if_set()
    return ApiServices(
        executions=execution_client(ExecutionSettings.from_env()),
        books=entity_store(BooksSettings.from_env(), INTERACTIVE),
        results=result_store(ResultStoreSettings.from_env(), INTERACTIVE),
        time_series=TimeSeriesTable(time_series_reader(series), series.database, series.table) if series else None,
        payloads=payload_store(PayloadSettings.from_env()),
        buckets=Buckets.from_env(),
        transactions=transaction_sender(QueueSettings.from_env()),
        clock=lambda: datetime.now(UTC),
    )
