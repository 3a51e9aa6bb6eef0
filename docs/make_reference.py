"""Write docs/reference.md from the code: `python docs/make_reference.py`. A test compares the two."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from math import inf
from pathlib import Path
from typing import Any

from digitspot.cli import COMMANDS
from digitspot.config import Config, settings
from digitspot.config.checks import COUNT, NEEDS, RANGES

DOCS = Path(__file__).parent


def reference() -> str:
    """Return the page."""
    lines = [
        "# Reference",
        "",
        "Made from the code by `python docs/make_reference.py`. `digitspot COMMAND --help` says more.",
        "",
        "## Commands",
        "",
        "| command | what it does |",
        "| --- | --- |",
        *(f"| `digitspot {name}` | {what} |" for name, what in COMMANDS.items()),
        "",
        "## Recipes",
        "",
        *(f"- `recipes/{path.name}`: {first_comment(path)}" for path in recipes()),
        "",
        "## Settings of a recipe",
        "",
        "Write a setting into a recipe, or give it as a flag: `--train.batch-size 32`. A setting that has no",
        "effect with the others is refused; `needs` says which other setting decides.",
        "",
    ]
    for section in dataclasses.fields(Config):
        kind = type(section.default_factory())  # type: ignore[misc]
        lines += [f"### {section.name}", "", str(kind.__doc__), ""]
        lines += ["| setting | default | range | needs | meaning |", "| --- | --- | --- | --- | --- |"]
        lines += [row(section.name, field, help_of(kind)[field.name]) for field in dataclasses.fields(kind)]
        lines += [""]
    return "\n".join(lines)


def row(section: str, field: dataclasses.Field[Any], meaning: str) -> str:
    """Return a setting's line in the table."""
    name = f"{section}.{field.name}"
    needs = ", ".join(dict.fromkeys(f"`{need.setting}`" for need in NEEDS.get(name, ())))
    return f"| `{field.name}` | {default_of(field)} | {range_of(name, field)} | {needs} | {meaning} |"


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
        return (
            ", ".join(each.strip(" \"'") for each in kind[8:-1].split(","))
            if kind.startswith("Literal")
            else ""
        )
    low, high = RANGES[name]
    return f"{low:g} or more" if high in (COUNT[1], inf) or high > 1e20 else f"{low:g} to {high:g}"


def help_of(kind: type) -> dict[str, str]:
    """Return the attribute docstrings of a dataclass."""
    [tree] = [
        node
        for node in ast.parse(inspect.getsource(settings)).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    ]
    found = {}
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            found[ast.unparse(node.target)] = " ".join(ast.literal_eval(after.value).split()).replace(
                "|", "\\|"
            )
    return found


def recipes() -> list[Path]:
    """Return the recipes."""
    return sorted((DOCS.parent / "recipes").glob("*.yaml"))


def first_comment(path: Path) -> str:
    """Return the comment that a recipe begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(
        line[1:].strip() for line in lines[: next(i for i, each in enumerate(lines) if each[:1] != "#")]
    )


if __name__ == "__main__":
    (DOCS / "reference.md").write_text(reference(), encoding="utf-8")
