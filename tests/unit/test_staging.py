"""What a request refers to on this machine: every fault told before anything is stored, objects named by content."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequestError
from common.json_text import canonical_json
from common.models.limits import MAX_PORTFOLIOS_BYTES, MAX_SERIES_BYTES, STATE_BUDGET_BYTES
from common.stores.memory import InMemoryPayloadStore
from workflows.staging import Staged, check, stage

BUCKET = "bucket"
CSV = b"date,value\n2024-01-02,100\n2024-01-03,101\n"
INLINE = {"dates": ["2024-01-02", "2024-01-03"], "values": [100.0, 101.0]}


def request(*valuations: object, **more: Any) -> dict[str, Any]:
    portfolios = [{"portfolio_id": f"p-{index}", "valuations": each} for index, each in enumerate(valuations)]
    return {"portfolios": portfolios, **more}


def staged(document: object, base: Path, payloads: InMemoryPayloadStore) -> Staged:
    return stage(check(document, base), base, payloads, BUCKET)


def uri_of(body: bytes, ending: str) -> str:
    return f"s3://{BUCKET}/inputs/{hashlib.sha256(body).hexdigest()}.{ending}"


def test_a_small_inline_request_is_left_alone(tmp_path: Path) -> None:
    payloads = InMemoryPayloadStore()
    found = staged(request(INLINE), tmp_path, payloads)
    assert found.request["portfolios"][0]["valuations"] == INLINE
    assert (found.origins, payloads.objects) == ({}, {})


def test_a_file_becomes_an_object_named_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    (tmp_path / "b.data").write_bytes(CSV)
    payloads = InMemoryPayloadStore()
    document = request({"source": "a.csv"}, {"source": "b.data", "format": "csv"})
    found = staged(document, tmp_path, payloads)
    uri = uri_of(CSV, "csv")
    assert [each["valuations"] for each in found.request["portfolios"]] == [{"source": uri}] * 2
    assert payloads.objects == {uri.removeprefix(f"s3://{BUCKET}/"): CSV}
    assert staged(document, tmp_path, payloads).request == found.request, "a repeated run is the same run"


def test_the_user_s_name_of_an_object_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    found = staged(request({"source": "a.csv"}), tmp_path, InMemoryPayloadStore())
    assert found.origins == {uri_of(CSV, "csv"): "a.csv"}


def test_the_benchmark_and_a_file_of_portfolios_are_staged_too(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(CSV)
    (tmp_path / "all.jsonl").write_bytes(b"{}\n")
    document = {"portfolios": {"source": "all.jsonl"}, "benchmark": {"valuations": {"source": "index.csv"}}}
    found = staged(document, tmp_path, InMemoryPayloadStore()).request
    assert found["portfolios"] == {"source": uri_of(b"{}\n", "jsonl")}
    assert found["benchmark"]["valuations"] == {"source": uri_of(CSV, "csv")}


def test_what_is_on_s3_already_is_not_touched(tmp_path: Path) -> None:
    payloads = InMemoryPayloadStore()
    found = staged(request({"source": "s3://other/key.csv"}), tmp_path, payloads)
    assert found.request["portfolios"][0]["valuations"]["source"] == "s3://other/key.csv"
    assert payloads.objects == {}


def test_long_histories_leave_the_state_longest_first(tmp_path: Path) -> None:
    def history(days: int) -> dict[str, Any]:
        dates = [f"20{n // 336:02}-{1 + n // 28 % 12:02}-{1 + n % 28:02}" for n in range(days)]
        return {"dates": dates, "values": [1000.0 + n for n in range(days)]}

    payloads = InMemoryPayloadStore()
    found = staged(request(history(10_000), history(20_000), INLINE), tmp_path, payloads)
    short, long, tiny = (each["valuations"] for each in found.request["portfolios"])
    assert set(long) == {"source"}
    assert "values" in short
    assert tiny == INLINE
    assert len(canonical_json(found.request)) <= STATE_BUDGET_BYTES
    assert found.origins == {long["source"]: "$.portfolios[1].valuations"}
    [body] = payloads.objects.values()
    assert json.loads(body) == history(20_000)


def test_every_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(MAX_SERIES_BYTES + 1)
    document = request(
        {"source": "missing.csv"},
        {"source": ".", "format": "csv"},
        {"source": "pipe.csv"},
        {"source": "huge.csv"},
        {"source": "nul\0.csv"},
    )
    with pytest.raises(InvalidRequestError) as caught:
        check(document, tmp_path)
    assert [str(fault) for fault in caught.value.faults] == [
        "$.portfolios[0].valuations.source: missing.csv: No such file or directory",
        "$.portfolios[1].valuations.source: .: is not a file",
        "$.portfolios[2].valuations.source: pipe.csv: is not a file",
        "$.portfolios[3].valuations.source: huge.csv: is of 16,777,217 bytes, larger than the 16,777,216 that are read",
        "$.portfolios[4].valuations.source: 'nul\\x00.csv' is not a path",
    ]


def test_a_file_of_portfolios_may_be_larger_than_one_of_a_series(tmp_path: Path) -> None:
    for size in (MAX_SERIES_BYTES + 1, MAX_PORTFOLIOS_BYTES):
        with (tmp_path / "all.jsonl").open("wb") as file:
            file.truncate(size)
        check({"portfolios": {"source": "all.jsonl"}}, tmp_path)
    with (tmp_path / "all.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(InvalidRequestError, match="larger than the 67,108,864 that are read"):
        check({"portfolios": {"source": "all.jsonl"}}, tmp_path)


def test_a_file_that_vanishes_after_the_check_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CSV)
    checked = check(request({"source": "a.csv"}), tmp_path)
    (tmp_path / "a.csv").unlink()
    with pytest.raises(InvalidRequestError, match=r"a\.csv: No such file"):
        stage(checked, tmp_path, InMemoryPayloadStore(), BUCKET)
