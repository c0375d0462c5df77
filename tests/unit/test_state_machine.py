"""What the definitions have to agree on, with themselves and with the code they call; the fleet's has all states."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import getmembers, isclass
from typing import Any

import pytest

from common import errors
from common.models.limits import MAX_CONCURRENCY
from common.models.request import CalculationRequest
from workflows.definitions import load
from workflows.registry import FLEET, TASKS

Json = dict[str, Any]
DEFINITION: Json = json.loads(load(FLEET))
OURS = {name: kind for name, kind in getmembers(errors, isclass) if issubclass(kind, errors.PerformanceCalculatorError)}
EXPRESS_SECONDS = 300  # what AWS gives an Express execution
PREFIXES = ("Lambda.", "States.", "Runtime.", "Sandbox.")


def states(scope: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for name, state in scope["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


STATES = dict(states(DEFINITION))
INVOCATIONS = {name: state for name, state in STATES.items() if state.get("Resource", "").endswith(":lambda:invoke")}


def test_every_function_is_retried_in_the_same_way() -> None:
    first, *others = (state["Retry"] for state in INVOCATIONS.values())
    assert all(other == first for other in others)
    throttled, passing = first
    assert {"Lambda.TooManyRequestsException", "ThrottledError"} == set(throttled["ErrorEquals"])
    assert (throttled["MaxAttempts"], throttled["IntervalSeconds"], throttled["MaxDelaySeconds"]) == (8, 2, 60)
    assert (passing["MaxAttempts"], passing["IntervalSeconds"], passing["MaxDelaySeconds"]) == (4, 1, 20)


def test_every_retry_has_jitter() -> None:
    assert {retrier["JitterStrategy"] for state in STATES.values() for retrier in state.get("Retry", ())} == {"FULL"}


def test_every_error_named_is_ours_or_one_of_aws() -> None:
    handlers = [handler for state in STATES.values() for handler in (*state.get("Retry", ()), *state.get("Catch", ()))]
    named = {name for handler in handlers for name in handler["ErrorEquals"] if not name.startswith(PREFIXES)}
    assert named
    assert named <= OURS.keys()


def test_no_permanent_error_is_retried_and_every_transient_one_is() -> None:
    # Step Functions matches the class's own name, never that of a base.
    retried = {name for state in INVOCATIONS.values() for retrier in state["Retry"] for name in retrier["ErrorEquals"]}
    assert {name for name, kind in OURS.items() if issubclass(kind, errors.TransientError)} <= retried
    assert not {name for name, kind in OURS.items() if issubclass(kind, errors.PermanentError)} & retried


def test_a_portfolio_that_is_wrong_is_caught_by_its_name() -> None:
    first, last = STATES["CalculatePortfolio"]["Catch"]
    assert set(first["ErrorEquals"]) == {"InvalidPortfolioError", "InputNotFoundError", "StoreError"}
    assert last["ErrorEquals"] == ["States.ALL"]


def test_a_function_ends_before_its_state_gives_it_up() -> None:
    assert {state["Parameters"]["FunctionName"] for state in INVOCATIONS.values()} == {f"${{{name}}}" for name in TASKS}
    for name, state in INVOCATIONS.items():
        assert state["Parameters"]["FunctionName"] == f"${{{name}}}"
        assert state["TimeoutSeconds"] > TASKS[name].timeout_seconds


def test_every_retry_window_fits_into_the_execution() -> None:
    for state in INVOCATIONS.values():
        throttled = state["Retry"][0]
        waits = [min(throttled["IntervalSeconds"] * 2**attempt, throttled["MaxDelaySeconds"]) for attempt in range(8)]
        assert sum(waits) + 9 * state["TimeoutSeconds"] < DEFINITION["TimeoutSeconds"]
        # A batch of a fleet run may be an Express execution: it waits out the throttling of one state, at most.
        assert sum(waits) < EXPRESS_SECONDS < 2 * sum(waits)


@pytest.mark.parametrize("name", TASKS)
def test_the_registry_names_handlers_that_exist(name: str) -> None:
    module, _, function = TASKS[name].handler.rpartition(".")
    assert callable(getattr(import_module(module), function))
    assert module == "tasks." + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("dynamo_db", "dynamodb")


def test_the_map_runs_as_many_at_a_time_as_the_request_asks_for() -> None:
    assert STATES["CalculatePortfolios"]["MaxConcurrencyPath"] == "$.max_concurrency"
    assert CalculationRequest.model_fields["max_concurrency"].default == 10
    assert MAX_CONCURRENCY == 40


def test_a_run_succeeds_with_a_complete_time_series_or_without_any() -> None:
    (choice,) = STATES["DecideStatus"]["Choices"]
    failures, time_series = choice["And"]
    assert (failures["Variable"], failures["NumericEquals"]) == ("$.failed", 0)
    assert {rule["StringEquals"] for rule in time_series["Or"]} == {"SUCCEEDED", "DISABLED"}
    assert {rule["Variable"] for rule in time_series["Or"]} == {"$.timestream.status"}
