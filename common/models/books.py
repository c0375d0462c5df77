"""What the books hold: who owns what, what was done, what things cost, what portfolios were worth."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from common.calculations.words import FlowTiming, TransactionType
from common.models.fields import IsoDate, StrictModel, is_plain_number
from common.models.identifiers import ClientIdentifier, Currency, Identifier
from common.models.limits import MAX_AMOUNT, MAX_QUANTITY_DIGITS


class BookEntityType(StrEnum):
    """What the books know by an id. The first three have a performance, as `EntityType` says."""

    PORTFOLIO = "portfolio"
    ACCOUNT = "account"
    SECURITY = "security"
    BENCHMARK = "benchmark"
    CLIENT = "client"


class EntityKey(NamedTuple):
    """The key of an entity."""

    entity_type: BookEntityType
    entity_id: str


class Entity(StrictModel):
    """A client, account, portfolio, security or benchmark.

    A portfolio and an account belong to a client for good. A security or benchmark without a client is everybody's to
    read and nobody's to change but the platform's.
    """

    entity_type: Annotated[BookEntityType, Field(strict=False)]
    entity_id: Identifier
    client_id: ClientIdentifier | None = None
    account_id: Identifier | None = None
    name: str | None = Field(None, min_length=1, max_length=200)
    currency: Currency | None = None
    benchmark_id: Identifier | None = Field(None, description="what a portfolio or account is compared with")
    flow_timing: Annotated[FlowTiming, Field(strict=False)] | None = Field(
        None,
        description="what the valuations of a portfolio hold on the day of a flow, after_close when absent; of an "
        "account, by which convention its returns are made",
    )

    @model_validator(mode="after")
    def _belongs(self) -> Self:
        match self.entity_type:
            case BookEntityType.PORTFOLIO | BookEntityType.ACCOUNT if self.client_id is None:
                raise PydanticCustomError("client_missing", "must have a client_id")
            case BookEntityType.ACCOUNT if self.account_id != self.entity_id:
                raise PydanticCustomError("account_id", "the account_id of an account is its own id")
            case BookEntityType.CLIENT if self.client_id != self.entity_id:
                raise PydanticCustomError("client_id", "the client_id of a client is its own id")
            case _:
                return self

    @property
    def key(self) -> EntityKey:
        """Its key."""
        return EntityKey(self.entity_type, self.entity_id)


class StoredEntity(NamedTuple):
    """An entity as the books have it.

    Attributes
    ----------
    entity : Entity
    revision : str
        Changes whenever anything of the entity does: an attribute, a transaction, a price, a valuation. Never comes
        back, so that what was calculated from one revision can be kept under it.
    security_ids : frozenset of str
        Every security a portfolio has a transaction in.
    """

    entity: Entity
    revision: str
    security_ids: frozenset[str] = frozenset()


_SMALLEST = Decimal("1e-130")  # DynamoDB keeps none nearer to zero


def parse_decimal(value: object) -> Decimal:
    """Return a number given as JSON number or decimal text, every digit of it.

    Raises
    ------
    PydanticCustomError
        It is no number, not finite, larger than `MAX_AMOUNT` or nearer to zero than DynamoDB keeps, or has more
        digits than it keeps.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise PydanticCustomError("amount", "must be a number")
    if isinstance(value, str) and not is_plain_number(value):
        raise PydanticCustomError("amount", "must be a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number.copy_abs() > MAX_AMOUNT:
        raise PydanticCustomError("amount_range", "must be finite and at most 1e15 in size")
    if number and number.copy_abs() < _SMALLEST:
        raise PydanticCustomError("amount_range", "must be 0 or at least 1e-130 in size")
    if len(number.as_tuple().digits) > MAX_QUANTITY_DIGITS:
        raise PydanticCustomError("digits", "must have at most {most} digits", {"most": MAX_QUANTITY_DIGITS})
    return number


def every_digit(text: str) -> Decimal:
    """Return a JSON number as it is written; one whose exponent is beyond Decimal is beyond every limit."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


Number = Annotated[Decimal, BeforeValidator(parse_decimal)]
Positive = Annotated[Number, Field(gt=0)]

# What each type of transaction must have, and may have, besides its portfolio, its id and its date.
_T = TransactionType
_FIELDS: dict[TransactionType, tuple[frozenset[str], frozenset[str]]] = {
    _T.DEPOSIT: (frozenset({"amount"}), frozenset()),
    _T.WITHDRAWAL: (frozenset({"amount"}), frozenset()),
    _T.BUY: (frozenset({"amount", "quantity", "security_id"}), frozenset()),
    _T.SELL: (frozenset({"amount", "quantity", "security_id"}), frozenset()),
    _T.DIVIDEND: (frozenset({"amount"}), frozenset({"security_id"})),
    _T.INTEREST: (frozenset({"amount"}), frozenset({"security_id"})),
    _T.FEE: (frozenset({"amount"}), frozenset({"security_id"})),
    _T.TAX: (frozenset({"amount"}), frozenset({"security_id"})),
    _T.SPLIT: (frozenset({"quantity", "security_id"}), frozenset()),
    _T.TRANSFER_IN: (frozenset(), frozenset({"amount", "quantity", "security_id", "counterparty_id"})),
    _T.TRANSFER_OUT: (frozenset(), frozenset({"amount", "quantity", "security_id", "counterparty_id"})),
}
# A correction of these comes as a negative amount; what moves money or securities is undone by its opposite.
_SIGNED = frozenset({_T.DIVIDEND, _T.INTEREST, _T.FEE, _T.TAX})


class Transaction(StrictModel):
    """One line of a portfolio's book.

    Attributes
    ----------
    amount
        What it moved in cash, costs included, in the portfolio's currency; the type tells the direction. For a
        transfer of a security the value it is taken at, that of the market when absent.
    quantity
        Units of the security; for a split the new units for each old one.
    counterparty_id
        The portfolio a transfer came from or went to. Where both belong to one account, the account has no flow.
    """

    transaction_id: Identifier
    portfolio_id: Identifier
    type: Annotated[TransactionType, Field(strict=False)]
    trade_date: IsoDate
    amount: Number | None = None
    quantity: Positive | None = None
    security_id: Identifier | None = None
    counterparty_id: Identifier | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        required, optional = _FIELDS[self.type]
        given = {
            name for name in ("amount", "quantity", "security_id", "counterparty_id") if getattr(self, name) is not None
        }
        if missing := sorted(required - given):
            raise PydanticCustomError("transaction_fields", "a {type} needs {names}", _names(self.type, missing))
        if extra := sorted(given - required - optional):
            raise PydanticCustomError("transaction_fields", "a {type} has no {names}", _names(self.type, extra))
        if self.type in {_T.TRANSFER_IN, _T.TRANSFER_OUT} and not {"security_id", "quantity"} <= given:
            if given & {"security_id", "quantity"}:
                raise PydanticCustomError("transfer", "a transfer of a security needs security_id and quantity")
            if self.amount is None:
                raise PydanticCustomError("transfer", "a transfer needs an amount, or security_id and quantity")
        if self.amount is not None and self.type not in _SIGNED and self.amount <= 0:
            raise PydanticCustomError("amount_sign", "the amount of a {type} must be positive", {"type": self.type})
        if self.counterparty_id == self.portfolio_id:
            raise PydanticCustomError("counterparty", "the counterparty must be another portfolio")
        return self


def _names(kind: TransactionType, names: list[str]) -> dict[str, Any]:
    return {"type": kind.value, "names": ", ".join(names)}


class SeriesKind(StrEnum):
    """What is kept day by day: see `SERIES_OF`."""

    VALUATION = "valuation"
    PRICE = "price"
    LEVEL = "level"


SERIES_OF: dict[SeriesKind, BookEntityType] = {
    SeriesKind.VALUATION: BookEntityType.PORTFOLIO,
    SeriesKind.PRICE: BookEntityType.SECURITY,
    SeriesKind.LEVEL: BookEntityType.BENCHMARK,
}
"""Whose series each kind is."""


class DayValue(NamedTuple):
    """One day of a series.

    Attributes
    ----------
    date : date
    value : Decimal
        A portfolio's worth at the close, a security's closing price as it was traded, a benchmark's level.
    dividend : Decimal
        Of a price: paid on one unit, on its ex-date.
    split : Decimal
        Of a price: new units for each old one, from this day on.
    """

    date: date
    value: Decimal
    dividend: Decimal = Decimal(0)
    split: Decimal = Decimal(1)


class Mark(NamedTuple):
    """A portfolio whose results from a date on are out of date.

    Attributes
    ----------
    portfolio_id : str
    from_date : date
        The earliest trade date since the last recalculation.
    token : str
        Changes with each transaction that marks: what was recalculated meanwhile clears only what it has seen.
    marked_at : datetime
        When the last of them was about to be entered.
    executions : tuple of str
        Names of those that calculate again what this mark stands for; none before they are started.
    attempts : int
        How often they were started.
    """

    portfolio_id: str
    from_date: date
    token: str
    marked_at: datetime
    executions: tuple[str, ...] = ()
    attempts: int = 0
