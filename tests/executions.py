"""Executions that are started and never run: moto's Step Functions, which keeps names and inputs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto import mock_aws

from workflows.executions import ExecutionClient, ExecutionStatus
from workflows.local.engine import ROLE_ARN

DEFINITION = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 1, "End": True}}})


@contextmanager
def never_ending(monkeypatch: Any) -> Iterator[ExecutionClient]:
    """Yield a client whose executions run for good."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield never_ending_machine("calculation")


def never_ending_machine(name: str) -> ExecutionClient:
    """Return the executions of one more state machine of the same kind; that of the name where there is one."""
    client = boto3.client("stepfunctions")
    arn = client.create_state_machine(name=name, definition=DEFINITION, roleArn=ROLE_ARN)["stateMachineArn"]
    return ExecutionClient(client, arn)


def stop_all(executions: ExecutionClient) -> None:
    """End what runs."""
    for execution in list(executions.list(status=ExecutionStatus.RUNNING)):
        executions.stop(execution.name)
