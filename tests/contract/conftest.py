"""What the suites of the DynamoDB stores share: ExtendDB."""

from collections.abc import Iterator

import pytest

from workflows.local.dynamodb import LocalDynamoDB, find_extenddb


@pytest.fixture(scope="module")
def extenddb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if find_extenddb() is None:
        pytest.skip("ExtendDB is not installed: npm ci")
    with LocalDynamoDB(tmp_path_factory.mktemp("extenddb")) as local:
        assert local.endpoint is not None
        yield local.endpoint
