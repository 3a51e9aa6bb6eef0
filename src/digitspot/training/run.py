"""Start a training, go on with one, and with the shorter lengths that branch off it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from digitspot.config import Config, load_recipe
from digitspot.data.coco import find_split, read_labels
from digitspot.data.labels import LabelSet
from digitspot.data.pack import Pack
from digitspot.data.pack_build import open_or_build
from digitspot.detector import build_detector
from digitspot.detector.model import pick_device
from digitspot.errors import CheckpointError, ConfigError, DataError
from digitspot.progress import stderr, tracking
from digitspot.training.checkpoint import stored_config
from digitspot.training.learner import Learner
from digitspot.training.loader import plan_batches
from digitspot.training.loop import Place, Trainer, branch_step, total_steps
from digitspot.training.runlog import Run
from digitspot.training.validation import Validator


def start_training(config: Config, data: Path, output: Path) -> Run:
    """Train from the start.

    Args:
        config: The resolved recipe.
        data: A data set in the homework's layout, with `train` and `valid`.
        output: The run folder; must not hold a training yet.

    Returns:
        The run, with `best.pt` to use and `last.pt` to go on from.

    Raises:
        ConfigError, DataError, CheckpointError: See their messages.
        Interrupted: On Ctrl-C, after the state was saved.
    """
    check_config(config)
    run = Run(output)
    trainer = _trainer(config, data, run)
    run.start(config, data.resolve())
    _announce(trainer)
    trainer.train()
    _train_branches(trainer, data)
    return run


def resume_training(output: Path, data: Path | None = None) -> Run:
    """Go on with a training where it was last saved; the result is that of one never stopped.

    Args:
        output: The run folder.
        data: The data set, where it has moved since.

    Raises:
        CheckpointError: There is nothing to go on from.
    """
    run = Run(output)
    config, data = _what_to_resume(run, data)
    trainer = _trainer(config, data, run)
    if run.last.exists():
        trainer.resume(run.last)
    _drop_later_metrics(run, trainer.place)
    _announce(trainer)
    trainer.train()
    _train_branches(trainer, data)
    return run


def check_config(config: Config) -> None:
    """Refuse combinations that cannot be trained.

    Raises:
        ConfigError: Names the setting and its value.
    """
    positive = {
        "train.epochs": config.train.epochs,
        "train.batch_size": config.train.batch_size,
        "train.validate_every_epochs": config.train.validate_every_epochs,
        "optimizer.accumulate": config.optimizer.accumulate,
        "input.short_side": config.input.short_side,
        "input.multiple": config.input.multiple,
    }
    for name, value in positive.items():
        if value < 1:
            raise ConfigError(f"{name} is {value}, must be at least 1")
    branches = config.schedule.branch_epochs
    if branches and config.schedule.kind != "wsd":
        raise ConfigError(
            f"schedule.branch_epochs is {branches}, but schedule.kind is {config.schedule.kind}",
            hint="Only wsd has a trunk to branch off.",
        )
    if any(not 0 < epochs < config.train.epochs for epochs in branches):
        raise ConfigError(
            f"schedule.branch_epochs is {branches}, must be within train.epochs ({config.train.epochs})"
        )


def open_split(data: Path, name: str, config: Config, *, clip: bool) -> tuple[LabelSet, Pack]:
    """Read the labels of a split and open its pack, building it where there is none.

    Args:
        data: The data set.
        name: "train" or "valid".
        config: Where packs are kept, and their largest side.
        clip: Whether boxes are clipped to the frame.
    """
    split = find_split(data, name)
    labels = read_labels(split.labels_path, clip=clip)
    if len(labels) == 0:
        raise DataError(f"{split.labels_path} names no picture", hint="A split needs at least one.")
    console = stderr()
    with tracking(f"packing {name}") as show:
        pack = open_or_build(
            labels,
            split.images_dir,
            Path(config.data.pack_root) if config.data.pack_root else None,
            longest_side=config.data.longest_side,
            progress=show,
            announce=lambda plan: console.print(plan.describe(), highlight=False),
        )
    notes = ", ".join(f"{count} {what}" for what, count in labels.notes.items() if count)
    console.print(f"{name}: {len(labels)} pictures" + (f"; {notes}" if notes else ""), highlight=False)
    return labels, pack


def _trainer(config: Config, data: Path, run: Run) -> Trainer:
    device = pick_device(config.train.device)
    train_labels, pack = open_split(data, "train", config, clip=True)
    valid_labels, valid_pack = open_split(data, "valid", config, clip=False)
    stderr().print(f"digit=category_id: {train_labels.categories}", highlight=False)
    torch.manual_seed(config.train.seed)
    learner = Learner(build_detector(config.model), config, device)
    num_batches = plan_batches(pack, config).num_batches
    trunks = {
        branch_step(replace(config, train=replace(config.train, epochs=epochs)), num_batches): _trunk(epochs)
        for epochs in config.schedule.branch_epochs
    }
    return Trainer(config, run, pack, Validator(valid_pack, valid_labels), learner, trunks)


def _train_branches(trunk: Trainer, data: Path) -> None:
    """Cool down from the trunk for every shorter length, each in a run folder of its own."""
    for epochs in trunk.config.schedule.branch_epochs:
        config = replace(
            trunk.config,
            train=replace(trunk.config.train, epochs=epochs),
            schedule=replace(trunk.config.schedule, branch_epochs=()),
        )
        run = Run(trunk.run.path / f"epochs-{epochs}")
        branch = Trainer(config, run, trunk.pack, trunk.validator, trunk.learner)
        if run.last.exists():
            branch.resume(run.last)
        else:
            branch.resume(trunk.run.path / _trunk(epochs))
            run.start(config, data.resolve())
        _drop_later_metrics(run, branch.place)
        stderr().print(f"branch of {epochs} epochs, from update {branch.place.step}", highlight=False)
        branch.train()


def _trunk(epochs: int) -> str:
    return f"trunk-{epochs}.pt"


def _what_to_resume(run: Run, data: Path | None) -> tuple[Config, Path]:
    environment = run.path / "environment.json"
    if not environment.exists():
        raise CheckpointError(
            f"{run.path} holds no training", hint="Start one: digitspot train RECIPE --data DIR --output RUN."
        )
    if data is None:
        data = Path(json.loads(environment.read_text(encoding="utf-8"))["data"])
    if run.last.exists():
        return stored_config(run.last), data
    return load_recipe(run.path / "config.yaml"), data


def _drop_later_metrics(run: Run, place: Place) -> None:
    """Drop what was logged after the saved state: the resumed training logs it again."""
    validated = place.update == 0
    run.keep_metrics(
        lambda record: (
            record["step"] < place.step
            or (record["step"] == place.step and (record["kind"] == "train" or validated))
        )
    )


def _announce(trainer: Trainer) -> None:
    config = trainer.config
    parameters = sum(parameter.numel() for parameter in trainer.learner.detector.parameters())
    steps = total_steps(config, trainer.plan.num_batches)
    at = f", from update {trainer.place.step}" if trainer.place.step else ""
    stderr().print(
        f"{config.model.preset}, {parameters / 1e6:.1f} M parameters, {config.train.precision} on "
        f"{trainer.learner.device}; {config.train.epochs} epochs, {steps} updates{at}",
        highlight=False,
    )
