"""What all runtimes share: the size rule, batches of like shapes, and boxes back in the images' pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from digitspot.config import InputConfig
from digitspot.cores import Threads
from digitspot.preprocess import Prepared, collate, group_by_shape, prepare
from digitspot.types import Detections, FloatArray, ImageArray


class BatchRuntime(ABC):
    """Detects in batches of one shape.

    Args:
        rule: The size rule.
        batch_size: Images computed at once.
        num_threads: Batches computed at once; a batch then has a core of its own.
    """

    def __init__(self, rule: InputConfig, batch_size: int, num_threads: int = 1) -> None:
        self.rule = rule
        self.batch_size = batch_size
        self._threads = Threads(num_threads) if num_threads > 1 else None

    def prepare(self, image: ImageArray, short_side: int | None = None) -> Prepared:
        """Resize an image by the size rule; see `Runtime.prepare`."""
        return prepare(image, self.rule, short_side)

    def detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        """Return the digits of each image, boxes in its own pixels; see `Runtime.detect`."""
        return self.detect_prepared([self.prepare(image) for image in images])

    def detect_prepared(self, inputs: Sequence[Prepared]) -> list[Detections]:
        """Return the digits of each image; see `Runtime.detect_prepared`."""
        groups = group_by_shape([item.size_hw for item in inputs], self.batch_size, self.rule.multiple)
        batches = [[inputs[index] for index in group] for group in groups]
        side_by_side = self._threads.map if self._threads and len(batches) > 1 else map
        found = side_by_side(self._detect_batch, batches)
        results: list[Detections] = [Detections.empty()] * len(inputs)
        for group, detections in zip(groups, found, strict=True):
            for index, each in zip(group, detections, strict=True):
                results[index] = each
        return results

    def _detect_batch(self, inputs: Sequence[Prepared]) -> list[Detections]:
        found = self._compute(collate(inputs, self.rule), [item.size_hw for item in inputs])
        return [
            replace(each, boxes=item.to_original(each.boxes), size_hw=item.original_hw)
            for item, each in zip(inputs, found, strict=True)
        ]

    @abstractmethod
    def _compute(self, batch: FloatArray, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        """Run the network.

        Args:
            batch: float32 `[B, 3, H, W]`, as `digitspot.preprocess.collate` makes it.
            sizes_hw: Each image's (height, width) without the padding.

        Returns:
            The digits of each image, boxes in input pixels.
        """
