"""What the stores on DynamoDB share: the client, expressions, batches, and transactions that meet other writers."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from common.errors import ThrottledError, TransientError
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MAX_ITEM_BYTES = 400 * 1024  # DynamoDB's limit on an item
BATCH_GET_KEYS = 100  # BatchGetItem's limit on the keys of a call
TRANSACTION_ITEMS = 100  # TransactWriteItems' limit on the items of a call
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024  # and on their size together

# Standard mode backs off up to 20 s: five attempts of at most 5 s end within a function's 120 s.
PATIENCE = Patience(attempts=5, connect_seconds=3, read_seconds=5)
# What botocore does not try again: keys left unprocessed, and transactions that met another writer.
ATTEMPTS = 8
FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0

# Why a transaction was cancelled, where another attempt, begun with a fresh read, can succeed.
_MET_A_WRITER = frozenset({"ConditionalCheckFailed", "TransactionConflict"})
_ASKED_FOR_LESS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError"})
_CONTENDED = frozenset(
    {"ConditionalCheckFailedException", "TransactionConflictException", "TransactionInProgressException"}
)

Item = dict[str, Any]
Result = TypeVar("Result")


class RefusedItemError(Exception):
    """DynamoDB refuses what an item would become, for a reason of that item alone."""


class ItemTooLargeError(RefusedItemError):
    """The item would be larger than DynamoDB takes."""


class ContendedError(Exception):
    """What others write at the same time was in the way: read again, then try again.

    Parameters
    ----------
    last
        What to raise when there is no further attempt.
    """

    def __init__(self, last: TransientError) -> None:
        super().__init__(str(last))
        self.last = last


def refusal_of(error: ClientError) -> RefusedItemError | None:
    """Return the refusal of an item that an error of UpdateItem is, if it is one.

    There is no code of its own for the size. The text is `Item size has exceeded the maximum allowed size` of a new
    item, and of one that is there `Item size to update has ...`, or with ExtendDB the same as of a new one. Beside it
    `Expression size has exceeded ...` is a fault of ours.
    """
    if error.response["Error"]["Code"] != "ValidationException":
        return None
    text = error.response["Error"].get("Message", "")
    too_large = text.startswith("Item size") and text.endswith("exceeded the maximum allowed size")
    return ItemTooLargeError(text) if too_large else RefusedItemError(text)


def get_items(
    client: "DynamoDBClient", table: str, keys: Sequence[Item], *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Item]:
    """Yield the items of any number of distinct keys, consistently; a missing one is absent.

    What DynamoDB leaves unprocessed is asked for again, after `sleep`.

    Raises
    ------
    ThrottledError
        Keys were still unprocessed after all attempts.
    """
    for first in range(0, len(keys), BATCH_GET_KEYS):
        yield from _get_batch(client, table, list(keys[first : first + BATCH_GET_KEYS]), sleep)


def _get_batch(
    client: "DynamoDBClient", table: str, keys: list[Item], sleep: Callable[[float], None]
) -> Iterator[Item]:
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(_jittered(attempt))
        with typed_errors("DynamoDB"):
            answer = client.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
        yield from answer["Responses"].get(table, ())
        left = answer.get("UnprocessedKeys", {}).get(table)
        if not left:
            return
        keys = list(left["Keys"])
    raise ThrottledError(f"DynamoDB: {len(keys)} keys still unprocessed after {ATTEMPTS} attempts")


def until_uncontended(work: Callable[[], Result], *, sleep: Callable[[float], None] = time.sleep) -> Result:
    """Return what `work` returns, trying again after a wait as long as it meets other writers.

    Raises
    ------
    ThrottledError, TransientError
        It still did at the last attempt.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except ContendedError:
            sleep(_jittered(attempt))
    try:
        return work()
    except ContendedError as contended:
        raise contended.last from contended


def _jittered(attempt: int) -> float:
    """Return the seconds to wait after the `attempt`-th attempt: full jitter below a doubling limit."""
    limit = min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)
    return random.uniform(0.0, limit)  # noqa: S311 - jitter is no secret


def write_together(client: "DynamoDBClient", writes: Sequence[Any]) -> None:
    """Write up to 100 items, all or none of them.

    Raises
    ------
    ContendedError
        A condition did not hold, another transaction was at one of the items, or the table asked for less.
    StoreError, ThrottledError, TransientError
    """
    with typed_errors("DynamoDB"):
        try:
            client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            if contended := _contended(error):
                raise contended from error
            raise


def update_if(client: "DynamoDBClient", table: str, key: Item, update: "Update", condition: str) -> None:
    """Update one item where `condition` holds.

    Raises
    ------
    ContendedError
        It did not hold, or a transaction was at the item.
    StoreError, ThrottledError, TransientError
    """
    with typed_errors("DynamoDB"):
        try:
            client.update_item(TableName=table, Key=key, ConditionExpression=condition, **update.arguments())
        except ClientError as error:
            if contended := _contended(error):
                raise contended from error
            raise


def _contended(error: ClientError) -> ContendedError | None:
    code = error.response["Error"]["Code"]
    if code == "TransactionCanceledException":
        reasons: Iterable[Mapping[str, Any]] = error.response.get("CancellationReasons", ())
        found = {reason.get("Code", "None") for reason in reasons} - {"None"}
        if found & _ASKED_FOR_LESS and found <= _ASKED_FOR_LESS | _MET_A_WRITER:
            return ContendedError(ThrottledError(f"DynamoDB: {error}"))
        contended = bool(found) and found <= _MET_A_WRITER
    else:
        contended = code in _CONTENDED
    return ContendedError(TransientError(f"DynamoDB: {error}")) if contended else None


class Expression:
    """Names and values of an expression under construction, escaped as they come."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: Item = {}

    def name(self, attribute: str) -> str:
        """Return the placeholder of an attribute."""
        for placeholder, known in self._names.items():
            if known == attribute:
                return placeholder
        placeholder = f"#n{len(self._names)}"
        self._names[placeholder] = attribute
        return placeholder

    def value(self, value: Item) -> str:
        """Return a placeholder for a value."""
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = value
        return placeholder

    def equal(self, attribute: str, value: Item) -> str:
        """Return the condition that an attribute has a value."""
        return f"{self.name(attribute)} = {self.value(value)}"

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the call; DynamoDB refuses empty ones."""
        named: dict[str, Any] = {"ExpressionAttributeNames": self._names, "ExpressionAttributeValues": self._values}
        return {name: given for name, given in named.items() if given}


class Update(Expression):
    """An update expression under construction."""

    def __init__(self) -> None:
        super().__init__()
        self._set: list[str] = []
        self._remove: list[str] = []
        self._add: list[str] = []

    def set_all(self, attributes: Mapping[str, Item]) -> None:
        """Set attributes."""
        for attribute, value in attributes.items():
            self.set_path(self.name(attribute), value)

    def set_path(self, path: str, value: Item) -> None:
        """Set what lies at a path of placeholders."""
        self._set.append(f"{path} = {self.value(value)}")

    def remove_all(self, attributes: Iterable[str]) -> None:
        """Remove attributes."""
        self.remove_paths(self.name(attribute) for attribute in attributes)

    def remove_paths(self, paths: Iterable[str]) -> None:
        """Remove what lies at paths of placeholders."""
        self._remove += paths

    def add(self, attribute: str, members: Item) -> None:
        """Add members to a set."""
        self._add.append(f"{self.name(attribute)} {self.value(members)}")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the call."""
        clauses = {"SET": self._set, "REMOVE": self._remove, "ADD": self._add}
        expression = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)
        return {"UpdateExpression": expression, **super().arguments()}
