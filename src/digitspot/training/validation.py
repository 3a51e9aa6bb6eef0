"""Validation: mAP and number accuracy on `valid` as it is and zoomed out, with the reader fitted to both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from digitspot.data.augment import ZoomOut, augment
from digitspot.data.labels import LabelledImage, LabelSet
from digitspot.data.pack import Pack
from digitspot.evaluation.coco_metrics import evaluate_boxes
from digitspot.reading import ReadingSettings, fit_settings, read_number
from digitspot.runtime import Runtime
from digitspot.structures import Detections, FloatArray, ImageArray

MAX_ZOOM_OUT = 2.0
"""`valid` comes from the same photographs as `train`, while pictures in use show more around the
number: SVHN's test digits have 0.71 of train's relative size."""
CHUNK = 128
"""Pictures in memory at a time."""

View = Callable[[int], tuple[ImageArray, FloatArray]]
"""From a place in the pack to a picture and its boxes."""


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        scores: `map`, `accuracy` and both again for `zoomed_`, in 0..1.
        reading: The reader's settings, fitted to both views together.
    """

    scores: dict[str, float]
    reading: ReadingSettings

    def mean(self, figure: str) -> float:
        """Return the mean of "map" or "accuracy" over both views."""
        return (self.scores[figure] + self.scores[f"zoomed_{figure}"]) / 2


class Validator:
    """Measures a runtime on a split, as it is and zoomed out.

    Args:
        pack: The split's pictures.
        labels: Its labels, read with `clip=False`.
    """

    def __init__(self, pack: Pack, labels: LabelSet) -> None:
        self.pack = pack
        self.labels = labels
        self.zoom = ZoomOut(probability=1.0, max_factor=MAX_ZOOM_OUT)

    def __call__(self, runtime: Runtime, progress: Callable[[int, int], None]) -> Validation:
        """Detect on both views, fit the reader to both, and score each."""
        total = 2 * len(self.pack)
        views = {"": self._plain, "zoomed_": self._zoomed}
        found: dict[str, dict[int, Detections]] = {}
        truth: dict[str, LabelSet] = {}
        for name, view in views.items():
            done = len(self.pack) * len(found)
            found[name], truth[name] = self._detect(runtime, view, Shifted(progress, done, total))
        numbers = {image.image_id: image.number for image in self.labels.images}
        reading, _ = fit_settings(
            [found[name][key] for name in views for key in numbers], list(numbers.values()) * len(views)
        )
        scores = {}
        for name in views:
            right = [read_number(found[name][key], reading).text == numbers[key] for key in numbers]
            scores[f"{name}map"] = evaluate_boxes(truth[name], found[name]).mean_ap
            scores[f"{name}accuracy"] = float(np.mean(right))
        return Validation(scores, reading)

    def _detect(
        self, runtime: Runtime, view: View, progress: Callable[[int], None]
    ) -> tuple[dict[int, Detections], LabelSet]:
        """Return the detections by image id, and the truth with the view's boxes."""
        found: dict[int, Detections] = {}
        truth: list[LabelledImage] = []
        for places in _chunks(len(self.pack)):
            pictures = [view(place) for place in places]
            detections = runtime.detect([image for image, _ in pictures])
            for place, (image, boxes), each in zip(places, pictures, detections, strict=True):
                labelled = self.labels.images[int(self.pack.source_rows[place])]
                size_hw = image.shape[0], image.shape[1]
                truth.append(replace(labelled, boxes=boxes, size_hw=size_hw))
                found[labelled.image_id] = each
            progress(places[-1] + 1)
        return found, replace(self.labels, images=tuple(truth))

    def _plain(self, place: int) -> tuple[ImageArray, FloatArray]:
        image = self.pack.image(place)
        scale = self.pack.scales_hw[place][::-1]
        return image, (self.pack.boxes(place) * np.tile(scale, 2)).astype(np.float32)

    def _zoomed(self, place: int) -> tuple[ImageArray, FloatArray]:
        image, boxes = self._plain(place)
        key = (0, 0, int(self.pack.image_ids[place]))
        return augment(self.zoom, image, boxes, key)


@dataclass(frozen=True)
class Shifted:
    """Progress of one of several passes."""

    progress: Callable[[int, int], None]
    before: int
    total: int

    def __call__(self, done: int) -> None:
        """Tell that `done` of this pass are done."""
        self.progress(self.before + done, self.total)


def _chunks(total: int) -> Iterator[range]:
    for start in range(0, total, CHUNK):
        yield range(start, min(total, start + CHUNK))
