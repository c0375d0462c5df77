"""Records of the local Timestream: rejected as the service rejects them, otherwise kept to the last bit."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.local_timestream.world import KEPT_DAYS, MIDNIGHT, NOW, Table, dimensions, milliseconds, record, refusal


@pytest.mark.parametrize(
    "value",
    ["NaN", "nan", "Infinity", "-inf", "1e400", "abc", "0x10", "1_000", " 1", "1 ", "1,5", "\uff11", "1e", ".", "--1"],
)
def test_what_is_no_double_is_rejected_and_the_others_stay(table: Table, value: str) -> None:
    assert table.rejections(record(MeasureValue=value), record(MeasureName="mwr")) == [
        {"RecordIndex": 0, "Reason": f"The measure value {value!r} is not a valid DOUBLE."}
    ]
    assert [row["measure_name"] for row in table.rows()] == ["mwr"]


@pytest.mark.parametrize("value", ["1", "-1.", ".5", "+0.1", "1e3", "-2.5E-308", "5e-324", "1.7976931348623157e+308"])
def test_a_double_is_kept_to_the_last_bit(table: Table, value: str) -> None:
    table.write(record(MeasureValue=value))
    assert [row["measure_value"] for row in table.rows()] == [float(value)]


def test_a_measure_that_is_no_double_is_rejected(table: Table) -> None:
    (rejected,) = table.rejections(record(MeasureValueType="BIGINT", MeasureValue="1"))
    assert "BIGINT is not supported" in rejected["Reason"]


@pytest.mark.parametrize("text", ["-1", "1.5", "abc", "\u00b2", "\u0663", "9" * 20, "9" * 200])
def test_what_is_no_time_is_rejected(table: Table, text: str) -> None:
    assert table.rejections(record(Time=text)) == [{"RecordIndex": 0, "Reason": "The time is not valid."}]


@pytest.mark.parametrize(
    ("unit", "zeros"), [("SECONDS", ""), ("MILLISECONDS", "000"), ("MICROSECONDS", "0" * 6), ("NANOSECONDS", "0" * 9)]
)
def test_a_record_is_the_same_in_any_unit(table: Table, unit: str, zeros: str) -> None:
    table.write(record())
    seconds = str(int(MIDNIGHT.timestamp()))
    table.write(record(Time=seconds + zeros, TimeUnit=unit))
    (rejected,) = table.rejections(record(Time=f"0{seconds}{zeros}", TimeUnit=unit, MeasureValue="0.6"))
    assert rejected["ExistingVersion"] == 1
    (row,) = table.rows()
    assert (row["time"], row["measure_value"]) == (MIDNIGHT, 0.5)


def test_microseconds_are_kept(table: Table) -> None:
    moment = MIDNIGHT.replace(microsecond=123_456)
    table.write(record(Time=str(int(MIDNIGHT.timestamp()) * 10**6 + 123_456), TimeUnit="MICROSECONDS"))
    assert [row["time"] for row in table.rows()] == [moment]


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (timedelta(hours=24), True),
        (timedelta(hours=24, milliseconds=1), False),
        (timedelta(0), True),
        (timedelta(minutes=-14, seconds=-59), True),
        (timedelta(minutes=-15, milliseconds=-1), False),
        (timedelta(days=-1), False),
    ],
)
def test_the_window_of_a_table_without_magnetic_writes(memory_table: Table, age: timedelta, taken: bool) -> None:
    own = record(Time=milliseconds(NOW - age), Dimensions=dimensions(entity_id="own"))
    other = record(Time=milliseconds(NOW))
    if taken:
        assert memory_table.write(own, other)["Total"] == 2
    else:
        (rejected,) = memory_table.rejections(own, other)
        assert rejected["RecordIndex"] == 0
        assert "outside the time range" in rejected["Reason"]
        assert "ExistingVersion" not in rejected
    assert len(memory_table.rows()) == 1 + taken


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (timedelta(days=400), True),
        (timedelta(days=KEPT_DAYS), True),
        (timedelta(days=KEPT_DAYS, milliseconds=1), False),
        (timedelta(minutes=-16), False),
    ],
)
def test_the_window_of_a_table_with_magnetic_writes(table: Table, age: timedelta, taken: bool) -> None:
    late = record(Time=milliseconds(NOW - age))
    if taken:
        table.write(late)
    else:
        assert len(table.rejections(late)) == 1
    assert len(table.rows()) == taken


def test_an_equal_record_at_an_equal_version_is_taken_again(table: Table) -> None:
    table.write(record(Version=5))
    assert table.write(record(Version=5))["Total"] == 1
    assert len(table.rows()) == 1


@pytest.mark.parametrize(("version", "value"), [(5, "0.6"), (4, "0.6"), (4, "0.5"), (1, "0.6")])
def test_another_value_needs_a_higher_version(table: Table, version: int, value: str) -> None:
    table.write(record(Version=5))
    (rejected,) = table.rejections(record(Version=version, MeasureValue=value))
    assert (rejected["RecordIndex"], rejected["ExistingVersion"]) == (0, 5)
    assert [row["measure_value"] for row in table.rows()] == [0.5]


def test_a_higher_version_updates_and_an_equal_value_updates_the_version(table: Table) -> None:
    table.write(record())
    table.write(record(Version=2, MeasureValue="0.6"))
    table.write(record(Version=9, MeasureValue="0.6"))
    (rejected,) = table.rejections(record(Version=8, MeasureValue="0.7"))
    assert rejected["ExistingVersion"] == 9
    assert [row["measure_value"] for row in table.rows()] == [0.6]


def test_of_points_that_are_there_and_points_that_are_new_each_is_judged_by_itself(table: Table) -> None:
    first, second, third = (dimensions(entity_id=f"p-{number}") for number in range(3))
    table.write(record(Dimensions=first, Version=5), record(Dimensions=second))
    rejected = table.rejections(
        record(Dimensions=third, Version=2),
        record(Dimensions=first, Version=4),
        record(Dimensions=second, Version=2, MeasureValue="0.7"),
        record(Dimensions=third, MeasureValue="0.9"),
        record(Dimensions=second, MeasureValue="many"),
    )
    told = [(each["RecordIndex"], each.get("ExistingVersion")) for each in rejected]
    assert told == [(1, 5), (3, 2), (4, None)]
    assert [row["measure_value"] for row in table.rows("entity_id, measure_value")] == [0.5, 0.7, 0.5]


def test_a_version_that_is_not_given_is_one(table: Table) -> None:
    table.write(record())
    (rejected,) = table.rejections(record(MeasureValue="0.6"))
    assert rejected["ExistingVersion"] == 1


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_a_version_below_one_or_over_64_bits_refuses_the_call(table: Table, version: int) -> None:
    code, _ = refusal(table.write, record(MeasureName="mwr"), record(Version=version))
    assert (code, table.rows()) == ("ValidationException", [])


def test_duplicates_of_one_call(table: Table) -> None:
    rejected = table.rejections(
        record(), record(), record(MeasureValue="0.6"), record(MeasureValue="0.7", Version=2), record(MeasureName="mwr")
    )
    assert [(each["RecordIndex"], each["ExistingVersion"]) for each in rejected] == [(2, 1)]
    assert {row["measure_name"]: row["measure_value"] for row in table.rows()} == {"twr": 0.7, "mwr": 0.5}


def test_common_attributes_are_merged_into_each_record(table: Table) -> None:
    common = {
        "Dimensions": dimensions(request_id="r-1"),
        "MeasureValueType": "DOUBLE",
        "MeasureName": "twr",
        "TimeUnit": "SECONDS",
        "Time": str(int(MIDNIGHT.timestamp())),
        "Version": 7,
    }
    table.write(
        {"Dimensions": dimensions(entity_id="a"), "MeasureValue": "0.1"},
        {"Dimensions": dimensions(entity_id="b"), "MeasureValue": "0.2", "MeasureName": "mwr"},
        common=common,
    )
    assert table.rows("entity_id, request_id, measure_name, measure_value, time") == [
        {"entity_id": "a", "request_id": "r-1", "measure_name": "twr", "measure_value": 0.1, "time": MIDNIGHT},
        {"entity_id": "b", "request_id": "r-1", "measure_name": "mwr", "measure_value": 0.2, "time": MIDNIGHT},
    ]


@pytest.mark.parametrize(
    ("own", "common"),
    [
        (dimensions(entity_id="a"), dimensions(entity_id="a")),
        (dimensions(entity_id="a"), dimensions(entity_id="b", request_id="r")),
        (dimensions(entity_id="a") + dimensions(entity_id="b"), []),
    ],
)
def test_a_dimension_named_twice_refuses_the_call(table: Table, own: Sequence[Any], common: Sequence[Any]) -> None:
    good = record(Dimensions=dimensions(account_id="x"))
    code, message = refusal(table.write, good, record(Dimensions=own), common={"Dimensions": common})
    assert (code, table.rows()) == ("ValidationException", [])
    assert "Record 1 has duplicate dimensions: ['entity_id']" in message


@pytest.mark.parametrize(
    "name",
    ["time", "TIME", "measure_name", "measure_value", "measure_value::double", "measure_value_x", "ts_x", "a:b"],
)
def test_reserved_names_are_rejected(table: Table, name: str) -> None:
    (rejected,) = table.rejections(record(Dimensions=[{"Name": name, "Value": "x"}]))
    assert rejected["Reason"] == f"The dimension name {name!r} is not allowed."


@pytest.mark.parametrize("name", ["series", "version", "select", 'a"b', "timer", "measure", "é" * 30, "x" * 60])
def test_any_other_name_is_a_column(table: Table, name: str) -> None:
    table.write(record(Dimensions=[{"Name": name, "Value": "x"}]))
    assert [row[name] for row in table.rows()] == ["x"]


@pytest.mark.parametrize("name", ["x" * 61, "é" * 31])
def test_a_dimension_name_has_sixty_bytes_at_most(table: Table, name: str) -> None:
    (rejected,) = table.rejections(record(Dimensions=[{"Name": name, "Value": "x"}]))
    assert "is not allowed" in rejected["Reason"]


def test_names_that_differ_in_case_alone_are_rejected(table: Table) -> None:
    table.write(record())
    rejected = table.rejections(
        record(Dimensions=dimensions(Entity_ID="a")), record(Dimensions=dimensions(new="a", New="b"))
    )
    assert ["in case alone" in each["Reason"] for each in rejected] == [True, True]


@pytest.mark.parametrize("changes", [{"MeasureName": "m" * 257}, {"Dimensions": []}, {"Dimensions": dimensions(a="")}])
def test_a_record_without_its_parts_is_rejected(table: Table, changes: dict[str, Any]) -> None:
    assert [each["RecordIndex"] for each in table.rejections(record(), record(**changes))] == [1]
    assert len(table.rows()) == 1


def test_too_many_dimensions_of_a_record(table: Table) -> None:
    many = dimensions(**{f"d{index}": "x" for index in range(129)})
    (rejected,) = table.rejections(record(Dimensions=many))
    assert "between 1 and 128 dimensions" in rejected["Reason"]
    table.write(record(Dimensions=many[:128]))
    assert len(table.rows()) == 1


def test_too_many_dimensions_of_a_table(table: Table) -> None:
    many = dimensions(**{f"d{index}": "x" for index in range(129)})
    table.write(record(Dimensions=many[:64]), record(Dimensions=many[64:127]))
    rejected = table.rejections(
        record(Dimensions=many[126:]), record(Dimensions=many[127:128]), record(Dimensions=many[128:])
    )
    assert rejected == [
        {"RecordIndex": index, "Reason": "The table would have more than 128 dimensions."} for index in (0, 2)
    ]
    assert len(table.rows()[0]) == 128 + len(("time", "measure_name", "measure_value"))


@pytest.mark.parametrize(("value", "taken"), [("x" * 2000, True), ("x" * 2048, False), ("é" * 1020, False)])
def test_a_record_has_two_kilobytes_at_most(table: Table, value: str, taken: bool) -> None:
    large = record(Dimensions=dimensions(entity_id=value))
    if taken:
        table.write(large)
    else:
        assert "over 2048" in table.rejections(large)[0]["Reason"]
