"""`perfcalc history`, `results` and `query`: what earlier runs left."""

from datetime import datetime
from typing import Annotated

import typer

from common.models.results import EntityType
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
from workflows.cli.report import execution_json, only_periods
from workflows.wording import in_order
from workflows.world import all_executions, find_execution


@app.command(epilog="Examples:\n\nperfcalc history\n\nperfcalc history market-2022-12-28-0123456789ab")
def history(
    execution: Annotated[str | None, typer.Argument(metavar="EXECUTION", help="Name of an execution.")] = None,
    *,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """List past executions, or show the events of one EXECUTION."""
    with open_to_read(data_dir) as world:
        if execution is None:
            executions = list(all_executions(world))
            if as_json:
                print_json([execution_json(each) for each in executions])
            elif executions:
                out.print(presentation.executions_table(executions))
            else:
                out.print("No executions yet: start one with `perfcalc run examples/single.json`.")
            return
        machine, described = find_execution(world, execution)
        events = machine.history(execution)
    if as_json:
        print_json({"execution": execution_json(described), "events": [plain(event) for event in events]})
        return
    out.print(presentation.history_table(events))
    out.print(presentation.status_text(described.status), f"in {presentation.took(described)}")


@app.command(
    epilog="Examples:\n\nperfcalc results growth-dca\n\n"
    "perfcalc results growth-dca --from 2022-01-01 --period 1Y --json"
)
def results(
    entity_id: Annotated[str, typer.Argument(metavar="ENTITY_ID", help="Id of a portfolio.")],
    *,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], metavar="DATE", help="First date, YYYY-MM-DD.")
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="Last date.")
    ] = None,
    period: Annotated[
        str | None, typer.Option("--period", metavar="PERIOD", help="One period alone, such as 1Y.")
    ] = None,
    entity_type: Annotated[EntityType, typer.Option("--entity-type", help="What the id names.")] = EntityType.PORTFOLIO,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Show the stored results of one entity, each metric with the reason where there is none."""
    if start and end and start > end:
        raise typer.BadParameter(f"{start:%Y-%m-%d} is after --to {end:%Y-%m-%d}.", param_hint="'--from'")
    first, last = (each.date() if each else None for each in (start, end))
    with open_to_read(data_dir) as world:
        found = list(world.result_store.history(entity_type, entity_id, start=first, end=last))
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
    epilog='Example:\n\nperfcalc query "SELECT time, measure_value::double AS twr FROM '
    "investment_performance.performance_metrics WHERE entity_id = 'growth-dca' AND measure_name = 'twr'\""
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
        columns, found = world.time_series_reader.query(sql)
        rows = [{name: plain(row[name]) for name in columns} for row in found]
    if as_json:
        print_json(rows)
    else:
        out.print(presentation.rows_of_query(columns, rows))
