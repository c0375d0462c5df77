import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from common.config import AuthorizerSettings, CacheSettings, CalendarSettings
from common.models.request import CalculationRequest
from workflows.cli import config, main
from workflows.cli.app import app
from workflows.local import development_key
from workflows.settings import (
    DEFAULT_FILE,
    InvalidSettingsError,
    Settings,
    function_environment,
    load_settings,
    variable,
)

KEY = "an-example-key-of-32-bytes-or-so"
CHOSEN: dict[str, tuple[Any, str, Any]] = {
    # name: the value in a file, the one of a variable, and what the latter is
    "data_dir": ("kept", "elsewhere", Path("elsewhere")),
    "max_concurrency": (4, "40", 40),
    "max_price_age_days": (0, "31", 31),
    "business_calendar": ("XECB", "DE", "DE"),
    "business_timezone": ("Europe/Berlin", "UTC", "UTC"),
    "cache_ttl_seconds": (60, "0", 0),
    "log_level": ("warning", "debug", "DEBUG"),
    "port": (8080, "0", 0),
    "jwt_key": (KEY, KEY[::-1], SecretStr(KEY[::-1])),
    "jwt_issuer": ("https://identity.example", "own", "own"),
    "jwt_audience": ("api", "tests", "tests"),
    "stack": ("investment-performance-dev", "investment-performance-prod", "investment-performance-prod"),
    "profile": ("one", "two", "two"),
    "region": ("eu-central-1", "us-east-1", "us-east-1"),
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in a directory of its own, with none of the developer's own settings."""
    monkeypatch.chdir(tmp_path)
    for name in (*map(variable, Settings.model_fields), "PERFCALC_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(signal_handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call `perfcalc config` as the shell would."""

    def called(*arguments: str, before: Sequence[str] = ()) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["perfcalc", *before, "config", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    assert config.config in [command.callback for command in app.registered_commands]
    return called


def write(directory: Path, text: str, name: str = "perfcalc.toml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def toml(**values: object) -> str:
    # JSON's numbers and texts are TOML's too.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def faults_of(file: Path | None = None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(file, environ or {})
    return [str(fault) for fault in caught.value.faults]


# Precedence and provenance


def test_without_anything_the_defaults_are_in_force() -> None:
    loaded = load_settings(None, {})
    assert loaded.settings == Settings.model_validate({})
    assert set(loaded.origins.values()) == {"default"}
    assert (loaded.warnings, loaded.file, loaded.file_was_read) == ((), Path("perfcalc.toml"), False)


def test_the_defaults_are_valid_themselves_and_those_of_their_users() -> None:
    settings = Settings.model_validate({})
    values = {name: value for name, value in settings if value is not None}
    assert Settings.model_validate(values) == settings
    fields = CalculationRequest.model_fields
    assert settings.max_concurrency == fields["max_concurrency"].default
    assert settings.max_price_age_days == fields["max_price_age_days"].default
    assert settings.cache_ttl_seconds == CacheSettings.model_fields["ttl_seconds"].default
    assert settings.business_calendar == CalendarSettings.model_fields["calendar"].default
    assert settings.business_timezone == CalendarSettings.model_fields["time_zone"].default
    assert settings.jwt_issuer == development_key.DEVELOPMENT_ISSUER
    assert settings.jwt_audience == development_key.DEVELOPMENT_AUDIENCE


@pytest.mark.parametrize(
    ("name", "commands"), [("max_concurrency", ["run"]), ("max_price_age_days", ["run", "holdings"])]
)
def test_what_only_some_commands_use_says_so(name: str, commands: list[str]) -> None:
    description = str(Settings.model_fields[name].description)
    assert re.findall("`(?:perfcalc )?([a-z]+)`", description) == commands


def test_every_setting_is_tried_here() -> None:
    assert CHOSEN.keys() == Settings.model_fields.keys()
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", CHOSEN)
def test_a_file_stands_over_the_default_and_a_variable_over_the_file(directory: Path, name: str) -> None:
    in_file, in_environment, expected = CHOSEN[name]
    write(directory, toml(**{name: in_file}))
    loaded = load_settings(None, {})
    told = getattr(loaded.settings, name)
    plain = told.get_secret_value() if isinstance(told, SecretStr) else told
    assert plain == {"data_dir": Path("kept"), "log_level": "WARNING"}.get(name, in_file)
    assert loaded.origins[name] == "perfcalc.toml"
    assert loaded.file_was_read
    over = load_settings(None, {variable(name): in_environment})
    assert getattr(over.settings, name) == expected
    assert over.origins[name] == f"PERFCALC_{name.upper()}"
    assert {origin for other, origin in over.origins.items() if other != name} == {"default"}


def test_all_three_kinds_stand_beside_each_other(directory: Path) -> None:
    write(directory, toml(port=9000, jwt_issuer="own"))
    loaded = load_settings(None, {"PERFCALC_PORT": "9001", "PERFCALC_LOG_LEVEL": "error"})
    assert (loaded.settings.port, loaded.settings.jwt_issuer, loaded.settings.log_level) == (9001, "own", "ERROR")
    assert loaded.origins["port"] == "PERFCALC_PORT"
    assert loaded.origins["jwt_issuer"] == "perfcalc.toml"
    assert loaded.origins["max_concurrency"] == "default"


def test_an_option_stands_over_all_the_others(directory: Path) -> None:
    write(directory, toml(stack="of-file", profile="of-file"))
    environ = {"PERFCALC_STACK": "of-variable", "PERFCALC_REGION": "of-variable"}
    loaded = load_settings(None, environ, {"stack": "of-option", "region": ""})
    assert (loaded.settings.stack, loaded.settings.profile, loaded.settings.region) == ("of-option", "of-file", "")
    origins = [loaded.origins[name] for name in ("stack", "profile", "region", "port")]
    assert origins == ["--stack", "perfcalc.toml", "--region", "default"]


@pytest.mark.parametrize("name", ["1st", "two words", "dev_1", "ümlaut", "s" * 116])
def test_what_can_be_no_stack_is_told_with_its_place(name: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(None, {}, {"stack": name})
    message = "must be letters, digits and hyphens, such as investment-performance-dev"
    assert [str(fault) for fault in caught.value.faults] == [f"--stack: {message}"]


def test_the_process_is_asked_when_no_environment_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFCALC_PORT", "9002")
    assert load_settings().settings.port == 9002


def test_settings_do_not_change_once_read() -> None:
    settings = load_settings(None, {}).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]  # as it says


def test_a_file_is_named_by_the_caller_or_by_a_variable(directory: Path) -> None:
    write(directory, toml(port=1))
    named, given = write(directory, toml(port=2), "etc/own.toml"), write(directory, toml(port=3), "given.toml")
    environ = {"PERFCALC_CONFIG": str(named)}
    by_variable = load_settings(None, environ)
    assert (by_variable.settings.port, by_variable.origins["port"], by_variable.file) == (2, str(named), named)
    assert load_settings(given, environ).settings.port == 3
    assert load_settings(None, {"PERFCALC_CONFIG": ""}).settings.port == 1


def test_a_data_directory_in_a_file_starts_from_the_file_s(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    elsewhere = write(directory, toml(data_dir="kept"), "etc/own.toml")
    assert load_settings(elsewhere, {}).settings.data_dir == directory / "etc" / "kept"
    write(directory, toml(data_dir="~/kept"), "etc/own.toml")
    assert load_settings(elsewhere, {}).settings.data_dir == Path("/home/ada/kept")
    assert load_settings(elsewhere, {"PERFCALC_DATA_DIR": "kept"}).settings.data_dir == Path("kept")


def test_an_empty_variable_is_a_value_for_text_alone(directory: Path) -> None:
    write(directory, toml(port=9000, jwt_key=KEY))
    names = ("data_dir", "max_concurrency", "max_price_age_days", "cache_ttl_seconds", "log_level", "port", "jwt_key")
    loaded = load_settings(None, {**{variable(name): "" for name in names}, "PERFCALC_BUSINESS_CALENDAR": ""})
    assert loaded.settings.business_calendar == ""
    assert loaded.settings.port == 9000
    assert loaded.settings.jwt_key == SecretStr(KEY)
    assert {loaded.origins[name] for name in names} == {"default", "perfcalc.toml"}
    assert faults_of(environ={"PERFCALC_JWT_ISSUER": ""}) == ["PERFCALC_JWT_ISSUER: must not be empty"]


# Faults

WRONG: list[tuple[str, Any, str]] = [
    ("max_concurrency", 0, "must be at least 1"),
    ("max_concurrency", 41, "must be at most 40"),
    ("max_price_age_days", -1, "must be at least 0"),
    ("max_price_age_days", 367, "must be at most 366"),
    ("cache_ttl_seconds", -1, "must be at least 0"),
    ("cache_ttl_seconds", 10**12, "must be at most 316224000"),
    ("port", -1, "must be at least 0"),
    ("port", 65_536, "must be at most 65535"),
    ("port", 8000.5, "must be a whole number"),
    ("port", "http", "must be a whole number"),
    (
        "business_calendar",
        "nyse",
        "must be a market or a country, such as NYSE or DE, or empty for weekends alone; did you mean NYSE?",
    ),
    (
        "business_calendar",
        "HolidayBase!",
        "must be a market or a country, such as NYSE or DE, or empty for weekends alone",
    ),
    (
        "business_timezone",
        "America/NewYork",
        "must be a time zone, such as America/New_York; did you mean America/New_York?",
    ),
    ("business_timezone", "../../etc/passwd", "must be a time zone, such as America/New_York"),
    ("business_timezone", "", "must be a time zone, such as America/New_York"),
    ("log_level", "LOUD", "must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
    ("jwt_key", "31 bytes are not enough for it.", "must have at least 32 bytes"),
    ("jwt_issuer", "", "must not be empty"),
    ("jwt_audience", "", "must not be empty"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_a_wrong_value_is_told_with_its_place(directory: Path, name: str, value: object, message: str) -> None:
    assert faults_of(environ={variable(name): str(value)}) == [f"{variable(name)}: {message}"]
    write(directory, toml(**{name: value}))
    assert faults_of() == [f"perfcalc.toml: {name}: {message}"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", "8000", "must be a whole number"),
        ("port", True, "must be a whole number"),
        ("max_concurrency", 4.0, "must be a whole number"),
        ("jwt_issuer", 5, "must be text"),
        ("jwt_key", 5, "must be text"),
        ("business_calendar", 5, "must be text"),
        ("data_dir", 5, "must be text"),
        ("data_dir", "", "must not be empty"),
        ("log_level", 5, "must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'"),
    ],
)
def test_values_of_a_file_have_types_of_their_own(directory: Path, name: str, value: object, message: str) -> None:
    write(directory, toml(**{name: value}))
    assert faults_of() == [f"perfcalc.toml: {name}: {message}"]


def test_all_faults_are_told_together(directory: Path) -> None:
    write(directory, toml(port=-1, prot=8000, log_level="LOUD") + "[server]\nport = 1\n")
    environ = {"PERFCALC_PORT": "x", "PERFCALC_JWT_KEY": "short", "PERFCALC_LOG_LEVEL": "INFO"}
    assert sorted(faults_of(environ=environ)) == [
        "PERFCALC_JWT_KEY: must have at least 32 bytes",
        "PERFCALC_PORT: must be a whole number",
        "perfcalc.toml: log_level: must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'",
        "perfcalc.toml: port: must be at least 0",
        "perfcalc.toml: prot: is not a setting; did you mean port?",
        "perfcalc.toml: server: is not a setting",
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"port = \n", "is not TOML: Invalid value (at line 1, column 8)"),
        (b"port = 1\nport = 2\n", "is not TOML: Cannot overwrite a value"),
        (b"\xff\xfe", "is not TOML: 'utf-8' codec can't decode"),
        (b"a = " + b"[" * 100_000, "is not TOML: "),
    ],
    ids=["value", "twice", "binary", "nested"],
)
def test_a_file_that_is_no_toml_is_told(directory: Path, body: bytes, reason: str) -> None:
    (directory / "perfcalc.toml").write_bytes(body)
    (fault,) = faults_of()
    assert fault.startswith(f"perfcalc.toml: {reason}")


def test_a_file_that_was_asked_for_must_be_there(directory: Path) -> None:
    missing = directory / "missing.toml"
    assert faults_of(missing) == [f"{missing}: there is no such file"]
    # With the faults of the variables.
    assert faults_of(None, {"PERFCALC_CONFIG": "none.toml", "PERFCALC_PORT": "x"}) == [
        "none.toml: there is no such file",
        "PERFCALC_PORT: must be a whole number",
    ]
    assert faults_of(directory) == [f"{directory}: Is a directory"]


def test_an_unknown_variable_may_be_somebody_else_s() -> None:
    environ = {"PERFCALC_PROT": "1", "PERFCALC_ZZZ": "1", "PERFCALC": "1", "OTHER": "1", "PERFCALC_CONFIG": ""}
    assert load_settings(None, environ).warnings == (
        "PERFCALC_PROT is not a setting; did you mean PERFCALC_PORT?",
        "PERFCALC_ZZZ is not a setting",
    )


@pytest.mark.parametrize("name", ["NYSE", "XECB", "US", "DE", ""])
def test_a_calendar_is_a_market_a_country_or_none(name: str) -> None:
    assert load_settings(None, {"PERFCALC_BUSINESS_CALENDAR": name}).settings.business_calendar == name


# What the functions are told


def test_the_functions_read_what_they_are_told() -> None:
    environ = {variable(name): value for name, (_, value, _) in CHOSEN.items()}
    settings = load_settings(None, environ).settings
    told = function_environment(settings)
    calendar = CalendarSettings.from_env(told)
    assert (calendar.calendar, calendar.time_zone) == ("DE", "UTC")
    assert CacheSettings.from_env({**told, "CACHE_TABLE": "cache"}).ttl_seconds == 0
    authorizer = AuthorizerSettings.from_env({**told, "JWT_SECRET_ID": "secret"})
    assert (authorizer.issuer, authorizer.audience) == ("own", "tests")
    assert told["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    assert not [value for value in told.values() if KEY[::-1] in value]


# Secrets


def test_a_secret_is_in_no_text(directory: Path) -> None:
    write(directory, toml(jwt_key=KEY))
    loaded = load_settings(None, {"PERFCALC_JWT_KEY": KEY})
    assert loaded.settings.jwt_key == SecretStr(KEY)
    assert KEY not in f"{loaded!r} {loaded.settings!r} {loaded.settings} {loaded.settings.model_dump_json()}"


def test_a_wrong_secret_is_in_no_error(directory: Path) -> None:
    write(directory, toml(jwt_key="too-short"))
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(None, {"PERFCALC_JWT_KEY": "too-short"})
    assert len(caught.value.faults) == 2
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "too-short" not in f"{caught.value!r} {caught.value}"


# The command


def test_the_command_shows_each_setting_and_where_it_comes_from(
    run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, toml(port=9000, jwt_key=KEY))
    monkeypatch.setenv("PERFCALC_BUSINESS_CALENDAR", "")
    code, out, err = run()
    assert (code, err) == (0, "")
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert lines["Setting"] == ["Value", "From"]
    assert lines["port"] == ["9000", "perfcalc.toml"]
    assert lines["jwt_key"] == ["**********", "perfcalc.toml"]
    assert lines["business_calendar"] == ['""', "PERFCALC_BUSINESS_CALENDAR"]
    assert lines["log_level"] == ["INFO", "default"]
    assert Settings.model_fields.keys() < lines.keys()
    assert out.endswith("perfcalc.toml was read\n")
    assert KEY not in out


def test_the_command_shows_the_options_before_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFCALC_PROFILE", "work")
    code, out, _ = run(before=["--stack", "investment-performance-dev"])
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["stack", "investment-performance-dev", "--stack"] in lines
    assert ["profile", "work", "PERFCALC_PROFILE"] in lines
    assert ["region", '""', "default"] in lines


def test_the_command_says_which_file_it_looked_for(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert out.endswith(f"{DEFAULT_FILE} was looked for and is not there\n")
    assert ["jwt_key", "-", "default"] in [line.split() for line in out.splitlines()]


def test_the_command_prints_json_and_nothing_else(run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(directory, toml(jwt_key=KEY), "own.toml")
    monkeypatch.setenv("PERFCALC_PORT", "0")
    code, out, err = run("--json", before=["--config", str(path)])
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["file"] == {"path": str(path), "read": True}
    assert document["settings"].keys() == Settings.model_fields.keys()
    assert document["settings"]["port"] == {"value": 0, "origin": "PERFCALC_PORT", "variable": "PERFCALC_PORT"}
    assert document["settings"]["jwt_key"]["value"] == "**********"
    assert document["settings"]["data_dir"]["value"] == ".perfcalc"
    assert KEY not in out


def test_the_command_tells_all_faults_and_ends_as_for_a_wrong_request(run: Run, directory: Path) -> None:
    write(directory, toml(prot=1, port=-1))
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "2 faults in the settings",
        "perfcalc.toml: port: must be at least 0",
        "perfcalc.toml: prot: is not a setting; did you mean port?",
    ]


def test_the_command_warns_and_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFCALC_PROT", "1")
    code, out, err = run("--json")
    assert (code, err) == (0, "PERFCALC_PROT is not a setting; did you mean PERFCALC_PORT?\n")
    assert json.loads(out)["settings"]["port"]["value"] == 8000
