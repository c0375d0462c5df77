"""What all commands share: the application, its consoles, options and exit codes, and the world they work in."""

import json
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from common.errors import PermanentError
from workflows.cli.usage import PlainGroup
from workflows.deployed import DeployedWorld, aws_session, open_stage, understood
from workflows.executions import ExecutionClient, ExecutionStatus
from workflows.settings import (
    DEFAULT_FILE,
    InvalidSettingsError,
    LoadedSettings,
    Settings,
    function_environment,
    load_settings,
    option,
)

if TYPE_CHECKING:
    from workflows.local.opening import OpenRuntime
    from workflows.local.runtime import LocalRuntime
    from workflows.world import Readable, World

# Where the output is no terminal and COLUMNS does not tell: wide enough that nothing is left out or folded.
PIPE_WIDTH = 200


class ExitCode(IntEnum):
    """What the shell is told."""

    SUCCEEDED = 0
    FAILED = 1
    INVALID_REQUEST = 2
    PARTIAL = 3


class Stopped(BaseException):
    """Ctrl-C, or another signal that asks the process to end; typer ends a KeyboardInterrupt without a word."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number  # as shells have it: 130 is Ctrl-C


class NothingThereError(PermanentError):
    """The data directory was never used."""


# Commands that a deployed stage has no use for, and what it has instead.
_INSTEAD = {
    "cache": "the functions look after the cache themselves",
    "nightly": "the schedule begins the night",
    "recalculate": "the schedule does it every few minutes",
    "serve": "the API is where the output ApiEndpoint of its entry stack says",
    "token": "tokens come from the identity provider that it trusts",
    "upload": "manifests are put into the bucket of the output UploadBucket, below manifests/<client>/",
}
_CACHE = ("warm", "stats", "clear")
_ORDER = (
    *("run", "watch", "results", "report", "history", "query", "console"),
    *("import", "holdings", "nightly", "upload", "recalculate", "serve", "token", "cache"),
    *("config", "lint"),
)


class _InOrder(PlainGroup):
    """Lists the commands in the order a user meets them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature of the base class
        """Return the names of the commands."""
        return sorted(self.commands, key=_ORDER.index)


app = typer.Typer(
    name="perfcalc",
    cls=_InOrder,
    help="Investment performance for one portfolio or many: the whole workflow, on this machine or in an AWS account.",
    epilog="Start with: perfcalc run examples/single.json",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(
    markup=False, highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
)
err = Console(markup=False, highlight=False, soft_wrap=True, stderr=True)

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where results and executions are kept.",
        envvar="PERFCALC_DATA_DIR",
        file_okay=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings to read.", show_default=f"{DEFAULT_FILE}, if it is there"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DEFAULT_DATA_DIR = Path(".perfcalc")

_loaded: ContextVar[LoadedSettings] = ContextVar("settings")
_command: ContextVar[str] = ContextVar("command")
_given: ContextVar[tuple[str, ...]] = ContextVar("options before the command", default=())


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print("perfcalc", version("performance-calculator"))
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    config: ConfigFile = None,
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack",
            metavar="NAME",
            help="Work in a deployed stage, such as investment-performance-dev, instead of a data directory.",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="Profile of the AWS configuration.", show_default=False),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="AWS region of the stage.", show_default=False)
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of all commands, and the settings, which stand in for those that are not given."""
    chosen = {"stack": stack, "profile": profile, "region": region}
    given = {name: value for name, value in chosen.items() if value is not None}
    loaded = read_settings(config, given)
    ctx.obj = loaded
    _loaded.set(loaded)
    _command.set(ctx.invoked_subcommand or "")
    repeated = {**({"config": str(config)} if config else {}), **given}
    _given.set(tuple(word for name, value in repeated.items() for word in (option(name), value)))
    defaults = {"data_dir": str(loaded.settings.data_dir), "port": loaded.settings.port}
    ctx.default_map = dict.fromkeys(_ORDER, defaults) | {"cache": dict.fromkeys(_CACHE, defaults)}


def settings() -> Settings:
    """Return the settings of the command that runs."""
    return _loaded.get().settings


def place(data_dir: Path) -> str:
    """Return what the world is called that a command works in: the stage, or the data directory."""
    return settings().stack or str(data_dir)


def typed(command: str, *arguments: str, data_dir: Path) -> str:
    """Return a command line that works in the same world as the one that runs, to be pasted into a shell."""
    loaded = _loaded.get(None)
    elsewhere = loaded is not None and loaded.settings.stack
    where = [] if elsewhere or data_dir == DEFAULT_DATA_DIR else ["--data-dir", str(data_dir)]
    # As it was called where it is not on the PATH: `make run` leaves the environment it made to itself.
    perfcalc = "perfcalc" if shutil.which("perfcalc") else os.path.relpath(sys.argv[0])
    return shlex.join([perfcalc, *_given.get(), command, *arguments, *where])


def read_settings(file: Path | None = None, given: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read the settings for a command: warnings are told, and faults end it with the exit code of a wrong request."""
    try:
        loaded = load_settings(file, given=given)
    except InvalidSettingsError as error:
        err.print(str(error), style="red")
        raise typer.Exit(ExitCode.INVALID_REQUEST) from None
    for warning in loaded.warnings:
        err.print(warning, style="yellow")
    return loaded


def on_this_machine_alone() -> None:
    """End a command that does not work in a deployed stage where one was chosen, saying what does the same there."""
    if stack := settings().stack:
        name = _command.get()
        instead = f"; in {stack} {_INSTEAD[name]}" if name in _INSTEAD else ""
        err.print(f"`perfcalc {name}` works on this machine alone{instead}.", style="red")
        raise typer.Exit(ExitCode.INVALID_REQUEST)


