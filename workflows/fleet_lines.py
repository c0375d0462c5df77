"""The files that a fleet run leaves, line by line; people put the manifest of its failures right by hand."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from common.models.kinds import EntityType
from common.models.manifests import FAILURE


@dataclass(frozen=True, slots=True)
class FailureLine:
    """An entity that a fleet run could not calculate."""

    entity_type: str
    entity_id: str
    error: str
    message: str


def read_failures(lines: Iterable[bytes]) -> Iterator[FailureLine]:
    """Yield what a manifest still tells as failed.

    A line without its reason was put right since, and one that is no JSON is about to be: both are passed over.
    """
    for document in objects(lines):
        told = document.get(FAILURE)
        if isinstance(told, Mapping):
            name = document.get("portfolio_id") or document.get("entity_id") or "-"
            kind = document.get("entity_type", EntityType.PORTFOLIO.value)
            yield FailureLine(str(kind), str(name), str(told.get("error", "")), str(told.get("message", "")))


def objects(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a file of JSON lines; what is none is passed over."""
    for line in lines:
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):  # the file was cut short, or somebody is at it
            continue
        if isinstance(document, dict):
            yield document
