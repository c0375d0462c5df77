"""`perfcalc` against a stage in moto: its stacks told by CloudFormation, and what is called in this process."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tests.e2e.flow import Answer
from tests.infra.deployed import Deployed
from workflows.cli import main
from workflows.cli.app import err, out


@contextmanager
def commands(stage: Deployed) -> Iterator[Callable[..., Answer]]:
    """Yield what calls `perfcalc --stack` as the shell would, for the length of a `with` block.

    The outputs are those of the templates. moto's own CloudFormation would make everything once more.
    """
    prefix = stage.synthesis.settings.prefix
    stacks = {f"{prefix}-{name}": _outputs(stage, name) for name in stage.synthesis.templates}

    def answer(params: Any, **_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
        name = params["body"]["StackName"]
        if name not in stacks:
            error = {"Code": "ValidationError", "Message": f"Stack with id {name} does not exist"}
            return SimpleNamespace(status_code=400), {
                "Error": error,
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in stacks[name].items()]
        return SimpleNamespace(status_code=200), {"Stacks": [{"StackName": name, "Outputs": outputs}]}

    session = boto3.DEFAULT_SESSION
    assert session is not None
    handler: Callable[..., Any] = answer  # botocore takes what a hook returns
    with pytest.MonkeyPatch.context() as patch:
        session.events.register("before-call.cloudformation.DescribeStacks", handler)
        patch.setattr("workflows.cli.app.aws_session", lambda profile, region: _Session(session, stage.timestream))
        patch.setenv("COLUMNS", "200")
        try:
            yield _called
        finally:
            session.events.unregister("before-call.cloudformation.DescribeStacks", handler)


class _Session:
    """A session that knows where Timestream stands, which moto does not make."""

    def __init__(self, session: boto3.Session, timestream: str) -> None:
        self._session = session
        self._own = {"timestream-query": {"endpoint_url": timestream}}

    def client(self, service: str, **options: Any) -> Any:
        return self._session.client(service, **self._own.get(service, {}), **options)  # type: ignore[call-overload]  # any service


def _called(*arguments: object) -> Answer:
    told, errors = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["perfcalc", *map(str, arguments)])
        patch.setattr(sys, "stdout", told)
        patch.setattr(out, "_file", told)  # `file` would be put back as what it was then, for good
        patch.setattr(err, "_file", errors)
        with pytest.raises(SystemExit) as ended:
            main.main()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return Answer(code or 0, told.buffer.getvalue().decode(), errors.getvalue())


def _outputs(stage: Deployed, stack: str) -> dict[str, str]:
    """Return the outputs of a stack that are for others than the stacks themselves."""
    outputs = stage.synthesis.templates[stack].get("Outputs", {})
    return {
        name: stage.resolve(stack, output["Value"])
        for name, output in outputs.items()
        if "Export" not in output and name != "ApiEndpoint"  # moto makes no API
    }


def parsed(answer: Answer) -> Any:
    """Return the document a command printed."""
    assert answer.code in {0, 3}, answer
    return json.loads(answer.out)
