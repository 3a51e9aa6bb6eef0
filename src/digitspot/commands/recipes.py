"""`digitspot recipes`: the recipes, ablations and tunings that can be used by their name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse, print_table
from digitspot.config import find_recipe, known_recipes
from digitspot.errors import ConfigError

FOLDERS = {"train": "", "ablate": "ablations", "tune": "tune"}
"""Where the recipes of each command are."""


@dataclass(frozen=True, kw_only=True)
class RecipesOptions:
    """List what `train`, `ablate` and `tune` take by name, or print one, to be changed.

    digitspot recipes
    digitspot recipes nano > mine.yaml
    digitspot recipes dropout --command ablate
    """

    name: Annotated[str | None, tyro.conf.Positional] = None
    """The recipe to print."""
    command: str = "train"
    """Whose recipe it is: train, ablate or tune."""


def run(arguments: list[str]) -> None:
    """List recipes, or print one."""
    options = parse(RecipesOptions, "recipes", arguments)
    if options.command not in FOLDERS:
        raise ConfigError(f"--command is {options.command!r}", hint=f"One of: {', '.join(FOLDERS)}.")
    folder = FOLDERS[options.command]
    if options.name is not None:
        if options.name not in known_recipes(folder):
            raise ConfigError(
                f"`digitspot {options.command}` has no recipe {options.name!r}",
                hint=f"It has {', '.join(known_recipes(folder))}.",
            )
        print(find_recipe(Path(options.name), folder).read_text(encoding="utf-8"), end="")
        return
    rows = [
        (f"digitspot {command} {name}", _first_sentence(find_recipe(Path(name), where)))
        for command, where in FOLDERS.items()
        for name in known_recipes(where)
    ]
    print_table("recipes by name", ("command", "what it is"), rows)


def _first_sentence(path: Path) -> str:
    """Return the beginning of the comment that a recipe begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line[1:].strip() for line in lines if line.startswith("#"))
    return comment.partition(". ")[0].rstrip(".") + "."
