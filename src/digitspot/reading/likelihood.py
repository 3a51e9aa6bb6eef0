"""Fitting weights: a choice among candidates, and right or wrong; Newton's method with a ridge.

Both likelihoods are smooth with few weights (about 20), so exact second derivatives are cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from digitspot.reading.certainty import sigmoid
from digitspot.types import DoubleArray

Loss = Callable[[DoubleArray], tuple[float, DoubleArray, DoubleArray]]
"""From weights to value, gradient and Hessian."""
MAX_ITERATIONS = 50
TOLERANCE = 1e-6


def fit_choice(
    features: Sequence[DoubleArray],
    right: Sequence[npt.NDArray[np.bool_]],
    prior: DoubleArray,
    ridge: float = 1.0,
) -> DoubleArray:
    """Fit a softmax over candidates, so that the right ones are probable (McFadden 1974).

    Args:
        features: Of each image's candidates, `[C, F]`.
        right: Which of them are right, `[C]`; images with none are left out.
        prior: Weights to start from, which the ridge draws towards, `[F]`.
        ridge: How much.
    """
    usable = [(x, y) for x, y in zip(features, right, strict=True) if y.any()]
    if not usable:
        return prior
    rows = np.concatenate([x for x, _ in usable])
    is_right = np.concatenate([y for _, y in usable])
    counts = np.array([len(y) for _, y in usable])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])

    def spread(shares: DoubleArray) -> DoubleArray:
        """Return the covariance of the features within each image, summed."""
        means = np.add.reduceat(rows * shares[:, None], starts)
        return np.asarray((rows * shares[:, None]).T @ rows - means.T @ means)

    def loss(weights: DoubleArray) -> tuple[float, DoubleArray, DoubleArray]:
        scores = rows @ weights
        scores -= np.repeat(np.maximum.reduceat(scores, starts), counts)
        shares = np.exp(scores)
        # Right candidates may be far from the best: their sum is taken from the best of them.
        right_scores = np.where(is_right, scores, -np.inf)
        best_right = np.maximum.reduceat(right_scores, starts)
        right_shares = np.exp(right_scores - np.repeat(best_right, counts))
        total, right_total = np.add.reduceat(shares, starts), np.add.reduceat(right_shares, starts)
        shares /= np.repeat(total, counts)
        right_shares /= np.repeat(right_total, counts)
        value = (np.log(total) - np.log(right_total) - best_right).sum()
        return float(value), rows.T @ (shares - right_shares), spread(shares) - spread(right_shares)

    return _minimise(loss, prior, ridge)


def fit_logistic(
    features: DoubleArray,
    right: npt.NDArray[np.bool_],
    prior: DoubleArray,
    ridge: float | DoubleArray = 0.03,
) -> DoubleArray:
    """Fit a logistic regression.

    Args:
        features: `[N, F]`.
        right: `[N]`.
        prior: Weights to start from, which the ridge draws towards, `[F]`.
        ridge: How much; one number, or one of each weight.
    """

    def loss(weights: DoubleArray) -> tuple[float, DoubleArray, DoubleArray]:
        logits = features @ weights
        probabilities = sigmoid(logits)
        value = (np.logaddexp(0, logits) - right * logits).sum()
        curvature = probabilities * (1 - probabilities)
        return (
            float(value),
            features.T @ (probabilities - right),
            (features * curvature[:, None]).T @ features,
        )

    return _minimise(loss, prior, ridge) if len(right) else prior


def log_loss(probabilities: DoubleArray, right: npt.NDArray[np.bool_]) -> float:
    """Return the mean of minus the logarithm of what was thought of what came, 0 or more."""
    return float(-np.log(np.maximum(np.where(right, probabilities, 1 - probabilities), 1e-12)).mean())


def _minimise(loss: Loss, prior: DoubleArray, ridge: float | DoubleArray) -> DoubleArray:
    """Minimise a loss and `ridge / 2` times the squared distance from the prior (Levenberg's damping)."""
    ridges = np.broadcast_to(ridge, prior.shape)

    def penalised(weights: DoubleArray) -> tuple[float, DoubleArray, DoubleArray]:
        value, gradient, hessian = loss(weights)
        away = weights - prior
        return (
            value + float(ridges @ away**2) / 2,
            gradient + ridges * away,
            hessian + np.diag(ridges),
        )

    weights, damping = prior.astype(np.float64), 1e-3
    value, gradient, hessian = penalised(weights)
    for _ in range(MAX_ITERATIONS):
        # With several right candidates the loss is not convex; enough damping makes any step a descent.
        eigenvalues, axes = np.linalg.eigh(hessian)
        step = axes @ ((axes.T @ gradient) / (np.maximum(eigenvalues, ridges.min()) * (1 + damping)))
        tried = penalised(weights - step)
        if tried[0] >= value:
            if damping > 1e6:
                break
            damping = max(damping, 0.1) * 4
            continue
        gained = value - tried[0]
        weights, (value, gradient, hessian), damping = weights - step, tried, damping / 4
        if gained < TOLERANCE * (1 + abs(value)):
            break
    return weights
