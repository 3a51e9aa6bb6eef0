"""Training on a few images of one's own: from a model that there is, with settings chosen from the data."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from digitspot.config import Config, InputConfig
from digitspot.dataset.seen import Seen
from digitspot.dataset.splits import open_split
from digitspot.detector.trained import load_model, save_model
from digitspot.errors import ConfigError, DataError, DigitspotError
from digitspot.files import check_writable, read_json, writing_whole
from digitspot.folds import link_split
from digitspot.labels.coco import find_split, labels_path_of, read_labels
from digitspot.labels.grouping import divide, fingerprints, group_images
from digitspot.labels.labels import LabelSet
from digitspot.model_file import BEST
from digitspot.models import find_model
from digitspot.preprocess import input_size
from digitspot.progress import stderr
from digitspot.reader import Reader
from digitspot.synth.cached import PREFIX, generated_set
from digitspot.synth.generate import MIXED
from digitspot.training.runlog import Run
from digitspot.verdict import MIN_HELD_OUT

HELD_OUT = 0.15
"""Share of `train` that is held out where there is no `valid` of the same kind."""
MOST_HELD_OUT = 0.3
"""At most this share of the images is held out."""
ABOUT = "start.json"
"""What a run folder began with: the same command goes on with it, and another one is refused."""
MAX_SIZE_RATIO = 2.0
"""`valid` is of another kind where its digits are so many times larger or smaller in their images."""
NUM_GENERATED = 1_000
"""Generated images that are trained on together with one's own, so that nothing is forgotten."""
MIN_FITTED = 200
"""Validation images that the reader is fitted to; with fewer it is told the lengths of numbers alone."""
MIN_DIGIT = 9.0
"""Pixels, in the network's input, that half of the digits have at least in their height; crops around numbers
show them larger (benchmarks/results/domains.md)."""
MAX_ENLARGED = 1.5
"""The input is at most so many times larger than the model's own."""
FEW, LAST_STAGES = 1_000, 2
"""From fewer images than that, only the backbone's last stages learn: the first ones take a third of the time
of an update (benchmarks/results/domains.md)."""
SEEN_PER_IMAGE, MIN_SEEN, MAX_SEEN = 50, 8_000, 40_000
"""Images to train on in all: so many for each of one's own, within limits; generated ones count, too."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a training on one's own images begins with.

    Attributes:
        config: The settings.
        data: The data set, with a `valid`.
    """

    config: Config
    data: Path


def comparing_command(run: Path) -> str | None:
    """Return the command that ends a run begun by `prepare_start` with a comparison; None for other runs."""
    if not (run / ABOUT).exists():
        return None
    begun = read_json(run / ABOUT)
    options = {"--data": begun["data"], "--start": begun["base"], "--output": str(run)}
    if begun["generated"] != NUM_GENERATED:
        options["--generated"] = str(begun["generated"])
    words = [word for pair in options.items() for word in pair]
    return shlex.join(["digitspot", "train", *words, *begun["flags"]])


def starting_config(base: str) -> Config:
    """Return the settings that a model was trained with.

    Raises:
        CheckpointError: The model cannot be read, or cannot be trained on.
    """
    return load_model(find_model(base)).config


