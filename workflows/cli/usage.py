"""How commands are explained and what they take: help that a terminal of 80 columns shows well, and days."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import typer
from pydantic_core import PydanticCustomError
from typer.core import TyperArgument, TyperGroup, TyperOption

from common.models.faults import in_words
from common.models.fields import parse_date


class PlainGroup(TyperGroup):
    """Explains its commands without the types of Python: `<bool>` beside a flag, `<list[str]>` beside an argument.

    A paragraph of a docstring is folded by the width of the terminal, not where the source has its lines end.
    """

    def get_params(self, ctx: Any) -> Any:
        """Return the options of the group itself."""
        return _plain(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: Any) -> Any:
        """Take the options of the group itself."""
        with _in_words():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command of the group, which takes its options first."""
        with _in_words():
            return super().invoke(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of the group by its name."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _plain(command.get_params(ctx))
            command.help = "\n\n".join(" ".join(each.split()) for each in (command.help or "").split("\n\n"))
        return command


@contextmanager
def _in_words() -> Iterator[None]:
    """Tell what is wrong with an option without the words of the library that has found it."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = in_words(error.message)
        raise


def _plain(params: Iterable[Any]) -> Iterable[Any]:
    for param in params:
        if isinstance(param, TyperArgument):
            # Its `metavar` is its name; typer has no setting for what stands beside it.
            param.display_type_rich = lambda ctx: None  # type: ignore[method-assign]  # noqa: ARG005 - its signature
        elif isinstance(param, TyperOption) and param.is_bool_flag and param.metavar is None:
            param.metavar = ""
    return params


def examples(*commands: str, then: str = "") -> str:
    """Return what the help of a command ends with: command lines to try, and what else is to be said."""
    lines = "\n".join(f"  {each}" for each in commands)
    # The line end before it keeps the indentation, which would be taken away from what follows a first line.
    return f"\n{'Examples' if len(commands) > 1 else 'Example'}:\n{lines}" + (f"\n\n{then}" if then else "")


def parse_day(text: str) -> date:
    """Return the day that an option names."""
    try:
        return parse_date(text)
    except PydanticCustomError as error:
        raise typer.BadParameter(f"{text!r} {error.message()}.") from None
