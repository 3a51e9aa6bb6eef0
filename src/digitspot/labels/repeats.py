"""Images that repeat others: the same pixels, or one scene coded, scaled or cut a little differently.

Every image is reduced to a grey thumbnail. Pairs whose middle frequencies agree are candidates; each is
then aligned, second onto first, by shift and scale along both axes, and is a repeat where what is left
agrees. The thresholds are measured on SVHN, whose thousands of images of similar plates are the hard
case: `benchmarks/results/repeats.md`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitspot.types import FloatArray, ImageArray, IntArray

Progress = Callable[[int, int], None]

SIDE = 32
"""Of a thumbnail, whatever the image's shape."""

_COARSE_SIDE, _COARSE_BLUR, _MIN_COARSE = 12, 2.0, 0.8
"""Candidates: correlation of thumbnails less their blur, in pixels of the coarse side."""
_MIDDLE_SIDE, _MIN_MIDDLE = 16, 0.88
"""After a first alignment at this side."""
MIN_SIMILARITY = 0.95
"""After the last alignment, at the full side."""

_MIN_CONTRAST = 1.0
"""Grey levels; a flatter thumbnail says nothing."""
_MAX_SHIFT, _MAX_SCALE = 0.15, 1.25
_ROWS = 1024  # of thumbnails compared with all at a time, and of pairs aligned at a time
_MAX_EARLIER = 10
"""Of the images before it, each is aligned with so many at most, those most like it. Thousands of frames of
one camera are all alike; they are joined over several pairs."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of an image to find it again.

    Attributes:
        digest: Of its size and pixels: equal for equal images only.
        thumbnail: uint8 `[32, 32]`, grey.
    """

    digest: bytes
    thumbnail: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Repeat:
    """Two images that show the same.

    Attributes:
        first: Place of the one that stands first.
        second: Place of the other.
        similarity: 1 where every pixel is the same, else the correlation of the aligned thumbnails.
        exact: Whether every pixel is the same.
    """

    first: int
    second: int
    similarity: float
    exact: bool


def fingerprint(image: ImageArray) -> Fingerprint:
    """Reduce an image, uint8 `[H, W, 3]`, to what is compared."""
    digest = hashlib.blake2b(image.data, digest_size=16, key=repr(image.shape).encode()).digest()
    # Grey after reducing: a 32nd of the work; the mean of greys is the grey of means.
    small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Fingerprint(digest, np.asarray(small.convert("L"), np.uint8))


def find_repeats(prints: list[Fingerprint], progress: Progress | None = None) -> list[Repeat]:
    """Find the images that show the same as an earlier one, each with up to `_MAX_EARLIER` of these.

    Of images whose pixels are equal, each is paired with the first of them, and only that one is compared
    with others.

    Args:
        prints: Of N images.
        progress: Told how many images were compared with all others, then how many pairs were aligned.

    Returns:
        The pairs, by first and second place.
    """
    originals: dict[bytes, int] = {}
    repeats = []
    for place, each in enumerate(prints):
        first = originals.setdefault(each.digest, place)
        if first != place:
            repeats.append(Repeat(first, place, 1.0, True))
    places = np.array(list(originals.values()), np.int64)
    if len(places) > 1:
        thumbnails = np.stack([prints[place].thumbnail for place in places]).astype(np.float32)
        pairs = _candidates(thumbnails, progress)
        pairs, motions, _ = _aligned(thumbnails, pairs, _MIDDLE_SIDE, _MIN_MIDDLE, None, progress)
        pairs, _, similarity = _aligned(thumbnails, pairs, SIDE, MIN_SIMILARITY, motions, progress)
        repeats += [
            Repeat(int(first), int(second), float(value), False)
            for (first, second), value in zip(places[pairs].tolist(), similarity, strict=True)
        ]
    return sorted(repeats, key=lambda repeat: (repeat.first, repeat.second))


