"""`perfcalc config`: the settings in force, and where each comes from."""

from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr
from rich import box
from rich.table import Table
from rich.text import Text

from workflows.cli.app import AsJson, app, out, print_json
from workflows.cli.usage import examples
from workflows.settings import DEFAULT_FILE, FILE_VARIABLE, LoadedSettings, variable


@app.command(
    epilog=examples(
        "perfcalc config",
        f"{variable('port')}=9000 perfcalc config --json",
        then=f"Each is a key of {DEFAULT_FILE}, or of the file that {FILE_VARIABLE} names; the variable "
        f"{variable('<name>')} goes before it.",
    )
)
def config(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """Show the settings, and where each comes from."""
    loaded: LoadedSettings = ctx.find_root().obj
    values = {name: _shown(value) for name, value in loaded.settings}
    if as_json:
        print_json(
            {
                "file": {"path": str(loaded.file), "read": loaded.file_was_read},
                "settings": {
                    name: {"value": value, "origin": loaded.origins[name], "variable": variable(name)}
                    for name, value in values.items()
                },
            }
        )
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in ("Setting", "Value", "From"):
        table.add_column(header, overflow="fold")
    for name, value in values.items():
        origin = loaded.origins[name]
        shown = {None: "-", "": '""'}.get(value, str(value))
        table.add_row(Text(name), Text(shown), Text(origin, style="dim" if origin == "default" else ""))
    out.print(table)
    out.print(f"\n{loaded.file} was {'read' if loaded.file_was_read else 'looked for and is not there'}", style="dim")


def _shown(value: object) -> Any:
    """Return a value as JSON has it, a secret as asterisks."""
    return str(value) if isinstance(value, Path | SecretStr) else value
