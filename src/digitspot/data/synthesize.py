"""A data set of generated photographs of numbers, to try everything without downloading anything.

It has the shape of the real task where that shape matters: sizes and framing follow SVHN, whose
test photographs show more around the number than its training photographs do, and the test split
is set in typefaces that no training picture shows. What a detector scores here says nothing about
its score on real photographs.

Picture `i` of a split is a function of (seed, split, i): a larger split begins with a smaller one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.data.camera import photograph
from digitspot.data.coco import write_labels
from digitspot.data.labels import CategoryMap, LabelledImage, LabelSet
from digitspot.data.plates import Framing, draw_scene
from digitspot.data.typefaces import TEST_TYPEFACES, TRAIN_TYPEFACES, Typeface, require_typefaces
from digitspot.errors import DataError
from digitspot.files import write_error
from digitspot.structures import FloatArray, ImageArray

LENGTH_SHARES = (0.18, 0.50, 0.26, 0.06)
"""How often a number has 1, 2, 3 and 4 digits; close to SVHN."""

NO_NUMBER_SHARE = 0.04
LEADING_ZERO_SHARE = 0.04
"""Of numbers with two digits or more. Rare in SVHN (9 of 13,068), but a number is a string."""

WORDS = ("RUE", "WAY", "FARM", "PARK", "NEW", "YARD", "MAYFAIR", "MAKER", "FUMER")
"""Written on some pictures without a number; no letter that looks like a digit (B, I, L, O, Q, S, Z)."""

CLOSE = Framing(digit_height=28, above=(1.35, 2.1), beside=(1.1, 3.2))
WIDE = Framing(digit_height=24, above=(1.6, 2.9), beside=(1.8, 5.2))
"""SVHN's test photographs show more than its training photographs: digits 24 px of 53, not 29 px of 47."""

Progress = Callable[[int, int], None]
"""Called with the number of pictures done and the number of all."""


@dataclass(frozen=True, kw_only=True)
class _Split:
    """What the pictures of one split have in common; `stream` separates their randomness."""

    stream: int
    typefaces: tuple[Typeface, ...]
    framing: Framing


SPLITS = {
    "train": _Split(stream=0, typefaces=TRAIN_TYPEFACES, framing=CLOSE),
    "valid": _Split(stream=1, typefaces=TRAIN_TYPEFACES, framing=CLOSE),
    "test": _Split(stream=2, typefaces=TEST_TYPEFACES, framing=WIDE),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Photograph:
    """A generated photograph.

    Attributes:
        image: uint8 `[H, W, 3]`.
        number: What can be read; None where there is no number.
        boxes: float32 `[N, 4]`, one for each digit of the number, in its order.
    """

    image: ImageArray
    number: str | None
    boxes: FloatArray


def synthesize(
    output: Path,
    *,
    train: int = 600,
    valid: int = 100,
    test: int = 150,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, LabelSet]:
    """Write a data set in the homework's layout: `train.json`, `train/1.png`, `valid.json`, ...

    The folder appears only when all of it is written. The same seed gives the same bytes with the
    same versions of numpy, Pillow and the typefaces.

    Args:
        output: A folder that does not exist, or an empty one.
        train: Number of pictures; a split of 0 is not written.
        valid: Likewise.
        test: Likewise; set in typefaces that the others do not show, with more around the number.
        seed: 0 or more.
        progress: Told after each picture.

    Returns:
        The labels of each split written.

    Raises:
        DataError: `output` holds something already.
        DigitspotError: A typeface is not installed, or the folder cannot be written.
    """
    sizes = {name: size for name, size in (("train", train), ("valid", valid), ("test", test)) if size}
    for name in sizes:
        require_typefaces(SPLITS[name].typefaces)
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise DataError(
            f"{output} exists already and is not empty", hint="Choose another --output, or remove it first."
        )
    aside = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        written = _write_splits(aside, output, sizes, seed, progress)
        if output.exists():
            output.rmdir()
        aside.rename(output)
    except OSError as error:
        raise write_error(output, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return written


def photograph_number(seed: int, split: str, index: int) -> Photograph:
    """Generate picture `index` (from 0) of a split: the same arguments, the same picture."""
    kind = SPLITS[split]
    rng = np.random.default_rng((seed, kind.stream, index))
    number = choose_number(rng)
    text = _choose_words(rng) if number is None else number
    scene = draw_scene(rng, text, kind.typefaces, kind.framing)
    image = photograph(rng, scene.image, scene.digit_height)
    return Photograph(image=image, number=number, boxes=scene.boxes[: len(number or "")])


def choose_number(rng: np.random.Generator) -> str | None:
    """Choose a number of one to four digits, or none.

    Digits are equally frequent apart from leading zeros: a few hundred pictures show each class often.
    """
    if rng.random() < NO_NUMBER_SHARE:
        return None
    length = 1 + int(rng.choice(len(LENGTH_SHARES), p=LENGTH_SHARES))
    digits = rng.integers(0, 10, length)
    if length > 1:
        digits[0] = 0 if rng.random() < LEADING_ZERO_SHARE else rng.integers(1, 10)
    return "".join(str(digit) for digit in digits)


def _choose_words(rng: np.random.Generator) -> str:
    """Choose what stands on a picture without a number: in half of them nothing."""
    return WORDS[rng.integers(len(WORDS))] if rng.random() < 0.5 else ""


def _write_splits(
    folder: Path, final: Path, sizes: dict[str, int], seed: int, progress: Progress | None
) -> dict[str, LabelSet]:
    """Write pictures and labels of every split into `folder`, which will be `final`."""
    written, done, total = {}, 0, sum(sizes.values())
    for name, size in sizes.items():
        (folder / name).mkdir(parents=True)
        images = []
        for index in range(size):
            images.append(_write_picture(folder / name, index, photograph_number(seed, name, index)))
            done += 1
            if progress is not None:
                progress(done, total)
        written[name] = _label_set(images, final / f"{name}.json")
        write_labels(written[name], folder / f"{name}.json")
    return written


def _write_picture(folder: Path, index: int, picture: Photograph) -> LabelledImage:
    """Write a picture as PNG and return its labels; ids count from 1, as the homework's do."""
    file_name = f"{index + 1}.png"
    Image.fromarray(picture.image).save(folder / file_name)
    sides = (picture.boxes[:, 2:] - picture.boxes[:, :2]).astype(np.float64)
    return LabelledImage(
        image_id=index + 1,
        file_name=file_name,
        size_hw=(picture.image.shape[0], picture.image.shape[1]),
        boxes=picture.boxes,
        labels=np.array([int(digit) + 1 for digit in picture.number or ""], np.int64),
        areas=sides.prod(axis=1),
        crowd=np.zeros(len(picture.boxes), np.bool_),
    )


def _label_set(images: Sequence[LabelledImage], path: Path) -> LabelSet:
    return LabelSet(images=tuple(images), categories=CategoryMap.homework(), path=path)
