"""Write docs/reference/ from the code: `python docs/make_reference.py`. A test compares the two."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import importlib
import inspect
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any
from unittest import mock

import tyro

from digitspot.cli import COMMANDS, run
from digitspot.config import Config, settings
from digitspot.config.checks import COUNT, NEEDS, RANGES
from digitspot.errors import ConfigError

DOCS = Path(__file__).parent
QUOTED = " \"'"
SECTIONS = tuple(field.name for field in dataclasses.fields(Config))


def pages() -> dict[str, str]:
    """Return the pages by the names of their files."""
    made = {"commands": commands(), "recipes": recipes(), "settings": settings_of_a_recipe()}
    return {f"{name}.md": "\n".join(lines) for name, lines in made.items()}


def commands() -> list[str]:
    """Return the page of all commands with their options."""
    lines = [
        "# Commands",
        "",
        "`digitspot --help` lists the commands. `--help` after a command explains it. `--debug` shows",
        "tracebacks, and `--version` the version.",
        "",
        "| command | what it does |",
        "| --- | --- |",
        *(f"| [`{name}`](#digitspot-{name}) | {what} |" for name, what in COMMANDS.items()),
        "",
        "Results go to stdout, everything for people to stderr.",
        "",
        "| exit code | meaning |",
        "| --- | --- |",
        *(f"| {code} | {meaning} |" for code, meaning in exit_codes()),
        "",
    ]
    for name in COMMANDS:
        below = subcommands(name)
        lines += [f"## digitspot {name}", ""]
        lines += [COMMANDS[name][0].upper() + COMMANDS[name][1:] + ".", ""] if below else described(name)
        for each in below:
            lines += [f"### digitspot {name} {each}", "", *described(name, each)]
    return lines


def exit_codes() -> list[tuple[str, str]]:
    """Return what the command line's own description says of them."""
    text = " ".join(str(inspect.getmodule(run).__doc__).split()).partition("Exit codes: ")[2]
    return [(code, meaning) for code, meaning in re.findall(r"(\d+) ([^,.]+)", text)]


def subcommands(name: str) -> list[str]:
    """Return the words that can follow a command."""
    with _given():
        try:
            importlib.import_module(f"digitspot.commands.{name}").run(["?"])
        except ConfigError as error:
            return str(error.hint).removeprefix("Commands: ").rstrip(".").split(", ")
    return []


@contextlib.contextmanager
def _given() -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Collect what commands give to tyro, which parses nothing."""
    given: list[tuple[Any, dict[str, Any]]] = []

    def parse(kind: Any, **options: Any) -> None:
        given.append((kind, options))
        raise SystemExit(0)

    with mock.patch.object(tyro, "cli", parse), contextlib.suppress(SystemExit):
        yield given


def described(*words: str) -> list[str]:
    """Return what the help of a command says: what it is for, examples and options."""
    with _given() as given:
        run(list(words))
    [(kind, options)] = given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = tyro.extras.get_parser(kind, config=options["config"])
    text = inspect.cleandoc(kind.__doc__).splitlines()
    examples = [line for line in text if line.startswith("digitspot ")]
    about = "\n".join(line for line in text if line not in examples).split("\n\n")
    lines = [line for part in about if part.strip() for line in (" ".join(part.split()), "")]
    if examples:
        lines += ["```bash", *examples, "```", ""]
    shown = [each for each in parser._actions if each.dest != "help" and not is_setting(each)]
    shown.sort(key=lambda each: bool(each.option_strings))  # arguments, then options
    for action in shown:
        lines += [*option(action, "-".join(words)), ""]
    if len(shown) + 1 < len(parser._actions):
        lines += ["All [settings of a recipe](settings.md) are options, too.", ""]
    return lines


def is_setting(action: argparse.Action) -> bool:
    """Return whether an option is a setting of a recipe."""
    return any(name.lstrip("-").split(".")[0] in SECTIONS for name in action.option_strings if "." in name)


def option(action: argparse.Action, command: str) -> list[str]:
    """Return an option as a term and its definition."""
    name = action.option_strings[0] if action.option_strings else ""
    meaning, _, default = (
        str(action.help).replace(" (required)", " (default: required)").partition(" (default: ")
    )
    default = default.removesuffix(")")
    kind = re.sub(r"\[(\w+) \[.*", r"\1 ...", str(action.metavar or "").replace("None}|", "}|"))
    kind = kind.replace("{}|", "").replace("{None,", "{")
    if not name:
        name, kind = action.dest.upper(), "..." if "..." in kind else ""
    term = f"`{f'{name} {kind}'.strip()}`"
    if default == "required":
        term += " required"
    elif default not in ("", "None", "False"):
        term += f" default `{default}`"
    return [f"{term} {{ #{command}-{name.strip('-').lower()} }}", f":   {plain(meaning)}"]


def plain(text: str) -> str:
    """Return text on one line, without what Markdown would take for its own."""
    text = " ".join(text.split())
    return re.sub(r"(?<!`)([*<\[]|\b_)", r"\\\1", text)


def recipes() -> list[str]:
    """Return the page of the recipes: what each reached, how, and the recipe itself."""
    lines = [
        "# Recipes",
        "",
        "A recipe is a YAML file of [settings](settings.md). Those below come with digitspot and have names.",
        "Their figures are among the [measurements](../measurements.md#accuracy). Give a name, or a file, to",
        "`digitspot train RECIPE --data DATA --output RUN`.",
        "",
    ]
    for path in sorted((DOCS.parent / "recipes").glob("*.yaml")):
        comment, recipe = divided(path.read_text(encoding="utf-8").replace(f"# {path.stem}: ", "# ", 1))
        lines += [f"## {path.stem}", "", *comment, f'??? note "{path.name}"', "", "    ```yaml"]
        lines += [*(f"    {line}".rstrip() for line in recipe), "    ```", ""]
    return lines


def divided(text: str) -> tuple[list[str], list[str]]:
    """Return a recipe's first comment as Markdown, and the recipe."""
    lines = text.splitlines()
    end = next(index for index, line in enumerate(lines) if line[:1] != "#")
    comment: list[str] = []
    for is_code, block in _runs(lines[:end], lambda line: line.startswith("#   ")):
        if is_code:
            comment += ["```bash", *(line[4:] for line in block), "```", ""]
        else:
            words = " ".join(line[1:].strip() for line in block)
            comment += [*textwrap.wrap(words[0].upper() + words[1:], 110), ""]
    return comment, lines[end:]


