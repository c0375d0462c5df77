"""The operations of the local Timestream: what a call as a whole is answered."""

import pytest

from tests.unit.local_timestream.world import DATABASE, KEPT_DAYS, Table, dimensions, record, refusal


def test_a_call_takes_a_hundred_records_and_no_more(table: Table) -> None:
    records = [record(Dimensions=dimensions(entity_id=f"p-{index}")) for index in range(101)]
    code, message = refusal(table.write, *records)
    assert (code, table.rows()) == ("ValidationException", [])
    assert "between 1 and 100 members, has 101" in message
    assert table.write(*records[:100]) == {"Total": 100, "MemoryStore": 100, "MagneticStore": 0}
    assert len(table.rows()) == 100


@pytest.mark.parametrize(("database", "name"), [("none", "none"), (DATABASE, "none"), ("_timestream", "tables")])
def test_an_unknown_table_is_told(table: Table, database: str, name: str) -> None:
    code, message = refusal(
        table.writes.write_records, DatabaseName=database, TableName=name, Records=[record()], CommonAttributes={}
    )
    assert code == "ResourceNotFoundException"
    assert "does not exist" in message


def test_names_are_given_once(table: Table) -> None:
    for database in (DATABASE, DATABASE.upper(), "main", "_timestream"):
        assert refusal(table.writes.create_database, DatabaseName=database)[0] == "ConflictException"
    for name in (table.name, table.name.upper()):
        code, _ = refusal(table.writes.create_table, DatabaseName=DATABASE, TableName=name)
        assert code == "ConflictException"
    code, _ = refusal(table.writes.create_table, DatabaseName="none", TableName="any")
    assert code == "ResourceNotFoundException"
    assert table.write(record())["Total"] == 1


def test_tables_are_described_as_they_were_made(table: Table) -> None:
    described = table.writes.describe_table(DatabaseName=DATABASE, TableName=table.name)["Table"]
    assert described["RetentionProperties"] == {
        "MemoryStoreRetentionPeriodInHours": 24,
        "MagneticStoreRetentionPeriodInDays": KEPT_DAYS,
    }
    assert described["MagneticStoreWriteProperties"] == {"EnableMagneticStoreWrites": True}
    assert described in table.writes.list_tables(DatabaseName=DATABASE)["Tables"]
    assert table.writes.list_tables(DatabaseName="none")["Tables"] == []
