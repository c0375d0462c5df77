"""The deployment packages: what is in them, that it is enough, and that it is all the same when built again."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from aws_cdk import App, Stack
from aws_cdk.aws_lambda import Architecture, Function, Runtime
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from common.models.limits import STATE_PAYLOAD_BYTES
from infra import package_contents, packages
from infra.package_contents import (
    LOCK,
    PLATFORM,
    PYTHON,
    ROOT,
    Contents,
    PackageError,
    contents,
    services_called,
)
from infra.packages import asset_hash, build_package, compiler, package_code
from tests.api import proxy_event
from workflows.registry import FUNCTIONS, LambdaFunction

pytestmark = pytest.mark.xdist_group("packages")  # each is built once, for all of them

# What reads the data of portfolios, or the requests that they stand in.
WITH_NUMPY: Final = {"ValidateInput", "CalculatePortfolio", "PlanBatches", "SummariseRun", "Api", "ManifestUpload"}
# Unzipped, with bytecode; Lambda takes 250. pydantic is 10, the AWS SDK 9, Powertools 8, numpy 45 (its BLAS alone 25).
BUDGETS_MB: Final = {
    **dict.fromkeys(FUNCTIONS, 25.0),
    **dict.fromkeys(WITH_NUMPY, 74.0),
    "NightlySchedule": 38.0,  # the holidays of every country, and the time zones
    "ValidateInput": 140.0,  # a file it is referred to may be Parquet, and duckdb is 62
    "CalculatePortfolio": 140.0,
    "PlanBatches": 140.0,  # so may a manifest
}
SERVICES: Final = {
    "ValidateInput": {"dynamodb", "s3"},
    "CalculatePortfolio": {"dynamodb", "s3"},
    "PersistDynamoDB": {"dynamodb", "s3"},
    "PersistTimestream": {"s3", "timestream-query", "timestream-write"},
    "PlanBatches": {"dynamodb", "s3"},
    "SummariseRun": {"s3"},
    "Api": {"dynamodb", "s3", "sqs", "stepfunctions", "timestream-query", "timestream-write"},
    "Authorizer": {"secretsmanager"},
    "TransactionQueue": {"dynamodb"},
    "NightlySchedule": {"stepfunctions"},
    "ManifestUpload": {"s3", "stepfunctions"},
    "Recalculation": {"dynamodb", "stepfunctions"},
}
# Of the laptop, of the tests, or of mathematics that only the benchmarks compare with.
NOWHERE: Final = {"scipy", "pandas", "moto", "werkzeug", "rich", "typer", "hypothesis", "pytest", "aws_cdk"}

# Runs with nothing but the standard library on the path, then with the package in front of it.
ISOLATED: Final = """
import importlib, json, os, sys, sysconfig

asked = json.load(sys.stdin)
assert not any("site-packages" in path for path in sys.path), sys.path
sys.path.insert(0, asked["package"])
module, _, function = asked["handler"].rpartition(".")
handler = getattr(importlib.import_module(module), function)
for name in asked["modules"]:
    importlib.import_module(name)
import boto3
clients = [boto3.client(service).meta.service_model.service_name for service in asked["services"]]
exec(asked["then"])
homes = tuple(os.path.realpath(home) + os.sep for home in (asked["package"], sysconfig.get_path("stdlib")))
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if name != "__main__"}
strangers = {name: file for name, file in files.items() if file and not os.path.realpath(file).startswith(homes)}
found = {"clients": clients, "boto3": boto3.__version__, "strangers": strangers, "answer": globals().get("answer")}
print(json.dumps(found))
"""
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "PAYLOAD_BUCKET": "payloads",
    "UPLOAD_BUCKET": "uploads",
    "ENTITY_TABLE": "entities",
    "CACHE_TABLE": "cache",
    "JWT_SECRET_ID": "secret",
    "JWT_ISSUER": "issuer",
    "JWT_AUDIENCE": "audience",
}

Json = dict[str, Any]
Packages = Callable[[str], Path]


def native_platform() -> str:
    machine = platform.machine().replace("arm64", "aarch64")
    return f"{machine}-apple-darwin" if sys.platform == "darwin" else f"{machine}-manylinux_2_28"


# Lambda's own version where this machine has it.
NATIVE_PYTHON: Final = PYTHON if compiler(PYTHON) else f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("installed")


def builder(directory: Path, installed: Path, machine: str, python: str) -> Packages:
    def built(name: str) -> Path:
        if (target := directory / name).is_dir():
            return target
        return build_package(name, target, platform=machine, python=python, installed=installed)

    return built


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Packages:
    """A function's package as it is deployed."""
    return builder(tmp_path_factory.mktemp("deployed"), installed, PLATFORM, PYTHON)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Packages:
    """A function's package for this machine."""
    return builder(tmp_path_factory.mktemp("native"), installed, native_platform(), NATIVE_PYTHON)


