"""Calculations as the API starts them, and what it tells of their executions."""

import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple

from common.access import Scope
from common.errors import InputNotFoundError, InvalidPortfolioError, InvalidRequestError, TransientError, message_of
from common.json_text import canonical_json
from common.models.limits import STATE_PAYLOAD_BYTES
from common.models.request import CalculationRequest
from common.ownership import benchmark_named, files, look_up, named, unreadable
from common.stores.botocore_errors import typed_errors
from workflows.executions import Execution, ExecutionConflictError, ExecutionNotFoundError, ExecutionStatus
from workflows.staging import lighten
from workflows.triggers.api.models import ExecutionFailure, ExecutionReport, ExecutionSummary, RequestFault
from workflows.triggers.api.problems import ProblemError, ProblemType, missing, no_such
from workflows.triggers.api.services import ApiServices

_HASH_DIGITS: Final = 40
# How far the clocks of this function and of Step Functions may stand apart.
_CLOCKS_APART: Final = timedelta(seconds=1)

# The errors that are told: what the request or its data have wrong. Others may quote a stack, a store or a role.
_TOLD: Final = frozenset(
    {error.__name__ for error in (InvalidRequestError, InvalidPortfolioError, InputNotFoundError)}
    | {"AllPortfoliosFailed"}
)
_UNTOLD: Final = "It ended without a result; the log knows more, by the execution_id."
_FAULT: Final = re.compile(r"^(\$.*?): (.*)\n?", re.MULTILINE)


class Started(NamedTuple):
    """An execution, and whether an earlier request with the same key had started it."""

    execution: Execution
    replayed: bool


def start_calculation(request: CalculationRequest, key: str | None, services: ApiServices) -> Started:
    """Start the execution of a request, or find the one there is.

    Parameters
    ----------
    request
        Its `client_id` is the caller's, or one that an admin has chosen.
    key
        Idempotency key: the same key and request are the same execution for 90 days. Without one the same request is
        the same execution for as long as that runs.
    services
        What it is checked with, and started.

    Raises
    ------
    ProblemError
        It names what is not there, it is too large, or the key was used for another request.
    ThrottledError, TransientError
        A store or the service did not answer; nothing was started, or what was is found again.
    """
    _refuse_missing(request, services)
    document = lighten(request.model_dump(mode="json", exclude_none=True), services.payloads, services.buckets.payloads)
    if (size := len(canonical_json(document).encode())) > STATE_PAYLOAD_BYTES:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"The request has {size:,} bytes without its histories; an execution takes {STATE_PAYLOAD_BYTES:,}.",
        )
    with typed_errors("Step Functions"):
        if key is None:
            return Started(services.executions.start_or_attach(document), replayed=False)
        asked = services.clock()
        try:
            execution, new = services.executions.start_once(_name(request.client_id, key), document)
        except ExecutionConflictError:
            raise ProblemError(ProblemType.CONFLICT, "The Idempotency-Key came with another request before.") from None
        except ExecutionNotFoundError:  # it exists, and cannot be described yet
            raise TransientError("Step Functions: the execution was started a moment ago") from None
    # One that runs is answered as if it had just been started, but for its time.
    return Started(execution, replayed=not new or execution.started_at < asked - _CLOCKS_APART)


def report_execution(name: str, scope: Scope, services: ApiServices) -> ExecutionReport:
    """Return an execution as it is now.

    Raises
    ------
    ProblemError
        There is none of this name, or it is another client's.
    ThrottledError, TransientError
        The service did not answer; try again.
    """
    try:
        with typed_errors("Step Functions"):
            execution = services.executions.describe(name)
    except ExecutionNotFoundError:
        raise no_such("execution") from None
    client_id = execution.input.get("client_id") if isinstance(execution.input, dict) else None
    if scope.client_id not in {None, client_id}:
        raise no_such("execution")
    failed = execution.finished and execution.status is not ExecutionStatus.SUCCEEDED
    return ExecutionReport(
        execution_id=execution.name,
        status=execution.status,
        started_at=execution.started_at,
        stopped_at=execution.stopped_at,
        summary=None if execution.output is None else _summary(execution.output),
        error=_failure(execution) if failed else None,
    )


def _refuse_missing(request: CalculationRequest, services: ApiServices) -> None:
    """Refuse what a client's request names and refers to that is not there, or not the client's.

    What a referenced file names, the execution finds out.
    """
    scope = Scope(request.client_id)
    faults = unreadable(files(request), scope, services.buckets)
    if request.client_id is not None:
        faults += look_up(named(request), services.books, scope.owns)[1]
    faults += look_up(benchmark_named(request.benchmark), services.books, scope.sees)[1]
    if faults:
        raise missing(faults)


def _name(client_id: str | None, key: str) -> str:
    """Return the name of a key's execution: a client's keys are its own."""
    return f"key-{hashlib.sha256(canonical_json([client_id, key]).encode()).hexdigest()[:_HASH_DIGITS]}"


def _summary(output: dict[str, Any]) -> ExecutionSummary:
    failures = [
        {**failure, "message": failure["message"] if failure["error"] in _TOLD else _UNTOLD}
        for failure in output["failures"]
    ]
    return ExecutionSummary.model_validate({**output, "failures": failures})


def _failure(execution: Execution) -> ExecutionFailure:
    kind = execution.error or execution.status.value
    message = message_of(execution.cause)
    if kind not in _TOLD or not message:
        return ExecutionFailure(type=kind, message=_UNTOLD)
    if kind != InvalidRequestError.__name__:
        return ExecutionFailure(type=kind, message=message)
    return ExecutionFailure(type=kind, message=_FAULT.sub("", message).strip(), errors=list(_faults(message)))


def _faults(message: str) -> Iterator[RequestFault]:
    """Yield the faults that the message of an `InvalidRequestError` tells, each on a line of its own."""
    for path, detail in _FAULT.findall(message):
        yield RequestFault(path=path, detail=detail)
