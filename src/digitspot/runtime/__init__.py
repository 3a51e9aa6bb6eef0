"""Runtimes: what finds digits in images, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from digitspot.config import InputConfig
from digitspot.preprocess import Prepared
from digitspot.types import Detections, ImageArray


class Runtime(Protocol):
    """Finds digits in images."""

    @property
    def rule(self) -> InputConfig:
        """How images are resized."""
        ...

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        """Resize an image, uint8 RGB `[H, W, 3]` of any size, for `detect_prepared`; threads may do it.

        Args:
            image: The image.
            short_side: Takes the place of the model's own input size.
        """
        ...

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        """Return the digits of each image, boxes in the pixels it had before it was resized."""
        ...

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each image, boxes in its own pixels.

        Args:
            images: uint8 RGB `[H, W, 3]` each, of any sizes.
        """
        ...
