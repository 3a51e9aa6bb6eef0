"""A runtime that looks at every image at several input sizes and fuses what it found."""

from __future__ import annotations

from collections.abc import Sequence

from digitspot.fusion import fuse
from digitspot.preprocess import Prepared
from digitspot.runtime import Runtime
from digitspot.types import Detections, ImageArray


def at_sizes(runtime: Runtime, short_sides: Sequence[int]) -> Runtime:
    """Return a runtime that detects at some input sizes; where none is named, at the model's own."""
    return SeveralSizes(runtime, short_sides) if short_sides else runtime


class SeveralSizes:
    """Detects at several input sizes; it costs about as much as the sizes' pixels together.

    Args:
        runtime: Finds digits at one size.
        short_sides: The input sizes, of the shorter side.
    """

    def __init__(self, runtime: Runtime, short_sides: Sequence[int]) -> None:
        self.runtime = runtime
        self.short_sides = tuple(short_sides)

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        """Keep an image as it is until each size is made of it; with `short_side`, resize it to that."""
        if short_side is not None:
            return self.runtime.prepare(image, short_side)
        return Prepared(image, (image.shape[0], image.shape[1]))

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each image, boxes in its own pixels; see `Runtime.detect`."""
        return self.detect_prepared([self.prepare(image) for image in images])

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        """Return the digits of each image; see `Runtime.detect_prepared`."""
        found = [
            self.runtime.detect_prepared([self.runtime.prepare(each.pixels, short_side) for each in inputs])
            for short_side in self.short_sides
        ]
        return [fuse(of_image) for of_image in zip(*found, strict=True)]
