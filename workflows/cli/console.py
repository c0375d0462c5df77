"""`perfcalc console`: pages that watch executions, here or in a deployed stage, and show their results."""

import threading
import webbrowser
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.errors import Fault, InvalidRequestError
from common.models.fleet import OF_A_FLEET, FleetRequest
from common.models.request import CalculationRequest
from workflows.cli.app import (
    DEFAULT_DATA_DIR,
    DataDir,
    app,
    err,
    open_to_read,
    open_world,
    out,
    place,
    settings,
)
from workflows.cli.fleet_files import KeptFleetFiles, StagedFleetFiles
from workflows.cli.usage import examples
from workflows.staging import check, check_fleet, lighten, stage, stage_fleet

if TYPE_CHECKING:
    from workflows.console.ports import RequestStarter
    from workflows.world import Readable, World

LOOPBACK = "127.0.0.1"


@app.command(
    epilog=examples("perfcalc console", "perfcalc --stack investment-performance-prod console --no-open"),
)
def console(
    *,
    # Not `port`: the setting of that name is where `perfcalc serve` listens, which may run beside it.
    console_port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, metavar="PORT", help="Where it listens; 0 takes a free one.")
    ] = 8080,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Another address than the loopback lets others of the network in."
        ),
    ] = LOOPBACK,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Serve the console until Ctrl-C: executions as graph, steps, events and timeline, and their results.

    The address that it prints has a key in it; nobody gets in without.
    """
    with _opened(data_dir) as world:
        # With flask, which no other command needs.
        from workflows.console.console import Console  # noqa: PLC0415 - as above
        from workflows.console.references import state_machines  # noqa: PLC0415 - as above
        from workflows.console.results import StoredResults  # noqa: PLC0415 - as above
        from workflows.console.server import ConsoleServer  # noqa: PLC0415 - as above

        startable = startable_world(world)
        files: KeptFleetFiles | StagedFleetFiles
        if settings().stack:
            assert startable is not None  # a stage always is
            files = StagedFleetFiles(startable.payload_store)
        else:
            files = KeptFleetFiles(data_dir, startable)
        results = StoredResults(world.result_store, world.books, world.executions, world.fleet, files)
        shown = Console(
            client=world.executions.client,
            machines=state_machines(machine_arns(world)),
            title=place(data_dir),
            starter=request_starter(startable, trusted=host == LOOPBACK) if startable else None,
            may_start=startable is not None,
            keeps_children=bool(settings().stack),
            fleet_files=files,
            portfolios=results,
        )
        if host != LOOPBACK:
            err.print(
                f"The console listens on {host}: whoever reaches it and has its address, key included, sees and starts "
                "everything, and what travels there is not encrypted.",
                style="yellow",
            )
        with closing(files), closing(results), ConsoleServer(shown, port=console_port, host=host) as server:
            for line in world.describe():
                err.print(line, style="dim")
            out.print(f"The console is at {server.url} until Ctrl-C", soft_wrap=True)
            if browser:
                open_browser(server.url_for_once())  # its command line can be seen by every user of the machine
            threading.Event().wait()


def open_browser(url: str) -> None:
    """Open a page in the browser, unless the only one there is would take the terminal over."""
    try:
        chosen = webbrowser.get()
    except webbrowser.Error:
        return
    if not isinstance(chosen, webbrowser.GenericBrowser) or isinstance(chosen, webbrowser.BackgroundBrowser):
        chosen.open(url)


def machine_arns(world: "Readable") -> Sequence[str]:
    """Return the ARNs of the state machines of a world."""
    return [world.executions.state_machine_arn, world.fleet.state_machine_arn]


def startable_world(world: "Readable") -> "World | None":
    """Return a world in which executions can be started; None for one that another process has open."""
    from workflows.deployed import DeployedWorld, RemoteWorld  # noqa: PLC0415 - the module is there already

    if isinstance(world, RemoteWorld) and not isinstance(world, DeployedWorld):
        return None
    return world  # type: ignore[return-value]  # LocalRuntime and DeployedWorld are worlds


def request_starter(world: "World", *, trusted: bool) -> "RequestStarter":
    """Return what starts the requests that are written in the console.

    Parameters
    ----------
    world
        Where they run.
    trusted
        Whether they may refer to files of this machine: only where nobody else gets in.
    """

    def start(document: Any) -> str:
        if not isinstance(document, dict):
            raise InvalidRequestError([Fault("$", "must be an object")])
        chosen = settings_in_use
        document.setdefault("max_price_age_days", chosen.max_price_age_days)
        if document.keys() & OF_A_FLEET:
            return world.fleet.start_or_attach(fleet_request(document)).arn
        document.setdefault("max_concurrency", chosen.max_concurrency)
        if trusted:
            checked = check(document, Path.cwd())
            request = stage(checked, Path.cwd(), world.payload_store, world.payload_bucket).request
        else:
            parsed = CalculationRequest.parse(document).model_dump(mode="json", exclude_none=True)
            request = lighten(parsed, world.payload_store, world.payload_bucket)
        return world.executions.start_or_attach(request).arn

    def fleet_request(document: Any) -> dict[str, Any]:
        if not trusted:
            return FleetRequest.parse(document).model_dump(mode="json", exclude_none=True)
        checked = check_fleet(document, Path.cwd())
        elsewhere = bool(settings_in_use.stack)
        return stage_fleet(checked, Path.cwd(), world.payload_store, world.payload_bucket, elsewhere=elsewhere)

    # Read now: a thread of the server has no command it belongs to.
    settings_in_use = settings()
    return start


def _opened(data_dir: Path) -> AbstractContextManager["Readable"]:
    """Open the world, making it where nothing was run in it yet: there is a page to start from."""
    if settings().stack or data_dir.exists():
        return open_to_read(data_dir, stays=True)
    return open_world(data_dir)
