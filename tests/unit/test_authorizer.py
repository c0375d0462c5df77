"""The authorizer: what it grants, how it tells a refusal from a fault of ours, and how it lives through a rotation."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from common.config import AuthorizerSettings
from common.errors import StoreError, ThrottledError, TransientError
from common.observability import SERVICE
from workflows.local.development_key import mint
from workflows.triggers.authorizer import (
    KEYS_SECONDS,
    REFRESH_SECONDS,
    InvalidEventError,
    KeySource,
    handler,
    key_source,
    policy,
)
from workflows.triggers.routes import ROUTES, Role, Route, allows
from workflows.triggers.tokens import Caller, SigningKey, UnusableKeyError

EVENT = json.loads((Path(__file__).parents[1] / "events" / "authorizer_token.json").read_text())
STAGE = "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/v1"
SECRETS = [f"secret number {number}, of 32 bytes or more" for number in range(4)]
ENVIRONMENT = {
    "JWT_SECRET_ID": "investment-performance/jwt",
    "JWT_ISSUER": "https://identity.example",
    "JWT_AUDIENCE": "performance-calculator",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class NotFoundError(ClientError):
    """What Secrets Manager raises for a label that no version has."""

    def __init__(self) -> None:
        super().__init__({"Error": {"Code": "ResourceNotFoundException", "Message": "no such label"}}, "GetSecretValue")


class FakeSecretsManager:
    """A secret with versions, and a count of how often it is asked."""

    exceptions = SimpleNamespace(ResourceNotFoundException=NotFoundError)

    def __init__(self, *texts: str | None) -> None:
        self.texts = list(texts)
        self.calls: list[str] = []
        self.fault: Exception | None = None

    def rotate(self, secret: str) -> None:
        self.texts.append(text(secret))

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert SecretId == ENVIRONMENT["JWT_SECRET_ID"]
        self.calls.append(VersionStage)
        if self.fault:
            raise self.fault
        number = len(self.texts) - {"AWSCURRENT": 1, "AWSPREVIOUS": 2}[VersionStage]
        if number < 0:
            raise NotFoundError
        content = self.texts[number]
        return {"VersionId": f"version-{number}", **({} if content is None else {"SecretString": content})}


class World:
    """A key source on a fake Secrets Manager, and a clock that stands until it is moved."""

    def __init__(self, *texts: str | None) -> None:
        self.manager = FakeSecretsManager(*texts)
        self.now = 1_000_000.0
        self.keys = KeySource(cast(Any, self.manager), ENVIRONMENT["JWT_SECRET_ID"], clock=lambda: self.now)

    def ask(self, token: str) -> dict[str, Any]:
        return handler({**EVENT, "authorizationToken": f"Bearer {token}"}, None, keys=self.keys)

    @property
    def readings(self) -> int:
        return self.manager.calls.count("AWSCURRENT")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Iterator[io.StringIO]:
    """What the function logs; whatever it is, no token and no secret may be in it, nor anywhere else."""
    shared = logging.getLogger(SERVICE)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(shared.handlers[0].formatter)
    monkeypatch.setattr(shared, "handlers", [handler])
    yield stream
    told = capsys.readouterr()
    written = stream.getvalue() + caplog.text + told.out + told.err
    assert "secret number" not in written
    assert not re.search(r"eyJ[A-Za-z0-9_-]{8}", written)


@pytest.fixture
def world() -> World:
    return World(text(SECRETS[0]))


def text(secret: str) -> str:
    return json.dumps({"JwtSecret": secret})


def token(
    number: int = 0,
    *,
    subject: str = "ada",
    role: Role = Role.OPERATOR,
    client_id: str | None = "acme",
    named: bool = False,
    age: timedelta = timedelta(0),
) -> str:
    return mint(
        SECRETS[number],
        subject=subject,
        role=role,
        client_id=client_id,
        issuer=ENVIRONMENT["JWT_ISSUER"],
        audience=ENVIRONMENT["JWT_AUDIENCE"],
        lifetime=timedelta(hours=1),
        key_id=f"version-{number}" if named else None,
        now=datetime.now(UTC) - age,
    )


def unauthorized(call: Callable[[], object]) -> None:
    """Hold that `call` raises what API Gateway makes a 401 of."""
    with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
        call()
    assert type(caught.value) is Exception
    assert caught.value.args == ("Unauthorized",)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def reasons(log: io.StringIO) -> list[str]:
    return [line["refused"] for line in map(json.loads, log.getvalue().splitlines()) if "refused" in line]


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # what is read of it
        "GetSecretValue",
    )


# The policy


def permits(document: dict[str, Any], method: str, path: str, stage: str = STAGE) -> bool:
    """Evaluate a policy as IAM does: `*` is any text, slashes included, and `?` one character."""
    asked = f"{stage}/{method}{path}"
    effects = {
        statement["Effect"]
        for statement in document["Statement"]
        if statement["Action"] == "execute-api:Invoke" and any(matches(each, asked) for each in statement["Resource"])
    }
    return effects == {"Allow"}


def matches(pattern: str, text: str) -> bool:
    return bool(
        re.fullmatch("".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern), text, re.DOTALL)
    )


def document_of(role: Role, arn: str = EVENT["methodArn"]) -> dict[str, Any]:
    document: dict[str, Any] = policy(Caller("ada", role, "acme"), arn)["policyDocument"]
    return document


def requests() -> Iterator[tuple[str, str, Route | None]]:
    """Yield each method on each path, its parameters filled in, and the route that serves it."""
    values = ("growth-dca", "*", "..", "a%2Fb", "performance", "history", "GET")
    for path in {route.path for route in ROUTES}:
        routes = {route.method: route for route in ROUTES if route.path == path}
        for method in METHODS:
            for value in values:
                yield method, re.sub(r"\{[^}]+\}", value, path), routes.get(method)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_use_its_routes_and_no_others(role: Role) -> None:
    document = document_of(role)
    for method, path, route in requests():
        assert permits(document, method, path) == (route is not None and allows(role, route)), f"{method} {path}"


@pytest.mark.parametrize("role", list(Role))
def test_the_grants_are_the_routes_one_by_one(role: Role) -> None:
    granted = document_of(role)["Statement"][0]["Resource"]
    assert len(granted) == len(set(granted)) == sum(allows(role, route) for route in ROUTES)
    for resource in granted:
        method, _, path = resource.removeprefix(f"{STAGE}/").partition("/")
        assert method in METHODS
        assert not path.startswith("*")  # the first segment is always literal
        assert "?" not in resource
        assert "${" not in resource


def test_a_reader_starts_nothing_and_an_operator_does() -> None:
    for path in ("/calculate", "/transactions"):
        assert not permits(document_of(Role.READER), "POST", path)
        assert permits(document_of(Role.OPERATOR), "POST", path)


@given(st.sampled_from([method for method in METHODS if method != "GET"]), st.text())
def test_nothing_but_a_get_is_a_reader_s_whatever_the_path(method: str, path: str) -> None:
    assert not permits(document_of(Role.READER), method, f"/{path}")
    assert not permits(document_of(Role.READER), method, path)
    assert not permits(document_of(Role.READER), method, f"/../GET/executions/{path}")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    "stage",
    [
        STAGE.replace("/v1", "/v2"),
        STAGE.replace("abcdef1234", "other"),
        STAGE.replace("123456789012", "210987654321"),
        STAGE.replace("us-east-1", "eu-west-1"),
        STAGE.replace("arn:aws:", "arn:aws-cn:"),
    ],
)
def test_a_grant_ends_at_its_own_stage(role: Role, stage: str) -> None:
    assert not any(permits(document_of(role), method, path, stage) for method, path, _ in requests())


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "eu-central-1"), ("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")]
)
def test_a_policy_is_of_the_partition_it_is_asked_in(partition: str, region: str) -> None:
    stage = f"arn:{partition}:execute-api:{region}:123456789012:abcdef1234/v1"
    document = document_of(Role.READER, f"{stage}/GET/executions/run-1")
    assert permits(document, "GET", "/executions/run-1", stage)
    assert all(resource.startswith(f"{stage}/") for resource in document["Statement"][0]["Resource"])


@pytest.mark.parametrize("path", ["", "/", "/*", "/a:b/c", "/x/POST/calculate", "/\n", "/arn:aws:execute-api:*:*:*"])
def test_the_path_asked_for_changes_nothing_of_the_answer(path: str) -> None:
    assert document_of(Role.READER, f"{STAGE}/GET{path}") == document_of(Role.READER)


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "*",
        STAGE,
        "arn:aws:lambda:us-east-1:123456789012:function:name/v1/GET/",
        "arn:aws:execute-api:us-east-1:123456789012:*/v1/GET/health",
        "arn:aws:execute-api:us-east-1:123456789012:abcdef1234/*/GET/health",
        "arn:aws:execute-api:*:123456789012:abcdef1234/v1/GET/health",
        "arn:aws:execute-api:us-east-1:*:abcdef1234/v1/GET/health",
        f"x{STAGE}/GET/health",
        f"{STAGE}/GET?health",
    ],
)
def test_an_event_of_no_method_is_not_the_token_s_fault(world: World, arn: str) -> None:
    with pytest.raises(InvalidEventError):
        handler({**EVENT, "authorizationToken": f"Bearer {token()}", "methodArn": arn}, None, keys=world.keys)


# What is answered


def test_a_good_token_is_answered_with_its_caller(world: World, log: io.StringIO) -> None:
    answer = world.ask(token())
    assert answer == {
        "principalId": "ada",
        "policyDocument": {"Version": "2012-10-17", **document_of(Role.OPERATOR)},
        "context": {"subject": "ada", "role": "operator", "client_id": "acme"},
    }
    (line,) = map(json.loads, log.getvalue().splitlines())
    assert line.items() >= {"level": "INFO", **answer["context"]}.items()


def test_the_context_is_text_and_nothing_else(world: World) -> None:
    context = world.ask(token(role=Role.ADMIN, client_id=None))["context"]
    assert context == {"subject": "ada", "role": "admin", "client_id": ""}
    assert all(type(value) is str for value in context.values())


def test_the_answer_is_the_same_whatever_method_was_asked_for(world: World) -> None:
    """It is kept for the token, and serves them all."""
    answers = [
        handler(
            {**EVENT, "authorizationToken": f"Bearer {token()}", "methodArn": f"{STAGE}/{method}{path}"},
            None,
            keys=world.keys,
        )
        for method, path in (("GET", "/portfolios/p/performance"), ("POST", "/calculate"), ("GET", "/executions/e"))
    ]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER {}", "bEaReR   {}", "  Bearer {}  "])
def test_the_scheme_is_read_in_any_case(world: World, header: str) -> None:
    event = {**EVENT, "authorizationToken": header.format(token())}
    assert handler(event, None, keys=world.keys)["principalId"] == "ada"


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "{0}",
        "Basic {0}",
        "Token {0}",
        "Bearer{0}",
        "Bearer: {0}",
        "Bearer {0} {0}",
        "Bearer {0}, Bearer {0}",
        "Bearer {0},{0}",
        "Bearer Bearer {0}",
        'Bearer "{0}"',
        None,
        7,
        ["Bearer {0}"],
        b"Bearer x.y.z",
    ],
)
def test_what_is_not_bearer_and_one_token_is_refused(world: World, log: io.StringIO, header: object) -> None:
    sent = header.format(token()) if isinstance(header, str) else header
    unauthorized(lambda: handler({**EVENT, "authorizationToken": sent}, None, keys=world.keys))
    assert len(reasons(log)) == 1


def test_an_event_without_a_token_is_refused(world: World, log: io.StringIO) -> None:
    event = {name: value for name, value in EVENT.items() if name != "authorizationToken"}
    unauthorized(lambda: handler(event, None, keys=world.keys))
    assert reasons(log) == ["the request has no Authorization header"]
    assert world.readings == 0


def test_the_example_of_rfc_7519_is_refused(world: World, log: io.StringIO) -> None:
    unauthorized(lambda: handler(EVENT, None, keys=world.keys))
    assert reasons(log) == ["the token is signed with no key that is known"]


def test_a_refusal_is_logged_with_its_reason(world: World, log: io.StringIO) -> None:
    unauthorized(lambda: world.ask(token(age=timedelta(days=1))))
    assert reasons(log) == ["the token has expired"]


@given(st.text() | st.binary() | st.none() | st.integers())
def test_whatever_is_sent_is_refused_and_nothing_more(sent: object) -> None:
    world, good = World(text(SECRETS[0])), token()
    for header in (sent, f"Bearer {sent}", f"Bearer {good}{sent or 'x'}"):
        if isinstance(header, str) and header.split() == ["Bearer", good]:  # white space after a token is none of it
            continue
        unauthorized(lambda header=header: handler({**EVENT, "authorizationToken": header}, None, keys=world.keys))  # type: ignore[misc]  # mypy cannot infer a lambda's default


# Rotation


def test_the_keys_are_read_once_while_they_are_fresh(world: World) -> None:
    for _ in range(5):
        world.ask(token())
        world.now += (KEYS_SECONDS - 1) / 5
    assert world.manager.calls == ["AWSCURRENT", "AWSPREVIOUS"]
    world.now += KEYS_SECONDS
    world.ask(token())
    assert world.readings == 2


def test_the_keys_are_kept_for_five_minutes_at_most() -> None:
    assert KEYS_SECONDS <= 300


@pytest.mark.parametrize("named", [False, True])
def test_a_token_of_the_new_key_is_good_soon_after_a_rotation(world: World, named: bool) -> None:
    world.ask(token(0, named=named))
    world.manager.rotate(SECRETS[1])
    world.now += REFRESH_SECONDS
    assert world.ask(token(1, named=named))["principalId"] == "ada"
    assert world.ask(token(0, named=named))["principalId"] == "ada"  # the previous key's
    assert world.readings == 2


@pytest.mark.parametrize("named", [False, True])
def test_the_key_before_the_previous_one_is_refused(world: World, named: bool) -> None:
    for secret in SECRETS[1:3]:
        world.manager.rotate(secret)
    unauthorized(lambda: world.ask(token(0, named=named)))
    assert world.ask(token(1, named=named))["principalId"] == "ada"
    assert world.ask(token(2, named=named))["principalId"] == "ada"


def test_a_key_that_was_taken_out_is_refused_after_five_minutes(world: World) -> None:
    world.ask(token(0))
    world.manager.rotate(SECRETS[1])
    world.manager.rotate(SECRETS[2])
    world.now += KEYS_SECONDS
    unauthorized(lambda: world.ask(token(0)))


@pytest.mark.parametrize("named", [False, True])
def test_tokens_of_unknown_keys_cannot_make_it_read_again_and_again(world: World, named: bool) -> None:
    world.ask(token(0))
    for _ in range(100):
        unauthorized(lambda: world.ask(token(3, named=named)))
    assert world.readings == 1  # the keys were just read
    for _ in range(100):
        world.now += 1
        unauthorized(lambda: world.ask(token(3, named=named)))
    assert world.readings == 1 + 100 // REFRESH_SECONDS


def test_a_token_that_no_key_could_mend_reads_nothing_again(world: World) -> None:
    world.ask(token(0))
    world.now += REFRESH_SECONDS
    head, _, _ = token(0, named=True).rpartition(".")
    for bad in ("nonsense", token(0, age=timedelta(days=1)), f"{head}.{'A' * 43}"):
        unauthorized(lambda bad=bad: world.ask(bad))  # type: ignore[misc]  # mypy cannot infer a lambda's default
    assert world.readings == 1


def test_a_rotation_between_the_two_calls_loses_no_key(world: World) -> None:
    read = world.manager.get_secret_value

    def rotating(**asked: str) -> dict[str, Any]:
        answer = read(**asked)
        if world.readings == 1 and asked["VersionStage"] == "AWSCURRENT":
            world.manager.rotate(SECRETS[1])
        return answer

    world.manager.get_secret_value = rotating  # type: ignore[method-assign]  # the race
    assert world.keys.keys() == (SigningKey("version-0", SECRETS[0].encode()),)
    world.now += REFRESH_SECONDS
    assert world.ask(token(1))["principalId"] == "ada"


# Faults of ours


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (client_error("ThrottlingException"), ThrottledError),
        (client_error("InternalServiceError", 500), TransientError),
        (EndpointConnectionError(endpoint_url="https://secretsmanager"), TransientError),
        (client_error("AccessDeniedException"), StoreError),
        (client_error("DecryptionFailure"), StoreError),
        (NotFoundError(), StoreError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_secrets_manager_s_faults_do_not_read_as_a_refusal(world: World, fault: Exception, kind: type) -> None:
    world.manager.fault = fault
    for sent in (token(0), token(3)):
        with pytest.raises(kind) as caught:
            world.ask(sent)
        assert str(caught.value) != "Unauthorized"
    world.manager.fault = None
    assert world.ask(token(0))["principalId"] == "ada"


def test_an_outage_leaves_the_keys_at_hand_good(world: World) -> None:
    world.ask(token(0))
    world.manager.fault = client_error("InternalServiceError", 500)
    world.now += REFRESH_SECONDS
    for _ in range(50):
        with pytest.raises(TransientError):  # whether it is good cannot be known
            world.ask(token(1))
        assert world.ask(token(0))["principalId"] == "ada"
    assert world.readings == 2
    world.manager.fault = None
    world.manager.rotate(SECRETS[1])
    world.now += REFRESH_SECONDS
    assert world.ask(token(1))["principalId"] == "ada"
    unauthorized(lambda: world.ask(token(3)))


def test_an_outage_that_outlasts_the_keys_is_an_error(world: World) -> None:
    world.ask(token(0))
    world.manager.fault = client_error("InternalServiceError", 500)
    world.now += KEYS_SECONDS
    with pytest.raises(TransientError):
        world.ask(token(0))


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "secret number 0, of 32 bytes or more",
        "[]",
        "{}",
        '{"jwtsecret": "secret number 0, of 32 bytes or more"}',
        '{"JwtSecret": 7}',
        '{"JwtSecret": ["secret number 0, of 32 bytes or more"]}',
        '{"JwtSecret": ""}',
        '{"JwtSecret": "secret number 0"}',
    ],
)
def test_a_secret_that_is_no_key_is_an_error_of_the_deployment(content: str | None) -> None:
    world = World(text(SECRETS[0]), content)
    with pytest.raises(UnusableKeyError) as caught:
        world.ask(token(0))
    assert "secret number" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_placeholder_that_was_rotated_away_does_not_stop_the_api(log: io.StringIO) -> None:
    world = World('{"JwtSecret": ""}', text(SECRETS[1]))
    assert world.ask(token(1))["principalId"] == "ada"
    assert "has 0 bytes" in json.loads(log.getvalue().splitlines()[0])["previous_key"]


def test_settings_that_are_missing_do_not_read_as_a_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_ISSUER")
    with pytest.raises(ValueError, match="JWT_ISSUER"):
        world.ask(token())


# Against moto


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    key_source.cache_clear()
    with mock_aws():
        yield boto3.client("secretsmanager")
    key_source.cache_clear()


def test_the_function_reads_its_keys_from_secrets_manager(secrets_manager: Any) -> None:
    name = ENVIRONMENT["JWT_SECRET_ID"]

    def ask(number: int) -> str:
        sent = f"Bearer {token(number)}"
        return str(handler({**EVENT, "authorizationToken": sent}, None)["principalId"])

    with pytest.raises(StoreError, match="Secrets Manager"):
        ask(0)
    secrets_manager.create_secret(Name=name, SecretString=text(SECRETS[0]))
    assert ask(0) == "ada"  # it was never rotated: there is no AWSPREVIOUS
    secrets_manager.put_secret_value(SecretId=name, SecretString=text(SECRETS[1]))
    key_source.cache_clear()
    assert (ask(0), ask(1)) == ("ada", "ada")
    secrets_manager.put_secret_value(SecretId=name, SecretString=text(SECRETS[3]), VersionStages=["AWSPENDING"])
    secrets_manager.put_secret_value(SecretId=name, SecretString=text(SECRETS[2]))
    key_source.cache_clear()
    assert (ask(1), ask(2)) == ("ada", "ada")
    for number in (0, 3):
        unauthorized(lambda number=number: ask(number))  # type: ignore[misc]  # mypy cannot infer a lambda's default


def test_the_id_of_a_key_is_the_version_of_the_secret(secrets_manager: Any) -> None:
    name = ENVIRONMENT["JWT_SECRET_ID"]
    first = secrets_manager.create_secret(Name=name, SecretString=text(SECRETS[0]))["VersionId"]
    second = secrets_manager.put_secret_value(SecretId=name, SecretString=text(SECRETS[1]))["VersionId"]
    keys = key_source(AuthorizerSettings.from_env()).keys()
    assert [(key.key_id, key.secret.decode()) for key in keys] == [(second, SECRETS[1]), (first, SECRETS[0])]


def test_a_warm_function_keeps_its_keys(secrets_manager: Any) -> None:
    settings = AuthorizerSettings.from_env()
    assert key_source(settings) is key_source(AuthorizerSettings.from_env())
