"""What the operator of `perfcalc` may choose: defaults, a file over them, the environment, and options over all.

Limits on requests and imports are no settings: what is accepted must not depend on whose machine it is.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from common.config import AuthorizerSettings, CacheSettings, CalendarSettings, FunctionSettings
from common.errors import MAX_FAULTS_TOLD, Fault, PermanentError
from common.models.faults import told
from common.models.limits import DEFAULT_CONCURRENCY, DEFAULT_PRICE_AGE_DAYS, MAX_CONCURRENCY, MAX_PRICE_AGE_DAYS

PREFIX: Final = "PERFCALC_"
FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
DEFAULT_FILE: Final = Path("perfcalc.toml")
DEFAULT: Final = "default"

_MAX_CACHE_SECONDS: Final = 10 * 366 * 24 * 3600
_MAX_PORT: Final = 65_535
# CloudFormation: the name of a stack, less the longest ending that a stage's stacks have.
_STACK: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,114}")


class InvalidSettingsError(PermanentError):
    """The settings are wrong; nothing was started.

    Parameters
    ----------
    faults
        Every fault found, each with its file and key, or its variable.
    """

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        told = [str(fault) for fault in self.faults[:MAX_FAULTS_TOLD]]
        noun = "fault" if len(self.faults) == 1 else "faults"
        super().__init__(f"{len(self.faults)} {noun} in the settings\n" + "\n".join(told))


def _known_calendar(name: str) -> str:
    if not name:
        return name
    import holidays  # noqa: PLC0415 - half a second that only another calendar than the default needs

    known = {*holidays.list_supported_financial(), *holidays.list_supported_countries()}
    if name not in known:
        raise PydanticCustomError(
            "business_calendar",
            "must be a market or a country, such as NYSE or DE, or empty for weekends alone{hint}",
            {"hint": _did_you_mean(name.upper(), known)},
        )
    return name


def _known_time_zone(name: str) -> str:
    if name not in (known := available_timezones()):
        raise PydanticCustomError(
            "business_timezone",
            "must be a time zone, such as America/New_York{hint}",
            {"hint": _did_you_mean(name, known)},
        )
    return name


def _long_enough(key: SecretStr) -> SecretStr:
    from workflows.triggers.tokens import MIN_SECRET_BYTES  # noqa: PLC0415 - PyJWT takes a quarter of a second

    if len(key.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise PydanticCustomError("jwt_key", "must have at least {least} bytes", {"least": MIN_SECRET_BYTES})
    return key


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("data_dir", "must be text")
    if not value:
        raise PydanticCustomError("data_dir", "must not be empty")  # which would be the working directory itself
    return Path(value)


def _stack_name(name: str) -> str:
    if name and not _STACK.fullmatch(name):
        raise PydanticCustomError("stack", "must be letters, digits and hyphens, such as investment-performance-dev")
    return name


def _in_capitals(level: object) -> object:
    return level.upper() if isinstance(level, str) else level


class Settings(BaseModel):
    """The settings, each with the key of its name in the file and the variable `PERFCALC_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Annotated[Path, PlainValidator(_path)] = Field(
        Path(".perfcalc"), description="where results and executions are kept; in a file, from the file's directory"
    )
    max_concurrency: int = Field(
        DEFAULT_CONCURRENCY,
        ge=1,
        le=MAX_CONCURRENCY,
        description="portfolios at a time in `perfcalc run`, where a request does not say",
    )
    max_price_age_days: int = Field(
        DEFAULT_PRICE_AGE_DAYS,
        ge=0,
        le=MAX_PRICE_AGE_DAYS,
        description="how long `perfcalc run` and `holdings` carry a price forward, where a request does not say",
    )
    business_calendar: Annotated[str, AfterValidator(_known_calendar)] = Field(
        "NYSE", description="the market or country whose holidays the schedule keeps; empty: weekends alone"
    )
    business_timezone: Annotated[str, AfterValidator(_known_time_zone)] = Field(
        "America/New_York", description="where the schedule's days begin and end"
    )
    cache_ttl_seconds: int = Field(
        7 * 24 * 3600,
        ge=0,
        le=_MAX_CACHE_SECONDS,
        description="how long a calculation is kept for reuse; 0: not at all",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_in_capitals)] = (
        Field("INFO", description="the least that the functions write to their log")
    )
    port: int = Field(8000, ge=0, le=_MAX_PORT, description="where `perfcalc serve` listens; 0: any that is free")
    jwt_key: Annotated[SecretStr, AfterValidator(_long_enough)] | None = Field(
        None, description="signs development tokens, 32 bytes or more; without it a random one in the data directory"
    )
    jwt_issuer: str = Field("perfcalc", min_length=1, description="whose tokens `perfcalc serve` takes")
    jwt_audience: str = Field("performance-calculator", min_length=1, description="whom those tokens are for")
    stack: Annotated[str, AfterValidator(_stack_name)] = Field(
        "",
        description="the deployed stage that commands work in: what the names of its stacks begin with, such as "
        "investment-performance-dev; empty: this machine",
    )
    profile: str = Field("", description="of the AWS configuration, for that stage; empty: the environment's")
    region: str = Field("", description="where that stage is; empty: the profile's or the environment's")


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings and where they come from.

    Attributes
    ----------
    settings : Settings
    origins : Mapping
        For each setting `default`, the file, or the name of the variable or of the option.
    warnings : tuple of str
        What looks like a mistake and is none for certain.
    file : Path
        The file that was read or looked for.
    file_was_read : bool
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    file: Path
    file_was_read: bool


def load_settings(
    file: Path | None = None, environ: Mapping[str, str] | None = None, given: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Read the settings.

    Parameters
    ----------
    file
        A TOML file that must be there; when None the one `PERFCALC_CONFIG` names, and without that `perfcalc.toml` in
        the working directory, if it is there.
    environ
        The variables; the process's own when None.
    given
        What the options of the command line say, by the setting's name; it stands over everything else.

    Raises
    ------
    InvalidSettingsError
        With every fault of the file, of the variables and of the options.
    """
    environ = os.environ if environ is None else environ
    path = file or Path(environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    must_be_there = file is not None or bool(environ.get(FILE_VARIABLE))
    faults: list[Fault] = []
    document, was_read = _read(path, must_be_there, faults)
    from_file = _checked(document, {name: f"{path}: {name}" for name in document}, faults, strict=True)
    values = _values(environ)
    from_environment = _checked(values, {name: variable(name) for name in values}, faults, strict=False)
    from_options = _checked(given or {}, {name: option(name) for name in given or {}}, faults, strict=False)
    if faults:
        raise InvalidSettingsError(faults)
    if "data_dir" in document:
        from_file["data_dir"] = path.parent / os.path.expanduser(from_file["data_dir"])
    origins = dict.fromkeys(Settings.model_fields, DEFAULT)
    origins |= dict.fromkeys(from_file, str(path)) | {name: variable(name) for name in from_environment}
    origins |= {name: option(name) for name in from_options}
    settings = Settings.model_validate({}).model_copy(update={**from_file, **from_environment, **from_options})
    return LoadedSettings(settings, origins, tuple(_unknown_variables(environ)), path, was_read)


def function_environment(settings: Settings) -> dict[str, str]:
    """Return the variables by which the functions are told these settings."""
    told: tuple[tuple[type[FunctionSettings], str, object], ...] = (
        (CalendarSettings, "calendar", settings.business_calendar),
        (CalendarSettings, "time_zone", settings.business_timezone),
        (CacheSettings, "ttl_seconds", settings.cache_ttl_seconds),
        (AuthorizerSettings, "issuer", settings.jwt_issuer),
        (AuthorizerSettings, "audience", settings.jwt_audience),
    )
    named = {str(model.model_fields[name].alias): str(value) for model, name, value in told}
    return {**named, "POWERTOOLS_LOG_LEVEL": settings.log_level}


def variable(name: str) -> str:
    """Return the variable of a setting."""
    return f"{PREFIX}{name.upper()}"


def option(name: str) -> str:
    """Return the option of a setting that has one."""
    return f"--{name.replace('_', '-')}"


def _read(path: Path, must_be_there: bool, faults: list[Fault]) -> tuple[dict[str, Any], bool]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file), True
    except FileNotFoundError:
        if must_be_there:
            faults.append(Fault(str(path), "there is no such file"))
    except OSError as error:
        faults.append(Fault(str(path), error.strerror or str(error)))
    except (ValueError, RecursionError) as error:  # no TOML, no text, or nested without end
        faults.append(Fault(str(path), f"is not TOML: {error}"))
    return {}, False


def _values(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set; an empty one is a value for text alone."""
    found = {name: environ.get(variable(name)) for name in Settings.model_fields}
    return {
        name: value
        for name, value in found.items()
        if value is not None and (value or Settings.model_fields[name].annotation is str)
    }


def _checked(
    values: Mapping[str, Any], places: Mapping[str, str], faults: list[Fault], *, strict: bool
) -> dict[str, Any]:
    """Return the validated values; `strict` is for a file, whose values have types of their own."""
    try:
        model = Settings.model_validate(values, strict=True) if strict else Settings.model_validate_strings(values)
    except ValidationError as error:
        # Without the input: it may be a secret.
        found = error.errors(include_url=False, include_input=False)
        faults.extend(Fault(places[str(each["loc"][0])], _message(each)) for each in found)
        return {}
    return {name: getattr(model, name) for name in model.model_fields_set}


def _message(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return f"is not a setting{_did_you_mean(str(error['loc'][0]), Settings.model_fields)}"
    return told(error["type"], error["msg"], error.get("ctx", {}))


def _unknown_variables(environ: Mapping[str, str]) -> Iterable[str]:
    known = [each.removeprefix(PREFIX) for each in (FILE_VARIABLE, *map(variable, Settings.model_fields))]
    for name in sorted(environ):
        if name.startswith(PREFIX) and (own := name.removeprefix(PREFIX)) not in known:
            yield f"{name} is not a setting{_did_you_mean(own, known, PREFIX)}"


def _did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""
