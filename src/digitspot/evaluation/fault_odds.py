"""Odds that labels are wrong, one function for each kind of fault, calibrated on all labels of a split.

Every function is Bayes' rule for one label: the odds of a fault are how often such faults are, times how much
better a fault explains the label than care does. What care looks like is fitted to the labels themselves,
nearly all of which are right.
"""

from __future__ import annotations

from math import log

import numpy as np
from scipy import stats

from digitspot.evaluation.pairing import Pairs
from digitspot.reading.certainty import sigmoid
from digitspot.reading.likelihood import fit_logistic
from digitspot.types import NUM_DIGITS, DoubleArray

FAULT_SHARE = 0.01
"""Of labels, for each kind: what is believed before looking. It changes no order within a kind."""
EMPTY_SHARE = 0.002
"""Of labels, of boxes around no digit at all: people do that less often than they miss one."""
TEMPERATURES = np.geomspace(0.3, 2, 20)

FAULT_OFFSET, FAULT_TAIL = 0.3, 4.0
"""Of a box out of place: a Student t distribution of its offset, as a share of its sides."""
OFFSET_SHARES = (0.4, 0.4, 0.1, 0.1)
"""Where a box out of place is off: its centre across and down, its width, its height."""
TAILS = (2, 3, 4, 5, 7, 10, 20)
WIDTHS = np.geomspace(0.5, 3, 13)
MIN_OFFSETS = 50
"""With fewer pairs no scatter is fitted, and `USUAL_OFFSET` is taken."""
USUAL_OFFSET, SMALL_TAIL = 0.08, 3.0
_LEAST_OFFSET = 0.005

MAX_REAL = 0.999
_MAX_FEATURES = np.array([1, np.inf, np.inf, 1, 1.5, 2, 3, 1])


def class_odds(pairs: Pairs) -> DoubleArray:
    """Return the odds `[N]` that each label names the wrong digit; 0 of labels without a place.

    A wrong label is taken to be any of the nine others alike. The shares of the digits get the temperature
    (Guo et al. 2017) at which the labels are most probable, given that some are wrong.
    """
    rows = np.flatnonzero(pairs.place >= 0)
    odds = np.zeros(len(pairs.place))
    shares, digits = pairs.shares[pairs.place[rows]], pairs.digits[rows]
    if not len(rows):
        return odds

    def own(temperature: float) -> DoubleArray:
        sharper = shares**temperature
        return np.asarray(sharper[np.arange(len(rows)), digits] / sharper.sum(1))

    def likelihood(share: DoubleArray) -> float:
        return float(np.log((1 - FAULT_SHARE) * share + FAULT_SHARE * (1 - share) / (NUM_DIGITS - 1)).sum())

    share = max((own(temperature) for temperature in TEMPERATURES), key=likelihood)
    odds[rows] = FAULT_SHARE / (NUM_DIGITS - 1) * (1 - share) / share
    return odds


def location_odds(pairs: Pairs) -> DoubleArray:
    """Return the odds `[N]` that each labelled box is out of place; 0 of labels without a place.

    The usual offset between label and detector is a Student t distribution, for each of centre and size,
    across and down; its scale follows how sure the detector is, the digit's size and shape, and whether it is
    alone.
    """
    rows = np.flatnonzero(pairs.place >= 0)
    odds = np.zeros(len(pairs.place))
    if not len(rows):
        return odds
    offsets = _offsets(pairs.boxes[rows], pairs.place_boxes[pairs.place[rows]])  # [R, 4]
    scales = _usual_scales(offsets, _scale_features(pairs, rows))
    for column, share in enumerate(OFFSET_SHARES):
        faulty = log(FAULT_SHARE * share) + stats.t.logpdf(offsets[:, column], FAULT_TAIL, scale=FAULT_OFFSET)
        usual = _usual_density(offsets[:, column], scales[:, column], faulty)
        odds[rows] += np.exp(np.clip(faulty - usual, -50, 50))
    return odds


def missing_odds(pairs: Pairs) -> DoubleArray:
    """Return the odds `[K]` that a digit at each place was not boxed; 0 of places with a label.

    How probable a place is to be labelled is a logistic regression on the detector's scores and on whether it
    continues the row of the labelled digits, its own label left out.
    """
    labelled = pairs.label >= 0
    features = np.minimum(_row_features(pairs), _MAX_FEATURES)
    weights = fit_logistic(features, labelled, np.zeros(features.shape[1]))
    real = np.minimum(sigmoid(features @ weights), MAX_REAL)
    return np.where(labelled, 0, FAULT_SHARE * real / (1 - real))


