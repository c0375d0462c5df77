"""`perfcalc holdings`: what a portfolio holds, by its transactions."""

from datetime import datetime
from typing import Annotated

import typer

from common.models.books import BookEntityType, EntityKey
from common.models.results import EntityType
from workflows import presentation
from workflows.cli.app import DEFAULT_DATA_DIR, AsJson, DataDir, app, open_to_read, out, plain, print_json, settings


@app.command(
    epilog="Examples:\n\nperfcalc holdings acme-growth\n\nperfcalc holdings acme-main --entity-type account --json"
)
def holdings(
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="Id of a portfolio in the books.")],
    *,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--date", formats=["%Y-%m-%d"], metavar="DATE", help="At the close of this date; the last there is."
        ),
    ] = None,
    entity_type: Annotated[
        EntityType, typer.Option("--entity-type", help="What the id names: a portfolio or an account.")
    ] = EntityType.PORTFOLIO,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the units and the cash that the transactions of a portfolio or an account leave, and their worth."""
    if entity_type is EntityType.SECURITY:
        raise typer.BadParameter("holds nothing.", param_hint="--entity-type security")
    with open_to_read(data_dir) as world:
        from common.stores.histories import BookReader  # noqa: PLC0415 - with numpy, which most commands do without

        reader = BookReader(world.books)
        depends = reader.dependencies(EntityKey(BookEntityType(entity_type), entity_id), compare=False)
        found = reader.holdings(
            depends,
            as_of=as_of.date() if as_of else None,
            max_price_age_days=settings().max_price_age_days,
        )
    if as_json:
        print_json(
            {
                "entity_type": entity_type.value,
                "entity_id": entity_id,
                "as_of_date": plain(found.as_of),
                "cash": str(found.cash),
                "positions": [{**plain(each), "quantity": str(each.quantity)} for each in found.positions],
                "value": found.value,
            }
        )
    else:
        out.print(presentation.holdings_table(f"{entity_type} {entity_id}", depends.entity.entity.currency, found))
