"""How the commands explain themselves, and what they say of an option that is wrong."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.rich_utils
from botocore.exceptions import ClientError

from common.calculations import TransactionType
from common.errors import StoreError
from common.models.records import RecordKind
from common.stores.botocore_errors import typed_errors
from workflows.cli import main, reading
from workflows.cli.app import app

COMMANDS = [[], *([name] for name in typer.main.get_command(app).commands), ["cache", "warm"]]  # type: ignore[attr-defined]  # a group
WIDTHS = (80, 120)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    signal_handlers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Call `main` as the shell would, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments: str, width: int = 200) -> tuple[int, str, str]:
        monkeypatch.setattr(typer.rich_utils, "MAX_WIDTH", width)
        monkeypatch.setattr(sys, "argv", ["perfcalc", *arguments])
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return called


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_fits_and_has_no_types_of_python(run: Run, command: list[str], width: int) -> None:
    code, out, _ = run(*command, "--help", width=width)
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    assert not re.search("<(bool|str|int|path|list.*)>", out)
    assert "; the newest" not in out
    options = out.partition("Options")[2]
    # Nothing is folded within a word, such as <portfolio|account|securi ty>.
    assert not re.search(r"<[a-z|]+[^>a-z|]", options)


def test_the_top_level_speaks_of_its_own_options_alone(run: Run) -> None:
    _, out, _ = run("--help", width=80)
    assert "--data-dir" not in out


@pytest.mark.parametrize("width", WIDTHS)
def test_the_help_of_the_import_has_every_column_and_every_type_of_transaction(run: Run, width: int) -> None:
    _, out, _ = run("import", "--help", width=width)
    told = " ".join(out.partition("Kinds and their columns")[2].split())
    for kind in RecordKind:
        names = [name if name in kind.required else f"[{name}]" for name in kind.columns]
        assert f" {kind} {', '.join(names)}" in told
    types = told.partition("Types of transactions")[2]
    assert not [each for each in TransactionType if not re.search(rf"\b{each}\b", types)]
    # A line that is folded goes on below the columns, not below the name of the kind.
    (folded,) = [line for line in out.splitlines() if line.strip().startswith("[quantity]")]
    assert folded.index("[") == next(line for line in out.splitlines() if " transactions  " in line).index(
        "portfolio_id"
    )


def test_a_paragraph_is_folded_by_the_terminal_alone(run: Run) -> None:
    _, out, _ = run("import", "--help", width=200)
    assert "what the books have with another content is replaced. Importing again changes nothing." in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["results", "x", "--from", "01/02/2022"], "'--from': '01/02/2022' must be a date, YYYY-MM-DD."),
        (["holdings", "x", "--date", "2022-1-3"], "'--date': '2022-1-3' must be a date, YYYY-MM-DD."),
        (["cache", "warm", "--date", "1822-01-03"], "'--date': '1822-01-03' must lie between 1900 and 2199."),
        (["nightly", "--date", "x"], "'--date': 'x' must be a date, YYYY-MM-DD."),
        (["report", "x", "--date", "x"], "'--date': 'x' must be a date, YYYY-MM-DD."),
        (["results", "x", "--entity-type", "planet"], "'planet' is not one of 'portfolio', 'account', 'security'."),
        (["holdings", "x", "--entity-type", "security"], "'security' is not one of 'portfolio', 'account'."),
        (["serve", "--port", "many"], "'--port': must be a whole number"),
        (["run", "x", "--max-concurrency", "41"], "'--max-concurrency': must be less than or equal to 40"),
        (
            ["token", "--role", "reader", "--client", "a b"],
            "client_id: must have only visible ASCII characters",
        ),
    ],
)
def test_a_wrong_option_is_told_in_words(run: Run, arguments: list[str], expected: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert expected in err
    assert not re.search("Value error|should|%Y|\\^\\[", err)


class _Reader:
    def query(self, sql: str) -> Any:
        answer = {"Error": {"Code": "ValidationException", "Message": f"line 1:8: {sql} is no statement"}}
        with typed_errors("Timestream"):
            raise ClientError(answer, "Query")  # type: ignore[arg-type]  # as much of an answer as is read


class _Broken:
    def query(self, sql: str) -> Any:
        raise StoreError(f"no store for {sql}")


@pytest.mark.parametrize(
    ("reader", "expected"), [(_Reader(), "Timestream: line 1:8: x is no statement\n"), (_Broken(), "no store for x\n")]
)
def test_a_query_that_is_refused_is_told_in_the_words_of_the_service(
    run: Run, monkeypatch: pytest.MonkeyPatch, reader: object, expected: str
) -> None:
    @contextmanager
    def opened(data_dir: Path) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(time_series_reader=reader)

    monkeypatch.setattr(reading, "open_to_read", opened)
    assert run("query", "x") == (1, "", expected)
