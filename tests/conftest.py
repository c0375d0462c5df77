"""What suites of all kinds share."""

import gc
import os
from collections.abc import Iterator

import boto3
import pytest
from hypothesis import HealthCheck, settings

from common.observability import logger
from tests.signals import handlers_restored
from workflows.local.dynamodb import ACCESS_KEY, SECRET_KEY

# How long an example takes says how busy the machine is.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", _PATIENT)
# What decides whether a change may land is the same each time it is asked; a person's `make test` looks further.
settings.register_profile("repeatable", _PATIENT, derandomize=True, print_blob=True)
settings.load_profile("random")


def pytest_sessionstart() -> None:
    # A worker holds every test, and moto's and botocore's models: looking through those for garbage each time that some
    # have been added to them was a quarter of the suite's time.
    gc.set_threshold(100_000, 20, 100)
    # The functions' log goes to what the standard output is when it is first asked for: not to what a test captures,
    # which is closed at its end.
    logger()


def pytest_xdist_auto_num_workers() -> int:
    # One more than there are processors: a fifth of the time tests wait for what they have started.
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def signal_handlers() -> Iterator[None]:
    """Give the process back the handlers of signals that `perfcalc` sets when it is called in it."""
    with handlers_restored():
        yield


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give clients the credentials that ExtendDB knows; moto takes any."""
    # boto3's own session keeps the credentials that it found first, for whichever test that was.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
