"""One generated image: a function of (seed, split, index) and of what it is to show."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from digitspot.errors import ConfigError
from digitspot.synth.canvas import one_of
from digitspot.synth.displays import DISPLAY_FRAMING, draw_display
from digitspot.synth.exposure import INDOORS, NEAR, STREET, Exposure, expose
from digitspot.synth.houses import EMPTY, PLATES, draw_house
from digitspot.synth.jerseys import JERSEY_FRAMING, draw_jersey
from digitspot.synth.meters import METER_FRAMING, draw_meter
from digitspot.synth.scene import CLOSE, WIDE, Framing, Scene
from digitspot.synth.signs import SIGN_FRAMING, draw_sign
from digitspot.synth.typefaces import TEST_TYPEFACES, TRAIN_TYPEFACES, Typeface
from digitspot.types import FloatArray, ImageArray, IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """A generated image.

    Attributes:
        image: uint8 `[H, W, 3]`.
        boxes: float32 `[N, 4]` of each digit, number after number.
        labels: int64 `[N]`, digit + 1.
        numbers: int64 `[N]`, the number that each digit is of; 0 is the one to read.
    """

    image: ImageArray
    boxes: FloatArray
    labels: IntArray
    numbers: IntArray


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A kind of images.

    Attributes:
        draw: Makes a scene.
        framings: One is chosen for each image.
        exposure: How strongly images suffer.
    """

    draw: Callable[[Generator, Sequence[Typeface], Framing], Scene]
    framings: tuple[Framing, ...]
    exposure: Exposure


DOMAINS = {
    "houses": Domain(draw=draw_house, framings=(CLOSE, WIDE), exposure=STREET),
    "meters": Domain(draw=draw_meter, framings=(METER_FRAMING,), exposure=INDOORS),
    "displays": Domain(draw=draw_display, framings=(DISPLAY_FRAMING,), exposure=INDOORS),
    "jerseys": Domain(draw=draw_jersey, framings=(JERSEY_FRAMING,), exposure=STREET),
    "signs": Domain(draw=draw_sign, framings=(SIGN_FRAMING,), exposure=STREET),
    "empty": Domain(draw=partial(draw_house, style=EMPTY), framings=(CLOSE, WIDE), exposure=STREET),
    "plates": Domain(
        draw=partial(draw_house, style=PLATES), framings=(replace(CLOSE, tight=0.0),), exposure=NEAR
    ),
}
MIXED = "mixed"
"""The name for houses, meters, displays, jerseys, signs, houses again, and walls without a number in turn."""
_MIXTURE = ("houses", "meters", "displays", "jerseys", "signs", "houses", "empty")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the images of a split show.

    Attributes:
        domain: A key of `DOMAINS`, or `MIXED`.
        typefaces: What digits and words are set in.
        loose: Whether boxes are as people drew SVHN's (`Scene.loose_boxes`), instead of tight around the ink.
    """

    domain: str = "houses"
    typefaces: tuple[Typeface, ...] = TRAIN_TYPEFACES
    loose: bool = False

    def __post_init__(self) -> None:
        if self.domain not in (*DOMAINS, MIXED):
            raise ConfigError(f"no domain {self.domain!r}", hint=f"Domains: {', '.join([*DOMAINS, MIXED])}.")


def subject_of(
    split: str, domain: str, loose: bool = False, more_typefaces: tuple[Typeface, ...] = ()
) -> Subject:
    """Return what a split shows: `test` is set in typefaces that the others do not show."""
    typefaces = TEST_TYPEFACES if split == "test" else TRAIN_TYPEFACES + more_typefaces
    return Subject(domain=domain, typefaces=typefaces, loose=loose)


@dataclass(frozen=True, kw_only=True)
class SynthRequest:
    """What is to be generated.

    Attributes:
        train: Number of images; a split of 0 is not written.
        valid: Likewise.
        test: Likewise; in typefaces that the other splits do not show.
        seed: 0 or more.
        domain: What the images show, a key of `DOMAINS` or `MIXED`.
        packed: Write packs, which trainings read, and no image files.
        loose: Draw boxes as people do, larger than the ink and of one height; else tight around the ink.
        more_typefaces: For `train` and `valid`, beside those that come with packages.

    Raises:
        ConfigError: There is no such domain, or a size or the seed is negative.
    """

    train: int = 600
    valid: int = 100
    test: int = 150
    seed: int = 0
    domain: str = "houses"
    packed: bool = False
    loose: bool = False
    more_typefaces: tuple[Typeface, ...] = ()

    def __post_init__(self) -> None:
        sizes = {"train": self.train, "valid": self.valid, "test": self.test}
        if min(*sizes.values(), self.seed) < 0:
            raise ConfigError(f"sizes {sizes} and seed {self.seed}: none of them can be negative")
        self.subject("train")

    @property
    def sizes(self) -> dict[str, int]:
        """The number of images of each split that is written."""
        asked = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: size for name, size in asked.items() if size}

    def subject(self, split: str) -> Subject:
        """Return what a split shows."""
        return subject_of(split, self.domain, self.loose, self.more_typefaces)

    def about(self) -> dict[str, Any]:
        """Say what was asked for, with each typeface's licence; two requests of equal words are equal."""
        return {
            "images": self.sizes,
            "seed": self.seed,
            "domain": self.domain,
            "packed": self.packed,
            "boxes": "loose" if self.loose else "ink",
            "typefaces": {
                split: sorted({f"{face.family}: {face.licence}" for face in self.subject(split).typefaces})
                for split in self.sizes
            },
        }


def make_image(seed: int, split: str, index: int, subject: Subject) -> Generated:
    """Generate image `index` (from 0) of a split: the same arguments, the same image."""
    rng = np.random.default_rng((seed, zlib.crc32(split.encode()), index))
    domain = DOMAINS[_MIXTURE[index % len(_MIXTURE)] if subject.domain == MIXED else subject.domain]
    framing = one_of(rng, domain.framings)
    scene = domain.draw(rng, subject.typefaces, framing)
    flat = scene.view.image(scene.canvas)
    image = expose(rng, flat, scene.digit_height, domain.exposure)
    boxes = scene.loose_boxes if subject.loose else scene.boxes
    return Generated(image=image, boxes=boxes, labels=scene.labels, numbers=scene.numbers)
