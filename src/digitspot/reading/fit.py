"""Fitting the reader: which subsets are numbers, then how often its readings are right.

The probability is fitted on readings by readers that were fitted on other images: of five folds, each is
read with weights fitted to the other four. So it means on new images what it says.

Images that the detector was trained on may be fitted to as well, since they are many. The detector reads them
too well, so they never measure: the probability is rescaled on the other images (Platt 1999), and they count
only where the log-loss on the other images is lower with them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields, replace
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

    @classmethod
    def joined(cls, parts: Sequence[_Readings]) -> _Readings:
        """Join the readings of several views."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """A fitted reader, and how it reads views that the detector was not trained on, `[N]`.

    Attributes:
        weights: Of candidates.
        number_weights: Of the number's probability.
        digit_weights: Of a digit's probability.
        probabilities: Of the readings, by readers fitted without their images.
        right: Which of them are right.
    """

    weights: DoubleArray
    number_weights: DoubleArray
    digit_weights: DoubleArray
    probabilities: DoubleArray
    right: npt.NDArray[np.bool_]

    @property
    def log_loss(self) -> float:
        """Return the log-loss of the probabilities."""
        return log_loss(self.probabilities, self.right)


def fit_settings(
    detections: Sequence[Detections],
    numbers: Sequence[str | None],
    images: Sequence[Hashable] | None = None,
    boxes: Sequence[FloatArray] = (),
    seen: Sequence[bool] | None = None,
) -> tuple[ReadingSettings, npt.NDArray[np.bool_]]:
    """Fit the reader to a detector and its images.

    Args:
        detections: What was found in each view of an image.
        numbers: The true numbers; None where there is none.
        images: Which image each is a view of; None means that all are different. Views of one image are
            never fitted and judged on at once, and count as one in the guarantee.
        boxes: The true boxes of each view, `[N, 4]`, for the labels' style.
        seen: Whether the detector was trained on each; at least one not. None means on none.

    Returns:
        The settings, and which views that the detector was not trained on are read right by a reader fitted
        without their images.
    """
    settings = ReadingSettings(style=fit_style(boxes))
    if len(detections) == 0:
        return settings, np.zeros(0, bool)
    is_seen = np.zeros(len(detections), bool) if seen is None else np.array(seen)
    views = [_view(*each, settings.max_iou) for each in zip(detections, numbers, strict=True)]
    fold, image = _folds(range(len(views)) if images is None else images)
    new = np.flatnonzero(~is_seen).tolist()
    fits = [_fit([views[place] for place in new], fold[new], is_seen[new])]
    if is_seen.any():
        fits.append(_fit(views, fold, is_seen))
    best = min(fits, key=lambda each: each.log_loss)
    num_images, new_numbers = len(np.unique(image[new])), [numbers[place] for place in new]
    fitted = replace(
        settings,
        lengths=_plain(length_counts(new_numbers) / len(new)),
        weights=_plain(best.weights),
        number_weights=_plain(best.number_weights),
        digit_weights=_plain(best.digit_weights),
        risk=tabulate_risk(best.probabilities, best.right, num_views=len(new) / num_images),
        num_fitted=num_images,
        accuracy=float(best.right.mean()),
    )
    return fitted, best.right


def _fit(views: Sequence[_View], fold: IntArray, seen: npt.NDArray[np.bool_]) -> _Fitted:
    """Fit the reader to all views, and measure it on those that were not seen in training."""
    read = _read_by_others(views, fold)
    readings, new = _Readings.joined(read), ~seen
    tried = {ridge: _probabilities_by_others(readings, fold, seen, ridge) for ridge in RIDGES}
    ridge = min(tried, key=lambda each: log_loss(tried[each][new], readings.right[new]))
    digits = _Readings.joined([read[place] for place in np.flatnonzero(new).tolist()])
    return _Fitted(
        weights=_fit_weights(views),
        number_weights=_fit_number(readings.features, readings.right, seen, ridge),
        digit_weights=fit_logistic(digits.digit_features, digits.digits_right, np.array(PRIOR_DIGIT_WEIGHTS)),
        probabilities=tried[ridge][new],
        right=readings.right[new],
    )


def _view(detections: Detections, number: str | None, max_iou: float) -> _View:
    slots = find_slots(detections, max_iou)
    candidates = list_candidates(slots, detections.size_hw, detections.by_look)
    right = np.array([text == (number or "") for text in candidates.texts()])
    return _View(candidates=candidates, features=candidates.features(), right=right, number=number or "")


def _fit_weights(views: Sequence[_View]) -> DoubleArray:
    return fit_choice(
        [view.features for view in views], [view.right for view in views], np.array(PRIOR_WEIGHTS)
    )


def _fit_number(
    features: DoubleArray, right: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_], ridge: float
) -> DoubleArray:
    """Fit the weights of `NUMBER_NAMES`; the ridge is that of all but the core ones."""
    ridges = np.where(np.arange(len(NUMBER_NAMES)) < len(CORE_NAMES), CORE_RIDGE, ridge)
    weights = fit_logistic(features, right, np.array(PRIOR_NUMBER_WEIGHTS), ridges)
    if not seen.any():
        return weights
    logits = features[~seen] @ weights
    offset, factor = fit_logistic(
        np.stack([np.ones(len(logits)), logits], 1), right[~seen], np.array([0.0, 1.0])
    )
    weights *= factor
    weights[NUMBER_NAMES.index("always")] += offset
    return weights


def _folds(images: Sequence[Hashable]) -> tuple[IntArray, IntArray]:
    """Deal images into folds at random; return the fold and the image of each view."""
    number = {image: index for index, image in enumerate(dict.fromkeys(images))}
    dealt = np.random.default_rng(0).permutation(len(number)) % NUM_FOLDS
    image = np.array([number[each] for each in images])
    return dealt[image], image


def _read_by_others(views: Sequence[_View], fold: IntArray) -> list[_Readings]:
    """Read each view with weights fitted on the other folds."""
    weights = [
        _fit_weights([view for view, of in zip(views, fold, strict=True) if of != each])
        for each in range(NUM_FOLDS)
    ]
    return [_judge(view, weights[of]) for view, of in zip(views, fold.tolist(), strict=True)]


def _probabilities_by_others(
    readings: _Readings, fold: IntArray, seen: npt.NDArray[np.bool_], ridge: float
) -> DoubleArray:
    """Return each reading's probability, fitted on the other folds."""
    probabilities = np.zeros(len(fold))
    for each in range(NUM_FOLDS):
        own = fold == each
        weights = _fit_number(readings.features[~own], readings.right[~own], seen[~own], ridge)
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
