"""`perfcalc serve`: the API on this machine, with all that runs behind it."""

import threading
from typing import Annotated

import typer

from workflows.cli.app import DEFAULT_DATA_DIR, DataDir, app, err, open_runtime, out

RECALCULATION_SECONDS = 10.0


@app.command(
    epilog="Then, in another terminal:\n\n"
    'curl -H "Authorization: Bearer $(perfcalc token --client acme --role reader)" '
    "http://127.0.0.1:8000/v1/portfolios/growth/performance"
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
            waiting = threading.Event()
            while not waiting.wait(RECALCULATION_SECONDS):
                runtime.invoke("Recalculation", {})
