"""Options from arguments, and results on stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from digitspot.commands.help import ALL, FLAGS, help_of
from digitspot.files import printable

Options = TypeVar("Options")


def parse(
    cls: type[Options],
    command: str,
    arguments: Sequence[str],
    default: Options | None = None,
    *,
    named: Sequence[type] = (),
    takes_none: bool = False,
) -> Options:
    """Fill a dataclass of options; a wrong one exits with code 2 and names the nearest.

    Args:
        cls: The dataclass; attribute docstrings are the help.
        command: For messages.
        arguments: What follows the command.
        default: Takes the place of the dataclass's own defaults.
        named: Base classes whose options `--help` only names.
        takes_none: Whether None can be given, which undoes what a recipe says.
    """
    if any(flag in arguments for flag in FLAGS):
        print(help_of(cls, command, named, everything=ALL in arguments))
        raise SystemExit
    options: Options = tyro.cli(
        cls,
        prog=f"digitspot {command}",
        args=list(arguments),
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.FlagCreatePairsOff, *(() if takes_none else (tyro.conf.DisallowNone,))),
    )
    return options


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout; control characters, as in file names, are shown as escapes."""
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console = Console()
    console.print(f"[bold]{escape(printable(title))}[/]", soft_wrap=True)
    console.print(table)


def print_list(title: str, items: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print heads with indented lines below each, for texts that a table would break into narrow columns."""
    console = Console(highlight=False)
    whole = not console.is_terminal  # a line stays a line in a pipe
    console.print(f"[bold]{escape(printable(title))}[/]", soft_wrap=True)
    for head, lines in items:
        console.print(escape(printable(head)), soft_wrap=True)
        for line in lines:
            text = escape(printable(line))
            console.print(f"  {text}" if whole else Padding(text, (0, 0, 0, 2)), soft_wrap=whole)


def print_json(document: Any) -> None:
    """Print JSON to stdout."""
    print(json.dumps(document, indent=1))
