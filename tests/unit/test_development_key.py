"""The signing key of a data directory, the tokens signed with it, and the command that prints them."""

import os
import stat
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import jwt
import pytest

from workflows.cli import main
from workflows.local.development_key import (
    DEVELOPMENT_AUDIENCE,
    DEVELOPMENT_ISSUER,
    KEY_FILE,
    DevelopmentKeyError,
    development_key,
    mint,
)
from workflows.local.lock import DataDirectoryLock
from workflows.triggers.routes import Role
from workflows.triggers.tokens import Caller, RefusedTokenError, SigningKey, verify

FIXED = "a key that was set, of 32 bytes or more"

Run = Callable[..., tuple[int, str, str]]


def verified(token: str, key: str) -> Caller:
    return verify(token, [SigningKey("any", key.encode())], DEVELOPMENT_ISSUER, DEVELOPMENT_AUDIENCE)


def minted(key: str = FIXED, *, key_id: str | None = None, now: datetime | None = None) -> str:
    return mint(
        key,
        subject="ada",
        role=Role.READER,
        client_id="acme",
        issuer=DEVELOPMENT_ISSUER,
        audience=DEVELOPMENT_AUDIENCE,
        lifetime=timedelta(hours=8),
        key_id=key_id,
        now=now,
    )


# The key


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    key = development_key(tmp_path)
    assert len(key) == 64  # 48 bytes in base64
    assert development_key(tmp_path) == key
    assert development_key(tmp_path / "other") != key


def test_the_file_is_its_owner_s_alone_and_nothing_else_is_left(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        development_key(tmp_path / "new" / "data")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "new" / "data").iterdir()
    assert file.name == KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_nlink == 1


def test_of_many_that_make_a_key_at_once_all_have_the_same(tmp_path: Path) -> None:
    together = Barrier(8)

    def make(_: int) -> str:
        together.wait()
        return development_key(tmp_path)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(make, range(8)))) == 1
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]


def test_a_key_that_was_made_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = development_key(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda _: False)  # as a process saw it that was a moment too late
    assert development_key(tmp_path) == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_key_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    key = development_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(DevelopmentKeyError, match=rf"others \(mode {mode:o}\): remove it") as caught:
        development_key(tmp_path)
    assert key not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_that_its_owner_alone_may_read_is_taken(tmp_path: Path, mode: int) -> None:
    key = development_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    assert development_key(tmp_path) == key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds 0 bytes, and a key needs at least 32"),
        (b" \n" * 40, "holds 0 bytes"),
        (b"x" * 31 + b"\n", "holds 31 bytes"),
        (b"\xff" * 40, "holds no key"),
    ],
)
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / KEY_FILE
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(DevelopmentKeyError, match=f"{message}.*remove it, and a new"):
        development_key(tmp_path)
    assert file.read_bytes() == content


def test_a_key_that_is_set_leaves_no_file(tmp_path: Path) -> None:
    assert development_key(tmp_path / "data", FIXED) == FIXED
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("fixed", ["", "x" * 31, "é" * 15])
def test_a_key_that_is_set_too_short_is_refused(tmp_path: Path, fixed: str) -> None:
    with pytest.raises(DevelopmentKeyError, match="the key that is set holds"):
        development_key(tmp_path, fixed)


# The tokens


def test_a_minted_token_is_good_at_the_authorizer() -> None:
    assert verified(minted(), FIXED) == Caller("ada", Role.READER, "acme")


def test_a_minted_token_names_its_key_when_asked_to() -> None:
    assert "kid" not in jwt.get_unverified_header(minted())
    assert jwt.get_unverified_header(minted(key_id="version-1"))["kid"] == "version-1"


def test_a_minted_token_ends_after_its_lifetime() -> None:
    now = datetime.now(UTC)
    assert verified(minted(now=now - timedelta(hours=7)), FIXED).subject == "ada"
    with pytest.raises(RefusedTokenError, match="has expired"):
        verified(minted(now=now - timedelta(hours=9)), FIXED)


# The command


@pytest.fixture
def run(
    signal_handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Call `perfcalc` as the shell would, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERFCALC_DATA_DIR", raising=False)
    monkeypatch.delenv("PERFCALC_JWT_KEY", raising=False)

    def called(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["perfcalc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return called


def test_the_token_alone_is_printed_and_what_it_is_for_beside_it(run: Run, tmp_path: Path) -> None:
    code, out, err = run("token", "--client", "acme", "--role", "operator", "--subject", "ada")
    assert code == 0
    assert out.count("\n") == 1
    assert verified(out.strip(), development_key(tmp_path / ".perfcalc")) == Caller("ada", Role.OPERATOR, "acme")
    assert err == "operator of client acme, for 8 h, for `perfcalc serve` on this machine alone\n"


def test_a_token_is_printed_while_the_data_directory_is_in_use(run: Run, tmp_path: Path) -> None:
    with DataDirectoryLock(tmp_path):
        code, out, _ = run("token", "--client", "acme", "--role", "reader", "--data-dir", tmp_path)
    assert code == 0
    assert verified(out.strip(), development_key(tmp_path)).client_id == "acme"


def test_an_admin_needs_no_client(run: Run, tmp_path: Path) -> None:
    code, out, err = run("token", "--role", "admin", "--data-dir", tmp_path)
    assert code == 0
    assert verified(out.strip(), development_key(tmp_path)) == Caller("you", Role.ADMIN, None)
    assert "admin of every client" in err
    _, out, _ = run("token", "--role", "admin", "--client", "acme", "--data-dir", tmp_path)
    assert verified(out.strip(), development_key(tmp_path)).client_id == "acme"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--role", "reader"],
        ["--role", "operator"],
        ["--client", "acme"],
        ["--client", "acme", "--role", "root"],
        ["--client", "acme", "--role", "reader", "--hours", "0"],
        ["--client", "acme", "--role", "reader", "--hours", "99999999999"],
        ["--client", "../victim", "--role", "reader"],
        ["--client", "", "--role", "admin"],
        ["--client", "acme", "--role", "reader", "--subject", ""],
        ["--client", "acme", "--role", "reader", "--subject", "é"],
    ],
    ids=" ".join,
)
def test_a_token_that_could_not_be_used_is_a_usage_error(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = run("token", *arguments, "--data-dir", tmp_path)
    assert (code, out) == (2, "")
    assert "Usage:" in err


def test_a_missing_client_is_told_by_the_name_of_its_option(run: Run, tmp_path: Path) -> None:
    _, _, err = run("token", "--role", "operator", "--data-dir", tmp_path)
    assert "Invalid value for --client: is missing" in err


def test_the_hours_are_those_asked_for(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("token", "--role", "admin", "--hours", "3", "--data-dir", tmp_path)
    said = jwt.decode(out.strip(), options={"verify_signature": False})
    assert said["exp"] - said["iat"] == 3 * 3600


def test_a_key_that_is_set_signs_in_place_of_the_file_s(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFCALC_JWT_KEY", FIXED)
    _, out, _ = run("token", "--role", "admin", "--data-dir", tmp_path / "data")
    assert verified(out.strip(), FIXED).role is Role.ADMIN
    assert not (tmp_path / "data").exists()


def test_a_key_that_others_may_read_is_one_message(run: Run, tmp_path: Path) -> None:
    development_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    code, out, err = run("token", "--role", "admin", "--data-dir", tmp_path)
    assert (code, out) == (1, "")
    assert "may be read or changed by others" in err
    assert "Traceback" not in err