def join_pairs(num: int, pairs: list[tuple[int, int]]) -> IntArray:
    """Join things over any number of pairs.

    Returns:
        int64 `[num]`, for each thing the first one of its group.

    >>> join_pairs(4, [(1, 2), (2, 3)]).tolist()
    [0, 1, 1, 1]
    """
    leads = list(range(num))

    def root(place: int) -> int:
        while leads[place] != place:
            leads[place] = leads[leads[place]]
            place = leads[place]
        return place

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        leads[high] = low
    return np.array([root(place) for place in range(num)], np.int64)


def _candidates(thumbnails: FloatArray, progress: Progress | None) -> IntArray:
    """Return the pairs, `[K, 2]`, whose coarse thumbnails agree; each smaller place first."""
    vectors = _unit(_band(_reduced(thumbnails, _COARSE_SIDE), _COARSE_BLUR))
    found = []
    for start in range(0, len(vectors), _ROWS):
        end = min(start + _ROWS, len(vectors))
        agreement = vectors[start:end] @ vectors[:end].T  # of each row's image and those before it
        agreement[np.triu_indices(end - start, k=start, m=end)] = -np.inf
        num = min(_MAX_EARLIER, end)
        nearest = np.argpartition(-agreement, num - 1, axis=1)[:, :num]
        rows, ranks = np.nonzero(np.take_along_axis(agreement, nearest, axis=1) >= _MIN_COARSE)
        found.append(np.stack([nearest[rows, ranks], rows + start], axis=1))
        if progress is not None:
            progress(end, len(vectors))
    pairs = np.concatenate(found).astype(np.int64)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _aligned(
    thumbnails: FloatArray,
    pairs: IntArray,
    side: int,
    min_similarity: float,
    motions: FloatArray | None,
    progress: Progress | None = None,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Align the second of each pair onto the first, and keep the pairs that agree.

    Args:
        thumbnails: float32 `[N, 32, 32]`.
        pairs: `[K, 2]`.
        side: At which they are compared.
        min_similarity: Smallest to keep.
        motions: `[K, 4]` to begin with: scale and shift along x, scale and shift along y; None is no motion.
        progress: Told how many pairs were aligned.

    Returns:
        The pairs kept `[L, 2]`, their motions `[L, 4]` and similarities `[L]`.
    """
    bands = _band(_reduced(thumbnails, side), side / SIDE * 4)
    if motions is None:
        motions = np.tile(np.array([1, 0, 1, 0], np.float32), (len(pairs), 1))
    similarity = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _ROWS):
        rows = slice(start, start + _ROWS)
        first, second = bands[pairs[rows, 0]], bands[pairs[rows, 1]]
        motions[rows], similarity[rows] = _align(first, second, motions[rows])
        if progress is not None:
            progress(min(start + _ROWS, len(pairs)), len(pairs))
    keep = similarity >= min_similarity
    return pairs[keep], motions[keep], similarity[keep]


def _align(
    first: FloatArray, second: FloatArray, motion: FloatArray, steps: int = 4
) -> tuple[FloatArray, FloatArray]:
    """Find the motion of `second` at which it agrees best with `first`, both `[K, S, S]`.

    Gauss-Newton on the six unknowns of first = a second(x sx + tx, y sy + ty) + b, as Lucas and Kanade
    (1981) register images; the place in the image runs from -0.5 to 0.5.

    Returns:
        The best motion of those tried, `[K, 4]`, and its correlation, `[K]`.
    """
    side = first.shape[-1]
    place = ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)
    best, best_motion = np.full(len(first), -1, np.float32), motion
    for step in range(steps + 1):
        across, across_slope, inside_x = _weights(place, motion[:, 0], motion[:, 1])
        down, down_slope, inside_y = _weights(place, motion[:, 2], motion[:, 3])
        inside = np.asarray(inside_y[:, :, None] * inside_x[:, None, :], np.float32)
        moved = np.asarray(down @ second @ across.transpose(0, 2, 1), np.float32)
        score = _correlation(first, moved, inside)
        better = score > best
        best = np.where(better, score, best)
        best_motion = np.where(better[:, None], motion, best_motion)
        if step == steps:
            break
        slope_x = side * (down @ second @ across_slope.transpose(0, 2, 1))
        slope_y = side * (down_slope @ second @ across.transpose(0, 2, 1))
        terms = (moved, slope_x * place, slope_x, slope_y * place[:, None], slope_y, np.ones_like(moved))
        motion = _moved(motion, _regress(first, terms, inside))
    return best_motion.astype(np.float32), best.astype(np.float32)


def _moved(motion: FloatArray, found: FloatArray) -> FloatArray:
    """Add the motion that a regression found, `[K, 6]`, within what a repeat may differ by."""
    strength = found[:, :1]
    step = np.where(np.abs(strength) > 0.2, found[:, 1:5] / np.where(strength == 0, 1, strength), 0)
    low = np.array([1 / _MAX_SCALE, -_MAX_SHIFT] * 2)
    high = np.array([_MAX_SCALE, _MAX_SHIFT] * 2)
    return np.asarray(np.clip(motion + np.clip(step, -0.1, 0.1), low, high), np.float32)


def _weights(place: FloatArray, scale: FloatArray, shift: FloatArray) -> tuple[FloatArray, ...]:
    """Return linear interpolation along an axis `[K, S, S]`, its slope, and the places inside `[K, S]`."""
    side = len(place)
    wanted = (place * scale[:, None] + shift[:, None] + 0.5) * side - 0.5  # in pixels, [K, S]
    inside = ((wanted >= -0.5) & (wanted <= side - 0.5)).astype(np.float32)
    offset = np.clip(wanted, 0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32)  # [K, S, S]
    # Over a pixel's width: the slope at a point is none where the point is a pixel's own.
    return _hat(offset), _hat(offset + 0.5) - _hat(offset - 0.5), inside


def _hat(offset: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(1 - np.abs(offset), 0), np.float32)


def _regress(target: FloatArray, terms: tuple[FloatArray, ...], inside: FloatArray) -> FloatArray:
    """Return the coefficients `[K, T]` of the terms that fit the target best in the places inside."""
    columns = np.stack([term * inside for term in terms], axis=1).reshape(len(target), len(terms), -1)
    square = columns @ columns.transpose(0, 2, 1)
    ridge = 1e-4 * np.einsum("kii->ki", square) + 1e-6
    square += ridge[:, :, None] * np.eye(len(terms), dtype=np.float32)
    right = columns @ target.reshape(len(target), -1, 1)
    return np.asarray(
        np.linalg.solve(square.astype(np.float64), right.astype(np.float64))[:, :, 0], np.float32
    )


def _correlation(first: FloatArray, second: FloatArray, inside: FloatArray) -> FloatArray:
    """Return the correlation, `[K]`, over the places inside."""
    num = np.maximum(inside.sum((1, 2), keepdims=True), 1)
    one = (first - (first * inside).sum((1, 2), keepdims=True) / num) * inside
    two = (second - (second * inside).sum((1, 2), keepdims=True) / num) * inside
    norm = np.sqrt((one**2).sum((1, 2)) * (two**2).sum((1, 2)))
    return np.asarray((one * two).sum((1, 2)) / np.maximum(norm, 1e-6), np.float32)


def _band(images: FloatArray, sigma: float) -> FloatArray:
    """Take away what is broader than a Gaussian of `sigma` pixels: gradients, which all images share."""
    offset = np.arange(images.shape[-1])
    kernel = np.exp(-((offset[:, None] - offset) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.asarray(images - kernel @ images @ kernel.T, np.float32)


def _reduced(thumbnails: FloatArray, side: int) -> FloatArray:
    """Return the thumbnails at a smaller side, by the share of each pixel that falls into a new one."""
    edges = np.arange(side + 1) * (SIDE / side)
    pixel = np.arange(SIDE)
    share = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    share = (np.clip(share, 0, None) * (side / SIDE)).astype(np.float32)
    return np.asarray(share @ thumbnails @ share.T, np.float32)


def _unit(images: FloatArray) -> FloatArray:
    """Return vectors of length 1, of length 0 where an image is flat."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    is_flat = norm < _MIN_CONTRAST * np.sqrt(flat.shape[1])
    return np.asarray(np.where(is_flat, 0, flat / np.maximum(norm, 1e-6)), np.float32)