@cache
def tree(package: Path) -> tuple[Path, ...]:
    return tuple(package.rglob("*"))


def files(package: Path) -> Iterator[Path]:
    return (path for path in tree(package) if path.is_file())


def fingerprint(package: Path) -> dict[str, tuple[int, float, str]]:
    """Mode, time and content of every file and directory."""
    return {
        str(path.relative_to(package)): (
            path.stat().st_mode,
            path.stat().st_mtime,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in package.rglob("*")
    }


def modules(what: Contents) -> list[str]:
    return [
        ".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in what.files if file.suffix == ".py"
    ]


def pinned(what: Contents) -> dict[str, str]:
    requirements = (Requirement(entry.partition("\\")[0]) for entry in what.requirements.values())
    return {requirement.name: str(requirement.specifier).removeprefix("==") for requirement in requirements}


def in_isolation(package: Path, name: str, then: str = "") -> Json:
    """Import a function and make its clients where there is nothing but its package; then run `then`."""
    what = contents(name, platform=native_platform(), python=NATIVE_PYTHON)
    interpreter = compiler(NATIVE_PYTHON)
    assert interpreter
    asked = {
        "package": str(package),
        "handler": FUNCTIONS[name].handler,
        "modules": modules(what),
        "services": sorted(what.services),
        "then": then,
    }
    done = subprocess.run(
        [interpreter, "-I", "-S", "-B", "-c", ISOLATED],
        input=json.dumps(asked),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: Json = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_stays_within_its_budget(name: str, deployed: Packages) -> None:
    megabytes = sum(file.stat().st_size for file in files(deployed(name))) / 1e6

    assert 0.8 * BUDGETS_MB[name] < megabytes < BUDGETS_MB[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_holds_the_locked_versions_and_all_that_they_require(name: str, deployed: Packages) -> None:
    what = contents(name)
    carried = list(importlib.metadata.distributions(path=[str(deployed(name))]))
    versions: dict[str, str] = {canonicalize_name(each.name): each.version for each in carried}
    required = [Requirement(line) for distribution in carried for line in distribution.requires or ()]
    environment = package_contents._marker_environment(PLATFORM, PYTHON) | {"extra": ""}

    assert versions == pinned(what)
    assert versions["boto3"] == importlib.metadata.version("boto3")
    for requirement in required:
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_holds_nothing_that_only_a_laptop_or_a_test_needs(name: str, deployed: Packages) -> None:
    package = deployed(name)
    there = [path.relative_to(package) for path in tree(package)]

    assert all((package / file.parent / "__init__.py").is_file() for file in contents(name).files)
    names = {path.name.partition("-")[0] for path in package.iterdir()}
    assert not NOWHERE & names
    assert ("duckdb" in names) is (name in package_contents.CARRIED_ON_REQUEST["duckdb"])
    assert not [path for path in there if path.parts[:2] in {("workflows", "local"), ("workflows", "cli")}]
    assert not [path for path in there if path.parts[0] in {"infra", "tests", "bin", "examples", "statemachines"}]
    assert not [path for path in there if path.parts[0].startswith("numpy") and "tests" in path.parts]
    assert not [path for path in there if path.suffix in {".pyi", ".pxd", ".a", ".h"}]
    assert not [path for path in there if path.name in {".lock", "RECORD", "INSTALLER"}]


def test_only_functions_that_may_read_series_carry_numpy() -> None:
    assert {name for name in FUNCTIONS if "numpy" in contents(name).requirements} == WITH_NUMPY


def test_what_calculates_imports_all_of_its_package_before_the_first_portfolio_comes() -> None:
    code = "import json, sys, tasks.calculate_portfolio; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(modules(contents("CalculatePortfolio"))) <= set(json.loads(done.stdout))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_names_the_modules_of_the_mathematics_it_needs(name: str) -> None:
    # The names of the package itself are imported when they are asked for, which nobody sees who only reads.
    there = modules(contents(name))
    unseen = [
        f"{file}: {alias.name}"
        for file in contents(name).files
        if file.suffix == ".py"
        for node in ast.walk(ast.parse((ROOT / file).read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.module == "common.calculations"
        for alias in node.names
        if f"common.calculations.{alias.name}" not in there and file.parts[:2] != ("common", "calculations")
    ]
    assert unseen == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_is_for_the_machine_and_the_python_of_lambda(name: str, deployed: Packages) -> None:
    package = deployed(name)
    extensions = [file for file in files(package) if ".so" in file.suffixes]

    assert extensions
    for file in extensions:
        assert file.read_bytes()[:20][18:] == b"\xb7\x00", f"{file} is not for aarch64"  # ELF's e_machine
        assert ".cpython-" not in file.name or ".cpython-313-" in file.name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_package_can_be_read_by_anybody(name: str, deployed: Packages) -> None:
    package = deployed(name)

    for path in (package, *tree(package)):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_handler_imports_and_makes_its_clients_from_its_package_alone(name: str, native: Packages) -> None:
    found = in_isolation(native(name), name, "import common.observability; common.observability.logger().info('here')")

    assert set(found["clients"]) == SERVICES[name]
    assert found["boto3"] == importlib.metadata.version("boto3")
    assert found["strangers"] == {}


def test_a_portfolio_goes_through_the_packages_of_both_tasks(native: Packages) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 21)]
    values = [1000.0 + index**1.5 for index in range(20)]
    portfolio = {"portfolio_id": "p", "valuations": {"dates": days, "values": values}}
    asked = {"request_id": "r", "time_periods": ["ITD"], "portfolios": [portfolio]}
    execution = {"name": "run-1"}

    first = {"request": asked, "execution": execution}
    planned = in_isolation(native("ValidateInput"), "ValidateInput", f"answer = handler({first!r}, None)")["answer"]
    item = {
        "request": planned["request"],
        "result_bytes": planned["result_bytes"],
        "entity": planned["entities"][0],
        "execution": execution,
    }
    then = f"answer = handler({item!r}, None)"
    result = in_isolation(native("CalculatePortfolio"), "CalculatePortfolio", then)["answer"]["result"]

    assert result["periods"]["ITD"]["twr"] == pytest.approx(values[-1] / values[0] - 1)


def event(name: str) -> Json:
    found: Json = json.loads((ROOT / "tests" / "events" / f"{name}.json").read_text("utf-8"))
    return found


def test_the_api_describes_itself_from_its_package(native: Packages) -> None:
    then = f"answer = handler({proxy_event('GET', '/openapi.json')!r}, None)"

    described = in_isolation(native("Api"), "Api", then)["answer"]

    assert (described["statusCode"], json.loads(described["body"])["openapi"][:2]) == (200, "3.")


def test_a_message_that_is_no_transaction_is_told_from_its_package(native: Packages) -> None:
    record = event("sqs_transactions")["Records"][0] | {"body": "not JSON"}
    then = f"answer = handler({ {'Records': [record]}!r}, None)"

    failed = in_isolation(native("TransactionQueue"), "TransactionQueue", then)["answer"]

    assert failed == {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}


def test_a_token_is_verified_from_its_package(native: Packages) -> None:
    then = f"""
import time, jwt
from workflows.triggers.tokens import SigningKey

class Keys:
    def keys(self):
        return (SigningKey("v1", b"k" * 32),)

now = int(time.time())
times = {{"iat": now, "exp": now + 60}}
claims = {{"sub": "s", "role": "reader", "client_id": "acme", "iss": "issuer", "aud": "audience", **times}}
token = "Bearer " + jwt.encode(claims, b"k" * 32, algorithm="HS256")
answer = handler({event("authorizer_token")!r} | {{"authorizationToken": token}}, None, keys=Keys())
"""
    allowed = in_isolation(native("Authorizer"), "Authorizer", then)["answer"]

    assert allowed["context"] == {"subject": "s", "role": "reader", "client_id": "acme"}


def test_the_calculation_finds_the_version_of_its_code_in_its_package(native: Packages) -> None:
    then = "from common.cache import code_version; answer = code_version(sys.modules[module].CALCULATION_CODE)"

    version = in_isolation(native("CalculatePortfolio"), "CalculatePortfolio", then)["answer"]

    assert re.fullmatch("[0-9a-f]{64}", version)


def test_the_nightly_schedule_has_holidays_and_its_own_time_zones(native: Packages) -> None:
    then = """
import datetime, holidays, zoneinfo
zoneinfo.reset_tzpath(to=())  # Lambda need not have any
there = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("America/New_York"))
answer = [there.utcoffset().total_seconds(), holidays.financial_holidays("NYSE", years=2024)["2024-07-04"]]
"""
    assert in_isolation(native("NightlySchedule"), "NightlySchedule", then)["answer"] == [-14400, "Independence Day"]


@pytest.mark.parametrize("python", [PYTHON, NATIVE_PYTHON])
def test_bytecode_of_the_right_version_is_there_for_every_module(
    python: str, deployed: Packages, native: Packages
) -> None:
    interpreter = compiler(python)
    if interpreter is None:
        pytest.skip(f"no Python {python} here to compile with")
    code = "import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())"
    magic = bytes.fromhex(subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout)
    package = (deployed if python == PYTHON else native)("CalculatePortfolio")

    compiled = {file for file in files(package) if file.suffix == ".pyc"}
    tag = f"cpython-{python.replace('.', '')}"
    expected = {f.parent / "__pycache__" / f"{f.stem}.{tag}.pyc" for f in files(package) if f.suffix == ".py"}

    assert compiled == expected
    for file in compiled:
        content = file.read_bytes()
        assert content[:8] == magic + b"\x01\0\0\0"  # PEP 552: by hash, and not checked
        assert b"/var/task/" in content
        assert str(package).encode() not in content


def test_without_an_interpreter_of_lambdas_version_the_sources_are_deployed_with_a_warning(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(directory: str) -> Path:
        return build_package("Authorizer", tmp_path / directory, platform=native_platform(), installed=installed)

    usual = asset_hash("Authorizer")
    packages._builder.cache_clear()
    monkeypatch.setattr(packages, "compiler", lambda python: None)
    try:
        with pytest.warns(UserWarning, match=re.escape(f"no Python {PYTHON} here")):
            package = built("sources")
        assert (asset_hash("Authorizer") == usual) == (compiler(PYTHON) is None)
    finally:
        monkeypatch.undo()
        packages._builder.cache_clear()

    assert not [file for file in files(package) if file.suffix == ".pyc"]
    assert (package / "workflows" / "triggers" / "authorizer.py").is_file()


def test_the_same_sources_make_the_same_package(deployed: Packages, tmp_path: Path) -> None:
    name = "CalculatePortfolio"
    again = build_package(name, tmp_path / "elsewhere" / "package", installed=tmp_path / "nothing installed yet")

    assert fingerprint(again) == fingerprint(deployed(name))


def test_a_package_is_not_built_over_another(deployed: Packages, installed: Path) -> None:
    package = deployed("Authorizer")
    before = fingerprint(package)

    with pytest.raises(OSError, match="not empty"):
        build_package("Authorizer", package, installed=installed)

    assert fingerprint(package) == before
    assert not list(package.parent.glob("Authorizer-*"))


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("sha256:[0-9a-f]{8}", "sha256:00000000"), (r" \\\n    --hash=\S+", "")],
    ids=["another hash", "no hash"],
)
def test_what_is_not_locked_by_its_hash_is_refused(
    pattern: str, replacement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = tmp_path / "forged.txt"
    forged.write_text(re.sub(pattern, replacement, LOCK.read_text("utf-8")), "utf-8")
    monkeypatch.setattr(package_contents, "LOCK", forged)

    with pytest.raises(PackageError, match=r"(?s)failed: .*[Hh]ash"):
        build_package("Authorizer", tmp_path / "package", installed=tmp_path / "installed")

    assert not (tmp_path / "package").exists()


def test_what_is_not_locked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = tmp_path / "without.txt"
    without.write_text(LOCK.read_text("utf-8").replace("\npyjwt==", "\nanother=="), "utf-8")
    monkeypatch.setattr(package_contents, "LOCK", without)

    with pytest.raises(PackageError, match=r"does not pin pyjwt exactly once: run `make lock`"):
        contents("Authorizer")


def test_the_service_of_every_client_is_seen(tmp_path: Path) -> None:
    """Nobody makes a client past `aws_client`, whose calls tell which of botocore's data a package needs."""
    for name in FUNCTIONS:
        for file in contents(name).files:
            text = (ROOT / file).read_text("utf-8")
            past = re.search(r"boto3\.(client|resource|[Ss]ession)\b|get_session|create_client|aws_client as", text)
            assert past is None or file == Path("common", "stores", "clients.py"), f"{file}: {past}"

    named = tmp_path / "named.py"
    named.write_text("service = 'sqs'\nclient = aws_client(service, None, PATIENCE)\n")
    with pytest.raises(PackageError, match=r"named\.py:2: the service has to be a literal"):
        services_called(named)


def test_a_function_that_is_to_read_parquet_carries_duckdb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_contents, "CARRIED_ON_REQUEST", {"duckdb": frozenset({"ValidateInput"})})

    assert "duckdb" in contents("ValidateInput").requirements
    assert "duckdb" not in contents("CalculatePortfolio").requirements


def test_a_function_that_reads_definitions_carries_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        FUNCTIONS, "Linter", LambdaFunction("workflows.definition_lint.lint", 3, 128, (), STATE_PAYLOAD_BYTES)
    )

    assert Path("statemachines", "performance_calculation.asl.json") in contents("Linter").files


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's sources and lock file, to be changed."""
    for directory in ("common", "tasks", "workflows"):
        shutil.copytree(ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(LOCK, tmp_path / LOCK.name)
    for module in (package_contents, packages):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_the_hash_of_an_asset_changes_with_what_the_function_is_made_of_alone(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hashes() -> tuple[str, str]:
        return asset_hash("CalculatePortfolio"), asset_hash("Authorizer")

    def relock(name: str, change: Callable[[str], str]) -> None:
        (copied / name).write_text(change(LOCK.read_text("utf-8")), "utf-8")
        monkeypatch.setattr(package_contents, "LOCK", copied / name)

    calculation, authorizer = hashes()

    with (copied / "tasks" / "calculate_portfolio.py").open("a") as source:
        source.write("# changed\n")
    with (copied / "workflows" / "local" / "engine.py").open("a") as source:
        source.write("# changed\n")
    changed, same = hashes()
    assert changed != calculation
    assert same == authorizer

    relock("comments.txt", lambda text: text + "    # via another\n")
    assert hashes() == (changed, authorizer)
    relock("newer.txt", lambda text: re.sub(r"(\nnumpy==[\d.]+)", r"\1.1", text))
    upgraded, same = hashes()
    assert upgraded != changed
    assert same == authorizer


def app_with(outdir: Path, installed: Path, stacks: dict[str, tuple[str, ...]], **context: Any) -> App:
    """An app with stacks of functions, by name."""
    app = App(outdir=str(outdir), context=context)
    for stack_name, functions in stacks.items():
        stack = Stack(app, stack_name)
        for name in functions:
            Function(
                stack,
                name,
                code=package_code(name, installed=installed),
                handler=FUNCTIONS[name].handler,
                runtime=Runtime.PYTHON_3_13,
                architecture=Architecture.ARM_64,
            )
    return app


def keys(outdir: Path, stack: str) -> list[str]:
    """The S3 key of each function's code, in the order of their names."""
    resources = json.loads((outdir / f"{stack}.template.json").read_text("utf-8"))["Resources"]
    functions = {name: each for name, each in resources.items() if each["Type"] == "AWS::Lambda::Function"}
    return [functions[name]["Properties"]["Code"]["S3Key"] for name in sorted(functions)]


def test_without_bundling_an_app_is_synthesised_and_nothing_is_built(tmp_path: Path) -> None:
    stacks = {"One": ("Authorizer", "Recalculation"), "Other": ("Authorizer",)}
    nothing: Json = {"aws:cdk:bundling-stacks": []}

    app_with(tmp_path / "out", tmp_path / "installed", stacks, **nothing).synth()

    authorizer, recalculation = keys(tmp_path / "out", "One")
    assert keys(tmp_path / "out", "Other") == [authorizer]
    assert recalculation != authorizer
    assert not (tmp_path / "installed").exists()
    assert not [path for path in tmp_path.rglob("asset.*") if path.is_dir()]


def test_with_bundling_an_app_has_the_package_and_keeps_it_while_nothing_changes(
    tmp_path: Path, deployed: Packages, installed: Path
) -> None:
    app_with(tmp_path, installed, {"Stack": ("Authorizer",)}).synth()
    (key,) = keys(tmp_path, "Stack")
    (asset,) = (path for path in tmp_path.glob("asset.*") if path.is_dir())
    built = asset.stat().st_ino

    assert asset.name == f"asset.{key.removesuffix('.zip')}"
    assert fingerprint(asset) == fingerprint(deployed("Authorizer"))

    app_with(tmp_path, installed, {"Stack": ("Authorizer",)}).synth()

    assert keys(tmp_path, "Stack") == [key]
    assert asset.stat().st_ino == built
