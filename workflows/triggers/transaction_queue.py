"""TransactionQueue: from the queue into the books, each transaction once."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from pydantic import ValidationError

from common.access import Scope
from common.config import BooksSettings
from common.errors import PermanentError
from common.models.books import BookEntityType, EntityKey, Transaction, every_digit
from common.models.faults import faults
from common.models.fields import StrictModel, ahead_fault
from common.models.identifiers import ClientIdentifier
from common.observability import logger
from common.stores.dynamodb_entities import entity_store
from common.stores.ports import EntityStore

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord


class TransactionMessage(StrictModel):
    """A message of the queue.

    Attributes
    ----------
    client_id
        Whose token sent it; None where the platform itself did.
    """

    client_id: ClientIdentifier | None = None
    transaction: Transaction


class InvalidTransactionError(PermanentError):
    """A message that can never be entered; it ends in the dead-letter queue."""


def receive_transaction(body: str, books: EntityStore, today: date) -> bool:
    """Enter the transaction of one message, and mark its portfolio for recalculation from its trade date.

    Parameters
    ----------
    body
        The message, JSON.
    books
        Where it is entered.
    today
        In UTC.

    Returns
    -------
    bool
        False for one that was entered before.

    Raises
    ------
    InvalidTransactionError
        It is no transaction, its trade date is too far ahead, its portfolio is not the sender's, or its id stands for
        another one.
    ThrottledError, TransientError
        The books did not answer; try again.
    """
    try:
        message = TransactionMessage.model_validate(json.loads(body, parse_float=every_digit))
    except ValidationError as error:
        raise InvalidTransactionError("; ".join(map(str, faults(error)))) from None
    except (ValueError, RecursionError) as error:
        raise InvalidTransactionError(f"is not JSON: {error}") from None
    transaction = message.transaction
    if ahead := ahead_fault(transaction.trade_date, today):
        raise InvalidTransactionError(f"$.transaction.trade_date: {ahead}")
    key = EntityKey(BookEntityType.PORTFOLIO, transaction.portfolio_id)
    stored = books.entities([key]).get(key)
    if stored is None or not Scope(message.client_id).owns(stored.entity):
        raise InvalidTransactionError(f"there is no portfolio {transaction.portfolio_id}")
    report = books.record(transaction.portfolio_id, [transaction])
    if report.conflicting:
        raise InvalidTransactionError(
            f"{transaction.portfolio_id} has a transaction {transaction.transaction_id} with another content"
        )
    return bool(report.added)


def handler(
    event: dict[str, Any], context: object, *, books: EntityStore | None = None, today: date | None = None
) -> "PartialItemFailureResponse":
    """Enter a batch of messages; those that failed are named, so that the queue keeps them alone."""
    store = books or entity_store(BooksSettings.from_env())
    day = today or datetime.now(UTC).date()

    def receive(record: "SQSRecord") -> None:
        place: Mapping[str, object] = {
            "message_id": record.message_id,
            "receive_count": record.attributes.approximate_receive_count,
        }
        try:
            added = receive_transaction(record.body, store, day)
        except PermanentError as error:
            logger().error("TransactionQueue", extra={**place, "error": type(error).__name__, "reason": str(error)})
            raise
        logger().info("TransactionQueue", extra={**place, "added": added})

    # A batch in which everything failed is no failed invocation: its messages have counts of their own.
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=receive, processor=processor)
