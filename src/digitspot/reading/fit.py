"""Fitting the reader: which subsets are numbers, then how often its readings are right.

The probability is fitted on readings by readers that were fitted on other images: of five folds, each is
read with weights fitted to the other four. So it means on new images what it says.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

from digitspot.reading.candidates import Candidates, list_candidates
from digitspot.reading.certainty import (
    CORE_NAMES,
    NUMBER_NAMES,
    describe_digits,
    describe_number,
    sigmoid,
    softmax,
)
from digitspot.reading.likelihood import fit_choice, fit_logistic, log_loss
from digitspot.reading.selection import tabulate_risk
from digitspot.reading.settings import (
    PRIOR_DIGIT_WEIGHTS,
    PRIOR_NUMBER_WEIGHTS,
    PRIOR_WEIGHTS,
    ReadingSettings,
    length_counts,
)
from digitspot.reading.slots import find_slots
from digitspot.reading.style import fit_style
from digitspot.types import Detections, DoubleArray, FloatArray, IntArray

NUM_FOLDS = 5
CORE_RIDGE = 0.03
RIDGES = (0.03, 0.3, 3.0, 30.0, 300.0)
"""To choose from for what does not speak for every detector; the last all but switches it off."""


@dataclass(frozen=True, kw_only=True)
class _View:
    """What the reader can choose from in one view of an image.

    Attributes:
        candidates: All of them, `C`.
        features: Theirs, `[C, F]`.
        right: Whose text is the true number, `[C]`.
        number: The true number, "" for none.
    """

    candidates: Candidates
    features: DoubleArray
    right: npt.NDArray[np.bool_]
    number: str


@dataclass(frozen=True, kw_only=True)
class _Readings:
    """Readings of views, in their order, and whether they are right.

    Attributes:
        features: `[N, F]`, of the numbers.
        right: `[N]`.
        digit_features: `[D, F]`, of all digits.
        digits_right: `[D]`.
    """

    features: DoubleArray
    right: npt.NDArray[np.bool_]
    digit_features: DoubleArray
    digits_right: npt.NDArray[np.bool_]


def fit_settings(
    detections: Sequence[Detections],
    numbers: Sequence[str | None],
    images: Sequence[Hashable] | None = None,
    boxes: Sequence[FloatArray] = (),
) -> tuple[ReadingSettings, npt.NDArray[np.bool_]]:
    """Fit the reader to a detector and its images.

    Args:
        detections: What was found in each view of an image.
        numbers: The true numbers; None where there is none.
        images: Which image each is a view of; None means that all are different. Views of one image are
            never fitted and judged on at once, and count as one in the guarantee.
        boxes: The true boxes of each view, `[N, 4]`, for the labels' style.

    Returns:
        The settings, and which views are read right by a reader fitted without their images.
    """
    settings = ReadingSettings(style=fit_style(boxes))
    if len(detections) == 0:
        return settings, np.zeros(0, bool)
    views = [_view(*each, settings.max_iou) for each in zip(detections, numbers, strict=True)]
    fold, num_images = _folds(range(len(views)) if images is None else images)
    readings = _read_by_others(views, fold)
    tried = {ridge: _probabilities_by_others(readings, fold, ridge) for ridge in RIDGES}
    ridge = min(tried, key=lambda each: log_loss(tried[each], readings.right))
    digits = fit_logistic(readings.digit_features, readings.digits_right, np.array(PRIOR_DIGIT_WEIGHTS))
    fitted = replace(
        settings,
        lengths=_plain(length_counts(numbers) / len(numbers)),
        weights=_plain(_fit_weights(views)),
        number_weights=_plain(_fit_number(readings.features, readings.right, ridge)),
        digit_weights=_plain(digits),
        risk=tabulate_risk(tried[ridge], readings.right, num_views=len(views) / num_images),
        num_fitted=num_images,
        accuracy=float(readings.right.mean()),
    )
    return fitted, readings.right


def _view(detections: Detections, number: str | None, max_iou: float) -> _View:
    slots = find_slots(detections, max_iou)
    candidates = list_candidates(slots, detections.size_hw, detections.by_look)
    right = np.array([text == (number or "") for text in candidates.texts()])
    return _View(candidates=candidates, features=candidates.features(), right=right, number=number or "")


def _fit_weights(views: Sequence[_View]) -> DoubleArray:
    return fit_choice(
        [view.features for view in views], [view.right for view in views], np.array(PRIOR_WEIGHTS)
    )


def _fit_number(features: DoubleArray, right: npt.NDArray[np.bool_], ridge: float) -> DoubleArray:
    """Fit the weights of `NUMBER_NAMES`; the ridge is that of all but the core ones."""
    ridges = np.where(np.arange(len(NUMBER_NAMES)) < len(CORE_NAMES), CORE_RIDGE, ridge)
    return fit_logistic(features, right, np.array(PRIOR_NUMBER_WEIGHTS), ridges)


def _folds(images: Sequence[Hashable]) -> tuple[IntArray, int]:
    """Deal images into folds at random; return the fold of each view, and the number of images."""
    number = {image: index for index, image in enumerate(dict.fromkeys(images))}
    dealt = np.random.default_rng(0).permutation(len(number)) % NUM_FOLDS
    return dealt[[number[image] for image in images]], len(number)


def _read_by_others(views: Sequence[_View], fold: IntArray) -> _Readings:
    """Read each view with weights fitted on the other folds."""
    weights = [
        _fit_weights([view for view, of in zip(views, fold, strict=True) if of != each])
        for each in range(NUM_FOLDS)
    ]
    read = [_judge(view, weights[of]) for view, of in zip(views, fold.tolist(), strict=True)]
    names = ("features", "right", "digit_features", "digits_right")
    return _Readings(**{name: np.concatenate([getattr(each, name) for each in read]) for name in names})


def _probabilities_by_others(readings: _Readings, fold: IntArray, ridge: float) -> DoubleArray:
    """Return each reading's probability, fitted on the other folds."""
    probabilities = np.zeros(len(fold))
    for each in range(NUM_FOLDS):
        own = fold == each
        weights = _fit_number(readings.features[~own], readings.right[~own], ridge)
        probabilities[own] = sigmoid(readings.features[own] @ weights)
    return probabilities


def _judge(view: _View, weights: DoubleArray) -> _Readings:
    """Read one view, and see whether the number and each digit are right."""
    candidates = view.candidates
    scores = candidates.scores(weights)
    chosen, probabilities = int(np.argmax(scores)), softmax(scores)
    text = "".join(map(str, candidates.slots.digits[candidates.members[chosen] > 0]))
    digits_right = np.zeros(len(text), bool)
    for block in SequenceMatcher(None, text, view.number, autojunk=False).get_matching_blocks():
        digits_right[block.a : block.a + block.size] = True
    return _Readings(
        features=describe_number(candidates, probabilities, chosen)[None],
        right=view.right[chosen : chosen + 1],
        digit_features=describe_digits(candidates, probabilities, chosen),
        digits_right=digits_right,
    )


def _plain(weights: DoubleArray) -> tuple[float, ...]:
    return tuple(weights.tolist())