def empty_odds(pairs: Pairs) -> DoubleArray:
    """Return the odds `[N]` that there is no digit in each labelled box; 0 of labels with a place.

    The detector finds nothing where nothing is; the share of labels that it does not find tells how often it
    finds nothing where something is.
    """
    alone = pairs.place < 0
    return np.where(alone, EMPTY_SHARE / max(alone.mean() if len(alone) else 0, 1e-3), 0)


def _offsets(boxes: DoubleArray, others: DoubleArray) -> DoubleArray:
    """Return how far boxes are off others, `[N, 4]`: centres in sides of the other, sides as log ratios."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    other_sides = np.maximum(others[:, 2:] - others[:, :2], 1e-3)
    shift = (boxes[:, :2] + boxes[:, 2:] - others[:, :2] - others[:, 2:]) / 2 / other_sides
    return np.concatenate([shift, np.log(sides / other_sides)], axis=1)


def _scale_features(pairs: Pairs, rows: np.ndarray) -> DoubleArray:
    places = pairs.place[rows]
    width, height = np.maximum(pairs.place_boxes[places, 2:] - pairs.place_boxes[places, :2], 1e-3).T
    alone = np.bincount(pairs.image)[pairs.image[rows]] == 1
    sure = _logit(pairs.presence[places])
    return np.stack([np.ones(len(rows)), sure, np.log(height), np.log(width / height), alone], axis=1)


def _usual_scales(offsets: DoubleArray, features: DoubleArray) -> DoubleArray:
    if len(offsets) < MIN_OFFSETS:
        return np.full_like(offsets, USUAL_OFFSET)
    sizes = np.log(np.abs(offsets) + _LEAST_OFFSET)
    return np.exp(features @ np.linalg.lstsq(features, sizes, rcond=None)[0])


def _usual_density(offsets: DoubleArray, scales: DoubleArray, faulty: DoubleArray) -> DoubleArray:
    """Return the logarithm `[R]` of the Student t density of offsets without a fault.

    Its width and tail are those at which all offsets are most probable, some of which are faults: the usual
    tail must not stretch to explain what is wrong.
    """
    if len(offsets) < MIN_OFFSETS:
        return np.asarray(stats.t.logpdf(offsets, SMALL_TAIL, scale=scales))
    fits = (stats.t.logpdf(offsets, tail, scale=width * scales) for tail in TAILS for width in WIDTHS)
    return max(fits, key=lambda density: float(np.logaddexp(density, faulty).sum()))


def _row_features(pairs: Pairs) -> DoubleArray:
    """Return what speaks for a digit that people would box, `[K, 8]`.

    Always 1; how sure some digit is there, and which one; whether no other label is in the image; else, of
    the nearest label and in its heights, how much taller or smaller the place is, how far above or below, and
    how far away; and how far it overlaps any other label.
    """
    sure = _logit(pairs.presence)
    unclear = np.log(1 - pairs.shares.max(axis=1, initial=0) + 1e-3)
    features = np.stack([np.ones(len(sure)), sure, unclear, *np.zeros((5, len(sure)))], axis=1)
    starts = np.searchsorted(pairs.image, [pairs.place_image, pairs.place_image + 1])  # labels are by image
    for place, (start, end) in enumerate(starts.T.tolist()):
        rows = np.arange(start, end)
        others = pairs.boxes[rows[rows != pairs.label[place]]]
        if not len(others):
            features[place, 3] = 1
            continue
        x1, y1, x2, y2 = pairs.place_boxes[place].tolist()
        heights = np.maximum(others[:, 3] - others[:, 1], 1e-3)
        down = np.abs(others[:, 1] + others[:, 3] - y1 - y2) / 2
        across = np.abs(others[:, 0] + others[:, 2] - x1 - x2) / 2
        near = int(np.maximum(down, across).argmin())
        gap = max(x1, others[near, 0]) - min(x2, others[near, 2])
        taller = abs(log(max(y2 - y1, 1e-3) / heights[near]))
        features[place, 4:] = (
            taller,
            down[near] / heights[near],
            max(gap, 0) / heights[near],
            pairs.overlap[place],
        )
    return features


def _logit(probabilities: DoubleArray) -> DoubleArray:
    clipped = np.clip(probabilities, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(clipped / (1 - clipped)))
