"""`digitspot train`: from a recipe, or going on with a run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse
from digitspot.config import (
    Config,
    check_config,
    check_named,
    drop_unused,
    load_recipe,
    settings_named_by,
    settings_named_in,
)
from digitspot.errors import ConfigError
from digitspot.files import data_path, is_remote
from digitspot.models import DEFAULT
from digitspot.progress import stderr, working
from digitspot.ranks import is_first, launched
from digitspot.training.run import resume_training, start_training
from digitspot.training.runlog import Run


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Config):
    """Train a detector; the best model is best.pt in the run folder. docs/reference.md has every setting.

    digitspot train --data DATA
    digitspot train nano --data DATA --output runs/mine
    digitspot train nano --data DATA --output runs/a --train.epochs 9
    digitspot train --resume runs/mine
    """

    recipe: Annotated[Path | None, tyro.conf.Positional] = None
    """A recipe, a YAML file or a name of `digitspot recipes`; the settings below can be changed on top of it.
    Without one the training goes on from a model that reads numbers already, with settings that suit the
    data: for a few images of your own."""
    dataset: Annotated[str | None, tyro.conf.arg(name="data")] = None
    """A data set in digitspot's layout: train.json beside train/, valid.json beside valid/. Or the URL of
    packs, as s3://bucket/folder."""
    start: str = DEFAULT
    """Without a recipe: what to go on from, a name of `digitspot models`, a run folder or a model file."""
    generated: int | None = None
    """Without a recipe: generated images that are mixed in, so that the model forgets nothing; 1,000, if you
    do not say. With 0 it reads your kind of images, and others perhaps no more."""
    output: Path | None = None
    """The run folder, new; without a recipe it is runs/ and the name of the data set, if you do not say."""
    resume: Path | None = None
    """Go on with the training in this run folder."""


parse_train = partial(parse, TrainOptions, "train", named=(Config,), takes_none=True)


def run(arguments: list[str]) -> None:
    """Train, or go on with a run."""
    check_named(settings_named_by(arguments))
    options = parse_train(arguments)
    data = None if options.dataset is None else data_path(options.dataset)
    if options.resume is not None:
        others = _options_in(arguments) - {"--resume", "--data", "--train.memory-budget"}
        if options.recipe is not None or others:
            raise ConfigError(
                f"--resume {options.resume} takes its settings from the run",
                hint="Give --resume alone, with --data where the data set has moved, or with another "
                "--train.memory-budget.",
            )
        from digitspot.finetune import comparing_command  # needs torch

        resume_training(options.resume, data, options.train.memory_budget)
        _print(options.resume)
        if (command := comparing_command(options.resume)) and is_first():
            stderr().print(f"compare it with the model that it began with: {command}", markup=False)
        return
    if options.generated is not None and (options.recipe is not None or options.generated < 0):
        raise ConfigError(
            f"--generated {options.generated} takes 0 or more, and no recipe",
            hint="Beside a recipe, --data.also takes generated images.",
        )
    if options.recipe is not None and "--start" in _options_in(arguments):
        raise ConfigError(
            f"--start {options.start} takes no recipe", hint=f"Beside one: --model.weights {options.start}."
        )
    if options.recipe is not None:
        recipe = load_recipe(options.recipe)
        check_config(recipe, settings_named_in(options.recipe))
        options = parse_train(arguments, TrainOptions(**vars(recipe)))
    elif data is not None:
        if launched() or is_remote(data):
            what = "several processes need" if launched() else f"{data} needs"
            raise ConfigError(
                f"{what} a recipe", hint="Such as nano: digitspot train nano --data DATA --output RUN."
            )
        _train_own(options, arguments, data)
        return
    if data is None or options.output is None:
        missing = "--data" if data is None else "--output"
        raise ConfigError(
            f"{missing} is missing",
            hint="digitspot train RECIPE --data DIR --output RUN, or digitspot train --resume RUN.",
        )
    named = settings_named_by(arguments)
    config, dropped = drop_unused(_config(options), keep=named)
    for sentence in dropped if is_first() else ():
        stderr().print(sentence, markup=False)
    check_config(config, named)
    start_training(config, data, options.output)
    _print(options.output)


def _print(run: Path) -> None:
    """Print the result once, however many processes trained it."""
    if is_first():
        print(run)


def _train_own(options: TrainOptions, arguments: list[str], data: Path) -> None:
    """Go on from a model, on images of the user's own, and say what was gained.

    The same command goes on with what was interrupted.
    """
    from digitspot.finetune import inherit, prepare_start, starting_config  # needs torch
    from digitspot.verdict import judge

    def with_flags(config: Config) -> Config:
        named = settings_named_by(arguments)
        config = _config(parse_train(arguments, TrainOptions(**vars(config))))
        config, _ = drop_unused(config, keep=named)
        check_config(config, named)
        return config

    output = options.output or Path("runs") / data.resolve().name
    with_flags(starting_config(options.start))  # wrong flags are told before any work
    flags = _setting_flags(arguments)
    start = prepare_start(data, output, options.start, num_generated=options.generated, flags=flags)
    if Run(output).started:
        resume_training(output, start.data, options.train.memory_budget)
    else:
        start_training(with_flags(start.config), start.data, output)
    print(output)
    if options.train.max_updates is not None:  # a trial, which leaves no model
        return
    inherit(output, options.start, start.data)
    with working("comparing both models"):
        verdict = judge(output, options.start, start.data)
    for sentence in verdict.sentences(options.start):
        stderr().print(sentence, markup=False)


def _options_in(arguments: list[str]) -> set[str]:
    """Return the options that were given, without their values.

    >>> sorted(_options_in(["nano", "--data", "D", "--train.batch_size=4"]))
    ['--data', '--train.batch-size']
    """
    return {each.partition("=")[0].replace("_", "-") for each in arguments if each.startswith("--")}


def _setting_flags(arguments: list[str]) -> list[str]:
    """Return the options that change settings, with their values, but for the memory budget.

    >>> _setting_flags(["--train.epochs", "9", "--data", "D", "--model.dropout=0.1"])
    ['--model.dropout=0.1', '--train.epochs', '9']
    """
    groups: list[list[str]] = []
    for each in arguments:
        if each.startswith("--"):
            groups.append([each])
        elif groups:
            groups[-1].append(each)
    flags = sorted(group for group in groups if "." in group[0].partition("=")[0])
    return [word for group in flags if not group[0].startswith("--train.memory") for word in group]


def _config(options: TrainOptions) -> Config:
    """Return the settings without the options of the command."""
    return Config(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Config)})
