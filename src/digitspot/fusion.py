"""Weighted box fusion: what several runs, or one run at several input sizes, found in the same image.

Solovyev, Wang and Gabruseva 2021 (doi 10.1016/j.imavis.2021.104117): boxes of a digit that overlap become one
box, the mean of theirs weighted by score; its score is their mean, less where not every run found it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from digitspot.types import Box, Detections

Corners = tuple[float, float, float, float] | list[float]

MIN_IOU = 0.55
"""The paper's."""


@dataclass
class _Cluster:
    """Boxes of one digit at one place. Plain numbers: with a few boxes, faster than arrays.

    Attributes:
        label: Theirs.
        scores: Theirs.
        total: Sum of their corners, weighted by score.
        weight: Sum of the weights.
    """

    label: int
    scores: list[float] = field(default_factory=list)
    total: Corners = (0.0, 0.0, 0.0, 0.0)
    weight: float = 0.0

    def add(self, box: Corners, score: float) -> None:
        """Take in one more box."""
        weight = max(score, 1e-12)
        x1, y1, x2, y2 = self.total
        self.total = (x1 + weight * box[0], y1 + weight * box[1], x2 + weight * box[2], y2 + weight * box[3])
        self.weight += weight
        self.scores.append(score)

    @property
    def box(self) -> Corners:
        """The fused box."""
        x1, y1, x2, y2 = self.total
        return x1 / self.weight, y1 / self.weight, x2 / self.weight, y2 / self.weight


def fuse_runs(runs: Sequence[Mapping[int, Detections]], min_iou: float = MIN_IOU) -> dict[int, Detections]:
    """Fuse what several runs found, by image id; a run in which an image is missing found nothing there."""
    image_ids = dict.fromkeys(image_id for run in runs for image_id in run)
    return {
        image_id: fuse([run.get(image_id, Detections.empty()) for run in runs], min_iou)
        for image_id in image_ids
    }


def fuse(found: Sequence[Detections], min_iou: float = MIN_IOU, regions: Sequence[Box] = ()) -> Detections:
    """Fuse what several runs found in one image.

    From the best box down, each joins the fused box of its digit that it overlaps most, or begins a new one.
    The order of the runs does not matter.

    Args:
        found: Of each run, in the same pixels.
        min_iou: Boxes that overlap by more are one.
        regions: The part of the image that each run looked at: a box counts as missed by those runs only that
            could have found it. Empty is the whole image for all.

    Returns:
        One box a place and digit, the best first; without class probabilities.
    """
    boxes = np.concatenate([each.boxes for each in found]).astype(np.float64)
    labels = np.concatenate([each.labels for each in found])
    scores = np.concatenate([each.scores for each in found]).astype(np.float64)
    clusters: list[_Cluster] = []
    order = np.lexsort((labels, *boxes.T, -scores))
    for box, label, score in zip(
        boxes[order].tolist(), labels[order].tolist(), scores[order].tolist(), strict=True
    ):
        alike = [each for each in clusters if each.label == label]
        cluster = max(alike, key=lambda each: _iou(box, each.box), default=None)
        if cluster is None or _iou(box, cluster.box) <= min_iou:
            cluster = _Cluster(label)
            clusters.append(cluster)
        cluster.add(box, score)
    fused_scores = []
    for each in clusters:
        # A run that found a place twice counts once, as in the paper: never more votes than runs.
        runs = max(1, sum(_shows(region, each.box) for region in regions)) if regions else len(found)
        fused_scores.append(np.mean(each.scores) * min(len(each.scores), runs) / runs)
    result = Detections(
        boxes=np.array([each.box for each in clusters], np.float32).reshape(-1, 4),
        labels=np.array([each.label for each in clusters], np.int64),
        scores=np.array(fused_scores, np.float32),
        size_hw=next((each.size_hw for each in found if each.size_hw), None),
    )
    return result.select(np.argsort(-result.scores, kind="stable"))


def _shows(region: Box, box: Corners) -> bool:
    """Return whether the middle of a box is in a region."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return region[0] <= x < region[2] and region[1] <= y < region[3]


def _iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the intersection over union of two boxes; 0 where neither has an area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / (areas - width * height)
