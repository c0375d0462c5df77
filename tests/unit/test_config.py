import pytest
from pydantic import ValidationError

from common.access import Buckets
from common.config import (
    AuthorizerSettings,
    BooksSettings,
    CacheSettings,
    CalendarSettings,
    ExecutionSettings,
    FleetSettings,
    FunctionSettings,
    PayloadSettings,
    QueueSettings,
    ResultStoreSettings,
    TimeSeriesSettings,
)
from workflows.registry import FUNCTIONS

REQUIRED: dict[type[FunctionSettings], dict[str, str]] = {
    AuthorizerSettings: {"JWT_SECRET_ID": "keys", "JWT_ISSUER": "us", "JWT_AUDIENCE": "them"},
    BooksSettings: {"ENTITY_TABLE": "entities"},
    CacheSettings: {"CACHE_TABLE": "cache"},
    ExecutionSettings: {"STATE_MACHINE_ARN": "arn"},
    FleetSettings: {"FLEET_STATE_MACHINE_ARN": "arn"},
    PayloadSettings: {"PAYLOAD_BUCKET": "payloads"},
    QueueSettings: {"TRANSACTION_QUEUE_URL": "https://queue"},
    ResultStoreSettings: {"DYNAMODB_TABLE": "results"},
    TimeSeriesSettings: {"TIMESTREAM_DATABASE": "performance", "TIMESTREAM_TABLE": "metrics"},
}


@pytest.mark.parametrize(("kind", "environment"), REQUIRED.items())
def test_endpoints_are_empty_on_aws(kind: type[FunctionSettings], environment: dict[str, str]) -> None:
    settings = kind.from_env({**environment, "PATH": "/bin"})
    assert [value for name, value in settings if name.endswith("endpoint")] in ([None], [None, None])


@pytest.mark.parametrize(("kind", "environment"), REQUIRED.items())
def test_what_is_missing_is_told_by_the_name_of_its_variable(
    kind: type[FunctionSettings], environment: dict[str, str]
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.from_env({})
    assert {str(error["loc"][0]) for error in caught.value.errors()} == environment.keys()


def test_settings_do_not_change_once_read() -> None:
    settings = PayloadSettings.from_env({"PAYLOAD_BUCKET": "payloads"})
    with pytest.raises(ValidationError, match="frozen"):
        settings.bucket = "other"  # type: ignore[misc]  # as it says


def test_the_process_is_asked_when_no_environment_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_TABLE", "results")
    assert ResultStoreSettings.from_env().table == "results"


def test_what_is_wrong_is_told_without_the_environment() -> None:
    with pytest.raises(ValidationError) as caught:
        BooksSettings.from_env({"AWS_SECRET_ACCESS_KEY": "do not tell"})
    assert "do not tell" not in str(caught.value)


def test_the_registry_gives_each_function_settings_that_exist() -> None:
    kinds: list[type[FunctionSettings]] = [*REQUIRED, CalendarSettings, Buckets]
    known = {field.alias for kind in kinds for field in kind.model_fields.values()}
    told = {name for function in FUNCTIONS.values() for name in function.environment}
    assert told <= known
    assert {name for environment in REQUIRED.values() for name in environment} <= told
