"""Both tasks at once: boxes and numbers against labels, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from digitspot.answers import Answers
from digitspot.errors import ConfigError
from digitspot.evaluation.breakdown import Group, reading_groups
from digitspot.evaluation.coco_metrics import BoxMetrics, evaluate_boxes
from digitspot.evaluation.diagnosis import likely_cause
from digitspot.evaluation.intervals import Interval, MetricIntervals, bootstrap_metrics
from digitspot.evaluation.mistakes import Kind, Mistake, list_mistakes
from digitspot.evaluation.number_metrics import NumberMetrics, evaluate_numbers
from digitspot.evaluation.reliability import ReliabilityMetrics, evaluate_reliability
from digitspot.labels.labels import LabelSet
from digitspot.types import DoubleArray


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good answers are.

    Attributes:
        boxes: COCO's figures.
        numbers: Whole numbers.
        intervals: Of AP and of accuracy; None without resamples.
        reliability: Of the probabilities; None where the answers have none.
        mistakes: Every wrong number, by kind.
        groups: Images by how hard they are, with what the reader said; empty where it said nothing.
        likely_cause: Why AP is near zero, if it is.
    """

    boxes: BoxMetrics
    numbers: NumberMetrics
    intervals: MetricIntervals | None
    reliability: ReliabilityMetrics | None
    mistakes: Mapping[Kind, Sequence[Mistake]]
    likely_cause: str | None = None
    groups: Sequence[Group] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        intervals = None if self.intervals is None else self.intervals.to_dict()
        reliability = None if self.reliability is None else self.reliability.to_dict()
        return {
            "boxes": self.boxes.to_dict(),
            "numbers": self.numbers.to_dict(),
            "intervals": intervals,
            "reliability": reliability,
            "mistakes": {kind: [vars(each) for each in group] for kind, group in self.mistakes.items()},
            "likely_cause": self.likely_cause,
            "groups": [vars(each) for each in self.groups],
        }

    def box_rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        interval = None if self.intervals is None else self.intervals.mean_ap
        return _with_interval(self.boxes.rows(), "AP", interval)

    def number_rows(self) -> list[tuple[str, str]]:
        """Return names and values for a table."""
        interval = None if self.intervals is None else self.intervals.accuracy
        reliability = [] if self.reliability is None else self.reliability.rows()
        return _with_interval(self.numbers.rows(), "accuracy", interval) + reliability

    def group_rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return name, images, mean probability, share right and its interval of each group."""
        return [
            (
                each.name,
                str(each.num_images),
                f"{each.probability:.3f}",
                f"{each.accuracy:.3f}",
                f"[{each.low:.3f}, {each.high:.3f}]",
            )
            for each in self.groups
        ]

    def mistake_rows(self, most: int) -> list[tuple[str, str, str, str, str]]:
        """Return kind, image, true and read number and probability, up to `most` of each kind."""
        return [
            (
                kind,
                each.image_id,
                each.true or "",
                each.read or "",
                "" if each.probability is None else f"{each.probability:.3f}",
            )
            for kind, group in self.mistakes.items()
            for each in group[:most]
        ]


def evaluate_answers(
    labels: LabelSet,
    answers: Answers,
    *,
    image_ids: Iterable[int] | None = None,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Scores:
    """Score boxes and numbers.

    Args:
        labels: The truth, read with `clip=False`.
        answers: What to score.
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
    detections, numbers, readings = answers.detections, answers.numbers, answers.readings
    intervals = None
    if num_resamples:
        intervals = bootstrap_metrics(
            labels, detections, truth, numbers, image_ids=chosen, num_resamples=num_resamples, level=level
        )
    boxes = evaluate_boxes(labels, detections, chosen)
    right, probabilities = _outcomes(truth, readings or {})
    return Scores(
        boxes=boxes,
        numbers=evaluate_numbers(truth, numbers),
        intervals=intervals,
        reliability=None
        if readings is None
        else evaluate_reliability(probabilities, right, num_resamples=num_resamples, level=level),
        mistakes=list_mistakes(truth, numbers, {key: each[1] for key, each in (readings or {}).items()}),
        likely_cause=likely_cause(labels, detections, boxes.mean_ap, chosen),
        groups=() if readings is None else reading_groups(images, right, probabilities),
    )


def _outcomes(
    truth: Mapping[str, str | None], readings: Mapping[str, tuple[str | None, float]]
) -> tuple[npt.NDArray[np.bool_], DoubleArray]:
    """Return whether each image was read right, and how probable the reader said that was, `[N]` both.

    An image without a reading was read as no number, surely wrong.
    """
    reads = [readings.get(key, (None, 0.0)) for key in truth]
    right = np.array(
        [(text or "") == (true or "") for (text, _), true in zip(reads, truth.values(), strict=True)]
    )
    probabilities = np.array([probability for _, probability in reads])
    return right, probabilities


def _with_interval(
    rows: list[tuple[str, str]], name: str, interval: Interval | None
) -> list[tuple[str, str]]:
    """Put an interval beside the figure of that name."""
    if interval is None:
        return rows
    shown = f"[{interval.low:.4f}, {interval.high:.4f}] {interval.level:.0%}"
    return [(key, f"{value}  {shown}" if key == name else value) for key, value in rows]
