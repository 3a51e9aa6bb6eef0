"""What a pack will hold and need, from the headers of the images, before one is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digitspot.cores import num_cores
from digitspot.dataset.pack_limit import free_bytes, size_text
from digitspot.dataset.samples import image_bytes
from digitspot.errors import ConfigError, DataError, DigitspotError
from digitspot.images import image_size, require_folder
from digitspot.labels.labels import LabelSet
from digitspot.labels.rules import size_problem
from digitspot.preprocess import input_size
from digitspot.types import IntArray

_NUM_NAMED = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class PackPlan:
    """What a pack will hold and need, known before an image is decoded.

    Attributes:
        root: The folder of packs it will lie in.
        longest_side: Images with a longer side are reduced to this; None reduces none.
        seed: Of the order.
        rows: int64 `[N]`, the row of the labels of each image: a permutation drawn from the seed.
        original_sizes_hw: int64 `[N, 2]`, in the order of the pack.
        sizes_hw: int64 `[N, 2]`, likewise, as they will be stored.
    """

    root: Path
    longest_side: int | None
    seed: int
    rows: IntArray
    original_sizes_hw: IntArray
    sizes_hw: IntArray

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.rows)

    @property
    def bytes(self) -> int:
        """Bytes of all pixels."""
        return int(image_bytes(self.sizes_hw).sum())

    def describe(self) -> str:
        """Say in one line what will be written, and the space there is."""
        reduced = int((self.sizes_hw != self.original_sizes_hw).any(axis=1).sum())
        return (
            f"{self.images:,} images decode to {size_text(self.bytes)}"
            + (f" ({reduced:,} of them reduced)" if reduced else "")
            + f"; {size_text(free_bytes(self.root))} are free in {self.root}"
        )

    def require_space(self) -> None:
        """Raise a `DigitspotError` when the disk cannot hold the pack."""
        if self.bytes > free_bytes(self.root):
            raise DigitspotError(
                f"not enough disk space for a pack: {self.describe()}",
                hint="Set a longest side, free space, or set DIGITSPOT_CACHE to a folder on another disk.",
            )


def plan_pack(
    labels: LabelSet,
    images_dir: Path,
    root: Path,
    *,
    longest_side: int | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> PackPlan:
    """Plan a pack; reads the header of every image and writes nothing.

    Raises:
        DataError: The folder is missing, or images are missing, unreadable or not of the size that the label
            file says.
        ConfigError: `longest_side` is not positive.
    """
    if longest_side is not None and longest_side < 1:
        raise ConfigError(f"longest_side is {longest_side}; it must be at least 1, or none")
    require_folder(images_dir)

    def problem_of(row: int) -> str | None:
        path = images_dir / labels.file_names[row]
        try:
            return size_problem(image_size(path), labels.sizes_hw[row].tolist(), path)
        except DataError as error:
            return str(error).removeprefix(f"{path}: ")

    with ThreadPoolExecutor(num_workers(workers)) as pool:
        problems = list(pool.map(problem_of, range(len(labels))))
    raise_problems(
        [(name, text) for name, text in zip(labels.file_names, problems, strict=True) if text], labels
    )
    rows = np.random.default_rng(seed).permutation(len(labels)).astype(np.int64)
    original = labels.sizes_hw[rows]
    sizes = np.array([stored_size(hw, longest_side) for hw in original.tolist()], np.int64).reshape(-1, 2)
    return PackPlan(
        root=root,
        longest_side=longest_side,
        seed=seed,
        rows=rows,
        original_sizes_hw=original,
        sizes_hw=sizes,
    )


def stored_size(size_hw: Sequence[int], longest_side: int | None) -> tuple[int, int]:
    """Return the (height, width) at which an image is stored: never enlarged, rounded as for the network.

    >>> stored_size((3000, 4000), 1024), stored_size((47, 104), 1024)
    ((768, 1024), (47, 104))
    """
    height, width = size_hw
    if longest_side is None or max(height, width) <= longest_side:
        return height, width
    return input_size((height, width), min(height, width), longest_side)


def raise_problems(problems: Sequence[tuple[str, str]], labels: LabelSet) -> None:
    """Raise one `DataError` for all (file name, problem) pairs, if there are any; names the first few."""
    if not problems:
        return
    lines = [f"  {name}: {text}" for name, text in problems[:_NUM_NAMED]]
    if len(problems) > _NUM_NAMED:
        lines.append(f"  and {len(problems) - _NUM_NAMED:,} more")
    raise DataError(
        f"{labels.path}: {len(problems):,} of {len(labels):,} images cannot be packed:\n" + "\n".join(lines),
        hint="`digitspot data check` lists all.",
    )


def num_workers(workers: int | None) -> int:
    """Return how many threads decode: as asked for, else one for every core of this process, at most 16."""
    return max(1, workers) if workers is not None else min(16, num_cores())
