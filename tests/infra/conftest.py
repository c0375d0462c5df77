"""Synthesises each stage once for all tests, without building the functions' packages."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from infra.settings import STAGES, StageSettings
from tests.infra.templates import Synthesis

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def _changed(stage: str, **changes: object) -> StageSettings:
    return StageSettings.model_validate(STAGES[stage].model_dump() | changes)


VARIANTS = {
    "dev": STAGES["dev"],
    "prod": _changed(
        "prod", alarm_email="operations@example.com", provisioned_concurrency={"Api": 5, "PersistDynamoDB": 2}
    ),
    "none": _changed(
        "dev",
        time_series_store="none",
        batch_execution_type="STANDARD",
        snap_start={"Authorizer", "CalculatePortfolio"},
    ),
}
"""Every stage, among them a deployment without a time series, with the settings that a stage need not have."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of this name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of the templates in one process: each process would synthesise for itself."""
    for item in items:
        if item.path.is_relative_to(HERE) and "synthesise" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("infra"))


@pytest.fixture(scope="session")
def synthesise(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Synthesis]:
    if shutil.which("node") is None:
        pytest.skip("Node is not here, and CDK is a program of Node's")
    return cache(lambda variant: _synthesise(VARIANTS[variant], tmp_path_factory.mktemp(variant)))


@pytest.fixture(params=VARIANTS)
def synthesis(request: pytest.FixtureRequest, synthesise: Callable[[str], Synthesis]) -> Synthesis:
    """Return each variant in turn."""
    return synthesise(request.param)


@pytest.fixture
def dev(synthesise: Callable[[str], Synthesis]) -> Synthesis:
    return synthesise("dev")


@pytest.fixture
def prod(synthesise: Callable[[str], Synthesis]) -> Synthesis:
    return synthesise("prod")


@pytest.fixture
def without_time_series(synthesise: Callable[[str], Synthesis]) -> Synthesis:
    return synthesise("none")


def context() -> dict[str, object]:
    """Return the context of `cdk.json`, and that no package is to be built."""
    flags: dict[str, object] = json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]
    return {**flags, "aws:cdk:bundling-stacks": []}


def _synthesise(settings: StageSettings, directory: Path) -> Synthesis:
    from aws_cdk import App  # noqa: PLC0415 - starts Node

    from infra.app import build  # noqa: PLC0415 - as above

    app = App(context=context(), outdir=str(directory))
    build(app, settings)
    app.synth()  # raises where cdk-nag finds what nobody has acknowledged
    templates = {
        file.name.removesuffix(".template.json").removeprefix(f"{settings.prefix}-"): json.loads(
            file.read_text("utf-8")
        )
        for file in directory.glob("*.template.json")
    }
    return Synthesis(settings, templates, directory)