@contextmanager
def open_to_read(data_dir: Path, *, stays: bool = False) -> "Iterator[Readable]":
    """Open what a command that only reads works in: the deployed stage, or what was run on this machine.

    Where another process has `data_dir` open, the world is that process's, as `workflows.local.opening.opened_to_read`.

    Parameters
    ----------
    data_dir
        The data directory.
    stays
        Whether the command goes on until it is stopped: where nobody else has `data_dir` open it can start executions
        too, and where another had, it leaves the directory to the next.

    Raises
    ------
    NothingThereError
        The data directory was never used.
    DataDirectoryInUseError
        The process that has it open lets nobody in.
    StageError, TransientError
        As `workflows.deployed.understood`.
    """
    if settings().stack:
        with _open_stage() as stage:
            yield stage
        return
    _must_be_there(data_dir)
    from workflows.local.opening import opened_to_read  # noqa: PLC0415 - with boto3

    with _sockets_that_may_close(), ExitStack() as stack:
        with err.status("Starting"):
            world = stack.enter_context(opened_to_read(data_dir, _runtimes(reads=not stays), takes_over=not stays))
        yield world


@contextmanager
def open_world(data_dir: Path) -> "Iterator[World]":
    """Open what a command that starts executions or writes works in: the deployed stage, or this machine's world."""
    if settings().stack:
        with _open_stage() as stage:
            yield stage
    else:
        with open_runtime(data_dir) as runtime:
            yield runtime


@contextmanager
def open_to_run(data_dir: Path) -> "Iterator[World]":
    """Open what a request is run in, as `open_world`; where another process has it under way, it is followed there."""
    if settings().stack:
        with _open_stage() as stage:
            yield stage
        return
    from workflows.local.lock import DataDirectoryInUseError  # noqa: PLC0415 - with what makes local worlds
    from workflows.local.opening import PATIENCE_SECONDS, POLL_SECONDS  # noqa: PLC0415 - as above
    from workflows.local.sharing import announced  # noqa: PLC0415 - with boto3

    began, deadline = datetime.now(UTC), time.monotonic() + PATIENCE_SECONDS
    with ExitStack() as stack:
        world: World | None = None
        while world is None:
            try:
                world = stack.enter_context(open_runtime(data_dir))
            except DataDirectoryInUseError as refusal:
                if announcement := announced(data_dir):
                    from workflows.cli.joining import joined  # noqa: PLC0415 - it needs what is here

                    stack.enter_context(_sockets_that_may_close())
                    world = stack.enter_context(joined(data_dir, _runtimes(reads=True), announcement, refusal, began))
                elif time.monotonic() > deadline:  # it is not being opened or closed
                    raise
                else:
                    time.sleep(POLL_SECONDS)
        yield world


@contextmanager
def _open_stage() -> Iterator[DeployedWorld]:
    chosen = settings()
    with _sockets_that_may_close(), understood(chosen.stack):
        with err.status("Connecting"):
            stage = open_stage(aws_session(chosen.profile, chosen.region), chosen.stack)
        yield stage


@contextmanager
def _sockets_that_may_close() -> Iterator[None]:
    """Let a store that goes away be an error, not the end of the process, which would leave things behind."""
    ending = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGPIPE, ending)


def _must_be_there(data_dir: Path) -> None:
    if not data_dir.exists():
        raise NothingThereError(
            f"Nothing has been run in {data_dir} yet: start with `perfcalc run examples/single.json`."
        )


@contextmanager
def open_runtime(data_dir: Path, *, there: bool = False) -> Iterator["LocalRuntime"]:
    """Open this machine's world in `data_dir`, which for a command that makes none must be `there`.

    A command that reads alone opens with `open_to_read`, and one that a deployed stage can do with `open_world`.
    """
    on_this_machine_alone()
    if there:
        _must_be_there(data_dir)
    from workflows.local.copied import NotWritableError, not_writable  # noqa: PLC0415 - with what makes local worlds
    from workflows.local.opening import opened_in_turn  # noqa: PLC0415 - as above

    if path := not_writable(data_dir):
        raise NotWritableError(path)
    with _sockets_that_may_close(), ExitStack() as stack:
        with err.status("Starting"):
            runtime = stack.enter_context(opened_in_turn(data_dir, _runtimes(reads=False)))
        try:
            yield runtime
        except Stopped:
            for executions in (runtime.fleet, runtime.executions):
                _stop_executions(executions)
            raise


def _runtimes(*, reads: bool) -> "OpenRuntime":
    """Return what makes worlds of this machine, only to be read or not, for the command that runs; in any thread."""
    chosen, command = settings(), _command.get(None)
    key = chosen.jwt_key.get_secret_value() if chosen.jwt_key else None

    def make(data_dir: Path) -> "LocalRuntime":
        from workflows.local.runtime import LocalRuntime  # noqa: PLC0415 - moto takes a second to import

        environment = function_environment(chosen)
        return LocalRuntime(data_dir, settings=environment, jwt_key=key, command=command, reads=reads)

    return make


def _stop_executions(executions: ExecutionClient) -> None:
    for execution in list(executions.list(status=ExecutionStatus.RUNNING)):
        err.print(f"Stopping {execution.name}; running it again ends in the same results.", style="dim")
        executions.stop(execution.name, error="Interrupted", cause="Stopped by the user.")


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value


def print_json(value: object) -> None:
    """Print a document: in UTF-8, as JSON is, and whatever the width of the terminal."""
    sys.stdout.buffer.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    sys.stdout.flush()
