"""A fleet run of `perfcalc run`: a manifest, or everything in the books, calculated in batches."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from common.errors import InputNotFoundError, message_of
from common.json_types import JsonObject
from common.models.kinds import EntityType
from common.stores.ports import ResultKey
from workflows import presentation
from workflows.cli.app import out, settings, typed
from workflows.cli.report import execution_json
from workflows.executions import Execution, ExecutionStatus
from workflows.fleet_lines import objects, read_failures
from workflows.watching import batches_without_series

if TYPE_CHECKING:
    from workflows.world import Readable, World

_FAILURES_TOLD: Final = 20
_ROWS_READ: Final = 100
_FILES: Final = ("failures", "results")


def fleet_report(world: "World", execution: Execution, data_dir: Path) -> JsonObject:
    """Return what a fleet run came to.

    Returns
    -------
    dict
        The summary, with the `execution`, and under `files` where on this machine the manifest of the failures and the
        keys of what was calculated are; of a run elsewhere they stay where they are.
    """
    summary = _summary(world, execution)
    report = {"execution": execution_json(execution), **summary}
    if not settings().stack and "failures" in summary:
        report["files"] = _kept(world, summary, data_dir / "fleet" / execution.name)
        if summary["failed"] and "failures" in report["files"]:
            report["files"] |= _kept_request(world, execution, Path(report["files"]["failures"]))
    return report


def fleet_rows(world: "Readable", report: Mapping[str, Any]) -> Iterator[JsonObject]:
    """Yield the stored rows of everything a fleet run calculated, as many at a time as the store reads at once."""
    if "results" not in report:
        return
    with closing(_opened(world, report, "results")) as file:
        keys = (
            ResultKey(EntityType(each["entity_type"]), each["entity_id"], date.fromisoformat(each["calculation_date"]))
            for each in objects(file)
        )
        while part := list(islice(keys, _ROWS_READ)):
            found = world.result_store.read_many(part)
            yield from (found[key] for key in part if key in found)


def fleet_failures(world: "Readable", report: Mapping[str, Any]) -> Iterator[JsonObject]:
    """Yield what a fleet run could not calculate: `{entity_type, entity_id, error, message}`; not what is put right."""
    if "failures" in report:
        with closing(_opened(world, report, "failures")) as file:
            yield from map(asdict, read_failures(file))


def ended_fleet(world: "Readable", execution: Execution, data_dir: Path) -> JsonObject:
    """Return what a fleet run came to that has ended before; where its files are is asked of the data directory.

    Raises
    ------
    InputNotFoundError
        They are not there: the process that ran it did not keep them.
    """
    report = {"execution": execution_json(execution), **_summary(world, execution)}
    if not settings().stack and "failures" in report:
        directory = data_dir / "fleet" / execution.name
        report["files"] = {name: str(directory / Path(report[name]["key"]).name) for name in _FILES}
        if missing := [file for file in report["files"].values() if not Path(file).exists()]:
            raise InputNotFoundError(f"{missing[0]} is not there: it is kept by the command that ran {execution.name}")
    return report


def _summary(world: "Readable", execution: Execution) -> JsonObject:
    succeeded = execution.status is ExecutionStatus.SUCCEEDED
    found = execution.output if succeeded else world.fleet.last_input(execution.name)
    return found if isinstance(found, dict) and "failures_by_error" in found else {"status": "FAILED"}


def _opened(world: "Readable", report: Mapping[str, Any], name: str) -> BinaryIO:
    if "files" in report:
        return Path(report["files"][name]).open("rb")
    place = report[name]
    return cast("World", world).payload_store.open_uri(f"s3://{place['bucket']}/{place['key']}")


def _kept(world: "World", summary: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Keep the files of a run on this machine, where the bucket they are in ends with the process."""
    directory.mkdir(parents=True, exist_ok=True)
    kept = {}
    for name in _FILES:
        place = summary[name]
        target = directory / place["key"].rsplit("/", 1)[-1]
        if not target.exists():
            half = target.with_suffix(".half")
            uri = f"s3://{place['bucket']}/{place['key']}"
            try:
                with closing(world.payload_store.open_uri(uri)) as source, half.open("wb") as file:
                    shutil.copyfileobj(source, file)
            except InputNotFoundError:  # it ended before, in a process that did not keep them
                continue
            half.replace(target)
        kept[name] = str(target)
    return kept


