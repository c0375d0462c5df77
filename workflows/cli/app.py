"""What all commands share: the application, its consoles, options and exit codes, and the world they work in."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from common.errors import PermanentError
from workflows.executions import ExecutionClient, ExecutionStatus
from workflows.settings import (
    DEFAULT_FILE,
    InvalidSettingsError,
    LoadedSettings,
    Settings,
    function_environment,
    load_settings,
)

if TYPE_CHECKING:
    from workflows.local.runtime import LocalRuntime

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


_CACHE = ("warm", "stats", "clear")
_ORDER = (
    *("run", "results", "history", "query"),
    *("import", "holdings", "nightly", "upload", "recalculate", "serve", "token", "cache"),
    *("config", "lint"),
)


class _InOrder(TyperGroup):
    """Lists the commands in the order a user meets them."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature of the base class
        """Return the names of the commands."""
        return sorted(self.commands, key=_ORDER.index)


app = typer.Typer(
    name="perfcalc",
    cls=_InOrder,
    help="Investment performance for one portfolio or many: the whole workflow, on this machine.",
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
        writable=True,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help=f"Settings to read; {DEFAULT_FILE} if it is there.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DEFAULT_DATA_DIR = Path(".perfcalc")

_loaded: ContextVar[LoadedSettings] = ContextVar("settings")


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print("perfcalc", version("performance-calculator"))
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    *,
    config: ConfigFile = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options of all commands, and the settings, which stand in for those that are not given."""
    loaded = read_settings(config)
    ctx.obj = loaded
    _loaded.set(loaded)
    chosen = {"data_dir": str(loaded.settings.data_dir), "port": loaded.settings.port}
    ctx.default_map = dict.fromkeys(_ORDER, chosen) | {"cache": dict.fromkeys(_CACHE, chosen)}


def settings() -> Settings:
    """Return the settings of the command that runs."""
    return _loaded.get().settings


def read_settings(file: Path | None = None) -> LoadedSettings:
    """Read the settings for a command: warnings are told, and faults end it with the exit code of a wrong request."""
    try:
        loaded = load_settings(file)
    except InvalidSettingsError as error:
        err.print(str(error), style="red")
        raise typer.Exit(ExitCode.INVALID_REQUEST) from None
    for warning in loaded.warnings:
        err.print(warning, style="yellow")
    return loaded


@contextmanager
def open_runtime(data_dir: Path, *, there: bool = False) -> Iterator["LocalRuntime"]:
    """Open the world in `data_dir`, which for a command that only reads must be `there`."""
    if there and not data_dir.exists():
        raise NothingThereError(
            f"Nothing has been run in {data_dir} yet: start with `perfcalc run examples/single.json`."
        )
    # A store that goes away is an error here, not the end of the process, which would leave things behind.
    ending = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGPIPE, ending)
        with err.status("Starting"):
            from workflows.local.runtime import LocalRuntime  # noqa: PLC0415 - moto takes a second to import

            chosen = settings()
            key = chosen.jwt_key.get_secret_value() if chosen.jwt_key else None
            runtime = stack.enter_context(LocalRuntime(data_dir, settings=function_environment(chosen), jwt_key=key))
        try:
            yield runtime
        except Stopped:
            _stop_executions(runtime.executions)
            raise


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
