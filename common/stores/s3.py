"""`PayloadStore` on S3."""

from typing import TYPE_CHECKING

from common.config import PayloadSettings
from common.errors import InputNotFoundError, InvalidPortfolioError
from common.stores.botocore_errors import typed_errors
from common.stores.clients import Patience, aws_client
from common.warm import kept

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Three attempts of at most 10 s each end well within a function's 60 s.
PATIENCE = Patience(attempts=3, connect_seconds=3, read_seconds=10)
CONNECTIONS = 32


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
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            with typed_errors("S3"):
                if version is None:
                    answer = self._client.get_object(Bucket=bucket, Key=key)
                else:
                    answer = self._client.get_object(Bucket=bucket, Key=key, VersionId=version)
                if answer["ContentLength"] > max_bytes:
                    raise InvalidPortfolioError(f"{uri}: larger than {max_bytes // 1024 // 1024} MiB")
                return answer["Body"].read()
        except InputNotFoundError:
            raise InputNotFoundError(f"{uri}: there is no such object, or it may not be read") from None


@kept
def payload_store(settings: PayloadSettings) -> S3PayloadStore:
    """Return the store of these settings; a warm function keeps it."""
    client = aws_client("s3", settings.s3_endpoint, PATIENCE, connections=CONNECTIONS)
    return S3PayloadStore(client, settings.bucket)
