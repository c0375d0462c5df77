"""Step Functions on a laptop: moto's interpreter of the Amazon States Language, run on the real definition.

Importing this module imports moto and boto3, which takes half a second: import it where a world is built.
"""

import logging
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import boto3
import botocore.session
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from workflows.local.interpreter import quick_interpreter
from workflows.local.lambda_host import ACCOUNT, REGION, LambdaHost
from workflows.local.map_runs import map_runs

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT}:role/local"

# The interpreter's frame chain grows with every item of a Map that one of its workers takes.
_RECURSION_LIMIT: Final = 50_000

# ExtendDB checks signatures, and knows the one key pair AWS's documentation uses for examples.
_CREDENTIALS: Final[Mapping[str, str | None]] = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": None,
    "AWS_SECURITY_TOKEN": None,
    "AWS_PROFILE": None,
    "AWS_DEFAULT_PROFILE": None,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    # A developer's own configuration may name endpoints, retries or roles: none of it belongs here.
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_ENDPOINT_URL": None,
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": None,
    "AWS_EC2_METADATA_DISABLED": "true",
    # Handlers write their metrics to the standard output, where CloudWatch would find them.
    "POWERTOOLS_METRICS_DISABLED": "true",
    "POWERTOOLS_TRACE_DISABLED": "true",
}

# The batches of a fleet run would fill the memory; an object on disk is an open file.
_OBJECTS_ON_DISK: Final = {"MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(16 * 1024)}

_MOTO: Final[Any] = {
    "core": {
        "mock_credentials": False,
        "reset_boto3_session": True,
        # Lambda is the host's, and the stores on the loopback are real servers; moto looks at neither.
        "passthrough": {"urls": [r"https://lambda\.", r"http://127\.0\.0\.1[:/]"], "services": []},
    },
    "stepfunctions": {"execute_state_machine": True},
}

_one_engine = threading.Lock()


class LocalEngine:
    """An AWS made of moto, with Step Functions calling the functions of `host`; for the length of a `with` block.

    Parameters
    ----------
    host
        Answers the Invoke calls.
    retry_delay_scale
        Multiplies the waits of `Retry`: a test sets it small and runs the definition unchanged.

    Attributes
    ----------
    session : boto3.Session
        The default session while the engine is entered.

    Raises
    ------
    RuntimeError
        A second engine is entered in one process; moto's state, like the environment, is the process's.
    """

    session: boto3.Session

    def __init__(self, host: LambdaHost, *, retry_delay_scale: float = 1.0) -> None:
        self._host = host
        self._retry_delay_scale = retry_delay_scale
        self._waits_over = threading.Event()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        if not _one_engine.acquire(blocking=False):
            raise RuntimeError("a local engine is running in this process already")
        with ExitStack() as stack:
            stack.callback(_one_engine.release)
            stack.enter_context(environment_variables(_CREDENTIALS))
            stack.enter_context(environment_variables({"NO_PROXY": _no_proxy(), **_OBJECTS_ON_DISK}))
            _allow_open_files()
            stack.enter_context(_quiet("moto", "werkzeug", "botocore", "urllib3"))
            stack.enter_context(_retry_clock(self._wait))
            stack.enter_context(quick_interpreter())
            stack.enter_context(map_runs())
            stack.enter_context(mock_aws(config=_MOTO))
            # moto put the default session aside and puts it back at the end.
            boto3.DEFAULT_SESSION = self.session = _EngineSession(self._host)
            sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    def end_waits(self) -> None:
        """Let no execution wait for its next attempt any longer: one that was stopped meanwhile notices then."""
        self._waits_over.set()

    def _wait(self, seconds: float) -> None:
        self._waits_over.wait(seconds * self._retry_delay_scale)

    @staticmethod
    def create_state_machine(client: "SFNClient", name: str, definition: str) -> str:
        """Create the state machine and return its ARN, which is the same in every process."""
        return client.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)["stateMachineArn"]

    @staticmethod
    def events(execution_arn: str) -> list[dict[str, Any]]:
        """Return the history of an execution of this process, as GetExecutionHistory has it.

        The call itself takes a second for 3,500 events, most of it in moto's serialiser, and knows no pages.
        """
        history = stepfunctions_parser_backends[ACCOUNT][REGION].get_execution_history(execution_arn)
        return [
            {**event, "type": event["type"].value, "timestamp": datetime.fromisoformat(event["timestamp"])}
            for event in history["events"]
        ]


class _EngineSession(boto3.Session):
    """The default session, with the Lambda host behind it and one Lambda client for all invocations.

    The interpreter makes a client for every task it runs, which takes 7 of the 10 ms that a Map item costs; a client
    may be shared between threads, and all of the interpreter's have the same configuration.
    """

    def __init__(self, host: LambdaHost) -> None:
        session = botocore.session.Session()
        host.register(session.get_component("event_emitter"))
        super().__init__(botocore_session=session)
        self._lock = threading.Lock()
        self._lambda: dict[str | None, Any] = {}

    def client(self, service_name: str, region_name: str | None = None, **options: Any) -> Any:  # type: ignore[override]  # the base has an overload for every service
        if service_name != "lambda":
            return super().client(service_name, region_name, **options)  # type: ignore[call-overload]  # any service
        with self._lock:
            if region_name not in self._lambda:
                self._lambda[region_name] = super().client("lambda", region_name, **options)
            return self._lambda[region_name]


@contextmanager
def environment_variables(values: Mapping[str, str | None]) -> Iterator[None]:
    """Set (None: unset) environment variables, and put back what was there at the end."""
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _allow_open_files() -> None:
    """Let the process have as many open files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems call a limit infinite and take a finite one alone
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _no_proxy() -> str:
    """Return NO_PROXY with the loopback in it: a company's proxy does not know the stores on this machine."""
    listed = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
    return ",".join(filter(None, [listed, "127.0.0.1", "localhost"]))


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silence loggers: what moto has to say about an execution stands in its history."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _retry_clock(sleep: Callable[[float], None]) -> Iterator[None]:
    """Let the interpreter use `sleep` between two attempts.

    IntervalSeconds is a whole number, so a definition cannot ask for less than a second; and a test that ran another
    definition would prove little about this one.
    """
    real = retrier_decl.time
    retrier_decl.time = SimpleNamespace(sleep=sleep)
    try:
        yield
    finally:
        retrier_decl.time = real
