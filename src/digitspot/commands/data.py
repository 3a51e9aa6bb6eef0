"""`digitspot data`: generate, convert, check, look at and pack data sets."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.help import FLAGS, overview
from digitspot.commands.options import parse
from digitspot.config import DataConfig
from digitspot.dataset.splits import open_split
from digitspot.errors import ConfigError

ABOUT = {
    "synth": "generate images of numbers with exact boxes",
    "convert": "bring other formats into digitspot's layout, or into YOLO's",
    "check": "list everything that is wrong or odd in labels and images",
    "stats": "draw one figure of sizes, counts and positions of digits",
    "preview": "draw images with their boxes and numbers, or what augmentation does",
    "pack": "decode a split once, for training",
    "cache": "list the packs that were built, and remove them",
}
EXAMPLES = ("digitspot data check DATA", "digitspot data convert SOURCE DATA")


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Decode a split once, for training; says what it will take before it begins.

    digitspot data pack DATA --split train
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in digitspot's layout."""
    split: str = "train"
    """Which split."""
    longest_side: int | None = None
    """Reduce images whose longer side exceeds this."""
    root: Path | None = None
    """Folder of the packs; none is $DIGITSPOT_CACHE or the user's cache folder."""


def run(arguments: list[str]) -> None:
    """Run a subcommand."""
    name = arguments[0] if arguments else "--help"
    if name in FLAGS:
        print(overview("digitspot data", "Data sets: make them, check them, look at them.", ABOUT, EXAMPLES))
        return
    if name not in ABOUT:
        near = difflib.get_close_matches(name, ABOUT, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Commands: {', '.join(ABOUT)}."
        raise ConfigError(f"no command 'data {name}'", hint=hint)
    commands = {
        "synth": ("synth", "run"),
        "convert": ("data_convert", "run"),
        "check": ("data_check", "run"),
        "stats": ("data_look", "stats"),
        "preview": ("data_look", "preview"),
        "pack": ("data", "pack"),
        "cache": ("data_cache", "run"),
    }
    module, function = commands[name]  # imported alone: some need more packages than others
    getattr(importlib.import_module(f"digitspot.commands.{module}"), function)(arguments[1:])


def pack(arguments: list[str]) -> None:
    """Decode a split."""
    options = parse(PackOptions, "data pack", arguments)
    root = None if options.root is None else str(options.root)
    packed = open_split(
        options.path, options.split, DataConfig(pack_root=root, longest_side=options.longest_side)
    )
    print(packed.path)
