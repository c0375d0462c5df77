"""One suite for every `PayloadStore`: the fake and S3 on moto."""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from moto import mock_aws

from common.config import PayloadSettings
from common.errors import InputNotFoundError, InvalidPortfolioError, StoreError, ThrottledError, TransientError
from common.stores.memory import InMemoryPayloadStore
from common.stores.ports import PayloadStore
from common.stores.s3 import S3PayloadStore, payload_store

BUCKET = "payloads"


@pytest.fixture
def s3(credentials: None) -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3")
        for bucket in (BUCKET, "theirs"):
            client.create_bucket(Bucket=bucket)
        client.put_object(Bucket="theirs", Key="a/b.csv", Body=b"date,value\n")
        yield client


@pytest.fixture(params=["memory", "s3"])
def versions(request: pytest.FixtureRequest) -> tuple[PayloadStore, list[str]]:
    """Return a store, and the versions of `s3://theirs/v.json`: one, two."""
    if request.param == "memory":
        names = {"s3://theirs/v.json?versionId=1": b"one", "s3://theirs/v.json?versionId=2": b"two"}
        return InMemoryPayloadStore({**names, "s3://theirs/v.json": b"two"}), ["1", "2"]
    client = request.getfixturevalue("s3")
    client.put_bucket_versioning(Bucket="theirs", VersioningConfiguration={"Status": "Enabled"})
    puts = [client.put_object(Bucket="theirs", Key="v.json", Body=body) for body in (b"one", b"two")]
    return S3PayloadStore(client, BUCKET), [each["VersionId"] for each in puts]


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> PayloadStore:
    if request.param == "memory":
        return InMemoryPayloadStore({"s3://theirs/a/b.csv": b"date,value\n"})
    return S3PayloadStore(request.getfixturevalue("s3"), BUCKET)


def test_what_is_put_can_be_got(store: PayloadStore) -> None:
    store.put("work/1.json", b"one")
    store.put("work/1.json", b"two")
    assert store.get("work/1.json") == b"two"


def test_what_is_not_there_is_told(store: PayloadStore) -> None:
    with pytest.raises(InputNotFoundError):
        store.get("work/none.json")
    with pytest.raises(InputNotFoundError, match=r"s3://theirs/none\.csv: there is no such object"):
        store.get_uri("s3://theirs/none.csv", max_bytes=100)


def test_an_object_of_another_bucket(store: PayloadStore) -> None:
    assert store.get_uri("s3://theirs/a/b.csv", max_bytes=100) == b"date,value\n"


def test_a_version_of_an_object(versions: tuple[PayloadStore, list[str]]) -> None:
    store, (first, second) = versions
    assert store.get_uri("s3://theirs/v.json", max_bytes=100) == b"two"
    assert store.get_uri("s3://theirs/v.json", max_bytes=100, version=first) == b"one"
    assert store.get_uri("s3://theirs/v.json", max_bytes=100, version=second) == b"two"
    with pytest.raises(InvalidPortfolioError, match="larger than"):
        store.get_uri("s3://theirs/v.json", max_bytes=2, version=first)
    for key, version in (("v.json", "0b5a4d4e-0000-4000-8000-000000000000"), ("none.json", first)):
        with pytest.raises(InputNotFoundError, match="there is no such object"):
            store.get_uri(f"s3://theirs/{key}", max_bytes=100, version=version)


def test_an_object_that_is_too_large(store: PayloadStore) -> None:
    with pytest.raises(InvalidPortfolioError, match="larger than"):
        store.get_uri("s3://theirs/a/b.csv", max_bytes=5)


def test_a_file_is_stored_from_where_it_stands_and_stays_open(store: PayloadStore) -> None:
    file = BytesIO(b"0123456789")
    file.seek(4)
    store.put_file("inputs/file", file)
    assert store.get("inputs/file") == b"456789"


