"""A table, for a terminal and for a document."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings.

    Attributes
    ----------
    title
    columns
        The first is left-aligned, as are those whose name ends in a space; the others are right-aligned.
    rows
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return it as Markdown, without its title."""
        rules = ["---" if self._left(number) else "--:" for number in range(len(self.columns))]
        lines = [self.columns, rules, *self.rows]
        return "\n".join(f"| {' | '.join(each.strip() for each in line)} |" for line in lines)

    def rich(self) -> RichTable:
        """Return it for a terminal."""
        table = RichTable(title=self.title, title_justify="left")
        for number, name in enumerate(self.columns):
            table.add_column(name.strip(), justify="left" if self._left(number) else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def _left(self, number: int) -> bool:
        return number == 0 or self.columns[number].endswith(" ")


def usd(value: float) -> str:
    """Return an amount, small ones to a hundredth of a cent."""
    if value == 0.0:
        return ""
    return f"{value:,.2f}" if value >= 0.01 else f"{value:.4f}"


def duration(seconds: float) -> str:
    """Return a duration as it is spoken of."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def percent(part: float) -> str:
    """Return a part of a whole."""
    return f"{part:.0%}".replace("%", " %")


def listed(names: Iterable[str]) -> str:
    """Return names in a row."""
    return ", ".join(names)
