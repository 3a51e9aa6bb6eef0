"""`digitspot train`: from a recipe, or going on with a run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse
from digitspot.config import (
    Config,
    check_config,
    drop_unused,
    load_recipe,
    settings_named_by,
    settings_named_in,
)
from digitspot.errors import ConfigError
from digitspot.progress import stderr
from digitspot.training.run import resume_training, start_training


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Config):
    """Train a detector; the best model is best.pt in the run folder.

    digitspot train recipes/resnet18_fpn.yaml --data DIR --output runs/mine
    digitspot train --resume runs/mine
    """

    recipe: Annotated[Path | None, tyro.conf.Positional] = None
    """A recipe (YAML); every setting below can be changed on top of it."""
    dataset: Annotated[Path | None, tyro.conf.arg(name="data")] = None
    """A data set in the homework's layout: train.json beside train/, valid.json beside valid/."""
    output: Path | None = None
    """The run folder, new."""
    resume: Path | None = None
    """Go on with the training in this run folder."""


def run(arguments: list[str]) -> None:
    """Train, or go on with a run."""
    options = parse(TrainOptions, "train", arguments)
    if options.resume is not None:
        budget = options.train.memory_budget
        settings = replace(_config(options), train=replace(options.train, memory_budget=None))
        if options.recipe is not None or options.output is not None or settings != Config():
            raise ConfigError(
                f"--resume {options.resume} takes its settings from the run",
                hint="Give --resume alone, with --data where the data set has moved, or with another "
                "--train.memory-budget.",
            )
        resume_training(options.resume, options.dataset, budget)
        print(options.resume)
        return
    if options.recipe is not None:
        recipe = load_recipe(options.recipe)
        check_config(recipe, settings_named_in(options.recipe))
        options = parse(TrainOptions, "train", arguments, TrainOptions(**vars(recipe)))
    if options.dataset is None or options.output is None:
        missing = "--data" if options.dataset is None else "--output"
        raise ConfigError(
            f"{missing} is missing",
            hint="digitspot train RECIPE --data DIR --output RUN, or digitspot train --resume RUN.",
        )
    named = settings_named_by(arguments)
    config, dropped = drop_unused(_config(options), keep=named)
    for sentence in dropped:
        stderr().print(sentence, markup=False)
    check_config(config, named)
    start_training(config, options.dataset, options.output)
    print(options.output)


def _config(options: TrainOptions) -> Config:
    """Return the settings without the options of the command."""
    return Config(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Config)})