def test_an_object_is_read_piece_by_piece(store: PayloadStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.stores.s3.STREAM_BYTES", 7)
    body = b"".join(b"%d\n" % number for number in range(1000))
    store.put("inputs/lines", body)
    uri = f"s3://{BUCKET}/inputs/lines" if isinstance(store, S3PayloadStore) else "inputs/lines"
    with closing(store.open_uri(uri)) as file:
        assert list(file) == body.splitlines(keepends=True)
    store.put("inputs/lines", b"")
    with closing(store.open_uri(uri)) as file:
        assert file.read() == b""


def test_what_is_not_there_cannot_be_opened(store: PayloadStore) -> None:
    with pytest.raises(InputNotFoundError, match=r"s3://theirs/none: there is no such object"):
        store.open_uri("s3://theirs/none")


def test_keys_are_told_in_their_order(store: PayloadStore) -> None:
    for key in ("b/2", "b/1", "a", "c"):
        store.put(key, b"")
    assert list(store.keys("b/")) == ["b/1", "b/2"]
    assert list(store.keys("none/")) == []


@pytest.mark.slow
def test_more_keys_than_a_page_has(s3: Any) -> None:
    store = S3PayloadStore(s3, BUCKET)
    for number in range(1001):
        store.put(f"many/{number:04}", b"")
    assert len(list(store.keys("many/"))) == 1001


def test_an_object_that_is_replaced_while_it_is_read_is_told(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.stores.s3.STREAM_BYTES", 4)
    store = S3PayloadStore(s3, BUCKET)
    store.put("inputs/lines", b"one\ntwo\n")
    with closing(store.open_uri(f"s3://{BUCKET}/inputs/lines")) as file:
        assert file.readline() == b"one\n"
        store.put("inputs/lines", b"1\n2\n3\n4\n")
        with pytest.raises(InputNotFoundError, match=rf"s3://{BUCKET}/inputs/lines: was replaced while it was read"):
            file.read()


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("SlowDown", 503, ThrottledError),
        ("InternalError", 500, TransientError),
        ("ServiceUnavailable", 503, TransientError),
        ("NoSuchBucket", 404, InputNotFoundError),
        ("NoSuchVersion", 404, InputNotFoundError),
        ("AccessDenied", 403, InputNotFoundError),
        ("InvalidRequest", 400, StoreError),
    ],
)
def test_errors_are_typed(s3: Any, code: str, status: int, expected: type[Exception]) -> None:
    def fail(model: Any, **_: Any) -> None:
        answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise ClientError(answer, model.name)

    s3.meta.events.register("before-call.s3.GetObject", fail)
    with pytest.raises(expected) as caught:
        S3PayloadStore(s3, BUCKET).get("key")
    assert caught.type is expected


def test_a_store_that_does_not_answer_is_a_passing_fault(s3: Any) -> None:
    def hang(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="s3")

    s3.meta.events.register("before-call.s3.GetObject", hang)
    with pytest.raises(TransientError):
        S3PayloadStore(s3, BUCKET).get("key")


def test_a_body_that_breaks_off_is_a_passing_fault(s3: Any) -> None:
    def cut(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Body"] = StreamingBody(BytesIO(b"abc"), 10)

    s3.put_object(Bucket=BUCKET, Key="key", Body=b"0123456789")
    s3.meta.events.register("after-call.s3.GetObject", cut)
    store = S3PayloadStore(s3, BUCKET)
    with pytest.raises(TransientError, match="3 read, but total bytes expected is 10"):
        store.get("key")
    with closing(store.open_uri(f"s3://{BUCKET}/key")) as file, pytest.raises(TransientError):
        file.read()


def test_the_store_of_the_settings(s3: Any) -> None:
    settings = PayloadSettings.from_env({"PAYLOAD_BUCKET": BUCKET})
    assert payload_store(settings) is payload_store(settings)
    payload_store(settings).put("key", b"body")
    assert s3.get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"body"
