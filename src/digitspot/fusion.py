"""Weighted box fusion: what several runs, or one run at several input sizes, found in the same image.

Solovyev, Wang and Gabruseva 2021 (doi 10.1016/j.imavis.2021.104117): boxes of a digit that overlap become one
box, the mean of theirs weighted by score; its score is their mean, less where not every run found it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from digitspot.boxes import box_ious
from digitspot.types import Detections, DoubleArray, FloatArray

MIN_IOU = 0.55
"""The paper's."""


@dataclass
class _Cluster:
    """Boxes of one digit at one place.

    Attributes:
        label: Theirs.
        boxes: Each `[4]`.
        scores: Theirs.
    """

    label: int
    boxes: list[DoubleArray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def box(self) -> DoubleArray:
        """Return the fused box, `[4]`."""
        weights = np.maximum(self.scores, 1e-12)
        return np.asarray(weights @ np.array(self.boxes) / weights.sum())


def fuse_runs(runs: Sequence[Mapping[int, Detections]], min_iou: float = MIN_IOU) -> dict[int, Detections]:
    """Fuse what several runs found, by image id; a run in which an image is missing found nothing there."""
    image_ids = dict.fromkeys(image_id for run in runs for image_id in run)
    return {
        image_id: fuse([run.get(image_id, Detections.empty()) for run in runs], min_iou)
        for image_id in image_ids
    }


def fuse(found: Sequence[Detections], min_iou: float = MIN_IOU) -> Detections:
    """Fuse what several runs found in one image.

    From the best box down, each joins the fused box of its digit that it overlaps most, or begins a new one.
    The order of the runs does not matter.

    Args:
        found: Of each run, in the same pixels.
        min_iou: Boxes that overlap by more are one.

    Returns:
        One box a place and digit, the best first; without class probabilities.
    """
    boxes = np.concatenate([each.boxes for each in found]).astype(np.float64)
    labels = np.concatenate([each.labels for each in found])
    scores = np.concatenate([each.scores for each in found]).astype(np.float64)
    clusters: list[_Cluster] = []
    fused = np.zeros((0, 4), np.float32)  # of the clusters, kept up to date
    for index in np.lexsort((labels, *boxes.T, -scores)).tolist():
        cluster = _best_cluster(boxes[index], int(labels[index]), clusters, fused, min_iou)
        if cluster is None:
            cluster = len(clusters)
            clusters.append(_Cluster(int(labels[index])))
            fused = np.concatenate([fused, np.zeros((1, 4), np.float32)])
        clusters[cluster].boxes.append(boxes[index])
        clusters[cluster].scores.append(float(scores[index]))
        fused[cluster] = clusters[cluster].box()
    # A run that found a place twice counts once, as in the paper: never more votes than runs.
    fused_scores = [
        np.mean(each.scores) * min(len(each.scores), len(found)) / len(found) for each in clusters
    ]
    result = Detections(
        boxes=fused,
        labels=np.array([each.label for each in clusters], np.int64),
        scores=np.array(fused_scores, np.float32),
        size_hw=next((each.size_hw for each in found if each.size_hw), None),
    )
    return result.select(np.argsort(-result.scores, kind="stable"))


def _best_cluster(
    box: DoubleArray, label: int, clusters: Sequence[_Cluster], fused: FloatArray, min_iou: float
) -> int | None:
    """Return which cluster of the digit a box overlaps most; None where none by enough."""
    if not clusters:
        return None
    alike = np.array([each.label == label for each in clusters])
    ious = np.where(alike, box_ious(box[None].astype(np.float32), fused)[0], 0)
    best = int(ious.argmax())
    return best if ious[best] > min_iou else None
