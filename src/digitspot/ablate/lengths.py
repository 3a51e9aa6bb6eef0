"""How long each variant trains, so that all see as many images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from digitspot.ablate.study import Study
from digitspot.errors import ConfigError
from digitspot.experiments.lengths import Length, length_of, nearest_length, plan_each

TOLERANCE = 0.05
"""Trainings end with whole epochs, and an epoch under parts drops a few images of each part."""


def equal_lengths(study: Study, data: Path) -> dict[str, Length]:
    """Return each variant's length by name; packs that are missing are built.

    Raises:
        ConfigError: Some variants would see more than 5 % fewer images than others, and the file does not say
            why that may be; or one stops early.
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
                f"variant {variant.name!r} has train.early_stopping {stopping}: how many images it sees is "
                "not known before",
                hint="Set it to 0, or say in the file why that may be: `unequal: ...`.",
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
            hint="Choose another --images, or say in the file why that may be: `unequal: ...`.",
        )
