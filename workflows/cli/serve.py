"""`perfcalc serve`: the API on this machine, with all that runs behind it."""

import threading
from collections.abc import Callable
from typing import Annotated

import typer

from workflows.cli.app import DEFAULT_DATA_DIR, DataDir, app, err, open_runtime, out

RECALCULATION_SECONDS = 10.0


@app.command(
    epilog="\nThen, in another terminal:\n"
    "  TOKEN=$(perfcalc token --client acme --role reader)\n"
    '  curl -H "Authorization: Bearer $TOKEN" \\\n'
    "    http://127.0.0.1:8000/v1/portfolios/acme-growth/performance"
)
def serve(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, metavar="PORT", help="Where it listens; 0 takes a free one.")
    ] = 8000,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Serve the API on the loopback, the authorizer in front, until Ctrl-C.

    The queue of transactions is read, and what back-dated ones make wrong is calculated again every few seconds.
    """
    with open_runtime(data_dir) as runtime:
        from workflows.local.gateway import LocalGateway  # noqa: PLC0415 - with werkzeug, which nothing else needs

        gateway = LocalGateway(runtime.host.invoke, port=port, api_function="Api", authorizer_function="Authorizer")
        with runtime.transactions, gateway:
            for line in runtime.describe():
                err.print(line, style="dim")
            out.print(f"Serving {gateway.url} until Ctrl-C; its document is at {gateway.url}/openapi.json")
            sweep(lambda: runtime.invoke("Recalculation", {}), threading.Event(), RECALCULATION_SECONDS)


def sweep(recalculate: Callable[[], object], stop: threading.Event, seconds: float) -> None:
    """Call `recalculate` every few seconds until `stop` is set; what fails is told once, and tried again.

    Parameters
    ----------
    recalculate
        Raises `FunctionError` where it fails.
    stop
        Ends it.
    seconds
        Between two calls.
    """
    from workflows.local.lambda_host import FunctionError  # noqa: PLC0415 - see open_runtime

    told: set[str] = set()
    while not stop.wait(seconds):
        try:
            recalculate()
        except FunctionError as error:
            message = f"Recalculation failed, {error.payload['errorType']}: {error}"
            if message not in told:
                told.add(message)
                err.print(message, style="yellow")
