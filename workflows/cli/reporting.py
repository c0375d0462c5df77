"""`perfcalc report`: results as a page, of one portfolio, of several side by side, or of a whole run."""

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import InvalidPortfolioError, message_of
from common.models.kinds import EntityType
from workflows.cli.app import DEFAULT_DATA_DIR, DataDir, app, err, open_to_read, out, settings
from workflows.cli.fleet import ended_fleet, fleet_failures, fleet_rows
from workflows.cli.report import report_of
from workflows.cli.run import read_request
from workflows.cli.usage import examples, parse_day
from workflows.executions import Execution, ExecutionNotFoundError
from workflows.world import all_executions, find_execution

if TYPE_CHECKING:
    from workflows.reporting.page import Page
    from workflows.reporting.sources import Subject
    from workflows.world import Readable

_STDOUT = "-"


@app.command(
    epilog=examples(
        "perfcalc report acme-growth -o report.html",
        "perfcalc report growth-dca --request examples/build/market.json --png charts",
        "perfcalc report acme-growth birch-balanced -o compare.html",
        "perfcalc report --fleet market-2022-12-28-0123456789ab",
    )
)
def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ENTITY_ID",
            help="One for its own page, several to compare them; with --fleet the name of an EXECUTION, the last "
            "that has ended when there is none.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to; - is standard output. Without it, named after the content.",
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option("--request", metavar="FILE", help="A request that brings the data; without it, the books'."),
    ] = None,
    fleet: Annotated[bool, typer.Option("--fleet", help="A whole run instead of portfolios.")] = False,
    as_of: Annotated[
        date | None,
        typer.Option("--date", parser=parse_day, metavar="DATE", help="The last result on or before this date."),
    ] = None,
    entity_type: Annotated[
        EntityType,
        typer.Option("--entity-type", metavar="TYPE", help="What the ids name: portfolio, account or security."),
    ] = EntityType.PORTFOLIO,
    png: Annotated[
        Path | None, typer.Option("--png", metavar="DIR", help="Each chart as a PNG too.", file_okay=False)
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write results as one HTML file that opens offline and prints well."""
    names = list(dict.fromkeys(names or ()))
    _check(names, request, as_of, fleet=fleet)
    if fleet:
        page, stem = _of_run(names[0] if names else None, data_dir)
    elif request:
        page, stem = _of_subjects(_from_request(request, names))
    else:
        page, stem = _of_subjects(_from_stores(names, entity_type, as_of, data_dir))
    _write(page, output or Path(f"{stem}.html"), png)


def _check(names: Sequence[str], request: Path | None, as_of: date | None, *, fleet: bool) -> None:
    if fleet and (request or as_of):
        raise typer.BadParameter("goes with neither --request nor --date.", param_hint="--fleet")
    if fleet and len(names) > 1:
        raise typer.BadParameter("one run at a time.", param_hint="EXECUTION")
    if request and as_of:
        raise typer.BadParameter("the request has its own as_of_date.", param_hint="--date")
    if not (names or fleet or request):
        raise typer.BadParameter("name a portfolio, or give --request or --fleet.", param_hint="ENTITY_ID")


def _from_stores(names: Sequence[str], entity_type: EntityType, as_of: date | None, data_dir: Path) -> list["Subject"]:
    with open_to_read(data_dir) as world:
        from common.stores.histories import BookReader  # noqa: PLC0415 - with numpy, which most commands do without
        from workflows.reporting.sources import from_stores  # noqa: PLC0415 - as above

        reader = BookReader(world.books)
        return [
            from_stores(
                world.result_store,
                reader,
                entity_type,
                name,
                as_of=as_of,
                max_price_age_days=settings().max_price_age_days,
            )
            for name in names
        ]


def _from_request(path: Path, names: list[str]) -> list["Subject"]:
    from workflows.reporting.sources import from_request  # noqa: PLC0415 - with numpy, which most commands do without

    document, base = read_request(path)
    return from_request(document, base, names)


def _of_subjects(subjects: Sequence["Subject"]) -> tuple["Page", str]:
    from workflows.reporting import compare, portfolio  # noqa: PLC0415 - with numpy, which most commands do without
    from workflows.reporting.figures import file_stem  # noqa: PLC0415 - as above

    if len(subjects) == 1:
        return portfolio.build(subjects[0]), file_stem(subjects[0].name)
    if len(subjects) > compare.MOST_COMPARED:
        raise InvalidPortfolioError(
            f"{len(subjects)} portfolios: at most {compare.MOST_COMPARED} can be told apart in one chart; name fewer"
        )
    return compare.build(subjects), "compare"


def _of_run(name: str | None, data_dir: Path) -> tuple["Page", str]:
    from workflows.reporting import fleet  # noqa: PLC0415 - with numpy, which most commands do without
    from workflows.reporting.figures import file_stem  # noqa: PLC0415 - as above

    with open_to_read(data_dir) as world:
        execution, of_a_fleet = _ended(world, name)
        if of_a_fleet:
            found = ended_fleet(world, execution, data_dir)
            summary = fleet.summarise(fleet_rows(world, found), fleet_failures(world, found))
        else:
            found = report_of(world, execution, {})
            summary = fleet.summarise(found["results"], found["failures"])
    error = ": ".join(filter(None, [execution.error, message_of(execution.cause)])) or None
    return fleet.build(summary, execution.name, execution.outcome, error), file_stem(execution.name)


def _ended(world: "Readable", name: str | None) -> tuple[Execution, bool]:
    """Return an execution that has ended, the last there is when none is named, and whether it is a fleet run."""
    if name is None:
        last = next((each for each in all_executions(world) if each.finished), None)
        if last is None:
            raise ExecutionNotFoundError("no execution has ended yet")
        name = last.arn
    machine, execution = find_execution(world, name)
    if not execution.finished:
        raise ExecutionNotFoundError(f"execution {execution.name} still runs")
    return execution, machine is world.fleet


def _write(page: "Page", output: Path, png: Path | None) -> None:
    from workflows.reporting.page import document  # noqa: PLC0415 - with numpy, which most commands do without
    from workflows.reporting.rendering import png as drawn  # noqa: PLC0415 - as above

    with err.status("Writing the report"):
        body = document(page).encode()
        if str(output) == _STDOUT:
            sys.stdout.buffer.write(body)
            sys.stdout.flush()
        else:
            output.write_bytes(body)
        images: list[Path] = []
        if png is not None and page.charts:
            png.mkdir(parents=True, exist_ok=True)
            for name, spec in page.charts.items():
                images.append(png / f"{name}.png")
                images[-1].write_bytes(drawn(spec))
    if str(output) != _STDOUT:
        for file in (output, *images):
            out.print(f"{file}  {file.stat().st_size / 1000:,.0f} kB", soft_wrap=True)
    if png is not None and not page.charts:
        err.print(" ".join(("There are no charts to be written as images.", *page.notes)), style="yellow")
