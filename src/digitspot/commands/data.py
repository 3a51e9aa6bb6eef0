"""`digitspot data`: generate, convert, check, look at and pack data sets."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digitspot.commands import data_convert, data_look
from digitspot.commands.options import parse, print_json, print_table
from digitspot.config import DataConfig
from digitspot.data.check import CheckReport, Row, check_data
from digitspot.data.splits import open_split
from digitspot.errors import ConfigError, DataError
from digitspot.progress import tracking

MAX_LINES = 20
"""Findings of one kind that the table shows."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """List everything that is wrong or odd in labels and pictures; exits 3 when training could not run."""

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in the homework's layout, or one label file."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Decode a split once, for training; says what it will take before it begins."""

    path: Annotated[Path, tyro.conf.Positional]
    """A data set in the homework's layout."""
    split: str = "train"
    """Which split."""
    longest_side: int | None = None
    """Reduce pictures whose longer side exceeds this."""
    root: Path | None = None
    """Folder of the packs; none is $DIGITSPOT_CACHE or the user's cache folder."""


def run(arguments: list[str]) -> None:
    """Run a subcommand."""
    commands = {
        "synth": _synth,
        "convert": data_convert.run,
        "check": _check,
        "stats": data_look.stats,
        "preview": data_look.preview,
        "pack": _pack,
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
    commands[name](arguments[1:])


def _synth(arguments: list[str]) -> None:
    from digitspot.commands import synth  # the generator is not needed by the others

    synth.run(arguments)


def _check(arguments: list[str]) -> None:
    options = parse(CheckOptions, "data check", arguments)
    with tracking("checking") as show:
        report = check_data(options.path, progress=show)
    if options.json:
        print_json(report.to_dict())
    else:
        _print_report(report)
    if not report.can_train:
        errors = sum(row.count for row in report.rows() if row.severity == "error")
        raise DataError(
            f"{options.path}: training could not run, {errors} errors", hint="See the table above."
        )


def _print_report(report: CheckReport) -> None:
    rows = [
        (split.name, str(split.images), str(split.boxes), str(split.pictures), split.categories or "-")
        for split in report.splits
    ]
    print_table(str(report.path), ("split", "images", "boxes", "files", "digit=category_id"), rows)
    findings = [line for row in report.rows() for line in _lines(report, row)]
    if findings:
        print_table("findings", ("split", "severity", "kind", "count", "finding"), findings)
    else:
        print("no findings")


def _lines(report: CheckReport, row: Row) -> list[tuple[str, str, str, str, str]]:
    """Return the findings of one kind, a line each; of a kind with many, the first ones."""
    found = [
        str(finding)
        for split in report.splits
        for finding in split.findings
        if (split.name, finding.severity, finding.kind) == (row.split, row.severity, row.kind)
    ]
    lines: list[tuple[str, str, str, str, str]]
    lines = [(row.split, row.severity, row.kind, str(row.count), found[0])]
    lines += [("", "", "", "", text) for text in found[1:MAX_LINES]]
    if len(found) > MAX_LINES:
        lines.append(("", "", "", "", f"... and {len(found) - MAX_LINES} more: --json lists all"))
    return lines


def _pack(arguments: list[str]) -> None:
    options = parse(PackOptions, "data pack", arguments)
    root = None if options.root is None else str(options.root)
    pack = open_split(
        options.path, options.split, DataConfig(pack_root=root, longest_side=options.longest_side)
    )
    print(pack.path)
