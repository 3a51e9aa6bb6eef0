"""Runtimes: what finds digits in pictures, behind one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from digitspot.structures import Detections, ImageArray


class Runtime(Protocol):
    """Finds digits in pictures."""

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each picture, boxes in its own pixels.

        Args:
            images: uint8 RGB `[H, W, 3]` each, of any sizes.
        """
        ...
