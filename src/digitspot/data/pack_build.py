"""Packs by the content of their source: found when there is one, else built, by one builder at a time."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from digitspot.data.labels import LabelSet
from digitspot.data.pack import Pack
from digitspot.data.pack_plan import PackPlan, plan_pack
from digitspot.data.pack_source import labels_key, same_pictures
from digitspot.data.pack_write import Progress, write_pack, writing
from digitspot.errors import DataError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Announce = Callable[[PackPlan], None]
"""Called with the plan before a picture is decoded; may raise to call the building off."""


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
    """Open the pack of a split, building it when there is none of the same labels, pictures and options.

    Args:
        labels: The split's labels.
        images_dir: The folder that their file names are relative to.
        root: The folder of packs, `default_pack_root()` when None.
        longest_side: Pictures with a longer side than this are reduced to it; None keeps all as they are.
        seed: Of the order.
        workers: Threads that decode, as many as there are cores when None.
        progress: Called with the pictures done and their total.
        announce: Called with the plan before a building begins.

    Raises:
        DataError: Pictures are missing, cannot be decoded or are not of the size that the labels say.
        DigitspotError: The disk has too little space, or the root cannot be written.
    """
    root = default_pack_root() if root is None else root
    key = labels_key(labels, longest_side=longest_side, seed=seed)
    pack = _find(root, key, labels, images_dir)
    if pack is not None:
        return pack
    with _building(root, key):
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
    with _building(root, key):
        plan = plan_pack(labels, images_dir, root, longest_side=longest_side, seed=seed, workers=workers)
        return _build(plan, key, labels, images_dir, workers, progress, announce)


def _find(root: Path, key: str, labels: LabelSet, images_dir: Path) -> Pack | None:
    """Open the pack of these labels whose pictures are the same; one that is damaged does not count."""
    for path in sorted(root.glob(f"{key}-*")):
        with suppress(DataError):
            pack = Pack.open(path)
            if same_pictures(path, labels, images_dir):
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
    aside = _aside(plan.root, key)
    try:
        with writing(plan.root):
            aside.mkdir()
        sources = write_pack(plan, labels, images_dir, aside, workers=workers, progress=progress)
        final = plan.root / f"{key}-{sources.key}"
        with writing(plan.root):
            _install(aside, final)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Pack.open(final)


def _install(aside: Path, final: Path) -> None:
    """Rename a finished pack into place; a sound one that is there already is kept, a damaged one goes."""
    with suppress(DataError):
        Pack.open(final)
        return
    if final.exists():
        broken = _aside(final.parent, final.name.partition("-")[0])
        os.rename(final, broken)
        shutil.rmtree(broken, ignore_errors=True)
    try:
        os.rename(aside, final)
    except OSError:
        # Where locks do not work, another builder may have been faster; anything else is an error.
        if not final.exists():
            raise


def _aside(root: Path, key: str) -> Path:
    return root / f".{key}-{secrets.token_hex(4)}.tmp"


@contextmanager
def _building(root: Path, key: str) -> Iterator[None]:
    """Wait for other builders of the same pack, and remove what killed builders left of any."""
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with _lock(root, key) as locked:
        if locked:
            _remove_leftovers(root, key)
        yield


def _remove_leftovers(root: Path, own_key: str) -> None:
    """Remove folders of unfinished packs whose lock is free: no living process is at them."""
    for folder in root.glob(".*-*.tmp"):
        key = folder.name[1:].partition("-")[0]
        if key == own_key:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        with _lock(root, key, wait=False) as locked:
            if locked:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock(root: Path, key: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a pack's lock, which ends with the process; yields whether it is held.

    It is not when another process has it and `wait` is false, or when the file system has no
    locks. The lock files stay: removing one is a race with whoever has just opened it.
    """
    with writing(root):
        file = open(root / f".{key}.lock", "ab")  # noqa: SIM115 - closed below, outside of writing()
    with file:
        yield _try_lock(file, wait)


def _try_lock(file: IO[bytes], wait: bool) -> bool:
    """Lock a file until it is closed; false when that cannot be."""
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
