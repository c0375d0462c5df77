"""Manifests at the edges of what JSON, text and a bound run allow."""

import io
import json
from pathlib import Path
from typing import Any

import duckdb

from common.access import Buckets, Scope
from common.batches import BatchWriter
from common.models.manifests import ManifestEntry, read_manifest
from common.models.sources import Source, SourceFormat
from common.stores.memory import InMemoryPayloadStore
from workflows.staging import check_fleet, stage_fleet

BUCKET = "payloads"


def refused(document: dict[str, Any], message: str) -> bytes:
    payloads = InMemoryPayloadStore()
    with BatchWriter(payloads, BUCKET, "inputs/", {}, 10) as batches:
        batches.refuse(document, message)
        return payloads.get(batches.close()["refused"]["key"])


def test_what_is_refused_for_a_number_that_is_none_is_written_as_json() -> None:
    line = refused({"portfolio_id": "a", "valuations": {"values": [float("nan"), float("-inf"), 1.5]}}, "no number")

    def constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(line, parse_constant=constant)["valuations"] == {"values": ["NaN", "-Infinity", 1.5]}


def test_what_is_refused_for_its_characters_can_be_written_as_text() -> None:
    line = json.loads(refused({"portfolio_id": "\ud800", "\udfff": ["x\udcff"]}, "line 1: \udcfe is no id"))
    text = json.dumps(line, ensure_ascii=False)
    assert text.encode().decode() == text
    assert line["portfolio_id"] == "?"
    assert line["failure"]["message"] == "line 1: ? is no id"


def test_zero_is_an_id_of_a_parquet_file(tmp_path: Path) -> None:
    for columns, expected in (
        ("0::BIGINT AS portfolio_id, DATE '2024-01-02' AS date, 1.5::DOUBLE AS value", "portfolio_id"),
        ("0::BIGINT AS entity_id", "entity_id"),
    ):
        file = tmp_path / f"{expected}.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT {columns}) TO '{file}'")
        source = Source(source=f"s3://uploads/{file.name}", format=SourceFormat.PARQUET)
        (only,) = read_manifest(io.BytesIO(file.read_bytes()), source)
        assert isinstance(only, ManifestEntry)
        assert only.document()[expected] == "0"


def test_the_manifest_of_a_client_s_run_is_put_where_that_run_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_bytes(b'{"entity_id": "a"}')
    for client in ("acme", None):
        payloads = InMemoryPayloadStore()
        request = {"manifest": {"source": "all.jsonl"}, **({"client_id": client} if client else {})}
        staged = stage_fleet(check_fleet(request, tmp_path), tmp_path, payloads, BUCKET, elsewhere=False)
        source = staged["manifest"]["source"]
        if client is None:
            assert source == str((tmp_path / "all.jsonl").resolve())
            continue
        assert Scope(client).reads(source, Buckets(PAYLOAD_BUCKET=BUCKET))
        assert payloads.get(source.removeprefix(f"s3://{BUCKET}/")) == b'{"entity_id": "a"}'
