"""What is kept in the cache is worthless once the code behind it has changed: which code that is."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

from common.cache import code_version
from tasks.calculate_portfolio import CALCULATION_CODE

ROOT = Path(__file__).parents[2]

# What CalculatePortfolio imports besides: who may see a result, where it is kept, what is written into the books, how
# services are called. None of it changes a number that was calculated from the books.
BESIDE = {
    "common",
    "common.access",
    "common.cache",
    "common.config",
    "common.errors",
    "common.json_text",
    "common.json_types",
    "common.models",
    "common.models.entity_table",
    "common.models.faults",
    "common.models.identifiers",
    "common.models.json_portfolios",
    "common.models.references",
    "common.models.rows",
    "common.models.sources",
    "common.observability",
    "common.stores",
    "common.stores.book_changes",
    "common.stores.botocore_errors",
    "common.stores.clients",
    "common.stores.dynamodb_cache",
    "common.stores.dynamodb_items",
    "common.stores.layered_cache",
    "common.stores.ports",
    "common.stores.s3",
    "common.warm",
    "tasks",
}


def imported() -> set[str]:
    """Return our own modules of an interpreter that has imported CalculatePortfolio and nothing else."""
    code = "import json, sys; import tasks.calculate_portfolio; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {module for module in json.loads(found.stdout) if module.split(".")[0] in {"common", "tasks", "workflows"}}


def covered(module: str) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in CALCULATION_CODE)


def test_every_module_of_the_calculation_counts_towards_the_version_of_its_code_or_stands_beside_it() -> None:
    assert {module for module in imported() if not covered(module)} == BESIDE


# Many portfolios in one call, which the library has and no function makes.
UNCALLED = {"common.calculations.batch"}


def test_nothing_counts_towards_the_version_that_the_calculation_does_not_import() -> None:
    counted = {
        module.name for module in pkgutil.walk_packages([str(ROOT / "common")], "common.") if covered(module.name)
    }
    assert "common.calculations.risk" in counted
    assert counted - imported() == UNCALLED


def test_all_code_of_the_calculation_is_there() -> None:
    assert set(CALCULATION_CODE) <= imported()
    assert code_version(CALCULATION_CODE)
