"""What the import of a handler brings along: a cold start pays for it before anything is asked."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from workflows.registry import FUNCTIONS

ROOT = Path(__file__).parents[2]

# Made when a store is, and only then; or read by one kind of request alone.
NEVER = {
    "aws_xray_sdk",
    "boto3",
    "duckdb",
    "holidays",
    "moto",
    "pandas",
    "pyarrow",
    "s3transfer",
    "scipy",
    "urllib3",
    "werkzeug",
    "rich",
    "typer",
}
# What one function is made of, and no other needs.
ONLY = {
    "aws_lambda_powertools.event_handler": {"Api"},
    "aws_lambda_powertools.utilities.batch": {"TransactionQueue"},
    "cachetools": {"Authorizer", "CalculatePortfolio"},
    "ijson": {"SummariseRun"},
    "jwt": {"Authorizer"},
    "orjson": {"CalculatePortfolio"},
}
# What calculates, and what reads the files that are calculated from. Others speak of calculations alone.
WITH_NUMPY = {"CalculatePortfolio", "ValidateInput"}


@cache
def imported(function: str) -> frozenset[str]:
    """Return the modules of an interpreter that has imported a handler and nothing else."""
    module = FUNCTIONS[function].handler.rpartition(".")[0]
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    # No environment: a handler reads its settings when it runs.
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(json.loads(found.stdout))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_imports_nothing_that_a_store_or_a_laptop_needs(function: str) -> None:
    assert imported(function) & NEVER == set()


def test_nobody_imports_the_tracer_but_what_powertools_has_it_in() -> None:
    traced = {function for function in FUNCTIONS if "aws_lambda_powertools.tracing" in imported(function)}
    assert traced == {"Api", "TransactionQueue"}


@pytest.mark.parametrize(("module", "functions"), ONLY.items())
def test_what_one_function_is_made_of_is_imported_by_no_other(module: str, functions: set[str]) -> None:
    assert {function for function in FUNCTIONS if module in imported(function)} == functions & FUNCTIONS.keys()


def test_only_what_reads_or_calculates_series_imports_numpy() -> None:
    assert {function for function in FUNCTIONS if "numpy" in imported(function)} == WITH_NUMPY


def test_the_other_functions_import_nothing_that_calculates() -> None:
    words = {"common.calculations", "common.calculations.words"}
    for function in FUNCTIONS.keys() - WITH_NUMPY:
        assert {name for name in imported(function) if name.startswith("common.calculations")} <= words


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_handler_imports_the_tasks_of_others(function: str) -> None:
    module = FUNCTIONS[function].handler.rpartition(".")[0]
    assert {name for name in imported(function) if name.startswith("tasks.")} <= {module}
