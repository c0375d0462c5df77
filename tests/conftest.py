"""What suites of all kinds share."""

from collections.abc import Iterator

import pytest

from tests.signals import handlers_restored


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    """Give the process back the handlers of signals that `perfcalc` sets when it is called in it."""
    with handlers_restored():
        yield
