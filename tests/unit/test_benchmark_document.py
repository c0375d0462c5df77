"""What `make bench` writes: into its places, and nowhere else."""

from pathlib import Path

import pytest
from rich.table import Table

from tests.benchmarks.__main__ import SUBJECTS
from tests.benchmarks.document import DOCUMENT, markdown, write


def table() -> Table:
    made = Table("What", "Takes", "Ratio")
    made.add_row("a | b", "1.5 ms", "2.00x")
    made.add_row("c", "", "<1x")
    return made


def test_every_subject_has_a_place_in_the_document() -> None:
    text = DOCUMENT.read_text()
    assert {subject for subject in SUBJECTS if f"<!-- bench: {subject} -->" in text} == SUBJECTS.keys()


def test_numbers_stand_to_the_right() -> None:
    assert markdown(table()).splitlines() == [
        "| What | Takes | Ratio |",
        "| --- | --: | --: |",
        "| a \\| b | 1.5 ms | 2.00x |",
        "| c |  | <1x |",
    ]


def test_a_subject_is_written_into_its_place_alone(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text(
        "before\n<!-- bench: one -->\nold\n<!-- end -->\n<!-- bench: two -->\nkept\n<!-- end -->\nafter\n"
    )
    write("one", [table()], document)
    text = document.read_text()
    assert "old" not in text
    assert text.startswith("before\n<!-- bench: one -->\n\n| What |")
    assert text.endswith("<!-- end -->\n<!-- bench: two -->\nkept\n<!-- end -->\nafter\n")
    with pytest.raises(ValueError, match="no place for three"):
        write("three", [table()], document)
