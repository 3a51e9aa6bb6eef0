"""What the runtimes of exported models share: what the file says, and the graph's outputs image by image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from digitspot.cores import num_cores
from digitspot.model_file import ModelInfo
from digitspot.runtime.batches import BatchRuntime
from digitspot.types import Detections, FloatArray, IntArray

BATCH_SIZE = 8
"""Larger batches are not faster on a core (benchmarks/results/reading.md), and are padded more."""

Outputs = tuple[FloatArray, IntArray, FloatArray, IntArray]
"""Boxes, labels, scores and images; see `digitspot.detector.export.Core`."""


class ExportedRuntime(BatchRuntime):
    """A graph that `digitspot export` wrote.

    Args:
        info: What the file carries.
        batch_size: Images computed at once, by one core.
        num_threads: Batches computed at once; None takes every core.
    """

    def __init__(self, info: ModelInfo, batch_size: int = BATCH_SIZE, num_threads: int | None = None) -> None:
        self.num_threads = num_threads or num_cores()
        super().__init__(info.rule, batch_size, self.num_threads)
        self.info = info

    def _compute(self, batch: FloatArray, sizes_hw: Sequence[tuple[int, int]]) -> list[Detections]:
        boxes, labels, scores, image_index = self._run(batch, np.array(sizes_hw, np.int64))
        edges = np.searchsorted(image_index, np.arange(len(batch) + 1))
        return [
            _best(boxes[start:end], labels[start:end], scores[start:end], self.info.max_detections)
            for start, end in pairwise(edges)
        ]

    @abstractmethod
    def _run(self, images: FloatArray, sizes_hw: IntArray) -> Outputs:
        """Run the graph; called by several threads at once."""


def _best(boxes: FloatArray, labels: IntArray, scores: FloatArray, num: int) -> Detections:
    order = np.argsort(-scores, kind="stable")[:num]
    return Detections(boxes=boxes[order], labels=labels[order], scores=scores[order])
