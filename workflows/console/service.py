"""The calls to Step Functions that the console makes, their errors ours."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError
from cachetools import LRUCache

from common.errors import InputNotFoundError
from common.json_types import JsonObject
from common.stores.botocore_errors import typed_errors
from workflows.execution_history import PAGE

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# The service calls a name that cannot be one an invalid ARN; to somebody who typed an address it is not there.
_NOT_THERE: Final = frozenset({"ExecutionDoesNotExist", "InvalidArn", "ResourceNotFound", "StateMachineDoesNotExist"})
_STOPPED: Final = "Stopped"
_OUTCOMES_KEPT: Final = 10_000


class StepFunctions:
    """Step Functions as the console asks it.

    Parameters
    ----------
    client
        A boto3 client, of the service or of a local world.

    Raises
    ------
    InputNotFoundError
        By every method: there is no such execution, state machine or Map Run.
    ThrottledError, TransientError, StoreError
        By every method: Step Functions asked for less, failed or refused.
    """

    def __init__(self, client: "SFNClient") -> None:
        self.client = client
        self._outcomes: LRUCache[str, str | None] = LRUCache(_OUTCOMES_KEPT)
        self._lock = Lock()

    def executions(
        self, machine_arn: str, *, status: str | None = None, token: str | None = None, limit: int = PAGE
    ) -> JsonObject:
        """Return a page of a state machine's executions, newest first, as ListExecutions has it."""
        with _errors("state machine"):
            return _plain(
                self.client.list_executions(
                    stateMachineArn=machine_arn, maxResults=limit, **_options(statusFilter=status, nextToken=token)
                )
            )

    def children(self, map_run_arn: str, *, status: str | None = None, token: str | None = None) -> JsonObject:
        """Return a page of the executions that a Map Run started."""
        with _errors("Map Run"):
            return _plain(
                self.client.list_executions(
                    mapRunArn=map_run_arn, maxResults=100, **_options(statusFilter=status, nextToken=token)
                )
            )

    def execution(self, arn: str) -> JsonObject:
        """Return what DescribeExecution says."""
        with _errors("execution"):
            return _plain(self.client.describe_execution(executionArn=arn))

    def outcome(self, arn: str) -> str | None:
        """Return what an execution that has succeeded says it came to; asked once, since it stays so."""
        with self._lock:
            if arn in self._outcomes:
                return self._outcomes[arn]
        output = json.loads(self.execution(arn).get("output") or "null")
        found = output.get("status") if isinstance(output, dict) else None
        with self._lock:
            self._outcomes[arn] = found if isinstance(found, str) else None
            return self._outcomes[arn]

    def definition(self, arn: str) -> str:
        """Return the definition that an execution was started with."""
        with _errors("execution"):
            return self.client.describe_state_machine_for_execution(executionArn=arn)["definition"]

    def history(self, arn: str, token: str | None) -> JsonObject:
        """Return a page of an execution's history."""
        with _errors("execution"):
            return _plain(
                self.client.get_execution_history(executionArn=arn, maxResults=PAGE, **_options(nextToken=token))
            )

    def map_run(self, arn: str) -> JsonObject:
        """Return what DescribeMapRun says."""
        with _errors("Map Run"):
            return _plain(self.client.describe_map_run(mapRunArn=arn))

    def stop(self, arn: str) -> None:
        """Stop an execution."""
        with _errors("execution"):
            self.client.stop_execution(executionArn=arn, error=_STOPPED, cause="Stopped in the console.")

    def redrive(self, arn: str) -> None:
        """Let an execution go on from the states that did not succeed."""
        with _errors("execution"):
            self.client.redrive_execution(executionArn=arn)


@contextmanager
def _errors(thing: str) -> Iterator[None]:
    with typed_errors("Step Functions"):
        try:
            yield
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _NOT_THERE:
                raise InputNotFoundError(f"There is no such {thing}.") from error
            raise


def _options(**given: str | None) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value}


def _plain(answer: Mapping[str, Any]) -> JsonObject:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}
