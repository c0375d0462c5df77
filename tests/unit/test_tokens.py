"""Which tokens are accepted: every pitfall of RFC 8725, and every claim the API stands on."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import assume, example, given
from hypothesis import strategies as st

from common.errors import PermanentError
from workflows.triggers.routes import Role
from workflows.triggers.tokens import (
    LEEWAY_SECONDS,
    MAX_TOKEN_CHARACTERS,
    Caller,
    RefusedTokenError,
    SigningKey,
    UnknownKeyError,
    UnusableKeyError,
    verify,
)

ISSUER = "https://identity.example"
AUDIENCE = "performance-calculator"
CURRENT = SigningKey("version-2", b"the current secret, of 32 bytes or more")
PREVIOUS = SigningKey("version-1", b"the previous secret, of 32 bytes or more")
RETIRED = SigningKey("version-0", b"the retired secret, of 32 bytes or more")
KEYS = (CURRENT, PREVIOUS)
ABSENT = object()
# So far from the leeway's end that no slow machine reaches it.
MARGIN = LEEWAY_SECONDS / 2


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).timestamp()
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": int(now) - 60,
        "exp": int(now) + 3600,
        "client_id": "acme",
        "role": "operator",
    }
    return {name: value for name, value in (said | changes).items() if value is not ABSENT}


def signed(
    payload: Mapping[str, Any] | None = None,
    key: SigningKey = CURRENT,
    *,
    alg: str = "HS256",
    header: Mapping[str, Any] | None = None,
) -> str:
    return jwt.encode(claims() if payload is None else dict(payload), key.secret, alg, dict(header or {}))


def forged(header: object, payload: object, secret: bytes = CURRENT.secret) -> str:
    """Sign by hand what no library would."""
    signing_input = f"{segment(header)}.{segment(payload)}"
    signature = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{encoded(signature)}"


def segment(document: object) -> str:
    return encoded(document if isinstance(document, bytes) else json.dumps(document).encode())


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def accepted(token: str, keys: tuple[SigningKey, ...] = KEYS) -> Caller:
    return verify(token, keys, ISSUER, AUDIENCE)


def refused(token: str, keys: tuple[SigningKey, ...] = KEYS) -> str:
    with pytest.raises(RefusedTokenError) as caught:
        verify(token, keys, ISSUER, AUDIENCE)
    reason = str(caught.value)
    assert not any(part in reason for part in token.split(".") if len(part) > 12)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return reason


@pytest.fixture(scope="session")
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def public_pem(rsa_key: RSAPrivateKey) -> bytes:
    return rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_a_good_token_speaks_for_its_caller() -> None:
    assert accepted(signed()) == Caller("ada", Role.OPERATOR, "acme")


def test_a_refusal_is_permanent() -> None:
    assert issubclass(RefusedTokenError, PermanentError)
    assert issubclass(UnusableKeyError, PermanentError)
    assert not issubclass(UnusableKeyError, RefusedTokenError)


# Keys


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.key_id)
@pytest.mark.parametrize("named", [True, False])
def test_either_live_key_is_accepted_named_or_not(key: SigningKey, named: bool) -> None:
    assert accepted(signed(key=key, header={"kid": key.key_id} if named else None)).subject == "ada"


@pytest.mark.parametrize("header", [{}, {"kid": RETIRED.key_id}])
def test_a_retired_key_is_no_longer_known(header: dict[str, str]) -> None:
    with pytest.raises(UnknownKeyError):
        accepted(signed(key=RETIRED, header=header))


@pytest.mark.parametrize("kid", ["version-3", "", "../../dev/null", "' or 1=1 --", "VERSION-2"])
def test_an_unknown_kid_is_refused_although_the_signature_is_good(kid: str) -> None:
    with pytest.raises(UnknownKeyError):
        accepted(signed(header={"kid": kid}))


def test_a_token_is_held_against_the_key_it_names_alone() -> None:
    with pytest.raises(RefusedTokenError, match="not signed with the key it names") as caught:
        accepted(signed(key=PREVIOUS, header={"kid": CURRENT.key_id}))
    assert not isinstance(caught.value, UnknownKeyError)  # a version never changes: to read it again would not help


@pytest.mark.parametrize("kid", [None, 7, ["version-2"], {}])
def test_a_kid_that_is_no_text_is_refused(kid: object) -> None:
    refused(forged({"alg": "HS256", "kid": kid}, claims()))


def test_without_keys_no_token_is_good() -> None:
    with pytest.raises(UnknownKeyError):
        accepted(signed(), ())


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_key_shorter_than_its_hash_is_an_error_of_the_deployment(length: int) -> None:
    with pytest.raises(UnusableKeyError, match=f"has {length} bytes; HS256 needs at least 32"):
        SigningKey("version-2", b"x" * length)
    assert SigningKey("version-2", b"x" * 32).secret == b"x" * 32


def test_the_public_half_of_a_key_pair_is_no_secret(public_pem: bytes) -> None:
    with pytest.raises(UnusableKeyError, match="is not a secret"):
        SigningKey("version-2", public_pem)


def test_a_key_does_not_show_its_secret() -> None:
    assert "secret" not in repr(CURRENT)
    assert CURRENT.secret.decode() not in f"{CURRENT} {CURRENT!r} {KEYS}"


# Algorithms and headers


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", ""])
@pytest.mark.parametrize("signature", ["", "AAAA", encoded(b"\0" * 32)])
def test_an_unsigned_token_is_refused(alg: str, signature: str) -> None:
    reason = refused(f"{segment({'alg': alg, 'typ': 'JWT'})}.{segment(claims())}.{signature}")
    assert reason == "the token's algorithm is not HS256"


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_another_hash_is_refused_although_the_key_is_right(alg: str) -> None:
    long = SigningKey("version-2", b"x" * 64)
    assert refused(signed(key=long, alg=alg), (long,)) == "the token's algorithm is not HS256"


@pytest.mark.parametrize("alg", [None, 256, ["HS256"], {"HS256": 1}, "hs256", "HS256 "])
def test_an_algorithm_that_is_not_literally_hs256_is_refused(alg: object) -> None:
    assert refused(forged({"alg": alg}, claims())) == "the token's algorithm is not HS256"


def test_a_token_without_an_algorithm_is_refused() -> None:
    assert refused(forged({"typ": "JWT"}, claims())) == "the token's algorithm is not HS256"


def test_a_token_of_a_key_pair_is_refused(rsa_key: RSAPrivateKey) -> None:
    token = jwt.encode(claims(), rsa_key, algorithm="RS256")
    assert refused(token) == "the token's algorithm is not HS256"


def test_a_public_key_used_as_a_secret_signs_nothing(public_pem: bytes) -> None:
    with pytest.raises(UnknownKeyError):
        accepted(forged({"alg": "HS256", "typ": "JWT"}, claims(), public_pem))


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/chain"},
        {"jwk": {"kty": "oct", "k": encoded(CURRENT.secret)}},
        {"x5c": ["MIIB"]},
        {"jku": None},
    ],
    ids=lambda header: next(iter(header)),
)
def test_a_token_that_brings_its_own_key_is_refused_although_the_signature_is_good(header: dict[str, Any]) -> None:
    assert refused(forged({"alg": "HS256", **header}, claims())) == f"the token's header has {next(iter(header))}"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": None},
        {"b64": False},
    ],
)
def test_a_token_with_an_extension_is_refused(header: dict[str, Any]) -> None:
    refused(forged({"alg": "HS256", **header}, claims()))


def test_headers_that_mean_nothing_here_are_left_alone() -> None:
    assert accepted(signed(header={"typ": "at+jwt", "x5t": "c2hh"})).subject == "ada"


# Form


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "not a token",
        "é.é.é",
        "\ud800.a.b",
        "a.b.c\n",
        f"{segment({'alg': 'HS256'})}..",
        f"{segment([])}.{segment({})}.AAAA",
        f"{segment(b'{')}.{segment({})}.AAAA",
        f"{segment(bytes([255, 254, 0]))}.{segment({})}.AAAA",
        f"A.{segment({})}.AAAA",
        f"{encoded(b'[' * 5_000)}.{segment({})}.AAAA",
        f"{encoded(b'9' * 5_000)}.{segment({})}.AAAA",
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("payload", [[], "text", 7, None, b"", b"{", b"\xff\xfe", b"[" * 4_000])
def test_a_signed_payload_that_is_no_object_is_refused(payload: object) -> None:
    refused(forged({"alg": "HS256"}, payload))


def test_a_tampered_payload_is_refused() -> None:
    header, _, signature = signed().split(".")
    with pytest.raises(UnknownKeyError):
        accepted(f"{header}.{segment(claims(client_id='victim'))}.{signature}")


def test_a_tampered_header_is_refused() -> None:
    _, payload, signature = signed().split(".")
    with pytest.raises(RefusedTokenError, match="not signed with the key it names"):
        accepted(f"{segment({'alg': 'HS256', 'kid': CURRENT.key_id})}.{payload}.{signature}")


@pytest.mark.parametrize("cut", [0, 1, 10, 42])
def test_a_shortened_signature_is_refused(cut: int) -> None:
    head, _, signature = signed().rpartition(".")
    refused(f"{head}.{signature[:cut]}")


def test_a_token_that_is_too_long_is_refused_unread() -> None:
    fitting = signed(claims(note="x" * 5_000))
    assert len(fitting) < MAX_TOKEN_CHARACTERS
    assert accepted(fitting).subject == "ada"
    assert refused(signed(claims(note="x" * 7_000))).endswith(f"characters, of at most {MAX_TOKEN_CHARACTERS}")
    assert refused("x" * 10_000_000) == f"the token has 10000000 characters, of at most {MAX_TOKEN_CHARACTERS}"


# Times


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": -LEEWAY_SECONDS - MARGIN}, "the token has expired"),
        ({"exp": -86_400}, "the token has expired"),
        ({"nbf": LEEWAY_SECONDS + MARGIN}, "the token is not valid yet"),
        ({"iat": LEEWAY_SECONDS + MARGIN}, "the token is not valid yet"),
    ],
)
def test_a_token_out_of_its_time_is_refused(changes: dict[str, float], reason: str) -> None:
    now = datetime.now(UTC).timestamp()
    assert refused(signed(claims(**{name: now + seconds for name, seconds in changes.items()}))) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": -LEEWAY_SECONDS + MARGIN},
        {"nbf": LEEWAY_SECONDS - MARGIN},
        {"iat": LEEWAY_SECONDS - MARGIN},
        {"nbf": -60},
    ],
)
def test_a_clock_may_be_off_by_the_leeway(changes: dict[str, float]) -> None:
    now = datetime.now(UTC).timestamp()
    assert accepted(signed(claims(**{name: now + seconds for name, seconds in changes.items()}))).subject == "ada"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["soon", True, [], {}, "4102444800", float("inf"), float("-inf"), float("nan")])
def test_a_time_that_is_no_number_is_refused(name: str, value: object) -> None:
    refused(signed(claims(**{name: value})))


def test_a_time_may_have_a_fraction() -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).timestamp()
    assert accepted(signed(claims(exp=int(later) + 0.5))).subject == "ada"


# Claims


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat"])
@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_a_registered_claim_that_is_missing_is_told(name: str, value: object) -> None:
    payload = claims(**{name: value})
    assert refused(forged({"alg": "HS256"}, payload)) == f"the token has no {name}"


@pytest.mark.parametrize("issuer", ["", "https://identity.example/", "HTTPS://IDENTITY.EXAMPLE", "other"])
def test_another_issuer_is_refused(issuer: str) -> None:
    assert refused(signed(claims(iss=issuer))) == "the token is another issuer's"


@pytest.mark.parametrize("issuer", [[ISSUER], {ISSUER: 1}, 7, True])
def test_an_issuer_that_is_no_text_is_refused(issuer: object) -> None:
    assert refused(forged({"alg": "HS256"}, claims(iss=issuer))) == "the token is another issuer's"


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
def test_the_audience_may_be_one_of_several(audience: object) -> None:
    assert accepted(signed(claims(aud=audience))).subject == "ada"


@pytest.mark.parametrize(
    "audience", ["other", "performance", f"{AUDIENCE} ", ["other"], [AUDIENCE, 7], {AUDIENCE: 1}, 7, True]
)
def test_another_audience_is_refused(audience: object) -> None:
    assert refused(signed(claims(aud=audience))) == "the token is for another audience"


@pytest.mark.parametrize("audience", ["", [], {}, 0, False])
def test_an_empty_audience_is_none(audience: object) -> None:
    assert refused(signed(claims(aud=audience))) == "the token has no aud"


@pytest.mark.parametrize("subject", ["", 7, ["ada"], "a" * 256, "ada\nrole: admin", "ada\x1b[2J", "adä"])
def test_a_subject_that_is_none_is_refused(subject: object) -> None:
    refused(forged({"alg": "HS256"}, claims(sub=subject)))


@pytest.mark.parametrize(
    "role", [ABSENT, None, "", "Admin", "ADMIN", "admin ", "root", ["admin"], ["reader", "admin"], 2, True]
)
def test_a_role_that_is_none_is_refused(role: object) -> None:
    assert "role" in refused(forged({"alg": "HS256"}, claims(role=role)))


@pytest.mark.parametrize("role", list(Role))
def test_every_role_is_known(role: Role) -> None:
    assert accepted(signed(claims(role=role.value))) == Caller("ada", role, "acme")


@pytest.mark.parametrize("role", [Role.READER, Role.OPERATOR])
@pytest.mark.parametrize("client_id", [ABSENT, None])
def test_a_client_may_be_missing_for_an_admin_alone(role: Role, client_id: object) -> None:
    reason = refused(signed(claims(role=role.value, client_id=client_id)))
    assert reason.endswith("client_id is missing, which only an admin may do without")
    assert accepted(signed(claims(role="admin", client_id=client_id))) == Caller("ada", Role.ADMIN, None)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    "client_id", ["", "acme/../victim", "acme#1", "a b", "acme\n", "a" * 65, 7, True, ["acme"], {}]
)
def test_a_client_that_is_none_is_refused_whatever_the_role(role: Role, client_id: object) -> None:
    assert "client_id" in refused(signed(claims(role=role.value, client_id=client_id)))


def test_a_reason_quotes_nothing_of_the_token() -> None:
    mark = "q7x9-chosen-by-an-attacker"
    for payload in (
        claims(role=mark),
        claims(client_id=f"{mark}#"),
        claims(sub=f"{mark}\n"),
        claims(iss=mark),
        claims(aud=mark),
        claims(exp=mark),
    ):
        assert mark not in refused(signed(payload))
    for header in ({"jku": mark}, {"crit": [mark]}, {"kid": mark}, {"alg": mark}):
        assert mark not in refused(forged({"alg": "HS256"} | header, claims()))


# Anything at all

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_characters = st.characters(exclude_categories=())


@given(st.text(_characters) | st.binary().map(lambda content: content.decode("latin-1")))
@example("\x00")
def test_no_text_at_all_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(RefusedTokenError):
        accepted(text)


@given(st.lists(st.text("eyJAhbGci0_-=", max_size=40), min_size=2, max_size=4).map(".".join))
def test_no_near_token_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(RefusedTokenError):
        accepted(text)


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x"]), _json) | _json)
def test_no_header_does_more_than_be_refused(header: object) -> None:
    token = forged(header, claims(role="nobody"))
    with pytest.raises(RefusedTokenError):
        accepted(token)


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "role", "client_id", "jti"]), _json))
def test_no_claims_do_more_than_be_refused(changes: dict[str, Any]) -> None:
    token = forged({"alg": "HS256"}, claims() | changes)
    try:
        caller = accepted(token)
    except RefusedTokenError:
        return
    assert caller.subject == changes.get("sub", "ada")
    assert caller.role == changes.get("role", Role.OPERATOR)
    assert caller.client_id == changes.get("client_id", "acme")


def test_no_changed_character_is_accepted() -> None:
    token = signed()  # one for all examples: with the next second its characters are others

    @given(st.integers(0, len(token) - 1), st.sampled_from("ABCxyz019_-."))
    def changed(place: int, other: str) -> None:
        assume(other != token[place])
        with pytest.raises(RefusedTokenError):
            accepted(token[:place] + other + token[place + 1 :])

    changed()
