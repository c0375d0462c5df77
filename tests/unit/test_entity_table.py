"""What the stores and the deployment both know of the entity table."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.errors import InvalidRequestError
from common.models.books import BookEntityType, Entity
from common.models.entity_table import (
    ACCOUNT_INDEX,
    CLIENT_INDEX,
    ENTITY_ATTRIBUTES,
    INDEXED,
    MARK_PARTITIONS,
    NOBODY,
    mark_partition,
    projected,
)
from common.models.fleet import FleetRequest
from common.models.request import CalculationRequest

PORTFOLIOS = 16_000


def test_the_attributes_are_all_that_an_entity_says_but_for_its_key() -> None:
    assert {*ENTITY_ATTRIBUTES, "entity_type", "entity_id"} == Entity.model_fields.keys()


def test_an_index_holds_every_attribute_once() -> None:
    assert INDEXED == {CLIENT_INDEX: "client_id", ACCOUNT_INDEX: "account_id"}
    for index, attribute in INDEXED.items():
        assert sorted([*projected(index), attribute]) == sorted(ENTITY_ATTRIBUTES)


@pytest.mark.parametrize("request_type", [CalculationRequest, FleetRequest])
def test_no_request_is_one_of_nobody_s(request_type: type[CalculationRequest | FleetRequest]) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"\$\.client_id: must have only visible ASCII characters but # and /"
    ):
        request_type.parse({"client_id": NOBODY})


def test_no_entity_belongs_to_the_name_under_which_nobody_s_are_indexed() -> None:
    with pytest.raises(ValidationError, match="client_id\n  String should match pattern"):
        Entity(entity_type=BookEntityType.SECURITY, entity_id="AAPL", client_id=NOBODY)


def test_there_are_sixteen_partitions_of_marks_that_no_entity_can_be_named_after() -> None:
    assert len(set(MARK_PARTITIONS)) == 16
    assert all(each.startswith("#") for each in MARK_PARTITIONS)


@pytest.mark.parametrize(
    ("portfolio_id", "number"),
    [("growth", 9), ("income", 11), ("P-000001", 9), ("portefeuille é", 7)],
)
def test_the_partition_of_a_mark_never_changes(portfolio_id: str, number: int) -> None:
    """A mark is found again by whatever version of the code reads it."""
    assert mark_partition(portfolio_id) == f"#recalculation-{number:02}"


@given(st.text(min_size=1, max_size=128))
def test_every_name_has_one_of_the_partitions(portfolio_id: str) -> None:
    assert mark_partition(portfolio_id) in MARK_PARTITIONS
    assert mark_partition(portfolio_id) == mark_partition(portfolio_id)


@pytest.mark.parametrize(
    "name",
    [str, "P-{:08}".format, "acme-{}".format, lambda number: f"p-{number * 16}", "{:x}".format],
    ids=["numbers", "padded", "prefixed", "multiples", "hexadecimal"],
)
def test_the_partitions_get_alike_many(name: Callable[[int], str]) -> None:
    found = Counter(mark_partition(name(number)) for number in range(PORTFOLIOS))
    even = PORTFOLIOS / len(MARK_PARTITIONS)
    assert min(found.values()) > 0.85 * even
    assert max(found.values()) < 1.15 * even
