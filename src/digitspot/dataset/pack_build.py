"""Packs by the content of their source: found when there is one, else built, by one builder at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from digitspot.dataset.pack import Pack
from digitspot.dataset.pack_folder import being_written, building
from digitspot.dataset.pack_plan import PackPlan, plan_pack
from digitspot.dataset.pack_source import labels_key, same_images
from digitspot.dataset.pack_write import Progress, write_pack
from digitspot.errors import DataError
from digitspot.labels.labels import LabelSet

Announce = Callable[[PackPlan], None]
"""Called with the plan before an image is decoded; may raise to call the building off."""


def default_pack_root() -> Path:
    """Return the folder for packs: below $DIGITSPOT_CACHE, else below the user's cache folder.

    Not beside the data, which may be read-only.
    """
    if own := os.environ.get("DIGITSPOT_CACHE"):
        return Path(own).expanduser() / "packs"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "digitspot" / "packs"


def open_or_build(
    labels: LabelSet,
    images_dir: Path,
    root: Path | None = None,
    *,
    longest_side: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Pack:
    """Open the pack of a split, building it when there is none of the same labels, images and options.

    Args:
        labels: The split's labels.
        images_dir: The folder that their file names are relative to.
        root: The folder of packs, `default_pack_root()` when None.
        longest_side: Images with a longer side than this are reduced to it; None keeps all as they are.
        seed: Of the order.
        workers: Threads that decode, as many as there are cores when None.
        progress: Called with the images done and their total.
        announce: Called with the plan before a building begins.

    Raises:
        DataError: Images are missing, cannot be decoded or are not of the size that the labels say.
        DigitspotError: The disk has too little space, or the root cannot be written.
    """
    root = default_pack_root() if root is None else root
    key = labels_key(labels, longest_side=longest_side, seed=seed)
    pack = _find(root, key, labels, images_dir)
    if pack is not None:
        return pack
    with building(root, key):
        pack = _find(root, key, labels, images_dir)  # another builder's, which we waited for
        if pack is not None:
            return pack
        plan = plan_pack(labels, images_dir, root, longest_side=longest_side, seed=seed, workers=workers)
        return _build(plan, key, labels, images_dir, workers, progress, announce)


def build_pack(
    labels: LabelSet,
    images_dir: Path,
    root: Path,
    *,
    longest_side: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Pack:
    """Build a pack whether or not there is one; arguments and errors as for `open_or_build`."""
    key = labels_key(labels, longest_side=longest_side, seed=seed)
    with building(root, key):
        plan = plan_pack(labels, images_dir, root, longest_side=longest_side, seed=seed, workers=workers)
        return _build(plan, key, labels, images_dir, workers, progress, announce)


def _find(root: Path, key: str, labels: LabelSet, images_dir: Path) -> Pack | None:
    """Open the pack of these labels whose images are the same; one that is damaged does not count."""
    for path in sorted(root.glob(f"{key}-*")):
        with suppress(DataError):
            pack = Pack.open(path)
            if same_images(path, labels, images_dir):
                return pack
    return None


def _build(
    plan: PackPlan,
    key: str,
    labels: LabelSet,
    images_dir: Path,
    workers: int | None,
    progress: Progress | None,
    announce: Announce | None,
) -> Pack:
    """Write the pack aside and rename it."""
    if announce is not None:
        announce(plan)
    plan.require_space()
    with being_written(plan.root, key) as unfinished:
        sources = write_pack(plan, labels, images_dir, unfinished.folder, workers=workers, progress=progress)
        return unfinished.install(f"{key}-{sources.key}")
