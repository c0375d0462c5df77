"""A deployed stage as commands find it: the outputs of its stacks, and one message for what AWS refuses."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from common.errors import PerformanceCalculatorError, StoreError, TransientError
from workflows.deployed import (
    OwnerGoneError,
    StageError,
    aws_session,
    open_stage,
    stage_outputs,
    understood,
)

STACK = "investment-performance-dev"
ALIAS = "arn:aws:states:eu-west-1:123456789012:stateMachine:m:live"
STORAGE = {"ResultTable": "results", "EntityTable": "entities", "PayloadBucket": "payloads", "UploadBucket": "u"}
FLEET_ALIAS = ALIAS.replace(":m:", ":fleet:")
WORKFLOW = {"StateMachineArn": ALIAS, "FleetStateMachineArn": FLEET_ALIAS, "ExportsOutputRefSomething": "x"}
TIME_SERIES = {"TimeSeriesDatabase": "d", "TimeSeriesTable": "t"}


class Session:
    """A session whose CloudFormation answers from a script."""

    def __init__(self) -> None:
        self._session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name="eu-west-1")
        self.stubber = Stubber(self.client("cloudformation"))

    def client(self, service: str, **options: Any) -> Any:
        if service == "cloudformation" and hasattr(self, "stubber"):
            return self.stubber.client
        return self._session.client(service, **options)  # type: ignore[call-overload]  # any service

    def add(self, part: str, outputs: dict[str, str] | None) -> None:
        name = f"{STACK}-{part}"
        if outputs is None:
            self.stubber.add_client_error(
                "describe_stacks", "ValidationError", f"Stack with id {name} does not exist", 400
            )
            return
        told = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]
        stack: Any = {
            "StackName": name,
            "CreationTime": "2026-01-02T03:04:05Z",
            "StackStatus": "CREATE_COMPLETE",
            "Outputs": told,
        }
        self.stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": name})


@pytest.fixture
def session() -> Iterator[Any]:
    found = Session()
    with found.stubber:
        yield found
        found.stubber.assert_no_pending_responses()


def test_a_stage_is_what_its_outputs_say(session: Any) -> None:
    for part, outputs in (("storage", STORAGE), ("workflow", WORKFLOW), ("time-series", TIME_SERIES)):
        session.add(part, outputs)
    stage = open_stage(session, STACK)
    assert stage.describe() == [
        "AWS: investment-performance-dev, account 123456789012, region eu-west-1",
        "Time series: Timestream d.t",
    ]
    assert stage.executions.state_machine_arn == ALIAS, "starts go through the alias"
    assert stage.fleet.state_machine_arn == FLEET_ALIAS
    # What has run is the state machine's, whichever version it was.
    assert stage.executions.arn("x") == "arn:aws:states:eu-west-1:123456789012:execution:m:x"
    assert stage.payload_bucket == "payloads"
    assert stage.time_series_reader is not None


def test_a_stage_without_a_time_series_has_no_reader_of_one(session: Any) -> None:
    for part, outputs in (("storage", STORAGE), ("workflow", WORKFLOW), ("time-series", None)):
        session.add(part, outputs)
    stage = open_stage(session, STACK)
    assert stage.time_series_reader is None
    assert stage.describe()[1] == "Time series: none"


@pytest.mark.parametrize("parts", [[("storage", None)], [("storage", STORAGE), ("workflow", None)]])
def test_a_stage_that_is_not_there_is_told_with_the_region(
    session: Any, parts: list[tuple[str, dict[str, str] | None]]
) -> None:
    for part, outputs in parts:
        session.add(part, outputs)
    with pytest.raises(StageError, match=f"There is no stack {STACK}-{parts[-1][0]} in eu-west-1: "):
        stage_outputs(session, STACK)


def test_a_stage_of_another_version_is_told_with_what_it_lacks(session: Any) -> None:
    for part, outputs in (("storage", {"UploadBucket": "u"}), ("workflow", WORKFLOW), ("time-series", {})):
        session.add(part, outputs)
    with pytest.raises(StageError, match="do not tell EntityTable, PayloadBucket, ResultTable: they are of another"):
        stage_outputs(session, STACK)


def test_another_refusal_of_cloudformation_is_not_a_missing_stack(session: Any) -> None:
    session.stubber.add_client_error("describe_stacks", "ValidationError", "the name is too long", 400)
    with pytest.raises(ClientError, match="too long"):
        stage_outputs(session, STACK)


def refused(code: str, message: str = "said the service", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # what else is in it is not read
        "DescribeStacks",
    )


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (refused("ExpiredToken"), StageError, "dev: the credentials have expired; sign in again"),
        (refused("ExpiredTokenException"), StageError, "dev: the credentials have expired; sign in again"),
        (refused("InvalidClientTokenId"), StageError, "dev: AWS does not know these credentials; choose another"),
        (refused("UnrecognizedClientException"), StageError, "dev: AWS does not know these credentials"),
        (
            refused("AccessDenied"),
            StageError,
            "dev: these credentials do not permit DescribeStacks: said the service",
        ),
        (refused("AccessDeniedException"), StageError, "dev: these credentials do not permit DescribeStacks"),
        (refused("Whatever"), StageError, "dev: An error occurred .Whatever. .*: said the service"),
        (exceptions.NoCredentialsError(), StageError, "dev: Unable to locate credentials; --profile or"),
        (
            exceptions.PartialCredentialsError(provider="env", cred_var="x"),
            StageError,
            "dev: Partial credentials found .*; --profile or",
        ),
        (exceptions.ProfileNotFound(profile="p"), StageError, r"dev: The config profile \(p\) could not be found; "),
        (exceptions.NoRegionError(), StageError, "dev: You must specify a region; --profile, --region or"),
        (exceptions.UnauthorizedSSOTokenError(), StageError, "dev: the session has expired; sign in again, with"),
        (
            exceptions.EndpointConnectionError(endpoint_url="https://x"),
            TransientError,
            "dev: AWS cannot be reached: Could not connect",
        ),
    ],
)
def test_what_aws_refuses_is_one_message_on_what_to_do(error: Exception, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught, understood("dev"):
        raise error
    assert "\n" not in str(caught.value)


def test_what_a_store_has_given_a_type_is_explained_too() -> None:
    def read() -> None:
        try:
            raise refused("AccessDeniedException")
        except ClientError as error:
            raise StoreError("DynamoDB: An error occurred") from error

    with pytest.raises(StageError, match="dev: these credentials do not permit"), understood("dev"):
        read()


def test_an_error_of_ours_passes() -> None:
    with pytest.raises(StoreError, match=r"^full$"), understood("dev"):
        raise StoreError("full")


def test_a_process_that_has_gone_is_none_of_aws_s() -> None:
    error = exceptions.ConnectionClosedError(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(OwnerGoneError) as caught, understood("here", attached=True):
        raise error
    assert isinstance(caught.value, PerformanceCalculatorError)


def test_a_session_has_the_profile_and_the_region_that_were_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-3\n")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert aws_session("work", "").region_name == "eu-west-3"
    assert aws_session("work", "us-east-2").region_name == "us-east-2"
    assert aws_session("", "us-east-2").region_name == "us-east-2"
