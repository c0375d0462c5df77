"""Tells what another engine has to be started with, where the tests are to run against one."""

from tests.workflow.other_engine import ENDPOINT, STARTED_WITH


def pytest_report_header() -> list[str]:
    if ENDPOINT is None:
        return []
    settings = " ".join(f"{name}={value}" for name, value in STARTED_WITH.items())
    return [f"workflow tests run against {ENDPOINT}, which has to be started with {settings}"]
