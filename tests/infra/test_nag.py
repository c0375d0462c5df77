"""What cdk-nag and cfn-lint say."""

import json

import pytest
from cfnlint.api import ManualArgs, lint_file  # type: ignore[import-untyped]  # it has no stubs

from tests.infra.templates import Synthesis

IGNORED = {
    "W3005": "CDK writes down dependencies that a reference implies already",
    "W3697": "Timestream is in maintenance: the setting `time_series_store` does without it",
}


def test_cdk_nag_finds_nothing_that_is_not_acknowledged(synthesis: Synthesis) -> None:
    report = json.loads((synthesis.directory / "validation-report.json").read_text("utf-8"))
    assert [each for plugin in report["pluginReports"] for each in plugin["violations"]] == []


def test_cdk_nag_is_asked(dev: Synthesis) -> None:
    from aws_cdk import App, Stack, aws_sqs  # noqa: PLC0415 - starts Node

    from infra.app import check  # noqa: PLC0415 - as above

    app = App()
    aws_sqs.Queue(Stack(app, "Stack"), "OverPlainHttp")
    check(app)
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        app.synth()


def test_every_acknowledgement_is_at_one_resource_and_has_a_reason(synthesis: Synthesis) -> None:
    found = 0
    for file in synthesis.directory.glob("*.metadata.json"):
        for path, entries in json.loads(file.read_text("utf-8")).items():
            for entry in entries:
                if entry["type"] != "aws:cdk:acknowledged-rules":
                    continue
                assert path.count("/") >= 3, f"{path} is a whole stack or construct"
                for rule, reason in entry["data"].items():
                    found += 1
                    assert len(reason.split()) >= 6, f"{path}: {rule}"
    assert found


@pytest.mark.parametrize(
    "synthesis",
    ["prod", pytest.param("dev", marks=pytest.mark.slow), pytest.param("none", marks=pytest.mark.slow)],
    indirect=True,
)
def test_cfn_lint_finds_nothing(synthesis: Synthesis) -> None:
    for file in synthesis.files():
        matches = lint_file(file, config=ManualArgs(ignore_checks=list(IGNORED)))
        assert [str(match) for match in matches] == []
