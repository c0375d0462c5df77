"""`perfcalc history`, `results` and `query`: what earlier runs left."""

from datetime import date
from typing import Annotated

import typer

from common.errors import StoreError
from common.models.kinds import EntityType
from workflows import presentation
from workflows.cli.app import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    ExitCode,
    app,
    err,
    open_to_read,
    out,
    place,
    plain,
    print_json,
)
from workflows.cli.report import execution_json
from workflows.cli.usage import examples, parse_day
from workflows.periods import only_periods
from workflows.wording import in_order
from workflows.world import all_executions, find_execution, with_outcomes


@app.command(epilog=examples("perfcalc history", "perfcalc history market-2022-12-28-0123456789ab"))
def history(
    execution: Annotated[
        str | None, typer.Argument(metavar="EXECUTION", help="Name of an execution; without it, all are listed.")
    ] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many of the list, the newest.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List past executions, or show the events of one EXECUTION."""
    with open_to_read(data_dir) as world:
        if execution is None:
            # One more tells whether there are more; what they came to is asked of those that are shown.
            listed = list(all_executions(world, limit=limit + 1))
            executions = with_outcomes(world, listed[:limit])
            if as_json:
                print_json([execution_json(each) for each in executions])
            elif executions:
                out.print(presentation.executions_table(executions))
            else:
                out.print("No executions yet: start one with `perfcalc run examples/single.json`.")
            if len(listed) > limit:
                err.print(f"There are more than these {limit:,}: see --limit.", style="dim")
            return
        machine, described = find_execution(world, execution)
        events = machine.history(execution)
    if as_json:
        print_json({"execution": execution_json(described), "events": [plain(event) for event in events]})
        return
    out.print(presentation.history_table(events))
    out.print(presentation.status_text(described.outcome), f"in {presentation.took(described)}")


@app.command(
    epilog=examples("perfcalc results growth-dca", "perfcalc results growth-dca --from 2022-01-01 --period 1Y --json")
)
def results(
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="Id of a portfolio, account or security.")],
    *,
    start: Annotated[
        date | None, typer.Option("--from", parser=parse_day, metavar="DATE", help="First date, YYYY-MM-DD.")
    ] = None,
    end: Annotated[date | None, typer.Option("--to", parser=parse_day, metavar="DATE", help="Last date.")] = None,
    period: Annotated[
        str | None, typer.Option("--period", metavar="PERIOD", help="One period alone, such as 1Y.")
    ] = None,
    entity_type: Annotated[
        EntityType,
        typer.Option("--entity-type", metavar="TYPE", help="What the id names: portfolio, account or security."),
    ] = EntityType.PORTFOLIO,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the stored results of one entity, each metric with the reason where there is none."""
    if start and end and start > end:
        raise typer.BadParameter(f"{start:%Y-%m-%d} is after --to {end:%Y-%m-%d}.", param_hint="'--from'")
    with open_to_read(data_dir) as world:
        found = list(world.result_store.history(entity_type, entity_id, start=start, end=end))
    rows = [only_periods(row, [period]) for row in found if period in row["periods"]] if period else found
    if as_json:
        print_json(rows)
    elif found and not rows:
        labels = ", ".join(in_order(found))
        err.print(f"{entity_type} {entity_id} has no results for {period}; it has {labels}.", style="red")
    elif not rows:
        dates = " on these dates" if start or end else ""
        err.print(f"{place(data_dir)} has no results for {entity_type} {entity_id}{dates}.", style="red")
    elif len(rows) == 1:
        out.print(presentation.row_sheet(rows[0], out.width))
    else:
        out.print(presentation.rows_table(rows, period))
    raise typer.Exit(ExitCode.SUCCEEDED if rows else ExitCode.FAILED)


@app.command(
    epilog=examples(
        'perfcalc query "SELECT time, measure_value::double AS twr\n'
        "                  FROM investment_performance.performance_metrics\n"
        "                  WHERE entity_id = 'growth-dca' AND measure_name = 'twr'\""
    )
)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Run SQL over the time series of all results."""
    with open_to_read(data_dir) as world:
        if world.time_series_reader is None:
            err.print(f"{place(data_dir)} has no time series; `perfcalc results` reads the rows.", style="red")
            raise typer.Exit(ExitCode.INVALID_REQUEST)
        try:
            columns, found = world.time_series_reader.query(sql)
            rows = [{name: plain(row[name]) for name in columns} for row in found]
        except StoreError as error:
            # What the SDK writes around it says nothing of the statement.
            refusal = getattr(error.__cause__, "response", {}).get("Error", {})
            if "Message" not in refusal:
                raise
            raise StoreError(f"Timestream: {refusal['Message']}") from None
    if as_json:
        print_json(rows)
    else:
        out.print(presentation.rows_of_query(columns, rows))
