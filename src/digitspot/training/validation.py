"""What a network does on images: losses, mAP and number accuracy, in evaluation and without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from digitspot.boxes import box_areas
from digitspot.config import Config
from digitspot.dataset.augment import augment
from digitspot.dataset.samples import Samples
from digitspot.dataset.transforms import ZoomOut
from digitspot.detector import Detector
from digitspot.evaluation.coco_metrics import evaluate_boxes
from digitspot.labels.labels import LabelledImage, LabelSet
from digitspot.preprocess import Prepared, collate, group_by_shape
from digitspot.reading import ReadingSettings, fit_settings, read_number
from digitspot.runtime import Runtime
from digitspot.runtime.look_fit import LabelledView, fit_looks
from digitspot.runtime.torch_runtime import TorchRuntime
from digitspot.training.loader import TensorBatch
from digitspot.training.losses import evaluation_losses
from digitspot.types import Detections, FloatArray, ImageArray

MAX_ZOOM_OUT = 2.0
"""`valid` comes from the same images as `train`, while images in use show more around the
number: SVHN's test digits have 0.71 of train's relative size."""
CHUNK = 128
"""Images in memory at a time."""
BATCH = 32
"""Images that are computed at once, at most."""

View = Callable[[Samples, int], tuple[ImageArray, FloatArray]]
"""From a place in the samples to an image and its boxes in its pixels."""
Progress = Callable[[int], None]
"""Called with the images done."""


def runtime_of(
    detector: Detector, config: Config, device: torch.device, precision: str = "fp32"
) -> TorchRuntime:
    """Return a runtime of a network in training, computing no more pixels at once than an update does."""
    rule, limit = config.input, config.train.max_batch_pixels
    batch = BATCH if limit is None else min(BATCH, max(1, limit // (rule.short_side * rule.long_side)))
    return TorchRuntime(detector, rule, device, precision, batch_size=batch)


def as_stored(samples: Samples, place: int) -> tuple[ImageArray, FloatArray]:
    """View an image as it is."""
    return samples.image(place), samples.stored_boxes(place)


def zoomed_out(samples: Samples, place: int) -> tuple[ImageArray, FloatArray]:
    """View an image as if photographed from farther away; the same at every validation."""
    return zoom_out(*as_stored(samples, place), int(samples.image_ids[place]))


def zoom_out(image: ImageArray, boxes: FloatArray, image_id: int) -> tuple[ImageArray, FloatArray]:
    """Return an image shrunk by up to `MAX_ZOOM_OUT` within its frame, and its boxes there."""
    return augment(_ZOOM, image, boxes, (0, 0, image_id))


_ZOOM = ZoomOut(probability=1.0, max_factor=MAX_ZOOM_OUT)


@dataclass(frozen=True)
class Look:
    """What a network found on images, and what is there.

    Attributes:
        found: Detections by image id.
        truth: The images' labels.
        loss: Sum of the losses, mean over the images; None where it was not asked for.
    """

    found: dict[int, Detections]
    truth: LabelSet
    loss: float | None

    def scores(self, reading: ReadingSettings) -> dict[str, float]:
        """Return `map` and, with the reader's settings, `accuracy`, in 0..1; `loss` where there is one."""
        right = [
            read_number(self.found[image.image_id], reading).text == image.number
            for image in self.truth.images
        ]
        scores = {"map": evaluate_boxes(self.truth, self.found).mean_ap, "accuracy": float(np.mean(right))}
        return scores if self.loss is None else {"loss": self.loss, **scores}


def look(
    runtime: TorchRuntime,
    samples: Samples,
    places: Sequence[int],
    *,
    view: View = as_stored,
    with_loss: bool = False,
    progress: Progress = lambda _: None,
) -> Look:
    """Detect on images, a few in memory at a time.

    Args:
        runtime: The network.
        samples: What the images are of.
        places: Which images, at least one.
        view: How they are seen.
        with_loss: Whether to compute the losses, too.
        progress: Called with the images done.
    """
    found: dict[int, Detections] = {}
    truth: list[LabelledImage] = []
    total_loss = 0.0
    for chunk in _chunks(places):
        views = [view(samples, place) for place in chunk]
        prepared = [runtime.prepare(image) for image, _ in views]
        for place, (image, boxes), each in zip(chunk, views, runtime.detect_prepared(prepared), strict=True):
            truth.append(_labelled(samples, place, boxes, (image.shape[0], image.shape[1])))
            found[truth[-1].image_id] = each
        if with_loss:
            total_loss += _sum_of_losses(runtime, prepared, truth[-len(chunk) :], key=len(truth))
        progress(len(truth))
    labels = LabelSet.of(tuple(truth), categories=samples.categories, path=Path("labels"))
    return Look(found, labels, total_loss / len(truth) if with_loss else None)


