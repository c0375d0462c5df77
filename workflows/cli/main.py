"""`perfcalc`: run calculations, follow them, and read what came of them."""

import shlex
import signal
import sys
import traceback
from contextvars import copy_context
from datetime import UTC, datetime
from tempfile import NamedTemporaryFile
from types import FrameType

import typer

from common.errors import Fault, InvalidRequestError, PerformanceCalculatorError
from workflows.cli import (
    caching,
    config,
    console,
    holdings,
    importing,
    reading,
    reporting,
    run,
    serve,
    token,
    triggering,
    watching,
)
from workflows.cli.app import ExitCode, Stopped, app, err, out
from workflows.cli.usage import examples
from workflows.definition_lint import lint as lint_definition
from workflows.definitions import load
from workflows.registry import PLACEHOLDERS, STATE_MACHINES

# Each of these modules adds its commands to the application.
COMMANDS = (
    *(run, watching, reading, reporting, console),
    *(importing, holdings, triggering, serve, token, caching, config),
)


@app.command(epilog=examples("perfcalc lint"))
def lint() -> None:
    """Check the state machine definitions: JSON, ASL, placeholders, unreachable states."""
    faults: list[tuple[str, Fault]] = []
    for name, file in STATE_MACHINES.items():
        faults += [(file, fault) for fault in lint_definition(load(name), PLACEHOLDERS[name])]
    for file, fault in faults:
        err.print(f"{file}: {fault}", style="red")
    if faults:
        raise typer.Exit(ExitCode.FAILED)
    out.print(f"{', '.join(STATE_MACHINES.values())}: no faults")


def main() -> None:
    """Run the command line; an error becomes one message, never a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # which nohup has set
            signal.signal(number, _stop)
    # `perfcalc results x | head` closes the pipe early; that is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        copy_context().run(app)  # a caller in the same process is left no settings of ours
    except Stopped as stopped:
        _fail("Stopped.", stopped.exit_code)
    except InvalidRequestError as error:
        _fail(str(error), ExitCode.INVALID_REQUEST)
    except PerformanceCalculatorError as error:
        _fail(str(error), ExitCode.FAILED)
    except OSError as error:  # a full disk, a directory that may not be written
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: the trace goes to a file, the user gets a sentence
        _fail(f"Unexpected error: {error}\nIts trace is in {_keep_trace()}.", ExitCode.FAILED)


def _stop(number: int, _: FrameType | None) -> None:
    # The stores are closed first, which may take seconds. A second signal ends the process as it stands, like a
    # kill -9, and the next command tidies up.
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


def _fail(message: str, code: int) -> None:
    err.print(message, style="red")
    sys.exit(code)


def _keep_trace() -> str:
    with NamedTemporaryFile("w", prefix="perfcalc-", suffix=".log", delete=False) as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {shlex.join(sys.argv)}\n{traceback.format_exc()}")
    return file.name


if __name__ == "__main__":
    main()
