"""How many epochs a training needs to see a wanted number of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from digitspot.config import Config, DataConfig
from digitspot.dataset.sampler import BatchPlan
from digitspot.dataset.splits import TrainingData, open_training
from digitspot.errors import ConfigError
from digitspot.experiments.ablation import Study
from digitspot.training.loader import plan_batches

TOLERANCE = 0.05
"""Trainings end with whole epochs, and an epoch under parts drops a few images of each part."""


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        epochs: Passes over its training images.
        images: Images seen by then, with repeats.
    """

    epochs: int
    images: int


def open_to_plan(config: Config, data: Path) -> TrainingData:
    """Open a training's images to count them; packs that are missing are built, prepared ones are not.

    Raises:
        DataError: Labels or images cannot be used.
    """
    return open_training(data, Config(data=_to_plan(config)))


def plan_training(config: Config, data: Path) -> BatchPlan:
    """Return a training's batches.

    Raises:
        DataError: Labels or images cannot be used.
    """
    return plan_batches(open_to_plan(config, data).samples, config)


def plan_each(configs: Mapping[str, Config], data: Path) -> dict[str, BatchPlan]:
    """Return the batches of several trainings; images that some have in common are opened once.

    Raises:
        DataError: Labels or images cannot be used.
    """
    opened: dict[DataConfig, TrainingData] = {}
    plans = {}
    for name, config in configs.items():
        key = _to_plan(config)
        if key not in opened:
            opened[key] = open_to_plan(config, data)
        plans[name] = plan_batches(opened[key].samples, config)
    return plans


def _to_plan(config: Config) -> DataConfig:
    """Return where images are counted: in their files, or in a pack."""
    strategy: Literal["files", "pack"] = "files" if config.data.strategy == "files" else "pack"
    defaults = DataConfig()
    return replace(
        config.data,
        strategy=strategy,
        parts=defaults.parts,
        part_order=defaults.part_order,
        hold_out=defaults.hold_out,
    )


def length_of(plan: BatchPlan, epochs: int) -> Length:
    """Return the length of so many epochs; not all of them need have as many images."""
    return Length(epochs, sum(map(plan.num_batches, range(epochs))) * plan.batch_size)


def longer(plan: BatchPlan, length: Length) -> Length:
    """Return the length of one epoch more."""
    return Length(length.epochs + 1, length.images + plan.num_batches(length.epochs) * plan.batch_size)


def nearest_length(plan: BatchPlan, wanted: int) -> Length:
    """Return the whole epochs that end nearest to so many images, one at least."""
    best = length_of(plan, 1)
    while True:
        other = longer(plan, best)
        if abs(other.images - wanted) >= abs(best.images - wanted):
            return best
        best = other


def longest_within(plan: BatchPlan, limit: int) -> Length:
    """Return the most whole epochs within so many images; one epoch where even that is longer."""
    best = length_of(plan, 1)
    while (other := longer(plan, best)).images <= limit:
        best = other
    return best


def equal_lengths(study: Study, data: Path) -> dict[str, Length]:
    """Return each variant's length by name; packs that are missing are built.

    Raises:
        ConfigError: Some variants would see more than 5 % fewer images than others, or one stops early, and
            the file gives no reason.
        DataError: Labels or images cannot be used.
    """
    plans = plan_each({variant.name: variant.config for variant in study.variants}, data)
    wanted = study.images
    if wanted is None:
        wanted = length_of(plans[study.baseline.name], study.baseline.config.train.epochs).images
    lengths = {}
    for variant in study.variants:
        stopping = variant.config.train.early_stopping
        if stopping and study.unequal is None:
            raise ConfigError(
                f"variant {variant.name!r} has train.early_stopping {stopping}: nobody knows before how many "
                "images it sees",
                hint="Set it to 0, or give the reason in the file: `unequal: ...`.",
            )
        lengths[variant.name] = nearest_length(plans[variant.name], wanted)
    _check_equal(study, lengths)
    return lengths


def _check_equal(study: Study, lengths: Mapping[str, Length]) -> None:
    by_images = sorted(lengths, key=lambda name: lengths[name].images)
    least, most = by_images[0], by_images[-1]
    if study.unequal is None and lengths[least].images < (1 - TOLERANCE) * lengths[most].images:
        raise ConfigError(
            f"{study.name}: {least!r} would see {lengths[least].images} images in {lengths[least].epochs} "
            f"epochs, {most!r} {lengths[most].images} in {lengths[most].epochs}",
            hint="Choose another --images, or give the reason in the file: `unequal: ...`.",
        )
