"""`PayloadStore` on S3."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from common.config import PayloadSettings
from common.errors import InputNotFoundError, InvalidPortfolioError, too_large
from common.stores.botocore_errors import REPLACED, error_code, typed_errors
from common.stores.clients import Patience, aws_client
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Three attempts of at most 10 s each end well within a function's 60 s.
PATIENCE = Patience(attempts=3, connect_seconds=3, read_seconds=10)
CONNECTIONS = 32
# Of a file that is read piece by piece: a request for each.
STREAM_BYTES = 8 * 1024 * 1024


class S3PayloadStore:
    """Objects of one bucket, and those of others that a request refers to.

    Parameters
    ----------
    client
        A boto3 client of S3.
    bucket
        Where `put` and `get` keep things.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`, replacing what is there."""
        with typed_errors("S3"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        """Return the object under `key`."""
        with typed_errors("S3"):
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def get_uri(self, uri: str, *, max_bytes: int, version: str | None = None) -> bytes:
        """Return the object that `s3://bucket/key` names, or a version of it, unless it is larger than `max_bytes`."""
        bucket, key = _parts(uri)
        with _told_by_uri(bucket, key):
            if version is None:
                answer = self._client.get_object(Bucket=bucket, Key=key)
            else:
                answer = self._client.get_object(Bucket=bucket, Key=key, VersionId=version)
            if answer["ContentLength"] > max_bytes:
                raise InvalidPortfolioError(f"{uri}: {too_large(answer['ContentLength'], max_bytes)}")
            return answer["Body"].read()

    def open_uri(self, uri: str) -> BinaryIO:
        """Open the object that `s3://bucket/key` names; a connection that breaks on the way is taken up again."""
        return io.BufferedReader(_S3Stream(self._client, *_parts(uri)), STREAM_BYTES)

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Store what `file` holds, in parts where it is long."""
        with typed_errors("S3"):
            self._client.upload_fileobj(Bucket=self._bucket, Key=key, Fileobj=file)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`."""
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix))
        while True:
            with typed_errors("S3"):
                page = next(pages, None)
            if page is None:
                return
            yield from (each["Key"] for each in page.get("Contents", ()))


class _S3Stream(io.RawIOBase):
    """An object read by ranges, each a request of its own with its own retries, all of the same version of it."""

    def __init__(self, client: "S3Client", bucket: str, key: str) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        with _told_by_uri(bucket, key):
            head = client.head_object(Bucket=bucket, Key=key)
        self._size, self._etag, self._at = head["ContentLength"], head["ETag"], 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        with _told_by_uri(self._bucket, self._key):
            answer = self._client.get_object(
                Bucket=self._bucket,
                Key=self._key,
                Range=f"bytes={self._at}-{self._at + wanted - 1}",
                IfMatch=self._etag,
            )
            body = answer["Body"].read()
        buffer[: len(body)] = body
        self._at += len(body)
        return len(body)


def _parts(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def _told_by_uri(bucket: str, key: str) -> Iterator[None]:
    try:
        with typed_errors("S3"):
            yield
    except InputNotFoundError as error:
        replaced = error_code(error.__cause__) == REPLACED
        what = "was replaced while it was read" if replaced else "there is no such object, or it may not be read"
        raise InputNotFoundError(f"s3://{bucket}/{key}: {what}") from None


@kept
def payload_store(settings: PayloadSettings) -> S3PayloadStore:
    """Return the store of these settings; a warm function keeps it."""
    client = aws_client("s3", settings.s3_endpoint, PATIENCE, connections=CONNECTIONS)
    return S3PayloadStore(client, settings.bucket)