def prepare_start(
    data: Path,
    output: Path,
    base: str,
    more: Sequence[Path] = (),
    num_generated: int | None = None,
    flags: Sequence[str] = (),
) -> Start:
    """Choose settings for a data set, and hold out some images where it has no `valid` of its kind.

    Args:
        data: A data set in the homework's layout; `valid` may be missing.
        output: The run folder; what is held out goes to its folder `data`.
        base: The model to go on from: a name of `digitspot models`, a run folder, or a file.
        more: Other data sets whose `train` is trained on, too.
        num_generated: Generated images to mix in; None is `NUM_GENERATED`.
        flags: Settings that the caller changes; a run that began with others is refused.

    Raises:
        DataError: Labels or images cannot be used.
        CheckpointError: The model cannot be read, or cannot be trained on.
        ConfigError: The run folder holds a training on something else.
        DigitspotError: The run folder cannot be written.
    """
    before = load_model(find_model(base))
    config = before.config
    check_writable(output)
    split = find_split(data, "train")
    train = read_labels(split.labels_path, for_training=True)
    num_generated = NUM_GENERATED if num_generated is None else num_generated
    about: dict[str, Any] = {
        "data": str(data.resolve()),
        "labels": _digest(data),
        "base": base,
        "also": {str(each.resolve()): _digest(each) for each in more},
        "generated": num_generated,
        "flags": list(flags),
    }
    is_begun = _claim(output, about)
    if not _has_valid(data, train):
        if not is_begun:
            _hold_out(train, split.images_dir, output / "data", Reader.load(base).seen)
        data = output / "data"
        train = read_labels(labels_path_of(data, "train"), for_training=True)
    for name in ("train", "valid"):
        open_split(data, name, config.data)  # every image is looked at before more work
    num_valid = len(read_labels(labels_path_of(data, "valid"), clip=False))
    looks = (
        before.reading.looks if num_valid >= MIN_FITTED else None
    )  # else `inherit` takes those of the base
    generated = _generated(num_generated)
    num_generated = num_generated if generated else 0
    repeats = max(1, round(num_generated / len(train)))
    also = (str(data.resolve()),) * (repeats - 1) + ((str(generated),) if generated else ())
    also += tuple(str(each.resolve()) for each in more)
    seen = min(max(SEEN_PER_IMAGE * len(train), MIN_SEEN), MAX_SEEN)
    epochs = max(2, round(seen / (repeats * len(train) + num_generated)))
    config = replace(
        config,
        data=replace(Config().data, also=also, workers=config.data.workers),
        input=_enlarged(config.input, train),
        model=replace(
            config.model, weights=base, trainable_stages=_trainable_stages(config.model.preset, len(train))
        ),
        optimizer=replace(config.optimizer, lr=config.optimizer.lr / 4),
        schedule=replace(Config().schedule, kind="cosine", warmup_steps=50),
        train=replace(
            config.train,
            epochs=epochs,
            validate_every_epochs=epochs,
            batch_size=8,
            looks=len(looks.short_sides) if looks and looks.margins else 1,
            ema_decay=0.99,
            precision="auto",  # that of the model is what another machine was fast with
        ),
    )
    stderr().print(
        f"going on from {base}: {epochs} epochs at short side {config.input.short_side}; in each, "
        f"{len(train)} of your images {repeats} times and {num_generated} generated ones",
        markup=False,
    )
    return Start(config=config, data=data)


def _has_valid(data: Path, train: LabelSet) -> bool:
    """Return whether there is a `valid` that shows digits about as large as `train` does."""
    if not (labels_path_of(data, "valid").is_file() and (data / "valid").is_dir()):
        return False
    valid = read_labels(labels_path_of(data, "valid"), clip=False)
    ratio = _relative_height(valid) / _relative_height(train)
    if 1 / MAX_SIZE_RATIO <= ratio <= MAX_SIZE_RATIO:
        return True
    stderr().print(
        f"digits in valid are {ratio:.2g} times as large in their images as in train; it is not used",
        markup=False,
    )
    return False


def _relative_height(labels: LabelSet) -> float:
    """Return the median height of digits over the short side of their images."""
    heights = [(box[3] - box[1]) / min(image.size_hw) for image in labels.images for box in image.boxes]
    return float(np.median(heights)) if heights else 1.0


def _claim(output: Path, about: dict[str, Any]) -> bool:
    """Return whether a run folder holds a training that began with this; note what it begins with."""
    path = output / ABOUT
    if Run(output).started:
        if not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != about:
            raise ConfigError(
                f"{output} holds a training on other labels, from another model or with other settings",
                hint="Give another --output, or remove it.",
            )
        return True
    with writing_whole(path) as file:
        json.dump(about, file, indent=1)
    return False


