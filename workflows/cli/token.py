"""`perfcalc token`: a token for the API on this machine."""

from datetime import timedelta
from typing import Annotated

import typer

from workflows.cli.app import DEFAULT_DATA_DIR, DataDir, app, err, on_this_machine_alone, settings
from workflows.cli.usage import examples
from workflows.triggers.routes import Role

LONGEST_HOURS = 24 * 365


@app.command(
    epilog=examples(
        "perfcalc token --client acme --role operator",
        "TOKEN=$(perfcalc token --client acme --role reader)",
        'curl -H "Authorization: Bearer $TOKEN" \\\n    http://127.0.0.1:8000/v1/portfolios/acme-growth/performance',
        then="The setting jwt_key, where there is one, is the key in place of the data directory's.",
    )
)
def token(
    *,
    role: Annotated[Role, typer.Option("--role", help="What it lets its bearer do.")],
    client: Annotated[
        str | None, typer.Option("--client", metavar="ID", help="Whose things; an admin without one reaches all.")
    ] = None,
    subject: Annotated[str, typer.Option("--subject", metavar="NAME", help="Who is asking, for the logs.")] = "you",
    hours: Annotated[
        int, typer.Option("--hours", min=1, max=LONGEST_HOURS, metavar="N", help="How long it holds.")
    ] = 8,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Print a token for the API that `perfcalc serve` offers on this machine."""
    on_this_machine_alone()
    if client is None and role is not Role.ADMIN:
        raise typer.BadParameter(f"is missing, which only --role {Role.ADMIN} may do without", param_hint="--client")
    # The world is not opened: it may be, by a `perfcalc serve` that holds its lock.
    from workflows.local import development_key as local  # noqa: PLC0415 - PyJWT takes a quarter of a second to import
    from workflows.triggers.tokens import RefusedTokenError, SigningKey, verify  # noqa: PLC0415 - as above

    chosen = settings()
    issuer, audience = chosen.jwt_issuer, chosen.jwt_audience
    key = local.development_key(data_dir, chosen.jwt_key.get_secret_value() if chosen.jwt_key else None)
    minted = local.mint(
        key,
        subject=subject,
        role=role,
        client_id=client,
        issuer=issuer,
        audience=audience,
        lifetime=timedelta(hours=hours),
    )
    try:
        verify(minted, [SigningKey(local.KEY_FILE, key.encode())], issuer, audience)
    except RefusedTokenError as error:  # a client or subject that no token may have
        raise typer.BadParameter(str(error)) from None
    whose = f"client {client}" if client else "every client"
    err.print(f"{role.value} of {whose}, for {hours} h, for `perfcalc serve` on this machine alone", style="dim")
    typer.echo(minted)
