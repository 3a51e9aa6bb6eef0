"""Whether a model reads more than the one that it came from, on images that neither was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitspot.evaluation.intervals import Interval, accuracy_samples, percentile_interval
from digitspot.labels.coco import find_split, read_labels
from digitspot.reader import Reader

MIN_HELD_OUT = 10
"""With fewer held-out images there is no verdict."""
WEAK = 0.5
"""A model that reads a smaller share of the held-out numbers is of no use yet."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a model reads the numbers of `valid`, against the one that it came from.

    Attributes:
        images: How many there are.
        before: Share that the first one read.
        now: Share that the new one reads.
        gain: The difference, with the interval of a paired bootstrap over images.
    """

    images: int
    before: float
    now: float
    gain: Interval

    @property
    def is_better(self) -> bool:
        """Whether the new model reads more, beyond chance."""
        return self.images >= MIN_HELD_OUT and self.gain.low > 0

    def sentences(self, base: str) -> list[str]:
        """Return what to tell the user."""
        told = [
            f"on {self.images} held-out images: {self.before:.1%} of the numbers right with {base}, "
            f"{self.now:.1%} now; {self.gain.value:+.1%} [{self.gain.low:+.1%}, {self.gain.high:+.1%}]"
        ]
        if self.gain.high < 0:
            told.append(f"It became worse: keep {base}.")
        elif not self.is_better:
            told.append("That can be chance: label more images to know.")
        if self.now < WEAK:
            told.append("It is too weak to use: label more images, or images more like those to be read.")
        return told


def judge(run: Path, base: str, data: Path) -> Verdict:
    """Compare a model with the one that it came from, on `valid`."""
    split = find_split(data, "valid")
    truth = read_labels(split.labels_path, clip=False)
    paths = [split.images_dir / image.file_name for image in truth.images]
    rights = []
    for model in (base, str(run)):
        read = Reader.load(model).read_many(paths)
        rights.append(
            np.array([each.text == image.number for each, image in zip(read, truth.images, strict=True)])
        )
    before, now = rights
    samples = accuracy_samples(now) - accuracy_samples(before)
    gain = percentile_interval(float(now.mean() - before.mean()), samples)
    return Verdict(images=len(truth), before=float(before.mean()), now=float(now.mean()), gain=gain)
