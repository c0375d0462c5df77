"""`perfcalc holdings`: what a portfolio holds, by its transactions."""

from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from common.models.books import BookEntityType, EntityKey
from workflows import presentation
from workflows.cli.app import DEFAULT_DATA_DIR, AsJson, DataDir, app, open_to_read, out, plain, print_json, settings
from workflows.cli.usage import examples, parse_day


class Holder(StrEnum):
    """What holds something: a security does not."""

    PORTFOLIO = "portfolio"
    ACCOUNT = "account"


@app.command(
    epilog=examples("perfcalc holdings acme-growth", "perfcalc holdings acme-main --entity-type account --json")
)
def holdings(
    entity_id: Annotated[
        str, typer.Argument(metavar="ENTITY_ID", help="Id of a portfolio or an account in the books.")
    ],
    *,
    as_of: Annotated[
        date | None,
        typer.Option(
            "--date",
            parser=parse_day,
            metavar="DATE",
            help="At the close of this date.",
            show_default="the last there is",
        ),
    ] = None,
    entity_type: Annotated[Holder, typer.Option("--entity-type", help="What the id names.")] = Holder.PORTFOLIO,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the units and the cash that the transactions of a portfolio or an account leave, and their worth."""
    with open_to_read(data_dir) as world:
        from common.stores.histories import BookReader  # noqa: PLC0415 - with numpy, which most commands do without

        reader = BookReader(world.books)
        depends = reader.dependencies(EntityKey(BookEntityType(entity_type), entity_id), compare=False)
        found = reader.holdings(
            depends,
            as_of=as_of,
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
