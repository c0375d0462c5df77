"""What to start where an execution is run again: all of it, or what failed in it alone."""

from collections.abc import Mapping

from common.errors import PermanentError
from common.json_types import JsonObject
from common.models.kinds import EntityType


class NothingToRerunError(PermanentError):
    """The failures of an execution cannot be asked for by themselves."""


def failures_of(output: object) -> list[JsonObject]:
    """Return the entities that an execution's output tells as failed."""
    failures = output.get("failures") if isinstance(output, Mapping) else None
    if not isinstance(failures, list):
        return []
    return [each for each in failures if isinstance(each, dict) and isinstance(each.get("entity_id"), str)]


def rerun_request(request: object, output: object) -> JsonObject:
    """Return the request of an execution, narrowed to what failed in it.

    Parameters
    ----------
    request
        The execution's input.
    output
        Its output, with `failures`.

    Raises
    ------
    NothingToRerunError
        Nothing failed, or the input names its entities in a way that cannot be narrowed.
    """
    failed = {
        (str(each.get("entity_type", EntityType.PORTFOLIO)), str(each["entity_id"])) for each in failures_of(output)
    }
    if not failed:
        raise NothingToRerunError("Nothing failed in this execution.")
    if not isinstance(request, dict):
        raise NothingToRerunError("The input of this execution is no request.")
    narrowed = dict(request)
    if isinstance(portfolios := request.get("portfolios"), list):
        narrowed["portfolios"] = [
            each for each in portfolios if (EntityType.PORTFOLIO.value, each.get("portfolio_id")) in failed
        ]
        return _some(narrowed, "portfolios")
    if "portfolios" in request:
        raise NothingToRerunError("The portfolios of this execution stand in a file: run all of them again.")
    if isinstance(ids := request.get("entity_ids"), list):
        kind = str(request.get("entity_type", EntityType.PORTFOLIO))
        narrowed["entity_ids"] = [each for each in ids if (kind, each) in failed]
        return _some(narrowed, "entity_ids")
    if isinstance(entities := request.get("entities"), list):
        narrowed["entities"] = [
            each
            for each in entities
            if (each.get("entity_type", EntityType.PORTFOLIO.value), each.get("entity_id")) in failed
        ]
        return _some(narrowed, "entities")
    if request.get("client_id"):  # which asked for all that is the client's
        narrowed["entities"] = [{"entity_type": kind, "entity_id": each} for kind, each in sorted(failed)]
        narrowed.pop("entity_type", None)
        return narrowed
    raise NothingToRerunError("The input of this execution does not name its portfolios.")


def manifest_request(request: object, manifest: str) -> JsonObject:
    """Return the request of a fleet run for what a manifest names, its other options kept.

    Parameters
    ----------
    request
        The execution's input.
    manifest
        What the manifest is called in a request.

    Raises
    ------
    NothingToRerunError
        The input is no request.
    """
    if not isinstance(request, dict):
        raise NothingToRerunError("The input of this execution is no request.")
    kept = {key: value for key, value in request.items() if key != "entity_types"}
    return {**kept, "manifest": {"source": manifest}}


def _some(narrowed: JsonObject, field: str) -> JsonObject:
    if not narrowed[field]:
        raise NothingToRerunError("None of the failed entities stands in the input of this execution.")
    return narrowed
