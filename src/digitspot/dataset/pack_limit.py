"""What the cache of packs holds, and what goes when it is too large."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from digitspot.dataset.pack import DECODING, META_FILE, read_meta
from digitspot.dataset.pack_cache import discard_unused, remove_leftovers
from digitspot.errors import ConfigError, DataError

LIMIT_VARIABLE = "DIGITSPOT_CACHE_LIMIT"
DEFAULT_LIMIT_GIB = 20.0

State = Literal["current", "replaced", "unusable"]


@dataclass(frozen=True, kw_only=True)
class CachedPack:
    """A pack of the cache.

    Attributes:
        path: Its folder.
        num_bytes: What its files take.
        last_used: Seconds since 1970.
        source: The label file that it was made from.
        longest_side: The setting that it was made with.
        state: "replaced" where one of the same source was used since, with other settings, labels or
            images; "unusable" where this version cannot read it.
    """

    path: Path
    num_bytes: int
    last_used: float
    source: str
    longest_side: int | None
    state: State


def cache_limit_bytes() -> int:
    """Return how many bytes the cache may take: DIGITSPOT_CACHE_LIMIT in GiB, else 20 GiB.

    Raises:
        ConfigError: The variable is no number, or negative.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GIB)
    try:
        gib = float(text)
    except ValueError:
        gib = -1.0
    if not 0 <= gib < 2**30:
        raise ConfigError(
            f"{LIMIT_VARIABLE} is {text!r}", hint="Give the GiB that the cache of packs may take, such as 20."
        )
    return int(gib * 2**30)


def list_cache(root: Path) -> list[CachedPack]:
    """Return the packs of a cache, the last used first."""
    found = [_describe(path) for path in root.glob("[!.]*-*") if path.is_dir()]
    found.sort(key=lambda pack: -pack.last_used)
    listed: list[CachedPack] = []
    sources: set[str] = set()
    for pack in found:
        replaced = pack.state == "current" and pack.source in sources
        listed.append(CachedPack(**{**vars(pack), "state": "replaced"}) if replaced else pack)
        if pack.state == "current":
            sources.add(pack.source)
    return listed


def clear_cache(root: Path, chosen: Callable[[CachedPack], bool]) -> list[CachedPack]:
    """Remove chosen packs that no process uses, and what killed builders left; returns the removed packs."""
    remove_leftovers(root)
    return [pack for pack in list_cache(root) if chosen(pack) and discard_unused(pack.path)]


def keep_limit(root: Path, new: Path, limit_bytes: int) -> None:
    """Make room after a pack was built.

    Unusable packs go. Above the limit, replaced packs go, then the others, least recently used first. The new
    pack and packs in use stay.
    """
    clear_cache(root, lambda pack: pack.state == "unusable")
    packs = list_cache(root)
    total = sum(pack.num_bytes for pack in packs)
    for pack in sorted(packs, key=lambda each: (each.state == "current", each.last_used)):
        if total <= limit_bytes:
            return
        if pack.path != new and discard_unused(pack.path):
            total -= pack.num_bytes


def size_text(num_bytes: int) -> str:
    """Say a size in words, "251 MiB" or "335.3 GiB"."""
    return f"{num_bytes / 2**30:,.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:,.0f} MiB"


def _describe(path: Path) -> CachedPack:
    num_bytes, last_used = 0, 0.0
    with suppress(OSError):
        num_bytes = sum(file.stat().st_size for file in path.iterdir())
        last_used = (path / META_FILE).stat().st_mtime
    try:
        meta = read_meta(path)
        usable = meta.get("decoding") == DECODING
    except DataError:
        meta, usable = {}, False
    return CachedPack(
        path=path,
        num_bytes=num_bytes,
        last_used=last_used,
        source=str(meta.get("source", "unknown")),
        longest_side=meta.get("longest_side"),
        state="current" if usable else "unusable",
    )


def free_bytes(root: Path) -> int:
    """Return the bytes free on the disk of a folder that may not be there yet."""
    present = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    return shutil.disk_usage(present).free
