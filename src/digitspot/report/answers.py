"""Answers with the truth, and all that a report says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from digitspot.answers import read_answers, read_command
from digitspot.dataset.seen import unseen
from digitspot.evaluation.answers import Scores, evaluate_answers
from digitspot.evaluation.comparison import Trainings
from digitspot.evaluation.intervals import accuracy_samples, mean_ap_samples
from digitspot.evaluation.matching import Matches, match_boxes
from digitspot.evaluation.number_metrics import exact_matches
from digitspot.labels.labels import LabelSet
from digitspot.types import Detections


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """What was answered, and the truth.

    Attributes:
        folder: Where the answers are.
        labels: The truth.
        detections: By image id.
        numbers: By image id as a string, after any abstention.
        scores: Of all of it, as `digitspot evaluate` has them.
        command: What wrote them; empty if they do not say.
    """

    folder: Path
    labels: LabelSet
    detections: Mapping[int, Detections]
    numbers: Mapping[str, str | None]
    scores: Scores
    command: Sequence[str] = ()

    @cached_property
    def matches(self) -> Matches:
        """Which box found which digit."""
        return match_boxes(self.labels, self.detections)

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which numbers are right, `[N]` in the order of the labels."""
        truth = {str(image.image_id): image.number for image in self.labels.images}
        return exact_matches(truth, self.numbers)

    def resampled(self, figure: str, num_resamples: int) -> Trainings:
        """Return "AP" or "accuracy" with its resamples, for a comparison."""
        if figure == "AP":
            value = self.scores.boxes.mean_ap
            samples = mean_ap_samples(self.matches, num_resamples=num_resamples)
        else:
            value = float(self.right.mean())
            samples = accuracy_samples(self.right, num_resamples=num_resamples)
        return Trainings(values=np.array([value]), samples=samples[None])


def score_answers(folder: Path, labels: LabelSet, num_resamples: int) -> ScoredAnswers:
    """Read answers and score them.

    Raises:
        DataError: They cannot be used, or the model was trained on the images.
    """
    answers = read_answers(folder, labels)
    unseen(answers.seen, labels, None, False)
    scores = evaluate_answers(labels, answers, num_resamples=num_resamples)
    return ScoredAnswers(folder, labels, answers.detections, answers.numbers, scores, read_command(folder))