def _digest(data: Path) -> str:
    """Return what tells the labels of a data set from others."""
    digest = hashlib.sha256()
    for name in ("train", "valid"):
        path = labels_path_of(data, name)
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _hold_out(train: LabelSet, images_dir: Path, target: Path, seen: Seen) -> None:
    """Divide `train`; images that show the same stay together, and what the model has seen is trained on."""
    paths = [images_dir / image.file_name for image in train.images]
    groups = group_images(paths, fingerprints(paths))
    known = seen.among(train)
    is_known = np.array([image.image_id in known for image in train.images])
    fresh = np.flatnonzero(~np.isin(groups, groups[is_known]))
    wanted = min(max(HELD_OUT * len(train), MIN_HELD_OUT), MOST_HELD_OUT * len(train), len(fresh) / 2)
    names = np.full(len(train), "train", dtype="<U8")
    if wanted >= 1:
        names[fresh] = divide(groups[fresh], {"valid": wanted / len(fresh)}, seed=0)
    held_out = train.with_images([train.images[index] for index in np.flatnonzero(names == "valid")])
    if not len(held_out.boxes):
        raise DataError(
            f"{train.path} has {len(train)} images, {len(fresh)} of them new to the model: too few",
            hint="Label more images, or give valid.json and valid/.",
        )
    shutil.rmtree(target, ignore_errors=True)
    rest = train.with_images([train.images[index] for index in np.flatnonzero(names == "train")])
    for name, part in (("train", rest), ("valid", held_out)):
        link_split(part, images_dir, target / name)
    stderr().print(f"{len(held_out)} of {len(train)} images are held out to judge by")


def _enlarged(rule: InputConfig, train: LabelSet) -> InputConfig:
    """Return an input in which half of the digits are at least `MIN_DIGIT` high, if that can be."""
    heights = [
        (box[3] - box[1]) * input_size(image.size_hw, rule.short_side, rule.long_side)[0] / image.size_hw[0]
        for image in train.images
        for box in image.boxes
    ]
    factor = min(MAX_ENLARGED, MIN_DIGIT / float(np.median(heights)))
    if factor <= 1:
        return rule

    def larger(side: int) -> int:
        return ceil(side * factor / rule.multiple) * rule.multiple

    return replace(
        rule,
        short_side=larger(rule.short_side),
        long_side=larger(rule.long_side),
        train_short_sides=tuple(larger(side) for side in rule.train_short_sides),
    )


def _trainable_stages(preset: str, num_images: int) -> int | None:
    """Return how many of the backbone's stages learn from so many images; None for all."""
    return LAST_STAGES if num_images < FEW and preset != "mobilenet_v3_large_fpn" else None


def _generated(num: int) -> Path | None:
    """Return a data set of generated images, from the cache; None for 0, or without typefaces."""
    if not num:
        return None
    try:
        return generated_set(f"{PREFIX}{MIXED}:{num}")
    except DigitspotError as error:
        stderr().print(f"without generated images: {error}", markup=False)
        return None


def inherit(run: Path, base: str, data: Path) -> None:
    """Give a model what it takes over from the one that it came from.

    That is what the other has seen and, where there were few images to fit another, its reader, which is told
    how many digits the numbers of `train` have.
    """
    model, before = load_model(run), load_model(find_model(base))
    valid = read_labels(labels_path_of(data, "valid"), clip=False)
    if len(valid) >= MIN_FITTED:
        reading = model.reading
    else:
        train = read_labels(labels_path_of(data, "train"), clip=False)
        reading = before.reading.for_lengths_of(image.number for image in train.images)
        factor = model.config.input.short_side / before.config.input.short_side
        if reading.looks:
            reading = replace(reading, looks=reading.looks.enlarged(factor))
    seen = Seen(model.seen.keys | before.seen.keys)
    save_model(replace(model, reading=reading, seen=seen), run / BEST)
