"""The local DynamoDB: which engine it takes, and that its data outlives a process however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from common.stores.dynamodb import RESULT_TABLE, DynamoDBResultStore
from common.stores.ports import ResultKey
from tests.contract.rows import DAY, EARLY, LATE, period, row
from workflows.local import dynamodb
from workflows.local.dynamodb import LocalDynamoDB, LocalDynamoDBError, find_extenddb

TABLE = "performance-metrics"
KEY = ResultKey(row().entity_type, row().entity_id, DAY)


pytestmark = pytest.mark.usefixtures("credentials")


@pytest.fixture
def without_extenddb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "find_extenddb", lambda: None)


@pytest.mark.usefixtures("without_extenddb")
def test_moto_keeps_a_journal(tmp_path: Path) -> None:
    with mock_aws(), LocalDynamoDB(tmp_path) as local:
        assert local.endpoint is None
        assert "moto" in local.description
        client = boto3.client("dynamodb")
        client.create_table(TableName=TABLE, **RESULT_TABLE)
        store = DynamoDBResultStore(client, TABLE)
        store.write([row()], EARLY)
        store.write([row(run=LATE, periods={"3Y": period(twr=0.3)})], LATE)
        before = store.read_many([KEY])
    with mock_aws(), LocalDynamoDB(tmp_path):
        client = boto3.client("dynamodb")
        assert client.list_tables()["TableNames"] == [TABLE]
        assert DynamoDBResultStore(client, TABLE).read_many([KEY]) == before


@pytest.mark.usefixtures("without_extenddb")
def test_half_a_line_at_the_end_of_the_journal_is_dropped(tmp_path: Path) -> None:
    with mock_aws(), LocalDynamoDB(tmp_path):
        client = boto3.client("dynamodb")
        client.create_table(TableName=TABLE, **RESULT_TABLE)
        DynamoDBResultStore(client, TABLE).write([row()], EARLY)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"operation": "Upda')
    with mock_aws(), LocalDynamoDB(tmp_path):
        assert DynamoDBResultStore(boto3.client("dynamodb"), TABLE).read_many([KEY])
    assert journal.read_bytes() == whole


@pytest.mark.usefixtures("without_extenddb")
def test_what_failed_is_not_in_the_journal(tmp_path: Path) -> None:
    with mock_aws(), LocalDynamoDB(tmp_path):
        client = boto3.client("dynamodb")
        client.create_table(TableName=TABLE, **RESULT_TABLE)
        store = DynamoDBResultStore(client, TABLE)
        store.write([row(run=LATE)], LATE)
        store.write([row()], EARLY)  # every condition fails: a later execution was there
    assert (tmp_path / "journal.jsonl").read_text().count("\n") == 2


@pytest.mark.usefixtures("without_extenddb")
def test_the_journal_keeps_the_last_state_of_an_item_alone(tmp_path: Path) -> None:
    with mock_aws(), LocalDynamoDB(tmp_path):
        client = boto3.client("dynamodb")
        client.create_table(TableName=TABLE, **RESULT_TABLE)
        for version in range(5):
            item = {"id": {"S": "a"}, "calculation_date": {"S": "2024-01-01"}, "v": {"N": str(version)}}
            client.put_item(TableName=TABLE, Item=item)
        gone = {"id": {"S": "b"}, "calculation_date": {"S": "2024-01-01"}}
        for name in ("b", "c"):
            client.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": {**gone, "id": {"S": name}}}}]})
        client.delete_item(TableName=TABLE, Key=gone)
    with mock_aws(), LocalDynamoDB(tmp_path):
        assert (tmp_path / "journal.jsonl").read_text().count("\n") == 3
        found = boto3.client("dynamodb").scan(TableName=TABLE)["Items"]
        assert {item["id"]["S"]: item.get("v") for item in found} == {"a": {"N": "4"}, "c": None}


def test_a_binary_that_does_not_start_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(LocalDynamoDBError, match="ExtendDB did not start"),
        LocalDynamoDB(tmp_path, binary=Path("/bin/false")),
    ):
        pass


@pytest.mark.skipif(find_extenddb() is None, reason="ExtendDB is not installed: npm ci")
def test_extenddb_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import time\nfrom pathlib import Path\nfrom workflows.local.dynamodb import LocalDynamoDB\n"
        f"with LocalDynamoDB(Path({str(tmp_path)!r})) as local:\n"
        "    print(local.endpoint, flush=True)\n    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    endpoint = parent.stdout.readline().strip()
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    client.create_table(TableName=TABLE, **RESULT_TABLE)
    client.get_waiter("table_exists").wait(TableName=TABLE, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    DynamoDBResultStore(client, TABLE).write([row()], EARLY)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            boto3.client("dynamodb", endpoint_url=endpoint).list_tables()
        except Exception:  # noqa: BLE001 - whatever a closed port makes of it
            break
        time.sleep(0.05)
    else:
        pytest.fail("ExtendDB still answers")
    with LocalDynamoDB(tmp_path) as local:
        client = boto3.client("dynamodb", endpoint_url=local.endpoint)
        assert DynamoDBResultStore(client, TABLE).read_many([KEY])[KEY]["twr"] == 0.0842
