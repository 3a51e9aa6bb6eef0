"""A data set ready to use: labels read, packs open."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitspot.config import Config, DataConfig
from digitspot.dataset.image_files import ImageFiles
from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_build import open_or_build
from digitspot.dataset.pack_cache import default_pack_root
from digitspot.dataset.pack_plan import plan_pack
from digitspot.dataset.remote_pack import open_remote
from digitspot.dataset.samples import Merged, Samples
from digitspot.dataset.seen import Seen
from digitspot.errors import ConfigError, DataError
from digitspot.files import data_path, is_remote
from digitspot.labels.coco import find_split, read_labels
from digitspot.labels.labels import LabelSet
from digitspot.progress import stderr, tracking
from digitspot.types import IntArray


def open_split(data: Path, name: str, config: DataConfig, needs_boxes: bool = True) -> Pack:
    """Open the pack of a split, building it where there is none.

    Boxes of `train` are clipped to the frame; other splits are measured on, and keep them as they are.

    Args:
        data: The data set, in the homework's layout.
        name: "train", "valid" or "test".
        config: Where packs are kept, and how large images may be.
        needs_boxes: Refuse also a label file that lists no box.

    Raises:
        DataError: Labels or images cannot be used.
    """
    made = data / f"{name}.pack"
    if is_remote(data):
        return _open_remote(made, name, config)
    if made.is_dir():
        return _open_made(made, config)
    labels, images_dir = _read(data, name, needs_boxes)
    console = stderr()
    with tracking(f"packing {name}") as show:
        return open_or_build(
            labels,
            images_dir,
            _pack_root(config),
            longest_side=config.longest_side,
            progress=show,
            announce=lambda plan: console.print(plan.describe(), markup=False),
        )


def _open_remote(path: Path, name: str, config: DataConfig) -> Pack:
    """Open a pack at an URL: of `train` its parts are fetched as they are needed, others are copied."""
    if name == "train" and config.strategy != "parts":
        raise ConfigError(
            f"{path} is read in parts, and data.strategy is {config.strategy!r}",
            hint="Give --data.strategy parts.",
        )
    _refuse_reducing(path, config)
    pack = open_remote(path, _pack_root(config), copied=name != "train")
    stderr().print(f"{name}: {len(pack)} images, {pack.nbytes / 2**20:.0f} MiB at {path}", markup=False)
    return pack


def _open_made(path: Path, config: DataConfig) -> Pack:
    """Open a pack that is part of a data set, which has no image files to make another one from."""
    _refuse_reducing(path, config)
    return Pack.open(path)


def _refuse_reducing(path: Path, config: DataConfig) -> None:
    if config.longest_side is not None:
        raise ConfigError(
            f"{path} holds images as they are, and data.longest_side is {config.longest_side}",
            hint="Leave data.longest_side out.",
        )


def require_splits(data: Path) -> None:
    """Raise DataError where `train` or `valid` is missing; URLs are not asked."""
    for name in ("train", "valid"):
        if not is_remote(data) and not (data / f"{name}.pack").is_dir():
            find_split(data, name)


@dataclass(frozen=True)
class TrainingData:
    """What a training reads.

    Attributes:
        samples: To train on.
        valid: To validate on.
        valid_indices: The images of `valid` to validate on: all, or those not trained on; perhaps none.
        seen: What a model of this training was trained on.
    """

    samples: Samples
    valid: Samples
    valid_indices: IntArray
    seen: Seen


def open_training(data: Path, config: Config) -> TrainingData:
    """Open the images to train and to validate on, by the configuration's strategy.

    Raises:
        DataError: Labels or images cannot be used.
    """
    samples, valid = _open(data, "train", config.data), _open(data, "valid", config.data)
    opened = {data: samples}
    if config.data.images is not None:
        samples = Merged([(samples, _draw(len(samples), config.data.images))])
        stderr().print(f"{len(samples)} of them are trained on")
    valid_indices = np.arange(len(valid))
    if config.data.merge_valid:
        if samples.categories != valid.categories:
            raise DataError(f"{data}: the categories of train and valid differ, so they cannot be merged")
        untouched = untouched_indices(len(valid), config.data.untouched_fraction)
        merged = np.setdiff1d(valid_indices, untouched)
        samples = Merged([(samples, np.arange(len(samples))), (valid, merged)])
        valid_indices = untouched
        stderr().print(f"{len(merged)} images of valid are trained on, {len(untouched)} are kept untouched")
    num_own = len(samples)
    if config.data.also:
        others = [data_path(other) for other in config.data.also]  # one may stand many times
        opened |= {
            other: _open(other, "train", config.data, needs_boxes=False)
            for other in dict.fromkeys(others)
            if other not in opened
        }
        samples = Merged([(each, np.arange(len(each))) for each in (samples, *(opened[o] for o in others))])
    seen = Seen.of(samples)
    if config.data.strategy == "prepared":
        from digitspot.dataset.prepared import open_or_prepare  # needs torch

        with tracking("preparing train") as show:
            root = _pack_root(config.data)
            samples = open_or_prepare(samples, config.augment, config.train.seed, root, show)
    samples.num_own = num_own
    return TrainingData(samples, valid, valid_indices, seen)


def untouched_indices(num: int, fraction: float) -> IntArray:
    """Choose the images of `valid` that are never trained on, whatever the seed of a training.

    Args:
        num: Images of `valid`.
        fraction: How many of them; at least one where it is above 0.
    """
    return _draw(num, math.ceil(num * fraction))


def _draw(num: int, chosen: int) -> IntArray:
    """Choose indices at random, rising; the same for the same numbers."""
    return np.sort(np.random.default_rng(0).permutation(num)[:chosen]).astype(np.int64)


def _open(data: Path, name: str, config: DataConfig, needs_boxes: bool = True) -> Samples:
    if config.strategy != "files" or is_remote(data):
        return open_split(data, name, config, needs_boxes)
    labels, images_dir = _read(data, name, needs_boxes)
    plan = plan_pack(labels, images_dir, _pack_root(config), longest_side=config.longest_side)
    return ImageFiles(plan, labels, images_dir)


def _read(data: Path, name: str, needs_boxes: bool) -> tuple[LabelSet, Path]:
    """Read the labels of a split; say how many images there are and what was changed."""
    split = find_split(data, name)
    labels = read_labels(split.labels_path, clip=name == "train", for_training=True, needs_boxes=needs_boxes)
    notes = "".join(f"; {count} {what}" for what, count in labels.notes.items() if count)
    stderr().print(f"{name}: {len(labels)} images{notes}", markup=False)
    return labels, split.images_dir


def _pack_root(config: DataConfig) -> Path:
    return Path(config.pack_root) if config.pack_root else default_pack_root()
