"""What belongs into the deployment package of each function: what its handler reaches, and nothing more.

All of it is read off the code and the lock file; no list of dependencies is kept by hand beside them.
"""

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Final

import grimp
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from workflows.registry import FUNCTIONS

PLATFORM: Final = "aarch64-manylinux_2_28"
"""Lambda on arm64, as uv names it: Amazon Linux 2023 has glibc 2.34."""
PYTHON: Final = "3.13"

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "requirements" / "dev.txt"

CARRIED_ON_REQUEST: Final[Mapping[str, frozenset[str]]] = {
    "duckdb": frozenset({"ValidateInput", "CalculatePortfolio", "PlanBatches"})
}
"""Modules too large to carry for one import inside a function, and which functions carry them all the same.

duckdb reads Parquet and adds 62 MB to the 70 MB of a function that calculates.
"""

_OURS: Final = ("common", "tasks", "workflows")
# What a module needs that no import statement names. Nothing promises that Lambda's image has a time zone database.
_UNNAMED: Final[Mapping[str, str]] = {"zoneinfo": "tzdata"}
# Files that a module reads.
_DATA: Final[Mapping[str, str]] = {"workflows.definitions": "statemachines/*.json"}


class PackageError(Exception):
    """A package cannot be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a function's package holds.

    Attributes
    ----------
    files : tuple of Path
        Our own, relative to the project.
    requirements : dict of str to str
        Distribution, and its entry in the lock file with all hashes.
    services : frozenset of str
        The AWS services it calls, as boto3 names them.
    """

    files: tuple[Path, ...]
    requirements: dict[str, str]
    services: frozenset[str]


def contents(name: str, *, platform: str = PLATFORM, python: str = PYTHON) -> Contents:
    """Return what the package of the function called `name` holds.

    Parameters
    ----------
    name
        As in `workflows.registry.FUNCTIONS`.
    platform
        As uv names it.
    python
        Major and minor version.

    Raises
    ------
    PackageError
        Something that is imported is not installed or not locked, or it cannot be told which service is called.
    """
    reached = _reached(FUNCTIONS[name].handler.rpartition(".")[0])
    ours = sorted(module for module in reached if module.partition(".")[0] in _OURS)
    left_out = {module for module, carriers in CARRIED_ON_REQUEST.items() if name not in carriers}
    foreign = reached.difference(ours, sys.stdlib_module_names, left_out)
    unnamed = {distribution for module, distribution in _UNNAMED.items() if module in reached}
    sources = [_source(module) for module in ours]
    data = [file for module in ours if module in _DATA for file in sorted(ROOT.glob(_DATA[module]))]
    environment = _marker_environment(platform, python)
    return Contents(
        tuple(file.relative_to(ROOT) for file in sources + data),
        _locked(_closure(_distributions(foreign) | unnamed, environment), environment),
        frozenset().union(*(services_called(source) for source in sources)),
    )


@cache
def services_called(source: Path) -> frozenset[str]:
    """Return the AWS services that a module makes clients of, as boto3 names them.

    Raises
    ------
    PackageError
        One is not a literal.
    """
    found = set()
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "aws_client":
            match node.args:
                case [ast.Constant(str(service)), *_]:
                    found.add(service)
                case _:
                    raise PackageError(f"{source}:{node.lineno}: the service has to be a literal, to carry its data")
    return frozenset(found)


@cache
def _graph() -> grimp.ImportGraph:
    # mypy's imports alone are no reason to carry anything.
    return grimp.build_graph(*_OURS, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None)


def _reached(module: str) -> set[str]:
    """Return `module` and all it imports, directly or not, inside functions too; of foreign packages their names."""
    graph = _graph()
    reached: set[str] = set()
    pending = {module}
    while pending:
        reached.add(current := pending.pop())
        # To import a module is to import the packages it is in.
        packages = {package} if (package := current.rpartition(".")[0]) else set()
        pending |= (graph.find_modules_directly_imported_by(current) | packages) - reached
    return reached


def _source(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _distributions(modules: Iterable[str]) -> set[str]:
    providers = _providers()
    if missing := sorted(module for module in modules if module not in providers):
        raise PackageError(f"no installed distribution provides {', '.join(missing)}: run `make setup`")
    return {distribution for module in modules for distribution in providers[module]}


@cache
def _providers() -> Mapping[str, list[str]]:
    return packages_distributions()


def _closure(distributions: Iterable[str], environment: Mapping[str, str]) -> list[str]:
    """Return `distributions` and all they require, in the order of their names."""
    pending = {(canonicalize_name(distribution), "") for distribution in distributions}
    seen: set[tuple[str, str]] = set()
    while pending:
        seen.add(current := pending.pop())
        distribution, extra = current
        for requirement in map(Requirement, requires(distribution) or ()):
            if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
                wanted = canonicalize_name(requirement.name)
                pending |= {(wanted, each) for each in ("", *requirement.extras)} - seen
    return sorted({distribution for distribution, _ in seen})


def _locked(distributions: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the entry of the lock file that holds for each distribution."""
    entries: dict[str, list[str]] = {}
    for entry in _entries(LOCK):
        requirement = Requirement(entry.partition("\\")[0].strip())
        if requirement.marker is None or requirement.marker.evaluate(dict(environment)):
            entries.setdefault(canonicalize_name(requirement.name), []).append(entry)
    if wrong := [distribution for distribution in distributions if len(entries.get(distribution, ())) != 1]:
        raise PackageError(f"{LOCK.name} does not pin {', '.join(wrong)} exactly once: run `make lock`")
    return {distribution: entries[distribution][0] for distribution in distributions}


@cache
def _entries(lock: Path) -> tuple[str, ...]:
    """Return the entries of the lock file, without the comments, which change with what else is locked."""
    entries: list[str] = []
    for line in lock.read_text("utf-8").splitlines(keepends=True):
        if line.lstrip().startswith("#"):
            continue
        if line.startswith(" "):
            entries[-1] += line
        else:
            entries.append(line)
    return tuple(entries)


def _marker_environment(platform: str, python: str) -> dict[str, str]:
    mac = "darwin" in platform
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": platform.partition("-")[0],
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Darwin" if mac else "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "darwin" if mac else "linux",
    }