def _kept_request(world: "World", execution: Execution, failures: Path) -> dict[str, str]:
    """Keep beside its failures the request that calculates them as they were asked for: same client, dates, periods."""
    target = failures.with_name("again.json")
    if not target.exists():
        request = {name: value for name, value in execution.input.items() if name != "entity_types"}
        request["manifest"] = {"source": failures.name}
        levels = request.get("benchmark", {}).get("valuations", {})
        if str(levels.get("source", "")).startswith(f"s3://{world.payload_bucket}/"):
            kept = failures.with_name(f"benchmark.{levels['source'].rsplit('.', 1)[-1]}")
            try:
                with closing(world.payload_store.open_uri(levels["source"])) as source, kept.open("wb") as file:
                    shutil.copyfileobj(source, file)
            except InputNotFoundError:  # the bucket it was put into ended with another process
                return {}
            request["benchmark"] = {**request["benchmark"], "valuations": {**levels, "source": kept.name}}
        target.write_text(json.dumps(request, indent=2) + "\n")
    return {"request": str(target)}


def print_fleet(report: Mapping[str, Any], execution: Execution, data_dir: Path) -> None:
    """Print what a fleet run came to, and what can be typed next."""
    files = report.get("files", {})
    if report.get("failed"):
        if "failures" in files:
            with Path(files["failures"]).open("rb") as lines:
                told = [asdict(each) for each in islice(read_failures(lines), _FAILURES_TOLD)]
            if told:
                out.print(presentation.failures_table(told), "")
        more = report["failed"] - _FAILURES_TOLD
        by_error = ", ".join(f"{count:,} {error}" for error, count in report["failures_by_error"].items())
        out.print(f"{'... and ' + format(more, ',') + ' more. ' if more > 0 and files else ''}By error: {by_error}", "")
    if "calculated" in report:
        read = f" ({report['cached']:,} read from the cache)" if report["cached"] else ""
        counts = f"{report['calculated']:,} calculated{read}, {report['failed']:,} failed, in"
        out.print(presentation.status_text(report["status"]), counts, presentation.took(execution))
        batches = report["batches"]
        if whole := batches["failed"] + batches["not_begun"]:
            out.print(
                f"{whole:,} of {batches['planned']:,} batches failed as a whole, or were not begun", style="yellow"
            )
        if lacking := batches_without_series(report["timestream"]):
            names = ", ".join(f"{count:,} {name}" for name, count in lacking.items())
            out.print(f"The time series lacks records of some batches: {names}.", style="yellow")
    if execution.error:
        out.print(f"{execution.error}: {message_of(execution.cause)}", style="red")
    out.print()
    for name, text in _next_steps(report, data_dir):
        out.print(f"{name:<12}{text}", soft_wrap=True)


def _next_steps(report: Mapping[str, Any], data_dir: Path) -> Iterator[tuple[str, str]]:
    yield "Execution", report["execution"]["name"]
    files = report.get("files", {})
    if report.get("failed"):
        if "failures" in files:
            yield "Failures", files["failures"]
        if "request" in files:
            yield "Run again", typed("run", files["request"], data_dir=data_dir)
        if settings().stack:
            yield "Failures", f"s3://{report['failures']['bucket']}/{report['failures']['key']}"
    if report.get("calculated") and "results" in files:
        with Path(files["results"]).open(encoding="utf-8") as lines:
            first = json.loads(next(lines))
        kind = [] if first["entity_type"] == "portfolio" else ["--entity-type", first["entity_type"]]
        yield "One result", typed("results", first["entity_id"], *kind, data_dir=data_dir)
