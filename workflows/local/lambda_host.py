"""Lambda on a laptop: answers the SDK's Invoke call by calling the registered handler in this process.

What a handler meets is Lambda's: its event has been through JSON bytes, and so has its answer; an exception, a
time-out, a death or an answer too large comes back as the function error Lambda makes of it, under the name that a
state machine's `Retry` and `Catch` match. Not Lambda's: all functions share one process, one environment and one
memory, and a handler that was timed out cannot be killed; it runs on in a thread nobody listens to.
"""

import importlib
import json
import re
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from common.json_text import compact_json
from common.models.limits import INVOCATION_BYTES
from workflows.registry import LambdaFunction

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.hooks import BaseEventHooks

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"

_INVOKED: Final = re.compile(r"/functions/([^/?]+)/invocations")

Handler = Callable[[Any, "LambdaContext"], Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Fault: the Lambda service turns the invocation away, and the handler is not called."""

    code: str = "TooManyRequestsException"
    message: str = "Rate Exceeded."
    status: int = 429


@dataclass(frozen=True, slots=True)
class Answer:
    """Fault: this is answered, and the handler is not called."""

    payload: Any


@dataclass(frozen=True, slots=True)
class Delay:
    """Fault: the handler takes this much longer."""

    seconds: float


Injected = BaseException | Refusal | Answer | Delay
# (function name, event, attempt counted from 1 over equal events) -> what goes wrong, None when nothing does.
Faults = Callable[[str, Any, int], Injected | None]


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """What Lambda tells a handler about its invocation."""

    function_name: str
    memory_limit_in_mb: int
    timeout_seconds: float
    function_version: str = "$LATEST"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        return function_arn(self.function_name)

    @property
    def log_group_name(self) -> str:
        """The log group a function of this name has on AWS."""
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        """The log stream; there is only one."""
        return "local"

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left before the time-out."""
        return max(0, int((self.started + self.timeout_seconds - time.monotonic()) * 1000))


class FunctionError(Exception):
    """An invocation that ended in Lambda's `FunctionError`."""

    def __init__(self, error_type: str, message: str, stack: list[str] | None = None) -> None:
        super().__init__(message)
        self.payload = {"errorMessage": message, "errorType": error_type, "stackTrace": stack or []}


class _RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class LambdaHost:
    """Call handlers as Lambda would.

    Parameters
    ----------
    functions
        The functions by name.
    faults
        What goes wrong, for tests.
    """

    def __init__(self, functions: Mapping[str, LambdaFunction], *, faults: Faults | None = None) -> None:
        self._functions = functions
        self._faults = faults
        self._handlers: dict[str, Handler] = {}
        self._attempts: Counter[tuple[str, bytes]] = Counter()
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._running = 0

    def register(self, events: "BaseEventHooks") -> None:
        """Answer the Invoke calls of every client made from now on with these `events`."""
        # What the first handler of this event returns, botocore takes for the response and sends nothing.
        answer: Callable[..., Any] = self.answer
        events.register("before-send.lambda.Invoke", answer)

    def wait_idle(self, timeout: float) -> bool:
        """Wait until no handler runs; return whether that came true in `timeout` seconds."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout)

    def invoke(self, function_name: str, body: bytes) -> bytes:
        """Call the function with the JSON `body` and return its answer as JSON.

        Raises
        ------
        FunctionError
            The handler failed, died, took too long or answered too much.
        """
        function = self._functions[function_name]
        event = json.loads(body)
        # Step Functions checks what a task's Parameters make before it calls; the engine does not, and writes spaces
        # into it that are not there on AWS.
        if len(body) > function.max_event_bytes and (size := len(compact_json(event))) > function.max_event_bytes:
            raise FunctionError("States.DataLimitExceeded", f"the payload of {function_name} is {size} bytes")
        injected = self._injected(function_name, event, body)
        if isinstance(injected, Refusal):
            raise _RefusedError(injected)
        context = LambdaContext(function_name, function.memory_mb, function.timeout_seconds)
        if isinstance(injected, Answer):
            return _marshal(injected.payload)
        handler = self._handler(function_name, function)
        return _marshal(self._call(handler, event, context, injected))

    def answer(self, request: "AWSPreparedRequest", **_: object) -> AWSResponse:
        """Answer an Invoke request as the service would."""
        invoked = _INVOKED.search(request.url)
        function_name = unquote(invoked[1]).rsplit(":", 1)[-1] if invoked else ""
        if function_name not in self._functions:
            return _service_error(
                request.url, Refusal("ResourceNotFoundException", f"Function not found: {function_name}", 404)
            )
        body = request.body or b"{}"
        try:
            answer = self.invoke(function_name, body if isinstance(body, bytes) else str(body).encode())
        except _RefusedError as refused:
            return _service_error(request.url, refused.refusal)
        except FunctionError as error:
            return _response(
                request.url, 200, json.dumps(error.payload).encode(), {"X-Amz-Function-Error": "Unhandled"}
            )
        return _response(request.url, 200, answer, {})

    def _injected(self, function_name: str, event: object, body: bytes) -> Injected | None:
        if self._faults is None:
            return None
        with self._lock:
            self._attempts[function_name, body] += 1
            attempt = self._attempts[function_name, body]
        return self._faults(function_name, event, attempt)

    def _handler(self, function_name: str, function: LambdaFunction) -> Handler:
        with self._lock:
            if function_name not in self._handlers:
                self._handlers[function_name] = _imported(function.handler)
            return self._handlers[function_name]

    def _call(
        self, handler: Handler, event: object, context: LambdaContext, injected: BaseException | Delay | None
    ) -> object:
        """Run `handler` in a thread of its own, so that it can be given up at the time-out."""
        outcome: list[tuple[object, BaseException | None]] = []

        def run() -> None:
            try:
                outcome.append((_with_fault(handler, injected)(event, context), None))
            except BaseException as error:  # noqa: BLE001  a SystemExit would end the thread unseen
                outcome.append((None, error))
            finally:
                with self._idle:
                    self._running -= 1
                    self._idle.notify_all()

        with self._idle:
            self._running += 1
        thread = threading.Thread(target=run, name=context.function_name, daemon=True)
        thread.start()
        thread.join(context.timeout_seconds)
        if not outcome:
            raise FunctionError(
                "Sandbox.Timedout",
                f"RequestId: {context.aws_request_id} "
                f"Error: Task timed out after {context.timeout_seconds:.2f} seconds",
            )
        result, error = outcome[0]
        if error is not None:
            raise _function_error(error, context) from error
        return result


def _with_fault(handler: Handler, injected: BaseException | Delay | None) -> Handler:
    def faulty(event: object, context: LambdaContext) -> object:
        if isinstance(injected, Delay):
            time.sleep(injected.seconds)
        elif injected is not None:
            raise injected
        return handler(event, context)

    return handler if injected is None else faulty


def function_arn(function_name: str) -> str:
    """Return the ARN the local function of this name has."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function_name}"


def _imported(handler: str) -> Handler:
    module_name, _, function_name = handler.rpartition(".")
    try:
        function: Handler = getattr(importlib.import_module(module_name), function_name)
    except ImportError as error:
        raise FunctionError("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from error
    except AttributeError as error:
        raise FunctionError("Runtime.HandlerNotFound", f"Handler '{function_name}' missing on {module_name}") from error
    return function


def _marshal(result: object) -> bytes:
    try:
        payload = json.dumps(result, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise FunctionError("Runtime.MarshalError", f"Unable to marshal response: {error}") from error
    if len(payload) > INVOCATION_BYTES:
        raise FunctionError(
            "Function.ResponseSizeTooLarge",
            f"Response payload size exceeded maximum allowed payload size ({INVOCATION_BYTES} bytes).",
        )
    return payload


def _function_error(error: BaseException, context: LambdaContext) -> FunctionError:
    if isinstance(error, Exception):
        stack = traceback.format_tb(error.__traceback__)
        return FunctionError(type(error).__name__, str(error), stack[1:])
    status = 1
    with suppress(TypeError, ValueError):
        status = int(getattr(error, "code", 1) or 0)
    return FunctionError(
        "Runtime.ExitError",
        f"RequestId: {context.aws_request_id} Error: Runtime exited with error: exit status {status}",
    )


class _Body(BytesIO):
    """A response body as botocore reads it from its HTTP library."""

    def stream(self, *_: object, **__: object) -> list[bytes]:
        return [self.read()]


def _response(url: str, status: int, body: bytes, headers: Mapping[str, str]) -> AWSResponse:
    # Step Functions' error texts quote the request's id.
    names = HTTPHeaders.from_dict({"x-amzn-RequestId": str(uuid.uuid4()), **headers})
    return AWSResponse(url, status, names, _Body(body))


def _service_error(url: str, refusal: Refusal) -> AWSResponse:
    body = json.dumps({"Type": "User", "Message": refusal.message}).encode()
    return _response(url, refusal.status, body, {"x-amzn-ErrorType": refusal.code})
