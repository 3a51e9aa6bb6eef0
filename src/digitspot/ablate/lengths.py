"""How long each variant trains, so that all see as many images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from digitspot.ablate.study import Study
from digitspot.config import Config
from digitspot.data.sampler import BatchPlan
from digitspot.data.splits import open_training
from digitspot.errors import ConfigError
from digitspot.training.loader import plan_batches

TOLERANCE = 0.05
"""Trainings end with whole epochs, and an epoch under parts drops a few pictures of each part."""


@dataclass(frozen=True)
class Length:
    """How long a variant trains.

    Attributes:
        epochs: Passes over its training images.
        images: Images seen by then, with repeats.
    """

    epochs: int
    images: int


def equal_lengths(study: Study, data: Path) -> dict[str, Length]:
    """Return each variant's length by name; packs that are missing are built.

    Raises:
        ConfigError: Some variants would see more than 5 % fewer images than others, and the file does not say
            why that may be; or one stops early.
        DataError: Labels or pictures cannot be used.
    """
    plans = {variant.name: _plan(variant.config, data) for variant in study.variants}
    wanted = study.images
    if wanted is None:
        wanted = _images(plans[study.baseline.name], study.baseline.config.train.epochs)
    lengths = {}
    for variant in study.variants:
        stopping = variant.config.train.early_stopping
        if stopping and study.unequal is None:
            raise ConfigError(
                f"variant {variant.name!r} has train.early_stopping {stopping}: how many images it sees is "
                "not known before",
                hint="Set it to 0, or say in the file why that may be: `unequal: ...`.",
            )
        plan = plans[variant.name]
        lengths[variant.name] = _nearest(plan, wanted)
    _check_equal(study, lengths)
    return lengths


def _plan(config: Config, data: Path) -> BatchPlan:
    """Return the batches; pictures prepared for one seed only are as many as the others."""
    strategy = "parts" if config.data.strategy == "prepared" else config.data.strategy
    config = replace(config, data=replace(config.data, strategy=strategy))
    return plan_batches(open_training(data, config).samples, config)


def _nearest(plan: BatchPlan, wanted: int) -> Length:
    """Return the whole epochs that end nearest to so many images; not all of them need have as many."""
    best = Length(1, _images(plan, 1))
    while True:
        longer = Length(best.epochs + 1, best.images + plan.num_batches(best.epochs) * plan.batch_size)
        if abs(longer.images - wanted) >= abs(best.images - wanted):
            return best
        best = longer


def _images(plan: BatchPlan, epochs: int) -> int:
    return sum(map(plan.num_batches, range(epochs))) * plan.batch_size


def _check_equal(study: Study, lengths: Mapping[str, Length]) -> None:
    by_images = sorted(lengths, key=lambda name: lengths[name].images)
    least, most = by_images[0], by_images[-1]
    if study.unequal is None and lengths[least].images < (1 - TOLERANCE) * lengths[most].images:
        raise ConfigError(
            f"{study.name}: {least!r} would see {lengths[least].images} images in {lengths[least].epochs} "
            f"epochs, {most!r} {lengths[most].images} in {lengths[most].epochs}",
            hint="Choose another --images, or say in the file why that may be: `unequal: ...`.",
        )
