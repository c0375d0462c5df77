import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import botocore.session
import pytest
from botocore.client import BaseClient
from botocore.config import Config

from common.models.limits import INVOCATION_BYTES
from workflows.local.lambda_host import (
    Answer,
    Delay,
    Faults,
    FunctionError,
    LambdaContext,
    LambdaHost,
    Refusal,
    function_arn,
)
from workflows.registry import LambdaFunction

TIMEOUT = 0.2
RELEASED = threading.Event()


def echo(event: object, context: LambdaContext) -> object:
    return event


def tell_context(event: object, context: LambdaContext) -> dict[str, Any]:
    return {
        "name": context.function_name,
        "memory": context.memory_limit_in_mb,
        "arn": context.invoked_function_arn,
        "remaining": context.get_remaining_time_in_millis(),
        "request": context.aws_request_id,
    }


class OwnError(Exception):
    pass


def fail(event: object, context: LambdaContext) -> object:
    raise OwnError("bad “data”")


def die(event: Mapping[str, Any], context: LambdaContext) -> object:
    raise SystemExit(event.get("code"))


def hang(event: object, context: LambdaContext) -> object:
    assert RELEASED.wait(60)
    return None


def return_large(event: int, context: LambdaContext) -> str:
    return "x" * (event - 2)


def return_strange(event: str, context: LambdaContext) -> object:
    return {"set": {1}, "nan": float("nan")}[event]


HANDLERS: tuple[Callable[..., Any], ...] = (echo, tell_context, fail, die, hang, return_large, return_strange)
TASKS = {each.__name__: LambdaFunction(f"{__name__}.{each.__name__}", 1, 128, ()) for each in HANDLERS} | {
    "hang": LambdaFunction(f"{__name__}.hang", TIMEOUT, 128, ()),  # type: ignore[arg-type]  # whole seconds are too slow here
    "impatient": LambdaFunction(f"{__name__}.echo", TIMEOUT, 128, ()),  # type: ignore[arg-type]  # as above
    "nameless": LambdaFunction(f"{__name__}.no_such_handler", 1, 128, ()),
    "missing": LambdaFunction("tests.no_such_module.handler", 1, 128, ()),
}


def call(name: str, event: object = None, faults: Faults | None = None) -> Any:
    return json.loads(LambdaHost(TASKS, faults=faults).invoke(name, json.dumps(event).encode()))


def failure(name: str, event: object = None, faults: Faults | None = None) -> Mapping[str, Any]:
    with pytest.raises(FunctionError) as caught:
        call(name, event, faults)
    return caught.value.payload


def test_event_and_answer_go_through_json() -> None:
    assert call("echo", {"a": [1, 2.5, None, "é"]}) == {"a": [1, 2.5, None, "é"]}


def test_the_context_is_the_function_s() -> None:
    told = call("tell_context")
    assert 0 < told.pop("remaining") <= 1000
    assert len(told.pop("request")) == 36
    assert told == {"name": "tell_context", "memory": 128, "arn": function_arn("tell_context")}


def test_an_exception_is_named_by_its_class() -> None:
    payload = failure("fail")
    assert payload["errorType"] == "OwnError"
    assert payload["errorMessage"] == "bad “data”"
    (frame,) = payload["stackTrace"]
    assert "in fail" in frame


@pytest.mark.parametrize(("code", "status"), [(3, 3), (None, 0), ("bye", 1)])
def test_a_death_is_an_error_and_no_hanging_task(code: object, status: int) -> None:
    payload = failure("die", {"code": code})
    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith(f"Runtime exited with error: exit status {status}")


def test_a_handler_is_given_up_at_its_time_out() -> None:
    host = LambdaHost(TASKS)
    with pytest.raises(FunctionError, match=r"Task timed out after 0.20 seconds") as caught:
        host.invoke("hang", b"{}")
    assert caught.value.payload["errorType"] == "Sandbox.Timedout"
    assert not host.wait_idle(0), "it runs on"
    RELEASED.set()
    assert host.wait_idle(60)


def test_an_answer_may_be_six_megabytes_and_no_more() -> None:
    assert len(call("return_large", INVOCATION_BYTES)) == INVOCATION_BYTES - 2
    assert failure("return_large", INVOCATION_BYTES + 1)["errorType"] == "Function.ResponseSizeTooLarge"


def test_a_payload_larger_than_a_state_fails_as_the_state_would() -> None:
    assert call("echo", "x" * (262_144 - 2))
    assert failure("echo", "x" * (262_144 - 1))["errorType"] == "States.DataLimitExceeded"


def test_the_spaces_that_the_engine_writes_count_for_no_payload() -> None:
    numbers = [1] * 120_000  # 240,001 bytes, and 360,000 with a space after each comma
    assert call("echo", numbers) == numbers


@pytest.mark.parametrize("strange", ["set", "nan"])
def test_an_answer_that_is_not_json_is_an_error(strange: str) -> None:
    assert failure("return_strange", strange)["errorType"] == "Runtime.MarshalError"


def test_faults_are_counted_over_equal_events() -> None:
    seen = []

    def faults(name: str, event: object, attempt: int) -> BaseException | None:
        seen.append((name, event, attempt))
        return OwnError("first") if attempt == 1 else None

    host = LambdaHost(TASKS, faults=faults)
    with pytest.raises(FunctionError, match="first"):
        host.invoke("echo", b"1")
    assert host.invoke("echo", b"1") == b"1"
    with pytest.raises(FunctionError, match="first"):
        host.invoke("echo", b"2")
    assert seen == [("echo", 1, 1), ("echo", 1, 2), ("echo", 2, 1)]


def test_a_fault_can_answer_delay_and_kill() -> None:
    assert call("fail", faults=lambda *_: Answer({"instead": 1})) == {"instead": 1}
    assert failure("impatient", faults=lambda *_: Delay(2 * TIMEOUT))["errorType"] == "Sandbox.Timedout"
    assert failure("echo", faults=lambda *_: SystemExit(1))["errorType"] == "Runtime.ExitError"


def client(host: LambdaHost) -> BaseClient:
    session = botocore.session.Session()
    host.register(session.get_component("event_emitter"))
    return session.create_client(
        "lambda",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_the_sdk_is_answered_in_this_process() -> None:
    invoke: Any = client(LambdaHost(TASKS))
    for name in ("echo", function_arn("echo"), quote("echo")):
        answer = invoke.invoke(FunctionName=name, Payload=b'{"a":1}')
        assert json.load(answer["Payload"]) == {"a": 1}
        assert "FunctionError" not in answer
    failed = invoke.invoke(FunctionName="fail", Payload=b"{}")
    assert failed["FunctionError"] == "Unhandled"
    assert json.load(failed["Payload"])["errorType"] == "OwnError"


def test_the_sdk_is_refused_as_the_service_refuses() -> None:
    invoke: Any = client(LambdaHost(TASKS, faults=lambda *_: Refusal()))
    with pytest.raises(invoke.exceptions.TooManyRequestsException, match=r"Rate Exceeded\."):
        invoke.invoke(FunctionName="echo", Payload=b"{}")
    with pytest.raises(invoke.exceptions.ResourceNotFoundException, match="Function not found: nobody"):
        invoke.invoke(FunctionName="nobody", Payload=b"{}")


def test_a_function_that_cannot_be_imported_says_so() -> None:
    assert failure("missing")["errorType"] == "Runtime.ImportModuleError"
    assert failure("nameless")["errorType"] == "Runtime.HandlerNotFound"
