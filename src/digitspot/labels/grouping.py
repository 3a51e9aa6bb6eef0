"""Dividing images into splits so that what shows the same stays on one side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from digitspot.cores import num_cores
from digitspot.errors import ConfigError
from digitspot.images import decode_image
from digitspot.labels.repeats import Fingerprint, find_repeats, fingerprint, join_pairs
from digitspot.progress import tracking
from digitspot.types import IntArray

_ROBOFLOW = re.compile(r"^(.+)\.rf\.[0-9A-Za-z]{8,}\.[A-Za-z]+$")
"""Roboflow names the augmented copies of `7.jpg` `7_jpg.rf.HASH.jpg`."""


def source_name(name: str) -> str:
    """Return the name that the augmented copies of one image share.

    >>> source_name("door_jpg.rf.0123456789abcdef0123456789abcdef.jpg"), source_name("door.jpg")
    ('door_jpg', 'door.jpg')
    """
    match = _ROBOFLOW.match(name)
    return match[1] if match else name


def fingerprints(paths: Sequence[Path]) -> list[Fingerprint]:
    """Decode images to compare them.

    Raises:
        DataError: One cannot be decoded.
    """
    prints = []
    with tracking("comparing images") as show, ThreadPoolExecutor(num_cores()) as pool:
        for each in pool.map(lambda path: fingerprint(decode_image(path)), paths):
            prints.append(each)
            show(len(prints), len(paths))
    return prints


def group_images(paths: Sequence[Path], prints: Sequence[Fingerprint] | None) -> IntArray:
    """Join the copies of one source by name, and near-repeats by their fingerprints where there are any.

    Returns:
        int64 `[N]`, for each image the first place of its group.
    """
    first: dict[str, int] = {}
    pairs = []
    for place, path in enumerate(paths):
        key = source_name(path.name)
        if key != path.name:
            pairs.append((first.setdefault(key, place), place))
    if prints is not None:
        pairs += [(repeat.first, repeat.second) for repeat in find_repeats(list(prints))]
    return join_pairs(len(paths), pairs)


def divide(groups: IntArray, shares: dict[str, float], seed: int) -> list[str]:
    """Deal whole groups to splits, in an order drawn from the seed.

    Args:
        groups: `[N]`, each image's group.
        shares: Of the splits other than "train", which gets the rest: `{"valid": 0.1}`.
        seed: Of the order.

    Returns:
        The split of each image. A split never exceeds its share, but where all groups are larger: then it
        gets the smallest one, unless that is all there is.

    Raises:
        ConfigError: The shares are not from 0 to 1, or leave nothing to train on.

    >>> divide(np.array([0, 0, 2, 3]), {"valid": 0.5}, seed=0).count("valid")
    2
    """
    if not all(0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        told = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise ConfigError(f"shares of {told}", hint="They must be 0 or more, and together below 1.")
    members = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[members], prepend=-1))
    sets = np.split(members, starts[1:]) if len(members) else []
    splits = np.full(len(groups), "train", dtype="<U8")
    order = [sets[place] for place in np.random.default_rng(seed).permutation(len(sets))]
    for name, share in shares.items():
        wanted, taken = round(share * len(groups)), 0
        left = []
        for rows in order:
            if taken + len(rows) <= wanted:
                splits[rows] = name
                taken += len(rows)
            else:
                left.append(rows)
        if taken == 0 < wanted and len(left) > 1:
            smallest = min(range(len(left)), key=lambda place: len(left[place]))
            splits[left.pop(smallest)] = name
        order = left
    return [str(split) for split in splits]