def _sum_of_losses(
    runtime: TorchRuntime, inputs: Sequence[Prepared], truth: Sequence[LabelledImage], key: int
) -> float:
    """Return the loss of each batch times its images, summed."""
    total = 0.0
    groups = group_by_shape([item.size_hw for item in inputs], runtime.batch_size, runtime.rule.multiple)
    for number, group in enumerate(groups):
        batch = TensorBatch(
            images=torch.from_numpy(collate([inputs[i] for i in group], runtime.rule)),
            sizes_hw=[inputs[i].size_hw for i in group],
            targets=[_target(inputs[i], truth[i]) for i in group],
            image_ids=[truth[i].image_id for i in group],
        )
        losses = evaluation_losses(runtime.detector, batch, runtime.device, runtime.precision, (key, number))
        total += losses["loss"] * len(group)
    return total


def _target(item: Prepared, truth: LabelledImage) -> dict[str, torch.Tensor]:
    """Return the boxes that can be learnt, in input pixels."""
    boxes = item.to_input(truth.boxes)
    real = ~truth.crowd & (boxes[:, 2:] > boxes[:, :2]).all(1)
    return {"boxes": torch.from_numpy(boxes[real]), "labels": torch.from_numpy(truth.labels[real])}


def _labelled(samples: Samples, place: int, boxes: FloatArray, size_hw: tuple[int, int]) -> LabelledImage:
    return LabelledImage(
        image_id=int(samples.image_ids[place]),
        file_name=str(samples.file_names[place]),
        size_hw=size_hw,
        boxes=boxes,
        labels=samples.labels(place),
        areas=box_areas(boxes).astype(np.float64),
        crowd=samples.crowd(place),
    )


def _chunks(places: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(places), CHUNK):
        yield places[start : start + CHUNK]


def fit_reading(*looks: Look) -> tuple[ReadingSettings, list[float]]:
    """Fit the reader to all looks together, which may be of the same images.

    Returns:
        Its settings, and the accuracy on each look, its images read with settings fitted without them.
    """
    views = [(each.found[image.image_id], image) for each in looks for image in each.truth.images]
    reading, right = fit_settings(
        [found for found, _ in views],
        [image.number for _, image in views],
        images=[image.image_id for _, image in views],
        boxes=[image.boxes for _, image in views],
    )
    ends = np.cumsum([len(each.truth.images) for each in looks])
    return reading, [float(part.mean()) for part in np.split(right, ends[:-1])]


def selection_score(scores: Mapping[str, float], figure: str) -> float:
    """Return what models are selected by: the mean of "map" or "accuracy" over both views."""
    return (scores[figure] + scores[f"zoomed_{figure}"]) / 2


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        scores: `valid_loss`, `map` and `accuracy`, and the last two again for `zoomed_`.
        reading: The reader's settings, fitted to both views together.
    """

    scores: dict[str, float]
    reading: ReadingSettings

    def mean(self, figure: str) -> float:
        """Return the mean of "map" or "accuracy" over both views."""
        return selection_score(self.scores, figure)


@dataclass(frozen=True)
class Validator:
    """Measures a network on images that it is not trained on, as they are and zoomed out.

    Attributes:
        samples: A split.
        places: Which of its images.
        name: What these are, for the records.
    """

    samples: Samples
    places: Sequence[int]
    name: str = "valid"

    def __call__(self, runtime: TorchRuntime, progress: Callable[[int, int], None]) -> Validation:
        """Detect on both views, fit the reader to both, and score each."""
        num = len(self.places)
        plain = look(
            runtime, self.samples, self.places, with_loss=True, progress=lambda done: progress(done, 2 * num)
        )
        zoomed = look(
            runtime,
            self.samples,
            self.places,
            view=zoomed_out,
            progress=lambda done: progress(num + done, 2 * num),
        )
        reading, accuracies = fit_reading(plain, zoomed)
        scores: dict[str, float] = {}
        for look_, accuracy, prefix in zip((plain, zoomed), accuracies, ("", "zoomed_"), strict=True):
            of_look = {**look_.scores(reading), "accuracy": accuracy}
            scores |= {prefix + name.replace("loss", "valid_loss"): each for name, each in of_look.items()}
        return Validation(scores, reading)

    def fit_looks(
        self, runtime: Runtime, num_looks: int, progress: Callable[[int, int], None]
    ) -> ReadingSettings:
        """Fit the reader to both views, seen in so many looks at most; see `look_fit.fit_looks`."""
        return fit_looks(runtime, self._views, 2 * len(self.places), num_looks=num_looks, progress=progress)

    def _views(self) -> Iterator[LabelledView]:
        for place in self.places:
            for view in (as_stored, zoomed_out):
                image, boxes = view(self.samples, place)
                truth = _labelled(self.samples, place, boxes, (image.shape[0], image.shape[1]))
                yield LabelledView(image, boxes, truth.number, truth.image_id)
