"""`perfcalc cache`: what was calculated before."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.config import CalendarSettings
from common.models.books import BookEntityType
from common.models.limits import MAX_PORTFOLIOS
from workflows.business_days import previous_business_day
from workflows.cli.app import (
    DEFAULT_DATA_DIR,
    AsJson,
    DataDir,
    ExitCode,
    app,
    err,
    open_runtime,
    out,
    plain,
    print_json,
)
from workflows.cli.usage import PlainGroup, examples, parse_day

if TYPE_CHECKING:
    from workflows.local.runtime import LocalRuntime

WORKERS = 8
_EXECUTION = {"name": "cache-warm"}

cache = typer.Typer(
    name="cache", cls=PlainGroup, help="Keep, count or forget what was calculated before.", no_args_is_help=True
)
app.add_typer(cache)


@cache.command(epilog=examples("perfcalc cache warm --date 2022-12-28"))
def warm(
    *,
    as_of: Annotated[
        date | None,
        typer.Option(
            "--date", parser=parse_day, metavar="DATE", help="As of this date.", show_default="the last business day"
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Calculate ahead what the nightly run will ask for: it reads the results then."""
    with open_runtime(data_dir, there=True) as runtime:
        calendar = CalendarSettings.from_env()
        day = as_of or previous_business_day(datetime.now().astimezone().date(), calendar.calendar)
        from workflows.local.lambda_host import FunctionError  # noqa: PLC0415 - see open_runtime

        entities: list[dict[str, Any]] = []
        ids = sorted(each.entity_id for each in runtime.books.all_entities(BookEntityType.PORTFOLIO))
        for first in range(0, len(ids), MAX_PORTFOLIOS):
            request = {"as_of_date": day.isoformat(), "entity_ids": ids[first : first + MAX_PORTFOLIOS]}
            plan = runtime.invoke("ValidateInput", {"request": request, "execution": _EXECUTION})
            shared = {"request": plan["request"], "result_bytes": plan["result_bytes"], "execution": _EXECUTION}
            entities += [{**shared, "entity": entity} for entity in plan["entities"]]

        def calculate(event: dict[str, Any]) -> str:
            try:
                return "cached" if runtime.invoke("CalculatePortfolio", event).get("cached") else "calculated"
            except FunctionError:
                return "failed"

        with ThreadPoolExecutor(max_workers=WORKERS) as workers, err.status("Calculating"):
            outcomes = list(workers.map(calculate, entities))
    counts = {name: outcomes.count(name) for name in ("calculated", "cached", "failed")}
    if as_json:
        print_json({"as_of_date": day.isoformat(), **counts})
    else:
        told = "{calculated} calculated, {cached} in the cache already, {failed} cannot be calculated".format(**counts)
        out.print(f"As of {day}: {told}")
    raise typer.Exit(ExitCode.PARTIAL if counts["failed"] else ExitCode.SUCCEEDED)


@cache.command(epilog=examples("perfcalc cache stats"))
def stats(*, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Count what is kept."""
    with open_runtime(data_dir, there=True) as runtime:
        if (kept := _cache(runtime)) is None:
            return
        found = kept.statistics()
    if as_json:
        print_json(plain(found))
        return
    out.print(f"{found.entries:,} result(s), {found.bytes:,} bytes, {found.expired:,} of them expired")
    if found.oldest and found.newest:
        out.print(f"from {found.oldest:%Y-%m-%d %H:%M} to {found.newest:%Y-%m-%d %H:%M} UTC")


@cache.command(epilog=examples("perfcalc cache clear"))
def clear(*, as_json: AsJson = False, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Forget everything that is kept; results stay where they are."""
    with open_runtime(data_dir, there=True) as runtime:
        if (kept := _cache(runtime)) is None:
            return
        removed = kept.clear()
    if as_json:
        print_json({"removed": removed})
    else:
        out.print(f"{removed:,} result(s) forgotten")


def _cache(runtime: "LocalRuntime") -> Any:
    if runtime.result_cache is None:
        err.print("The cache is switched off: cache_ttl_seconds is 0.", style="yellow")
    return runtime.result_cache
