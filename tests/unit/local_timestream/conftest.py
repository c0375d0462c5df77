"""A local Timestream for each module of tests, a table of it for each test."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.time_series import timestream_client
from tests.unit.local_timestream.world import DATABASE, NOW, Table
from workflows.local.timestream import LocalTimestream

_table_numbers = count()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalTimestream(tmp_path_factory.mktemp("timestream") / "timestream.duckdb", clock=lambda: NOW) as local:
        timestream_client("write", local.endpoint).create_database(DatabaseName=DATABASE)
        yield local.endpoint


@pytest.fixture
def table(endpoint: str) -> Table:
    return Table.of(endpoint, f"table_{next(_table_numbers)}")


@pytest.fixture
def memory_table(endpoint: str) -> Table:
    """Return a table that takes nothing older than its memory store keeps."""
    return Table.of(endpoint, f"table_{next(_table_numbers)}", magnetic=False)
