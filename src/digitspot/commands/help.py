"""The help of a command, on one screen: its own options explained, those it shares with others named."""

from __future__ import annotations

import ast
import inspect
import io
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

import tyro

ALL = "--help-all"
FLAGS = ("-h", "--help", ALL)
MAX_WIDTH = 100
"""Longer lines are hard to read, however wide the terminal is."""
SAYS_NOTHING = ("None", "False", "")
"""Defaults that need no words."""


def help_of(cls: type, command: str, named: Sequence[type], everything: bool) -> str:
    """Return how a command is used, what it does, examples, and its options.

    Args:
        cls: The dataclass of options; its docstring says what the command does, with examples.
        command: Its name.
        named: Base classes whose options are named only, unless everything is asked for.
        everything: Whether `--help-all` was given.
    """
    width = min(MAX_WIDTH, shutil.get_terminal_size().columns)
    text, examples = text_and_examples(cls)
    hidden = () if everything else named
    parts = [
        f"usage: digitspot {command} {' '.join(_positionals(cls))} [options]".replace("  ", " "),
        *(textwrap.fill(paragraph, width, break_on_hyphens=False) for paragraph in text),
        "\n".join(_indented("examples:", examples)),
        "\n".join([_boxes(cls, command, hidden), *(_named(base, width) for base in hidden)]),
    ]
    if hidden:
        parts.append(f"`digitspot {command} {ALL}` explains these, too.")
    return "\n\n".join(parts)


def overview(command: str, title: str, about: Mapping[str, str], examples: Sequence[str]) -> str:
    """Return the help of a command that has subcommands."""
    width = max(map(len, about))
    return "\n".join(
        [
            f"usage: {command} COMMAND [options]",
            "",
            title,
            "",
            *_indented("examples:", examples),
            "",
            *_indented("commands:", [f"{name:<{width}}  {what}" for name, what in about.items()]),
            "",
            f"`{command} COMMAND --help` explains each.",
        ]
    )


def text_and_examples(cls: type) -> tuple[list[str], list[str]]:
    """Return the paragraphs of a docstring, and the commands in it."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    examples = [line for line in lines if line.startswith("digitspot ")]
    text = "\n".join(line for line in lines if line not in examples)
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()], examples


def attribute_docstrings(cls: type) -> dict[str, str]:
    """Return the text below each attribute of a dataclass and of its bases, each as one line."""
    found: dict[str, str] = {}
    for base in filter(is_dataclass, cls.__mro__):
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for node, after in pairwise(tree.body):
            if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
                found.setdefault(ast.unparse(node.target), " ".join(ast.literal_eval(after.value).split()))
    return found


def _indented(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)]


def _boxes(cls: type, command: str, hidden: Sequence[type]) -> str:
    """Return the options in tyro's boxes, in colour on a terminal."""
    drawn = _LikeStdout()
    with redirect_stdout(drawn), suppress(SystemExit):
        tyro.cli(
            _for_help(cls, hidden),
            prog=f"digitspot {command}",
            args=["--help"],
            description="",
            config=(
                tyro.conf.FlagCreatePairsOff,
                tyro.conf.DisallowNone,
                tyro.conf.PositionalMetavarFromFieldName,
            ),
        )
    return drawn.getvalue().partition("\n\n")[2].strip()  # without its usage


class _LikeStdout(io.StringIO):
    """Text that tyro draws for the stdout that there is: in its encoding, in colour on a terminal."""

    encoding = sys.stdout.encoding

    def isatty(self) -> bool:
        return sys.__stdout__ is not None and sys.__stdout__.isatty()


def _positionals(cls: type) -> Iterator[str]:
    """Yield the names of what stands without a flag, as `RECIPE`, `[RECIPE]` or `IMAGES...`."""
    hints = get_type_hints(cls, include_extras=True)
    for each in fields(cls):
        if tyro.conf.Positional[Any].__metadata__[0] in getattr(hints[each.name], "__metadata__", ()):  # type: ignore[misc]
            name = each.name.upper()
            if "tuple" in str(each.type):
                yield f"{name}..."
            else:
                yield name if each.default is MISSING else f"[{name}]"


def _for_help(cls: type, hidden: Sequence[type]) -> type:
    """Return the options as the help shows them: some left out, no default that says nothing."""
    names = {name for base in hidden for name in base.__annotations__}
    hints, texts = get_type_hints(cls, include_extras=True), attribute_docstrings(cls)
    shown = []
    for each in fields(cls):
        how = tyro.conf.arg(help=texts.get(each.name), help_behavior_hint=_default)
        hint: Any = Annotated[hints[each.name], how]
        if each.name in names:
            hint = Annotated[hint, tyro.conf.Suppress]
        shown.append((each.name, hint, _like(each)))
    return make_dataclass(cls.__name__, shown, bases=(cls,), frozen=True, kw_only=True)


def _like(each: Field[Any]) -> Any:
    if each.default_factory is not MISSING:
        return field(default_factory=each.default_factory)
    return field(default=each.default)


def _default(value: str) -> str:
    return "" if value in SAYS_NOTHING else f"(default: {value})"


def _named(base: type, width: int) -> str:
    """Return the flags of a base class after its docstring; of a section, how many settings it has."""
    hints = get_type_hints(base)
    flags = [
        f"--{name}.* ({len(fields(hints[name]))})" if is_dataclass(hints[name]) else f"--{name}"
        for name in base.__annotations__
    ]
    title = (base.__doc__ or "").splitlines()[0].rstrip(".")
    line = f"{title}: {', '.join(flags)}".replace("_", "-")
    return textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False)
