"""What the suites of the DynamoDB stores share: ExtendDB, and the credentials that it knows."""

from collections.abc import Iterator

import boto3
import pytest

from workflows.local.dynamodb import ACCESS_KEY, SECRET_KEY, LocalDynamoDB, find_extenddb


@pytest.fixture(scope="module")
def extenddb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if find_extenddb() is None:
        pytest.skip("ExtendDB is not installed: npm ci")
    with LocalDynamoDB(tmp_path_factory.mktemp("extenddb")) as local:
        assert local.endpoint is not None
        yield local.endpoint


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    # boto3's own session keeps the credentials that it found first, for whichever test that was.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
