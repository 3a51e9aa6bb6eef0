"""`digitspot data cache`: list the packs that were built for training, and remove them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from digitspot.commands.options import parse, print_list
from digitspot.dataset.pack_cache import default_pack_root
from digitspot.dataset.pack_limit import CachedPack, cache_limit_bytes, clear_cache, list_cache, size_text
from digitspot.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """List the packs in the cache. They are decoded images: training builds them again when they are gone.

    The cache takes at most 20 GiB, or the GiB that DIGITSPOT_CACHE_LIMIT says. When a new pack needs room,
    replaced packs go first, then those that were not used for longest. Packs in use stay.

    digitspot data cache
    digitspot data cache --clear
    """

    root: Path | None = None
    """Folder of the packs; none is $DIGITSPOT_CACHE or the user's cache folder."""
    clear: bool = False
    """Remove packs that newer ones replaced or that this version cannot read."""
    clear_all: bool = False
    """Remove all packs that are not in use."""


def run(arguments: list[str]) -> None:
    """List or clear the cache."""
    options = parse(CacheOptions, "data cache", arguments)
    if options.clear and options.clear_all:
        raise ConfigError("--clear and --clear-all are both given", hint="Give one of them.")
    root = options.root or default_pack_root()
    if options.clear or options.clear_all:
        gone = clear_cache(root, lambda pack: options.clear_all or pack.state != "current")
        print(f"removed {len(gone)} packs, {size_text(sum(pack.num_bytes for pack in gone))}, from {root}")
        kept = list_cache(root) if options.clear_all else []
        if kept:
            print(f"{len(kept)} packs are in use and stay")
        return
    packs = list_cache(root)
    total = size_text(sum(pack.num_bytes for pack in packs))
    title = f"{root}: {len(packs)} packs, {total} of at most {size_text(cache_limit_bytes())}"
    print_list(title, list(map(_listed, packs)))


def _listed(pack: CachedPack) -> tuple[str, list[str]]:
    used = datetime.fromtimestamp(pack.last_used).strftime("%Y-%m-%d %H:%M") if pack.last_used else "unknown"
    side = "" if pack.longest_side is None else f", longest side {pack.longest_side}"
    about = f"{size_text(pack.num_bytes)}, {pack.state}, last used {used}{side}"
    return f"{pack.path.name[:8]}: {about}", [pack.source]
