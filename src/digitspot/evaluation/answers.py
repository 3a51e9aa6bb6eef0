"""Both tasks at once: boxes and numbers against labels, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from digitspot.data.labels import LabelSet
from digitspot.errors import ConfigError
from digitspot.evaluation.coco_metrics import BoxMetrics, evaluate_boxes
from digitspot.evaluation.intervals import Interval, MetricIntervals, bootstrap_metrics
from digitspot.evaluation.number_metrics import NumberMetrics, evaluate_numbers
from digitspot.reading import ReadingSettings, read_number
from digitspot.structures import Detections


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good answers are.

    Attributes:
        boxes: COCO's figures.
        numbers: Whole numbers.
        intervals: Of AP and of accuracy; None without resamples.
    """

    boxes: BoxMetrics
    numbers: NumberMetrics
    intervals: MetricIntervals | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        intervals = None if self.intervals is None else self.intervals.to_dict()
        return {"boxes": self.boxes.to_dict(), "numbers": self.numbers.to_dict(), "intervals": intervals}

    def box_rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        interval = None if self.intervals is None else self.intervals.mean_ap
        return _with_interval(self.boxes.rows(), "AP", interval)

    def number_rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        interval = None if self.intervals is None else self.intervals.accuracy
        return _with_interval(self.numbers.rows(), "accuracy", interval)


def evaluate_answers(
    labels: LabelSet,
    detections: Mapping[int, Detections],
    numbers: Mapping[str, str | None] | None = None,
    *,
    image_ids: Iterable[int] | None = None,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Scores:
    """Score boxes and numbers.

    Args:
        labels: The truth, read with `clip=False`.
        detections: By image id.
        numbers: By image id as a string; None reads them from the boxes with the plain settings.
        image_ids: Compare these images only; None means all of `labels`.
        num_resamples: Bootstrap resamples over images; 0 gives no intervals.
        level: Of the intervals.

    Raises:
        ConfigError: `num_resamples` or `level` is out of range.
        DataError: Answers or ids are of other images than the labels.
    """
    if num_resamples < 0 or not 0 < level < 1:
        raise ConfigError(f"{num_resamples} resamples at level {level}: need 0 or more, and 0 < level < 1")
    chosen = None if image_ids is None else set(image_ids)
    images = [image for image in labels.images if chosen is None or image.image_id in chosen]
    truth = {str(image.image_id): image.number for image in images}
    if numbers is None:
        numbers = _read_plainly(truth, detections)
    intervals = None
    if num_resamples:
        intervals = bootstrap_metrics(
            labels, detections, truth, numbers, image_ids=chosen, num_resamples=num_resamples, level=level
        )
    return Scores(
        boxes=evaluate_boxes(labels, detections, chosen),
        numbers=evaluate_numbers(truth, numbers),
        intervals=intervals,
    )


def _read_plainly(keys: Iterable[str], detections: Mapping[int, Detections]) -> dict[str, str | None]:
    """Read numbers from boxes of which no model says how, with the reader's own settings."""
    settings = ReadingSettings()
    return {key: read_number(detections.get(int(key), Detections.empty()), settings).text for key in keys}


def _with_interval(
    rows: list[tuple[str, str]], name: str, interval: Interval | None
) -> list[tuple[str, str]]:
    """Put an interval beside the figure of that name."""
    if interval is None:
        return rows
    shown = f"[{interval.low:.4f}, {interval.high:.4f}] {interval.level:.0%}"
    return [(key, f"{value}  {shown}" if key == name else value) for key, value in rows]
