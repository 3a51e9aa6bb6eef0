"""Which images a model was trained on: it travels with the model and its answers, and no score hides it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from digitspot.boxes import clip_boxes
from digitspot.dataset.samples import Samples
from digitspot.errors import DataError
from digitspot.labels.labels import LabelSet
from digitspot.types import FloatArray, IntArray

KEY_BYTES = 8
OFFSET = 0.3702
"""Boxes are compared in quarters of a pixel, whose edges no coordinate of up to three decimals falls on:
files written again differ by less."""


@dataclass(frozen=True)
class Seen:
    """The images that a model was trained on, each known by its file's name and what its labels say.

    Labels and not pixels, since whoever scores answers need not have the images.

    Attributes:
        keys: One number for each image; of none, nothing is known.
    """

    keys: frozenset[int] = frozenset()

    @classmethod
    def of(cls, samples: Samples) -> Seen:
        """Return what a training on these images sees."""
        columns = zip(samples.file_names.tolist(), samples.original_sizes_hw.tolist(), strict=True)
        return cls(
            frozenset(
                _key(name, (height, width), samples.boxes(i), samples.labels(i))
                for i, (name, (height, width)) in enumerate(columns)
            )
        )

    @classmethod
    def from_text(cls, text: str, where: Path) -> Seen:
        """Read what `to_text` returned.

        Raises:
            DataError: It is something else.
        """
        try:
            values = base64.b64decode(text, validate=True)
            return cls(frozenset(np.frombuffer(values, "<u8").tolist()))
        except (binascii.Error, ValueError) as error:
            raise DataError(f"{where} does not say what a model was trained on: {error}") from error

    def to_text(self) -> str:
        """Return eleven characters an image."""
        return base64.b64encode(np.array(sorted(self.keys), "<u8").tobytes()).decode()

    def digest(self) -> str:
        """Return what tells these images from others in a few letters."""
        return blake2b(self.to_text().encode(), digest_size=KEY_BYTES).hexdigest()

    def among(self, labels: LabelSet) -> set[int]:
        """Return the ids of the images of a label file that were trained on.

        Images without boxes are alike by name and size, as 7.png of two cameras: where none with boxes was
        trained on, they are taken for others.
        """
        if not self.keys:
            return set()
        known = [
            image
            for image in labels.images
            if _key(image.file_name, image.size_hw, image.boxes, image.labels) in self.keys
        ]
        return {image.image_id for image in known} if any(len(image.boxes) for image in known) else set()


def unseen(seen: Seen, labels: LabelSet, image_ids: Iterable[int] | None, only_unseen: bool) -> set[int]:
    """Return the ids of the images that may be scored; those trained on may not.

    Args:
        seen: What the model was trained on.
        labels: The truth.
        image_ids: Which of its images; None is all.
        only_unseen: Leave out those trained on instead of refusing.

    Raises:
        DataError: Some were trained on, or all.
    """
    chosen = {image.image_id for image in labels.images} if image_ids is None else set(image_ids)
    known = seen.among(labels) & chosen
    if not known or (only_unseen and known != chosen):
        return chosen - known
    left = len(chosen) - len(known)
    raise DataError(
        f"{labels.path}: the model was trained on {len(known)} of these {len(chosen)} images; "
        "a score on them says nothing of others",
        hint=f"--only-unseen scores the other {left}." if left else "Give labels that it was not trained on.",
    )


def _key(name: str, size_hw: tuple[int, int], boxes: FloatArray, labels: IntArray) -> int:
    """Name an image by its file and labels; boxes may be cut to the frame, as training does, or not."""
    inside = clip_boxes(boxes, size_hw)
    kept = (inside[:, 2:] > inside[:, :2]).all(1)
    head = f"{name.rsplit('/')[-1]} {size_hw[0]} {size_hw[1]}"
    quarters = np.floor(4 * inside[kept] + OFFSET).astype("<i4")
    content = head.encode() + quarters.tobytes() + labels[kept].astype("<i8").tobytes()
    return int.from_bytes(blake2b(content, digest_size=KEY_BYTES).digest(), "little")
