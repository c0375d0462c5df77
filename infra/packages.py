"""The deployment package of each function, built by uv.

uv installs wheels for Lambda's machine on whatever machine this is, so neither docker nor an emulator is needed. The
same sources and the same lock file make the same bytes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import jsii
from aws_cdk import AssetHashType, BundlingOptions, BundlingOutput, DockerImage, ILocalBundling
from aws_cdk.aws_lambda import Code

from infra import package_contents
from infra.package_contents import PLATFORM, PYTHON, ROOT, PackageError, contents

INSTALLED: Final = ROOT / "dist" / "lambda"
"""Distributions that were installed before, stripped and compiled, each in a directory of its own."""

# Needed to build with or to test with. What stays of dist-info: the version, which `importlib.metadata` is asked for,
# entry points and licences.
_NOT_NEEDED: Final = (
    ".lock",
    "bin",
    "**/__pycache__",
    "**/*.pyi",
    "**/*.pxd",
    "**/*.a",
    "numpy/**/tests",
    "numpy/f2py",
    "numpy/_core/include",
    "boto3/data",  # of boto3.resource, which nobody calls
    "boto3/examples",
    "botocore/data/**/examples-1.json",
    *(f"*.dist-info/{name}" for name in ("INSTALLER", "RECORD", "REQUESTED", "WHEEL", "top_level.txt")),
)
_BOTOCORE_DATA: Final = Path("botocore", "data")

_TASK_ROOT: Final = "/var/task"  # where Lambda unpacks it: tracebacks name the files there
_MODIFIED: Final = 315_532_800  # 1980-01-01, as early as a zip can say


def build_package(
    name: str, target: Path, *, platform: str = PLATFORM, python: str = PYTHON, installed: Path = INSTALLED
) -> Path:
    """Build the package of the function called `name`.

    Without an interpreter of version `python` on this machine the package has no bytecode, and to import it costs two
    and a half times as much at every cold start; a warning says so.

    Parameters
    ----------
    name
        As in `workflows.registry.FUNCTIONS`.
    target
        The directory to make; it may exist while it is empty. It is there whole or not at all.
    platform
        As uv names it.
    python
        Major and minor version.
    installed
        Where distributions are kept from one build to the next.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    PackageError
        See `contents`; or uv is missing, or it cannot install.
    """
    what = contents(name, platform=platform, python=python)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f"{name}-") as scratch:
        made = Path(scratch, "package")
        for distribution, requirement in what.requirements.items():
            source = _installed(distribution, requirement, platform, python, installed)
            ignored = _other_services(source / _BOTOCORE_DATA, what.services)
            shutil.copytree(source, made, ignore=ignored, copy_function=_link, dirs_exist_ok=True)
        for file in what.files:
            (made / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, made / file)
        _compile(made, sorted({file.parts[0] for file in what.files}), python)
        _make_uniform(made)
        made.rename(target)
    return target


def package_code(name: str, *, installed: Path = INSTALLED) -> Code:
    """Return the code of the function called `name`: an asset that is built when the app is synthesised with bundling.

    What `cdk.out` has of the same sources and the same lock file is taken as it is.
    """
    return Code.from_asset(
        str(ROOT / "infra"),  # CDK wants a path; it neither reads nor copies this one
        asset_hash=asset_hash(name),
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=DockerImage.from_registry("none"),  # has to be given; the local build answers or raises
            local=_LocalBuild(name, installed),
            output_type=BundlingOutput.NOT_ARCHIVED,
        ),
    )


def asset_hash(name: str) -> str:
    """Return a key that stands for all that the package of the function called `name` is made from."""
    what = contents(name)
    files = (part for file in what.files for part in (file.as_posix(), _file_digest(ROOT / file)))
    return _digest(*_builder(PLATFORM, PYTHON), *what.requirements.values(), *sorted(what.services), *files)


@cache
def compiler(python: str) -> str | None:
    """Return an interpreter of version `python`, or None where there is none: bytecode is of one version alone."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = subprocess.run(  # noqa: S603 - uv, with arguments of our own
        [_uv(), "python", "find", "--no-python-downloads", python],
        env=os.environ | {"PYENV_VERSION": python},  # a shim of pyenv runs no other version than the chosen one
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or None


@jsii.implements(ILocalBundling)
class _LocalBuild:
    def __init__(self, name: str, installed: Path) -> None:
        self._name = name
        self._installed = installed

    # CDK passes its options by position, while its Python interface declares each as a keyword.
    def try_bundle(self, output_dir: str, *_: object, **__: object) -> bool:
        build_package(self._name, Path(output_dir), installed=self._installed)
        return True


def _installed(distribution: str, requirement: str, platform: str, python: str, installed: Path) -> Path:
    """Return the directory with a distribution in it, stripped and compiled; it is made when it is not there."""
    kept = installed / f"{distribution}-{_digest(*_builder(platform, python), requirement)[:16]}"
    if kept.is_dir():
        return kept
    installed.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=installed, prefix=f"{distribution}-") as scratch:
        made = Path(scratch, distribution)
        target = ["--target", str(made), "--python-platform", platform, "--python-version", python]
        exactly = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
        # Links would let the files of uv's cache be changed with ours.
        command = [_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--link-mode", "copy"]
        _run([*command, *target, *exactly, "--requirements", "-"], requirement)
        for pattern in _NOT_NEEDED:
            for path in list(made.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        _compile(made, ["."], python)
        try:
            made.rename(kept)
        except OSError:  # another process was faster
            if not kept.is_dir():
                raise
    return kept


def _other_services(data: Path, services: frozenset[str]) -> Callable[[str, list[str]], list[str]]:
    """Return what `shutil.copytree` asks: botocore's data of all other services is ignored, 25 MB of them."""

    def ignored(directory: str, names: list[str]) -> list[str]:
        if Path(directory) != data:
            return []
        return [name for name in names if name not in services and (data / name).is_dir()]

    return ignored


def _link(source: str, destination: str) -> None:
    """Let ten packages share what they have in common: a gigabyte less to write, and to keep."""
    try:
        os.link(source, destination)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, destination)


def _compile(directory: Path, parts: Iterable[str], python: str) -> None:
    interpreter = compiler(python)
    if interpreter is None:
        warnings.warn(
            f"there is no Python {python} here to make bytecode with, and without it the imports of a cold start cost"
            f" two and a half times as much; `uv python install {python}` gets one",
            stacklevel=3,
        )
        return
    # Unchecked: what is deployed does not change, so nothing has to be compared with its source at each start.
    command = [interpreter, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    _run([*command, "-s", str(directory), "-p", _TASK_ROOT, *(str(directory / part) for part in parts)])


def _make_uniform(directory: Path) -> None:
    """Let anybody read all of it, as Lambda needs, and forget when it was made."""
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (_MODIFIED, _MODIFIED))


def _run(command: list[str], given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        raise PackageError(f"{' '.join(command)} failed: {done.stderr or done.stdout}".strip())


@cache
def _uv() -> str:
    found = shutil.which(str(ROOT / ".uv" / "bin" / "uv")) or shutil.which("uv")
    if found is None:
        raise PackageError("uv is not here: run `make setup`, or put it on the PATH")
    return found


@cache
def _builder(platform: str, python: str) -> tuple[str, ...]:
    """Return what decides over the bytes of a package besides its contents."""
    sources = (_file_digest(Path(file)) for file in (__file__, package_contents.__file__))
    return platform, python, "bytecode" if compiler(python) else "sources", *sources


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
