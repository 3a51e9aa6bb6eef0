"""`digitspot data`: generate, convert, check, look at and pack data sets."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands.options import parse
from digitspot.config import DataConfig
from digitspot.dataset.splits import open_split
from digitspot.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Decode a split once, for training; says what it will take before it begins."""

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in the homework's layout."""
    split: str = "train"
    """Which split."""
    longest_side: int | None = None
    """Reduce images whose longer side exceeds this."""
    root: Path | None = None
    """Folder of the packs; none is $DIGITSPOT_CACHE or the user's cache folder."""


def run(arguments: list[str]) -> None:
    """Run a subcommand."""
    commands = {
        "synth": ("synth", "run"),
        "convert": ("data_convert", "run"),
        "check": ("data_check", "run"),
        "stats": ("data_look", "stats"),
        "preview": ("data_look", "preview"),
        "pack": ("data", "pack"),
        "cache": ("data_cache", "run"),
    }
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print(
            f"usage: digitspot data {'|'.join(commands)} PATH [options]      (--help after each explains it)"
        )
        return
    if name not in commands:
        near = difflib.get_close_matches(name, commands, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Commands: {', '.join(commands)}."
        raise ConfigError(f"no command 'data {name}'", hint=hint)
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
