"""Fleet runs as the pages tell them: how far one is by its plan, and what it came to by its summary."""

from collections.abc import Mapping
from itertools import islice
from typing import BinaryIO, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from workflows.console.states import IterationCounts
from workflows.fleet_lines import FailureLine, read_failures

FAILURES_SHOWN: Final = 200


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class FleetFile(_Told):
    """A file that a fleet run has left, as its summary names it."""

    bucket: str
    key: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def uri(self) -> str:
        """What a request calls it."""
        return f"s3://{self.bucket}/{self.key}"


class _Batches(_Told):
    planned: int
    succeeded: int
    failed: int
    not_begun: int


class FleetSummary(_Told):
    """What SummariseRun returned, as far as the pages tell it.

    Attributes
    ----------
    failures
        A manifest of what could not be calculated, with the reasons.
    results
        The keys of the rows that were calculated.
    """

    entities: int
    calculated: int
    failed: int
    failures_by_error: dict[str, int]
    batches: _Batches
    failures: FleetFile
    results: FleetFile

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the head of the execution tells."""
        batches = self.batches
        ended = f"{batches.succeeded:,} succeeded, {batches.failed:,} failed, {batches.not_begun:,} not begun"
        return [
            ("Entities", f"{self.entities:,}"),
            ("Calculated", f"{self.calculated:,}"),
            ("Failed", f"{self.failed:,}"),
            ("Batches", f"{batches.planned:,} planned: {ended}"),
        ]


class _Refused(_Told):
    count: int


class FleetPlan(_Told):
    """What PlanBatches returned, as far as the pages tell it."""

    entity_count: int
    batch_count: int
    refused: _Refused

    def facts(self, batches: IterationCounts | None) -> list[tuple[str, str]]:
        """Return what the head of the execution tells while the batches are calculated."""
        told = f"{self.batch_count:,} planned"
        if batches:
            ended = f"{batches.succeeded:,} succeeded, {batches.failed + batches.aborted:,} failed"
            told += f": {ended}, {batches.running:,} running, {batches.pending:,} pending"
        refused = [("Refused", f"{self.refused.count:,}")] if self.refused.count else []
        return [("Entities", f"{self.entity_count:,}"), *refused, ("Batches", told)]


def fleet_summary(document: object) -> FleetSummary | None:
    """Return the summary that a document is; None for any other."""
    try:
        return FleetSummary.model_validate(document)
    except ValidationError:
        return None


def fleet_plan(document: object) -> FleetPlan | None:
    """Return the plan that a state of a fleet run was given; None for any other state."""
    try:
        return FleetPlan.model_validate(document.get("plan") if isinstance(document, Mapping) else None)
    except ValidationError:
        return None


def first_failures(file: BinaryIO) -> list[FailureLine]:
    """Return the first failures of a manifest that a fleet run has left."""
    return list(islice(read_failures(file), FAILURES_SHOWN))