def _runs(lines: list[str], is_one: Callable[[str], bool]) -> list[tuple[bool, list[str]]]:
    """Divide lines where a property of them changes."""
    found: list[tuple[bool, list[str]]] = []
    for line in lines:
        if not found or found[-1][0] != is_one(line):
            found.append((is_one(line), []))
        found[-1][1].append(line)
    return found


def settings_of_a_recipe() -> list[str]:
    """Return the page of all settings."""
    lines = [
        "# Settings",
        "",
        "Write a setting into a recipe, or give it as a flag: `--train.batch-size 32`. A setting that has no",
        "effect with the others is refused; *needs* says which other setting decides.",
        "",
    ]
    for section in dataclasses.fields(Config):
        kind = type(section.default_factory())  # type: ignore[misc]
        lines += [f"## {section.name}", "", str(kind.__doc__), ""]
        for field in dataclasses.fields(kind):
            lines += [*setting(section.name, field, help_of(kind)[field.name]), ""]
    return lines


def setting(section: str, field: dataclasses.Field[Any], meaning: str) -> list[str]:
    """Return a setting as a term and its definition."""
    name = f"{section}.{field.name}"
    needs = ", ".join(dict.fromkeys(f"`{need.setting}`" for need in NEEDS.get(name, ())))
    facts = [f"default {default_of(field)}", range_of(name, field), f"needs {needs}" if needs else ""]
    return [
        f"`{name}` {'; '.join(filter(None, facts))} {{ #{name.replace('.', '-')} }}",
        f":   {plain(meaning)}",
    ]


def default_of(field: dataclasses.Field[Any]) -> str:
    """Return a default as a recipe has it."""
    value = field.default
    if value is None or value == ():
        return "none" if value is None else "empty"
    text = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
    return f"`{list(text) if isinstance(text, tuple) else text}`"


def range_of(name: str, field: dataclasses.Field[Any]) -> str:
    """Return the values that a setting may have."""
    if name not in RANGES:
        kind = str(field.type)
        if not kind.startswith("Literal"):
            return ""
        return "one of " + ", ".join(f"`{each.strip(QUOTED)}`" for each in kind[8:-1].split(","))
    low, high = RANGES[name]
    return f"{low:g} or more" if high in (COUNT[1], inf) or high > 1e20 else f"{low:g} to {high:g}"


def help_of(kind: type) -> dict[str, str]:
    """Return the attribute docstrings of a dataclass."""
    [tree] = [
        node
        for node in ast.parse(inspect.getsource(settings)).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    ]
    return {
        ast.unparse(node.target): ast.literal_eval(after.value)
        for node, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr)
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / "reference" / name).write_text(text, encoding="utf-8")
