"""A training of an experiment: its recipe beside its folder, begun or gone on with."""

from __future__ import annotations

from pathlib import Path

from digitspot.config import Config, config_to_yaml, load_recipe
from digitspot.errors import ConfigError
from digitspot.experiments.overrides import differences
from digitspot.files import writing_whole
from digitspot.training.runlog import Run


def recipe_beside(run: Path) -> Path:
    """Return where the recipe of a run is kept."""
    return run.with_name(f"{run.name}.yaml")


def check_recipe(run: Path, config: Config, what: str) -> None:
    """See that a run, where it is begun, has the settings that it should have.

    Args:
        run: Its folder.
        config: What it should be trained with.
        what: The experiment, for the message.

    Raises:
        ConfigError: It has others.
    """
    recipe = recipe_beside(run)
    changed = differences(load_recipe(recipe), config) if recipe.exists() else {}
    if changed:
        name, (before, now) = next(iter(changed.items()))
        raise ConfigError(
            f"{run} was trained with {name} {before!r}, and the {what} now says {now!r}",
            hint=f"Choose another --output, or remove {run}* and what was made with it.",
        )


def begin_or_resume(run: Path, config: Config, data: Path) -> list[str]:
    """Write a training's recipe; return the arguments of `digitspot` that begin it or go on with it."""
    with writing_whole(recipe_beside(run)) as file:
        file.write(config_to_yaml(config))
    if Run(run).started:
        return ["train", "--resume", str(run), "--data", str(data)]
    return ["train", str(recipe_beside(run)), "--data", str(data), "--output", str(run)]
