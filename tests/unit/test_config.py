import pytest
from pydantic import ValidationError

from common.config import FunctionSettings, PayloadSettings, ResultStoreSettings, TimeSeriesSettings
from workflows.registry import TASKS

REQUIRED = {
    PayloadSettings: {"PAYLOAD_BUCKET": "payloads"},
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
        settings.bucket = "other"


def test_the_process_is_asked_when_no_environment_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_TABLE", "results")
    assert ResultStoreSettings.from_env().table == "results"


def test_the_registry_gives_each_function_settings_that_exist() -> None:
    known = {name for environment in REQUIRED.values() for name in environment}
    assert {name for task in TASKS.values() for name in task.environment} == known
