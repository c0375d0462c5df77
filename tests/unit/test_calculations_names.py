"""The names of `common.calculations`, each of which is imported when it is first asked for."""

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from common import calculations

ROOT = Path(__file__).parents[2]
TABLE = {name: module for module, names in calculations._NAMES.items() for name in names}


def for_type_checkers() -> dict[str, str]:
    """Return the module of each name as whoever reads types finds it."""
    found: dict[str, str] = {}
    for node in ast.parse(Path(calculations.__file__).read_text("utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                assert isinstance(each, ast.ImportFrom)
                assert each.module
                found |= {alias.name: each.module.removeprefix("common.calculations.") for alias in each.names}
    return found


def run(code: str) -> Any:
    """Return what a new interpreter prints, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_names_are_the_same_for_programs_readers_of_types_and_stars() -> None:
    assert for_type_checkers() == TABLE
    assert sorted(TABLE) == sorted(calculations.__all__)
    assert len(TABLE) == sum(map(len, calculations._NAMES.values()))


@pytest.mark.parametrize("name", calculations.__all__)
def test_a_name_is_that_of_its_module(name: str) -> None:
    assert getattr(calculations, name) is getattr(import_module(f"common.calculations.{TABLE[name]}"), name)


def test_all_names_are_listed_before_they_are_asked_for() -> None:
    code = "import json, common.calculations as c; print(json.dumps([dir(c), sorted(vars(c))]))"
    listed, there = run(code)
    assert set(calculations.__all__) <= set(listed)
    assert not set(calculations.__all__) & set(there)


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"module 'common\.calculations' has no attribute 'sharpe'"):
        calculations.sharpe  # type: ignore[attr-defined]  # noqa: B018 - that is the test


@pytest.mark.parametrize(
    ("code", "numpy"),
    [
        ("import common.calculations", False),
        ("from common.calculations import FlowTiming, Reason, StandardPeriod, TransactionType", False),
        ("from common.models.request import CalculationRequest as R; R.parse({'entity_ids': ['p-17']})", False),
        ("from common.calculations import xirr", True),
    ],
)
def test_numpy_comes_with_the_first_name_that_calculates(code: str, numpy: bool) -> None:
    assert run(f"import json, sys\n{code}\nprint(json.dumps('numpy' in sys.modules))") is numpy
